/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One axis of a plot: from values to places, and the values worth a mark.
 */
#ifndef KONA_REPORT_AXIS_H
#define KONA_REPORT_AXIS_H

#include <stdbool.h>
#include <stddef.h>

enum kona_unit {
	KONA_UNIT_NUMBER, /* 1.2 M */
	KONA_UNIT_BYTES,  /* 64 KiB; a log axis goes by powers of two */
	KONA_UNIT_BYTES_PER_SECOND,
	KONA_UNIT_NS,	   /* 2.4 us */
	KONA_UNIT_PERCENT, /* 0.25 is written 25 % */
	KONA_UNIT_TIMES,   /* 1.7x */
};

struct kona_axis {
	const char *label;
	enum kona_unit unit;
	bool log;	     /* values <= 0 have no place on it */
	bool whole;	     /* counts: no marks between whole numbers */
	bool reversed;	     /* largest value first */
	double min, max;     /* equal: as the data wants */
	const double *ticks; /* values worth a mark; NULL: round ones */
	size_t tick_count;
};

enum { KONA_AXIS_TICKS_MAX = 16, KONA_AXIS_TEXT_BYTES = 24 };

/* Writes the value in its unit; returns text. */
char *kona_axis_format(enum kona_unit unit, double value, char text[KONA_AXIS_TEXT_BYTES]);

/* Widens min and max to round values that hold low..high (a linear axis from 0 if low >= 0). */
void kona_axis_fit(struct kona_axis *axis, double low, double high);

/* Share of the way along a fitted axis, 0 to 1 for values on it; NAN for a value without place. */
double kona_axis_place(const struct kona_axis *axis, double value);

/* The axis's own ticks, or round values: at most wanted (2 to KONA_AXIS_TICKS_MAX); returns their
 * number. */
size_t kona_axis_ticks(const struct kona_axis *axis, size_t wanted, double *ticks);

#endif
