/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP server in front of the API: one thread, which is the only one that touches the rack.
 */
#ifndef KONA_RACK_SERVE_H
#define KONA_RACK_SERVE_H

#include "rack/rack.h"

struct MHD_Daemon;

/*
 * Serves on a listening stream socket, which it takes over. Returns 0 or -ENOMEM/-EIO. Until
 * kona_rack_serve_stop() the rack belongs to the server's thread.
 */
KONA_MUST_CHECK int kona_rack_serve_start(struct kona_rack *rack, int listener,
					  struct MHD_Daemon **ret_daemon);
void kona_rack_serve_stop(struct MHD_Daemon *daemon);

#endif
