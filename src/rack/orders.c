/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reports and orders. An order is repeated until a report says that it is done; a report of what is
 * done already does nothing. The lists of orders may name slabs that have moved on since: those
 * fall out here.
 */
#include "rack/orders.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

enum {
	/* One for the life of the slab: a node has dropped a replica before it gets another. */
	GENERATION = 1,
};

static int report_taken(struct kona_rack *rack, const struct kona_rack_node *node,
			const struct kona_rack_taken *taken)
{
	struct kona_rack_slab *slab = kona_table_find(&rack->model.slabs, taken->slab);

	if (!slab || slab->lease->id != taken->lease || slab->lease->node != node ||
	    slab->version != taken->version || slab->taken == slab->version)
		return 0;
	slab->taken = slab->version;
	for (size_t i = slab->count; i-- > 0;) {
		struct kona_rack_replica *r = &slab->replicas[i];

		if (r->state == KONA_RACK_JOINING) {
			if (kona_ids_add(&r->node->copies, slab->id))
				return -ENOMEM;
			r->state = KONA_RACK_COPYING;
		} else if (r->state == KONA_RACK_LEAVING && kona_rack_drop(rack, slab, i, false)) {
			return -ENOMEM;
		}
	}
	kona_rack_touch_slab(rack, slab);
	kona_rack_queue(rack, slab);
	return 0;
}

static int lose(struct kona_rack *rack, struct kona_rack_slab *slab,
		const struct kona_rack_node *where)
{
	struct kona_rack_replica *r = kona_model_replica_on(slab, where);

	if (!r || r->state == KONA_RACK_LEAVING)
		return 0;
	r->state = KONA_RACK_LEAVING;
	kona_rack_touch_slab(rack, slab);
	kona_rack_queue(rack, slab);
	return kona_rack_tell(rack, slab);
}

static int report_lost(struct kona_rack *rack, const struct kona_rack_node *node,
		       const struct kona_rack_lost *lost)
{
	const struct kona_rack_node *where = kona_table_find(&rack->model.nodes, lost->node);
	struct kona_rack_lease *lease = kona_table_find(&rack->model.leases, lost->lease);
	struct kona_rack_slab *slab;
	int rc = 0;

	if (!where || !lease || lease->node != node)
		return 0;
	if (lost->slab) {
		slab = kona_table_find(&rack->model.slabs, lost->slab);
		return slab && slab->lease == lease ? lose(rack, slab, where) : 0;
	}
	TAILQ_FOREACH (slab, &lease->slabs, of_lease)
		if (!rc)
			rc = lose(rack, slab, where);
	return rc;
}

static int report_copied(struct kona_rack *rack, const struct kona_rack_node *node, int64_t id)
{
	struct kona_rack_slab *slab = kona_table_find(&rack->model.slabs, id);
	struct kona_rack_replica *r = slab ? kona_model_replica_on(slab, node) : NULL;

	if (!r || r->state != KONA_RACK_COPYING)
		return 0;
	r->state = KONA_RACK_FULL;
	rack->copies_done++;
	kona_rack_touch_slab(rack, slab);
	kona_rack_queue(rack, slab);
	return kona_rack_tell(rack, slab);
}

int kona_rack_heartbeat(struct kona_rack *rack, int64_t id, const char *instance,
			const struct kona_rack_reports *reports)
{
	struct kona_rack_node *node = NULL;
	int rc = kona_rack_begin(rack);

	if (!rc)
		rc = kona_rack_find_instance(rack, id, instance, &node);
	if (rc)
		return rc;
	node->heard_ns = rack->now_ns;
	for (size_t i = 0; i < reports->dropped.count; i++)
		rack->room_changed |= kona_ids_remove(&node->drops, reports->dropped.ids[i]);
	/* What is lost comes before what is taken: a client that takes a set takes all of it. */
	for (size_t i = 0; i < reports->lost_count && !rc; i++)
		rc = report_lost(rack, node, &reports->lost[i]);
	for (size_t i = 0; i < reports->taken_count && !rc; i++)
		rc = report_taken(rack, node, &reports->taken[i]);
	for (size_t i = 0; i < reports->copied.count && !rc; i++)
		rc = report_copied(rack, node, reports->copied.ids[i]);
	if (rc) {
		rack->stale = true;
		return kona_rack_refuse(rack, rc, "the controller is out of memory");
	}
	return kona_rack_commit(rack);
}

