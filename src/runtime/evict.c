/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The write-back walk: evict -> cool, vacate -> find -> dirty -> transport. One batch:
 *
 *   select   a clock hand takes local pages as their memory lies: neighbours leave together.
 *            Framed ones go to cool (cool.c), and those that cooled for long are victims; mapped
 *            ones are victims at once (VACATING), but what was wanted back soon is passed over
 *            for some turns (recency.h)
 *   spare    pages that stand in a hazard slot stay (hazard.c). One membarrier(2) serves all pages
 *            that cooled before it: with plenty of frames, several batches
 *   take out mapped pages: UFFDIO_MOVE into the staging area unmaps and stops writers in one step
 *            (vacate.c). Framed ones need nothing: no guard sees them
 *   find     dirty lines: the guards' marks; where unguarded code may have written, the difference
 *            from the baseline, too (find.c, dirty.c)
 *   send     dirty lines, in one call (FLUSHING)
 *   settle   wanted meanwhile: local again, no network; else REMOTE, or ABSENT when it never held
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
#include "runtime/cool.h"
#include "runtime/fatal.h"
#include "runtime/find.h"
#include "runtime/mutate.h"
#include "runtime/os.h"
#include "runtime/recency.h"
#include "runtime/space.h"
#include "runtime/vacate.h"

/* The entry of a page is in no cache when the hand comes: brought there so many frames before.
 * What is behind the last frame in use is at least in the arrays: they end with the overdraft. */
enum { EXPECTED_FRAMES = 8 };

/* Pages that a batch passes over (recency.h) before it takes all that it meets. */
enum { MOST_PASSED = 16 * KONA_EVICT_BATCH };

enum { GIVEN_AT_ONCE = KONA_FREEMAP_WORD }; /* frames */

/* --- select ------------------------------------------------------------------------------------*/

/* Claims a mapped page, if it may leave. */
static uint32_t consider_mapped(struct kona_space *space, uint64_t page, uint64_t entry)
{
	struct kona_evict *evict = &space->evict;

	if (evict->patience && kona_recency_passes(space, kona_pt_payload(entry))) {
		evict->patience--;
		return 0;
	}
	if (!kona_pt_claim(&space->pt, page, entry, KONA_PT_VACATING))
		return 0;
	evict->victims[evict->count++] = (struct kona_victim){.page = page, .entry = entry};
	return 1;
}

static uint32_t consider(struct kona_space *space, uint64_t page, uint64_t entry)
{
	if (kona_pt_state(entry) == KONA_PT_INPLACE)
		return consider_mapped(space, page, entry);
	return kona_pt_framed(entry) ? kona_cool_down(space, page, entry) : 0;
}

/* The page at this place of VFMem. *ret_stride: to where the next one can be. */
static uint32_t consider_page(struct kona_space *space, uint64_t page, uint64_t *ret_stride)
{
	/* relaxed: a page that comes or goes now is met in the next turn */
	if (page % space->slab_pages == 0 &&
	    !kona_load_relaxed(&space->slab_local[page / space->slab_pages])) {
		*ret_stride = space->slab_pages;
		return 0;
	}
	return consider(space, page, kona_pt_load(&space->pt, page));
}

static uint32_t owner_of(const struct kona_space *space, uint32_t frame)
{
	/* relaxed: PT-1, by the load of the entry that names the frame */
	return kona_load_relaxed(&space->frames.owner[frame]);
}

/* The page in the nth frame. A free frame names its last page, which is elsewhere by now. */
static uint32_t consider_frame(struct kona_space *space, uint32_t n)
{
	uint32_t frame = kona_frames_nth(&space->frames, n);
	uint32_t later = kona_frames_nth(&space->frames, n + EXPECTED_FRAMES);
	uint64_t page = owner_of(space, frame);
	uint64_t entry = kona_pt_load(&space->pt, page);

	__builtin_prefetch(&space->pt.entries[owner_of(space, later)], 1);
	return kona_pt_payload(entry) == frame ? consider(space, page, entry) : 0;
}

/*
 * Moves the hand until it met enough pages for a batch, or came round twice: the second time,
 * none is passed over. Returns pages that it sent to cool.
 *
 * It goes in the order in which the memory of the pages lies: by frames where guards are, by the
 * pages' own addresses where there are none. Neighbours leave together, so frames are filled again
 * in a row; a page that is copied to where the last one was not takes a quarter longer.
 */
