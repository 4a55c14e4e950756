/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `kona bench` tells: medians over the rounds, and ratios that are taken within each round.
 * Stateless. What can fail: the files.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"
#include "cli/bench.h"
#include "report/picture.h"

/* name: time of one case by that of another; with what the paper has for 1 thread, and for more. */
static const struct ratio {
	const char *name;
	enum kona_bench_case above, below;
	const char *paper, *paper_threads;
} ratios[] = {
	{"fault wp / guard", KONA_BENCH_WP, KONA_BENCH_GUARD, "6.6x", "4-5x"},
	{"fault lines / guard", KONA_BENCH_LINES, KONA_BENCH_GUARD, "-", "-"},
	{"swap to zram / guard", KONA_BENCH_SWAP, KONA_BENCH_GUARD, "-", "-"},
	{"guard / floor", KONA_BENCH_GUARD, KONA_BENCH_FLOOR, "-", "-"},
	{"guard / all local", KONA_BENCH_GUARD, KONA_BENCH_LOCAL, "-", "-"},
	{"fault wp / fault lines", KONA_BENCH_WP, KONA_BENCH_LINES, "-", "-"},
};

/* What is told of a case. */
static const struct measure {
	const char *name;
	size_t at; /* in the result */
} measures[] = {
	{"ns", offsetof(struct kona_bench_result, ns)},
	{"faults", offsetof(struct kona_bench_result, faults)},
	{"guard_misses", offsetof(struct kona_bench_result, misses)},
	{"system_calls", offsetof(struct kona_bench_result, system_calls)},
	{"fetched_bytes", offsetof(struct kona_bench_result, fetched_bytes)},
	{"written_bytes", offsetof(struct kona_bench_result, written_bytes)},
};

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static double value_of(const struct kona_bench_result *result, size_t at)
{
	double value;

	memcpy(&value, (const char *)result + at, sizeof(value));
	return value;
}

static double median_of(const struct kona_bench *bench, unsigned long t, int which, size_t at)
{
	double values[KONA_BENCH_MOST_ROUNDS];

	for (unsigned long round = 0; round < bench->rounds; round++)
		values[round] = value_of(&bench->results[round][t][which], at);
	return median(values, bench->rounds);
}

/* Bytes written back by dirty bytes. Which those are, `wp` and swap do not know: they are taken
 * from the guards of the same round, page by page that left. Not a number where no round had any,
 * or where nothing but what was there before the run is dirty. */
static double amplification(const struct kona_bench *bench, unsigned long t, int which)
{
	double values[KONA_BENCH_MOST_ROUNDS];
	size_t count = 0;

	for (unsigned long round = 0; round < bench->rounds; round++) {
		const struct kona_bench_result *results = bench->results[round][t];
		int knows = which == KONA_BENCH_LINES ? KONA_BENCH_LINES : KONA_BENCH_GUARD;
		double dirty = results[knows].dirty_bytes_per_page;

		if (dirty > 0 && strcmp(bench->operation, "read"))
			values[count++] = results[which].written_bytes_per_page / dirty;
	}
	return count ? median(values, count) : NAN;
}

static double ratio_of(const struct kona_bench *bench, unsigned long t, const struct ratio *ratio)
{
	double values[KONA_BENCH_MOST_ROUNDS];

	for (unsigned long round = 0; round < bench->rounds; round++)
		values[round] = bench->results[round][t][ratio->above].ns /
				bench->results[round][t][ratio->below].ns;
	return median(values, bench->rounds);
}

/* Accesses per second with that many threads, by those with the first number. */
static double scaling(const struct kona_bench *bench, unsigned long t, int which)
{
	double values[KONA_BENCH_MOST_ROUNDS];

	for (unsigned long round = 0; round < bench->rounds; round++)
		values[round] =
			bench->results[round][0][which].ns / bench->results[round][t][which].ns;
	return median(values, bench->rounds);
}

static bool is_there(const struct kona_bench *bench, int which)
{
	return which != KONA_BENCH_SWAP || bench->swaps;
}

static bool writes_back(int which)
{
	return which != KONA_BENCH_FLOOR && which != KONA_BENCH_LOCAL;
}

