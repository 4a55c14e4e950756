/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The report: one self-contained page. Windows are kept as columns of numbers, since that is what
 * plots want; nothing else of a window outlives it.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "report/html.h"
#include "show.h"

enum column {
	WINDOW,
	LINE_BYTES,
	PAGE_BYTES,
	HUGE_BYTES,
	AMP_4K,
	AMP_2M,
	AMP_64B_OF_BYTES,
	AMP_4K_OF_BYTES,
	AMP_2M_OF_BYTES,
	PAUSED_NS,
	FAULT_NS,
	COLUMNS,
};

enum { TOP_PLACES = 20 };

struct kona_track_report {
	double *column[COLUMNS];
	size_t count, room;
};

int kona_track_report_new(struct kona_track_report **ret_report)
{
	struct kona_track_report *report = calloc(1, sizeof(*report));

	if (!report)
		return -ENOMEM;
	*ret_report = report;
	return 0;
}

void kona_track_report_free(struct kona_track_report *report)
{
	if (!report)
		return;
	for (int i = 0; i < COLUMNS; i++)
		free(report->column[i]);
	free(report);
}

int kona_track_report_window(struct kona_track_report *report, const struct kona_window *window)
{
	const struct kona_counts *c = &window->counts;
	const double bytes = (double)c->changed_bytes;
	const double values[COLUMNS] = {
		[WINDOW] = (double)window->index,
		[LINE_BYTES] = (double)c->lines * KONA_LINE_BYTES,
		[PAGE_BYTES] = (double)c->pages_4k * KONA_PAGE_BYTES,
		[HUGE_BYTES] = (double)c->pages_2m * 2 * (double)KONA_MIB,
		[AMP_4K] = kona_counts_amplification(c, c->pages_4k, KONA_PAGE_BYTES),
		[AMP_2M] = kona_counts_amplification(c, c->pages_2m, 2 * KONA_MIB),
		/* Gaps where nothing changed, or bytes are not counted. */
		[AMP_64B_OF_BYTES] = bytes > 0 ? (double)c->lines * KONA_LINE_BYTES / bytes : NAN,
		[AMP_4K_OF_BYTES] = bytes > 0 ? (double)c->pages_4k * KONA_PAGE_BYTES / bytes : NAN,
		[AMP_2M_OF_BYTES] = bytes > 0 ? (double)c->pages_2m * 2 * KONA_MIB / bytes : NAN,
		[PAUSED_NS] = (double)c->paused_ns,
		[FAULT_NS] = (double)window->fault_ns,
	};

	if (report->count == report->room) {
		size_t more = report->room ? report->room * 2 : 64;

		for (int i = 0; i < COLUMNS; i++) {
			void *bigger = realloc(report->column[i], more * sizeof(double));

			if (!bigger)
				return -ENOMEM;
			report->column[i] = bigger;
		}
		report->room = more;
	}
	for (int i = 0; i < COLUMNS; i++)
		report->column[i][report->count] = values[i];
	report->count++;
	return 0;
}

static void add_fact(struct kona_html_fact *facts, size_t *count, const char *name,
		     enum kona_unit unit, double value)
{
	struct kona_html_fact *fact = &facts[(*count)++];

	fact->name = name;
	kona_axis_format(unit, value, fact->value);
}

