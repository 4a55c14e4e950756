/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leases and their slabs.
 */
#include <errno.h>
#include <stdio.h>

#include "rack/rack.h"

int kona_rack_lease_open(struct kona_rack *rack, int64_t node, const char *instance,
			 const struct kona_rack_claim *claim, int64_t *ret_lease)
{
	struct kona_rack_node *home = NULL;
	struct kona_rack_lease *lease;
	int64_t id;
	int rc = kona_rack_begin(rack);

	if (!rc)
		rc = kona_rack_find_instance(rack, node, instance, &home);
	if (rc)
		return rc;
	home->heard_ns = rack->now_ns;
	id = rack->model.last_lease + 1;
	lease = kona_model_lease_add(&rack->model, id, home, claim->program);
	if (!lease)
		return kona_rack_refuse(rack, -ENOMEM, "the controller is out of memory");
	rack->model.last_lease = id;
	lease->pid = claim->pid;
	lease->uid = claim->uid;
	lease->limit_bytes = claim->limit_bytes;
	lease->replicas = claim->replicas;
	kona_rack_touch(rack, KONA_RECORD_META, 3);
	kona_rack_touch(rack, KONA_RECORD_LEASE, id);
	rc = kona_rack_commit(rack);
	if (!rc)
		*ret_lease = id;
	return rc;
}

int kona_rack_free_slab(struct kona_rack *rack, struct kona_rack_slab *slab)
{
	const struct kona_rack_node *home = slab->lease->node;

	kona_rack_unqueue(rack, slab);
	kona_rack_touch(rack, KONA_RECORD_SLAB, slab->id);
	while (slab->count) {
		size_t last = slab->count - 1u;

		if (kona_rack_drop(rack, slab, last, slab->replicas[last].node == home))
			return -ENOMEM;
	}
	kona_model_slab_remove(&rack->model, slab);
	return 0;
}

int kona_rack_free_lease(struct kona_rack *rack, struct kona_rack_lease *lease)
{
	struct kona_rack_slab *slab;

	while ((slab = TAILQ_FIRST(&lease->slabs)))
		if (kona_rack_free_slab(rack, slab))
			return -ENOMEM;
	kona_rack_touch(rack, KONA_RECORD_LEASE, lease->id);
	kona_model_lease_remove(&rack->model, lease);
	return 0;
}

int kona_rack_lease_end(struct kona_rack *rack, int64_t id)
{
	struct kona_rack_lease *lease;
	int rc = kona_rack_begin(rack);

	if (rc)
		return rc;
	lease = kona_table_find(&rack->model.leases, id);
	/* One that is gone already is no failure: the request may have been repeated. */
	if (!lease)
		return 0;
	if (kona_rack_free_lease(rack, lease)) {
		rack->stale = true;
		return kona_rack_refuse(rack, -ENOMEM, "the controller is out of memory");
	}
	return kona_rack_commit(rack);
}

static long long mib(int64_t bytes)
{
	return (long long)(bytes >> 20);
}

/* What is granted after `have` reached nobody, and is not counted. */
static int64_t count_lost(const struct kona_rack_lease *lease, int64_t have)
{
	const struct kona_rack_slab *slab = TAILQ_LAST(&lease->slabs, kona_rack_slabs);
	int64_t count = 0;

	for (; slab && slab->id > have; slab = TAILQ_PREV(slab, kona_rack_slabs, of_lease))
		count++;
	return count;
}

static int check_quotas(struct kona_rack *rack, const struct kona_rack_lease *lease,
			const struct kona_rack_wish *wish, int64_t lost)
{
	const struct kona_rack_node *home = lease->node;
	int64_t slab_bytes = rack->model.slab_bytes;
	int64_t held = lease->slab_count - lost, leased = home->leased_slabs - lost;

	if (lease->limit_bytes && held + wish->count > lease->limit_bytes / slab_bytes)
		return kona_rack_refuse(rack, -EDQUOT,
					"the lease holds %lld slabs of %lld MiB, %lld more would "
					"exceed its limit of %lld MiB",
					(long long)held, mib(slab_bytes), (long long)wish->count,
					mib(lease->limit_bytes));
	if (home->quota_bytes && leased + wish->count > home->quota_bytes / slab_bytes)
		return kona_rack_refuse(rack, -EDQUOT,
					"programs on %s hold %lld MiB of the rack, %lld more would "
					"exceed their quota of %lld MiB (kona rack quota)",
					home->name, mib(leased * slab_bytes),
					mib(wish->count * slab_bytes), mib(home->quota_bytes));
	return 0;
}

