/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HMAC-SHA256 by GnuTLS. Stateless.
 */
#include "memnode/capability.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

int kona_capability_make(const uint8_t secret[KONA_DATA_CAPABILITY_BYTES], uint64_t slab,
			 uint64_t generation, uint8_t ret_capability[KONA_DATA_CAPABILITY_BYTES])
{
	const uint64_t named[] = {slab, generation};
	uint8_t digest[32];

	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, secret, KONA_DATA_CAPABILITY_BYTES, named,
			     sizeof(named), digest))
		return -EIO;
	memcpy(ret_capability, digest, KONA_DATA_CAPABILITY_BYTES);
	return 0;
}

bool kona_capability_check(const uint8_t secret[KONA_DATA_CAPABILITY_BYTES],
			   const struct kona_data_open *open)
{
	uint8_t wanted[KONA_DATA_CAPABILITY_BYTES];

	return !kona_capability_make(secret, open->slab, open->generation, wanted) &&
	       !gnutls_memcmp(wanted, open->capability, sizeof(wanted));
}
