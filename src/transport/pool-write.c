/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool's writes: gather -> stage -> send to every replica -> wait for all of them.
 *
 * Dirty lines are gathered into logs, one per slab and 256 pages, in the staging buffer; when that
 * is full, or at the end, each node gets its logs, back to back, and only then is waited for: by
 * its link, or in its ring, of which the link then tells. A node that fails is dropped; what counts
 * is that one replica has it.
 *
 * State: the staging buffer and each slab's sequence. Locks: the write lock, then a link's. What
 * can fail: all replicas of a slab (-EIO).
 */
#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "transport/pool-internal.h"

/* What this call costs. */
struct bill {
	uint64_t wire_bytes, system_calls;
};

/* --- sending -----------------------------------------------------------------------------------*/

static bool goes_to(uint64_t word, unsigned int node)
{
	for (unsigned int slot = 0; slot < KONA_POOL_MOST_REPLICAS; slot++) {
		enum kona_pool_state state = kona_pool_slot_state(word, slot);

		if (kona_pool_slot_node(word, slot) == (int)node &&
		    (state == KONA_POOL_FULL || state == KONA_POOL_COPYING))
			return true;
	}
	return false;
}

/* Those of the staged writes that go to this node, as bits. */
static uint64_t writes_for(struct kona_pool *pool, unsigned int node)
{
	uint64_t mine = 0;

	for (size_t i = 0; i < pool->write_count; i++)
		if (goes_to(kona_pool_word(pool, pool->writes[i].slab), node))
			mine |= UINT64_C(1) << i;
	return mine;
}

/* The least patient of the writes. */
static uint64_t deadline_of(struct kona_pool *pool, uint64_t mine, unsigned int node,
			    uint64_t begun_ns)
{
	uint64_t least_ns = UINT64_MAX;

	for (; mine; mine &= mine - 1) {
		uint32_t slab = pool->writes[__builtin_ctzll(mine)].slab;
		uint64_t deadline_ns =
			kona_pool_deadline_ns(kona_pool_word(pool, slab), node, begun_ns);

		if (deadline_ns < least_ns)
			least_ns = deadline_ns;
	}
	return least_ns;
}

/* On a connection that is new: names the slabs. Takes those out that the node does not have. */
static int open_for(struct kona_pool *pool, unsigned int node, uint64_t *mine, uint64_t deadline_ns)
{
	struct kona_link *link = &pool->nodes[node].links[0];

	for (uint64_t left = *mine; left; left &= left - 1) {
		uint32_t slab = pool->writes[__builtin_ctzll(left)].slab;
		int rc = kona_pool_ensure_open(pool, slab, node, link, deadline_ns);

		if (rc == -EREMOTEIO)
			kona_pool_kill_replica(pool, slab, node);
		if (rc == -EREMOTEIO || rc == -EAGAIN)
			*mine &= ~(left & -left);
		else if (rc)
			return rc;
	}
	return 0;
}

static int tell_of(struct kona_pool *pool, struct kona_link *link,
		   const struct kona_pool_write *write, uint64_t deadline_ns, struct bill *bill)
{
	struct kona_data_pushed pushed = {
		.at_bytes = (uint32_t)(write->body - pool->staging),
		.size_bytes = (uint32_t)write->size_bytes,
	};

	memcpy(&pushed.header, write->body, sizeof(pushed.header));
	bill->wire_bytes += sizeof(pushed);
	return kona_link_send(link, KONA_DATA_PUSHED, &pushed, sizeof(pushed), deadline_ns);
}

static int send_to(struct kona_pool *pool, unsigned int node, uint64_t *mine, uint64_t begun_ns,
		   struct bill *bill)
{
	struct kona_link *link = &pool->nodes[node].links[0];
	uint64_t deadline_ns = deadline_of(pool, *mine, node, begun_ns), pushed;
	int rc = open_for(pool, node, mine, deadline_ns);

	if (rc)
		return rc;
	pushed = kona_pool_push(pool, node, *mine);
	pool->nodes[node].pushed = pushed;
	for (uint64_t left = *mine; left && !rc; left &= left - 1) {
		const struct kona_pool_write *write = &pool->writes[__builtin_ctzll(left)];

		if (pushed & left & -left)
			rc = tell_of(pool, link, write, deadline_ns, bill);
		else
			rc = kona_link_send(link, write->type, write->body, write->size_bytes,
					    deadline_ns);
		bill->wire_bytes += sizeof(struct kona_data_header) + write->size_bytes;
	}
	return rc;
}

/*
 * Counts who has it; refusals cost the replica. -EAGAIN: it refuses what stands in its ring, and is
 * to get it by the link.
 */
static int wait_for(struct kona_pool *pool, unsigned int node, uint64_t mine, uint64_t begun_ns)
{
	struct kona_link *link = &pool->nodes[node].links[0];
	uint64_t refused = 0;
	int rc;

	if (!mine)
		return 0;
	rc = kona_link_wait(link, (uint32_t)__builtin_popcountll(mine), &refused,
			    deadline_of(pool, mine, node, begun_ns));
	if (rc && rc != -EREMOTEIO)
		return rc;
	if (rc && pool->nodes[node].pushed) {
		kona_pool_close_way(pool, node);
		return -EAGAIN;
	}
	for (; mine; mine &= mine - 1, refused >>= 1) {
		struct kona_pool_write *write = &pool->writes[__builtin_ctzll(mine)];

		if (refused & 1)
			kona_pool_kill_replica(pool, write->slab, node);
		else
			write->stored++;
	}
	return 0;
}

