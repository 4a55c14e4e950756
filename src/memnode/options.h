/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona-memd's command line.
 */
#ifndef KONA_MEMNODE_OPTIONS_H
#define KONA_MEMNODE_OPTIONS_H

#include <stdint.h>
#include <sys/types.h>

#include "wire/broker.h"

struct kona_options {
	const char *socket, *rack, *pki, *private_folder; /* pki: NULL for the default */
	char name[KONA_BROKER_NAME_BYTES];
	char domain[KONA_BROKER_NAME_BYTES]; /* "": the name */
	const char *data;		     /* NULL: serve no other host */
	const char *fabric;		     /* NULL: none */
	const char *pool;		     /* NULL: memfds */
	uint64_t lend_bytes;		     /* UINT64_MAX: not given */
	mode_t mode;
	int owner_fd, ready_fd;
};

/* Ends the program where they make no sense. */
void kona_options_parse(struct kona_options *options, int argc, char **argv);

#endif
