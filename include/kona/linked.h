/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulator in the program itself: what kona-cc --sim puts in front of each access that a guard
 * would stand before. Programs may call it by hand, and link libkona-sim (man kona-sim, LINKED).
 *
 * Most accesses touch the line that their thread touched last of all lines in its L1 set: they
 * change nothing in the simulation, and the test below takes them out. The rest is recorded. How
 * many accesses there are is counted by block of code, not by access: kona_linked_count().
 */
#ifndef KONA_LINKED_H
#define KONA_LINKED_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	KONA_LINKED_LINE_SHIFT = 6,
	KONA_LINKED_LINE_BYTES = 1 << KONA_LINKED_LINE_SHIFT,
	KONA_LINKED_SETS = 64,
};

/* Thread-local. All zeros until the thread's first access, which so is recorded. */
struct kona_linked {
	uint64_t mask; /* of a line number, to an index below */
	uint64_t reads, writes;
	uint64_t read[KONA_LINKED_SETS];  /* the address of the set's latest line; ~0: unknown */
	uint64_t write[KONA_LINKED_SETS]; /* the same, where that line is known dirty */
};

#define KONA_LINKED_PUBLIC __attribute__((visibility("default")))

extern KONA_LINKED_PUBLIC __thread struct kona_linked kona_linked_self
	__attribute__((tls_model("initial-exec")));

/* An access of up to a line's bytes, which may straddle two lines. Context: any thread. */
KONA_LINKED_PUBLIC void kona_linked_record(uint64_t address, uint64_t bytes, int writes);

/* An access of any length, line by line; it is also counted, once. */
KONA_LINKED_PUBLIC void kona_linked_range(const void *start, size_t bytes, int writes);

static inline void kona_linked_load(const void *at, uint64_t bytes)
{
	const struct kona_linked *self = &kona_linked_self;
	uint64_t address = (uint64_t)at;
	uint64_t base = self->read[address >> KONA_LINKED_LINE_SHIFT & self->mask];

	if (__builtin_expect(address - base > KONA_LINKED_LINE_BYTES - bytes, 0))
		kona_linked_record(address, bytes, 0);
}

static inline void kona_linked_store(const void *at, uint64_t bytes)
{
	const struct kona_linked *self = &kona_linked_self;
	uint64_t address = (uint64_t)at;
	uint64_t base = self->write[address >> KONA_LINKED_LINE_SHIFT & self->mask];

	if (__builtin_expect(address - base > KONA_LINKED_LINE_BYTES - bytes, 0))
		kona_linked_record(address, bytes, 1);
}

static inline void kona_linked_count(uint64_t reads, uint64_t writes)
{
	kona_linked_self.reads += reads;
	kona_linked_self.writes += writes;
}

#ifdef __cplusplus
}
#endif

#endif