/* Sends to the node, over a new connection where the old one broke. */
static int send_surely(struct kona_pool *pool, unsigned int node, uint64_t *mine, uint64_t begun_ns,
		       struct bill *bill)
{
	struct kona_link *link = &pool->nodes[node].links[0];
	struct kona_pool_mending mending = {deadline_of(pool, *mine, node, begun_ns), 0};
	int rc;

	do
		rc = send_to(pool, node, mine, begun_ns, bill);
	while (rc && !(rc = kona_pool_mend(pool, node, link, rc, &mending)));
	return rc;
}

/* Waits for the node; what it may not have got before a connection broke is sent again. */
static int wait_surely(struct kona_pool *pool, unsigned int node, uint64_t mine, uint64_t begun_ns,
		       struct bill *bill)
{
	struct kona_link *link = &pool->nodes[node].links[0];
	struct kona_pool_mending mending = {deadline_of(pool, mine, node, begun_ns), 0};
	int rc = wait_for(pool, node, mine, begun_ns);

	while (rc == -EAGAIN || (rc && !(rc = kona_pool_mend(pool, node, link, rc, &mending)))) {
		rc = send_to(pool, node, &mine, begun_ns, bill);
		if (!rc)
			rc = wait_for(pool, node, mine, begun_ns);
	}
	return rc;
}

/* The node failed. What is left to do there: writes of slabs that it may still have alone. */
static uint64_t after_failure(struct kona_pool *pool, unsigned int node, uint64_t mine, int error,
			      uint64_t begun_ns)
{
	kona_pool_failed(pool, node, error);
	for (uint64_t left = mine; left; left &= left - 1)
		kona_pool_expire(pool, pool->writes[__builtin_ctzll(left)].slab, node, begun_ns);
	return kona_pool_is_live(pool, node) ? mine & writes_for(pool, node) : 0;
}

/* Sends all that is staged, and waits until it is stored. */
static int flush(struct kona_pool *pool, struct bill *bill)
{
	uint32_t nodes = kona_load_relaxed(&pool->node_count); /* relaxed: write lock */
	uint64_t mine[KONA_POOL_MOST_NODES], begun_ns;
	int rc = 0;

	if (!pool->write_count)
		return 0;
	for (unsigned int i = 0; i < nodes; i++) {
		struct kona_link *link = &pool->nodes[i].links[0];
		uint64_t calls;

		mine[i] = kona_pool_is_live(pool, i) ? writes_for(pool, i) : 0;
		if (!mine[i])
			continue;
		pthread_mutex_lock(&link->lock);
		calls = link->calls;
		begun_ns = kona_now_ns();
		while (mine[i]) {
			rc = send_surely(pool, i, &mine[i], begun_ns, bill);
			if (!rc)
				break;
			mine[i] = after_failure(pool, i, mine[i], rc, begun_ns);
		}
		if (!mine[i])
			pthread_mutex_unlock(&link->lock);
		bill->system_calls += link->calls - calls;
	}
	for (unsigned int i = 0; i < nodes; i++) {
		struct kona_link *link = &pool->nodes[i].links[0];
		uint64_t calls;

		if (!mine[i])
			continue;
		calls = link->calls;
		begun_ns = kona_now_ns();
		while (mine[i]) {
			rc = wait_surely(pool, i, mine[i], begun_ns, bill);
			if (!rc)
				break;
			mine[i] = after_failure(pool, i, mine[i], rc, begun_ns);
		}
		bill->system_calls += link->calls - calls;
		pthread_mutex_unlock(&link->lock);
	}
	/* A node that was passed over, for it was dead, must not be read from now on. */
	for (size_t i = 0; i < pool->write_count; i++)
		kona_pool_bury(pool, pool->writes[i].slab);
	rc = 0;
	for (size_t i = 0; i < pool->write_count; i++)
		if (!pool->writes[i].stored ||
		    !kona_pool_is_kept(kona_pool_word(pool, pool->writes[i].slab)))
			rc = -EIO;
	pool->write_count = pool->staged_bytes = 0;
	return rc;
}

/* --- staging -----------------------------------------------------------------------------------*/

/* Room for one more write of at most this size. Returns it; NULL with -errno in *ret_rc. */
static char *stage(struct kona_pool *pool, size_t size_bytes, struct bill *bill, int *ret_rc)
{
	*ret_rc = 0;
	if (pool->write_count == KONA_POOL_MOST_LOGS ||
	    pool->staged_bytes + size_bytes > KONA_POOL_STAGING_BYTES)
		*ret_rc = flush(pool, bill);
	return *ret_rc ? NULL : pool->staging + pool->staged_bytes;
}

