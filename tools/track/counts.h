/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was written in a window, counted: lines, pages, their distribution, and where they lie.
 */
#ifndef KONA_TRACK_COUNTS_H
#define KONA_TRACK_COUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/units.h"

/* A page with the mask of its dirty lines (bit i: bytes 64 i to 64 i + 63). */
struct kona_dirty {
	uint64_t page;
	uint64_t mask;
};

struct kona_dirty_list {
	struct kona_dirty *v;
	size_t count, room;
	bool unsorted;
};

KONA_MUST_CHECK int kona_dirty_add(struct kona_dirty_list *list, uint64_t page, uint64_t mask);
void kona_dirty_sort(struct kona_dirty_list *list);
void kona_dirty_free(struct kona_dirty_list *list);

struct kona_counts {
	uint64_t lines, pages_4k, pages_2m;
	uint64_t changed_bytes;		       /* copies only */
	uint64_t by_page[KONA_PAGE_LINES + 1]; /* pages with that many dirty lines */
	uint64_t by_run[KONA_PAGE_LINES + 2];  /* runs of that many lines; last: longer */
	uint64_t run_ns, paused_ns;	       /* of the targets */
	/* At the window's end; tracker_bytes is all the memory of the tracker. */
	uint64_t resident_bytes, kept_bytes, tracker_bytes, unreadable_pages;
};

/* Adds the dirty pages of one process, which are sorted. */
void kona_counts_add(struct kona_counts *counts, const struct kona_dirty_list *list);

/* Adds a window to a total; resident and kept bytes become the maximum. */
void kona_counts_merge(struct kona_counts *total, const struct kona_counts *window);

/* Bytes of the whole pages over bytes of the dirty lines; 0 when nothing is dirty. */
double kona_counts_amplification(const struct kona_counts *counts, uint64_t pages,
				 uint64_t page_bytes);

/* Dirty lines by place (a mapping's name). */
struct kona_place {
	char *name;
	uint64_t lines, pages;
};

struct kona_places {
	struct kona_place *v;
	size_t count, room;
};

KONA_MUST_CHECK int kona_places_add(struct kona_places *places, const char *name, uint64_t lines,
				    uint64_t pages);
KONA_MUST_CHECK int kona_places_merge(struct kona_places *total, const struct kona_places *window);
/* Most lines first. */
void kona_places_sort(struct kona_places *places);
void kona_places_clear(struct kona_places *places);

#endif
