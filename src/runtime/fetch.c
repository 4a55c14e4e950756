/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fetch walk: fault -> fetch -> transport. A run of pages in the same state is claimed, read
 * from the store in one call, remembered as the baseline of dirty tracking, and mapped in one call.
 *
 * Fault-around: each fault at the end of a previous run doubles the next run, up to 64 pages; a
 * random access brings in one page only, but for fresh pages while memory was never short. 16
 * streams are told apart.
 *
 * Ahead: where a read is a round trip, runs behind a full one are asked for before it is mapped,
 * and the next one is received and mapped while the program is busy with this one; but for its
 * first page, whose fault tells that the program came so far:
 *
 *   FREE --begin: claims, asks--> asked --advance: receives, maps all but the first--> received
 *     asked --fault, or a millisecond: receives, maps--> FREE <--the same: maps-- received
 *
 * Pages that are not mapped yet are claimed (FETCHING) meanwhile. Only the handler lands them, so
 * whoever waits for one sleeps as if it were being fetched.
 *
 * State: the streams, what is on its way, and the buffers, the handler's own. No locks. What can
 * fail: no frame (the evictor is behind), a fork that waits for the handler, the store (fatal).
 */
#include "runtime/fetch.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "runtime/fatal.h"
#include "runtime/hazard.h"
#include "runtime/os.h"
#include "runtime/recency.h"
#include "runtime/sleepers.h"
#include "runtime/space.h"

#define AHEAD_NS UINT64_C(1000000)

int kona_fetch_init(struct kona_fetch *fetch)
{
	size_t run_bytes = (size_t)KONA_FETCH_MOST_PAGES * KONA_PAGE_BYTES;
	size_t bounce_bytes = (1 + KONA_FETCH_AHEAD) * run_bytes;

	fetch->bounce = kona_os_alloc(bounce_bytes);
	fetch->zeros = kona_os_alloc(run_bytes);
	fetch->due_page = KONA_FETCH_NOTHING_DUE;
	if (fetch->bounce && fetch->zeros) {
		for (int i = 0; i < KONA_FETCH_AHEAD; i++)
			fetch->ahead[i].buffer = fetch->bounce + (size_t)(i + 1) * run_bytes;
		return 0;
	}
	if (fetch->bounce)
		kona_os_munmap(fetch->bounce, bounce_bytes);
	fetch->bounce = NULL;
	return -ENOMEM;
}

/* A fault of this page continues the stream. A little beyond the end, too: some pages after the run
 * may have been local. */
static bool goes_on(const struct kona_stream *stream, uint64_t page)
{
	return stream->window_pages && page - stream->next_page < KONA_FETCH_MOST_PAGES;
}

/* Doubled. */
static uint32_t next_window(const struct kona_stream *stream)
{
	return stream->window_pages < KONA_FETCH_MOST_PAGES ? 2 * stream->window_pages
							    : KONA_FETCH_MOST_PAGES;
}

/* The stream that this fault continues, with its next window; or the oldest one, begun anew. */
static struct kona_stream *find_stream(struct kona_fetch *fetch, uint64_t page)
{
	struct kona_stream *oldest = &fetch->streams[0];