static const char *network_of(const struct kona_bench *bench)
{
	if (bench->net)
		return bench->net;
	if (bench->fabric)
		return bench->fabric;
	return bench->memd ? "that of the rack" : "none (shared memory)";
}

/* --- table -------------------------------------------------------------------------------------*/

static void print_case(const struct kona_bench *bench, unsigned long t, int which)
{
	printf("%7lu  %-13s", bench->threads[t], kona_bench_names[which]);
	printf(" %10.1f %8.4f %8.4f %8.4f %10.1f %10.1f",
	       median_of(bench, t, which, offsetof(struct kona_bench_result, ns)),
	       median_of(bench, t, which, offsetof(struct kona_bench_result, faults)),
	       median_of(bench, t, which, offsetof(struct kona_bench_result, misses)),
	       median_of(bench, t, which, offsetof(struct kona_bench_result, system_calls)),
	       median_of(bench, t, which, offsetof(struct kona_bench_result, fetched_bytes)),
	       median_of(bench, t, which, offsetof(struct kona_bench_result, written_bytes)));
	if (writes_back(which) && isfinite(amplification(bench, t, which)))
		printf(" %8.2f", amplification(bench, t, which));
	else
		printf(" %8s", "-");
	printf(" %8.2f\n", scaling(bench, t, which));
}

static void print_table(const struct kona_bench *bench)
{
	char size[16];

	printf("One line of a page, %s %s, of %s; half of it local, Kona's metadata included. "
	       "Network: %s.\nMedians of %lu rounds, per access:\n\n",
	       bench->order, bench->operation,
	       kona_size_format(bench->data_bytes, size, sizeof(size)), network_of(bench),
	       bench->rounds);
	printf("%7s  %-13s %10s %8s %8s %8s %10s %10s %8s %8s\n", "threads", "", "ns", "faults",
	       "misses", "calls", "fetched B", "written B", "amplif.", "scaling");
	for (unsigned long t = 0; t < bench->thread_counts; t++)
		for (int which = 0; which < KONA_BENCH_CASES; which++)
			if (is_there(bench, which))
				print_case(bench, t, which);
	printf("\nRatios of times, each within its round:\n\n%-24s", "threads");
	for (unsigned long t = 0; t < bench->thread_counts; t++)
		printf(" %8lu", bench->threads[t]);
	printf("  paper: 1, more\n");
	for (size_t i = 0; i < KONA_ARRAY_LEN(ratios); i++) {
		if (!is_there(bench, ratios[i].above))
			continue;
		printf("%-24s", ratios[i].name);
		for (unsigned long t = 0; t < bench->thread_counts; t++)
			printf(" %7.2fx", ratio_of(bench, t, &ratios[i]));
		printf("  %s, %s\n", ratios[i].paper, ratios[i].paper_threads);
	}
}

/* --- JSON --------------------------------------------------------------------------------------*/

static json_t *describe_result(const struct kona_bench_result *result)
{
	json_t *object = json_object();

	for (size_t i = 0; i < KONA_ARRAY_LEN(measures); i++)
		json_object_set_new(object, measures[i].name,
				    json_real(value_of(result, measures[i].at)));
	json_object_set_new(object, "accesses", json_real(result->accesses));
	return object;
}

static json_t *describe_medians(const struct kona_bench *bench, unsigned long t, int which)
{
	json_t *object = json_object();

	for (size_t i = 0; i < KONA_ARRAY_LEN(measures); i++)
		json_object_set_new(object, measures[i].name,
				    json_real(median_of(bench, t, which, measures[i].at)));
	/* What is not a number is none to JSON, either. */
	if (writes_back(which)) {
		json_t *value = json_real(amplification(bench, t, which));

		json_object_set_new(object, "amplification", value ? value : json_null());
	}
	json_object_set_new(object, "scaling", json_real(scaling(bench, t, which)));
	return object;
}

