/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What kona-opt --sim puts in front of accesses, as bitcode: include/kona/linked.h under names that
 * it finds. All are inlined but for the recording: that is called, and keeps the registers, for a
 * loop must not pay for what happens once a line.
 */
#define KONA_LINKED_REFILL() kona_cc_s_refill()
#define ASIDE		     __attribute__((noinline, preserve_most))

/* So only here, once a buffer, are registers saved that an ordinary function does not keep. */
ASIDE void kona_cc_s_refill(void);

#include "kona/linked.h"

#define GUARD __attribute__((always_inline)) extern inline

ASIDE void kona_cc_s_refill(void)
{
	kona_linked_refill();
}

ASIDE void kona_cc_s_record_load(unsigned long address, unsigned long bytes)
{
	kona_linked_record(address, bytes, 0);
}

ASIDE void kona_cc_s_record_store(unsigned long address, unsigned long bytes)
{
	kona_linked_record(address, bytes, 1);
}

GUARD void kona_cc_s_load(const char *p, unsigned long bytes)
{
	if (!kona_linked_is_known(p, bytes, 0))
		kona_cc_s_record_load((unsigned long)p, bytes);
}

GUARD void kona_cc_s_store(const char *p, unsigned long bytes)
{
	if (!kona_linked_is_known(p, bytes, 1))
		kona_cc_s_record_store((unsigned long)p, bytes);
}

/* Once for a block of code: how many of each it makes. */
GUARD void kona_cc_s_count(unsigned long reads, unsigned long writes)
{
	kona_linked_count(reads, writes);
}

GUARD void kona_cc_s_range(const char *p, unsigned long bytes, int writes)
{
	kona_linked_range(p, bytes, writes);
}
