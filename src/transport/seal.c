/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The seal (seal.h): between the engine and whatever reaches the memory nodes.
 *
 * State: the table of versions and tags, the number of the last seal. Locks: `write`, around
 * sealing and the layer below's writing. What can fail: the layer below; a page that is not what
 * left (-EBADMSG).
 *
 * SE-1. A child reads an entry before the page, and again when the page does not open: has the
 * entry changed, then so has the page. The parent makes it UINT64_MAX before the store changes, and
 * gives it its new value when the store has.
 */
#include "transport/seal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "base/units.h"
#include "transport/flight.h"

#define CHANGING UINT64_MAX

struct kona_seal_staging {
	uint64_t seals; /* made so far; the number of the last one. Begins with 1 */
	_Alignas(KONA_PAGE_BYTES) char sealed[KONA_SEAL_BATCH][KONA_PAGE_BYTES];
};

static struct kona_seal *seal_of(struct kona_transport *transport)
{
	return KONA_CONTAINER(transport, struct kona_seal, transport);
}

static struct kona_seal_entry look_up(const struct kona_seal *seal, uint64_t page)
{
	const struct kona_seal_entry *entry = &seal->entries[page];
	struct kona_seal_entry seen;

	/* SE-1: acquire, all three, pair with the releases in settle(): in this order. */
	seen.version = kona_load_acquire(&entry->version);
	seen.tag[0] = kona_load_acquire(&entry->tag[0]);
	seen.tag[1] = kona_load_acquire(&entry->tag[1]);
	return seen;
}

static void settle(struct kona_seal *seal, uint64_t page, const struct kona_seal_entry *value)
{
	struct kona_seal_entry *entry = &seal->entries[page];

	/* SE-1: release, all three: who sees a new tag sees that the version is no more the old. */
	kona_store_release(&entry->tag[0], value->tag[0]);
	kona_store_release(&entry->tag[1], value->tag[1]);
	kona_store_release(&entry->version, value->version);
}

/* --- in ----------------------------------------------------------------------------------------*/

/* Makes of what was read what the program stored. False: that it is not. */
static bool open_page(const struct kona_seal *seal, uint64_t page,
		      const struct kona_seal_entry *seen, char *content)
{
	const struct kona_cipher_name name = {page, seen->version};

	if (seen->version && seen->version != CHANGING) {
		if (kona_cipher_open(seal->cipher, &name, seen->tag, content))
			return true;
		/* SE-1: acquire. When the parent has changed it, the child does not use it. */
		if (kona_load_acquire(&seal->entries[page].version) == seen->version)
			return false;
	}
	memset(content, 0, KONA_PAGE_BYTES);
	return true;
}

/* A page that did not open, while other replicas are asked for it. */
struct second_try {
	struct kona_judge judge;
	const struct kona_seal *seal;
	uint64_t page;
	struct kona_seal_entry seen;
	const char *liar; /* NULL: nobody was found to be one */
};

static bool is_right(struct kona_judge *judge, char *content, const char *node)
{
	struct second_try *again = KONA_CONTAINER(judge, struct second_try, judge);

	if (open_page(again->seal, again->page, &again->seen, content))
		return true;
	if (!again->liar)
		again->liar = node;
	return false;
}

static int try_again(struct kona_seal *seal, uint64_t page, const struct kona_seal_entry *seen,
		     char *content)
{
	struct second_try again = {{is_right}, seal, page, *seen, NULL};
	uint64_t offset_bytes = page * KONA_PAGE_BYTES;
	int rc = -EBADMSG;

	if (seal->below->ops->read_judged)
		rc = seal->below->ops->read_judged(seal->below, offset_bytes, content,
						   &again.judge);
	if (seal->hooks.changed && (!rc || rc == -EBADMSG))
		seal->hooks.changed(seal->hooks.with, offset_bytes, again.liar, rc);
	return rc;
}

/* How far a read has come. */
struct cursor {
	size_t index;	   /* of the piece */
	size_t done_bytes; /* of it */
};

/* Some pages of a read, with what was known of them before they were read. */
struct batch {
	struct kona_read pieces[KONA_SEAL_BATCH];
	size_t count;
	struct kona_seal_entry seen[KONA_SEAL_BATCH]; /* page by page */
};

/* Cuts off as many pages as a batch holds. */
static int fill(const struct kona_seal *seal, const struct kona_read *reads, size_t count,
		struct cursor *at, struct batch *batch)
{
	size_t pages = 0;

