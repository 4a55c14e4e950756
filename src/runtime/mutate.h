/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Known mistakes, one at a time, to see that the stress test finds them (tests/stress). They exist
 * only in the copy of the engine that is built for it (-DKONA_MUTATE); else KONA_MUTATED() is false
 * and leaves no trace. The same mistakes are made in the models (tests/model).
 */
#ifndef KONA_RUNTIME_MUTATE_H
#define KONA_RUNTIME_MUTATE_H

#include <stdbool.h>

#include "base/compiler.h"

enum kona_mutation {
	KONA_MUTATION_NONE,
	KONA_MUTATION_LOAD_FIRST, /* the first three are the test's own */
	KONA_MUTATION_NO_MARK,
	KONA_MUTATION_SIGNAL_IN_MISS,
	KONA_MUTATION_NO_BARRIER,
	KONA_MUTATION_OLD_BARRIER,
	KONA_MUTATION_NO_SCAN,
	KONA_MUTATION_NO_SCAN_INPLACE,
	KONA_MUTATION_NO_SAVED,
	KONA_MUTATION_SAVED_FIRST,
	KONA_MUTATION_NO_RESTORE,
	KONA_MUTATION_DEPTH_BEFORE_RESTORE,
	KONA_MUTATION_GATHER_BEFORE_BARRIER,
	KONA_MUTATION_HASH_AGAIN,
	KONA_MUTATION_MARKS_CLEARED_LATE,
	KONA_MUTATION_DISCARD_NO_SCAN,
	KONA_MUTATION_DISCARD_CLEARS_MARKS,
	KONA_MUTATION_SHIELD_IN_SIGHT,
	KONA_MUTATION_COPY_IN_USE,
	KONA_MUTATION_LAND_BLIND,
	KONA_MUTATION_SETTLE_FIRST,
};

#define KONA_MUTATION_NAMES                                                                        \
	"NONE", "LOAD_FIRST", "NO_MARK", "SIGNAL_IN_MISS", "NO_BARRIER", "OLD_BARRIER", "NO_SCAN", \
		"NO_SCAN_INPLACE", "NO_SAVED", "SAVED_FIRST", "NO_RESTORE",                        \
		"DEPTH_BEFORE_RESTORE", "GATHER_BEFORE_BARRIER", "HASH_AGAIN",                     \
		"MARKS_CLEARED_LATE", "DISCARD_NO_SCAN", "DISCARD_CLEARS_MARKS",                   \
		"SHIELD_IN_SIGHT", "COPY_IN_USE", "LAND_BLIND", "SETTLE_FIRST"

#ifdef KONA_MUTATE
extern enum kona_mutation kona_mutation_now; /* Immutable once there are two threads */
#define KONA_MUTATED(mistake) KONA_UNLIKELY(kona_mutation_now == KONA_MUTATION_##mistake)
/* Called behind each membarrier(2): empties the store buffers that the test adds to the CPUs'. */
void kona_mutant_barrier(void);
#else
#define KONA_MUTATED(mistake) false
static inline void kona_mutant_barrier(void)
{
}
#endif

#endif
