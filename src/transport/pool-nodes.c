/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which node has what, and who lives.
 *
 * A slab's word: 16 bits for each of 4 slots, the node's index + 1 below, 7 bits of state above;
 * bit 63, which is no slot's: the slab is in shared memory, too. Readers take what one look at it
 * tells (PL-1); a replica dies by a CAS from any thread, and comes by one under the write lock.
 *
 * State: the words and the nodes. What can fail: the nodes.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/atomic.h"
#include "transport/pool-internal.h"

int kona_pool_slot_node(uint64_t word, unsigned int slot)
{
	return (int)(word >> 16 * slot & 0xff) - 1;
}

enum kona_pool_state kona_pool_slot_state(uint64_t word, unsigned int slot)
{
	return (enum kona_pool_state)(word >> (16 * slot + 8) & 0x7f);
}

bool kona_pool_is_local(uint64_t word)
{
	return word & KONA_POOL_LOCAL;
}

bool kona_pool_is_remote(uint64_t word)
{
	return word & ~KONA_POOL_LOCAL;
}

static unsigned int count_state(uint64_t word, enum kona_pool_state state)
{
	unsigned int count = 0;

	for (unsigned int slot = 0; slot < KONA_POOL_MOST_REPLICAS; slot++)
		count += kona_pool_slot_state(word, slot) == state;
	return count;
}

unsigned int kona_pool_count_full(uint64_t word)
{
	return kona_pool_is_local(word) + count_state(word, KONA_POOL_FULL);
}

bool kona_pool_is_kept(uint64_t word)
{
	return kona_pool_count_full(word) || count_state(word, KONA_POOL_COPYING);
}

uint64_t kona_pool_word(struct kona_pool *pool, uint64_t slab)
{
	/* PL-1: acquire, pairs with the releases of words in this file. */
	return kona_load_acquire(&pool->slabs[slab].word);
}

int kona_pool_find_slot(uint64_t word, unsigned int node)
{
	for (unsigned int slot = 0; slot < KONA_POOL_MOST_REPLICAS; slot++)
		if (kona_pool_slot_node(word, slot) == (int)node)
			return (int)slot;
	return -1;
}

bool kona_pool_make_open(struct kona_pool *pool, uint64_t slab, unsigned int node,
			 struct kona_data_open *ret_open)
{
	struct kona_pool_slab *own = &pool->slabs[slab];
	uint64_t word = kona_pool_word(pool, slab);
	int slot = kona_pool_find_slot(word, node);

	if (slot < 0)
		return false;
	*ret_open = (struct kona_data_open){.handle = (uint32_t)slab,
					    .slab = own->id,
					    .generation = own->generation,
					    .slab_bytes = pool->slab_bytes};
	memcpy(ret_open->capability, own->capabilities[slot], sizeof(ret_open->capability));
	/* A slot is emptied before it is used for another node: what was copied is this node's. */
	return kona_pool_find_slot(kona_pool_word(pool, slab), node) == slot;
}

/* --- deaths ------------------------------------------------------------------------------------*/

bool kona_pool_is_dead(uint64_t word, unsigned int slot)
{
	enum kona_pool_state state = kona_pool_slot_state(word, slot);

	return state == KONA_POOL_DEAD || state == KONA_POOL_UNTOLD;
}

/* Returns the slot of a replica that was alive; negative: there is none. */
static int mark_dead(struct kona_pool *pool, uint64_t slab, unsigned int node)
{
	uint64_t word = kona_pool_word(pool, slab), next;
	int slot;

	do {
		slot = kona_pool_find_slot(word, node);
		if (slot < 0 || kona_pool_is_dead(word, (unsigned int)slot))
			return -1;
		next = kona_pool_clear_slot(word, (unsigned int)slot) |
		       kona_pool_make_slot((unsigned int)slot, node, KONA_POOL_UNTOLD);
		/* PL-1: release */
	} while (!kona_cas_acq_rel(&pool->slabs[slab].word, &word, next));
	return slot;
}

