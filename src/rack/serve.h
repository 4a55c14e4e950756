/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP server in front of the API. It has no thread: its owner polls kona_rack_serve_fd() and
 * calls kona_rack_serve_run() and kona_rack_serve_flush(), so one thread does all there is.
 */
#ifndef KONA_RACK_SERVE_H
#define KONA_RACK_SERVE_H

#include "rack/rack.h"

struct kona_rack_server;

/*
 * Serves on a listening stream socket, which it takes over. pki: the folder with the certificates,
 * with which everybody must prove who they are (see wire/pki.h); NULL: no TLS. Returns 0, -ENOMEM,
 * -EIO, or -errno of a file in the folder.
 */
KONA_MUST_CHECK int kona_rack_serve_start(struct kona_rack *rack, int listener, const char *pki,
					  struct kona_rack_server **ret_server);
void kona_rack_serve_stop(struct kona_rack_server *server);

/* Readable when there is something to do. */
int kona_rack_serve_fd(const struct kona_rack_server *server);
/* Does it, and never blocks but for the state file. Returns after how many milliseconds it wants to
 * be called at last. */
int kona_rack_serve_run(struct kona_rack_server *server);
/*
 * Makes durable what the requests (and the tick) of this round have changed, and lets their answers
 * go. Returns true when there were any: then run must follow at once.
 */
bool kona_rack_serve_flush(struct kona_rack_server *server);

#endif
