/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registration: a node and the controller agree on what there is.
 *
 * Three things are settled. The node itself: a new instance is empty, whatever was on the old one
 * is gone. The leases of its programs: what the node claims replaces what was known, as far as the
 * memory can still be there. And what it holds for programs of others: what nobody misses, because
 * it was replaced while the node was silent, is to be dropped.
 */
#include <errno.h>
#include <string.h>

#include "rack/rack.h"

static int other_owner(struct kona_rack *rack, int64_t lease)
{
	return kona_rack_refuse(rack, -EEXIST,
				"lease %lld, or a slab of it, belongs to another node, or is there "
				"twice",
				(long long)lease);
}

/* May this node claim what it claims? Changes nothing. */
static int check_claim(struct kona_rack *rack, const struct kona_rack_node *node,
		       const struct kona_rack_claim *claim)
{
	const struct kona_rack_lease *lease = kona_table_find(&rack->model.leases, claim->lease);
	const struct kona_ids *lists[] = {&claim->slabs, &claim->remote};

	if (lease && lease->node != node)
		return other_owner(rack, claim->lease);
	for (size_t l = 0; l < KONA_ARRAY_LEN(lists); l++)
		for (size_t i = 0; i < lists[l]->count; i++) {
			const struct kona_rack_slab *slab =
				kona_table_find(&rack->model.slabs, lists[l]->ids[i]);

			if (slab && slab->lease->id != claim->lease)
				return other_owner(rack, claim->lease);
		}
	return 0;
}

static int check_twice(struct kona_rack *rack, const struct kona_rack_registration *registration)
{
	struct kona_ids leases = {0}, slabs = {0};
	int rc = 0;

	for (size_t i = 0; i < registration->claim_count && !rc; i++) {
		const struct kona_rack_claim *claim = &registration->claims[i];

		rc = kona_ids_add(&leases, claim->lease);
		for (size_t j = 0; j < claim->slabs.count && !rc; j++)
			rc = kona_ids_add(&slabs, claim->slabs.ids[j]);
		for (size_t j = 0; j < claim->remote.count && !rc; j++)
			rc = kona_ids_add(&slabs, claim->remote.ids[j]);
	}
	kona_ids_sort(&leases);
	kona_ids_sort(&slabs);
	if (rc)
		rc = kona_rack_refuse(rack, rc, "the controller is out of memory");
	else if (kona_ids_sorted_twice(&leases) || kona_ids_sorted_twice(&slabs))
		rc = other_owner(rack,
				 registration->claim_count ? registration->claims[0].lease : 0);
	kona_ids_free(&leases);
	kona_ids_free(&slabs);
	return rc;
}

static int check_name(struct kona_rack *rack, const struct kona_rack_node *node,
		      const struct kona_rack_registration *registration)
{
	if (!node || !strcmp(node->instance, registration->instance) ||
	    !kona_rack_is_up(rack, node))
		return 0;
	return kona_rack_refuse(rack, -EEXIST,
				"a node named %s is alive already: give this one another --name, "
				"or wait %d s if that one was killed",
				registration->name, KONA_RACK_DEADLINE_MS / 1000);
}

int kona_rack_forget_replicas(struct kona_rack *rack, struct kona_rack_node *node)
{
	while (node->slab_count) {
		struct kona_rack_slab *slab = node->slabs[node->slab_count - 1];
		struct kona_rack_replica *replica = kona_model_replica_on(slab, node);

		if (kona_rack_drop(rack, slab, (size_t)(replica - slab->replicas), true) ||
		    (slab->wanted && kona_rack_tell(rack, slab)))
			return -ENOMEM;
		kona_rack_touch_slab(rack, slab);
		kona_rack_queue(rack, slab);
	}
	node->drops.count = 0;
	return 0;
}

/* Puts in the state file only what differs from it: a node that agrees needs no disk. */
static int take_node(struct kona_rack *rack, struct kona_rack_node *node,
		     const struct kona_rack_registration *r)
{
	bool changed = node->capacity_bytes != r->capacity_bytes ||
		       strcmp(node->instance, r->instance) || strcmp(node->domain, r->domain) ||
		       strcmp(node->endpoint, r->endpoint) || strcmp(node->secret, r->secret);

	if (strcmp(node->instance, r->instance) && kona_rack_forget_replicas(rack, node))
		return -ENOMEM;
	if (!changed)
		return 0;
	node->capacity_bytes = r->capacity_bytes;
	kona_rack_touch(rack, KONA_RECORD_NODE, node->id);
	return kona_model_text_set(&node->instance, r->instance) ||
			       kona_model_text_set(&node->domain, r->domain) ||
			       kona_model_text_set(&node->endpoint, r->endpoint) ||
			       kona_model_text_set(&node->secret, r->secret)
		       ? -ENOMEM
		       : 0;
}

static int claim_slab(struct kona_rack *rack, struct kona_rack_lease *lease, int64_t id)
{
	struct kona_rack_slab *slab = kona_table_find(&rack->model.slabs, id);

	if (slab)
		return 0;
	slab = kona_model_slab_add(&rack->model, id, lease);
	if (!slab || kona_model_replica_add(slab, lease->node, KONA_RACK_FULL))
		return -ENOMEM;
	if (id > rack->model.last_slab) {
		rack->model.last_slab = id;
		kona_rack_touch(rack, KONA_RECORD_META, 4);
	}
	kona_rack_touch_slab(rack, slab);
	return 0;
}

