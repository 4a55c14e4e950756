/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plots as inline SVG: lines or bars over two axes. Colours come from the page's style sheet
 * (html.c), so that a plot follows the reader's light or dark preference; no script is needed, each
 * point tells its values when pointed at.
 */
#ifndef KONA_REPORT_SVG_H
#define KONA_REPORT_SVG_H

#include <stdio.h>

#include "report/axis.h"

enum { KONA_PLOT_SERIES_MAX = 8 };

enum kona_plot_kind {
	KONA_PLOT_LINES,
	KONA_PLOT_STEPS, /* a value holds until the next point */
	KONA_PLOT_BARS,	 /* series side by side; x values are evenly spaced */
};

struct kona_plot_series {
	const char *name;
	const double *x, *y; /* rising x; points that are not finite, or have no place, are gaps */
	size_t count;
};

/* A horizontal line: a limit, or something to compare with. */
struct kona_plot_mark {
	const char *name;
	double value;
};

struct kona_plot {
	const char *title;
	const char *note; /* one sentence under the title: what to see; or NULL */
	enum kona_plot_kind kind;
	struct kona_axis x, y;
	size_t series_count;
	const struct kona_plot_series *series;
	size_t mark_count;
	const struct kona_plot_mark *marks;
};

/* Writes one <svg>. Errors stay in the stream (ferror). */
void kona_svg_plot(FILE *stream, const struct kona_plot *plot);

/* Writes text with &, <, > and " escaped, for element contents and attributes alike. */
void kona_svg_text(FILE *stream, const char *text);

#endif
