/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kona: memory that lives elsewhere. Link with -lkona, run under `kona run`.
 *
 * Every pointer that kona_alloc(), malloc() or a large anonymous mmap() returns may be far. It can
 * be used like any other; a plain access of a page that is not local takes a page fault. The calls
 * below reach far memory without page faults. In a program that does not run under `kona run` all
 * memory is local, and they work on it all the same.
 *
 * All calls may be made by several threads at once, and block no longer than the memory node takes
 * to answer. A page that no memory node can deliver ends the program, as a bad page of local memory
 * would. Those that return int return 0 or -errno.
 */
#ifndef KONA_KONA_H
#define KONA_KONA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KONA_API __attribute__((visibility("default")))

/* Memory for size_bytes, at a multiple of 16; NULL and errno when there is no more. */
KONA_API void *kona_alloc(size_t size_bytes);
KONA_API void kona_free(void *memory);

/* Copies a range out of far memory, and into it; any length and alignment. `to` and `from` may both
 * be far; the ranges must not overlap. */
KONA_API void kona_read(void *to, const void *from, size_t size_bytes);
KONA_API void kona_write(void *to, const void *from, size_t size_bytes);

enum kona_pin_for {
	KONA_PIN_READ = 0,
	KONA_PIN_WRITE = 1, /* the whole range counts as written */
};

/* A range that stays local. */
struct kona_pin {
	void *address;	   /* where to access it: size_bytes from here */
	const void *range; /* what was pinned */
	size_t size_bytes;
};

/*
 * Brings a range in and keeps it local until kona_unpin(). A range within one 4 KiB page costs no
 * fault; a longer one takes one per page, for its address must be contiguous. -ENOSPC: more than
 * half of the local memory would be pinned. -EINVAL: an empty range.
 */
KONA_API int kona_pin(const void *range, size_t size_bytes, enum kona_pin_for what,
		      struct kona_pin *ret_pin);
KONA_API void kona_unpin(const struct kona_pin *pin);

/* Hint: the range is needed soon. Brings in what there is room for, in one round trip per 32 pages.
 */
KONA_API void kona_prefetch(const void *range, size_t size_bytes);

/* The contents of the range are of no use any more: whole pages in it read as zeros afterwards, and
 * are not written back. */
KONA_API void kona_discard_range(void *range, size_t size_bytes);

/* What this process counted so far; counters only grow, the last three are levels. */
struct kona_counts {
	uint64_t faults;	      /* page faults of far memory */
	uint64_t guard_misses;	      /* misses that fetched, without a fault */
	uint64_t fetched_pages;	      /* 4 KiB, from memory nodes */
	uint64_t prefetched_pages;    /* of those and of zero pages: before they were asked for */
	uint64_t prefetch_used_pages; /* of those, on the guard path: touched before they left */
	uint64_t recalled_pages;      /* on their way out, and wanted again */
	uint64_t evicted_pages;
	uint64_t evicted_clean_pages; /* of those: nothing was written back */
	uint64_t dirty_lines;	      /* 64 B, found at eviction */
	uint64_t written_back_bytes;  /* headers included */
	uint64_t system_calls;	      /* of the runtime, to fetch and to write back */
	uint64_t local_pages;
	uint64_t local_budget_bytes;
	uint64_t remote_bytes;
};

/* Fills *ret_counts; `size_bytes` is its size, so that later versions can add to its end.
 * -ENOTCONN: the program does not run under `kona run`. -EINVAL: the size is of no version. */
KONA_API int kona_counts(struct kona_counts *ret_counts, size_t size_bytes);

/* Changes how much memory is local, metadata included. Returns when it holds. -EINVAL: too little
 * to work with; -EBUSY: pinned pages are in the way; -ENOTCONN. */
KONA_API int kona_set_local(uint64_t bytes);

#ifdef __cplusplus
}
#endif

#endif
