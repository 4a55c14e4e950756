/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a result says beyond miss counts: patterns, reuse distances, source lines, allocation sites.
 * Each part is in a result only if it was asked for.
 */
#ifndef KONA_CACHESIM_PATTERNS_H
#define KONA_CACHESIM_PATTERNS_H

#include <stdio.h>

#include "report/html.h"
#include "result.h"

/* Sums over windows, or one of them; -1 where the result has none. */
struct kona_window {
	double instructions, pages, pages_dirty, regions_dirty, lines_read, lines_written;
	double runs_written, bytes_written;
};

/* Bytes sent over bytes dirtied, when dirty data is known by `unit`: 64, 4096 or 2 MiB. */
double kona_window_amplification(const struct kona_window *window, uint64_t unit);

/* Prints and draws the parts that the result has. */
void kona_patterns_print(FILE *stream, const struct kona_sim_result *result);
void kona_patterns_draw(struct kona_html *page, const struct kona_sim_result *result);

#endif