static uint32_t turn_hand(struct kona_space *space)
{
	struct kona_evict *evict = &space->evict;
	bool by_frames = kona_load_relaxed(&space->guarded); /* relaxed: either order is right */
	uint64_t end = by_frames ? kona_frames_used(&space->frames)
				 : kona_region_used_pages(&space->region);
	uint64_t steps = 2 * end;
	uint32_t met = 0;

	evict->count = 0;
	evict->patience = MOST_PASSED;
	while (met < KONA_EVICT_BATCH && steps) {
		uint64_t stride = 1;

		if (evict->hand >= end)
			evict->hand = 0;
		if (steps <= end)
			evict->patience = 0;
		met += by_frames ? consider_frame(space, (uint32_t)evict->hand)
				 : consider_page(space, evict->hand, &stride);
		evict->hand += stride;
		steps = steps > stride ? steps - stride : 0;
	}
	return met - evict->count;
}

static void select_victims(struct kona_space *space)
{
	uint32_t cooled;

	do {
		cooled = turn_hand(space);
		kona_cool_harvest(space, cooled, false);
	} while (!space->evict.count && cooled);
	if (!space->evict.count) /* little is local, or much came back */
		kona_cool_harvest(space, KONA_EVICT_BATCH, true);
}

/* --- spare -------------------------------------------------------------------------------------*/

static bool is_framed(const struct kona_victim *victim)
{
	return kona_pt_framed(victim->entry);
}

/* As it was before it was claimed; a framed page is in sight again, where it may be. */
static void put_back(struct kona_space *space, const struct kona_victim *victim)
{
	uint64_t entry = victim->entry;

	if (is_framed(victim))
		entry = kona_space_kept_entry(space, victim->page, kona_pt_payload(entry),
					      entry & (KONA_PT_ZERO | KONA_PT_STALE));
	kona_vacate_keep(space, victim->page, entry);
}

/* Some victim was in sight since the last barrier; a shielded one comes and goes without a note. */
static bool wants_barrier(const struct kona_space *space)
{
	const struct kona_evict *evict = &space->evict;

	for (uint32_t i = 0; i < evict->count; i++) {
		const struct kona_victim *victim = &evict->victims[i];

		if (!is_framed(victim) || kona_space_shielded(space, victim->page) ||
		    kona_frame_cooled(&space->frames, kona_pt_payload(victim->entry)) ==
			    evict->barriers)
			return true;
	}
	return false;
}

/* Drops victims that a guard may be using, in order, so that neighbours stay neighbours. */
static void spare_held(struct kona_space *space)
{
	struct kona_evict *evict = &space->evict;
	uint32_t left = 0;

	if (!kona_load_relaxed(&space->guarded)) /* relaxed: set before the first page is framed */
		return;
	if (wants_barrier(space)) {
		kona_hazard_barrier(space);
		evict->barriers++;
	}
	kona_hazard_collect(&evict->held);
	for (uint32_t i = 0; i < evict->count; i++) {
		struct kona_victim *victim = &evict->victims[i];

		if (KONA_MUTATED(NO_SCAN_INPLACE) && !is_framed(victim)) {
			evict->victims[left++] = *victim;
			continue;
		}
		if (kona_held(&evict->held, victim->page) ||
		    kona_frame_pinned(&space->frames, kona_pt_payload(victim->entry))) {
			put_back(space, victim);
			kona_add_relaxed(&space->stats->held_pages, 1); /* relaxed: a figure */
			continue;
		}
		evict->victims[left++] = *victim;
	}
	evict->count = left;
}

/* --- send --------------------------------------------------------------------------------------*/