/* What the controller granted, but the node never got. Both lists are sorted. */
static int free_unclaimed(struct kona_rack *rack, struct kona_rack_lease *lease,
			  const struct kona_rack_claim *claim)
{
	struct kona_rack_slab *slab, *next;

	for (slab = TAILQ_FIRST(&lease->slabs); slab; slab = next) {
		next = TAILQ_NEXT(slab, of_lease);
		if (!kona_ids_sorted_has(&claim->slabs, slab->id) &&
		    !kona_ids_sorted_has(&claim->remote, slab->id) &&
		    kona_rack_free_slab(rack, slab))
			return -ENOMEM;
	}
	return 0;
}

static bool is_over(const struct kona_rack *rack, const struct kona_rack_claim *claim)
{
	for (size_t i = 0; i < claim->remote.count; i++)
		if (!kona_table_find(&rack->model.slabs, claim->remote.ids[i]))
			return true;
	return false;
}

static int take_claim(struct kona_rack *rack, struct kona_rack_node *node,
		      struct kona_rack_claim *claim, struct kona_ids *ended)
{
	struct kona_rack_lease *lease = kona_table_find(&rack->model.leases, claim->lease);

	if (is_over(rack, claim)) {
		if (lease && kona_rack_free_lease(rack, lease))
			return -ENOMEM;
		return kona_ids_add(ended, claim->lease);
	}
	kona_ids_sort(&claim->slabs);
	kona_ids_sort(&claim->remote);
	if (lease && free_unclaimed(rack, lease, claim))
		return -ENOMEM;
	if (!lease) {
		lease = kona_model_lease_add(&rack->model, claim->lease, node, claim->program);
		if (!lease)
			return -ENOMEM;
		lease->replicas = claim->replicas;
		lease->pid = 0;
	}
	if (lease->pid != claim->pid || lease->uid != claim->uid ||
	    lease->limit_bytes != claim->limit_bytes || lease->request != claim->request)
		kona_rack_touch(rack, KONA_RECORD_LEASE, lease->id);
	lease->pid = claim->pid;
	lease->uid = claim->uid;
	lease->limit_bytes = claim->limit_bytes;
	lease->request = claim->request;
	if (claim->lease > rack->model.last_lease) {
		rack->model.last_lease = claim->lease;
		kona_rack_touch(rack, KONA_RECORD_META, 3);
	}
	for (size_t i = 0; i < claim->slabs.count; i++)
		if (claim_slab(rack, lease, claim->slabs.ids[i]))
			return -ENOMEM;
	return 0;
}

static bool is_claimed(const struct kona_rack_registration *registration, int64_t lease)
{
	for (size_t i = 0; i < registration->claim_count; i++)
		if (registration->claims[i].lease == lease)
			return true;
	return false;
}

static int take_claims(struct kona_rack *rack, struct kona_rack_node *node,
		       const struct kona_rack_registration *registration, struct kona_ids *ended)
{
	struct kona_rack_lease *lease, *next;
	int rc = 0;

	for (lease = TAILQ_FIRST(&node->leases); lease && !rc; lease = next) {
		next = TAILQ_NEXT(lease, link);
		if (!is_claimed(registration, lease->id))
			rc = kona_rack_free_lease(rack, lease);
	}
	for (size_t i = 0; i < registration->claim_count && !rc; i++)
		rc = take_claim(rack, node, &registration->claims[i], ended);
	return rc;
}

/* What the node holds and nobody misses; what it shall drop and has not any more. */
static int take_hosted(struct kona_rack *rack, struct kona_rack_node *node,
		       const struct kona_ids *hosted)
{
	node->drops.count = 0;
	for (size_t i = 0; i < hosted->count; i++) {
		struct kona_rack_slab *slab = kona_table_find(&rack->model.slabs, hosted->ids[i]);

		if (slab && kona_model_replica_on(slab, node))
			continue;
		if (kona_ids_add(&node->drops, hosted->ids[i]))
			return -ENOMEM;
	}
	return 0;
}

static int find_or_add(struct kona_rack *rack, const char *name, struct kona_rack_node **node)
{
	if (*node)
		return 0;
	*node = kona_model_node_add(&rack->model, rack->model.last_node + 1, name);
	if (!*node)
		return -ENOMEM;
	rack->model.last_node++;
	kona_rack_touch(rack, KONA_RECORD_META, 2);
	kona_rack_touch(rack, KONA_RECORD_NODE, (*node)->id);
	return 0;
}

int kona_rack_register(struct kona_rack *rack, const struct kona_rack_registration *registration,
		       int64_t *ret_node, struct kona_ids *ended)
{
	struct kona_rack_node *node;
	int rc = kona_rack_begin(rack);

	if (rc)
		return rc;
	node = kona_model_node_named(&rack->model, registration->name);
	rc = check_name(rack, node, registration);
	if (!rc)
		rc = check_twice(rack, registration);
	for (size_t i = 0; i < registration->claim_count && !rc; i++)
		rc = check_claim(rack, node, &registration->claims[i]);
	if (rc)
		return rc;
	rc = find_or_add(rack, registration->name, &node);
	if (!rc)
		rc = take_node(rack, node, registration);
	if (!rc)
		rc = take_claims(rack, node, registration, ended);
	if (!rc)
		rc = take_hosted(rack, node, &registration->hosted);
	if (rc) {
		rack->stale = true;
		return kona_rack_refuse(rack, rc, "the controller is out of memory");
	}
	rc = kona_rack_commit(rack);
	if (rc)
		return rc;
	node->heard_ns = rack->now_ns;
	node->registered = true;
	rack->room_changed = true;
	*ret_node = node->id;
	return 0;
}
