/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions that sleep, on the real engine: code of this test stands in for what kona-cc compiles.
 *
 * Catches: a function that goes on faulting on far memory and is not woken, or one that uses a few
 * pages of its own and is, or what all fits; one that fights for a page for ever; one that is
 * blamed for another's faults, or for a library's; a record that is written after its library has
 * gone; nobody woken where the kernel does not tell who faults, or all for a thread that it does
 * not know.
 */
#include "engine.h"

#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>

#include "runtime/guard.h"
#include "runtime/hazard.h"
#include "runtime/sleepers.h"

enum { ROUNDS = 20000 };

static volatile uint64_t *data;

__attribute__((noinline)) static uint64_t use_far(uint64_t page)
{
	return data[page * WORDS];
}

__attribute__((noinline)) static uint64_t use_few(uint64_t page)
{
	return data[page * WORDS] * 3;
}

/* By the C library. */
__attribute__((noinline)) static int use_library(uint64_t page)
{
	return memchr((const void *)&data[page * WORDS + 1], 255, 64) != NULL;
}

/* In no order, as functions enrol. */
enum { LIBRARY, FEW, FAR, SLEEPERS };
static struct kona_sleeper sleepers[SLEEPERS] = {
	{.next = &sleepers[FEW], .code = (const void *)use_library},
	{.next = &sleepers[FAR], .code = (const void *)use_few},
	{.code = (const void *)use_far},
};
static struct kona_roll roll = {.first = sleepers};

static void begin(void)
{
	make_space(KONA_DIRTY_LINES, &shm);
	kona_guard_attach(&space);
	kona_hazard_enter(&space);
	data = take_data(DATA_PAGES);
	for (uint64_t page = 0; page < DATA_PAGES; page++)
		data[page * WORDS] = page + 1;
}

static bool is_awake(int sleeper)
{
	return kona_load_relaxed(&sleepers[sleeper].awake); /* relaxed: as compiled code */
}

static void far_ones_wake(void)
{
	enum { PAGES = 32 };
	uint64_t random = 1, before = 0;

	kona_sleepers_begin(false);
	begin();
	kona_cc_sleepers_come(&roll);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t page = PAGES + next_random(&random) % (DATA_PAGES - PAGES);
		uint64_t few = round * 7 % PAGES; /* no stream */

		CHECK(use_few(few) == (few + 1) * 3);
		if (!is_awake(FAR))
			CHECK(use_far(page) == page + 1);
		else /* it has guards now */
			CHECK(*(const uint64_t *)kona_guard_load((const void *)&data[page * WORDS],
								 0) == page + 1);
		if (round == ROUNDS / 2)
			before = kona_load_relaxed(&stats.faults_missing);
	}
	CHECK(is_awake(FAR) && !is_awake(FEW) && !is_awake(LIBRARY));
	CHECK(stats.woken_functions == 1 && stats.guard_misses > ROUNDS / 2);
	CHECK(stats.faults_missing - before < 4 * PAGES); /* the few stay in place */
}

/* After a shortage, when all fits again, all comes back in place. */
static void plenty_wakes_nobody(void)
{
	kona_sleepers_begin(false);
	begin();
	kona_cc_sleepers_come(&roll);
	CHECK(kona_space_resize(&space, 16 * LOCAL_BYTES) == 0);
	for (uint64_t i = 0; i < 4 * DATA_PAGES; i++) {
		uint64_t page = i * 1009 % DATA_PAGES; /* no stream */

		CHECK(use_far(page) == page + 1);
	}
	CHECK(!is_awake(FAR));
}

/* What nearly fits is wanted back soon, over and over. */
static void thrashing_wakes(void)
{
	uint64_t random = 1, pages;

	kona_sleepers_begin(false);
	begin();
	pages = space.frames.count + 16;
	kona_cc_sleepers_come(&roll);
	for (uint64_t round = 0; !is_awake(FAR) && round < 100 * ROUNDS; round++) {
		uint64_t page = next_random(&random) % pages;

		CHECK(use_far(page) == page + 1);
	}
	CHECK(is_awake(FAR));
}

/* A page that somebody uses by a translation, as his loop goes on, and a sleeper at its own
 * address: it goes to and fro until the sleeper wakes. */
