/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Catches: a controller that grants what is not there, the same twice, more than the quotas, or two
 * copies where one death takes both; that lets a stale copy be read; that gives memory back while
 * somebody writes to it; a registration that leaves both sides of another opinion; an older state
 * file that is lost.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "rack/orders.h"

#define SLAB   INT64_C(65536)
#define SECOND UINT64_C(1000000000)

static void open_store(struct kona_rack *rack, const char *path)
{
	char why[KONA_STORE_TEXT_BYTES];

	kona_rack_init(rack, 100 * SECOND, 7);
	rack->wished_slab_bytes = SLAB;
	assert_int_equal(kona_rack_store_open(path, "", NULL, &rack->store, why), 0);
	kona_rack_tick(rack);
	assert_true(rack->leads && !rack->stale);
}

static int open_rack(void **state)
{
	static struct kona_rack rack;

	open_store(&rack, ":memory:");
	*state = &rack;
	return 0;
}

static int close_rack(void **state)
{
	kona_rack_free(*state);
	return 0;
}

static int enroll(struct kona_rack *rack, const struct kona_rack_registration *registration,
		  int64_t *ret_node)
{
	struct kona_ids ended = {0};
	int rc = kona_rack_register(rack, registration, ret_node, &ended);

	kona_ids_free(&ended);
	return rc;
}

static int64_t add_node_at(struct kona_rack *rack, const char *name, const char *domain,
			   int64_t slabs)
{
	const struct kona_rack_registration registration = {
		.name = name,
		.instance = "i",
		.domain = domain,
		.endpoint = slabs ? "host:1" : "",
		.secret = slabs ? "000102030405060708090a0b0c0d0e0f" : "",
		.capacity_bytes = slabs * SLAB};
	int64_t node = 0;

	assert_int_equal(enroll(rack, &registration, &node), 0);
	return node;
}

static int64_t add_node(struct kona_rack *rack, const char *name, int64_t slabs)
{
	return add_node_at(rack, name, name, slabs);
}

static int64_t add_lease(struct kona_rack *rack, int64_t node, int64_t limit_slabs,
			 int64_t replicas)
{
	const struct kona_rack_claim claim = {.pid = 5,
					      .program = "test",
					      .limit_bytes = limit_slabs * SLAB,
					      .replicas = replicas};
	int64_t id = 0;

	assert_int_equal(kona_rack_lease_open(rack, node, "i", &claim, &id), 0);
	return id;
}

static struct kona_rack_slab *granted[KONA_RACK_MOST_SLABS];

static int grant(struct kona_rack *rack, int64_t lease, int64_t count, int64_t have,
		 int64_t request, bool remote)
{
	const struct kona_rack_wish wish = {lease, count, have, request, remote};

	return kona_rack_grant(rack, &wish, granted);
}

static int64_t held(struct kona_rack *rack, int64_t lease)
{
	const struct kona_rack_lease *found = kona_table_find(&rack->model.leases, lease);

	return found ? found->slab_count : 0;
}

static struct kona_rack_node *node_of(struct kona_rack *rack, int64_t node)
{
	return kona_table_find(&rack->model.nodes, node);
}

static void beat(struct kona_rack *rack, int64_t node)
{
	const struct kona_rack_reports none = {0};

	assert_int_equal(kona_rack_heartbeat(rack, node, "i", &none), 0);
}

static void settle(struct kona_rack *rack)
{
	while (!kona_rack_tick(rack))
		;
}

/* The client takes the set as it is. */
static void take(struct kona_rack *rack, const struct kona_rack_slab *slab)
{
	struct kona_rack_taken taken = {slab->lease->id, slab->id, slab->version};
	const struct kona_rack_reports reports = {.taken = &taken, .taken_count = 1};

	assert_int_equal(kona_rack_heartbeat(rack, slab->lease->node->id, "i", &reports), 0);
	settle(rack);
}

static void copied(struct kona_rack *rack, int64_t node, int64_t slab)
{
	const struct kona_rack_reports reports = {.copied = {.ids = &slab, .count = 1}};

	assert_int_equal(kona_rack_heartbeat(rack, node, "i", &reports), 0);
	settle(rack);
}

