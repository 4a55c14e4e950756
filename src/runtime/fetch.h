/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fetch: makes a missing page, and what a sequential reader will want next, local and mapped.
 */
#ifndef KONA_RUNTIME_FETCH_H
#define KONA_RUNTIME_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct kona_space;

enum {
	KONA_FETCH_MOST_PAGES =
		64, /* fault-around: 256 KiB, where UFFDIO_COPY's price levels off */
	KONA_FETCH_STREAMS = 16,
};

/* A sequence of faults that each began where the run before it ended. */
struct kona_stream {
	uint64_t next_page;
	uint64_t used_tick;
	uint32_t window_pages;
};

struct kona_fetch {
	char *bounce;	   /* a run as it comes from the store. Owned */
	const char *zeros; /* a run of zeros; never written, so it costs no memory. Owned */
	uint64_t tick;
	struct kona_stream streams[KONA_FETCH_STREAMS];
};

KONA_MUST_CHECK int kona_fetch_init(struct kona_fetch *fetch);

/*
 * Brings in `page`, whose entry was just seen to be `seen` (ABSENT or REMOTE), and maps it; threads
 * that wait for it are woken. write: the access is a store.
 * -ESTALE: the entry changed, look again. -EAGAIN: no frame is free, or a fork event is unread: try
 * again later. A store that fails is the end of the program (fatal.h). Only the fault handler
 * calls.
 */
KONA_MUST_CHECK int kona_fetch(struct kona_space *space, uint64_t page, uint64_t seen, bool write);

#endif
