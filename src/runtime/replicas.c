/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replicas. Links are asked of the memory node of this host, which knows the endpoints: so that a
 * program needs no network of its own.
 *
 * A thread waits for news. A set whose new node cannot be reached, or does not let the slab join,
 * is left alone: the controller repeats it. What is dead and could not be told, for the socket was
 * full, it tells when there is room.
 *
 * State: the links that wait for a child. Locks: the pool's. What can fail: the node of this host
 * (its end is the keeper's business), other nodes; nothing waits for either without a deadline.
 */
#include "runtime/replicas.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/units.h"
#include "base/unix.h"
#include "runtime/os.h"

enum {
	LOOK_MS = 200,
	LINK_MS = 2500, /* a node that is called may take KONA_DIAL_MS to answer */
	HEIR_MS = 500,	/* what is not linked to then, the child does itself */
	MOST_LOOKS = 64,
};

#define AWAY_NS UINT64_C(2000000000)

static uint64_t from_now(unsigned int ms)
{
	return kona_now_ns() + ms * UINT64_C(1000000);
}

static bool note_lost(void *with, uint64_t node, uint64_t slab)
{
	const struct kona_replicas *replicas = with;
	const uint64_t one = 1;

	if (!kona_broker_report(replicas->broker, KONA_BROKER_LOST, slab, node))
		return true;
	if (write(replicas->untold, &one, sizeof(one)) < 0) {
		/* It is awake, or will never be: the program has taken its descriptors away. */
	}
	return false;
}

static int mend(void *with, uint64_t node, int socket, uint64_t deadline_ns)
{
	const struct kona_replicas *replicas = with;
	char name[KONA_BROKER_NAME_BYTES];
	int fresh = kona_broker_link(replicas->broker, node, name, deadline_ns), rc;

	/* A forked child's first one; its thread has a table of its own, which nobody else closes.
	 */
	if (fresh < 0 || socket < 0)
		return fresh;
	rc = (int)syscall(SYS_dup3, fresh, socket, O_CLOEXEC);
	rc = rc < 0 ? -errno : rc;
	syscall(SYS_close, fresh);
	return rc;
}

int kona_replicas_init(struct kona_replicas *replicas, struct kona_broker *broker,
		       uint64_t most_slabs)
{
	const struct kona_pool_hooks hooks = {note_lost, mend, kona_os_close, replicas};
	int rc;

	replicas->broker = broker;
	replicas->untold = kona_os_raise(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (replicas->untold < 0)
		return -EMFILE;
	rc = kona_pool_init(&replicas->pool, broker->slab_bytes, most_slabs, &hooks);
	if (rc)
		kona_os_close(replicas->untold);
	return rc;
}

static void close_all(const int *sockets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (sockets[i] >= 0)
			kona_os_close(sockets[i]);
}

/* Makes the node reachable, if it is not. */
static int ensure_node(struct kona_replicas *replicas, uint64_t node)
{
	int sockets[KONA_POOL_LINKS], rc = 0;
	uint64_t deadline_ns = from_now(LINK_MS);
	char name[KONA_BROKER_NAME_BYTES] = "";
	size_t count;

	if (kona_pool_has_node(&replicas->pool, node))
		return 0;
	for (count = 0; count < KONA_POOL_LINKS; count++) {
		sockets[count] =
			kona_os_raise(kona_broker_link(replicas->broker, node, name, deadline_ns));
		if (sockets[count] < 0) {
			rc = sockets[count];
			break;
		}
	}
	if (!rc)
		rc = kona_pool_add_node(&replicas->pool, node, name, sockets);
	if (rc)
		close_all(sockets, count);
	return rc;
}

/* As the pool wants them. */
static size_t convert(const struct kona_broker_slab *slab, struct kona_pool_replica *ret_replicas)
{
	for (uint32_t i = 0; i < slab->replica_count; i++) {
		const struct kona_broker_replica *from = &slab->replicas[i];

		ret_replicas[i] = (struct kona_pool_replica){
			.node = from->node,
			.state = from->state == KONA_BROKER_COPYING ? KONA_POOL_COPYING
								    : KONA_POOL_FULL,
		};
		memcpy(ret_replicas[i].capability, from->capability, sizeof(from->capability));
	}
	return slab->replica_count;
}

/*
 * Makes all nodes of a grant reachable, each tried once: one that cannot be reached, or hangs when
 * it gets its first slab, costs its time once.
 */
static void ensure_nodes(struct kona_replicas *replicas, const struct kona_broker_granted *granted)
{
	uint64_t tried[KONA_BROKER_MOST_SLABS * KONA_BROKER_MOST_REPLICAS];
	size_t count = 0;

	for (uint32_t i = 0; i < granted->count; i++)
		for (uint32_t j = 0; j < granted->slabs[i].replica_count; j++) {
			uint64_t node = granted->slabs[i].replicas[j].node;
			size_t k = 0;

			while (k < count && tried[k] != node)
				k++;
			if (k == count && ensure_node(replicas, tried[count++] = node)) {
				/* The pool finds it missing, and reports it. */
			}
		}
}

int kona_replicas_grant(struct kona_replicas *replicas, uint64_t first,
			const struct kona_broker_granted *granted, int descriptor)
{
	uint64_t number = granted->base_bytes / replicas->broker->slab_bytes;
	bool attached = false;
	int rc = 0;

	ensure_nodes(replicas, granted);
	for (uint32_t i = 0; i < granted->count && !rc; i++) {
		const struct kona_broker_slab *slab = &granted->slabs[i];
		struct kona_pool_replica set[KONA_BROKER_MOST_REPLICAS];
		size_t count = convert(slab, set);

		rc = kona_pool_grant(&replicas->pool, first + i, slab->id, slab->generation,
				     slab->local, set, count);
	}
	if (rc && descriptor >= 0)
		kona_os_close(descriptor);
	for (uint32_t i = 0; i < granted->count && !rc; i++)
		if (granted->slabs[i].local) {
			kona_pool_attach_local(&replicas->pool, first + i, descriptor, number++,
					       !attached);
			attached = true;
		}
	return rc;
}

/* --- news --------------------------------------------------------------------------------------*/

static void note_away(struct kona_replicas *replicas, uint64_t node)
{
	unsigned int i = replicas->away_next++ % KONA_REPLICAS_AWAY;

	replicas->away[i] = node;
	replicas->away_until_ns[i] = kona_now_ns() + AWAY_NS;
}

/*
 * A new node is reached for. One that does not answer is left alone for a while: many slabs name
 * it, and each attempt takes its time. Only copies matter: what is called full is known, or lost.
 */
static void reach_for(struct kona_replicas *replicas, const struct kona_pool_replica *replica)
{
	for (unsigned int i = 0; i < KONA_REPLICAS_AWAY; i++)
		if (replicas->away[i] == replica->node &&
		    kona_now_ns() < replicas->away_until_ns[i])
			return;
	if (replica->state == KONA_POOL_COPYING && ensure_node(replicas, replica->node))
		note_away(replicas, replica->node);
}

/* It could be called, but died when a slab was to join there. */
static void leave_alone(struct kona_replicas *replicas, const struct kona_pool_replica *replica)
{
	if (replica->state == KONA_POOL_COPYING &&
	    !kona_pool_has_node(&replicas->pool, replica->node))
		note_away(replicas, replica->node);
}

static void take_set(struct kona_replicas *replicas, const struct kona_broker_set *news)
{
	struct kona_pool_replica set[KONA_BROKER_MOST_REPLICAS];
	size_t count;
	int rc;

	if (!kona_broker_is_slab(&news->slab))
		return;
	count = convert(&news->slab, set);
	for (size_t i = 0; i < count; i++)
		reach_for(replicas, &set[i]);
	rc = kona_pool_set(&replicas->pool, news->slab.id, news->version, news->slab.local, set,
			   count);
	for (size_t i = 0; rc && i < count; i++)
		leave_alone(replicas, &set[i]);
	if (!rc &&
	    kona_broker_report(replicas->broker, KONA_BROKER_TAKEN, news->slab.id, news->version)) {
		/* The set comes again, until it is heard that it was taken. */
	}
	replicas->copying = 1;
}

/* Waits for news; meanwhile looks after copies while there are some, and tells of the dead. */
static void wait_for_news(struct kona_replicas *replicas)
{
	struct pollfd polled[] = {{replicas->broker->news, POLLIN, 0},
				  {replicas->untold, POLLIN, 0}};
	uint64_t told;

	do {
		polled[0].events = replicas->has_untold ? POLLIN | POLLOUT : POLLIN;
		if (!poll(polled, KONA_ARRAY_LEN(polled), replicas->copying ? LOOK_MS : -1))
			replicas->copying = kona_pool_look_at_copies(&replicas->pool, MOST_LOOKS);
		if (polled[1].revents & POLLIN &&
		    read(replicas->untold, &told, sizeof(told)) == (ssize_t)sizeof(told))
			replicas->has_untold = true;
		if (polled[0].revents & POLLOUT)
			replicas->has_untold = !kona_pool_tell_lost(&replicas->pool);
	} while (!(polled[0].revents & ~POLLOUT));
}

static void run(void *argument)
{
	struct kona_replicas *replicas = argument;
	struct kona_broker_set news;
	ssize_t got;

	for (;;) {
		int passed = -1;

		wait_for_news(replicas);
		got = kona_unix_receive(replicas->broker->news, &news, sizeof(news), 0, &passed);
		if (passed >= 0)
			close(passed);
		if (got <= 0)
			break; /* the memory node is gone, which others tell */
		if (got == (ssize_t)sizeof(news) && news.header.magic == KONA_BROKER_MAGIC &&
		    news.header.version == KONA_BROKER_VERSION &&
		    news.header.type == KONA_BROKER_SET)
			take_set(replicas, &news);
	}
}

int kona_replicas_start(struct kona_replicas *replicas)
{
	pid_t tid;

	return kona_os_thread("kona-replicas", run, replicas, false, &tid);
}

/* --- fork --------------------------------------------------------------------------------------*/

/* All are called at once: one that hangs delays no other, and the fork no longer than HEIR_MS. */
void kona_replicas_prepare_fork(struct kona_replicas *replicas)
{
	int answers[KONA_POOL_MOST_NODES];
	char name[KONA_BROKER_NAME_BYTES];
	uint64_t deadline_ns = from_now(HEIR_MS);

	replicas->heir_count = kona_pool_live_nodes(&replicas->pool, replicas->heir_nodes);
	for (size_t i = 0; i < replicas->heir_count; i++)
		answers[i] = kona_broker_ask_link(replicas->broker, replicas->heir_nodes[i]);
	for (size_t i = 0; i < replicas->heir_count; i++)
		replicas->heir_sockets[i] =
			answers[i] < 0 ? answers[i]
				       : kona_os_raise(kona_broker_take_link(answers[i], name,
									     deadline_ns));
}

void kona_replicas_after_fork(struct kona_replicas *replicas)
{
	close_all(replicas->heir_sockets, replicas->heir_count);
}

void kona_replicas_in_child(struct kona_replicas *replicas)
{
	kona_os_close(replicas->broker->news);
	kona_os_close(replicas->untold);
	kona_pool_become_child(&replicas->pool, replicas->heir_nodes, replicas->heir_sockets,
			       replicas->heir_count);
}
