/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regions: which ranges of VFMem are in use, and the slabs behind them. The resource manager of the
 * paper: it asks for slabs before a range is handed out, so that running out of remote memory is an
 * allocation that fails, not a page that cannot be written back.
 */
#ifndef KONA_RUNTIME_REGION_H
#define KONA_RUNTIME_REGION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct kona_space;

/* Puts slabs first .. first + count - 1 in place behind VFMem; -errno: none of them. May block;
 * `patient`: also for a controller that does not answer. */
struct kona_grower {
	int (*grow)(void *context, uint64_t first, uint64_t count, bool patient);
	void *context;
	uint32_t most_slabs; /* of one call */
};

/* Free pages, a maximal range. */
struct kona_range {
	uint64_t first;
	uint64_t count;
};

struct kona_region {
	pthread_mutex_t lock;	   /* first in the order of locks (space.h) */
	struct kona_grower grower; /* Immutable after init */
	struct kona_range *free;   /* sorted, never adjacent. Guarded by lock. Owned */
	uint64_t free_count;	   /* Guarded by lock */
	uint64_t free_room;	   /* Guarded by lock */
	uint64_t slab_pages;	   /* Immutable after init */
	bool *slab_there;	   /* per slab: in place. Guarded by lock. Owned */
	uint64_t held_slabs;	   /* Guarded by lock */
	uint64_t used_slabs;	   /* none from here on is in place. Atomic, no edge: grows only */
	uint64_t refused_ns;	   /* when a spare range was refused last. Guarded by lock */
	bool lent;		   /* the program mapped something over a range. Guarded by lock */
};

KONA_MUST_CHECK int kona_region_init(struct kona_region *region, uint64_t pages,
				     uint64_t slab_pages, const struct kona_grower *grower);

/*
 * Hands out `pages` pages of zeros, with `protection`, at a multiple of align_pages (a power of
 * two). NULL: no address space, or no more remote memory (said once on standard error). A range
 * without access is a reservation: it needs no slabs until kona_region_protect() opens it.
 */
void *kona_region_alloc(struct kona_space *space, uint64_t pages, uint64_t align_pages,
			int protection);

/*
 * Takes `pages` pages out of the free ranges, without access, for their place in the store alone:
 * what is written there by itself must be marked STALE before kona_region_free(). -ENOMEM,
 * -ENOSPC, ...: none; then nothing is asked for during the next ten seconds.
 */
KONA_MUST_CHECK int kona_region_spare(struct kona_space *space, uint64_t pages,
				      uint64_t *ret_first);

/*
 * Hands out exactly these pages. -EEXIST when some are in use, unless `over`: then those are
 * discarded, and what the program mapped there goes. -ENOMEM: no more remote memory.
 */
KONA_MUST_CHECK int kona_region_occupy(struct kona_space *space, uint64_t first, uint64_t pages,
				       int protection, bool over);

/* mprotect() of pages in use. -ENOMEM: no more remote memory, or no mappings; else its errno. */
KONA_MUST_CHECK int kona_region_protect(struct kona_space *space, uint64_t first, uint64_t pages,
					int protection);

/* The program mapped a file or shared memory over these pages, which it had: they are its own
 * until they are freed. */
void kona_region_lend(struct kona_space *space, uint64_t first, uint64_t pages);

/* Takes pages back; parts that are free already stay so. Discards them. */
void kona_region_free(struct kona_space *space, uint64_t first, uint64_t pages);

/* True when none of the pages is free. */
bool kona_region_in_use(struct kona_space *space, uint64_t first, uint64_t pages);

/* VFMem below this page may be in use. Any thread, no lock. */
uint64_t kona_region_used_pages(const struct kona_region *region);

#endif
