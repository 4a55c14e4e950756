/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks of the 64 lines of a page.
 */
#ifndef KONA_BASE_LINES_H
#define KONA_BASE_LINES_H

#include <stdint.h>

#include "base/units.h"

/* Takes the lowest run of set bits out of *mask, not 0; returns its first bit and *ret_lines. */
static inline unsigned kona_lines_take_run(uint64_t *mask, unsigned *ret_lines)
{
	unsigned first = (unsigned)__builtin_ctzll(*mask);
	uint64_t rest = ~(*mask >> first);
	unsigned lines = rest ? (unsigned)__builtin_ctzll(rest) : KONA_PAGE_LINES;

	if (lines + first >= KONA_PAGE_LINES)
		*mask = 0;
	else
		*mask &= ~UINT64_C(0) << (first + lines);
	*ret_lines = lines;
	return first;
}

#endif