	fetch->tick++;
	for (int i = 0; i < KONA_FETCH_STREAMS; i++) {
		struct kona_stream *stream = &fetch->streams[i];

		if (goes_on(stream, page)) {
			stream->window_pages = next_window(stream);
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

/* Claims up to `most` pages from `page` on, a frame for each; leaves `spare` ones. -ESTALE,
 * -EAGAIN. */
static int claim_run(struct kona_space *space, uint64_t page, uint64_t seen, uint32_t most,
		     uint32_t spare, struct kona_run *run)
{
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

/* Remembers what was read as the baseline. */
static void remember_run(struct kona_space *space, const struct kona_run *run, const char *content,
			 int rc)
{
	if (rc)
		kona_fatal("page %p cannot be fetched from the memory node: %s",
			   (void *)kona_space_address(space, run->first), strerror(-rc));
	for (uint32_t i = 0; i < run->count; i++)
		kona_dirty_baseline(&space->dirty, &space->frames, run->frames[i],
				    content + (size_t)i * KONA_PAGE_BYTES);
	/* relaxed: figures, all three */
	kona_add_relaxed(&space->stats->fetched_pages, run->count);
	kona_add_relaxed(&space->stats->fetched_bytes, run->count * (uint64_t)KONA_PAGE_BYTES);
	kona_add_relaxed(&space->stats->system_calls, run->system_calls);
}

/* Returns the run's contents. */
static const char *read_run(struct kona_space *space, struct kona_run *run)
{
	char *bounce = space->fetch.bounce;
	const struct kona_read piece = {run->first * KONA_PAGE_BYTES, bounce,
					(size_t)run->count * KONA_PAGE_BYTES};

	if (!run->far)
		return space->fetch.zeros;
	remember_run(space, run, bounce,
		     space->store->ops->read(space->store, &piece, 1, &run->system_calls));
	return bounce;
}

/*
 * Maps pages from .. from + count - 1 of the run; returns how far it came. The rest could not be
 * mapped now: a fork waits (-EAGAIN), or the program mapped something else there by a system call
 * of its own (-ENOENT).
 */
static uint32_t map_pages(struct kona_space *space, const struct kona_run *run, uint32_t from,
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
		} else if (rc == -ENOENT && done + 1 < count) {
			count = done + 1; /* the mapping ends within: what was touched, at least */
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

/* From page `from` on. In mode wp all but the first page, if that is being written, are mapped
 * read-only. Returns how far it came. */
static uint32_t map_run(struct kona_space *space, const struct kona_run *run, uint32_t from,
			const char *content, bool write, int *ret_error)
{
	uint32_t mapped = from;

	if (space->write_protect && write) {
		mapped += map_pages(space, run, 0, 1, content, false, ret_error);
		if (!mapped)
			return 0;
		space->frames.marks[run->frames[0]] |= KONA_FRAME_DIRTY;
	}
	return mapped + map_pages(space, run, mapped, run->count - mapped, content,
				  space->write_protect, ret_error);
}

static void settle_mapped(struct kona_space *space, const struct kona_run *run, uint32_t i)
{
	uint64_t page = run->first + i;
	uint32_t frame = run->frames[i];
	uint64_t flags = run->far ? 0 : KONA_PT_ZERO | (run->seen[i] & KONA_PT_STALE);

	kona_recency_come(space, frame, run->seen[i], !i);
	space->frames.marks[frame] |= KONA_FRAME_COMPARE;
	/* relaxed: PT-1 publishes it */
	kona_store_relaxed(&space->frames.owner[frame], (uint32_t)page);
	kona_space_count_local(space, &page, 1, 1);
	if (kona_pt_settle(&space->pt, page, kona_pt_entry(KONA_PT_INPLACE, flags, frame)))
		kona_space_wake(space, page);
}

static void settle_back(struct kona_space *space, const struct kona_run *run, uint32_t i)
{
	kona_frame_give(&space->frames, run->frames[i]);
	if (kona_pt_settle(&space->pt, run->first + i, run->seen[i]))
		kona_space_wake(space, run->first + i);
}

/* Maps the run from page `from` on. Returns 0 when the first of these was dealt with. */
static int finish_run(struct kona_space *space, const struct kona_run *run, uint32_t from,
		      const char *content, bool write)
{
	int error = 0;
	uint32_t mapped = map_run(space, run, from, content, write, &error);

	for (uint32_t i = from; i < run->count; i++)
		if (i < mapped)
			settle_mapped(space, run, i);
		else
			settle_back(space, run, i);
	/* relaxed: figures, both */
	if (!run->far)
		kona_add_relaxed(&space->stats->zero_filled_pages, mapped);
	if (mapped > 1)
		kona_add_relaxed(&space->stats->prefetched_pages, mapped - 1);
	if (mapped > from)
		return 0;
	if (error == -ENOENT) {
		kona_space_wake(space, run->first + from);
		return 0;
	}
	return error;
}

/* --- ahead -------------------------------------------------------------------------------------*/

static struct kona_ahead *find_free(struct kona_fetch *fetch)
{
	for (int i = 0; i < KONA_FETCH_AHEAD; i++)
		if (!fetch->ahead[i].run.count)
			return &fetch->ahead[i];
	return NULL;
}

static struct kona_ahead *find_ahead(struct kona_fetch *fetch, uint64_t page)
{
	for (int i = 0; i < KONA_FETCH_AHEAD; i++)
		if (page - fetch->ahead[i].run.first < fetch->ahead[i].run.count)
			return &fetch->ahead[i];
	return NULL;
}

/* As long as a run may be of which there are KONA_FETCH_AHEAD. */
static uint32_t most_ahead(const struct kona_space *space)
{
	/* relaxed: a level */
	uint32_t share =
		kona_load_relaxed(&space->frames.count) / (KONA_FLIGHT_SHARE * KONA_FETCH_AHEAD);

	return share < KONA_FETCH_MOST_PAGES ? share : KONA_FETCH_MOST_PAGES;
}

static bool claim_ahead(struct kona_space *space, uint64_t page, struct kona_run *run)
{
	uint64_t seen = kona_pt_load(&space->pt, page);

	/* relaxed: a level */
	return kona_pt_state(seen) == KONA_PT_REMOTE &&
	       !claim_run(space, page, seen, most_ahead(space),
			  kona_load_relaxed(&space->evict.low) / 2, run);
}

/* Asks for the run that begins with `page`, as far as frames can be spared. */
static void begin_ahead(struct kona_space *space, uint64_t page)
{
	struct kona_ahead *ahead = find_free(&space->fetch);
	struct kona_run *run;

	if (!ahead || page >= space->pages || !kona_flight_is_worth(space, page))
		return;
	run = &ahead->run;
	if (!claim_ahead(space, page, run)) {
		run->count = 0;
		return;
	}
	ahead->since_ns = kona_now_ns();
	ahead->end = page + run->count;
	ahead->received = false;
	ahead->piece = (struct kona_read){page * KONA_PAGE_BYTES, ahead->buffer,
					  (size_t)run->count * KONA_PAGE_BYTES};
	ahead->flight.reads = &ahead->piece;
	ahead->flight.count = 1;
	if (!space->store->ops->begin_read(space->store, &ahead->flight, &run->system_calls))
		return;
	for (uint32_t i = 0; i < run->count; i++) /* not now: it is fetched when it is wanted */
		settle_back(space, run, i);
	run->count = 0;
}

/* Asks for the run after it, too: the node works while we map this one. */
static void receive(struct kona_space *space, struct kona_ahead *ahead, bool go_on)
{
	if (ahead->received)
		return;
	remember_run(space, &ahead->run, ahead->buffer,
		     space->store->ops->end_read(space->store, &ahead->flight,
						 &ahead->run.system_calls));
	ahead->received = true;
	ahead->since_ns = kona_now_ns();
	if (go_on)
		begin_ahead(space, ahead->end);
}

static int land(struct kona_space *space, struct kona_ahead *ahead, bool write)
{
	int rc = finish_run(space, &ahead->run, 0, ahead->buffer, write);

	ahead->run.count = 0;
	return rc;
}

int kona_fetch_land(struct kona_space *space, uint64_t page, bool write)
{
	struct kona_ahead *ahead = find_ahead(&space->fetch, page);
	int rc;

	if (!ahead)
		return -ENOENT;
	find_stream(&space->fetch, page)->next_page = ahead->end;
	receive(space, ahead, true);
	space->fetch.due_page = ahead->end;
	rc = land(space, ahead, write && page == ahead->run.first);
	/* It may not have come as far as this page. */
	return !rc && !kona_pt_resident(kona_pt_load(&space->pt, page)) ? -ESTALE : rc;
}

void kona_fetch_advance(struct kona_space *space)
{
	struct kona_ahead *ahead = find_ahead(&space->fetch, space->fetch.due_page);

	space->fetch.due_page = KONA_FETCH_NOTHING_DUE;
	if (!ahead || ahead->received)
		return;
	receive(space, ahead, true);
	/* What cannot be mapped now is fetched when it is wanted. */
	if (ahead->run.count > 1)
		(void)finish_run(space, &ahead->run, 1, ahead->buffer, false);
	ahead->run.count = 1;
}

void kona_fetch_land_old(struct kona_space *space)
{
	for (int i = 0; i < KONA_FETCH_AHEAD; i++) {
		struct kona_ahead *ahead = &space->fetch.ahead[i];

		if (!ahead->run.count || kona_now_ns() - ahead->since_ns < AHEAD_NS)
			continue;
		find_stream(&space->fetch, ahead->run.first)->next_page = ahead->end;
		receive(space, ahead, false);
		(void)land(space, ahead, false);
	}
}

bool kona_fetch_flies(const struct kona_fetch *fetch)
{
	for (int i = 0; i < KONA_FETCH_AHEAD; i++)
		if (fetch->ahead[i].run.count)
			return true;
	return false;
}

/* --- blame -------------------------------------------------------------------------------------*/

/* A fault that brings in so many pages counts twice. */
enum { BLAME_PAGES = 16 };

static uint32_t foresee_run(const struct kona_fetch *fetch, uint64_t page)
{
	for (int i = 0; i < KONA_FETCH_STREAMS; i++)
		if (goes_on(&fetch->streams[i], page))
			return next_window(&fetch->streams[i]);
	return 1;
}

static uint32_t blame_of_run(uint32_t pages)
{
	return KONA_BLAME_FAR + pages * KONA_BLAME_FAR / BLAME_PAGES;
}

/* Nobody has to leave for the page: it stays in place. */
static bool is_plenty(const struct kona_space *space)
{
	/* relaxed: levels */
	return kona_frames_available(&space->frames) >
	       2 * kona_load_relaxed(&space->evict.high) + KONA_EVICT_BATCH;
}

uint32_t kona_fetch_blame(struct kona_space *space, uint64_t page)
{
	uint64_t entry = kona_pt_load(&space->pt, page);
	const struct kona_ahead *ahead;

	if (is_plenty(space))
		return 0;
	if (kona_pt_framed(entry))
		return kona_recency_is_needed(space, kona_pt_payload(entry)) ? KONA_BLAME_SOON
									     : KONA_BLAME_FAR;
	if (kona_pt_state(entry) == KONA_PT_REMOTE)
		return kona_recency_is_soon(space, entry)
			       ? KONA_BLAME_SOON
			       : blame_of_run(foresee_run(&space->fetch, page));
	ahead = find_ahead(&space->fetch, page);
	return ahead ? blame_of_run(ahead->run.count) : 0;
}

/* --- now ---------------------------------------------------------------------------------------*/

/* While memory is plenty, a fault of fresh memory brings in what a process would get from the
 * kernel around the page of a file: the neighbours are likely to be used, and nothing has to leave.
 */
static uint32_t window_of(struct kona_space *space, const struct kona_stream *stream, uint64_t page,
			  uint64_t seen)
{
	uint64_t used = kona_region_used_pages(&space->region);

	if (kona_pt_state(seen) != KONA_PT_ABSENT || kona_hazard_awake() ||
	    stream->window_pages >= KONA_FETCH_FRESH_PAGES || page + KONA_FETCH_FRESH_PAGES > used)
		return stream->window_pages;
	return KONA_FETCH_FRESH_PAGES;
}

int kona_fetch(struct kona_space *space, uint64_t page, uint64_t seen, bool write)
{
	struct kona_stream *stream = find_stream(&space->fetch, page);
	struct kona_run run;
	const char *content;
	int rc = claim_run(space, page, seen, window_of(space, stream, page, seen),
			   spare_frames(space), &run);

	if (rc)
		return rc;
	stream->next_page = page + run.count;
	content = read_run(space, &run);
	if (run.far && stream->window_pages == KONA_FETCH_MOST_PAGES) {
		begin_ahead(space, stream->next_page);
		space->fetch.due_page = stream->next_page;
	}
	return finish_run(space, &run, 0, content, write);
}
