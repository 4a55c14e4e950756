/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runtime's side of the broker protocol (wire/broker.h): one lease on the memory node of this
 * host.
 */
#ifndef KONA_RUNTIME_BROKER_H
#define KONA_RUNTIME_BROKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "wire/broker.h"

struct kona_broker {
	int socket;	      /* Immutable after open. Owned, as is the next */
	int news;	      /* Immutable after open */
	pthread_mutex_t lock; /* one request at a time; after the region lock (space.h) */
	uint64_t slab_bytes;  /* Immutable after open */
	bool on_host;	      /* all slabs stand in memory of this host. Immutable after open */
	char node[KONA_BROKER_NAME_BYTES]; /* Immutable after open */
};

/*
 * Opens a lease at the memory node behind `path`. limit_bytes: our own cap, 0: none. All functions
 * block until the node answers, however long it is stopped. -ECONNREFUSED, -ENOENT: nobody there;
 * -EPROTO: not a memory node; else the node's own errno, with its words in ret_text
 * (KONA_BROKER_TEXT_BYTES).
 */
KONA_MUST_CHECK int kona_broker_open(struct kona_broker *broker, const char *path,
				     uint64_t limit_bytes, char *ret_text);

/* Has the node keep a copy of the descriptor until the lease ends. */
KONA_MUST_CHECK int kona_broker_hold(struct kona_broker *broker, int descriptor);

/*
 * Asks for slabs. *ret_granted tells where they stand, *ret_descriptor is the memfd of those that
 * are local, the caller's; -1: none is.
 */
KONA_MUST_CHECK int kona_broker_grant(struct kona_broker *broker, uint32_t count,
				      struct kona_broker_granted *ret_granted, int *ret_descriptor);

/*
 * Has the node connect to another one's data endpoint: asks, without waiting, and returns the
 * descriptor over which the answer will come; or -errno. Any thread, any number at a time, also in
 * a forked child.
 */
KONA_MUST_CHECK int kona_broker_ask_link(const struct kona_broker *broker, uint64_t node);

/*
 * Waits for that answer; takes over its descriptor. Returns the socket, the caller's, and the other
 * node's name in ret_name (KONA_BROKER_NAME_BYTES); -ETIMEDOUT: it has not come by then; -errno.
 */
KONA_MUST_CHECK int kona_broker_take_link(int answer, char *ret_name, uint64_t deadline_ns);

/* Both. */
KONA_MUST_CHECK int kona_broker_link(const struct kona_broker *broker, uint64_t node,
				     char *ret_name, uint64_t deadline_ns);

/* Does this describe a slab that can be used? */
bool kona_broker_is_slab(const struct kona_broker_slab *slab);

/* Tells of news (wire/broker.h): TAKEN or LOST. Does not block. -EAGAIN: there is no room now. */
KONA_MUST_CHECK int kona_broker_report(const struct kona_broker *broker, enum kona_broker_type type,
				       uint64_t slab, uint64_t value);

#endif
