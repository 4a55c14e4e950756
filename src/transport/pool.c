/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool's reads, and its beginning.
 *
 * Pieces that stand on one node travel together, up to 64 in one round trip; a read link that is
 * free is taken, and names a slab to the node before its first use of it. When a node fails, the
 * same pieces are read elsewhere.
 *
 * State: pool.h. Locks: a link's, while it is used; never two. What can fail: all replicas (-EIO).
 */
#include "transport/pool-internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"

enum {
	NAMES_BYTES = KONA_POOL_MOST_NODES * sizeof(struct kona_pool_name),
	LOCAL_MEMORY = -1,
	NOBODY = -2,
};

static int find_replica(struct kona_pool *pool, uint64_t slab, uint64_t word,
			enum kona_pool_state state)
{
	for (unsigned int i = 0; i < KONA_POOL_MOST_REPLICAS; i++) {
		unsigned int slot = (unsigned int)((slab + i) % KONA_POOL_MOST_REPLICAS);

		if (kona_pool_slot_state(word, slot) == state &&
		    kona_pool_is_live(pool, (unsigned int)kona_pool_slot_node(word, slot)))
			return kona_pool_slot_node(word, slot);
	}
	return NOBODY;
}

/* The node that is to be read; LOCAL_MEMORY; NOBODY. */
static int choose(struct kona_pool *pool, uint64_t slab, uint64_t word)
{
	int node;

	if (!word || kona_pool_is_local(word))
		return LOCAL_MEMORY; /* shm says -EIO for what is not there */
	node = find_replica(pool, slab, word, KONA_POOL_FULL);
	/* A copy may have become whole just now: its node knows, and refuses if not. */
	return node == NOBODY ? find_replica(pool, slab, word, KONA_POOL_COPYING) : node;
}

/* Cuts the next part of a piece off: it ends with its slab. */
static size_t next_part(struct kona_pool *pool, const struct kona_read *reads,
			const struct kona_pool_cursor *at, struct kona_link_piece *ret_part)
{
	const struct kona_read *read = &reads[at->index];
	uint64_t offset_bytes = read->offset_bytes + at->done_bytes;
	uint64_t within = offset_bytes % pool->slab_bytes;
	size_t part = read->size_bytes - at->done_bytes;

	if (part > pool->slab_bytes - within)
		part = pool->slab_bytes - within;
	if (part > KONA_DATA_MOST_READ_BYTES)
		part = KONA_DATA_MOST_READ_BYTES;
	*ret_part = (struct kona_link_piece){
		.handle = (uint32_t)(offset_bytes / pool->slab_bytes),
		.size_bytes = (uint32_t)part,
		.offset_bytes = within,
		.buffer = (char *)read->buffer + at->done_bytes,
	};
	return part;
}

static void advance(const struct kona_read *reads, struct kona_pool_cursor *at, size_t part_bytes)
{
	at->done_bytes += part_bytes;
	if (at->done_bytes == reads[at->index].size_bytes)
		*at = (struct kona_pool_cursor){at->index + 1, 0};
}

/* Is the part the end of the piece before, here and there? Then they are one. */
static bool continues(const struct kona_link_piece *before, const struct kona_link_piece *part)
{
	return before->handle == part->handle &&
	       before->offset_bytes + before->size_bytes == part->offset_bytes &&
	       before->buffer + before->size_bytes == part->buffer;
}

int kona_pool_fill(struct kona_pool *pool, const struct kona_read *reads, size_t count,
		   struct kona_pool_cursor *at, struct kona_pool_batch *batch)
{
	batch->count = batch->total_bytes = 0;
	while (at->index < count && batch->count < KONA_DATA_MOST_PIECES) {
		struct kona_link_piece *part = &batch->pieces[batch->count];
		size_t bytes = next_part(pool, reads, at, part);
		uint64_t word;
		int node;

		if (part->handle >= pool->most_slabs)
			return -EIO;
		word = kona_pool_word(pool, part->handle);
		node = choose(pool, part->handle, word);
		if (node == NOBODY)
			return -EIO;
		if (batch->count &&
		    (node != batch->node || batch->total_bytes + bytes > KONA_DATA_MOST_READ_BYTES))
			break;
		batch->node = node;
		batch->word = word;
		if (batch->count && continues(part - 1, part))
			part[-1].size_bytes += part->size_bytes;
		else
			batch->count++;
		batch->total_bytes += bytes;
		advance(reads, at, bytes);
	}
	return 0;
}

