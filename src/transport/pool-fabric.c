/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool's one-sided reads (pool -> fabric). Where a replica stands in its node's memory, and the
 * key to it, are asked of the node over a link, once.
 *
 * A key may open something else once its slab is gone. A node drops a slab only after this program
 * has said that it does not use it any more, which it says after the slab's word has changed: so
 * what was read counts only if the replica is still in its place afterwards. Only full replicas are
 * read; a copy's node knows better, and is asked over a link.
 *
 * State: the slots' bases and keys, the nodes' ways. Locks: `expose`, then a link's. What can fail:
 * everything, and then a link is used instead: for good, if the network failed.
 */
#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "transport/pool-internal.h"

#define MS UINT64_C(1000000)

enum {
	/* A long piece is cut. */
	MOST_READS = KONA_DATA_MOST_PIECES + KONA_DATA_MOST_READ_BYTES / KONA_FABRIC_MOST_BYTES,
};

static_assert((int)KONA_OFI_ADDRESS_BYTES == (int)KONA_DATA_ADDRESS_BYTES,
	      "addresses pass through");
static_assert((int)KONA_FABRIC_REALM_BYTES == (int)KONA_DATA_REALM_BYTES, "as above");
static_assert((int)KONA_OFI_NAME_BYTES == (int)KONA_DATA_PROVIDER_BYTES, "names pass through");

/* Where a piece was found. */
struct place {
	uint32_t slab, turn;
	int slot;
	uint64_t base, key;
};

void kona_pool_use_fabric(struct kona_pool *pool, struct kona_fabric *fabric, uint64_t *counter)
{
	pool->fabric = fabric;
	pool->one_sided_bytes = counter;
}

/* Is it there, full, and known? *ret_place is what is known of it. */
static bool look(struct kona_pool *pool, unsigned int node, struct place *place)
{
	struct kona_pool_slab *slab = &pool->slabs[place->slab];
	uint64_t word = kona_pool_word(pool, place->slab);

	place->slot = kona_pool_find_slot(word, node);
	if (place->slot < 0 ||
	    kona_pool_slot_state(word, (unsigned int)place->slot) != KONA_POOL_FULL)
		return false;
	/* PL-3: acquire, pairs with place() in pool-set.c and the release in remember() */
	place->turn = kona_load_acquire(&slab->exposed[place->slot].turn);
	if (kona_load_acquire(&slab->exposed[place->slot].known) != place->turn) /* PL-3 */
		return false;
	place->base = slab->exposed[place->slot].base;
	place->key = slab->exposed[place->slot].key;
	return true;
}

/* Was it there all the time? */
static bool stayed(struct kona_pool *pool, unsigned int node, const struct place *place)
{
	struct place now = {.slab = place->slab};

	return look(pool, node, &now) && now.slot == place->slot && now.turn == place->turn;
}

/* --- asking ------------------------------------------------------------------------------------*/

static void set_way(struct kona_pool *pool, unsigned int node, enum kona_pool_way way)
{
	kona_store_release(&pool->nodes[node].way, way); /* PL-3: release */
}

/* A node that refuses, but for the slab's sake, is not asked again. */
static int ask(struct kona_pool *pool, unsigned int node, uint32_t slab,
	       struct kona_data_exposed *ret_exposed)
{
	uint64_t deadline_ns =
		kona_pool_deadline_ns(kona_pool_word(pool, slab), node, kona_now_ns());
	struct kona_data_expose expose = {.handle = slab};
	struct kona_link *link = kona_pool_take_link(pool, node);
	int rc;

	memcpy(expose.provider, pool->fabric->provider, sizeof(expose.provider));
	memcpy(expose.realm, pool->fabric->realm, sizeof(expose.realm));
	rc = kona_pool_ensure_open(pool, slab, node, link, deadline_ns);
	if (!rc)
		rc = kona_link_expose(link, &expose, ret_exposed, deadline_ns);
	if (rc == -EREMOTEIO && kona_link_is_open(link, slab) && link->status != -EAGAIN &&
	    link->status != -ESTALE)
		set_way(pool, node, KONA_POOL_WAY_CLOSED);
	pthread_mutex_unlock(&link->lock);
	return rc;
}

