/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slabs: private anonymous memory, whose pages come with their first lines, or memory of a pool.
 * Pages that were never written are known, so that reading them costs no memory.
 *
 * State: the table. Locks: the server's, held by the caller. What can fail: memory.
 */
#include "memnode/slab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const char zeros[KONA_PAGE_BYTES];

static struct kona_slab_list *bucket_of(struct kona_slabs *slabs, uint64_t id)
{
	return &slabs->buckets[id % KONA_SLAB_BUCKETS];
}

static uint64_t pages_of(const struct kona_slab *slab)
{
	return slab->bytes / KONA_PAGE_BYTES;
}

static bool is_present(const struct kona_slab *slab, uint64_t page)
{
	return slab->present[page / 64] >> page % 64 & 1;
}

void kona_slabs_init(struct kona_slabs *slabs)
{
	memset(slabs, 0, sizeof(*slabs));
	for (size_t i = 0; i < KONA_SLAB_BUCKETS; i++)
		LIST_INIT(&slabs->buckets[i]);
}

struct kona_slab *kona_slab_find(struct kona_slabs *slabs, uint64_t id)
{
	struct kona_slab *slab;

	LIST_FOREACH (slab, bucket_of(slabs, id), link)
		if (slab->id == id)
			return slab;
	return NULL;
}

/* Reads as zeros from now on; where that can be, its pages go back. */
static void clear(const struct kona_slab *slab, uint64_t offset_bytes, uint64_t size_bytes)
{
	bool anonymous = slab->backing.descriptor < 0;

	/* What a device reads by itself keeps its pages: others in their place it would not see. */
	if (slab->realm || madvise(slab->memory + offset_bytes, size_bytes,
				   anonymous ? MADV_DONTNEED : MADV_REMOVE))
		memset(slab->memory + offset_bytes, 0, size_bytes);
}

static void free_slab(struct kona_slab *slab)
{
	if (slab->memory && !slab->device)
		munmap(slab->memory, slab->bytes);
	if (slab->backing.descriptor >= 0)
		kona_memory_drop(&slab->backing);
	free(slab->present);
	free(slab->newer);
	free(slab);
}

static struct kona_slab *make_slab(struct kona_slabs *slabs, uint64_t id, uint64_t generation,
				   uint64_t bytes)
{
	struct kona_slab *slab = calloc(1, sizeof(*slab));

	if (!slab)
		return NULL;
	slab->id = id;
	slab->generation = generation;
	slab->bytes = bytes;
	slab->descriptor = slab->backing.descriptor = -1;
	LIST_INSERT_HEAD(bucket_of(slabs, id), slab, link);
	slabs->count++;
	return slab;
}

