/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the scan does to one stack of 16 ways, in the instruction set that the file is compiled for:
 * a block moves to the front. Stateless; each of the three versions gives the same answers.
 */
#ifndef KONA_CACHESIM_SCAN_SIMD_H
#define KONA_CACHESIM_SCAN_SIMD_H

#include "internal.h"

#if defined(__AVX512F__)
#include "scan-avx512.h"
#elif defined(__AVX2__)
#include <immintrin.h>
#endif

/* What stands in the way: n of them moved from positions 0 to n - 1 to 1 to n, `first` before. */
#if defined(__AVX512F__) || defined(__AVX2__)
static inline __m128i scan_bytes_to_front(__m128i bytes, uint32_t n, uint32_t first)
{
	const __m128i iota = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

	return _mm_blendv_epi8(bytes, _mm_alignr_epi8(bytes, _mm_set1_epi8((char)first), 15),
			       _mm_cmpgt_epi8(_mm_set1_epi8((char)(n + 1)), iota));
}
#endif

#if !defined(__AVX512F__)
/* Position of the tag; KONA_SIM_WAYS if none. */
SIM_INLINE uint32_t scan_find(const uint32_t *tags, uint32_t ways, uint32_t tag)
{
#if defined(__AVX2__)
	__m256i wanted = _mm256_set1_epi32((int)tag), low, high;
	uint32_t hits;

	if (ways == SIM_FEW_WAYS) {
		hits = (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(
			_mm_load_si128((const __m128i *)tags), _mm256_castsi256_si128(wanted))));
	} else {
		low = _mm256_cmpeq_epi32(_mm256_load_si256((const __m256i *)tags), wanted);
		high = _mm256_cmpeq_epi32(_mm256_load_si256((const __m256i *)(tags + 8)), wanted);
		hits = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(low)) |
		       (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(high)) << 8;
	}
	return (uint32_t)__builtin_ctz(hits | 1u << KONA_SIM_WAYS);
#else
	for (uint32_t i = 0; i < ways; i++)
		if (tags[i] == tag)
			return i;
	return KONA_SIM_WAYS;
#endif
}

#if defined(__AVX2__)
static inline void scan_tags_to_front(uint32_t *tags, uint32_t position, uint32_t tag)
{
	const __m256i rotate = _mm256_setr_epi32(7, 0, 1, 2, 3, 4, 5, 6);
	const __m256i iota = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	const __m256i end = _mm256_set1_epi32((int)position + 1);
	__m256i *place = (__m256i *)tags;
	__m256i near = _mm256_load_si256(place), far = _mm256_load_si256(place + 1);
	__m256i near_moved = _mm256_permutevar8x32_epi32(near, rotate);
	__m256i far_moved = _mm256_permutevar8x32_epi32(far, rotate);

	far_moved = _mm256_blend_epi32(far_moved, near_moved, 1);
	near_moved = _mm256_blend_epi32(near_moved, _mm256_set1_epi32((int)tag), 1);
	_mm256_store_si256(place,
			   _mm256_blendv_epi8(near, near_moved, _mm256_cmpgt_epi32(end, iota)));
	_mm256_store_si256(
		place + 1,
		_mm256_blendv_epi8(
			far, far_moved,
			_mm256_cmpgt_epi32(_mm256_sub_epi32(end, _mm256_set1_epi32(8)), iota)));
}
#endif

/* Moves the block in `position`, or a new one if that is KONA_SIM_WAYS, to the front. */
SIM_INLINE void scan_to_front(const struct sim_set *set, uint32_t position, uint32_t tag,
			      uint32_t level)
{
	uint32_t *tags = sim_set_tags(set);
	uint8_t *dirty = sim_set_dirty(set);

#if defined(__AVX2__)
	if (set->ways == KONA_SIM_WAYS) {
		__m128i *place = (__m128i *)dirty;

		scan_tags_to_front(tags, position, tag);
		_mm_store_si128(place, scan_bytes_to_front(_mm_load_si128(place), position, level));
		return;
	}
#endif
	for (uint32_t i = position < set->ways ? position : set->ways - 1; i; i--) {
		tags[i] = tags[i - 1];
		dirty[i] = dirty[i - 1];
	}
	tags[0] = tag;
	dirty[0] = (uint8_t)level;
}

static inline int scan_has_few(const uint32_t *tags, uint32_t tag)
{
	return scan_find(tags, SIM_FEW_WAYS, tag) < KONA_SIM_WAYS;
}
#endif

/*
 * The block `tag` is referenced, and becomes the most recent one, or (refers: 0) a line of it comes
 * down dirty. Returns the position it was in; KONA_SIM_WAYS: it was not there, and if it comes in,
 * the last one had to go. *ret_depth: how deep the reference, or the write-back of the block,
 * reaches.
 */
SIM_INLINE uint32_t scan_change(const struct sim_set *set, uint32_t tag, uint32_t refers,
				uint32_t *ret_depth)
{
	uint32_t *tags = sim_set_tags(set);
	uint8_t *dirty = sim_set_dirty(set);
#if defined(__AVX512F__)
	struct scan_move move = set->ways == SIM_FEW_WAYS
					? scan_change_few(tags, dirty, tag, -refers)
					: scan_change_wide(tags, dirty, tag, -refers);

	*ret_depth = refers ? move.position : move.depth;
	return move.position;
#else
	uint32_t position = scan_find(tags, set->ways, tag);
	uint32_t deepest = dirty[position % set->ways];
	uint32_t depth = deepest > position ? deepest : position;

	if (refers && position)
		scan_to_front(set, position, tag, depth);
	else if (!refers && position < KONA_SIM_WAYS)
		dirty[position] = 0;
	*ret_depth = refers ? position : depth;
	return position;
#endif
}

/* Moves the slot in `position` to the front: those before it go one back. */
SIM_INLINE void scan_slot_to_front(const struct sim_set *set, uint32_t position, uint32_t slot)
{
	uint8_t *slots = sim_set_slots(set);

#if defined(__AVX512F__) || defined(__AVX2__)
	if (set->ways == KONA_SIM_WAYS) {
		const __m128i iota =
			_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
		__m128i *place = (__m128i *)slots;
		__m128i all = _mm_xor_si128(_mm_load_si128(place), iota);

		_mm_store_si128(place,
				_mm_xor_si128(scan_bytes_to_front(all, position, slot), iota));
		return;
	}
#endif
	for (uint32_t i = position; i; i--)
		slots[i] = (uint8_t)(slots[i - 1] ^ (i - 1) ^ i);
	slots[0] = (uint8_t)slot;
}

#endif
