/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fetch walk: fault -> fetch -> transport. A run of pages in the same state is claimed, read
 * from the store in one call, remembered as the baseline of dirty tracking, and mapped in one call.
 *
 * Fault-around: each fault at the end of a previous run doubles the next run, up to 64 pages; a
 * random access brings in one page only. 16 streams are told apart.
 *
 * State: the streams and the bounce buffer, the handler's own. No locks. What can fail: no frame
 * (the evictor is behind), a fork that waits for the handler, the store (fatal).
 */
#include "runtime/fetch.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "runtime/fatal.h"
#include "runtime/os.h"
#include "runtime/space.h"

/* The pages that one call brings in. */
struct run {
	uint64_t first;
	uint32_t count;
	bool far; /* in the store; else zeros */
	uint64_t seen[KONA_FETCH_MOST_PAGES];
	uint32_t frames[KONA_FETCH_MOST_PAGES];
	uint64_t system_calls;
};

int kona_fetch_init(struct kona_fetch *fetch)
{
	size_t run_bytes = (size_t)KONA_FETCH_MOST_PAGES * KONA_PAGE_BYTES;

	fetch->bounce = kona_os_alloc(run_bytes);
	fetch->zeros = kona_os_alloc(run_bytes);
	if (fetch->bounce && fetch->zeros)
		return 0;
	if (fetch->bounce)
		kona_os_munmap(fetch->bounce, run_bytes);
	fetch->bounce = NULL;
	return -ENOMEM;
}

/* The stream that this fault continues, with its window doubled; or the oldest one, begun anew. */
static struct kona_stream *find_stream(struct kona_fetch *fetch, uint64_t page)
{
	struct kona_stream *oldest = &fetch->streams[0];

	fetch->tick++;
	for (int i = 0; i < KONA_FETCH_STREAMS; i++) {
		struct kona_stream *stream = &fetch->streams[i];

		/* A little beyond the end, too: some pages after the run may have been local. */
		if (stream->window_pages && page - stream->next_page < KONA_FETCH_MOST_PAGES) {
			if (stream->window_pages < KONA_FETCH_MOST_PAGES)
				stream->window_pages *= 2;
			stream->used_tick = fetch->tick;
			return stream;
		}
		if (stream->used_tick < oldest->used_tick)
			oldest = stream;
	}
	*oldest = (struct kona_stream){.window_pages = 1, .used_tick = fetch->tick};
	return oldest;
}

static bool same_kind(uint64_t one, uint64_t other)
{
	return kona_pt_state(one) == kona_pt_state(other);
}

/* While a thread of the program holds the write-back lock the evictor cannot help: faults of that
 * very thread may take the reserve. */
static uint32_t spare_frames(struct kona_space *space)
{
	/* relaxed: a late look only costs another try */
	return kona_load_relaxed(&space->foreign) ? 0 : KONA_FRAME_RESERVE;
}

/* Claims up to `most` pages from `page` on, a frame for each. -ESTALE, -EAGAIN. */
static int claim_run(struct kona_space *space, uint64_t page, uint64_t seen, uint32_t most,
		     struct run *run)
{
	uint32_t spare = spare_frames(space);

	run->first = page;
	run->count = 0;
	run->system_calls = 0;
	run->far = kona_pt_state(seen) == KONA_PT_REMOTE;
	if (most > space->pages - page)
		most = (uint32_t)(space->pages - page);
	for (uint32_t i = 0; i < most; i++) {
		uint64_t entry = i ? kona_pt_load(&space->pt, page + i) : seen;

		if (!same_kind(entry, seen))
			break;
		if (!kona_frame_take(&space->frames, spare, KONA_FRAME_WANT_HOLLOW,
				     KONA_FREEMAP_ANY, &run->frames[i], &run->system_calls))
			return i ? 0 : -EAGAIN;
		if (!kona_pt_claim(&space->pt, page + i, entry, KONA_PT_FETCHING)) {
			kona_frame_give(&space->frames, run->frames[i]);
			return i ? 0 : -ESTALE;
		}
		run->seen[i] = entry;
		run->count++;
	}
	return 0;
}

/* Reads the run and remembers it as the baseline. Returns its contents. */
static const char *read_run(struct kona_space *space, struct run *run)
{
	char *bounce = space->fetch.bounce;
	size_t bytes = (size_t)run->count * KONA_PAGE_BYTES;
	const struct kona_read piece = {run->first * KONA_PAGE_BYTES, bounce, bytes};
	int rc;

	if (!run->far)
		return space->fetch.zeros;
	rc = space->store->ops->read(space->store, &piece, 1, &run->system_calls);
	if (rc)
		kona_fatal("page %p cannot be fetched from the memory node: %s",
			   (void *)kona_space_address(space, run->first), strerror(-rc));
	for (uint32_t i = 0; i < run->count; i++)
		kona_dirty_baseline(&space->dirty, &space->frames, run->frames[i],
				    bounce + (size_t)i * KONA_PAGE_BYTES);
	kona_add_relaxed(&space->stats->fetched_pages, run->count);	  /* relaxed: a figure */
	kona_add_relaxed(&space->stats->fetched_bytes, bytes);		  /* relaxed: a figure */
	kona_add_relaxed(&space->stats->system_calls, run->system_calls); /* relaxed: a figure */
	return bounce;
}

