/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tracker's parts. It would catch an implementation of the comparison that misses a changed
 * bit, names another line, or disagrees with the others; hashes that do not depend on the key; a
 * store whose slots get lost, doubled or mixed up by growth, holes, moves and reuse; and counts of
 * runs and pages that are off at their edges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "counts.h"
#include "lines.h"
#include "store.h"

static uint64_t draw(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint8_t page[4096] __attribute__((aligned(64)));
static uint8_t kept[4096] __attribute__((aligned(64)));
static uint8_t hashes[KONA_HASH_BYTES] __attribute__((aligned(64)));
static uint8_t key[KONA_LINES_KEY_BYTES] __attribute__((aligned(64)));

static void fill_page(void)
{
	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = (uint8_t)draw();
}

static void try_lines(const struct kona_lines *lines)
{
	uint64_t bytes = 0;

	assert_int_equal(kona_lines_draw_key(key), 0);
	fill_page();
	lines->copy(page, kept, &bytes);
	lines->hash(page, hashes, key);
	assert_memory_equal(page, kept, sizeof(page));
	for (int i = 0; i < 3000; i++) {
		uint64_t mask = 0;
		unsigned int changes = (unsigned int)(draw() % 9);

		for (unsigned int j = 0; j < changes; j++) {
			size_t bit = draw() % (8 * sizeof(page));
			uint64_t line = UINT64_C(1) << (bit / 8 / KONA_LINE_BYTES);

			if (mask & line)
				continue;
			page[bit / 8] ^= (uint8_t)(1 << bit % 8);
			mask |= line;
		}
		bytes = 0;
		assert_true(lines->copy(page, kept, &bytes) == mask);
		assert_int_equal(bytes, __builtin_popcountll(mask));
		assert_true(lines->hash(page, hashes, key) == mask);
		assert_memory_equal(page, kept, sizeof(page));
	}
	/* Two lines that change places, and words that change places within a line. */
	memcpy(kept, page, 64);
	memcpy(page, page + 64, 64);
	memcpy(page + 64, kept, 64);
	assert_true(lines->hash(page, hashes, key) == 3);
	memcpy(kept, page + 128, 16);
	memcpy(page + 128, page + 144, 16);
	memcpy(page + 144, kept, 16);
	assert_true(lines->hash(page, hashes, key) == 4);
	/* Another key, other hashes. */
	assert_int_equal(kona_lines_draw_key(key), 0);
	assert_true(lines->hash(page, hashes, key) == UINT64_MAX);
}

static void test_lines(void **state)
{
	static const char *const names[] = {"portable", "avx2", "avx512"};

	for (size_t i = 0; i < KONA_ARRAY_LEN(names); i++) {
		const struct kona_lines *lines = kona_lines_find(names[i]);

		if (lines)
			try_lines(lines);
		else
			print_message("not on this processor: %s\n", names[i]);
	}
	assert_non_null(kona_lines_find(NULL));
	assert_null(kona_lines_find("abacus"));
}

enum { PAGES = 3000, SLOT = 512 };

/* The model: what each page's slot should hold; 0: no slot. */
static uint64_t model[PAGES];

static void walk_store(struct kona_store *store, const uint8_t *there)
{
	struct kona_extent extent;
	bool known;

	kona_store_begin(store);
	for (uint64_t at = 0; at < PAGES;) {
		uint64_t count = 0;

		if (!there[at]) {
			model[at++] = 0;
			continue;
		}
		while (at + count < PAGES && there[at + count])
			count++;
		assert_int_equal(kona_store_take(store, at, count, &extent, &known), 0);
		if (!known)
			assert_int_equal(kona_store_add(store, at, extent.count, &extent), 0);
		assert_true(extent.page == at && extent.count >= 1 && extent.count <= count);
		for (uint32_t i = 0; i < extent.count; i++, at++) {
			uint64_t *slot = kona_store_slot(store, extent.slot + i);

			assert_true(known == !!model[at]);
			if (known)
				assert_true(*slot == model[at]);
			else
				*slot = model[at] = draw() | 1;
		}
	}
	assert_int_equal(kona_store_end(store), 0);
	assert_int_equal(kona_store_drop(store), 0);
}

static void check_store(const struct kona_store *store)
{
	size_t held = 0;

	for (uint64_t i = 0; i < PAGES; i++) {
		const struct kona_extent *e = kona_store_find(&store->now, i);

		assert_true(!!e == !!model[i]);
		if (e)
			assert_true(*(uint64_t *)kona_store_slot(
					    store, e->slot + (uint32_t)(i - e->page)) == model[i]);
		held += !!e;
	}
	assert_true(store->held == held);
}

static void test_store(void **state)
{
	static uint8_t there[PAGES];
	struct kona_store store;

	assert_int_equal(kona_store_open(&store, SLOT), 0);
	memset(model, 0, sizeof(model));
	for (int round = 0; round < 300; round++) {
		uint64_t from = draw() % PAGES, to = draw() % PAGES, count = draw() % 300;

		for (int i = 0; i < 20; i++) {
			uint64_t start = draw() % PAGES, length = draw() % 60;

			for (uint64_t j = start; j < start + length && j < PAGES; j++)
				there[j] = i % 2;
		}
		walk_store(&store, there);
		check_store(&store);
		/* A move over other pages, and pages that are dropped. */
		if (from + count <= PAGES && to + count <= PAGES &&
		    (from + count <= to || to + count <= from)) {
			assert_int_equal(kona_store_move(&store, from, to, count), 0);
			memcpy(model + to, model + from, count * 8);
			memset(model + from, 0, count * 8);
			memcpy(there + to, there + from, count);
			memset(there + from, 0, count);
			check_store(&store);
		}
		assert_int_equal(kona_store_forget(&store, from, count), 0);
		for (uint64_t j = from; j < from + count && j < PAGES; j++)
			model[j] = 0;
		check_store(&store);
	}
	kona_store_close(&store);
}

static void test_store_memory(void **state)
{
	const uint64_t pages = 100000;
	struct kona_store store;
	struct kona_extent extent;
	bool known;

	/* What shrinks gives its memory back. */
	assert_int_equal(kona_store_open(&store, SLOT), 0);
	kona_store_begin(&store);
	assert_int_equal(kona_store_take(&store, 5, pages, &extent, &known), 0);
	assert_false(known);
	assert_int_equal(kona_store_add(&store, 5, pages, &extent), 0);
	assert_true(extent.count == pages);
	assert_int_equal(kona_store_end(&store), 0);
	assert_in_range(kona_store_bytes(&store), pages * SLOT, pages * SLOT * 11 / 10);
	assert_int_equal(kona_store_forget(&store, 5, pages - 100), 0);
	kona_store_begin(&store);
	assert_int_equal(kona_store_end(&store), 0);
	assert_int_equal(kona_store_drop(&store), 0);
	assert_in_range(kona_store_bytes(&store), 0, pages * SLOT / 10);
	kona_store_close(&store);
}

static void test_counts(void **state)
{
	struct kona_dirty_list list = {0};
	struct kona_counts c = {0};

	/* A run across two pages (3 lines), one that fills a page and goes on, single lines. */
	assert_int_equal(kona_dirty_add(&list, 511, UINT64_C(3) << 62 | 1), 0);
	assert_int_equal(kona_dirty_add(&list, 512, UINT64_MAX), 0);
	assert_int_equal(kona_dirty_add(&list, 515, 5), 0);
	assert_int_equal(kona_dirty_add(&list, 510, 8), 0);
	kona_dirty_sort(&list);
	kona_counts_add(&c, &list);
	assert_int_equal(c.lines, 3 + 64 + 2 + 1);
	assert_int_equal(c.pages_4k, 4);
	assert_int_equal(c.pages_2m, 2);
	assert_int_equal(c.by_page[3], 1);
	assert_int_equal(c.by_page[64], 1);
	assert_int_equal(c.by_run[1], 4);
	assert_int_equal(c.by_run[KONA_PAGE_LINES + 1], 1);
	assert_true(kona_counts_amplification(&c, c.pages_4k, 4096) == 4.0 * 64 / 70);
	kona_dirty_free(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_store),
		cmocka_unit_test(test_store_memory),
		cmocka_unit_test(test_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
