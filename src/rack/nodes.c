/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory nodes: liveness, leaving, draining, quotas. Registration is in register.c.
 *
 * When a node was last heard of is known in memory only: after a start, a loading, or a pause of
 * the controller itself, all get one deadline anew.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/units.h"
#include "rack/rack.h"

void kona_rack_init(struct kona_rack *rack, uint64_t now_ns, uint64_t seed)
{
	memset(rack, 0, sizeof(*rack));
	if (!seed && getrandom(&seed, sizeof(seed), 0) < 0)
		seed = kona_now_ns();
	rack->random = seed | 1;
	rack->stale = true;
	rack->replicas = 1;
	rack->deadline_ns = KONA_RACK_DEADLINE_MS * UINT64_C(1000000);
	rack->lease_ns = KONA_RACK_LEASE_MS * UINT64_C(1000000);
	rack->now_ns = rack->since_ns = rack->ticked_ns = now_ns;
	TAILQ_INIT(&rack->work);
	TAILQ_INIT(&rack->starved);
}

void kona_rack_free(struct kona_rack *rack)
{
	kona_model_clear(&rack->model);
	kona_rack_store_close(rack->store);
	free(rack->batch.entries);
	memset(rack, 0, sizeof(*rack));
}

int kona_rack_refuse(struct kona_rack *rack, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(rack->why, sizeof(rack->why), format, args);
	va_end(args);
	return error;
}

uint64_t kona_rack_random(struct kona_rack *rack)
{
	rack->random ^= rack->random << 13;
	rack->random ^= rack->random >> 7;
	rack->random ^= rack->random << 17;
	return rack->random;
}

bool kona_rack_is_up(const struct kona_rack *rack, const struct kona_rack_node *node)
{
	uint64_t since_ns = node->heard_ns > rack->since_ns ? node->heard_ns : rack->since_ns;

	return rack->now_ns - since_ns < rack->deadline_ns;
}

int kona_rack_find_node(struct kona_rack *rack, int64_t node, struct kona_rack_node **ret_node)
{
	struct kona_rack_node *found = kona_table_find(&rack->model.nodes, node);

	if (!found)
		return kona_rack_refuse(rack, -ENOENT, "there is no node %lld", (long long)node);
	*ret_node = found;
	return 0;
}

int kona_rack_find_instance(struct kona_rack *rack, int64_t node, const char *instance,
			    struct kona_rack_node **ret_node)
{
	struct kona_rack_node *found = kona_table_find(&rack->model.nodes, node);

	if (!found || !found->registered || strcmp(found->instance, instance) != 0)
		return kona_rack_refuse(rack, -ENOENT,
					"node %lld is not registered with this instance",
					(long long)node);
	*ret_node = found;
	return 0;
}

/* With its leases and replicas. */
static int forget(struct kona_rack *rack, struct kona_rack_node *node)
{
	struct kona_rack_lease *lease;
	int rc = 0;

	while (!rc && (lease = TAILQ_FIRST(&node->leases)))
		rc = kona_rack_free_lease(rack, lease);
	if (!rc)
		rc = kona_rack_forget_replicas(rack, node);
	if (rc) {
		rack->stale = true;
		return kona_rack_refuse(rack, rc, "the controller is out of memory");
	}
	kona_rack_touch(rack, KONA_RECORD_NODE, node->id);
	kona_model_node_remove(&rack->model, node);
	return kona_rack_commit(rack);
}

int kona_rack_leave(struct kona_rack *rack, int64_t node, const char *instance)
{
	struct kona_rack_node *left = NULL;
	int rc = kona_rack_begin(rack);

	if (!rc)
		rc = kona_rack_find_instance(rack, node, instance, &left);
	return rc ? rc : forget(rack, left);
}

int kona_rack_remove(struct kona_rack *rack, int64_t node)
{
	struct kona_rack_node *gone = NULL;
	int rc = kona_rack_begin(rack);

	if (!rc)
		rc = kona_rack_find_node(rack, node, &gone);
	if (rc)
		return rc;
	if (kona_rack_is_up(rack, gone))
		return kona_rack_refuse(rack, -EBUSY,
					"node %s is up: drain it, then stop its kona-memd, which "
					"makes it leave",
					gone->name);
	return forget(rack, gone);
}

int kona_rack_drain(struct kona_rack *rack, int64_t node, bool drain)
{
	struct kona_rack_node *found = NULL;
	int rc = kona_rack_begin(rack);

	if (!rc)
		rc = kona_rack_find_node(rack, node, &found);
	if (rc || found->draining == drain)
		return rc;
	found->draining = drain;
	kona_rack_touch(rack, KONA_RECORD_NODE, node);
	kona_rack_queue_node(rack, found);
	rack->room_changed = true;
	return kona_rack_commit(rack);
}

int kona_rack_quota(struct kona_rack *rack, int64_t node, int64_t bytes)
{
	struct kona_rack_node *found = NULL;
	int rc = kona_rack_begin(rack);

	if (!rc)
		rc = kona_rack_find_node(rack, node, &found);
	if (rc)
		return rc;
	found->quota_bytes = bytes;
	kona_rack_touch(rack, KONA_RECORD_NODE, node);
	return kona_rack_commit(rack);
}
