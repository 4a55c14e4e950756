/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Windows: translations that live on in a loop. A pointer that moves through memory step by step,
 * but not by a count that is known before (chunk.c), stays in a page for many accesses: a scan for
 * an end, the two hands of a partition, a parser's input. Its window says in which page the
 * translation holds, of VFMem or not. Each access compares, and opens the window anew when its
 * address lies outside.
 *
 * Fields of an object that stays the same in the whole loop need no comparison: the object is
 * pinned, which is to say translated on every way into the loop, whether it will be used or not.
 *
 * window.c finds the loops and the pointers; share.c translates by windows.
 */
#ifndef KONA_CC_WINDOW_H
#define KONA_CC_WINDOW_H

#include "cc/opt.h"

enum {
	KONA_OPT_WINDOWS = 4,	     /* in one loop: each owns a slot there */
	KONA_OPT_WINDOW_ACCESS = 64, /* bytes: larger accesses use none */
};

struct kona_opt_window {
	LLVMValueRef start, distance; /* variables */
	LLVMValueRef object;	      /* it is pinned: where it is; NULL: opened when it is used */
	int64_t low, high;	      /* and what of it */
	int64_t store_low, store_high;
	unsigned slot;
	uint64_t most_bytes; /* of an access */
	struct kona_opt_window *next;
};

/* share.c: at the builder's place, translates what is pinned. */
void kona_opt_pin(struct kona_opt_function *f, const struct kona_opt_window *window);

/* Finds what will use a window, and which slots the loops' blocks must leave alone. Sets f's
 * windows, window_of, unshared, taken_behind. */
void kona_opt_find_windows(struct kona_opt_function *f, const struct kona_opt_cfg *cfg);

void kona_opt_free_windows(struct kona_opt_function *f);

#endif
