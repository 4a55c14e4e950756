/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Catches: a write-back that stores a clean line over another's bytes, misses a dirty one, or
 * counts wrongly; a short store read as zeros; a fault that the chaos layer swallows; a network
 * that is emulated too fast, or asks a latency for each piece.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/units.h"
#include "transport/stream.h"
#include "transport/transport.h"

enum {
	STORE_PAGES = 4,
	SLAB_PAGES = 2,
	SLABS = 4,
};

static int open_grant(uint64_t pages)
{
	int descriptor = memfd_create("grant", MFD_CLOEXEC);

	assert_true(descriptor >= 0);
	assert_int_equal(ftruncate(descriptor, (off_t)(pages * KONA_PAGE_BYTES)), 0);
	return descriptor;
}

/* Two slabs of two pages in one grant; room for two slabs more. */
static void open_store(struct kona_transport *transport)
{
	assert_int_equal(kona_transport_shm_init(transport, SLAB_PAGES * KONA_PAGE_BYTES, SLABS),
			 0);
	kona_transport_shm_attach(transport, 0, STORE_PAGES / SLAB_PAGES, open_grant(STORE_PAGES));
}

/* Writes `mask` of a page of 'n' over a page of 'o', and checks every byte and the count. */
static void check_mask(struct kona_transport *transport, uint64_t mask)
{
	char old[KONA_PAGE_BYTES], new[KONA_PAGE_BYTES], seen[KONA_PAGE_BYTES];
	struct kona_dirty_page page = {KONA_PAGE_BYTES, UINT64_MAX, old};
	uint64_t wire = 0, calls = 0, lines = (uint64_t)__builtin_popcountll(mask);

	memset(old, 'o', sizeof(old));
	memset(new, 'n', sizeof(new));
	assert_int_equal(transport->ops->write_lines(transport, &page, 1, &wire, &calls), 0);
	assert_int_equal(wire, KONA_PAGE_BYTES);
	assert_int_equal(calls, 1);

	page.mask = mask;
	page.content = new;
	wire = 0;
	assert_int_equal(transport->ops->write_lines(transport, &page, 1, &wire, &calls), 0);
	assert_true(wire == lines * KONA_LINE_BYTES || wire == KONA_PAGE_BYTES);
	assert_int_equal(kona_transport_read(transport, KONA_PAGE_BYTES, seen, sizeof(seen)), 0);
	for (unsigned i = 0; i < KONA_PAGE_BYTES; i++)
		assert_int_equal(seen[i], mask >> (i / KONA_LINE_BYTES) & 1 ? 'n' : 'o');
}

static void only_dirty_lines_are_stored(void **state)
{
	static const uint64_t masks[] = {1,
					 UINT64_C(1) << 63,
					 UINT64_MAX,
					 UINT64_C(0x8000000000000001),
					 UINT64_C(0x00ffff0000ff0001),
					 UINT64_C(0x5555555555555555),
					 UINT64_C(0xaaaaaaaaaaaaaaaa),
					 UINT64_C(0xfffffffffffffffe),
					 UINT64_C(0x7fffffffffffffff)};
	struct kona_transport transport;
	uint64_t random = 88172645463325252;

	open_store(&transport);
	for (size_t i = 0; i < KONA_ARRAY_LEN(masks); i++)
		check_mask(&transport, masks[i]);
	for (int i = 0; i < 500; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		check_mask(&transport, random);
	}
	transport.ops->close(&transport);
}

static void check_stream(kona_stream *stream, uint64_t mask)
{
	static _Alignas(KONA_LINE_BYTES) char to[KONA_PAGE_BYTES], source[1 + KONA_PAGE_BYTES];
	char *from = source + 1; /* wherever it is */

	for (unsigned i = 0; i < KONA_PAGE_BYTES; i++)
		from[i] = (char)(i + i / KONA_LINE_BYTES);
	memset(to, 'o', sizeof(to));
	stream(to, from, mask);
	for (unsigned i = 0; i < KONA_PAGE_BYTES; i++)
		assert_int_equal(to[i], mask >> (i / KONA_LINE_BYTES) & 1 ? from[i] : 'o');
}

/* The wide way is checked where there is such a processor. */
static void every_way_streams_the_lines_of_the_mask(void **state)
{
	static const uint64_t masks[] = {0, 1, UINT64_C(1) << 63, UINT64_C(0x00ffff0000ff0001),
					 UINT64_MAX};

	for (size_t i = 0; i < KONA_ARRAY_LEN(masks); i++) {
		check_stream(kona_stream_narrow, masks[i]);
		check_stream(kona_stream_lines, masks[i]);
		if (kona_stream_is_wide())
			check_stream(kona_stream_wide, masks[i]);
	}
}

