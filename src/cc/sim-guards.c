/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What kona-opt --sim puts in front of accesses, as bitcode: include/kona/linked.h under names that
 * it finds. All are inlined but for the recording: that is called, and keeps the registers, for a
 * loop must not pay for what happens once a line.
 *
 * `counts` are the caller's variables, which become registers: reads and writes that the thread's
 * counters do not have yet.
 */
#define KONA_LINKED_RECORD_ANY(address, bytes, kind) kona_cc_s_record_any(address, bytes, kind)
#define ASIDE					     __attribute__((noinline, preserve_most))

/* So only here, where it is rare, are all registers saved. */
ASIDE void kona_cc_s_record_any(unsigned long address, unsigned long bytes, unsigned kind);

#include "kona/linked.h"

#define GUARD __attribute__((always_inline)) extern inline

ASIDE void kona_cc_s_record_any(unsigned long address, unsigned long bytes, unsigned kind)
{
	kona_linked_record_any(address, bytes, kind);
}

ASIDE void kona_cc_s_record_load(unsigned long address, unsigned long bytes, unsigned long reads,
				 unsigned long writes)
{
	kona_linked_count(reads, writes);
	kona_linked_record(address, bytes, KONA_LINKED_READ);
}

ASIDE void kona_cc_s_record_store(unsigned long address, unsigned long bytes, unsigned long reads,
				  unsigned long writes)
{
	kona_linked_count(reads, writes);
	kona_linked_record(address, bytes, KONA_LINKED_WRITE);
}

ASIDE void kona_cc_s_record_modify(unsigned long address, unsigned long bytes, unsigned long reads,
				   unsigned long writes)
{
	kona_linked_count(reads, writes);
	kona_linked_record(address, bytes, KONA_LINKED_MODIFY);
}

GUARD void kona_cc_s_load(const char *p, unsigned long bytes, unsigned long *counts)
{
	if (kona_linked_is_known(p, bytes, 0))
		return;
	kona_cc_s_record_load((unsigned long)p, bytes, counts[0], counts[1]);
	counts[0] = counts[1] = 0;
}

GUARD void kona_cc_s_store(const char *p, unsigned long bytes, unsigned long *counts)
{
	if (kona_linked_is_known(p, bytes, 1))
		return;
	kona_cc_s_record_store((unsigned long)p, bytes, counts[0], counts[1]);
	counts[0] = counts[1] = 0;
}

/* A load, and a store to the same place with nothing told in between. */
GUARD void kona_cc_s_modify(const char *p, unsigned long bytes, unsigned long *counts)
{
	if (kona_linked_is_known(p, bytes, 1))
		return;
	kona_cc_s_record_modify((unsigned long)p, bytes, counts[0], counts[1]);
	counts[0] = counts[1] = 0;
}

/* Before the function is left, for good or not. */
GUARD void kona_cc_s_count(unsigned long *counts)
{
	kona_linked_count(counts[0], counts[1]);
	counts[0] = counts[1] = 0;
}

/* An element of a vector that is loaded or stored in part. */
GUARD void kona_cc_s_lane(const char *p, unsigned long bytes, int is_active, int writes)
{
	if (is_active)
		kona_linked_range(p, bytes, writes);
}

GUARD void kona_cc_s_range(const char *p, unsigned long bytes, int writes)
{
	kona_linked_range(p, bytes, writes);
}
