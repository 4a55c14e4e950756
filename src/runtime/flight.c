/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flights (flight.h): a table of few, which all look through.
 *
 * State: space->flights. No locks. What can fail: the store (fatal).
 */
#include "runtime/flight.h"

#include <sched.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/units.h"
#include "runtime/mutate.h"
#include "runtime/space.h"

#define OLD_NS UINT64_C(20000000)

bool kona_flight_is_worth(struct kona_space *space, uint64_t page)
{
	const struct kona_transport_ops *ops = space->store->ops;

	return ops->may_begin && ops->may_begin(space->store, page * KONA_PAGE_BYTES);
}

/* --- landing -----------------------------------------------------------------------------------*/

static bool take(struct kona_flight_slot *slot, uint32_t state, uint32_t next)
{
	if (KONA_MUTATED(LAND_BLIND) && state == KONA_FLIGHT_FLYING) {
		if (kona_load_acquire(&slot->state) != state) /* FL-1 */
			return false;
		usleep(50);				/* long enough for another one */
		kona_store_release(&slot->state, next); /* FL-1 */
		return true;
	}
	/* FL-1: acquire-release, pairs with itself: the next owner sees what the last one wrote. */
	return kona_cas_acq_rel(&slot->state, &state, next);
}

/* By its owner, once all has been read. */
static void settle(struct kona_space *space, struct kona_flight_slot *slot, int rc)
{
	kona_batch_was_read(space, &slot->batch, rc);
	kona_sub_relaxed(&space->flights.pages, slot->batch.count); /* relaxed: a level */
	if (!KONA_MUTATED(SETTLE_FIRST))
		kona_batch_settle(space, &slot->batch, true, 0);
	kona_store_release(&slot->state, KONA_FLIGHT_FREE); /* FL-1: release */
}

/* False: somebody else does, or has done it. */
static bool land(struct kona_space *space, struct kona_flight_slot *slot)
{
	if (!take(slot, KONA_FLIGHT_FLYING, KONA_FLIGHT_LANDING))
		return false;
	if (KONA_MUTATED(SETTLE_FIRST))
		kona_batch_settle(space, &slot->batch, true, 0);
	settle(space, slot,
	       space->store->ops->end_read(space->store, &slot->flight, &slot->batch.system_calls));
	return true;
}

/* The one that flies longest; NULL: none does. */
static struct kona_flight_slot *find_oldest(struct kona_space *space)
{
	struct kona_flight_slot *oldest = NULL;

	for (int i = 0; i < KONA_FLIGHTS; i++) {
		struct kona_flight_slot *slot = &space->flights.slots[i];

		/* FL-1: acquire; relaxed: the age is a hint. */
		if (kona_load_acquire(&slot->state) == KONA_FLIGHT_FLYING &&
		    (!oldest ||
		     kona_load_relaxed(&slot->begun_ns) < kona_load_relaxed(&oldest->begun_ns)))
			oldest = slot;
	}
	return oldest;
}

bool kona_flight_land(struct kona_space *space, uint64_t page)
{
	bool landed = false;

	for (int i = 0; i < KONA_FLIGHTS; i++) {
		struct kona_flight_slot *slot = &space->flights.slots[i];

		/* FL-1: acquire. The range of a flight that is over by now may belong to a later
		 * one: then the page was settled, and its entry tells. */
		if (kona_load_acquire(&slot->state) == KONA_FLIGHT_FLYING &&
		    page >= kona_load_acquire(&slot->first) &&
		    page <= kona_load_acquire(&slot->last))
			landed |= land(space, slot);
	}
	return landed;
}

uint64_t kona_flight_await(struct kona_space *space, uint64_t page)
{
	uint64_t seen;

	while (kona_pt_busy(seen = kona_pt_want(&space->pt, page)))
		if (!kona_flight_land(space, page))
			kona_pt_sleep(&space->pt, page, seen);
	return seen;
}

static bool is_free(const struct kona_flight_slot *slot)
{
	return kona_load_acquire(&slot->state) == KONA_FLIGHT_FREE; /* FL-1: acquire */
}