static uint8_t state_on(struct kona_rack *rack, struct kona_rack_slab *slab, int64_t node)
{
	const struct kona_rack_replica *r = kona_model_replica_on(slab, node_of(rack, node));

	return r ? r->state : 0;
}

static void grants_end_at_capacity_and_quotas(void **state)
{
	struct kona_rack *rack = *state;
	int64_t node = add_node(rack, "a", 10);
	int64_t free_lease = add_lease(rack, node, 0, 1), limited = add_lease(rack, node, 3, 1);
	int64_t ids[7], last;

	assert_int_equal(grant(rack, limited, 4, 0, 1, false), -EDQUOT);
	assert_int_equal(grant(rack, limited, 3, 0, 2, false), 0);
	assert_int_equal(granted[0]->replicas[0].node->id, node);
	for (int i = 0; i < 3; i++)
		ids[i] = granted[i]->id;
	assert_int_equal(grant(rack, free_lease, 8, 0, 1, false), -ENOSPC);
	assert_int_equal(held(rack, free_lease), 0);
	assert_int_equal(grant(rack, free_lease, 7, 0, 2, false), 0);
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 7; j++)
			assert_int_not_equal(ids[i], granted[j]->id);
	last = granted[6]->id;
	assert_int_equal(kona_rack_lease_end(rack, limited), 0);
	assert_int_equal(kona_rack_lease_end(rack, limited), 0);
	assert_int_equal(kona_rack_quota(rack, node, 9 * SLAB), 0);
	assert_int_equal(grant(rack, free_lease, 3, last, 3, false), -EDQUOT);
	assert_non_null(strstr(rack->why, "quota"));
	assert_int_equal(kona_rack_quota(rack, node, 0), 0);
	assert_int_equal(grant(rack, free_lease, 3, last, 3, false), 0);
	/* Not an identifier of the lease that has ended. */
	assert_true(granted[0]->id > last);
	assert_int_equal(grant(rack, limited, 1, 0, 9, false), -ENOENT);
}

static void a_lost_answer_leaves_nothing_behind(void **state)
{
	struct kona_rack *rack = *state;
	int64_t node = add_node(rack, "a", 10), lease = add_lease(rack, node, 0, 1);

	assert_int_equal(grant(rack, lease, 2, 0, 5, false), 0);
	/* The node did not hear that, and asks again. */
	assert_int_equal(grant(rack, lease, 10, 0, 6, false), 0);
	assert_int_equal(held(rack, lease), 10);
	/* A late copy of an old request takes nothing away. */
	assert_int_equal(grant(rack, lease, 1, 0, 5, false), -ESTALE);
	assert_int_equal(grant(rack, lease, 1, 0, 6, false), -ESTALE);
	assert_int_equal(held(rack, lease), 10);
}

static void registration_replaces_what_was_known(void **state)
{
	struct kona_rack *rack = *state;
	int64_t node = add_node(rack, "a", 10), other = add_node(rack, "b", 10);
	int64_t ended = add_lease(rack, node, 0, 1), lives = add_lease(rack, node, 0, 1);
	int64_t elsewhere = add_lease(rack, other, 0, 1);
	int64_t mine[] = {0, 0, KONA_RACK_MOST_VALUE / 2}, again = 0, first;
	struct kona_rack_claim claim = {.lease = lives,
					.pid = 5,
					.program = "p",
					.slabs = {.ids = mine, .count = 3},
					.replicas = 1,
					.request = 7};
	struct kona_rack_registration registration = {.name = "a",
						      .instance = "i",
						      .domain = "a",
						      .endpoint = "",
						      .secret = "",
						      .capacity_bytes = 10 * SLAB,
						      .claims = &claim,
						      .claim_count = 1};

	assert_int_equal(grant(rack, ended, 4, 0, 1, false), 0);
	first = granted[0]->id;
	assert_int_equal(grant(rack, elsewhere, 1, 0, 1, false), 0);
	mine[0] = granted[0]->id;
	mine[1] = mine[0] + 1000;
	assert_int_equal(enroll(rack, &registration, &again), -EEXIST);
	assert_int_equal(held(rack, ended), 4);
	mine[0] = first;
	assert_int_equal(enroll(rack, &registration, &again), -EEXIST);
	mine[0] = mine[1] + 1;
	assert_int_equal(enroll(rack, &registration, &again), 0);
	assert_int_equal(again, node);
	assert_int_equal(held(rack, ended), 0);
	assert_int_equal(held(rack, lives), 3);
	assert_int_equal(held(rack, elsewhere), 1);
	assert_int_equal(grant(rack, lives, 1, mine[2], 7, false), -ESTALE);
	assert_int_equal(grant(rack, lives, 1, mine[2], 8, false), 0);
	assert_true(granted[0]->id > KONA_RACK_MOST_VALUE / 2);
}

