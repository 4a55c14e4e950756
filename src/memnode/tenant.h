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

#include "memnode/data-server.h"
#include "memnode/dial.h"
#include "memnode/peers.h"
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
	struct kona_peers peers;	 /* the nodes that were named to us. Owned */
	struct kona_orders *orders;	 /* reports go there */
	struct kona_data_server *server; /* NULL: none */
	struct kona_store store;	 /* where local memory comes from. Owned */
	bool networked;			 /* programs of this host may use memory of others */
	void (*gone)(void *with);	 /* a tenant was freed */
	void *with;
};

/* A slab of a tenant, here in shared memory or elsewhere. */
struct kona_tenant_slab {
	int64_t id;
	bool local;
	bool remote;	   /* has, or has had, replicas elsewhere */
	int descriptor;	   /* local: the memory that it stands in. Lent */
	uint64_t at_bytes; /* local: its place there */
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
	int64_t lease;			/* 0: none */
	struct kona_memory *memory;	/* owned, one per grant */
	struct kona_tenant_slab *slabs; /* owned, in the order of their granting */
	int *holds;			/* owned descriptors */
	size_t memory_count, slab_count, hold_count;
	struct kona_memory pending; /* GRANTING: made, not yet granted */
	uint32_t pending_slabs;
	struct kona_rack_job job; /* OPENING, GRANTING, LEAVING */
	struct event *news_event; /* NULL: no news socket. Owned, as is the next */
	int news;
	LIST_HEAD(, kona_tenant_dial) dials; /* connections that are being made */
	uint32_t dial_count;
};

KONA_MUST_CHECK int kona_tenants_init(struct kona_tenants *all, struct event_base *base);

/* Ends every tenant and gives its memory back, at once; after kona_rack_client_halt(). */
void kona_tenants_end_all(struct kona_tenants *all);

/* All live leases as JSON, for a registration. */
json_t *kona_tenants_leases(struct kona_tenants *all);

/* The tenant with this lease; NULL: none, or it has ended. */
struct kona_tenant *kona_tenants_find(struct kona_tenants *all, int64_t lease);

/* NULL: it has no such slab. */
struct kona_tenant_slab *kona_tenant_slab(struct kona_tenant *tenant, uint64_t id);

/* A local slab that its tenant does not use any more: its memory goes back. */
void kona_tenants_drop(struct kona_tenants *all, uint64_t slab);

/* Takes over the connection. NULL without memory. */
struct kona_tenant *kona_tenant_new(struct kona_tenants *all, int connection);

/*
 * What a checked request asks for; the reply comes now or later. `passed` is a descriptor that came
 * with it, or -1; taken over. Returns -EPROTO for a request out of turn.
 */
KONA_MUST_CHECK int kona_tenant_request(struct kona_tenant *tenant,
					const union kona_broker_request *request, int passed);

/* --- grant.c: the tenant's own ---------------------------------------------------------------- */

/* Asks the controller for slabs. The reply comes later. */
KONA_MUST_CHECK int kona_tenant_grant(struct kona_tenant *tenant, uint32_t count);

/* Others cannot copy its slabs any more: their memory is about to go. */
void kona_tenant_unlend(struct kona_tenant *tenant);

/* --- links.c ----------------------------------------------------------------------------------
 */

/* Connects to another node; the reply goes over `answer`, which is taken over. -EPROTO: out of
 * turn. */
KONA_MUST_CHECK int kona_tenant_link(struct kona_tenant *tenant, uint64_t node, int answer);

/* Gives all of them up. */
void kona_tenant_unlink(struct kona_tenant *tenant);

/* tenant.c, for grant.c: submits a job; the answer of the controller has come, but the tenant has
 * ended meanwhile. */
void kona_tenant_ask(struct kona_tenant *tenant, json_t *body, kona_rack_done *done);
void kona_tenant_reclaim(struct kona_tenant *tenant);

static inline struct kona_tenant *kona_tenant_of(struct kona_rack_job *job)
{
	return KONA_CONTAINER(job, struct kona_tenant, job);
}

/* The connection has ended, or must. */
void kona_tenant_end(struct kona_tenant *tenant);

#endif
