/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared-memory transport: the store is made of memfds of the memory node on this host, one a
 * grant, each of which holds one slab or more.
 *
 * For the fault path they are reached through their descriptors, not through a mapping: a mapped
 * store counts as resident (shared) memory of the program, and a page fault costs far more than the
 * pread(2) of a page. The guard path, to which a system call is too much, has slabs mapped, each
 * when it is first used, whole and populated.
 *
 * State: the tables from slab to descriptor and mapping. No locks: an entry is written once, and
 * the kernel serialises the rest. The node cannot shrink a memfd under us unnoticed: a short read
 * is -EIO, never zeros; so is a slab that is not there.
 */
#include "transport/transport.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/lines.h"
#include "base/units.h"

enum {
	/*
	 * A page with more dirty runs than this is merged and written whole: 16 calls of 1.8 us
	 * cost as much as the page fault that brought the page in.
	 */
	MOST_RUNS = 16,
};

/* Where a piece of the store stands; it ends before its slab does. */
struct place {
	int descriptor;
	uint64_t offset_bytes;
	uint64_t left_bytes; /* to the end of the slab */
};

/* A slab's entry: the descriptor + 1 above, the slab's number in its grant below; 0: none. */
static uint64_t slab_entry(int descriptor, uint64_t number)
{
	return (uint64_t)(descriptor + 1) << 32 | number;
}

static int find_place(struct kona_transport *transport, uint64_t offset_bytes,
		      struct place *ret_place)
{
	uint64_t slab = offset_bytes / transport->slab_bytes;
	uint64_t within = offset_bytes % transport->slab_bytes;
	uint64_t entry;

	if (slab >= transport->most_slabs)
		return -EIO;
	/* TS-1: acquire, pairs with the release in kona_transport_shm_attach_one(). */
	entry = kona_load_acquire(&transport->slabs[slab]);
	if (!entry)
		return -EIO;
	ret_place->descriptor = (int)(entry >> 32) - 1;
	ret_place->offset_bytes = (entry & UINT32_MAX) * transport->slab_bytes + within;
	ret_place->left_bytes = transport->slab_bytes - within;
	return 0;
}

/* --- mapped slabs ------------------------------------------------------------------------------*/

/* Two threads may map a slab at once; one of the mappings goes again. */
static char *map_slab(struct kona_transport *transport, uint64_t slab)
{
	struct place place;
	char *mapped, *seen = NULL;

	if (find_place(transport, slab * transport->slab_bytes, &place))
		return NULL;
	mapped = mmap(NULL, transport->slab_bytes, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_POPULATE, place.descriptor, (off_t)place.offset_bytes);
	if (mapped == MAP_FAILED)
		return NULL;
	/* TS-2: acquire-release, pairs with itself and the load in at_home(). */
	if (kona_cas_acq_rel(&transport->maps[slab], &seen, mapped))
		return mapped;
	munmap(mapped, transport->slab_bytes);
	return seen;
}

/* The address of these bytes of the store; NULL: not mapped. They end before their slab does. */
static char *at_home(struct kona_transport *transport, uint64_t offset_bytes, size_t size_bytes)
{
	uint64_t slab = offset_bytes / transport->slab_bytes;
	uint64_t within = offset_bytes % transport->slab_bytes;
	char *mapped;

	if (!kona_load_relaxed(&transport->mapping) || slab >= transport->most_slabs ||
	    within + size_bytes > transport->slab_bytes) /* relaxed: set only */
		return NULL;
	mapped = kona_load_acquire(&transport->maps[slab]); /* TS-2 */
	if (!mapped)
		mapped = map_slab(transport, slab);
	return mapped ? mapped + within : NULL;
}

/* Past the caches: nobody here reads it soon. 64 bytes, aligned to 64. */
static void store_line(char *to, const char *from)
{
	for (int i = 0; i < KONA_LINE_BYTES / 16; i++)
		_mm_stream_si128((__m128i *)(void *)to + i,
				 _mm_load_si128((const __m128i *)(const void *)from + i));
}

