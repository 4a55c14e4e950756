/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Comparing a page with what is kept of it, line by line. Two kinds of keeping:
 *
 *   copy   the page itself, 4096 bytes: exact
 *   hash   one keyed 64-bit hash per 64-byte line, 512 bytes: a changed line goes unseen with a
 *          probability of 2^-64; the key is drawn anew in each run, so that nobody can prepare
 *          colliding lines
 *
 * Each operation exists for plain C, AVX2 and AVX-512 (hash: with VAES). Hashes of different
 * implementations differ: one run uses one.
 */
#ifndef KONA_TRACK_LINES_H
#define KONA_TRACK_LINES_H

#include <stdint.h>

#include "base/compiler.h"

enum {
	KONA_COPY_BYTES = 4096,
	KONA_HASH_BYTES = 512,
	KONA_LINES_KEY_BYTES = 512,
};

struct kona_lines {
	const char *name;
	/* May this processor run it? */
	int (*usable)(void);
	/*
	 * Compares page with kept and brings kept up to date. Returns the mask of lines that
	 * changed. copy also adds the number of changed bytes to *changed_bytes. page and kept are
	 * aligned to 64 bytes.
	 */
	uint64_t (*copy)(const void *page, void *kept, uint64_t *changed_bytes);
	uint64_t (*hash)(const void *page, void *kept, const void *key);
};

extern const struct kona_lines kona_lines_portable, kona_lines_avx2, kona_lines_avx512;

/* The implementation of that name ("portable", "avx2", "avx512"), or the best that this processor
 * runs for NULL. NULL when there is none. */
const struct kona_lines *kona_lines_find(const char *name);

/* Draws a key of KONA_LINES_KEY_BYTES. Returns 0 or -errno. */
KONA_MUST_CHECK int kona_lines_draw_key(void *key);

#endif
