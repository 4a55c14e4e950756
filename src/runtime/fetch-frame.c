/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fetch walk of guarded code: guard -> fetch-frame -> transport. A page is claimed, read from
 * the store straight into its frame, and settled; nothing is mapped. Pages that are brought in
 * ahead settle as COOLING: the first touch of each is seen, and one that nobody touches leaves
 * without having cost a guard anything.
 *
 * State: none of its own; it runs in any number of threads at once. No locks. What can fail: no
 * frame (-EAGAIN), a race for the page (-ESTALE), the store (fatal).
 */
#include "runtime/fetch-frame.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "runtime/fatal.h"
#include "runtime/mutate.h"
#include "runtime/prefetch.h"
#include "runtime/space.h"

enum { MOST_PAGES = 1 + KONA_PREFETCH_MOST };

/* The pages that one call brings in; the first is the one that was missed. */
struct batch {
	uint32_t count;
	uint64_t system_calls;
	uint64_t pages[MOST_PAGES];
	uint64_t seen[MOST_PAGES];
	uint32_t frames[MOST_PAGES];
	struct kona_read reads[MOST_PAGES];
};

/* The frame behind that of the page before: what is read in a row lies in a row. */
static uint32_t wanted_frame(const struct kona_space *space, uint64_t page)
{
	uint64_t before = page ? kona_pt_load(&space->pt, page - 1) : 0;

	if (kona_pt_framed(before) || kona_pt_state(before) == KONA_PT_INPLACE)
		return kona_pt_payload(before) + 1;
	return KONA_FREEMAP_ANY;
}

static int claim(struct kona_space *space, struct batch *batch, uint64_t page, uint64_t seen,
		 uint32_t spare)
{
	uint32_t near = batch->count && batch->pages[batch->count - 1] == page - 1
				? batch->frames[batch->count - 1] + 1
				: wanted_frame(space, page);
	uint32_t frame;

	if (!kona_frame_take(&space->frames, spare, KONA_FRAME_WANT_SOLID, near, &frame,
			     &batch->system_calls))
		return -EAGAIN;
	if (!kona_pt_claim(&space->pt, page, seen, KONA_PT_FETCHING)) {
		kona_frame_give(&space->frames, frame);
		return -ESTALE;
	}
	batch->pages[batch->count] = page;
	batch->seen[batch->count] = seen;
	batch->frames[batch->count] = frame;
	batch->reads[batch->count] = (struct kona_read){
		page * KONA_PAGE_BYTES, kona_frame_address(&space->frames, frame), KONA_PAGE_BYTES};
	batch->count++;
	return 0;
}

/* Only with frames to spare: what is foretold must not push out what is in use. */
static void claim_ahead(struct kona_space *space, struct batch *batch, const uint64_t *pages,
			uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t entry;

		if (pages[i] >= kona_region_used_pages(&space->region))
			return;
		entry = kona_pt_load(&space->pt, pages[i]);
		if (kona_pt_state(entry) != KONA_PT_REMOTE || kona_space_shielded(space, pages[i]))
			continue;
		if (claim(space, batch, pages[i], entry, space->evict.low / 2) == -EAGAIN)
			return;
	}
}

static void read_batch(struct kona_space *space, struct batch *batch)
{
	int rc = space->store->ops->read(space->store, batch->reads, batch->count,
					 &batch->system_calls);

	if (rc)
		kona_fatal("page %p cannot be fetched from the memory node: %s",
			   (void *)kona_space_address(space, batch->pages[0]), strerror(-rc));
	/* relaxed: figures, both */
	kona_add_relaxed(&space->stats->fetched_pages, batch->count);
	kona_add_relaxed(&space->stats->fetched_bytes, batch->count * (uint64_t)KONA_PAGE_BYTES);
}

static void settle(struct kona_space *space, const struct batch *batch, uint32_t i, bool far,
		   bool ahead)
{
	uint64_t page = batch->pages[i];
	uint32_t frame = batch->frames[i];
	uint64_t flags = far ? 0 : KONA_PT_ZERO | (batch->seen[i] & KONA_PT_STALE);
	uint64_t entry = kona_space_frame_entry(space, page, frame, flags);

	space->frames.marks[frame] = KONA_FRAME_SOLID | KONA_FRAME_MARKED;
	if (ahead) {
		space->frames.marks[frame] |= KONA_FRAME_AHEAD;
		entry = kona_pt_cooled(entry);
	}
	/* relaxed: PT-1 publishes it */
	kona_store_relaxed(&space->frames.owner[frame], (uint32_t)page);
	if (kona_pt_settle(&space->pt, page, entry))
		kona_space_wake(space, page);
	if (KONA_MUTATED(MARKS_CLEARED_LATE))
		(void)kona_frame_collect(&space->frames, frame);
}

