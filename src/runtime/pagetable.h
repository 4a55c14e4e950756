/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page table: one 64-bit atomic entry per 4 KiB page of VFMem, in one flat sparse array.
 *
 *    63            32 31    9   8   7   6   5   4  3    0
 *   +----------------+-------+---+---+---+---+---+------+
 *   | payload        | 0     | F | W | T | Z | S | state|
 *   +----------------+-------+---+---+---+---+---+------+
 *    payload: local states: the page's frame number; REMOTE: the eviction clock when it left
 *    S STALE    ABSENT, or local with Z: the store's bytes are not zero, so the next write-back
 *               sends every line
 *    F FAR      REMOTE, and busy since: a missing page's contents are in the store. (A forked child
 *               inherits missing pages in the midst of a fetch; this tells what they hold)
 *    Z ZERO     local: the contents began as zeros, there is no baseline
 *    T TOUCHED  busy: a thread is stopped on the page; the owner must wake it (userfaultfd)
 *    W WAITED   busy: a thread sleeps in kona_pt_wait(); settling wakes it (futex)
 *
 * Protocol. An idle entry (ABSENT, REMOTE, INPLACE, LOST) changes only by kona_pt_claim(), which
 * makes it busy (FETCHING, COOLING, FLUSHING). The claimer alone owns a busy entry: it may step it
 * to another busy state and ends with kona_pt_settle(). Others may only leave a mark on it (touch,
 * wait). An array of zeros is a table of ABSENT pages: no initialisation, no memory for pages never
 * used.
 */
#ifndef KONA_RUNTIME_PAGETABLE_H
#define KONA_RUNTIME_PAGETABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

enum kona_pt_state {
	KONA_PT_ABSENT = 0,   /* reads as zeros, no store needed */
	KONA_PT_REMOTE = 1,   /* only on memory nodes */
	KONA_PT_INPLACE = 2,  /* mapped at its own address */
	KONA_PT_LOST = 3,     /* every replica is gone */
	KONA_PT_FETCHING = 4, /* busy: someone brings it in, or discards it */
	KONA_PT_COOLING = 5,  /* busy: taken out of sight, contents still local */
	KONA_PT_FLUSHING = 6, /* busy: dirty lines are on their way */
};

#define KONA_PT_STALE	UINT64_C(0x10)
#define KONA_PT_ZERO	UINT64_C(0x20)
#define KONA_PT_TOUCHED UINT64_C(0x40)
#define KONA_PT_WAITED	UINT64_C(0x80)
#define KONA_PT_FAR	UINT64_C(0x100)

struct kona_pagetable {
	uint64_t *entries; /* Atomic, edges PT-1 and PT-2. Owned */
	uint64_t pages;	   /* Immutable after init */
};

static inline uint64_t kona_pt_entry(enum kona_pt_state state, uint64_t flags, uint32_t payload)
{
	return (uint64_t)payload << 32 | flags | state;
}

static inline enum kona_pt_state kona_pt_state(uint64_t entry)
{
	return (enum kona_pt_state)(entry & 0xf);
}

static inline uint32_t kona_pt_payload(uint64_t entry)
{
	return (uint32_t)(entry >> 32);
}

static inline bool kona_pt_busy(uint64_t entry)
{
	return kona_pt_state(entry) >= KONA_PT_FETCHING;
}

/* Reserves the table for `pages` pages: 8 bytes of address space each. -ENOMEM. At start only. */
KONA_MUST_CHECK int kona_pt_init(struct kona_pagetable *pt, uint64_t pages);
void kona_pt_destroy(struct kona_pagetable *pt);

/* The entry as it is now. Any thread; never blocks. */
uint64_t kona_pt_load(const struct kona_pagetable *pt, uint64_t page);

/*
 * Takes the idle page whose entry is `seen` into a busy state; flags and payload stay. False when
 * the entry changed meanwhile. On success the caller owns the page until it settles it.
 */
KONA_MUST_CHECK bool kona_pt_claim(struct kona_pagetable *pt, uint64_t page, uint64_t seen,
				   enum kona_pt_state busy);

/* Owner: from one busy state to another; marks, flags and payload stay. */
void kona_pt_step(struct kona_pagetable *pt, uint64_t page, enum kona_pt_state busy);

/*
 * Owner: makes the page idle with exactly `entry` and wakes those in kona_pt_wait(). True when the
 * page was touched meanwhile: the caller must wake (UFFDIO_WAKE, or by mapping the page) the
 * threads that are stopped on it. May make a system call; never blocks.
 */
KONA_MUST_CHECK bool kona_pt_settle(struct kona_pagetable *pt, uint64_t page, uint64_t entry);

/* Leaves the TOUCHED mark on a busy page. False when it is idle: look again. */
KONA_MUST_CHECK bool kona_pt_touch(struct kona_pagetable *pt, uint64_t page);

/* Sleeps until the page is idle; returns its entry. Not for the fault handler: it must not block.
 */
uint64_t kona_pt_wait(struct kona_pagetable *pt, uint64_t page);

#endif
