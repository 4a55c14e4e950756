/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine in an ordinary process. Its memory is mapped huge where possible and listed, since the
 * engine itself never gives any back. One instance at a time (the engine's map() has no context).
 */
#include "hosted.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/units.h"

struct kona_hosted_map {
	struct kona_hosted_map *next;
	void *start;
	size_t bytes;
};

static pthread_mutex_t map_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kona_hosted *mapping_for; /* its list is guarded by map_lock */

void *kona_hosted_map(size_t bytes)
{
	struct kona_hosted_map *entry = malloc(sizeof(*entry));
	void *start;

	if (!entry)
		return NULL;
	start = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED) {
		free(entry);
		return NULL;
	}
	/* Only a wish: without huge pages it is slower, no more. Of most mappings a short run
	 * touches the beginning only: there small pages are cheaper than a large one that must be
	 * cleared. */
	if (bytes > KONA_HUGE_BYTES)
		(void)madvise((char *)start + KONA_HUGE_BYTES, bytes - KONA_HUGE_BYTES,
			      MADV_HUGEPAGE);
	pthread_mutex_lock(&map_lock);
	*entry = (struct kona_hosted_map){mapping_for->maps, start, bytes};
	mapping_for->maps = entry;
	pthread_mutex_unlock(&map_lock);
	return start;
}

static int parse_level(const char *text, struct kona_sim_level_config *level)
{
	unsigned long long bytes;
	unsigned int ways = 0;
	int fields = sscanf(text, "%llu,%u", &bytes, &ways);

	if (fields < 1 || (bytes && fields != 2))
		return -EINVAL;
	*level = (struct kona_sim_level_config){bytes, ways};
	return 0;
}

static int parse_stacks(const char *text, struct kona_sim_config *config)
{
	while (*text) {
		unsigned long long sets;
		unsigned int block;
		int used;

		if (config->stack_count == KONA_SIM_STACKS_MAX ||
		    sscanf(text, "%u:%llu%n", &block, &sets, &used) != 2)
			return -EINVAL;
		config->stack[config->stack_count++] = (struct kona_sim_stack_config){sets, block};
		text += used;
		if (*text == ',')
			text++;
	}
	return 0;
}

static int parse_argument(struct kona_hosted *hosted, const char *argument, bool *patterns)
{
	struct kona_sim_config *c = &hosted->config;
	const struct {
		const char *name;
		struct kona_sim_level_config *level;
	} levels[] = {
		{"--l1d=", &c->l1d}, {"--l1i=", &c->l1i}, {"--l2=", &c->l2}, {"--l3=", &c->l3}};

	for (size_t i = 0; i < KONA_ARRAY_LEN(levels); i++)
		if (!strncmp(argument, levels[i].name, strlen(levels[i].name)))
			return parse_level(argument + strlen(levels[i].name), levels[i].level);
	if (!strncmp(argument, "--stacks=", 9))
		return parse_stacks(argument + 9, c);
	if (!strncmp(argument, "--line=", 7)) {
		c->line_bytes = (uint32_t)strtoul(argument + 7, NULL, 10);
		return 0;
	}
	if (!strcmp(argument, "--patterns=yes")) {
		*patterns = true;
		return 0;
	}
	if (!strcmp(argument, "--bytes=yes")) {
		hosted->bytes = true;
		return 0;
	}
	if (!strcmp(argument, "--reuse=yes")) {
		c->reuse = 1;
		return 0;
	}
	if (!strcmp(argument, "--clock=yes")) {
		c->clock = 1;
		return 0;
	}
	if (!strcmp(argument, "--fetches=yes")) {
		hosted->fetches = true;
		return 0;
	}
	return -EINVAL;
}

int kona_hosted_start(struct kona_hosted *hosted, const char *const *arguments, size_t count,
		      const struct kona_sim_host *host)
{
	static const struct kona_sim_host alone = {.map = kona_hosted_map};
	bool patterns = false;
	int err = 0;

	*hosted = (struct kona_hosted){.end = "exit"};
	hosted->config = (struct kona_sim_config){
		.line_bytes = 64,
		.l1d = {32 * KONA_KIB, 8},
		.l2 = {64 * KONA_KIB, 16},
		.l3 = {2 * KONA_MIB, 16},
	};
	for (size_t i = 0; i < count && !err; i++)
		err = parse_argument(hosted, arguments[i], &patterns);
	mapping_for = hosted;
	if (!err)
		err = kona_sim_create(host ? host : &alone, &hosted->config, &hosted->sim);
	if (!err && patterns)
		err = kona_pattern_create(host ? host : &alone, &hosted->pattern);
	return err;
}

