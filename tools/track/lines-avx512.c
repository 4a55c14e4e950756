/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Comparing and hashing lines with AVX-512 and VAES.
 *
 * The hash of a line: its four 128-bit quarters, each under its own key, go through four rounds of
 * AES (enough that no difference of one quarter is likelier than about 2^-113), are added, go
 * through two more rounds, and the halves of the result are added. Eight lines at a time, so that
 * one register holds their hashes.
 */
#include <cpuid.h>
#include <immintrin.h>
#include <stdbool.h>

#include "base/units.h"
#include "lines.h"

/* Where the lines 0..7 lie after the two folds below: even positions 0..3, odd positions 4..7. */
#define FOLD_ORDER 7, 5, 3, 1, 6, 4, 2, 0

/* Not by __builtin_cpu_supports(): clang 14 does not know this feature's name. CPUID leaf 7. */
static bool has_vaes(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_VAES);
}

static int usable(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("popcnt") && has_vaes();
}

static uint64_t copy_avx512(const void *page, void *kept, uint64_t *changed_bytes)
{
	uint64_t mask = 0;

	for (unsigned int i = 0; i < KONA_PAGE_LINES; i++) {
		__m512i now = _mm512_load_si512((const __m512i *)page + i);
		__mmask64 differ =
			_mm512_cmpneq_epi8_mask(now, _mm512_load_si512((const __m512i *)kept + i));

		if (KONA_LIKELY(!differ))
			continue;
		*changed_bytes += (uint64_t)_mm_popcnt_u64(differ);
		_mm512_store_si512((__m512i *)kept + i, now);
		mask |= UINT64_C(1) << i;
	}
	return mask;
}

/* Four lines to one register of four 128-bit sums. */
static inline __m512i fold(const __m512i *line, const __m512i *key)
{
	__m512i v[4], x, y;

#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		v[i] = _mm512_xor_si512(_mm512_load_si512(line + i), key[0]);
#pragma GCC unroll 4
	for (int round = 1; round <= 4; round++)
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++)
			v[i] = _mm512_aesenc_epi128(v[i], key[round]);
	x = _mm512_xor_si512(_mm512_shuffle_i64x2(v[0], v[1], 0x44),
			     _mm512_shuffle_i64x2(v[0], v[1], 0xee));
	y = _mm512_xor_si512(_mm512_shuffle_i64x2(v[2], v[3], 0x44),
			     _mm512_shuffle_i64x2(v[2], v[3], 0xee));
	x = _mm512_xor_si512(_mm512_shuffle_i64x2(x, y, 0x88), _mm512_shuffle_i64x2(x, y, 0xdd));
	x = _mm512_aesenc_epi128(_mm512_aesenc_epi128(x, key[5]), key[6]);
	return _mm512_xor_si512(x, _mm512_bsrli_epi128(x, 8));
}

static uint64_t hash_avx512(const void *page, void *kept, const void *key)
{
	const __m512i order = _mm512_set_epi64(FOLD_ORDER);
	__m512i keys[7];
	uint64_t mask = 0;

#pragma GCC unroll 7
	for (int i = 0; i < 7; i++)
		keys[i] = _mm512_loadu_si512((const __m512i *)key + i);
	for (unsigned int i = 0; i < KONA_PAGE_LINES / 8; i++) {
		const __m512i *line = (const __m512i *)page + 8 * (size_t)i;
		__m512i *slot = (__m512i *)kept + i;
		__m512i h = _mm512_permutexvar_epi64(
			order, _mm512_unpacklo_epi64(fold(line, keys), fold(line + 4, keys)));
		__mmask8 differ = _mm512_cmpneq_epi64_mask(h, _mm512_load_si512(slot));

		if (KONA_LIKELY(!differ))
			continue;
		_mm512_store_si512(slot, h);
		mask |= (uint64_t)differ << (8 * i);
	}
	return mask;
}

const struct kona_lines kona_lines_avx512 = {"avx512", usable, copy_avx512, hash_avx512};
