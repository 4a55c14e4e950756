/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What it costs to seal and to open a page, by each code that this processor runs: one thread, a
 * JSON list on standard output.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "transport/cipher.h"

enum { PAGES = 64, CALLS = 200000 };

static char pages[PAGES][KONA_PAGE_BYTES], sealed[PAGES][KONA_PAGE_BYTES];
static uint64_t tags[PAGES][KONA_CIPHER_TAG_WORDS];

static double seal_all(const struct kona_cipher *cipher)
{
	uint64_t start_ns = kona_now_ns();

	for (uint64_t i = 0; i < CALLS; i++) {
		const struct kona_cipher_name name = {i % PAGES, i + 1};

		kona_cipher_seal(cipher, &name, pages[i % PAGES], sealed[i % PAGES],
				 tags[i % PAGES]);
	}
	return (double)(kona_now_ns() - start_ns) / CALLS;
}

/* In place, as the runtime does it: each page is sealed anew outside of the time. */
static double open_all(const struct kona_cipher *cipher)
{
	uint64_t spent_ns = 0;

	for (uint64_t i = 0; i < CALLS; i += PAGES) {
		uint64_t start_ns;

		for (uint64_t page = 0; page < PAGES; page++)
			kona_cipher_seal(cipher, &(struct kona_cipher_name){page, i + page + 1},
					 pages[page], sealed[page], tags[page]);
		start_ns = kona_now_ns();
		for (uint64_t page = 0; page < PAGES; page++)
			if (!kona_cipher_open(cipher,
					      &(struct kona_cipher_name){page, i + page + 1},
					      tags[page], sealed[page]))
				errx(1, "a page did not open");
		spent_ns += kona_now_ns() - start_ns;
	}
	return (double)spent_ns / (double)kona_round_up(CALLS, PAGES);
}

int main(void)
{
	static struct kona_cipher cipher;
	const char *separator = "[";

	memset(pages, 'x', sizeof(pages));
	for (unsigned int code = 0;; code++) {
		int rc = kona_cipher_init_by(&cipher, code);
		double seal_ns, open_ns;

		if (rc == -EINVAL)
			break;
		if (rc)
			continue;
		(void)seal_all(&cipher);
		seal_ns = seal_all(&cipher);
		open_ns = open_all(&cipher);
		printf("%s{\"code\": %u, \"seal_ns\": %.0f, \"open_ns\": %.0f}", separator, code,
		       seal_ns, open_ns);
		separator = ", ";
	}
	puts("]");
	return 0;
}
