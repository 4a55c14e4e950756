/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output of a plan: the same shares of local memory, 100 % down to 1 %, in all three forms. Rates
 * are bytes over the run time that the first model foretells. No state.
 */
#include "plan-show.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/units.h"
#include "report/html.h"

static const double shares[] = {1,  .9,	 .8, .7,  .6,  .5,  .4,	 .3, .25,
				.2, .15, .1, .07, .05, .03, .02, .01};

enum { SHARES = KONA_ARRAY_LEN(shares) };

struct rates {
	double fetched, sent_lines, sent_pages; /* bytes per second */
};

static struct rates rates_of(const struct kona_plan *plan, const struct kona_model *model,
			     const struct kona_plan_point *point)
{
	double seconds = plan->local_ns * kona_plan_slowdown(plan, model, point) / 1e9;

	return (struct rates){
		.fetched = point->fetches * KONA_PAGE_BYTES / seconds,
		.sent_lines = point->writeback_lines * KONA_LINE_BYTES / seconds,
		.sent_pages = point->writebacks * KONA_PAGE_BYTES / seconds,
	};
}

static int column_width(const struct kona_model *model)
{
	size_t length = strlen(model->name);

	return length > 7 ? (int)length : 7;
}

static const char *replacement_name(const struct kona_plan *plan)
{
	return plan->replacement == KONA_PLAN_LRU ? "lru" : "clock";
}

/* With everything local there is nothing to foretell. */
static bool on_edge(const struct kona_plan *plan, const struct kona_models *models, double share)
{
	for (size_t i = 0; share < 1 && i < models->count; i++)
		if (kona_plan_on_edge(plan, &models->model[i], plan->footprint * share))
			return true;
	return false;
}

static void print_edges(FILE *stream, const struct kona_plan *plan,
			const struct kona_models *models)
{
	const struct kona_model *model = &models->model[0];
	bool told = false;

	for (size_t i = 0; i < SHARES; i++) {
		struct kona_plan_band band = kona_plan_band_at(plan, plan->footprint * shares[i]);

		if (!on_edge(plan, models, shares[i]))
			continue;
		if (!told)
			fprintf(stream,
				"\n! on the edge: a little more or less local memory makes "
				"all the difference, and the forecast may be wrong by it:\n");
		told = true;
		fprintf(stream, "  %.0f %% local: %.0f to %.0f remote reads, %s %.2fx to %.2fx\n",
			shares[i] * 100, band.more.fetches, band.less.fetches, model->name,
			kona_plan_slowdown(plan, model, &band.more),
			kona_plan_slowdown(plan, model, &band.less));
	}
}

static void print_row(FILE *stream, const struct kona_plan *plan, const struct kona_models *models,
		      double share)
{
	struct kona_plan_point point = kona_plan_at(plan, plan->footprint * share);
	struct kona_plan_band band = kona_plan_band_at(plan, plan->footprint * share);
	struct rates rates = rates_of(plan, &models->model[0], &point);
	char size[16], within[48];

	snprintf(within, sizeof(within), "%.0f-%.0f", band.more.fetches, band.less.fetches);
	fprintf(stream, "%5.0f %% %9s %11.0f%c %19s %10.1f %10.1f", share * 100,
		kona_size_format((uint64_t)point.bytes, size, sizeof(size)), point.fetches,
		on_edge(plan, models, share) ? '!' : ' ', within,
		rates.sent_lines / (double)KONA_MIB, rates.sent_pages / (double)KONA_MIB);
	for (size_t i = 0; i < models->count; i++)
		fprintf(stream, " %*.2fx", column_width(&models->model[i]) - 1,
			kona_plan_slowdown(plan, &models->model[i], &point));
	fputc('\n', stream);
}

void kona_plan_table_print(FILE *stream, const struct kona_plan *plan,
			   const struct kona_models *models, double limit)
{
	char size[16];

	fprintf(stream,
		"footprint %s; with all of it local the run takes %.3g s (%s); pages leave by "
		"%s\n\n",
		kona_size_format((uint64_t)plan->footprint, size, sizeof(size)),
		plan->local_ns / 1e9, plan->local_measured ? "as told" : "estimated; see --time",
		replacement_name(plan));
	fprintf(stream, "%7s %9s %11s  %19s %10s %10s  slowdown\n", "local", "", "remote",
		"with 2 %", "MiB/s home", "MiB/s home");
	fprintf(stream, "%7s %9s %11s  %19s %10s %10s", "share", "size", "reads", "more or less",
		"by line", "by page");
	for (size_t i = 0; i < models->count; i++)
		fprintf(stream, " %*s", column_width(&models->model[i]), models->model[i].name);
	fputc('\n', stream);
	for (size_t i = 0; i < SHARES; i++)
		print_row(stream, plan, models, shares[i]);
	print_edges(stream, plan, models);
	fprintf(stream, "\nsmallest local memory that keeps the slowdown under %.2fx:\n", limit);
	for (size_t i = 0; i < models->count; i++) {
		double bytes = kona_plan_smallest(plan, &models->model[i], limit);

		if (isfinite(bytes))
			fprintf(stream, "  %-18s %9s (%.0f %%)\n", models->model[i].name,
				kona_size_format((uint64_t)bytes, size, sizeof(size)),
				100 * bytes / plan->footprint);
		else
			fprintf(stream, "  %-18s none: it is slower even with all of it local\n",
				models->model[i].name);
	}
}

