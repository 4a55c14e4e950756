/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runtime's side of the broker protocol (wire/broker.h): one lease on the memory node of this
 * host.
 */
#ifndef KONA_RUNTIME_BROKER_H
#define KONA_RUNTIME_BROKER_H

#include <pthread.h>
#include <stdint.h>

#include "base/compiler.h"
#include "wire/broker.h"

struct kona_broker {
	int socket;	      /* Immutable after open. Owned */
	pthread_mutex_t lock; /* one request at a time; after the region lock (space.h) */
	uint64_t slab_bytes;  /* Immutable after open */
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

/* Asks for slabs; *ret_descriptor is a memfd of count * slab_bytes, the caller's. */
KONA_MUST_CHECK int kona_broker_grant(struct kona_broker *broker, uint32_t count,
				      int *ret_descriptor, char *ret_text);

#endif
