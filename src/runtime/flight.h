/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flights: pages that were asked for, and for which nobody waits (fetch-frame -> flight ->
 * transport). They are claimed (FETCHING), and have no owner who is about to settle them; so
 * whoever wants such a page lands its flight: receives its bytes, and settles all its pages as
 * COOLING.
 *
 *   FREE --begin: claims, asks--> FILLING --> FLYING --land, by one CAS--> LANDING --> FREE
 *
 * Nobody sleeps for a page of a flight that flies (edge FL-1): who wants a page marks its entry
 * (kona_pt_want(), kona_pt_touch()) and then looks at the flights; who begins one publishes it as
 * FLYING and then looks at the marks, and lands it when there is one. One of the two sees the
 * other. Modelled in tests/model/flight.pml.
 *
 * Whoever needs all pages to be settled (fork, a smaller budget) lands all; eviction lands those
 * that nobody came for.
 */
#ifndef KONA_RUNTIME_FLIGHT_H
#define KONA_RUNTIME_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/batch.h"
#include "transport/flight.h"

struct kona_space;

enum {
	KONA_FLIGHTS = 8,
	KONA_FLIGHT_SHARE = 8, /* 1 / this of the frames may be in flight */
};

enum kona_flight_state {
	KONA_FLIGHT_FREE,
	KONA_FLIGHT_FILLING,
	KONA_FLIGHT_FLYING,
	KONA_FLIGHT_LANDING,
};

struct kona_flight_slot {
	uint32_t state;		 /* Atomic, edge FL-1 */
	uint64_t begun_ns;	 /* Atomic, no edge: for who looks for the oldest */
	uint64_t first, last;	 /* of its pages, the least and the greatest. Atomic, edge FL-1 */
	struct kona_batch batch; /* Whose turn it is by state, like the next */
	struct kona_flight flight;
};

struct kona_flights {
	struct kona_flight_slot slots[KONA_FLIGHTS];
	uint32_t pages; /* in flight. Atomic, no edge: a level */
};

/* Are reads of this page worth a flight? */
bool kona_flight_is_worth(struct kona_space *space, uint64_t page);

/*
 * Asks for what is REMOTE of these pages, as far as frames can be spared. Waits only for the oldest
 * flight, when there are too many, or where the transport cannot begin another read. A thread in a
 * miss.
 */
void kona_flight_begin(struct kona_space *space, const uint64_t *pages, uint32_t count);

/* Lands the flight that may bring this page, on which the caller left a mark. False: there is none,
 * and whoever has the page settles it. Any thread, the fault handler too. */
bool kona_flight_land(struct kona_space *space, uint64_t page);

/* Sleeps until the page is idle, and lands its flight. Returns the entry. Any thread but the fault
 * handler. */
uint64_t kona_flight_await(struct kona_space *space, uint64_t page);

/* Lands all, and waits for those who are landing others. While nobody begins any. */
void kona_flight_land_all(struct kona_space *space);

/* Lands those that nobody has come for in a while. */
void kona_flight_land_old(struct kona_space *space);

#endif
