/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of L1, L2 and L3: made, switched between cores, emptied at the end. What an access does
 * to them is in walk.h.
 *
 * State: the caches of each core, the shared L3, the filter. Nothing can fail after creation.
 */
#include "walk.h"

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

void kona_sim_access(struct kona_sim *sim, uint64_t address, uint32_t bytes,
		     enum kona_sim_kind kind)
{
	sim->access(sim, address, bytes, kind);
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
