/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which lines of a batch's victims are dirty (evict -> find -> dirty): the guards' marks; and where
 * unguarded code may have written, what differs from the baseline.
 *
 * The store is the baseline in one mode: it is read for victims in a row by one call.
 *
 * State: none of its own. What can fail: the store (fatal).
 */
#include "runtime/find.h"

#include <string.h>

#include "runtime/fatal.h"
#include "runtime/space.h"

/* Victims first .. end - 1: what the store holds of them stands in evict->stored. */
struct window {
	uint32_t first, end;
};

static uint32_t frame_of(const struct kona_victim *victim)
{
	return kona_pt_payload(victim->entry);
}

static bool is_compared(const struct kona_space *space, const struct kona_victim *victim)
{
	return victim->content && (space->frames.marks[frame_of(victim)] & KONA_FRAME_COMPARE);
}

static bool wants_stored(const struct kona_space *space, const struct kona_victim *victim)
{
	return space->dirty.mode == KONA_DIRTY_STORE && is_compared(space, victim) &&
	       !(victim->entry & KONA_PT_ZERO);
}

static void read_stored(struct kona_space *space, struct window *window, uint32_t first)
{
	struct kona_evict *evict = &space->evict;
	const struct kona_victim *victims = evict->victims;
	uint32_t end = first + 1;
	uint64_t system_calls = 0;
	struct kona_read piece;
	int rc;

	while (end < evict->count && end - first < KONA_EVICT_STORED_PAGES &&
	       victims[end].page == victims[end - 1].page + 1 && wants_stored(space, &victims[end]))
		end++;
	*window = (struct window){first, end};
	piece = (struct kona_read){victims[first].page * KONA_PAGE_BYTES, evict->stored,
				   (end - first) * (size_t)KONA_PAGE_BYTES};
	rc = space->store->ops->read(space->store, &piece, 1, &system_calls);
	if (rc)
		kona_fatal("page %p cannot be compared with the memory node's: %s",
			   (void *)kona_space_address(space, victims[first].page), strerror(-rc));
	kona_add_relaxed(&space->stats->system_calls, system_calls); /* relaxed: a figure */
}

static uint64_t compare(struct kona_space *space, struct window *window, uint32_t index)
{
	const struct kona_victim *victim = &space->evict.victims[index];
	struct kona_dirty_candidate candidate = {
		.frame = frame_of(victim),
		.zero = victim->entry & KONA_PT_ZERO,
		.content = victim->content,
	};

	if (wants_stored(space, victim)) {
		if (index < window->first || index >= window->end)
			read_stored(space, window, index);
		candidate.stored =
			space->evict.stored + (index - window->first) * (size_t)KONA_PAGE_BYTES;
	}
	return kona_dirty_lines(&space->dirty, &space->frames, &candidate);
}

static uint64_t find(struct kona_space *space, struct window *window, uint32_t index)
{
	const struct kona_victim *victim = &space->evict.victims[index];
	uint64_t lines = 0;

	if (space->frames.marks[frame_of(victim)] & KONA_FRAME_MARKED)
		lines = kona_frame_collect(&space->frames, frame_of(victim));
	if (is_compared(space, victim))
		lines |= compare(space, window, index);
	/* What the store holds is of an earlier life: every line must be told. */
	if (lines && (victim->entry & KONA_PT_STALE))
		lines = UINT64_MAX;
	return lines;
}

void kona_find_dirty(struct kona_space *space, enum kona_find which)
{
	struct kona_evict *evict = &space->evict;
	struct window window = {0, 0};

	for (uint32_t i = 0; i < evict->count; i++) {
		bool framed = kona_pt_framed(evict->victims[i].entry);

		if (evict->victims[i].content &&
		    (which & (framed ? KONA_FIND_FRAMED : KONA_FIND_MAPPED)))
			evict->victims[i].dirty_lines = find(space, &window, i);
	}
}