void kona_flight_land_all(struct kona_space *space)
{
	for (int i = 0; i < KONA_FLIGHTS; i++)
		while (!is_free(&space->flights.slots[i]))
			if (!land(space, &space->flights.slots[i]))
				sched_yield();
}

void kona_flight_land_old(struct kona_space *space)
{
	struct kona_flight_slot *oldest;

	/* relaxed: a hint */
	while ((oldest = find_oldest(space)) &&
	       kona_now_ns() - kona_load_relaxed(&oldest->begun_ns) > OLD_NS)
		(void)land(space, oldest);
}

/* --- beginning ---------------------------------------------------------------------------------*/

/* NULL: all are being begun or landed by others. */
static struct kona_flight_slot *take_slot(struct kona_space *space)
{
	struct kona_flight_slot *oldest;

	for (int i = 0; i < KONA_FLIGHTS; i++)
		if (is_free(&space->flights.slots[i]) &&
		    take(&space->flights.slots[i], KONA_FLIGHT_FREE, KONA_FLIGHT_FILLING))
			return &space->flights.slots[i];
	oldest = find_oldest(space);
	if (oldest && land(space, oldest) && take(oldest, KONA_FLIGHT_FREE, KONA_FLIGHT_FILLING))
		return oldest;
	return NULL;
}

static void note_range(struct kona_flight_slot *slot)
{
	const struct kona_batch *batch = &slot->batch;
	uint64_t first = batch->pages[0], last = batch->pages[batch->count - 1];

	/* FL-1: release; with the state's. */
	kona_store_release(&slot->first, first < last ? first : last);
	kona_store_release(&slot->last, first < last ? last : first);
}

/* From here on whoever wants a page of it lands it; whoever wanted one before is seen here. */
static void publish(struct kona_space *space, struct kona_flight_slot *slot)
{
	uint64_t pages[KONA_BATCH_MOST_PAGES];
	uint32_t count = slot->batch.count;

	/* Once it flies it is not ours to read. */
	for (uint32_t i = 0; i < count; i++)
		pages[i] = slot->batch.pages[i];
	/* FL-1: an exchange, for the marks must not be looked at before it. */
	(void)kona_exchange_acq_rel(&slot->state, KONA_FLIGHT_FLYING);
	for (uint32_t i = 0; i < count; i++)
		if (kona_pt_wanted(&space->pt, pages[i])) {
			(void)land(space, slot);
			return;
		}
}

/* How many pages more may be in flight. */
static uint32_t room(const struct kona_space *space)
{
	/* relaxed: levels, both */
	uint32_t most = kona_load_relaxed(&space->frames.count) / KONA_FLIGHT_SHARE;
	uint32_t now = kona_load_relaxed(&space->flights.pages);

	return now < most ? most - now : 0;
}

void kona_flight_begin(struct kona_space *space, const uint64_t *pages, uint32_t count)
{
	uint32_t most = room(space);
	struct kona_flight_slot *slot = most ? take_slot(space) : NULL;
	struct kona_batch *batch;

	if (!slot)
		return;
	batch = &slot->batch;
	kona_batch_begin(batch);
	kona_batch_claim_ahead(space, batch, pages, count < most ? count : most);
	if (!batch->count) {
		kona_store_release(&slot->state, KONA_FLIGHT_FREE); /* FL-1: release */
		return;
	}
	kona_add_relaxed(&space->flights.pages, batch->count); /* relaxed: a level */
	kona_store_relaxed(&slot->begun_ns, kona_now_ns());    /* relaxed: a hint */
	note_range(slot);
	slot->flight.reads = batch->reads;
	slot->flight.count = batch->count;
	if (!space->store->ops->begin_read(space->store, &slot->flight, &batch->system_calls))
		publish(space, slot);
	else /* not now: then as if there were no flights */
		settle(space, slot,
		       space->store->ops->read(space->store, batch->reads, batch->count,
					       &batch->system_calls));
}
