/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page of `kona sim`: one slice of the sweep by cache size, one by block size, then patterns.
 * A slice holds what the result holds of it; with fewer than two points it is left out. No state.
 */
#include "sim-html.h"

#include <math.h>
#include <string.h>

#include "base/units.h"
#include "patterns.h"

struct slice {
	const struct kona_sim_result *result;
	const struct kona_models *models;
	size_t count;
	const struct kona_sim_dram *dram[KONA_SWEEP_LIST_MAX];
};

static bool has(const struct kona_sweep_list *list, uint64_t value)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->value[i] == value)
			return true;
	return false;
}

/* The wanted value where the sweep has it, else the one in the middle. */
static uint64_t choose(const struct kona_sweep_list *list, uint64_t wanted)
{
	return has(list, wanted) ? wanted : list->value[list->count / 2];
}

/* Of the sizes the one next to a quarter of the footprint: the paper's share. */
static uint64_t choose_size(const struct kona_sweep_list *sizes, double footprint)
{
	uint64_t best = sizes->value[0];

	for (size_t i = 1; i < sizes->count; i++)
		if (fabs(log((double)sizes->value[i] / (footprint / 4))) <
		    fabs(log((double)best / (footprint / 4))))
			best = sizes->value[i];
	return best;
}

static void add(struct slice *slice, uint64_t size, uint64_t block, uint64_t ways)
{
	const struct kona_sim_dram *dram = kona_sim_result_find(slice->result, size, block, ways);
	size_t i = slice->count;

	if (!dram || slice->count == KONA_SWEEP_LIST_MAX)
		return;
	for (; i && (slice->dram[i - 1]->size > size || slice->dram[i - 1]->block > block); i--)
		slice->dram[i] = slice->dram[i - 1];
	slice->dram[i] = dram;
	slice->count++;
}

static void draw_amat(struct kona_html *page, const struct slice *slice, struct kona_axis x_axis,
		      const double *x, const char *title, const char *note)
{
	double y[KONA_PLOT_SERIES_MAX][KONA_SWEEP_LIST_MAX];
	struct kona_plot_series series[KONA_PLOT_SERIES_MAX];
	struct kona_plot plot = {
		.title = title,
		.note = note,
		.x = x_axis,
		.y = {.label = "AMAT", .unit = KONA_UNIT_NS, .log = true},
		.series = series,
	};

	for (; plot.series_count < slice->models->count && plot.series_count < KONA_PLOT_SERIES_MAX;
	     plot.series_count++) {
		size_t s = plot.series_count;

		for (size_t i = 0; i < slice->count; i++)
			y[s][i] = kona_model_amat(&slice->models->model[s], slice->result,
						  slice->dram[i]);
		series[s] = (struct kona_plot_series){slice->models->model[s].name, x, y[s],
						      slice->count};
	}
	kona_html_plot(page, &plot);
}

static void draw_by_size(struct kona_html *page, struct slice *slice,
			 const struct kona_sweep *sweep)
{
	uint64_t block = choose(&sweep->blocks, 4096), ways = choose(&sweep->ways, 4);
	double x[KONA_SWEEP_LIST_MAX];
	char note[128], text[16];

	slice->count = 0;
	for (size_t i = 0; i < sweep->sizes.count; i++)
		add(slice, sweep->sizes.value[i], block, ways);
	if (slice->count < 2)
		return;
	for (size_t i = 0; i < slice->count; i++)
		x[i] = (double)slice->dram[i]->size;
	snprintf(note, sizeof(note), "Blocks of %s, %llu ways. Average memory access time.",
		 kona_size_format(block, text, sizeof(text)), (unsigned long long)ways);
	draw_amat(page, slice,
		  (struct kona_axis){
			  .label = "local DRAM cache", .unit = KONA_UNIT_BYTES, .log = true},
		  x, "AMAT against cache size", note);
}

static void draw_amplification(struct kona_html *page, const struct slice *slice, const double *x)
{
	double y[KONA_SWEEP_LIST_MAX];
	const struct kona_plot_series series = {"whole blocks", x, y, slice->count};
	const struct kona_plot plot = {
		.title = "Write-back amplification against block size",
		.note = "Bytes written back when a block goes home whole, over its dirty lines.",
		.x = {.label = "block", .unit = KONA_UNIT_BYTES, .log = true},
		.y = {.label = "amplification", .unit = KONA_UNIT_TIMES, .log = true},
		.series_count = 1,
		.series = &series,
	};

	for (size_t i = 0; i < slice->count; i++) {
		const struct kona_sim_dram *d = slice->dram[i];

		y[i] = d->writeback_lines ? (double)(d->writebacks * d->block) /
						    (double)(d->writeback_lines * KONA_LINE_BYTES)
					  : NAN;
	}
	kona_html_plot(page, &plot);
}

static void draw_by_block(struct kona_html *page, struct slice *slice,
			  const struct kona_sweep *sweep)
{
	uint64_t size = choose_size(&sweep->sizes, (double)slice->result->footprint);
	uint64_t ways = choose(&sweep->ways, 4);
	double x[KONA_SWEEP_LIST_MAX];
	char note[128], text[16];

	slice->count = 0;
	for (size_t i = 0; i < sweep->blocks.count; i++)
		add(slice, size, sweep->blocks.value[i], ways);
	if (slice->count < 2)
		return;
	for (size_t i = 0; i < slice->count; i++)
		x[i] = (double)slice->dram[i]->block;
	snprintf(note, sizeof(note),
		 "A cache of %s (next to a quarter of the footprint), %llu ways.",
		 kona_size_format(size, text, sizeof(text)), (unsigned long long)ways);
	draw_amat(page, slice,
		  (struct kona_axis){.label = "block", .unit = KONA_UNIT_BYTES, .log = true}, x,
		  "AMAT against block size", note);
	draw_amplification(page, slice, x);
}

static void write_facts(struct kona_html *page, const struct kona_sim_result *result)
{
	struct kona_html_fact facts[] = {{"data references", ""},
					 {"footprint", ""},
					 {"last-level misses per 1,000 references", ""},
					 {"instructions", ""}};
	double references = (double)(result->data_reads + result->data_writes);
	double l3 = (double)(result->l3.misses[0] + result->l3.misses[1]);

	kona_axis_format(KONA_UNIT_NUMBER, references, facts[0].value);
	kona_size_format(result->footprint, facts[1].value, sizeof(facts[1].value));
	snprintf(facts[2].value, sizeof(facts[2].value), "%.2f", 1000 * l3 / fmax(references, 1));
	kona_axis_format(KONA_UNIT_NUMBER, (double)result->instructions, facts[3].value);
	/* A program that calls the simulator itself does not count them. */
	kona_html_facts(page, facts, KONA_ARRAY_LEN(facts) - !result->instructions);
}

int kona_sim_html_write(const char *path, const struct kona_sim_result *result,
			const struct kona_sweep *sweep, const struct kona_models *models)
{
	KONA_FREE char *command = kona_sim_result_command(result);
	struct slice slice = {.result = result, .models = models};
	struct kona_html *page;
	int err = kona_html_open(path, "Kona sim", command ? command : "", &page);

	if (err)
		return err;
	write_facts(page, result);
	if (result->dram_count) {
		kona_html_section(page, "Average memory access time");
		draw_by_size(page, &slice, sweep);
		draw_by_block(page, &slice, sweep);
	}
	kona_patterns_draw(page, result);
	return kona_html_close(page);
}