	for (batch->count = 0; at->index < count && pages < KONA_SEAL_BATCH; batch->count++) {
		const struct kona_read *read = &reads[at->index];
		uint64_t offset_bytes = read->offset_bytes + at->done_bytes;
		uint64_t page = offset_bytes / KONA_PAGE_BYTES;
		size_t part = read->size_bytes - at->done_bytes;

		if (offset_bytes % KONA_PAGE_BYTES || part % KONA_PAGE_BYTES || !part)
			return -EINVAL;
		if (part > (KONA_SEAL_BATCH - pages) * KONA_PAGE_BYTES)
			part = (KONA_SEAL_BATCH - pages) * KONA_PAGE_BYTES;
		if (page >= seal->pages || part / KONA_PAGE_BYTES > seal->pages - page)
			return -EIO;
		batch->pieces[batch->count] = (struct kona_read){
			offset_bytes, (char *)read->buffer + at->done_bytes, part};
		for (size_t i = 0; i < part / KONA_PAGE_BYTES; i++)
			batch->seen[pages++] = look_up(seal, page + i);
		at->done_bytes += part;
		if (at->done_bytes == read->size_bytes)
			*at = (struct cursor){at->index + 1, 0};
	}
	return 0;
}

static int open_batch(struct kona_seal *seal, const struct batch *batch)
{
	const struct kona_seal_entry *seen = batch->seen;

	for (size_t i = 0; i < batch->count; i++) {
		const struct kona_read *piece = &batch->pieces[i];
		char *content = piece->buffer;

		for (size_t at = 0; at < piece->size_bytes; at += KONA_PAGE_BYTES, seen++) {
			uint64_t page = (piece->offset_bytes + at) / KONA_PAGE_BYTES;
			int rc = 0;

			if (!open_page(seal, page, seen, content + at))
				rc = try_again(seal, page, seen, content + at);
			if (rc)
				return rc;
		}
	}
	return 0;
}

static int seal_read(struct kona_transport *transport, const struct kona_read *reads, size_t count,
		     uint64_t *system_calls)
{
	struct kona_seal *seal = seal_of(transport);
	struct cursor at = {0, 0};
	struct batch batch;

	while (at.index < count) {
		int rc = fill(seal, reads, count, &at, &batch);

		if (!rc)
			rc = seal->below->ops->read(seal->below, batch.pieces, batch.count,
						    system_calls);
		if (!rc)
			rc = open_batch(seal, &batch);
		if (rc)
			return rc;
	}
	return 0;
}

static bool seal_may_begin(struct kona_transport *transport, uint64_t offset_bytes)
{
	struct kona_transport *below = seal_of(transport)->below;

	return below->ops->may_begin && below->ops->may_begin(below, offset_bytes);
}

static int seal_begin_read(struct kona_transport *transport, struct kona_flight *flight,
			   uint64_t *system_calls)
{
	struct kona_transport *below = seal_of(transport)->below;

	return below->ops->begin_read ? below->ops->begin_read(below, flight, system_calls)
				      : -EOPNOTSUPP;
}

/* Nobody writes a page that is being read (a child does not begin flights): what is known of the
 * pages is what was when they were asked for. */
static int seal_end_read(struct kona_transport *transport, struct kona_flight *flight,
			 uint64_t *system_calls)
{
	struct kona_seal *seal = seal_of(transport);
	int rc = seal->below->ops->end_read(seal->below, flight, system_calls);
	struct cursor at = {0, 0};
	struct batch batch;

	while (!rc && at.index < flight->count) {
		rc = fill(seal, flight->reads, flight->count, &at, &batch);
		if (!rc)
			rc = open_batch(seal, &batch);
	}
	return rc;
}

/* --- out ---------------------------------------------------------------------------------------*/

static int write_batch(struct kona_seal *seal, const struct kona_dirty_page *pages, size_t count,
		       uint64_t *wire_bytes, uint64_t *system_calls)
{
	struct kona_seal_staging *staging = seal->staging;
	struct kona_dirty_page sealed[KONA_SEAL_BATCH];
	struct kona_seal_entry entries[KONA_SEAL_BATCH];
	int rc;

	for (size_t i = 0; i < count; i++) {
		uint64_t page = pages[i].offset_bytes / KONA_PAGE_BYTES;
		const struct kona_cipher_name name = {page, staging->seals++};

		if (page >= seal->pages)
			return -EIO;
		entries[i].version = name.version;
		kona_cipher_seal(seal->cipher, &name, pages[i].content, staging->sealed[i],
				 entries[i].tag);
		sealed[i] = (struct kona_dirty_page){pages[i].offset_bytes, UINT64_MAX,
						     staging->sealed[i]};
		/* SE-1: acquire-release: before the store changes. */
		(void)kona_exchange_acq_rel(&seal->entries[page].version, CHANGING);
	}
	rc = seal->below->ops->write_lines(seal->below, sealed, count, wire_bytes, system_calls);
	for (size_t i = 0; i < count && !rc; i++)
		settle(seal, pages[i].offset_bytes / KONA_PAGE_BYTES, &entries[i]);
	return rc;
}

