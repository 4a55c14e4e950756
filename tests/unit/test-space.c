/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine on a store of its own, in a process per test, with far more data than frames.
 *
 * Catches: a write lost or a stale line read back after any number of evictions, in each mode of
 * dirty tracking; writers not stopped while a page leaves; discarded memory that comes back; a
 * protected page lost; a store that fails and is not noticed; more local pages than the budget.
 */
#include "engine.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/atomic.h"
#include "runtime/discard.h"

static struct kona_transport chaos;

/* Writes every page whole, then single words at random for many turns of the clock; checks all
 * against a model. */
static void random_words(enum kona_dirty_mode mode)
{
	static uint64_t model[DATA_PAGES * WORDS];
	uint64_t random = 88172645463325252, *data;

	make_space(mode, &shm);
	data = take_data(DATA_PAGES);
	for (uint64_t i = 0; i < DATA_PAGES * WORDS; i += 8)
		data[i] = model[i] = i * 0x9e3779b97f4a7c15;
	for (int i = 0; i < 60000; i++) {
		uint64_t at = next_random(&random) % (DATA_PAGES * WORDS);

		CHECK(data[at] == model[at]);
		if (i % 3)
			data[at] = model[at] = next_random(&random) % 3 ? random : 0;
	}
	for (uint64_t i = 0; i < DATA_PAGES * WORDS; i++)
		CHECK(data[i] == model[i]);
	CHECK(stats.local_pages_peak <= space.frames.count);
	CHECK(stats.evicted_pages > 2 * DATA_PAGES);
	CHECK(stats.written_back_bytes > 0);
}

static void lines(void)
{
	random_words(KONA_DIRTY_LINES);
	/* Single words change: far fewer bytes leave than pages. */
	CHECK(stats.dirty_lines * KONA_LINE_BYTES <= stats.written_back_bytes);
	CHECK(stats.written_back_bytes < stats.evicted_pages * KONA_PAGE_BYTES / 2);
}

static void store(void)
{
	random_words(KONA_DIRTY_STORE);
	CHECK(stats.metadata_bytes < LOCAL_BYTES / 64);
	CHECK(stats.written_back_bytes < stats.evicted_pages * KONA_PAGE_BYTES / 2);
}

static void twin(void)
{
	random_words(KONA_DIRTY_TWIN);
}

static void write_protect(void)
{
	random_words(KONA_DIRTY_WP);
	CHECK(stats.faults_wp > 0);
	CHECK(stats.written_back_bytes % KONA_PAGE_BYTES == 0);
}

/* Each thread owns one word of every line it writes: a page that leaves while another thread writes
 * to it loses that write. */
static void *hammer(void *argument)
{
	uint64_t number = (uint64_t)(uintptr_t)argument, random = number * 7919 + 1;
	uint64_t *data = (uint64_t *)(void *)space.base;
	static uint32_t counts[THREADS][DATA_PAGES];

	for (int i = 0; i < 20000; i++) {
		uint64_t page = next_random(&random) % (DATA_PAGES / 2);
		uint64_t *word = &data[page * WORDS + 8 * (page % 64) + number];

		CHECK(*word == counts[number][page]);
		*word = ++counts[number][page];
		/* Twice, so that some writes meet a page that is being taken out. */
		CHECK(*word == counts[number][page]);
		*word = ++counts[number][page];
	}
	for (uint64_t page = 0; page < DATA_PAGES / 2; page++)
		CHECK(data[page * WORDS + 8 * (page % 64) + number] == counts[number][page]);
	return NULL;
}

static void threads_in(enum kona_dirty_mode mode)
{
	pthread_t threads[THREADS];

	make_space(mode, &shm);
	take_data(DATA_PAGES);
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, hammer, (void *)i));
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK(stats.local_pages_peak <= space.frames.count);
}

static void threads_lines(void)
{
	threads_in(KONA_DIRTY_LINES);
}

static void threads_store(void)
{
	threads_in(KONA_DIRTY_STORE);
}

static void threads_wp(void)
{
	threads_in(KONA_DIRTY_WP);
}

static void discarded_memory_is_zeros(void)
{
	static uint8_t model[DATA_PAGES];
	uint64_t random = 4711, *data;

	make_space(KONA_DIRTY_LINES, &shm);
	data = take_data(DATA_PAGES);
	for (int round = 0; round < 3000; round++) {
		uint64_t first = next_random(&random) % DATA_PAGES;
		uint64_t count = next_random(&random) % (round % 10 ? 8 : 600);

		if (count > DATA_PAGES - first)
			count = DATA_PAGES - first;
		if (round % 2)
			kona_discard(&space, first, count);
		for (uint64_t page = first; page < first + count; page++) {
			model[page] = round % 2 ? 0 : (uint8_t)round;
			if (!(round % 2))
				data[page * WORDS + 8 * (page % 64)] = model[page];
		}
	}
	for (uint64_t page = 0; page < DATA_PAGES; page++)
		for (uint64_t i = 0; i < WORDS; i++)
			CHECK(data[page * WORDS + i] == (i == 8 * (page % 64) ? model[page] : 0));
	kona_discard(&space, 0, DATA_PAGES);
	CHECK(stats.local_pages == 0);
}

