/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a cache-line log: refused, or applied inside of the slab. The checksum is put right
 * first, or nothing would get past it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "fuzz.h"
#include "wire/log.h"

enum { SLAB_PAGES = 4, MOST_BYTES = 1 << 17 };

bool fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *slab = malloc((size_t)SLAB_PAGES * KONA_PAGE_BYTES), *bytes = malloc(size + 8);
	struct kona_log_header *header = (void *)bytes;
	struct kona_log log;
	const char *why, *lines;

	memset(slab, 0, (size_t)SLAB_PAGES * KONA_PAGE_BYTES);
	if (size)
		memcpy(bytes, data, size);
	if (size >= sizeof(*header)) {
		header->crc32c = 0;
		header->crc32c = kona_crc32c(0, bytes, size);
	}
	if (size <= MOST_BYTES && !kona_log_check(bytes, size, SLAB_PAGES, &log, &why)) {
		fuzz_accepted = true;
		lines = log.lines;
		for (uint32_t i = 0; i < log.header->pages; i++)
			lines = kona_log_apply_page(slab + log.pages[i] * KONA_PAGE_BYTES,
						    log.masks[i], lines);
		if (lines != bytes + size)
			abort();
	}
	free(slab);
	free(bytes);
	return 0;
}
