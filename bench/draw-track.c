/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One page of many runs of `kona track --mode copy` (or auto,copy): `draw-track RUNS REPORT.HTML`.
 *
 * RUNS has a line for each run: its section, its name, and the file that --json wrote, with tabs
 * between, sorted by section. Each section has a table; of the first, as many runs as a plot takes
 * have their windows drawn.
 *
 * Walk: reads the list, and each run's windows into columns; writes the tables and plots. The first
 * and the last window are left out where there are more than two: the load begins and ends in them.
 * What can fail: the files, and lines that are not what the tracker writes.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "base/units.h"
#include "report/html.h"

enum {
	MOST_RUNS = 32,
	MOST_WINDOWS = 256,
	NAME_BYTES = 64,
};

enum column {
	LINES, /* dirty, in the window */
	LINES_BY_BYTES,
	PAGES_BY_BYTES,
	HUGE_BY_BYTES,
	PAGES_BY_LINES,
	HUGE_BY_LINES,
	LOST, /* of the time: paused, and in write faults */
	COLUMNS,
};

struct run {
	char section[NAME_BYTES], name[NAME_BYTES], path[256];
	size_t windows;
	double index[MOST_WINDOWS], value[COLUMNS][MOST_WINDOWS];
	double resident_bytes;
};

struct runs {
	size_t count;
	struct run v[MOST_RUNS];
};

static double number(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : NAN;
}

static void take_window(struct run *run, json_t *window)
{
	static const char *const keys[COLUMNS] = {
		[LINES] = "dirty_lines",
		[LINES_BY_BYTES] = "amplification_64b_of_bytes",
		[PAGES_BY_BYTES] = "amplification_4k_of_bytes",
		[HUGE_BY_BYTES] = "amplification_2m_of_bytes",
		[PAGES_BY_LINES] = "amplification_4k",
		[HUGE_BY_LINES] = "amplification_2m",
	};
	double paused = number(window, "paused_ns"), faults = number(window, "write_faults_ns");
	size_t at = run->windows;

	if (at == MOST_WINDOWS)
		return;
	for (int i = 0; i < LOST; i++)
		run->value[i][at] = number(window, keys[i]);
	run->value[LOST][at] = (paused + faults) / (paused + number(window, "run_ns"));
	run->resident_bytes = fmax(run->resident_bytes, number(window, "resident_bytes"));
	run->windows++;
}

/* Only whole windows of the load. */
static void trim(struct run *run)
{
	if (run->windows > 2) {
		run->windows -= 2;
		for (int i = 0; i < COLUMNS; i++)
			memmove(run->value[i], run->value[i] + 1,
				run->windows * sizeof(run->value[i][0]));
	}
	for (size_t i = 0; i < run->windows; i++)
		run->index[i] = (double)(i + 1);
}

static int read_run(struct run *run)
{
	FILE *file = fopen(run->path, "re");
	char *line = NULL;
	size_t room = 0;
	int err = file ? 0 : -errno;

	while (!err && getline(&line, &room, file) > 0) {
		json_t *object = json_loads(line, 0, NULL);
		const char *type = json_string_value(json_object_get(object, "type"));

		if (!type)
			err = -EINVAL;
		else if (!strcmp(type, "window"))
			take_window(run, object);
		json_decref(object);
	}
	free(line);
	if (file)
		fclose(file);
	trim(run);
	return !err && !run->windows ? -EINVAL : err;
}

