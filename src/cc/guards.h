/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the three parts of kona-cc agree on: the guards that kona-opt inserts (guards.c), kona-opt
 * itself, and the library that guarded programs link (straddle.c, copy.c, ...).
 *
 * The slots of compiled code: the first hold translations that are shared between accesses.
 */
#ifndef KONA_CC_GUARDS_H
#define KONA_CC_GUARDS_H

enum {
	KONA_CC_SLOTS_SHARED = 10,
	KONA_CC_SLOT_ONCE = 10,	 /* an access by itself */
	KONA_CC_SLOT_OTHER = 11, /* the second pointer of such an access */
};

#define KONA_CC_WINDOW_CLOSED ((__UINTPTR_TYPE__)-8192) /* a start in the page of nothing */

/*
 * Translates an access of `bytes` at p, in `slot`, leaving the distance in kona_cc_found, and marks
 * what it covers if `stores`. One that leaves its page halfway is not translated: it goes by the
 * fault path. And loads and stores up to a page
 * across the border of pages, far or not. They save every general register, so that the rare case
 * costs the common one no spills. For compiled code only.
 */
#ifdef __clang__
#pragma GCC visibility push(hidden)
__attribute__((preserve_most)) void kona_cc_straddle_load(void *to, const void *from,
							  unsigned long size_bytes);
__attribute__((preserve_most)) void kona_cc_straddle_store(void *to, const void *from,
							   unsigned long size_bytes);
__attribute__((preserve_most)) void kona_cc_elsewhere(const void *p, unsigned slot,
						      unsigned long bytes, int stores);
#pragma GCC visibility pop
#endif

/* Thread-local. What kona_cc_elsewhere() returns: clang 14 keeps no return value of such functions.
 */
extern __thread __UINTPTR_TYPE__ kona_cc_found __attribute__((tls_model("initial-exec")));

#endif
