/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local memory as the runtime of kona run manages it, at many sizes at once: see clock.c.
 */
#ifndef KONA_CACHESIM_CLOCK_H
#define KONA_CACHESIM_CLOCK_H

#include "engine.h"

struct kona_clock;
struct kona_sim;

/* Memory is the simulator's. Returns 0 and *ret_clock, or -ENOMEM. */
int kona_clock_create(struct kona_sim *sim, struct kona_clock **ret_clock);

/*
 * A reference to a line, or a line written back by the last level: of the region of that index and
 * number. Returns 0, or -ENOMEM: it is not counted.
 */
int kona_clock_reference(struct kona_clock *clock, uint32_t region, uint64_t number,
			 uint32_t address_in_region, int writes);
int kona_clock_writeback(struct kona_clock *clock, uint32_t region, uint64_t number,
			 uint32_t address_in_region);

uint32_t kona_clock_counts(const struct kona_clock *clock, struct kona_sim_clock_counts *counts);

#endif
