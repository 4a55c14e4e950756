/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other memory nodes, as grants and sets name them: where links go. And the parsing of those.
 */
#ifndef KONA_MEMNODE_PEERS_H
#define KONA_MEMNODE_PEERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "wire/broker.h"
#include "wire/rack.h"

struct kona_peer {
	int64_t node;
	char name[KONA_RACK_NAME_BYTES];
	char endpoint[KONA_RACK_ENDPOINT_BYTES];
};

/* All that were ever named. Loop thread only. */
struct kona_peers {
	struct kona_peer *all; /* owned */
	size_t count;
};

/* NULL: not known. */
const struct kona_peer *kona_peers_find(const struct kona_peers *peers, int64_t node);

void kona_peers_free(struct kona_peers *peers);

/*
 * Reads {slab, generation, version, replicas} of a grant or a set (wire/rack.h). A full replica on
 * node `own` is `local`, when may_be_local; the others go to ret_slab->replicas, and their nodes
 * are remembered. Without `replicas` the slab is local. Returns 0; -EPROTO; -ENOMEM.
 */
KONA_MUST_CHECK int kona_peers_read_slab(struct kona_peers *peers, const json_t *object,
					 int64_t own, bool may_be_local,
					 struct kona_broker_slab *ret_slab, uint64_t *ret_version);

/* Parses 2 * KONA_RACK_CAPABILITY_BYTES hex digits. -EPROTO. */
KONA_MUST_CHECK int kona_peers_read_hex(const char *text,
					uint8_t ret_bytes[KONA_RACK_CAPABILITY_BYTES]);

#endif
