/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages on their way into frames: claimed one by one, read from the store right into their frames,
 * settled. The stages of the guard path's fetches (fetch-frame.c, flight.c).
 */
#ifndef KONA_RUNTIME_BATCH_H
#define KONA_RUNTIME_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "runtime/prefetch.h"
#include "transport/transport.h"

struct kona_space;

enum { KONA_BATCH_MOST_PAGES = 1 + KONA_PREFETCH_MOST };

struct kona_batch {
	uint32_t count;
	uint64_t system_calls;
	uint64_t pages[KONA_BATCH_MOST_PAGES];
	uint64_t seen[KONA_BATCH_MOST_PAGES];
	uint32_t frames[KONA_BATCH_MOST_PAGES];
	struct kona_read reads[KONA_BATCH_MOST_PAGES];
};

void kona_batch_begin(struct kona_batch *batch);

/* Adds a page, whose entry was seen as `seen`, but leaves `spare` frames. -EAGAIN: no frame;
 * -ESTALE: the entry has changed. */
KONA_MUST_CHECK int kona_batch_claim(struct kona_space *space, struct kona_batch *batch,
				     uint64_t page, uint64_t seen, uint32_t spare);

/* Adds those of the pages that are REMOTE, while there are frames to spare: what is foretold must
 * not push out what is in use. */
void kona_batch_claim_ahead(struct kona_space *space, struct kona_batch *batch,
			    const uint64_t *pages, uint32_t count);

/* Waits for all of it. A store that fails is the end of the program. */
void kona_batch_read(struct kona_space *space, struct kona_batch *batch);

/* The same, after `rc` of a read that was made elsewhere. */
void kona_batch_was_read(struct kona_space *space, const struct kona_batch *batch, int rc);

/* All pages become local; those from first_ahead on were not asked for, and COOLING. far: they came
 * from the store. */
void kona_batch_settle(struct kona_space *space, struct kona_batch *batch, bool far,
		       uint32_t first_ahead);

#endif
