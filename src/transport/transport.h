/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the bytes of a store (the memory that one lease holds on a memory node) are reached.
 *
 *   fetch   --> read()         --+
 *   evict   --> write_lines()  --+--> shm: the node's memfd | pool: nodes on other hosts | null
 *   discard --> discard()      --+
 *
 * Layers over them: seal (encryption), delay (a network that is emulated), chaos (faults).
 *
 * All operations may be called from several threads at once, never allocate, and return 0 or
 * -errno: -EPROTO when the peer or the store does not behave, -EIO when it is gone. All are
 * synchronous, but for reads that are begun by one call and ended by another (flight.h).
 */
#ifndef KONA_TRANSPORT_TRANSPORT_H
#define KONA_TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* The dirty lines of one page: bit i of mask is the line at byte 64 * i. */
struct kona_dirty_page {
	uint64_t offset_bytes; /* of the page in the store */
	uint64_t mask;	       /* not 0 */
	const char *content;   /* the whole page: a layer may store more than the lines in mask */
};

/* One piece to be read; pieces of one call need not be neighbours, at either end. */
struct kona_read {
	uint64_t offset_bytes; /* in the store */
	void *buffer;
	size_t size_bytes;
};

/* Knows what a page must be. */
struct kona_judge {
	/* Takes what the memory node of this name gave, and makes of it what is wanted; or not. */
	bool (*is_right)(struct kona_judge *judge, char *page, const char *node);
};

struct kona_flight;
struct kona_transport;

struct kona_transport_ops {
	const char *name;
	/*
	 * Reads all pieces, in one round trip where there is one. Bytes never written read as
	 * zeros. Adds the kernel calls made to *system_calls.
	 */
	int (*read)(struct kona_transport *transport, const struct kona_read *reads, size_t count,
		    uint64_t *system_calls);
	/*
	 * The same in two steps, for those to whom a read is a round trip; NULL, all three of them:
	 * it is a copy. may_begin: a hint for a read of this place. begin_read() asks for all of
	 * flight->reads, and does not wait; after an error, which means nothing but "not now",
	 * nothing is begun. Every flight that was begun must be ended, by any thread: end_read()
	 * waits until all has come, and returns what read() would.
	 */
	bool (*may_begin)(struct kona_transport *transport, uint64_t offset_bytes);
	int (*begin_read)(struct kona_transport *transport, struct kona_flight *flight,
			  uint64_t *system_calls);
	int (*end_read)(struct kona_transport *transport, struct kona_flight *flight,
			uint64_t *system_calls);
	/*
	 * Stores the dirty lines of count pages; when it returns 0 they are at home. Adds what
	 * crossed the transport, headers included, to *wire_bytes, and the kernel calls made to
	 * *system_calls.
	 */
	int (*write_lines)(struct kona_transport *transport, const struct kona_dirty_page *pages,
			   size_t count, uint64_t *wire_bytes, uint64_t *system_calls);
	/* Gives the memory back; the range reads as zeros afterwards. Page-aligned. */
	int (*discard)(struct kona_transport *transport, uint64_t offset_bytes,
		       uint64_t size_bytes);
	/*
	 * Reads one page from one replica after the other until the judge takes it; those whose
	 * page it does not take count as dead, but for the last. -EBADMSG: it takes none. NULL:
	 * there are no replicas.
	 */
	int (*read_judged)(struct kona_transport *transport, uint64_t offset_bytes, char *page,
			   struct kona_judge *judge);
	/* Hint, or NULL: this page is read next. */
	void (*expect_read)(struct kona_transport *transport, uint64_t offset_bytes);
	/* Hint, or NULL: from now on reads are small, and a system call for each is too much. */
	void (*expect_guards)(struct kona_transport *transport);
	void (*close)(struct kona_transport *transport);
};

struct kona_transport {
	const struct kona_transport_ops *ops;
	uint64_t *slabs;     /* shm: where each slab stands. Atomic, edge TS-1. Owned */
	char **maps;	     /* shm: each slab, once mapped. Atomic, edge TS-2. Owned */
	bool mapping;	     /* shm: slabs are mapped when used. Atomic, no edge: set only */
	uint64_t most_slabs; /* shm. Immutable after init */
	uint64_t slab_bytes; /* shm. Immutable after init */
	struct kona_transport *below; /* chaos, delay: what they change, owned; else NULL */
	uint64_t chaos_countdown;     /* chaos: operations until the fault. Atomic, no edge */
	int chaos_errno;	      /* chaos: the fault */
	uint64_t delay_latency_ns;    /* delay. Immutable after init */
	uint64_t delay_bytes_per_s;   /* delay. Immutable after init */
	uint64_t delay_free_ns[2];    /* delay: in, out. Atomic, edge TD-1 */
};

/* Reads one piece. */
KONA_MUST_CHECK static inline int kona_transport_read(struct kona_transport *transport,
						      uint64_t offset_bytes, void *buffer,
						      size_t size_bytes)
{
	const struct kona_read piece = {offset_bytes, buffer, size_bytes};
	uint64_t system_calls = 0;

	return transport->ops->read(transport, &piece, 1, &system_calls);
}

/*
 * Memory of the node on this host: a store of most_slabs slabs, none of them there yet. slab_bytes
 * is a power of two and at least a page. -ENOMEM, -EINVAL.
 */
KONA_MUST_CHECK int kona_transport_shm_init(struct kona_transport *transport, uint64_t slab_bytes,
					    uint64_t most_slabs);

/*
 * Puts a grant, a memfd of count * slab_bytes, in place of slabs first .. first + count - 1, which
 * are not there yet. Takes over the descriptor. Beside reads and writes of other slabs.
 */
void kona_transport_shm_attach(struct kona_transport *transport, uint64_t first, uint64_t count,
			       int descriptor);

/*
 * The same for one slab, which stands at number * slab_bytes behind the descriptor: closed with the
 * store if it `closes`, which one slab of the descriptor's does.
 */
void kona_transport_shm_attach_one(struct kona_transport *transport, uint64_t slab, int descriptor,
				   uint64_t number, bool closes);

/* Reads zeros, swallows writes: the cost of everything else. */
void kona_transport_null_init(struct kona_transport *transport);

/*
 * Passes through to `below`, except that the operation after the next `after` ones, and every later
 * one, fails with -error. For tests of the layers above.
 */
void kona_transport_chaos_init(struct kona_transport *transport, struct kona_transport *below,
			       uint64_t after, int error);

/*
 * Passes through to `below`, and takes as long as a network of this latency (per operation, of
 * however many pieces) and bandwidth, not 0, which all threads share. For measuring.
 */
void kona_transport_delay_init(struct kona_transport *transport, struct kona_transport *below,
			       uint64_t latency_ns, uint64_t bytes_per_s);

#endif