static void staged(struct kona_pool *pool, uint64_t slab, enum kona_data_type type,
		   size_t size_bytes, uint32_t stored)
{
	pool->writes[pool->write_count++] = (struct kona_pool_write){
		.slab = (uint32_t)slab,
		.type = type,
		.body = pool->staging + pool->staged_bytes,
		.size_bytes = size_bytes,
		.stored = stored,
	};
	pool->staged_bytes += size_bytes;
}

/* Pages of one slab: stored at home where that is local, and staged for the others. */
static int write_slab(struct kona_pool *pool, uint64_t slab, const struct kona_dirty_page *pages,
		      size_t count, struct bill *bill)
{
	uint64_t word = kona_pool_word(pool, slab);
	bool local = !word || kona_pool_is_local(word);
	struct kona_log_header header = {.slab = pool->slabs[slab].id, .handle = (uint32_t)slab};
	size_t lines = 0;
	char *to;
	int rc = 0;

	if (local)
		rc = pool->local.ops->write_lines(&pool->local, pages, count, &bill->wire_bytes,
						  &bill->system_calls);
	if (rc || !kona_pool_is_remote(word))
		return rc;
	for (size_t i = 0; i < count; i++) {
		pool->gathered[i] = (struct kona_log_page){
			.page = (uint32_t)(pages[i].offset_bytes % pool->slab_bytes /
					   KONA_PAGE_BYTES),
			.mask = pages[i].mask,
			.content = pages[i].content,
		};
		lines += (size_t)__builtin_popcountll(pages[i].mask);
	}
	to = stage(pool, kona_log_bytes(count, lines), bill, &rc);
	if (!to)
		return rc;
	header.sequence = ++pool->slabs[slab].sequence;
	staged(pool, slab, KONA_DATA_LOG, kona_log_encode(to, &header, pool->gathered, count),
	       local);
	return 0;
}

/* How many of the pages stand in one slab, and fit into one log. */
static size_t same_slab(struct kona_pool *pool, const struct kona_dirty_page *pages, size_t count)
{
	uint64_t slab = pages[0].offset_bytes / pool->slab_bytes;
	size_t same = 1;

	while (same < count && same < KONA_LOG_MOST_PAGES &&
	       pages[same].offset_bytes / pool->slab_bytes == slab)
		same++;
	return same;
}

int kona_pool_write_lines(struct kona_transport *transport, const struct kona_dirty_page *pages,
			  size_t count, uint64_t *wire_bytes, uint64_t *system_calls)
{
	struct kona_pool *pool = KONA_CONTAINER(transport, struct kona_pool, transport);
	struct bill bill = {0, 0};
	int rc = 0;

	pthread_mutex_lock(&pool->write);
	while (count && !rc) {
		size_t same = same_slab(pool, pages, count);
		uint64_t slab = pages[0].offset_bytes / pool->slab_bytes;

		rc = slab < pool->most_slabs ? write_slab(pool, slab, pages, same, &bill) : -EIO;
		pages += same;
		count -= same;
	}
	if (!rc)
		rc = flush(pool, &bill);
	pool->write_count = pool->staged_bytes = 0;
	pthread_mutex_unlock(&pool->write);
	*wire_bytes += bill.wire_bytes;
	*system_calls += bill.system_calls;
	return rc;
}

static int discard_in_slab(struct kona_pool *pool, uint64_t offset_bytes, uint64_t size_bytes,
			   struct bill *bill)
{
	uint64_t slab = offset_bytes / pool->slab_bytes;
	uint64_t word = slab < pool->most_slabs ? kona_pool_word(pool, slab) : 0;
	bool local = !word || kona_pool_is_local(word);
	struct kona_data_discard discard = {
		.handle = (uint32_t)slab,
		.offset_bytes = offset_bytes % pool->slab_bytes,
		.size_bytes = size_bytes,
	};
	char *to;
	int rc = 0;

	if (local)
		rc = pool->local.ops->discard(&pool->local, offset_bytes, size_bytes);
	if (rc || !kona_pool_is_remote(word))
		return rc;
	to = stage(pool, sizeof(discard), bill, &rc);
	if (!to)
		return rc;
	discard.sequence = ++pool->slabs[slab].sequence;
	memcpy(to, &discard, sizeof(discard));
	staged(pool, slab, KONA_DATA_DISCARD, sizeof(discard), local);
	return 0;
}

int kona_pool_discard(struct kona_transport *transport, uint64_t offset_bytes, uint64_t size_bytes)
{
	struct kona_pool *pool = KONA_CONTAINER(transport, struct kona_pool, transport);
	struct bill bill = {0, 0};
	int rc = 0;

	pthread_mutex_lock(&pool->write);
	while (size_bytes && !rc) {
		uint64_t part = pool->slab_bytes - offset_bytes % pool->slab_bytes;

		if (part > size_bytes)
			part = size_bytes;
		rc = discard_in_slab(pool, offset_bytes, part, &bill);
		offset_bytes += part;
		size_bytes -= part;
	}
	if (!rc)
		rc = flush(pool, &bill);
	pool->write_count = pool->staged_bytes = 0;
	pthread_mutex_unlock(&pool->write);
	return rc;
}