static void write_hex(const unsigned char *bytes, size_t count, char *text)
{
	for (size_t i = 0; i < count; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

static int digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* What lets a client in: see wire/rack.h. "" where the node has no secret. */
static int make_capability(const struct kona_rack_node *node, int64_t slab, char *text)
{
	unsigned char secret[KONA_RACK_SECRET_BYTES], message[16], digest[32];
	const uint64_t words[2] = {(uint64_t)slab, GENERATION};

	text[0] = 0;
	if (!node->secret[0])
		return 0;
	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (unsigned char)(digit(node->secret[2 * i]) << 4 |
					    digit(node->secret[2 * i + 1]));
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (unsigned char)(words[i / 8] >> 8 * (i % 8));
	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, secret, sizeof(secret), message, sizeof(message),
			     digest))
		return -ENOMEM;
	write_hex(digest, KONA_RACK_CAPABILITY_BYTES, text);
	return 0;
}

static json_t *make_replica(const struct kona_rack_slab *slab, const struct kona_rack_replica *r)
{
	char capability[2 * KONA_RACK_CAPABILITY_BYTES + 1];

	if (make_capability(r->node, slab->id, capability))
		return NULL;
	return json_pack("{s:I, s:s, s:s, s:s, s:s}", "node", (json_int_t)r->node->id, "name",
			 r->node->name, "endpoint", r->node->endpoint, "capability", capability,
			 "state", kona_rack_is_full(r) ? "full" : "copying");
}

json_t *kona_rack_set(const struct kona_rack_slab *slab)
{
	json_t *list = json_array();

	for (size_t i = 0; i < slab->count; i++)
		if (slab->replicas[i].state != KONA_RACK_LEAVING &&
		    json_array_append_new(list, make_replica(slab, &slab->replicas[i]))) {
			json_decref(list);
			return NULL;
		}
	return json_pack("{s:I, s:i, s:I, s:o}", "slab", (json_int_t)slab->id, "generation",
			 GENERATION, "version", (json_int_t)slab->version, "replicas", list);
}

static json_t *list_drops(const struct kona_rack_node *node)
{
	json_t *list = json_array();

	for (size_t i = 0; i < node->drops.count && i < KONA_RACK_MOST_ORDERS; i++)
		json_array_append_new(list, json_integer(node->drops.ids[i]));
	return list;
}

static const struct kona_rack_replica *find_source(const struct kona_rack *rack,
						   const struct kona_rack_slab *slab)
{
	for (size_t i = 0; i < slab->count; i++)
		if (kona_rack_is_full(&slab->replicas[i]) &&
		    kona_rack_is_up(rack, slab->replicas[i].node))
			return &slab->replicas[i];
	return NULL;
}

static int add_copy(json_t *list, const struct kona_rack_slab *slab,
		    const struct kona_rack_replica *source)
{
	char capability[2 * KONA_RACK_CAPABILITY_BYTES + 1];

	if (make_capability(source->node, slab->id, capability))
		return -ENOMEM;
	return json_array_append_new(list,
				     json_pack("{s:I, s:i, s:s, s:s}", "slab", (json_int_t)slab->id,
					       "generation", GENERATION, "from",
					       source->node->endpoint, "capability", capability));
}

static json_t *list_copies(const struct kona_rack *rack, struct kona_rack_node *node)
{
	json_t *list = json_array();
	size_t i = 0;

	while (i < node->copies.count && json_array_size(list) < KONA_RACK_MOST_ORDERS) {
		struct kona_rack_slab *slab =
			kona_table_find(&rack->model.slabs, node->copies.ids[i]);
		const struct kona_rack_replica *r = slab ? kona_model_replica_on(slab, node) : NULL;
		const struct kona_rack_replica *source = slab ? find_source(rack, slab) : NULL;

		if (!r || r->state != KONA_RACK_COPYING) {
			kona_ids_remove_at(&node->copies, i);
			continue;
		}
		i++;
		if (source && add_copy(list, slab, source))
			break;
	}
	return list;
}

static json_t *list_sets(struct kona_rack *rack, struct kona_rack_node *node)
{
	json_t *list = json_array();
	size_t i = 0;

	while (i < node->tells.count && json_array_size(list) < KONA_RACK_MOST_ORDERS) {
		struct kona_rack_slab *slab =
			kona_table_find(&rack->model.slabs, node->tells.ids[i]);
		json_t *set;

		if (!slab || slab->version == slab->taken || slab->lease->node != node) {
			if (slab)
				slab->told = false;
			kona_ids_remove_at(&node->tells, i);
			continue;
		}
		i++;
		set = kona_rack_set(slab);
		json_object_set_new(set, "lease", json_integer(slab->lease->id));
		if (json_array_append_new(list, set))
			break;
	}
	return list;
}

int kona_rack_orders(struct kona_rack *rack, int64_t id, json_t *reply)
{
	struct kona_rack_node *node = kona_table_find(&rack->model.nodes, id);

	if (!node)
		return 0;
	return json_object_set_new(reply, "drop", list_drops(node)) ||
			       json_object_set_new(reply, "replicate", list_copies(rack, node)) ||
			       json_object_set_new(reply, "sets", list_sets(rack, node))
		       ? -ENOMEM
		       : 0;
}