void kona_hosted_access(struct kona_hosted *hosted, uint64_t address, uint32_t bytes,
			enum kona_sim_kind kind)
{
	if (kind == KONA_SIM_FETCH) {
		hosted->instructions++;
		if (!hosted->fetches)
			return;
	}
	if (bytes > hosted->config.line_bytes)
		bytes = hosted->config.line_bytes;
	hosted->reads += kind == KONA_SIM_READ || kind == KONA_SIM_MODIFY;
	hosted->writes += kind == KONA_SIM_WRITE;
	hosted->modifies += kind == KONA_SIM_MODIFY;
	if (hosted->pattern && hosted->bytes && (kind == KONA_SIM_WRITE || kind == KONA_SIM_MODIFY))
		kona_pattern_note_bytes(hosted->pattern, address, bytes);
	if (hosted->pattern && kind != KONA_SIM_FETCH)
		kona_pattern_note(hosted->pattern, address, bytes, kind != KONA_SIM_WRITE,
				  kind != KONA_SIM_READ);
	kona_sim_access(hosted->sim, address, bytes, kind);
}

uint64_t kona_hosted_now(const struct kona_hosted *hosted)
{
	return hosted->instructions ? hosted->instructions : hosted->reads + hosted->writes;
}

void kona_hosted_end_window(struct kona_hosted *hosted, uint64_t now)
{
	if (hosted->pattern)
		kona_pattern_close(hosted->pattern, now);
}

static json_t *level_object(const struct kona_sim_level_config *level, const uint64_t *misses)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I}", "size", (json_int_t)level->bytes, "ways",
			 (json_int_t)level->ways, "read_misses",
			 (json_int_t)misses[KONA_SIM_SIDE_READ], "write_misses",
			 (json_int_t)misses[KONA_SIM_SIDE_WRITE], "fetch_misses",
			 (json_int_t)misses[KONA_SIM_SIDE_FETCH]);
}

static json_t *dram_array(const struct kona_hosted *hosted)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < hosted->config.stack_count; i++) {
		const struct kona_sim_stack_config *stack = &hosted->config.stack[i];

		for (uint32_t ways = 1; ways <= KONA_SIM_WAYS; ways++) {
			struct kona_sim_dram_counts c;

			kona_sim_dram_counts(hosted->sim, i, ways, &c);
			json_array_append_new(
				array,
				json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "size",
					  (json_int_t)(stack->sets * ways * stack->block_bytes),
					  "block", (json_int_t)stack->block_bytes, "ways",
					  (json_int_t)ways, "sets", (json_int_t)stack->sets,
					  "read_misses", (json_int_t)c.misses[KONA_SIM_SIDE_READ],
					  "write_misses", (json_int_t)c.misses[KONA_SIM_SIDE_WRITE],
					  "fetch_misses", (json_int_t)c.misses[KONA_SIM_SIDE_FETCH],
					  "writebacks", (json_int_t)c.writebacks, "writeback_lines",
					  (json_int_t)c.writeback_lines));
		}
	}
	return array;
}

static json_t *histogram_array(const uint64_t *counts, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_integer((json_int_t)counts[i]));
	return array;
}

static json_t *window_object(const struct kona_pattern_window *w)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "instructions",
			 (json_int_t)w->instructions, "pages", (json_int_t)w->pages, "pages_dirty",
			 (json_int_t)w->pages_dirty, "regions_dirty", (json_int_t)w->regions_dirty,
			 "lines_read", (json_int_t)w->lines_read, "lines_written",
			 (json_int_t)w->lines_written, "runs_written", (json_int_t)w->runs_written,
			 "bytes_written", (json_int_t)w->bytes_written);
}

static json_t *patterns_object(const struct kona_pattern *p)
{
	const size_t count = KONA_PATTERN_LINES + 1;
	json_t *series = json_array();

	for (uint64_t i = 0; i < p->windows && i < KONA_PATTERN_SERIES_MAX; i++)
		json_array_append_new(series, window_object(&p->series[i]));
	return json_pack("{s:I,s:I,s:o,s:o,s:o,s:o,s:o,s:o}", "windows", (json_int_t)p->windows,
			 "lost_pages", (json_int_t)p->lost_pages, "lines_read_per_page",
			 histogram_array(p->read_per_page, count), "lines_written_per_page",
			 histogram_array(p->written_per_page, count), "read_run_lines",
			 histogram_array(p->read_run, count), "written_run_lines",
			 histogram_array(p->written_run, count), "total", window_object(&p->total),
			 "series", series);
}

