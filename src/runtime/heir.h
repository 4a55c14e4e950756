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

struct kona_heir {
	struct kona_executor executor; /* the thread's, once it runs */
	uint64_t size_bytes;	       /* of the inherited VFMem. Immutable after init */
	int parent;		       /* socket: its end means that the parent is gone. Owned */
	int stop;		       /* eventfd: nothing is missing any more. Owned */
};

/*
 * In the child, first thing after fork(): receives the userfaultfd from the parent's handler over
 * `parent`, whose owner the heir becomes. -errno: the parent is gone.
 */
KONA_MUST_CHECK int kona_heir_init(struct kona_heir *heir, struct kona_space *inherited,
				   struct kona_heritage *heritage, int parent);

/* Starts the thread and tells the parent that it may stop serving. */
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

/* Makes the range zeros: fresh memory, which a late copy by the parent cannot reach. */
KONA_MUST_CHECK int kona_heir_discard(struct kona_heir *heir, void *start, size_t size_bytes);

#endif
