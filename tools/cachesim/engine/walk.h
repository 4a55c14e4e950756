/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L1, L2 and L3: the filter above the DRAM caches. Compiled once for each instruction set, in the
 * scan-*.c, like the scan of the stacks; every version gives the same numbers.
 *
 * Walk: a list of accesses goes through L1; what that hands down makes a list, which goes through
 * L2; and so on. A level is told nothing by those below it, so this is the same as one access after
 * the other through all of them; but a list keeps the processor busy with one small loop and one
 * table at a time. The lines that miss every level are pushed to stacks.c, and so are the dirty
 * lines that leave the last one.
 *
 * Replacement is LRU and stores allocate. An access that straddles two lines looks up both, at
 * every level it reaches, and counts as one miss: the rules of Cachegrind, so that its counts and
 * ours are the same. A dirty victim marks its line dirty one level down, without making it recent
 * there; if that level does not have it, it goes further down.
 *
 * State: the caches of each core, the shared L3, the lists. Nothing can fail.
 */
#ifndef KONA_CACHESIM_WALK_H
#define KONA_CACHESIM_WALK_H

#include "cache-set.h"

static inline enum sim_record_kind kind_below_l1(enum kona_sim_kind kind)
{
	if (kind == KONA_SIM_FETCH)
		return SIM_RECORD_FETCH;
	return kind == KONA_SIM_WRITE ? SIM_RECORD_WRITE : SIM_RECORD_READ;
}

/* Adds to a list without a branch: what is there counts only if `count` grows. */
static inline uint32_t add_event(uint64_t *events, uint32_t count, uint64_t event, uint32_t wanted)
{
	events[count] = event;
	return count + wanted;
}

static inline uint32_t add_victim(uint64_t *events, uint32_t count, uint64_t victim)
{
	return add_event(events, count, sim_event(victim >> 1, 0, SIM_RECORD_WRITEBACK),
			 victim & 1);
}

/* Both lines of an access that straddles go on, whichever of them missed. */
static inline uint32_t walk_l1_pair(struct sim_cache *cache, uint64_t line, uint32_t writes,
				    enum sim_record_kind below, uint64_t *below_l1, uint32_t *count)
{
	uint64_t victim;
	uint32_t missed = change_set(cache, line, writes, SET_REFERENCE, &victim);

	*count = add_victim(below_l1, *count, victim);
	missed |= change_set(cache, line + 1, writes, SET_REFERENCE, &victim);
	*count = add_victim(below_l1, *count, victim);
	*count = add_event(below_l1, *count, sim_event(line, 1, below), missed);
	*count = add_event(below_l1, *count, sim_event(line + 1, 0, below), missed);
	return missed;
}

/* Returns how many events it has put into below_l1. */
static inline uint32_t walk_l1(struct kona_sim *sim, struct sim_core *core, const uint64_t *events,
			       uint32_t count, uint64_t *below_l1)
{
	int writes_through = !core->l1d.entries;
	uint64_t misses[SIM_RECORD_KINDS] = {0};
	uint32_t below = 0;

	for (uint32_t i = 0; i < count; i++) {
		enum kona_sim_kind kind = (enum kona_sim_kind)sim_event_kind(events[i]);
		struct sim_cache *cache = kind == KONA_SIM_FETCH ? &core->l1i : &core->l1d;
		enum sim_record_kind as = kind_below_l1(kind);
		uint32_t writes = kind == KONA_SIM_WRITE || kind == KONA_SIM_MODIFY, missed;
		uint64_t line = sim_event_line(events[i]), victim;

		if (SIM_UNLIKELY(sim_event_is_pair(events[i]))) {
			missed = walk_l1_pair(cache, line, writes, as, below_l1, &below);
		} else {
			missed = change_set(cache, line, writes, SET_REFERENCE, &victim);
			below = add_victim(below_l1, below, victim);
			below = add_event(below_l1, below, sim_event(line, 0, as), missed);
		}
		misses[as] += missed;
		/* Without an L1 that would keep it, a stored line is dirty further down at once. */
		if (SIM_UNLIKELY(writes_through) && writes) {
			below = add_victim(below_l1, below, line << 1 | 1);
			if (sim_event_is_pair(events[i]))
				below = add_victim(below_l1, below, (line + 1) << 1 | 1);
		}
	}
	for (uint32_t side = 0; side < KONA_SIM_SIDES; side++)
		sim->counts.l1[side] += misses[side];
	return below;
}

/* Returns how many events it has put into sim->below_l2. */
static inline uint32_t walk_l2(struct kona_sim *sim, struct sim_cache *cache,
			       const uint64_t *events, uint32_t count)
{
	uint64_t *below_l2 = sim->below_l2;
	uint64_t misses[SIM_RECORD_KINDS] = {0};
	uint32_t below = 0;

	for (uint32_t i = 0; i < count; i++) {
		enum sim_record_kind kind = sim_event_kind(events[i]);
		int comes_down = kind == SIM_RECORD_WRITEBACK;
		uint64_t victim;
		uint32_t missed = change_set(cache, sim_event_line(events[i]), (uint64_t)comes_down,
					     comes_down ? SET_WRITEBACK : SET_REFERENCE, &victim);

		below = add_victim(below_l2, below, victim);
		if (SIM_UNLIKELY(sim_event_is_pair(events[i]))) {
			i++;
			missed |= change_set(cache, sim_event_line(events[i]), 0, SET_REFERENCE,
					     &victim);
			below = add_victim(below_l2, below, victim);
			below = add_event(below_l2, below, events[i - 1], missed);
		}
		below = add_event(below_l2, below, events[i], missed);
		misses[kind] += missed;
	}
	for (uint32_t side = 0; side < KONA_SIM_SIDES; side++)
		sim->counts.l2[side] += misses[side];
	return below;
}

static inline uint32_t refer_to_l3(struct kona_sim *sim, uint64_t line, enum sim_record_kind kind)
{
	uint64_t victim;

	if (!change_set(&sim->l3, line, 0, SET_REFERENCE, &victim))
		return 0;
	sim->counts.dram[kind]++;
	sim_push(sim, line, kind);
	if (victim & 1) {
		sim->counts.l3_writebacks++;
		sim_push(sim, victim >> 1, SIM_RECORD_WRITEBACK);
	}
	return 1;
}

static inline void walk_l3(struct kona_sim *sim, uint32_t count)
{
	const uint64_t *events = sim->below_l2;
	uint64_t none;

	for (uint32_t i = 0; i < count; i++) {
		enum sim_record_kind kind = sim_event_kind(events[i]);
		uint64_t line = sim_event_line(events[i]);
		uint32_t missed;

		if (kind == SIM_RECORD_WRITEBACK) {
			if (change_set(&sim->l3, line, 1, SET_WRITEBACK, &none)) {
				sim->counts.l3_writebacks++;
				sim_push(sim, line, SIM_RECORD_WRITEBACK);
			}
			continue;
		}
		missed = refer_to_l3(sim, line, kind);
		if (sim_event_is_pair(events[i])) {
			i++;
			missed |= refer_to_l3(sim, line + 1, kind);
		}
		sim->counts.l3[kind] += missed;
	}
}

static inline void walk_below_l1(struct kona_sim *sim, struct sim_core *core,
				 const uint64_t *events, uint32_t count)
{
	walk_l3(sim, walk_l2(sim, &core->l2, events, count));
}

#endif
