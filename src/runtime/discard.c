/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discard, beside the two walks: drops pages in pieces of 1 MiB, so that the evictor is not held up
 * for long. A whole piece is given back to the memory node, too; of a smaller range the store keeps
 * its bytes, and the entry says so (STALE): giving back page by page would cost a call each.
 *
 * State: none of its own. What can fail: the store (fatal).
 */
#include "runtime/discard.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "runtime/fatal.h"
#include "runtime/flight.h"
#include "runtime/mutate.h"
#include "runtime/os.h"
#include "runtime/space.h"

enum { PIECE_PAGES = 256 };

struct piece {
	uint64_t first;
	uint64_t count;
	bool punch;		       /* give the store's memory back */
	bool mapped;		       /* some are at their own address */
	bool framed;		       /* some are in frames */
	uint64_t entries[PIECE_PAGES]; /* before the claim */
	bool claimed[PIECE_PAGES];
};

/* Nothing to do for it: reads as zeros, and the store has nothing worth giving back. */
static bool is_nothing(const struct piece *piece, uint64_t entry)
{
	return kona_pt_state(entry) == KONA_PT_ABSENT && !(piece->punch && (entry & KONA_PT_STALE));
}

static void claim_page(struct kona_space *space, struct piece *piece, uint64_t i)
{
	for (;;) {
		uint64_t entry = kona_flight_await(space, piece->first + i);

		piece->entries[i] = entry;
		if (kona_pt_state(entry) == KONA_PT_OUTSIDE) { /* the kernel's, as it would be */
			piece->claimed[i] = false;
			piece->mapped = true;
			return;
		}
		piece->claimed[i] =
			!is_nothing(piece, entry) && kona_pt_state(entry) != KONA_PT_LOST;
		if (!piece->claimed[i])
			return;
		if (kona_pt_claim(&space->pt, piece->first + i, entry, KONA_PT_FETCHING))
			break;
	}
	piece->framed |= kona_pt_framed(piece->entries[i]);
	piece->mapped |= kona_pt_resident(piece->entries[i]) && !kona_pt_framed(piece->entries[i]);
}

static void drop_piece(struct kona_space *space, const struct piece *piece, bool far)
{
	char *start = kona_space_address(space, piece->first);
	int rc;

	if (piece->mapped && kona_os_madvise(start, piece->count * KONA_PAGE_BYTES, MADV_DONTNEED))
		kona_fatal("memory at %p cannot be dropped: %s", (void *)start, strerror(errno));
	if (!far)
		return;
	kona_lineage_preserve(space, piece->first, piece->count);
	rc = space->store->ops->discard(space->store, piece->first * KONA_PAGE_BYTES,
					piece->count * KONA_PAGE_BYTES);
	if (rc)
		kona_fatal("the memory node does not take memory back: %s", strerror(-rc));
}

/*
 * A guard may be using the page, or it is pinned: it keeps its frame and becomes zeros, so that a
 * store which comes late lands in the page that it was meant for. Marks stay, for a guard may stand
 * between its mark and its store. A page in place has lost its memory: the next touch, at whichever
 * of its addresses, finds zeros (fault.c, inplace.c).
 */
static void settle_held(struct kona_space *space, uint64_t page, uint64_t entry, bool clean)
{
	uint32_t frame = kona_pt_payload(entry);
	uint64_t flags = KONA_PT_ZERO | (clean ? 0 : KONA_PT_STALE);
	uint64_t settled = kona_pt_entry(KONA_PT_INPLACE, flags, frame);

	if (KONA_MUTATED(DISCARD_CLEARS_MARKS))
		(void)kona_frame_collect(&space->frames, frame);
	if (kona_pt_framed(entry)) {
		memset(kona_frame_address(&space->frames, frame), 0, KONA_PAGE_BYTES);
		settled = kona_space_kept_entry(space, page, frame, flags);
	}
	if (kona_pt_settle(&space->pt, page, settled))
		kona_space_wake(space, page);
}

static bool is_held(const struct kona_space *space, uint64_t page, uint32_t frame)
{
	/* relaxed: set before the first page is framed */
	return kona_load_relaxed(&space->guarded) && !KONA_MUTATED(DISCARD_NO_SCAN) &&
	       (kona_held(&space->evict.held, page) || kona_frame_pinned(&space->frames, frame));
}

static void settle_page(struct kona_space *space, const struct piece *piece, uint64_t i)
{
	uint64_t entry = piece->entries[i], page = piece->first + i;
	bool local = kona_pt_framed(entry) || kona_pt_state(entry) == KONA_PT_INPLACE;
	bool clean = piece->punch || ((entry & KONA_PT_ZERO) && !(entry & KONA_PT_STALE));

	if (local) {
		uint32_t frame = kona_pt_payload(entry);

		if (is_held(space, page, frame)) {
			settle_held(space, page, entry, clean);
			return;
		}
		if (space->frames.marks[frame] & KONA_FRAME_MARKED)
			(void)kona_frame_collect(&space->frames, frame);
		kona_frame_give(&space->frames, frame);
		kona_space_count_local(space, &page, 1, -1);
	}
	if (kona_pt_settle(&space->pt, page,
			   kona_pt_entry(KONA_PT_ABSENT, clean ? 0 : KONA_PT_STALE, 0)))
		kona_space_wake(space, page);
}

static void discard_piece(struct kona_space *space, uint64_t first, uint64_t count)
{
	struct piece piece = {.first = first, .count = count, .punch = count == PIECE_PAGES};
	uint64_t claimed = 0;
	bool far = false;

	for (uint64_t i = 0; i < count; i++) {
		claim_page(space, &piece, i);
		claimed += piece.claimed[i];
		/* Anything but zeros that never left may have bytes in the store. */
		far |= piece.claimed[i] &&
		       (!(piece.entries[i] & KONA_PT_ZERO) || (piece.entries[i] & KONA_PT_STALE));
	}
	if (!claimed && !piece.mapped)
		return;
	/* relaxed: set before the first page is framed */
	if ((piece.framed || piece.mapped) && kona_load_relaxed(&space->guarded)) {
		kona_hazard_barrier(space);
		kona_hazard_collect(&space->evict.held);
	}
	drop_piece(space, &piece, piece.punch && far);
	for (uint64_t i = 0; i < count; i++)
		if (piece.claimed[i])
			settle_page(space, &piece, i);
	kona_add_relaxed(&space->stats->discarded_pages, claimed); /* relaxed: a figure */
}

void kona_discard(struct kona_space *space, uint64_t first, uint64_t count)
{
	sigset_t signals;

	while (count) {
		uint64_t piece = PIECE_PAGES - first % PIECE_PAGES;

		if (piece > count)
			piece = count;
		kona_space_lock(space, &signals);
		discard_piece(space, first, piece);
		kona_space_unlock(space, &signals);
		first += piece;
		count -= piece;
	}
	kona_fault_feed(space);
}