static int read_runs(const char *path, struct runs *runs)
{
	FILE *file = fopen(path, "re");
	int err = file ? 0 : -errno;
	char line[512];

	while (!err && fgets(line, sizeof(line), file)) {
		struct run *run = &runs->v[runs->count];

		if (runs->count == MOST_RUNS || sscanf(line, "%63[^\t]\t%63[^\t]\t%255[^\n]",
						       run->section, run->name, run->path) != 3) {
			err = -EINVAL;
			break;
		}
		err = read_run(run);
		if (err)
			kona_error("%s: %s", run->path, strerror(-err));
		runs->count++;
	}
	if (file)
		fclose(file);
	return !err && !runs->count ? -EINVAL : err;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double median(const struct run *run, enum column column)
{
	double sorted[MOST_WINDOWS];
	size_t count = 0;

	for (size_t i = 0; i < run->windows; i++)
		if (!isnan(run->value[column][i]))
			sorted[count++] = run->value[column][i];
	qsort(sorted, count, sizeof(*sorted), by_value);
	return count ? sorted[count / 2] : NAN;
}

static void add_table(struct kona_html *page, const struct runs *runs, const char *section)
{
	static const char *const headings[] = {
		"",
		"resident",
		"windows",
		"dirty lines",
		"64 B, bytes",
		"4 KiB, bytes",
		"2 MiB, bytes",
		"4 KiB, lines",
		"2 MiB, lines",
		"time lost",
	};

	kona_html_table_begin(page, "amplification over changed bytes, and over dirty lines",
			      headings, KONA_ARRAY_LEN(headings));
	for (size_t i = 0; i < runs->count; i++) {
		const struct run *run = &runs->v[i];

		if (strcmp(run->section, section) != 0)
			continue;
		kona_html_cell_text(page, run->name);
		kona_html_cell(page, KONA_UNIT_BYTES, run->resident_bytes);
		kona_html_cell(page, KONA_UNIT_NUMBER, (double)run->windows);
		kona_html_cell(page, KONA_UNIT_NUMBER, median(run, LINES));
		for (enum column c = LINES_BY_BYTES; c <= HUGE_BY_LINES; c++)
			kona_html_cell(page, KONA_UNIT_TIMES, median(run, c));
		kona_html_cell(page, KONA_UNIT_PERCENT, median(run, LOST));
	}
	kona_html_table_end(page);
}

static void add_plot(struct kona_html *page, const struct runs *runs, enum column column,
		     const char *title, const char *note)
{
	struct kona_plot_series series[KONA_PLOT_SERIES_MAX];
	struct kona_plot plot = {
		.title = title,
		.note = note,
		.kind = KONA_PLOT_LINES,
		.x = {.label = "window", .unit = KONA_UNIT_NUMBER, .whole = true},
		.y = {.label = "over changed bytes",
		      .unit = KONA_UNIT_TIMES,
		      .log = column != LINES_BY_BYTES},
		.series = series,
	};

	for (size_t i = 0; i < runs->count && plot.series_count < KONA_PLOT_SERIES_MAX; i++) {
		const struct run *run = &runs->v[i];

		if (strcmp(run->section, runs->v[0].section) != 0)
			continue;
		series[plot.series_count++] = (struct kona_plot_series){
			run->name, run->index, run->value[column], run->windows};
	}
	kona_html_plot(page, &plot);
}

static int draw(const struct runs *runs, const char *path)
{
	struct kona_html *page;
	int err = kona_html_open(path, "What programs write, and what is sent for it",
				 "kona track, windows of one second or less", &page);

	if (err)
		return err;
	kona_html_paragraph(page, "Amplification is what a system sends that tracks dirty data in "
				  "units of that size, over the bytes that changed, or over the "
				  "64-byte lines in which they lie. Medians of the windows.");
	for (size_t i = 0; i < runs->count; i++) {
		const char *section = runs->v[i].section;

		if (i && !strcmp(section, runs->v[i - 1].section))
			continue;
		kona_html_section(page, section);
		add_table(page, runs, section);
		if (i)
			continue;
		add_plot(page, runs, PAGES_BY_BYTES, "4 KiB pages", "Window by window.");
		add_plot(page, runs, HUGE_BY_BYTES, "2 MiB pages", "Window by window.");
		add_plot(page, runs, LINES_BY_BYTES, "64 B lines", "Window by window.");
	}
	return kona_html_close(page);
}

int main(int argc, char **argv)
{
	static struct runs runs;
	int err;

	kona_log_name("draw-track");
	if (argc != 3) {
		kona_error("give the list of runs and the report (HTML)");
		return 2;
	}
	err = read_runs(argv[1], &runs);
	if (!err)
		err = draw(&runs, argv[2]);
	if (err)
		kona_error("%s: %s", argv[2], strerror(-err));
	return err ? 1 : 0;
}
