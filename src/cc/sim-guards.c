/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What kona-opt --sim puts in front of accesses, as bitcode: include/kona/linked.h under names that
 * it finds. All are inlined.
 */
#include "kona/linked.h"

#define GUARD __attribute__((always_inline)) extern inline

GUARD void kona_cc_s_load(const char *p, unsigned long bytes)
{
	kona_linked_load(p, bytes);
}

GUARD void kona_cc_s_store(const char *p, unsigned long bytes)
{
	kona_linked_store(p, bytes);
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
