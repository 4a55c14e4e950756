/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool: a store whose slabs stand on several memory nodes, with R replicas each.
 *
 *   fetch  --> read()         --+--> local slabs: shm (transport.h)
 *   evict  --> write_lines()  --+--> others: a full replica to read, all of them to write,
 *   free   --> discard()      --+    over the node's links (link.h)
 *
 * A read goes to one replica, and to the next when that one fails; what is written counts as stored
 * when every replica that lives has acknowledged it. A node that breaks its connection, or misses a
 * deadline while another replica can serve, is dead to this program from then on; the hook tells,
 * so that the controller can make another replica (kona_pool_set()). The program is the only one to
 * use its slabs, so its own view of who missed a write is the one that counts.
 *
 * Fails with -EIO when no replica is left.
 */
#ifndef KONA_TRANSPORT_POOL_H
#define KONA_TRANSPORT_POOL_H

#include <pthread.h>
#include <stdbool.h>

#include "transport/link.h"
#include "transport/transport.h"
#include "wire/log.h"

enum {
	KONA_POOL_MOST_NODES = 64,
	KONA_POOL_MOST_REPLICAS = 3,
	KONA_POOL_LINKS = 4, /* to each node: one writes, the others read */
	KONA_POOL_MOST_LOGS = 64,
	KONA_POOL_NAME_BYTES = 64,
	KONA_POOL_PATIENCE_MS = 1500, /* with a node that another one can stand in for */
	KONA_POOL_DEADLINE_MS = 10000,
};

enum kona_pool_state {
	KONA_POOL_NONE,
	KONA_POOL_FULL,	   /* read and written */
	KONA_POOL_COPYING, /* written; the rest is being copied */
	KONA_POOL_DEAD,	   /* missed a write: not used any more */
};

/* A replica, as a grant or the controller names it. */
struct kona_pool_replica {
	uint64_t node;
	enum kona_pool_state state; /* FULL or COPYING */
	uint8_t capability[KONA_DATA_CAPABILITY_BYTES];
};

struct kona_pool_slab {
	uint64_t word; /* the replicas: slots and states (pool.c). Atomic, edge PL-1 */
	/* Immutable after the first release of word */
	uint64_t id, generation;
	uint64_t sequence, version; /* Guarded by the write lock */
	/* Of each slot; written before the slot is released in word */
	uint8_t capabilities[KONA_POOL_MOST_REPLICAS][KONA_DATA_CAPABILITY_BYTES];
};

struct kona_pool_node {
	uint64_t id;
	char name[KONA_POOL_NAME_BYTES];
	bool live; /* Atomic, edge PL-2: what stands above and the links are made before */
	struct kona_link links[KONA_POOL_LINKS]; /* links[0] writes */
	uint32_t turn;				 /* Atomic, no edge: spreads the readers */
};

/* A log or a discard that is under way to its replicas. */
struct kona_pool_write {
	uint32_t slab;
	enum kona_data_type type;
	const char *body;
	size_t size_bytes;
	uint32_t stored; /* replicas that have it, the local one included */
};

struct kona_pool_hooks {
	/* A replica is dead: of this slab, or, when slab is 0, of all on that node. Any thread. */
	void (*lost)(void *with, uint64_t node, uint64_t slab);
	/* Closes a socket that the pool took over. */
	void (*close)(int socket);
	void *with;
};

struct kona_pool {
	struct kona_transport transport; /* what the runtime sees */
	struct kona_transport local;	 /* shm */
	uint64_t slab_bytes, most_slabs; /* Immutable after init */
	struct kona_pool_hooks hooks;	 /* Immutable after init, but in a forked child */
	bool remote;	     /* some slab is not in shared memory alone. Atomic, edge PL-1 */
	uint32_t used_slabs; /* slabs beyond were never granted. Atomic, edge PL-1 */
	struct kona_pool_slab *slabs; /* owned */
	struct kona_pool_node nodes[KONA_POOL_MOST_NODES];

	/* The write lock: keeps the logs of a slab in order on every node; and set-up. */
	pthread_mutex_t write;
	char *staging; /* logs as they are sent. Owned. Guarded by write, like what follows */
	size_t staged_bytes;
	struct kona_pool_write writes[KONA_POOL_MOST_LOGS];
	size_t write_count;
	struct kona_log_page gathered[KONA_LOG_MOST_PAGES];
};

