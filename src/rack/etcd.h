/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of etcd's JSON gateway. Numbers of 64 bits are strings there, keys and values base64, and
 * what has its default is left out.
 */
#ifndef KONA_RACK_ETCD_H
#define KONA_RACK_ETCD_H

#include <jansson.h>
#include <stdint.h>

#include "base/compiler.h"

struct kona_etcd;

/*
 * addresses: "https://HOST:PORT" or http, several with commas between. pki: for https, the folder
 * (wire/pki.h) of whom we trust and of who we are; NULL: whom the system trusts, and nobody in
 * particular. Returns 0, -EINVAL, -ENOMEM.
 */
KONA_MUST_CHECK int kona_etcd_new(const char *addresses, const char *pki,
				  struct kona_etcd **ret_etcd);
void kona_etcd_free(struct kona_etcd *etcd);

/*
 * POSTs the body, which it consumes, to a path ("/v3/kv/range"); tries the next server when one
 * does not answer. Returns 0 and *ret_reply (the caller decrefs it); -EIO: no answer, so it is not
 * known whether it was done, or etcd's refusal; -ENOMEM. On failure why tells people.
 */
KONA_MUST_CHECK int kona_etcd_call(struct kona_etcd *etcd, const char *path, json_t *body,
				   json_t **ret_reply, char *why, size_t why_bytes);

/* A text as base64, for keys and values; NULL without memory. */
json_t *kona_etcd_text(const char *text);

/* The text of a base64 field; malloc'd, NULL when it is none. */
char *kona_etcd_text_of(const json_t *object, const char *name);

/* A number as a string, and back; 0 where there is none. */
json_t *kona_etcd_number(int64_t value);
int64_t kona_etcd_number_of(const json_t *object, const char *name);

#endif
