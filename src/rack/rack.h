/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller: what it knows, and what it does with it. One thread.
 *
 *   serve -> api -> nodes | lease | orders -> repair -> place -> model
 *              `------------ each operation: state (begin ... commit) -> store
 *
 * An operation checks everything before it changes anything, notes what it changes with
 * kona_rack_touch(), and commits; the server gathers what arrived together into one commit, since
 * that is what takes time, and answers afterwards. When a commit fails, what is in memory is thrown
 * away and loaded again before the next operation, under a new epoch, so that every node registers
 * anew: a failed disk is the same event as a restart. Every operation returns 0 or -errno; on
 * failure rack->why tells people what is wrong.
 */
#ifndef KONA_RACK_RACK_H
#define KONA_RACK_RACK_H

#include "rack/model.h"
#include "rack/store.h"

enum {
	KONA_RACK_WHY_BYTES = 256,
};

/* What an operation has changed: kind and number; its commit looks up what became of it. */
struct kona_rack_batch {
	struct kona_record *entries; /* owned; no values */
	size_t count, room;
	bool incomplete; /* for want of memory: cannot be committed */
};

struct kona_rack {
	struct kona_rack_model model;
	struct kona_rack_store *store; /* owned */
	struct kona_rack_batch batch;
	bool leads, groups;  /* groups: see kona_rack_flush() */
	bool stale, failing; /* memory differs from the store; the store takes no commits */
	int64_t epoch;	     /* random, new with every loading */
	int64_t wished_slab_bytes, replicas; /* options; 0 slab_bytes: as it is */
	/* Set by the caller before each operation. */
	uint64_t now_ns;
	/* Silence counts from here for those not heard since: start, loading, our own pauses. */
	uint64_t since_ns, ticked_ns, led_ns, deadline_ns, lease_ns;
	uint64_t random; /* state of the generator */
	struct kona_rack_slabs work, starved;
	bool room_changed; /* those who found no place may find one now */
	uint64_t requests, refused, slabs_granted, state_errors, copies_done;
	char why[KONA_RACK_WHY_BYTES];
};

/* A lease as a node reports it. The strings belong to the caller. */
struct kona_rack_claim {
	int64_t lease, pid, uid, limit_bytes, request, replicas;
	const char *program;
	struct kona_ids slabs, remote;
};

struct kona_rack_registration {
	const char *name, *instance, *domain, *endpoint, *secret;
	int64_t capacity_bytes;
	struct kona_rack_claim *claims;
	size_t claim_count;
	struct kona_ids hosted;
};

/* now_ns of the start; seed 0: a random one. */
void kona_rack_init(struct kona_rack *rack, uint64_t now_ns, uint64_t seed);
void kona_rack_free(struct kona_rack *rack);

/* state.c. Finds out whether this controller leads. */
void kona_rack_lead(struct kona_rack *rack);
/* begin: -EAGAIN when another controller leads; -EIO; -ENOMEM. */
KONA_MUST_CHECK int kona_rack_begin_reading(struct kona_rack *rack);
KONA_MUST_CHECK int kona_rack_begin(struct kona_rack *rack);
/* With rack->groups, what is committed is only durable, and may only be told, after a flush. */
KONA_MUST_CHECK int kona_rack_commit(struct kona_rack *rack);
/* One commit for all operations since the last one. On failure none of them has happened. */
KONA_MUST_CHECK int kona_rack_flush(struct kona_rack *rack);
void kona_rack_touch(struct kona_rack *rack, enum kona_record_kind kind, int64_t id);
/* Counts its health anew; touch_slab does, too. */
void kona_rack_weigh(struct kona_rack *rack, struct kona_rack_slab *slab);
void kona_rack_touch_slab(struct kona_rack *rack, struct kona_rack_slab *slab);
/* Every list of work, from what was loaded. */
KONA_MUST_CHECK int kona_rack_load(struct kona_rack *rack);

/* records.c: malloc'd text, NULL without memory; and back. -EINVAL: not what we wrote. */
char *kona_record_encode(const struct kona_rack_model *model, const struct kona_record *record);
KONA_MUST_CHECK int kona_record_decode(struct kona_rack_model *model, enum kona_record_kind kind,
				       int64_t id, const char *value);

/* nodes.c. Sets rack->why to the text; returns error. */
KONA_MUST_CHECK int kona_rack_refuse(struct kona_rack *rack, int error, const char *format, ...)
	KONA_PRINTF(3, 4);
bool kona_rack_is_up(const struct kona_rack *rack, const struct kona_rack_node *node);
/* -ENOENT when the node is not registered with this instance: it must register again. */
KONA_MUST_CHECK int kona_rack_find_instance(struct kona_rack *rack, int64_t node,
					    const char *instance, struct kona_rack_node **ret_node);
KONA_MUST_CHECK int kona_rack_find_node(struct kona_rack *rack, int64_t node,
					struct kona_rack_node **ret_node);
/* The node leaves, with its leases and replicas. */
KONA_MUST_CHECK int kona_rack_leave(struct kona_rack *rack, int64_t node, const char *instance);
/* Forgets a node that is down, for good. -EBUSY when it is up. */
KONA_MUST_CHECK int kona_rack_remove(struct kona_rack *rack, int64_t node);
KONA_MUST_CHECK int kona_rack_drain(struct kona_rack *rack, int64_t node, bool drain);
KONA_MUST_CHECK int kona_rack_quota(struct kona_rack *rack, int64_t node, int64_t bytes);

/*
 * register.c. Replaces all that was known of the node's programs; -EEXIST when another instance of
 * that name is up, or an identifier belongs to another node. ended gets the leases that are over.
 */
KONA_MUST_CHECK int kona_rack_register(struct kona_rack *rack,
				       const struct kona_rack_registration *registration,
				       int64_t *ret_node, struct kona_ids *ended);
/* A node's replicas are gone: it left, or came back empty. */
KONA_MUST_CHECK int kona_rack_forget_replicas(struct kona_rack *rack, struct kona_rack_node *node);

/* lease.c */
KONA_MUST_CHECK int kona_rack_lease_open(struct kona_rack *rack, int64_t node, const char *instance,
					 const struct kona_rack_claim *claim, int64_t *ret_lease);

struct kona_rack_wish {
	int64_t lease, count, have, request;
	bool remote;
};

/*
 * Grants count slabs, all or none; -ENOENT, -ESTALE, -EDQUOT, -ENOSPC, -EIO. slabs has room for
 * count.
 */
KONA_MUST_CHECK int kona_rack_grant(struct kona_rack *rack, const struct kona_rack_wish *wish,
				    struct kona_rack_slab **ret_slabs);
KONA_MUST_CHECK int kona_rack_lease_end(struct kona_rack *rack, int64_t lease);
/* Inside an operation. The memory on the lease's own node is gone already; others shall drop it. */
KONA_MUST_CHECK int kona_rack_free_slab(struct kona_rack *rack, struct kona_rack_slab *slab);
KONA_MUST_CHECK int kona_rack_free_lease(struct kona_rack *rack, struct kona_rack_lease *lease);

/*
 * place.c: the node for one more replica of a slab; NULL when there is none. emptiest: the best of
 * all instead of the better of two by chance.
 */
struct kona_rack_node *kona_rack_place(struct kona_rack *rack, const struct kona_rack_slab *slab,
				       bool emptiest);
uint64_t kona_rack_random(struct kona_rack *rack);
/* Marks replicas to move from full nodes to empty ones, and apart where they share a domain. */
KONA_MUST_CHECK int kona_rack_rebalance(struct kona_rack *rack, int64_t *ret_moves);

/* repair.c. Puts the slab in line to be looked at. */
void kona_rack_queue(struct kona_rack *rack, struct kona_rack_slab *slab);
void kona_rack_queue_node(struct kona_rack *rack, struct kona_rack_node *node);
void kona_rack_unqueue(struct kona_rack *rack, struct kona_rack_slab *slab);
/* The set has changed: the client shall hear of it. */
KONA_MUST_CHECK int kona_rack_tell(struct kona_rack *rack, struct kona_rack_slab *slab);
/* Takes a replica out of the set, and has its node drop it unless the memory is gone. */
KONA_MUST_CHECK int kona_rack_drop(struct kona_rack *rack, struct kona_rack_slab *slab,
				   size_t index, bool gone);
/*
 * Time passes: leadership, deaths, ends of leases, a share of the repairs. Returns how many
 * milliseconds may pass until the next call.
 */
int kona_rack_tick(struct kona_rack *rack);

#endif
