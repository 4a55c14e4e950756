/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Heir: a forked child's side of what it inherited. A thread of the child serves its missing pages
 * from the parent's store (heritage.h); the child never writes to that store.
 */
#ifndef KONA_RUNTIME_HEIR_H
#define KONA_RUNTIME_HEIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "runtime/heritage.h"
#include "runtime/trim.h"

struct kona_heir {
	struct kona_executor executor; /* the thread's, once it runs */
	uint64_t size_bytes;	       /* of the inherited VFMem. Immutable after init */
	uint32_t most_pages;	       /* fetched ones that may stay. Immutable after init */
	struct kona_trim trim;	       /* what the thread may drop again */
	int parent;		       /* socket: its end means that the parent is gone. Owned */
	int stop;		       /* eventfd: pages are wanted, or none is missing. Owned */
	/* Pages that the thread is to copy in, until end is 0. Atomic, edge HI-1 */
	uint64_t wanted_first, wanted_end;
};

/*
 * In the child, first thing after fork(): receives the userfaultfd from the parent's handler over
 * `parent`, whose owner the heir becomes. -errno: the parent is gone.
 */
KONA_MUST_CHECK int kona_heir_init(struct kona_heir *heir, struct kona_space *inherited,
				   struct kona_heritage *heritage, int parent);

/* Starts the thread, which keeps half a budget of fetched pages, and tells the parent that it may
 * stop serving. */
KONA_MUST_CHECK int kona_heir_start(struct kona_heir *heir);

static inline bool kona_heir_contains(const struct kona_heir *heir, const void *address)
{
	return (uintptr_t)address - (uintptr_t)heir->executor.base < heir->size_bytes;
}

/*
 * Brings in all that is still remote; from then on the range is ordinary memory, and a fork of it
 * needs nothing special. Takes as much local memory as the parent had remote.
 */
void kona_heir_materialise(struct kona_heir *heir);

/*
 * mmap() and munmap() of ranges that touch inherited memory: what was there is not dropped, nor
 * reached by a late copy of the parent. As their libc namesakes: MAP_FAILED or -1, and errno.
 */
void *kona_heir_mmap(struct kona_heir *heir, void *start, size_t size_bytes, int protection,
		     int flags, int descriptor, off_t offset);
int kona_heir_munmap(struct kona_heir *heir, void *start, size_t size_bytes);

#endif