static void add_facts(struct kona_html *page, const struct kona_session *session)
{
	const struct kona_counts *c = &session->total;
	struct kona_html_fact facts[6];
	double whole = (double)(c->run_ns + c->paused_ns);
	size_t count = 0;

	if (session->options.mode == KONA_MODE_PAGES) {
		add_fact(facts, &count, "dirty 4 KiB pages", KONA_UNIT_NUMBER, (double)c->pages_4k);
		add_fact(facts, &count, "dirty 2 MiB pages", KONA_UNIT_NUMBER, (double)c->pages_2m);
	} else {
		add_fact(facts, &count, "dirty lines", KONA_UNIT_NUMBER, (double)c->lines);
		add_fact(facts, &count, "amplification, 4 KiB pages", KONA_UNIT_TIMES,
			 kona_counts_amplification(c, c->pages_4k, KONA_PAGE_BYTES));
		add_fact(facts, &count, "amplification, 2 MiB pages", KONA_UNIT_TIMES,
			 kona_counts_amplification(c, c->pages_2m, 2 * KONA_MIB));
	}
	if (c->changed_bytes)
		add_fact(facts, &count, "amplification, 64 B lines over changed bytes",
			 KONA_UNIT_TIMES,
			 (double)c->lines * KONA_LINE_BYTES / (double)c->changed_bytes);
	add_fact(facts, &count, "paused, of its time", KONA_UNIT_PERCENT,
		 whole > 0 ? (double)c->paused_ns / whole : 0);
	add_fact(facts, &count, "resident at most", KONA_UNIT_BYTES, (double)c->resident_bytes);
	kona_html_facts(page, facts, count);
}

/* A plot over windows of a few columns. */
static void add_plot(struct kona_html *page, const struct kona_track_report *report,
		     const char *title, const char *note, const struct kona_axis *y,
		     const enum column *columns, const char *const *names, size_t count)
{
	struct kona_plot_series series[4];
	const struct kona_plot plot = {
		.title = title,
		.note = note,
		.kind = KONA_PLOT_LINES,
		.x = {.label = "window", .unit = KONA_UNIT_NUMBER, .whole = true},
		.y = *y,
		.series_count = count,
		.series = series,
	};

	for (size_t i = 0; i < count; i++)
		series[i] = (struct kona_plot_series){names[i], report->column[WINDOW],
						      report->column[columns[i]], report->count};
	kona_html_plot(page, &plot);
}

static void add_windows(struct kona_html *page, const struct kona_track_report *report,
			const struct kona_session *session)
{
	static const enum column bytes[] = {LINE_BYTES, PAGE_BYTES, HUGE_BYTES};
	static const char *const bytes_names[] = {"64 B lines", "4 KiB pages", "2 MiB pages"};
	static const enum column amps[] = {AMP_4K, AMP_2M};
	static const char *const amps_names[] = {"4 KiB pages", "2 MiB pages"};
	static const enum column amps_of_bytes[] = {AMP_64B_OF_BYTES, AMP_4K_OF_BYTES,
						    AMP_2M_OF_BYTES};
	static const enum column lost[] = {PAUSED_NS, FAULT_NS};
	static const char *const lost_names[] = {"paused", "write faults, estimated"};
	const bool pages = session->options.mode == KONA_MODE_PAGES;
	const struct kona_axis bytes_axis = {
		.label = "bytes", .unit = KONA_UNIT_BYTES, .log = true};
	const struct kona_axis amp_axis = {
		.label = "over dirty lines", .unit = KONA_UNIT_TIMES, .log = true};
	const struct kona_axis bytes_amp_axis = {
		.label = "over changed bytes", .unit = KONA_UNIT_TIMES, .log = true};
	const struct kona_axis lost_axis = {.label = "time", .unit = KONA_UNIT_NS};

	kona_html_section(page, "Window by window");
	add_plot(page, report, "Dirty data, by the unit in which it is tracked",
		 "What each unit would send over the network.", &bytes_axis, bytes + pages,
		 bytes_names + pages, 3 - pages);
	if (!pages)
		add_plot(page, report, "Amplification over dirty lines",
			 "Bytes of the dirty pages over bytes of the dirty lines.", &amp_axis, amps,
			 amps_names, 2);
	if (session->total.changed_bytes)
		add_plot(page, report, "Amplification over changed bytes",
			 "What each unit would send for a byte that changed.", &bytes_amp_axis,
			 amps_of_bytes, bytes_names, 3);
	add_plot(page, report, "Time that tracking took from the program",
		 "Stopped while its memory was read, or trapped at the first write of a page.",
		 &lost_axis, lost, lost_names, 2);
}

