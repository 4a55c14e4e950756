/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Free frames by place: a bit per frame. A sequential reader of pages is as fast as its pages'
 * frames are neighbours (in random frames, three times slower), so whoever takes a frame can name
 * the one it would like; who begins anew gets one with room behind it. Where no word has room, each
 * thread takes its frames from a word of its own, as far as there are as many: what belongs to
 * neighbouring frames lies in one cache line.
 */
#ifndef KONA_RUNTIME_FREEMAP_H
#define KONA_RUNTIME_FREEMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/units.h"

#define KONA_FREEMAP_ANY UINT32_MAX

enum { KONA_FREEMAP_WORD = 64 }; /* bits */

struct kona_freemap {
	uint64_t *words; /* set: free. Atomic, edge FM-1. Owned */
	uint32_t bits;	 /* Immutable after init */
	/* What all threads write, apart from what they only read. */
	_Alignas(KONA_LINE_BYTES) uint32_t free; /* Atomic, no edge: a level; never below what there
						    is for long */
	uint32_t roomy;	     /* words all of which is free. Atomic, no edge: a level */
	uint32_t cursor;     /* word where one was free lately. Atomic, no edge: a hint */
	uint32_t run_cursor; /* where the search for room goes on. Atomic, no edge: a hint */
};

/* None is free. -ENOMEM. */
KONA_MUST_CHECK int kona_freemap_init(struct kona_freemap *map, uint32_t bits);
void kona_freemap_destroy(struct kona_freemap *map);

/*
 * Takes a free bit below `limit`: `wanted`, if it is free, else one where there is room, else one
 * of the word where this thread found one before, else any. False when none is found. Lock-free,
 * any thread.
 */
KONA_MUST_CHECK bool kona_freemap_take(struct kona_freemap *map, uint32_t limit, uint32_t wanted,
				       uint32_t *ret_bit);

/* Gives bits `mask` of the word that begins with `first`. */
void kona_freemap_give_word(struct kona_freemap *map, uint32_t first, uint64_t mask);

#endif
