/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the Kona processes counted: one screen for people, JSON for programs.
 *
 * The area may still grow while it is read: a forked child may outlive the program. A figure is
 * read once and is right for that moment.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/atomic.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/run.h"

#define FIELD(name)                                      \
	{                                                \
#name, offsetof(struct kona_stats, name) \
	}

/* Every 64-bit field. */
static const struct field {
	const char *name;
	size_t offset;
} fields[] = {FIELD(faults_missing),	 FIELD(faults_wp),
	      FIELD(guard_misses),	 FIELD(fetched_pages),
	      FIELD(fetched_bytes),	 FIELD(zero_filled_pages),
	      FIELD(prefetched_pages),	 FIELD(prefetch_used_pages),
	      FIELD(evicted_pages),	 FIELD(evicted_clean_pages),
	      FIELD(recalled_pages),	 FIELD(held_pages),
	      FIELD(moved_in_place),	 FIELD(moved_to_frame),
	      FIELD(written_back_bytes), FIELD(one_sided_bytes),
	      FIELD(dirty_lines),	 FIELD(discarded_pages),
	      FIELD(preserved_pages),	 FIELD(changed_pages),
	      FIELD(handler_ns),	 FIELD(evict_ns),
	      FIELD(system_calls),	 FIELD(local_pages),
	      FIELD(local_pages_peak),	 FIELD(local_budget_bytes),
	      FIELD(metadata_bytes),	 FIELD(remote_slabs),
	      FIELD(remote_bytes),	 FIELD(one_sided_written_bytes),
	      FIELD(woken_functions)};

static_assert(sizeof(fields) / sizeof(fields[0]) * 8 +
			      offsetof(struct kona_stats, faults_missing) ==
		      sizeof(struct kona_stats),
	      "every field is in the list");

static uint64_t read_field(const struct kona_stats *stats, const struct field *field)
{
	return kona_load_relaxed((const uint64_t *)((const char *)stats + field->offset));
}

static size_t count_processes(const struct kona_stats_area *area)
{
	uint32_t used = kona_load_relaxed(&area->used_blocks);

	return used < KONA_STATS_BLOCKS ? used : KONA_STATS_BLOCKS;
}

static void add_up(const struct kona_stats_area *area, struct kona_stats *totals)
{
	size_t processes = count_processes(area);

	memset(totals, 0, sizeof(*totals));
	for (size_t i = 0; i < processes; i++)
		for (size_t f = 0; f < KONA_ARRAY_LEN(fields); f++)
			*(uint64_t *)((char *)totals + fields[f].offset) +=
				read_field(&area->blocks[i], &fields[f]);
}

struct amplification {
	double lines, pages; /* written back, and as 4 KiB pages, by dirty bytes; 0: none dirty */
};

static struct amplification amplify(const struct kona_stats *s)
{
	double dirty_bytes = (double)s->dirty_lines * KONA_LINE_BYTES;
	uint64_t dirty_pages = s->evicted_pages > s->evicted_clean_pages
				       ? s->evicted_pages - s->evicted_clean_pages
				       : 0;

	if (!s->dirty_lines)
		return (struct amplification){0, 0};
	return (struct amplification){(double)s->written_back_bytes / dirty_bytes,
				      (double)dirty_pages * KONA_PAGE_BYTES / dirty_bytes};
}

static const char *size(uint64_t bytes)
{
	static char texts[4][16];
	static unsigned int next;

	return kona_size_format(bytes, texts[next++ % 4], sizeof(texts[0]));
}

void kona_summary_print(FILE *stream, const struct kona_stats_area *area, const char *program,
			uint64_t elapsed_ns)
{
	size_t processes = count_processes(area);
	struct kona_stats s;
	struct amplification a;

	add_up(area, &s);
	a = amplify(&s);
	fprintf(stream, "\nkona run: %s, %.2f s", program, (double)elapsed_ns / 1e9);
	if (!processes) {
		fprintf(stream, "; no process reported: the program did not load libkona\n");
		return;
	}
	fprintf(stream, ", %zu Kona process%s\n", processes, processes == 1 ? "" : "es");
	fprintf(stream, "  local memory       peak %s of %s (metadata %s)\n",
		size(s.local_pages_peak * KONA_PAGE_BYTES), size(s.local_budget_bytes),
		size(s.metadata_bytes));
	fprintf(stream, "  remote memory      %s granted, %" PRIu64 " slabs\n",
		size(s.remote_bytes), s.remote_slabs);
	fprintf(stream, "  faults             %" PRIu64 " missing, %" PRIu64 " write-protect\n",
		s.faults_missing, s.faults_wp);
	if (s.guard_misses)
		fprintf(stream,
			"  guards             %" PRIu64 " misses, %" PRIu64
			" functions woken; %" PRIu64 " pages moved in place, %" PRIu64 " back\n",
			s.guard_misses, s.woken_functions, s.moved_in_place, s.moved_to_frame);
	fprintf(stream,
		"  pages              %" PRIu64 " zero-filled, %" PRIu64 " fetched, %" PRIu64
		" prefetched\n",
		s.zero_filled_pages, s.fetched_pages, s.prefetched_pages);
	fprintf(stream,
		"  evictions          %" PRIu64 " pages, %" PRIu64 " clean, %" PRIu64 " recalled\n",
		s.evicted_pages, s.evicted_clean_pages, s.recalled_pages);
	fprintf(stream, "  bytes              %s fetched, %s written back\n", size(s.fetched_bytes),
		size(s.written_back_bytes));
	if (s.one_sided_bytes || s.one_sided_written_bytes)
		fprintf(stream, "  one-sided          %s read, %s written\n",
			size(s.one_sided_bytes), size(s.one_sided_written_bytes));
	fprintf(stream, "  dirty lines        %" PRIu64 " (%s)\n", s.dirty_lines,
		size(s.dirty_lines * KONA_LINE_BYTES));
	if (s.changed_pages)
		fprintf(stream,
			"  CHANGED PAGES      %" PRIu64 ": a memory node alters what it holds\n",
			s.changed_pages);
	if (s.dirty_lines)
		fprintf(stream, "  amplification      %.2f (as 4 KiB pages: %.2f)\n", a.lines,
			a.pages);
	fprintf(stream, "  time               %.3f s in faults, %.3f s in eviction\n",
		(double)s.handler_ns / 1e9, (double)s.evict_ns / 1e9);
	fprintf(stream, "  system calls       %" PRIu64 "\n", s.system_calls);
}

