/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unix-domain sockets with a name in the file system: one owner per name, nothing stale left.
 */
#ifndef KONA_BASE_UNIX_H
#define KONA_BASE_UNIX_H

#include <limits.h>
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

#endif
