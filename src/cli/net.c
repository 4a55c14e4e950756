/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The networks that can be emulated (transport/delay.c). Stateless.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "cli/run.h"

static const struct {
	const char *name, *numbers;
} networks[] = {{"rdma", "3us:100G"}, {"tcp", "10us:10G"}};

/* Bits per second, with or without K, M or G: powers of 1000, as networks have it. */
static int parse_bandwidth(const char *text, uint64_t *ret_bytes_per_s)
{
	static const char units[] = "KMG";
	const char *unit;
	double bits, most = 1e15;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	bits = strtod(text, &end);
	if (*end) {
		unit = strchr(units, *end);
		if (!unit || end[1])
			return -EINVAL;
		for (const char *u = units; u <= unit; u++)
			bits *= 1000;
	}
	if (!(bits >= 8 && bits <= most))
		return -EINVAL;
	*ret_bytes_per_s = (uint64_t)(bits / 8);
	return 0;
}

int kona_net_parse(const char *text, char ret_value[KONA_NET_TEXT_BYTES])
{
	uint64_t latency_ns, bytes_per_s;
	const char *colon;
	char latency[16];

	for (size_t i = 0; i < KONA_ARRAY_LEN(networks); i++)
		if (!strcmp(text, networks[i].name))
			text = networks[i].numbers;
	colon = strchr(text, ':');
	if (!colon || (size_t)(colon - text) >= sizeof(latency))
		return -EINVAL;
	memcpy(latency, text, (size_t)(colon - text));
	latency[colon - text] = '\0';
	if (kona_duration_parse(latency, &latency_ns) || parse_bandwidth(colon + 1, &bytes_per_s))
		return -EINVAL;
	snprintf(ret_value, KONA_NET_TEXT_BYTES, "%" PRIu64 ":%" PRIu64, latency_ns, bytes_per_s);
	return 0;
}
