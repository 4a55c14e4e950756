/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One TCP connection to a memory node, the client's end (wire/data.h).
 *
 * Whoever holds the link's lock uses it: a request and its reply, or many logs and then one wait
 * for all of them. A read may be asked for under one holder of the lock and received by another.
 * Waiting spins for a short while, where that has been worth it lately, and then sleeps. Every
 * function has a deadline (kona_now_ns()); allocates nothing.
 *
 * Returns 0; -EREMOTEIO: the node refused this request, `status` says why, the link goes on; any
 * other -errno: the link is over (-ETIMEDOUT, -ECONNRESET, -EPROTO, ...), and closed for both ends.
 */
#ifndef KONA_TRANSPORT_LINK_H
#define KONA_TRANSPORT_LINK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/spin.h"
#include "wire/data.h"

struct kona_flight;

struct kona_link {
	pthread_mutex_t lock;
	int socket;   /* -1: none. Lent. Guarded by lock, like what follows */
	uint32_t tag; /* of the last request */
	int status;   /* of the last refusal */
	struct kona_spin spin;
	uint64_t calls;	  /* kernel calls made so far, for statistics */
	uint64_t *opened; /* a bit per handle. Lent */
	/* Its reply comes next, and must be received before the next request; or NULL. Lent */
	struct kona_flight *flight;
};

/* A piece of a slab that was opened. */
struct kona_link_piece {
	uint32_t handle;
	uint32_t size_bytes; /* at most KONA_DATA_MOST_READ_BYTES */
	uint64_t offset_bytes;
	char *buffer;
};

/* Works on a connected socket. opened: zeros, a bit for each handle that may be used. Lent. */
void kona_link_init(struct kona_link *link, int socket, uint64_t *opened);

/* The socket has become a new connection, which knows no slab yet. */
void kona_link_renew(struct kona_link *link, size_t opened_words);

/* Once nobody uses it any more. The socket stays the caller's, to be closed. */
void kona_link_destroy(struct kona_link *link);

/* Names a slab on this connection, unless that was done before and no flag is given. */
KONA_MUST_CHECK int kona_link_open(struct kona_link *link, const struct kona_data_open *open,
				   uint64_t deadline_ns);

/* Asks where this process may read an open slab by itself. */
KONA_MUST_CHECK int kona_link_expose(struct kona_link *link, const struct kona_data_expose *expose,
				     struct kona_data_exposed *ret_exposed, uint64_t deadline_ns);

/* Asks for pieces, as many as one request takes (KONA_DATA_MOST_*); and receives them. */
KONA_MUST_CHECK int kona_link_ask(struct kona_link *link, const struct kona_link_piece *pieces,
				  size_t count, uint64_t deadline_ns);
KONA_MUST_CHECK int kona_link_receive(struct kona_link *link, const struct kona_link_piece *pieces,
				      size_t count, uint64_t deadline_ns);

/* Reads all pieces. */
KONA_MUST_CHECK int kona_link_read(struct kona_link *link, const struct kona_link_piece *pieces,
				   size_t count, uint64_t deadline_ns);

/* Sends a LOG or a DISCARD whose body stands in one piece. Does not wait for the answer. */
KONA_MUST_CHECK int kona_link_send(struct kona_link *link, enum kona_data_type type,
				   const void *body, size_t size_bytes, uint64_t deadline_ns);

/*
 * Waits for the answers to the last `count` (1..64) requests, which kona_link_send() sent. When
 * some were refused: -EREMOTEIO, and *ret_refused has bit i set for the i-th of them.
 */
KONA_MUST_CHECK int kona_link_wait(struct kona_link *link, uint32_t count, uint64_t *ret_refused,
				   uint64_t deadline_ns);

static inline bool kona_link_is_open(const struct kona_link *link, uint32_t handle)
{
	return link->opened[handle / 64] >> handle % 64 & 1;
}

#endif
