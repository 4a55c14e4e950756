/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections to other nodes' data endpoints, made for programs of this host and for the copier.
 */
#ifndef KONA_MEMNODE_DIAL_H
#define KONA_MEMNODE_DIAL_H

#include <event2/event.h>

#include "base/compiler.h"

enum { KONA_DIAL_MS = 1500 };

/* Its call is the end of the dial. socket: the callee's; or -errno. */
typedef void kona_dial_done(void *with, int socket);

struct kona_dial;

/* Begins to connect to "HOST:PORT", a numeric address. Returns 0; -EINVAL, -ENOMEM, -EMFILE. */
KONA_MUST_CHECK int kona_dial_start(struct event_base *base, const char *endpoint,
				    kona_dial_done *done, void *with, struct kona_dial **ret_dial);

/* Gives up; `done` is not called. */
void kona_dial_cancel(struct kona_dial *dial);

/* Connects, blocking for up to KONA_DIAL_MS. Returns the socket or -errno. Any thread. */
KONA_MUST_CHECK int kona_dial_wait(const char *endpoint);

/*
 * Listens at "HOST:PORT", non-blocking; ret_port is the port, also when 0 was asked for. Returns
 * the socket or -errno.
 */
KONA_MUST_CHECK int kona_dial_listen(const char *endpoint, unsigned int *ret_port);

#endif
