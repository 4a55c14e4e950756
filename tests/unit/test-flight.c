/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flights on the real engine, over a store whose reads are begun and ended, in a process per test.
 *
 * Catches: a page that is used before it came; a thread that waits for a page of a flight that
 * nobody lands, whichever way it comes to it (a guard, a fault, a discard, a fork); flights that
 * are not begun in a scan, or are in random accesses; frames that flights keep. The same of the
 * fault handler's runs ahead.
 */
#include "engine.h"

#include <pthread.h>
#include <string.h>

#include <kona/guard.h>

#include "base/atomic.h"
#include "runtime/discard.h"
#include "runtime/fetch-frame.h"
#include "runtime/flight.h"
#include "runtime/guard.h"
#include "runtime/hazard.h"
#include "runtime/inplace.h"
#include "transport/flight.h"

/* The bytes come when a flight is ended, and not before. */
static struct kona_transport flying;
static uint64_t begun, ended; /* Atomic, no edge, both */
static bool refuses;	      /* each second one */
static uint64_t in_air;	      /* accesses of a scan behind which something flew */

static int fly_read(struct kona_transport *transport, const struct kona_read *reads, size_t count,
		    uint64_t *system_calls)
{
	return shm.ops->read(&shm, reads, count, system_calls);
}

static bool fly_may_begin(struct kona_transport *transport, uint64_t offset_bytes)
{
	return true;
}

static int fly_begin(struct kona_transport *transport, struct kona_flight *flight,
		     uint64_t *system_calls)
{
	for (size_t i = 0; i < flight->count; i++)
		memset(flight->reads[i].buffer, 0xee, flight->reads[i].size_bytes);
	/* relaxed: a test's notes */
	return kona_add_relaxed(&begun, 1) % 2 && refuses ? -EBUSY : 0;
}

static int fly_end(struct kona_transport *transport, struct kona_flight *flight,
		   uint64_t *system_calls)
{
	kona_add_relaxed(&ended, 1); /* relaxed: a test's notes */
	return shm.ops->read(&shm, flight->reads, flight->count, system_calls);
}

static int fly_write(struct kona_transport *transport, const struct kona_dirty_page *pages,
		     size_t count, uint64_t *wire_bytes, uint64_t *system_calls)
{
	return shm.ops->write_lines(&shm, pages, count, wire_bytes, system_calls);
}

static int fly_discard(struct kona_transport *transport, uint64_t offset_bytes, uint64_t size_bytes)
{
	return shm.ops->discard(&shm, offset_bytes, size_bytes);
}

static const struct kona_transport_ops fly_ops = {
	.name = "flying",
	.read = fly_read,
	.may_begin = fly_may_begin,
	.begin_read = fly_begin,
	.end_read = fly_end,
	.write_lines = fly_write,
	.discard = fly_discard,
};

static uint64_t get(const uint64_t *p)
{
	return *(const uint64_t *)kona_guard_load(p, 0);
}

static void put(uint64_t *p, uint64_t value)
{
	*(uint64_t *)kona_guard_store(p, 1) = value;
}

static uint64_t *make_data(void)
{
	uint64_t *data;

	flying.ops = &fly_ops;
	make_space(KONA_DIRTY_LINES, &flying);
	kona_guard_attach(&space);
	kona_hazard_enter(&space);
	data = take_data(DATA_PAGES);
	for (uint64_t i = 0; i < DATA_PAGES; i++)
		put(&data[i * WORDS], i + 1);
	begun = ended = 0;
	return data;
}

/* Runs and flights are cut short while there are no frames to spare: so the evictor, which may be
 * late on a busy machine, is waited for. */
static void await_frames(void)
{
	while (kona_frames_available(&space.frames) < space.evict.high) {
		kona_evict_kick(&space);
		usleep(10);
	}
}

/* Begins a flight of `count` pages, the first of which are all remote by now. */
static void fly(uint64_t *data, uint64_t count)
{
	uint64_t first = kona_space_page(&space, data);

	await_frames();
	kona_fetch_ahead(&space, first, count);
	CHECK(begun && !ended);
	for (uint64_t i = 0; i < count; i++)
		CHECK(kona_pt_state(kona_pt_load(&space.pt, first + i)) == KONA_PT_FETCHING);
}

