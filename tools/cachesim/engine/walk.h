/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L1, L2 and L3: the filter above the DRAM caches. Compiled once for each instruction set, in the
 * scan-*.c, like the scan of the stacks; every version gives the same numbers.
 *
 * Walk: an access comes from the front end (or was taken away by the inline filter); the lines that
 * miss every level are pushed to stacks.c, and so are the dirty lines that leave the last level.
 *
 * Replacement is LRU and stores allocate. An access that straddles two lines looks up both, at
 * every level it reaches, and counts as one miss: the rules of Cachegrind, so that its counts and
 * ours are the same. A dirty victim marks its line dirty one level down, without making it recent
 * there; if that level does not have it, it goes further down.
 *
 * State: the caches of each core, the shared L3, the filter. Nothing can fail.
 */
#ifndef KONA_CACHESIM_WALK_H
#define KONA_CACHESIM_WALK_H

#include "cache-set.h"

static inline void write_back_below_l2(struct kona_sim *sim, uint64_t line)
{
	if (mark_dirty(&sim->l3, line))
		return;
	sim->counts.l3_writebacks++;
	sim_push(sim, line, SIM_RECORD_WRITEBACK);
}

static inline void write_back_below_l1(struct kona_sim *sim, uint64_t line)
{
	if (!mark_dirty(&sim->cores[sim->core]->l2, line))
		write_back_below_l2(sim, line);
}

static inline int touch_l3(struct kona_sim *sim, uint64_t line, enum kona_sim_side side)
{
	uint64_t victim;

	if (!touch(&sim->l3, line, 0, &victim))
		return 0;
	sim->counts.dram[side]++;
	sim_push(sim, line, (enum sim_record_kind)side);
	if (victim & 1) {
		sim->counts.l3_writebacks++;
		sim_push(sim, victim >> 1, SIM_RECORD_WRITEBACK);
	}
	return 1;
}

static inline int touch_l2(struct kona_sim *sim, uint64_t line)
{
	uint64_t victim;
	int missed = touch(&sim->cores[sim->core]->l2, line, 0, &victim);

	if (victim & 1)
		write_back_below_l2(sim, victim >> 1);
	return missed;
}

static inline int touch_l1(struct kona_sim *sim, uint64_t line, enum kona_sim_kind kind)
{
	struct sim_core *core = sim->cores[sim->core];
	int writes = kind == KONA_SIM_WRITE || kind == KONA_SIM_MODIFY;
	uint64_t victim;
	int missed;

	if (kind == KONA_SIM_FETCH)
		return touch(&core->l1i, line, 0, &victim);
	missed = touch(&core->l1d, line, (uint64_t)writes, &victim);
	if (victim & 1)
		write_back_below_l1(sim, victim >> 1);
	return missed;
}

static inline void note_in_filter(struct kona_sim *sim, uint64_t line, enum kona_sim_kind kind)
{
	struct kona_sim_filter *filter = &sim->filter;
	struct sim_core *core = sim->cores[sim->core];
	uint64_t base = line << sim->line_shift;
	uint64_t index;

	if (kind == KONA_SIM_FETCH) {
		if (core->l1i.entries)
			filter->fetch[line & filter->fetch_mask] = base;
		return;
	}
	if (!core->l1d.entries)
		return;
	index = line & filter->data_mask;
	filter->read[index] = base;
	if (kind != KONA_SIM_READ)
		filter->write[index] = base;
	else if (filter->write[index] != base)
		filter->write[index] = ~UINT64_C(0);
}

static inline enum kona_sim_side side_of(enum kona_sim_kind kind)
{
	if (kind == KONA_SIM_FETCH)
		return KONA_SIM_SIDE_FETCH;
	return kind == KONA_SIM_WRITE ? KONA_SIM_SIDE_WRITE : KONA_SIM_SIDE_READ;
}

/* Below L1: both lines of a straddling access go on, whichever of them missed. */
static inline void miss_l1(struct kona_sim *sim, uint64_t first, uint64_t last,
			   enum kona_sim_kind kind)
{
	enum kona_sim_side side = side_of(kind);
	int missed;

	sim->counts.l1[side]++;
	missed = touch_l2(sim, first);
	if (last != first)
		missed |= touch_l2(sim, last);
	if (!missed)
		return;
	sim->counts.l2[side]++;
	missed = touch_l3(sim, first, side);
	if (last != first)
		missed |= touch_l3(sim, last, side);
	sim->counts.l3[side] += (uint64_t)missed;
}

static inline void walk_access(struct kona_sim *sim, uint64_t address, uint32_t bytes,
			       enum kona_sim_kind kind)
{
	uint64_t first = address >> sim->line_shift;
	uint64_t last = (address + bytes - 1) >> sim->line_shift;
	struct sim_core *core = sim->cores[sim->core];
	int missed = touch_l1(sim, first, kind);

	note_in_filter(sim, first, kind);
	if (SIM_UNLIKELY(last != first)) {
		missed |= touch_l1(sim, last, kind);
		note_in_filter(sim, last, kind);
	}
	if (!missed)
		return;
	miss_l1(sim, first, last, kind);
	/* Without an L1 that would keep it, a stored line is dirty further down at once. */
	if (!core->l1d.entries && (kind == KONA_SIM_WRITE || kind == KONA_SIM_MODIFY)) {
		write_back_below_l1(sim, first);
		if (last != first)
			write_back_below_l1(sim, last);
	}
}

#endif
