/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Patterns for people. Walk: the result's JSON -> sums, histograms, tables -> text or page. A part
 * that is missing or of another form is left out. No state.
 */
#include "patterns.h"

#include <math.h>
#include <string.h>

#include "base/units.h"

enum { HISTOGRAM_MAX = 128, SERIES_MAX = 4096, SITES_SHOWN = 20 };

static double number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static struct kona_window read_window(const json_t *object)
{
	return (struct kona_window){
		.instructions = number_of(object, "instructions"),
		.pages = number_of(object, "pages"),
		.pages_dirty = number_of(object, "pages_dirty"),
		.regions_dirty = number_of(object, "regions_dirty"),
		.lines_read = number_of(object, "lines_read"),
		.lines_written = number_of(object, "lines_written"),
		.runs_written = number_of(object, "runs_written"),
		.bytes_written = number_of(object, "bytes_written"),
	};
}

/* Without the bytes themselves, a dirty line counts as written whole. */
double kona_window_amplification(const struct kona_window *window, uint64_t unit)
{
	double dirtied = window->bytes_written > 0 ? window->bytes_written
						   : window->lines_written * KONA_LINE_BYTES;
	double units = unit == KONA_LINE_BYTES	 ? window->lines_written
		       : unit == KONA_PAGE_BYTES ? window->pages_dirty
						 : window->regions_dirty;

	return dirtied > 0 ? units * (double)unit / dirtied : NAN;
}

static void print_windows(FILE *stream, const json_t *patterns)
{
	struct kona_window total = read_window(json_object_get(patterns, "total"));
	double windows = fmax(number_of(patterns, "windows"), 1);
	char size[16];

	fprintf(stream, "\n%.0f windows; in a window, on average:\n", windows);
	fprintf(stream, "  %.0f pages touched (%s), %.0f of them written\n", total.pages / windows,
		kona_size_format((uint64_t)(total.pages / windows * KONA_PAGE_BYTES), size,
				 sizeof(size)),
		total.pages_dirty / windows);
	fprintf(stream,
		"  %.1f lines read of a page touched; %.1f written of a page written, in %.1f "
		"runs\n",
		total.lines_read / fmax(total.pages, 1),
		total.lines_written / fmax(total.pages_dirty, 1),
		total.runs_written / fmax(total.pages_dirty, 1));
	fprintf(stream,
		"  amplification against %s dirtied: 64 B %.2fx, 4 KiB %.2fx, 2 MiB %.1fx\n",
		total.bytes_written > 0 ? "bytes" : "lines",
		kona_window_amplification(&total, KONA_LINE_BYTES),
		kona_window_amplification(&total, KONA_PAGE_BYTES),
		kona_window_amplification(&total, 2 * KONA_MIB));
}

/* A share of the references that find their block among the `blocks` most recent ones. */
static double hit_share(const json_t *histogram, double cold, uint64_t blocks)
{
	double below = 0, all = cold;
	const json_t *count;
	size_t i;

	json_array_foreach (histogram, i, count) {
		all += json_number_value(count);
		if (!i || UINT64_C(1) << i <= blocks)
			below += json_number_value(count);
	}
	return all > 0 ? below / all : NAN;
}

static void print_reuse(FILE *stream, const json_t *reuse)
{
	const json_t *pages = json_object_get(reuse, "pages");
	double cold = number_of(reuse, "pages_cold");
	char size[16];

	fprintf(stream, "\nshare of the references below the last level that find their page among "
			"the most recent:\n");
	for (uint64_t count = 256; count <= UINT64_C(1) << 22; count *= 4)
		fprintf(stream, "  %9s %6.2f %%\n",
			kona_size_format(count * KONA_PAGE_BYTES, size, sizeof(size)),
			100 * hit_share(pages, cold, count));
}

