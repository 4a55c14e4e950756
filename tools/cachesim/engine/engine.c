/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's door: makes a simulator of a configuration, picks the code path, hands out counts.
 */
#include <cpuid.h>

#include "internal.h"

/* XCR0 bits: SSE and AVX state; with opmask and the two upper ZMM parts. */
#define XCR0_AVX    0x06u
#define XCR0_AVX512 0xe6u

static uint32_t enabled_state(void)
{
	uint32_t low, high;

	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

static enum kona_sim_simd best_simd(void)
{
	uint32_t a, b, c, d, state;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return KONA_SIM_SIMD_PORTABLE;
	state = enabled_state();
	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
		return KONA_SIM_SIMD_PORTABLE;
	if ((b & bit_AVX512F) && (b & bit_AVX512BW) && (b & bit_AVX512VL) &&
	    (state & XCR0_AVX512) == XCR0_AVX512)
		return KONA_SIM_SIMD_AVX512;
	if ((b & bit_AVX2) && (state & XCR0_AVX) == XCR0_AVX)
		return KONA_SIM_SIMD_AVX2;
	return KONA_SIM_SIMD_PORTABLE;
}

static void choose_scan(struct kona_sim *sim)
{
	enum kona_sim_simd simd = best_simd();

	if (sim->config.simd != KONA_SIM_SIMD_BEST && sim->config.simd < simd)
		simd = sim->config.simd;
	sim->scan = sim_scan_portable;
	sim->l1 = sim_l1_portable;
	sim->below = sim_below_l1_portable;
	sim->simd_name = "portable";
	if (simd == KONA_SIM_SIMD_AVX2) {
		sim->scan = sim_scan_avx2;
		sim->l1 = sim_l1_avx2;
		sim->below = sim_below_l1_avx2;
		sim->simd_name = "avx2";
	} else if (simd == KONA_SIM_SIMD_AVX512) {
		sim->scan = sim_scan_avx512;
		sim->l1 = sim_l1_avx512;
		sim->below = sim_below_l1_avx512;
		sim->simd_name = "avx512";
	}
}

int kona_sim_create(const struct kona_sim_host *host, const struct kona_sim_config *config,
		    struct kona_sim **ret_sim)
{
	struct kona_sim *sim;
	int err;

	if (!sim_is_power_of_two(config->line_bytes) || config->line_bytes < 64 ||
	    config->line_bytes > 4096)
		return -SIM_ERR_INVAL;
	sim = host->map(sizeof(*sim));
	if (!sim)
		return -SIM_ERR_NOMEM;
	sim->host = host;
	sim->config = *config;
	sim->line_shift = (uint32_t)__builtin_ctz(config->line_bytes);
	choose_scan(sim);
	sim->arena.host = host;
	sim->core_arena.host = host;
	err = sim_stacks_init(sim);
	if (!err)
		err = sim_cache_init(sim, &sim->arena, &sim->l3, &config->l3);
	if (!err)
		err = sim_core_create(sim, 0);
	if (!err && config->reuse) {
		err = kona_reuse_create(host, &sim->reuse_lines);
		if (!err)
			err = kona_reuse_create(host, &sim->reuse_pages);
	}
	if (!err && config->clock)
		err = kona_clock_create(sim, &sim->clock);
	if (err)
		return err;
	kona_sim_filter_reset(sim);
	*ret_sim = sim;
	return 0;
}

struct kona_sim_filter *kona_sim_filter(struct kona_sim *sim)
{
	return &sim->filter;
}

void kona_sim_drain(struct kona_sim *sim)
{
	kona_sim_walk(sim);
	sim_hand_over(sim);
	if (sim->host->settle)
		sim->host->settle();
}

void kona_sim_counts(const struct kona_sim *sim, struct kona_sim_counts *counts)
{
	*counts = sim->counts;
}

const struct kona_sim_reuse_counts *kona_sim_reuse_lines(const struct kona_sim *sim)
{
	return sim->reuse_lines ? kona_reuse_counts(sim->reuse_lines) : NULL;
}

const struct kona_sim_reuse_counts *kona_sim_reuse_pages(const struct kona_sim *sim)
{
	return sim->reuse_pages ? kona_reuse_counts(sim->reuse_pages) : NULL;
}

uint32_t kona_sim_clock_counts(const struct kona_sim *sim, struct kona_sim_clock_counts *counts)
{
	return sim->clock ? kona_clock_counts(sim->clock, counts) : 0;
}

const char *kona_sim_simd_name(const struct kona_sim *sim)
{
	return sim->simd_name;
}
