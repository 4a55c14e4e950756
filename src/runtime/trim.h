/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trim: keeps a forked child's memory bounded while it reads what it inherited. Pages that it
 * fetched from the parent's store and did not write are dropped again, oldest first.
 */
#ifndef KONA_RUNTIME_TRIM_H
#define KONA_RUNTIME_TRIM_H

#include <pthread.h>
#include <stdint.h>

#include "base/compiler.h"

struct kona_executor;

struct kona_trim {
	/*
	 * Held by the child's threads while they map something else over inherited pages, so that
	 * those are not dropped. The heir's thread only tries it: a holder may wait for that
	 * thread.
	 */
	pthread_mutex_t lock;
	uint64_t *clean; /* bit per page: mapped read-only by us, and not written since. Atomic, no
			    edge. Owned */
	uint64_t pages;	 /* Immutable after init */
	int memory;	 /* /proc/self/mem: reads what is there, and never waits. Owned */
	/* The rest is the heir thread's alone. */
	uint64_t *ring; /* pages in the order in which they came; oldest are forgotten. Owned */
	uint32_t ring_pages;
	uint32_t first;
	uint32_t count;
	char *copy; /* of a page. Owned */
};

/* Of `pages` pages, most_pages may be local. -ENOMEM, also for want of a descriptor. */
KONA_MUST_CHECK int kona_trim_init(struct kona_trim *trim, uint64_t pages, uint32_t most_pages);
void kona_trim_destroy(struct kona_trim *trim);

/* The page was mapped read-only. */
void kona_trim_note(struct kona_trim *trim, uint64_t page);

/* Somebody is about to write the page, or maps something else there: it stays from now on. */
void kona_trim_keep(struct kona_trim *trim, uint64_t page);

/* Drops pages until there is room for `room` more, if it can. */
void kona_trim(struct kona_executor *executor, uint32_t room);

#endif
