/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Catches: two owners of one page, a mark lost between toucher and owner (a thread stopped for
 * ever), a waiter that sleeps through the settling, and flags or payload that a change of state
 * drops.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/atomic.h"
#include "base/units.h"
#include "runtime/pagetable.h"

enum { ROUNDS = 20000, THREADS = 4, PAGES = 3 };

static struct kona_pagetable pt;

static int setup(void **state)
{
	return kona_pt_init(&pt, UINT64_C(1) << 28);
}

static int teardown(void **state)
{
	kona_pt_destroy(&pt);
	return 0;
}

static void a_fresh_table_is_absent_everywhere(void **state)
{
	assert_int_equal(kona_pt_state(kona_pt_load(&pt, 0)), KONA_PT_ABSENT);
	assert_int_equal(kona_pt_load(&pt, pt.pages - 1), 0);
}

static void flags_and_payload_survive_the_walk(void **state)
{
	uint64_t inplace = kona_pt_entry(KONA_PT_INPLACE, KONA_PT_STALE | KONA_PT_ZERO, 0x3adbeef);
	uint64_t busy;

	assert_true(kona_pt_claim(&pt, 7, 0, KONA_PT_FETCHING));
	assert_false(kona_pt_claim(&pt, 7, 0, KONA_PT_FETCHING));
	assert_false(kona_pt_settle(&pt, 7, inplace));
	assert_true(kona_pt_claim(&pt, 7, inplace, KONA_PT_VACATING));
	assert_true(kona_pt_touch(&pt, 7));
	kona_pt_step(&pt, 7, KONA_PT_FLUSHING);
	busy = kona_pt_load(&pt, 7);
	assert_int_equal(kona_pt_state(busy), KONA_PT_FLUSHING);
	assert_int_equal(kona_pt_payload(busy), 0x3adbeef);
	assert_true(busy & KONA_PT_STALE && busy & KONA_PT_ZERO && busy & KONA_PT_TOUCHED);
	assert_true(kona_pt_settle(&pt, 7, kona_pt_entry(KONA_PT_REMOTE, 0, 5)));
	assert_int_equal(kona_pt_load(&pt, 7), kona_pt_entry(KONA_PT_REMOTE, 0, 5));
	assert_false(kona_pt_touch(&pt, 7));
	assert_int_equal(kona_pt_want(&pt, 7), kona_pt_entry(KONA_PT_REMOTE, 0, 5));
}

/* A guard's one `and` would take what is left of a distance for a hit. */
static void what_is_out_of_sight_has_no_distance(void **state)
{
	uint64_t framed = kona_pt_frame_entry(KONA_PT_ZERO, 5, UINT64_C(7) << 12);

	assert_int_equal(framed & KONA_PT_DELTA, UINT64_C(7) << 12);
	assert_true(kona_pt_claim(&pt, 9, 0, KONA_PT_FETCHING));
	assert_false(kona_pt_settle(&pt, 9, framed));
	assert_true(kona_pt_cool(&pt, 9, framed));
	assert_int_equal(kona_pt_load(&pt, 9), kona_pt_entry(KONA_PT_COOLING, KONA_PT_ZERO, 5));
	assert_true(kona_pt_recall(&pt, 9, kona_pt_load(&pt, 9), framed));
	assert_true(kona_pt_claim(&pt, 9, framed, KONA_PT_VACATING));
	assert_int_equal(kona_pt_load(&pt, 9), kona_pt_entry(KONA_PT_VACATING, KONA_PT_ZERO, 5));
	assert_false(kona_pt_settle(&pt, 9, framed));
}

/* Guarded by the page that it counts: plain on purpose, so that two owners lose an increment. */
static uint64_t owned[PAGES];
static uint64_t touches, touches_seen; /* Atomic, no edge: counted after the threads are joined. */

static uint64_t wait_until_idle(uint64_t page)
{
	uint64_t seen;

	while (kona_pt_busy(seen = kona_pt_want(&pt, page)))
		kona_pt_sleep(&pt, page, seen);
	return seen;
}

static void *contend(void *seed)
{
	uint64_t random = (uintptr_t)seed * UINT64_C(0x9e3779b97f4a7c15) | 1;

	for (int done = 0; done < ROUNDS;) {
		uint64_t page, entry;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		page = 100 + random % PAGES;
		entry = random & 8 ? kona_pt_load(&pt, page) : wait_until_idle(page);
		if (kona_pt_busy(entry)) {
			kona_add_relaxed(&touches, kona_pt_touch(&pt, page));
			continue;
		}
		if (!kona_pt_claim(&pt, page, entry, KONA_PT_VACATING))
			continue;
		owned[page - 100]++;
		kona_pt_step(&pt, page, KONA_PT_FLUSHING);
		kona_add_relaxed(&touches_seen,
				 kona_pt_settle(&pt, page,
						kona_pt_entry(KONA_PT_REMOTE, 0, (uint32_t)done)));
		done++;
	}
	return NULL;
}

static void a_page_has_one_owner_and_no_mark_is_lost(void **state)
{
	pthread_t threads[THREADS];
	uint64_t total = 0;

	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, contend, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (int i = 0; i < PAGES; i++) {
		total += owned[i];
		assert_false(kona_pt_busy(kona_pt_load(&pt, 100 + (uint64_t)i)));
	}
	assert_int_equal(total, THREADS * ROUNDS);
	assert_true(touches >= touches_seen);
	assert_true(!touches == !touches_seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_table_is_absent_everywhere),
		cmocka_unit_test(flags_and_payload_survive_the_walk),
		cmocka_unit_test(what_is_out_of_sight_has_no_distance),
		cmocka_unit_test(a_page_has_one_owner_and_no_mark_is_lost),
	};

	return cmocka_run_group_tests_name("pagetable", tests, setup, teardown);
}
