/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the pool tell each other: pool.c (reads), pool-write.c, pool-set.c (who has
 * what, and who lives).
 */
#ifndef KONA_TRANSPORT_POOL_INTERNAL_H
#define KONA_TRANSPORT_POOL_INTERNAL_H

#include "transport/flight.h"
#include "transport/pool.h"

/*
 * A log stands in a node's ring where it stands here. So there is always room, as all that is
 * staged was answered before it is overwritten.
 */
enum { KONA_POOL_STAGING_BYTES = KONA_DATA_RING_BYTES };

static_assert((int)KONA_POOL_STAGING_BYTES == (int)KONA_FABRIC_STAGING_BYTES, "either will do");

/* --- pool-write.c --------------------------------------------------------------------------*/

KONA_MUST_CHECK int kona_pool_write_lines(struct kona_transport *transport,
					  const struct kona_dirty_page *pages, size_t count,
					  uint64_t *wire_bytes, uint64_t *system_calls);
KONA_MUST_CHECK int kona_pool_discard(struct kona_transport *transport, uint64_t offset_bytes,
				      uint64_t size_bytes);

/* --- pool-fabric.c -------------------------------------------------------------------------*/

/* Reads pieces of one node by itself. 0; -errno: it must be tried by a link. */
KONA_MUST_CHECK int kona_pool_read_fabric(struct kona_pool *pool, unsigned int node,
					  const struct kona_link_piece *pieces, size_t count);

/*
 * Writes what it can of these staged writes, as bits, to the node's ring. Returns what is there.
 */
uint64_t kona_pool_push(struct kona_pool *pool, unsigned int node, uint64_t writes);

/* No more of either with this node. */
void kona_pool_close_way(struct kona_pool *pool, unsigned int node);

/* --- pool.c --------------------------------------------------------------------------------*/

/* A link for reading that is free, or else the next one in turn. Locked, and nothing under way. */
struct kona_link *kona_pool_take_link(struct kona_pool *pool, unsigned int node);

/* How far a read has come. */
struct kona_pool_cursor {
	size_t index;	   /* of the piece */
	size_t done_bytes; /* of it */
};

/* Fills the batch with what the node of the first part serves. *at: where it ends. -EIO. */
KONA_MUST_CHECK int kona_pool_fill(struct kona_pool *pool, const struct kona_read *reads,
				   size_t count, struct kona_pool_cursor *at,
				   struct kona_pool_batch *batch);

/* Names the batch's slabs to the node, where this link has not yet. *ret_slab: the last one. */
KONA_MUST_CHECK int kona_pool_open_slabs(struct kona_pool *pool,
					 const struct kona_pool_batch *batch,
					 struct kona_link *link, uint64_t deadline_ns,
					 uint32_t *ret_slab);

/* --- pool-ahead.c ------------------------------------------------------------------------------*/

bool kona_pool_may_begin(struct kona_transport *transport, uint64_t offset_bytes);
KONA_MUST_CHECK int kona_pool_begin_read(struct kona_transport *transport,
					 struct kona_flight *flight, uint64_t *system_calls);
KONA_MUST_CHECK int kona_pool_end_read(struct kona_transport *transport, struct kona_flight *flight,
				       uint64_t *system_calls);

/* Locks the link, and receives what is under way on it. */
void kona_pool_lock_link(struct kona_pool *pool, struct kona_link *link);

/* --- pool-late.c -------------------------------------------------------------------------------*/

/* Until when an operation may wait for this node: less while another one has all of the slab. */
uint64_t kona_pool_deadline_ns(uint64_t word, unsigned int node, uint64_t begun_ns);

/*
 * An operation on this node failed. After -ETIMEDOUT what it alone has all of stays; the
 * connections are over. After any other error nothing on it is used any more.
 */
void kona_pool_failed(struct kona_pool *pool, unsigned int node, int error);

/* After that: gives up its replica of a slab for which an operation has waited until its deadline.
 */