static void print_sites(FILE *stream, const json_t *sites, const char *heading, const char *key)
{
	const json_t *site;
	size_t i;

	if (!json_array_size(sites))
		return;
	fprintf(stream, "\n%12s %12s %9s %9s  %s\n", "lines asked", "by writes", "ampl. 64",
		"ampl. 4K", heading);
	json_array_foreach (sites, i, site) {
		struct kona_window w = read_window(site);

		if (i == SITES_SHOWN)
			break;
		fprintf(stream, "%12.0f %12.0f", number_of(site, "dram_refs"),
			number_of(site, "dram_write_refs"));
		if (w.lines_written > 0)
			fprintf(stream, " %8.2fx %8.2fx",
				kona_window_amplification(&w, KONA_LINE_BYTES),
				kona_window_amplification(&w, KONA_PAGE_BYTES));
		else
			fprintf(stream, " %9s %9s", "-", "-");
		fprintf(stream, "  %s\n", json_string_value(json_object_get(site, key)));
	}
}

void kona_patterns_print(FILE *stream, const struct kona_sim_result *result)
{
	const json_t *patterns = json_object_get(result->json, "patterns");
	const json_t *reuse = json_object_get(result->json, "reuse");

	if (patterns)
		print_windows(stream, patterns);
	if (reuse)
		print_reuse(stream, reuse);
	print_sites(stream, json_object_get(result->json, "source_lines"), "source line", "line");
	print_sites(stream, json_object_get(result->json, "heap_sites"), "allocated at", "site");
}

static size_t read_histogram(const json_t *array, double *x, double *y)
{
	size_t count = json_array_size(array);

	if (count > HISTOGRAM_MAX)
		count = HISTOGRAM_MAX;
	for (size_t i = 0; i < count; i++) {
		x[i] = (double)i;
		y[i] = json_number_value(json_array_get(array, i));
	}
	return count;
}

/* Two histograms side by side; index 0 (no line at all) is left out. */
static void draw_histograms(struct kona_html *page, const json_t *patterns, const char *title,
			    const char *label, const char *read_key, const char *written_key)
{
	double x[HISTOGRAM_MAX], read[HISTOGRAM_MAX], written[HISTOGRAM_MAX];
	size_t count = read_histogram(json_object_get(patterns, read_key), x, read);
	size_t other = read_histogram(json_object_get(patterns, written_key), x, written);
	struct kona_plot_series series[2];
	struct kona_plot plot = {
		.title = title,
		.kind = KONA_PLOT_BARS,
		.x = {.label = "lines of 64 B"},
		.y = {.label = label},
		.series_count = 2,
		.series = series,
	};

	if (count < 2 || other != count)
		return;
	series[0] = (struct kona_plot_series){"read", x + 1, read + 1, count - 1};
	series[1] = (struct kona_plot_series){"written", x + 1, written + 1, count - 1};
	kona_html_plot(page, &plot);
}

static void draw_series(struct kona_html *page, const json_t *array, const char *time)
{
	static double x[SERIES_MAX], pages[SERIES_MAX], dirty[SERIES_MAX];
	static double by_line[SERIES_MAX], by_page[SERIES_MAX], by_region[SERIES_MAX];
	size_t count = json_array_size(array);
	struct kona_plot_series sets[] = {{"touched", x, pages, 0}, {"written", x, dirty, 0}};
	struct kona_plot_series ratios[] = {{"by 64 B line", x, by_line, 0},
					    {"by 4 KiB page", x, by_page, 0},
					    {"by 2 MiB page", x, by_region, 0}};
	struct kona_plot plot = {
		.title = "Working set by window",
		.x = {.label = time},
		.y = {.label = "4 KiB pages of a window", .unit = KONA_UNIT_BYTES},
		.series_count = 2,
		.series = sets,
	};

	count = count > SERIES_MAX ? SERIES_MAX : count;
	if (count < 2)
		return;
	for (size_t i = 0; i < count; i++) {
		struct kona_window w = read_window(json_array_get(array, i));

		x[i] = w.instructions;
		pages[i] = w.pages * KONA_PAGE_BYTES;
		dirty[i] = w.pages_dirty * KONA_PAGE_BYTES;
		by_line[i] = kona_window_amplification(&w, KONA_LINE_BYTES);
		by_page[i] = kona_window_amplification(&w, KONA_PAGE_BYTES);
		by_region[i] = kona_window_amplification(&w, 2 * KONA_MIB);
	}
	for (size_t i = 0; i < KONA_ARRAY_LEN(ratios); i++)
		ratios[i].count = count;
	sets[0].count = sets[1].count = count;
	kona_html_plot(page, &plot);
	plot.title = "Dirty amplification by window";
	plot.note = "Bytes sent when dirty data is known by that unit, over the bytes dirtied.";
	plot.y = (struct kona_axis){.label = "amplification", .unit = KONA_UNIT_TIMES, .log = true};
	plot.series_count = KONA_ARRAY_LEN(ratios);
	plot.series = ratios;
	kona_html_plot(page, &plot);
}