static void a_discarded_range_reads_as_zeros_and_its_neighbour_stays(void **state)
{
	char content[KONA_PAGE_BYTES], seen[2 * KONA_PAGE_BYTES];
	struct kona_dirty_page pages[] = {{0, UINT64_MAX, content},
					  {KONA_PAGE_BYTES, UINT64_MAX, content}};
	struct kona_transport transport;
	uint64_t wire = 0, calls = 0;

	open_store(&transport);
	memset(content, 'x', sizeof(content));
	assert_int_equal(transport.ops->write_lines(&transport, pages, 2, &wire, &calls), 0);
	assert_int_equal(transport.ops->discard(&transport, 0, KONA_PAGE_BYTES), 0);
	assert_int_equal(kona_transport_read(&transport, 0, seen, sizeof(seen)), 0);
	for (int i = 0; i < KONA_PAGE_BYTES; i++) {
		assert_int_equal(seen[i], 0);
		assert_int_equal(seen[KONA_PAGE_BYTES + i], 'x');
	}
	transport.ops->close(&transport);
}

static void a_short_store_is_an_error_not_zeros(void **state)
{
	struct kona_transport transport;
	char page[KONA_PAGE_BYTES];
	int grant = open_grant(SLAB_PAGES);

	assert_int_equal(kona_transport_shm_init(&transport, SLAB_PAGES * KONA_PAGE_BYTES, SLABS),
			 0);
	kona_transport_shm_attach(&transport, 0, 1, grant);
	assert_int_equal(ftruncate(grant, KONA_PAGE_BYTES / 2), 0);
	assert_int_equal(kona_transport_read(&transport, 0, page, sizeof(page)), -EIO);
	transport.ops->close(&transport);
}

/* A run that crosses from one grant into another lands in both, and comes back whole. */
static void grants_make_one_store(void **state)
{
	char content[KONA_PAGE_BYTES], seen[4 * KONA_PAGE_BYTES];
	struct kona_transport transport;
	struct kona_dirty_page page = {0, UINT64_MAX, content};
	uint64_t wire = 0, calls = 0;

	open_store(&transport);
	kona_transport_shm_attach(&transport, 2, 1, open_grant(SLAB_PAGES));
	for (uint64_t i = 2; i < 6; i++) {
		memset(content, 'a' + (int)i, sizeof(content));
		page.offset_bytes = i * KONA_PAGE_BYTES;
		assert_int_equal(transport.ops->write_lines(&transport, &page, 1, &wire, &calls),
				 0);
	}
	assert_int_equal(
		kona_transport_read(&transport, UINT64_C(2) * KONA_PAGE_BYTES, seen, sizeof(seen)),
		0);
	for (int i = 0; i < (int)sizeof(seen); i++)
		assert_int_equal(seen[i], 'a' + 2 + i / KONA_PAGE_BYTES);
	assert_int_equal(transport.ops->discard(&transport, UINT64_C(3) * KONA_PAGE_BYTES,
						UINT64_C(2) * KONA_PAGE_BYTES),
			 0);
	assert_int_equal(
		kona_transport_read(&transport, UINT64_C(2) * KONA_PAGE_BYTES, seen, sizeof(seen)),
		0);
	assert_int_equal(seen[KONA_PAGE_BYTES - 1], 'a' + 2);
	assert_int_equal(seen[KONA_PAGE_BYTES], 0);
	assert_int_equal(seen[3 * KONA_PAGE_BYTES - 1], 0);
	assert_int_equal(seen[3 * KONA_PAGE_BYTES], 'a' + 5);
	transport.ops->close(&transport);
}

static void a_slab_that_is_not_there_is_an_error(void **state)
{
	struct kona_transport transport;
	char page[KONA_PAGE_BYTES] = {0};
	struct kona_dirty_page dirty = {STORE_PAGES * KONA_PAGE_BYTES, 1, page};
	uint64_t wire = 0, calls = 0;

	open_store(&transport);
	assert_int_equal(kona_transport_read(&transport, dirty.offset_bytes, page, sizeof(page)),
			 -EIO);
	assert_int_equal(transport.ops->write_lines(&transport, &dirty, 1, &wire, &calls), -EIO);
	assert_int_equal(transport.ops->discard(&transport, UINT64_MAX / 2, KONA_PAGE_BYTES), -EIO);
	transport.ops->close(&transport);
	assert_int_equal(kona_transport_shm_init(&transport, UINT64_C(3) * KONA_PAGE_BYTES, 1),
			 -EINVAL);
}

