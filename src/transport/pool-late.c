/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nodes that do not answer in time: dead, cut off, or only slow. Of what another node has all of,
 * nobody needs to know which: the late one is given up there. What only the late one has stays, and
 * is waited for longer; so a pause of a second node costs nothing while a first one is replaced.
 *
 * State: the words, and when a node was late. What can fail: nothing.
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/atomic.h"
#include "transport/pool-internal.h"

#define MS UINT64_C(1000000)

enum {
	LATE_MS = 2000, /* so long nothing new is begun there */
	SLACK_MS = 500, /* who mends does not begin an attempt that late */
};

uint64_t kona_pool_deadline_ns(uint64_t word, unsigned int node, uint64_t begun_ns)
{
	int slot = kona_pool_find_slot(word, node);
	uint64_t others = slot < 0 ? word : kona_pool_clear_slot(word, (unsigned int)slot), wait_ms;

	if (kona_pool_count_full(others))
		wait_ms = KONA_POOL_PATIENCE_MS;
	else
		wait_ms = kona_pool_is_kept(others) ? KONA_POOL_COPY_MS : KONA_POOL_DEADLINE_MS;
	return begun_ns + wait_ms * MS;
}

/* All on other nodes, too? By a CAS that sees them: of two late nodes one keeps it. */
static bool give_up_spare(struct kona_pool *pool, uint64_t slab, unsigned int node)
{
	uint64_t word = kona_pool_word(pool, slab), rest;
	int slot;

	do {
		slot = kona_pool_find_slot(word, node);
		if (slot < 0 || kona_pool_is_dead(word, (unsigned int)slot))
			return true;
		rest = kona_pool_clear_slot(word, (unsigned int)slot);
		if (!kona_pool_count_full(rest))
			return false;
		rest |= kona_pool_make_slot((unsigned int)slot, node, KONA_POOL_UNTOLD);
		/* PL-1: release */
	} while (!kona_cas_acq_rel(&pool->slabs[slab].word, &word, rest));
	return true;
}

static void tell_of(struct kona_pool *pool, uint32_t used, unsigned int node)
{
	for (uint32_t slab = 0; slab < used; slab++) {
		int slot = kona_pool_find_slot(kona_pool_word(pool, slab), node);

		if (slot >= 0 && !kona_pool_tell(pool, slab, (unsigned int)slot))
			return; /* it stays untold, which is looked for */
	}
}

static void pass_over(struct kona_pool *pool, unsigned int node)
{
	uint32_t used = kona_load_acquire(&pool->used_slabs); /* PL-1 */
	bool stays = false;

	for (uint32_t slab = 0; slab < used; slab++)
		stays |= !give_up_spare(pool, slab, node);
	if (!stays) {
		kona_pool_kill_node(pool, node);
		return;
	}
	/* relaxed: a hint */
	kona_store_relaxed(&pool->nodes[node].late_ns, kona_now_ns());
	/* Whoever waits there for what others have, too, need not. */
	for (int i = 0; i < KONA_POOL_LINKS; i++)
		shutdown(pool->nodes[node].links[i].socket, SHUT_RDWR);
	tell_of(pool, used, node);
}

void kona_pool_failed(struct kona_pool *pool, unsigned int node, int error)
{
	if (error == -ETIMEDOUT && !pool->is_child && kona_pool_is_live(pool, node))
		pass_over(pool, node);
	else
		kona_pool_kill_node(pool, node);
}

void kona_pool_expire(struct kona_pool *pool, uint64_t slab, unsigned int node, uint64_t begun_ns)
{
	uint64_t word = kona_pool_word(pool, slab);

	if (kona_now_ns() + SLACK_MS * MS >= kona_pool_deadline_ns(word, node, begun_ns))
		kona_pool_kill_replica(pool, slab, node);
}

bool kona_pool_is_late(struct kona_pool *pool, unsigned int node)
{
	uint64_t late_ns = kona_load_relaxed(&pool->nodes[node].late_ns); /* relaxed: a hint */

	return late_ns && kona_now_ns() - late_ns < LATE_MS * MS;
}