static uint64_t flights_left(void)
{
	uint64_t count = 0;

	for (int i = 0; i < KONA_FLIGHTS; i++)
		count += kona_load_acquire(&space.flights.slots[i].state) != KONA_FLIGHT_FREE;
	return count;
}

static void check_page(const uint64_t *data, uint64_t i)
{
	await_frames();
	CHECK(get(&data[i * WORDS]) == i + 1);
	in_air += flights_left() > 0;
}

static void check_scans(const uint64_t *data)
{
	for (uint64_t i = 0; i < DATA_PAGES; i++)
		check_page(data, i);
	for (uint64_t i = DATA_PAGES; i-- > 0;)
		check_page(data, i);
	for (uint64_t i = 0; i < DATA_PAGES; i += 3)
		check_page(data, i);
	kona_flight_land_all(&space);
	CHECK(flights_left() == 0 && space.flights.pages == 0);
	CHECK(stats.prefetched_pages > DATA_PAGES);
	CHECK(stats.prefetch_used_pages > stats.prefetched_pages / 2);
	CHECK(stats.local_pages_peak <= space.frames.count);
}

/* In a scan a thread misses at its beginning only: what follows is always on its way. */
static void scans_fly(void)
{
	uint64_t *data = make_data(), misses = stats.guard_misses, random = 1, before;

	check_scans(data);
	CHECK(begun == ended && ended > 2 * DATA_PAGES / KONA_PREFETCH_MOST);
	CHECK(stats.guard_misses - misses < DATA_PAGES / 4);
	CHECK(in_air > DATA_PAGES);  /* of 2 1/3 of them: the next run is asked for in time */
	for (int i = 0; i < 64; i++) /* until no trend is left */
		get(&data[next_random(&random) % DATA_PAGES * WORDS]);
	before = begun;
	for (uint64_t i = 0; i < 2 * DATA_PAGES; i++)
		get(&data[next_random(&random) % DATA_PAGES * WORDS]);
	CHECK(begun - before < DATA_PAGES / 100);
}

static void refused_flights_are_reads(void)
{
	uint64_t *data = make_data();

	refuses = true;
	check_scans(data);
	CHECK(ended && begun > ended);
}

static void a_guard_lands(void)
{
	uint64_t *data = make_data();

	fly(data, 16);
	for (uint64_t i = 16; i-- > 0;)
		CHECK(get(&data[i * WORDS]) == i + 1);
	CHECK(ended == 1 && flights_left() == 0);
}

static void a_fault_lands(void)
{
	uint64_t *data = make_data();

	fly(data, 16);
	for (uint64_t i = 16; i-- > 0;)
		CHECK(data[i * WORDS] == i + 1);
	CHECK(ended == 1 && flights_left() == 0 && stats.faults_missing);
}

static void a_discard_lands(void)
{
	uint64_t *data = make_data();

	fly(data, 16);
	kona_discard(&space, kona_space_page(&space, data), 8);
	CHECK(ended == 1 && flights_left() == 0);
	for (uint64_t i = 0; i < 16; i++)
		CHECK(get(&data[i * WORDS]) == (i < 8 ? 0 : i + 1));
}

/* As a fork does it. */
static void all_land_in_place(void)
{
	uint64_t *data = make_data(), first = kona_space_page(&space, data);
	sigset_t signals;

	fly(data, 16);
	kona_hazard_close_gate(&signals);
	kona_fault_round_trip(&space);
	kona_inplace_enter_range(&space, 0, kona_region_used_pages(&space.region));
	CHECK(ended == 1 && flights_left() == 0);
	for (uint64_t i = 0; i < 16; i++)
		CHECK(kona_pt_state(kona_pt_load(&space.pt, first + i)) == KONA_PT_INPLACE);
	kona_hazard_open_gate(&signals);
	CHECK(get(&data[5 * WORDS]) == 6);
}