void kona_pool_expire(struct kona_pool *pool, uint64_t slab, unsigned int node, uint64_t begun_ns);

/* Did it fail to answer in time just now? Then nothing new begins there. */
bool kona_pool_is_late(struct kona_pool *pool, unsigned int node);

/* --- pool-mend.c -------------------------------------------------------------------------------*/

/* What one operation has spent on connections that broke. */
struct kona_pool_mending {
	uint64_t deadline_ns;
	unsigned int pause_ms; /* before the next attempt */
};

/*
 * After `error` on a link of this node, which is locked. 0: the connection is a new one, which
 * knows no slab: begin again. -ETIMEDOUT: there was no time to get one. Else the error: give the
 * node up. Blocks, up to the deadline and one attempt more.
 */
KONA_MUST_CHECK int kona_pool_mend(struct kona_pool *pool, unsigned int node,
				   struct kona_link *link, int error,
				   struct kona_pool_mending *mending);

/*
 * Names the slab on the locked link, unless that was done. -EAGAIN: it is not on this node any
 * more; -ESTALE: the node was started anew; else as kona_link_open().
 */
KONA_MUST_CHECK int kona_pool_ensure_open(struct kona_pool *pool, uint64_t slab, unsigned int node,
					  struct kona_link *link, uint64_t deadline_ns);

/* --- the word of a slab (pool-nodes.c) ---------------------------------------------------------
 */

#define KONA_POOL_LOCAL (UINT64_C(1) << 63)

static inline uint64_t kona_pool_make_slot(unsigned int slot, unsigned int node,
					   enum kona_pool_state state)
{
	return (uint64_t)(node + 1 + ((unsigned int)state << 8)) << 16 * slot;
}

static inline uint64_t kona_pool_clear_slot(uint64_t word, unsigned int slot)
{
	return word & ~(UINT64_C(0x7fff) << 16 * slot);
}

/* The slot of this node; negative: none. */
int kona_pool_find_slot(uint64_t word, unsigned int node);

/* Tells of a dead replica of which was not told yet. False: it could not be told now. */
bool kona_pool_tell(struct kona_pool *pool, uint64_t slab, unsigned int slot);

/*
 * Any node with this id, also a dead one; one that was never reached is made, as a dead one. Under
 * the write lock. -EMFILE: too many nodes.
 */
int kona_pool_name_node(struct kona_pool *pool, uint64_t id);

/* The live node with this id; negative: none. */
int kona_pool_find_node(struct kona_pool *pool, uint64_t id);

/* --- pool-nodes.c ----------------------------------------------------------------------------*/

/* Does a replica that lives have it, or may have it, for it is being copied? */
bool kona_pool_is_kept(uint64_t word);

/* Does the slot hold a replica that is not used any more? */
bool kona_pool_is_dead(uint64_t word, unsigned int slot);

/* The node's replica in this slot goes from one state to another, if it is still there, and in that
 * state. */
void kona_pool_change_state(struct kona_pool *pool, uint64_t slab, unsigned int slot,
			    unsigned int node, enum kona_pool_state from, enum kona_pool_state to);

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

/* Of one link's bits, and of all of them. */
static inline size_t kona_pool_opened_words(const struct kona_pool *pool)
{
	return (pool->most_slabs + 63) / 64;
}

static inline size_t kona_pool_opened_bytes(const struct kona_pool *pool)
{
	return kona_pool_opened_words(pool) * sizeof(uint64_t) * KONA_POOL_MOST_NODES *
	       KONA_POOL_LINKS;
}

bool kona_pool_is_live(struct kona_pool *pool, unsigned int node);

/* Replicas of this slab on nodes that are dead are not used any more. */
void kona_pool_bury(struct kona_pool *pool, uint64_t slab);

/* The node refuses: its replica of this slab is not used any more. */
void kona_pool_kill_replica(struct kona_pool *pool, uint64_t slab, unsigned int node);

#endif