static json_t *reuse_object(const struct kona_sim *sim)
{
	const struct kona_sim_reuse_counts *lines = kona_sim_reuse_lines(sim);
	const struct kona_sim_reuse_counts *pages = kona_sim_reuse_pages(sim);

	return json_pack("{s:o,s:o,s:I,s:I}", "lines",
			 histogram_array(lines->distance, KONA_SIM_REUSE_BUCKETS), "pages",
			 histogram_array(pages->distance, KONA_SIM_REUSE_BUCKETS), "lines_cold",
			 (json_int_t)lines->cold, "pages_cold", (json_int_t)pages->cold);
}

static json_t *clock_array(const struct kona_sim *sim)
{
	struct kona_sim_clock_counts counts[KONA_SIM_CLOCK_SIZES];
	uint32_t sizes = kona_sim_clock_counts(sim, counts);
	json_t *array = json_array();

	for (uint32_t i = 0; i < sizes; i++)
		json_array_append_new(array,
				      json_pack("{s:I,s:I,s:I,s:I,s:I}", "frames",
						(json_int_t)counts[i].frames, "faults",
						(json_int_t)counts[i].faults, "fetches",
						(json_int_t)counts[i].fetches, "writebacks",
						(json_int_t)counts[i].writebacks, "writeback_lines",
						(json_int_t)counts[i].writeback_lines));
	return array;
}

static json_t *result_object(struct kona_hosted *hosted, const char *name)
{
	const struct kona_sim_config *config = &hosted->config;
	struct kona_sim_counts c;
	json_t *levels;

	kona_sim_counts(hosted->sim, &c);
	levels = json_pack("{s:o,s:o,s:o,s:{s:I,s:I,s:I,s:I}}", "l1",
			   level_object(&config->l1d, c.l1), "l2", level_object(&config->l2, c.l2),
			   "l3", level_object(&config->l3, c.l3), "dram", "read_refs",
			   (json_int_t)c.dram[KONA_SIM_SIDE_READ], "write_refs",
			   (json_int_t)c.dram[KONA_SIM_SIDE_WRITE], "fetch_refs",
			   (json_int_t)c.dram[KONA_SIM_SIDE_FETCH], "lines_received",
			   (json_int_t)c.l3_writebacks);
	return json_pack("{s:s,s:s,s:[s],s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:o,s:o}",
			 "format", "kona-sim 1", "end", hosted->end, "command", name,
			 "instructions", (json_int_t)hosted->instructions, "data_refs",
			 (json_int_t)(hosted->reads + hosted->writes), "data_reads",
			 (json_int_t)hosted->reads, "data_writes", (json_int_t)hosted->writes,
			 "data_modifies", (json_int_t)hosted->modifies, "footprint",
			 (json_int_t)(c.footprint_pages * KONA_PAGE_BYTES), "footprint_lines",
			 (json_int_t)c.footprint_lines, "outside_lines",
			 (json_int_t)c.outside_lines, "line", (json_int_t)config->line_bytes,
			 "simd", kona_sim_simd_name(hosted->sim), "levels", levels, "dram",
			 dram_array(hosted));
}

int kona_hosted_finish(struct kona_hosted *hosted, const char *name, const char *path,
		       struct kona_sim_result *ret_result)
{
	json_t *json;
	int err;

	kona_sim_finish(hosted->sim);
	kona_hosted_end_window(hosted, kona_hosted_now(hosted));
	if (kona_sim_out_of_memory(hosted->sim))
		return -ENOMEM;
	json = result_object(hosted, name);
	if (!json)
		return -ENOMEM;
	if (hosted->pattern)
		json_object_set_new(json, "patterns",
				    patterns_object(kona_pattern_result(hosted->pattern)));
	if (hosted->config.reuse)
		json_object_set_new(json, "reuse", reuse_object(hosted->sim));
	if (hosted->config.clock)
		json_object_set_new(json, "clock", clock_array(hosted->sim));
	errno = 0;
	if (path && json_dump_file(json, path, JSON_INDENT(1))) {
		err = errno ? -errno : -EIO;
		json_decref(json);
		return err;
	}
	return kona_sim_result_take(json, ret_result);
}

void kona_hosted_free(struct kona_hosted *hosted)
{
	struct kona_hosted_map *next;

	for (struct kona_hosted_map *entry = hosted->maps; entry; entry = next) {
		next = entry->next;
		munmap(entry->start, entry->bytes);
		free(entry);
	}
	hosted->maps = NULL;
}
