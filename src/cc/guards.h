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

/* An access as one number. */
#define KONA_CC_ACCESS(slot, bytes, stores) \
	((unsigned long)(bytes) << 8 | (unsigned long)(slot) << 1 | (unsigned long)(stores))
#define KONA_CC_ACCESS_BYTES(access)  ((access) >> 8)
#define KONA_CC_ACCESS_SLOT(access)   ((unsigned)(access) >> 1 & 127)
#define KONA_CC_ACCESS_STORES(access) ((access)&1)

/*
 * Translates an access (KONA_CC_ACCESS) at p: brings its page in, marks what it covers if it
 * stores, and returns the distance. One that leaves its page halfway is not translated: it goes by
 * the fault path. And loads and stores up to a page across the border of pages, far or not. They
 * save every general register, so that the rare case costs the common one no spills. (clang 14
 * keeps no return value when it compiles such functions: they are in assembly.) For compiled code
 * only.
 */
#ifdef __clang__
#pragma GCC visibility push(hidden)
/* A function's record (kona/sleepers.h) is met for the first time. Returns its word. */
__attribute__((preserve_most, cold)) int kona_cc_enrol(void *record);
__attribute__((preserve_most, cold)) void kona_cc_straddle_load(void *to, const void *from,
								unsigned long size_bytes);
__attribute__((preserve_most, cold)) void kona_cc_straddle_store(void *to, const void *from,
								 unsigned long size_bytes);
__attribute__((preserve_most, cold)) __UINTPTR_TYPE__ kona_cc_elsewhere(const void *p,
									unsigned long access);
#pragma GCC visibility pop
#endif

#endif
