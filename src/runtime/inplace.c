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
 * Protection. The kernel moves nothing out of, or into, a mapping that is not writable; yet a page
 * may have to go back to its frame there, for a translation from before the protection changed. Its
 * thread may be about to load or to store, and knows nothing of the change. What it does counts as
 * done before it, so it is served, once or as long as its slot names the page; but
 *
 *   - nobody may come to the frame anew: the page stays out of the guards' sight there (COOLING),
 *     and a guard that misses a shielded page touches its own address (guard.c)
 *   - what it stores must be seen by all who read the page later, in place, and by itself. Two
 *     copies, one for old translations and one in place, would lose it; so the page is at one of
 *     its addresses, there as elsewhere, and whoever touches the other one brings it over
 *
 * It goes by a copy, which must not miss a store, and behind which no reader may find the old
 * contents. Out: read, drop at its own address, then fill the frame. Nobody can store in place
 * while the mapping is not writable: that changes under the write-back lock only, so the copier
 * holds it; the handler, which must not wait, tries. In: guards do store to the frame. It is moved
 * to the staging area, which stops them, and copied from there. (tests/model/guard.pml.)
 *
 * State: none of its own; the first page of the staging area, under the write-back lock. What can
 * fail: a page pinned for DMA, or a fork under way: not now.
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
#include "runtime/recency.h"
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

static int fill(struct kona_space *space, char *to, const char *bytes)
{
	size_t done;

	return kona_uffd_copy(space->uffd, to, bytes, KONA_PAGE_BYTES, false, &done);
}

/* No fork is under way (its thread holds the lock): what could be moved out can be moved back. */
static int copy_in(struct kona_space *space, char *home, char *address)
{
	char *between = kona_vacate_staged(space, 0);
	int rc;

	if (KONA_MUTATED(COPY_IN_USE)) { /* and long enough for a store */
		rc = fill(space, home, address);
		usleep(50);
		return kona_os_madvise(address, KONA_PAGE_BYTES, MADV_DONTNEED) ? -EBUSY : rc;
	}
	rc = move(space, between, address);
	if (rc)
		return rc;
	rc = fill(space, home, between);
	if (!rc)
		kona_os_madvise(between, KONA_PAGE_BYTES, MADV_DONTNEED);
	else if (move(space, address, between))
		kona_fatal("page %p cannot go to its own address: %s", (void *)home, strerror(-rc));
	return rc;
}

int kona_inplace_enter(struct kona_space *space, uint64_t page, uint64_t seen, bool locked)
{
	uint32_t frame = kona_pt_payload(seen);
	uint64_t flags = seen & (KONA_PT_ZERO | KONA_PT_STALE);
	char *home = kona_space_address(space, page);
	char *address = kona_frame_address(&space->frames, frame);
	int rc;

	if (!kona_pt_claim(&space->pt, page, seen, KONA_PT_VACATING))
		return -ESTALE;
	expect_writers(space, frame, seen);
	rc = move(space, home, address);
	if (rc == -EINVAL && locked)
		rc = copy_in(space, home, address);
	if (rc) {
		kona_vacate_keep(space, page, kona_space_kept_entry(space, page, frame, flags));
		if (rc == -EAGAIN || rc == -EBUSY)
			return -EAGAIN;
		if (rc == -EINVAL && !locked)
			return -EPERM;
		/* What is mapped there is the program's own: the access is its affair. */
		kona_space_wake(space, page);
		return 0;
	}
	space->frames.marks[frame] &= (uint8_t) ~(KONA_FRAME_SOLID | KONA_FRAME_AHEAD);
	kona_recency_move(space, frame);
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

/* Under the write-back lock. */
static int copy_out(struct kona_space *space, char *address, char *home)
{
	char bytes[KONA_PAGE_BYTES];
	int rc = kona_vacate_read(home, bytes);

	if (rc)
		return rc;
	if (kona_os_madvise(home, KONA_PAGE_BYTES, MADV_DONTNEED))
		return -EBUSY;
	rc = fill(space, address, bytes);
	if (rc)
		kona_fatal("page %p cannot go back to its frame: %s", (void *)home, strerror(-rc));
	return 0;
}

int kona_inplace_leave(struct kona_space *space, uint64_t page, uint64_t seen, bool locked)
{
	static const char zeros[KONA_PAGE_BYTES];
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
	if (rc == -EINVAL && locked)
		rc = copy_out(space, address, home);
	if (rc == -ENOENT) { /* dropped at its own address: the frame needs memory again */
		if (!(flags & KONA_PT_ZERO)) /* the store's bytes are of an earlier life */
			flags = KONA_PT_ZERO | KONA_PT_STALE;
		rc = fill(space, address, zeros);
	}
	if (rc) {
		kona_vacate_keep(space, page, seen);
		if (rc == -EINVAL && !locked)
			return -EPERM;
		if (rc != -EAGAIN && rc != -EBUSY)
			kona_fatal("page %p cannot go back to its frame: %s", (void *)home,
				   strerror(-rc));
		return -EAGAIN;
	}
	kona_frame_filled(&space->frames, frame, KONA_FRAME_MARKED);
	kona_vacate_keep(space, page, kona_space_kept_entry(space, page, frame, flags));
	kona_add_relaxed(&space->stats->moved_to_frame, 1); /* relaxed: a figure */
	return 0;
}

static void bring_in_place(struct kona_space *space, uint64_t page)
{
	int rc;

	do {
		uint64_t entry = kona_pt_load(&space->pt, page);

		if (kona_pt_busy(entry))
			entry = kona_flight_await(space, page);
		if (!kona_pt_framed(entry))
			return;
		rc = kona_inplace_enter(space, page, entry, true);
		if (rc == -EAGAIN)
			usleep(RETRY_US);
	} while (rc);
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
