/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The picture of bench/log-goodput: `draw-goodput LOG-GOODPUT.JSON PICTURE.SVG`.
 *
 * Walk: for each link a plot of the goodput of the four ways, for contiguous lines; then the log's
 * time for a batch on the last link, which is the emulated one. What can fail: the files; figures
 * that are not what bench/log-goodput writes.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "report/picture.h"

enum { MOST_POINTS = 8, MOST_LINKS = 4 };

static const char *const ways[] = {"page", "line", "gather", "log"};
static const char *const way_names[] = {"whole pages", "line by line", "gathered", "log"};
static const char *const parts[] = {"gather_ns", "copy_ns", "send_ns", "wait_ns"};
static const char *const part_names[] = {"gather and sum", "copy", "send", "wait"};

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

static int draw_goodput(struct kona_picture *picture, json_t *link)
{
	const char *name = json_string_value(json_object_get(link, "name"));
	struct curve curves[KONA_ARRAY_LEN(ways)];
	struct kona_plot_series series[KONA_ARRAY_LEN(ways)];
	struct kona_plot plot = {
		.title = name,
		.note = "Dirty bytes that come home in a second. Higher is better; both axes are "
			"logarithmic.",
		.kind = KONA_PLOT_LINES,
		.x = {.label = "dirty lines of a page, one after the other", .log = true},
		.y = {.label = "bytes per second", .log = true},
		.series = series,
		.series_count = KONA_ARRAY_LEN(ways),
	};

	for (size_t i = 0; i < KONA_ARRAY_LEN(ways); i++) {
		if (!name ||
		    read_curve(json_object_get(link, "cases"), ways[i], "bytes_per_s", &curves[i]))
			return -EINVAL;
		series[i] = (struct kona_plot_series){way_names[i], curves[i].lines,
						      curves[i].value, curves[i].count};
	}
	plot.x.ticks = curves[0].lines;
	plot.x.tick_count = curves[0].count;
	kona_picture_panel(picture, &plot);
	return 0;
}

static int draw_split(struct kona_picture *picture, json_t *link)
{
	struct curve curves[KONA_ARRAY_LEN(parts)];
	struct kona_plot_series series[KONA_ARRAY_LEN(parts)];
	struct kona_plot plot = {
		.title = "Where the log's time goes, on the emulated network",
		.note = "Of a batch of 64 pages. What the far end does is part of the wait.",
		.kind = KONA_PLOT_LINES,
		.x = {.label = "dirty lines of a page, one after the other", .log = true},
		.y = {.label = "time of a batch", .unit = KONA_UNIT_NS, .log = true},
		.series = series,
		.series_count = KONA_ARRAY_LEN(parts),
	};

	for (size_t i = 0; i < KONA_ARRAY_LEN(parts); i++) {
		if (read_curve(json_object_get(link, "cases"), "log", parts[i], &curves[i]))
			return -EINVAL;
		series[i] = (struct kona_plot_series){part_names[i], curves[i].lines,
						      curves[i].value, curves[i].count};
	}
	plot.x.ticks = curves[0].lines;
	plot.x.tick_count = curves[0].count;
	kona_picture_panel(picture, &plot);
	return 0;
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
	json_error_t error;
	json_t *root;
	int err;

	kona_log_name("draw-goodput");
	if (argc != 3) {
		kona_error("give the figures (JSON) and the picture (SVG)");
		return 2;
	}
	root = json_load_file(argv[1], 0, &error);
	if (!root) {
		kona_error("%s:%d: %s", argv[1], error.line, error.text);
		return 1;
	}
	err = draw(argv[2], root);
	if (err)
		kona_error("%s",
			   err == -EINVAL ? "not what bench/log-goodput writes" : strerror(-err));
	json_decref(root);
	return err ? 1 : 0;
}
