/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a rack controller answers, as tables for people.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "cli/rack-admin.h"

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text && text[0] ? text : "-";
}

static long long number_of(const json_t *object, const char *name)
{
	return (long long)json_integer_value(json_object_get(object, name));
}

static const char *size(long long bytes)
{
	static char texts[4][16];
	static unsigned int next;

	return kona_size_format((uint64_t)bytes, texts[next++ % 4], sizeof(texts[0]));
}

static const char *state_of(const json_t *node)
{
	const char *state = text_of(node, "state");

	if (!json_is_true(json_object_get(node, "draining")) || strcmp(state, "up") != 0)
		return state;
	return number_of(node, "slabs") || number_of(node, "dropping") ? "draining" : "drained";
}

void kona_rack_show_nodes(const json_t *status)
{
	const json_t *node;
	size_t i;

	printf("%-16s %-8s %-12s %-22s %10s %10s %7s %8s %10s\n", "NODE", "STATE", "DOMAIN",
	       "ENDPOINT", "CAPACITY", "GRANTED", "SLABS", "DROPPING", "QUOTA");
	json_array_foreach (json_object_get(status, "nodes"), i, node)
		printf("%-16s %-8s %-12s %-22s %10s %10s %7lld %8lld %10s\n", text_of(node, "name"),
		       state_of(node), text_of(node, "domain"), text_of(node, "endpoint"),
		       size(number_of(node, "capacity_bytes")),
		       size(number_of(node, "granted_bytes")), number_of(node, "slabs"),
		       number_of(node, "dropping"),
		       number_of(node, "quota_bytes") ? size(number_of(node, "quota_bytes"))
						      : "none");
}

void kona_rack_show_status(const json_t *status)
{
	const json_t *rack = json_object_get(status, "rack");
	long long up = 0, down = 0, leaving = 0, capacity = 0, granted = 0;
	const json_t *node;
	size_t i;

	json_array_foreach (json_object_get(status, "nodes"), i, node) {
		bool is_up = !strcmp(text_of(node, "state"), "up");

		up += is_up;
		down += !is_up;
		leaving += json_is_true(json_object_get(node, "draining"));
		capacity += is_up ? number_of(node, "capacity_bytes") : 0;
		granted += number_of(node, "granted_bytes");
	}
	printf("nodes     %lld up, %lld down, %lld draining\n", up, down, leaving);
	printf("memory    %s granted (every copy counted) of %s\n", size(granted), size(capacity));
	printf("slabs     %lld of %s, %lld copies wanted: %lld degraded, %lld lost\n",
	       number_of(rack, "slabs"), size(number_of(rack, "slab_bytes")),
	       number_of(rack, "replicas"), number_of(rack, "degraded"), number_of(rack, "lost"));
	printf("programs  %lld\n", number_of(rack, "leases"));
}

void kona_rack_show_slabs(const json_t *slabs)
{
	const json_t *slab, *replica;
	size_t i, j;

	printf("%-18s %-18s %-9s %7s  %s\n", "SLAB", "LEASE", "HEALTH", "VERSION", "COPIES");
	json_array_foreach (json_object_get(slabs, "slabs"), i, slab) {
		printf("%-18lld %-18lld %-9s %7lld ", number_of(slab, "slab"),
		       number_of(slab, "lease"), text_of(slab, "health"),
		       number_of(slab, "version"));
		json_array_foreach (json_object_get(slab, "replicas"), j, replica)
			printf(" %s:%s", text_of(replica, "name"), text_of(replica, "state"));
		putchar('\n');
	}
}