void kona_pool_change_state(struct kona_pool *pool, uint64_t slab, unsigned int slot,
			    unsigned int node, enum kona_pool_state from, enum kona_pool_state to)
{
	uint64_t word = kona_pool_word(pool, slab), next;

	do {
		if (kona_pool_slot_node(word, slot) != (int)node ||
		    kona_pool_slot_state(word, slot) != from)
			return;
		next = kona_pool_clear_slot(word, slot) | kona_pool_make_slot(slot, node, to);
		/* PL-1: release */
	} while (!kona_cas_acq_rel(&pool->slabs[slab].word, &word, next));
}

/* The controller knows of this death. */
static void mark_told(struct kona_pool *pool, uint64_t slab, unsigned int slot, unsigned int node)
{
	kona_pool_change_state(pool, slab, slot, node, KONA_POOL_UNTOLD, KONA_POOL_DEAD);
}

bool kona_pool_tell(struct kona_pool *pool, uint64_t slab, unsigned int slot)
{
	uint64_t word = kona_pool_word(pool, slab);
	int node = kona_pool_slot_node(word, slot);

	if (kona_pool_slot_state(word, slot) != KONA_POOL_UNTOLD || !pool->hooks.lost)
		return true;
	if (!pool->hooks.lost(pool->hooks.with, pool->names[node].id, pool->slabs[slab].id))
		return false;
	mark_told(pool, slab, slot, (unsigned int)node);
	return true;
}

bool kona_pool_tell_lost(struct kona_pool *pool)
{
	uint32_t used = kona_load_acquire(&pool->used_slabs); /* PL-1 */

	for (uint32_t slab = 0; slab < used; slab++)
		for (unsigned int slot = 0; slot < KONA_POOL_MOST_REPLICAS; slot++)
			if (!kona_pool_tell(pool, slab, slot))
				return false;
	return true;
}

void kona_pool_kill_replica(struct kona_pool *pool, uint64_t slab, unsigned int node)
{
	int slot;

	if (pool->is_child) {
		/* The words are the parent's; where it has moved on, there is nothing to do. */
		if (kona_pool_find_slot(kona_pool_word(pool, slab), node) >= 0)
			kona_pool_kill_node(pool, node);
		return;
	}
	slot = mark_dead(pool, slab, node);
	if (slot >= 0 && !kona_pool_tell(pool, slab, (unsigned int)slot)) {
		/* It stays untold, which is looked for. */
	}
}

/* One report for all that the node had. Where it cannot be sent, each slab is told of later. */
static void tell_of_node(struct kona_pool *pool, unsigned int node)
{
	uint32_t used = kona_load_acquire(&pool->used_slabs); /* PL-1 */

	if (!pool->hooks.lost || !pool->hooks.lost(pool->hooks.with, pool->names[node].id, 0))
		return;
	for (uint32_t slab = 0; slab < used; slab++) {
		int slot = kona_pool_find_slot(kona_pool_word(pool, slab), node);

		if (slot >= 0)
			mark_told(pool, slab, (unsigned int)slot, node);
	}
}

/*
 * All marks come before the node counts as dead: a writer that passes it over for that reason finds
 * no slab any more that would be read there.
 */
void kona_pool_kill_node(struct kona_pool *pool, unsigned int node)
{
	/* PL-1: acquire; of a slab that is granted just now, its next write marks the replica */
	uint32_t used = kona_load_acquire(&pool->used_slabs);

	for (uint32_t slab = 0; slab < used && !pool->is_child; slab++)
		mark_dead(pool, slab, node);
	/* PL-2: acquire-release, so that one of those who notice goes on */
	if (!kona_exchange_acq_rel(&pool->nodes[node].live, false))
		return;
	/* Whoever waits on another of its connections need not wait for the deadline. */
	for (int i = 0; i < KONA_POOL_LINKS; i++)
		shutdown(pool->nodes[node].links[i].socket, SHUT_RDWR);
	tell_of_node(pool, node);
}

void kona_pool_bury(struct kona_pool *pool, uint64_t slab)
{
	uint64_t word = kona_pool_word(pool, slab);

	for (unsigned int slot = 0; slot < KONA_POOL_MOST_REPLICAS; slot++) {
		int node = kona_pool_slot_node(word, slot);

		if (node >= 0 && !kona_pool_is_live(pool, (unsigned int)node))
			kona_pool_kill_replica(pool, slab, (unsigned int)node);
	}
}

/* --- nodes -------------------------------------------------------------------------------------*/

