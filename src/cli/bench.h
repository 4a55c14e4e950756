/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pieces of `kona bench`:
 *
 *   cmd-bench (rounds of cases) -> bench-case (one program, run and read) -> bench-swap (its swap)
 *             -> bench-report (medians, ratios: table, JSON, SVG)
 *
 * Functions that fail print their one line themselves and return the exit status to end with, or 0.
 */
#ifndef KONA_CLI_BENCH_H
#define KONA_CLI_BENCH_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

enum kona_bench_case {
	KONA_BENCH_GUARD,
	KONA_BENCH_WP,
	KONA_BENCH_LINES,
	KONA_BENCH_SWAP,
	KONA_BENCH_FLOOR,
	KONA_BENCH_LOCAL,
	KONA_BENCH_CASES,
};

enum { KONA_BENCH_MOST_ROUNDS = 99, KONA_BENCH_MOST_COUNTS = 4 };

extern const char *const kona_bench_names[KONA_BENCH_CASES];

/* What the program counted over the time that counts, per access. */
struct kona_bench_result {
	double accesses; /* all of them */
	double ns, faults, misses, system_calls, fetched_bytes, written_bytes;
	double dirty_bytes_per_page, written_bytes_per_page; /* of those that left */
};

/* The zram device and the memory cgroup, while there are some. */
struct kona_bench_swap {
	char group[64], device[32];
	int number; /* of the device; -1: none */
	int page_cluster;
	bool grouped, swapping;
	uint64_t limit_bytes;
};

struct kona_bench {
	unsigned long threads[KONA_BENCH_MOST_COUNTS];
	unsigned long thread_counts, rounds;
	uint64_t data_bytes, local_bytes, run_ns, warm_ns;
	const char *net;	   /* as given; NULL: plain shared memory */
	const char *memd, *fabric; /* as given; NULL: none */
	const char *operation, *order;
	const char *json, *svg;
	char program[PATH_MAX], kona[PATH_MAX];
	struct kona_bench_swap swap;
	bool swaps;
	char why_no_swap[128];
	struct kona_bench_result results[KONA_BENCH_MOST_ROUNDS][KONA_BENCH_MOST_COUNTS]
					[KONA_BENCH_CASES];
};

/* A signal that asked to end; 0: none. */
int kona_bench_interrupted(void);

/* Runs one case once. */
KONA_MUST_CHECK int kona_bench_run(struct kona_bench *bench, enum kona_bench_case which,
				   unsigned long threads, struct kona_bench_result *ret_result);

/* Makes swap and a cgroup of data_bytes / 2. On failure the reason is in words, nothing is left. */
KONA_MUST_CHECK int kona_bench_swap_begin(struct kona_bench_swap *swap, uint64_t data_bytes,
					  uint64_t limit_bytes, char ret_reason[128]);
/* Undoes all of it; says what cannot be. */
void kona_bench_swap_end(struct kona_bench_swap *swap);
/* In the child, before it executes. */
KONA_MUST_CHECK int kona_bench_swap_join(const struct kona_bench_swap *swap);
/* Lets processes go on that the kernel would have killed. Now and then while one runs. */
void kona_bench_swap_nudge(const struct kona_bench_swap *swap);
/* Pages read from swap and written to it so far, on the whole machine. */
void kona_bench_swap_count(uint64_t *ret_in_pages, uint64_t *ret_out_pages);

/* Prints the table, and writes the files that are wanted. */
KONA_MUST_CHECK int kona_bench_report(const struct kona_bench *bench);

#endif
