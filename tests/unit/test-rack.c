/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Catches: a controller that grants what is not there, the same twice, more than the quota, or on a
 * node that it has not heard of; a registration that leaves both sides of another opinion.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rack/rack.h"
#include "wire/rack.h"

#define SLAB INT64_C(65536)

static int open_rack(void **state)
{
	static struct kona_rack rack;
	char why[256];

	memset(&rack, 0, sizeof(rack));
	kona_rack_init(&rack);
	*state = &rack;
	return kona_rack_store_open(&rack.store, ":memory:", SLAB, why, sizeof(why));
}

static int close_rack(void **state)
{
	kona_rack_free(*state);
	return 0;
}

static int64_t add_node(struct kona_rack *rack, const char *name, int64_t slabs)
{
	const struct kona_rack_registration registration = {
		.name = name, .instance = "i", .capacity_bytes = slabs * SLAB};
	int64_t node = 0;

	assert_int_equal(kona_rack_register(rack, &registration, &node), 0);
	return node;
}

static int64_t add_lease(struct kona_rack *rack, int64_t node, int64_t limit_slabs)
{
	const struct kona_rack_lease lease = {
		.pid = 5, .program = "test", .limit_bytes = limit_slabs * SLAB};
	int64_t id = 0;

	assert_int_equal(kona_rack_lease_open(rack, node, "i", &lease, &id), 0);
	return id;
}

static int64_t held(struct kona_rack *rack, int64_t lease)
{
	sqlite3_stmt *found = kona_rack_query(&rack->store, KONA_SQL_SLABS_HELD, lease);
	int64_t count;

	assert_int_equal(kona_rack_step(found), 1);
	count = sqlite3_column_int64(found, 0);
	sqlite3_reset(found);
	return count;
}

static void placement_is_on_the_own_host(void **state)
{
	const struct kona_rack_candidate nodes[] = {{1, "a", true, 10, 0},
						    {2, "b", true, 10, 8},
						    {3, "c", false, 10, 0},
						    {4, "d", true, 5, 9}};
	char why[KONA_RACK_WHY_BYTES] = "";
	size_t index = 99;

	assert_int_equal(kona_rack_place(nodes, 4, 2, 2, &index, why), 0);
	assert_int_equal(index, 1);
	assert_int_equal(kona_rack_place(nodes, 4, 2, 3, &index, why), -ENOSPC);
	assert_non_null(strstr(why, "other hosts"));
	assert_int_equal(kona_rack_place(nodes, 4, 1, 11, &index, why), -ENOSPC);
	assert_null(strstr(why, "other hosts"));
	assert_int_equal(kona_rack_place(nodes, 4, 3, 1, &index, why), -EHOSTDOWN);
	assert_int_equal(kona_rack_place(nodes, 4, 9, 1, &index, why), -EHOSTDOWN);
	/* A node that has shrunk below what it granted. */
	assert_int_equal(kona_rack_place(nodes, 4, 4, 1, &index, why), -ENOSPC);
	assert_int_equal(index, 1);
}

static void grants_end_at_capacity_and_quota(void **state)
{
	struct kona_rack *rack = *state;
	int64_t node = add_node(rack, "a", 10);
	int64_t free_lease = add_lease(rack, node, 0), limited = add_lease(rack, node, 3);
	int64_t slabs[16], other[16], where = 0;

	assert_int_equal(kona_rack_grant(rack, limited, 4, 0, 1, slabs, &where), -EDQUOT);
	assert_int_equal(kona_rack_grant(rack, limited, 3, 0, 2, slabs, &where), 0);
	assert_int_equal(where, node);
	assert_int_equal(kona_rack_grant(rack, free_lease, 8, 0, 1, other, &where), -ENOSPC);
	assert_int_equal(kona_rack_grant(rack, free_lease, 7, 0, 2, other, &where), 0);
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 7; j++)
			assert_int_not_equal(slabs[i], other[j]);
	assert_int_equal(kona_rack_lease_end(rack, limited), 0);
	assert_int_equal(kona_rack_lease_end(rack, limited), 0);
	assert_int_equal(kona_rack_grant(rack, free_lease, 3, other[6], 3, slabs, &where), 0);
	/* Not an identifier of the lease that has ended. */
	assert_true(slabs[0] > other[6]);
	assert_int_equal(kona_rack_grant(rack, limited, 1, 0, 9, slabs, &where), -ENOENT);
}

