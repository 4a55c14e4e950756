/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache-line log: encode at the client, check and apply at the node. Stateless.
 */
#include "wire/log.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/lines.h"

static char *gather_page(char *to, const struct kona_log_page *page)
{
	uint64_t mask = page->mask;

	while (mask) {
		unsigned lines, first = kona_lines_take_run(&mask, &lines);

		memcpy(to, page->content + first * KONA_LINE_BYTES, lines * KONA_LINE_BYTES);
		to += lines * KONA_LINE_BYTES;
	}
	return to;
}

const char *kona_log_apply_page(char *to, uint64_t mask, const char *lines)
{
	while (mask) {
		unsigned count, first = kona_lines_take_run(&mask, &count);

		memcpy(to + first * KONA_LINE_BYTES, lines, count * KONA_LINE_BYTES);
		lines += count * KONA_LINE_BYTES;
	}
	return lines;
}

char *kona_log_lay_out(char *to, const struct kona_log_header *header,
		       const struct kona_log_page *pages, size_t count)
{
	struct kona_log_header *own = (void *)to;
	uint64_t *masks = (void *)(to + sizeof(*own));
	uint32_t *numbers = (void *)(masks + count);

	*own = *header;
	own->pages = (uint32_t)count;
	own->lines = 0;
	own->crc32c = 0;
	numbers[count - 1 + count % 2] = 0; /* the filler, if any; else written below */
	for (size_t i = 0; i < count; i++) {
		masks[i] = pages[i].mask;
		numbers[i] = pages[i].page;
		own->lines += (uint32_t)__builtin_popcountll(pages[i].mask);
	}
	return (char *)(numbers + count + count % 2);
}

char *kona_log_copy_lines(char *lines, const struct kona_log_page *pages, size_t count)
{
	for (size_t i = 0; i < count; i++)
		lines = gather_page(lines, &pages[i]);
	return lines;
}

size_t kona_log_sum(char *to, const char *end)
{
	struct kona_log_header *own = (void *)to;

	own->crc32c = kona_crc32c(0, to, (size_t)(end - to));
	return (size_t)(end - to);
}

size_t kona_log_encode(char *to, const struct kona_log_header *header,
		       const struct kona_log_page *pages, size_t count)
{
	char *lines = kona_log_lay_out(to, header, pages, count);

	return kona_log_sum(to, kona_log_copy_lines(lines, pages, count));
}

static const char *find_fault(const struct kona_log *log, uint64_t slab_pages)
{
	uint64_t lines = 0;

	for (uint32_t i = 0; i < log->header->pages; i++) {
		if (!log->masks[i])
			return "a page without lines";
		if (log->pages[i] >= slab_pages)
			return "page number out of range";
		lines += (uint64_t)__builtin_popcountll(log->masks[i]);
	}
	return lines == log->header->lines ? NULL : "the masks do not fit the number of lines";
}

static bool has_length(const struct kona_log_header *header, size_t size_bytes)
{
	return header->pages && header->pages <= KONA_LOG_MOST_PAGES &&
	       header->lines <= header->pages * KONA_PAGE_LINES &&
	       size_bytes == kona_log_bytes(header->pages, header->lines);
}

/* What stands between the header and the lines. */
static size_t places_bytes(const struct kona_log_header *header)
{
	return header->pages * sizeof(uint64_t) +
	       (header->pages + header->pages % 2) * sizeof(uint32_t);
}

/* Checks all but the length. */
static int check_parts(const struct kona_log_header *header, const void *places, const char *lines,
		       uint64_t slab_pages, struct kona_log *ret_log, const char **ret_why)
{
	struct kona_log_header summed = *header;
	struct kona_log log = {.header = header, .masks = places, .lines = lines};
	uint32_t crc;

	log.pages = (const void *)(log.masks + header->pages);
	summed.crc32c = 0;
	crc = kona_crc32c(0, &summed, sizeof(summed));
	crc = kona_crc32c(crc, places, places_bytes(header));
	crc = kona_crc32c(crc, lines, header->lines * (size_t)KONA_LINE_BYTES);
	*ret_why = "a log with a wrong checksum";
	if (crc != header->crc32c)
		return -EBADMSG;
	*ret_why = find_fault(&log, slab_pages);
	if (*ret_why)
		return -EPROTO;
	*ret_log = log;
	return 0;
}

int kona_log_check(const void *from, size_t size_bytes, uint64_t slab_pages,
		   struct kona_log *ret_log, const char **ret_why)
{
	const struct kona_log_header *header = from;
	const char *places = (const char *)(header + 1);

	*ret_why = "a log of the wrong length";
	if (size_bytes < sizeof(*header) || !has_length(header, size_bytes))
		return -EPROTO;
	return check_parts(header, places, places + places_bytes(header), slab_pages, ret_log,
			   ret_why);
}

int kona_log_check_shared(const struct kona_log_header *header, const void *from, size_t size_bytes,
			  uint64_t slab_pages, struct kona_log_places *copy,
			  struct kona_log *ret_log, const char **ret_why)
{
	const char *places = (const char *)from + sizeof(*header);

	*ret_why = "a log of the wrong length";
	if (!has_length(header, size_bytes))
		return -EPROTO;
	memcpy(copy->bytes, places, places_bytes(header));
	return check_parts(header, copy->bytes, places + places_bytes(header), slab_pages, ret_log,
			   ret_why);
}