struct kona_link *kona_pool_take_link(struct kona_pool *pool, unsigned int node)
{
	struct kona_link *links = pool->nodes[node].links, *link;
	/* relaxed: any order will do */
	uint32_t turn = kona_add_relaxed(&pool->nodes[node].turn, 1);

	for (uint32_t i = 0; i < KONA_POOL_LINKS - 1; i++) {
		link = &links[1 + (turn + i) % (KONA_POOL_LINKS - 1)];
		if (link->socket < 0 || pthread_mutex_trylock(&link->lock))
			continue;
		if (!link->flight)
			return link;
		pthread_mutex_unlock(&link->lock);
	}
	link = &links[1 + turn % (KONA_POOL_LINKS - 1)];
	if (link->socket < 0)
		link = &links[1]; /* a forked child's only one, which may not be made yet */
	kona_pool_lock_link(pool, link);
	return link;
}

int kona_pool_open_slabs(struct kona_pool *pool, const struct kona_pool_batch *batch,
			 struct kona_link *link, uint64_t deadline_ns, uint32_t *ret_slab)
{
	int rc = 0;

	for (size_t i = 0; i < batch->count && !rc; i++) {
		*ret_slab = batch->pieces[i].handle;
		rc = kona_pool_ensure_open(pool, *ret_slab, (unsigned int)batch->node, link,
					   deadline_ns);
	}
	return rc;
}

/* *ret_slab: the one that was refused; UINT32_MAX: one of them. */
static int read_on(struct kona_pool *pool, struct kona_pool_batch *batch, struct kona_link *link,
		   uint64_t deadline_ns, uint32_t *ret_slab)
{
	int rc = kona_pool_open_slabs(pool, batch, link, deadline_ns, ret_slab);

	if (rc)
		return rc;
	*ret_slab = UINT32_MAX;
	return kona_link_read(link, batch->pieces, batch->count, deadline_ns);
}

/* Since when a read tries one node. */
struct attempt {
	int node;
	uint64_t begun_ns;
};

static void attempt_on(struct attempt *attempt, int node)
{
	if (attempt->node != node)
		*attempt = (struct attempt){node, kona_now_ns()};
}

/* 0; -EAGAIN: not from this node, or not now: look again who has it. */
static int read_remote(struct kona_pool *pool, struct kona_pool_batch *batch,
		       struct attempt *attempt, uint64_t *system_calls)
{
	unsigned int node = (unsigned int)batch->node;
	uint64_t deadline_ns, calls;
	struct kona_link *link = kona_pool_take_link(pool, node);
	struct kona_pool_mending mending;
	uint32_t slab;
	int rc;

	attempt_on(attempt, batch->node);
	deadline_ns = kona_pool_deadline_ns(batch->word, node, attempt->begun_ns);
	mending = (struct kona_pool_mending){deadline_ns, 0};
	calls = link->calls;
	do
		rc = read_on(pool, batch, link, deadline_ns, &slab);
	while (rc && !(rc = kona_pool_mend(pool, node, link, rc, &mending)));
	*system_calls += link->calls - calls;
	pthread_mutex_unlock(&link->lock);
	if (!rc || rc == -EAGAIN)
		return rc;
	if (rc != -EREMOTEIO)
		kona_pool_failed(pool, node, rc);
	else if (slab != UINT32_MAX)
		kona_pool_kill_replica(pool, slab, node);
	for (size_t i = 0; i < batch->count; i++)
		if (rc != -EREMOTEIO)
			kona_pool_expire(pool, batch->pieces[i].handle, node, attempt->begun_ns);
		else if (slab == UINT32_MAX)
			kona_pool_kill_replica(pool, batch->pieces[i].handle, node);
	return -EAGAIN;
}

