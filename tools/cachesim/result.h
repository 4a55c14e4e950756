/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The result file of a simulation, read back. Its fields are described in kona-sim(1).
 */
#ifndef KONA_CACHESIM_RESULT_H
#define KONA_CACHESIM_RESULT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* misses[0]: of reads, misses[1]: of writes. */
struct kona_sim_level {
	uint64_t size, ways, misses[2];
};

struct kona_sim_dram {
	uint64_t size, block, ways, misses[2];
	uint64_t writebacks, writeback_lines;
};

/* Local memory as the runtime manages it; see engine/clock.c. */
struct kona_sim_clock {
	uint64_t frames, faults, fetches, writebacks, writeback_lines;
};

struct kona_sim_result {
	json_t *json; /* owned: the whole file */
	bool ended_by_exec;
	uint64_t instructions, data_reads, data_writes;
	uint64_t footprint, footprint_lines, line, outside_lines;
	struct kona_sim_level l1, l2, l3;
	size_t dram_count;
	struct kona_sim_dram *dram; /* owned */
	size_t clock_count;
	struct kona_sim_clock *clock; /* owned; by rising size */
};

/*
 * Reads path. Returns 0 and *ret_result, to be freed by kona_sim_result_free(); -ENOENT; -EPROTO
 * for a file that is no result of this format; -ENOMEM.
 */
KONA_MUST_CHECK int kona_sim_result_read(const char *path, struct kona_sim_result *ret_result);

/* The same from JSON in memory, which it owns from here on, also on failure. */
KONA_MUST_CHECK int kona_sim_result_take(json_t *json, struct kona_sim_result *ret_result);

void kona_sim_result_free(struct kona_sim_result *result);

/* The program and its arguments on one line; the caller's to free, NULL: no memory. */
char *kona_sim_result_command(const struct kona_sim_result *result);

/* The DRAM cache of exactly this shape; NULL: it was not simulated. */
const struct kona_sim_dram *kona_sim_result_find(const struct kona_sim_result *result,
						 uint64_t size, uint64_t block, uint64_t ways);

#endif
