/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drawing of plots.
 *
 * Walk: fit both axes to the data, then grid and tick labels, reference lines, the series, and
 * their names: to the right of the rightmost point for lines (moved apart where they would
 * overlap), above the plot for bars. State: one struct drawing per plot. Nothing fails but the
 * stream.
 */
#include "report/svg.h"

#include <math.h>
#include <string.h>

#include "base/compiler.h"

enum {
	WIDTH = 720,
	HEIGHT = 360,
	LEFT = 76,
	TOP = 30,
	BOTTOM = 52,
	RIGHT_PLAIN = 24,
	RIGHT_NAMES = 170,
	NAME_HEIGHT = 15,
	TICKS = 7,
	WIDE_SLOT = 100, /* bars of this width in all carry their values */
};

struct drawing {
	FILE *out;
	const struct kona_plot *plot;
	struct kona_axis x, y;
	double width, height; /* of the plot area */
};

void kona_svg_text(FILE *stream, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", stream);
			break;
		case '<':
			fputs("&lt;", stream);
			break;
		case '>':
			fputs("&gt;", stream);
			break;
		case '"':
			fputs("&quot;", stream);
			break;
		default:
			fputc(*text, stream);
		}
	}
}

static double place_x(const struct drawing *d, double value)
{
	double share = kona_axis_place(&d->x, value);

	if (d->plot->kind == KONA_PLOT_BARS)
		share = (share * (double)(d->plot->series->count - 1) + 0.5) /
			(double)d->plot->series->count;
	return LEFT + share * d->width;
}

static double place_y(const struct drawing *d, double value)
{
	double share = kona_axis_place(&d->y, value);

	if (share < 0)
		share = 0;
	return TOP + (1 - share) * d->height;
}

static void fit(struct drawing *d)
{
	double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};

	for (size_t s = 0; s < d->plot->series_count; s++) {
		const struct kona_plot_series *series = &d->plot->series[s];

		for (size_t i = 0; i < series->count; i++) {
			const double point[2] = {series->x[i], series->y[i]};
			const bool log[2] = {d->x.log, d->y.log};

			for (int a = 0; a < 2; a++) {
				if (!isfinite(point[a]) || (log[a] && point[a] <= 0))
					continue;
				low[a] = fmin(low[a], point[a]);
				high[a] = fmax(high[a], point[a]);
			}
		}
	}
	for (size_t i = 0; i < d->plot->mark_count; i++)
		high[1] = fmax(high[1], d->plot->marks[i].value);
	/* The x axis ends where the data end, the y axis at a round value. */
	if (d->x.min >= d->x.max && low[0] < high[0]) {
		d->x.min = low[0];
		d->x.max = high[0];
	}
	kona_axis_fit(&d->x, low[0], high[0]);
	kona_axis_fit(&d->y, low[1], high[1]);
}

static void draw_axes(const struct drawing *d)
{
	double ticks[KONA_AXIS_TICKS_MAX];
	char text[KONA_AXIS_TEXT_BYTES];
	size_t count = kona_axis_ticks(&d->y, TICKS, ticks);

	for (size_t i = 0; i < count; i++) {
		double y = place_y(d, ticks[i]);

		fprintf(d->out,
			"<line class=\"grid\" x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
			"<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
			LEFT, LEFT + d->width, y, y, LEFT - 8, y + 4,
			kona_axis_format(d->y.unit, ticks[i], text));
	}
	count = kona_axis_ticks(&d->x, d->width < 500 ? TICKS : TICKS + 4, ticks);
	for (size_t i = 0; i < count; i++)
		fprintf(d->out,
			"<line class=\"base\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
			"<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" "
			"text-anchor=\"middle\">%s</text>\n",
			place_x(d, ticks[i]), place_x(d, ticks[i]), TOP + d->height,
			TOP + d->height + 4, place_x(d, ticks[i]), TOP + d->height + 18,
			kona_axis_format(d->x.unit, ticks[i], text));
	fprintf(d->out, "<line class=\"base\" x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
		LEFT, LEFT + d->width, TOP + d->height, TOP + d->height);
	fprintf(d->out, "<text class=\"label\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">",
		LEFT + d->width / 2, HEIGHT - 10);
	kona_svg_text(d->out, d->x.label);
	fprintf(d->out, "</text>\n<text class=\"label\" x=\"%d\" y=\"14\">", 4);
	kona_svg_text(d->out, d->y.label);
	fputs("</text>\n", d->out);
}

static void draw_marks(const struct drawing *d)
{
	for (size_t i = 0; i < d->plot->mark_count; i++) {
		double y = place_y(d, d->plot->marks[i].value);

		if (isnan(y) || y < TOP)
			continue;
		fprintf(d->out,
			"<line class=\"mark\" x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
			"<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">",
			LEFT, LEFT + d->width, y, y, LEFT + d->width - 4,
			y < TOP + NAME_HEIGHT ? y + 13 : y - 4);
		kona_svg_text(d->out, d->plot->marks[i].name);
		fputs("</text>\n", d->out);
	}
}

/* What a point tells when pointed at. */
static void draw_title(const struct drawing *d, const struct kona_plot_series *series, size_t i)
{
	char x[KONA_AXIS_TEXT_BYTES], y[KONA_AXIS_TEXT_BYTES];

	fputs("<title>", d->out);
	kona_svg_text(d->out, series->name);
	fprintf(d->out, ": %s at %s</title>", kona_axis_format(d->y.unit, series->y[i], y),
		kona_axis_format(d->x.unit, series->x[i], x));
}