static int read_local(struct kona_pool *pool, const struct kona_pool_batch *batch,
		      uint64_t *system_calls)
{
	struct kona_read reads[KONA_DATA_MOST_PIECES];

	for (size_t i = 0; i < batch->count; i++)
		reads[i] = (struct kona_read){
			.offset_bytes = batch->pieces[i].handle * pool->slab_bytes +
					batch->pieces[i].offset_bytes,
			.buffer = batch->pieces[i].buffer,
			.size_bytes = batch->pieces[i].size_bytes,
		};
	return pool->local.ops->read(&pool->local, reads, batch->count, system_calls);
}

static int pool_read(struct kona_transport *transport, const struct kona_read *reads, size_t count,
		     uint64_t *system_calls)
{
	struct kona_pool *pool = KONA_CONTAINER(transport, struct kona_pool, transport);
	struct kona_pool_cursor at = {0, 0};
	struct attempt attempt = {NOBODY, 0};

	/* PL-1: acquire, pairs with the release in kona_pool_grant() */
	if (!kona_load_acquire(&pool->remote))
		return pool->local.ops->read(&pool->local, reads, count, system_calls);
	while (at.index < count) {
		struct kona_pool_cursor next = at;
		struct kona_pool_batch batch;
		int rc = kona_pool_fill(pool, reads, count, &next, &batch);

		if (!rc && batch.node < 0)
			rc = read_local(pool, &batch, system_calls);
		else if (!rc &&
			 (!pool->fabric || kona_pool_read_fabric(pool, (unsigned int)batch.node,
								 batch.pieces, batch.count)))
			rc = read_remote(pool, &batch, &attempt, system_calls);
		if (rc == -EAGAIN)
			continue;
		if (rc)
			return rc;
		at = next;
		attempt.node = NOBODY;
	}
	return 0;
}

static void pool_expect_read(struct kona_transport *transport, uint64_t offset_bytes)
{
	struct kona_pool *pool = KONA_CONTAINER(transport, struct kona_pool, transport);

	pool->local.ops->expect_read(&pool->local, offset_bytes);
}

/* May this replica be given up? Not the last one: it may yet have the other pages. */
static bool is_spare(uint64_t word, unsigned int node)
{
	int slot = kona_pool_find_slot(word, node);

	return slot < 0 || kona_pool_is_kept(kona_pool_clear_slot(word, (unsigned int)slot));
}

static int pool_read_judged(struct kona_transport *transport, uint64_t offset_bytes, char *page,
			    struct kona_judge *judge)
{
	struct kona_pool *pool = KONA_CONTAINER(transport, struct kona_pool, transport);
	const struct kona_read read = {offset_bytes, page, KONA_PAGE_BYTES};
	uint64_t slab = offset_bytes / pool->slab_bytes, system_calls = 0;
	struct attempt attempt = {NOBODY, 0};
	bool here = true; /* the copy on this host was not refused yet */

	for (;;) {
		uint64_t word = kona_pool_word(pool, slab);
		uint64_t others = here ? word : word & ~KONA_POOL_LOCAL;
		struct kona_pool_batch batch = {.node = here || others ? choose(pool, slab, others)
								       : NOBODY,
						.word = word,
						.count = 1};
		int rc = -EBADMSG;

		if (batch.node == NOBODY)
			return rc;
		next_part(pool, &read, &(struct kona_pool_cursor){0, 0}, &batch.pieces[0]);
		rc = batch.node < 0 ? read_local(pool, &batch, &system_calls)
				    : read_remote(pool, &batch, &attempt, &system_calls);
		if (rc == -EAGAIN)
			continue;
		if (rc)
			return rc;
		if (judge->is_right(judge, page,
				    batch.node < 0 ? "this host" : pool->names[batch.node].name))
			return 0;
		if (batch.node < 0)
			here = false;
		else if (is_spare(others, (unsigned int)batch.node))
			kona_pool_kill_replica(pool, slab, (unsigned int)batch.node);
		else
			return -EBADMSG;
	}
}

