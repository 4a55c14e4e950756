/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue between the clock hand and write-back (evict -> cool).
 *
 * Pages that were brought in ahead are COOLING from the start, and not in the queue: the hand puts
 * them there when it meets them. A page that came back stays in the queue as a stale number, which
 * harvesting drops; so it may leave a little early when it cools again.
 *
 * State: the ring, under the write-back lock. What can fail: its memory.
 */
#include "runtime/cool.h"

#include <errno.h>

#include "base/atomic.h"
#include "runtime/mutate.h"
#include "runtime/os.h"
#include "runtime/space.h"

enum {
	SHARE = 8,    /* of the frames cool at a time */
	EXPECTED = 8, /* pages whose entries are brought towards the caches before their turn */
};

/* Twice what cools at a time, and a batch. */
static uint32_t room_for(const struct kona_space *space)
{
	uint32_t count = kona_load_relaxed(&space->frames.count); /* relaxed: a level */

	return 2 * (count / SHARE) + KONA_EVICT_BATCH;
}

static uint32_t take_oldest(struct kona_cooling *cooling)
{
	uint32_t page = cooling->pages[cooling->first];

	cooling->first = (cooling->first + 1) % cooling->room;
	cooling->count--;
	return page;
}

/* What lies behind the queue's end names a page that left it before, or the first one. */
static void expect_oldest(const struct kona_space *space)
{
	const struct kona_cooling *cooling = &space->evict.cooling;
	uint32_t page = cooling->pages[(cooling->first + EXPECTED) % cooling->room];

	__builtin_prefetch(&space->pt.entries[page], 1);
}

/* A page that finds no room in a smaller queue is met by the hand again. */
int kona_cool_resize(struct kona_space *space)
{
	struct kona_cooling *cooling = &space->evict.cooling;
	struct kona_cooling larger = {.room = room_for(space)};

	larger.pages = kona_os_alloc(larger.room * sizeof(*larger.pages));
	if (!larger.pages)
		return -ENOMEM;
	while (cooling->count && larger.count < larger.room)
		larger.pages[larger.count++] = take_oldest(cooling);
	if (cooling->pages)
		kona_os_munmap(cooling->pages, cooling->room * sizeof(*cooling->pages));
	*cooling = larger;
	return 0;
}

static bool is_full(const struct kona_cooling *cooling)
{
	return cooling->count == cooling->room;
}

uint32_t kona_cool_down(struct kona_space *space, uint64_t page, uint64_t seen)
{
	struct kona_cooling *cooling = &space->evict.cooling;

	if (is_full(cooling))
		return 0;
	if (kona_pt_state(seen) == KONA_PT_FRAME && !kona_pt_cool(&space->pt, page, seen))
		return 0;
	if (!KONA_MUTATED(OLD_BARRIER))
		kona_frame_cool(&space->frames, kona_pt_payload(seen), space->evict.barriers);
	cooling->pages[(cooling->first + cooling->count++) % cooling->room] = (uint32_t)page;
	return 1;
}

void kona_cool_harvest(struct kona_space *space, uint32_t most, bool eager)
{
	struct kona_evict *evict = &space->evict;
	uint32_t count = kona_load_relaxed(&space->frames.count); /* relaxed: a level */
	uint32_t stays = eager ? 0 : count / SHARE;

	while (most && evict->cooling.count > stays && evict->count < KONA_EVICT_BATCH) {
		uint64_t page = take_oldest(&evict->cooling);
		uint64_t entry = kona_pt_load(&space->pt, page);

		expect_oldest(space);
		if (kona_pt_state(entry) != KONA_PT_COOLING ||
		    !kona_pt_claim(&space->pt, page, entry, KONA_PT_FLUSHING))
			continue;
		/* Its marks are looked at behind the barrier, and are in no cache by now. */
		__builtin_prefetch(kona_frame_marks(&space->frames, kona_pt_payload(entry)));
		evict->victims[evict->count++] = (struct kona_victim){
			.page = page,
			.entry = entry,
			.content = kona_frame_address(&space->frames, kona_pt_payload(entry)),
		};
		most--;
	}
}
