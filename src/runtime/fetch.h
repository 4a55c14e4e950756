/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fetch: makes a missing page, and what a sequential reader will want next, local and mapped.
 */
#ifndef KONA_RUNTIME_FETCH_H
#define KONA_RUNTIME_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "transport/flight.h"
#include "transport/transport.h"

struct kona_space;

enum {
	KONA_FETCH_MOST_PAGES =
		64, /* fault-around: 256 KiB, where UFFDIO_COPY's price levels off */
	KONA_FETCH_FRESH_PAGES = 16,
	KONA_FETCH_STREAMS = 16,
	KONA_FETCH_AHEAD = 4, /* runs that are on their way at once */
};

#define KONA_FETCH_NOTHING_DUE UINT64_MAX

/* Pages in a row that one call brings in. */
struct kona_run {
	uint64_t first;
	uint32_t count;
	bool far; /* in the store; else zeros */
	uint64_t seen[KONA_FETCH_MOST_PAGES];
	uint32_t frames[KONA_FETCH_MOST_PAGES];
	uint64_t system_calls;
};

/* A run that was asked for before anybody touched it. */
struct kona_ahead {
	struct kona_run run; /* its pages that are not mapped yet; none: free */
	uint64_t end;	     /* the page behind it */
	bool received;
	char *buffer; /* Owned */
	struct kona_read piece;
	struct kona_flight flight;
	uint64_t since_ns; /* it was asked for, or received */
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
	struct kona_ahead ahead[KONA_FETCH_AHEAD];
	uint64_t due_page; /* of a run ahead that is received next; KONA_FETCH_NOTHING_DUE */
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

/*
 * What a fault of this page says against code without guards (sleepers.h), in quarters of a fault.
 * 0: the page is not far, or there is room for it. Little, if it was taken away too early, by a
 * clock hand that cannot see who is in use: it is about to learn it (recency.h). Only the fault
 * handler calls, before the fault is served.
 */
uint32_t kona_fetch_blame(struct kona_space *space, uint64_t page);

/* The same as kona_fetch() for a page that is busy, if it is on its way in a run ahead. -ENOENT: it
 * is not. */
KONA_MUST_CHECK int kona_fetch_land(struct kona_space *space, uint64_t page, bool write);

/* Receives and maps the run that the program comes to next. When all faults are served. */
void kona_fetch_advance(struct kona_space *space);

/* Maps what nobody came to in a while: others may wait for these pages. The handler calls it each
 * millisecond while kona_fetch_flies(). */
void kona_fetch_land_old(struct kona_space *space);
bool kona_fetch_flies(const struct kona_fetch *fetch);

#endif
