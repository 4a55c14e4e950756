/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of scan-simd.h that is for AVX-512, whose masks leave no branch in it. Stateless.
 */
#ifndef KONA_CACHESIM_SCAN_AVX512_H
#define KONA_CACHESIM_SCAN_AVX512_H

#include <immintrin.h>

#include "internal.h"

#if defined(__AVX512F__)

/* What a change does, by the positions in which its block is. */
struct scan_move {
	uint32_t position, depth;
	uint32_t moving; /* positions that change, as bits */
};

/* Without a branch on where the block is, or on what is done to it (all: ones for a reference):
 * both are as good as random. */
SIM_INLINE struct scan_move scan_move(uint32_t hits, const uint8_t *dirty, uint32_t ways,
				      uint32_t all)
{
	uint32_t position = (uint32_t)__builtin_ctz(hits | 1u << KONA_SIM_WAYS);
	uint32_t deepest = dirty[position % ways];

	/* Those before it make room for it; if it is not there, all. Or it alone changes. */
	return (struct scan_move){position, deepest > position ? deepest : position,
				  hits ^ ((hits - 1) & all)};
}

SIM_INLINE __m128i scan_move_depths(__m128i depths, const struct scan_move *move, uint32_t all)
{
	__m128i level = _mm_set1_epi8((char)(move->depth & all));

	level = _mm_mask_blend_epi8((__mmask16)all, level, _mm_alignr_epi8(depths, level, 15));
	return _mm_mask_mov_epi8(depths, (__mmask16)move->moving, level);
}

SIM_INLINE struct scan_move scan_change_wide(uint32_t *tags, uint8_t *dirty, uint32_t tag,
					     uint32_t all)
{
	__m512i blocks = _mm512_load_si512(tags), block = _mm512_set1_epi32((int)tag);
	__m128i *depths = (__m128i *)dirty;
	struct scan_move move =
		scan_move(_mm512_cmpeq_epi32_mask(blocks, block), dirty, KONA_SIM_WAYS, all);

	block = _mm512_mask_alignr_epi32(block, (__mmask16)all, blocks, block, 15);
	_mm512_store_si512(tags, _mm512_mask_mov_epi32(blocks, (__mmask16)move.moving, block));
	_mm_store_si128(depths, scan_move_depths(_mm_load_si128(depths), &move, all));
	return move;
}

SIM_INLINE struct scan_move scan_change_few(uint32_t *tags, uint8_t *dirty, uint32_t tag,
					    uint32_t all)
{
	__m128i blocks = _mm_load_si128((const __m128i *)tags), block = _mm_set1_epi32((int)tag);
	struct scan_move move =
		scan_move(_mm_cmpeq_epi32_mask(blocks, block), dirty, SIM_FEW_WAYS, all);

	block = _mm_mask_alignr_epi32(block, (__mmask8)all, blocks, block, 3);
	_mm_store_si128((__m128i *)tags, _mm_mask_mov_epi32(blocks, (__mmask8)move.moving, block));
	_mm_storeu_si32(dirty, scan_move_depths(_mm_loadu_si32(dirty), &move, all));
	return move;
}

static inline int scan_has_few(const uint32_t *tags, uint32_t tag)
{
	return _mm_cmpeq_epi32_mask(_mm_load_si128((const __m128i *)tags),
				    _mm_set1_epi32((int)tag)) != 0;
}

#endif

#endif
