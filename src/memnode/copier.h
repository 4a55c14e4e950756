/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The copier: fills replicas of slabs that have joined (wire/data.h) from other nodes, one at a
 * time, in a thread of its own: so a node that comes back empty is not swamped.
 */
#ifndef KONA_MEMNODE_COPIER_H
#define KONA_MEMNODE_COPIER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "memnode/data-server.h"
#include "wire/rack.h"

struct kona_copy {
	uint64_t slab, generation;
	char from[KONA_RACK_ENDPOINT_BYTES];
	uint8_t capability[KONA_RACK_CAPABILITY_BYTES];
};

enum { KONA_COPIER_MOST = 256 };

struct kona_copier {
	pthread_t thread;
	struct kona_data_server *server;
	int done;	      /* eventfd, readable when one is finished. Immutable. Owned */
	pthread_mutex_t lock; /* taken before the server's */
	pthread_cond_t wake;
	/* Guarded by lock: what follows */
	struct kona_copy waiting[KONA_COPIER_MOST];
	size_t waiting_count;
	uint64_t finished[KONA_COPIER_MOST];
	size_t finished_count;
	uint64_t current; /* the slab that is being copied; 0: none */
	bool stop;
};

/* -EAGAIN, -EMFILE. */
KONA_MUST_CHECK int kona_copier_start(struct kona_copier *copier, struct kona_data_server *server);
void kona_copier_stop(struct kona_copier *copier);

/*
 * Has the slab copied. Does nothing when that is under way, when its client has not joined yet, or
 * when there is no room: the order will come again. One that is complete is finished at once.
 */
void kona_copier_order(struct kona_copier *copier, const struct kona_copy *copy);

/* Takes one that is finished. False: none is. */
bool kona_copier_finished(struct kona_copier *copier, uint64_t *ret_slab);

#endif
