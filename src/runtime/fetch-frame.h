/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fetch of the guard path: brings a missing page, and those that the thread's trend foretells,
 * into frames.
 */
#ifndef KONA_RUNTIME_FETCH_FRAME_H
#define KONA_RUNTIME_FETCH_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct kona_prefetch;
struct kona_space;

/*
 * Brings in `page`, whose entry was just seen to be `seen` (ABSENT or REMOTE). 0; -ESTALE: it
 * changed, look again; -EAGAIN: no frame is free. A store that fails is the end of the program.
 * Any thread that runs guards.
 */
KONA_MUST_CHECK int kona_fetch_frames(struct kona_space *space, struct kona_prefetch *prefetch,
				      uint64_t page, uint64_t seen);

/* Brings in what is REMOTE of these pages, as far as frames can be spared; it may arrive later. */
void kona_fetch_ahead(struct kona_space *space, uint64_t first, uint64_t pages);

/* The thread comes to a page that was brought in ahead, or is on its way: asks for what will be
 * next after that. */
void kona_fetch_follow(struct kona_space *space, struct kona_prefetch *prefetch, uint64_t page);

/* Brings back a page seen as COOLING. False: it changed, look again. */
KONA_MUST_CHECK bool kona_fetch_recall(struct kona_space *space, struct kona_prefetch *prefetch,
				       uint64_t page, uint64_t seen);

#endif
