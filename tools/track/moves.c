/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Following a mapping that mremap(2) moved, without events to tell.
 *
 * Pages vanished here, pages without a past appeared there: they are the same when their contents
 * say so. The first lines that are not zero, of the first pages of every run that vanished, go into
 * a table; those of the first pages of every run that appeared are looked up in it; each hit is a
 * vote for a distance. The distance with most votes is taken when an eighth of the sampled lines
 * hold what they held there (the others may have been written since). (A program that copies into a
 * new mapping and unmaps the old within one window looks the same: watching through a userfaultfd
 * tells the two apart.)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/units.h"
#include "scan.h"

enum {
	SAMPLES = 128, /* pages of a run */
	TABLE_BITS = 16,
	TABLE = 1 << TABLE_BITS,
	VOTES = 64,
	PAGE_KEYS = 8,
	EXPLAINED = 8, /* one line in so many */
};

struct seen {
	uint64_t key, page;
};

struct vote {
	uint64_t distance; /* wraps */
	unsigned int count;
};

/* The line's hash, or a sum that stands for its contents; 0 for a line of zeros. */
static uint64_t line_key(const struct kona_target *target, const void *slot, unsigned int line)
{
	const uint64_t *words = slot;
	uint64_t key = 0;

	if (target->kept == KONA_KEPT_HASH) {
		uint64_t zero;

		memcpy(&zero, target->scan->zero_hashes + 8 * (size_t)line, 8);
		return words[line] ^ zero;
	}
	for (unsigned int i = 0; i < 8; i++)
		key = (key ^ words[line * 8 + i]) * UINT64_C(0x9e3779b97f4a7c15);
	return key;
}

/*
 * What stands for a page: its first lines that are not zero, each with its place in the page.
 * Returns how many.
 */
static unsigned int page_keys(const struct kona_target *target, const void *slot,
			      uint64_t keys[PAGE_KEYS])
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < KONA_PAGE_LINES && count < PAGE_KEYS; i++) {
		uint64_t key = line_key(target, slot, i);

		if (key)
			keys[count++] = (key + i) | 1;
	}
	return count;
}

static void *read_page(struct kona_target *target, uint64_t page, uint8_t *hashes)
{
	char *buffer = target->scan->buffer[0];

	if (pread(target->memory, buffer, KONA_PAGE_BYTES, (off_t)(page * KONA_PAGE_BYTES)) !=
	    KONA_PAGE_BYTES)
		return NULL;
	if (target->kept == KONA_KEPT_COPY)
		return buffer;
	target->lines->hash(buffer, hashes, target->key);
	return hashes;
}

static size_t place_in_table(uint64_t key)
{
	return key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - TABLE_BITS);
}

static void fill_table(const struct kona_target *target, struct seen *table)
{
	const struct kona_extents *gone = &target->store.orphans;
	size_t filled = 0;

	for (size_t i = 0; i < gone->count; i++) {
		const struct kona_extent *e = &gone->v[i];

		for (uint32_t j = 0; j < e->count && j < SAMPLES; j++) {
			uint64_t keys[PAGE_KEYS];
			unsigned int count = page_keys(
				target, kona_store_slot(&target->store, e->slot + j), keys);

			if (filled + count > TABLE / 2)
				return;
			filled += count;
			while (count-- > 0) {
				size_t at = place_in_table(keys[count]);

				while (table[at].key)
					at = (at + 1) % TABLE;
				table[at] = (struct seen){keys[count], e->page + j};
			}
		}
	}
}

static void add_vote(struct vote *votes, uint64_t distance)
{
	for (size_t i = 0; i < VOTES; i++) {
		if (votes[i].count && votes[i].distance != distance)
			continue;
		votes[i].distance = distance;
		votes[i].count++;
		return;
	}
}

static void vote_for(struct vote *votes, const struct seen *table, uint64_t key, uint64_t page)
{
	for (size_t at = place_in_table(key); table[at].key; at = (at + 1) % TABLE)
		if (table[at].key == key)
			add_vote(votes, page - table[at].page);
}

/* The likeliest distance from the group's pages back to vanished ones; 0: none. */
static uint64_t elect(struct kona_target *target, const struct seen *table,
		      const struct kona_region *run, size_t runs)
{
	struct vote votes[VOTES] = {0};
	uint8_t hashes[KONA_HASH_BYTES] __attribute__((aligned(64)));
	size_t best = 0;

	for (const struct kona_region *end = run + runs; run < end; run++) {
		uint64_t page = run->start / KONA_PAGE_BYTES;

		for (int i = 0; i < SAMPLES && page < run->end / KONA_PAGE_BYTES; i++, page++) {
			const void *slot = read_page(target, page, hashes);
			uint64_t keys[PAGE_KEYS];
			unsigned int count = slot ? page_keys(target, slot, keys) : 0;

			while (count-- > 0)
				vote_for(votes, table, keys[count], page);
		}
	}
	for (size_t i = 1; i < VOTES; i++)
		if (votes[i].count > votes[best].count)
			best = i;
	return votes[best].count ? votes[best].distance : 0;
}

