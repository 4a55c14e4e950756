/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the Valgrind front end share.
 */
#ifndef KONA_CACHESIM_TOOL_H
#define KONA_CACHESIM_TOOL_H

#include "pub_tool_basics.h"
#include "pub_tool_libcassert.h"
#include "pub_tool_libcbase.h"
#include "pub_tool_libcfile.h"
#include "pub_tool_libcprint.h"
#include "pub_tool_tooliface.h"
#include "pub_tool_vki.h"

#include "engine/engine.h"
#include "engine/pattern.h"

/* One access in the translated code, with all that the helper must know but its address. */
struct site {
	UInt bytes;
	UInt kind; /* enum kona_sim_kind */
	Addr pc;
	ULong l1_misses, dram_misses, dram_writes; /* with --attribute=yes */
	struct site *next;
};

/* Counters that translated code adds to directly. */
struct tool_counters {
	ULong instructions;
	ULong packed_refs; /* reads in the low half, writes in the high one; drained often */
	ULong modifies;
	ULong reads, writes;
};

struct tool_options {
	const HChar *result; /* path */
	Bool fetches;	     /* simulate L1I too */
	Bool private_cores;
	Bool patterns;
	Bool bytes;	/* of patterns, too: every store is reported */
	Bool attribute; /* misses by source line */
	Bool heap;	/* misses and dirty lines by allocation site */
	Bool children;	/* forked children write results of their own */
	ULong window;	/* instructions */
};

extern struct kona_sim_config tool_config;
extern struct tool_options tool_options;
extern struct tool_counters tool_counters;
extern struct kona_sim *tool_sim;
extern struct kona_pattern_state *tool_pattern;
extern struct site *tool_sites;

/* options.c */
Bool tool_process_option(const HChar *argument);
void tool_print_usage(void);

/* instrument.c */
IRSB *tool_instrument(VgCallbackClosure *closure, IRSB *in, const VexGuestLayout *layout,
		      const VexGuestExtents *extents, const VexArchInfo *host, IRType guest_word,
		      IRType host_word);

/* result.c: writes the result file; `end` says why: "exit", "exec". False: told why not. */
Bool tool_write_result(const HChar *path, const HChar *end);

/* heap.c */
struct heap_site {
	struct _ExeContext *context; /* NULL: not from the heap */
	ULong allocations, bytes;
	ULong dram_misses, dram_writes;
	ULong pages_dirty, lines_written, bytes_written; /* summed over windows */
	ULong last_page;
};
extern struct heap_site tool_heap_other;

void tool_heap_start(void);
void tool_heap_switch(ThreadId thread);
void tool_heap_at_start(IRSB *out, Addr pc);
void tool_heap_at_return(IRSB *out);
/* Never NULL. */
struct heap_site *tool_heap_site(Addr address);
void tool_heap_page(uint64_t page, uint64_t written, const uint64_t *bytes);
void tool_heap_end_window(void);
void tool_heap_each(void (*visit)(const struct heap_site *site));

/* report.c: the parts of the result file that name places in the program. */
void tool_write_lines(VgFile *file);
void tool_write_heap(VgFile *file);
void tool_write_string(VgFile *file, const HChar *text);

/* main.c */
void tool_drain_counters(void);

#endif
