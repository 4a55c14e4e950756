/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of the result file that name places in the program: source lines and allocation sites,
 * each with what it cost, the costliest first.
 */
#include "pub_tool_debuginfo.h"
#include "pub_tool_execontext.h"
#include "pub_tool_mallocfree.h"

#include "tool.h"

enum { SOURCE_LINES_MAX = 1 << 16, HEAP_SITES_MAX = 1 << 14, SHOWN = 40, FRAMES = 4 };

void tool_write_string(VgFile *file, const HChar *text)
{
	VG_(fprintf)(file, "\"");
	for (; *text; text++) {
		UChar c = (UChar)*text;

		if (c == '"' || c == '\\')
			VG_(fprintf)(file, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			VG_(fprintf)(file, "\\u00%02x", c);
		else
			VG_(fprintf)(file, "%c", c);
	}
	VG_(fprintf)(file, "\"");
}

struct source_line {
	HChar *name;
	ULong l1_misses, dram_misses, dram_writes;
};

static Int by_misses(const void *a, const void *b)
{
	const struct source_line *x = a, *y = b;

	return x->dram_misses < y->dram_misses ? 1 : x->dram_misses > y->dram_misses ? -1 : 0;
}

static Int by_name(const void *a, const void *b)
{
	return VG_(strcmp)(((const struct source_line *)a)->name,
			   ((const struct source_line *)b)->name);
}

/* FILE:LINE, or a function where there is no line, or an address in an object. */
static void name_place(Addr pc, HChar *text, SizeT bytes)
{
	const HChar *name, *directory;
	UInt number;
	DiEpoch now = VG_(current_DiEpoch)();

	if (VG_(get_filename_linenum)(now, pc, &name, &directory, &number))
		VG_(snprintf)(text, bytes, "%s:%u", VG_(basename)(name), number);
	else if (VG_(get_fnname)(now, pc, &name))
		VG_(snprintf)(text, bytes, "%s", name);
	else if (VG_(get_objname)(now, pc, &name))
		VG_(snprintf)(text, bytes, "%s 0x%lx", VG_(basename)(name), pc);
	else
		VG_(snprintf)(text, bytes, "0x%lx", pc);
}

static void name_site(const struct site *site, struct source_line *line)
{
	HChar text[512];

	name_place(site->pc, text, sizeof(text));
	line->name = VG_(strdup)("kona-sim.line", text);
}

/* Sites to source lines: name them, sort by name, merge neighbours, sort by misses. */
static UInt collect_lines(struct source_line *lines)
{
	UInt count = 0, merged = 0;

	for (const struct site *site = tool_sites; site && count < SOURCE_LINES_MAX;
	     site = site->next) {
		if (!site->dram_misses)
			continue;
		name_site(site, &lines[count]);
		lines[count].l1_misses = site->l1_misses;
		lines[count].dram_misses = site->dram_misses;
		lines[count].dram_writes = site->dram_writes;
		count++;
	}
	VG_(ssort)(lines, count, sizeof(*lines), by_name);
	for (UInt i = 0; i < count; i++) {
		if (merged && VG_STREQ(lines[merged - 1].name, lines[i].name)) {
			lines[merged - 1].l1_misses += lines[i].l1_misses;
			lines[merged - 1].dram_misses += lines[i].dram_misses;
			lines[merged - 1].dram_writes += lines[i].dram_writes;
		} else {
			lines[merged++] = lines[i];
		}
	}
	VG_(ssort)(lines, merged, sizeof(*lines), by_misses);
	return merged;
}

void tool_write_lines(VgFile *file)
{
	struct source_line *lines = VG_(calloc)("kona-sim.lines", SOURCE_LINES_MAX, sizeof(*lines));
	UInt count = collect_lines(lines);

	VG_(fprintf)(file, "  \"source_lines\": [");
	for (UInt i = 0; i < count && i < SHOWN; i++) {
		VG_(fprintf)(file, "%s\n    {\"line\": ", i ? "," : "");
		tool_write_string(file, lines[i].name);
		VG_(fprintf)
		(file, ", \"calls\": %llu, \"dram_refs\": %llu, \"dram_write_refs\": %llu}",
		 lines[i].l1_misses, lines[i].dram_misses, lines[i].dram_writes);
	}
	VG_(fprintf)(file, "\n  ],\n");
	VG_(free)(lines);
}

static const struct heap_site **heap_sites;
static UInt heap_count;

static void collect_heap_site(const struct heap_site *site)
{
	if (heap_count < HEAP_SITES_MAX && (site->dram_misses || site->lines_written))
		heap_sites[heap_count++] = site;
}

static Int by_heap_misses(const void *a, const void *b)
{
	const struct heap_site *x = *(const struct heap_site *const *)a;
	const struct heap_site *y = *(const struct heap_site *const *)b;

	return x->dram_misses < y->dram_misses ? 1 : x->dram_misses > y->dram_misses ? -1 : 0;
}

struct frames {
	HChar *text;
	SizeT bytes;
};

/* Frame 0 is the allocating function itself. */
static void add_frame(UInt n, DiEpoch epoch, Addr pc, void *context)
{
	struct frames *frames = context;
	HChar place[256];
	SizeT used = VG_(strlen)(frames->text);

	if (n == 0 || n > FRAMES)
		return;
	name_place(pc, place, sizeof(place));
	VG_(snprintf)
	(frames->text + used, (Int)(frames->bytes - used), "%s%s", n > 1 ? " < " : "", place);
}

/* The callers of the allocating function, innermost first. */
static void name_heap_site(const struct heap_site *site, HChar *text, SizeT bytes)
{
	struct frames frames = {text, bytes};

	VG_(snprintf)(text, (Int)bytes, "%s", site->context ? "" : "(stacks, static data, freed)");
	if (site->context)
		VG_(apply_ExeContext)(add_frame, &frames, site->context);
}

void tool_write_heap(VgFile *file)
{
	heap_sites = VG_(calloc)("kona-sim.heap", HEAP_SITES_MAX, sizeof(struct heap_site *));
	heap_count = 0;
	tool_heap_each(collect_heap_site);
	VG_(ssort)(heap_sites, heap_count, sizeof(struct heap_site *), by_heap_misses);
	VG_(fprintf)(file, "  \"heap_sites\": [");
	for (UInt i = 0; i < heap_count && i < SHOWN; i++) {
		const struct heap_site *site = heap_sites[i];
		HChar text[1200];

		name_heap_site(site, text, sizeof(text));
		VG_(fprintf)(file, "%s\n    {\"site\": ", i ? "," : "");
		tool_write_string(file, text);
		VG_(fprintf)
		(file,
		 ", \"allocations\": %llu, \"bytes\": %llu, \"dram_refs\": %llu, "
		 "\"dram_write_refs\": %llu, \"pages_dirty\": %llu, \"lines_written\": %llu, "
		 "\"bytes_written\": %llu}",
		 site->allocations, site->bytes, site->dram_misses, site->dram_writes,
		 site->pages_dirty, site->lines_written, site->bytes_written);
	}
	VG_(fprintf)(file, "\n  ],\n");
	VG_(free)(heap_sites);
}
