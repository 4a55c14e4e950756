/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of L1, L2 and L3: made, switched between cores, emptied at the end. Accesses are
 * collected here; what they do to the levels is in walk.h.
 *
 * State: the caches of each core, the shared L3, the filter, the accesses that are still to go
 * through the levels. Nothing can fail after creation.
 */
#include "cache-set.h"
#include "packed.h"

int sim_cache_init(struct kona_sim *sim, struct sim_arena *arena, struct sim_cache *cache,
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
	cache->entries = sim_alloc(arena, lines * sizeof(*cache->entries));
	return cache->entries ? 0 : -SIM_ERR_NOMEM;
}

int sim_core_create(struct kona_sim *sim, uint32_t index)
{
	struct sim_arena *arena = index ? &sim->core_arena : &sim->arena;
	struct sim_core *core = sim_alloc(arena, sizeof(*core));
	int err;

	if (!core)
		return -SIM_ERR_NOMEM;
	err = sim_cache_init(sim, arena, &core->l1d, &sim->config.l1d);
	if (!err)
		err = sim_cache_init(sim, arena, &core->l1i, &sim->config.l1i);
	if (!err)
		err = sim_cache_init(sim, arena, &core->l2, &sim->config.l2);
	if (!err)
		sim->cores[index] = core;
	return err;
}

void kona_sim_walk(struct kona_sim *sim)
{
	struct sim_core *core = sim->cores[sim->core];

	sim->below(sim, core, sim->below_l1,
		   sim->l1(sim, core, sim->events, sim->event_count, sim->below_l1));
	sim->event_count = 0;
}

static void add_event(struct kona_sim *sim, uint64_t first, uint64_t last, enum kona_sim_kind kind)
{
	sim->events[sim->event_count] = sim_event(first, last != first, kind);
	if (SIM_UNLIKELY(++sim->event_count == SIM_EVENTS))
		kona_sim_walk(sim);
}

static void note_in_filter(struct kona_sim *sim, uint64_t line, enum kona_sim_kind kind)
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

void kona_sim_access(struct kona_sim *sim, uint64_t address, uint32_t bytes,
		     enum kona_sim_kind kind)
{
	uint64_t first = address >> sim->line_shift;
	uint64_t last = (address + bytes - 1) >> sim->line_shift;

	note_in_filter(sim, first, kind);
	if (SIM_UNLIKELY(last != first))
		note_in_filter(sim, last, kind);
	add_event(sim, first, last, kind);
}

/* Without memory for its caches a core uses those of the first. */
static struct sim_core *core_of(struct kona_sim *sim, uint32_t index)
{
	if (index >= KONA_SIM_CORES_MAX)
		index = KONA_SIM_CORES_MAX - 1;
	return sim->cores[index] ? sim->cores[index] : sim->cores[0];
}

uint32_t kona_sim_walk_l1(struct kona_sim *sim, uint32_t index, const uint64_t *accesses,
			  uint32_t count, uint64_t *below_l1)
{
	if (index < KONA_SIM_CORES_MAX && !sim->cores[index])
		(void)sim_core_create(sim, index);
	for (uint32_t i = 0; i < count; i++) {
		uint64_t address = kona_sim_packed_address(accesses[i]);
		uint64_t end = address + kona_sim_packed_bytes(accesses[i]) - 1;
		uint64_t first = address >> sim->line_shift, last = end >> sim->line_shift;

		sim->events[i] = sim_event(first, last != first, kona_sim_packed_kind(accesses[i]));
	}
	return sim->l1(sim, core_of(sim, index), sim->events, count, below_l1);
}

void kona_sim_walk_below_l1(struct kona_sim *sim, uint32_t index, const uint64_t *below_l1,
			    uint32_t count)
{
	sim->below(sim, core_of(sim, index), below_l1, count);
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
	kona_sim_walk(sim);
	if (!sim->cores[core]) {
		int err = sim_core_create(sim, core);

		if (err)
			return err;
	}
	sim->core = core;
	kona_sim_filter_reset(sim);
	return 0;
}

static void leave_l3(struct kona_sim *sim, uint64_t line)
{
	sim->counts.l3_writebacks++;
	sim_push(sim, line, SIM_RECORD_WRITEBACK);
}

static void leave_l2(struct kona_sim *sim, uint64_t line)
{
	uint64_t none;

	if (change_set(&sim->l3, line, 1, SET_WRITEBACK, &none))
		leave_l3(sim, line);
}

static void leave_l1(struct kona_sim *sim, uint64_t line)
{
	uint64_t none;

	if (change_set(&sim->cores[sim->core]->l2, line, 1, SET_WRITEBACK, &none))
		leave_l2(sim, line);
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

	kona_sim_walk(sim);
	for (uint32_t core = 0; core < KONA_SIM_CORES_MAX; core++) {
		if (!sim->cores[core])
			continue;
		sim->core = core;
		flush(sim, &sim->cores[core]->l1d, leave_l1);
		flush(sim, &sim->cores[core]->l2, leave_l2);
	}
	sim->core = current;
	flush(sim, &sim->l3, leave_l3);
	kona_sim_filter_reset(sim);
	kona_sim_drain(sim);
}