static void store_lines(char *home, const struct kona_dirty_page *page)
{
	for (uint64_t mask = page->mask; mask; mask &= mask - 1) {
		size_t at = (size_t)__builtin_ctzll(mask) * KONA_LINE_BYTES;

		store_line(home + at, page->content + at);
	}
}

/* --- through the descriptor --------------------------------------------------------------------*/

static int read_piece(struct kona_transport *transport, const struct kona_read *piece,
		      uint64_t *system_calls)
{
	uint64_t offset_bytes = piece->offset_bytes;
	size_t size_bytes = piece->size_bytes;
	char *to = piece->buffer;

	while (size_bytes) {
		struct place place;
		ssize_t got;
		int rc = find_place(transport, offset_bytes, &place);

		if (rc)
			return rc;
		if (place.left_bytes > size_bytes)
			place.left_bytes = size_bytes;
		got = pread(place.descriptor, to, place.left_bytes, (off_t)place.offset_bytes);
		*system_calls += 1;
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -EIO;
		to += got;
		offset_bytes += (uint64_t)got;
		size_bytes -= (size_t)got;
	}
	return 0;
}

static int shm_read(struct kona_transport *transport, const struct kona_read *reads, size_t count,
		    uint64_t *system_calls)
{
	for (size_t i = 0; i < count; i++) {
		const char *home = at_home(transport, reads[i].offset_bytes, reads[i].size_bytes);
		int rc = 0;

		if (home)
			memcpy(reads[i].buffer, home, reads[i].size_bytes);
		else
			rc = read_piece(transport, &reads[i], system_calls);

		if (rc)
			return rc;
	}
	return 0;
}

/* Writes within one page, so within one slab. */
static int write_bytes(const struct place *page, const char *from, size_t size_bytes,
		       uint64_t at_bytes)
{
	while (size_bytes) {
		ssize_t put = pwrite(page->descriptor, from, size_bytes,
				     (off_t)(page->offset_bytes + at_bytes));

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put ? -errno : -EIO;
		from += put;
		at_bytes += (uint64_t)put;
		size_bytes -= (size_t)put;
	}
	return 0;
}

static int write_merged(struct kona_transport *transport, const struct place *place,
			const struct kona_dirty_page *page)
{
	char merged[KONA_PAGE_BYTES];
	uint64_t mask = page->mask;
	int rc;

	rc = kona_transport_read(transport, page->offset_bytes, merged, sizeof(merged));
	if (rc)
		return rc;
	while (mask) {
		unsigned lines, first = kona_lines_take_run(&mask, &lines);

		__builtin_memcpy(merged + first * KONA_LINE_BYTES,
				 page->content + first * KONA_LINE_BYTES, lines * KONA_LINE_BYTES);
	}
	return write_bytes(place, merged, sizeof(merged), 0);
}

static int write_page(struct kona_transport *transport, const struct kona_dirty_page *page,
		      uint64_t *wire_bytes, uint64_t *system_calls)
{
	uint64_t mask = page->mask;
	struct place place;
	int rc = find_place(transport, page->offset_bytes, &place);

	if (rc)
		return rc;
	if (__builtin_popcountll(mask & ~(mask << 1)) > MOST_RUNS) {
		*wire_bytes += KONA_PAGE_BYTES;
		*system_calls += 2;
		return write_merged(transport, &place, page);
	}
	while (mask) {
		unsigned lines, first = kona_lines_take_run(&mask, &lines);
		uint64_t at = first * KONA_LINE_BYTES;

		rc = write_bytes(&place, page->content + at, lines * KONA_LINE_BYTES, at);
		if (rc)
			return rc;
		*wire_bytes += lines * KONA_LINE_BYTES;
		*system_calls += 1;
	}
	return 0;
}

