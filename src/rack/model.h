/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the controller knows: nodes, leases, slabs and their replicas, all of it in memory. This
 * layer keeps the lists and counts in step; what is allowed, and what is to be done, is decided
 * above it (nodes, lease, repair). One thread.
 */
#ifndef KONA_RACK_MODEL_H
#define KONA_RACK_MODEL_H

#include <sys/queue.h>

#include "rack/table.h"
#include "wire/rack.h"

enum {
	/* Of one slab at a time: R live ones, one more that comes, one that goes. */
	KONA_RACK_PLACES = KONA_RACK_MOST_REPLICAS + 2,
};

/*
 * The life of a replica. The client writes to FULL, MOVING, JOINING and COPYING ones, and reads
 * FULL and MOVING ones.
 *
 *   JOINING -taken-> COPYING -copied-> FULL | MOVING -> LEAVING -taken-> dropped by its node
 *
 * "taken": the client has said that it acts by the set that says so. So a copy begins when nothing
 * that is written can miss it, and memory is given back when nobody writes to it.
 */
enum kona_rack_state {
	KONA_RACK_FULL = 'f',
	KONA_RACK_MOVING = 'm', /* full; goes when it is replaced (rebalance) */
	KONA_RACK_JOINING = 'j',
	KONA_RACK_COPYING = 'c',
	KONA_RACK_LEAVING = 'l',
};

struct kona_rack_slab;
struct kona_rack_lease;
TAILQ_HEAD(kona_rack_slabs, kona_rack_slab);
TAILQ_HEAD(kona_rack_leases, kona_rack_lease);

struct kona_rack_node {
	int64_t id;
	/* In the state file. Texts are owned; endpoint is "" where there is none. */
	char *name, *domain, *endpoint, *instance, *secret;
	int64_t capacity_bytes, quota_bytes; /* quota 0: none */
	bool draining;
	/* Of this run of the controller only. */
	bool registered, was_up;
	uint64_t heard_ns;
	size_t index;		       /* in model->order */
	struct kona_rack_slab **slabs; /* owned array: those with a replica here */
	size_t slab_count, slab_room;
	struct kona_rack_leases leases; /* of the programs on its host */
	size_t lease_count;
	int64_t leased_slabs;
	/* Orders: may name slabs that need them no more. drops hold capacity until they are done.
	 */
	struct kona_ids drops, copies, tells;
};

struct kona_rack_lease {
	int64_t id;
	struct kona_rack_node *node;
	TAILQ_ENTRY(kona_rack_lease) link;
	struct kona_rack_slabs slabs; /* in the order of their numbers */
	int64_t slab_count;
	int64_t pid, uid, limit_bytes, request, replicas;
	char *program; /* owned */
};

struct kona_rack_replica {
	struct kona_rack_node *node;
	uint32_t place; /* in node->slabs */
	uint8_t state;
};

enum kona_rack_health {
	KONA_RACK_HEALTHY,
	KONA_RACK_DEGRADED, /* fewer full replicas than wanted */
	KONA_RACK_LOST,	    /* none on a node that is up */
	KONA_RACK_HEALTHS,
};

struct kona_rack_slab {
	int64_t id;
	struct kona_rack_lease *lease;
	TAILQ_ENTRY(kona_rack_slab) of_lease;
	TAILQ_ENTRY(kona_rack_slab) work; /* in rack->work or rack->starved, when `queued` */
	uint32_t version, taken;	  /* of the set; by the client */
	uint8_t wanted;			  /* replicas; 0: one, on the node of the lease, for good */
	uint8_t count;
	uint8_t health;
	bool queued, starved, told; /* told: in node->tells of its client */
	struct kona_rack_replica replicas[KONA_RACK_PLACES];
};

struct kona_rack_model {
	struct kona_table nodes, leases, slabs;
	struct kona_rack_node **order; /* owned: all nodes, for choosing one by chance */
	size_t order_room;
	int64_t slab_bytes;
	int64_t last_node, last_lease, last_slab; /* numbers taken */
	uint64_t healths[KONA_RACK_HEALTHS];
};

/* All of these return NULL or -ENOMEM without memory, and change nothing then. */
struct kona_rack_node *kona_model_node_add(struct kona_rack_model *model, int64_t id,
					   const char *name);
void kona_model_node_remove(struct kona_rack_model *model, struct kona_rack_node *node);
struct kona_rack_node *kona_model_node_named(const struct kona_rack_model *model, const char *name);
KONA_MUST_CHECK int kona_model_text_set(char **text, const char *value);

struct kona_rack_lease *kona_model_lease_add(struct kona_rack_model *model, int64_t id,
					     struct kona_rack_node *node, const char *program);
/* Without slabs. */
void kona_model_lease_remove(struct kona_rack_model *model, struct kona_rack_lease *lease);

/* A number beyond those of its lease, but when all is loaded. */
struct kona_rack_slab *kona_model_slab_add(struct kona_rack_model *model, int64_t id,
					   struct kona_rack_lease *lease);
/* Not queued. */
void kona_model_slab_remove(struct kona_rack_model *model, struct kona_rack_slab *slab);

KONA_MUST_CHECK int kona_model_replica_add(struct kona_rack_slab *slab, struct kona_rack_node *node,
					   enum kona_rack_state state);
void kona_model_replica_remove(struct kona_rack_slab *slab, size_t index);
struct kona_rack_replica *kona_model_replica_on(struct kona_rack_slab *slab,
						const struct kona_rack_node *node);

/* Slabs that the node could hold beside what it holds or has not dropped yet. */
int64_t kona_model_free_slabs(const struct kona_rack_model *model,
			      const struct kona_rack_node *node);

void kona_model_clear(struct kona_rack_model *model);

static inline bool kona_rack_is_full(const struct kona_rack_replica *replica)
{
	return replica->state == KONA_RACK_FULL || replica->state == KONA_RACK_MOVING;
}

#endif