static void send_dirty(struct kona_space *space)
{
	struct kona_evict *evict = &space->evict;
	uint64_t wire_bytes = 0, system_calls = 0, lines = 0;
	size_t count = 0;
	int rc;

	for (uint32_t i = 0; i < evict->count; i++) {
		struct kona_victim *victim = &evict->victims[i];

		if (!victim->content || !victim->dirty_lines)
			continue;
		lines += (uint64_t)__builtin_popcountll(victim->dirty_lines);
		if (!is_framed(victim))
			kona_pt_step(&space->pt, victim->page, KONA_PT_FLUSHING);
		kona_lineage_preserve(space, victim->page, 1);
		evict->dirty[count++] = (struct kona_dirty_page){
			.offset_bytes = victim->page * KONA_PAGE_BYTES,
			.mask = victim->dirty_lines,
			.content = victim->content,
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

/* --- settle ------------------------------------------------------------------------------------*/

/* Makes a wanted page local again. False: not now; the thread must fault again. */
static bool recall(struct kona_space *space, const struct kona_victim *victim)
{
	uint32_t frame = kona_pt_payload(victim->entry);
	uint64_t flags = victim->dirty_lines ? 0 : victim->entry & (KONA_PT_ZERO | KONA_PT_STALE);
	uint64_t entry = kona_pt_entry(KONA_PT_INPLACE, flags, frame);
	size_t done;

	if (victim->dirty_lines && (space->frames.marks[frame] & KONA_FRAME_COMPARE))
		kona_dirty_baseline(&space->dirty, &space->frames, frame, victim->content);
	if (is_framed(victim))
		entry = kona_space_kept_entry(space, victim->page, frame, flags);
	else if (kona_uffd_copy(space->uffd, kona_space_address(space, victim->page),
				victim->content, KONA_PAGE_BYTES, space->write_protect, &done))
		return false;
	kona_vacate_keep(space, victim->page, entry);
	kona_add_relaxed(&space->stats->recalled_pages, 1); /* relaxed: a figure */
	return true;
}

/* The page's last step, but for its frame. False: it is local again. */
static bool settle_victim(struct kona_space *space, const struct kona_victim *victim)
{
	bool untouched_zeros = !victim->dirty_lines && (victim->entry & KONA_PT_ZERO);
	uint32_t recency = kona_recency_of_leaver(space, kona_pt_payload(victim->entry));
	uint64_t entry = untouched_zeros
				 ? kona_pt_entry(KONA_PT_ABSENT, victim->entry & KONA_PT_STALE, 0)
				 : kona_pt_entry(KONA_PT_REMOTE, KONA_PT_FAR, recency);

	if (kona_pt_wanted(&space->pt, victim->page) && recall(space, victim))
		return false;
	kona_vacate_keep(space, victim->page, entry);
	return true;
}

/* Pages that have left. The levels are given to all at once: guards that miss change them, too. */
struct leavers {
	uint32_t count;
	uint32_t clean; /* of them: nothing was written back */
	uint64_t pages[GIVEN_AT_ONCE];
	uint32_t frames[GIVEN_AT_ONCE];
};

static void give(struct kona_space *space, struct leavers *leavers)
{
	kona_space_count_local(space, leavers->pages, leavers->count, -1);
	kona_frames_give(&space->frames, leavers->frames, leavers->count);
	/* relaxed: a figure */
	kona_add_relaxed(&space->stats->evicted_clean_pages, leavers->clean);
	leavers->count = leavers->clean = 0;
}

/* From the last on: frames are taken again in the order in which they lie. Returns how many left.
 */
static int settle_all(struct kona_space *space)
{
	struct leavers leavers = {0};
	int left = 0;

	for (uint32_t i = space->evict.count; i-- > 0;) {
		const struct kona_victim *victim = &space->evict.victims[i];

		if (!victim->content || !settle_victim(space, victim))
			continue;
		leavers.clean += !victim->dirty_lines;
		leavers.pages[leavers.count] = victim->page;
		leavers.frames[leavers.count++] = kona_pt_payload(victim->entry);
		left++;
		if (leavers.count == GIVEN_AT_ONCE)
			give(space, &leavers);
	}
	give(space, &leavers);
	return left;
}

static void empty_staging(struct kona_space *space)
{
	for (uint32_t i = space->evict.count; i-- > 0;)
		if (!is_framed(&space->evict.victims[i])) {
			kona_os_madvise(space->evict.staging, (i + 1) * (size_t)KONA_PAGE_BYTES,
					MADV_DONTNEED);
			kona_add_relaxed(&space->stats->system_calls, 1); /* relaxed: a figure */
			return;
		}
}

int kona_evict_batch(struct kona_space *space)
{
	struct kona_evict *evict = &space->evict;
	uint64_t start_ns = kona_now_ns();
	int left, rc;

	kona_hazard_wake(space);
	select_victims(space);
	if (KONA_MUTATED(GATHER_BEFORE_BARRIER))
		kona_find_dirty(space, KONA_FIND_FRAMED);
	spare_held(space);
	if (!evict->count)
		return 0;
	rc = kona_vacate(space);
	kona_vacate_to_frames(space);
	kona_find_dirty(space,
			KONA_MUTATED(GATHER_BEFORE_BARRIER) ? KONA_FIND_MAPPED : KONA_FIND_ALL);
	send_dirty(space);
	/* Before they note it: those who left together have left just now. relaxed: a hint */
	kona_add_relaxed(&evict->left_pages, evict->count);
	left = settle_all(space);
	empty_staging(space);
	/* relaxed: figures, both */
	kona_add_relaxed(&space->stats->evicted_pages, (uint64_t)left);
	kona_add_relaxed(&space->stats->evict_ns, kona_now_ns() - start_ns);
	return left ? left : rc;
}
