/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cooling: the second chance of framed pages, without a mark on the guards' hit path. The clock
 * hand takes a page out of their sight; until its turn in the queue comes, a touch is a cheap miss
 * that brings it back (after LeanStore's cooling stage and S3-FIFO's small queue).
 */
#ifndef KONA_RUNTIME_COOL_H
#define KONA_RUNTIME_COOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct kona_space;

/* Makes the queue fit the size of local memory; at start, too. -ENOMEM: it stays as it was. */
KONA_MUST_CHECK int kona_cool_resize(struct kona_space *space);

/*
 * Takes the framed page, seen as `seen` under the hand, out of sight and into the queue. Returns 1,
 * or 0 when it changed meanwhile. The caller holds the write-back lock, here and below.
 */
uint32_t kona_cool_down(struct kona_space *space, uint64_t page, uint64_t seen);

/*
 * Claims up to `most` of the longest cooled pages as victims (FLUSHING), behind those that
 * space->evict has. `eager`: also of those that should be left more time.
 */
void kona_cool_harvest(struct kona_space *space, uint32_t most, bool eager);

#endif