static int no_room(struct kona_rack *rack, const struct kona_rack_node *home,
		   const struct kona_rack_wish *wish)
{
	if (!wish->remote)
		return kona_rack_refuse(
			rack, -ENOSPC,
			"node %s has %lld of %lld slabs free, %lld were asked for, and the "
			"program can use memory of its own host only",
			home->name, (long long)kona_model_free_slabs(&rack->model, home),
			(long long)(home->capacity_bytes / rack->model.slab_bytes),
			(long long)wish->count);
	return kona_rack_refuse(rack, -ENOSPC,
				"no node that is up has room for the %lld slabs that were asked "
				"for (kona rack nodes)",
				(long long)wish->count);
}

/* Gives the new slab its replicas; as many as there are places for, at least one. */
static int furnish(struct kona_rack *rack, struct kona_rack_slab *slab, bool remote)
{
	struct kona_rack_node *node = slab->lease->node;

	if (!remote) {
		if (!kona_model_free_slabs(&rack->model, node))
			return -ENOSPC;
		return kona_model_replica_add(slab, node, KONA_RACK_FULL);
	}
	slab->wanted = (uint8_t)slab->lease->replicas;
	while (slab->count < slab->wanted) {
		node = kona_rack_place(rack, slab, false);
		if (!node)
			break;
		if (kona_model_replica_add(slab, node, KONA_RACK_FULL))
			return -ENOMEM;
	}
	return slab->count ? 0 : -ENOSPC;
}

/* Nothing has been touched yet: what was added goes without a trace. */
static void take_back(struct kona_rack *rack, struct kona_rack_slab **slabs, int64_t count)
{
	while (count)
		kona_model_slab_remove(&rack->model, slabs[--count]);
}

static int make_slabs(struct kona_rack *rack, struct kona_rack_lease *lease,
		      const struct kona_rack_wish *wish, struct kona_rack_slab **slabs)
{
	for (int64_t i = 0; i < wish->count; i++) {
		int rc = -ENOMEM;

		slabs[i] = kona_model_slab_add(&rack->model, rack->model.last_slab + 1 + i, lease);
		if (slabs[i])
			rc = furnish(rack, slabs[i], wish->remote);
		if (!rc)
			continue;
		take_back(rack, slabs, i + (slabs[i] != NULL));
		return rc == -ENOSPC
			       ? no_room(rack, lease->node, wish)
			       : kona_rack_refuse(rack, rc, "the controller is out of memory");
	}
	return 0;
}

static int free_lost(struct kona_rack *rack, struct kona_rack_lease *lease, int64_t lost)
{
	while (lost--)
		if (kona_rack_free_slab(rack, TAILQ_LAST(&lease->slabs, kona_rack_slabs))) {
			rack->stale = true;
			return kona_rack_refuse(rack, -ENOMEM, "the controller is out of memory");
		}
	return 0;
}

static int check_wish(struct kona_rack *rack, const struct kona_rack_wish *wish,
		      struct kona_rack_lease **ret_lease)
{
	struct kona_rack_lease *lease = kona_table_find(&rack->model.leases, wish->lease);

	if (!lease)
		return kona_rack_refuse(rack, -ENOENT, "there is no lease %lld",
					(long long)wish->lease);
	/* Only its node asks for a lease: so it lives, though it may have been paused. */
	lease->node->heard_ns = rack->now_ns;
	if (wish->request <= lease->request)
		return kona_rack_refuse(rack, -ESTALE, "request %lld came after request %lld",
					(long long)wish->request, (long long)lease->request);
	*ret_lease = lease;
	return 0;
}

int kona_rack_grant(struct kona_rack *rack, const struct kona_rack_wish *wish,
		    struct kona_rack_slab **ret_slabs)
{
	struct kona_rack_lease *lease = NULL;
	int64_t lost;
	int rc = kona_rack_begin(rack);

	if (!rc)
		rc = check_wish(rack, wish, &lease);
	if (rc)
		return rc;
	lost = count_lost(lease, wish->have);
	rc = check_quotas(rack, lease, wish, lost);
	if (!rc)
		rc = free_lost(rack, lease, lost);
	if (!rc)
		rc = make_slabs(rack, lease, wish, ret_slabs);
	if (rc) {
		/* What was lost stays freed: it is of no use to anybody. */
		int failed = rack->stale ? 0 : kona_rack_commit(rack);

		return failed ? failed : rc;
	}
	lease->request = wish->request;
	rack->model.last_slab += wish->count;
	kona_rack_touch(rack, KONA_RECORD_META, 4);
	kona_rack_touch(rack, KONA_RECORD_LEASE, lease->id);
	for (int64_t i = 0; i < wish->count; i++) {
		kona_rack_touch_slab(rack, ret_slabs[i]);
		if (ret_slabs[i]->count < ret_slabs[i]->wanted)
			kona_rack_queue(rack, ret_slabs[i]);
	}
	rc = kona_rack_commit(rack);
	if (!rc)
		rack->slabs_granted += (uint64_t)wish->count;
	return rc;
}