/* A special file (a pipe, a terminal) is written directly; a regular one is replaced whole. */
static bool is_special(const char *path)
{
	struct stat st;

	return !stat(path, &st) && !S_ISREG(st.st_mode);
}

/* Opens what is to become, or is, the file. temporary is "" for a special file. */
static FILE *open_output(const char *path, char temporary[PATH_MAX])
{
	mode_t mask = umask(0);
	FILE *file;
	int fd;

	umask(mask);
	temporary[0] = 0;
	if (is_special(path))
		return fopen(path, "we");
	if (snprintf(temporary, PATH_MAX, "%s.XXXXXX", path) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	fd = mkstemp(temporary);
	if (fd < 0)
		return NULL;
	fchmod(fd, 0666 & ~mask);
	file = fdopen(fd, "w");
	if (!file) {
		close(fd);
		unlink(temporary);
	}
	return file;
}

static int tell(const char *path)
{
	kona_error("cannot write %s: %s", path, strerror(errno));
	return KONA_EXIT_OURS;
}

int kona_summary_try(const char *path)
{
	char temporary[PATH_MAX];
	FILE *file;

	/* Opening a pipe would wait for its reader, and a terminal needs no trial. */
	if (is_special(path))
		return access(path, W_OK) || !strcmp(path, "/") ? tell(path) : 0;
	file = open_output(path, temporary);
	if (!file)
		return tell(path);
	fclose(file);
	unlink(temporary);
	return 0;
}

static json_t *describe(const struct kona_stats *stats)
{
	json_t *object = json_object();
	struct amplification a = amplify(stats);

	for (size_t f = 0; f < KONA_ARRAY_LEN(fields); f++)
		json_object_set_new(object, fields[f].name,
				    json_integer((json_int_t)read_field(stats, &fields[f])));
	json_object_set_new(object, "amplification",
			    stats->dirty_lines ? json_real(a.lines) : json_null());
	json_object_set_new(object, "amplification_pages",
			    stats->dirty_lines ? json_real(a.pages) : json_null());
	return object;
}

static json_t *describe_processes(const struct kona_stats_area *area)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count_processes(area); i++) {
		const struct kona_stats *block = &area->blocks[i];
		json_t *object = describe(block);
		char name[KONA_STATS_NAME_BYTES + 1] = "";

		memcpy(name, block->program, sizeof(block->program));
		for (char *c = name; *c; c++)
			if (*c < ' ' || *c > '~')
				*c = '?';
		json_object_set_new(object, "pid", json_integer(block->pid));
		json_object_set_new(object, "program", json_string(name));
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *describe_command(char **argv)
{
	json_t *list = json_array();

	for (; *argv; argv++) {
		json_t *text = json_string(*argv);

		json_array_append_new(list, text ? text : json_string("?"));
	}
	return list;
}

int kona_summary_write(const char *path, const struct kona_stats_area *area, char **argv,
		       int wait_status, uint64_t elapsed_ns)
{
	char temporary[PATH_MAX];
	struct kona_stats totals;
	json_t *report;
	FILE *file;
	int rc;

	add_up(area, &totals);
	report = json_pack(
		"{s:s, s:o, s:f, s:o, s:o, s:o, s:o}", "format", "kona-run 1", "command",
		describe_command(argv), "elapsed_s", (double)elapsed_ns / 1e9, "exit_status",
		WIFEXITED(wait_status) ? json_integer(WEXITSTATUS(wait_status)) : json_null(),
		"signal",
		WIFSIGNALED(wait_status) ? json_integer(WTERMSIG(wait_status)) : json_null(),
		"totals", describe(&totals), "processes", describe_processes(area));
	file = open_output(path, temporary);
	if (!file || !report) {
		json_decref(report);
		return tell(path);
	}
	rc = json_dumpf(report, file, JSON_INDENT(2));
	json_decref(report);
	fputc('\n', file);
	rc |= ferror(file);
	rc |= fclose(file);
	if (!rc && temporary[0])
		rc = rename(temporary, path);
	if (rc) {
		rc = tell(path);
		if (temporary[0])
			unlink(temporary);
	}
	return rc;
}
