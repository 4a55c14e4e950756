/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L1, L2 and L3: the filter above the DRAM caches.
 *
 * Walk: an access comes from the front end (or was taken away by the inline filter); the lines that
 * miss every level are pushed to stacks.c, and so are the dirty lines that leave the last level.
 *
 * Replacement is LRU and stores allocate. An access that straddles two lines looks up both, at
 * every level it reaches, and counts as one miss: the rules of Cachegrind, so that its counts and
 * ours are the same. A dirty victim marks its line dirty one level down, without making it recent
 * there; if that level does not have it, it goes further down.
 *
 * State: the caches of each core, the shared L3, the filter. Nothing can fail after creation.
 */
#include "internal.h"

int sim_cache_init(struct kona_sim *sim, struct sim_cache *cache,
		   const struct kona_sim_level_config *config)
{
	uint64_t lines = config->bytes >> sim->line_shift;

	if (!config->bytes)
		return 0;
	if (!config->ways || !lines || lines % config->ways ||
	    lines << sim->line_shift != config->bytes)
		return -SIM_ERR_INVAL;
	cache->ways = config->ways;
	cache->sets = lines / config->ways;
	cache->mask = sim_is_power_of_two(cache->sets) ? cache->sets - 1 : 0;
	cache->entries = sim_alloc(sim, lines * sizeof(*cache->entries));
	return cache->entries ? 0 : -SIM_ERR_NOMEM;
}

int sim_core_create(struct kona_sim *sim, uint32_t index)
{
	struct sim_core *core = sim_alloc(sim, sizeof(*core));
	int err;

	if (!core)
		return -SIM_ERR_NOMEM;
	err = sim_cache_init(sim, &core->l1d, &sim->config.l1d);
	if (!err)
		err = sim_cache_init(sim, &core->l1i, &sim->config.l1i);
	if (!err)
		err = sim_cache_init(sim, &core->l2, &sim->config.l2);
	if (!err)
		sim->cores[index] = core;
	return err;
}

static inline uint64_t *set_of(const struct sim_cache *cache, uint64_t line)
{
	uint64_t set = cache->mask || cache->sets == 1 ? line & cache->mask : line % cache->sets;

	return cache->entries + set * cache->ways;
}

/*
 * Looks line up, makes it most recent and loads it if absent; `dirty` is 0 or 1. Returns 1 on a
 * miss, with the victim's entry in *ret_victim (0: the place was empty).
 */
static inline int touch(struct sim_cache *cache, uint64_t line, uint64_t dirty,
			uint64_t *ret_victim)
{
	uint64_t *set;
	uint64_t entry;
	uint64_t carried;

	*ret_victim = 0;
	if (!cache->entries)
		return 1;
	set = set_of(cache, line);
	carried = set[0];
	if (carried >> 1 == line) {
		set[0] |= dirty;
		return 0;
	}
	for (uint32_t way = 1; way < cache->ways; way++) {
		entry = set[way];
		set[way] = carried;
		carried = entry;
		if (entry >> 1 == line) {
			set[0] = entry | dirty;
			return 0;
		}
	}
	set[0] = line << 1 | dirty;
	*ret_victim = carried;
	return 1;
}

static inline int mark_dirty(struct sim_cache *cache, uint64_t line)
{
	uint64_t *set;

	if (!cache->entries)
		return 0;
	set = set_of(cache, line);
	for (uint32_t way = 0; way < cache->ways; way++) {
		if (set[way] >> 1 == line) {
			set[way] |= 1;
			return 1;
		}
	}
	return 0;
}

static void write_back_below_l2(struct kona_sim *sim, uint64_t line)
{
	if (mark_dirty(&sim->l3, line))
		return;
	sim->counts.l3_writebacks++;
	sim_push(sim, line, SIM_RECORD_WRITEBACK);
}

static void write_back_below_l1(struct kona_sim *sim, uint64_t line)
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
static void miss_l1(struct kona_sim *sim, uint64_t first, uint64_t last, enum kona_sim_kind kind)
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

void kona_sim_access(struct kona_sim *sim, uint64_t address, uint32_t bytes,
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

/* An L1 set must lie within one class of line numbers modulo the mask + 1. */
static uint64_t filter_mask(const struct sim_cache *cache)
{
	uint64_t lines = cache->sets & -cache->sets;

	if (!lines)
		return 0;
	return (lines < KONA_SIM_FILTER_LINES ? lines : KONA_SIM_FILTER_LINES) - 1;
}

void kona_sim_filter_reset(struct kona_sim *sim)
{
	sim->filter.data_mask = filter_mask(&sim->cores[sim->core]->l1d);
	sim->filter.fetch_mask = filter_mask(&sim->cores[sim->core]->l1i);
	for (uint32_t i = 0; i <= sim->filter.data_mask; i++)
		sim->filter.read[i] = sim->filter.write[i] = ~UINT64_C(0);
	for (uint32_t i = 0; i <= sim->filter.fetch_mask; i++)
		sim->filter.fetch[i] = ~UINT64_C(0);
}

int kona_sim_switch_core(struct kona_sim *sim, uint32_t core)
{
	if (core >= KONA_SIM_CORES_MAX)
		core = KONA_SIM_CORES_MAX - 1;
	if (core == sim->core)
		return 0;
	if (!sim->cores[core]) {
		int err = sim_core_create(sim, core);

		if (err)
			return err;
	}
	sim->core = core;
	kona_sim_filter_reset(sim);
	return 0;
}

static void flush(struct kona_sim *sim, struct sim_cache *cache,
		  void (*down)(struct kona_sim *sim, uint64_t line))
{
	if (!cache->entries)
		return;
	for (uint64_t i = 0; i < cache->sets * cache->ways; i++) {
		if (cache->entries[i] & 1) {
			cache->entries[i] &= ~UINT64_C(1);
			down(sim, cache->entries[i] >> 1);
		}
	}
}

void kona_sim_finish(struct kona_sim *sim)
{
	uint32_t current = sim->core;

	for (uint32_t core = 0; core < KONA_SIM_CORES_MAX; core++) {
		if (!sim->cores[core])
			continue;
		sim->core = core;
		flush(sim, &sim->cores[core]->l1d, write_back_below_l1);
		flush(sim, &sim->cores[core]->l2, write_back_below_l2);
	}
	sim->core = current;
	if (sim->l3.entries) {
		for (uint64_t i = 0; i < sim->l3.sets * sim->l3.ways; i++) {
			if (sim->l3.entries[i] & 1) {
				sim->l3.entries[i] &= ~UINT64_C(1);
				sim->counts.l3_writebacks++;
				sim_push(sim, sim->l3.entries[i] >> 1, SIM_RECORD_WRITEBACK);
			}
		}
	}
	kona_sim_filter_reset(sim);
	kona_sim_drain(sim);
}
