/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages on their way into frames (batch.h).
 *
 * State: the caller's. No locks. What can fail: no frame, a race for the page, the store (fatal).
 */
#include "runtime/batch.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "runtime/fatal.h"
#include "runtime/mutate.h"
#include "runtime/recency.h"
#include "runtime/space.h"

void kona_batch_begin(struct kona_batch *batch)
{
	batch->count = 0;
	batch->system_calls = 0;
}

/* The frame behind that of the page before: what is read in a row lies in a row. */
static uint32_t wanted_frame(const struct kona_space *space, const struct kona_batch *batch,
			     uint64_t page)
{
	uint64_t before;

	if (batch->count && batch->pages[batch->count - 1] == page - 1)
		return batch->frames[batch->count - 1] + 1;
	before = page ? kona_pt_load(&space->pt, page - 1) : 0;
	if (kona_pt_framed(before) || kona_pt_state(before) == KONA_PT_INPLACE)
		return kona_pt_payload(before) + 1;
	return KONA_FREEMAP_ANY;
}

int kona_batch_claim(struct kona_space *space, struct kona_batch *batch, uint64_t page,
		     uint64_t seen, uint32_t spare)
{
	uint32_t frame;

	if (!kona_frame_take(&space->frames, spare, KONA_FRAME_WANT_SOLID,
			     wanted_frame(space, batch, page), &frame, &batch->system_calls))
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

void kona_batch_claim_ahead(struct kona_space *space, struct kona_batch *batch,
			    const uint64_t *pages, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t entry;

		if (pages[i] >= kona_region_used_pages(&space->region))
			return;
		entry = kona_pt_load(&space->pt, pages[i]);
		if (kona_pt_state(entry) != KONA_PT_REMOTE || kona_space_shielded(space, pages[i]))
			continue;
		if (kona_batch_claim(space, batch, pages[i], entry, space->evict.low / 2) ==
		    -EAGAIN)
			return;
	}
}

void kona_batch_was_read(struct kona_space *space, const struct kona_batch *batch, int rc)
{
	if (rc)
		kona_fatal("page %p cannot be fetched from the memory node: %s",
			   (void *)kona_space_address(space, batch->pages[0]), strerror(-rc));
	/* relaxed: figures, both */
	kona_add_relaxed(&space->stats->fetched_pages, batch->count);
	kona_add_relaxed(&space->stats->fetched_bytes, batch->count * (uint64_t)KONA_PAGE_BYTES);
}

void kona_batch_read(struct kona_space *space, struct kona_batch *batch)
{
	kona_batch_was_read(space, batch,
			    space->store->ops->read(space->store, batch->reads, batch->count,
						    &batch->system_calls));
}

static void settle(struct kona_space *space, const struct kona_batch *batch, uint32_t i, bool far,
		   bool ahead)
{
	uint64_t page = batch->pages[i];
	uint32_t frame = batch->frames[i];
	uint64_t flags = far ? 0 : KONA_PT_ZERO | (batch->seen[i] & KONA_PT_STALE);
	uint64_t entry = kona_space_frame_entry(space, page, frame, flags);

	space->frames.marks[frame] = KONA_FRAME_SOLID | KONA_FRAME_MARKED;
	kona_recency_keep(space, frame, batch->seen[i]);
	if (ahead) {
		space->frames.marks[frame] |= KONA_FRAME_AHEAD;
		entry = kona_pt_out_of_sight(entry, KONA_PT_COOLING);
	}
	/* relaxed: PT-1 publishes it */
	kona_store_relaxed(&space->frames.owner[frame], (uint32_t)page);
	if (kona_pt_settle(&space->pt, page, entry))
		kona_space_wake(space, page);
	if (KONA_MUTATED(MARKS_CLEARED_LATE))
		(void)kona_frame_collect(&space->frames, frame);
}

void kona_batch_settle(struct kona_space *space, struct kona_batch *batch, bool far,
		       uint32_t first_ahead)
{
	kona_space_count_local(space, batch->pages, batch->count, 1);
	for (uint32_t i = 0; i < batch->count; i++)
		settle(space, batch, i, far, i >= first_ahead);
	/* relaxed: figures, both */
	if (batch->count > first_ahead)
		kona_add_relaxed(&space->stats->prefetched_pages, batch->count - first_ahead);
	if (batch->system_calls)
		kona_add_relaxed(&space->stats->system_calls, batch->system_calls);
	if (kona_frames_available(&space->frames) < space->evict.low)
		kona_evict_kick(space);
}
