/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the Valgrind front end share.
 */
#ifndef KONA_CACHESIM_TOOL_H
#define KONA_CACHESIM_TOOL_H

#include "pub_tool_basics.h"
#include "pub_tool_libcassert.h"
#include "pub_tool_libcbase.h"
#include "pub_tool_libcprint.h"
#include "pub_tool_tooliface.h"

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
	Bool bytes; /* of patterns, too: every store is reported */
	Bool attribute;
	Bool children; /* forked children write results of their own */
	ULong window;  /* instructions */
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

/* main.c */
void tool_drain_counters(void);

#endif
