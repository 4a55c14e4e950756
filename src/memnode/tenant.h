/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tenant: one program's connection and lease, from its first packet until its memory is back.
 *
 *   NEW -hello-> OPENING -> OPEN <-grant-> GRANTING
 *     every state -end of the connection-> RECLAIMING -> LEAVING -> freed
 *
 * A tenant whose connection ends while the controller is asked keeps its state until the answer.
 */
#ifndef KONA_MEMNODE_TENANT_H
#define KONA_MEMNODE_TENANT_H

#include <sys/types.h>

#include "memnode/rack-client.h"
#include "memnode/store.h"
#include "wire/broker-check.h"

enum kona_tenant_state {
	KONA_TENANT_NEW,
	KONA_TENANT_OPENING,  /* the controller is asked for a lease */
	KONA_TENANT_OPEN,     /* has a lease */
	KONA_TENANT_GRANTING, /* the controller is asked for slabs */
	KONA_TENANT_RECLAIMING,
	KONA_TENANT_LEAVING, /* the controller is told of the end */
};

struct kona_broker;

TAILQ_HEAD(kona_tenant_list, kona_tenant);

/* All tenants of this daemon, and what they share. Loop thread only. */
struct kona_tenants {
	struct kona_tenant_list list;
	struct kona_rack_client *rack;
	struct kona_broker *broker; /* whose events watch the connections */
	struct event *reclaim;	    /* active while a tenant is RECLAIMING */
	const char *node_name;
	void (*gone)(void *with); /* a tenant was freed */
	void *with;
};

struct kona_tenant {
	TAILQ_ENTRY(kona_tenant) link;
	struct kona_tenants *all;
	struct event *event; /* the broker's, on the connection; freed with it */
	int connection;	     /* -1 after its end */
	enum kona_tenant_state state;
	pid_t pid;
	uid_t uid;
	char program[KONA_BROKER_NAME_BYTES];
	uint64_t limit_bytes;
	int64_t lease;		    /* 0: none */
	struct kona_memory *memory; /* owned, one per grant */
	int64_t *slabs;		    /* owned, in the order of their granting */
	int *holds;		    /* owned descriptors */
	size_t memory_count, slab_count, hold_count;
	struct kona_memory pending; /* GRANTING: made, not yet granted */
	uint32_t pending_slabs;
	struct kona_rack_job job; /* OPENING, GRANTING, LEAVING */
};

KONA_MUST_CHECK int kona_tenants_init(struct kona_tenants *all, struct event_base *base);

/* Ends every tenant and gives its memory back, at once; after kona_rack_client_halt(). */
void kona_tenants_end_all(struct kona_tenants *all);

/* All live leases as JSON, for a registration. */
json_t *kona_tenants_leases(struct kona_tenants *all);

/* Takes over the connection. NULL without memory. */
struct kona_tenant *kona_tenant_new(struct kona_tenants *all, int connection);

/*
 * What a checked request asks for; the reply comes now or later. `passed` is a descriptor that came
 * with it, or -1; taken over. Returns -EPROTO for a request out of turn.
 */
KONA_MUST_CHECK int kona_tenant_request(struct kona_tenant *tenant,
					const union kona_broker_request *request, int passed);

/* The connection has ended, or must. */
void kona_tenant_end(struct kona_tenant *tenant);

#endif
