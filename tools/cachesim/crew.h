/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that simulate while the program goes on.
 *
 *   producers -> accesses, in buffers -> L1 -> L2 and L3 -> batches -> each part of the engine
 *                                     -> patterns
 *
 * L1, what is below it, patterns and each part take what is theirs in order, one thread at a time;
 * but they are different threads, as many as there are processors. Buffers count in the order in
 * which they are given, so that the counts are those of one thread that does everything.
 *
 * Usage: start; take, fill and give buffers, from any thread; settle, and nothing is under way.
 * One crew in a process.
 */
#ifndef KONA_CACHESIM_CREW_H
#define KONA_CACHESIM_CREW_H

#include "engine/packed.h"
#include "hosted.h"

enum { KONA_CREW_LISTS = 16, KONA_CREW_RECORDS = KONA_CREW_LISTS * KONA_SIM_LIST };

struct kona_crew_buffer {
	struct kona_crew_buffer *next;
	uint32_t count;
	uint32_t core;	     /* whose L1 and L2 */
	uint64_t window_end; /* not 0: a window of the patterns ends after these, at so many
				references */
	/* Packed accesses (packed.h) from 1 on; 0 is for a producer who looks at the record before
	 * his first one. */
	uint64_t record[KONA_CREW_RECORDS + 1];
	/* The crew's: what L1 makes of them, list by list, one behind the other. */
	uint32_t below_count[KONA_CREW_LISTS];
	uint64_t below[KONA_CREW_LISTS * KONA_SIM_BELOW_L1];
};

/* Sets hosted up, as kona_hosted_start() does and with its errors, and starts the threads. */
KONA_MUST_CHECK int kona_crew_start(struct kona_hosted *hosted, const char *const *arguments,
				    size_t count);

/* An empty buffer; NULL: no memory. */
struct kona_crew_buffer *kona_crew_take(void);

/* Waits while too much is under way. The caller lets no signal in (see kona_crew_settle). */
void kona_crew_give(struct kona_crew_buffer *buffer);

/* Waits until all that was given is simulated. May be called by a handler of signals. */
void kona_crew_settle(void);

#endif
