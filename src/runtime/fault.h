/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fault path's thread: reads userfaultfd messages and serves them.
 */
#ifndef KONA_RUNTIME_FAULT_H
#define KONA_RUNTIME_FAULT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

struct kona_space;

enum { KONA_FAULT_MOST_PENDING = 1024 };

/* A fault that could not be served when it came. */
struct kona_pending {
	uint64_t page;
	uint64_t flags; /* UFFD_PAGEFAULT_FLAG_* */
};

/* What the handler does when a descriptor polls readable or hangs up. */
struct kona_watch {
	void (*ready)(struct kona_space *space, struct kona_watch *watch);
	int descriptor;
};

struct kona_fault {
	int epoll;		    /* Owned. Immutable after init */
	struct kona_watch messages; /* the userfaultfd */
	struct kona_watch wake;	    /* an eventfd, written by the evictor. Owned */
	pid_t tid;		    /* Immutable after init */
	uint64_t rounds;	    /* batches of events worked off. Atomic, edge FA-2 */
	bool starving;		    /* faults wait for a frame. Atomic, edge FA-1 */
	uint32_t pending_count;
	struct kona_pending pending[KONA_FAULT_MOST_PENDING];
};

/* Starts the thread. The space's other parts must be ready. */
KONA_MUST_CHECK int kona_fault_start(struct kona_space *space);

/* Adds a descriptor to those that the handler waits for; `watch` must outlive it. 0 or -errno. */
KONA_MUST_CHECK int kona_fault_watch(struct kona_space *space, struct kona_watch *watch,
				     uint32_t events);
void kona_fault_unwatch(struct kona_space *space, struct kona_watch *watch);

/*
 * Returns when the handler has dealt with all that it had read before the call. By a thread of the
 * program that holds the write-back lock.
 */
void kona_fault_round_trip(struct kona_space *space);

/* Frames are free again: tells the handler, if faults wait for them. Any thread. */
void kona_fault_feed(struct kona_space *space);

#endif
