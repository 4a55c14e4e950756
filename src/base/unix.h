/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unix-domain sockets with a name in the file system: one owner per name, nothing stale left. And
 * packets that carry a descriptor.
 */
#ifndef KONA_BASE_UNIX_H
#define KONA_BASE_UNIX_H

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"

/* A listening socket and the lock that makes this process its only owner. */
struct kona_unix_listener {
	int descriptor;
	int lock; /* PATH.lock, held with flock(2) until close */
	char path[108];
};

/*
 * Listens at path. A socket file that nobody answers is replaced; PATH.lock beside it keeps two
 * owners apart. `type` is SOCK_STREAM or SOCK_SEQPACKET; the descriptors are non-blocking and
 * close-on-exec. Returns 0; -EADDRINUSE when somebody else listens there; -ENAMETOOLONG;
 * -EEXIST when path is something else than a socket; or what the kernel says.
 */
KONA_MUST_CHECK int kona_unix_listen(const char *path, int type, mode_t mode,
				     struct kona_unix_listener *ret_listener);

/* Removes the socket and the lock file and closes both. */
void kona_unix_unlisten(struct kona_unix_listener *listener);

/* Connects, blocking and close-on-exec. Returns 0 and *ret_descriptor, or -errno. */
KONA_MUST_CHECK int kona_unix_connect(const char *path, int type, int *ret_descriptor);

/*
 * Sends one packet, and with it a descriptor unless that is negative. flags: MSG_DONTWAIT or 0.
 * Never raises SIGPIPE; allocates nothing. Returns 0 or -errno.
 */
KONA_MUST_CHECK int kona_unix_send(int socket, const void *packet, size_t size_bytes,
				   int descriptor, int flags);

/*
 * Receives one packet, and at most one descriptor, close-on-exec; more of them are closed. flags:
 * MSG_DONTWAIT or 0. Returns the packet's whole size, which may exceed size_bytes; 0 at the end;
 * -errno. *ret_descriptor, set unless -errno is returned: the caller's; -1: none came; -EMFILE: one
 * came for which there was no room.
 */
KONA_MUST_CHECK ssize_t kona_unix_receive(int socket, void *packet, size_t size_bytes, int flags,
					  int *ret_descriptor);

#endif
