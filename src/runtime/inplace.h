/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A local page is at one of two addresses: in its frame, where guards go, or in place, at its own
 * address, where everybody else does. Whoever touches it where it is not takes a page fault, which
 * brings it there.
 */
#ifndef KONA_RUNTIME_INPLACE_H
#define KONA_RUNTIME_INPLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct kona_space;

/*
 * Both move one page, whose entry was just seen to be `seen`, and wake who waits for it.
 * -ESTALE: the entry changed, look again. -EAGAIN: not now: the page is pinned for DMA, or a fork
 * is under way. -EPERM: its mapping is not writable: only who holds the write-back lock (`locked`)
 * can. The fault handler, and whoever holds that lock.
 */

/* From its frame to its own address: seen is FRAME or COOLING. 0 as well when the program mapped
 * something of its own there: then the page stays. */
KONA_MUST_CHECK int kona_inplace_enter(struct kona_space *space, uint64_t page, uint64_t seen,
				       bool locked);

/* Back into its frame: seen is INPLACE. A shielded page is out of the guards' sight there. */
KONA_MUST_CHECK int kona_inplace_leave(struct kona_space *space, uint64_t page, uint64_t seen,
				       bool locked);

/* Brings all framed pages of a range in place. The caller holds the write-back lock; with the gate
 * of hazard.h closed, none of them goes back. */
void kona_inplace_enter_range(struct kona_space *space, uint64_t first, uint64_t pages);

#endif