/*
 * Maps pages from .. from + count - 1 of the run; returns how far it came. The rest could not be
 * mapped now: a fork waits (-EAGAIN), or the program mapped something else there by a system call
 * of its own (-ENOENT).
 */
static uint32_t map_pages(struct kona_space *space, const struct run *run, uint32_t from,
			  uint32_t count, const char *content, bool write_protect, int *ret_error)
{
	uint32_t done = 0;

	while (done < count) {
		uint64_t page = run->first + from + done;
		size_t bytes;
		int rc = kona_uffd_copy(space->uffd, kona_space_address(space, page),
					content + (size_t)(from + done) * KONA_PAGE_BYTES,
					(size_t)(count - done) * KONA_PAGE_BYTES, write_protect,
					&bytes);

		kona_add_relaxed(&space->stats->system_calls, 1); /* relaxed: a figure */
		done += (uint32_t)(bytes / KONA_PAGE_BYTES);
		if (rc == -EEXIST) {
			/* Filled behind our back: what is there stays, and compares as dirty. */
			kona_space_wake(space, run->first + from + done);
			done++;
		} else if (rc == -EAGAIN || rc == -ENOENT) {
			*ret_error = rc;
			break;
		} else if (rc) {
			kona_fatal("page %p cannot be mapped: %s",
				   (void *)kona_space_address(space, page), strerror(-rc));
		}
	}
	return done;
}

/* In mode wp all but the page that is being written are mapped read-only. */
static uint32_t map_run(struct kona_space *space, const struct run *run, const char *content,
			bool write, int *ret_error)
{
	uint32_t mapped = 0;

	if (space->write_protect && write) {
		mapped = map_pages(space, run, 0, 1, content, false, ret_error);
		if (!mapped)
			return 0;
		space->frames.marks[run->frames[0]] |= KONA_FRAME_DIRTY;
	}
	return mapped + map_pages(space, run, mapped, run->count - mapped, content,
				  space->write_protect, ret_error);
}

static void settle_mapped(struct kona_space *space, const struct run *run, uint32_t i)
{
	uint64_t page = run->first + i;
	uint32_t frame = run->frames[i];
	uint64_t flags = run->far ? 0 : KONA_PT_ZERO | (run->seen[i] & KONA_PT_STALE);
	uint32_t turn = kona_load_relaxed(&space->evict.turn); /* relaxed: a hint */

	if (run->far && ((turn - kona_pt_payload(run->seen[i])) & KONA_PT_MOST_PAYLOAD) <= 1)
		space->frames.marks[frame] |= KONA_FRAME_HOT;
	space->frames.marks[frame] |= KONA_FRAME_COMPARE;
	/* relaxed: PT-1 publishes it */
	kona_store_relaxed(&space->frames.owner[frame], (uint32_t)page);
	kona_space_count_local(space, &page, 1, 1);
	if (kona_pt_settle(&space->pt, page, kona_pt_entry(KONA_PT_INPLACE, flags, frame)))
		kona_space_wake(space, page);
}

static void settle_back(struct kona_space *space, const struct run *run, uint32_t i)
{
	kona_frame_give(&space->frames, run->frames[i]);
	if (kona_pt_settle(&space->pt, run->first + i, run->seen[i]))
		kona_space_wake(space, run->first + i);
}

int kona_fetch(struct kona_space *space, uint64_t page, uint64_t seen, bool write)
{
	struct kona_stream *stream = find_stream(&space->fetch, page);
	struct run run;
	uint32_t mapped;
	int error = 0, rc;

	rc = claim_run(space, page, seen, stream->window_pages, &run);
	if (rc)
		return rc;
	mapped = map_run(space, &run, read_run(space, &run), write, &error);
	for (uint32_t i = 0; i < run.count; i++)
		if (i < mapped)
			settle_mapped(space, &run, i);
		else
			settle_back(space, &run, i);
	stream->next_page = page + run.count;
	if (!run.far)
		kona_add_relaxed(&space->stats->zero_filled_pages, mapped); /* relaxed: a figure */
	if (mapped) {
		/* relaxed: a figure */
		kona_add_relaxed(&space->stats->prefetched_pages, mapped - 1);
		return 0;
	}
	if (error == -ENOENT) {
		kona_space_wake(space, page);
		return 0;
	}
	return error;
}
