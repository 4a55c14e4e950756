/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Access patterns per window: which lines of which pages are read and written, in what runs.
 * Freestanding, like the engine. One thread at a time.
 *
 * Usage: kona_pattern_create, then kona_pattern_note for each first access to a line in the window
 * (more do no harm), kona_pattern_close at the window's end.
 */
#ifndef KONA_CACHESIM_PATTERN_H
#define KONA_CACHESIM_PATTERN_H

#include "engine.h"

enum {
	KONA_PATTERN_LINES = 64, /* 64 B lines of a 4 KiB page */
	KONA_PATTERN_SERIES_MAX = 4096,
};

struct kona_pattern_window {
	uint64_t instructions; /* at its end, since the start of the program */
	uint64_t pages;	       /* 4 KiB pages touched: the working set */
	uint64_t pages_dirty;
	uint64_t regions_dirty; /* 2 MiB */
	uint64_t lines_read;
	uint64_t lines_written;
	uint64_t runs_written;	/* stretches of neighbouring written lines within a page */
	uint64_t bytes_written; /* distinct ones; 0 unless they are noted */
};

/* Index n of a histogram: n lines. Summed over all windows. */
struct kona_pattern {
	uint64_t read_per_page[KONA_PATTERN_LINES + 1];
	uint64_t written_per_page[KONA_PATTERN_LINES + 1];
	uint64_t read_run[KONA_PATTERN_LINES + 1];
	uint64_t written_run[KONA_PATTERN_LINES + 1];
	uint64_t windows; /* may exceed the series, whose windows are the first ones */
	struct kona_pattern_window total;
	struct kona_pattern_window series[KONA_PATTERN_SERIES_MAX];
	uint64_t lost_pages; /* no memory to note them, or their bytes */
};

struct kona_pattern_state;

/* Returns 0 and *ret_state, or -ENOMEM. */
int kona_pattern_create(const struct kona_sim_host *host, struct kona_pattern_state **ret_state);

void kona_pattern_note(struct kona_pattern_state *state, uint64_t address, uint32_t bytes,
		       int reads, int writes);

/* Which bytes a store writes: of every one of them, beside kona_pattern_note of the first. */
void kona_pattern_note_bytes(struct kona_pattern_state *state, uint64_t address, uint32_t bytes);

/*
 * From here on each written page of a window is shown when the window ends: its number, its written
 * lines, and a mask of written bytes for each line (NULL: not noted).
 */
void kona_pattern_show_pages(struct kona_pattern_state *state,
			     void (*show)(uint64_t page, uint64_t written, const uint64_t *bytes));

/* Ends the window; instructions so far are noted with it. An empty window is not counted. */
void kona_pattern_close(struct kona_pattern_state *state, uint64_t instructions);

const struct kona_pattern *kona_pattern_result(const struct kona_pattern_state *state);

#endif
