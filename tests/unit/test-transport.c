/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Catches: a write-back that stores a clean line over another's bytes, misses a dirty one, or
 * counts wrongly; a short store read as zeros; a fault that the chaos layer swallows.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/units.h"
#include "transport/transport.h"

enum { STORE_PAGES = 4 };

static void open_store(struct kona_transport *transport)
{
	int descriptor = memfd_create("store", MFD_CLOEXEC);

	assert_true(descriptor >= 0);
	assert_int_equal(ftruncate(descriptor, STORE_PAGES * KONA_PAGE_BYTES), 0);
	kona_transport_shm_init(transport, descriptor);
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
	assert_int_equal(transport->ops->read(transport, KONA_PAGE_BYTES, seen, sizeof(seen)), 0);
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
	assert_int_equal(transport.ops->read(&transport, 0, seen, sizeof(seen)), 0);
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

	open_store(&transport);
	assert_int_equal(ftruncate(transport.descriptor, KONA_PAGE_BYTES / 2), 0);
	assert_int_equal(transport.ops->read(&transport, 0, page, sizeof(page)), -EIO);
	transport.ops->close(&transport);
}

static void chaos_lets_the_chosen_number_through(void **state)
{
	struct kona_transport null, chaos;
	char byte = 'x';

	kona_transport_null_init(&null);
	kona_transport_chaos_init(&chaos, &null, 2, EHOSTUNREACH);
	assert_int_equal(chaos.ops->read(&chaos, 0, &byte, 1), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(chaos.ops->discard(&chaos, 0, KONA_PAGE_BYTES), 0);
	assert_int_equal(chaos.ops->read(&chaos, 0, &byte, 1), -EHOSTUNREACH);
	assert_int_equal(chaos.ops->discard(&chaos, 0, KONA_PAGE_BYTES), -EHOSTUNREACH);
	chaos.ops->close(&chaos);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_dirty_lines_are_stored),
		cmocka_unit_test(a_discarded_range_reads_as_zeros_and_its_neighbour_stays),
		cmocka_unit_test(a_short_store_is_an_error_not_zeros),
		cmocka_unit_test(chaos_lets_the_chosen_number_through),
	};

	return cmocka_run_group_tests_name("transport", tests, NULL, NULL);
}
