/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache-line log: the dirty lines of an eviction batch, as they travel (design section 5).
 *
 *   | header, 32 bytes          | slab, sequence, handle, pages, lines, CRC32C of all the rest
 *   | masks, 8 bytes each       | bit i: the line at byte 64 * i of that page is in the log
 *   | page numbers, 4 bytes each| in the slab; in the order of the masks; 4 zeros if odd in number
 *   | lines, 64 bytes each      | of the first page in the order of its bits, then of the second..
 *
 * So a page with one dirty line takes 76 bytes, a page that is dirty throughout 4108. Little
 * endian. No mask is 0. Every part, and so every log, is a multiple of 8 bytes long.
 */
#ifndef KONA_WIRE_LOG_H
#define KONA_WIRE_LOG_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/units.h"

enum {
	KONA_LOG_MOST_PAGES = 256,
};

struct kona_log_header {
	uint64_t slab;
	uint64_t sequence; /* of the slab; the first log is 1 */
	uint32_t handle;   /* of the slab on this connection (wire/data.h) */
	uint32_t pages;	   /* 1..KONA_LOG_MOST_PAGES */
	uint32_t lines;	   /* bits in all masks */
	uint32_t crc32c;   /* of the whole log, with this field 0 */
};

static_assert(sizeof(struct kona_log_header) == 32, "wire layout");
static_assert(offsetof(struct kona_log_header, crc32c) == 28, "wire layout");

/* A log that was checked, in place. */
struct kona_log {
	const struct kona_log_header *header;
	const uint64_t *masks;
	const uint32_t *pages;
	const char *lines;
};

/* A dirty page that goes into a log; `content` are its 4096 bytes. */
struct kona_log_page {
	uint32_t page;
	uint64_t mask;
	const char *content;
};

static inline size_t kona_log_bytes(size_t pages, size_t lines)
{
	return sizeof(struct kona_log_header) + pages * sizeof(uint64_t) +
	       (pages + pages % 2) * sizeof(uint32_t) + lines * KONA_LINE_BYTES;
}

/*
 * Writes a log of these pages to `to` (8-byte aligned), which must have room for kona_log_bytes();
 * fills `pages`, `lines` and `crc32c` of the header, the other fields are given. Returns its size.
 */
size_t kona_log_encode(char *to, const struct kona_log_header *header,
		       const struct kona_log_page *pages, size_t count);

/* The three steps of that: all but the lines, of which the place is returned; the lines, of which
 * the end is returned; the checksum, with which the size is returned. */
char *kona_log_lay_out(char *to, const struct kona_log_header *header,
		       const struct kona_log_page *pages, size_t count);
char *kona_log_copy_lines(char *lines, const struct kona_log_page *pages, size_t count);
size_t kona_log_sum(char *to, const char *end);

/*
 * Checks size_bytes bytes at `from` (8-byte aligned) as a log for a slab of slab_pages pages:
 * length, counts, page numbers, checksum. Returns 0 and *ret_log, which points into `from`; -EPROTO
 * with *ret_why, a constant text; -EBADMSG when only the checksum is wrong.
 */
KONA_MUST_CHECK int kona_log_check(const void *from, size_t size_bytes, uint64_t slab_pages,
				   struct kona_log *ret_log, const char **ret_why);

/* Masks and page numbers of a log. */
struct kona_log_places {
	_Alignas(8) char bytes[KONA_LOG_MOST_PAGES * (sizeof(uint64_t) + sizeof(uint32_t))];
};

/*
 * The same for a log in memory that others may write to meanwhile, with a header that came another
 * way: masks and page numbers are copied first, and *ret_log points to the copy, so that what was
 * checked is what is applied. Only the bytes of lines may still change.
 */
KONA_MUST_CHECK int kona_log_check_shared(const struct kona_log_header *header, const void *from,
					  size_t size_bytes, uint64_t slab_pages,
					  struct kona_log_places *copy, struct kona_log *ret_log,
					  const char **ret_why);

/*
 * Stores the lines in `mask`, packed at `lines`, where they belong in the page at `to`. Returns
 * what follows them.
 */
const char *kona_log_apply_page(char *to, uint64_t mask, const char *lines);

#endif
