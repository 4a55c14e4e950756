/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulator in the program itself: what kona-cc --sim puts in front of each access that a guard
 * would stand before. Programs may call it by hand, and link libkona-sim (man kona-sim, LINKED).
 *
 * Most accesses touch the line that their thread touched last of all lines in its L1 set: they
 * change nothing in the simulation, and the test below takes them out. The rest goes into a buffer,
 * which other threads simulate. How many accesses there are is counted by block of code, not by
 * access: kona_linked_count().
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
	uint64_t *last, *end; /* of the buffer: the latest record, and the one that fills it */
	uint8_t inside;	      /* A signal handler that interrupts the recording must not record. */
	uint8_t filters;      /* There is an L1: tell it only what may change it. */
	uint8_t all_stores;   /* But all stores, for their bytes. */
	uint64_t read[KONA_LINKED_SETS];  /* the address of the set's latest line; ~0: unknown */
	uint64_t write[KONA_LINKED_SETS]; /* the same, where that line is known dirty */
};

#define KONA_LINKED_PUBLIC __attribute__((visibility("default")))

extern KONA_LINKED_PUBLIC __thread struct kona_linked kona_linked_self
	__attribute__((tls_model("initial-exec")));

/*
 * Makes room in this thread's buffer, which may wait for it to be simulated. There is none where
 * nothing is simulated. Context: any thread, inside.
 */
KONA_LINKED_PUBLIC void kona_linked_refill(void);

/* Code that cares how it is called says so before it includes this. */
#ifndef KONA_LINKED_REFILL
#define KONA_LINKED_REFILL() kona_linked_refill()
#endif

/* What the next access to this line need not tell. */
static inline void kona_linked_note(struct kona_linked *self, uint64_t line, int writes)
{
	uint64_t index = line & self->mask, base = line << KONA_LINKED_LINE_SHIFT;

	self->read[index] = base;
	if (writes && !self->all_stores)
		self->write[index] = base;
	else if (self->write[index] != base)
		self->write[index] = UINT64_MAX;
}

/*
 * Records an access of up to a line's bytes, which may straddle two lines: its address, bytes and
 * kind (0: read, 1: write, 2: both), as crew.h says. A store to the line that was just read becomes
 * one record with the read. Context: any thread.
 */
static inline void kona_linked_record(uint64_t address, uint64_t bytes, int writes)
{
	struct kona_linked *self = &kona_linked_self;
	uint64_t line = address >> KONA_LINKED_LINE_SHIFT;
	uint64_t last = (address + bytes - 1) >> KONA_LINKED_LINE_SHIFT;
	uint64_t before, before_bytes;

	if (__builtin_expect(self->inside, 0))
		return;
	self->inside = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (__builtin_expect(self->last == self->end, 0)) {
		KONA_LINKED_REFILL();
		if (self->last == self->end)
			goto out;
	}
	if (self->filters) {
		kona_linked_note(self, line, writes);
		if (__builtin_expect(last != line, 0))
			kona_linked_note(self, last, writes);
	}
	before = *self->last;
	before_bytes = before >> 2 & 127;
	if (writes && self->filters && !self->all_stores && last == line && !(before & 3) &&
	    before >> (9 + KONA_LINKED_LINE_SHIFT) == line &&
	    (before >> 9) % KONA_LINKED_LINE_BYTES + before_bytes <= KONA_LINKED_LINE_BYTES)
		*self->last = before | 2;
	else
		*++self->last = address << 9 | bytes << 2 | (uint64_t)writes;
out:
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	self->inside = 0;
}

/* An access of any length, line by line; it is also counted, once. */
KONA_LINKED_PUBLIC void kona_linked_range(const void *start, size_t bytes, int writes);

/* Whether an access changes nothing, and need not be recorded. */
static inline int kona_linked_is_known(const void *at, uint64_t bytes, int writes)
{
	const struct kona_linked *self = &kona_linked_self;
	const uint64_t *lines = writes ? self->write : self->read;
	uint64_t base = lines[(uint64_t)at >> KONA_LINKED_LINE_SHIFT & self->mask];

	return __builtin_expect((uint64_t)at - base <= KONA_LINKED_LINE_BYTES - bytes, 1);
}

static inline void kona_linked_load(const void *at, uint64_t bytes)
{
	if (!kona_linked_is_known(at, bytes, 0))
		kona_linked_record((uint64_t)at, bytes, 0);
}

static inline void kona_linked_store(const void *at, uint64_t bytes)
{
	if (!kona_linked_is_known(at, bytes, 1))
		kona_linked_record((uint64_t)at, bytes, 1);
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
