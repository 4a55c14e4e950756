/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Peers and replicas out of the controller's answers. State: the list of nodes. What can fail: an
 * answer that makes no sense (-EPROTO), memory.
 */
#include "memnode/peers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const struct kona_peer *kona_peers_find(const struct kona_peers *peers, int64_t node)
{
	for (size_t i = 0; i < peers->count; i++)
		if (peers->all[i].node == node)
			return &peers->all[i];
	return NULL;
}

void kona_peers_free(struct kona_peers *peers)
{
	free(peers->all);
	peers->all = NULL;
	peers->count = 0;
}

static struct kona_peer *find_or_add(struct kona_peers *peers, int64_t node)
{
	struct kona_peer *known = (struct kona_peer *)kona_peers_find(peers, node);
	struct kona_peer *grown;

	if (known)
		return known;
	grown = reallocarray(peers->all, peers->count + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	peers->all = grown;
	known = &peers->all[peers->count++];
	*known = (struct kona_peer){.node = node};
	return known;
}

int kona_peers_read_hex(const char *text, uint8_t ret_bytes[KONA_RACK_CAPABILITY_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	if (!text || strlen(text) != 2 * KONA_RACK_CAPABILITY_BYTES ||
	    strspn(text, digits) != 2 * KONA_RACK_CAPABILITY_BYTES)
		return -EPROTO;
	for (size_t i = 0; i < KONA_RACK_CAPABILITY_BYTES; i++)
		ret_bytes[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 |
					 (strchr(digits, text[2 * i + 1]) - digits));
	return 0;
}

static int read_number(const json_t *object, const char *name, int64_t least, int64_t *ret_value)
{
	const json_t *field = json_object_get(object, name);
	int64_t value = json_integer_value(field);

	if (!json_is_integer(field) || value < least || value >= KONA_RACK_MOST_VALUE)
		return -EPROTO;
	*ret_value = value;
	return 0;
}

static int remember(struct kona_peers *peers, int64_t node, const char *name, const char *endpoint)
{
	struct kona_peer *peer;

	if (!name || strlen(name) >= sizeof(peer->name) || !endpoint || !endpoint[0] ||
	    strlen(endpoint) >= sizeof(peer->endpoint))
		return -EPROTO;
	peer = find_or_add(peers, node);
	if (!peer)
		return -ENOMEM;
	strcpy(peer->name, name);
	strcpy(peer->endpoint, endpoint);
	return 0;
}

static int read_replica(struct kona_peers *peers, const json_t *object, int64_t own,
			bool may_be_local, struct kona_broker_slab *slab)
{
	const char *state = json_string_value(json_object_get(object, "state"));
	bool copying = state && !strcmp(state, "copying");
	struct kona_broker_replica *replica = &slab->replicas[slab->replica_count];
	int64_t node;
	int rc = read_number(object, "node", 1, &node);

	if (rc || (state && !copying && strcmp(state, "full") != 0))
		return -EPROTO;
	if (node == own && !copying && may_be_local) {
		slab->local = 1;
		return 0;
	}
	if (slab->replica_count == KONA_BROKER_MOST_REPLICAS)
		return -EPROTO;
	rc = kona_peers_read_hex(json_string_value(json_object_get(object, "capability")),
				 replica->capability);
	if (!rc)
		rc = remember(peers, node, json_string_value(json_object_get(object, "name")),
			      json_string_value(json_object_get(object, "endpoint")));
	if (rc)
		return rc;
	replica->node = (uint64_t)node;
	replica->state = copying ? KONA_BROKER_COPYING : KONA_BROKER_FULL;
	slab->replica_count++;
	return 0;
}

int kona_peers_read_slab(struct kona_peers *peers, const json_t *object, int64_t own,
			 bool may_be_local, struct kona_broker_slab *ret_slab,
			 uint64_t *ret_version)
{
	const json_t *replicas = json_object_get(object, "replicas");
	struct kona_broker_slab slab = {.local = !replicas};
	int64_t id, generation = 0, version = 0;
	int rc = read_number(object, "slab", 1, &id);

	if (!rc && replicas)
		rc = read_number(object, "generation", 0, &generation);
	if (!rc && replicas)
		rc = read_number(object, "version", 0, &version);
	for (size_t i = 0; !rc && i < json_array_size(replicas); i++)
		rc = read_replica(peers, json_array_get(replicas, i), own, may_be_local, &slab);
	if (!rc && !slab.local && !slab.replica_count)
		rc = -EPROTO;
	if (rc)
		return rc;
	slab.id = (uint64_t)id;
	slab.generation = (uint64_t)generation;
	*ret_slab = slab;
	*ret_version = (uint64_t)version;
	return 0;
}
