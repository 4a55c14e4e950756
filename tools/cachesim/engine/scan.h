/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inner loop of the DRAM caches: one stack table, one list of records. Compiled three times
 * (scan-portable.c, scan-avx2.c, scan-avx512.c), each with its own instruction set; every one of
 * them gives the same numbers.
 *
 * A record that changes nothing in this table changes nothing in a table whose set count is a
 * multiple of this one's (its sets are subsets of these): a reference to a block in position 0, a
 * write-back of a line already dirty there. Such records are left out of the survivors.
 */
#ifndef KONA_CACHESIM_SCAN_H
#define KONA_CACHESIM_SCAN_H

#include "internal.h"
#include "scan-simd.h"

enum { SCAN_AHEAD = 10 };

/* The block was referenced at `position`: its lines' write-backs so far lie that deep at least. */
static inline void scan_age_lines(const struct sim_stack *stack, void *side, uint32_t position,
				  uint32_t now)
{
	if (stack->has_epochs) {
		uint32_t *epochs = side;

		for (uint32_t i = 0; i < position; i++)
			epochs[i] = now;
	} else {
		uint8_t *levels = side;

		for (uint32_t i = 0; i < stack->side_bytes; i++)
			levels[i] = levels[i] < position ? (uint8_t)position : levels[i];
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

static inline uint64_t scan_set_index(const struct sim_stack *stack, uint64_t line)
{
	uint64_t block = line >> stack->line_shift;

	return stack->mask || stack->sets == 1 ? block & stack->mask : block % stack->sets;
}

static inline uint32_t scan_max(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Returns how deep the write-back reached; 0: every associativity had this line dirty already. */
static inline uint32_t scan_writeback(struct sim_stack *stack, struct sim_set *set, char *sides,
				      uint32_t slot, const struct sim_record *record)
{
	uint32_t position, block_depth, line_depth;

	if (slot == KONA_SIM_WAYS) {
		stack->hist.writebacks[KONA_SIM_WAYS]++;
		stack->hist.lines[KONA_SIM_WAYS]++;
		return KONA_SIM_WAYS;
	}
	position = set->order[slot] ^ slot;
	block_depth = scan_max(position, set->dirty[slot]);
	line_depth =
		scan_max(position, scan_line_written(stack, set, sides + slot * stack->side_bytes,
						     slot, record));
	set->dirty[slot] = 0;
	stack->hist.writebacks[block_depth]++;
	stack->hist.lines[line_depth]++;
	return scan_max(block_depth, line_depth);
}

/* Returns the stack position the reference found its block in; KONA_SIM_WAYS: not there. */
static inline uint32_t scan_reference(struct sim_stack *stack, struct sim_set *set, char *sides,
				      uint32_t slot, uint32_t tag, const struct sim_record *record)
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
	stack->hist.references[record->kind][position]++;
	return position;
}

static inline struct sim_set *scan_set(struct kona_sim *sim, struct sim_stack *stack,
				       uint64_t index, char **ret_sides)
{
	char *chunk = stack->chunks[index / SIM_CHUNK_SETS];
	uint64_t in_chunk = index % SIM_CHUNK_SETS;

	if (SIM_UNLIKELY(!chunk)) {
		chunk = sim_stack_grow(sim, stack, index / SIM_CHUNK_SETS);
		if (!chunk)
			return NULL;
	}
	*ret_sides = chunk + SIM_CHUNK_SETS * sizeof(struct sim_set) +
		     in_chunk * KONA_SIM_WAYS * stack->side_bytes;
	return (struct sim_set *)chunk + in_chunk;
}

static inline uint32_t scan_list(struct kona_sim *sim, struct sim_stack *stack,
				 const uint16_t *list, uint32_t count, uint16_t *survivors)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct sim_record *record = &sim->batch[list[i]];
		uint32_t tag = (record->id >> stack->line_shift) + 1;
		struct sim_set *set;
		uint32_t slot, depth;
		char *sides;

		if (i + SCAN_AHEAD < count) {
			uint64_t next =
				scan_set_index(stack, sim->batch[list[i + SCAN_AHEAD]].line);
			char *chunk = stack->chunks[next / SIM_CHUNK_SETS];

			if (chunk) {
				chunk += next % SIM_CHUNK_SETS * sizeof(struct sim_set);
				__builtin_prefetch(chunk);
				__builtin_prefetch(chunk + 64);
			}
		}
		set = scan_set(sim, stack, scan_set_index(stack, record->line), &sides);
		if (SIM_UNLIKELY(!set))
			return 0;
		slot = scan_find(set->tag, tag);
		if (record->kind == SIM_RECORD_WRITEBACK)
			depth = scan_writeback(stack, set, sides, slot, record);
		else
			depth = scan_reference(stack, set, sides, slot, tag, record);
		survivors[kept] = list[i];
		kept += depth != 0;
	}
	return kept;
}

#endif
