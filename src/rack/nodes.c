/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory nodes: registration, liveness, leaving.
 *
 * State: when each node was last heard of, in memory. Nothing is fenced yet when a node goes
 * silent: it only gets no new grants, because its slabs have no other copy to go to.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/units.h"
#include "rack/rack.h"
#include "wire/rack.h"

void kona_rack_init(struct kona_rack *rack)
{
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), 0) < 0)
		random = kona_now_ns();
	rack->epoch = (int64_t)(random % (uint64_t)KONA_RACK_MOST_VALUE);
	rack->deadline_ns = KONA_RACK_DEADLINE_MS * UINT64_C(1000000);
	rack->started_ns = kona_now_ns();
}

void kona_rack_free(struct kona_rack *rack)
{
	free(rack->heard);
	kona_rack_store_close(&rack->store);
}

int kona_rack_state_failed(struct kona_rack *rack)
{
	rack->state_errors++;
	snprintf(rack->why, sizeof(rack->why), "the controller's state file: %s",
		 kona_rack_store_text(&rack->store));
	return -EIO;
}

static struct kona_rack_heard *find_heard(const struct kona_rack *rack, int64_t node)
{
	for (size_t i = 0; i < rack->heard_count; i++)
		if (rack->heard[i].node == node)
			return &rack->heard[i];
	return NULL;
}

bool kona_rack_is_up(const struct kona_rack *rack, int64_t node)
{
	const struct kona_rack_heard *heard = find_heard(rack, node);
	uint64_t since_ns = heard ? heard->when_ns : rack->started_ns;

	return kona_now_ns() - since_ns < rack->deadline_ns;
}

/* Returns the place for the node's time, or NULL without memory. */
static struct kona_rack_heard *place_heard(struct kona_rack *rack, int64_t node)
{
	struct kona_rack_heard *heard = find_heard(rack, node);

	if (heard)
		return heard;
	heard = reallocarray(rack->heard, rack->heard_count + 1, sizeof(*heard));
	if (!heard)
		return NULL;
	rack->heard = heard;
	heard += rack->heard_count++;
	heard->node = node;
	return heard;
}

void kona_rack_hear(struct kona_rack *rack, int64_t node)
{
	struct kona_rack_heard *heard = place_heard(rack, node);

	if (heard)
		heard->when_ns = kona_now_ns();
}

/* Finds the node's identifier, or takes a new one. */
static int identify(struct kona_rack *rack, const struct kona_rack_registration *registration,
		    int64_t *ret_node)
{
	sqlite3_stmt *found =
		kona_rack_query(&rack->store, KONA_SQL_NODE_BY_NAME, registration->name);
	int rc = kona_rack_step(found);

	if (rc < 0)
		return kona_rack_state_failed(rack);
	if (!rc)
		return kona_rack_next_id(&rack->store, "node", ret_node)
			       ? kona_rack_state_failed(rack)
			       : 0;
	*ret_node = sqlite3_column_int64(found, 0);
	rc = strcmp(kona_rack_column_text(found, 1), registration->instance);
	sqlite3_reset(found);
	if (rc && kona_rack_is_up(rack, *ret_node)) {
		snprintf(rack->why, sizeof(rack->why),
			 "a node named %s is alive already: give this one another name, or wait "
			 "%d s if that one was killed",
			 registration->name, KONA_RACK_DEADLINE_MS / 1000);
		return -EEXIST;
	}
	return 0;
}

static int put_lease(struct kona_rack *rack, int64_t node, const struct kona_rack_lease *lease)
{
	struct kona_rack_store *store = &rack->store;
	int rc = kona_rack_run(kona_rack_query(store, KONA_SQL_LEASE_PUT, lease->lease, node,
					       lease->pid, lease->uid, lease->program,
					       lease->limit_bytes, lease->request));

	if (!rc)
		rc = kona_rack_run(
			kona_rack_query(store, KONA_SQL_RAISE_ID, lease->lease, "lease"));
	for (size_t i = 0; i < lease->slab_count && !rc; i++) {
		rc = kona_rack_run(kona_rack_query(store, KONA_SQL_SLAB_PUT, lease->slabs[i],
						   lease->lease, node));
		if (!rc)
			rc = kona_rack_run(
				kona_rack_query(store, KONA_SQL_RAISE_ID, lease->slabs[i], "slab"));
	}
	if (rc == -EEXIST)
		snprintf(rack->why, sizeof(rack->why),
			 "lease %lld, or a slab of it, belongs to another node",
			 (long long)lease->lease);
	return rc == -EEXIST || !rc ? rc : kona_rack_state_failed(rack);
}

int kona_rack_register(struct kona_rack *rack, const struct kona_rack_registration *registration,
		       int64_t *ret_node)
{
	struct kona_rack_store *store = &rack->store;
	struct kona_rack_heard *heard;
	int64_t node;
	int rc;

	if (kona_rack_begin(store))
		return kona_rack_state_failed(rack);
	rc = identify(rack, registration, &node);
	if (rc)
		goto out;
	rc = -EIO;
	if (kona_rack_run(kona_rack_query(store, KONA_SQL_NODE_PUT, node, registration->name,
					  registration->instance, registration->capacity_bytes)) ||
	    kona_rack_run(kona_rack_query(store, KONA_SQL_LEASES_DROP, node))) {
		kona_rack_state_failed(rack);
		goto out;
	}
	rc = 0;
	for (size_t i = 0; i < registration->lease_count && !rc; i++)
		rc = put_lease(rack, node, &registration->leases[i]);
	if (rc)
		goto out;
	heard = place_heard(rack, node);
	if (!heard) {
		snprintf(rack->why, sizeof(rack->why), "the controller is out of memory");
		rc = -ENOMEM;
		goto out;
	}
	if (kona_rack_commit(store)) {
		rc = kona_rack_state_failed(rack);
		goto out;
	}
	heard->when_ns = kona_now_ns();
	*ret_node = node;
	return 0;
out:
	kona_rack_rollback(store);
	return rc;
}

/* Is the node registered with this instance? */
static int check_instance(struct kona_rack *rack, int64_t node, const char *instance)
{
	sqlite3_stmt *found = kona_rack_query(&rack->store, KONA_SQL_NODE_BY_ID, node);
	int rc = kona_rack_step(found);

	if (rc < 0)
		return kona_rack_state_failed(rack);
	if (rc)
		rc = !strcmp(kona_rack_column_text(found, 0), instance);
	sqlite3_reset(found);
	if (rc)
		return 0;
	snprintf(rack->why, sizeof(rack->why), "node %lld is not registered with this instance",
		 (long long)node);
	return -ENOENT;
}

int kona_rack_heartbeat(struct kona_rack *rack, int64_t node, const char *instance)
{
	int rc = check_instance(rack, node, instance);

	if (!rc)
		kona_rack_hear(rack, node);
	return rc;
}

int kona_rack_leave(struct kona_rack *rack, int64_t node, const char *instance)
{
	int rc = check_instance(rack, node, instance);
	struct kona_rack_heard *heard;

	if (rc)
		return rc;
	if (kona_rack_run(kona_rack_query(&rack->store, KONA_SQL_NODE_DROP, node)))
		return kona_rack_state_failed(rack);
	heard = find_heard(rack, node);
	if (heard)
		*heard = rack->heard[--rack->heard_count];
	return 0;
}
