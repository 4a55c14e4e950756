/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is kept of one process's pages between windows: a slot per page (its copy, or the hashes of
 * its lines) and the extents that say which page has which slot.
 *
 * Extents are sorted by page and rebuilt in each walk over the process, which comes by in the same
 * order; so the whole of it is sequential, and costs 16 bytes per run of pages:
 *
 *   kona_store_begin(store)
 *   per run of pages that are there:
 *     kona_store_take(...)    -> a first part of it that has slots, or that has none
 *     kona_store_add(...)     -> slots for (a first part of) one that has none
 *   kona_store_end(store)     what was not come by is now in store->orphans
 *   kona_store_move(...)      takes orphans back, at another address (a moved mapping)
 *   kona_store_drop(store)    frees the slots of the rest
 *
 * Slots lie in one reserved range that grows; slot i is at base + i * slot_bytes.
 */
#ifndef KONA_TRACK_STORE_H
#define KONA_TRACK_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct kona_extent {
	uint64_t page; /* address / 4096 */
	uint32_t count, slot;
};

struct kona_extents {
	struct kona_extent *v;
	size_t count, room;
	bool unsorted;
};

struct kona_store {
	uint32_t slot_bytes;
	void *mapped;		     /* the reserved range, */
	char *base;		     /* from its first multiple of a huge page on */
	size_t reserved, grown, top; /* slots: of address space, backed by memory, handed out */
	size_t held;		     /* slots in use */
	struct kona_extents now, next, orphans;
	struct kona_extents free; /* page: 1 when its memory was given back to the kernel */
	size_t cursor;		  /* first extent of now that the walk has not passed */
	uint32_t cursor_used;	  /* pages of it that were passed */
};

KONA_MUST_CHECK int kona_store_open(struct kona_store *store, uint32_t slot_bytes);
void kona_store_close(struct kona_store *store);

static inline void *kona_store_slot(const struct kona_store *store, uint32_t slot)
{
	return store->base + (size_t)slot * store->slot_bytes;
}

/* Makes sure of memory for so many more slots, so that a stopped target need not wait for it. */
KONA_MUST_CHECK int kona_store_prepare(struct kona_store *store, size_t slots);

void kona_store_begin(struct kona_store *store);

/*
 * Comes by count pages from page on. *ret_known: has the first part, of ret_extent->count pages,
 * slots? Then ret_extent says which, and they are kept. Returns 0 or -ENOMEM.
 */
KONA_MUST_CHECK int kona_store_take(struct kona_store *store, uint64_t page, uint64_t count,
				    struct kona_extent *ret_extent, bool *ret_known);

/* Comes by all that has slots, up to page. */
KONA_MUST_CHECK int kona_store_keep(struct kona_store *store, uint64_t page);

/* Gives slots, whose contents are undefined, to a first part of count pages. */
KONA_MUST_CHECK int kona_store_add(struct kona_store *store, uint64_t page, uint64_t count,
				   struct kona_extent *ret_extent);

KONA_MUST_CHECK int kona_store_end(struct kona_store *store);

/* The pages of [from, from + count) are now those from `to` on. After kona_store_end(). */
KONA_MUST_CHECK int kona_store_move(struct kona_store *store, uint64_t from, uint64_t to,
				    uint64_t count);

/* The pages of [page, page + count) are no more; if they come back, then as zeros. After
 * kona_store_end(). */
KONA_MUST_CHECK int kona_store_forget(struct kona_store *store, uint64_t page, uint64_t count);

/* The extent that holds page, or NULL. */
const struct kona_extent *kona_store_find(const struct kona_extents *extents, uint64_t page);

KONA_MUST_CHECK int kona_store_drop(struct kona_store *store);

/* Bytes of memory that the store uses. */
uint64_t kona_store_bytes(const struct kona_store *store);

#endif
