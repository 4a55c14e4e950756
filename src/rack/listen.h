/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the controller listens: "unix:PATH", "HOST:PORT" or "[V6]:PORT".
 */
#ifndef KONA_RACK_LISTEN_H
#define KONA_RACK_LISTEN_H

#include <stdbool.h>

#include "base/unix.h"

struct kona_rack_listener {
	int descriptor;
	bool is_unix;
	struct kona_unix_listener named; /* when is_unix */
	char address[160];		 /* as a client writes it, with the port that was taken */
};

/*
 * Listens. Returns 0; on failure -errno, and why tells people. Anything but loopback is refused
 * unless `insecure`: nobody authenticates yet.
 */
KONA_MUST_CHECK int kona_rack_listen(const char *address, mode_t mode, bool insecure,
				     struct kona_rack_listener *ret_listener, char *why,
				     size_t why_bytes);

/* Removes a Unix socket's name. The descriptor of a TCP one is the server's. */
void kona_rack_unlisten(struct kona_rack_listener *listener);

#endif
