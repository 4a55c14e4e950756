/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread that makes one blocking call of the rack controller at a time, for an event loop.
 */
#ifndef KONA_MEMNODE_WORKER_H
#define KONA_MEMNODE_WORKER_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#include "wire/rack-call.h"

struct kona_worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct kona_rack_peer *peer; /* the thread's own; owned */
	int answered;		     /* eventfd, readable when the call is over. Immutable. */
	bool busy, stop;	     /* Guarded by lock */
	/* The call: the loop's while not busy, else the thread's. */
	const char *method, *path;
	json_t *body; /* lent */
	unsigned int timeout_ms;
	/* Its result, the same. */
	int rc;
	json_t *reply; /* the loop's to decref */
	char text[KONA_RACK_TEXT_BYTES];
};

/* Takes over the peer when it returns 0. */
KONA_MUST_CHECK int kona_worker_start(struct kona_worker *worker, struct kona_rack_peer *peer);

/* Starts a call; the worker must not be busy. All arguments stay untouched until its end. */
void kona_worker_call(struct kona_worker *worker, const char *method, const char *path,
		      json_t *body, unsigned int timeout_ms);

/* Is the call over? Then its result may be read. Does not block. */
bool kona_worker_finished(struct kona_worker *worker);

/* Waits for the call under way and ends the thread. Gives the peer back. */
struct kona_rack_peer *kona_worker_stop(struct kona_worker *worker);

#endif
