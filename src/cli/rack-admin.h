/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pieces of `kona rack`. Each prints its own line when it fails, and returns the exit status.
 */
#ifndef KONA_CLI_RACK_ADMIN_H
#define KONA_CLI_RACK_ADMIN_H

#include <jansson.h>

#include "base/compiler.h"

/* rack-pki.c: makes what is missing in the folder: the authority, and a folder for each host. */
struct kona_rack_pki_wish {
	const char *folder;
	long days;
	char **hosts; /* NAME[=ADDRESS[,ADDRESS...]], NULL at the end */
};

KONA_MUST_CHECK int kona_rack_pki_make(const struct kona_rack_pki_wish *wish);

/* rack-show.c: tables. */
void kona_rack_show_status(const json_t *status);
void kona_rack_show_nodes(const json_t *status);
void kona_rack_show_slabs(const json_t *slabs);

#endif
