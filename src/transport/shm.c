/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared-memory transport: the store is a memfd of the memory node on this host.
 *
 * It is reached through its descriptor, not through a mapping: a mapped store would count as
 * resident memory of the program, whose local budget is what we promise, and populating a mapping
 * costs a page fault per page, ten times a pread(2) of that page on paravirtualised hosts.
 *
 * State: the descriptor. No locks: the kernel serialises. The node cannot shrink the memfd under us
 * unnoticed: a short read is -EIO, never zeros.
 */
#include "transport/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/units.h"

enum {
	/*
	 * A page with more dirty runs than this is merged and written whole: 16 calls of 1.8 us
	 * cost as much as the page fault that brought the page in.
	 */
	MOST_RUNS = 16,
};

static int shm_read(struct kona_transport *transport, uint64_t offset_bytes, void *buffer,
		    size_t size_bytes)
{
	char *to = buffer;

	while (size_bytes) {
		ssize_t got = pread(transport->descriptor, to, size_bytes, (off_t)offset_bytes);

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

static int write_bytes(int descriptor, const char *from, size_t size_bytes, uint64_t offset_bytes)
{
	while (size_bytes) {
		ssize_t put = pwrite(descriptor, from, size_bytes, (off_t)offset_bytes);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put ? -errno : -EIO;
		from += put;
		offset_bytes += (uint64_t)put;
		size_bytes -= (size_t)put;
	}
	return 0;
}

/* Takes the lowest run of set bits out of *mask; returns its first bit and *ret_lines. */
static unsigned take_run(uint64_t *mask, unsigned *ret_lines)
{
	unsigned first = (unsigned)__builtin_ctzll(*mask);
	uint64_t rest = ~(*mask >> first);
	unsigned lines = rest ? (unsigned)__builtin_ctzll(rest) : KONA_PAGE_LINES;

	if (lines + first >= KONA_PAGE_LINES)
		*mask = 0;
	else
		*mask &= ~UINT64_C(0) << (first + lines);
	*ret_lines = lines;
	return first;
}

static int write_merged(struct kona_transport *transport, const struct kona_dirty_page *page)
{
	char merged[KONA_PAGE_BYTES];
	uint64_t mask = page->mask;
	int rc;

	rc = shm_read(transport, page->offset_bytes, merged, sizeof(merged));
	if (rc)
		return rc;
	while (mask) {
		unsigned lines, first = take_run(&mask, &lines);

		__builtin_memcpy(merged + first * KONA_LINE_BYTES,
				 page->content + first * KONA_LINE_BYTES, lines * KONA_LINE_BYTES);
	}
	return write_bytes(transport->descriptor, merged, sizeof(merged), page->offset_bytes);
}

static int write_page(struct kona_transport *transport, const struct kona_dirty_page *page,
		      uint64_t *wire_bytes, uint64_t *system_calls)
{
	uint64_t mask = page->mask;

	if (__builtin_popcountll(mask & ~(mask << 1)) > MOST_RUNS) {
		*wire_bytes += KONA_PAGE_BYTES;
		*system_calls += 2;
		return write_merged(transport, page);
	}
	while (mask) {
		unsigned lines, first = take_run(&mask, &lines);
		uint64_t at = first * KONA_LINE_BYTES;
		int rc = write_bytes(transport->descriptor, page->content + at,
				     lines * KONA_LINE_BYTES, page->offset_bytes + at);

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
		int rc = write_page(transport, &pages[i], wire_bytes, system_calls);

		if (rc)
			return rc;
	}
	return 0;
}

static int shm_discard(struct kona_transport *transport, uint64_t offset_bytes, uint64_t size_bytes)
{
	if (fallocate(transport->descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)offset_bytes, (off_t)size_bytes))
		return -errno;
	return 0;
}

static void shm_close(struct kona_transport *transport)
{
	close(transport->descriptor);
	transport->descriptor = -1;
}

static const struct kona_transport_ops shm_ops = {
	.name = "shm",
	.read = shm_read,
	.write_lines = shm_write_lines,
	.discard = shm_discard,
	.close = shm_close,
};

void kona_transport_shm_init(struct kona_transport *transport, int descriptor)
{
	*transport = (struct kona_transport){.ops = &shm_ops, .descriptor = descriptor};
}
