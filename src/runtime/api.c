/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The API of include/kona/kona.h (api -> guard, region, discard). Thin: each call is put together
 * from the stages of the walks.
 *
 * A pin is a count on the page's frame. It is made while a hazard slot protects the page, so the
 * evictor sees one or the other (edge GU-1).
 *
 * State: how many pages are pinned. What can fail: see the header.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kona/guard.h>
#include <kona/kona.h>

#include "base/atomic.h"
#include "runtime/discard.h"
#include "runtime/evict.h"
#include "runtime/fetch-frame.h"
#include "runtime/hazard.h"
#include "runtime/process.h"
#include "runtime/space.h"

enum {
	PIN_SLOT = KONA_GUARD_SLOTS - 3, /* of the runtime's own, beside those of guard.c */
	SHRINK_TRIES = 1000,
	SHRINK_PAUSE_US = 1000,
};

static uint64_t pinned; /* pages. Atomic, no edge: a level */

/* The space that this thread's guards see; NULL: all memory is ordinary. */
static struct kona_space *space_of_guards(void)
{
	return kona_hazard_self() ? kona_process_space() : NULL;
}

void *kona_alloc(size_t size_bytes)
{
	return malloc(size_bytes);
}

void kona_free(void *memory)
{
	free(memory);
}

void kona_read(void *to, const void *from, size_t size_bytes)
{
	kona_guard_read(to, from, size_bytes);
}

void kona_write(void *to, const void *from, size_t size_bytes)
{
	kona_guard_write(to, from, size_bytes);
}

/* --- pins --------------------------------------------------------------------------------------*/

/* The pages that a range touches, as far as it is in VFMem. */
struct span {
	uint64_t first;
	uint64_t pages;
};

static struct span span_of(const struct kona_space *space, const void *range, size_t size_bytes)
{
	uintptr_t start = (uintptr_t)range, end = start + size_bytes;
	uint64_t first, last;

	if (!kona_space_contains(space, range))
		return (struct span){0, 0};
	first = kona_space_page(space, range);
	last = kona_space_page(space, (const void *)(end - 1));
	return (struct span){first, last - first + 1};
}

/* The page is resident and stays so. Returns where it is. */
static char *pin_page(struct kona_space *space, uint64_t page)
{
	char *home = kona_space_address(space, page);
	uintptr_t delta = kona_guard_delta(home, PIN_SLOT);
	/* The slot keeps the frame this page's, in whatever state. */
	uint64_t entry = kona_pt_load(&space->pt, page);

	if (kona_pt_state(entry) != KONA_PT_OUTSIDE)
		/* GU-1: acquire-release, pairs with the acquire in kona_frame_pinned(). */
		kona_add_acq_rel(&space->frames.pins[kona_pt_payload(entry)], 1);
	return home + delta;
}

static void unpin_page(struct kona_space *space, uint64_t page)
{
	uint64_t entry = kona_pt_load(&space->pt, page);

	if (kona_pt_state(entry) != KONA_PT_OUTSIDE)
		/* GU-1: release; what was written is there before the evictor looks. */
		kona_sub_acq_rel(&space->frames.pins[kona_pt_payload(entry)], 1);
}

/*
 * Counts pages as pinned before they are, so that threads which pin at once share the limit: what
 * is pinned beyond it would leave the others nothing to evict.
 */
static bool reserve_pins(const struct kona_space *space, uint64_t pages)
{
	/* relaxed: levels, both */
	uint64_t before = kona_add_relaxed(&pinned, pages);

	if (before + pages <= kona_load_relaxed(&space->frames.count) / 2)
		return true;
	kona_sub_relaxed(&pinned, pages);
	return false;
}

