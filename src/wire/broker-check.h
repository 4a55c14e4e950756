/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is this packet a request that the broker protocol knows? Asked before anything else is read.
 */
#ifndef KONA_WIRE_BROKER_CHECK_H
#define KONA_WIRE_BROKER_CHECK_H

#include <stddef.h>

#include "base/compiler.h"
#include "wire/broker.h"

/* A request, after kona_broker_check(). */
union kona_broker_request {
	struct kona_broker_header header;
	struct kona_broker_ask ask;
	struct kona_broker_hello hello;
	struct kona_broker_hold hold;
	struct kona_broker_grant grant;
	struct kona_broker_link link;
};

/*
 * Checks magic, version, type, length and the range of every field of the packet of size_bytes
 * bytes at request. Returns 0; -EPROTO with *ret_why, a constant text.
 */
KONA_MUST_CHECK int kona_broker_check(const union kona_broker_request *request, size_t size_bytes,
				      const char **ret_why);

/* The same for what a client says about news. */
KONA_MUST_CHECK int kona_broker_check_report(const struct kona_broker_report *report,
					     size_t size_bytes, const char **ret_why);

#endif
