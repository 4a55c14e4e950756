/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tracker needs of kernel interfaces that are newer than the headers it is built with
 * (userfaultfd's asynchronous write-protection and PAGEMAP_SCAN are Linux 6.7's). Layouts and
 * numbers are the kernel's ABI: Documentation/admin-guide/mm/{userfaultfd,pagemap}.rst.
 */
#ifndef KONA_TRACK_KERNEL_H
#define KONA_TRACK_KERNEL_H

#include <linux/ioctl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>

#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

enum {
	KONA_PAGE_WRITTEN = 1 << 1,
	KONA_PAGE_FILE = 1 << 2,
	KONA_PAGE_PRESENT = 1 << 3,
	KONA_PAGE_SWAPPED = 1 << 4,
	KONA_PAGE_ZERO = 1 << 5, /* the kernel's shared page of zeros: nobody wrote here */
};

enum {
	KONA_SCAN_PROTECT = 1 << 0,	/* PM_SCAN_WP_MATCHING */
	KONA_SCAN_CHECK_ASYNC = 1 << 1, /* PM_SCAN_CHECK_WPASYNC */
};

/* A run of pages of equal categories: struct page_region. */
struct kona_region {
	uint64_t start, end; /* bytes */
	uint64_t categories;
};

struct kona_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define KONA_PAGEMAP_SCAN _IOWR('f', 16, struct kona_scan_arg)

_Static_assert(sizeof(struct kona_region) == 24, "struct page_region");
_Static_assert(sizeof(struct kona_scan_arg) == 96, "struct pm_scan_arg");

#endif
