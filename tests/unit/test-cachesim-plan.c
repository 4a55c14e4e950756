/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forecast from hand-made counts. It would catch first touches that cost network, a slowdown
 * that falls with less memory, a smallest size that a larger one belies, waits added wrongly, and a
 * cliff that is not told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "plan.h"

enum { PAGES = 1000 };

/* 1,000 pages; sizes of 16 ways and 16, 32, 64, 128 sets; the largest has only first touches. */
static struct kona_sim_dram drams[] = {
	{.size = 4096 * 16 * 16,
	 .block = 4096,
	 .ways = 16,
	 .misses = {4000, 1000},
	 .writebacks = 3000,
	 .writeback_lines = 9000},
	{.size = 4096 * 16 * 32,
	 .block = 4096,
	 .ways = 16,
	 .misses = {2000, 1000},
	 .writebacks = 1500,
	 .writeback_lines = 5000},
	/* Worse than the one before: placement. */
	{.size = 4096 * 16 * 64,
	 .block = 4096,
	 .ways = 16,
	 .misses = {2500, 1000},
	 .writebacks = 1200,
	 .writeback_lines = 4000},
	{.size = 4096 * 16 * 128,
	 .block = 4096,
	 .ways = 16,
	 .misses = {900, 100},
	 .writebacks = 100,
	 .writeback_lines = 1000},
	/* Neither a frame cache nor near full associativity. */
	{.size = 1 << 20, .block = 64, .ways = 16, .misses = {99999, 99999}},
	{.size = 1 << 20, .block = 4096, .ways = 2, .misses = {99999, 99999}},
};
static const struct kona_sim_result result = {
	.instructions = 1000000,
	.footprint = PAGES * 4096,
	.l3 = {.misses = {50000, 10000}},
	.dram_count = sizeof(drams) / sizeof(drams[0]),
	.dram = drams,
};

static void test_slowdown(void **state)
{
	struct kona_models models;
	const struct kona_model *legoos;
	struct kona_plan_point point;
	struct kona_plan plan;

	kona_plan_models(&models);
	legoos = kona_models_find(&models, "legoos");
	assert_non_null(legoos);
	assert_int_equal(kona_plan_make(&result, KONA_PLAN_LRU, 1e9, &plan), 0);
	assert_int_equal(plan.count, 4);
	point = kona_plan_at(&plan, 1e9);
	assert_true(point.fetches == 0);
	assert_true(kona_plan_slowdown(&plan, legoos, &point) == 1);
	point = kona_plan_at(&plan, 4096 * 16 * 16);
	assert_true(point.fetches == 4000);
	assert_true(fabs(kona_plan_slowdown(&plan, legoos, &point) - (1 + 4000 * 10000 / 1e9)) <
		    1e-9);
	/* Half way between two sizes; the second is levelled up to the third. */
	point = kona_plan_at(&plan, 4096 * 16 * 24);
	assert_true(fabs(point.fetches - sqrt(4000.0 * 2500)) < 1e-6);
	/* And where one has none. */
	point = kona_plan_at(&plan, 4096 * 16 * 96);
	assert_true(point.fetches == 1250);
	point = kona_plan_at(&plan, 4096 * 16 * 16);
	assert_true(point.writebacks == 3000 && point.writeback_lines == 9000);
	/* All of it local: nothing is evicted, and what is dirty at the end is thrown away. */
	point = kona_plan_at(&plan, 4096 * 16 * 128);
	assert_true(point.writebacks == 0 && point.writeback_lines == 0);
	kona_plan_free(&plan);
}

static void test_smallest(void **state)
{
	const struct kona_model slow = {"slow", 2, 9, 26, 82, 40000, 40000};
	const struct kona_model never = {"never", 2, 9, 26, 1e6, 0, 0};
	struct kona_plan plan;

	assert_int_equal(kona_plan_make(&result, KONA_PLAN_LRU, 1e9, &plan), 0);
	/* 2,500 reads of 40 us are 10 %; the next larger cache needs none. */
	assert_true(kona_plan_smallest(&plan, &slow, 1.11) == 4096.0 * 16 * 32);
	assert_true(kona_plan_smallest(&plan, &slow, 1.05) == PAGES * 4096.0);
	assert_true(isinf(kona_plan_smallest(&plan, &never, 1.1)));
	kona_plan_free(&plan);
}

static void test_edge(void **state)
{
	const struct kona_model slow = {"slow", 2, 9, 26, 82, 400000, 400000};
	const struct kona_model quick = {"quick", 2, 9, 26, 82, 100, 100};
	struct kona_plan_band band;
	struct kona_plan plan;

	assert_int_equal(kona_plan_make(&result, KONA_PLAN_LRU, 1e9, &plan), 0);
	/* Between 32 and 64 sets nothing changes. */
	band = kona_plan_band_at(&plan, 4096 * 16 * 40);
	assert_true(band.more.fetches == 2500 && band.less.fetches == 2500);
	assert_false(kona_plan_on_edge(&plan, &slow, 4096 * 16 * 40));
	/* Just at a simulated size: 2 % lie beyond it. */
	band = kona_plan_band_at(&plan, 4096 * 16 * 32);
	assert_true(band.more.fetches == 2500 && band.less.fetches == 4000);
	assert_true(kona_plan_on_edge(&plan, &slow, 4096 * 16 * 24));
	assert_false(kona_plan_on_edge(&plan, &quick, 4096 * 16 * 24));
	band = kona_plan_band_at(&plan, 4096 * 16 * 64 * 0.99);
	assert_true(band.more.fetches == 0 && band.less.fetches == 2500);
	band = kona_plan_band_at(&plan, 4096 * 16 * 32 * 1.01);
	assert_true(band.more.fetches == 2500 && band.less.fetches == 4000);
	/* Beyond both ends. */
	band = kona_plan_band_at(&plan, 1);
	assert_true(band.more.fetches == 4000 && band.less.fetches == 4000);
	band = kona_plan_band_at(&plan, 1e12);
	assert_true(band.more.fetches == 0 && band.less.fetches == 0);
	kona_plan_free(&plan);
}

static void test_no_tables(void **state)
{
	struct kona_sim_result other = result;
	struct kona_plan plan;

	other.dram_count = 0;
	assert_int_equal(kona_plan_make(&other, KONA_PLAN_LRU, 0, &plan), -ENODATA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slowdown),
		cmocka_unit_test(test_smallest),
		cmocka_unit_test(test_edge),
		cmocka_unit_test(test_no_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
