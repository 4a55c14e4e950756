/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Catches: a waiter that slept once and never spins again, though its peer answers fast; one that
 * spins each time, though it is always in vain.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/spin.h"

/* Waits that sleep at once, until one spins. */
static int sleeps_before_next_spin(struct kona_spin *spin)
{
	int sleeps = 0;

	while (!kona_spin_try(spin))
		assert_true(++sleeps < 1000);
	return sleeps;
}

static void failures_are_retried_ever_more_seldom(void **state)
{
	static const int expected[] = {1, 2, 4, 8, 16, 32, 64, 128, 128, 128};
	struct kona_spin spin = {0, 0};

	assert_int_equal(sleeps_before_next_spin(&spin), 0);
	for (size_t i = 0; i < KONA_ARRAY_LEN(expected); i++) {
		kona_spin_learn(&spin, true);
		assert_int_equal(sleeps_before_next_spin(&spin), expected[i]);
	}
}

static void one_success_is_enough(void **state)
{
	struct kona_spin spin = {0, 0};

	for (int i = 0; i < 20; i++) {
		kona_spin_learn(&spin, true);
		(void)sleeps_before_next_spin(&spin);
	}
	kona_spin_learn(&spin, false);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sleeps_before_next_spin(&spin), 0);
	kona_spin_learn(&spin, true);
	assert_int_equal(sleeps_before_next_spin(&spin), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_are_retried_ever_more_seldom),
		cmocka_unit_test(one_success_is_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
