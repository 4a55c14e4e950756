/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For programs that are linked statically: there is no libkona in them, so all memory is ordinary,
 * and their guards say so.
 */
#include <stdlib.h>
#include <string.h>

#include "kona/guard.h"
#include "kona/sleepers.h"

__thread struct kona_guard kona_guard_self;

/* Nothing is far. */
void kona_guard_miss(const void *address)
{
	abort();
}

void kona_guard_read(void *to, const void *from, size_t size_bytes)
{
	memcpy(to, from, size_bytes);
}

void kona_guard_write(void *to, const void *from, size_t size_bytes)
{
	memcpy(to, from, size_bytes);
}

/* They sleep for ever. */
void kona_cc_sleepers_come(struct kona_roll *roll)
{
}

void kona_cc_sleepers_go(struct kona_roll *roll)
{
}
