/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data server: serves slabs over TCP (wire/data.h), in a thread of its own.
 *
 *   socket -> data-server (connections, deadlines) -> data-request (checks, replies) -> slab
 *
 * Its lock guards the slabs; the thread holds it while it serves, so others get it within a
 * millisecond or two. A peer that does not behave loses its connection, and nobody else notices.
 */
#ifndef KONA_MEMNODE_DATA_SERVER_H
#define KONA_MEMNODE_DATA_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "memnode/slab.h"

enum {
	KONA_DATA_SECRET_BYTES = 16,
	KONA_DATA_MOST_CONNECTIONS = 8192,
	/* A reply: two headers, and its pieces page by page. */
	KONA_DATA_MOST_VECTORS =
		2 + KONA_DATA_MOST_READ_BYTES / KONA_PAGE_BYTES + 2 * KONA_DATA_MOST_PIECES,
};

/* A reply that is being sent. */
struct kona_data_reply {
	struct kona_data_header ack, header;
	struct kona_data_failed failed;
	struct kona_data_exposed exposed;
	struct iovec vectors[KONA_DATA_MOST_VECTORS];
	size_t first, count; /* of what is left to send */
	char *copy;	     /* of a tenant's bytes. Owned; or NULL */
};

struct kona_data_server;

/* One peer. The thread's own. */
struct kona_data_connection {
	LIST_ENTRY(kona_data_connection) link;
	struct kona_data_server *server;
	int socket;
	_Alignas(8) char small[128]; /* the buffer until a slab was opened: room for an OPEN */
	char *in;		     /* received bytes: small, or owned */
	size_t in_room, in_first, in_end;
	struct kona_slab **handles; /* owned; each slab counts us as a user */
	uint32_t handle_room;
	bool trusted; /* has opened a slab */
	bool ack_due; /* up to ack_tag */
	bool closing; /* after this reply */
	bool waits_to_send;
	uint32_t ack_tag;
	struct kona_data_reply *reply; /* owned; made for the first request */
	uint64_t since_ns;	       /* of the half request, or of connecting */
};

struct kona_data_server {
	pthread_t thread;
	pthread_mutex_t lock;
	struct kona_slabs slabs;		       /* Guarded by lock */
	uint8_t secret[KONA_DATA_SECRET_BYTES];	       /* Immutable after start */
	int listener;				       /* owned. Immutable after start */
	int epoll, wake;			       /* Immutable after start. Owned */
	bool stop;				       /* Atomic, no edge: looked at after a wake */
	LIST_HEAD(, kona_data_connection) connections; /* the thread's own, like what follows */
	struct kona_data_connection *hot;	       /* which spoke last */
	unsigned int hot_streak;		       /* requests of that one in a row */
	unsigned int connection_count;
	uint64_t told_ns; /* of the last line about a bad peer */
	unsigned int untold;
};

/*
 * Starts serving at a listening socket, which is taken over. Returns 0; -EMFILE, -ENOMEM, -EAGAIN.
 */
KONA_MUST_CHECK int kona_data_server_start(struct kona_data_server *server, int listener,
					   const uint8_t secret[KONA_DATA_SECRET_BYTES]);

/* Ends the thread, the connections and the slabs. */
void kona_data_server_stop(struct kona_data_server *server);

/* --- data-request.c: the thread's, with the lock held ----------------------------------------- */

/*
 * Serves the requests that stand in the connection's buffer, until one is incomplete, its reply
 * cannot be sent at once, or others should have their turn. Returns 0; -errno: the connection is
 * over, *ret_why says why where the peer is to blame.
 */
KONA_MUST_CHECK int kona_data_serve(struct kona_data_connection *connection, const char **ret_why);

/* Goes on sending. Returns 0, also when there is still something left; -errno. */
KONA_MUST_CHECK int kona_data_send(struct kona_data_connection *connection);

/* Bytes that the next request needs in the buffer. */
size_t kona_data_wanted_bytes(const struct kona_data_connection *connection);

#endif
