/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fetch walk of guarded code: guard -> fetch-frame -> batch, flight -> transport. A page is
 * claimed, read from the store straight into its frame, and settled; nothing is mapped. Pages that
 * are brought in ahead settle as COOLING: the first touch of each is seen, and one that nobody
 * touches leaves without having cost a guard anything.
 *
 * Where a read is a round trip, a thread waits for the page that it missed alone: those ahead are
 * a flight (flight.h), and once it comes to them, the next run is asked for. Where it is a copy,
 * they are copied with the page.
 *
 * State: none of its own; it runs in any number of threads at once. No locks. What can fail: no
 * frame (-EAGAIN), a race for the page (-ESTALE), the store (fatal).
 */
#include "runtime/fetch-frame.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "runtime/batch.h"
#include "runtime/flight.h"
#include "runtime/prefetch.h"
#include "runtime/space.h"

/* The page that was missed, with those ahead on their way: they are asked for before it is waited
 * for, and after it was. */
static void read_and_fly(struct kona_space *space, struct kona_batch *batch, const uint64_t *ahead,
			 uint32_t count)
{
	const struct kona_transport_ops *ops = space->store->ops;
	struct kona_flight flight = {.reads = batch->reads, .count = batch->count};
	bool begun = !ops->begin_read(space->store, &flight, &batch->system_calls);

	if (!begun)
		kona_batch_read(space, batch);
	kona_flight_begin(space, ahead, count);
	if (begun)
		kona_batch_was_read(space, batch,
				    ops->end_read(space->store, &flight, &batch->system_calls));
}

static void read_far(struct kona_space *space, struct kona_prefetch *prefetch,
		     struct kona_batch *batch)
{
	uint64_t ahead[KONA_PREFETCH_MOST];
	uint32_t count = kona_prefetch_plan(prefetch, batch->pages[0], ahead);

	if (count && kona_flight_is_worth(space, batch->pages[0])) {
		read_and_fly(space, batch, ahead, count);
		return;
	}
	kona_batch_claim_ahead(space, batch, ahead, count);
	kona_batch_read(space, batch);
}

int kona_fetch_frames(struct kona_space *space, struct kona_prefetch *prefetch, uint64_t page,
		      uint64_t seen)
{
	bool far = kona_pt_state(seen) == KONA_PT_REMOTE;
	struct kona_batch batch;
	int rc;

	if (far && space->store->ops->expect_read)
		space->store->ops->expect_read(space->store, page * KONA_PAGE_BYTES);
	kona_batch_begin(&batch);
	rc = kona_batch_claim(space, &batch, page, seen, KONA_FRAME_RESERVE);
	if (rc)
		return rc;
	if (far) {
		read_far(space, prefetch, &batch);
	} else {
		memset(batch.reads[0].buffer, 0, KONA_PAGE_BYTES);
		kona_add_relaxed(&space->stats->zero_filled_pages, 1); /* relaxed: a figure */
	}
	kona_batch_settle(space, &batch, far, 1);
	kona_add_relaxed(&space->stats->guard_misses, 1); /* relaxed: a figure */
	return 0;
}

void kona_fetch_follow(struct kona_space *space, struct kona_prefetch *prefetch, uint64_t page)
{
	uint64_t ahead[KONA_PREFETCH_MOST];
	uint32_t count;

	if (!kona_flight_is_worth(space, page))
		return;
	count = kona_prefetch_follow(prefetch, page, ahead);
	if (count)
		kona_flight_begin(space, ahead, count);
}

static void fetch_batch_ahead(struct kona_space *space, const uint64_t *pages, uint32_t count)
{
	struct kona_batch batch;

	if (kona_flight_is_worth(space, pages[0])) {
		kona_flight_begin(space, pages, count);
		return;
	}
	kona_batch_begin(&batch);
	kona_batch_claim_ahead(space, &batch, pages, count);
	if (!batch.count)
		return;
	kona_batch_read(space, &batch);
	kona_batch_settle(space, &batch, true, 0);
}

void kona_fetch_ahead(struct kona_space *space, uint64_t first, uint64_t pages)
{
	uint64_t wanted[KONA_PREFETCH_MOST];

	while (pages) {
		uint32_t count = pages < KONA_PREFETCH_MOST ? (uint32_t)pages : KONA_PREFETCH_MOST;

		for (uint32_t i = 0; i < count; i++)
			wanted[i] = first + i;
		fetch_batch_ahead(space, wanted, count);
		first += count;
		pages -= count;
	}
}

bool kona_fetch_recall(struct kona_space *space, struct kona_prefetch *prefetch, uint64_t page,
		       uint64_t seen)
{
	uint32_t frame = kona_pt_payload(seen);
	uint8_t *marks = &space->frames.marks[frame];
	uint64_t flags = seen & (KONA_PT_ZERO | KONA_PT_STALE);

	if (!kona_pt_recall(&space->pt, page, seen,
			    kona_space_frame_entry(space, page, frame, flags)))
		return false;
	if (kona_load_relaxed(marks) & KONA_FRAME_AHEAD) { /* relaxed: a hint */
		kona_prefetch_used(prefetch);
		kona_add_relaxed(&space->stats->prefetch_used_pages, 1); /* relaxed: a figure */
		/* Without owning the page: atomic, so that no other mark is lost; and this one only
		 * counts: no edge. */
		kona_and_acq_rel(marks, (uint8_t)~KONA_FRAME_AHEAD);
		kona_fetch_follow(space, prefetch, page);
	} else {
		kona_add_relaxed(&space->stats->recalled_pages, 1); /* relaxed: a figure */
	}
	return true;
}
