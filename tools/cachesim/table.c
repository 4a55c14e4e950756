/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output of a simulation. Configurations that the result does not hold are left out.
 */
#include "table.h"

#include <errno.h>
#include <string.h>

#include "base/units.h"
#include "patterns.h"

static void print_level(FILE *stream, const char *name, const struct kona_sim_level *level,
			const struct kona_sim_result *result)
{
	uint64_t refs = result->data_reads + result->data_writes;
	uint64_t misses = level->misses[0] + level->misses[1];
	char size[16];

	if (!level->size)
		return;
	fprintf(stream, "  %s %s, %llu ways: %llu read and %llu write misses (%.3f %%)\n", name,
		kona_size_format(level->size, size, sizeof(size)), (unsigned long long)level->ways,
		(unsigned long long)level->misses[0], (unsigned long long)level->misses[1],
		refs ? 100.0 * (double)misses / (double)refs : 0);
}

static void print_head(FILE *stream, const struct kona_sim_result *result)
{
	char footprint[16];

	if (result->instructions)
		fprintf(stream, "%llu instructions, ", (unsigned long long)result->instructions);
	fprintf(stream, "%llu data reads, %llu data writes; footprint %s\n",
		(unsigned long long)result->data_reads, (unsigned long long)result->data_writes,
		kona_size_format(result->footprint, footprint, sizeof(footprint)));
	print_level(stream, "L1", &result->l1, result);
	print_level(stream, "L2", &result->l2, result);
	print_level(stream, "L3", &result->l3, result);
	if (result->outside_lines)
		fprintf(stream, "warning: %llu lines beyond 256 GiB of footprint left out\n",
			(unsigned long long)result->outside_lines);
}

static void print_row(FILE *stream, const struct kona_sim_result *result,
		      const struct kona_sim_dram *dram, const struct kona_models *models)
{
	char size[16], block[16];

	fprintf(stream, "%9s %9s %4llu %11llu %11llu %11llu %11llu",
		kona_size_format(dram->size, size, sizeof(size)),
		kona_size_format(dram->block, block, sizeof(block)), (unsigned long long)dram->ways,
		(unsigned long long)dram->misses[0], (unsigned long long)dram->misses[1],
		(unsigned long long)dram->writebacks, (unsigned long long)dram->writeback_lines);
	for (size_t i = 0; i < models->count; i++)
		fprintf(stream, " %*.2f",
			(int)(strlen(models->model[i].name) > 9 ? strlen(models->model[i].name)
								: 9),
			kona_model_amat(&models->model[i], result, dram));
	fputc('\n', stream);
}

/* Calls visit for every configuration of the sweep that the result holds. */
static void each_configuration(const struct kona_sim_result *result, const struct kona_sweep *sweep,
			       void (*visit)(const struct kona_sim_dram *dram, void *context),
			       void *context)
{
	for (size_t b = 0; b < sweep->blocks.count; b++)
		for (size_t s = 0; s < sweep->sizes.count; s++)
			for (size_t w = 0; w < sweep->ways.count; w++) {
				const struct kona_sim_dram *dram = kona_sim_result_find(
					result, sweep->sizes.value[s], sweep->blocks.value[b],
					sweep->ways.value[w]);

				if (dram)
					visit(dram, context);
			}
}

struct row_context {
	FILE *stream;
	const struct kona_sim_result *result;
	const struct kona_models *models;
	bool shorten;
	uint64_t smallest; /* size, which is always shown */
	uint64_t left_out;
};

static void visit_row(const struct kona_sim_dram *dram, void *context)
{
	struct row_context *c = context;

	/* Beyond twice the footprint they are alike, all but the direct-mapped ones. */
	if (c->shorten && dram->size > 2 * c->result->footprint && dram->size > c->smallest) {
		c->left_out++;
		return;
	}
	print_row(c->stream, c->result, dram, c->models);
}

void kona_sim_table_print(FILE *stream, const struct kona_sim_result *result,
			  const struct kona_sweep *sweep, const struct kona_models *models)
{
	struct row_context context = {.stream = stream,
				      .result = result,
				      .models = models,
				      .shorten = !sweep->sizes_asked,
				      .smallest = sweep->sizes.value[0]};

	print_head(stream, result);
	kona_patterns_print(stream, result);
	if (!result->dram_count)
		return;
	fprintf(stream, "\nDRAM caches; to the right the AMAT in ns by model\n");
	fprintf(stream, "%9s %9s %4s %11s %11s %11s %11s", "size", "block", "ways", "read-miss",
		"write-miss", "write-backs", "lines-back");
	for (size_t i = 0; i < models->count; i++)
		fprintf(stream, " %9s", models->model[i].name);
	fputc('\n', stream);
	each_configuration(result, sweep, visit_row, &context);
	if (context.left_out)
		fprintf(stream,
			"(%llu caches of more than twice the footprint left out; --sizes or --json "
			"shows them)\n",
			(unsigned long long)context.left_out);
}

static json_t *amat_object(const struct kona_sim_result *result, const struct kona_sim_dram *dram,
			   const struct kona_models *models)
{
	json_t *object = json_object();

	for (size_t i = 0; i < models->count; i++)
		json_object_set_new(object, models->model[i].name,
				    json_real(kona_model_amat(&models->model[i], result, dram)));
	return object;
}

struct json_context {
	json_t *array;
	const struct kona_sim_result *result;
	const struct kona_models *models;
};

static void visit_json(const struct kona_sim_dram *dram, void *context)
{
	struct json_context *c = context;
	json_t *all = json_object_get(c->result->json, "dram");
	json_t *item = json_deep_copy(json_array_get(all, (size_t)(dram - c->result->dram)));

	json_object_set_new(item, "amat_ns", amat_object(c->result, dram, c->models));
	json_array_append_new(c->array, item);
}

int kona_sim_json_write(const char *path, const struct kona_sim_result *result,
			const struct kona_sweep *sweep, const struct kona_models *models)
{
	struct json_context context = {json_array(), result, models};
	json_t *root = json_copy(result->json);
	int err = 0;

	each_configuration(result, sweep, visit_json, &context);
	json_object_set_new(root, "amat_ns_without_cache", amat_object(result, NULL, models));
	json_object_set_new(root, "dram", context.array);
	errno = 0;
	if (!strcmp(path, "-")) {
		err = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
		putchar('\n');
	} else {
		err = json_dump_file(root, path, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
	}
	json_decref(root);
	if (err)
		return errno ? -errno : -EIO;
	return 0;
}