static void chaos_lets_the_chosen_number_through(void **state)
{
	struct kona_transport null, chaos;
	char byte = 'x';

	kona_transport_null_init(&null);
	kona_transport_chaos_init(&chaos, &null, 2, EHOSTUNREACH);
	assert_int_equal(kona_transport_read(&chaos, 0, &byte, 1), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(chaos.ops->discard(&chaos, 0, KONA_PAGE_BYTES), 0);
	assert_int_equal(kona_transport_read(&chaos, 0, &byte, 1), -EHOSTUNREACH);
	assert_int_equal(chaos.ops->discard(&chaos, 0, KONA_PAGE_BYTES), -EHOSTUNREACH);
	chaos.ops->close(&chaos);
}

/* --- delay: the shortest of some tries, for others use the machine, too
 * -------------------------*/

enum { TRIES = 20, LATENCY_US = 200 };

static uint64_t time_reads(struct kona_transport *transport, size_t count, size_t size_bytes)
{
	static char bytes[64 * KONA_PAGE_BYTES];
	struct kona_read reads[16];
	uint64_t shortest_ns = UINT64_MAX;

	for (size_t i = 0; i < count; i++)
		reads[i] = (struct kona_read){i * size_bytes, bytes, size_bytes};
	for (int i = 0; i < TRIES; i++) {
		uint64_t calls = 0, start_ns = kona_now_ns(), took_ns;

		assert_int_equal(transport->ops->read(transport, reads, count, &calls), 0);
		took_ns = kona_now_ns() - start_ns;
		if (took_ns < shortest_ns)
			shortest_ns = took_ns;
	}
	return shortest_ns;
}

static void delay_takes_one_latency_a_call_and_the_bytes_their_time(void **state)
{
	struct kona_transport null, delay;
	const uint64_t latency_ns = LATENCY_US * 1000;
	char content[KONA_PAGE_BYTES] = {0};
	struct kona_dirty_page page = {0, 3, content};
	uint64_t wire = 0, calls = 0, start_ns, took_ns;

	kona_transport_null_init(&null);
	kona_transport_delay_init(&delay, &null, latency_ns, UINT64_C(1000000000000));
	took_ns = time_reads(&delay, 1, KONA_PAGE_BYTES);
	assert_in_range(took_ns, latency_ns, 2 * latency_ns);
	assert_in_range(time_reads(&delay, 16, KONA_PAGE_BYTES), latency_ns, 3 * latency_ns);
	start_ns = kona_now_ns();
	assert_int_equal(delay.ops->write_lines(&delay, &page, 1, &wire, &calls), 0);
	assert_int_equal(delay.ops->discard(&delay, 0, KONA_PAGE_BYTES), 0);
	assert_true(kona_now_ns() - start_ns >= 2 * latency_ns);
	assert_int_equal(wire, 2 * KONA_LINE_BYTES);

	/* 256 KiB at 100 MB/s, without latency. */
	kona_transport_delay_init(&delay, &null, 0, 100000000);
	took_ns = time_reads(&delay, 4, UINT64_C(16) * KONA_PAGE_BYTES);
	assert_in_range(took_ns, 2621440, UINT64_C(2) * 2621440);
	delay.ops->close(&delay);
}

static void *read_much(void *argument)
{
	char *bytes = malloc(1 << 18);
	int rc = kona_transport_read(argument, 0, bytes, 1 << 18);

	free(bytes);
	return rc ? argument : NULL;
}

/* Two threads get half of the bandwidth each; a write does not wait for reads. */
static void delay_is_one_link_for_all_threads(void **state)
{
	struct kona_transport null, delay;
	uint64_t start_ns = kona_now_ns();
	pthread_t threads[4];
	void *failed;

	kona_transport_null_init(&null);
	kona_transport_delay_init(&delay, &null, 0, 100000000);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_much, &delay), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_true(kona_now_ns() - start_ns >= UINT64_C(4) * 2621440);
	assert_true(delay.delay_free_ns[0] >= start_ns + UINT64_C(4) * 2621440);
	assert_int_equal(delay.delay_free_ns[1], 0);
}

static void delay_tells_of_failures_at_once(void **state)
{
	struct kona_transport null, chaos, delay;
	uint64_t start_ns = kona_now_ns();
	char byte;

	kona_transport_null_init(&null);
	kona_transport_chaos_init(&chaos, &null, 0, EHOSTUNREACH);
	kona_transport_delay_init(&delay, &chaos, UINT64_C(60000000000), 1);
	assert_int_equal(kona_transport_read(&delay, 0, &byte, 1), -EHOSTUNREACH);
	assert_int_equal(delay.ops->discard(&delay, 0, KONA_PAGE_BYTES), -EHOSTUNREACH);
	assert_true(kona_now_ns() - start_ns < UINT64_C(30000000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_dirty_lines_are_stored),
		cmocka_unit_test(every_way_streams_the_lines_of_the_mask),
		cmocka_unit_test(a_discarded_range_reads_as_zeros_and_its_neighbour_stays),
		cmocka_unit_test(a_short_store_is_an_error_not_zeros),
		cmocka_unit_test(grants_make_one_store),
		cmocka_unit_test(a_slab_that_is_not_there_is_an_error),
		cmocka_unit_test(chaos_lets_the_chosen_number_through),
		cmocka_unit_test(delay_takes_one_latency_a_call_and_the_bytes_their_time),
		cmocka_unit_test(delay_is_one_link_for_all_threads),
		cmocka_unit_test(delay_tells_of_failures_at_once),
	};

	return cmocka_run_group_tests_name("transport", tests, NULL, NULL);
}
