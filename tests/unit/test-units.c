/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Catches: a size or duration that a user typed being read as another one, or junk being accepted.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/units.h"

static void sizes_are_read_as_binary_multiples(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {{"0", 0},
		     {"4096", 4096},
		     {"64K", 64 * KONA_KIB},
		     {"64k", 64 * KONA_KIB},
		     {"128M", 128 * KONA_MIB},
		     {"128MiB", 128 * KONA_MIB},
		     {"128MB", 128 * KONA_MIB},
		     {"1.5G", 1536 * KONA_MIB},
		     {"2T", 2 * KONA_TIB},
		     {"10B", 10}};
	uint64_t bytes;

	for (size_t i = 0; i < KONA_ARRAY_LEN(cases); i++) {
		assert_int_equal(kona_size_parse(cases[i].text, &bytes), 0);
		assert_int_equal(bytes, cases[i].bytes);
	}
}

static void junk_is_refused_and_leaves_the_output(void **state)
{
	static const char *const junk[] = {"",	   "M",	  "-1",	 "+1",	   " 1",  "1 M", "1MM",
					   "0x10", "inf", "nan", "1e999x", "12Q", "1Ki"};
	uint64_t bytes = 7;

	for (size_t i = 0; i < KONA_ARRAY_LEN(junk); i++)
		assert_true(kona_size_parse(junk[i], &bytes) < 0);
	assert_int_equal(kona_size_parse("9999999T", &bytes), -ERANGE);
	assert_int_equal(kona_duration_parse("1x", &bytes), -EINVAL);
	assert_int_equal(bytes, 7);
}

static void durations_know_their_units(void **state)
{
	uint64_t ns;

	assert_int_equal(kona_duration_parse("250ms", &ns), 0);
	assert_int_equal(ns, 250000000);
	assert_int_equal(kona_duration_parse("2", &ns), 0);
	assert_int_equal(ns, 2000000000);
	assert_int_equal(kona_duration_parse("1.5us", &ns), 0);
	assert_int_equal(ns, 1500);
}

static void sizes_are_written_for_people(void **state)
{
	char text[16];

	assert_string_equal(kona_size_format(0, text, sizeof(text)), "0 B");
	assert_string_equal(kona_size_format(1536, text, sizeof(text)), "1.5 KiB");
	assert_string_equal(kona_size_format(300 * KONA_MIB, text, sizeof(text)), "300 MiB");
	assert_string_equal(kona_size_format(UINT64_MAX, text, sizeof(text)), "16.0 EiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_read_as_binary_multiples),
		cmocka_unit_test(junk_is_refused_and_leaves_the_output),
		cmocka_unit_test(durations_know_their_units),
		cmocka_unit_test(sizes_are_written_for_people),
	};

	return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
