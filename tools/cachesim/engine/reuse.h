/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exact reuse distances: between two references to a block, how many other blocks were referenced?
 * That is its position in one LRU stack of all blocks, so the histogram also tells the misses of a
 * fully associative cache of every size: those with a distance of its size or more, and the cold
 * ones. Freestanding, like the engine. One thread at a time.
 */
#ifndef KONA_CACHESIM_REUSE_H
#define KONA_CACHESIM_REUSE_H

#include "engine.h"

struct kona_reuse;

/* Returns 0 and *ret_reuse, or -ENOMEM. */
int kona_reuse_create(const struct kona_sim_host *host, struct kona_reuse **ret_reuse);

/* A reference to a block, of a dense numbering. Returns 0, or -ENOMEM: it is not counted. */
int kona_reuse_note(struct kona_reuse *reuse, uint32_t block);

const struct kona_sim_reuse_counts *kona_reuse_counts(const struct kona_reuse *reuse);

#endif
