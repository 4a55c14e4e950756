/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A read that was begun and is not ended yet. The caller's, from begin_read() to end_read();
 * in between it belongs to the layers that it went through.
 */
#ifndef KONA_TRANSPORT_FLIGHT_H
#define KONA_TRANSPORT_FLIGHT_H

#include <stddef.h>
#include <stdint.h>

#include "transport/link.h"
#include "transport/transport.h"
#include "wire/data.h"

/* Pieces for one node. */
struct kona_pool_batch {
	int node; /* negative: local */
	uint64_t word;
	struct kona_link_piece pieces[KONA_DATA_MOST_PIECES];
	size_t count, total_bytes;
};

struct kona_flight {
	const struct kona_read *reads; /* the caller's, who leaves it and its buffers alone */
	size_t count;
	uint64_t delay_end_ns;	      /* delay */
	struct kona_pool_batch batch; /* pool, as what follows */
	struct kona_link *link;
	int status; /* 0: all of it came. Guarded by the link's lock */
};

#endif
