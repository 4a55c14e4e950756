/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inner loop of the DRAM caches: one stack table, one list of changes. Compiled three times
 * (scan-portable.c, scan-avx2.c, scan-avx512.c), each with its own instruction set; every one of
 * them gives the same numbers.
 *
 * What changes nothing in this table changes nothing in a table whose set count is a multiple of
 * this one's (its sets are subsets of these): a reference to a block in position 0, a write-back of
 * a line already dirty there. Such changes are left out of the list for the next table.
 *
 * And while a set has seen only one block, so has every set below it that the block belongs to:
 * what happens to it is the same in all of them. It is counted once, in `tail`, and not handed
 * down; when a second block comes, the first is copied into the next table, as it stands. So large
 * tables cost time and memory only where blocks do share a set of the table before; and sets of few
 * ways are enough for most of those.
 */
#ifndef KONA_CACHESIM_SCAN_H
#define KONA_CACHESIM_SCAN_H

#include "scan-place.h"
#include "scan-set.h"

enum {
	SCAN_AHEAD = 12,
	SCAN_PLACES = 16,
	SCAN_NEAR_SETS = 512, /* this many, one after the other, are in the host's cache anyway */
};

/* What a block has beside its tag. */
enum scan_sides { SCAN_NO_SIDES, SCAN_LEVELS, SCAN_EPOCHS };

/* Copies the only block of a set into its set of the next table. */
static inline void scan_hand_down(struct kona_sim *sim, struct sim_stack *stack,
				  const struct sim_set *set)
{
	const struct scan_table next = scan_table(sim, stack->next);
	uint32_t shift = KONA_SIM_REGION_SHIFT - sim->line_shift, bytes = stack->side_bytes;
	uint32_t id = (sim_set_tags(set)[0] - 1) << stack->line_shift;
	uint64_t line = sim->regions[id >> shift].number << shift | (id & ((1u << shift) - 1));
	uint64_t place = scan_place(&next, line >> stack->line_shift);
	uintptr_t chunk = scan_chunk(&next, place);
	struct sim_set below = scan_set_in(chunk, place);
	const char *side;
	char *side_below;

	if (SIM_UNLIKELY(!chunk))
		return;
	sim_set_tags(&below)[0] = sim_set_tags(set)[0];
	sim_set_dirty(&below)[0] = sim_set_dirty(set)[0];
	if (!bytes)
		return;
	side = sim_set_sides(set, bytes) + scan_slot(sim_set_slots(set), 0) * bytes;
	side_below = sim_set_sides(&below, bytes) + scan_slot(sim_set_slots(&below), 0) * bytes;
	for (uint32_t i = 0; i < bytes; i++)
		side_below[i] = side[i];
}

/* Returns how deep the change reaches. */
SIM_INLINE uint32_t scan_set(struct sim_stack *stack, struct sim_histogram *hist,
			     const struct sim_set *set, const struct sim_change *change,
			     enum scan_sides sides)
{
	uint32_t refers = change->kind != SIM_RECORD_WRITEBACK, depth, line_depth, position;

	position = scan_change(set, change->tag, refers, &depth);
	hist->changes[change->kind][depth]++;
	if (sides == SCAN_NO_SIDES || (refers && !position))
		return depth;
	if (refers) {
		scan_age_lines(stack, set, position, change->now);
		return depth;
	}
	line_depth = scan_line_written(stack, set, position, change);
	hist->lines[line_depth]++;
	return scan_max(depth, line_depth);
}

/* A set that has seen one block, or none. Returns 0 if this is its second. */
SIM_INLINE int scan_lone(const struct scan_table *table, const struct sim_set *set,
			 const struct sim_change *change, enum scan_sides sides)
{
	uint32_t first = sim_set_tags(set)[0];

	if (first && first != change->tag && change->kind != SIM_RECORD_WRITEBACK) {
		if (table->stack->next)
			scan_hand_down(table->sim, table->stack, set);
		return 0;
	}
	scan_set(table->stack, &table->stack->tail, set, change, sides);
	return 1;
}