static int shm_write_lines(struct kona_transport *transport, const struct kona_dirty_page *pages,
			   size_t count, uint64_t *wire_bytes, uint64_t *system_calls)
{
	for (size_t i = 0; i < count; i++) {
		char *home = at_home(transport, pages[i].offset_bytes, KONA_PAGE_BYTES);
		int rc = 0;

		if (home) {
			store_lines(home, &pages[i]);
			*wire_bytes +=
				(uint64_t)__builtin_popcountll(pages[i].mask) * KONA_LINE_BYTES;
		} else {
			rc = write_page(transport, &pages[i], wire_bytes, system_calls);
		}
		if (rc)
			return rc;
	}
	_mm_sfence(); /* streamed stores are home before anybody is told so */
	return 0;
}

static int shm_discard(struct kona_transport *transport, uint64_t offset_bytes, uint64_t size_bytes)
{
	while (size_bytes) {
		struct place place;
		int rc = find_place(transport, offset_bytes, &place);

		if (rc)
			return rc;
		if (place.left_bytes > size_bytes)
			place.left_bytes = size_bytes;
		if (fallocate(place.descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)place.offset_bytes, (off_t)place.left_bytes))
			return -errno;
		offset_bytes += place.left_bytes;
		size_bytes -= place.left_bytes;
	}
	return 0;
}

static void shm_expect_guards(struct kona_transport *transport)
{
	kona_store_relaxed(&transport->mapping, true); /* relaxed: set only */
}

static void shm_close(struct kona_transport *transport)
{
	for (uint64_t i = 0; i < transport->most_slabs; i++) {
		uint64_t entry = transport->slabs[i];

		if (transport->maps[i])
			munmap(transport->maps[i], transport->slab_bytes);

		/* The first slab of a grant closes for all. */
		if (entry && !(entry & UINT32_MAX))
			close((int)(entry >> 32) - 1);
	}
	munmap(transport->slabs, transport->most_slabs * sizeof(uint64_t));
	munmap(transport->maps, transport->most_slabs * sizeof(char *));
	transport->slabs = NULL;
}

static const struct kona_transport_ops shm_ops = {
	.name = "shm",
	.read = shm_read,
	.write_lines = shm_write_lines,
	.discard = shm_discard,
	.expect_guards = shm_expect_guards,
	.close = shm_close,
};

/* Zeros; kept until the process ends, or the store is closed. */
static void *map_table(size_t size_bytes)
{
	void *table = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return table == MAP_FAILED ? NULL : table;
}

int kona_transport_shm_init(struct kona_transport *transport, uint64_t slab_bytes,
			    uint64_t most_slabs)
{
	void *slabs, *maps;

	if (slab_bytes < KONA_PAGE_BYTES || slab_bytes & (slab_bytes - 1) || !most_slabs)
		return -EINVAL;
	slabs = map_table(most_slabs * sizeof(uint64_t));
	maps = map_table(most_slabs * sizeof(char *));
	if (!slabs || !maps)
		return -ENOMEM;
	*transport = (struct kona_transport){
		.ops = &shm_ops,
		.slabs = slabs,
		.maps = maps,
		.most_slabs = most_slabs,
		.slab_bytes = slab_bytes,
	};
	return 0;
}

void kona_transport_shm_attach_one(struct kona_transport *transport, uint64_t slab, int descriptor,
				   uint64_t number)
{
	assert(slab < transport->most_slabs && !transport->slabs[slab]);
	/* TS-1: release, pairs with the acquire in find_place(). */
	kona_store_release(&transport->slabs[slab], slab_entry(descriptor, number));
}

void kona_transport_shm_attach(struct kona_transport *transport, uint64_t first, uint64_t count,
			       int descriptor)
{
	for (uint64_t i = 0; i < count; i++)
		kona_transport_shm_attach_one(transport, first + i, descriptor, i);
}
