/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A space: one VFMem range with all that serves it. The stages of both walks work on it:
 *
 *   fetch walk:       guard -> fetch-frame -> batch, flight -> (transport)    guarded code misses
 *                     fault -> fetch -> (transport)               other code touches a missing page
 *   write-back walk:  evict -> cool, vacate -> find -> dirty, (transport)         no frame is free
 *   beside them:      discard                            the program frees memory
 *                     inplace                            a page goes from its frame to its address
 *                     sleepers                           functions that fault too often get guards
 *
 * Threads: the fault handler and the evictor, one of each; the program's threads in guard, discard,
 * region and fork.
 *
 * Addresses: one reservation, VFMem, and FMem (frame.h) right above it.
 *
 * Locks, in the order in which they are taken (fork takes all):
 *   region lock (region.h) -> broker lock (broker.h) -> write-back lock (below)
 *     -> registry of guarding threads (hazard.h)
 * The fault handler waits for none of them: whoever holds one may be waiting for the handler.
 */
#ifndef KONA_RUNTIME_SPACE_H
#define KONA_RUNTIME_SPACE_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/units.h"
#include "runtime/dirty.h"
#include "runtime/evict.h"
#include "runtime/fault.h"
#include "runtime/fetch.h"
#include "runtime/flight.h"
#include "runtime/frame.h"
#include "runtime/lineage.h"
#include "runtime/mutate.h"
#include "runtime/pagetable.h"
#include "runtime/region.h"
#include "runtime/stats.h"
#include "transport/transport.h"

struct kona_space_options {
	uint64_t size_bytes; /* of VFMem: a multiple of slab_bytes */
	uint64_t slab_bytes;
	uint64_t local_bytes; /* the budget, metadata included */
	enum kona_dirty_mode dirty_mode;
	struct kona_transport *store; /* offset in the store = offset in VFMem. Not owned */
	struct kona_stats *stats;     /* not owned */
	struct kona_grower grower;    /* where slabs come from */
};

struct kona_space {
	char *base;		      /* of VFMem. Immutable after init */
	uint64_t pages;		      /* Immutable after init */
	uint64_t slab_pages;	      /* Immutable after init */
	int uffd;		      /* Immutable after init. Owned */
	bool write_protect;	      /* mode wp. Immutable after init */
	struct kona_transport *store; /* Immutable after init */
	struct kona_stats *stats;     /* Immutable after init */
	struct kona_dirty dirty;      /* Immutable after init */
	struct kona_pagetable pt;
	struct kona_frames frames;
	uint8_t *line_marks;  /* of VFMem and FMem: set by guards (frame.h). Immutable after init */
	uint8_t *shield;      /* per SHIELD_PAGES: 0, or no frames there. Atomic, edge SH-1 */
	bool guarded;	      /* guards missed already. Atomic, no edge: set only */
	uint32_t *slab_local; /* local pages per slab. Atomic, no edge: lets the hand skip slabs */

	/*
	 * The write-back lock: its holder alone moves pages out of VFMem, discards them, changes
	 * their protection or forks. `foreign`: a thread of the program holds it.
	 */
	pthread_mutex_t write_back;
	bool foreign; /* Atomic, no edge: opens the reserve of frames to faults */

	struct kona_region region;   /* which ranges of VFMem are in use */
	struct kona_flights flights; /* flight.h */
	struct kona_fetch fetch;     /* the handler's */
	struct kona_fault fault;     /* the handler's */
	struct kona_evict evict;     /* the evictor's */
	struct kona_lineage lineage; /* forked children that still read this store */
};

/*
 * Reserves VFMem and starts the two threads. -EINVAL: budget too small; -ENOMEM: address space;
 * -EPERM, -ENOSYS: userfaultfd; -EMFILE. On failure the process is to end: nothing is taken back.
 */
KONA_MUST_CHECK int kona_space_init(struct kona_space *space,
				    const struct kona_space_options *options);

/* Maps VFMem, empty and without access, over whatever is at these pages. -errno. */
KONA_MUST_CHECK int kona_space_reserve(struct kona_space *space, uint64_t first, uint64_t pages);

/* The program's threads take the write-back lock with all signals blocked: a signal handler that
 * touches VFMem while its thread holds the lock could wait for the evictor, which waits for the
 * lock. */
void kona_space_lock(struct kona_space *space, sigset_t *ret_signals);
void kona_space_unlock(struct kona_space *space, const sigset_t *signals);
/* False: another thread has the lock. */
KONA_MUST_CHECK bool kona_space_try_lock(struct kona_space *space, sigset_t *ret_signals);

/* The first guard missed: from now on it pays to have the store mapped. Any thread. */
void kona_space_expect_guards(struct kona_space *space);

/*
 * Local memory is to be that large from now on, metadata included. Returns frames that must still
 * leave before it is: call again; -EINVAL: too little, or too much. Any thread of the program.
 */
int64_t kona_space_resize(struct kona_space *space, uint64_t local_bytes);

/*
 * Pages in whose neighbourhood (2 MiB) a mapping is not plainly readable and writable are not
 * brought into guards' sight in frames, where the kernel's protection would not hold: guarded code
 * uses them at their own address. When this returns, misses that had not seen it are over. Others
 * look behind their claim (kona_space_kept_entry()): whoever sees the page idle later finds what
 * they made of it, and they know. A page that was in a frame before is there still. The caller
 * holds the region lock at most.
 */
void kona_space_shield(struct kona_space *space, uint64_t first, uint64_t pages);

enum { KONA_SHIELD_PAGES = 512 };

static inline bool kona_space_contains(const struct kona_space *space, const void *address)
{
	return (uintptr_t)address - (uintptr_t)space->base < space->pages * KONA_PAGE_BYTES;
}

static inline bool kona_space_shielded(const struct kona_space *space, uint64_t page)
{
	/* relaxed: kona_space_shield() waits for those who saw it too early */
	return kona_load_relaxed(&space->shield[page / KONA_SHIELD_PAGES]);
}

static inline char *kona_space_address(const struct kona_space *space, uint64_t page)
{
	return space->base + page * KONA_PAGE_BYTES;
}

static inline uint64_t kona_space_page(const struct kona_space *space, const void *address)
{
	return ((uintptr_t)address - (uintptr_t)space->base) / KONA_PAGE_BYTES;
}

/* The entry of a page that is in `frame`. */
static inline uint64_t kona_space_frame_entry(const struct kona_space *space, uint64_t page,
					      uint32_t frame, uint64_t flags)
{
	return kona_pt_frame_entry(flags, frame,
				   (uint64_t)(kona_frame_address(&space->frames, frame) -
					      kona_space_address(space, page)));
}

/* The same of a page that was in a frame before, and may be shielded by now: then it stays out of
 * sight, for old translations only. By its owner, who claimed it (a full barrier) before. */
static inline uint64_t kona_space_kept_entry(const struct kona_space *space, uint64_t page,
					     uint32_t frame, uint64_t flags)
{
	uint64_t entry = kona_space_frame_entry(space, page, frame, flags);

	if (!kona_space_shielded(space, page) || KONA_MUTATED(SHIELD_IN_SIGHT))
		return entry;
	return kona_pt_out_of_sight(entry, KONA_PT_COOLING);
}

/* Lets the threads that are stopped on the page fault again. Any thread. */
void kona_space_wake(struct kona_space *space, uint64_t page);

/* Pages became local (change: 1), or left (-1). Any thread. */
void kona_space_count_local(struct kona_space *space, const uint64_t *pages, uint32_t count,
			    int change);

#endif
