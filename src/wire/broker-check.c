/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Validation of the broker's requests. Stateless; a peer's bytes give -EPROTO, never more.
 */
#include "wire/broker-check.h"

#include <errno.h>
#include <string.h>

static size_t size_of_type(uint16_t type)
{
	switch (type) {
	case KONA_BROKER_ASK:
		return sizeof(struct kona_broker_ask);
	case KONA_BROKER_HELLO:
		return sizeof(struct kona_broker_hello);
	case KONA_BROKER_HOLD:
		return sizeof(struct kona_broker_hold);
	case KONA_BROKER_GRANT:
		return sizeof(struct kona_broker_grant);
	case KONA_BROKER_LINK:
		return sizeof(struct kona_broker_link);
	default:
		return 0;
	}
}

static const char *find_fault_in_header(const struct kona_broker_header *header, size_t size_bytes)
{
	if (size_bytes < sizeof(*header))
		return "shorter than a header";
	if (header->magic != KONA_BROKER_MAGIC)
		return "not the broker protocol";
	return header->version != KONA_BROKER_VERSION ? "another version of the protocol" : NULL;
}

static const char *find_fault(const union kona_broker_request *request, size_t size_bytes)
{
	const char *why = find_fault_in_header(&request->header, size_bytes);

	if (why)
		return why;
	if (!size_of_type(request->header.type))
		return "no such request";
	if (size_bytes != size_of_type(request->header.type))
		return "wrong length";
	switch (request->header.type) {
	case KONA_BROKER_ASK:
		return request->ask.reserved ? "reserved field is not 0" : NULL;
	case KONA_BROKER_HELLO:
		if (!memchr(request->hello.program, 0, sizeof(request->hello.program)))
			return "program name without an end";
		return request->hello.reserved ? "reserved field is not 0" : NULL;
	case KONA_BROKER_HOLD:
		return request->hold.reserved || request->hold.status ? "reserved field is not 0"
								      : NULL;
	case KONA_BROKER_LINK:
		return NULL;
	default:
		if (!request->grant.count || request->grant.count > KONA_BROKER_MOST_SLABS)
			return "slab count out of range";
		return request->grant.reserved ? "reserved field is not 0" : NULL;
	}
}

int kona_broker_check(const union kona_broker_request *request, size_t size_bytes,
		      const char **ret_why)
{
	const char *why = find_fault(request, size_bytes);

	if (!why)
		return 0;
	*ret_why = why;
	return -EPROTO;
}

int kona_broker_check_report(const struct kona_broker_report *report, size_t size_bytes,
			     const char **ret_why)
{
	const char *why = find_fault_in_header(&report->header, size_bytes);

	if (!why && (size_bytes != sizeof(*report) || (report->header.type != KONA_BROKER_TAKEN &&
						       report->header.type != KONA_BROKER_LOST)))
		why = "no such report";
	if (!why)
		return 0;
	*ret_why = why;
	return -EPROTO;
}
