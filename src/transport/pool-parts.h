/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a pool (pool.h) consists of: slabs, the nodes that they stand on, and what is under way to
 * them. Its limits.
 */
#ifndef KONA_TRANSPORT_POOL_PARTS_H
#define KONA_TRANSPORT_POOL_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/link.h"
#include "wire/data.h"

enum {
	KONA_POOL_MOST_NODES = 254,  /* in a program's life: one that comes back counts again */
	KONA_POOL_MOST_REPLICAS = 4, /* three, and one that takes another's place */
	KONA_POOL_LINKS = 4,	     /* to each node: one writes, the others read */
	KONA_POOL_MOST_LOGS = 64,
	KONA_POOL_NAME_BYTES = 64,
	KONA_POOL_PATIENCE_MS = 1500, /* with a node that another one can stand in for */
	KONA_POOL_COPY_MS = 4000,     /* ... that has to stand in, but is still being copied */
	KONA_POOL_FABRIC_MS = 4000,   /* at most for a one-sided read, before a link is tried */
	KONA_POOL_DEADLINE_MS = 10000,
};

enum kona_pool_state {
	KONA_POOL_NONE,
	KONA_POOL_FULL,	   /* read and written */
	KONA_POOL_COPYING, /* written; the rest is being copied */
	KONA_POOL_DEAD,	   /* missed a write: not used any more */
	KONA_POOL_UNTOLD,  /* the same, and the hook could not tell it yet */
};

struct kona_pool_slab {
	uint64_t word; /* the replicas: slots and states (pool.c). Atomic, edge PL-1 */
	/* Immutable after the first release of word */
	uint64_t id, generation;
	uint64_t sequence, version; /* Guarded by the write lock */
	/* Of each slot; written before the slot is released in word */
	uint8_t capabilities[KONA_POOL_MOST_REPLICAS][KONA_DATA_CAPABILITY_BYTES];
	/* Of each slot: where one-sided reads find it, once `known` is `turn` (pool-fabric.c) */
	struct {
		uint32_t turn;	/* Atomic, edge PL-3: grows with each replica in this slot */
		uint32_t known; /* Atomic, edge PL-3 */
		uint64_t base, key, peer;
	} exposed[KONA_POOL_MOST_REPLICAS];
};

enum kona_pool_way {
	KONA_POOL_WAY_UNKNOWN,
	KONA_POOL_WAY_OPEN,
	KONA_POOL_WAY_CLOSED, /* it has no such device, or a read failed */
};

/* In memory that is shared with forked children. Written before a word names the node (PL-1). */
struct kona_pool_name {
	uint64_t id;
	char name[KONA_POOL_NAME_BYTES];
};

/* Where a node has what is ours. It moves when we have left all slabs there. */
struct kona_pool_realm {
	uint8_t address[KONA_DATA_ADDRESS_BYTES];
	uint64_t peer;
	uint64_t ring_base, ring_key;
	bool is_known, has_ring;
};

struct kona_pool_node {
	bool live; /* Atomic, edge PL-2: what stands above and the links are made before */
	struct kona_link links[KONA_POOL_LINKS]; /* links[0] writes */
	uint32_t turn;				 /* Atomic, no edge: spreads the readers */
	uint64_t late_ns;			 /* 0, or when it was. Atomic, no edge */
	enum kona_pool_way way;	      /* for one-sided reads and writes. Atomic, edge PL-3 */
	struct kona_pool_realm realm; /* Guarded by the pool's expose lock */
	bool pushed; /* some of what was sent last stands in the ring. Guarded by links[0]'s lock */
};

/* A log or a discard that is under way to its replicas. */
struct kona_pool_write {
	uint32_t slab;
	enum kona_data_type type;
	const char *body;
	size_t size_bytes;
	uint32_t stored; /* replicas that have it, the local one included */
};

#endif
