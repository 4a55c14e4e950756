/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The seal's arithmetic, which is intel-ipsec-mb's. Of that library only the functions for this one
 * algorithm are linked, by name: through its manager all of its 12 MB would be. It has no state, no
 * constructor and no allocation.
 *
 * State: the key, which the caller keeps. What can fail: a processor without AES.
 */
#include "transport/cipher.h"

#include <assert.h>
#include <cpuid.h>
#include <errno.h>
#include <intel-ipsec-mb.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"

enum {
	AES_KEY_BYTES = 32,
	NONCE_BYTES = 12,
	TAG_BYTES = KONA_CIPHER_TAG_WORDS * sizeof(uint64_t),
};

static_assert(sizeof(struct gcm_key_data) <= KONA_CIPHER_KEY_BYTES, "the key's place");

typedef void gcm_function(const struct gcm_key_data *key, struct gcm_context_data *context,
			  uint8_t *out, const uint8_t *in, uint64_t size_bytes,
			  const uint8_t *nonce, const uint8_t *named, uint64_t named_bytes,
			  uint8_t *tag, uint64_t tag_bytes);

struct kona_cipher_code {
	gcm_function *seal, *open;
	void (*prepare)(struct gcm_key_data *key);
	bool (*runs)(void);
};

/* The library has them, and chooses them by itself; its header names only the older ones. */
gcm_function aes_gcm_enc_256_vaes_avx512, aes_gcm_dec_256_vaes_avx512;
void aes_gcm_precomp_256_vaes_avx512(struct gcm_key_data *key);

static bool runs_narrow(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") &&
	       __builtin_cpu_supports("avx2");
}

/* clang 14 has no name for the two last. */
static bool runs_wide(void)
{
	unsigned int a, b, c = 0, d;

	return runs_narrow() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("bmi2") &&
	       __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_VAES) && (c & bit_VPCLMULQDQ);
}

/* The fastest first. */
static const struct kona_cipher_code codes[] = {
	{aes_gcm_enc_256_vaes_avx512, aes_gcm_dec_256_vaes_avx512, aes_gcm_precomp_256_vaes_avx512,
	 runs_wide},
	{aes_gcm_enc_256_avx_gen4, aes_gcm_dec_256_avx_gen4, aes_gcm_precomp_256_avx_gen4,
	 runs_narrow},
};

static const struct gcm_key_data *key_of(const struct kona_cipher *cipher)
{
	return (const struct gcm_key_data *)(const void *)cipher->key;
}

int kona_cipher_init_by(struct kona_cipher *cipher, unsigned int code)
{
	struct gcm_key_data *key = (struct gcm_key_data *)(void *)cipher->key;
	uint8_t secret[AES_KEY_BYTES], unused[sizeof(key->expanded_keys)];

	if (code >= KONA_ARRAY_LEN(codes))
		return -EINVAL;
	if (!codes[code].runs())
		return -ENOTSUP;
	if (getentropy(secret, sizeof(secret)))
		return -errno;
	cipher->code = &codes[code];
	aes_keyexp_256_avx2(secret, key->expanded_keys, unused);
	cipher->code->prepare(key);
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(unused, sizeof(unused));
	return 0;
}

int kona_cipher_init(struct kona_cipher *cipher)
{
	int rc = -ENOTSUP;

	for (unsigned int code = 0; rc == -ENOTSUP && code < KONA_ARRAY_LEN(codes); code++)
		rc = kona_cipher_init_by(cipher, code);
	return rc;
}

static void make_nonce(uint64_t version, uint8_t nonce[NONCE_BYTES])
{
	memset(nonce, 0, NONCE_BYTES);
	memcpy(nonce, &version, sizeof(version));
}

void kona_cipher_seal(const struct kona_cipher *cipher, const struct kona_cipher_name *name,
		      const char *page, char *ret_sealed, uint64_t *ret_tag)
{
	struct gcm_context_data context;
	uint8_t nonce[NONCE_BYTES];

	make_nonce(name->version, nonce);
	cipher->code->seal(key_of(cipher), &context, (uint8_t *)ret_sealed, (const uint8_t *)page,
			   KONA_PAGE_BYTES, nonce, (const uint8_t *)name, sizeof(*name),
			   (uint8_t *)ret_tag, TAG_BYTES);
}

bool kona_cipher_open(const struct kona_cipher *cipher, const struct kona_cipher_name *name,
		      const uint64_t *tag, char *page)
{
	uint64_t seen[KONA_CIPHER_TAG_WORDS];
	struct gcm_context_data context;
	uint8_t nonce[NONCE_BYTES];

	make_nonce(name->version, nonce);
	cipher->code->open(key_of(cipher), &context, (uint8_t *)page, (const uint8_t *)page,
			   KONA_PAGE_BYTES, nonce, (const uint8_t *)name, sizeof(*name),
			   (uint8_t *)seen, TAG_BYTES);
	return !((seen[0] ^ tag[0]) | (seen[1] ^ tag[1]));
}
