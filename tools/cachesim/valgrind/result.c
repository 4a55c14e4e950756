/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The result file: every count of the run, as JSON (its fields are in kona-sim(1)). Written to a
 * temporary name and renamed, so that a file that exists is whole.
 */
#include "pub_tool_clientstate.h"
#include "pub_tool_libcfile.h"
#include "pub_tool_libcproc.h"
#include "pub_tool_vki.h"

#include "tool.h"

static VgFile *file;

static void print_command(void)
{
	VG_(fprintf)(file, "  \"command\": [");
	tool_write_string(file, VG_(args_the_exename));
	for (Word i = 0; i < VG_(sizeXA)(VG_(args_for_client)); i++) {
		VG_(fprintf)(file, ", ");
		tool_write_string(file, *(HChar **)VG_(indexXA)(VG_(args_for_client), i));
	}
	VG_(fprintf)(file, "],\n");
}

static void print_level(const HChar *name, const struct kona_sim_level_config *level,
			const uint64_t *misses)
{
	VG_(fprintf)
	(file,
	 "    \"%s\": {\"size\": %llu, \"ways\": %u, \"read_misses\": %llu, "
	 "\"write_misses\": %llu, \"fetch_misses\": %llu},\n",
	 name, (ULong)level->bytes, level->ways, (ULong)misses[KONA_SIM_SIDE_READ],
	 (ULong)misses[KONA_SIM_SIDE_WRITE], (ULong)misses[KONA_SIM_SIDE_FETCH]);
}

static void print_counts(void)
{
	struct kona_sim_counts counts;

	kona_sim_counts(tool_sim, &counts);
	VG_(fprintf)
	(file,
	 "  \"instructions\": %llu,\n  \"data_refs\": %llu,\n  \"data_reads\": %llu,\n"
	 "  \"data_writes\": %llu,\n  \"data_modifies\": %llu,\n",
	 tool_counters.instructions, tool_counters.reads + tool_counters.writes,
	 tool_counters.reads, tool_counters.writes, tool_counters.modifies);
	VG_(fprintf)
	(file,
	 "  \"footprint\": %llu,\n  \"footprint_lines\": %llu,\n"
	 "  \"outside_lines\": %llu,\n  \"line\": %u,\n  \"simd\": \"%s\",\n"
	 "  \"levels\": {\n",
	 (ULong)counts.footprint_pages * 4096, (ULong)counts.footprint_lines,
	 (ULong)counts.outside_lines, tool_config.line_bytes, kona_sim_simd_name(tool_sim));
	print_level("l1", &tool_config.l1d, counts.l1);
	print_level("l2", &tool_config.l2, counts.l2);
	print_level("l3", &tool_config.l3, counts.l3);
	VG_(fprintf)
	(file,
	 "    \"dram\": {\"read_refs\": %llu, \"write_refs\": %llu, "
	 "\"fetch_refs\": %llu, \"lines_received\": %llu}\n  },\n",
	 (ULong)counts.dram[KONA_SIM_SIDE_READ], (ULong)counts.dram[KONA_SIM_SIDE_WRITE],
	 (ULong)counts.dram[KONA_SIM_SIDE_FETCH], (ULong)counts.l3_writebacks);
}

static void print_histogram(const HChar *name, const uint64_t *counts, UInt count)
{
	VG_(fprintf)(file, "    \"%s\": [", name);
	for (UInt i = 0; i < count; i++)
		VG_(fprintf)(file, "%s%llu", i ? ", " : "", (ULong)counts[i]);
	VG_(fprintf)(file, "],\n");
}

static void print_window(const struct kona_pattern_window *w)
{
	VG_(fprintf)
	(file,
	 "{\"instructions\": %llu, \"pages\": %llu, \"pages_dirty\": %llu, "
	 "\"regions_dirty\": %llu, \"lines_read\": %llu, \"lines_written\": %llu, "
	 "\"runs_written\": %llu, \"bytes_written\": %llu}",
	 (ULong)w->instructions, (ULong)w->pages, (ULong)w->pages_dirty, (ULong)w->regions_dirty,
	 (ULong)w->lines_read, (ULong)w->lines_written, (ULong)w->runs_written,
	 (ULong)w->bytes_written);
}

