/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inner loop of the DRAM caches: one stack table, one list of records. Compiled three times
 * (scan-portable.c, scan-avx2.c, scan-avx512.c), each with its own instruction set; every one of
 * them gives the same numbers.
 *
 * A record that changes nothing in this table changes nothing in a table whose set count is a
 * multiple of this one's (its sets are subsets of these): a reference to a block in position 0, a
 * write-back of a line already dirty there. Such records are left out of the survivors.
 *
 * And while a set has seen only one block, so has every set below it that the block belongs to:
 * what happens to it is the same in all of them. It is counted once, in `tail`, and not handed
 * down; when a second block comes, the first is copied into the next table, as it stands. So large
 * tables cost time and memory only where blocks do share a set of the table before.
 */
#ifndef KONA_CACHESIM_SCAN_H
#define KONA_CACHESIM_SCAN_H

#include "internal.h"
#include "scan-set.h"

enum { SCAN_AHEAD = 12 };

/* Sets fill from the last slot down: the second block of a set goes here. */
enum { SCAN_FIRST_SLOT = KONA_SIM_WAYS - 1, SCAN_SECOND_SLOT = KONA_SIM_WAYS - 2 };

/* Where the line's set lies in the table. */
static inline uint64_t scan_set_index(const struct sim_stack *stack, uint64_t line)
{
	uint64_t block = line >> stack->line_shift;

	uint64_t set = stack->mask || stack->sets == 1 ? block & stack->mask : block % stack->sets;

	return stack->bucket_sets ? set % SIM_BUCKETS * stack->bucket_sets + set / SIM_BUCKETS
				  : set;
}

static inline struct sim_set *scan_set(struct kona_sim *sim, struct sim_stack *stack,
				       uint64_t index, char **ret_sides)
{
	char *chunk = stack->chunks[index / SIM_CHUNK_SETS];
	uint64_t in_chunk = index % SIM_CHUNK_SETS;

	if (SIM_UNLIKELY(!chunk)) {
		chunk = sim_stack_grow(stack, index / SIM_CHUNK_SETS);
		if (!chunk)
			return NULL;
	}
	*ret_sides = chunk + SIM_CHUNK_SETS * sizeof(struct sim_set) +
		     in_chunk * KONA_SIM_WAYS * stack->side_bytes;
	return (struct sim_set *)chunk + in_chunk;
}

/* Copies the only block of a set into its set of the next table. */
static inline void scan_hand_down(struct kona_sim *sim, const struct sim_stack *stack,
				  const struct sim_set *set, const char *sides)
{
	uint32_t shift = KONA_SIM_REGION_SHIFT - sim->line_shift;
	uint32_t id = (set->tag[SCAN_FIRST_SLOT] - 1) << stack->line_shift;
	uint64_t line = sim->regions[id >> shift].number << shift | (id & ((1u << shift) - 1));
	size_t side = (size_t)SCAN_FIRST_SLOT * stack->side_bytes;
	struct sim_set *below;
	char *below_sides;

	below = scan_set(sim, stack->next, scan_set_index(stack->next, line), &below_sides);
	if (SIM_UNLIKELY(!below))
		return;
	*below = *set;
	for (uint32_t i = 0; i < stack->side_bytes; i++)
		below_sides[side + i] = sides[side + i];
}

static inline void scan_prefetch(const struct sim_stack *stack, const struct sim_record *record)
{
	uint64_t index = scan_set_index(stack, record->line);
	const char *chunk = stack->chunks[index / SIM_CHUNK_SETS];

	if (!chunk)
		return;
	chunk += index % SIM_CHUNK_SETS * sizeof(struct sim_set);
	__builtin_prefetch(chunk);
	__builtin_prefetch(chunk + 64);
}

static inline uint32_t scan_record(struct kona_sim *sim, struct sim_stack *stack,
				   const struct sim_record *record)
{
	uint32_t tag = (record->id >> stack->line_shift) + 1;
	struct sim_histogram *hist = &stack->hist;
	struct sim_set *set;
	uint32_t slot, depth;
	int lone;
	char *sides;

	set = scan_set(sim, stack, scan_set_index(stack, record->line), &sides);
	if (SIM_UNLIKELY(!set))
		return 0;
	slot = scan_find(set->tag, tag);
	lone = !set->tag[SCAN_SECOND_SLOT];
	if (lone && slot == KONA_SIM_WAYS && record->kind != SIM_RECORD_WRITEBACK &&
	    set->tag[SCAN_FIRST_SLOT]) {
		lone = 0;
		if (stack->next)
			scan_hand_down(sim, stack, set, sides);
	}
	if (lone)
		hist = &stack->tail;
	if (record->kind == SIM_RECORD_WRITEBACK)
		depth = scan_writeback(stack, hist, set, sides, slot, record);
	else
		depth = scan_reference(stack, hist, set, sides, slot, tag, record);
	return depth && !lone;
}

static inline uint32_t scan_list(struct kona_sim *sim, struct sim_stack *stack,
				 const struct sim_record *records, const uint32_t *list,
				 uint32_t count, uint32_t *survivors)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (i + SCAN_AHEAD < count)
			scan_prefetch(stack, &records[list[i + SCAN_AHEAD]]);
		survivors[kept] = list[i];
		kept += scan_record(sim, stack, &records[list[i]]);
	}
	return kept;
}

#endif
