/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The broker: takes connections on the Unix socket, checks packets, hands requests to tenants.
 */
#ifndef KONA_MEMNODE_BROKER_H
#define KONA_MEMNODE_BROKER_H

#include "base/unix.h"
#include "memnode/tenant.h"

struct kona_broker {
	struct event_base *base;
	struct kona_tenants *tenants;
	struct event *listening, *pause;
	int listener;	  /* lent */
	int reserve;	  /* a descriptor to spend when none is left */
	uint64_t told_ns; /* of the last line about a bad client */
	unsigned int untold;
};

/* Starts accepting. Returns 0; -ENOMEM, -EMFILE. */
KONA_MUST_CHECK int kona_broker_start(struct kona_broker *broker, struct event_base *base,
				      struct kona_tenants *tenants, int listener);

/* Stops accepting; the connections stay the tenants'. */
void kona_broker_stop(struct kona_broker *broker);

/* Ends at once every connection whose other end is closed, without waiting for its event. */
void kona_broker_sweep(struct kona_broker *broker);

#endif
