/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For a host that has threads: what is below the last level falls into parts that share nothing.
 * For each part batches must be run one after the other, in the order in which they were handed
 * over (struct kona_sim_host); several parts may be run at once, with a scratch each, on threads of
 * the host, which then may call map() at once, too.
 */
#ifndef KONA_CACHESIM_PARTS_H
#define KONA_CACHESIM_PARTS_H

#include "engine.h"

uint32_t kona_sim_parts(const struct kona_sim *sim);
void kona_sim_run_part(struct kona_sim *sim, uint32_t part, const struct kona_sim_batch *batch,
		       struct kona_sim_scratch *scratch);

size_t kona_sim_batch_bytes(void);
size_t kona_sim_scratch_bytes(void);

/* Before a batch that all parts have run is filled again. */
void kona_sim_batch_clear(struct kona_sim_batch *batch);

#endif
