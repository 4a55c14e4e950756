/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Valgrind front end of KCacheSim: life of the tool.
 *
 * Walk: options.c -> the simulator is made -> instrument.c changes each block before it first runs
 * -> at the end, however it comes (exit, fatal signal, exec), result.c writes the counts.
 *
 * State: the simulator lies in the tool's own data: below 2 GiB, so that translated code addresses
 * its filter with an immediate. Guest threads run one at a time; there are no locks.
 */
#include "pub_tool_aspacemgr.h"
#include "pub_tool_libcproc.h"
#include "pub_tool_vki.h"
#include "pub_tool_vkiscnums.h"

#include "tool.h"

enum { STATIC_BYTES = 128 << 10, HUGE_BYTES = 2 << 20, MADVISE_HUGEPAGE = 14 };

struct tool_counters tool_counters;
struct kona_sim *tool_sim;
struct kona_pattern_state *tool_pattern;
struct site *tool_sites;

static char static_memory[STATIC_BYTES] __attribute__((aligned(4096)));
static Bool static_taken;
static ULong window_end;
static Bool is_child;

/* Valgrind's own madvise is not among what tools may call. */
static void ask_for_huge_pages(Addr start, SizeT bytes)
{
	UWord result = __NR_madvise;

	__asm__ volatile("syscall"
			 : "+a"(result)
			 : "D"(start), "S"(bytes), "d"(MADVISE_HUGEPAGE)
			 : "rcx", "r11", "memory");
}

/*
 * Huge pages where there are some (a failed madvise costs nothing): the tables are visited at
 * random, and first touches of small pages would take a fifth of the run.
 */
static void *map(size_t bytes)
{
	Addr start;

	if (!static_taken && bytes <= STATIC_BYTES) {
		static_taken = True;
		return static_memory;
	}
	if (bytes < HUGE_BYTES)
		return VG_(am_shadow_alloc)((bytes + VKI_PAGE_SIZE - 1) & ~(VKI_PAGE_SIZE - 1));
	start = (Addr)VG_(am_shadow_alloc)(VG_ROUNDUP(bytes, HUGE_BYTES) + HUGE_BYTES);
	if (!start)
		return NULL;
	start = VG_ROUNDUP(start, HUGE_BYTES);
	ask_for_huge_pages(start, bytes / HUGE_BYTES * HUGE_BYTES);
	return (void *)start;
}

static const struct kona_sim_host host = {.map = map};

void tool_drain_counters(void)
{
	tool_counters.reads += tool_counters.packed_refs & 0xffffffffu;
	tool_counters.writes += tool_counters.packed_refs >> 32;
	tool_counters.packed_refs = 0;
}

static void close_window(void)
{
	kona_pattern_close(tool_pattern, tool_counters.instructions);
	if (tool_options.heap)
		tool_heap_end_window();
}

/* Before each time slice of at most 100,000 blocks, so that the packed counters never overflow. */
static void start_client_code(ThreadId thread, ULong blocks)
{
	tool_drain_counters();
	if (tool_options.heap)
		tool_heap_switch(thread);
	if (tool_options.private_cores && kona_sim_switch_core(tool_sim, thread - 1))
		VG_(tool_panic)("no memory for a thread's caches");
	if (tool_pattern && tool_counters.instructions >= window_end) {
		close_window();
		kona_sim_filter_reset(tool_sim);
		window_end = tool_counters.instructions + tool_options.window;
	}
}

static void write_result(const HChar *end)
{
	HChar path[4096];

	tool_drain_counters();
	if (is_child && !tool_options.children)
		return;
	if (kona_sim_out_of_memory(tool_sim))
		VG_(fmsg)("kona-sim: out of memory: misses are missing from these counts\n");
	if (is_child)
		VG_(snprintf)(path, sizeof(path), "%s.%d", tool_options.result, VG_(getpid)());
	else
		VG_(snprintf)(path, sizeof(path), "%s", tool_options.result);
	tool_write_result(path, end);
}

/* A successful exec ends this image without finish(): its counts are written before. */
static void before_syscall(ThreadId thread, UInt number, UWord *arguments, UInt count)
{
	if (number == __NR_execve || number == __NR_execveat) {
		kona_sim_drain(tool_sim);
		write_result("exec");
	}
}

static void after_syscall(ThreadId thread, UInt number, UWord *arguments, UInt count, SysRes result)
{
}

static void in_child(ThreadId thread)
{
	is_child = True;
}

static void after_options(void)
{
	int err;

	tool_options.bytes = tool_options.bytes && tool_options.patterns;
	err = kona_sim_create(&host, &tool_config, &tool_sim);
	if (!err && tool_options.patterns)
		err = kona_pattern_create(&host, &tool_pattern);
	if (err) {
		VG_(fmsg)
		("kona-sim: %s\n",
		 err == -12 ? "out of memory" : "this cache configuration is impossible");
		VG_(exit)(2);
	}
	if (tool_options.heap) {
		tool_heap_start();
		if (tool_pattern)
			kona_pattern_show_pages(tool_pattern, tool_heap_page);
	}
	window_end = tool_options.window;
	VG_(atfork)(NULL, NULL, in_child);
}

static void finish(Int exit_code)
{
	kona_sim_finish(tool_sim);
	if (tool_pattern)
		close_window();
	write_result("exit");
}

static void before_options(void)
{
	VG_(details_name)("kona-sim");
	VG_(details_version)(KONA_VERSION);
	VG_(details_description)("caches and far memory, simulated in one run");
	VG_(details_copyright_author)("The Kona authors. Licence: GPL-2-or-later, see COPYING.");
	VG_(details_bug_reports_to)("the Kona project");
	VG_(details_avg_translation_sizeB)(600);
	VG_(basic_tool_funcs)(after_options, tool_instrument, finish);
	VG_(needs_command_line_options)(tool_process_option, tool_print_usage, tool_print_usage);
	VG_(needs_syscall_wrapper)(before_syscall, after_syscall);
	VG_(track_start_client_code)(start_client_code);
}

VG_DETERMINE_INTERFACE_VERSION(before_options)
