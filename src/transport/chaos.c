/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chaos transport: a layer over another one that lets a number of operations through and then
 * fails, for good: a memory node that dies at a chosen moment. State: the countdown.
 */
#include "base/atomic.h"
#include "transport/transport.h"

/* Relaxed: only the number of operations matters, not what they see. */
static int disturb(struct kona_transport *transport)
{
	uint64_t left = kona_load_relaxed(&transport->chaos_countdown);

	if (!left)
		return -transport->chaos_errno;
	kona_store_relaxed(&transport->chaos_countdown, left - 1);
	return 0;
}

static int chaos_read(struct kona_transport *transport, const struct kona_read *reads, size_t count,
		      uint64_t *system_calls)
{
	int rc = disturb(transport);

	if (rc)
		return rc;
	return transport->below->ops->read(transport->below, reads, count, system_calls);
}

static int chaos_write_lines(struct kona_transport *transport, const struct kona_dirty_page *pages,
			     size_t count, uint64_t *wire_bytes, uint64_t *system_calls)
{
	int rc = disturb(transport);

	if (rc)
		return rc;
	return transport->below->ops->write_lines(transport->below, pages, count, wire_bytes,
						  system_calls);
}

static int chaos_discard(struct kona_transport *transport, uint64_t offset_bytes,
			 uint64_t size_bytes)
{
	int rc = disturb(transport);

	if (rc)
		return rc;
	return transport->below->ops->discard(transport->below, offset_bytes, size_bytes);
}

static void chaos_close(struct kona_transport *transport)
{
	transport->below->ops->close(transport->below);
}

static const struct kona_transport_ops chaos_ops = {
	.name = "chaos",
	.read = chaos_read,
	.write_lines = chaos_write_lines,
	.discard = chaos_discard,
	.close = chaos_close,
};

void kona_transport_chaos_init(struct kona_transport *transport, struct kona_transport *below,
			       uint64_t after, int error)
{
	*transport = (struct kona_transport){
		.ops = &chaos_ops,
		.below = below,
		.chaos_countdown = after,
		.chaos_errno = error,
	};
}
