/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which replicas a slab has, and who lives.
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

#define LOCAL (UINT64_C(1) << 63)

#define MS UINT64_C(1000000)

static uint64_t make_slot(unsigned int slot, unsigned int node, enum kona_pool_state state)
{
	return (uint64_t)(node + 1 + ((unsigned int)state << 8)) << 16 * slot;
}

static uint64_t clear_slot(uint64_t word, unsigned int slot)
{
	return word & ~(UINT64_C(0x7fff) << 16 * slot);
}

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
	return word & LOCAL;
}

bool kona_pool_is_remote(uint64_t word)
{
	return word & ~LOCAL;
}

unsigned int kona_pool_count_full(uint64_t word)
{
	unsigned int count = kona_pool_is_local(word);

	for (unsigned int slot = 0; slot < KONA_POOL_MOST_REPLICAS; slot++)
		count += kona_pool_slot_state(word, slot) == KONA_POOL_FULL;
	return count;
}

uint64_t kona_pool_deadline_ns(uint64_t word)
{
	return kona_now_ns() +
	       (kona_pool_count_full(word) > 1 ? KONA_POOL_PATIENCE_MS : KONA_POOL_DEADLINE_MS) *
		       MS;
}

uint64_t kona_pool_word(struct kona_pool *pool, uint64_t slab)
{
	/* PL-1: acquire, pairs with the releases of words in this file. */
	return kona_load_acquire(&pool->slabs[slab].word);
}

static int find_slot(uint64_t word, unsigned int node)
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
	int slot = find_slot(word, node);

	if (slot < 0)
		return false;
	*ret_open = (struct kona_data_open){.handle = (uint32_t)slab,
					    .slab = own->id,
					    .generation = own->generation,
					    .slab_bytes = pool->slab_bytes};
	memcpy(ret_open->capability, own->capabilities[slot], sizeof(ret_open->capability));
	/* A slot is emptied before it is used for another node: what was copied is this node's. */
	return find_slot(kona_pool_word(pool, slab), node) == slot;
}

/* --- deaths ------------------------------------------------------------------------------------*/

/* Returns true when the replica was alive. */
static bool mark_dead(struct kona_pool *pool, uint64_t slab, unsigned int node)
{
	uint64_t word = kona_pool_word(pool, slab), next;
	int slot;

	do {
		slot = find_slot(word, node);
		if (slot < 0 || kona_pool_slot_state(word, (unsigned int)slot) == KONA_POOL_DEAD)
			return false;
		next = clear_slot(word, (unsigned int)slot) |
		       make_slot((unsigned int)slot, node, KONA_POOL_DEAD);
		/* PL-1: release */
	} while (!kona_cas_acq_rel(&pool->slabs[slab].word, &word, next));
	return true;
}

