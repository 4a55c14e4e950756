/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A trace through the engine.
 *
 * Walk: the tool's arguments become a configuration -> each line of the trace one access or more ->
 * the counts, as the same JSON that the Valgrind tool writes, are read back as a result.
 *
 * State: one struct trace per run. What can fail: the file, a line of it, memory, the
 * configuration.
 */
#include "trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/units.h"
#include "engine/engine.h"
#include "engine/pattern.h"
#include "hosted.h"

struct trace {
	struct kona_hosted hosted;
	bool is_dirty_pages; /* kona-trace 1 */
	uint64_t line_number;
};

static int read_page(struct trace *trace, const char *line)
{
	uint64_t address, mask;
	char end;

	if (!strncmp(line, "window ", 7)) {
		kona_hosted_end_window(&trace->hosted, kona_hosted_now(&trace->hosted));
		return 0;
	}
	if (sscanf(line, "%" SCNx64 " %" SCNx64 " %c", &address, &mask, &end) != 2)
		return -EPROTO;
	for (; mask; mask &= mask - 1)
		kona_hosted_access(&trace->hosted,
				   address + (uint64_t)__builtin_ctzll(mask) * KONA_LINE_BYTES,
				   KONA_LINE_BYTES, KONA_SIM_WRITE);
	return 0;
}

static int read_access(struct trace *trace, const char *line)
{
	static const char letters[] = "LSMI";
	static const enum kona_sim_kind kinds[] = {KONA_SIM_READ, KONA_SIM_WRITE, KONA_SIM_MODIFY,
						   KONA_SIM_FETCH};
	uint64_t address;
	unsigned int bytes;
	const char *found;
	char letter, end;

	if (line[0] == '=' || line[0] == '\n')
		return 0;
	if (sscanf(line, " %c %" SCNx64 ",%u %c", &letter, &address, &bytes, &end) != 3 || !bytes)
		return -EPROTO;
	found = strchr(letters, letter);
	if (!letter || !found)
		return -EPROTO;
	kona_hosted_access(&trace->hosted, address, bytes, kinds[found - letters]);
	return 0;
}

static int read_lines(struct trace *trace, FILE *file)
{
	char *line = NULL;
	size_t room = 0;
	int err = 0;

	while (!err && getline(&line, &room, file) >= 0) {
		trace->line_number++;
		if (trace->line_number == 1 && !strcmp(line, "kona-trace 1\n"))
			trace->is_dirty_pages = true;
		else if (trace->is_dirty_pages)
			err = read_page(trace, line);
		else
			err = read_access(trace, line);
	}
	if (!err && ferror(file))
		err = -EIO;
	free(line);
	return err;
}

int kona_trace_simulate(const char *path, const struct kona_sweep_run *run,
			struct kona_sim_result *ret_result, uint64_t *ret_line)
{
	struct trace trace = {0};
	FILE *file = strcmp(path, "-") != 0 ? fopen(path, "re") : stdin;
	int err;

	if (!file)
		return -errno;
	err = kona_hosted_start(&trace.hosted, run->argument, run->argument_count, NULL);
	if (!err)
		err = read_lines(&trace, file);
	if (!err)
		err = kona_hosted_finish(&trace.hosted, path, run->result, ret_result);
	if (err == -EPROTO)
		*ret_line = trace.line_number;
	kona_hosted_free(&trace.hosted);
	if (file != stdin)
		fclose(file);
	return err;
}
