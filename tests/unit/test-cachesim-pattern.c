/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Patterns and reuse distances against naive counting. It would catch a page or byte lost when the
 * table grows, windows that leak into each other, runs cut wrongly, and distances that go wrong
 * when times are renumbered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "base/compiler.h"
#include "engine/pattern.h"
#include "engine/reuse.h"

static uint64_t random_state = 7;

static uint64_t next_random(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return random_state >> 33;
}

static void *map_zeroed(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static const struct kona_sim_host host = {.map = map_zeroed};

enum { SPAN = 64 << 20, STORES = 40000 };

static uint8_t written[SPAN], read_lines[SPAN / 64];

static uint64_t count_set(const uint8_t *flags, size_t unit)
{
	uint64_t count = 0;

	for (size_t i = 0; i < SPAN; i += unit)
		count += memchr(flags + i, 1, unit) != NULL;
	return count;
}

static void check_window(const struct kona_pattern_window *window)
{
	uint64_t lines = 0, runs = 0;

	for (size_t i = 0; i < SPAN; i += 64) {
		int here = memchr(written + i, 1, 64) != NULL;
		int before = i % 4096 && memchr(written + i - 64, 1, 64);

		lines += (uint64_t)here;
		runs += here && !before;
	}
	assert_int_equal(window->bytes_written, count_set(written, 1));
	assert_int_equal(window->lines_written, lines);
	assert_int_equal(window->runs_written, runs);
	assert_int_equal(window->pages_dirty, count_set(written, 4096));
	assert_int_equal(window->regions_dirty, count_set(written, 2 << 20));
	lines = 0;
	for (size_t i = 0; i < SPAN / 64; i++)
		lines += read_lines[i];
	assert_int_equal(window->lines_read, lines);
}

static void test_windows(void **state)
{
	const uint64_t base = UINT64_C(0x7f0000000000);
	struct kona_pattern_state *pattern;
	const struct kona_pattern *result;

	assert_int_equal(kona_pattern_create(&host, &pattern), 0);
	result = kona_pattern_result(pattern);
	for (uint64_t window = 0; window < 3; window++) {
		memset(written, 0, sizeof(written));
		memset(read_lines, 0, sizeof(read_lines));
		for (int i = 0; i < STORES; i++) {
			uint32_t bytes = 1u << next_random() % 7;
			uint64_t at = next_random() % (SPAN - 64);

			kona_pattern_note(pattern, base + at, bytes, 0, 1);
			kona_pattern_note_bytes(pattern, base + at, bytes);
			memset(written + at, 1, bytes);
			at = next_random() % SPAN;
			kona_pattern_note(pattern, base + at, 1, 1, 0);
			read_lines[at / 64] = 1;
		}
		kona_pattern_close(pattern, window);
		assert_int_equal(result->windows, window + 1);
		check_window(&result->series[window]);
	}
	assert_int_equal(result->lost_pages, 0);
	kona_pattern_close(pattern, 9);
	assert_int_equal(result->windows, 3);
}

enum { BLOCKS = 3000, REFERENCES = 300000 };

/* The naive side: an LRU stack as an array. */
static uint32_t stack[BLOCKS], depth;

static uint32_t naive_distance(uint32_t block)
{
	uint32_t at = 0;

	while (at < depth && stack[at] != block)
		at++;
	if (at == depth)
		depth++;
	memmove(stack + 1, stack, at * sizeof(*stack));
	stack[0] = block;
	return at;
}

static void test_reuse(void **state)
{
	struct kona_sim_reuse_counts wanted = {0};
	struct kona_reuse *reuse;

	assert_int_equal(kona_reuse_create(&host, &reuse), 0);
	for (int i = 0; i < REFERENCES; i++) {
		uint32_t spread = i % 3 ? 40 : BLOCKS;
		uint32_t block = (uint32_t)(next_random() % spread * 977 % BLOCKS);
		uint32_t before = depth, bucket = 0;
		uint32_t distance = naive_distance(block);

		while (distance >> bucket)
			bucket++;
		if (depth > before)
			wanted.cold++;
		else
			wanted.distance[bucket]++;
		assert_int_equal(kona_reuse_note(reuse, block * 4099), 0);
	}
	assert_memory_equal(kona_reuse_counts(reuse), &wanted, sizeof(wanted));
}

/* More blocks than the first arrays hold: they grow, and each distance is the sweep's length. */
static void test_reuse_grows(void **state)
{
	enum { MANY = 200000 };
	struct kona_reuse *reuse;

	assert_int_equal(kona_reuse_create(&host, &reuse), 0);
	for (int round = 0; round < 2; round++)
		for (uint32_t block = 0; block < MANY; block++)
			assert_int_equal(kona_reuse_note(reuse, block), 0);
	assert_int_equal(kona_reuse_counts(reuse)->cold, MANY);
	assert_int_equal(kona_reuse_counts(reuse)->distance[18], MANY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_reuse_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