/* Opens the way to the node, which the first answer of it shows. */
static int open_way(struct kona_pool *pool, unsigned int node,
		    const struct kona_data_exposed *exposed, uint64_t deadline_ns)
{
	int rc;

	if (kona_load_acquire(&pool->nodes[node].way) == KONA_POOL_WAY_OPEN) /* PL-3 */
		return 0;
	rc = kona_fabric_add_peer(pool->fabric, exposed->address, exposed->address_bytes,
				  deadline_ns, &pool->nodes[node].peer);
	set_way(pool, node, rc ? KONA_POOL_WAY_CLOSED : KONA_POOL_WAY_OPEN);
	return rc;
}

/* Learns where the replica in this place is. */
static int learn(struct kona_pool *pool, unsigned int node, const struct place *place,
		 uint64_t deadline_ns)
{
	struct kona_pool_slab *slab = &pool->slabs[place->slab];
	struct kona_data_exposed exposed;
	int rc = ask(pool, node, place->slab, &exposed);

	if (rc)
		return rc; /* a link that broke tells the next read by a link */
	rc = open_way(pool, node, &exposed, deadline_ns);
	if (rc)
		return rc;
	slab->exposed[place->slot].base = exposed.base;
	slab->exposed[place->slot].key = exposed.key;
	kona_store_release(&slab->exposed[place->slot].known, place->turn); /* PL-3: release */
	return 0;
}

/* Finds the slab's place at the node, and asks for it the first time. */
static int find_place(struct kona_pool *pool, unsigned int node, struct place *place,
		      uint64_t deadline_ns)
{
	int rc = 0;

	if (look(pool, node, place))
		return 0;
	if (place->slot < 0)
		return -EAGAIN;
	pthread_mutex_lock(&pool->expose);
	if (!look(pool, node, place))
		rc = place->slot < 0 ? -EAGAIN : learn(pool, node, place, deadline_ns);
	pthread_mutex_unlock(&pool->expose);
	if (!rc && !look(pool, node, place))
		rc = -EAGAIN; /* it has moved */
	return rc;
}

/* --- reading -----------------------------------------------------------------------------------*/

static size_t cut(const struct kona_link_piece *piece, const struct place *place,
		  struct kona_fabric_piece *ret_reads)
{
	size_t count = 0;

	for (uint32_t at = 0; at < piece->size_bytes; at += KONA_FABRIC_MOST_BYTES) {
		uint32_t left_bytes = piece->size_bytes - at;

		ret_reads[count++] = (struct kona_fabric_piece){
			.from = place->base + piece->offset_bytes + at,
			.key = place->key,
			.buffer = piece->buffer + at,
			.size_bytes = left_bytes < KONA_FABRIC_MOST_BYTES ? left_bytes
									  : KONA_FABRIC_MOST_BYTES,
		};
	}
	return count;
}

int kona_pool_read_fabric(struct kona_pool *pool, unsigned int node,
			  const struct kona_link_piece *pieces, size_t count)
{
	uint64_t most_ns = kona_now_ns() + KONA_POOL_FABRIC_MS * MS, total_bytes = 0;
	uint64_t deadline_ns =
		kona_pool_deadline_ns(kona_pool_word(pool, pieces[0].handle), node, kona_now_ns());
	struct kona_fabric_piece reads[MOST_READS];
	struct place places[KONA_DATA_MOST_PIECES];
	size_t read_count = 0;
	int rc;

	if (kona_load_acquire(&pool->nodes[node].way) == KONA_POOL_WAY_CLOSED) /* PL-3 */
		return -EOPNOTSUPP;
	if (deadline_ns > most_ns)
		deadline_ns = most_ns;
	for (size_t i = 0; i < count; i++) {
		places[i] = (struct place){.slab = pieces[i].handle};
		rc = find_place(pool, node, &places[i], deadline_ns);
		if (rc)
			return rc;
		read_count += cut(&pieces[i], &places[i], reads + read_count);
		total_bytes += pieces[i].size_bytes;
	}
	rc = kona_fabric_read(pool->fabric, pool->nodes[node].peer, reads, read_count, deadline_ns);
	if (rc)
		set_way(pool, node, KONA_POOL_WAY_CLOSED);
	for (size_t i = 0; i < count && !rc; i++)
		if (!stayed(pool, node, &places[i]))
			rc = -EAGAIN;
	if (!rc && pool->one_sided_bytes)
		/* relaxed: a counter */
		kona_add_relaxed(pool->one_sided_bytes, total_bytes);
	return rc;
}
