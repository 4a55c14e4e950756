/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections that broke, while their node may well live: a router that forgot them, a firewall
 * that was loaded anew, an administrator. Whoever finds his link broken has it made again, and
 * repeats what he was about.
 *
 * Reading again is harmless. What is written again has the sequence that it had: a node that has
 * applied it acknowledges it and does nothing, also when the rest of the old stream reaches it
 * late. A node that was restarted meanwhile does not know the capability, and counts as dead.
 *
 * A node that only does not answer is not asked again: its deadline is over.
 *
 * State: the links. Locks: the link's, held by the caller. What can fail: the node.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/pool-internal.h"

enum { MOST_PAUSE_MS = 500 };

static bool is_broken(int error)
{
	return error == -ECONNRESET || error == -ECONNABORTED || error == -EPIPE;
}

/* May another attempt succeed? Where nobody listens any more, the memory is gone. */
static bool may_pass(int error)
{
	return error == -ETIMEDOUT || error == -EHOSTUNREACH || error == -ENETUNREACH ||
	       error == -EAGAIN;
}

/* Waits longer each time. False: there is no time left. */
static bool pause_before_attempt(struct kona_pool_mending *mending)
{
	if (kona_now_ns() + mending->pause_ms * UINT64_C(1000000) >= mending->deadline_ns)
		return false;
	if (mending->pause_ms)
		usleep(mending->pause_ms * 1000);
	mending->pause_ms = mending->pause_ms ? 2 * mending->pause_ms : 1;
	if (mending->pause_ms > MOST_PAUSE_MS)
		mending->pause_ms = MOST_PAUSE_MS;
	return true;
}

int kona_pool_mend(struct kona_pool *pool, unsigned int node, struct kona_link *link, int error,
		   struct kona_pool_mending *mending)
{
	int rc;

	if ((link->socket >= 0 && !is_broken(error)) || !pool->hooks.mend)
		return error;
	do {
		if (!kona_pool_is_live(pool, node))
			return error;
		if (!pause_before_attempt(mending))
			return -ETIMEDOUT;
		rc = pool->hooks.mend(pool->hooks.with, pool->names[node].id, link->socket,
				      mending->deadline_ns);
	} while (may_pass(rc));
	if (rc < 0)
		return error;
	link->socket = rc;
	kona_link_renew(link, kona_pool_opened_words(pool));
	if (kona_pool_is_live(pool, node))
		return 0;
	/* Who gave the node up may have shut down the connection that was there before. */
	shutdown(link->socket, SHUT_RDWR);
	return error;
}

int kona_pool_ensure_open(struct kona_pool *pool, uint64_t slab, unsigned int node,
			  struct kona_link *link, uint64_t deadline_ns)
{
	struct kona_data_open open;
	int rc;

	if (kona_link_is_open(link, (uint32_t)slab))
		return 0;
	if (!kona_pool_make_open(pool, slab, node, &open))
		return -EAGAIN;
	rc = kona_link_open(link, &open, deadline_ns);
	/* It has another secret: it was started anew, and has nothing of ours. */
	return rc == -EREMOTEIO && link->status == -EACCES ? -ESTALE : rc;
}
