/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A data server in a process of its own, and connections to it, for benches.
 */
#ifndef KONA_BENCH_WIRE_COMMON_H
#define KONA_BENCH_WIRE_COMMON_H

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "memnode/capability.h"
#include "memnode/data-server.h"
#include "memnode/dial.h"
#include "transport/link.h"

#define WIRE_SECOND UINT64_C(1000000000)

static const uint8_t wire_secret[16] = "0123456789abcde";

/* Serves at ADDRESS:PORT until it is killed. */
static inline void wire_serve(const char *endpoint)
{
	static struct kona_data_server server;
	unsigned int port;
	int listener = kona_dial_listen(endpoint, &port);

	if (listener < 0 || kona_data_server_start(&server, listener, wire_secret))
		errx(1, "cannot serve at %s", endpoint);
	for (;;)
		pause();
}

/* The same in a child, which ends with us. */
static inline void wire_serve_beside(const char *endpoint)
{
	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	wire_serve(endpoint);
}

static inline int wire_dial(const char *endpoint)
{
	int socket = -1;

	for (int i = 0; i < 200 && socket < 0; i++) {
		socket = kona_dial_wait(endpoint);
		if (socket < 0)
			usleep(10000);
	}
	if (socket < 0)
		errx(1, "%s: %s", endpoint, strerror(-socket));
	return socket;
}

/* A connection on which slab `id` of slab_bytes is handle 0. */
static inline void wire_link(struct kona_link *link, const char *endpoint, uint64_t id,
			     uint64_t slab_bytes)
{
	struct kona_data_open open = {
		.flags = KONA_DATA_CREATE, .slab = id, .generation = 1, .slab_bytes = slab_bytes};

	if (kona_capability_make(wire_secret, id, 1, open.capability))
		errx(1, "no HMAC");
	kona_link_init(link, wire_dial(endpoint), calloc(1, sizeof(uint64_t)));
	if (kona_link_open(link, &open, kona_now_ns() + WIRE_SECOND))
		errx(1, "the server refuses the slab");
}

#endif
