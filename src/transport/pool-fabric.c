/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool's one-sided reads and writes (pool -> fabric). Where a replica stands in its node's
 * memory, and the key to it, are asked of the node over a link, once; so is the ring for logs.
 *
 * A key may open something else once its slab is gone. A node drops a slab only after this program
 * has said that it does not use it any more, which it says after the slab's word has changed: so
 * what was read counts only if the replica is still in its place afterwards. Only full replicas are
 * read; a copy's node knows better, and is asked over a link.
 *
 * Logs go to the ring of the node, not to the slab: the node checks and applies them. They are told
 * of by the link that would carry them, so all that is true of logs there is true here.
 *
 * State: the slots' bases and keys, the nodes' ways and realms. Locks: `expose`, then a link's.
 * What can fail: everything, and then a link is used instead: for good, if the network failed.
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
static_assert((int)KONA_OFI_NAME_BYTES == (int)KONA_DATA_PROVIDER_BYTES, "names pass through");

/* Where a piece was found. */
struct place {
	uint32_t slab, turn;
	int slot;
	uint64_t base, key, peer;
};

void kona_pool_use_fabric(struct kona_pool *pool, struct kona_fabric *fabric,
			  const struct kona_pool_counters *counters)
{
	pool->fabric = fabric;
	pool->staging = fabric ? fabric->staging : pool->own_staging;
	if (counters)
		pool->counters = *counters;
}

static void count(uint64_t *counter, uint64_t bytes)
{
	if (counter)
		kona_add_relaxed(counter, bytes); /* relaxed: a counter */
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
	place->peer = slab->exposed[place->slot].peer;
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

void kona_pool_close_way(struct kona_pool *pool, unsigned int node)
{
	set_way(pool, node, KONA_POOL_WAY_CLOSED);
}

static bool is_closed(struct kona_pool *pool, unsigned int node)
{
	return kona_load_acquire(&pool->nodes[node].way) == KONA_POOL_WAY_CLOSED; /* PL-3 */
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
		kona_pool_close_way(pool, node);
	pthread_mutex_unlock(&link->lock);
	return rc;
}

/* Opens the way to our realm at the node, which an answer shows. */
static int open_way(struct kona_pool *pool, unsigned int node,
		    const struct kona_data_exposed *exposed, uint64_t deadline_ns)
{
	struct kona_pool_realm *realm = &pool->nodes[node].realm;
	int rc = 0;

	if (!realm->is_known || memcmp(realm->address, exposed->address, sizeof(realm->address)))
		rc = kona_fabric_add_peer(pool->fabric, exposed->address, exposed->address_bytes,
					  deadline_ns, &realm->peer);
	realm->is_known = !rc;
	realm->has_ring = !rc && exposed->ring_bytes >= KONA_POOL_STAGING_BYTES;
	realm->ring_base = exposed->ring_base;
	realm->ring_key = exposed->ring_key;
	memcpy(realm->address, exposed->address, sizeof(realm->address));
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
	slab->exposed[place->slot].peer = pool->nodes[node].realm.peer;
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
			.there = place->base + piece->offset_bytes + at,
			.key = place->key,
			.buffer = piece->buffer + at,
			.size_bytes = left_bytes < KONA_FABRIC_MOST_BYTES ? left_bytes
									  : KONA_FABRIC_MOST_BYTES,
		};
	}
	return count;
}

int kona_pool_read_fabric(struct kona_pool *pool, unsigned int node,
			  const struct kona_link_piece *pieces, size_t piece_count)
{
	uint64_t most_ns = kona_now_ns() + KONA_POOL_FABRIC_MS * MS, total_bytes = 0;
	uint64_t deadline_ns =
		kona_pool_deadline_ns(kona_pool_word(pool, pieces[0].handle), node, kona_now_ns());
	struct kona_fabric_piece reads[MOST_READS];
	struct place places[KONA_DATA_MOST_PIECES];
	uint64_t peer = 0;
	size_t read_count = 0;
	int rc;

	if (is_closed(pool, node))
		return -EOPNOTSUPP;
	if (deadline_ns > most_ns)
		deadline_ns = most_ns;
	for (size_t i = 0; i < piece_count; i++) {
		places[i] = (struct place){.slab = pieces[i].handle};
		rc = find_place(pool, node, &places[i], deadline_ns);
		/* Our realm may have moved: not both by one request. */
		if (!rc && i && places[i].peer != peer)
			rc = -EAGAIN;
		if (rc)
			return rc;
		peer = places[i].peer;
		read_count += cut(&pieces[i], &places[i], reads + read_count);
		total_bytes += pieces[i].size_bytes;
	}
	rc = kona_fabric_read(pool->fabric, peer, reads, read_count, deadline_ns);
	if (rc)
		kona_pool_close_way(pool, node);
	for (size_t i = 0; i < piece_count && !rc; i++)
		if (!stayed(pool, node, &places[i]))
			rc = -EAGAIN;
	if (!rc)
		count(pool->counters.read_bytes, total_bytes);
	return rc;
}

/* --- writing -----------------------------------------------------------------------------------*/

/* The realm that the slab is in there, if logs for it can go to a ring. */
static bool find_realm(struct kona_pool *pool, unsigned int node, uint32_t slab,
		       uint64_t deadline_ns, struct kona_pool_realm *ret_realm)
{
	struct place place = {.slab = slab};
	uint64_t word = kona_pool_word(pool, slab);
	int slot = kona_pool_find_slot(word, node);

	/* A copy is in no realm. */
	if (slot < 0 || kona_pool_slot_state(word, (unsigned int)slot) != KONA_POOL_FULL ||
	    find_place(pool, node, &place, deadline_ns))
		return false;
	pthread_mutex_lock(&pool->expose);
	*ret_realm = pool->nodes[node].realm;
	pthread_mutex_unlock(&pool->expose);
	return ret_realm->has_ring && ret_realm->peer == place.peer;
}

uint64_t kona_pool_push(struct kona_pool *pool, unsigned int node, uint64_t writes)
{
	struct kona_fabric_piece pieces[KONA_POOL_MOST_LOGS];
	/* Half of the time, so that the link still has some when this fails. */
	uint64_t deadline_ns = kona_now_ns() + KONA_POOL_PATIENCE_MS * MS / 2;
	uint64_t pushed = 0, total_bytes = 0;
	struct kona_pool_realm realm = {.has_ring = false}, found;
	size_t piece_count = 0;

	if (!pool->fabric || is_closed(pool, node))
		return 0;
	for (uint64_t left = writes; left; left &= left - 1) {
		const struct kona_pool_write *write = &pool->writes[__builtin_ctzll(left)];

		/* Our realm may have moved: not to both at once. */
		if (write->type != KONA_DATA_LOG ||
		    !find_realm(pool, node, write->slab, deadline_ns, &found) ||
		    (pushed && found.peer != realm.peer))
			continue;
		realm = found;
		pieces[piece_count++] = (struct kona_fabric_piece){
			.there = realm.ring_base + (uint64_t)(write->body - pool->staging),
			.key = realm.ring_key,
			.buffer = (char *)write->body,
			.size_bytes = (uint32_t)write->size_bytes,
		};
		total_bytes += write->size_bytes;
		pushed |= left & -left;
	}
	if (!pushed)
		return 0;
	if (kona_fabric_write(pool->fabric, realm.peer, pieces, piece_count, deadline_ns)) {
		kona_pool_close_way(pool, node);
		return 0;
	}
	count(pool->counters.written_bytes, total_bytes);
	return pushed;
}
