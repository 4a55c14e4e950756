/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves a batch of pages from VFMem into the staging area, run by run (evict -> vacate).
 *
 * UFFDIO_MOVE takes the page itself: no copy, and from then on an access faults. The kernel refuses
 *   EBUSY   a page pinned for DMA, or shared with a forked child. MADV_POPULATE_WRITE makes a
 *           shared one ours; a second EBUSY is a pin, and the page stays
 *   EINVAL  a range that is not writable, or of two mappings: such pages go one by one. Nobody can
 *           write them (mprotect needs the write-back lock), so their contents may be copied
 *   ENOENT  a page that is not there: dropped by the program behind our back
 *   EAGAIN  until a fork event is read: the rest of the batch stays
 *
 * State: none of its own.
 */
#include "runtime/vacate.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "runtime/os.h"
#include "runtime/space.h"

void kona_vacate_keep(struct kona_space *space, uint64_t page, uint64_t entry)
{
	if (kona_pt_settle(&space->pt, page, entry))
		kona_space_wake(space, page);
}

void kona_vacate_leave(struct kona_space *space, uint64_t page, uint64_t entry, uint32_t frame)
{
	kona_frame_give(&space->frames, frame);
	kona_space_count_local(space, &page, 1, -1);
	kona_vacate_keep(space, page, entry);
}

char *kona_vacate_staged(struct kona_space *space, uint32_t victim)
{
	return space->evict.staging + (size_t)victim * KONA_PAGE_BYTES;
}

static char *at_home(struct kona_space *space, uint32_t victim)
{
	return kona_space_address(space, space->evict.victims[victim].page);
}

static int move_one(struct kona_space *space, uint32_t victim)
{
	size_t done;

	kona_add_relaxed(&space->stats->system_calls, 1); /* relaxed: a figure */
	return kona_uffd_move(space->uffd, kona_vacate_staged(space, victim),
			      at_home(space, victim), KONA_PAGE_BYTES, &done);
}

/* A page that is shared after a fork becomes ours alone by a write fault. */
static int move_shared(struct kona_space *space, uint32_t victim)
{
	char *home = at_home(space, victim);

	if (space->write_protect) {
		/* Its fault would come to the handler, which finds the page busy, and would wait
		 * for us. Whoever writes now is not seen: the page counts as dirty. */
		space->frames.marks[kona_pt_payload(space->evict.victims[victim].entry)] |=
			KONA_FRAME_DIRTY;
		if (kona_uffd_unprotect(space->uffd, home, KONA_PAGE_BYTES))
			return -EBUSY;
	}
	if (kona_os_madvise(home, KONA_PAGE_BYTES, MADV_POPULATE_WRITE))
		return -EBUSY;
	return move_one(space, victim);
}

static bool is_there(char *home)
{
	unsigned char state = 1;

	return syscall(SYS_mincore, home, KONA_PAGE_BYTES, &state) || state & 1;
}

/* A read of a page that is not there fails: such a call does not wait for the userfaultfd. */
int kona_vacate_read(char *home, char *bytes)
{
	int memory = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (memory < 0)
		return -EBUSY;
	got = pread(memory, bytes, KONA_PAGE_BYTES, (off_t)(uintptr_t)home);
	syscall(SYS_close, memory);
	if (got == KONA_PAGE_BYTES)
		return 0;
	return is_there(home) ? -EBUSY : -ENOENT;
}

/* A page in a mapping that is not writable: its bytes are copied, then it is dropped. */
static int copy_out(struct kona_space *space, uint32_t victim)
{
	char bytes[KONA_PAGE_BYTES];
	char *home = at_home(space, victim);
	size_t done;
	int rc = kona_vacate_read(home, bytes);

	if (rc)
		return rc;
	if (kona_uffd_copy(space->uffd, kona_vacate_staged(space, victim), bytes, sizeof(bytes),
			   false, &done))
		return -EBUSY;
	return kona_os_madvise(home, KONA_PAGE_BYTES, MADV_DONTNEED) ? -EBUSY : 0;
}

/* The page is gone already; what it held is what the program made of it: zeros. */
static void settle_dropped(struct kona_space *space, const struct kona_victim *victim)
{
	bool clean = (victim->entry & KONA_PT_ZERO) && !(victim->entry & KONA_PT_STALE);

	kona_vacate_leave(space, victim->page,
			  kona_pt_entry(KONA_PT_ABSENT, clean ? 0 : KONA_PT_STALE, 0),
			  kona_pt_payload(victim->entry));
}

