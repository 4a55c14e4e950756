/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The map of free frames (fetch-frame -> frame -> freemap <- evict, discard). A word is 64 frames,
 * 256 KiB: runs of that length cost a sequential reader next to nothing.
 *
 * State: the words. No locks: a bit is taken and given by one atomic operation on its word. What
 * can fail: the mapping at start.
 */
#include "runtime/freemap.h"

#include <errno.h>
#include <stddef.h>

#include "base/atomic.h"
#include "runtime/os.h"

enum {
	WORD_BITS = 64,
	MOST_LOOKS = 8, /* for a word with room: a cache line */
};

static size_t size_of(const struct kona_freemap *map)
{
	return (map->bits / WORD_BITS + 1) * sizeof(uint64_t);
}

int kona_freemap_init(struct kona_freemap *map, uint32_t bits)
{
	*map = (struct kona_freemap){.bits = bits};
	map->words = kona_os_alloc(size_of(map));
	return map->words ? 0 : -ENOMEM;
}

void kona_freemap_destroy(struct kona_freemap *map)
{
	if (map->words)
		kona_os_munmap(map->words, size_of(map));
	*map = (struct kona_freemap){0};
}

static bool take_bit(struct kona_freemap *map, uint32_t bit)
{
	uint64_t mask = UINT64_C(1) << bit % WORD_BITS;
	uint64_t *word = &map->words[bit / WORD_BITS];

	if (!(kona_load_relaxed(word) & mask)) /* relaxed: the exchange decides */
		return false;
	/* FM-1: acquire, pairs with the release in kona_freemap_give(). */
	if (!(kona_and_acq_rel(word, ~mask) & mask))
		return false;
	kona_sub_relaxed(&map->free, 1); /* relaxed: a level */
	return true;
}

/* The lowest free bit of a word. */
static bool take_lowest(struct kona_freemap *map, uint32_t index, uint32_t *ret_bit)
{
	uint64_t seen;

	while ((seen = kona_load_relaxed(&map->words[index]))) { /* relaxed: take_bit() decides */
		uint32_t bit = index * WORD_BITS + (uint32_t)__builtin_ctzll(seen);

		if (take_bit(map, bit)) {
			*ret_bit = bit;
			return true;
		}
	}
	return false;
}

/* The first bit of a word all of which is free. */
static bool take_with_room(struct kona_freemap *map, uint32_t words, uint32_t *ret_bit)
{
	uint32_t at = kona_load_relaxed(&map->run_cursor); /* relaxed: a hint */

	for (int i = 0; i < MOST_LOOKS; i++, at++) {
		if (at >= words)
			at = 0;
		/* relaxed: take_bit() decides */
		if (kona_load_relaxed(&map->words[at]) == UINT64_MAX &&
		    take_bit(map, at * WORD_BITS)) {
			kona_store_relaxed(&map->run_cursor, at + 1); /* relaxed: a hint */
			*ret_bit = at * WORD_BITS;
			return true;
		}
	}
	kona_store_relaxed(&map->run_cursor, at); /* relaxed: a hint */
	return false;
}

static bool take_any(struct kona_freemap *map, uint32_t words, uint32_t *ret_bit)
{
	uint32_t at = kona_load_relaxed(&map->cursor); /* relaxed: a hint */

	for (uint32_t i = 0; i < words; i++, at++) {
		if (at >= words)
			at = 0;
		if (take_lowest(map, at, ret_bit)) {
			kona_store_relaxed(&map->cursor, at); /* relaxed: a hint */
			return true;
		}
	}
	return false;
}

bool kona_freemap_take(struct kona_freemap *map, uint32_t limit, uint32_t wanted, uint32_t *ret_bit)
{
	uint32_t words = (limit + WORD_BITS - 1) / WORD_BITS;

	if (!kona_load_relaxed(&map->free)) /* relaxed: whoever gives now is seen next time */
		return false;
	if (wanted < limit && take_bit(map, wanted)) {
		*ret_bit = wanted;
		return true;
	}
	return take_with_room(map, words, ret_bit) || take_any(map, words, ret_bit);
}

void kona_freemap_give(struct kona_freemap *map, uint32_t bit)
{
	kona_add_relaxed(&map->free, 1); /* relaxed: a level, first, so that it is never too low */
	/* FM-1: release; what the last holder wrote of the frame comes before. */
	kona_or_acq_rel(&map->words[bit / WORD_BITS], UINT64_C(1) << bit % WORD_BITS);
	kona_store_relaxed(&map->cursor, bit / WORD_BITS); /* relaxed: a hint */
}