/* Nobody comes for it; eviction lands it and takes its frames again. */
static void a_flight_is_not_forgotten(void)
{
	uint64_t *data = make_data(), first = kona_space_page(&space, data), random = 1;

	fly(data, 16);
	usleep(30000);
	/* The evictor may be late on a busy machine. */
	while (kona_pt_state(kona_pt_load(&space.pt, first)) == KONA_PT_FETCHING) {
		uint64_t i = 32 + next_random(&random) % (DATA_PAGES - 32);

		put(&data[i * WORDS], i + 1);
	}
	CHECK(ended);
}

static void *scan(void *argument)
{
	uint64_t *data = argument;

	kona_hazard_enter(&space);
	for (int round = 0; round < 8; round++)
		for (uint64_t i = 0; i < DATA_PAGES; i++)
			CHECK(get(&data[i * WORDS]) == i + 1);
	kona_hazard_leave();
	return NULL;
}

/* More streams than flights. */
static void many_threads(void)
{
	uint64_t *data = make_data();
	pthread_t threads[2 * KONA_FLIGHTS];

	for (size_t i = 0; i < KONA_ARRAY_LEN(threads); i++)
		CHECK(!pthread_create(&threads[i], NULL, scan, data));
	for (size_t i = 0; i < KONA_ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	CHECK(ended > 8 * DATA_PAGES / KONA_PREFETCH_MOST / 2);
	kona_flight_land_all(&space);
	CHECK(begun == ended && space.flights.pages == 0);
}

/* --- runs ahead of faults ----------------------------------------------------------------------*/

/* No guard ever comes here: pages are in place, or far. */
static uint64_t *make_plain_data(enum kona_dirty_mode mode)
{
	uint64_t *data;

	flying.ops = &fly_ops;
	make_space(mode, &flying);
	data = take_data(DATA_PAGES);
	for (uint64_t i = 0; i < DATA_PAGES; i++)
		data[i * WORDS] = i + 1;
	kona_store_relaxed(&begun, 0); /* relaxed: a test's notes, all of them */
	kona_store_relaxed(&ended, 0);
	return data;
}

static uint64_t runs_in_air(void)
{
	return kona_load_relaxed(&begun) - kona_load_relaxed(&ended);
}

static void check_faults_fly(enum kona_dirty_mode mode)
{
	uint64_t *data = make_plain_data(mode), faults = stats.faults_missing, random = 1, before;

	for (uint64_t i = 0; i < DATA_PAGES; i++) {
		await_frames();
		CHECK(data[i * WORDS] == i + 1);
		data[i * WORDS] = i + 2;
		in_air += runs_in_air() > 0;
	}
	/* Every run ahead is some 20 pages here. */
	CHECK(kona_load_relaxed(&begun) > DATA_PAGES / 200 && in_air > DATA_PAGES / 100);
	CHECK(stats.faults_missing - faults < DATA_PAGES / 4);
	while (runs_in_air()) /* for nobody comes to the last ones */
		usleep(100);
	CHECK(stats.local_pages_peak <= space.frames.count);
	for (uint64_t i = 0; i < DATA_PAGES; i++)
		CHECK(data[i * WORDS] == i + 2);
	before = kona_load_relaxed(&begun);
	for (uint64_t i = 0; i < 2 * DATA_PAGES; i++) {
		uint64_t page = next_random(&random) % DATA_PAGES;

		CHECK(data[page * WORDS] == page + 2);
	}
	CHECK(kona_load_relaxed(&begun) - before < DATA_PAGES / 100);
}

static void faults_fly(void)
{
	check_faults_fly(KONA_DIRTY_LINES);
}

static void write_protected_faults_fly(void)
{
	check_faults_fly(KONA_DIRTY_WP);
}

static void refused_runs_are_fetched(void)
{
	uint64_t *data = make_plain_data(KONA_DIRTY_LINES);

	refuses = true;
	for (uint64_t i = 0; i < DATA_PAGES; i++) {
		await_frames();
		CHECK(data[i * WORDS] == i + 1);
	}
	CHECK(kona_load_relaxed(&ended));
	CHECK(kona_load_relaxed(&begun) > kona_load_relaxed(&ended));
}

/* Who waits for a page of a run ahead to which nobody comes. */
static void a_discard_waits_for_runs(void)
{
	enum { STEP = 512, DROPPED = 128 };
	uint64_t *data = make_plain_data(KONA_DIRTY_LINES);
	uint64_t first = kona_space_page(&space, data), met = 0;

	/* A run ahead lives for a millisecond: on a busy machine it takes some tries. */
	for (int round = 0; !met && round < 50; round++) {
		for (uint64_t i = 0; i < DATA_PAGES; i += STEP) {
			for (uint64_t k = i; k < i + STEP - DROPPED; k++) {
				await_frames();
				CHECK(data[k * WORDS] == k + 1);
			}
			met += runs_in_air() > 0;
			kona_discard(&space, first + i + STEP - DROPPED, DROPPED);
			for (uint64_t k = i + STEP - DROPPED; k < i + STEP; k++)
				CHECK(!data[k * WORDS]);
		}
		for (uint64_t k = 0; k < DATA_PAGES; k++)
			data[k * WORDS] = k + 1;
	}
	CHECK(met);
}

/* As a fork does it, of pages that were in frames once. */
static void runs_land_in_place(void)
{
	uint64_t *data = make_data(), first = kona_space_page(&space, data);
	sigset_t signals;

	for (uint64_t i = 0; i < DATA_PAGES / 2; i++) {
		await_frames();
		CHECK(data[i * WORDS] == i + 1);
	}
	CHECK(begun);
	kona_hazard_close_gate(&signals);
	kona_fault_round_trip(&space);
	kona_inplace_enter_range(&space, first, DATA_PAGES);
	for (uint64_t i = 0; i < DATA_PAGES; i++)
		CHECK(kona_pt_state(kona_pt_load(&space.pt, first + i)) != KONA_PT_FETCHING);
	kona_hazard_open_gate(&signals);
	CHECK(get(&data[5 * WORDS]) == 6);
}

static void *scan_plainly(void *argument)
{
	uint64_t *data = argument;

	for (int round = 0; round < 4; round++)
		for (uint64_t i = 0; i < DATA_PAGES; i++)
			CHECK(data[i * WORDS] == i + 1);
	return NULL;
}

/* More streams than runs ahead. */
static void many_threads_fault(void)
{
	uint64_t *data = make_plain_data(KONA_DIRTY_LINES);
	pthread_t threads[2 * KONA_FETCH_AHEAD];

	for (size_t i = 0; i < KONA_ARRAY_LEN(threads); i++)
		CHECK(!pthread_create(&threads[i], NULL, scan_plainly, data));
	for (size_t i = 0; i < KONA_ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	while (runs_in_air())
		usleep(100);
}

/* --- each in a process of its own --------------------------------------------------------------*/

APART(scans_fly)
APART(refused_flights_are_reads)
APART(a_guard_lands)
APART(a_fault_lands)
APART(a_discard_lands)
APART(all_land_in_place)
APART(a_flight_is_not_forgotten)
APART(many_threads)
APART(faults_fly)
APART(write_protected_faults_fly)
APART(refused_runs_are_fetched)
APART(a_discard_waits_for_runs)
APART(runs_land_in_place)
APART(many_threads_fault)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scans_fly_apart),
		cmocka_unit_test(refused_flights_are_reads_apart),
		cmocka_unit_test(a_guard_lands_apart),
		cmocka_unit_test(a_fault_lands_apart),
		cmocka_unit_test(a_discard_lands_apart),
		cmocka_unit_test(all_land_in_place_apart),
		cmocka_unit_test(a_flight_is_not_forgotten_apart),
		cmocka_unit_test(many_threads_apart),
		cmocka_unit_test(faults_fly_apart),
		cmocka_unit_test(write_protected_faults_fly_apart),
		cmocka_unit_test(refused_runs_are_fetched_apart),
		cmocka_unit_test(a_discard_waits_for_runs_apart),
		cmocka_unit_test(runs_land_in_place_apart),
		cmocka_unit_test(many_threads_fault_apart),
	};

	return cmocka_run_group_tests_name("flight", tests, NULL, NULL);
}
