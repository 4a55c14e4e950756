/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L1, L2 and L3, and the events that their lists are made of (walk.h).
 */
#ifndef KONA_CACHESIM_LEVELS_H
#define KONA_CACHESIM_LEVELS_H

#include "engine.h"
#include "packed.h"

enum { SIM_EVENTS = KONA_SIM_LIST }; /* accesses that go through the levels together */

enum sim_record_kind {
	SIM_RECORD_READ,
	SIM_RECORD_WRITE,
	SIM_RECORD_FETCH,
	SIM_RECORD_WRITEBACK,
	SIM_RECORD_KINDS
};

/* An entry is line << 1 | dirty, sets in most-recent-first order; 0 is empty (line 0 is never). */
struct sim_cache {
	uint64_t *entries; /* NULL: no such level, everything misses */
	uint64_t sets;
	uint64_t mask; /* sets - 1 where that is a mask, else 0 */
	uint32_t ways;
};

struct sim_arena;

struct sim_core {
	struct sim_cache l1d, l1i, l2;
};

/*
 * An event of a level: line << 3 | pair << 2 | kind, which is enum kona_sim_kind above L1, and enum
 * sim_record_kind below. A pair is an access that straddles two lines: above L1 it is one event,
 * below two, of which the first says so.
 */
static inline uint64_t sim_event(uint64_t line, uint32_t pair, uint32_t kind)
{
	return line << 3 | pair << 2 | kind;
}

static inline uint64_t sim_event_line(uint64_t event)
{
	return event >> 3;
}

static inline int sim_event_is_pair(uint64_t event)
{
	return event >> 2 & 1;
}

static inline uint32_t sim_event_kind(uint64_t event)
{
	return event & 3;
}

/* Returns how many events it has put into below_l1. */
#define SIM_L1_PROTOTYPE(name)                                                             \
	uint32_t name(struct kona_sim *sim, struct sim_core *core, const uint64_t *events, \
		      uint32_t count, uint64_t *below_l1)
SIM_L1_PROTOTYPE(sim_l1_portable);
SIM_L1_PROTOTYPE(sim_l1_avx2);
SIM_L1_PROTOTYPE(sim_l1_avx512);

#define SIM_BELOW_L1_PROTOTYPE(name)                                                   \
	void name(struct kona_sim *sim, struct sim_core *core, const uint64_t *events, \
		  uint32_t count)
SIM_BELOW_L1_PROTOTYPE(sim_below_l1_portable);
SIM_BELOW_L1_PROTOTYPE(sim_below_l1_avx2);
SIM_BELOW_L1_PROTOTYPE(sim_below_l1_avx512);

int sim_cache_init(struct kona_sim *sim, struct sim_arena *arena, struct sim_cache *cache,
		   const struct kona_sim_level_config *config);
int sim_core_create(struct kona_sim *sim, uint32_t core);

#endif
