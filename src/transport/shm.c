/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared-memory transport: the store is made of memory of the memory node on this host: memfds, one
 * a grant, each of which holds one slab or more; or files, or a part of a DAX device.
 *
 * For the fault path they are reached through their descriptors, not through a mapping: a mapped
 * store counts as resident (shared) memory of the program, and a page fault costs far more than the
 * pread(2) of a page. The guard path, to which a system call is too much, has slabs mapped, each
 * when it is first used, whole and in huge pages: a walk of the page table took as long as the copy
 * of a page. So has who uses memory that cannot be read or written in another way, a DAX device or
 * a file of hugetlbfs; that does not count as resident.
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
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/huge.h"
#include "base/lines.h"
#include "base/units.h"
#include "transport/stream.h"

enum {
	/*
	 * A page with more dirty runs than this is merged and written whole: 16 calls of 1.8 us
	 * cost as much as the page fault that brought the page in.
	 */
	MOST_RUNS = 16,
	/* Brought towards the caches while the page's frame is being found: 5 % of a miss. */
	FIRST_LINES = 4,
	/* So many pages before they are written, dirty lines are brought towards the caches. */
	AHEAD_PAGES = 8,
};

/* Where a piece of the store stands; it ends before its slab does. */
struct place {
	int descriptor;
	uint64_t offset_bytes;
	uint64_t left_bytes; /* to the end of the slab */
	bool must_map;
};

/*
 * A slab's entry: the descriptor + 1 above, the slab's number behind it below, 0: none; and
 * between, whether it must be mapped, and whether it stands for its descriptor when that is closed.
 */
#define MUST_MAP (UINT64_C(1) << 31)
#define CLOSES	 (UINT64_C(1) << 30)
#define NUMBER	 (CLOSES - 1)

static uint64_t slab_entry(int descriptor, uint64_t number)
{
	return (uint64_t)(descriptor + 1) << 32 | number;
}

static bool must_map(int descriptor)
{
	struct stat status;
	struct statfs system;

	if (!fstat(descriptor, &status) && S_ISCHR(status.st_mode))
		return true;
	return !fstatfs(descriptor, &system) && system.f_type == HUGETLBFS_MAGIC;
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
	ret_place->offset_bytes = (entry & NUMBER) * transport->slab_bytes + within;
	ret_place->left_bytes = transport->slab_bytes - within;
	ret_place->must_map = entry & MUST_MAP;
	return 0;
}

/* --- mapped slabs ------------------------------------------------------------------------------*/

