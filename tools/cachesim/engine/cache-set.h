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

/* What happens to a line at a level: it is asked for, or a dirty copy of it comes down. */
enum set_change { SET_REFERENCE, SET_WRITEBACK };

#if defined(__AVX512F__)
/*
 * change_set() for sets of 8 or 16 entries, which are one or two registers. Without branches: what
 * an access hits is as good as random.
 */
SIM_INLINE uint32_t change_vector(uint64_t *set, uint32_t ways, uint64_t line, uint64_t dirty,
				  enum set_change change, uint64_t *ret_victim)
{
	const __m512i one = _mm512_set1_epi64(1),
		      wanted = _mm512_set1_epi64((int64_t)(line << 1 | 1));
	/* All ones for a reference. */
	const uint32_t refers = (uint32_t)(change == SET_REFERENCE) * UINT32_MAX;
	__m512i first = _mm512_load_si512(set), second = first, entry;
	uint32_t hits = _mm512_cmpeq_epi64_mask(_mm512_or_si512(first, one), wanted);
	uint32_t dirty_ones = _mm512_test_epi64_mask(first, one), moving, missed;

	if (ways == 16) {
		second = _mm512_load_si512(set + 8);
		hits |= (uint32_t)_mm512_cmpeq_epi64_mask(_mm512_or_si512(second, one), wanted)
			<< 8;
		dirty_ones |= (uint32_t)_mm512_test_epi64_mask(second, one) << 8;
	}
	missed = !hits;
	*ret_victim = set[ways - 1] & -(uint64_t)(missed & refers);
	entry = _mm512_set1_epi64((int64_t)(line << 1 | dirty | !!(hits & dirty_ones)));
	/* Those before the one that hits make room for it; if none does, all. Else it alone
	 * changes. */
	moving = hits ^ ((hits - 1) & refers);
	_mm512_store_si512(set,
			   _mm512_mask_mov_epi64(first, (__mmask8)moving,
						 _mm512_mask_alignr_epi64(entry, (__mmask8)refers,
									  first, entry, 7)));
	if (ways == 16)
		_mm512_store_si512(set + 8, _mm512_mask_mov_epi64(second, (__mmask8)(moving >> 8),
								  _mm512_mask_alignr_epi64(
									  entry, (__mmask8)refers,
									  second, first, 7)));
	return missed;
}
#endif

/* Looks line up, makes it most recent, and loads it if absent. */
static inline uint32_t refer(uint64_t *set, uint32_t ways, uint64_t line, uint64_t dirty,
			     uint64_t *ret_victim)
{
	uint64_t carried = set[0], entry;

	*ret_victim = 0;
	if (carried >> 1 == line) {
		set[0] |= dirty;
		return 0;
	}
	for (uint32_t way = 1; way < ways; way++) {
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

static inline uint32_t mark_dirty(uint64_t *set, uint32_t ways, uint64_t line)
{
	for (uint32_t way = 0; way < ways; way++) {
		if (set[way] >> 1 == line) {
			set[way] |= 1;
			return 0;
		}
	}
	return 1;
}

/*
 * A reference (which leaves the line dirty if `dirty` is 1) or a write-back (`dirty` is 1), which
 * marks the line where it is and does not make it recent. Returns 1 when the line was not there,
 * with the entry that had to go in *ret_victim (0: none).
 */
SIM_INLINE uint32_t change_set(struct sim_cache *cache, uint64_t line, uint64_t dirty,
			       enum set_change change, uint64_t *ret_victim)
{
	uint64_t *set;

	*ret_victim = 0;
	if (!cache->entries)
		return 1;
	set = set_of(cache, line);
#if defined(__AVX512F__)
	if (SIM_LIKELY(cache->ways == 8))
		return change_vector(set, 8, line, dirty, change, ret_victim);
	if (SIM_LIKELY(cache->ways == 16))
		return change_vector(set, 16, line, dirty, change, ret_victim);
#endif
	if (change == SET_WRITEBACK)
		return mark_dirty(set, cache->ways, line);
	return refer(set, cache->ways, line, dirty, ret_victim);
}

#endif
