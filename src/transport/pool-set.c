/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Grants and sets: which replicas a slab gets, and how one joins.
 *
 * All under the write lock: so a replica that joins gets every log after the one that it was told.
 * A copy becomes full by the controller's word, or when its node lets it be read.
 *
 * State: the words of the slabs. What can fail: the nodes.
 */
#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "transport/pool-internal.h"

#define MS UINT64_C(1000000)

/* --- sets --------------------------------------------------------------------------------------*/

static int open_on(struct kona_pool *pool, unsigned int node, int index,
		   const struct kona_data_open *open)
{
	struct kona_link *link = &pool->nodes[node].links[index];
	struct kona_pool_mending mending = {kona_now_ns() + KONA_POOL_PATIENCE_MS * MS, 0};
	int rc;

	kona_pool_lock_link(pool, link);
	/* What it names now may be the slab as it was before it joined anew. */
	link->opened[open->handle / 64] &= ~(UINT64_C(1) << open->handle % 64);
	do
		rc = kona_link_open(link, open, mending.deadline_ns);
	while (rc && !(rc = kona_pool_mend(pool, node, link, rc, &mending)));
	pthread_mutex_unlock(&link->lock);
	return rc;
}

/* Names the slab at the node, on the link that writes first. */
static int open_replica(struct kona_pool *pool, uint64_t slab, unsigned int node, uint32_t flags,
			const uint8_t *capability)
{
	struct kona_pool_slab *own = &pool->slabs[slab];
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
	rc = open_on(pool, node, 0, &open);
	/* The others, too: then they are known to the node for more than idle connections. */
	open.flags = 0;
	open.sequence = 0;
	for (int i = 1; i < KONA_POOL_LINKS && !rc; i++)
		rc = open_on(pool, node, i, &open);
	if (rc && rc != -EREMOTEIO)
		kona_pool_failed(pool, node, rc);
	return rc;
}

/* Puts a replica into an empty slot of the word, which is lost when there is none. */
static uint64_t place(struct kona_pool *pool, uint64_t slab, uint64_t word, unsigned int node,
		      enum kona_pool_state state, const struct kona_pool_replica *replica)
{
	for (unsigned int slot = 0; slot < KONA_POOL_MOST_REPLICAS; slot++) {
		if (kona_pool_slot_node(word, slot) >= 0)
			continue;
		/* PL-3: what was known of the one before it must not be used for this one */
		kona_add_acq_rel(&pool->slabs[slab].exposed[slot].turn, 1);
		memcpy(pool->slabs[slab].capabilities[slot], replica->capability,
		       sizeof(replica->capability));
		return word | kona_pool_make_slot(slot, node, state);
	}
	return word;
}

/* The word with one more replica of a new slab: a dead one, when it cannot be opened. */
static uint64_t grant_one(struct kona_pool *pool, uint64_t index, uint64_t word,
			  const struct kona_pool_replica *replica)
{
	int node = kona_pool_find_node(pool, replica->node);

	if (node >= 0 && !kona_pool_is_late(pool, (unsigned int)node) &&
	    !open_replica(pool, index, (unsigned int)node, KONA_DATA_CREATE, replica->capability))
		return place(pool, index, word, (unsigned int)node, replica->state, replica);
	if (node < 0)
		node = kona_pool_name_node(pool, replica->node);
	return node < 0 ? word
			: place(pool, index, word, (unsigned int)node, KONA_POOL_UNTOLD, replica);
}

/* Dead replicas of the slab are told of. False: not all can be, now. */
static bool tell_all(struct kona_pool *pool, uint64_t slab)
{
	bool told = true;

	for (unsigned int slot = 0; slot < KONA_POOL_MOST_REPLICAS; slot++)
		told = kona_pool_tell(pool, slab, slot) && told;
	return told;
}

