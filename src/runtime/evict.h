/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Eviction: keeps frames free, in the background, by moving pages out of VFMem in batches.
 */
#ifndef KONA_RUNTIME_EVICT_H
#define KONA_RUNTIME_EVICT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "runtime/fault.h"
#include "runtime/hazard.h"
#include "transport/transport.h"

enum {
	KONA_EVICT_BATCH = 256, /* pages: 1 MiB of staging; the price per page levels off at 64 */
	KONA_EVICT_STORED_PAGES = 32, /* that are read from the store at once, to be compared */
};

/* A page on its way out. */
struct kona_victim {
	uint64_t page;
	uint64_t entry; /* before it was claimed: INPLACE or COOLING */
	uint64_t dirty_lines;
	char *content; /* its frame, or the staging area at its index; NULL: it did not get there */
};

/* Framed pages out of the guards' sight, in the order in which they went (cool.c). A page may have
 * come back since, or stand here twice. Guarded by the write-back lock. */
struct kona_cooling {
	uint32_t *pages; /* a ring. Owned */
	uint32_t room;
	uint32_t first;
	uint32_t count;
};

struct kona_evict {
	char *staging; /* registered like VFMem; owned. Touch only what was moved in */
	char *stored;  /* room for KONA_EVICT_STORED_PAGES. Owned; under the write-back lock */
	uint32_t low;  /* watermarks, frames. Atomic, no edge, both */
	uint32_t high;
	uint32_t left_pages;	 /* so far (recency.h). Atomic, no edge */
	uint64_t hand;		 /* page, or frame in use. Guarded by the write-back lock */
	uint32_t patience;	 /* pages that it will pass over. The same lock */
	struct kona_watch death; /* of the evictor's thread, seen by the fault handler */
	int handler_death;	 /* of the handler's thread, seen by the evictor */
	int wake;		 /* eventfd. Owned. Immutable after init */
	bool kicked;		 /* Atomic, edge EV-1 */
	pid_t tid;		 /* Immutable after init */
	struct kona_cooling cooling;
	uint32_t barriers;     /* made so far (hazard.h). Guarded by the write-back lock */
	struct kona_held held; /* Guarded by the write-back lock */
	uint32_t count;	       /* victims. Guarded by the write-back lock, like what follows */
	struct kona_victim victims[KONA_EVICT_BATCH];
	struct kona_dirty_page dirty[KONA_EVICT_BATCH];
};

/* Maps and registers the staging area, sets the watermarks. Before the threads start. */
KONA_MUST_CHECK int kona_evict_init(struct kona_space *space);

/* Sets the watermarks by the size of local memory. */
void kona_evict_adjust(struct kona_space *space);

/* Starts the thread, after the fault handler's. */
KONA_MUST_CHECK int kona_evict_start(struct kona_space *space);

/* Asks for free frames; returns at once. Any thread. */
void kona_evict_kick(struct kona_space *space);

/*
 * One batch. The caller holds the write-back lock. Returns pages that left; 0: nothing could leave
 * now; -EAGAIN: a fork event is unread.
 */
KONA_MUST_CHECK int kona_evict_batch(struct kona_space *space);

#endif
