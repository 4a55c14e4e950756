/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread's one buffer of ordinary memory, for data on its way between far memory and the kernel
 * or stdio. It has one user at a time; a signal handler that finds it in use goes without, and the
 * fault path serves it.
 */
#ifndef KONA_CC_BOUNCE_H
#define KONA_CC_BOUNCE_H

#include <stddef.h>

enum {
	KONA_CC_BOUNCE_BYTES = 64 * 1024,	 /* that the thread keeps */
	KONA_CC_BOUNCE_MOST_BYTES = 1024 * 1024, /* that it has, for the time of one use */
};

/* The buffer, now in use by the caller; NULL if `size_bytes` is more than it can be, if it is in
 * use already, or if there is no memory. errno is kept. */
void *kona_cc_bounce_take(size_t size_bytes);

/* Ends the use. errno is kept. */
void kona_cc_bounce_give_back(void);

#endif
