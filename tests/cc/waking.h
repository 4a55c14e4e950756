/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Far memory whose guards wake at a chosen instruction, for testing what kona-cc compiles. All
 * pages are resident all the time, each at its own address and, where neighbours are apart, in a
 * frame: code may use either, but who goes on behind a page by the page's translation meets
 * another's bytes.
 */
#ifndef KONA_TESTS_CC_WAKING_H
#define KONA_TESTS_CC_WAKING_H

enum { WAKING_PAGE = 4096, WAKING_PAGES = 16 };

/* The far memory: WAKING_PAGES pages. */
char *waking_memory(void);
/* Fills it, and all of it as one number. */
void waking_fill(void);
unsigned long waking_digest(void);

/* The guards sleep, and wake before the nth instruction that follows. */
void waking_in(unsigned long instructions);
/* They are awake. Returns instructions that were left until they would have been. */
unsigned long waking_over(void);

#endif