static void a_silent_node_loses_its_name(void **state)
{
	struct kona_rack *rack = *state;
	int64_t node = add_node(rack, "a", 10);
	const struct kona_rack_reports none = {0};
	const struct kona_rack_registration registration = {.name = "a",
							    .instance = "new",
							    .domain = "a",
							    .endpoint = "",
							    .secret = "",
							    .capacity_bytes = SLAB};

	assert_int_equal(enroll(rack, &registration, &node), -EEXIST);
	assert_non_null(strstr(rack->why, "alive"));
	assert_int_equal(kona_rack_remove(rack, node), -EBUSY);
	rack->now_ns += rack->deadline_ns;
	assert_false(kona_rack_is_up(rack, node_of(rack, node)));
	assert_int_equal(enroll(rack, &registration, &node), 0);
	assert_int_equal(kona_rack_heartbeat(rack, node, "i", &none), -ENOENT);
	assert_int_equal(kona_rack_heartbeat(rack, node, "new", &none), 0);
	assert_int_equal(kona_rack_leave(rack, node, "i"), -ENOENT);
	assert_int_equal(kona_rack_leave(rack, node, "new"), 0);
	assert_int_equal(kona_rack_heartbeat(rack, node, "new", &none), -ENOENT);
}

static void replicas_stand_in_different_domains(void **state)
{
	struct kona_rack *rack = *state;
	int64_t client = add_node(rack, "client", 0), lease;

	add_node_at(rack, "a1", "a", 40);
	add_node_at(rack, "a2", "a", 40);
	add_node_at(rack, "a3", "a", 40);
	add_node_at(rack, "b1", "b", 30);
	lease = add_lease(rack, client, 0, 2);
	assert_int_equal(grant(rack, lease, 30, 0, 1, true), 0);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(granted[i]->count, 2);
		assert_string_not_equal(granted[i]->replicas[0].node->domain,
					granted[i]->replicas[1].node->domain);
	}
	/* b1 is full: better two in one domain than one copy; but never two on one node. */
	assert_int_equal(grant(rack, lease, 10, granted[29]->id, 2, true), 0);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(granted[i]->count, 2);
		assert_ptr_not_equal(granted[i]->replicas[0].node, granted[i]->replicas[1].node);
	}
}

static void capacity_is_shared_evenly(void **state)
{
	struct kona_rack *rack = *state;
	int64_t client = add_node(rack, "client", 0), lease, have = 0;
	int64_t least = INT64_MAX, most = 0;
	char name[16];

	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		add_node(rack, name, 1000);
	}
	lease = add_lease(rack, client, 0, 2);
	for (int i = 1; i <= 100; i++) {
		assert_int_equal(grant(rack, lease, 50, have, i, true), 0);
		have = granted[49]->id;
	}
	for (size_t i = 0; i < rack->model.nodes.count; i++) {
		int64_t slabs = (int64_t)rack->model.order[i]->slab_count;

		if (!rack->model.order[i]->endpoint[0])
			continue;
		least = slabs < least ? slabs : least;
		most = slabs > most ? slabs : most;
	}
	assert_in_range(least, 490, 500);
	assert_in_range(most, 500, 510);
}

/* Three nodes and a client, with one slab of two copies; returns it, and where it is not. */
static struct kona_rack_slab *one_slab(struct kona_rack *rack, int64_t nodes[4], int64_t *ret_spare)
{
	static const char *const names[] = {"client", "a", "b", "c"};
	int64_t lease;