static json_t *share_object(const struct kona_plan *plan, const struct kona_models *models,
			    double share)
{
	struct kona_plan_point point = kona_plan_at(plan, plan->footprint * share);
	struct kona_plan_band band = kona_plan_band_at(plan, plan->footprint * share);
	struct rates rates = rates_of(plan, &models->model[0], &point);
	json_t *slowdown = json_object();

	for (size_t i = 0; i < models->count; i++)
		json_object_set_new(slowdown, models->model[i].name,
				    json_real(kona_plan_slowdown(plan, &models->model[i], &point)));
	return json_pack("{s:f,s:I,s:f,s:f,s:f,s:f,s:b,s:f,s:f,s:f,s:f,s:f,s:o}", "share", share,
			 "bytes", (json_int_t)point.bytes, "faults", point.faults, "fetches",
			 point.fetches, "fetches_2_percent_more", band.more.fetches,
			 "fetches_2_percent_less", band.less.fetches, "on_edge",
			 on_edge(plan, models, share), "writebacks", point.writebacks,
			 "writeback_lines", point.writeback_lines, "fetched_bytes_per_s",
			 rates.fetched, "sent_bytes_per_s_64", rates.sent_lines,
			 "sent_bytes_per_s_4096", rates.sent_pages, "slowdown", slowdown);
}

int kona_plan_json_write(const char *path, const struct kona_plan *plan,
			 const struct kona_models *models, double limit)
{
	json_t *array = json_array(), *smallest = json_object(), *root;
	const size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(12);
	int err;

	for (size_t i = 0; i < SHARES; i++)
		json_array_append_new(array, share_object(plan, models, shares[i]));
	for (size_t i = 0; i < models->count; i++) {
		double bytes = kona_plan_smallest(plan, &models->model[i], limit);

		json_object_set_new(smallest, models->model[i].name,
				    isfinite(bytes) ? json_integer((json_int_t)bytes)
						    : json_null());
	}
	root = json_pack("{s:s,s:O,s:I,s:s,s:f,s:b,s:f,s:o,s:o}", "format", "kona-plan 1",
			 "command", json_object_get(plan->result->json, "command"), "footprint",
			 (json_int_t)plan->footprint, "replacement", replacement_name(plan),
			 "local_ns", plan->local_ns, "local_measured", plan->local_measured,
			 "limit", limit, "smallest_local_bytes", smallest, "shares", array);
	if (!root)
		return -ENOMEM;
	errno = 0;
	if (!strcmp(path, "-")) {
		err = json_dumpf(root, stdout, flags) || putchar('\n') == EOF;
	} else {
		err = json_dump_file(root, path, flags);
	}
	json_decref(root);
	if (err)
		return errno ? -errno : -EIO;
	return 0;
}

static void plot_slowdown(struct kona_html *page, const struct kona_plan *plan,
			  const struct kona_models *models, double limit)
{
	double y[KONA_PLOT_SERIES_MAX][SHARES], x[SHARES];
	struct kona_plot_series series[KONA_PLOT_SERIES_MAX];
	struct kona_plot_mark mark = {"the limit", limit};
	struct kona_plot plot = {
		.title = "Slowdown against the share of memory that is local",
		.note = "Run time over the run time with all memory local.",
		.x = {.label = "local share of the footprint",
		      .unit = KONA_UNIT_PERCENT,
		      .log = true,
		      .reversed = true},
		.y = {.label = "slowdown", .unit = KONA_UNIT_TIMES, .log = true},
		.series = series,
		.mark_count = 1,
		.marks = &mark,
	};

	for (size_t i = 0; i < SHARES; i++)
		x[i] = shares[SHARES - 1 - i];
	for (; plot.series_count < models->count && plot.series_count < KONA_PLOT_SERIES_MAX;
	     plot.series_count++) {
		size_t s = plot.series_count;

		for (size_t i = 0; i < SHARES; i++) {
			struct kona_plan_point point = kona_plan_at(plan, plan->footprint * x[i]);

			y[s][i] = kona_plan_slowdown(plan, &models->model[s], &point);
		}
		series[s] = (struct kona_plot_series){models->model[s].name, x, y[s], SHARES};
	}
	kona_html_plot(page, &plot);
}