int kona_pin(const void *range, size_t size_bytes, enum kona_pin_for what, struct kona_pin *ret_pin)
{
	struct kona_space *space = space_of_guards();
	struct span span = {0, 0};
	char *local = (char *)(uintptr_t)range;

	if (!size_bytes)
		return -EINVAL;
	if (space)
		span = span_of(space, range, size_bytes);
	if (span.pages && !reserve_pins(space, span.pages))
		return -ENOSPC;
	for (uint64_t i = 0; i < span.pages; i++) {
		char *page = pin_page(space, span.first + i);

		if (span.pages == 1) {
			local = page + (uintptr_t)range % KONA_PAGE_BYTES;
			if (what == KONA_PIN_WRITE)
				kona_guard_mark_range(local, size_bytes);
		} else {
			/* relaxed: only for the fault that brings the page in place */
			(void)kona_load_relaxed(kona_space_address(space, span.first + i));
		}
	}
	*ret_pin = (struct kona_pin){local, range, size_bytes};
	return 0;
}

void kona_unpin(const struct kona_pin *pin)
{
	struct kona_space *space = space_of_guards();
	struct span span;

	if (!space)
		return;
	span = span_of(space, pin->range, pin->size_bytes);
	for (uint64_t i = 0; i < span.pages; i++)
		unpin_page(space, span.first + i);
	kona_sub_relaxed(&pinned, span.pages); /* relaxed: a level */
}

/* --- hints -------------------------------------------------------------------------------------*/

void kona_prefetch(const void *range, size_t size_bytes)
{
	struct kona_space *space = space_of_guards();
	struct kona_hazard *hazard = kona_hazard_self();
	struct span span;

	if (!space || !size_bytes || !kona_hazard_awake())
		return;
	span = span_of(space, range, size_bytes);
	kona_hazard_begin_miss(hazard);
	kona_fetch_ahead(space, span.first, span.pages);
	kona_hazard_end_miss(hazard);
}

void kona_discard_range(void *range, size_t size_bytes)
{
	struct kona_space *space = kona_process_space();
	uintptr_t start = kona_round_up((uintptr_t)range, KONA_PAGE_BYTES);
	uintptr_t end = kona_round_down((uintptr_t)range + size_bytes, KONA_PAGE_BYTES);

	if (start >= end)
		return;
	if (!space || !kona_space_contains(space, range))
		memset((void *)start, 0, end - start); /* local, or a parent's */
	else
		kona_discard(space, kona_space_page(space, (void *)start),
			     (end - start) / KONA_PAGE_BYTES);
}

/* --- figures, size -----------------------------------------------------------------------------*/

int kona_counts(struct kona_counts *ret_counts, size_t size_bytes)
{
	const struct kona_space *space = kona_process_space();
	const struct kona_stats *stats;

	if (size_bytes != sizeof(*ret_counts))
		return -EINVAL;
	if (!space)
		return -ENOTCONN;
	stats = space->stats;
	/* relaxed: figures, all of them */
	*ret_counts = (struct kona_counts){
		.faults = kona_load_relaxed(&stats->faults_missing) +
			  kona_load_relaxed(&stats->faults_wp),
		.guard_misses = kona_load_relaxed(&stats->guard_misses),
		.fetched_pages = kona_load_relaxed(&stats->fetched_pages),
		.prefetched_pages = kona_load_relaxed(&stats->prefetched_pages),
		.prefetch_used_pages = kona_load_relaxed(&stats->prefetch_used_pages),
		.recalled_pages = kona_load_relaxed(&stats->recalled_pages),
		.evicted_pages = kona_load_relaxed(&stats->evicted_pages),
		.evicted_clean_pages = kona_load_relaxed(&stats->evicted_clean_pages),
		.dirty_lines = kona_load_relaxed(&stats->dirty_lines),
		.written_back_bytes = kona_load_relaxed(&stats->written_back_bytes),
		.system_calls = kona_load_relaxed(&stats->system_calls),
		.local_pages = kona_load_relaxed(&stats->local_pages),
		.local_budget_bytes = kona_load_relaxed(&stats->local_budget_bytes),
		.remote_bytes = kona_load_relaxed(&stats->remote_bytes),
	};
	return 0;
}

int kona_set_local(uint64_t bytes)
{
	struct kona_space *space = kona_process_space();

	if (!space)
		return -ENOTCONN;
	for (int i = 0; i < SHRINK_TRIES; i++) {
		int64_t left = kona_space_resize(space, bytes);

		if (left <= 0)
			return (int)left;
		usleep(SHRINK_PAUSE_US);
	}
	return -EBUSY;
}