	for (int i = 0; i < 4; i++)
		nodes[i] = add_node(rack, names[i], i ? 10 : 0);
	lease = add_lease(rack, nodes[0], 0, 2);
	assert_int_equal(grant(rack, lease, 1, 0, 1, true), 0);
	for (int i = 1; i < 4; i++)
		if (!kona_model_replica_on(granted[0], node_of(rack, nodes[i])))
			*ret_spare = nodes[i];
	return granted[0];
}

static void beat_all_but(struct kona_rack *rack, const int64_t nodes[4], int64_t silent)
{
	for (int i = 0; i < 4; i++)
		if (nodes[i] != silent)
			beat(rack, nodes[i]);
}

/* Steps of half a second, so that the controller does not think that it was paused itself. */
static void pass(struct kona_rack *rack, const int64_t nodes[4], int64_t silent, int half_seconds)
{
	for (int i = 0; i < half_seconds; i++) {
		rack->now_ns += SECOND / 2;
		beat_all_but(rack, nodes, silent);
		settle(rack);
	}
}

static void a_dead_nodes_slab_is_made_again(void **state)
{
	struct kona_rack *rack = *state;
	int64_t nodes[4], spare = 0, dead, slab_id;
	struct kona_rack_slab *slab = one_slab(rack, nodes, &spare);
	json_t *orders;

	slab_id = slab->id;
	dead = slab->replicas[0].node->id;
	pass(rack, nodes, dead, 7);
	assert_int_equal(slab->version, 1);
	pass(rack, nodes, dead, 2);
	assert_int_equal(state_on(rack, slab, dead), KONA_RACK_LEAVING);
	assert_int_equal(state_on(rack, slab, spare), KONA_RACK_JOINING);
	/* No copy begins before the client writes to the new one. */
	orders = json_object();
	assert_int_equal(kona_rack_orders(rack, spare, orders), 0);
	assert_int_equal(json_array_size(json_object_get(orders, "replicate")), 0);
	copied(rack, spare, slab_id);
	assert_int_equal(state_on(rack, slab, spare), KONA_RACK_JOINING);
	take(rack, slab);
	assert_int_equal(state_on(rack, slab, dead), 0);
	assert_int_equal(state_on(rack, slab, spare), KONA_RACK_COPYING);
	assert_int_equal(kona_rack_orders(rack, spare, orders), 0);
	assert_int_equal(json_array_size(json_object_get(orders, "replicate")), 1);
	copied(rack, spare, slab_id);
	assert_int_equal(state_on(rack, slab, spare), KONA_RACK_FULL);
	take(rack, slab);
	assert_int_equal(slab->health, KONA_RACK_HEALTHY);
	/* It comes back with what it had: stale, so it is to drop it, and gets no copy until then.
	 */
	beat(rack, dead);
	assert_int_equal(kona_rack_orders(rack, dead, orders), 0);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(orders, "drop"), 0)),
			 slab_id);
	json_decref(orders);
}