/* At an address where huge pages fit. */
static char *map_aligned(const struct place *place, size_t size_bytes)
{
	size_t reserved_bytes = size_bytes + KONA_HUGE_BYTES;
	off_t offset = (off_t)place->offset_bytes;
	char *start = mmap(NULL, reserved_bytes, PROT_NONE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *mapped, *end;

	if (start == MAP_FAILED)
		return NULL;
	end = start + reserved_bytes;
	mapped = start + (-(uintptr_t)start & (KONA_HUGE_BYTES - 1));
	if (mmap(mapped, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 place->descriptor, offset) == MAP_FAILED) {
		munmap(start, reserved_bytes);
		return NULL;
	}
	if (mapped != start)
		munmap(start, (size_t)(mapped - start));
	if (mapped + size_bytes != end)
		munmap(mapped + size_bytes, (size_t)(end - mapped) - size_bytes);
	return mapped;
}

/* Memory behind all of it. Making huge pages of almost nothing takes a tenth of the time that small
 * pages would, but the kernel wants one small page in each to begin with. */
static void populate(char *mapped, size_t size_bytes)
{
	for (size_t at = 0; at < size_bytes; at += KONA_HUGE_BYTES)
		(void)madvise(mapped + at, KONA_PAGE_BYTES, MADV_POPULATE_WRITE);
	if (madvise(mapped, size_bytes, MADV_COLLAPSE))
		(void)madvise(mapped, size_bytes, MADV_POPULATE_WRITE);
}

/* Two threads may map a slab at once; one of the mappings goes again. */
static char *map_slab(struct kona_transport *transport, uint64_t slab)
{
	struct place place;
	char *mapped, *seen = NULL;

	if (find_place(transport, slab * transport->slab_bytes, &place))
		return NULL;
	mapped = map_aligned(&place, transport->slab_bytes);
	if (!mapped)
		return NULL;
	populate(mapped, transport->slab_bytes);
	/* TS-2: acquire-release, pairs with itself and the load in at_home(). */
	if (kona_cas_acq_rel(&transport->maps[slab], &seen, mapped))
		return mapped;
	munmap(mapped, transport->slab_bytes);
	return seen;
}

/* The address of this place in the store; NULL: not mapped. */
static char *at_home(struct kona_transport *transport, uint64_t offset_bytes, bool must_map)
{
	uint64_t slab = offset_bytes / transport->slab_bytes;
	uint64_t within = offset_bytes % transport->slab_bytes;
	char *mapped;

	if (!must_map && !kona_load_relaxed(&transport->mapping)) /* relaxed: set only */
		return NULL;
	mapped = kona_load_acquire(&transport->maps[slab]); /* TS-2 */
	if (!mapped)
		mapped = map_slab(transport, slab);
	return mapped ? mapped + within : NULL;
}

/* --- reading -----------------------------------------------------------------------------------*/

/* Reads a part of what is asked for. Returns the bytes; -errno. */
static ssize_t read_part(struct kona_transport *transport, uint64_t offset_bytes, char *to,
			 size_t size_bytes, uint64_t *system_calls)
{
	struct place place;
	const char *home;
	ssize_t got;
	int rc = find_place(transport, offset_bytes, &place);

	if (rc)
		return rc;
	if (place.left_bytes > size_bytes)
		place.left_bytes = size_bytes;
	home = at_home(transport, offset_bytes, place.must_map);
	if (home) {
		memcpy(to, home, place.left_bytes);
		return (ssize_t)place.left_bytes;
	}
	got = pread(place.descriptor, to, place.left_bytes, (off_t)place.offset_bytes);
	*system_calls += 1;
	if (got < 0)
		return errno == EINTR ? 0 : -errno;
	return got ? got : -EIO;
}

static int shm_read(struct kona_transport *transport, const struct kona_read *reads, size_t count,
		    uint64_t *system_calls)
{
	for (size_t i = 0; i < count; i++) {
		size_t done = 0;

		while (done < reads[i].size_bytes) {
			ssize_t got = read_part(transport, reads[i].offset_bytes + done,
						(char *)reads[i].buffer + done,
						reads[i].size_bytes - done, system_calls);

			if (got < 0)
				return (int)got;
			done += (size_t)got;
		}
	}
	return 0;
}

/* --- writing -----------------------------------------------------------------------------------*/

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
	char *home;
	int rc = find_place(transport, page->offset_bytes, &place);

	if (rc)
		return rc;
	home = at_home(transport, page->offset_bytes, place.must_map);
	if (home) {
		kona_stream_lines(home, page->content, mask);
		*wire_bytes += (uint64_t)__builtin_popcountll(mask) * KONA_LINE_BYTES;
		return 0;
	}
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

/* Where the processor's own prefetching does not see them: the first ones of a page. */
static void expect_lines(const struct kona_dirty_page *page)
{
	uint64_t mask = page->mask;

	for (int i = 0; i < FIRST_LINES && mask; i++, mask &= mask - 1)
		__builtin_prefetch(page->content + (size_t)__builtin_ctzll(mask) * KONA_LINE_BYTES);
}

static int shm_write_lines(struct kona_transport *transport, const struct kona_dirty_page *pages,
			   size_t count, uint64_t *wire_bytes, uint64_t *system_calls)
{
	for (size_t i = 0; i < count; i++) {
		int rc;

		if (i + AHEAD_PAGES < count)
			expect_lines(&pages[i + AHEAD_PAGES]);
		rc = write_page(transport, &pages[i], wire_bytes, system_calls);
		if (rc)
			return rc;
	}
	_mm_sfence(); /* streamed stores are home before anybody is told so */
	return 0;
}

/* Gives the pages back, where there are such. */
static int discard_part(struct kona_transport *transport, uint64_t offset_bytes,
			const struct place *place)
{
	char *home;

	if (!fallocate(place->descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       (off_t)place->offset_bytes, (off_t)place->left_bytes))
		return 0;
	if (errno != ENODEV) /* which is what a device says */
		return -errno;
	home = at_home(transport, offset_bytes, place->must_map);
	if (!home)
		return -EIO;
	memset(home, 0, place->left_bytes);
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
		rc = discard_part(transport, offset_bytes, &place);
		if (rc)
			return rc;
		offset_bytes += place.left_bytes;
		size_bytes -= place.left_bytes;
	}
	return 0;
}

/* The processor's own prefetching goes on from there. */
static void shm_expect_read(struct kona_transport *transport, uint64_t offset_bytes)
{
	const char *home = at_home(transport, offset_bytes, KONA_PAGE_BYTES);

	for (int i = 0; home && i < FIRST_LINES; i++)
		__builtin_prefetch(home + i * KONA_LINE_BYTES);
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

		if (entry & CLOSES)
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
	.expect_read = shm_expect_read,
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
				   uint64_t number, bool closes)
{
	uint64_t entry = slab_entry(descriptor, number);

	assert(slab < transport->most_slabs && !transport->slabs[slab] && number < NUMBER);
	if (closes)
		entry |= CLOSES;
	if (must_map(descriptor))
		entry |= MUST_MAP;
	/* TS-1: release, pairs with the acquire in find_place(). */
	kona_store_release(&transport->slabs[slab], entry);
}

void kona_transport_shm_attach(struct kona_transport *transport, uint64_t first, uint64_t count,
			       int descriptor)
{
	for (uint64_t i = 0; i < count; i++)
		kona_transport_shm_attach_one(transport, first + i, descriptor, i, !i);
}