/* The victim at which a run stopped. 0: dealt with, go on behind it; -EAGAIN: stop. */
static int move_stubborn(struct kona_space *space, uint32_t index, int reason)
{
	struct kona_victim *victim = &space->evict.victims[index];

	if (reason == -EINVAL)
		reason = move_one(space, index);
	if (reason == -EBUSY)
		reason = move_shared(space, index);
	if (reason == -EINVAL)
		reason = copy_out(space, index);
	switch (reason) {
	case 0:
		victim->content = kona_vacate_staged(space, index);
		return 0;
	case -EAGAIN:
		return -EAGAIN;
	case -ENOENT:
		settle_dropped(space, victim);
		return 0;
	default: /* pinned */
		kona_vacate_keep(space, victim->page, victim->entry);
		return 0;
	}
}

/* Victims first .. end - 1 are neighbours. *ret_next: the first one not dealt with. */
static int move_run(struct kona_space *space, uint32_t first, uint32_t end, uint32_t *ret_next)
{
	while (first < end) {
		size_t bytes;
		int rc = kona_uffd_move(space->uffd, kona_vacate_staged(space, first),
					at_home(space, first),
					(size_t)(end - first) * KONA_PAGE_BYTES, &bytes);

		kona_add_relaxed(&space->stats->system_calls, 1); /* relaxed: a figure */
		for (size_t i = 0; i < bytes / KONA_PAGE_BYTES; i++, first++)
			space->evict.victims[first].content = kona_vacate_staged(space, first);
		if (first == end)
			break;
		if (rc != -EAGAIN)
			rc = move_stubborn(space, first, rc);
		if (rc) {
			*ret_next = first;
			return rc;
		}
		first++;
	}
	*ret_next = end;
	return 0;
}

int kona_vacate(struct kona_space *space)
{
	struct kona_evict *evict = &space->evict;
	uint32_t next = 0;
	int rc = 0;

	while (next < evict->count && !evict->victims[next].content && !rc) {
		uint32_t end = next + 1;

		while (end < evict->count && !evict->victims[end].content &&
		       evict->victims[end].page == evict->victims[end - 1].page + 1)
			end++;
		rc = move_run(space, next, end, &next);
	}
	for (; next < evict->count && !evict->victims[next].content; next++)
		kona_vacate_keep(space, evict->victims[next].page, evict->victims[next].entry);
	return rc;
}

/* --- into frames -------------------------------------------------------------------------------*/

static uint32_t frame_of(const struct kona_victim *victim)
{
	return kona_pt_payload(victim->entry);
}

/* The victim is in its frame now, as if a guard had brought it in; unguarded code may have written.
 */
static void become_framed(struct kona_space *space, uint32_t index)
{
	struct kona_victim *victim = &space->evict.victims[index];
	uint64_t flags = victim->entry & (KONA_PT_ZERO | KONA_PT_STALE);
	uint32_t frame = frame_of(victim);

	kona_frame_filled(&space->frames, frame, KONA_FRAME_MARKED);
	victim->entry = kona_space_frame_entry(space, victim->page, frame, flags);
	victim->content = kona_frame_address(&space->frames, frame);
	kona_pt_step(&space->pt, victim->page, KONA_PT_FLUSHING);
}

/* Victims first .. end - 1 are staged, and their frames are neighbours. */
static void move_into_frames(struct kona_space *space, uint32_t first, uint32_t end)
{
	uint32_t frame = frame_of(&space->evict.victims[first]);
	size_t bytes;
	int rc = kona_uffd_move(space->uffd, kona_frame_address(&space->frames, frame),
				kona_vacate_staged(space, first),
				(size_t)(end - first) * KONA_PAGE_BYTES, &bytes);

	(void)rc; /* what does not move stays in staging, and its frame hollow */
	kona_add_relaxed(&space->stats->system_calls, 1); /* relaxed: a figure */
	for (size_t i = 0; i < bytes / KONA_PAGE_BYTES; i++)
		become_framed(space, first++);
}

/* A shielded page stays in staging: whoever wants it back meanwhile must find it in place. */
static bool may_become_framed(const struct kona_space *space, uint32_t index)
{
	const struct kona_victim *victim = &space->evict.victims[index];

	return victim->content && !kona_pt_framed(victim->entry) &&
	       !kona_space_shielded(space, victim->page);
}

void kona_vacate_to_frames(struct kona_space *space)
{
	const struct kona_evict *evict = &space->evict;
	uint32_t next = 0;

	if (!kona_load_relaxed(&space->guarded)) /* relaxed: once is as good as earlier */
		return;
	while (next < evict->count) {
		uint32_t end = next + 1;

		while (end < evict->count && may_become_framed(space, end) &&
		       frame_of(&evict->victims[end]) == frame_of(&evict->victims[end - 1]) + 1)
			end++;
		if (may_become_framed(space, next))
			move_into_frames(space, next, end);
		next = end;
	}
}