static void a_restart_forgets_no_step(void **state)
{
	struct kona_rack *rack = *state;
	int64_t nodes[4], spare = 0, dead, slab_id;
	struct kona_rack_slab *slab = one_slab(rack, nodes, &spare);
	struct kona_rack_registration hosts = {.name = "a",
					       .instance = "i",
					       .domain = "a",
					       .endpoint = "host:1",
					       .secret = "000102030405060708090a0b0c0d0e0f",
					       .capacity_bytes = 10 * SLAB};
	int64_t held_ids[] = {0, 99};
	int64_t epoch = rack->epoch, node;
	json_t *orders = json_object();

	slab_id = slab->id;
	dead = slab->replicas[1].node->id;
	pass(rack, nodes, dead, 9);
	rack->stale = true;
	settle(rack);
	assert_int_not_equal(rack->epoch, epoch);
	slab = kona_table_find(&rack->model.slabs, slab_id);
	assert_int_equal(state_on(rack, slab, spare), KONA_RACK_JOINING);
	for (int i = 0; i < 4; i++) {
		const struct kona_rack_reports none = {0};

		assert_int_equal(kona_rack_heartbeat(rack, nodes[i], "i", &none), -ENOENT);
		node_of(rack, nodes[i])->registered = true;
	}
	assert_int_equal(kona_rack_orders(rack, nodes[0], orders), 0);
	assert_int_equal(json_array_size(json_object_get(orders, "sets")), 1);
	take(rack, slab);
	rack->stale = true;
	settle(rack);
	slab = kona_table_find(&rack->model.slabs, slab_id);
	assert_int_equal(state_on(rack, slab, spare), KONA_RACK_COPYING);
	assert_int_equal(kona_rack_orders(rack, spare, orders), 0);
	assert_int_equal(json_array_size(json_object_get(orders, "replicate")), 1);
	/* What a node holds and nobody misses is dropped. */
	held_ids[0] = slab_id;
	hosts.name = node_of(rack, spare)->name;
	hosts.domain = hosts.name;
	hosts.hosted = (struct kona_ids){held_ids, 2, 2};
	assert_int_equal(enroll(rack, &hosts, &node), 0);
	assert_int_equal(kona_rack_orders(rack, spare, orders), 0);
	assert_int_equal(json_array_size(json_object_get(orders, "drop")), 1);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(orders, "drop"), 0)),
			 99);
	json_decref(orders);
}

static void the_last_copy_is_never_given_up(void **state)
{
	struct kona_rack *rack = *state;
	int64_t nodes[4], spare = 0;
	struct kona_rack_slab *slab = one_slab(rack, nodes, &spare);

	for (int i = 0; i < 20; i++) {
		rack->now_ns += SECOND / 2;
		beat(rack, nodes[0]);
		beat(rack, spare);
		settle(rack);
	}
	assert_int_equal(slab->health, KONA_RACK_LOST);
	assert_int_equal(slab->version, 1);
	assert_int_equal(slab->count, 2);
	beat_all_but(rack, nodes, 0);
	settle(rack);
	assert_int_equal(slab->health, KONA_RACK_HEALTHY);
}

static void an_empty_return_is_no_copy(void **state)
{
	struct kona_rack *rack = *state;
	int64_t client = add_node(rack, "client", 0), node = add_node(rack, "a", 10), other;
	int64_t lease = add_lease(rack, client, 0, 1);
	const struct kona_rack_registration empty = {.name = "a",
						     .instance = "j",
						     .domain = "a",
						     .endpoint = "host:1",
						     .secret = "000102030405060708090a0b0c0d0eff",
						     .capacity_bytes = 10 * SLAB};

	assert_int_equal(grant(rack, lease, 1, 0, 1, true), 0);
	for (int i = 0; i < 9; i++) {
		rack->now_ns += SECOND / 2;
		beat(rack, client);
		settle(rack);
	}
	assert_int_equal(granted[0]->health, KONA_RACK_LOST);
	assert_int_equal(granted[0]->count, 1);
	assert_int_equal(enroll(rack, &empty, &other), 0);
	assert_int_equal(other, node);
	settle(rack);
	assert_int_equal(granted[0]->health, KONA_RACK_LOST);
	assert_int_equal(granted[0]->count, 0);
}

static void what_the_client_lost_is_not_read(void **state)
{
	struct kona_rack *rack = *state;
	int64_t nodes[4], spare = 0, bad, good;
	struct kona_rack_slab *slab = one_slab(rack, nodes, &spare);
	struct kona_rack_lost lost = {slab->lease->id, slab->replicas[0].node->id, 0};
	const struct kona_rack_reports reports = {.lost = &lost, .lost_count = 1};
	json_t *set;

	bad = lost.node;
	good = slab->replicas[1].node->id;
	/* Another node's client has no say. */
	assert_int_equal(kona_rack_heartbeat(rack, spare, "i", &reports), 0);
	assert_int_equal(state_on(rack, slab, bad), KONA_RACK_FULL);
	assert_int_equal(kona_rack_heartbeat(rack, nodes[0], "i", &reports), 0);
	settle(rack);
	assert_int_equal(state_on(rack, slab, bad), KONA_RACK_LEAVING);
	set = kona_rack_set(slab);
	assert_int_equal(json_array_size(json_object_get(set, "replicas")), 2);
	json_decref(set);
	/* And the one that is left fails, too: nothing can be copied from the first. */
	lost.node = good;
	lost.slab = slab->id;
	assert_int_equal(kona_rack_heartbeat(rack, nodes[0], "i", &reports), 0);
	settle(rack);
	assert_int_equal(slab->health, KONA_RACK_LOST);
}

