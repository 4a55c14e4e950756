/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking pages out of VFMem: the step of an eviction that deals with the kernel.
 */
#ifndef KONA_RUNTIME_VACATE_H
#define KONA_RUNTIME_VACATE_H

#include <stdint.h>

#include "base/compiler.h"

struct kona_space;

/*
 * Moves the victims of space->evict that have no contents so far into the staging area, each to its
 * index, and tells where; those that cannot leave are settled as they were. (Framed pages, which
 * need not move, stand behind the others.) Afterwards nobody can write a moved page. The caller
 * holds the write-back lock. 0, or -EAGAIN when a fork event stopped it half-way.
 */
KONA_MUST_CHECK int kona_vacate(struct kona_space *space);

/*
 * Where guards are in use, what kona_vacate() moved goes on into the pages' own frames: their
 * memory is what guards will want next. Such victims are framed from then on. Others stay in
 * staging.
 */
void kona_vacate_to_frames(struct kona_space *space);

/* Where a victim stands in the staging area, once it is moved. */
char *kona_vacate_staged(struct kona_space *space, uint32_t victim);

/*
 * Reads a page at its own address, whatever its protection. The caller owns the page, and holds the
 * write-back lock, so that its protection stays. -ENOENT: it was dropped; -EBUSY: not now.
 */
KONA_MUST_CHECK int kona_vacate_read(char *home, char *bytes);

/* Settles an owned page as local, with `entry`; wakes who waits for it. */
void kona_vacate_keep(struct kona_space *space, uint64_t page, uint64_t entry);

/* Settles an owned page as gone, with `entry`, gives its frame back, wakes who waits for it. */
void kona_vacate_leave(struct kona_space *space, uint64_t page, uint64_t entry, uint32_t frame);

#endif
