/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller: what it knows, and what it does with it. One thread (the HTTP server's).
 *
 *   serve -> api -> nodes | lease -> place, store
 *
 * Every operation returns 0 or -errno; on failure rack->why tells people what is wrong.
 */
#ifndef KONA_RACK_RACK_H
#define KONA_RACK_RACK_H

#include <stdbool.h>

#include "rack/place.h"
#include "rack/store.h"

/* When a node was last heard of. Not in the state file: after a restart all get one deadline. */
struct kona_rack_heard {
	int64_t node;
	uint64_t when_ns;
};

struct kona_rack {
	struct kona_rack_store store;
	int64_t epoch; /* random, of this run. Immutable. */
	uint64_t deadline_ns;
	uint64_t started_ns;
	struct kona_rack_heard *heard; /* owned */
	size_t heard_count;
	uint64_t requests, refused, slabs_granted, state_errors; /* for the metrics */
	char why[KONA_RACK_WHY_BYTES];
};

/* A lease as a node reports it. The strings and arrays belong to the caller. */
struct kona_rack_lease {
	int64_t lease, pid, uid, limit_bytes, request;
	const char *program;
	int64_t *slabs;
	size_t slab_count;
};

struct kona_rack_registration {
	const char *name, *instance;
	int64_t capacity_bytes;
	struct kona_rack_lease *leases;
	size_t lease_count;
};

void kona_rack_init(struct kona_rack *rack);
void kona_rack_free(struct kona_rack *rack);

/* Fills rack->why from the state file's last failure; returns -EIO. */
int kona_rack_state_failed(struct kona_rack *rack);

/* The node gives a sign of life. Forgotten without memory. */
void kona_rack_hear(struct kona_rack *rack, int64_t node);

/* Has the node been heard of within the deadline? */
bool kona_rack_is_up(const struct kona_rack *rack, int64_t node);

/*
 * nodes.c. Registration replaces all that was known of the node; -EEXIST when another instance of
 * that name is up, or an identifier belongs to another node.
 */
KONA_MUST_CHECK int kona_rack_register(struct kona_rack *rack,
				       const struct kona_rack_registration *registration,
				       int64_t *ret_node);
/* -ENOENT when the node is not registered with this instance: it must register again. */
KONA_MUST_CHECK int kona_rack_heartbeat(struct kona_rack *rack, int64_t node, const char *instance);
/* The node leaves, with its leases and slabs. */
KONA_MUST_CHECK int kona_rack_leave(struct kona_rack *rack, int64_t node, const char *instance);

/* lease.c */
KONA_MUST_CHECK int kona_rack_lease_open(struct kona_rack *rack, int64_t node, const char *instance,
					 const struct kona_rack_lease *lease, int64_t *ret_lease);
/*
 * Grants count slabs, all or none; -ENOENT, -ESTALE, -EDQUOT, -ENOSPC, -EHOSTDOWN, -EIO.
 * slabs has room for count.
 */
KONA_MUST_CHECK int kona_rack_grant(struct kona_rack *rack, int64_t lease, int64_t count,
				    int64_t have, int64_t request, int64_t *ret_slabs,
				    int64_t *ret_node);
KONA_MUST_CHECK int kona_rack_lease_end(struct kona_rack *rack, int64_t lease);

#endif