static void draining_moves_all_then_ends(void **state)
{
	struct kona_rack *rack = *state;
	int64_t nodes[4], spare = 0, drained;
	struct kona_rack_slab *slab = one_slab(rack, nodes, &spare);

	drained = slab->replicas[0].node->id;
	assert_int_equal(kona_rack_drain(rack, drained, true), 0);
	settle(rack);
	/* It is read until its successor is full. */
	assert_int_equal(state_on(rack, slab, drained), KONA_RACK_FULL);
	take(rack, slab);
	assert_int_equal(state_on(rack, slab, spare), KONA_RACK_COPYING);
	copied(rack, spare, slab->id);
	assert_int_equal(state_on(rack, slab, drained), KONA_RACK_LEAVING);
	assert_int_equal(node_of(rack, drained)->drops.count, 0);
	take(rack, slab);
	assert_int_equal(node_of(rack, drained)->slab_count, 0);
	assert_int_equal(node_of(rack, drained)->drops.count, 1);
	/* A drained node takes nothing new, and comes back by undrain. */
	assert_int_equal(grant(rack, slab->lease->id, 1, slab->id, 2, true), 0);
	assert_null(kona_model_replica_on(granted[0], node_of(rack, drained)));
	assert_int_equal(kona_rack_drain(rack, drained, false), 0);
}

static void memory_is_granted_again_when_it_is_dropped(void **state)
{
	struct kona_rack *rack = *state;
	int64_t client = add_node(rack, "client", 0), node = add_node(rack, "a", 2);
	int64_t lease = add_lease(rack, client, 0, 1), ids[2];
	struct kona_rack_reports reports = {0};

	assert_int_equal(grant(rack, lease, 2, 0, 1, true), 0);
	ids[0] = granted[0]->id;
	ids[1] = granted[1]->id;
	assert_int_equal(kona_rack_lease_end(rack, lease), 0);
	lease = add_lease(rack, client, 0, 1);
	assert_int_equal(grant(rack, lease, 1, 0, 1, true), -ENOSPC);
	reports.dropped = (struct kona_ids){ids, 1, 1};
	assert_int_equal(kona_rack_heartbeat(rack, node, "i", &reports), 0);
	assert_int_equal(grant(rack, lease, 2, 0, 2, true), -ENOSPC);
	assert_int_equal(grant(rack, lease, 1, 0, 3, true), 0);
}

static void rebalance_fills_a_new_node(void **state)
{
	struct kona_rack *rack = *state;
	int64_t client = add_node(rack, "client", 0), lease, fresh, moves = 0;

	add_node(rack, "a", 50);
	add_node(rack, "b", 50);
	lease = add_lease(rack, client, 0, 1);
	assert_int_equal(grant(rack, lease, 60, 0, 1, true), 0);
	fresh = add_node(rack, "c", 50);
	assert_int_equal(kona_rack_rebalance(rack, &moves), 0);
	assert_in_range(moves, 15, 20);
	settle(rack);
	for (int i = 0; i < 60; i++) {
		if (granted[i]->count == 1)
			continue;
		take(rack, granted[i]);
		copied(rack, fresh, granted[i]->id);
		take(rack, granted[i]);
		assert_int_equal(granted[i]->count, 1);
	}
	assert_int_equal(node_of(rack, fresh)->slab_count, moves);
	assert_int_equal(kona_rack_rebalance(rack, &moves), 0);
	assert_int_equal(moves, 0);
}

