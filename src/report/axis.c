/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Axes of plots. Stateless. Nothing fails: a value that has no place (not finite, or not positive
 * on a log axis) is NAN, and the caller leaves it out.
 */
#include "report/axis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"

/* At most three digits, and no more zeros than say something. */
static void format_scaled(char *text, double value, const char *suffix)
{
	double size = fabs(value);
	/* 60.000000000000007 is 60, too. */
	bool whole = fabs(size - round(size)) <= size * 1e-9;
	int digits = size >= 99.95 || whole ? 0 : size >= 9.995 ? 1 : 2;

	snprintf(text, KONA_AXIS_TEXT_BYTES, "%.*f%s", digits, value, suffix);
}

static void format_steps(char *text, double value, double step, const char *const *suffixes,
			 size_t count)
{
	size_t i = 0;

	while (fabs(value) >= step && i + 1 < count) {
		value /= step;
		i++;
	}
	format_scaled(text, value, suffixes[i]);
}

char *kona_axis_format(enum kona_unit unit, double value, char text[KONA_AXIS_TEXT_BYTES])
{
	static const char *const numbers[] = {"", " k", " M", " G", " T"};
	static const char *const bytes[] = {" B", " KiB", " MiB", " GiB", " TiB"};
	static const char *const rates[] = {" B/s", " KiB/s", " MiB/s", " GiB/s", " TiB/s"};
	static const char *const times[] = {" ns", " us", " ms", " s"};

	switch (unit) {
	case KONA_UNIT_NUMBER:
		format_steps(text, value, 1000, numbers, KONA_ARRAY_LEN(numbers));
		break;
	case KONA_UNIT_BYTES:
		format_steps(text, value, 1024, bytes, KONA_ARRAY_LEN(bytes));
		break;
	case KONA_UNIT_BYTES_PER_SECOND:
		format_steps(text, value, 1024, rates, KONA_ARRAY_LEN(rates));
		break;
	case KONA_UNIT_NS:
		format_steps(text, value, 1000, times, KONA_ARRAY_LEN(times));
		break;
	case KONA_UNIT_PERCENT:
		format_scaled(text, value * 100, " %");
		break;
	case KONA_UNIT_TIMES:
		format_scaled(text, value, "x");
		break;
	}
	return text;
}

static double log_base(const struct kona_axis *axis)
{
	return axis->unit == KONA_UNIT_BYTES ? 2 : 10;
}

/* The step of 1, 2 or 5 times a power of the base that makes at most `wanted` marks. */
static double linear_step(const struct kona_axis *axis, size_t wanted)
{
	double raw = (axis->max - axis->min) / (double)(wanted - 1);
	double power;

	if (axis->whole && raw < 1)
		return 1;
	if (axis->unit == KONA_UNIT_BYTES || axis->unit == KONA_UNIT_BYTES_PER_SECOND)
		return exp2(ceil(log2(raw)));
	power = pow(10, floor(log10(raw)));
	if (raw <= power * 1.0001)
		return power;
	if (raw <= power * 2)
		return power * 2;
	return raw <= power * 5 ? power * 5 : power * 10;
}

void kona_axis_fit(struct kona_axis *axis, double low, double high)
{
	bool fixed = axis->min < axis->max;

	if (!isfinite(low) || !isfinite(high) || (axis->log && high <= 0)) {
		low = axis->log ? 1 : 0;
		high = axis->log ? 10 : 1;
	}
	if (fixed)
		return;
	if (axis->log) {
		double base = log(log_base(axis));

		axis->min = exp(floor(log(low) / base + 1e-9) * base);
		axis->max = exp(ceil(log(high) / base - 1e-9) * base);
		if (axis->max <= axis->min * 1.0001)
			axis->max = axis->min * log_base(axis);
		return;
	}
	axis->min = low < 0 ? low : 0;
	axis->max = high > axis->min ? high : axis->min + 1;
	axis->max = ceil(axis->max / linear_step(axis, 6) - 1e-9) * linear_step(axis, 6);
	if (low < 0)
		axis->min = floor(low / linear_step(axis, 6)) * linear_step(axis, 6);
}

double kona_axis_place(const struct kona_axis *axis, double value)
{
	double place;

	if (!isfinite(value) || (axis->log && value <= 0))
		return NAN;
	if (axis->log)
		place = log(value / axis->min) / log(axis->max / axis->min);
	else
		place = (value - axis->min) / (axis->max - axis->min);
	return axis->reversed ? 1 - place : place;
}

static size_t log_ticks(const struct kona_axis *axis, size_t wanted, double *ticks)
{
	static const double fractions[] = {1, 2, 5};
	double base = log_base(axis);
	double decades = log(axis->max / axis->min) / log(base);
	double stride = ceil(decades / (double)(wanted - 1) - 1e-9);
	size_t parts = base == 10 && decades * 3 + 1 <= (double)wanted ? 3 : 1;
	double first = ceil(log(axis->min) / log(base) - 1e-9);
	size_t count = 0;

	if (parts == 3)
		first = floor(log(axis->min) / log(base) + 1e-9);
	for (double power = first; count < wanted; power += stride) {
		for (size_t i = 0; i < parts && count < wanted; i++) {
			double tick = pow(base, power) * fractions[i];

			if (tick > axis->max * 1.0001)
				return count;
			if (tick >= axis->min * 0.9999)
				ticks[count++] = tick;
		}
	}
	return count;
}

size_t kona_axis_ticks(const struct kona_axis *axis, size_t wanted, double *ticks)
{
	double step, first;
	size_t count = 0;

	if (wanted > KONA_AXIS_TICKS_MAX)
		wanted = KONA_AXIS_TICKS_MAX;
	if (axis->ticks) {
		for (; count < wanted && count < axis->tick_count; count++)
			ticks[count] = axis->ticks[count];
		return count;
	}
	if (axis->log)
		return log_ticks(axis, wanted, ticks);
	step = linear_step(axis, wanted);
	first = ceil(axis->min / step - 1e-9) * step;
	for (; count < wanted && first + step * (double)count <= axis->max + step * 1e-6; count++)
		ticks[count] = first + step * (double)count;
	return count;
}
