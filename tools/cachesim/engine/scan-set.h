/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one record does to one set of a stack table: which position it found its block in, how deep
 * a write-back reaches. The set is in the host's cache or on its way; nothing can fail.
 */
#ifndef KONA_CACHESIM_SCAN_SET_H
#define KONA_CACHESIM_SCAN_SET_H

#include "internal.h"
#include "scan-simd.h"

/* The block was referenced at `position`: its lines' write-backs so far lie that deep at least. */
static inline void scan_age_lines(const struct sim_stack *stack, void *side, uint32_t position,
				  uint32_t now)
{
	if (stack->has_epochs) {
		uint32_t *epochs = side;

		for (uint32_t i = 0; i < position; i++)
			epochs[i] = now;
	} else {
		scan_raise(side, stack->side_bytes, position);
	}
}

/* Deepest position of the line's block since the line was last written back; makes it 0. */
static inline uint32_t scan_line_written(const struct sim_stack *stack, struct sim_set *set,
					 void *side, uint32_t slot, const struct sim_record *record)
{
	uint8_t *level;
	uint32_t depth;

	if (stack->has_epochs)
		return scan_epochs_since(side, record->previous);
	level = stack->side_bytes ? (uint8_t *)side + (record->line & (stack->block_lines - 1))
				  : &set->dirty[slot];
	depth = *level;
	*level = 0;
	return depth;
}

static inline uint32_t scan_max(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Returns how deep the write-back reached; 0: every associativity had this line dirty already. */
static inline uint32_t scan_writeback(const struct sim_stack *stack, struct sim_histogram *hist,
				      struct sim_set *set, char *sides, uint32_t slot,
				      const struct sim_record *record)
{
	uint32_t position, block_depth, line_depth;

	if (slot == KONA_SIM_WAYS) {
		hist->writebacks[KONA_SIM_WAYS]++;
		hist->lines[KONA_SIM_WAYS]++;
		return KONA_SIM_WAYS;
	}
	position = set->order[slot] ^ slot;
	block_depth = scan_max(position, set->dirty[slot]);
	line_depth =
		scan_max(position, scan_line_written(stack, set, sides + slot * stack->side_bytes,
						     slot, record));
	set->dirty[slot] = 0;
	hist->writebacks[block_depth]++;
	hist->lines[line_depth]++;
	return scan_max(block_depth, line_depth);
}

/* Returns the stack position the reference found its block in; KONA_SIM_WAYS: not there. */
static inline uint32_t scan_reference(const struct sim_stack *stack, struct sim_histogram *hist,
				      struct sim_set *set, char *sides, uint32_t slot, uint32_t tag,
				      const struct sim_record *record)
{
	uint32_t position;

	if (slot < KONA_SIM_WAYS) {
		position = set->order[slot] ^ slot;
		if (!position)
			return 0;
		scan_promote(set->order, slot, position);
		set->dirty[slot] = (uint8_t)scan_max(set->dirty[slot], position);
	} else {
		position = KONA_SIM_WAYS;
		slot = scan_last(set->order);
		scan_promote(set->order, slot, KONA_SIM_WAYS - 1);
		set->tag[slot] = tag;
		set->dirty[slot] = KONA_SIM_WAYS;
	}
	if (stack->side_bytes)
		scan_age_lines(stack, sides + slot * stack->side_bytes, position, record->now);
	hist->references[record->kind][position]++;
	return position;
}

#endif
