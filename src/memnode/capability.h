/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Capabilities of slabs (wire/rack.h): made by the controller from the node's secret, checked here.
 */
#ifndef KONA_MEMNODE_CAPABILITY_H
#define KONA_MEMNODE_CAPABILITY_H

#include <stdint.h>

#include "base/compiler.h"
#include "wire/data.h"

/* The capability of a slab at the node with this secret. Returns 0; -EIO: no HMAC. */
KONA_MUST_CHECK int kona_capability_make(const uint8_t secret[KONA_DATA_CAPABILITY_BYTES],
					 uint64_t slab, uint64_t generation,
					 uint8_t ret_capability[KONA_DATA_CAPABILITY_BYTES]);

/* Does the OPEN carry it? Takes the same time whatever differs. */
KONA_MUST_CHECK bool kona_capability_check(const uint8_t secret[KONA_DATA_CAPABILITY_BYTES],
					   const struct kona_data_open *open);

#endif
