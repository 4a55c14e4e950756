/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One call of the rack controller's API. For daemons and the command line: it needs libcurl and
 * jansson, which libkona never links.
 */
#ifndef KONA_WIRE_RACK_CALL_H
#define KONA_WIRE_RACK_CALL_H

#include <jansson.h>

#include "base/compiler.h"

enum {
	KONA_RACK_TEXT_BYTES = 512,
};

/* The controller, and the kept-alive connection to it. One thread at a time. */
struct kona_rack_peer;

/* What an address may be, for messages. */
#define KONA_RACK_ADDRESS_FORMS "https://HOST:PORT, http://HOST:PORT or unix:PATH"

/*
 * `addresses` is one address, or several with commas between them: of these the first that answers
 * and leads is used, as long as it does. pki is the folder with the certificates for https, NULL
 * for the default one. Returns 0; -EINVAL for another form of address; -ENOMEM. Free with
 * kona_rack_peer_free().
 */
KONA_MUST_CHECK int kona_rack_peer_new(const char *addresses, const char *pki,
				       struct kona_rack_peer **ret_peer);
void kona_rack_peer_free(struct kona_rack_peer *peer);

/*
 * Calls METHOD path, with body as JSON unless it is NULL; blocks up to timeout_ms. Returns 0 and
 * *ret_reply (the caller decrefs it) for an answer 2xx; the -errno that the controller named;
 * -EHOSTUNREACH when there is no answer in time; -EPROTO for one that makes no sense. On failure
 * text tells people why.
 */
KONA_MUST_CHECK int kona_rack_call(struct kona_rack_peer *peer, const char *method,
				   const char *path, const json_t *body, unsigned int timeout_ms,
				   json_t **ret_reply, char text[KONA_RACK_TEXT_BYTES]);

#endif
