/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delay transport: a layer over another one that takes as long as a network would. An operation
 * ends when the latency has passed and its bytes have crossed the link, which all threads share,
 * one direction of it each for reads and writes. What the layer below takes is part of that time.
 *
 * It spins, as those do who poll a network card: sleeping takes longer than the networks meant
 * here.
 *
 * State: when each direction is free. What can fail: the layer below, at once.
 */
#include <errno.h>

#include "base/atomic.h"
#include "base/units.h"
#include "transport/flight.h"
#include "transport/transport.h"

enum { DIRECTION_IN, DIRECTION_OUT };

/* The link takes the bytes once it is free. Returns when the operation is over. */
static uint64_t cross(struct kona_transport *transport, int direction, uint64_t start_ns,
		      uint64_t bytes)
{
	uint64_t *free_ns = &transport->delay_free_ns[direction];
	uint64_t seen = kona_load_relaxed(free_ns), end_ns; /* relaxed: a clock */
	double crossing_ns = (double)bytes * 1e9 / (double)transport->delay_bytes_per_s;

	do
		end_ns = (seen > start_ns ? seen : start_ns) + (uint64_t)crossing_ns;
	while (!kona_cas_acq_rel(free_ns, &seen, end_ns)); /* TD-1: with itself; only a clock */
	return end_ns + transport->delay_latency_ns;
}

static void spin_until(uint64_t end_ns)
{
	while (kona_now_ns() < end_ns)
		__builtin_ia32_pause();
}

static uint64_t bytes_of(const struct kona_read *reads, size_t count)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += reads[i].size_bytes;
	return bytes;
}

static int delay_read(struct kona_transport *transport, const struct kona_read *reads, size_t count,
		      uint64_t *system_calls)
{
	uint64_t start_ns = kona_now_ns();
	int rc = transport->below->ops->read(transport->below, reads, count, system_calls);

	if (!rc)
		spin_until(cross(transport, DIRECTION_IN, start_ns, bytes_of(reads, count)));
	return rc;
}

static bool delay_may_begin(struct kona_transport *transport, uint64_t offset_bytes)
{
	return true;
}

static int delay_begin_read(struct kona_transport *transport, struct kona_flight *flight,
			    uint64_t *system_calls)
{
	uint64_t start_ns = kona_now_ns();
	const struct kona_transport_ops *ops = transport->below->ops;
	int rc = ops->begin_read ? ops->begin_read(transport->below, flight, system_calls) : 0;

	if (!rc)
		flight->delay_end_ns = cross(transport, DIRECTION_IN, start_ns,
					     bytes_of(flight->reads, flight->count));
	return rc;
}

/* Where the layer below copies, it does so now: a network card would have done it meanwhile. */
static int delay_end_read(struct kona_transport *transport, struct kona_flight *flight,
			  uint64_t *system_calls)
{
	struct kona_transport *below = transport->below;
	int rc = below->ops->begin_read
			 ? below->ops->end_read(below, flight, system_calls)
			 : below->ops->read(below, flight->reads, flight->count, system_calls);

	if (!rc)
		spin_until(flight->delay_end_ns);
	return rc;
}

static int delay_write_lines(struct kona_transport *transport, const struct kona_dirty_page *pages,
			     size_t count, uint64_t *wire_bytes, uint64_t *system_calls)
{
	uint64_t start_ns = kona_now_ns(), bytes = 0;
	int rc = transport->below->ops->write_lines(transport->below, pages, count, &bytes,
						    system_calls);

	if (rc)
		return rc;
	*wire_bytes += bytes;
	spin_until(cross(transport, DIRECTION_OUT, start_ns, bytes));
	return 0;
}

static int delay_discard(struct kona_transport *transport, uint64_t offset_bytes,
			 uint64_t size_bytes)
{
	uint64_t start_ns = kona_now_ns();
	int rc = transport->below->ops->discard(transport->below, offset_bytes, size_bytes);

	if (rc)
		return rc;
	spin_until(start_ns + transport->delay_latency_ns);
	return 0;
}

/* Rare: its time is not emulated. */
static int delay_read_judged(struct kona_transport *transport, uint64_t offset_bytes, char *page,
			     struct kona_judge *judge)
{
	const struct kona_transport_ops *ops = transport->below->ops;

	return ops->read_judged ? ops->read_judged(transport->below, offset_bytes, page, judge)
				: -EBADMSG;
}

static void delay_expect_guards(struct kona_transport *transport)
{
	if (transport->below->ops->expect_guards)
		transport->below->ops->expect_guards(transport->below);
}

static void delay_close(struct kona_transport *transport)
{
	transport->below->ops->close(transport->below);
}

static const struct kona_transport_ops delay_ops = {
	.name = "delay",
	.read = delay_read,
	.may_begin = delay_may_begin,
	.begin_read = delay_begin_read,
	.end_read = delay_end_read,
	.write_lines = delay_write_lines,
	.discard = delay_discard,
	.read_judged = delay_read_judged,
	.expect_guards = delay_expect_guards,
	.close = delay_close,
};

void kona_transport_delay_init(struct kona_transport *transport, struct kona_transport *below,
			       uint64_t latency_ns, uint64_t bytes_per_s)
{
	*transport = (struct kona_transport){
		.ops = &delay_ops,
		.below = below,
		.delay_latency_ns = latency_ns,
		.delay_bytes_per_s = bytes_per_s,
	};
}
