/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counting dirty lines. No locks: one thread.
 */
#include "counts.h"

#include <errno.h>
#include <string.h>

enum { PAGES_2M = 512 };

int kona_dirty_add(struct kona_dirty_list *list, uint64_t page, uint64_t mask)
{
	if (list->count == list->room) {
		size_t more = list->room ? list->room + list->room / 2 : 256;
		void *bigger = realloc(list->v, more * sizeof(*list->v));

		if (!bigger)
			return -ENOMEM;
		list->v = bigger;
		list->room = more;
	}
	if (list->count && list->v[list->count - 1].page > page)
		list->unsorted = true;
	list->v[list->count++] = (struct kona_dirty){page, mask};
	return 0;
}

static int by_page(const void *a, const void *b)
{
	const struct kona_dirty *x = a, *y = b;

	return x->page < y->page ? -1 : x->page > y->page;
}

void kona_dirty_sort(struct kona_dirty_list *list)
{
	if (list->unsorted)
		qsort(list->v, list->count, sizeof(*list->v), by_page);
	list->unsorted = false;
}

void kona_dirty_free(struct kona_dirty_list *list)
{
	free(list->v);
	*list = (struct kona_dirty_list){0};
}

static void end_run(struct kona_counts *counts, uint64_t lines)
{
	if (lines)
		counts->by_run[lines > KONA_PAGE_LINES ? KONA_PAGE_LINES + 1 : lines]++;
}

/* Follows runs of dirty lines through one page; returns the length of the run that reaches its
 * end. */
static uint64_t add_runs(struct kona_counts *counts, uint64_t mask, uint64_t run)
{
	unsigned int at = 0;

	while (at < KONA_PAGE_LINES) {
		uint64_t rest = mask >> at;
		unsigned int ones, zeros;

		ones = ~rest ? (unsigned int)__builtin_ctzll(~rest) : KONA_PAGE_LINES;
		run += ones;
		at += ones;
		if (at >= KONA_PAGE_LINES)
			return run;
		end_run(counts, run);
		run = 0;
		rest = mask >> at;
		zeros = rest ? (unsigned int)__builtin_ctzll(rest) : KONA_PAGE_LINES;
		at += zeros;
	}
	return 0;
}

void kona_counts_add(struct kona_counts *counts, const struct kona_dirty_list *list)
{
	uint64_t next = UINT64_MAX, huge = UINT64_MAX, run = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct kona_dirty *d = &list->v[i];
		unsigned int lines = (unsigned int)__builtin_popcountll(d->mask);

		if (d->page != next) {
			end_run(counts, run);
			run = 0;
		}
		run = add_runs(counts, d->mask, run);
		next = d->page + 1;
		counts->lines += lines;
		counts->pages_4k++;
		counts->by_page[lines]++;
		if (d->page / PAGES_2M != huge) {
			huge = d->page / PAGES_2M;
			counts->pages_2m++;
		}
	}
	end_run(counts, run);
}

static void keep_maximum(uint64_t *value, uint64_t other)
{
	if (other > *value)
		*value = other;
}

void kona_counts_merge(struct kona_counts *total, const struct kona_counts *window)
{
	total->lines += window->lines;
	total->pages_4k += window->pages_4k;
	total->pages_2m += window->pages_2m;
	total->changed_bytes += window->changed_bytes;
	total->run_ns += window->run_ns;
	total->paused_ns += window->paused_ns;
	for (size_t i = 0; i < KONA_ARRAY_LEN(total->by_page); i++)
		total->by_page[i] += window->by_page[i];
	for (size_t i = 0; i < KONA_ARRAY_LEN(total->by_run); i++)
		total->by_run[i] += window->by_run[i];
	keep_maximum(&total->resident_bytes, window->resident_bytes);
	keep_maximum(&total->kept_bytes, window->kept_bytes);
	keep_maximum(&total->tracker_bytes, window->tracker_bytes);
	keep_maximum(&total->unreadable_pages, window->unreadable_pages);
}

double kona_counts_amplification(const struct kona_counts *counts, uint64_t pages,
				 uint64_t page_bytes)
{
	if (!counts->lines)
		return 0;
	return (double)pages * (double)page_bytes / ((double)counts->lines * KONA_LINE_BYTES);
}

int kona_places_add(struct kona_places *places, const char *name, uint64_t lines, uint64_t pages)
{
	char *copy;

	for (size_t i = 0; i < places->count; i++) {
		if (!strcmp(places->v[i].name, name)) {
			places->v[i].lines += lines;
			places->v[i].pages += pages;
			return 0;
		}
	}
	if (places->count == places->room) {
		size_t more = places->room ? places->room * 2 : 16;
		void *bigger = realloc(places->v, more * sizeof(*places->v));

		if (!bigger)
			return -ENOMEM;
		places->v = bigger;
		places->room = more;
	}
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	places->v[places->count++] = (struct kona_place){copy, lines, pages};
	return 0;
}

int kona_places_merge(struct kona_places *total, const struct kona_places *window)
{
	int err = 0;

	for (size_t i = 0; !err && i < window->count; i++)
		err = kona_places_add(total, window->v[i].name, window->v[i].lines,
				      window->v[i].pages);
	return err;
}

static int most_lines(const void *a, const void *b)
{
	const struct kona_place *x = a, *y = b;

	return x->lines < y->lines ? 1 : x->lines > y->lines ? -1 : strcmp(x->name, y->name);
}

void kona_places_sort(struct kona_places *places)
{
	if (places->count)
		qsort(places->v, places->count, sizeof(*places->v), most_lines);
}

void kona_places_clear(struct kona_places *places)
{
	for (size_t i = 0; i < places->count; i++)
		free(places->v[i].name);
	free(places->v);
	*places = (struct kona_places){0};
}
