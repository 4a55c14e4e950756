/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Heartbeats: what a node reports, and what it is told to do; see wire/rack.h.
 */
#ifndef KONA_RACK_ORDERS_H
#define KONA_RACK_ORDERS_H

#include <jansson.h>

#include "rack/rack.h"

struct kona_rack_taken {
	int64_t lease, slab, version;
};

struct kona_rack_lost {
	int64_t lease, node, slab; /* slab 0: all of the lease there */
};

/* Arrays owned by whoever made it. */
struct kona_rack_reports {
	struct kona_ids dropped, copied;
	struct kona_rack_taken *taken;
	struct kona_rack_lost *lost;
	size_t taken_count, lost_count;
};

/*
 * The node gives a sign of life and reports. -ENOENT when it is not registered with this instance:
 * it must register again.
 */
KONA_MUST_CHECK int kona_rack_heartbeat(struct kona_rack *rack, int64_t node, const char *instance,
					const struct kona_rack_reports *reports);

/* Adds drop, replicate and sets to a reply. -ENOMEM. */
KONA_MUST_CHECK int kona_rack_orders(struct kona_rack *rack, int64_t node, json_t *reply);

/* {slab, generation, version, replicas} as a client is told; NULL without memory. */
json_t *kona_rack_set(const struct kona_rack_slab *slab);

#endif
