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

/* How the callers are known, which decides where it may listen. */
enum kona_rack_trust {
	KONA_RACK_TRUST_HOST, /* not at all: this host only */
	KONA_RACK_TRUST_ALL,  /* not at all, by option */
	KONA_RACK_TRUST_TLS,
};

/* Listens. Returns 0; on failure -errno, and why tells people. */
KONA_MUST_CHECK int kona_rack_listen(const char *address, mode_t mode, enum kona_rack_trust trust,
				     struct kona_rack_listener *ret_listener, char *why,
				     size_t why_bytes);

/* Removes a Unix socket's name. The descriptor of a TCP one is the server's. */
void kona_rack_unlisten(struct kona_rack_listener *listener);

#endif
