/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Choosing how lines are compared, and the plain C implementation.
 */
#include "lines.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/units.h"

static int always(void)
{
	return 1;
}

static uint64_t copy_portable(const void *page, void *kept, uint64_t *changed_bytes)
{
	const uint8_t *now = page;
	uint8_t *then = kept;
	uint64_t mask = 0;

	for (unsigned int i = 0; i < KONA_PAGE_LINES; i++) {
		const uint8_t *a = now + i * KONA_LINE_BYTES;
		uint8_t *b = then + i * KONA_LINE_BYTES;
		unsigned int bytes = 0;

		if (KONA_LIKELY(!memcmp(a, b, KONA_LINE_BYTES)))
			continue;
		for (unsigned int j = 0; j < KONA_LINE_BYTES; j++)
			bytes += a[j] != b[j];
		*changed_bytes += bytes;
		memcpy(b, a, KONA_LINE_BYTES);
		mask |= UINT64_C(1) << i;
	}
	return mask;
}

/* Both halves of the 128-bit product, folded. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_line(const uint64_t *w, const uint64_t *key)
{
	uint64_t h = mix(w[0] ^ key[0], w[1] ^ key[1]) ^ mix(w[2] ^ key[2], w[3] ^ key[3]);

	h ^= mix(w[4] ^ key[4], w[5] ^ key[5]) ^ mix(w[6] ^ key[6], w[7] ^ key[7]);
	return mix(h ^ key[8], key[9] | 1);
}

static uint64_t hash_portable(const void *page, void *kept, const void *key)
{
	const uint64_t *words = page;
	uint64_t *hashes = kept;
	uint64_t mask = 0;

	for (unsigned int i = 0; i < KONA_PAGE_LINES; i++) {
		uint64_t h = hash_line(words + i * 8, key);

		mask |= (uint64_t)(h != hashes[i]) << i;
		hashes[i] = h;
	}
	return mask;
}

const struct kona_lines kona_lines_portable = {"portable", always, copy_portable, hash_portable};

const struct kona_lines *kona_lines_find(const char *name)
{
	static const struct kona_lines *const all[] = {
#ifdef __x86_64__
		&kona_lines_avx512,
		&kona_lines_avx2,
#endif
		&kona_lines_portable,
	};

	for (size_t i = 0; i < KONA_ARRAY_LEN(all); i++)
		if ((!name || !strcmp(name, all[i]->name)) && all[i]->usable())
			return all[i];
	return NULL;
}

int kona_lines_draw_key(void *key)
{
	size_t done = 0;

	while (done < KONA_LINES_KEY_BYTES) {
		ssize_t n = getrandom((char *)key + done, KONA_LINES_KEY_BYTES - done, 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}
