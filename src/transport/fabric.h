/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One-sided reads and writes in a program (pool-fabric -> fabric -> libkona-ofi.so).
 *
 * libfabric lives in a thread of its own, which alone calls it: it allocates, opens descriptors,
 * takes locks, and may hang, none of which the threads of a program can be asked to bear in a miss.
 * Others hand over what they want in one of a few requests, each with memory that the device knows:
 *
 *   FREE -taken by a user-> FILLED -by the thread-> FLYING -> DONE -by the user-> FREE
 *                                  a user that waits no longer: LEFT -by the thread-> FREE
 *
 * So a user keeps its deadline, whatever the network and the library do. What is written stands in
 * the staging memory, which the device knows, too. Who has left a write may use that again all the
 * same: the peer is told of what has arrived, and of nothing else.
 */
#ifndef KONA_TRANSPORT_FABRIC_H
#define KONA_TRANSPORT_FABRIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "transport/ofi.h"
#include "wire/data.h"

enum {
	KONA_FABRIC_REQUESTS = 8,
	KONA_FABRIC_MOST_PIECES = 64,
	KONA_FABRIC_MOST_BYTES = 256 << 10, /* of one request */
	KONA_FABRIC_STAGING_BYTES = KONA_DATA_RING_BYTES,
};

enum kona_fabric_state {
	KONA_FABRIC_FREE,
	KONA_FABRIC_TAKEN,
	KONA_FABRIC_FILLED,
	KONA_FABRIC_FLYING,
	KONA_FABRIC_DONE,
	KONA_FABRIC_LEFT,
};

struct kona_fabric_piece {
	uint64_t there, key; /* at the peer */
	char *buffer;	     /* of a write: in the staging memory */
	uint32_t size_bytes;
};

struct kona_fabric_request {
	uint32_t state; /* Atomic, edge FA-1. What follows belongs to whoever it names */
	int status;
	uint64_t peer;
	uint8_t address[KONA_OFI_ADDRESS_BYTES]; /* of a new peer */
	uint32_t address_bytes;			 /* 0: it is a read or a write */
	bool writes;
	uint32_t count, posted, ended;
	char *memory; /* what is read, piece behind piece. KONA_FABRIC_MOST_BYTES of it */
	struct kona_fabric_piece
		pieces[KONA_FABRIC_MOST_PIECES]; /* buffers that the device knows */
};

struct kona_fabric {
	const struct kona_ofi_ops *ops; /* the thread's, as are the next three */
	struct kona_ofi *ofi;
	struct kona_ofi_region region;	      /* of all memory */
	char path[256], why[160];	      /* of the library; what is wrong */
	char provider[KONA_OFI_NAME_BYTES];   /* Immutable after start, as are the next two */
	uint8_t realm[KONA_DATA_REALM_BYTES]; /* what nodes tell us from others by */
	char *memory;			      /* of all requests, and the staging. Owned */
	char *staging;			      /* KONA_FABRIC_STAGING_BYTES, for what is written */
	uint32_t bell;	   /* Atomic, edge FA-2: rung for each new request; a futex */
	uint32_t sleeps;   /* Atomic, edge FA-4: the thread does, or is about to */
	uint32_t ready;	   /* Atomic, edge FA-3: 1 the thread works, 2 it cannot, 3 it has ended */
	bool stop;	   /* Atomic, no edge: looked at after a ring */
	uint64_t moved_ns; /* the thread's: when a read last began or ended */
	struct kona_fabric_request requests[KONA_FABRIC_REQUESTS];
};

/*
 * Sets it up for this library and provider, and begins nothing. -ENOMEM, -EIO.
 */
KONA_MUST_CHECK int kona_fabric_init(struct kona_fabric *fabric, const char *path,
				     const char *provider);

/* The thread: never returns before kona_fabric_stop(). */
void kona_fabric_run(void *fabric);

/* Waits until the thread has loaded the library. -ENODEV and the reason in fabric->why. */
KONA_MUST_CHECK int kona_fabric_wait_ready(struct kona_fabric *fabric);

/* Ends the thread, once nobody reads, and frees all. */
void kona_fabric_stop(struct kona_fabric *fabric);

/*
 * Makes a peer known; *ret_peer is for reads. Any thread. -ETIMEDOUT; -EBUSY: all requests are
 * taken by reads that do not end.
 */
KONA_MUST_CHECK int kona_fabric_add_peer(struct kona_fabric *fabric, const void *address,
					 uint32_t address_bytes, uint64_t deadline_ns,
					 uint64_t *ret_peer);

/* Reads all pieces, each of at most KONA_FABRIC_MOST_BYTES. Any thread. As above, and -EIO. */
KONA_MUST_CHECK int kona_fabric_read(struct kona_fabric *fabric, uint64_t peer,
				     const struct kona_fabric_piece *pieces, size_t count,
				     uint64_t deadline_ns);

/* Writes all pieces; with 0 the peer can see them. The same. */
KONA_MUST_CHECK int kona_fabric_write(struct kona_fabric *fabric, uint64_t peer,
				      const struct kona_fabric_piece *pieces, size_t count,
				      uint64_t deadline_ns);

#endif
