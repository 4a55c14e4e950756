/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leases and their slabs. Each operation is one transaction: all of it, or nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rack/rack.h"

int kona_rack_lease_open(struct kona_rack *rack, int64_t node, const char *instance,
			 const struct kona_rack_lease *lease, int64_t *ret_lease)
{
	struct kona_rack_store *store = &rack->store;
	int64_t id;
	int rc = kona_rack_heartbeat(rack, node, instance);

	if (rc)
		return rc;
	if (kona_rack_begin(store))
		return kona_rack_state_failed(rack);
	if (kona_rack_next_id(store, "lease", &id) ||
	    kona_rack_run(kona_rack_query(store, KONA_SQL_LEASE_PUT, id, node, lease->pid,
					  lease->uid, lease->program, lease->limit_bytes,
					  INT64_C(0))) ||
	    kona_rack_commit(store)) {
		rc = kona_rack_state_failed(rack);
		kona_rack_rollback(store);
		return rc;
	}
	*ret_lease = id;
	return 0;
}

struct asked {
	int64_t lease, count, have, request;
	int64_t node, limit_bytes; /* of the lease */
};

static int read_lease(struct kona_rack *rack, struct asked *asked)
{
	sqlite3_stmt *found = kona_rack_query(&rack->store, KONA_SQL_LEASE, asked->lease);
	int64_t request = 0;
	int rc = kona_rack_step(found);

	if (rc < 0)
		return kona_rack_state_failed(rack);
	if (rc) {
		asked->node = sqlite3_column_int64(found, 0);
		asked->limit_bytes = sqlite3_column_int64(found, 1);
		request = sqlite3_column_int64(found, 2);
	}
	sqlite3_reset(found);
	if (!rc) {
		snprintf(rack->why, sizeof(rack->why), "there is no lease %lld",
			 (long long)asked->lease);
		return -ENOENT;
	}
	if (asked->request <= request) {
		snprintf(rack->why, sizeof(rack->why), "request %lld came after request %lld",
			 (long long)asked->request, (long long)request);
		return -ESTALE;
	}
	return 0;
}

static int check_quota(struct kona_rack *rack, const struct asked *asked)
{
	sqlite3_stmt *found = kona_rack_query(&rack->store, KONA_SQL_SLABS_HELD, asked->lease);
	int64_t held;

	if (kona_rack_step(found) != 1)
		return kona_rack_state_failed(rack);
	held = sqlite3_column_int64(found, 0);
	sqlite3_reset(found);
	if (!asked->limit_bytes ||
	    held + asked->count <= asked->limit_bytes / rack->store.slab_bytes)
		return 0;
	snprintf(rack->why, sizeof(rack->why),
		 "the lease holds %lld slabs of %lld MiB, %lld more would exceed its limit of %lld "
		 "MiB",
		 (long long)held, (long long)(rack->store.slab_bytes >> 20),
		 (long long)asked->count, (long long)(asked->limit_bytes >> 20));
	return -EDQUOT;
}

/* Reads all nodes; the caller frees the array and each name. */
static int read_candidates(struct kona_rack *rack, struct kona_rack_candidate **ret_candidates,
			   size_t *ret_count)
{
	sqlite3_stmt *rows = kona_rack_query(&rack->store, KONA_SQL_NODES);
	struct kona_rack_candidate *all = NULL;
	size_t count = 0;
	int rc;

	while ((rc = kona_rack_step(rows)) == 1) {
		struct kona_rack_candidate *more = reallocarray(all, count + 1, sizeof(*all));
		struct kona_rack_candidate *c;

		if (!more)
			break;
		all = more;
		c = &all[count];
		c->node = sqlite3_column_int64(rows, 0);
		c->name = strdup(kona_rack_column_text(rows, 1));
		c->up = kona_rack_is_up(rack, c->node);
		c->capacity_slabs = sqlite3_column_int64(rows, 3) / rack->store.slab_bytes;
		c->used_slabs = sqlite3_column_int64(rows, 4);
		if (!c->name)
			break;
		count++;
	}
	sqlite3_reset(rows);
	*ret_candidates = all;
	*ret_count = count;
	return rc ? kona_rack_state_failed(rack) : 0;
}

static int choose_node(struct kona_rack *rack, const struct asked *asked, int64_t *ret_node)
{
	struct kona_rack_candidate *candidates = NULL;
	size_t count = 0, index;
	int rc = read_candidates(rack, &candidates, &count);

	if (!rc)
		rc = kona_rack_place(candidates, count, asked->node, asked->count, &index,
				     rack->why);
	if (!rc)
		*ret_node = candidates[index].node;
	for (size_t i = 0; i < count; i++)
		free((char *)candidates[i].name);
	free(candidates);
	return rc;
}

static int record(struct kona_rack *rack, const struct asked *asked, int64_t node, int64_t *slabs)
{
	struct kona_rack_store *store = &rack->store;

	for (int64_t i = 0; i < asked->count; i++)
		if (kona_rack_next_id(store, "slab", &slabs[i]) ||
		    kona_rack_run(kona_rack_query(store, KONA_SQL_SLAB_PUT, slabs[i], asked->lease,
						  node)))
			return kona_rack_state_failed(rack);
	if (kona_rack_run(
		    kona_rack_query(store, KONA_SQL_LEASE_REQUEST, asked->request, asked->lease)) ||
	    kona_rack_commit(store))
		return kona_rack_state_failed(rack);
	return 0;
}

int kona_rack_grant(struct kona_rack *rack, int64_t lease, int64_t count, int64_t have,
		    int64_t request, int64_t *ret_slabs, int64_t *ret_node)
{
	struct asked asked = {.lease = lease, .count = count, .have = have, .request = request};
	int64_t node = 0;
	int rc;

	if (kona_rack_begin(&rack->store))
		return kona_rack_state_failed(rack);
	rc = read_lease(rack, &asked);
	if (!rc &&
	    kona_rack_run(kona_rack_query(&rack->store, KONA_SQL_SLABS_DROP_AFTER, lease, have)))
		rc = kona_rack_state_failed(rack);
	if (!rc) {
		/* Only its node asks for a lease: so it lives, though it may have been paused. */
		kona_rack_hear(rack, asked.node);
		rc = check_quota(rack, &asked);
	}
	if (!rc)
		rc = choose_node(rack, &asked, &node);
	if (!rc)
		rc = record(rack, &asked, node, ret_slabs);
	if (rc) {
		kona_rack_rollback(&rack->store);
		return rc;
	}
	rack->slabs_granted += (uint64_t)count;
	*ret_node = node;
	return 0;
}

int kona_rack_lease_end(struct kona_rack *rack, int64_t lease)
{
	if (kona_rack_run(kona_rack_query(&rack->store, KONA_SQL_LEASE_DROP, lease)))
		return kona_rack_state_failed(rack);
	/* One that is gone already is no failure: the request may have been repeated. */
	return 0;
}