void kona_pool_kill_replica(struct kona_pool *pool, uint64_t slab, unsigned int node)
{
	if (pool->is_child) {
		/* The words are the parent's; where it has moved on, there is nothing to do. */
		if (find_slot(kona_pool_word(pool, slab), node) >= 0)
			kona_pool_kill_node(pool, node);
		return;
	}
	if (mark_dead(pool, slab, node) && pool->hooks.lost)
		pool->hooks.lost(pool->hooks.with, pool->nodes[node].id, pool->slabs[slab].id);
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
	if (pool->hooks.lost)
		pool->hooks.lost(pool->hooks.with, pool->nodes[node].id, 0);
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

static int find_node(struct kona_pool *pool, uint64_t id)
{
	uint32_t count = kona_load_acquire(&pool->node_count); /* PL-2 */

	for (uint32_t i = 0; i < count; i++)
		if (kona_pool_is_live(pool, i) && pool->nodes[i].id == id)
			return (int)i;
	return -1;
}

bool kona_pool_has_node(struct kona_pool *pool, uint64_t id)
{
	return find_node(pool, id) >= 0;
}

size_t kona_pool_live_nodes(struct kona_pool *pool, uint64_t *ret_ids)
{
	uint32_t nodes = kona_load_acquire(&pool->node_count); /* PL-2 */
	size_t count = 0;

	for (uint32_t i = 0; i < nodes; i++)
		if (kona_pool_is_live(pool, i))
			ret_ids[count++] = pool->nodes[i].id;
	return count;
}

static uint64_t *opened_of(struct kona_pool *pool, uint32_t node, uint32_t link)
{
	return pool->opened + (node * KONA_POOL_LINKS + link) * kona_pool_opened_words(pool);
}

static int add_node_locked(struct kona_pool *pool, uint64_t id, const char *name,
			   const int *sockets)
{
	uint32_t index = kona_load_relaxed(&pool->node_count); /* relaxed: write lock */
	struct kona_pool_node *node = &pool->nodes[index];

	if (index == KONA_POOL_MOST_NODES)
		return -EMFILE;
	for (uint32_t i = 0; i < KONA_POOL_LINKS; i++)
		kona_link_init(&node->links[i], sockets[i], opened_of(pool, index, i));
	node->id = id;
	strncpy(node->name, name, sizeof(node->name) - 1);
	kona_store_release(&node->live, true);		  /* PL-2 */
	kona_store_release(&pool->node_count, index + 1); /* PL-2 */
	return 0;
}

int kona_pool_add_node(struct kona_pool *pool, uint64_t id, const char *name, const int *sockets)
{
	int rc;

	pthread_mutex_lock(&pool->write);
	rc = add_node_locked(pool, id, name, sockets);
	pthread_mutex_unlock(&pool->write);
	return rc;
}

/* --- sets --------------------------------------------------------------------------------------*/

static int open_on(struct kona_link *link, const struct kona_data_open *open)
{
	int rc;

	pthread_mutex_lock(&link->lock);
	/* What it names now may be the slab as it was before it joined anew. */
	link->opened[open->handle / 64] &= ~(UINT64_C(1) << open->handle % 64);
	rc = kona_link_open(link, open, kona_now_ns() + KONA_POOL_PATIENCE_MS * MS);
	pthread_mutex_unlock(&link->lock);
	return rc;
}

/* Names the slab at the node, on the link that writes first. */
static int open_replica(struct kona_pool *pool, uint64_t slab, unsigned int node, uint32_t flags,
			const uint8_t *capability)
{
	struct kona_pool_slab *own = &pool->slabs[slab];
	struct kona_link *link = &pool->nodes[node].links[0];
	struct kona_data_open open = {
		.handle = (uint32_t)slab,
		.flags = flags,
		.slab = own->id,
		.generation = own->generation,
		.slab_bytes = pool->slab_bytes,
		.sequence = flags == KONA_DATA_JOIN ? own->sequence : 0,
	};
	int rc;

	memcpy(open.capability, capability, sizeof(open.capability));
	rc = open_on(link, &open);
	/* The others, too: then they are known to the node for more than idle connections. */
	open.flags = 0;
	open.sequence = 0;
	for (int i = 1; i < KONA_POOL_LINKS && !rc; i++)
		rc = open_on(&pool->nodes[node].links[i], &open);
	if (rc && rc != -EREMOTEIO)
		kona_pool_kill_node(pool, node);
	return rc;
}

/* Puts a replica into an empty slot of the word, which is lost when there is none. */
static uint64_t place(struct kona_pool *pool, uint64_t slab, uint64_t word, unsigned int node,
		      const struct kona_pool_replica *replica)
{
	for (unsigned int slot = 0; slot < KONA_POOL_MOST_REPLICAS; slot++) {
		if (kona_pool_slot_node(word, slot) >= 0)
			continue;
		memcpy(pool->slabs[slab].capabilities[slot], replica->capability,
		       sizeof(replica->capability));
		return word | make_slot(slot, node, replica->state);
	}
	return word;
}

int kona_pool_grant(struct kona_pool *pool, uint64_t index, uint64_t id, uint64_t generation,
		    bool local, const struct kona_pool_replica *replicas, size_t count)
{
	struct kona_pool_slab *slab = &pool->slabs[index];
	uint64_t word = local ? LOCAL : 0;

	pthread_mutex_lock(&pool->write);
	slab->id = id;
	slab->generation = generation;
	slab->sequence = slab->version = 0;
	for (size_t i = 0; i < count && i < KONA_POOL_MOST_REPLICAS; i++) {
		int node = find_node(pool, replicas[i].node);

		if (node >= 0 && !open_replica(pool, index, (unsigned int)node, KONA_DATA_CREATE,
					       replicas[i].capability))
			word = place(pool, index, word, (unsigned int)node, &replicas[i]);
		else if (pool->hooks.lost)
			pool->hooks.lost(pool->hooks.with, replicas[i].node, id);
	}
	if (word) {
		if (index >= kona_load_relaxed(&pool->used_slabs)) /* relaxed: write lock */
			kona_store_release(&pool->used_slabs, (uint32_t)index + 1); /* PL-1 */
		kona_store_release(&slab->word, word);				    /* PL-1 */
		if (word != LOCAL)
			kona_store_release(&pool->remote, true); /* PL-1 */
	}
	pthread_mutex_unlock(&pool->write);
	return word ? 0 : -EIO;
}

static const struct kona_pool_replica *find_wanted(const struct kona_pool_replica *replicas,
						   size_t count, uint64_t node)
{
	for (size_t i = 0; i < count; i++)
		if (replicas[i].node == node)
			return &replicas[i];
	return NULL;
}

/*
 * The word without the replicas that are not wanted, or that begin anew. What stays becomes full
 * when the controller says so; one that missed a write stays dead until it joins again.
 */
static uint64_t keep_wanted(struct kona_pool *pool, uint64_t word, bool local,
			    const struct kona_pool_replica *replicas, size_t count)
{
	if (!local)
		word &= ~LOCAL;
	for (unsigned int slot = 0; slot < KONA_POOL_MOST_REPLICAS; slot++) {
		int node = kona_pool_slot_node(word, slot);
		enum kona_pool_state state = kona_pool_slot_state(word, slot);
		const struct kona_pool_replica *wanted;

		if (node < 0)
			continue;
		wanted = find_wanted(replicas, count, pool->nodes[node].id);
		if (!wanted || (state != KONA_POOL_COPYING && wanted->state == KONA_POOL_COPYING))
			word = clear_slot(word, slot);
		else if (state == KONA_POOL_COPYING && wanted->state == KONA_POOL_FULL)
			word = clear_slot(word, slot) |
			       make_slot(slot, (unsigned int)node, KONA_POOL_FULL);
	}
	return word;
}

/* Replicas that the word does not name yet join, and get every log from now on. */
static int join_new(struct kona_pool *pool, uint64_t slab, const struct kona_pool_replica *replicas,
		    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t word = kona_pool_word(pool, slab), next;
		int node = find_node(pool, replicas[i].node), rc;

		if (replicas[i].state != KONA_POOL_COPYING ||
		    (node >= 0 && find_slot(word, (unsigned int)node) >= 0))
			continue;
		if (node < 0)
			return -EIO;
		rc = open_replica(pool, slab, (unsigned int)node, KONA_DATA_JOIN,
				  replicas[i].capability);
		if (rc)
			return -EIO;
		do
			next = place(pool, slab, word, (unsigned int)node, &replicas[i]);
		/* PL-1: release */
		while (!kona_cas_acq_rel(&pool->slabs[slab].word, &word, next));
		if (next == word)
			return -EIO;			 /* the dead have not left room yet */
		kona_store_release(&pool->remote, true); /* PL-1 */
	}
	return 0;
}

