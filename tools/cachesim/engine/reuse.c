/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reuse distances by counting (Olken's method on a Fenwick tree).
 *
 * Each reference gets a time. The tree counts, over times, those that are the last one of their
 * block: the distance of a reference is how many of them lie after its block's last time. When
 * times run out, the last ones are renumbered 1, 2, ... in their order and time goes on from there.
 *
 * State: the tree and each time's block, as large as twice the blocks at most; each block's last
 * time, in parts that come into being with their first block. What can fail: memory.
 */
#include "reuse.h"

enum {
	FIRST_TIMES = 1 << 16,
	PART_BLOCKS = 1 << 12,
	PARTS = 1 << 20,
	NO_MEMORY = -12,
};

struct kona_reuse {
	const struct kona_sim_host *host;
	uint32_t *tree;	 /* 1 to capacity */
	uint32_t *block; /* of each time */
	uint32_t capacity, now, live;
	uint32_t **last; /* PARTS of PART_BLOCKS; 0: never */
	struct kona_sim_reuse_counts counts;
};

static int make_times(struct kona_reuse *reuse, uint32_t capacity)
{
	uint32_t *tree = reuse->host->map((capacity + 1) * sizeof(*tree));
	uint32_t *block = reuse->host->map((capacity + 1) * sizeof(*block));

	if (!tree || !block)
		return NO_MEMORY;
	reuse->tree = tree;
	reuse->block = block;
	reuse->capacity = capacity;
	return 0;
}

int kona_reuse_create(const struct kona_sim_host *host, struct kona_reuse **ret_reuse)
{
	struct kona_reuse *reuse = host->map(sizeof(*reuse));

	if (!reuse)
		return NO_MEMORY;
	reuse->host = host;
	reuse->last = host->map(PARTS * sizeof(*reuse->last));
	if (!reuse->last || make_times(reuse, FIRST_TIMES))
		return NO_MEMORY;
	*ret_reuse = reuse;
	return 0;
}

static void add(struct kona_reuse *reuse, uint32_t time, uint32_t amount)
{
	for (; time <= reuse->capacity; time += time & -time)
		reuse->tree[time] += amount;
}

static uint32_t sum_to(const struct kona_reuse *reuse, uint32_t time)
{
	uint32_t sum = 0;

	for (; time; time -= time & -time)
		sum += reuse->tree[time];
	return sum;
}

static uint32_t *last_of(const struct kona_reuse *reuse, uint32_t block)
{
	return &reuse->last[block / PART_BLOCKS][block % PART_BLOCKS];
}

/* Renumbers the last times; into larger arrays when more than half of them are in use. */
static int start_over(struct kona_reuse *reuse)
{
	uint32_t *old = reuse->block;
	uint32_t old_capacity = reuse->capacity, live = 0;

	if (reuse->live > old_capacity / 2 && old_capacity < UINT32_C(1) << 31 &&
	    make_times(reuse, old_capacity * 2))
		return NO_MEMORY;
	for (uint32_t time = 1; time <= old_capacity; time++) {
		uint32_t *last = last_of(reuse, old[time]);

		if (*last != time)
			continue;
		*last = ++live;
		reuse->block[live] = old[time];
	}
	for (uint32_t time = 1; time <= reuse->capacity; time++) {
		uint32_t first = time - (time & -time);

		reuse->tree[time] = first >= live ? 0 : (time < live ? time : live) - first;
	}
	reuse->now = live;
	return 0;
}

static uint32_t bucket_of(uint32_t distance)
{
	return distance ? 32 - (uint32_t)__builtin_clz(distance) : 0;
}

int kona_reuse_note(struct kona_reuse *reuse, uint32_t block)
{
	uint32_t **part = &reuse->last[block / PART_BLOCKS];
	uint32_t *last;

	if (!*part)
		*part = reuse->host->map(PART_BLOCKS * sizeof(**part));
	if (!*part || (reuse->now == reuse->capacity && start_over(reuse)))
		return NO_MEMORY;
	last = last_of(reuse, block);
	if (*last && *last == reuse->now) {
		reuse->counts.distance[0]++;
		return 0;
	}
	if (*last) {
		reuse->counts.distance[bucket_of(reuse->live - sum_to(reuse, *last))]++;
		add(reuse, *last, UINT32_MAX);
	} else {
		reuse->counts.cold++;
		reuse->live++;
	}
	*last = ++reuse->now;
	reuse->block[reuse->now] = block;
	add(reuse, reuse->now, 1);
	return 0;
}

const struct kona_sim_reuse_counts *kona_reuse_counts(const struct kona_reuse *reuse)
{
	return &reuse->counts;
}