/* An empty pool. -ENOMEM, -EINVAL. */
KONA_MUST_CHECK int kona_pool_init(struct kona_pool *pool, uint64_t slab_bytes, uint64_t most_slabs,
				   const struct kona_pool_hooks *hooks);

/*
 * Makes a node reachable over these connected sockets, which are taken over: KONA_POOL_LINKS of
 * them. -EMFILE: too many nodes; -ENOMEM.
 */
KONA_MUST_CHECK int kona_pool_add_node(struct kona_pool *pool, uint64_t id, const char *name,
				       const int *sockets);
bool kona_pool_has_node(struct kona_pool *pool, uint64_t id);

/* The ids of the nodes that live, up to KONA_POOL_MOST_NODES. Returns how many. */
size_t kona_pool_live_nodes(struct kona_pool *pool, uint64_t *ret_ids);

/* Puts `count` slabs in shared memory in place from slab `first` on, as for shm. */
void kona_pool_attach_local(struct kona_pool *pool, uint64_t first, uint64_t count, int descriptor);

/*
 * Puts a granted slab with these replicas, whose nodes were added, in place of slab `index`; all of
 * them are full and new. With `local` it is in shared memory, too, attached before. Succeeds when
 * at least one replica can be opened. -EIO: none can.
 */
KONA_MUST_CHECK int kona_pool_grant(struct kona_pool *pool, uint64_t index, uint64_t id,
				    uint64_t generation, bool local,
				    const struct kona_pool_replica *replicas, size_t count);

/*
 * The controller's new set of replicas of slab `id`. One that is new joins: logs go to it from now
 * on. `local`: the copy in shared memory stays, if there is one. Returns 0 when the pool acts by
 * this version (or a later one); -ENOENT: no such slab; -EIO: not possible: the old set stays.
 */
KONA_MUST_CHECK int kona_pool_set(struct kona_pool *pool, uint64_t id, uint64_t version, bool local,
				  const struct kona_pool_replica *replicas, size_t count);

/*
 * In a forked child, which only reads: sockets[i] is a fresh connection to the i-th of `nodes`, or
 * negative; taken over. The parent's connections are closed here. The only thread calls.
 */
void kona_pool_become_child(struct kona_pool *pool, const uint64_t *nodes, const int *sockets,
			    size_t count);

/* --- pool-write.c: the pool's own --------------------------------------------------------------*/

KONA_MUST_CHECK int kona_pool_write_lines(struct kona_transport *transport,
					  const struct kona_dirty_page *pages, size_t count,
					  uint64_t *wire_bytes, uint64_t *system_calls);
KONA_MUST_CHECK int kona_pool_discard(struct kona_transport *transport, uint64_t offset_bytes,
				      uint64_t size_bytes);

/* --- pool-set.c: the pool's own ----------------------------------------------------------------*/

/* How long one may wait for a node: less while another one has the same slab. */
uint64_t kona_pool_deadline_ns(uint64_t word);

/* The node in slot i of a word; negative: none. And what it is there. */
int kona_pool_slot_node(uint64_t word, unsigned int slot);
enum kona_pool_state kona_pool_slot_state(uint64_t word, unsigned int slot);
bool kona_pool_is_local(uint64_t word);
bool kona_pool_is_remote(uint64_t word);

/* Full replicas, the local one included. */
unsigned int kona_pool_count_full(uint64_t word);

/* The word of a slab; PL-1. */
uint64_t kona_pool_word(struct kona_pool *pool, uint64_t slab);

/* Such an OPEN as the slot calls for. False: the slab changed just now. */
bool kona_pool_make_open(struct kona_pool *pool, uint64_t slab, unsigned int node,
			 struct kona_data_open *ret_open);

/* The connection is over: nothing on this node is used any more. */
void kona_pool_kill_node(struct kona_pool *pool, unsigned int node);

/* Replicas of this slab on nodes that are dead are not used any more. */
void kona_pool_bury(struct kona_pool *pool, uint64_t slab);

/* The node refuses: its replica of this slab is not used any more. */
void kona_pool_kill_replica(struct kona_pool *pool, uint64_t slab, unsigned int node);

#endif