/* Pages of read-only memory leave and come back. */
static void protected_memory_stays(void)
{
	uint64_t *data;

	make_space(KONA_DIRTY_LINES, &shm);
	data = take_data(DATA_PAGES);
	for (uint64_t page = 0; page < DATA_PAGES; page++) {
		data[page * WORDS] = page;
		if (page % 3 == 0)
			CHECK(!mprotect(&data[page * WORDS], KONA_PAGE_BYTES, PROT_READ));
	}
	for (uint64_t page = 0; page < DATA_PAGES; page++)
		CHECK(data[page * WORDS] == page);
	CHECK(stats.local_pages_peak <= space.frames.count);
}

/* A page that the program dropped by a system call of its own is zeros, wherever it is found out.
 */
static void pages_dropped_behind_our_back_are_zeros(void)
{
	uint64_t *data;

	make_space(KONA_DIRTY_LINES, &shm);
	data = take_data(DATA_PAGES);
	for (uint64_t page = 0; page < DATA_PAGES; page++)
		data[page * WORDS] = page + 1;
	for (uint64_t page = DATA_PAGES - 200; page < DATA_PAGES; page++)
		CHECK(!madvise(&data[page * WORDS], KONA_PAGE_BYTES, MADV_DONTNEED));
	for (uint64_t page = DATA_PAGES - 100; page < DATA_PAGES; page++)
		CHECK(data[page * WORDS] == 0);
	for (uint64_t page = 0; page < DATA_PAGES - 200; page++)
		CHECK(data[page * WORDS] == page + 1);
	for (uint64_t page = DATA_PAGES - 200; page < DATA_PAGES - 100; page++)
		CHECK(data[page * WORDS] == 0);
	/* And written anew while they are local, they keep that. */
	for (uint64_t page = 0; page < 200; page++) {
		data[page * WORDS] = page;
		CHECK(!madvise(&data[page * WORDS], KONA_PAGE_BYTES, MADV_DONTNEED));
		data[page * WORDS] = ~page;
	}
	for (uint64_t page = 200; page < DATA_PAGES; page++)
		data[page * WORDS] = page;
	for (uint64_t page = 0; page < 200; page++)
		CHECK(data[page * WORDS] == ~page);
}

static void freed_ranges_are_found_again(void)
{
	void *first, *second, *third;

	make_space(KONA_DIRTY_LINES, &shm);
	first = take_data(10);
	second = take_data(20);
	third = kona_region_alloc(&space, 512, 512, PROT_READ | PROT_WRITE);
	CHECK(third && ((char *)third - space.base) % (512 * KONA_PAGE_BYTES) == 0);
	memset(first, 1, 10 * KONA_PAGE_BYTES);
	kona_region_free(&space, kona_space_page(&space, first), 10);
	CHECK(!kona_region_in_use(&space, kona_space_page(&space, first), 10));
	CHECK(kona_region_in_use(&space, kona_space_page(&space, second), 20));
	CHECK(take_data(10) == first);
	CHECK(*(char *)first == 0);
	CHECK(kona_region_occupy(&space, kona_space_page(&space, first) + 10, 1, PROT_READ,
				 false) == -EEXIST);
	CHECK(!kona_region_occupy(&space, kona_space_page(&space, second) + 20, 5,
				  PROT_READ | PROT_WRITE, false));
	CHECK(!kona_region_alloc(&space, SPACE_BYTES / KONA_PAGE_BYTES, 1, PROT_READ));
}

APART(lines)
APART(store)
APART(twin)
APART(write_protect)
APART(threads_lines)
APART(threads_store)
APART(threads_wp)
APART(discarded_memory_is_zeros)
APART(protected_memory_stays)
APART(pages_dropped_behind_our_back_are_zeros)
APART(freed_ranges_are_found_again)

/* The store dies in the midst: the program ends by SIGBUS, not with zeros. */
static void dying_store(void)
{
	uint64_t *data;

	make_space(KONA_DIRTY_LINES, &chaos);
	kona_transport_chaos_init(&chaos, &shm, 20, EIO);
	data = take_data(DATA_PAGES);
	for (int round = 0; round < 3; round++)
		for (uint64_t page = 0; page < DATA_PAGES; page++) {
			CHECK(data[page * WORDS] == (round ? page + 1 : 0));
			data[page * WORDS] = page + 1;
		}
}

static void a_dead_store_ends_the_program(void **state)
{
	int status = run_apart(dying_store);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_apart),
		cmocka_unit_test(store_apart),
		cmocka_unit_test(twin_apart),
		cmocka_unit_test(write_protect_apart),
		cmocka_unit_test(threads_lines_apart),
		cmocka_unit_test(threads_store_apart),
		cmocka_unit_test(threads_wp_apart),
		cmocka_unit_test(discarded_memory_is_zeros_apart),
		cmocka_unit_test(protected_memory_stays_apart),
		cmocka_unit_test(pages_dropped_behind_our_back_are_zeros_apart),
		cmocka_unit_test(freed_ranges_are_found_again_apart),
		cmocka_unit_test(a_dead_store_ends_the_program),
	};

	return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
