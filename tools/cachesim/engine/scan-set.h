/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is kept of the lines of a block of several, in a set of a stack table: how deep a write-back
 * of one reaches, as levels or as epochs. What happens to the block itself is in scan-simd.h. Each
 * instruction set gives the same answers; nothing can fail.
 */
#ifndef KONA_CACHESIM_SCAN_SET_H
#define KONA_CACHESIM_SCAN_SET_H

#include "internal.h"
#include "scan-simd.h"

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

/* The first epochs, as many as `count`, are now. */
static inline void scan_begin_epochs(uint32_t *epochs, uint32_t count, uint32_t now)
{
#if defined(__AVX512F__)
	_mm512_store_si512(epochs, _mm512_mask_mov_epi32(_mm512_load_si512(epochs),
							 (__mmask16)((1u << count) - 1),
							 _mm512_set1_epi32((int)now)));
#else
	for (uint32_t i = 0; i < count; i++)
		epochs[i] = now;
#endif
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

static inline uint32_t scan_max(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static inline uint32_t scan_slot(const uint8_t *slots, uint32_t position)
{
	return slots[position] ^ position;
}

/* The block was referenced at `position` (KONA_SIM_WAYS: it came in): its lines' write-backs so far
 * lie that deep at least. */
SIM_INLINE void scan_age_lines(const struct sim_stack *stack, const struct sim_set *set,
			       uint32_t position, uint32_t now)
{
	uint32_t from = position < set->ways ? position : set->ways - 1;
	uint32_t slot = scan_slot(sim_set_slots(set), from);
	void *side = sim_set_sides(set, stack->side_bytes) + slot * stack->side_bytes;

	scan_slot_to_front(set, from, slot);
	if (stack->has_epochs)
		scan_begin_epochs(side, position, now);
	else
		scan_raise(side, stack->side_bytes, position);
}

/* Returns the deepest position of the line's block since the line was last written back, and makes
 * it 0; KONA_SIM_WAYS: the block is not there. */
SIM_INLINE uint32_t scan_line_written(const struct sim_stack *stack, const struct sim_set *set,
				      uint32_t position, const struct sim_change *change)
{
	uint32_t depth;
	void *side;

	if (position == KONA_SIM_WAYS)
		return KONA_SIM_WAYS;
	side = sim_set_sides(set, stack->side_bytes) +
	       scan_slot(sim_set_slots(set), position) * stack->side_bytes;
	if (stack->has_epochs) {
		depth = scan_epochs_since(side, change->previous);
	} else {
		uint8_t *level = (uint8_t *)side + change->line;

		depth = *level;
		*level = 0;
	}
	return scan_max(position, depth);
}

#endif
