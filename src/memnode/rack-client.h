/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory node's side of the rack protocol: registration, heartbeats, and jobs for tenants.
 *
 *   broker -- job --> queue --> worker thread (one blocking call at a time) --> done() in the loop
 *
 * Calls leave one after the other and never overlap, so what a registration reports is what the
 * controller will know: no request is under way while it is made. A controller that does not answer
 * fails every waiting job, within KONA_RACK_JOB_MS of its arrival.
 */
#ifndef KONA_MEMNODE_RACK_CLIENT_H
#define KONA_MEMNODE_RACK_CLIENT_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/compiler.h"
#include "wire/rack-call.h"

enum {
	KONA_RACK_CALL_MS = 2000, /* one call */
	KONA_RACK_JOB_MS = 4000,  /* a job, from its arrival */
};

struct kona_rack_job;

/* `reply` is lent, NULL when rc is not 0; `text` tells people why then. The job is over: free it.
 */
typedef void kona_rack_done(struct kona_rack_job *job, int rc, const json_t *reply,
			    const char *text);

/* Made by the caller, who may embed it. The body also gets `node`, `instance` and `request`. */
struct kona_rack_job {
	TAILQ_ENTRY(kona_rack_job) link;
	const char *method;
	char path[64];
	json_t *body; /* owned; NULL for none */
	kona_rack_done *done;
	uint64_t deadline_ns;
	bool retried;
};

struct kona_rack_client_hooks {
	/* All live leases, as a registration reports them. */
	json_t *(*leases)(void *with);
	/* Adds to a registration what the node is to others: domain, endpoint, secret, hosted. */
	void (*describe)(void *with, json_t *registration);
	/* The controller has ended this lease: its program has lost its memory. */
	void (*ended)(void *with, int64_t lease);
	/*
	 * The data plane's part of a heartbeat. report adds dropped,
	 * copied, taken and lost to the body, ordered gets the answer with drop, replicate and sets
	 * (see wire/rack.h), or NULL when none came: then the next heartbeat must carry the same
	 * reports again. One heartbeat is under way at a time.
	 */
	void (*report)(void *with, json_t *heartbeat);
	void (*ordered)(void *with, const json_t *orders);
	/* The first attempt to register has ended, with what. */
	void (*first_try)(void *with, int rc, const char *text);
	void *with;
};

struct kona_rack_client;

/*
 * Starts the worker and the first registration; pki as in kona_rack_peer_new(). Returns 0; -EINVAL
 * for a bad address; -ENOMEM, -EAGAIN. All other functions: loop thread only.
 */
KONA_MUST_CHECK int kona_rack_client_start(struct event_base *base, const char *address,
					   const char *pki, const char *name,
					   uint64_t capacity_bytes,
					   const struct kona_rack_client_hooks *hooks,
					   struct kona_rack_client **ret_client);

/*
 * The end, in two steps, each at most KONA_RACK_CALL_MS: halt waits for the call in flight and
 * fails every job, also those that are submitted later; leave tells the controller, and frees.
 */
void kona_rack_client_halt(struct kona_rack_client *client);
void kona_rack_client_leave(struct kona_rack_client *client);

void kona_rack_client_submit(struct kona_rack_client *client, struct kona_rack_job *job);

/* Sends the next heartbeat now: there is something to report that others wait for. */
void kona_rack_client_hurry(struct kona_rack_client *client);

/* Something went wrong that only a new registration puts right. */
void kona_rack_client_resync(struct kona_rack_client *client);

/* Of this node; 0 until the first registration. */
int64_t kona_rack_client_node(const struct kona_rack_client *client);

/* As it was given: of all controllers of the rack. */
const char *kona_rack_client_address(const struct kona_rack_client *client);

/* 0 until the first registration. */
uint64_t kona_rack_client_slab_bytes(const struct kona_rack_client *client);

/* The number of the latest request; reported with every lease. */
int64_t kona_rack_client_request(const struct kona_rack_client *client);

#endif
