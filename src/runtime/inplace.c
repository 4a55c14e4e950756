/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The meeting of the two paths (fault -> inplace). UFFDIO_MOVE takes the page's memory from one of
 * its addresses to the other; the frame stays the page's, hollow meanwhile.
 *
 * Nobody waits for hazard slots here: a guard with an old translation faults at the frame's
 * address, which is registered with the userfaultfd, and the page comes back there. So a thread
 * that sleeps with its slots set is in nobody's way.
 *
 * Dirty lines. From the move on, unguarded code may write without marks, so the contents at that
 * moment become the baseline. Guards may be storing while it is taken. But they mark first and
 * store then: a store that the baseline missed or caught has its mark, and what is sent at eviction
 * is the union of marks and differences. (tests/model/guard.pml.)
 *
 * State: none of its own. What can fail: a page pinned for DMA, or a fork under way: not now.
 */
#include "runtime/inplace.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/atomic.h"
#include "runtime/fatal.h"
#include "runtime/flight.h"
#include "runtime/mutate.h"
#include "runtime/os.h"
#include "runtime/space.h"
#include "runtime/vacate.h"

enum { RETRY_US = 100 };

static void expect_writers(struct kona_space *space, uint32_t frame, uint64_t seen)
{
	uint8_t *marks = &space->frames.marks[frame];

	if (space->write_protect) /* a moved page is not protected: nobody will tell of a store */
		*marks |= KONA_FRAME_DIRTY;
	if ((*marks & KONA_FRAME_COMPARE) &&
	    !KONA_MUTATED(HASH_AGAIN)) /* the baseline of its first time in place still stands */
		return;
	if (!(seen & KONA_PT_ZERO) && !space->write_protect)
		kona_dirty_baseline(&space->dirty, &space->frames, frame,
				    kona_frame_address(&space->frames, frame));
	*marks |= KONA_FRAME_COMPARE;
}

static int move(struct kona_space *space, char *to, char *from)
{
	size_t done;

	kona_add_relaxed(&space->stats->system_calls, 1); /* relaxed: a figure */
	return kona_uffd_move(space->uffd, to, from, KONA_PAGE_BYTES, &done);
}

int kona_inplace_enter(struct kona_space *space, uint64_t page, uint64_t seen)
{
	uint32_t frame = kona_pt_payload(seen);
	uint64_t flags = seen & (KONA_PT_ZERO | KONA_PT_STALE);
	int rc;

	if (!kona_pt_claim(&space->pt, page, seen, KONA_PT_VACATING))
		return -ESTALE;
	expect_writers(space, frame, seen);
	rc = move(space, kona_space_address(space, page),
		  kona_frame_address(&space->frames, frame));
	if (rc) {
		/* A mapping that is not writable, or the program's own: the access is its affair.
		 */
		bool pass = rc != -EAGAIN && rc != -EBUSY;

		kona_vacate_keep(space, page, kona_space_frame_entry(space, page, frame, flags));
		if (pass)
			kona_space_wake(space, page);
		return pass ? 0 : -EAGAIN;
	}
	space->frames.marks[frame] &= (uint8_t) ~(KONA_FRAME_SOLID | KONA_FRAME_AHEAD);
	kona_vacate_keep(space, page, kona_pt_entry(KONA_PT_INPLACE, flags, frame));
	kona_add_relaxed(&space->stats->moved_in_place, 1); /* relaxed: a figure */
	return 0;
}

/* After a fork the page may be shared with the child: a write fault makes it ours. */
static int move_shared(struct kona_space *space, uint32_t frame, char *to, char *from)
{
	if (space->write_protect) {
		space->frames.marks[frame] |= KONA_FRAME_DIRTY;
		if (kona_uffd_unprotect(space->uffd, from, KONA_PAGE_BYTES))
			return -EBUSY;
	}
	if (kona_os_madvise(from, KONA_PAGE_BYTES, MADV_POPULATE_WRITE))
		return -EBUSY;
	return move(space, to, from);
}

/* The page was dropped at its own address: it is zeros, whose frame needs memory again. */
static int fill(struct kona_space *space, char *to)
{
	static const char zeros[KONA_PAGE_BYTES];
	size_t done;

	return kona_uffd_copy(space->uffd, to, zeros, KONA_PAGE_BYTES, false, &done);
}

int kona_inplace_leave(struct kona_space *space, uint64_t page, uint64_t seen)
{
	uint32_t frame = kona_pt_payload(seen);
	uint64_t flags = seen & (KONA_PT_ZERO | KONA_PT_STALE);
	char *home = kona_space_address(space, page);
	char *address = kona_frame_address(&space->frames, frame);
	int rc;

	if (!kona_pt_claim(&space->pt, page, seen, KONA_PT_VACATING))
		return -ESTALE;
	rc = move(space, address, home);
	if (rc == -EBUSY)
		rc = move_shared(space, frame, address, home);
	if (rc == -ENOENT) {
		if (!(flags & KONA_PT_ZERO)) /* the store's bytes are of an earlier life */
			flags = KONA_PT_ZERO | KONA_PT_STALE;
		rc = fill(space, address);
	}
	if (rc) {
		kona_vacate_keep(space, page, seen);
		if (rc != -EAGAIN && rc != -EBUSY)
			kona_fatal("page %p cannot go back to its frame: %s", (void *)home,
				   strerror(-rc));
		return -EAGAIN;
	}
	space->frames.marks[frame] |= KONA_FRAME_SOLID | KONA_FRAME_MARKED;
	kona_vacate_keep(space, page, kona_space_frame_entry(space, page, frame, flags));
	kona_add_relaxed(&space->stats->moved_to_frame, 1); /* relaxed: a figure */
	return 0;
}

static void bring_in_place(struct kona_space *space, uint64_t page)
{
	for (;;) {
		uint64_t entry = kona_pt_load(&space->pt, page);

		if (kona_pt_busy(entry))
			entry = kona_flight_await(space, page);
		if (!kona_pt_framed(entry))
			return;
		if (kona_inplace_enter(space, page, entry) == -EAGAIN)
			usleep(RETRY_US);
	}
}

void kona_inplace_enter_range(struct kona_space *space, uint64_t first, uint64_t pages)
{
	uint64_t page = first;

	kona_flight_land_all(space);
	while (page < first + pages) {
		uint64_t slab = page / space->slab_pages;

		/* relaxed: nobody frames pages of this range now */
		if (!kona_load_relaxed(&space->slab_local[slab])) {
			page = (slab + 1) * space->slab_pages;
			continue;
		}
		bring_in_place(space, page++);
	}
}