static void contest_wakes(void)
{
	uint64_t *held;

	kona_sleepers_begin(false);
	begin();
	kona_cc_sleepers_come(&roll);
	held = kona_guard_store((void *)&data[WORDS], 2);
	for (uint64_t round = 0; !is_awake(FEW) && round < ROUNDS; round++) {
		*held = round;
		CHECK(use_few(1) == round * 3);
	}
	CHECK(is_awake(FEW));
}

static void library_is_nobodys(void)
{
	uint64_t random = 1;

	kona_sleepers_begin(false);
	begin();
	kona_cc_sleepers_come(&roll);
	for (uint64_t round = 0; round < ROUNDS; round++)
		CHECK(!use_library(next_random(&random) % DATA_PAGES));
	CHECK(!is_awake(LIBRARY) && !is_awake(FEW) && !is_awake(FAR));
}

static void use_at_random(void)
{
	uint64_t random = 1;

	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t page = next_random(&random) % DATA_PAGES;

		CHECK(use_far(page) == page + 1);
	}
}

static void gone_ones_are_let_be(void)
{
	static struct kona_roll other;

	kona_sleepers_begin(false);
	begin();
	kona_cc_sleepers_come(&other);
	kona_cc_sleepers_come(&roll);
	kona_cc_sleepers_go(&roll);
	use_at_random();
	CHECK(!is_awake(FAR));
	kona_cc_sleepers_go(&other);
	CHECK(!kona_sleepers_any());
}

static void awake_from_the_start(void)
{
	kona_sleepers_begin(true);
	kona_cc_sleepers_come(&roll);
	CHECK(roll.awake); /* and those who enrol later */
	CHECK(is_awake(FAR) && is_awake(FEW) && is_awake(LIBRARY));
}

static void children_sleep(void)
{
	kona_sleepers_begin(false);
	kona_cc_sleepers_come(&roll);
	sleepers[FAR].awake = 1;
	kona_sleepers_forked();
	CHECK(!is_awake(FAR));
}

/* One that enrols while others are watched already. */
static void late_ones_wake(void)
{
	kona_sleepers_begin(false);
	begin();
	roll.first = &sleepers[FAR];
	kona_cc_sleepers_come(&roll);
	use_at_random();
	CHECK(is_awake(FAR) && stats.woken_functions == 1);
	sleepers[FAR].awake = 0;
	sleepers[FEW].next = &sleepers[FAR];
	kona_store_release(&roll.first, &sleepers[FEW]); /* SL-1 */
	for (uint64_t page = 0; !is_awake(FEW) && page < ROUNDS; page++)
		use_few(page * 7 % DATA_PAGES);
	CHECK(is_awake(FEW));
}

/* Not of this process, or gone: a child of vfork() faults on the parent's memory. */
static void strangers_wake_nobody(void)
{
	kona_sleepers_begin(false);
	begin();
	kona_cc_sleepers_come(&roll);
	for (int i = 0; i < ROUNDS; i++)
		kona_sleepers_blame(&space, INT_MAX, KONA_BLAME_FAR);
	CHECK(!is_awake(LIBRARY) && !is_awake(FEW) && !is_awake(FAR));
}

/* Without /proc nobody knows who faults. */
static void unknown_means_all(void)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/proc", "tmpfs", 0, NULL))
		return;
	kona_sleepers_begin(false);
	begin();
	kona_cc_sleepers_come(&roll);
	use_at_random();
	CHECK(is_awake(FAR) && is_awake(FEW) && is_awake(LIBRARY));
}

APART(far_ones_wake)
APART(plenty_wakes_nobody)
APART(thrashing_wakes)
APART(contest_wakes)
APART(library_is_nobodys)
APART(gone_ones_are_let_be)
APART(awake_from_the_start)
APART(children_sleep)
APART(late_ones_wake)
APART(strangers_wake_nobody)
APART(unknown_means_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(far_ones_wake_apart),
		cmocka_unit_test(plenty_wakes_nobody_apart),
		cmocka_unit_test(thrashing_wakes_apart),
		cmocka_unit_test(contest_wakes_apart),
		cmocka_unit_test(library_is_nobodys_apart),
		cmocka_unit_test(gone_ones_are_let_be_apart),
		cmocka_unit_test(awake_from_the_start_apart),
		cmocka_unit_test(children_sleep_apart),
		cmocka_unit_test(late_ones_wake_apart),
		cmocka_unit_test(strangers_wake_nobody_apart),
		cmocka_unit_test(unknown_means_all_apart),
	};

	return cmocka_run_group_tests_name("sleepers", tests, NULL, NULL);
}