static void leases_end_with_their_nodes_silence(void **state)
{
	struct kona_rack *rack = *state;
	int64_t nodes[4], spare = 0;
	struct kona_rack_slab *slab = one_slab(rack, nodes, &spare);
	int64_t lease = slab->lease->id, id = slab->id, node;
	struct kona_ids ended = {0};
	struct kona_rack_claim claim = {.lease = lease,
					.pid = 5,
					.program = "p",
					.remote = {.ids = &id, .count = 1},
					.replicas = 2,
					.request = 7};
	const struct kona_rack_registration registration = {.name = "client",
							    .instance = "i",
							    .domain = "client",
							    .endpoint = "",
							    .secret = "",
							    .claims = &claim,
							    .claim_count = 1};

	pass(rack, nodes, nodes[0], 59);
	assert_int_equal(held(rack, lease), 1);
	pass(rack, nodes, nodes[0], 2);
	assert_null(kona_table_find(&rack->model.leases, lease));
	assert_int_equal(rack->model.slabs.count, 0);
	assert_int_equal(kona_rack_register(rack, &registration, &node, &ended), 0);
	assert_int_equal(ended.count, 1);
	assert_int_equal(ended.ids[0], lease);
	kona_ids_free(&ended);
}

static void an_older_state_file_is_understood(void **state)
{
	static const char old[] =
		"CREATE TABLE settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;"
		"CREATE TABLE nodes (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
		"  instance TEXT NOT NULL, capacity_bytes INTEGER NOT NULL) STRICT;"
		"CREATE TABLE leases (id INTEGER PRIMARY KEY, node INTEGER NOT NULL, pid INTEGER,"
		"  uid INTEGER, program TEXT, limit_bytes INTEGER, request INTEGER) STRICT;"
		"CREATE TABLE slabs (id INTEGER PRIMARY KEY, lease INTEGER, node INTEGER) STRICT;"
		"INSERT INTO settings VALUES ('slab_bytes', 65536), ('node', 3), ('lease', 70),"
		"  ('slab', 90);"
		"INSERT INTO nodes VALUES (3, 'a', 'i', 655360);"
		"INSERT INTO leases VALUES (70, 3, 5, 0, 'old', 0, 8);"
		"INSERT INTO slabs VALUES (89, 70, 3), (90, 70, 3);"
		"PRAGMA application_id = 1263488577; PRAGMA user_version = 1;";
	char path[] = "/tmp/kona-test-rack-XXXXXX", more[64];
	struct kona_rack rack;
	sqlite3 *database;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	assert_int_equal(sqlite3_exec(database, old, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(database);
	open_store(&rack, path);
	assert_int_equal(held(&rack, 70), 2);
	assert_int_equal(grant(&rack, 70, 1, 90, 8, false), -ESTALE);
	assert_int_equal(grant(&rack, 70, 1, 90, 9, false), 0);
	assert_int_equal(granted[0]->id, 91);
	assert_int_equal(node_of(&rack, 3)->slab_count, 3);
	kona_rack_free(&rack);
	open_store(&rack, path);
	assert_int_equal(held(&rack, 70), 3);
	kona_rack_free(&rack);
	for (int i = 0; i < 3; i++) {
		static const char *const ends[] = {"", "-wal", "-shm"};

		snprintf(more, sizeof(more), "%s%s", path, ends[i]);
		unlink(more);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rack, close_rack)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(grants_end_at_capacity_and_quotas),
		TEST(a_lost_answer_leaves_nothing_behind),
		TEST(registration_replaces_what_was_known),
		TEST(a_silent_node_loses_its_name),
		TEST(replicas_stand_in_different_domains),
		TEST(capacity_is_shared_evenly),
		TEST(a_dead_nodes_slab_is_made_again),
		TEST(a_restart_forgets_no_step),
		TEST(the_last_copy_is_never_given_up),
		TEST(an_empty_return_is_no_copy),
		TEST(what_the_client_lost_is_not_read),
		TEST(draining_moves_all_then_ends),
		TEST(memory_is_granted_again_when_it_is_dropped),
		TEST(rebalance_fills_a_new_node),
		TEST(leases_end_with_their_nodes_silence),
		cmocka_unit_test(an_older_state_file_is_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