static void add_distribution(struct kona_html *page, const char *title, const char *note,
			     const char *label, const uint64_t *counts, size_t last)
{
	double x[KONA_PAGE_LINES + 2], y[KONA_PAGE_LINES + 2], sum = 0;
	const struct kona_plot_series series = {"share", x, y, last};
	const struct kona_plot plot = {
		.title = title,
		.note = note,
		.kind = KONA_PLOT_BARS,
		.x = {.label = label, .unit = KONA_UNIT_NUMBER},
		.y = {.label = "share", .unit = KONA_UNIT_PERCENT},
		.series_count = 1,
		.series = &series,
	};

	for (size_t i = 1; i <= last; i++)
		sum += (double)counts[i];
	if (sum <= 0)
		return;
	for (size_t i = 0; i < last; i++) {
		x[i] = (double)(i + 1);
		y[i] = (double)counts[i + 1] / sum;
	}
	kona_html_plot(page, &plot);
}

static void add_places(struct kona_html *page, const struct kona_session *session)
{
	static const char *const headings[] = {"mapping", "4 KiB pages", "dirty lines",
					       "amplification"};
	const struct kona_places *places = &session->total_places;
	const bool pages = session->options.mode == KONA_MODE_PAGES;
	uint64_t most = 0;

	for (size_t i = 0; i < places->count; i++)
		most = places->v[i].pages > most ? places->v[i].pages : most;
	kona_html_section(page, "Where");
	kona_html_table_begin(page, "mappings with most dirty data", headings, pages ? 2 : 4);
	for (size_t i = 0; i < places->count && i < TOP_PLACES; i++) {
		const struct kona_place *p = &places->v[i];

		kona_html_cell_text(page, p->name);
		kona_html_cell_bar(page, KONA_UNIT_NUMBER, (double)p->pages,
				   most ? (double)p->pages / (double)most : 0);
		if (pages)
			continue;
		kona_html_cell(page, KONA_UNIT_NUMBER, (double)p->lines);
		kona_html_cell(page, KONA_UNIT_TIMES,
			       p->lines ? (double)p->pages * KONA_PAGE_LINES / (double)p->lines
					: 0);
	}
	kona_html_table_end(page);
}

static void describe(const struct kona_session *session, char *text, size_t text_bytes)
{
	char *const *command = session->options.command;
	size_t used;

	if (session->options.pid) {
		snprintf(text, text_bytes, "pid %d", session->options.pid);
		return;
	}
	text[0] = '\0';
	for (used = 0; command && *command && used + 1 < text_bytes; command++) {
		int n = snprintf(text + used, text_bytes - used, "%s%s", used ? " " : "", *command);

		used += n > 0 ? (size_t)n : 0;
	}
}

int kona_track_report_write(const struct kona_track_report *report,
			    const struct kona_session *session, const char *path)
{
	const struct kona_counts *c = &session->total;
	struct kona_html *page;
	char subtitle[512];
	int err;

	describe(session, subtitle, sizeof(subtitle));
	err = kona_html_open(path, "kona track: what the program wrote", subtitle, &page);
	if (err)
		return err;
	if (session->options.mode == KONA_MODE_PAGES)
		kona_html_paragraph(page,
				    "Written pages, by write-protection, in windows of %.3g s.",
				    (double)session->options.interval_ns / 1e9);
	else
		kona_html_paragraph(page,
				    "Mode %s, %s kept of each page, windows of %.3g s. Note: %s.",
				    kona_show_mode(session), kona_show_kept(session),
				    (double)session->options.interval_ns / 1e9, KONA_SHOW_LIMIT);
	add_facts(page, session);
	add_windows(page, report, session);
	if (session->options.mode != KONA_MODE_PAGES) {
		kona_html_section(page, "Within pages");
		add_distribution(page, "Dirty lines per page",
				 "The further left, the more a page-wise system sends in vain.",
				 "dirty lines in the page", c->by_page, KONA_PAGE_LINES);
		add_distribution(page, "Contiguous runs of dirty lines",
				 "The last bar: longer than a page.", "lines in the run", c->by_run,
				 KONA_PAGE_LINES + 1);
	}
	add_places(page, session);
	return kona_html_close(page);
}
