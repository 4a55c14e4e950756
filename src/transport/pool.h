/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool: a store whose slabs stand on several memory nodes, with R replicas each.
 *
 *   fetch  --> read()         --+--> local slabs: shm (transport.h)
 *   evict  --> write_lines()  --+--> others: a full replica to read, all of them to write,
 *   free   --> discard()      --+    over the node's links (link.h)
 *
 * A read goes to one replica, and to the next when that one fails; what is written counts as stored
 * when every replica that lives has acknowledged it. A connection that broke is made again, and
 * what was under way is sent again: nodes know what they have by its sequence. A node to which that
 * is not possible, or that misses a deadline while another replica can serve, is dead to this
 * program from then on; the hook tells, so that the controller can make another replica
 * (kona_pool_set()). The program is the only one to use its slabs, so its own view of who missed a
 * write is the one that counts.
 *
 * With a fabric (fabric.h), a program reads the full replicas of nodes that have one by itself,
 * past the node's processor, and writes its logs to a ring in the node's memory; a link then tells
 * what stands there. The links stay for all else, and for what fails.
 *
 * Fails with -EIO when no replica is left.
 *
 * A forked child reads its parent's slabs over connections of its own, also on nodes that were
 * added after the fork. Which replicas are up to date, and on which nodes, it sees in memory that
 * both share; it never writes, there or to the nodes.
 */
#ifndef KONA_TRANSPORT_POOL_H
#define KONA_TRANSPORT_POOL_H

#include <pthread.h>
#include <stdbool.h>

#include "transport/fabric.h"
#include "transport/pool-parts.h"
#include "transport/transport.h"
#include "wire/log.h"

/* A replica, as a grant or the controller names it. */
struct kona_pool_replica {
	uint64_t node;
	enum kona_pool_state state; /* FULL or COPYING */
	uint8_t capability[KONA_DATA_CAPABILITY_BYTES];
};

struct kona_pool_hooks {
	/*
	 * A replica is dead: of this slab, or, when slab is 0, of all on that node. False: it
	 * could not be told now; kona_pool_tell_lost() tries again. Any thread.
	 */
	bool (*lost)(void *with, uint64_t node, uint64_t slab);
	/*
	 * Makes `socket`, whose connection broke, a new connection to that node, by the same
	 * number: others may be about to shut it down. Negative: there was none, any number will
	 * do. Returns the socket; -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH, -EAGAIN: not now; any
	 * other -errno: never. NULL: never. Any thread, which may hold the write lock.
	 */
	int (*mend)(void *with, uint64_t node, int socket, uint64_t deadline_ns);
	/* Closes a socket that the pool took over. */
	void (*close)(int socket);
	void *with;
};

/* They grow by the bytes that were read and written one-sidedly. Atomic, no edge. Lent; or NULL */
struct kona_pool_counters {
	uint64_t *read_bytes, *written_bytes;
};

struct kona_pool {
	struct kona_transport transport; /* what the runtime sees */
	struct kona_transport local;	 /* shm */
	uint64_t slab_bytes, most_slabs; /* Immutable after init */
	struct kona_pool_hooks hooks;	 /* Immutable after init, but in a forked child */
	bool remote;	     /* some slab is not in shared memory alone. Atomic, edge PL-1 */
	uint32_t used_slabs; /* slabs beyond were never granted. Atomic, edge PL-1 */
	struct kona_pool_slab *slabs; /* shared with forked children. Owned */
	struct kona_pool_name *names; /* of nodes; shared with forked children. Owned */
	struct kona_pool_node nodes[KONA_POOL_MOST_NODES];
	uint32_t node_count;	    /* Atomic, edge PL-2 */
	uint64_t *opened;	    /* the links' bits. Owned */
	bool is_child;		    /* Immutable but around fork */
	struct kona_fabric *fabric; /* NULL: all reads by links. Immutable but around fork. Lent */
	struct kona_pool_counters counters; /* Immutable after init */
	pthread_mutex_t expose; /* who asks nodes where slabs are; before a reading link's */

	/* The write lock: keeps the logs of a slab in order on every node; and set-up. */
	pthread_mutex_t write;
	char *own_staging; /* Owned */
	char *staging; /* logs as they are sent; that, or the fabric's. Guarded by write, as ... */
	size_t staged_bytes; /* ... what follows */
	struct kona_pool_write writes[KONA_POOL_MOST_LOGS];
	size_t write_count;
	struct kona_log_page gathered[KONA_LOG_MOST_PAGES];
};

/*
 * From now on one-sided reads and writes are tried; before the first grant. The fabric is lent.
 * NULL: no more of that.
 */
void kona_pool_use_fabric(struct kona_pool *pool, struct kona_fabric *fabric,
			  const struct kona_pool_counters *counters);

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

/* The ids of the nodes that live, at most KONA_POOL_MOST_NODES. Returns how many. */
size_t kona_pool_live_nodes(struct kona_pool *pool, uint64_t *ret_ids);

/* Where a local slab stands: as for shm. */
void kona_pool_attach_local(struct kona_pool *pool, uint64_t slab, int descriptor, uint64_t number,
			    bool closes);

/*
 * Puts a granted slab with these replicas, whose nodes were added, in place of slab `index`; all of
 * them are full and new. With `local` it is in shared memory, too. Succeeds when
 * at least one replica can be opened. -EIO: none can.
 */
KONA_MUST_CHECK int kona_pool_grant(struct kona_pool *pool, uint64_t index, uint64_t id,
				    uint64_t generation, bool local,
				    const struct kona_pool_replica *replicas, size_t count);

/*
 * The controller's new set of replicas of slab `id`. One that is new joins: logs go to it from now
 * on. `local`: the copy in shared memory stays, if there is one. Returns 0 when the pool acts by
 * this version (or a later one); -ENOENT: no such slab; -EIO: not possible: the old set stays;
 * -EAGAIN: the controller has to hear first of a replica that is dead.
 */
KONA_MUST_CHECK int kona_pool_set(struct kona_pool *pool, uint64_t id, uint64_t version, bool local,
				  const struct kona_pool_replica *replicas, size_t count);

/*
 * Tells of all dead replicas of which the hook could not tell. False: it cannot yet. From the
 * thread that calls kona_pool_set(), so that none of them joins meanwhile.
 */
KONA_MUST_CHECK bool kona_pool_tell_lost(struct kona_pool *pool);

/*
 * Asks the nodes whether copies, of at most so many slabs, have become whole, which makes them
 * full: sooner than the controller can tell. Returns how many copies there were. Blocks.
 */
unsigned int kona_pool_look_at_copies(struct kona_pool *pool, unsigned int most);

/*
 * In a forked child, which only reads: sockets[i] is a fresh connection to the i-th of `nodes`, or
 * negative; taken over. The hook that mends makes those that are missing. The parent's connections
 * are closed here. The only thread calls; later all reads are one thread's.
 */
void kona_pool_become_child(struct kona_pool *pool, const uint64_t *nodes, const int *sockets,
			    size_t count);

#endif
