/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages of a range are there, by PAGEMAP_SCAN or, on older kernels, from the page table that
 * /proc/PID/pagemap shows. State: whether this kernel has the call, found out at the first use.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/units.h"
#include "procfs.h"

enum {
	VECTOR_REGIONS = 512,
	STEP_PAGES =
		4096,  /* so that others can read what one call found while the next one looks */
	ENTRIES = 512, /* of the page table, in one read */
};

static bool scan_missing; /* one thread; set once */

int kona_regions_add(struct kona_regions *list, const struct kona_region *region)
{
	struct kona_region *last = list->count ? &list->v[list->count - 1] : NULL;

	if (last && last->end == region->start && last->categories == region->categories) {
		last->end = region->end;
		return 0;
	}
	if (list->count == list->room) {
		size_t more = list->room ? list->room * 2 : 256;
		void *bigger = realloc(list->v, more * sizeof(*list->v));

		if (!bigger)
			return -ENOMEM;
		list->v = bigger;
		list->room = more;
	}
	list->v[list->count++] = *region;
	return 0;
}

/* One call of PAGEMAP_SCAN; *start moves on to where the walk ended. */
static int scan_some(int pagemap, uint64_t *start, uint64_t end, unsigned int how,
		     struct kona_regions *list)
{
	bool protect = how & KONA_REGIONS_PROTECT;
	struct kona_region found[VECTOR_REGIONS];
	struct kona_scan_arg arg = {
		.size = sizeof(arg),
		.flags = protect ? KONA_SCAN_PROTECT | KONA_SCAN_CHECK_ASYNC : 0,
		.start = *start,
		.end = end,
		.vec = (uint64_t)(uintptr_t)found,
		.vec_len = VECTOR_REGIONS,
		.max_pages = STEP_PAGES,
		.category_inverted = KONA_PAGE_ZERO,
		.category_mask = KONA_PAGE_ZERO | (protect ? KONA_PAGE_WRITTEN : 0),
		.category_anyof_mask = KONA_PAGE_PRESENT | KONA_PAGE_SWAPPED,
		.return_mask = how & KONA_REGIONS_FILES ? KONA_PAGE_FILE : 0,
	};
	int n = ioctl(pagemap, KONA_PAGEMAP_SCAN, &arg);
	int err = 0;

	if (n < 0)
		return -errno;
	for (int i = 0; !err && i < n; i++)
		err = kona_regions_add(list, &found[i]);
	*start = arg.walk_end > *start ? arg.walk_end : end;
	return err;
}

/* The same from the table: bit 63 present, 62 swapped, 61 of a file or shared. */
static int read_table(int pagemap, uint64_t *start, uint64_t end, struct kona_regions *list)
{
	uint64_t entries[ENTRIES];
	size_t want = (end - *start) / KONA_PAGE_BYTES;
	ssize_t n;

	if (want > ENTRIES)
		want = ENTRIES;
	n = pread(pagemap, entries, want * 8, (off_t)(*start / KONA_PAGE_BYTES * 8));
	if (n < 0)
		return -errno;
	if (n < 8)
		return -ESRCH;
	for (size_t i = 0; i < (size_t)n / 8; i++, *start += KONA_PAGE_BYTES) {
		struct kona_region one = {*start, *start + KONA_PAGE_BYTES, 0};
		int err;

		if (!(entries[i] >> 62))
			continue;
		if (entries[i] >> 61 & 1)
			one.categories |= KONA_PAGE_FILE;
		err = kona_regions_add(list, &one);
		if (err)
			return err;
	}
	return 0;
}

int kona_regions_next(int pagemap, uint64_t *start, uint64_t end, unsigned int how,
		      struct kona_regions *list)
{
	if (!scan_missing) {
		int err = scan_some(pagemap, start, end, how, list);

		if (err != -ENOTTY)
			return err;
		scan_missing = true;
	}
	return how & KONA_REGIONS_PROTECT ? -ENOTTY : read_table(pagemap, start, end, list);
}

int kona_regions_scan(int pagemap, uint64_t start, uint64_t end, unsigned int how,
		      struct kona_regions *list)
{
	int err = 0;

	while (!err && start < end)
		err = kona_regions_next(pagemap, &start, end, how, list);
	return err;
}

void kona_regions_free(struct kona_regions *list)
{
	free(list->v);
	*list = (struct kona_regions){0};
}
