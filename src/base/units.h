/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The units of the system, and sizes as people write them.
 */
#ifndef KONA_BASE_UNITS_H
#define KONA_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum {
	KONA_LINE_BYTES = 64,
	KONA_PAGE_BYTES = 4096,
	KONA_PAGE_SHIFT = 12,
	KONA_HUGE_BYTES = 2 << 20, /* a huge page of x86-64 */
	KONA_PAGE_LINES = KONA_PAGE_BYTES / KONA_LINE_BYTES,
};

#define KONA_KIB (UINT64_C(1) << 10)
#define KONA_MIB (UINT64_C(1) << 20)
#define KONA_GIB (UINT64_C(1) << 30)
#define KONA_TIB (UINT64_C(1) << 40)

/* Rounds to a multiple of step, a power of two. */
static inline uint64_t kona_round_up(uint64_t value, uint64_t step)
{
	return (value + step - 1) & ~(step - 1);
}

static inline uint64_t kona_round_down(uint64_t value, uint64_t step)
{
	return value & ~(step - 1);
}

/*
 * Parses "4096", "64K", "128M", "1.5G", "2T" (binary multiples; an optional "B" or "iB" follows).
 * Returns 0 and *ret_bytes; -EINVAL for anything else; -ERANGE beyond 2^63.
 */
KONA_MUST_CHECK int kona_size_parse(const char *text, uint64_t *ret_bytes);

/* Writes bytes as "1.5 GiB" into text; returns text. 16 bytes are always enough. */
char *kona_size_format(uint64_t bytes, char *text, size_t text_bytes);

/*
 * Parses "250ms", "1s", "2.5s", "1m", "10us", "100ns"; a bare number means seconds.
 * Returns 0 and *ret_ns; -EINVAL for anything else; -ERANGE beyond 2^63.
 */
KONA_MUST_CHECK int kona_duration_parse(const char *text, uint64_t *ret_ns);

/* Monotonic clock, nanoseconds. */
uint64_t kona_now_ns(void);

#endif