int kona_fetch_frames(struct kona_space *space, struct kona_prefetch *prefetch, uint64_t page,
		      uint64_t seen)
{
	bool far = kona_pt_state(seen) == KONA_PT_REMOTE;
	uint64_t ahead[KONA_PREFETCH_MOST];
	struct batch batch;
	int rc;

	if (far && space->store->ops->expect_read)
		space->store->ops->expect_read(space->store, page * KONA_PAGE_BYTES);
	batch.count = 0;
	batch.system_calls = 0;
	rc = claim(space, &batch, page, seen, KONA_FRAME_RESERVE);
	if (rc)
		return rc;
	if (far) {
		claim_ahead(space, &batch, ahead, kona_prefetch_plan(prefetch, page, ahead));
		read_batch(space, &batch);
	} else {
		memset(batch.reads[0].buffer, 0, KONA_PAGE_BYTES);
		kona_add_relaxed(&space->stats->zero_filled_pages, 1); /* relaxed: a figure */
	}
	for (uint32_t i = 0; i < batch.count; i++)
		kona_space_count_local(space, batch.pages[i], 1);
	for (uint32_t i = 0; i < batch.count; i++)
		settle(space, &batch, i, far, i > 0);
	/* relaxed: figures, all of them */
	kona_add_relaxed(&space->stats->guard_misses, 1);
	if (batch.count > 1)
		kona_add_relaxed(&space->stats->prefetched_pages, batch.count - 1);
	if (batch.system_calls)
		kona_add_relaxed(&space->stats->system_calls, batch.system_calls);
	if (kona_frames_available(&space->frames) < space->evict.low)
		kona_evict_kick(space);
	return 0;
}

static void fetch_batch_ahead(struct kona_space *space, const uint64_t *pages, uint32_t count)
{
	struct batch batch;

	batch.count = 0;
	batch.system_calls = 0;
	claim_ahead(space, &batch, pages, count);
	if (!batch.count)
		return;
	read_batch(space, &batch);
	for (uint32_t i = 0; i < batch.count; i++) {
		kona_space_count_local(space, batch.pages[i], 1);
		settle(space, &batch, i, true, true);
	}
	/* relaxed: figures, both */
	kona_add_relaxed(&space->stats->prefetched_pages, batch.count);
	kona_add_relaxed(&space->stats->system_calls, batch.system_calls);
}

void kona_fetch_ahead(struct kona_space *space, uint64_t first, uint64_t pages)
{
	uint64_t wanted[KONA_PREFETCH_MOST];

	while (pages) {
		uint32_t count = pages < KONA_PREFETCH_MOST ? (uint32_t)pages : KONA_PREFETCH_MOST;

		for (uint32_t i = 0; i < count; i++)
			wanted[i] = first + i;
		fetch_batch_ahead(space, wanted, count);
		if (kona_frames_available(&space->frames) < space->evict.low)
			kona_evict_kick(space);
		first += count;
		pages -= count;
	}
}

bool kona_fetch_recall(struct kona_space *space, struct kona_prefetch *prefetch, uint64_t page,
		       uint64_t seen)
{
	uint8_t *marks = &space->frames.marks[kona_pt_payload(seen)];

	if (!kona_pt_recall(&space->pt, page, seen))
		return false;
	if (kona_load_relaxed(marks) & KONA_FRAME_AHEAD) { /* relaxed: a hint */
		kona_prefetch_used(prefetch);
		kona_add_relaxed(&space->stats->prefetch_used_pages, 1); /* relaxed: a figure */
		/* Without owning the page: atomic, so that no other mark is lost; and this one only
		 * counts: no edge. */
		kona_and_acq_rel(marks, (uint8_t)~KONA_FRAME_AHEAD);
	} else {
		kona_add_relaxed(&space->stats->recalled_pages, 1); /* relaxed: a figure */
	}
	return true;
}
