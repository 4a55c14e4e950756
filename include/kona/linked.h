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

/* How an access is recorded: the numbers of enum kona_sim_kind. */
enum { KONA_LINKED_READ, KONA_LINKED_WRITE, KONA_LINKED_MODIFY };

/* Of struct kona_linked's state. */
enum {
	KONA_LINKED_PLAIN = 1, /* there is an L1 that need be told only what may change it */
	KONA_LINKED_INSIDE = 2 /* a signal handler that interrupts the recording must not record */
};

/* Thread-local. All zeros until the thread's first access, which so is recorded. */
struct kona_linked {
	uint64_t mask; /* of a line number, to an index below */
	uint64_t reads, writes;
	uint64_t *last, *end; /* of the buffer: the latest record, and the one that fills it */
	uint64_t state;
	uint64_t read[KONA_LINKED_SETS];  /* the address of the set's latest line; ~0: unknown */
	uint64_t write[KONA_LINKED_SETS]; /* the same, where that line is known dirty */
};

#define KONA_LINKED_PUBLIC __attribute__((visibility("default")))

extern KONA_LINKED_PUBLIC __thread struct kona_linked kona_linked_self
	__attribute__((tls_model("initial-exec")));

/*
 * Records an access of up to a line's bytes, whatever it is; may make room in the buffer, and wait
 * for it to be simulated. Context: any thread.
 */
KONA_LINKED_PUBLIC void kona_linked_record_any(uint64_t address, uint64_t bytes, unsigned kind);

/* Code that cares how it is called says so before it includes this. */
#ifndef KONA_LINKED_RECORD_ANY
#define KONA_LINKED_RECORD_ANY(address, bytes, kind) kona_linked_record_any(address, bytes, kind)
#endif

/* In one word, as engine/packed.h of the simulator reads it. */
static inline uint64_t kona_linked_pack(uint64_t address, uint64_t bytes, unsigned kind)
{
	return address << 9 | bytes << 2 | kind;
}

/*
 * The same, at once where it is simple. A store to the line that was just read becomes one record
 * with the read.
 */
static inline void kona_linked_record(uint64_t address, uint64_t bytes, unsigned kind)
{
	struct kona_linked *self = &kona_linked_self;
	uint64_t offset = address % KONA_LINKED_LINE_BYTES, base = address - offset;
	uint64_t index = address >> KONA_LINKED_LINE_SHIFT & self->mask;
	uint64_t *last = self->last, before;

	if (__builtin_expect(self->state != KONA_LINKED_PLAIN || last == self->end ||
				     offset + bytes > KONA_LINKED_LINE_BYTES,
			     0)) {
		KONA_LINKED_RECORD_ANY(address, bytes, kind);
		return;
	}
	self->state = KONA_LINKED_PLAIN | KONA_LINKED_INSIDE;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	before = *last;
	self->read[index] = base;
	if (kind == KONA_LINKED_READ)
		self->write[index] = self->write[index] == base ? base : UINT64_MAX;
	else
		self->write[index] = base;
	/* Same line, a read, and not one that goes on in the next line. */
	if (kind != KONA_LINKED_READ && (before >> 9) - base < KONA_LINKED_LINE_BYTES &&
	    !(before & 3) && (before >> 9) - base + (before >> 2 & 127) <= KONA_LINKED_LINE_BYTES) {
		*last = before | KONA_LINKED_MODIFY;
	} else {
		last[1] = kona_linked_pack(address, bytes, kind);
		self->last = last + 1;
	}
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	self->state = KONA_LINKED_PLAIN;
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
		kona_linked_record((uint64_t)at, bytes, KONA_LINKED_READ);
}

static inline void kona_linked_store(const void *at, uint64_t bytes)
{
	if (!kona_linked_is_known(at, bytes, 1))
		kona_linked_record((uint64_t)at, bytes, KONA_LINKED_WRITE);
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
