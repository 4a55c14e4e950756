/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a result file. Every field is checked for presence and type; a file that was cut short or
 * is something else gives -EPROTO, never a half-read result.
 */
#include "result.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int read_level(json_t *levels, const char *name, struct kona_sim_level *level)
{
	json_int_t size, ways, reads, writes;

	if (json_unpack(levels, "{s:{s:I,s:I,s:I,s:I}}", name, "size", &size, "ways", &ways,
			"read_misses", &reads, "write_misses", &writes))
		return -EPROTO;
	*level = (struct kona_sim_level){
		(uint64_t)size, (uint64_t)ways, {(uint64_t)reads, (uint64_t)writes}};
	return 0;
}

static int read_dram(json_t *array, struct kona_sim_result *result)
{
	json_t *item;
	size_t i;

	if (!json_is_array(array))
		return -EPROTO;
	result->dram = calloc(json_array_size(array) + 1, sizeof(*result->dram));
	if (!result->dram)
		return -ENOMEM;
	json_array_foreach (array, i, item) {
		json_int_t size, block, ways, reads, writes, writebacks, lines;

		if (json_unpack(item, "{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "size", &size, "block",
				&block, "ways", &ways, "read_misses", &reads, "write_misses",
				&writes, "writebacks", &writebacks, "writeback_lines", &lines))
			return -EPROTO;
		result->dram[i] = (struct kona_sim_dram){
			(uint64_t)size,	      (uint64_t)block,
			(uint64_t)ways,	      {(uint64_t)reads, (uint64_t)writes},
			(uint64_t)writebacks, (uint64_t)lines};
	}
	result->dram_count = json_array_size(array);
	return 0;
}

/* There only where the run was asked for it. */
static int read_clock(json_t *array, struct kona_sim_result *result)
{
	json_t *item;
	size_t i;

	if (!array)
		return 0;
	result->clock = calloc(json_array_size(array) + 1, sizeof(*result->clock));
	if (!result->clock)
		return -ENOMEM;
	json_array_foreach (array, i, item) {
		json_int_t frames, faults, fetches, writebacks, lines;

		if (json_unpack(item, "{s:I,s:I,s:I,s:I,s:I}", "frames", &frames, "faults", &faults,
				"fetches", &fetches, "writebacks", &writebacks, "writeback_lines",
				&lines))
			return -EPROTO;
		result->clock[i] = (struct kona_sim_clock){(uint64_t)frames, (uint64_t)faults,
							   (uint64_t)fetches, (uint64_t)writebacks,
							   (uint64_t)lines};
	}
	result->clock_count = json_array_size(array);
	return 0;
}

static int read_fields(struct kona_sim_result *result)
{
	json_int_t instructions, reads, writes, footprint, lines, line, outside;
	const char *format, *end;
	json_t *levels, *dram;
	int err;

	if (json_unpack(result->json, "{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "format",
			&format, "end", &end, "instructions", &instructions, "data_reads", &reads,
			"data_writes", &writes, "footprint", &footprint, "footprint_lines", &lines,
			"line", &line, "outside_lines", &outside, "levels", &levels, "dram", &dram))
		return -EPROTO;
	if (strcmp(format, "kona-sim 1") != 0)
		return -EPROTO;
	result->ended_by_exec = !strcmp(end, "exec");
	result->instructions = (uint64_t)instructions;
	result->data_reads = (uint64_t)reads;
	result->data_writes = (uint64_t)writes;
	result->footprint = (uint64_t)footprint;
	result->footprint_lines = (uint64_t)lines;
	result->line = (uint64_t)line;
	result->outside_lines = (uint64_t)outside;
	err = read_level(levels, "l1", &result->l1);
	if (!err)
		err = read_level(levels, "l2", &result->l2);
	if (!err)
		err = read_level(levels, "l3", &result->l3);
	if (!err)
		err = read_dram(dram, result);
	return err ? err : read_clock(json_object_get(result->json, "clock"), result);
}

int kona_sim_result_take(json_t *json, struct kona_sim_result *ret_result)
{
	struct kona_sim_result result = {.json = json};
	int err = read_fields(&result);

	if (err) {
		kona_sim_result_free(&result);
		return err;
	}
	*ret_result = result;
	return 0;
}

int kona_sim_result_read(const char *path, struct kona_sim_result *ret_result)
{
	json_t *json;

	if (access(path, R_OK))
		return -errno;
	json = json_load_file(path, 0, NULL);
	return json ? kona_sim_result_take(json, ret_result) : -EPROTO;
}

void kona_sim_result_free(struct kona_sim_result *result)
{
	json_decref(result->json);
	free(result->dram);
	free(result->clock);
	*result = (struct kona_sim_result){0};
}

char *kona_sim_result_command(const struct kona_sim_result *result)
{
	json_t *words = json_object_get(result->json, "command");
	size_t bytes = 0;
	char *text = NULL;
	FILE *stream = open_memstream(&text, &bytes);
	json_t *word;
	size_t i;

	if (!stream)
		return NULL;
	json_array_foreach (words, i, word)
		fprintf(stream, "%s%s", i ? " " : "",
			json_is_string(word) ? json_string_value(word) : "?");
	fclose(stream);
	return text;
}

const struct kona_sim_dram *kona_sim_result_find(const struct kona_sim_result *result,
						 uint64_t size, uint64_t block, uint64_t ways)
{
	for (size_t i = 0; i < result->dram_count; i++) {
		const struct kona_sim_dram *dram = &result->dram[i];

		if (dram->size == size && dram->block == block && dram->ways == ways)
			return dram;
	}
	return NULL;
}