bool kona_pool_is_live(struct kona_pool *pool, unsigned int node)
{
	/* PL-2: acquire, pairs with the release in kona_pool_add_node() */
	return kona_load_acquire(&pool->nodes[node].live);
}

int kona_pool_find_node(struct kona_pool *pool, uint64_t id)
{
	uint32_t count = kona_load_acquire(&pool->node_count); /* PL-2 */

	for (uint32_t i = 0; i < count; i++)
		if (kona_pool_is_live(pool, i) && pool->names[i].id == id)
			return (int)i;
	return -1;
}

bool kona_pool_has_node(struct kona_pool *pool, uint64_t id)
{
	return kona_pool_find_node(pool, id) >= 0;
}

size_t kona_pool_live_nodes(struct kona_pool *pool, uint64_t *ret_ids)
{
	uint32_t nodes = kona_load_acquire(&pool->node_count); /* PL-2 */
	size_t count = 0;

	for (uint32_t i = 0; i < nodes; i++)
		if (kona_pool_is_live(pool, i))
			ret_ids[count++] = pool->names[i].id;
	return count;
}

static uint64_t *opened_of(struct kona_pool *pool, uint32_t node, uint32_t link)
{
	return pool->opened + (node * KONA_POOL_LINKS + link) * kona_pool_opened_words(pool);
}

/* Without sockets: one that is dead from the start. */
static int add_node_locked(struct kona_pool *pool, uint64_t id, const char *name,
			   const int *sockets)
{
	uint32_t index = kona_load_relaxed(&pool->node_count); /* relaxed: write lock */
	struct kona_pool_node *node = &pool->nodes[index];

	if (index == KONA_POOL_MOST_NODES)
		return -EMFILE;
	for (uint32_t i = 0; i < KONA_POOL_LINKS; i++)
		kona_link_init(&node->links[i], sockets ? sockets[i] : -1,
			       opened_of(pool, index, i));
	pool->names[index].id = id;
	strncpy(pool->names[index].name, name, sizeof(pool->names[index].name) - 1);
	kona_store_release(&node->live, sockets != NULL); /* PL-2 */
	kona_store_release(&pool->node_count, index + 1); /* PL-2 */
	return 0;
}

int kona_pool_name_node(struct kona_pool *pool, uint64_t id)
{
	uint32_t count = kona_load_relaxed(&pool->node_count); /* relaxed: write lock */
	int rc;

	for (uint32_t i = count; i > 0; i--)
		if (pool->names[i - 1].id == id)
			return (int)i - 1;
	rc = add_node_locked(pool, id, "", NULL);
	return rc ? rc : (int)count;
}

int kona_pool_add_node(struct kona_pool *pool, uint64_t id, const char *name, const int *sockets)
{
	int rc;

	pthread_mutex_lock(&pool->write);
	rc = add_node_locked(pool, id, name, sockets);
	pthread_mutex_unlock(&pool->write);
	return rc;
}

/* --- after a fork ------------------------------------------------------------------------------*/

/*
 * Nodes that the parent adds later get an index that it has not used yet: they count as alive here,
 * without a connection, until one cannot be made.
 */
void kona_pool_become_child(struct kona_pool *pool, const uint64_t *nodes, const int *sockets,
			    size_t count)
{
	pool->hooks.lost = NULL;
	pool->is_child = true;
	kona_pool_use_fabric(pool, NULL, NULL);
	pthread_mutex_init(&pool->write, NULL);
	madvise(pool->opened, kona_pool_opened_bytes(pool), MADV_DONTNEED); /* zeros */
	for (uint32_t i = 0; i < KONA_POOL_MOST_NODES; i++) {
		struct kona_pool_node *node = &pool->nodes[i];
		int socket = -1;

		if (i >= pool->node_count)
			node->live = true;
		for (size_t j = 0; j < count && i < pool->node_count; j++)
			if (nodes[j] == pool->names[i].id && node->live)
				socket = sockets[j];
		for (uint32_t link = 0; link < KONA_POOL_LINKS; link++) {
			if (i < pool->node_count)
				pool->hooks.close(node->links[link].socket);
			kona_link_init(&node->links[link], link == 1 ? socket : -1,
				       opened_of(pool, i, link));
		}
	}
}
