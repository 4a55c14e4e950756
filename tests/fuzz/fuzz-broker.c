/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a packet to the broker: refused, or every field is in its range; nothing beyond the
 * packet is read (the copy is as long as it, for the sanitizers).
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "wire/broker-check.h"

bool fuzz_accepted;

static void check_fields(const union kona_broker_request *request, size_t size)
{
	switch (request->header.type) {
	case KONA_BROKER_HELLO:
		if (size != sizeof(request->hello) ||
		    !memchr(request->hello.program, '\0', sizeof(request->hello.program)))
			abort();
		break;
	case KONA_BROKER_GRANT:
		if (size != sizeof(request->grant) || !request->grant.count ||
		    request->grant.count > KONA_BROKER_MOST_SLABS)
			abort();
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *packet = malloc(size ? size : 1);
	struct kona_broker_header *header = packet;
	const char *why = NULL;

	if (size)
		memcpy(packet, data, size);
	if (size >= sizeof(*header) && header->version == FUZZ_VERSION)
		header->version = KONA_BROKER_VERSION;
	if (!kona_broker_check(packet, size, &why)) {
		check_fields(packet, size);
		fuzz_accepted = true;
	} else if (!why) {
		abort();
	}
	why = NULL;
	if (!kona_broker_check_report(packet, size, &why))
		fuzz_accepted = true;
	else if (!why)
		abort();
	free(packet);
	return 0;
}
