/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The picture of bench/log-goodput: `draw-goodput LOG-GOODPUT.JSON PICTURE.SVG`.
 *
 * Walk: for each link a plot of the goodput of the four ways, for contiguous lines; then the log's
 * time for a batch on the last link, which is the emulated one. What can fail: the files; figures
 * that are not what bench/log-goodput writes.
 */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "draw.h"
#include "report/picture.h"

enum { MOST_POINTS = 8, MOST_LINKS = 4, MOST_CURVES = 4 };

/* Of which cases a curve is, and of which of their fields. */
struct wanted {
	const char *name, *way, *field;
};

static const struct wanted ways[] = {
	{"whole pages", "page", "bytes_per_s"},
	{"line by line", "line", "bytes_per_s"},
	{"gathered", "gather", "bytes_per_s"},
	{"log", "log", "bytes_per_s"},
};
static const struct wanted parts[] = {
	{"gather and sum", "log", "gather_ns"},
	{"copy", "log", "copy_ns"},
	{"send", "log", "send_ns"},
	{"wait", "log", "wait_ns"},
};

/* Values over lines a page, in the order of the file. */
struct curve {
	size_t count;
	double lines[MOST_POINTS], value[MOST_POINTS];
};

/* Picks one field of one way, contiguous lines only. */
static int read_curve(json_t *cases, const char *way, const char *field, struct curve *ret_curve)
{
	struct curve curve = {.count = 0};
	json_t *one;
	size_t i;

	json_array_foreach (cases, i, one) {
		const char *of;
		double lines, value;
		int alternating;

		if (json_unpack(one, "{s:s, s:F, s:F, s:b}", "way", &of, "lines", &lines, field,
				&value, "alternating", &alternating))
			return -EINVAL;
		if (alternating || strcmp(of, way) != 0)
			continue;
		if (curve.count == MOST_POINTS)
			return -EINVAL;
		curve.lines[curve.count] = lines;
		curve.value[curve.count++] = value;
	}
	*ret_curve = curve;
	return curve.count ? 0 : -EINVAL;
}

/* A panel with a curve for each of `count`: of that way, or of that part of the log's time. */
static int draw_panel(struct kona_picture *picture, json_t *link, struct kona_plot *plot,
		      const struct wanted *wanted, size_t count)
{
	struct kona_plot_series series[MOST_CURVES];
	struct curve curves[MOST_CURVES];

	for (size_t i = 0; i < count; i++) {
		if (read_curve(json_object_get(link, "cases"), wanted[i].way, wanted[i].field,
			       &curves[i]))
			return -EINVAL;
		series[i] = (struct kona_plot_series){wanted[i].name, curves[i].lines,
						      curves[i].value, curves[i].count};
	}
	plot->kind = KONA_PLOT_LINES;
	plot->x.label = "dirty lines of a page, one after the other";
	plot->x.log = plot->y.log = true;
	plot->x.ticks = curves[0].lines;
	plot->x.tick_count = curves[0].count;
	plot->series = series;
	plot->series_count = count;
	kona_picture_panel(picture, plot);
	return 0;
}

static int draw_goodput(struct kona_picture *picture, json_t *link)
{
	struct kona_plot plot = {
		.title = json_string_value(json_object_get(link, "name")),
		.note = "Dirty bytes that come home in a second. Higher is better; both axes are "
			"logarithmic.",
		.y = {.label = "bytes per second"},
	};

	if (!plot.title)
		return -EINVAL;
	return draw_panel(picture, link, &plot, ways, KONA_ARRAY_LEN(ways));
}

static int draw_split(struct kona_picture *picture, json_t *link)
{
	struct kona_plot plot = {
		.title = "Where the log's time goes, on the emulated network",
		.note = "Of a batch of 64 pages. What the far end does is part of the wait.",
		.y = {.label = "time of a batch", .unit = KONA_UNIT_NS},
	};

	return draw_panel(picture, link, &plot, parts, KONA_ARRAY_LEN(parts));
}

static int draw(const char *path, json_t *root)
{
	json_t *links = json_object_get(root, "links"), *link;
	struct kona_picture picture;
	const char *cpu, *kernel, *costs;
	char line[256];
	int rc = 0, err;
	size_t i;

	if (!json_array_size(links) || json_array_size(links) > MOST_LINKS ||
	    json_unpack(root, "{s:{s:s, s:s}, s:s}", "machine", "cpu", &cpu, "kernel", &kernel,
			"rdma_costs", &costs))
		return -EINVAL;
	err = kona_picture_open(path, "Writing dirty lines back",
				"Batches of 64 pages, each sent and waited for",
				(int)json_array_size(links) + 1, &picture);
	if (err)
		return err;
	json_array_foreach (links, i, link)
		if (!rc)
			rc = draw_goodput(&picture, link);
	if (!rc)
		rc = draw_split(&picture, json_array_get(links, json_array_size(links) - 1));
	snprintf(line, sizeof(line), "%.100s, Linux %.60s.", cpu, kernel);
	kona_picture_foot(&picture, line);
	snprintf(line, sizeof(line), "Emulated network: %.200s.", costs);
	kona_picture_foot(&picture, line);
	err = kona_picture_close(&picture);
	return rc ? rc : err;
}

int main(int argc, char **argv)
{
	return kona_draw_main(argc, argv, "draw-goodput", "bench/log-goodput", draw);
}