static void print_patterns(void)
{
	const struct kona_pattern *p = kona_pattern_result(tool_pattern);

	VG_(fprintf)
	(file, "  \"patterns\": {\n    \"windows\": %llu,\n    \"lost_pages\": %llu,\n",
	 (ULong)p->windows, (ULong)p->lost_pages);
	print_histogram("lines_read_per_page", p->read_per_page, KONA_PATTERN_LINES + 1);
	print_histogram("lines_written_per_page", p->written_per_page, KONA_PATTERN_LINES + 1);
	print_histogram("read_run_lines", p->read_run, KONA_PATTERN_LINES + 1);
	print_histogram("written_run_lines", p->written_run, KONA_PATTERN_LINES + 1);
	VG_(fprintf)(file, "    \"total\": ");
	print_window(&p->total);
	VG_(fprintf)(file, ",\n    \"series\": [");
	for (ULong i = 0; i < p->windows && i < KONA_PATTERN_SERIES_MAX; i++) {
		VG_(fprintf)(file, "%s\n      ", i ? "," : "");
		print_window(&p->series[i]);
	}
	VG_(fprintf)(file, "\n    ]\n  },\n");
}

static void print_reuse(void)
{
	const struct kona_sim_reuse_counts *lines = kona_sim_reuse_lines(tool_sim);
	const struct kona_sim_reuse_counts *pages = kona_sim_reuse_pages(tool_sim);

	VG_(fprintf)(file, "  \"reuse\": {\n");
	print_histogram("lines", lines->distance, KONA_SIM_REUSE_BUCKETS);
	print_histogram("pages", pages->distance, KONA_SIM_REUSE_BUCKETS);
	VG_(fprintf)
	(file, "    \"lines_cold\": %llu,\n    \"pages_cold\": %llu\n  },\n", (ULong)lines->cold,
	 (ULong)pages->cold);
}

static void print_clock(void)
{
	struct kona_sim_clock_counts counts[KONA_SIM_CLOCK_SIZES];
	UInt sizes = kona_sim_clock_counts(tool_sim, counts);

	VG_(fprintf)(file, "  \"clock\": [");
	for (UInt i = 0; i < sizes; i++)
		VG_(fprintf)
	(file,
	 "%s\n    {\"frames\": %llu, \"faults\": %llu, \"fetches\": %llu, "
	 "\"writebacks\": %llu, \"writeback_lines\": %llu}",
	 i ? "," : "", (ULong)counts[i].frames, (ULong)counts[i].faults, (ULong)counts[i].fetches,
	 (ULong)counts[i].writebacks, (ULong)counts[i].writeback_lines);
	VG_(fprintf)(file, "\n  ],\n");
}

static void print_dram(void)
{
	const HChar *separator = "";

	VG_(fprintf)(file, "  \"dram\": [");
	for (UInt i = 0; i < tool_config.stack_count; i++) {
		const struct kona_sim_stack_config *stack = &tool_config.stack[i];

		for (UInt ways = 1; ways <= KONA_SIM_WAYS; ways++) {
			struct kona_sim_dram_counts c;

			kona_sim_dram_counts(tool_sim, i, ways, &c);
			VG_(fprintf)
			(file,
			 "%s\n    {\"size\": %llu, \"block\": %u, \"ways\": %u, "
			 "\"sets\": %llu, \"read_misses\": %llu, "
			 "\"write_misses\": %llu, \"fetch_misses\": %llu, "
			 "\"writebacks\": %llu, \"writeback_lines\": %llu}",
			 separator, (ULong)stack->sets * ways * stack->block_bytes,
			 stack->block_bytes, ways, (ULong)stack->sets,
			 (ULong)c.misses[KONA_SIM_SIDE_READ], (ULong)c.misses[KONA_SIM_SIDE_WRITE],
			 (ULong)c.misses[KONA_SIM_SIDE_FETCH], (ULong)c.writebacks,
			 (ULong)c.writeback_lines);
			separator = ",";
		}
	}
	VG_(fprintf)(file, "\n  ]\n}\n");
}

Bool tool_write_result(const HChar *path, const HChar *end)
{
	HChar temporary[4200];

	VG_(snprintf)(temporary, sizeof(temporary), "%s.part", path);
	file = VG_(fopen)(temporary, VKI_O_CREAT | VKI_O_TRUNC | VKI_O_WRONLY, 0644);
	if (!file) {
		VG_(fmsg)("kona-sim: cannot write %s: no results\n", temporary);
		return False;
	}
	VG_(fprintf)
	(file, "{\n  \"format\": \"kona-sim 1\",\n  \"end\": \"%s\",\n  \"pid\": %d,\n", end,
	 VG_(getpid)());
	print_command();
	print_counts();
	if (tool_pattern)
		print_patterns();
	if (tool_config.reuse)
		print_reuse();
	if (tool_config.clock)
		print_clock();
	if (tool_options.attribute)
		tool_write_lines(file);
	if (tool_options.heap)
		tool_write_heap(file);
	print_dram();
	VG_(fclose)(file);
	if (VG_(rename)(temporary, path)) {
		VG_(fmsg)("kona-sim: cannot rename %s to %s\n", temporary, path);
		return False;
	}
	return True;
}
