/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache-line log and the checks of the data protocol.
 *
 * Catches: a line that lands elsewhere than where it was dirty, a log that was cut, lengthened,
 * changed in one bit or aimed beyond its slab and still passes, a checksum that differs between the
 * instruction and the definition, requests out of range.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "wire/data.h"
#include "wire/log.h"

enum { PAGES = 16, SLAB_PAGES = 64 };

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void checksum_is_crc32c(void **state)
{
	char zeros[32] = {0}, ones[32];

	memset(ones, 0xff, sizeof(ones));
	/* The examples of RFC 3720, B.4. */
	assert_int_equal(kona_crc32c(0, zeros, sizeof(zeros)), 0x8a9136aa);
	assert_int_equal(kona_crc32c(0, ones, sizeof(ones)), 0x62a8ab43);
	assert_int_equal(kona_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(kona_crc32c(kona_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static char contents[PAGES][KONA_PAGE_BYTES];
static _Alignas(8) char buffer[1 << 17];

static size_t encode_random(struct kona_log_page *pages, size_t count, bool sparse)
{
	struct kona_log_header header = {.slab = 7, .sequence = 3, .handle = 5};

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < KONA_PAGE_BYTES; j++)
			contents[i][j] = (char)draw();
		pages[i].page = (uint32_t)(draw() % SLAB_PAGES);
		pages[i].mask = sparse ? draw() & draw() & draw() : draw() | draw();
		pages[i].mask |= UINT64_C(1) << draw() % 64;
		pages[i].content = contents[i];
	}
	if (!sparse)
		pages[0].mask = UINT64_MAX;
	return kona_log_encode(buffer, &header, pages, count);
}

static void lines_land_where_they_were(void **state)
{
	for (int round = 0; round < 200; round++) {
		static char slab[SLAB_PAGES][KONA_PAGE_BYTES], wanted[SLAB_PAGES][KONA_PAGE_BYTES];
		struct kona_log_page pages[PAGES];
		size_t count = 1 + draw() % PAGES, bytes = encode_random(pages, count, round % 2);
		struct kona_log log;
		const char *why, *lines;
		unsigned int total = 0;

		memset(slab, 0x5a, sizeof(slab));
		memset(wanted, 0x5a, sizeof(wanted));
		for (size_t i = 0; i < count; i++)
			for (unsigned int line = 0; line < 64; line++)
				if (pages[i].mask >> line & 1) {
					memcpy(wanted[pages[i].page] + 64 * line,
					       contents[i] + 64 * line, 64);
					total++;
				}
		assert_int_equal(bytes, kona_log_bytes(count, total));
		assert_int_equal(bytes % 8, 0);
		assert_int_equal(kona_log_check(buffer, bytes, SLAB_PAGES, &log, &why), 0);
		assert_int_equal(log.header->slab, 7);
		lines = log.lines;
		for (size_t i = 0; i < count; i++)
			lines = kona_log_apply_page(slab[log.pages[i]], log.masks[i], lines);
		assert_ptr_equal(lines, buffer + bytes);
		assert_memory_equal(slab, wanted, sizeof(slab));
	}
}

static void a_damaged_log_is_refused(void **state)
{
	struct kona_log_page pages[PAGES];
	size_t bytes = encode_random(pages, 5, true);
	struct kona_log log;
	const char *why;

	for (size_t length = 0; length < bytes; length += 4)
		assert_int_not_equal(kona_log_check(buffer, length, SLAB_PAGES, &log, &why), 0);
	assert_int_equal(kona_log_check(buffer, bytes + 64, SLAB_PAGES, &log, &why), -EPROTO);
	for (int i = 0; i < 2000; i++) {
		size_t bit = draw() % (bytes * 8);

		buffer[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_not_equal(kona_log_check(buffer, bytes, SLAB_PAGES, &log, &why), 0);
		buffer[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_int_equal(kona_log_check(buffer, bytes, SLAB_PAGES, &log, &why), 0);
}

/* With a right checksum, as a hostile client can make it. */
static void a_wrong_log_is_refused(void **state)
{
	struct kona_log_header header = {.slab = 1, .sequence = 1};
	struct kona_log_page page = {.page = SLAB_PAGES, .mask = 1, .content = contents[0]};
	struct kona_log log;
	const char *why;
	size_t bytes = kona_log_encode(buffer, &header, &page, 1);

	assert_int_equal(kona_log_check(buffer, bytes, SLAB_PAGES, &log, &why), -EPROTO);
	assert_int_equal(kona_log_check(buffer, bytes, SLAB_PAGES + 1, &log, &why), 0);
	page = (struct kona_log_page){.page = 0, .mask = 0, .content = contents[0]};
	bytes = kona_log_encode(buffer, &header, &page, 1);
	assert_int_equal(kona_log_check(buffer, bytes, SLAB_PAGES, &log, &why), -EPROTO);
}

/* Whoever shares its memory changes it, before the check or between the check and its use. */
static void a_log_in_shared_memory(void **state)
{
	struct kona_log_page dirty[PAGES];
	size_t bytes = encode_random(dirty, 5, true);
	struct kona_log_header header;
	struct kona_log_places copy;
	struct kona_log log;
	const char *why;

	memcpy(&header, buffer, sizeof(header));
	for (int i = 0; i < 2000; i++) {
		size_t bit = sizeof(header) * 8 + draw() % ((bytes - sizeof(header)) * 8);

		buffer[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_equal(kona_log_check_shared(&header, buffer, bytes, SLAB_PAGES, &copy,
						       &log, &why),
				 -EBADMSG);
		buffer[bit / 8] ^= (char)(1 << bit % 8);
	}
	/* The header that came another way is the one that counts. */
	memset(buffer, 0xff, sizeof(header));
	assert_int_equal(
		kona_log_check_shared(&header, buffer, bytes, SLAB_PAGES, &copy, &log, &why), 0);
	memset(buffer, 0xff, bytes);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(log.masks[i], dirty[i].mask);
		assert_int_equal(log.pages[i], dirty[i].page);
	}
	assert_int_equal(log.header->pages, 5);
	assert_ptr_equal(log.lines, buffer + kona_log_bytes(5, 0));
	assert_int_equal(
		kona_log_check_shared(&header, buffer, bytes - 8, SLAB_PAGES, &copy, &log, &why),
		-EPROTO);
}

static struct kona_data_header header_of(uint16_t type, uint32_t body_bytes)
{
	return (struct kona_data_header){KONA_DATA_MAGIC, KONA_DATA_VERSION, type, 1, body_bytes};
}

static void requests_are_checked(void **state)
{
	struct kona_data_header read = header_of(KONA_DATA_READ, 16), bad = read;
	struct kona_data_header open = header_of(KONA_DATA_OPEN, sizeof(struct kona_data_open));
	struct kona_data_header log = header_of(KONA_DATA_LOG, KONA_DATA_MOST_BODY_BYTES + 8);
	struct kona_data_open body = {.slab_bytes = 1 << 20};

	assert_null(kona_data_check_header(&open, false));
	assert_non_null(kona_data_check_header(&read, false));
	assert_null(kona_data_check_header(&read, true));
	bad.magic++;
	assert_non_null(kona_data_check_header(&bad, true));
	bad = read;
	bad.version++;
	assert_non_null(kona_data_check_header(&bad, true));
	bad = header_of(KONA_DATA_READ, 16 * 65);
	assert_non_null(kona_data_check_header(&bad, true));
	bad = header_of(KONA_DATA_ACK, 0);
	assert_non_null(kona_data_check_header(&bad, true));
	assert_non_null(kona_data_check_header(&log, true));
	assert_null(kona_data_check_open(&body));
	body.handle = KONA_DATA_MOST_HANDLES;
	assert_non_null(kona_data_check_open(&body));
	body = (struct kona_data_open){.slab_bytes = (1 << 20) + 1};
	assert_non_null(kona_data_check_open(&body));
	body = (struct kona_data_open){.slab_bytes = 1 << 20, .flags = 3};
	assert_non_null(kona_data_check_open(&body));
	body = (struct kona_data_open){.slab_bytes = 1 << 20, .sequence = 1};
	assert_non_null(kona_data_check_open(&body));
}

static void pieces_are_checked(void **state)
{
	struct kona_data_piece pieces[] = {{0, 4096, 0}, {0, UINT32_MAX, 0}};
	uint64_t total = 0;

	assert_null(kona_data_check_read(pieces, 1, &total));
	assert_int_equal(total, 4096);
	assert_non_null(kona_data_check_read(pieces, 2, &total));
	pieces[0].size_bytes = 0;
	assert_non_null(kona_data_check_read(pieces, 1, &total));
	assert_true(kona_data_in_slab(0, 4096, 4096));
	assert_false(kona_data_in_slab(4096, 0, 4096));
	assert_false(kona_data_in_slab(1, 4096, 4096));
	assert_false(kona_data_in_slab(UINT64_MAX, 2, 4096));
	assert_false(kona_data_in_slab(2, UINT64_MAX, 4096));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksum_is_crc32c),
		cmocka_unit_test(lines_land_where_they_were),
		cmocka_unit_test(a_damaged_log_is_refused),
		cmocka_unit_test(a_wrong_log_is_refused),
		cmocka_unit_test(a_log_in_shared_memory),
		cmocka_unit_test(requests_are_checked),
		cmocka_unit_test(pieces_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
