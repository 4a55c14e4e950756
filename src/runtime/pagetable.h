/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page table: one 64-bit atomic entry per 4 KiB page of VFMem, in one flat sparse array.
 *
 *    63          41 40          12 11     9   8   7   6   5   4  3    0
 *   +--------------+--------------+---------+---+---+---+---+---+------+
 *   | payload, low | delta        | payload,| F | W | T | Z | S | state|
 *   |              |              | high    |   |   |   |   |   |      |
 *   +--------------+--------------+---------+---+---+---+---+---+------+
 *    payload: local states: the page's frame number; REMOTE: the eviction clock when it left;
 *               OUTSIDE: with Z, the frame that the page still has
 *    delta: resident: bytes from the page's address to its contents: its frame, or 0. Guards add it
 *               to the address as it stands here (FMem lies above VFMem: it is never negative).
 *               0 in every other state: guards ask for it and for RESIDENT by one `and`
 *    S STALE    ABSENT, or local with Z: the store's bytes are not zero, so the next write-back
 *               sends every line
 *    F FAR      REMOTE, and busy since: a missing page's contents are in the store. (A forked child
 *               inherits missing pages in the midst of a fetch; this tells what they hold)
 *    Z ZERO     local: the contents began as zeros, there is no baseline
 *    T TOUCHED  busy: a thread is stopped on the page; the owner must wake it (userfaultfd)
 *    W WAITED   busy: a thread sleeps in kona_pt_sleep(); settling wakes it (futex)
 *
 * Guards hit entries whose state has bit 0 (RESIDENT); those with bit 3 are busy.
 *
 * Protocol. An idle entry (ABSENT, REMOTE, LOST, COOLING, INPLACE, FRAME, OUTSIDE) changes by
 * kona_pt_claim(), which makes it busy (FETCHING, VACATING, FLUSHING); beside that, FRAME and
 * COOLING change into one another. The claimer alone owns a busy entry: it may step it to another
 * busy state and ends with kona_pt_settle(). Others may only leave a mark on it (touch, wait). An
 * array of zeros is a table of ABSENT pages: no initialisation, no memory for pages never used.
 */
#ifndef KONA_RUNTIME_PAGETABLE_H
#define KONA_RUNTIME_PAGETABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

enum kona_pt_state {
	KONA_PT_ABSENT = 0,    /* reads as zeros, no store needed */
	KONA_PT_INPLACE = 1,   /* resident: mapped at its own address */
	KONA_PT_REMOTE = 2,    /* only on memory nodes */
	KONA_PT_FRAME = 3,     /* resident: in its frame; its own address is missing */
	KONA_PT_LOST = 4,      /* every replica is gone */
	KONA_PT_OUTSIDE = 5,   /* resident: the program mapped something of its own there */
	KONA_PT_COOLING = 6,   /* in its frame, out of the guards' sight: a touch brings it back */
	KONA_PT_FETCHING = 8,  /* busy: someone brings it in, moves it, or discards it */
	KONA_PT_VACATING = 10, /* busy: leaves its own address, contents still local */
	KONA_PT_FLUSHING = 12, /* busy: dirty lines are on their way */
};

#define KONA_PT_STATE	UINT64_C(0xf)
#define KONA_PT_STALE	UINT64_C(0x10)
#define KONA_PT_ZERO	UINT64_C(0x20)
#define KONA_PT_TOUCHED UINT64_C(0x40)
#define KONA_PT_WAITED	UINT64_C(0x80)
#define KONA_PT_FAR	UINT64_C(0x100)
#define KONA_PT_DELTA	UINT64_C(0x1fffffff000)

#define KONA_PT_LOW_PAYLOAD_BITS 23
#define KONA_PT_MOST_PAYLOAD	 ((UINT32_C(1) << (KONA_PT_LOW_PAYLOAD_BITS + 3)) - 1)

struct kona_pagetable {
	uint64_t *entries; /* Atomic, edges PT-1 and PT-2. Owned */
	uint64_t pages;	   /* Immutable after init */
};

/* Without delta. Of the payload, 26 bits are kept. */
static inline uint64_t kona_pt_entry(enum kona_pt_state state, uint64_t flags, uint32_t payload)
{
	uint64_t high = payload >> KONA_PT_LOW_PAYLOAD_BITS & 7;

	return (uint64_t)payload << 41 | high << 9 | flags | state;
}

/* In its frame, which is delta_bytes above the page. */
static inline uint64_t kona_pt_frame_entry(uint64_t flags, uint32_t frame, uint64_t delta_bytes)
{
	return kona_pt_entry(KONA_PT_FRAME, flags, frame) | delta_bytes;
}

static inline enum kona_pt_state kona_pt_state(uint64_t entry)
{
	return (enum kona_pt_state)(entry & KONA_PT_STATE);
}

static inline uint32_t kona_pt_payload(uint64_t entry)
{
	return (uint32_t)(entry >> 41) | (uint32_t)(entry >> 9 & 7) << KONA_PT_LOW_PAYLOAD_BITS;
}

static inline bool kona_pt_busy(uint64_t entry)
{
	return entry & 8;
}

static inline bool kona_pt_resident(uint64_t entry)
{
	return entry & 1;
}

/* The entry in a state that guards do not hit: marks, flags and payload stay. */
static inline uint64_t kona_pt_out_of_sight(uint64_t entry, enum kona_pt_state state)
{
	return (entry & ~(KONA_PT_STATE | KONA_PT_DELTA)) | state;
}

/* The contents are in the page's frame: entry = FRAME or COOLING. */
static inline bool kona_pt_framed(uint64_t entry)
{
	return kona_pt_state(entry) == KONA_PT_FRAME || kona_pt_state(entry) == KONA_PT_COOLING;
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

/* Takes a FRAME page, seen as `seen`, out of the guards' sight. False: it changed meanwhile. */
KONA_MUST_CHECK bool kona_pt_cool(struct kona_pagetable *pt, uint64_t page, uint64_t seen);
/* Brings a COOLING page back, as the FRAME entry. False: it changed meanwhile. */
KONA_MUST_CHECK bool kona_pt_recall(struct kona_pagetable *pt, uint64_t page, uint64_t seen,
				    uint64_t entry);

/*
 * Owner: makes the page idle with exactly `entry` and wakes those in kona_pt_sleep(). True when the
 * page was touched meanwhile: the caller must wake (UFFDIO_WAKE, or by mapping the page) the
 * threads that are stopped on it. May make a system call; never blocks.
 */
KONA_MUST_CHECK bool kona_pt_settle(struct kona_pagetable *pt, uint64_t page, uint64_t entry);

/* Does somebody wait for the busy page? Owner: what is asked too early is told by settling. */
bool kona_pt_wanted(const struct kona_pagetable *pt, uint64_t page);

/* Leaves the TOUCHED mark on a busy page. False when it is idle: look again. */
KONA_MUST_CHECK bool kona_pt_touch(struct kona_pagetable *pt, uint64_t page);

/* Leaves the WAITED mark on a busy page. Returns the entry with it, or an idle one. */
uint64_t kona_pt_want(struct kona_pagetable *pt, uint64_t page);

/* Sleeps unless the entry is not `seen`, marked WAITED, any more; may return early. */
void kona_pt_sleep(struct kona_pagetable *pt, uint64_t page, uint64_t seen);

#endif
