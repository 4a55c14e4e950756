/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The write-back walk: evict -> dirty -> transport. One batch:
 *
 *   select   a clock hand takes mapped pages in address order, so that neighbours leave together
 *            (COOLING); a page that came back within one turn is passed over once
 *   take out UFFDIO_MOVE into the staging area: unmaps and stops writers in one step (vacate.c)
 *   find     dirty lines, against the baseline (dirty.c)
 *   send     dirty lines, in one call (FLUSHING)
 *   settle   touched meanwhile: mapped again, no network; else REMOTE, or ABSENT when it never held
 *            anything but zeros
 *
 * State: the hand and the batch, under the write-back lock. What can fail: the store (fatal); a
 * fork that waits for the handler (the rest of the batch stays where it is).
 */
#include "runtime/evict.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "runtime/fatal.h"
#include "runtime/os.h"
#include "runtime/space.h"
#include "runtime/vacate.h"

/* Claims the page under the hand, if it may leave. */
static void consider(struct kona_space *space, uint64_t page)
{
	struct kona_evict *evict = &space->evict;
	uint64_t entry = kona_pt_load(&space->pt, page);
	uint8_t *marks;

	if (kona_pt_state(entry) != KONA_PT_INPLACE)
		return;
	if (!kona_pt_claim(&space->pt, page, entry, KONA_PT_COOLING))
		return;
	marks = &space->frames.marks[kona_pt_payload(entry)];
	if (*marks & KONA_FRAME_HOT) {
		*marks &= (uint8_t)~KONA_FRAME_HOT;
		kona_vacate_keep(space, page, entry);
		return;
	}
	evict->victims[evict->count++] = (struct kona_victim){.page = page, .entry = entry};
}

/* Moves the hand until the batch is full, or it came round twice (the first turn may only have
 * cleared marks). */
static void select_victims(struct kona_space *space)
{
	struct kona_evict *evict = &space->evict;
	uint64_t used = kona_region_used_pages(&space->region);
	uint64_t steps = 2 * used;

	evict->count = 0;
	while (evict->count < KONA_EVICT_BATCH && steps) {
		uint64_t stride = 1;

		if (evict->hand >= used) {
			evict->hand = 0;
			kona_add_relaxed(&evict->turn, 1); /* relaxed: a hint */
		}
		/* relaxed: a page that comes or goes now is met in the next turn */
		if (evict->hand % space->slab_pages == 0 &&
		    !kona_load_relaxed(&space->slab_local[evict->hand / space->slab_pages]))
			stride = space->slab_pages;
		else
			consider(space, evict->hand);
		evict->hand += stride;
		steps = steps > stride ? steps - stride : 0;
	}
}

static void find_dirty(struct kona_space *space, struct kona_victim *victim, const char *content)
{
	uint32_t frame = kona_pt_payload(victim->entry);
	bool zero = victim->entry & KONA_PT_ZERO;

	victim->dirty_lines = kona_dirty_lines(&space->dirty, &space->frames, frame, zero, content);
	/* What the store holds is of an earlier life: every line must be told. */
	if (victim->dirty_lines && (victim->entry & KONA_PT_STALE))
		victim->dirty_lines = UINT64_MAX;
}

static void send_dirty(struct kona_space *space)
{
	struct kona_evict *evict = &space->evict;
	uint64_t wire_bytes = 0, system_calls = 0, lines = 0;
	size_t count = 0;
	int rc;

	for (uint32_t i = 0; i < evict->count; i++) {
		struct kona_victim *victim = &evict->victims[i];

		if (!victim->moved)
			continue;
		find_dirty(space, victim, kona_vacate_staged(space, i));
		if (!victim->dirty_lines)
			continue;
		lines += (uint64_t)__builtin_popcountll(victim->dirty_lines);
		kona_pt_step(&space->pt, victim->page, KONA_PT_FLUSHING);
		kona_lineage_preserve(space, victim->page, 1);
		evict->dirty[count++] = (struct kona_dirty_page){
			.offset_bytes = victim->page * KONA_PAGE_BYTES,
			.mask = victim->dirty_lines,
			.content = kona_vacate_staged(space, i),
		};
	}
	if (!count)
		return;
	rc = space->store->ops->write_lines(space->store, evict->dirty, count, &wire_bytes,
					    &system_calls);
	if (rc)
		kona_fatal("dirty lines cannot be stored on the memory node: %s", strerror(-rc));
	/* relaxed: figures, all three */
	kona_add_relaxed(&space->stats->dirty_lines, lines);
	kona_add_relaxed(&space->stats->written_back_bytes, wire_bytes);
	kona_add_relaxed(&space->stats->system_calls, system_calls);
}

/* Maps a touched page again. False: not now; the thread must fault again. */
static bool recall(struct kona_space *space, const struct kona_victim *victim, const char *content)
{
	uint32_t frame = kona_pt_payload(victim->entry);
	uint64_t flags = victim->dirty_lines ? 0 : victim->entry & (KONA_PT_ZERO | KONA_PT_STALE);
	size_t done;
	int rc;

	if (victim->dirty_lines)
		kona_dirty_baseline(&space->dirty, &space->frames, frame, content);
	rc = kona_uffd_copy(space->uffd, kona_space_address(space, victim->page), content,
			    KONA_PAGE_BYTES, space->write_protect, &done);
	if (rc)
		return false;
	kona_vacate_keep(space, victim->page, kona_pt_entry(KONA_PT_INPLACE, flags, frame));
	kona_add_relaxed(&space->stats->recalled_pages, 1); /* relaxed: a figure */
	return true;
}

/* The page's last step. Returns 1 when it left. */
static int settle_victim(struct kona_space *space, uint32_t index)
{
	struct kona_victim *victim = &space->evict.victims[index];
	bool untouched_zeros = !victim->dirty_lines && (victim->entry & KONA_PT_ZERO);
	uint32_t turn = kona_load_relaxed(&space->evict.turn); /* relaxed: a hint */
	uint64_t entry = untouched_zeros
				 ? kona_pt_entry(KONA_PT_ABSENT, victim->entry & KONA_PT_STALE, 0)
				 : kona_pt_entry(KONA_PT_REMOTE, KONA_PT_FAR, turn);

	if ((kona_pt_load(&space->pt, victim->page) & KONA_PT_TOUCHED) &&
	    recall(space, victim, kona_vacate_staged(space, index)))
		return 0;
	kona_vacate_leave(space, victim->page, entry, kona_pt_payload(victim->entry));
	if (!victim->dirty_lines)
		/* relaxed: a figure */
		kona_add_relaxed(&space->stats->evicted_clean_pages, 1);
	return 1;
}

int kona_evict_batch(struct kona_space *space)
{
	struct kona_evict *evict = &space->evict;
	uint64_t start_ns = kona_now_ns();
	int left = 0, rc;

	select_victims(space);
	if (!evict->count)
		return 0;
	rc = kona_vacate(space);
	send_dirty(space);
	for (uint32_t i = 0; i < evict->count; i++)
		if (evict->victims[i].moved)
			left += settle_victim(space, i);
	kona_os_madvise(evict->staging, (size_t)evict->count * KONA_PAGE_BYTES, MADV_DONTNEED);
	/* relaxed: figures, all three */
	kona_add_relaxed(&space->stats->evicted_pages, (uint64_t)left);
	kona_add_relaxed(&space->stats->system_calls, 1);
	kona_add_relaxed(&space->stats->evict_ns, kona_now_ns() - start_ns);
	return left ? left : rc;
}