/* Do enough of the sampled lines hold what they held at that distance? */
static bool explains(struct kona_target *target, const struct kona_region *run, size_t runs,
		     uint64_t distance)
{
	uint8_t hashes[KONA_HASH_BYTES] __attribute__((aligned(64)));
	unsigned int equal = 0, compared = 0;

	for (const struct kona_region *end = run + runs; run < end; run++) {
		uint64_t page = run->start / KONA_PAGE_BYTES;

		for (int i = 0; i < SAMPLES && page < run->end / KONA_PAGE_BYTES; i++, page++) {
			const struct kona_extent *e =
				kona_store_find(&target->store.orphans, page - distance);
			const void *now = e ? read_page(target, page, hashes) : NULL;
			const void *then;

			if (!now)
				continue;
			then = kona_store_slot(&target->store,
					       e->slot + (uint32_t)(page - distance - e->page));
			for (unsigned int line = 0; line < KONA_PAGE_LINES; line++) {
				uint64_t key = line_key(target, then, line);

				compared += !!key;
				equal += key && key == line_key(target, now, line);
			}
		}
	}
	return compared && equal * EXPLAINED >= compared;
}

/* Does any line of the page hold what it held then? */
static bool any_equal(const struct kona_target *target, const void *then, const void *now)
{
	for (unsigned int line = 0; line < KONA_PAGE_LINES; line++) {
		uint64_t key = line_key(target, then, line);

		if (key && key == line_key(target, now, line))
			return true;
	}
	return false;
}

/* Pages to be taken back at once. */
struct hold {
	uint64_t page, count;
};

static int take_held(struct kona_target *target, struct hold *hold, uint64_t distance)
{
	uint64_t count = hold->count;

	hold->count = 0;
	return count ? kona_store_move(&target->store, hold->page, hold->page + distance, count)
		     : 0;
}

/*
 * Takes one part of a vanished extent back. A page without any line of the old one was dropped on
 * the way (the mapping shrank, and grew again) and compares with zeros.
 */
static int take_part(struct kona_target *target, struct kona_extent part, uint64_t distance,
		     struct hold *hold)
{
	uint8_t hashes[KONA_HASH_BYTES] __attribute__((aligned(64)));
	char *buffer = target->scan->buffer[0];
	struct iovec local = {buffer, (size_t)part.count * KONA_PAGE_BYTES};
	struct iovec remote = {(void *)(uintptr_t)((part.page + distance) * KONA_PAGE_BYTES),
			       local.iov_len};
	ssize_t n = process_vm_readv(target->pid, &local, 1, &remote, 1, 0);
	size_t got = n < 0 ? 0 : (size_t)n / KONA_PAGE_BYTES;
	int err = 0;

	for (uint32_t i = 0; !err && i < part.count; i++) {
		const void *now = buffer + (size_t)i * KONA_PAGE_BYTES;

		if (i < got && target->kept == KONA_KEPT_HASH) {
			target->lines->hash(now, hashes, target->key);
			now = hashes;
		}
		if (i < got &&
		    !any_equal(target, kona_store_slot(&target->store, part.slot + i), now))
			continue;
		if (hold->page + hold->count != part.page + i)
			err = take_held(target, hold, distance);
		if (!hold->count)
			hold->page = part.page + i;
		hold->count++;
	}
	return err;
}

/* Takes back what vanished at that distance. */
static int take_back(struct kona_target *target, const struct kona_region *run, uint64_t distance)
{
	uint64_t start = run->start / KONA_PAGE_BYTES - distance;
	uint64_t end = run->end / KONA_PAGE_BYTES - distance;
	struct hold hold = {0};
	int err = 0;

	while (!err && start < end) {
		const struct kona_extent *e = kona_store_find(&target->store.orphans, start);
		uint64_t count;

		if (!e) {
			start++;
			continue;
		}
		count = e->page + e->count - start;
		if (count > end - start)
			count = end - start;
		if (count > READ_PAGES)
			count = READ_PAGES;
		err = take_part(target,
				(struct kona_extent){start, (uint32_t)count,
						     e->slot + (uint32_t)(start - e->page)},
				distance, &hold);
		start += count;
	}
	return err ? err : take_held(target, &hold, distance);
}

/* The runs of one mapping moved together, if they moved. Returns how many there are from run on. */
static size_t same_mapping(const struct kona_target *target, const struct kona_region *run,
			   size_t left, size_t *mapping)
{
	size_t runs = 1;

	while (target->mappings.v[*mapping].end <= run->start)
		++*mapping;
	while (runs < left && run[runs].start < target->mappings.v[*mapping].end)
		runs++;
	return runs;
}

int kona_moves_follow(struct kona_target *target, const struct kona_regions *fresh)
{
	size_t mapping = 0, runs;
	struct seen *table;
	int err = 0;

	if (!target->store.orphans.count)
		return 0;
	table = calloc(TABLE, sizeof(*table));
	if (!table)
		return -ENOMEM;
	fill_table(target, table);
	for (size_t i = 0; !err && i < fresh->count; i += runs) {
		const struct kona_region *run = &fresh->v[i];
		uint64_t distance;

		runs = same_mapping(target, run, fresh->count - i, &mapping);
		distance = elect(target, table, run, runs);
		if (!distance || !explains(target, run, runs, distance))
			continue;
		for (size_t j = 0; !err && j < runs; j++)
			err = take_back(target, run + j, distance);
	}
	free(table);
	return err;
}
