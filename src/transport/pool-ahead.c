/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool's reads that nobody waits for (runtime/flight.c -> pool-ahead -> link): the request is
 * sent, and whoever ends the flight receives the reply. Until then the link is kept for it, but not
 * locked: a thread that needs that link receives the reply, too, for it comes first.
 *
 * What does not come is read once more, in the ordinary way (pool.c), which knows what to do about
 * nodes that fail. So nothing is mended here; only a node that does not answer is as late as it is
 * there, or it would be waited for twice.
 *
 * State: link->flight. Locks: a link's. What can fail: all of it, as a hint; the end as a read.
 */
#include <errno.h>

#include "base/atomic.h"
#include "transport/pool-internal.h"

bool kona_pool_may_begin(struct kona_transport *transport, uint64_t offset_bytes)
{
	struct kona_pool *pool = KONA_CONTAINER(transport, struct kona_pool, transport);
	uint64_t slab = offset_bytes / pool->slab_bytes;

	/* PL-1: acquire, pairs with the release in kona_pool_grant() */
	return kona_load_acquire(&pool->remote) && !pool->fabric && slab < pool->most_slabs &&
	       !kona_pool_is_local(kona_pool_word(pool, slab));
}

/* A link that is free now, locked; NULL: all but one have a flight, or are in use. */
static struct kona_link *take_free_link(struct kona_pool_node *node)
{
	struct kona_link *found = NULL;
	unsigned int free_links = 0;

	for (unsigned int i = 1; i < KONA_POOL_LINKS && free_links < 2; i++) {
		struct kona_link *link = &node->links[i];

		if (link->socket < 0 || pthread_mutex_trylock(&link->lock))
			continue;
		if (!link->flight)
			free_links++;
		if (!link->flight && !found)
			found = link;
		else
			pthread_mutex_unlock(&link->lock);
	}
	if (found && free_links < 2) {
		pthread_mutex_unlock(&found->lock);
		return NULL;
	}
	return found;
}

static int ask(struct kona_pool *pool, struct kona_flight *flight, struct kona_link *link)
{
	const struct kona_pool_batch *batch = &flight->batch;
	uint64_t deadline_ns =
		kona_pool_deadline_ns(batch->word, (unsigned int)batch->node, kona_now_ns());
	uint32_t slab;
	int rc = kona_pool_open_slabs(pool, batch, link, deadline_ns, &slab);

	if (!rc)
		rc = kona_link_ask(link, batch->pieces, batch->count, deadline_ns);
	if (rc == -ETIMEDOUT)
		kona_pool_failed(pool, (unsigned int)batch->node, rc);
	if (rc)
		return rc;
	flight->link = link;
	flight->status = -ECONNRESET; /* what it stays if the link goes without it */
	link->flight = flight;
	return 0;
}

int kona_pool_begin_read(struct kona_transport *transport, struct kona_flight *flight,
			 uint64_t *system_calls)
{
	struct kona_pool *pool = KONA_CONTAINER(transport, struct kona_pool, transport);
	struct kona_pool_batch *batch = &flight->batch;
	struct kona_pool_cursor at = {0, 0};
	struct kona_link *link;
	uint64_t calls;
	int rc = kona_pool_fill(pool, flight->reads, flight->count, &at, batch);

	if (rc)
		return rc;
	if (at.index < flight->count || batch->node < 0 || pool->fabric)
		return -EOPNOTSUPP;
	link = take_free_link(&pool->nodes[batch->node]);
	if (!link)
		return -EBUSY;
	calls = link->calls;
	rc = ask(pool, flight, link);
	*system_calls += link->calls - calls;
	pthread_mutex_unlock(&link->lock);
	return rc;
}

static void receive_flight(struct kona_pool *pool, struct kona_link *link)
{
	struct kona_flight *flight = link->flight;
	const struct kona_pool_batch *batch;
	uint64_t begun_ns = kona_now_ns();
	unsigned int node;

	if (!flight)
		return;
	batch = &flight->batch;
	node = (unsigned int)batch->node;
	link->flight = NULL;
	flight->status = kona_link_receive(link, batch->pieces, batch->count,
					   kona_pool_deadline_ns(batch->word, node, begun_ns));
	if (flight->status != -ETIMEDOUT)
		return;
	kona_pool_failed(pool, node, -ETIMEDOUT);
	for (size_t i = 0; i < batch->count; i++)
		kona_pool_expire(pool, batch->pieces[i].handle, node, begun_ns);
}

void kona_pool_lock_link(struct kona_pool *pool, struct kona_link *link)
{
	pthread_mutex_lock(&link->lock);
	receive_flight(pool, link);
}

int kona_pool_end_read(struct kona_transport *transport, struct kona_flight *flight,
		       uint64_t *system_calls)
{
	struct kona_pool *pool = KONA_CONTAINER(transport, struct kona_pool, transport);
	struct kona_link *link = flight->link;
	uint64_t calls;
	int status;

	pthread_mutex_lock(&link->lock);
	calls = link->calls;
	if (link->flight == flight)
		receive_flight(pool, link);
	status = flight->status;
	*system_calls += link->calls - calls;
	pthread_mutex_unlock(&link->lock);
	if (!status)
		return 0;
	return transport->ops->read(transport, flight->reads, flight->count, system_calls);
}