int kona_pool_grant(struct kona_pool *pool, uint64_t index, uint64_t id, uint64_t generation,
		    bool local, const struct kona_pool_replica *replicas, size_t count)
{
	struct kona_pool_slab *slab = &pool->slabs[index];
	uint64_t word = local ? KONA_POOL_LOCAL : 0;
	bool usable;

	pthread_mutex_lock(&pool->write);
	slab->id = id;
	slab->generation = generation;
	slab->sequence = slab->version = 0;
	for (size_t i = 0; i < count && i < KONA_POOL_MOST_REPLICAS; i++)
		word = grant_one(pool, index, word, &replicas[i]);
	usable = kona_pool_count_full(word);
	if (usable) {
		if (index >= kona_load_relaxed(&pool->used_slabs)) /* relaxed: write lock */
			kona_store_release(&pool->used_slabs, (uint32_t)index + 1); /* PL-1 */
		kona_store_release(&slab->word, word);				    /* PL-1 */
		if (word != KONA_POOL_LOCAL)
			kona_store_release(&pool->remote, true); /* PL-1 */
		if (!tell_all(pool, index)) {
			/* What stays untold is looked for. */
		}
	}
	/* Nobody is going to use it: the report helps to find out, no more. */
	for (size_t i = 0; i < count && !usable && pool->hooks.lost; i++)
		pool->hooks.lost(pool->hooks.with, replicas[i].node, id);
	pthread_mutex_unlock(&pool->write);
	return usable ? 0 : -EIO;
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
		word &= ~KONA_POOL_LOCAL;
	for (unsigned int slot = 0; slot < KONA_POOL_MOST_REPLICAS; slot++) {
		int node = kona_pool_slot_node(word, slot);
		enum kona_pool_state state = kona_pool_slot_state(word, slot);
		const struct kona_pool_replica *wanted;

		if (node < 0)
			continue;
		wanted = find_wanted(replicas, count, pool->names[node].id);
		if (!wanted || (state != KONA_POOL_COPYING && wanted->state == KONA_POOL_COPYING))
			word = kona_pool_clear_slot(word, slot);
		else if (state == KONA_POOL_COPYING && wanted->state == KONA_POOL_FULL)
			word = kona_pool_clear_slot(word, slot) |
			       kona_pool_make_slot(slot, (unsigned int)node, KONA_POOL_FULL);
	}
	return word;
}

/* Replicas that the word does not name yet join, and get every log from now on. */
static int join_new(struct kona_pool *pool, uint64_t slab, const struct kona_pool_replica *replicas,
		    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t word = kona_pool_word(pool, slab), next;
		int node = kona_pool_find_node(pool, replicas[i].node), rc;

		if (replicas[i].state != KONA_POOL_COPYING ||
		    (node >= 0 && kona_pool_find_slot(word, (unsigned int)node) >= 0))
			continue;
		if (node < 0 || kona_pool_is_late(pool, (unsigned int)node))
			return -EIO;
		rc = open_replica(pool, slab, (unsigned int)node, KONA_DATA_JOIN,
				  replicas[i].capability);
		if (rc)
			return -EIO;
		do
			next = place(pool, slab, word, (unsigned int)node, KONA_POOL_COPYING,
				     &replicas[i]);
		/* PL-1: release */
		while (!kona_cas_acq_rel(&pool->slabs[slab].word, &word, next));
		if (next == word)
			return -EIO;			 /* the dead have not left room yet */
		kona_store_release(&pool->remote, true); /* PL-1 */
	}
	return 0;
}

/*
 * What the controller takes for full, and is not: a report of it may have been lost on its way. It
 * must hear of it before it hears that this set was taken. False: that cannot be told now.
 */
static bool report_dead(struct kona_pool *pool, uint64_t slab,
			const struct kona_pool_replica *replicas, size_t count)
{
	uint64_t word = kona_pool_word(pool, slab);
	bool told = true;

	for (size_t i = 0; i < count; i++) {
		int node = kona_pool_find_node(pool, replicas[i].node);
		int slot = node < 0 ? -1 : kona_pool_find_slot(word, (unsigned int)node);

		if (replicas[i].state == KONA_POOL_FULL && pool->hooks.lost &&
		    (slot < 0 || kona_pool_slot_state(word, (unsigned int)slot) == KONA_POOL_DEAD))
			told = pool->hooks.lost(pool->hooks.with, replicas[i].node,
						pool->slabs[slab].id) &&
			       told;
	}
	return tell_all(pool, slab) && told;
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
	if (!report_dead(pool, slab, replicas, count))
		return -EAGAIN;
	return join_new(pool, slab, replicas, count);
}

/*
 * Speaks to the nodes where the slab is to join, before the write lock is taken: one that hangs
 * makes nobody wait who writes. Any answer will do.
 */