static int set_locked(struct kona_pool *pool, uint64_t slab, bool local,
		      const struct kona_pool_replica *replicas, size_t count)
{
	uint64_t word = kona_pool_word(pool, slab), next;

	do {
		next = keep_wanted(pool, word, local, replicas, count);
		if (!kona_pool_count_full(next))
			return -EIO;
		/* PL-1: release */
	} while (!kona_cas_acq_rel(&pool->slabs[slab].word, &word, next));
	return join_new(pool, slab, replicas, count);
}

int kona_pool_set(struct kona_pool *pool, uint64_t id, uint64_t version, bool local,
		  const struct kona_pool_replica *replicas, size_t count)
{
	uint32_t slab = 0, used;
	int rc = 0;

	pthread_mutex_lock(&pool->write);
	used = kona_load_relaxed(&pool->used_slabs); /* relaxed: grants hold the write lock */
	while (slab < used && pool->slabs[slab].id != id)
		slab++;
	if (slab == used)
		rc = -ENOENT;
	else if (version > pool->slabs[slab].version)
		rc = set_locked(pool, slab, local, replicas, count);
	if (!rc && version > pool->slabs[slab].version)
		pool->slabs[slab].version = version;
	pthread_mutex_unlock(&pool->write);
	return rc;
}

/* --- after a fork ------------------------------------------------------------------------------*/

void kona_pool_become_child(struct kona_pool *pool, const uint64_t *nodes, const int *sockets,
			    size_t count)
{
	pool->hooks.lost = NULL;
	pool->is_child = true;
	pthread_mutex_init(&pool->write, NULL);
	madvise(pool->opened, kona_pool_opened_bytes(pool), MADV_DONTNEED); /* zeros */
	for (uint32_t i = 0; i < pool->node_count; i++) {
		struct kona_pool_node *node = &pool->nodes[i];
		int socket = -1;

		for (size_t j = 0; j < count; j++)
			if (nodes[j] == node->id && node->live)
				socket = sockets[j];
		for (uint32_t link = 0; link < KONA_POOL_LINKS; link++) {
			pool->hooks.close(node->links[link].socket);
			kona_link_init(&node->links[link], link == 1 ? socket : -1,
				       opened_of(pool, i, link));
		}
		node->live = socket >= 0;
	}
}