SIM_INLINE uint32_t scan_wide(const struct scan_table *table, uintptr_t chunk, uint64_t place,
			      const struct sim_change *change, enum scan_sides sides)
{
	const struct sim_set set = {sim_chunk_start(chunk), KONA_SIM_WAYS, place % SIM_CHUNK_SETS};

	if (SIM_UNLIKELY(!sim_set_tags(&set)[1]) && scan_lone(table, &set, change, sides))
		return 0;
	return scan_set(table->stack, &table->stack->hist, &set, change, sides) != 0;
}

SIM_INLINE uint32_t scan_few(const struct scan_table *table, uintptr_t chunk, uint64_t place,
			     const struct sim_change *change, enum scan_sides sides)
{
	const struct sim_set set = {sim_chunk_start(chunk), SIM_FEW_WAYS, place % SIM_CHUNK_SETS};
	const uint32_t *tags = sim_set_tags(&set);

	if (SIM_UNLIKELY(!tags[1]) && scan_lone(table, &set, change, sides))
		return 0;
	if (SIM_UNLIKELY(tags[SIM_FEW_WAYS - 1]) && change->kind != SIM_RECORD_WRITEBACK &&
	    !scan_has_few(tags, change->tag)) {
		chunk = sim_stack_widen(table->stack, place / SIM_CHUNK_SETS);
		return chunk ? scan_wide(table, chunk, place, change, sides) : 0;
	}
	return scan_set(table->stack, &table->stack->hist, &set, change, sides) != 0;
}

/* Returns whether the next table must see the change, too. */
SIM_INLINE uint32_t scan_one(const struct scan_table *table, uint64_t place,
			     const struct sim_change *change, enum scan_sides sides)
{
	uintptr_t chunk = scan_chunk(table, place);

	if (SIM_UNLIKELY(!chunk))
		return 0;
	return sim_chunk_has_few(chunk) ? scan_few(table, chunk, place, change, sides)
					: scan_wide(table, chunk, place, change, sides);
}

/* Nothing that is read of the list may wait to know where the change before it went: so each is
 * moved last. */
SIM_INLINE uint32_t scan_near(const struct scan_table *table, struct sim_change *changes,
			      uint32_t count, enum scan_sides sides)
{
	uint32_t kept = 0, survives;

	for (uint32_t i = 0; i < count; i++) {
		survives = scan_one(table, scan_place(table, changes[i].block), &changes[i], sides);
		changes[kept] = changes[i];
		kept += survives;
	}
	return kept;
}

/* The same, but what comes soon is fetched while what is here is dealt with. */
SIM_INLINE uint32_t scan_far(const struct scan_table *table, struct sim_change *changes,
			     uint32_t count, enum scan_sides sides)
{
	uint64_t places[SCAN_PLACES];
	uint32_t kept = 0, survives;

	for (uint32_t i = 0; i < SCAN_AHEAD && i < count; i++)
		places[i] = scan_place(table, changes[i].block);
	for (uint32_t i = 0; i < count; i++) {
		if (i + SCAN_AHEAD < count) {
			uint64_t place = scan_place(table, changes[i + SCAN_AHEAD].block);

			scan_prefetch(table, place);
			places[(i + SCAN_AHEAD) % SCAN_PLACES] = place;
		}
		survives = scan_one(table, places[i % SCAN_PLACES], &changes[i], sides);
		changes[kept] = changes[i];
		kept += survives;
	}
	return kept;
}

SIM_INLINE uint32_t scan_all(struct kona_sim *sim, struct sim_stack *stack,
			     struct sim_change *changes, uint32_t count, enum scan_sides sides)
{
	const struct scan_table table = scan_table(sim, stack);

	if ((stack->bucket_sets ? stack->bucket_sets : stack->sets) <= SCAN_NEAR_SETS)
		return scan_near(&table, changes, count, sides);
	return scan_far(&table, changes, count, sides);
}

static inline uint32_t scan_list(struct kona_sim *sim, struct sim_stack *stack,
				 struct sim_change *changes, uint32_t count)
{
	if (stack->has_epochs)
		return scan_all(sim, stack, changes, count, SCAN_EPOCHS);
	if (stack->side_bytes)
		return scan_all(sim, stack, changes, count, SCAN_LEVELS);
	return scan_all(sim, stack, changes, count, SCAN_NO_SIDES);
}

#endif