static void try_new(struct kona_pool *pool, uint32_t slab, const struct kona_pool_replica *replicas,
		    size_t count)
{
	struct kona_pool_slab *own = &pool->slabs[slab];
	struct kona_data_open open = {.handle = slab,
				      .slab = own->id,
				      .generation = own->generation,
				      .slab_bytes = pool->slab_bytes};

	for (size_t i = 0; i < count; i++) {
		int node = kona_pool_find_node(pool, replicas[i].node), rc;

		if (replicas[i].state != KONA_POOL_COPYING || node < 0 ||
		    kona_pool_is_late(pool, (unsigned int)node) ||
		    kona_pool_find_slot(kona_pool_word(pool, slab), (unsigned int)node) >= 0)
			continue;
		memcpy(open.capability, replicas[i].capability, sizeof(open.capability));
		rc = open_on(pool, (unsigned int)node, 1, &open);
		if (rc && rc != -EREMOTEIO)
			kona_pool_failed(pool, (unsigned int)node, rc);
	}
}

/* Its index; negative: none. */
static int64_t find_slab(struct kona_pool *pool, uint64_t id)
{
	int64_t slab = 0, used;

	pthread_mutex_lock(&pool->write);
	used = kona_load_relaxed(&pool->used_slabs); /* relaxed: grants hold the write lock */
	while (slab < used && pool->slabs[slab].id != id)
		slab++;
	pthread_mutex_unlock(&pool->write);
	return slab < used ? slab : -1;
}

int kona_pool_set(struct kona_pool *pool, uint64_t id, uint64_t version, bool local,
		  const struct kona_pool_replica *replicas, size_t count)
{
	int64_t slab = find_slab(pool, id);
	int rc = 0;

	if (slab < 0)
		return -ENOENT;
	try_new(pool, (uint32_t)slab, replicas, count);
	pthread_mutex_lock(&pool->write);
	if (version > pool->slabs[slab].version)
		rc = set_locked(pool, (uint64_t)slab, local, replicas, count);
	if (!rc && version > pool->slabs[slab].version)
		pool->slabs[slab].version = version;
	pthread_mutex_unlock(&pool->write);
	return rc;
}

/* --- copies that have become whole -------------------------------------------------------------*/

/* The node lets it be read when it is whole. Returns whether it does. */
static bool is_whole(struct kona_pool *pool, uint32_t slab, unsigned int node)
{
	struct kona_link *link = &pool->nodes[node].links[1];
	char line[KONA_LINE_BYTES];
	const struct kona_link_piece piece = {slab, sizeof(line), 0, line};
	struct kona_pool_mending mending = {kona_now_ns() + KONA_POOL_PATIENCE_MS * MS, 0};
	int rc;

	kona_pool_lock_link(pool, link);
	do {
		rc = kona_pool_ensure_open(pool, slab, node, link, mending.deadline_ns);
		if (!rc)
			rc = kona_link_read(link, &piece, 1, mending.deadline_ns);
	} while (rc && !(rc = kona_pool_mend(pool, node, link, rc, &mending)));
	pthread_mutex_unlock(&link->lock);
	if (rc && rc != -EREMOTEIO && rc != -EAGAIN)
		kona_pool_failed(pool, node, rc);
	return !rc;
}

static void promote(struct kona_pool *pool, uint32_t slab, unsigned int slot, unsigned int node)
{
	pthread_mutex_lock(&pool->write);
	kona_pool_change_state(pool, slab, slot, node, KONA_POOL_COPYING, KONA_POOL_FULL);
	pthread_mutex_unlock(&pool->write);
}

unsigned int kona_pool_look_at_copies(struct kona_pool *pool, unsigned int most)
{
	uint32_t used = kona_load_acquire(&pool->used_slabs); /* PL-1 */
	unsigned int copying = 0;

	for (uint32_t i = 0; i < used; i++) {
		uint64_t word = kona_pool_word(pool, i);

		for (unsigned int slot = 0; slot < KONA_POOL_MOST_REPLICAS; slot++) {
			int node = kona_pool_slot_node(word, slot);

			if (kona_pool_slot_state(word, slot) != KONA_POOL_COPYING)
				continue;
			copying++;
			if (copying <= most && is_whole(pool, i, (unsigned int)node))
				promote(pool, i, slot, (unsigned int)node);
		}
	}
	return copying;
}
