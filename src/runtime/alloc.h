/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heap: jemalloc, whose arenas for the program lie in VFMem, and whose arena 0 is local.
 *
 * Each thread has a route:
 *   UNDECIDED  has not allocated yet: the next allocation decides
 *   FAR        its arena lies in VFMem (the hot path: one thread-local compare, then jemalloc)
 *   LOCAL      inside the runtime, or before it started: arena 0, no cache
 *   PLAIN      Kona is not asked for: jemalloc as it is
 */
#ifndef KONA_RUNTIME_ALLOC_H
#define KONA_RUNTIME_ALLOC_H

#include <stddef.h>

enum kona_route {
	KONA_ROUTE_UNDECIDED,
	KONA_ROUTE_FAR,
	KONA_ROUTE_LOCAL,
	KONA_ROUTE_PLAIN,
};

extern __thread enum kona_route kona_alloc_route; /* Thread-local */

/* What the calling thread allocates from here on is local, until kona_alloc_leave(). May nest. */
enum kona_route kona_alloc_enter_local(void);
void kona_alloc_leave(enum kona_route before);

/* Sets the calling thread's route. Slow path of all allocations. */
enum kona_route kona_alloc_decide(void);

/* After fork, in the child: threads choose anew. */
void kona_alloc_forked(void);

#endif
