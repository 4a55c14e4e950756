/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Comparing lines with AVX2. The hash is the portable one: multiplication is scalar there too.
 */
#include <immintrin.h>

#include "base/units.h"
#include "lines.h"

static int usable(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}

static uint64_t copy_avx2(const void *page, void *kept, uint64_t *changed_bytes)
{
	uint64_t mask = 0;

	for (unsigned int i = 0; i < KONA_PAGE_LINES; i++) {
		const __m256i *a = (const __m256i *)page + 2 * (size_t)i;
		__m256i *b = (__m256i *)kept + 2 * (size_t)i;
		__m256i a0 = _mm256_load_si256(a), a1 = _mm256_load_si256(a + 1);
		__m256i d0 = _mm256_cmpeq_epi8(a0, _mm256_load_si256(b));
		__m256i d1 = _mm256_cmpeq_epi8(a1, _mm256_load_si256(b + 1));
		uint64_t equal = (uint32_t)_mm256_movemask_epi8(d0);

		equal |= (uint64_t)(uint32_t)_mm256_movemask_epi8(d1) << 32;
		if (KONA_LIKELY(!~equal))
			continue;
		*changed_bytes += (uint64_t)_mm_popcnt_u64(~equal);
		_mm256_store_si256(b, a0);
		_mm256_store_si256(b + 1, a1);
		mask |= UINT64_C(1) << i;
	}
	return mask;
}

static uint64_t hash(const void *page, void *kept, const void *key)
{
	return kona_lines_portable.hash(page, kept, key);
}

const struct kona_lines kona_lines_avx2 = {"avx2", usable, copy_avx2, hash};
