/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AES-256-GCM of a page, under a random key of the program's own.
 *
 * The nonce is the page's version: so no version may be sealed twice under one key. Page and
 * version are authenticated with the contents. Works in memory that the caller gives, allocates
 * nothing.
 */
#ifndef KONA_TRANSPORT_CIPHER_H
#define KONA_TRANSPORT_CIPHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

enum {
	KONA_CIPHER_TAG_WORDS = 2,
	KONA_CIPHER_KEY_BYTES = 1024, /* as the library expands it */
};

/* Which page, and which of all pages that were ever sealed. */
struct kona_cipher_name {
	uint64_t page, version;
};

struct kona_cipher {
	_Alignas(64) uint8_t key[KONA_CIPHER_KEY_BYTES];
	const struct kona_cipher_code *code; /* what this processor runs fastest */
};

/* Draws the key. -ENOTSUP: the processor has no AES instructions; -errno of getentropy(3). */
KONA_MUST_CHECK int kona_cipher_init(struct kona_cipher *cipher);

/* The same by the code of this number, the fastest first: for tests. -EINVAL: there are fewer. */
KONA_MUST_CHECK int kona_cipher_init_by(struct kona_cipher *cipher, unsigned int code);

/* Seals a page. Any thread. */
void kona_cipher_seal(const struct kona_cipher *cipher, const struct kona_cipher_name *name,
		      const char *page, char *ret_sealed, uint64_t *ret_tag);

/*
 * Opens a page in place. False: it is not the one that was sealed under this name with this tag;
 * then the page holds garbage. Any thread.
 */
KONA_MUST_CHECK bool kona_cipher_open(const struct kona_cipher *cipher,
				      const struct kona_cipher_name *name, const uint64_t *tag,
				      char *page);

#endif