static int seal_write_lines(struct kona_transport *transport, const struct kona_dirty_page *pages,
			    size_t count, uint64_t *wire_bytes, uint64_t *system_calls)
{
	struct kona_seal *seal = seal_of(transport);
	int rc = 0;

	pthread_mutex_lock(&seal->write);
	if (!seal->staging->seals)
		rc = -EPERM; /* a forked child: its versions would be its parent's */
	while (count && !rc) {
		size_t part = count < KONA_SEAL_BATCH ? count : KONA_SEAL_BATCH;

		rc = write_batch(seal, pages, part, wire_bytes, system_calls);
		pages += part;
		count -= part;
	}
	pthread_mutex_unlock(&seal->write);
	return rc;
}

static int seal_discard(struct kona_transport *transport, uint64_t offset_bytes,
			uint64_t size_bytes)
{
	struct kona_seal *seal = seal_of(transport);
	uint64_t first = offset_bytes / KONA_PAGE_BYTES, count = size_bytes / KONA_PAGE_BYTES;

	if (first >= seal->pages || count > seal->pages - first)
		return -EIO;
	for (uint64_t i = 0; i < count; i++)
		/* SE-1: acquire-release: before the store changes. */
		(void)kona_exchange_acq_rel(&seal->entries[first + i].version, 0);
	return seal->below->ops->discard(seal->below, offset_bytes, size_bytes);
}

/* --- beginning and end -------------------------------------------------------------------------*/

static void seal_expect_guards(struct kona_transport *transport)
{
	struct kona_transport *below = seal_of(transport)->below;

	if (below->ops->expect_guards)
		below->ops->expect_guards(below);
}

static void seal_expect_read(struct kona_transport *transport, uint64_t offset_bytes)
{
	struct kona_transport *below = seal_of(transport)->below;

	if (below->ops->expect_read)
		below->ops->expect_read(below, offset_bytes);
}

static void release(struct kona_seal *seal)
{
	if (seal->entries)
		munmap(seal->entries, seal->pages * sizeof(*seal->entries));
	if (seal->staging)
		munmap(seal->staging, sizeof(*seal->staging));
	if (seal->cipher) {
		explicit_bzero(seal->cipher, sizeof(*seal->cipher));
		munmap(seal->cipher, sizeof(*seal->cipher));
	}
	pthread_mutex_destroy(&seal->write);
}

static void seal_close(struct kona_transport *transport)
{
	struct kona_seal *seal = seal_of(transport);

	seal->below->ops->close(seal->below);
	release(seal);
}

static const struct kona_transport_ops seal_ops = {
	.name = "seal",
	.read = seal_read,
	.may_begin = seal_may_begin,
	.begin_read = seal_begin_read,
	.end_read = seal_end_read,
	.write_lines = seal_write_lines,
	.discard = seal_discard,
	.expect_guards = seal_expect_guards,
	.expect_read = seal_expect_read,
	.close = seal_close,
};

/* Zeros, with a wish for them: MADV_*, or MADV_NORMAL. */
static void *reserve(size_t bytes, int kind, int advice)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    kind | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	if (!madvise(memory, bytes, advice))
		return memory;
	munmap(memory, bytes);
	return NULL;
}

int kona_seal_init(struct kona_seal *seal, struct kona_transport *below, uint64_t pages,
		   const struct kona_seal_hooks *hooks)
{
	int rc = -ENOMEM;

	*seal = (struct kona_seal){
		.transport.ops = &seal_ops, .below = below, .pages = pages, .hooks = *hooks};
	pthread_mutex_init(&seal->write, NULL);
	seal->entries = reserve(pages * sizeof(*seal->entries), MAP_SHARED, MADV_DONTDUMP);
	seal->staging = reserve(sizeof(*seal->staging), MAP_PRIVATE, MADV_WIPEONFORK);
	seal->cipher = reserve(sizeof(*seal->cipher), MAP_PRIVATE, MADV_DONTDUMP);
	if (seal->entries && seal->staging && seal->cipher)
		rc = kona_cipher_init(seal->cipher);
	if (rc) {
		release(seal);
		return rc;
	}
	seal->staging->seals = 1;
	return 0;
}