static void draw_reuse(struct kona_html *page, const json_t *reuse)
{
	double x[32], share[32];
	struct kona_plot_series series = {"pages", x, share, 0};
	struct kona_plot plot = {
		.title = "Hits in a fully associative cache, by size",
		.note = "Share of the references below the last level whose 4 KiB page is among "
			"the "
			"most recent ones: exact, from reuse distances.",
		.x = {.label = "local memory", .unit = KONA_UNIT_BYTES, .log = true},
		.y = {.label = "hits", .unit = KONA_UNIT_PERCENT, .max = 1},
		.series_count = 1,
		.series = &series,
	};

	for (; series.count < 24; series.count++) {
		uint64_t pages = UINT64_C(1) << series.count;

		x[series.count] = (double)pages * KONA_PAGE_BYTES;
		share[series.count] = hit_share(json_object_get(reuse, "pages"),
						number_of(reuse, "pages_cold"), pages);
	}
	kona_html_plot(page, &plot);
}

static void draw_sites(struct kona_html *page, const json_t *sites, const char *caption,
		       const char *key)
{
	const char *const headings[] = {key, "lines asked", "by writes", "amplification by 64 B",
					"by 4 KiB"};
	double most = number_of(json_array_get(sites, 0), "dram_refs");
	const json_t *site;
	size_t i;

	if (!json_array_size(sites))
		return;
	kona_html_table_begin(page, caption, headings, KONA_ARRAY_LEN(headings));
	json_array_foreach (sites, i, site) {
		struct kona_window w = read_window(site);
		double asked = number_of(site, "dram_refs");
		const char *name = json_string_value(json_object_get(site, key));

		kona_html_cell_text(page, name ? name : "?");
		kona_html_cell_bar(page, KONA_UNIT_NUMBER, asked, asked / fmax(most, 1));
		kona_html_cell(page, KONA_UNIT_NUMBER, number_of(site, "dram_write_refs"));
		kona_html_cell(page, KONA_UNIT_TIMES,
			       kona_window_amplification(&w, KONA_LINE_BYTES));
		kona_html_cell(page, KONA_UNIT_TIMES,
			       kona_window_amplification(&w, KONA_PAGE_BYTES));
	}
	kona_html_table_end(page);
}

void kona_patterns_draw(struct kona_html *page, const struct kona_sim_result *result)
{
	const json_t *patterns = json_object_get(result->json, "patterns");
	const json_t *reuse = json_object_get(result->json, "reuse");
	const json_t *lines = json_object_get(result->json, "source_lines");
	const json_t *sites = json_object_get(result->json, "heap_sites");

	if (patterns) {
		kona_html_section(page, "Access patterns");
		draw_histograms(page, patterns, "Lines touched of a page, per window",
				"pages in windows", "lines_read_per_page",
				"lines_written_per_page");
		draw_histograms(page, patterns, "Runs of neighbouring lines within a page",
				"runs in windows", "read_run_lines", "written_run_lines");
		draw_series(page, json_object_get(patterns, "series"),
			    result->instructions ? "instructions" : "data references");
	}
	if (reuse) {
		kona_html_section(page, "Reuse");
		draw_reuse(page, reuse);
	}
	if (lines || sites)
		kona_html_section(page, "Where the misses come from");
	draw_sites(page, lines, "Lines asked of the DRAM cache, by source line", "line");
	draw_sites(page, sites, "By allocation site", "site");
}
