/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Heritage: what a forked child inherits of its parent's remote pages, in memory that both share.
 *
 * At the fork, pages are either mapped (the kernel shares them with the child, copy on write), or
 * missing: then the child reads zeros, or, where `far` says so, what the parent's store held at the
 * fork. The child reads the store by itself. The parent, before it overwrites such a page, copies
 * the old contents to the shelf, a range of the store that is set apart for this child, and marks
 * the page `saved`:
 *
 *   parent: copy to the shelf; saved = 1; overwrite the store
 *   child:  saved? read the shelf : read the store; saved still 0? map what was read, else look
 * again
 *
 * So whoever reads new bytes also sees saved = 1 (edge HE-1). A page's place on the shelf is its
 * number among the far pages. Pages for which the shelf has no room (the rack gave no memory for
 * it) are mapped into the child instead, between saved = 1 and the overwriting: correct, but that
 * takes local memory without bound.
 */
#ifndef KONA_RUNTIME_HERITAGE_H
#define KONA_RUNTIME_HERITAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "transport/transport.h"

struct kona_space;

struct kona_heritage {
	uint64_t pages;	       /* beyond them nothing was in use. Immutable after the fork */
	uint64_t words;	       /* of each bit map */
	uint64_t mapped_bytes; /* of this mapping */
	uint64_t shelf_page;   /* first page of the shelf in the store. Immutable after the fork */
	uint64_t shelf_pages;  /* Immutable after the fork */
	uint32_t *ranks;       /* far pages before each word of bits. Immutable after the fork */
	uint64_t bits[];       /* far, immutable after the fork; then saved. Atomic, edge HE-1 */
};

/* Who serves a child's missing pages: first the parent's handler, then the child's own thread. */
struct kona_executor {
	struct kona_heritage *heritage;
	char *base;		      /* of VFMem */
	int uffd;		      /* of the child */
	struct kona_transport *store; /* the parent's */
	char *bounce;		      /* KONA_FETCH_MOST_PAGES pages */
	const char *zeros;	      /* one page */
	bool parent_gone;	      /* then nobody overwrites the store any more */
	uint64_t next_page;	      /* fault-around: where the last run ended */
	uint32_t window_pages;
	struct kona_trim *trim; /* the heir's account of what it may drop again; or NULL */
};

/* Without a shelf. NULL: no memory. */
struct kona_heritage *kona_heritage_new(uint64_t pages);
void kona_heritage_delete(struct kona_heritage *heritage);

/* Records which missing pages have contents. At the fork, with the write-back lock held. */
void kona_heritage_snapshot(struct kona_heritage *heritage, struct kona_space *space);

/* True when the child's contents of the page are in the store, and only there. */
bool kona_heritage_needs(const struct kona_heritage *heritage, uint64_t page);

/* True when the store held the page at the fork. */
bool kona_heritage_far(const struct kona_heritage *heritage, uint64_t page);

/* True when there is a place on the shelf for this far page; tells where in the store it is. */
bool kona_heritage_shelf(const struct kona_heritage *heritage, uint64_t page, uint64_t *ret_page);

/* Parent, with the write-back lock held: from now on the child does not read this page's place. */
void kona_heritage_mark_saved(struct kona_heritage *heritage, uint64_t page);

/*
 * Serves the child's fault on `page`. Returns pages mapped, 0 when the thread must look again (it
 * is woken), or -errno of the store.
 */
KONA_MUST_CHECK int kona_heritage_serve(struct kona_executor *executor, uint64_t page);

#endif
