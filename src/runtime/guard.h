/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guard path's slow side: what happens when an inline guard (include/kona/guard.h) misses.
 */
#ifndef KONA_RUNTIME_GUARD_H
#define KONA_RUNTIME_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct kona_hazard;
struct kona_space;

/* From now on misses of guards are served from `space`; NULL: from none. At start, and in a forked
 * child. Threads then see it once they call kona_hazard_enter(). */
void kona_guard_attach(struct kona_space *space);

/*
 * Makes the page resident, or sees that it is. By the thread of `hazard`; may evict, and sleep
 * while another thread brings the page in. A store that fails is the end of the program. False: it
 * is to be touched at its own address, where the fault path brings it in, or the kernel refuses:
 * guards sleep, or the page keeps its protection (kona_space_shield()).
 */
KONA_MUST_CHECK bool kona_guard_serve(struct kona_space *space, struct kona_hazard *hazard,
				      uint64_t page);

/* What the two preserve_most entry points of include/kona/guard.h call. */
void kona_guard_missed(const void *address);

#endif
