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
	MOST_LOOKS = 8, /* for a word with room: a cache line */
};

static size_t size_of(const struct kona_freemap *map)
{
	return (map->bits / KONA_FREEMAP_WORD + 1) * sizeof(uint64_t);
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
	uint64_t mask = UINT64_C(1) << bit % KONA_FREEMAP_WORD;
	uint64_t *word = &map->words[bit / KONA_FREEMAP_WORD];
	uint64_t before;

	if (!(kona_load_relaxed(word) & mask)) /* relaxed: the exchange decides */
		return false;
	/* FM-1: acquire, pairs with the release in kona_freemap_give_word(). */
	before = kona_and_acq_rel(word, ~mask);
	if (!(before & mask))
		return false;
	kona_sub_relaxed(&map->free, 1); /* relaxed: a level */
	if (before == UINT64_MAX)
		kona_sub_relaxed(&map->roomy, 1); /* relaxed: a level */
	return true;
}

/* The lowest free bit of a word. */
static bool take_lowest(struct kona_freemap *map, uint32_t index, uint32_t *ret_bit)
{
	uint64_t seen;

	while ((seen = kona_load_relaxed(&map->words[index]))) { /* relaxed: take_bit() decides */
		uint32_t bit = index * KONA_FREEMAP_WORD + (uint32_t)__builtin_ctzll(seen);

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

	if (!kona_load_relaxed(&map->roomy)) /* relaxed: a level */
		return false;
	for (int i = 0; i < MOST_LOOKS; i++, at++) {
		if (at >= words)
			at = 0;
		/* relaxed: take_bit() decides */
		if (kona_load_relaxed(&map->words[at]) == UINT64_MAX &&
		    take_bit(map, at * KONA_FREEMAP_WORD)) {
			kona_store_relaxed(&map->run_cursor, at + 1); /* relaxed: a hint */
			*ret_bit = at * KONA_FREEMAP_WORD;
			return true;
		}
	}
	kona_store_relaxed(&map->run_cursor, at); /* relaxed: a hint */
	return false;
}

/* Of the thread's word; when that has none, of another, which the next thread that looks for one
 * passes by. */
static bool take_any(struct kona_freemap *map, uint32_t words, uint32_t *ret_bit)
{
	static __thread uint32_t home;
	uint32_t at = kona_load_relaxed(&map->cursor); /* relaxed: a hint */

	if (home < words && take_lowest(map, home, ret_bit))
		return true;
	for (uint32_t i = 0; i < words; i++, at++) {
		if (at >= words)
			at = 0;
		if (take_lowest(map, at, ret_bit)) {
			home = at;
			kona_store_relaxed(&map->cursor, at + 1); /* relaxed: a hint */
			return true;
		}
	}
	return false;
}

bool kona_freemap_take(struct kona_freemap *map, uint32_t limit, uint32_t wanted, uint32_t *ret_bit)
{
	uint32_t words = (limit + KONA_FREEMAP_WORD - 1) / KONA_FREEMAP_WORD;

	if (!kona_load_relaxed(&map->free)) /* relaxed: whoever gives now is seen next time */
		return false;
	if (wanted < limit && take_bit(map, wanted)) {
		*ret_bit = wanted;
		return true;
	}
	return take_with_room(map, words, ret_bit) || take_any(map, words, ret_bit);
}

void kona_freemap_give_word(struct kona_freemap *map, uint32_t first, uint64_t mask)
{
	uint32_t index = first / KONA_FREEMAP_WORD;
	uint64_t before;

	/* relaxed: a level, first, so that it is never too low */
	kona_add_relaxed(&map->free, (uint32_t)__builtin_popcountll(mask));
	/* FM-1: release; what the last holder wrote of the frames comes before. */
	before = kona_or_acq_rel(&map->words[index], mask);
	if ((before | mask) == UINT64_MAX)
		kona_add_relaxed(&map->roomy, 1); /* relaxed: a level */
	kona_store_relaxed(&map->cursor, index);  /* relaxed: a hint */
}
