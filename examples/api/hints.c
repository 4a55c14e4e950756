/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona_prefetch(), kona_discard_range(), kona_counts(), kona_set_local(): a program that knows what
 * it needs next and what no more, and looks at what that does.
 *
 *   build/kona run --local=8M -- build/examples/api-hints
 */
#include <inttypes.h>
#include <stdio.h>

#include <kona/guard.h>
#include <kona/kona.h>

enum { CHUNKS = 256, CHUNK_WORDS = 16384 };

static void tell(const char *when)
{
	struct kona_counts counts;

	if (kona_counts(&counts, sizeof(counts)))
		return; /* not under kona run */
	fprintf(stderr,
		"%s: %" PRIu64 " misses, %" PRIu64 " pages prefetched, %" PRIu64
		" local, of %" PRIu64 " KiB\n",
		when, counts.guard_misses, counts.prefetched_pages, counts.local_pages,
		counts.local_budget_bytes / 1024);
}

int main(void)
{
	uint64_t *words = kona_alloc(CHUNKS * CHUNK_WORDS * sizeof(*words)), sum = 0;

	if (!words) {
		perror("kona_alloc");
		return 1;
	}
	for (uint64_t i = 0; i < (uint64_t)CHUNKS * CHUNK_WORDS; i++)
		*(uint64_t *)kona_guard_store(&words[i], 0) = i;
	tell("written");
	(void)kona_set_local(UINT64_C(16) << 20); /* the phase to come needs more */
	for (uint64_t chunk = 0; chunk < CHUNKS; chunk++) {
		uint64_t *at = words + chunk * CHUNK_WORDS;

		if (chunk + 1 < CHUNKS)
			kona_prefetch(at + CHUNK_WORDS, CHUNK_WORDS * sizeof(*at));
		for (uint64_t i = 0; i < CHUNK_WORDS; i++)
			sum += *(const uint64_t *)kona_guard_load(&at[i], 1);
		kona_discard_range(at, CHUNK_WORDS * sizeof(*at));
	}
	tell("read");
	printf("sum %" PRIu64 "\n", sum);
	kona_free(words);
	return sum == UINT64_C(8796090925056) ? 0 : 1;
}
