/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many accesses at once, in a word each: for a front end that keeps them in buffers.
 */
#ifndef KONA_CACHESIM_PACKED_H
#define KONA_CACHESIM_PACKED_H

#include "engine.h"

enum {
	KONA_SIM_LIST = 1024,
	/* Two lines and two that had to go; behind them is written what does not count. */
	KONA_SIM_BELOW_L1 = 4 * KONA_SIM_LIST + 1,
};

/* An access of up to 64 bytes below 2^55, in a word. */
static inline uint64_t kona_sim_packed_address(uint64_t access)
{
	return access >> 9;
}

static inline uint32_t kona_sim_packed_bytes(uint64_t access)
{
	return access >> 2 & 127;
}

static inline enum kona_sim_kind kona_sim_packed_kind(uint64_t access)
{
	return (enum kona_sim_kind)(access & 3);
}

/*
 * As kona_sim_access(), one after the other, but in two steps, which may be on two threads, each
 * list after list; and but for the filter: the front end has its own. The first step takes up to
 * KONA_SIM_LIST accesses of a core through its L1 (the core is made if need be; without memory for
 * its caches it uses those of the first), and returns how many words it has put into below_l1,
 * which are at most KONA_SIM_BELOW_L1 and the second step's. A list keeps the processor busy with
 * one small loop and one table at a time.
 */
uint32_t kona_sim_walk_l1(struct kona_sim *sim, uint32_t core, const uint64_t *accesses,
			  uint32_t count, uint64_t *below_l1);
void kona_sim_walk_below_l1(struct kona_sim *sim, uint32_t core, const uint64_t *below_l1,
			    uint32_t count);

#endif
