/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the scan asks of one stack of 16 ways, in the instruction set that the file is compiled for:
 * where a tag is, which slot is last, a move to the front, a count of epochs. Stateless; each of
 * the three versions gives the same answers.
 */
#ifndef KONA_CACHESIM_SCAN_SIMD_H
#define KONA_CACHESIM_SCAN_SIMD_H

#include "internal.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

/* Slot that holds tag; KONA_SIM_WAYS if none. */
static inline uint32_t scan_find(const uint32_t *tags, uint32_t tag)
{
#if defined(__AVX512F__)
	uint32_t hits =
		_mm512_cmpeq_epi32_mask(_mm512_loadu_si512(tags), _mm512_set1_epi32((int)tag));

	return (uint32_t)__builtin_ctz(hits | 1u << KONA_SIM_WAYS);
#elif defined(__AVX2__)
	__m256i wanted = _mm256_set1_epi32((int)tag);
	__m256i low = _mm256_cmpeq_epi32(_mm256_loadu_si256((const __m256i *)tags), wanted);
	__m256i high = _mm256_cmpeq_epi32(_mm256_loadu_si256((const __m256i *)(tags + 8)), wanted);
	uint32_t hits = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(low)) |
			(uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(high)) << 8;

	return (uint32_t)__builtin_ctz(hits | 1u << KONA_SIM_WAYS);
#else
	for (uint32_t slot = 0; slot < KONA_SIM_WAYS; slot++)
		if (tags[slot] == tag)
			return slot;
	return KONA_SIM_WAYS;
#endif
}

/* Slot in the last position. */
static inline uint32_t scan_last(const uint8_t *order)
{
#if defined(__AVX512F__) || defined(__AVX2__)
	const __m128i last = _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
	__m128i ranks = _mm_loadu_si128((const __m128i *)order);

	return (uint32_t)__builtin_ctz((uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(ranks, last)) |
				       1u << KONA_SIM_WAYS);
#else
	for (uint32_t slot = 0; slot < KONA_SIM_WAYS; slot++)
		if ((order[slot] ^ slot) == KONA_SIM_WAYS - 1)
			return slot;
	return 0;
#endif
}

/* Moves the slot in `position` to the front: those before it go one back. */
static inline void scan_promote(uint8_t *order, uint32_t slot, uint32_t position)
{
#if defined(__AVX512F__) || defined(__AVX2__)
	const __m128i iota = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	__m128i *place = (__m128i *)order;
	__m128i ranks = _mm_xor_si128(_mm_loadu_si128(place), iota);

	ranks = _mm_sub_epi8(ranks, _mm_cmplt_epi8(ranks, _mm_set1_epi8((char)position)));
	_mm_storeu_si128(place, _mm_xor_si128(ranks, iota));
#else
	for (uint32_t i = 0; i < KONA_SIM_WAYS; i++) {
		uint32_t rank = order[i] ^ i;

		order[i] = (uint8_t)((rank + (rank < position)) ^ i);
	}
#endif
	order[slot] = (uint8_t)slot;
}

/* Makes each of the levels, 2 to 32 of them, at least `least`. */
static inline void scan_raise(uint8_t *levels, uint32_t count, uint32_t least)
{
#if defined(__AVX512F__) || defined(__AVX2__)
	const __m128i all = _mm_set1_epi8((char)least);
	__m128i *place = (__m128i *)levels;

	if (count == 4) {
		_mm_storeu_si32(place, _mm_max_epu8(_mm_loadu_si32(place), all));
		return;
	}
	if (count == 8) {
		_mm_storel_epi64(place, _mm_max_epu8(_mm_loadl_epi64(place), all));
		return;
	}
	for (; count >= 16; count -= 16, place++)
		_mm_storeu_si128(place, _mm_max_epu8(_mm_loadu_si128(place), all));
	levels = (uint8_t *)place;
#endif
	for (uint32_t i = 0; i < count; i++)
		levels[i] = levels[i] < least ? (uint8_t)least : levels[i];
}

/* How many of the 16 epochs are not before `previous`. They never grow with the index. */
static inline uint32_t scan_epochs_since(const uint32_t *epochs, uint32_t previous)
{
#if defined(__AVX512F__)
	return (uint32_t)__builtin_popcount(_mm512_cmpge_epu32_mask(
		_mm512_loadu_si512(epochs), _mm512_set1_epi32((int)previous)));
#else
	uint32_t count = 0;

	for (uint32_t i = 0; i < KONA_SIM_WAYS; i++)
		count += epochs[i] >= previous;
	return count;
#endif
}

#endif