static void draw_line(const struct drawing *d, size_t index)
{
	const struct kona_plot_series *series = &d->plot->series[index];
	double last_y = NAN;

	fprintf(d->out, "<path class=\"line c%zu\" d=\"", index);
	for (size_t i = 0; i < series->count; i++) {
		double x = place_x(d, series->x[i]);
		double y = isnan(x) ? NAN : place_y(d, series->y[i]);

		if (!isnan(y) && isnan(last_y))
			fprintf(d->out, "M%.1f %.1f", x, y);
		else if (!isnan(y) && d->plot->kind == KONA_PLOT_STEPS)
			fprintf(d->out, "H%.1fV%.1f", x, y);
		else if (!isnan(y))
			fprintf(d->out, "L%.1f %.1f", x, y);
		last_y = y;
	}
	fputs("\"/>\n", d->out);
	for (size_t i = 0; i < series->count; i++) {
		double x = place_x(d, series->x[i]);
		double y = place_y(d, series->y[i]);

		if (isnan(x) || isnan(y))
			continue;
		/* Points of a dense line would hide it: they show only when pointed at. */
		fprintf(d->out, "<circle class=\"%s f%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\">",
			series->count > 40 ? "hidden" : "point", index, x, y,
			series->count > 40 ? "5" : "3.5");
		draw_title(d, series, i);
		fputs("</circle>\n", d->out);
	}
}

static void draw_bars(const struct drawing *d, size_t index)
{
	const struct kona_plot_series *series = &d->plot->series[index];
	double slot = d->width / (double)series->count;
	double gap = slot > WIDE_SLOT ? slot * 0.3 : slot > 8 ? 2 : slot / 4;
	double width = (slot - gap) / (double)d->plot->series_count;
	char text[KONA_AXIS_TEXT_BYTES];

	for (size_t i = 0; i < series->count; i++) {
		double x = place_x(d, series->x[i]) - (slot - gap) / 2 + width * (double)index;
		double y = place_y(d, series->y[i]);

		if (isnan(x) || isnan(y))
			continue;
		fprintf(d->out,
			"<rect class=\"f%zu\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
			"height=\"%.1f\">",
			index, x, y, width > 3 ? width - 1 : width, TOP + d->height - y);
		draw_title(d, series, i);
		fputs("</rect>\n", d->out);
		if (slot > WIDE_SLOT)
			fprintf(d->out,
				"<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" "
				"text-anchor=\"middle\">%s</text>\n",
				x + width / 2, y - 5,
				kona_axis_format(d->y.unit, series->y[i], text));
	}
}

/* Names beside the rightmost points, top to bottom, each at least a line's height below the one
 * above.
 */
static void draw_names_beside(const struct drawing *d)
{
	double at[KONA_PLOT_SERIES_MAX] = {0};
	size_t order[KONA_PLOT_SERIES_MAX], count = d->plot->series_count;
	double next = TOP, over;

	for (size_t s = 0; s < count; s++) {
		const struct kona_plot_series *series = &d->plot->series[s];
		size_t place = s;
		double rightmost = 0;

		for (size_t i = 0; i < series->count; i++) {
			double x = place_x(d, series->x[i]);

			if (isnan(place_y(d, series->y[i])) || !(x >= rightmost))
				continue;
			rightmost = x;
			at[s] = place_y(d, series->y[i]);
		}
		for (; place && at[order[place - 1]] > at[s]; place--)
			order[place] = order[place - 1];
		order[place] = s;
	}
	for (size_t i = 0; i < count; i++) {
		at[order[i]] = fmax(at[order[i]], next);
		next = at[order[i]] + NAME_HEIGHT;
	}
	over = count ? at[order[count - 1]] - (TOP + d->height) : 0;
	for (size_t i = count; i-- > 0 && over > 0;) {
		at[order[i]] -= over;
		if (i)
			over = at[order[i - 1]] + NAME_HEIGHT - at[order[i]];
	}
	for (size_t s = 0; s < count; s++) {
		fprintf(d->out,
			"<circle class=\"f%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>"
			"<text class=\"name\" x=\"%.1f\" y=\"%.1f\">",
			s, LEFT + d->width + 16, at[s], LEFT + d->width + 25, at[s] + 4);
		kona_svg_text(d->out, d->plot->series[s].name);
		fputs("</text>\n", d->out);
	}
}

static void draw_names_above(const struct drawing *d)
{
	double x = LEFT + d->width;

	for (size_t s = d->plot->series_count; s-- > 0;) {
		x -= 22 + 7 * (double)strlen(d->plot->series[s].name);
		fprintf(d->out,
			"<rect class=\"f%zu\" x=\"%.1f\" y=\"4\" width=\"10\" height=\"10\"/>"
			"<text class=\"name\" x=\"%.1f\" y=\"14\">",
			s, x, x + 14);
		kona_svg_text(d->out, d->plot->series[s].name);
		fputs("</text>\n", d->out);
	}
}

void kona_svg_plot(FILE *stream, const struct kona_plot *plot)
{
	struct drawing d = {.out = stream, .plot = plot, .x = plot->x, .y = plot->y};
	bool bars = plot->kind == KONA_PLOT_BARS;
	bool beside = !bars && plot->series_count > 1;

	if (!plot->series_count || !plot->series->count)
		return;
	d.width = WIDTH - LEFT - (beside ? RIGHT_NAMES : RIGHT_PLAIN);
	d.height = HEIGHT - TOP - BOTTOM;
	fit(&d);
	fprintf(stream, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
	kona_svg_text(stream, plot->title);
	fputs("\">\n", stream);
	draw_axes(&d);
	draw_marks(&d);
	for (size_t s = 0; s < plot->series_count && s < KONA_PLOT_SERIES_MAX; s++) {
		if (bars)
			draw_bars(&d, s);
		else
			draw_line(&d, s);
	}
	if (beside)
		draw_names_beside(&d);
	else if (plot->series_count > 1)
		draw_names_above(&d);
	fputs("</svg>\n", stream);
}