static json_t *describe_threads(const struct kona_bench *bench, unsigned long t)
{
	json_t *medians = json_object(), *rounds = json_array(), *times = json_object();

	for (int which = 0; which < KONA_BENCH_CASES; which++)
		if (is_there(bench, which))
			json_object_set_new(medians, kona_bench_names[which],
					    describe_medians(bench, t, which));
	for (unsigned long round = 0; round < bench->rounds; round++) {
		json_t *object = json_object();

		for (int which = 0; which < KONA_BENCH_CASES; which++)
			if (is_there(bench, which))
				json_object_set_new(
					object, kona_bench_names[which],
					describe_result(&bench->results[round][t][which]));
		json_array_append_new(rounds, object);
	}
	for (size_t i = 0; i < KONA_ARRAY_LEN(ratios); i++)
		if (is_there(bench, ratios[i].above))
			json_object_set_new(times, ratios[i].name,
					    json_real(ratio_of(bench, t, &ratios[i])));
	return json_pack("{s:I, s:o, s:o, s:o}", "threads", (json_int_t)bench->threads[t],
			 "medians", medians, "ratios", times, "rounds", rounds);
}

static int write_json(const struct kona_bench *bench)
{
	struct utsname name = {0};
	json_t *runs = json_array(), *root;
	int rc;

	uname(&name);
	for (unsigned long t = 0; t < bench->thread_counts; t++)
		json_array_append_new(runs, describe_threads(bench, t));
	root = json_pack("{s:s, s:{s:s, s:I}, s:s, s:s, s:s, s:I, s:I, s:s, s:o}", "format",
			 "kona-bench 1", "machine", "kernel", name.release, "cpus",
			 (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "net",
			 bench->net ? bench->net : "none", "order", bench->order, "operation",
			 bench->operation, "data_bytes", (json_int_t)bench->data_bytes,
			 "local_bytes", (json_int_t)bench->local_bytes, "no_swap",
			 bench->swaps ? "" : bench->why_no_swap, "runs", runs);
	rc = json_dump_file(root, bench->json, JSON_INDENT(1));
	json_decref(root);
	if (rc)
		kona_error("%s cannot be written: %s", bench->json, strerror(errno));
	return rc ? 1 : 0;
}

/* --- SVG ---------------------------------------------------------------------------------------*/

static int draw(const struct kona_bench *bench)
{
	double x[KONA_BENCH_MOST_COUNTS], ns[KONA_BENCH_CASES][KONA_BENCH_MOST_COUNTS];
	struct kona_plot_series series[KONA_BENCH_CASES];
	struct kona_plot plot = {
		.title = "Time per access",
		.note = "All threads together. Lower is better; the axis is logarithmic.",
		.kind = KONA_PLOT_LINES,
		.x = {.label = "threads", .ticks = x, .tick_count = bench->thread_counts},
		.y = {.label = "time per access", .unit = KONA_UNIT_NS, .log = true},
		.series = series,
	};
	struct kona_picture picture;
	char line[256], size[16];
	int rc;

	for (unsigned long t = 0; t < bench->thread_counts; t++)
		x[t] = (double)bench->threads[t];
	if (bench->thread_counts == 1)
		plot.kind = KONA_PLOT_BARS;
	for (int which = 0; which < KONA_BENCH_CASES; which++) {
		if (!is_there(bench, which))
			continue;
		for (unsigned long t = 0; t < bench->thread_counts; t++)
			ns[which][t] =
				median_of(bench, t, which, offsetof(struct kona_bench_result, ns));
		series[plot.series_count++] = (struct kona_plot_series){
			kona_bench_names[which], x, ns[which], bench->thread_counts};
	}
	snprintf(line, sizeof(line),
		 "One line of a page, %s %s, of %s; half of it local; network: %s", bench->order,
		 bench->operation, kona_size_format(bench->data_bytes, size, sizeof(size)),
		 network_of(bench));
	rc = kona_picture_open(bench->svg, "What a miss costs", line, 1, &picture);
	if (!rc) {
		kona_picture_panel(&picture, &plot);
		snprintf(line, sizeof(line), "Medians of %lu rounds; %ld CPUs.", bench->rounds,
			 sysconf(_SC_NPROCESSORS_ONLN));
		kona_picture_foot(&picture, line);
		rc = kona_picture_close(&picture);
	}
	if (rc)
		kona_error("%s cannot be written: %s", bench->svg, strerror(-rc));
	return rc ? 1 : 0;
}

int kona_bench_report(const struct kona_bench *bench)
{
	int status = 0;

	print_table(bench);
	if (bench->json)
		status = write_json(bench);
	if (bench->svg && !status)
		status = draw(bench);
	return status;
}
