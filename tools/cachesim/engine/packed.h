/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many accesses at once, in a word each: for a front end that keeps them in buffers.
 */
#ifndef KONA_CACHESIM_PACKED_H
#define KONA_CACHESIM_PACKED_H

#include "engine.h"

/* An access of up to 64 bytes below 2^55, in a word. */
static inline uint64_t kona_sim_packed_address(uint64_t access)
{
	return access >> 9;
}

static inline uint32_t kona_sim_packed_bytes(uint64_t access)
{
	return access >> 2 & 127;
}

static inline enum kona_sim_kind kona_sim_packed_kind(uint64_t access)
{
	return (enum kona_sim_kind)(access & 3);
}

/* As kona_sim_access(), one after the other, but for the filter: the front end has its own. */
void kona_sim_access_packed(struct kona_sim *sim, const uint64_t *accesses, uint32_t count);

#endif
