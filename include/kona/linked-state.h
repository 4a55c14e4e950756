/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the simulator in a program (linked.h) keeps for each thread.
 */
#ifndef KONA_LINKED_STATE_H
#define KONA_LINKED_STATE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	KONA_LINKED_LINE_SHIFT = 6,
	KONA_LINKED_LINE_BYTES = 1 << KONA_LINKED_LINE_SHIFT,
	KONA_LINKED_SETS = 64,
};

/* How an access is recorded: the numbers of enum kona_sim_kind. */
enum { KONA_LINKED_READ, KONA_LINKED_WRITE, KONA_LINKED_MODIFY };

/* Of struct kona_linked's state. */
enum {
	KONA_LINKED_PLAIN = 1,	/* there is an L1 that need be told only what may change it */
	KONA_LINKED_INSIDE = 2, /* a signal handler that interrupts the recording must not record */
	KONA_LINKED_ALONE = 4	/* instead of PLAIN: the L1 is the thread's own, below */
};

/* Of an entry of the thread's own L1, beside its line's address; 0: empty. */
enum {
	KONA_LINKED_DIRTY = 1,
	KONA_LINKED_READ_NOTED = 2, /* in this window of the patterns; without them always set */
	KONA_LINKED_WRITE_NOTED = 4
};

/* Events below L1, beside the numbers of KONA_LINKED_READ and KONA_LINKED_WRITE. */
enum { KONA_LINKED_WRITEBACK = 3, KONA_LINKED_PAIR = 4 };

/* Thread-local. All zeros until the thread's first access, which so is recorded. */
struct kona_linked {
	uint64_t mask; /* of a line number, to an index below */
	uint64_t reads, writes;
	uint64_t *last, *end; /* of the buffer: the latest record, and the one that fills it */
	uint64_t state;
	uint64_t read[KONA_LINKED_SETS];  /* the address of the set's latest line; ~0: unknown */
	uint64_t write[KONA_LINKED_SETS]; /* the same, where that line is known dirty */
	/* The rest is for ALONE. */
	uint64_t *l1;			     /* sets, each in most-recent-first order */
	uint64_t l1_mask, l1_ways, l1_fresh; /* l1_fresh: flags of a line that comes in */
	uint64_t l1_misses[2];		     /* by KONA_LINKED_READ and KONA_LINKED_WRITE */
	uint64_t *note, *note_end;	     /* lines for the patterns: address | flags */
	uint64_t window_end;		     /* of the patterns, in references */
};

/* What kona-cc --sim adds must be one function, for it would instrument another one. */
#define KONA_LINKED_INLINE static inline __attribute__((always_inline))
#define KONA_LINKED_PUBLIC __attribute__((visibility("default")))

extern KONA_LINKED_PUBLIC __thread struct kona_linked kona_linked_self
	__attribute__((tls_model("initial-exec")));

#ifdef __cplusplus
}
#endif

#endif
