/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prefetch on the guards' miss path: which pages a thread will want next, from those it missed.
 *
 * After Leap (Al Maruf & Chowdhury, USENIX ATC 2020): the majority among the last strides, found in
 * a window that grows until there is one, so that a few stray accesses do not hide a trend. How far
 * to run ahead follows from how much of the last run was used. Pages that were brought in ahead
 * enter the table as COOLING, so the first touch of each is seen (a miss without network), which
 * tells accuracy exactly.
 */
#ifndef KONA_RUNTIME_PREFETCH_H
#define KONA_RUNTIME_PREFETCH_H

#include <stdint.h>

enum {
	KONA_PREFETCH_HISTORY = 32,
	KONA_PREFETCH_MOST = 63, /* pages ahead of the one that was missed */
};

/* A thread's own. All zeros: nothing known. */
struct kona_prefetch {
	uint64_t last_page;
	int64_t strides[KONA_PREFETCH_HISTORY]; /* a ring */
	uint32_t noted;				/* strides so far */
	uint64_t run_first;			/* the run foretold last */
	int64_t run_stride;
	uint32_t window_pages; /* of that run: how far to run ahead; 0: not at all */
	uint32_t before_pages; /* of the run before it, which it followed; 0: none */
	uint32_t used;	       /* pages touched since it was foretold */
};

/* The thread missed `page`: puts pages to bring in with it into pages[KONA_PREFETCH_MOST], the
 * nearest first; returns how many. They may lie outside of VFMem. */
uint32_t kona_prefetch_plan(struct kona_prefetch *prefetch, uint64_t page, uint64_t *pages);

/*
 * The thread comes to `page`, which was brought in ahead, or is on its way. When it has come to the
 * run foretold last, the next one is due, if it is to arrive in time: the same as above.
 */
uint32_t kona_prefetch_follow(struct kona_prefetch *prefetch, uint64_t page, uint64_t *pages);

/* The thread touched a page that was brought in ahead. */
void kona_prefetch_used(struct kona_prefetch *prefetch);

#endif
