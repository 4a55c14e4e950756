/* SPDX-License-Identifier: BSD-2-Clause */
/* A map from pointers to numbers that grows; all zero is an empty one. Ends the program when memory
 * is out. For one thread. */
#ifndef KONA_CC_MAP_H
#define KONA_CC_MAP_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "cc/memory.h"

struct kona_map {
	struct {
		const void *key;
		size_t value;
	} * slots;
	size_t room; /* a power of two, or 0 */
	size_t count;
};

static inline size_t kona_map_place(const struct kona_map *map, const void *key)
{
	size_t at = ((uintptr_t)key * UINT64_C(0x9e3779b97f4a7c15)) >> 20;

	for (;; at++) {
		at &= map->room - 1;
		if (!map->slots[at].key || map->slots[at].key == key)
			return at;
	}
}

/* The number of `key`, or `otherwise`. */
static inline size_t kona_map_get(const struct kona_map *map, const void *key, size_t otherwise)
{
	size_t at;

	if (!map->room)
		return otherwise;
	at = kona_map_place(map, key);
	return map->slots[at].key ? map->slots[at].value : otherwise;
}

static inline void kona_map_set(struct kona_map *map, const void *key, size_t value)
{
	size_t at;

	if (2 * map->count >= map->room) {
		struct kona_map larger = {.room = map->room ? 2 * map->room : 64};

		larger.slots = kona_opt_zeros(larger.room, sizeof(*larger.slots));
		for (size_t i = 0; i < map->room; i++)
			if (map->slots[i].key) {
				larger.slots[kona_map_place(&larger, map->slots[i].key)] =
					map->slots[i];
				larger.count++;
			}
		free(map->slots);
		*map = larger;
	}
	at = kona_map_place(map, key);
	if (!map->slots[at].key)
		map->count++;
	map->slots[at].key = key;
	map->slots[at].value = value;
}

static inline void kona_map_free(struct kona_map *map)
{
	free(map->slots);
	*map = (struct kona_map){0};
}

#endif
