/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds the trend in a thread's misses (guard -> prefetch). State: the thread's own history. No
 * locks, nothing can fail.
 */
#include "runtime/prefetch.h"

#include <stdbool.h>

enum { LEAST_HISTORY = 4 };

static int64_t stride_at(const struct kona_prefetch *prefetch, uint32_t back)
{
	return prefetch->strides[(prefetch->noted - 1 - back) % KONA_PREFETCH_HISTORY];
}

/* The stride that more than half of the last `window` ones are (Boyer and Moore). */
static bool majority(const struct kona_prefetch *prefetch, uint32_t window, int64_t *ret_stride)
{
	int64_t candidate = 0;
	uint32_t votes = 0, count = 0;

	for (uint32_t i = 0; i < window; i++) {
		int64_t stride = stride_at(prefetch, i);

		if (!votes)
			candidate = stride;
		votes += stride == candidate ? 1 : UINT32_MAX;
	}
	for (uint32_t i = 0; i < window; i++)
		count += stride_at(prefetch, i) == candidate;
	if (count <= window / 2 || !candidate)
		return false;
	*ret_stride = candidate;
	return true;
}

static bool find_trend(const struct kona_prefetch *prefetch, int64_t *ret_stride)
{
	uint32_t known =
		prefetch->noted < KONA_PREFETCH_HISTORY ? prefetch->noted : KONA_PREFETCH_HISTORY;

	for (uint32_t window = LEAST_HISTORY; window <= known; window *= 2)
		if (majority(prefetch, window, ret_stride))
			return true;
	return false;
}

/* The strides of a random walk hardly repeat: whoever has no two alike among the last four has no
 * trend, and is not made to pay for the search. */
static bool looks_random(const struct kona_prefetch *prefetch)
{
	int64_t a = stride_at(prefetch, 0), b = stride_at(prefetch, 1);
	int64_t c = stride_at(prefetch, 2), d = stride_at(prefetch, 3);

	return a != b && a != c && a != d && b != c && b != d && c != d;
}

/* A run is used up: twice as far when at least half of it was of use, else half as far. */
static void adapt(struct kona_prefetch *prefetch, uint32_t run_pages)
{
	if (!prefetch->window_pages)
		prefetch->window_pages = 2;
	else if (prefetch->used * 2 >= run_pages)
		prefetch->window_pages *= 2;
	else
		prefetch->window_pages /= 2;
	if (prefetch->window_pages > KONA_PREFETCH_MOST)
		prefetch->window_pages = KONA_PREFETCH_MOST;
	prefetch->used = 0;
}

/* The next miss of this trend comes behind the run, and is one stride from its end. */
static uint32_t foretell(struct kona_prefetch *prefetch, uint64_t first, int64_t stride,
			 uint64_t *pages)
{
	prefetch->run_first = first;
	prefetch->run_stride = stride;
	for (uint32_t i = 0; i < prefetch->window_pages; i++)
		pages[i] = first + (uint64_t)stride * i;
	prefetch->last_page = first + (uint64_t)stride * (prefetch->window_pages - 1);
	return prefetch->window_pages;
}

uint32_t kona_prefetch_plan(struct kona_prefetch *prefetch, uint64_t page, uint64_t *pages)
{
	int64_t stride = (int64_t)(page - prefetch->last_page);

	prefetch->last_page = page;
	prefetch->strides[prefetch->noted++ % KONA_PREFETCH_HISTORY] = stride;
	if (prefetch->noted < LEAST_HISTORY || looks_random(prefetch) ||
	    !find_trend(prefetch, &stride)) {
		prefetch->window_pages = 0;
		return 0;
	}
	adapt(prefetch, prefetch->window_pages);
	prefetch->before_pages = 0;
	return prefetch->window_pages ? foretell(prefetch, page + (uint64_t)stride, stride, pages)
				      : 0;
}

static bool is_in_run(const struct kona_prefetch *prefetch, uint64_t page)
{
	int64_t from_first = (int64_t)(page - prefetch->run_first);

	return prefetch->window_pages && !(from_first % prefetch->run_stride) &&
	       from_first / prefetch->run_stride >= 0 &&
	       from_first / prefetch->run_stride < prefetch->window_pages;
}

uint32_t kona_prefetch_follow(struct kona_prefetch *prefetch, uint64_t page, uint64_t *pages)
{
	uint32_t run_pages = prefetch->window_pages;
	uint64_t next;

	if (!is_in_run(prefetch, page))
		return 0;
	next = prefetch->run_first + (uint64_t)prefetch->run_stride * run_pages;
	/* What was used since is of the run before: of this one it is the first page. */
	adapt(prefetch, prefetch->before_pages);
	prefetch->before_pages = run_pages;
	return prefetch->window_pages ? foretell(prefetch, next, prefetch->run_stride, pages) : 0;
}

void kona_prefetch_used(struct kona_prefetch *prefetch)
{
	prefetch->used++;
}