static void plot_traffic(struct kona_html *page, const struct kona_plan *plan,
			 const struct kona_model *model)
{
	double x[SHARES], fetched[SHARES], lines[SHARES], pages[SHARES];
	const struct kona_plot_series series[] = {
		{"fetched", x, fetched, SHARES},
		{"sent, by line", x, lines, SHARES},
		{"sent, by page", x, pages, SHARES},
	};
	const struct kona_plot plot = {
		.title = "Traffic against the share of memory that is local",
		.note = "Sent home: the dirty 64 B lines of evicted pages, or those pages whole.",
		.x = {.label = "local share of the footprint",
		      .unit = KONA_UNIT_PERCENT,
		      .log = true,
		      .reversed = true},
		.y = {.label = "bytes per second", .unit = KONA_UNIT_BYTES_PER_SECOND},
		.series_count = KONA_ARRAY_LEN(series),
		.series = series,
	};

	for (size_t i = 0; i < SHARES; i++) {
		struct kona_plan_point point;
		struct rates rates;

		x[i] = shares[SHARES - 1 - i];
		point = kona_plan_at(plan, plan->footprint * x[i]);
		rates = rates_of(plan, model, &point);
		fetched[i] = rates.fetched;
		lines[i] = rates.sent_lines;
		pages[i] = rates.sent_pages;
	}
	kona_html_plot(page, &plot);
}

static void write_smallest(struct kona_html *page, const struct kona_plan *plan,
			   const struct kona_models *models, double limit)
{
	static const char *const headings[] = {"model", "smallest local memory", "share"};
	char caption[96];

	snprintf(caption, sizeof(caption), "Smallest local memory with a slowdown under %.2fx",
		 limit);
	kona_html_table_begin(page, caption, headings, KONA_ARRAY_LEN(headings));
	for (size_t i = 0; i < models->count; i++) {
		double bytes = kona_plan_smallest(plan, &models->model[i], limit);

		kona_html_cell_text(page, models->model[i].name);
		kona_html_cell(page, KONA_UNIT_BYTES, bytes);
		kona_html_cell_bar(page, KONA_UNIT_PERCENT, bytes / plan->footprint,
				   bytes / plan->footprint);
	}
	kona_html_table_end(page);
}

static void write_edges(struct kona_html *page, const struct kona_plan *plan,
			const struct kona_models *models)
{
	static const char *const headings[] = {"local share", "reads, 2 % more local",
					       "reads, 2 % less local", "slowdown, 2 % more",
					       "slowdown, 2 % less"};
	const struct kona_model *model = &models->model[0];
	bool open = false;

	for (size_t i = 0; i < SHARES; i++) {
		struct kona_plan_band band = kona_plan_band_at(plan, plan->footprint * shares[i]);

		if (!on_edge(plan, models, shares[i]))
			continue;
		if (!open)
			kona_html_table_begin(page,
					      "On the edge: a little more or less local memory "
					      "makes all the difference here (first model)",
					      headings, KONA_ARRAY_LEN(headings));
		open = true;
		kona_html_cell(page, KONA_UNIT_PERCENT, shares[i]);
		kona_html_cell(page, KONA_UNIT_NUMBER, band.more.fetches);
		kona_html_cell(page, KONA_UNIT_NUMBER, band.less.fetches);
		kona_html_cell(page, KONA_UNIT_TIMES, kona_plan_slowdown(plan, model, &band.more));
		kona_html_cell(page, KONA_UNIT_TIMES, kona_plan_slowdown(plan, model, &band.less));
	}
	if (open)
		kona_html_table_end(page);
}

int kona_plan_html_write(const char *path, const struct kona_plan *plan,
			 const struct kona_models *models, double limit)
{
	struct kona_plan_point quarter = kona_plan_at(plan, plan->footprint / 4);
	double smallest = kona_plan_smallest(plan, &models->model[0], limit);
	struct kona_html_fact facts[4] = {{"footprint", ""}, {"", ""}, {"", ""}, {"", ""}};
	KONA_FREE char *command = kona_sim_result_command(plan->result);
	struct kona_html *page;
	int err;

	err = kona_html_open(path, "Kona plan", command ? command : "", &page);
	if (err)
		return err;
	kona_size_format((uint64_t)plan->footprint, facts[0].value, sizeof(facts[0].value));
	facts[1].name = plan->local_measured ? "run time, all local (as told)"
					     : "run time, all local (estimated)";
	snprintf(facts[1].value, sizeof(facts[1].value), "%.3g s", plan->local_ns / 1e9);
	facts[2].name = "slowdown with a quarter local, first model";
	snprintf(facts[2].value, sizeof(facts[2].value), "%.2fx",
		 kona_plan_slowdown(plan, &models->model[0], &quarter));
	facts[3].name = "smallest local memory, first model";
	if (isfinite(smallest))
		kona_size_format((uint64_t)smallest, facts[3].value, sizeof(facts[3].value));
	else
		strcpy(facts[3].value, "none");
	kona_html_facts(page, facts, KONA_ARRAY_LEN(facts));
	plot_slowdown(page, plan, models, limit);
	write_edges(page, plan, models);
	write_smallest(page, plan, models, limit);
	plot_traffic(page, plan, &models->model[0]);
	kona_html_paragraph(page,
			    "The first model is %s. Pages leave by %s. First touches cost no "
			    "network, and what is local at the end is thrown away. A page that "
			    "comes stops its thread for one remote read of a page.",
			    models->model[0].name,
			    plan->replacement == KONA_PLAN_LRU ? "LRU" : "the clock of kona run");
	return kona_html_close(page);
}