/* Memory of the pool, or of our own. */
static int map_memory(struct kona_slabs *slabs, struct kona_slab *slab)
{
	int rc = 0, kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *memory;

	if (slabs->store) {
		rc = kona_memory_make(slabs->store, slab->bytes, 1, &slab->backing);
		if (rc)
			return rc;
		slab->device = slab->memory = kona_memory_window(slabs->store, &slab->backing);
		kind = MAP_SHARED;
	}
	if (slab->memory)
		return 0;
	memory = mmap(NULL, slab->bytes, PROT_READ | PROT_WRITE, kind, slab->backing.descriptor, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	/* One fault for 512 pages, where the kernel can. */
	madvise(memory, slab->bytes, MADV_HUGEPAGE);
	slab->memory = memory;
	return 0;
}

static int give_memory(struct kona_slabs *slabs, struct kona_slab *slab, bool joins)
{
	int rc;

	slab->present = calloc((pages_of(slab) + 63) / 64, sizeof(uint64_t));
	if (joins)
		slab->newer = calloc(pages_of(slab), sizeof(uint64_t));
	if (!slab->present || (joins && !slab->newer))
		return -ENOMEM;
	rc = map_memory(slabs, slab);
	if (rc)
		return rc;
	slabs->bytes += slab->bytes;
	return 0;
}

int kona_slab_expose(struct kona_slabs *slabs, struct kona_slab *slab,
		     const uint8_t realm[KONA_DATA_REALM_BYTES])
{
	struct kona_node_fabric *fabric = slabs->fabric;
	int rc;

	if (!fabric)
		return -EOPNOTSUPP;
	if (!slab->memory)
		return -EINVAL;
	if (slab->dead)
		return -ESTALE;
	if (slab->newer)
		return -EAGAIN;
	if (slab->realm)
		return memcmp(slab->realm->name, realm, KONA_DATA_REALM_BYTES) ? -EACCES : 0;
	rc = kona_realm_enter(fabric, realm, &slab->realm);
	if (rc)
		return rc;
	rc = fabric->ops->expose(slab->realm->ofi, slab->memory, slab->bytes, KONA_OFI_READABLE,
				 &slab->region);
	if (rc) {
		kona_realm_leave(slab->realm);
		slab->realm = NULL;
	}
	return rc;
}

/* Takes it out of the table. */
static void forget(struct kona_slabs *slabs, struct kona_slab *slab)
{
	if (slab->realm) {
		slab->realm->fabric->ops->hide(&slab->region);
		kona_realm_leave(slab->realm);
		slab->realm = NULL;
	}
	LIST_REMOVE(slab, link);
	slabs->count--;
	slab->dead = true;
	if (slab->memory) {
		slabs->bytes -= slab->bytes;
		/* Who is still sending it reads zeros. */
		clear(slab, 0, slab->bytes);
	}
	slab->descriptor = -1;
	if (!slab->users)
		free_slab(slab);
}

int kona_slab_open(struct kona_slabs *slabs, const struct kona_data_open *open,
		   struct kona_slab **ret_slab)
{
	struct kona_slab *slab = kona_slab_find(slabs, open->slab);
	bool joins = open->flags == KONA_DATA_JOIN;
	int rc;

	if (slab && slab->generation > open->generation)
		return -ESTALE;
	if (slab && slab->generation == open->generation) {
		if (slab->bytes != open->slab_bytes || (joins && !slab->memory))
			return -EINVAL;
		if (!joins) {
			slab->users++;
			*ret_slab = slab;
			return 0;
		}
	}
	if (!open->flags)
		return -ENOENT;
	if (slab)
		forget(slabs, slab);
	slab = make_slab(slabs, open->slab, open->generation, open->slab_bytes);
	if (!slab)
		return -ENOMEM;
	rc = give_memory(slabs, slab, joins);
	if (rc) {
		forget(slabs, slab);
		return rc;
	}
	slab->sequence = open->sequence;
	slab->users = 1;
	*ret_slab = slab;
	return 0;
}

void kona_slab_close(struct kona_slab *slab)
{
	if (!--slab->users && slab->dead)
		free_slab(slab);
}

int kona_slab_lend(struct kona_slabs *slabs, uint64_t id, uint64_t generation, uint64_t bytes,
		   int descriptor, uint64_t at_bytes, const char *device)
{
	struct kona_slab *slab;

	kona_slab_drop(slabs, id);
	slab = make_slab(slabs, id, generation, bytes);
	if (!slab)
		return -ENOMEM;
	slab->descriptor = descriptor;
	slab->at_bytes = at_bytes;
	slab->device = device;
	return 0;
}

void kona_slab_drop(struct kona_slabs *slabs, uint64_t id)
{
	struct kona_slab *slab = kona_slab_find(slabs, id);

	if (slab)
		forget(slabs, slab);
}

/* Is this the next one? 0: it is; 1: it was applied before. */
static int take_turn(struct kona_slab *slab, uint64_t sequence)
{
	if (sequence <= slab->sequence)
		return 1;
	if (sequence != slab->sequence + 1 || !slab->memory)
		return -ESTALE;
	slab->sequence = sequence;
	return 0;
}

int kona_slab_log(struct kona_slab *slab, const struct kona_log *log)
{
	const char *lines = log->lines;
	int rc = take_turn(slab, log->header->sequence);

	if (rc)
		return rc < 0 ? rc : 0;
	for (uint32_t i = 0; i < log->header->pages; i++) {
		uint64_t page = log->pages[i];

		lines = kona_log_apply_page(slab->memory + page * KONA_PAGE_BYTES, log->masks[i],
					    lines);
		slab->present[page / 64] |= UINT64_C(1) << page % 64;
		if (slab->newer)
			slab->newer[page] |= log->masks[i];
	}
	return 0;
}

int kona_slab_discard(struct kona_slab *slab, const struct kona_data_discard *discard)
{
	uint64_t first = discard->offset_bytes / KONA_PAGE_BYTES;
	uint64_t end = first + discard->size_bytes / KONA_PAGE_BYTES;
	int rc = take_turn(slab, discard->sequence);

	if (rc)
		return rc < 0 ? rc : 0;
	clear(slab, discard->offset_bytes, discard->size_bytes);
	for (uint64_t page = first; page < end; page++) {
		slab->present[page / 64] &= ~(UINT64_C(1) << page % 64);
		if (slab->newer)
			slab->newer[page] = UINT64_MAX;
	}
	return 0;
}

const char *kona_slab_page(const struct kona_slab *slab, uint64_t page)
{
	return is_present(slab, page) ? slab->memory + page * KONA_PAGE_BYTES : zeros;
}

void kona_slab_fill(struct kona_slab *slab, uint64_t page, const char *content)
{
	uint64_t mask = slab->newer ? ~slab->newer[page] : 0;
	char *to = slab->memory + page * KONA_PAGE_BYTES;

	if (!mask || !memcmp(content, zeros, KONA_PAGE_BYTES))
		return;
	for (unsigned int line = 0; line < KONA_PAGE_LINES; line++)
		if (mask >> line & 1)
			memcpy(to + line * KONA_LINE_BYTES, content + line * KONA_LINE_BYTES,
			       KONA_LINE_BYTES);
	slab->present[page / 64] |= UINT64_C(1) << page % 64;
}

void kona_slab_filled(struct kona_slab *slab)
{
	free(slab->newer);
	slab->newer = NULL;
}

void kona_slabs_destroy(struct kona_slabs *slabs)
{
	for (size_t i = 0; i < KONA_SLAB_BUCKETS; i++)
		while (!LIST_EMPTY(&slabs->buckets[i]))
			forget(slabs, LIST_FIRST(&slabs->buckets[i]));
}