static void pool_expect_guards(struct kona_transport *transport)
{
	struct kona_pool *pool = KONA_CONTAINER(transport, struct kona_pool, transport);

	if (pool->local.ops->expect_guards)
		pool->local.ops->expect_guards(&pool->local);
}

static void pool_close(struct kona_transport *transport)
{
	struct kona_pool *pool = KONA_CONTAINER(transport, struct kona_pool, transport);

	for (uint32_t i = 0; i < pool->node_count; i++)
		for (int j = 0; j < KONA_POOL_LINKS; j++) {
			pool->hooks.close(pool->nodes[i].links[j].socket);
			kona_link_destroy(&pool->nodes[i].links[j]);
		}
	pool->local.ops->close(&pool->local);
	munmap(pool->slabs, pool->most_slabs * sizeof(*pool->slabs));
	munmap(pool->names, NAMES_BYTES);
	munmap(pool->own_staging, KONA_POOL_STAGING_BYTES);
	munmap(pool->opened, kona_pool_opened_bytes(pool));
	pthread_mutex_destroy(&pool->write);
	pthread_mutex_destroy(&pool->expose);
}

static const struct kona_transport_ops pool_ops = {
	.name = "pool",
	.read = pool_read,
	.may_begin = kona_pool_may_begin,
	.begin_read = kona_pool_begin_read,
	.end_read = kona_pool_end_read,
	.write_lines = kona_pool_write_lines,
	.discard = kona_pool_discard,
	.read_judged = pool_read_judged,
	.expect_guards = pool_expect_guards,
	.expect_read = pool_expect_read,
	.close = pool_close,
};

static void *reserve(size_t bytes, int kind)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    kind | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* All memory that the pool will ever want: later, mappings are the program's. */
static int reserve_all(struct kona_pool *pool)
{
	size_t slabs_bytes = pool->most_slabs * sizeof(*pool->slabs);

	pool->slabs = reserve(slabs_bytes, MAP_SHARED);
	pool->names = reserve(NAMES_BYTES, MAP_SHARED);
	pool->own_staging = reserve(KONA_POOL_STAGING_BYTES, MAP_PRIVATE);
	pool->staging = pool->own_staging;
	pool->opened = reserve(kona_pool_opened_bytes(pool), MAP_PRIVATE);
	if (pool->slabs && pool->names && pool->own_staging && pool->opened)
		return 0;
	if (pool->slabs)
		munmap(pool->slabs, slabs_bytes);
	if (pool->names)
		munmap(pool->names, NAMES_BYTES);
	if (pool->own_staging)
		munmap(pool->own_staging, KONA_POOL_STAGING_BYTES);
	return -ENOMEM;
}

int kona_pool_init(struct kona_pool *pool, uint64_t slab_bytes, uint64_t most_slabs,
		   const struct kona_pool_hooks *hooks)
{
	int rc;

	memset(pool, 0, sizeof(*pool));
	if (most_slabs > KONA_DATA_MOST_HANDLES)
		return -EINVAL;
	rc = kona_transport_shm_init(&pool->local, slab_bytes, most_slabs);
	if (rc)
		return rc;
	pthread_mutex_init(&pool->write, NULL);
	pthread_mutex_init(&pool->expose, NULL);
	pool->transport.ops = &pool_ops;
	pool->slab_bytes = slab_bytes;
	pool->most_slabs = most_slabs;
	pool->hooks = *hooks;
	rc = reserve_all(pool);
	if (rc)
		pool->local.ops->close(&pool->local);
	return rc;
}

void kona_pool_attach_local(struct kona_pool *pool, uint64_t slab, int descriptor, uint64_t number,
			    bool closes)
{
	kona_transport_shm_attach_one(&pool->local, slab, descriptor, number, closes);
}
