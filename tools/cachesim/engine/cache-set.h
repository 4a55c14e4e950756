/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One set of L1, L2 or L3: entries in most-recent-first order. In the instruction set that the file
 * is compiled for; each version gives the same answers. Stateless.
 */
#ifndef KONA_CACHESIM_CACHE_SET_H
#define KONA_CACHESIM_CACHE_SET_H

#include "internal.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

static inline uint64_t *set_of(const struct sim_cache *cache, uint64_t line)
{
	uint64_t set = cache->mask || cache->sets == 1 ? line & cache->mask : line % cache->sets;

	return cache->entries + set * cache->ways;
}

#if defined(__AVX512F__)
/* touch() for sets of 8 or 16 entries, which are one or two registers, when it is not the first. */
static inline int touch_vector(const struct sim_cache *cache, uint64_t *set, uint64_t line,
			       uint64_t dirty, uint64_t *ret_victim)
{
	const __m512i one = _mm512_set1_epi64(1),
		      wanted = _mm512_set1_epi64((int64_t)(line << 1 | 1));
	__m512i first = _mm512_load_si512(set), second, last, entry;
	uint32_t hits = _mm512_cmpeq_epi64_mask(_mm512_or_si512(first, one), wanted);

	if (hits) {
		uint32_t way = (uint32_t)__builtin_ctz(hits);

		entry = _mm512_set1_epi64((int64_t)(set[way] | dirty));
		_mm512_mask_store_epi64(set, (__mmask8)((2u << way) - 1),
					_mm512_alignr_epi64(first, entry, 7));
		return 0;
	}
	entry = _mm512_set1_epi64((int64_t)(line << 1 | dirty));
	if (cache->ways == 8) {
		*ret_victim = set[7];
		_mm512_store_si512(set, _mm512_alignr_epi64(first, entry, 7));
		return 1;
	}
	second = _mm512_load_si512(set + 8);
	last = _mm512_alignr_epi64(second, first, 7);
	hits = _mm512_cmpeq_epi64_mask(_mm512_or_si512(second, one), wanted);
	if (hits) {
		uint32_t way = (uint32_t)__builtin_ctz(hits);

		entry = _mm512_set1_epi64((int64_t)(set[8 + way] | dirty));
		_mm512_store_si512(set, _mm512_alignr_epi64(first, entry, 7));
		_mm512_mask_store_epi64(set + 8, (__mmask8)((2u << way) - 1), last);
		return 0;
	}
	*ret_victim = set[15];
	_mm512_store_si512(set, _mm512_alignr_epi64(first, entry, 7));
	_mm512_store_si512(set + 8, last);
	return 1;
}
#endif

/*
 * Looks line up, makes it most recent and loads it if absent; `dirty` is 0 or 1. Returns 1 on a
 * miss, with the victim's entry in *ret_victim (0: the place was empty).
 */
static inline int touch(struct sim_cache *cache, uint64_t line, uint64_t dirty,
			uint64_t *ret_victim)
{
	uint64_t *set;
	uint64_t entry;
	uint64_t carried;

	*ret_victim = 0;
	if (!cache->entries)
		return 1;
	set = set_of(cache, line);
	carried = set[0];
	if (carried >> 1 == line) {
		set[0] |= dirty;
		return 0;
	}
#if defined(__AVX512F__)
	if (SIM_LIKELY(cache->ways == 8 || cache->ways == 16))
		return touch_vector(cache, set, line, dirty, ret_victim);
#endif
	for (uint32_t way = 1; way < cache->ways; way++) {
		entry = set[way];
		set[way] = carried;
		carried = entry;
		if (entry >> 1 == line) {
			set[0] = entry | dirty;
			return 0;
		}
	}
	set[0] = line << 1 | dirty;
	*ret_victim = carried;
	return 1;
}

static inline int mark_dirty(struct sim_cache *cache, uint64_t line)
{
	uint64_t *set;

	if (!cache->entries)
		return 0;
	set = set_of(cache, line);
#if defined(__AVX512F__)
	if (SIM_LIKELY(cache->ways == 16)) {
		const __m512i one = _mm512_set1_epi64(1);
		const __m512i wanted = _mm512_set1_epi64((int64_t)(line << 1 | 1));
		uint32_t hits = _mm512_cmpeq_epi64_mask(
					_mm512_or_si512(_mm512_load_si512(set), one), wanted) |
				(uint32_t)_mm512_cmpeq_epi64_mask(
					_mm512_or_si512(_mm512_load_si512(set + 8), one), wanted)
					<< 8;

		if (!hits)
			return 0;
		set[__builtin_ctz(hits)] |= 1;
		return 1;
	}
#endif
	for (uint32_t way = 0; way < cache->ways; way++) {
		if (set[way] >> 1 == line) {
			set[way] |= 1;
			return 1;
		}
	}
	return 0;
}

#endif