static void a_lost_answer_leaves_nothing_behind(void **state)
{
	struct kona_rack *rack = *state;
	int64_t node = add_node(rack, "a", 10), lease = add_lease(rack, node, 0);
	int64_t slabs[16], where;

	assert_int_equal(kona_rack_grant(rack, lease, 2, 0, 5, slabs, &where), 0);
	/* The node did not hear that, and asks again. */
	assert_int_equal(kona_rack_grant(rack, lease, 10, 0, 6, slabs, &where), 0);
	assert_int_equal(held(rack, lease), 10);
	/* A late copy of an old request takes nothing away. */
	assert_int_equal(kona_rack_grant(rack, lease, 1, 0, 5, slabs, &where), -ESTALE);
	assert_int_equal(kona_rack_grant(rack, lease, 1, 0, 6, slabs, &where), -ESTALE);
	assert_int_equal(held(rack, lease), 10);
}

static void registration_replaces_what_was_known(void **state)
{
	struct kona_rack *rack = *state;
	int64_t node = add_node(rack, "a", 10), other = add_node(rack, "b", 10);
	int64_t ended = add_lease(rack, node, 0), lives = add_lease(rack, node, 0);
	int64_t elsewhere = add_lease(rack, other, 0);
	int64_t slabs[4], mine[] = {0, 0, KONA_RACK_MOST_VALUE / 2}, again = 0, where;
	struct kona_rack_lease lease = {.lease = lives,
					.pid = 5,
					.program = "p",
					.slabs = mine,
					.slab_count = 3,
					.request = 7};
	struct kona_rack_registration registration = {.name = "a",
						      .instance = "i",
						      .capacity_bytes = 10 * SLAB,
						      .leases = &lease,
						      .lease_count = 1};

	assert_int_equal(kona_rack_grant(rack, ended, 4, 0, 1, slabs, &where), 0);
	assert_int_equal(kona_rack_grant(rack, elsewhere, 1, 0, 1, mine, &where), 0);
	mine[1] = mine[0] + 1000;
	assert_int_equal(kona_rack_register(rack, &registration, &again), -EEXIST);
	assert_int_equal(held(rack, ended), 4);
	mine[0] = slabs[0];
	assert_int_equal(kona_rack_register(rack, &registration, &again), 0);
	assert_int_equal(again, node);
	assert_int_equal(held(rack, ended), 0);
	assert_int_equal(held(rack, lives), 3);
	assert_int_equal(held(rack, elsewhere), 1);
	assert_int_equal(kona_rack_grant(rack, lives, 1, mine[2], 7, slabs, &where), -ESTALE);
	assert_int_equal(kona_rack_grant(rack, lives, 1, mine[2], 8, slabs, &where), 0);
	assert_true(slabs[0] > mine[2]);
}

static void a_silent_node_gets_nothing_and_loses_its_name(void **state)
{
	struct kona_rack *rack = *state;
	int64_t node = add_node(rack, "a", 10), lease = add_lease(rack, node, 0);
	struct kona_rack_registration registration = {
		.name = "a", .instance = "new", .capacity_bytes = SLAB};
	int64_t slabs[4], where;

	assert_int_equal(kona_rack_register(rack, &registration, &node), -EEXIST);
	assert_non_null(strstr(rack->why, "alive"));
	rack->deadline_ns = 0;
	assert_false(kona_rack_is_up(rack, node));
	assert_int_equal(kona_rack_grant(rack, lease, 1, 0, 1, slabs, &where), -EHOSTDOWN);
	assert_int_equal(kona_rack_register(rack, &registration, &node), 0);
	assert_int_equal(kona_rack_heartbeat(rack, node, "i"), -ENOENT);
	assert_int_equal(kona_rack_heartbeat(rack, node, "new"), 0);
	assert_int_equal(kona_rack_leave(rack, node, "i"), -ENOENT);
	assert_int_equal(kona_rack_leave(rack, node, "new"), 0);
	assert_int_equal(kona_rack_heartbeat(rack, node, "new"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(placement_is_on_the_own_host),
		cmocka_unit_test_setup_teardown(grants_end_at_capacity_and_quota, open_rack,
						close_rack),
		cmocka_unit_test_setup_teardown(a_lost_answer_leaves_nothing_behind, open_rack,
						close_rack),
		cmocka_unit_test_setup_teardown(registration_replaces_what_was_known, open_rack,
						close_rack),
		cmocka_unit_test_setup_teardown(a_silent_node_gets_nothing_and_loses_its_name,
						open_rack, close_rack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
