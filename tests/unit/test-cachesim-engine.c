/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one-pass engine against a naive simulator of one configuration, on random traces. It would
 * catch any shortcut of the engine (inline filter, LRU vectors, pruning across set counts, lazy
 * dirty accounting) that changes a single count of any configuration on any code path.
 *
 * The naive side keeps every cache as a plain array with time stamps and a dirty flag per line, and
 * counts a write-back when it happens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "engine/engine.h"

enum { ACCESSES = 60000, NAIVE_LINES_MAX = 1 << 15 };

struct naive_frame {
	uint64_t block; /* + 1; 0: empty */
	uint64_t used;
	uint8_t *dirty; /* per line */
};

struct naive_cache {
	uint64_t sets, ways, block_lines;
	struct naive_frame *frames;
	uint64_t clock;
	uint64_t misses[KONA_SIM_SIDES], writebacks, writeback_lines;
};

struct access {
	uint64_t address;
	uint32_t bytes;
	enum kona_sim_kind kind;
	uint32_t core;
};

static struct access trace[ACCESSES];
static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return random_state >> 33;
}

static void *map_zeroed(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void naive_init(struct naive_cache *cache, uint64_t sets, uint64_t ways,
		       uint64_t block_lines)
{
	*cache = (struct naive_cache){.sets = sets, .ways = ways, .block_lines = block_lines};
	cache->frames = calloc(sets * ways, sizeof(*cache->frames));
	assert_non_null(cache->frames);
	for (uint64_t i = 0; i < sets * ways; i++) {
		cache->frames[i].dirty = calloc(block_lines, 1);
		assert_non_null(cache->frames[i].dirty);
	}
}

static void naive_free(struct naive_cache *cache)
{
	for (uint64_t i = 0; i < cache->sets * cache->ways; i++)
		free(cache->frames[i].dirty);
	free(cache->frames);
}

static struct naive_frame *naive_find(struct naive_cache *cache, uint64_t line)
{
	uint64_t block = line / cache->block_lines;
	struct naive_frame *set = cache->frames + block % cache->sets * cache->ways;

	for (uint64_t way = 0; way < cache->ways; way++)
		if (set[way].block == block + 1)
			return &set[way];
	return NULL;
}

static uint64_t naive_clean(struct naive_cache *cache, struct naive_frame *frame)
{
	uint64_t lines = 0;

	for (uint64_t i = 0; i < cache->block_lines; i++)
		lines += frame->dirty[i];
	memset(frame->dirty, 0, cache->block_lines);
	cache->writebacks += lines != 0;
	cache->writeback_lines += lines;
	return lines;
}

/* Returns 1 on a miss; *ret_victim is the dirty line that left a cache of one-line blocks, or 0. */
static int naive_touch(struct naive_cache *cache, uint64_t line, int side, uint64_t *ret_victim)
{
	struct naive_frame *frame = naive_find(cache, line);
	uint64_t block = line / cache->block_lines;
	struct naive_frame *set = cache->frames + block % cache->sets * cache->ways;

	*ret_victim = 0;
	cache->clock++;
	if (frame) {
		frame->used = cache->clock;
		return 0;
	}
	cache->misses[side]++;
	frame = set;
	for (uint64_t way = 1; way < cache->ways; way++)
		if (set[way].used < frame->used)
			frame = &set[way];
	if (frame->block && naive_clean(cache, frame))
		*ret_victim = frame->block - 1;
	frame->block = block + 1;
	frame->used = cache->clock;
	return 1;
}

static int naive_dirty(struct naive_cache *cache, uint64_t line)
{
	struct naive_frame *frame = naive_find(cache, line);

	if (!frame)
		return 0;
	frame->dirty[line % cache->block_lines] = 1;
	return 1;
}

struct naive {
	struct naive_cache l1[2], l1i[2], l2[2], l3, dram;
	uint64_t l1_misses[KONA_SIM_SIDES], l2_misses[KONA_SIM_SIDES], l3_misses[KONA_SIM_SIDES];
};

static void naive_below_l3(struct naive *naive, uint64_t line)
{
	if (!naive_dirty(&naive->dram, line)) {
		naive->dram.writebacks++;
		naive->dram.writeback_lines++;
	}
}

static void naive_below_l2(struct naive *naive, uint64_t line)
{
	if (!naive_dirty(&naive->l3, line))
		naive_below_l3(naive, line);
}

static void naive_below_l1(struct naive *naive, uint32_t core, uint64_t line)
{
	if (!naive_dirty(&naive->l2[core], line))
		naive_below_l2(naive, line);
}

static int naive_l3(struct naive *naive, uint64_t line, int side)
{
	uint64_t victim, ignored;

	if (!naive_touch(&naive->l3, line, side, &victim))
		return 0;
	naive_touch(&naive->dram, line, side, &ignored);
	if (victim)
		naive_below_l3(naive, victim);
	return 1;
}

static void naive_access(struct naive *naive, const struct access *a)
{
	uint64_t line[2] = {a->address / 64, (a->address + a->bytes - 1) / 64};
	int count = line[0] == line[1] ? 1 : 2;
	int writes = a->kind == KONA_SIM_WRITE || a->kind == KONA_SIM_MODIFY;
	int side = a->kind == KONA_SIM_FETCH   ? KONA_SIM_SIDE_FETCH
		   : a->kind == KONA_SIM_WRITE ? KONA_SIM_SIDE_WRITE
					       : KONA_SIM_SIDE_READ;
	struct naive_cache *l1 = a->kind == KONA_SIM_FETCH ? naive->l1i : naive->l1;
	uint64_t victim;
	int missed = 0;

	for (int i = 0; i < count; i++) {
		missed |= naive_touch(&l1[a->core], line[i], side, &victim);
		if (writes)
			naive_dirty(&l1[a->core], line[i]);
		if (victim)
			naive_below_l1(naive, a->core, victim);
	}
	if (!missed)
		return;
	naive->l1_misses[side]++;
	missed = 0;
	for (int i = 0; i < count; i++) {
		missed |= naive_touch(&naive->l2[a->core], line[i], side, &victim);
		if (victim)
			naive_below_l2(naive, victim);
	}
	if (!missed)
		return;
	naive->l2_misses[side]++;
	missed = 0;
	for (int i = 0; i < count; i++)
		missed |= naive_l3(naive, line[i], side);
	naive->l3_misses[side] += (uint64_t)missed;
}

static void naive_flush(struct naive *naive)
{
	for (uint32_t core = 0; core < 2; core++) {
		for (uint64_t i = 0; i < naive->l1[core].sets * naive->l1[core].ways; i++)
			if (naive_clean(&naive->l1[core], &naive->l1[core].frames[i]))
				naive_below_l1(naive, core, naive->l1[core].frames[i].block - 1);
		for (uint64_t i = 0; i < naive->l2[core].sets * naive->l2[core].ways; i++)
			if (naive_clean(&naive->l2[core], &naive->l2[core].frames[i]))
				naive_below_l2(naive, naive->l2[core].frames[i].block - 1);
	}
	for (uint64_t i = 0; i < naive->l3.sets * naive->l3.ways; i++)
		if (naive_clean(&naive->l3, &naive->l3.frames[i]))
			naive_below_l3(naive, naive->l3.frames[i].block - 1);
	for (uint64_t i = 0; i < naive->dram.sets * naive->dram.ways; i++)
		naive_clean(&naive->dram, &naive->dram.frames[i]);
}

/* A trace with all that matters: runs, hot spots, rewrites, straddles, two cores, instructions. */
static void make_trace(uint64_t seed, uint64_t span)
{
	uint64_t cursor = 0;
	uint32_t core = 0;

	random_state = seed;
	for (int i = 0; i < ACCESSES; i++) {
		uint64_t dice = next_random() % 100;
		struct access *a = &trace[i];

		if (next_random() % 500 == 0)
			core ^= 1;
		if (dice < 45)
			cursor += next_random() % 24;
		else if (dice < 75)
			cursor = next_random() % (span / 16);
		else
			cursor = next_random() % span;
		a->address = UINT64_C(0x7f0000000000) + cursor % span;
		a->bytes = 1u << next_random() % 6;
		a->kind = next_random() % 10 < 4   ? KONA_SIM_READ
			  : next_random() % 10 < 5 ? KONA_SIM_WRITE
			  : next_random() % 10 < 6 ? KONA_SIM_MODIFY
						   : KONA_SIM_FETCH;
		a->core = core;
	}
}

static int filter_takes(const struct kona_sim_filter *f, const struct access *a)
{
	uint64_t line = a->address / 64;
	uint64_t entry = a->kind == KONA_SIM_FETCH  ? f->fetch[line & f->fetch_mask]
			 : a->kind == KONA_SIM_READ ? f->read[line & f->data_mask]
						    : f->write[line & f->data_mask];

	return a->address - entry <= 64 - a->bytes;
}

static const struct kona_sim_config small_levels = {
	.line_bytes = 64,
	.l1d = {1024, 2},
	.l1i = {512, 1},
	.l2 = {3 * 1024, 4},
	.l3 = {6 * 1024, 3},
};

static struct kona_sim *run_engine(const struct kona_sim_config *config)
{
	static const struct kona_sim_host host = {.map = map_zeroed};
	struct kona_sim *sim = NULL;

	assert_int_equal(kona_sim_create(&host, config, &sim), 0);
	for (int i = 0; i < ACCESSES; i++) {
		assert_int_equal(kona_sim_switch_core(sim, trace[i].core), 0);
		if (!filter_takes(kona_sim_filter(sim), &trace[i]))
			kona_sim_access(sim, trace[i].address, trace[i].bytes, trace[i].kind);
		/* Batches end in many places: the engine sorts within one. */
		if (i % 7919 == 0)
			kona_sim_drain(sim);
	}
	kona_sim_finish(sim);
	return sim;
}

static void run_naive(struct naive *naive, uint64_t sets, uint64_t ways, uint64_t block_lines)
{
	memset(naive, 0, sizeof(*naive));
	for (int core = 0; core < 2; core++) {
		naive_init(&naive->l1[core], 8, 2, 1);
		naive_init(&naive->l1i[core], 8, 1, 1);
		naive_init(&naive->l2[core], 12, 4, 1);
	}
	naive_init(&naive->l3, 32, 3, 1);
	naive_init(&naive->dram, sets, ways, block_lines);
	for (int i = 0; i < ACCESSES; i++)
		naive_access(naive, &trace[i]);
	naive_flush(naive);
}

static void free_naive(struct naive *naive)
{
	for (int core = 0; core < 2; core++) {
		naive_free(&naive->l1[core]);
		naive_free(&naive->l1i[core]);
		naive_free(&naive->l2[core]);
	}
	naive_free(&naive->l3);
	naive_free(&naive->dram);
}

static void compare(const struct kona_sim *sim, uint32_t stack, uint32_t ways,
		    const struct naive *naive)
{
	struct kona_sim_dram_counts got;
	struct kona_sim_counts counts;

	kona_sim_counts(sim, &counts);
	kona_sim_dram_counts(sim, stack, ways, &got);
	for (int side = 0; side < KONA_SIM_SIDES; side++) {
		assert_int_equal(counts.l1[side], naive->l1_misses[side]);
		assert_int_equal(counts.l2[side], naive->l2_misses[side]);
		assert_int_equal(counts.l3[side], naive->l3_misses[side]);
		assert_int_equal(got.misses[side], naive->dram.misses[side]);
	}
	assert_int_equal(got.writebacks, naive->dram.writebacks);
	assert_int_equal(got.writeback_lines, naive->dram.writeback_lines);
}

static const struct kona_sim_stack_config stacks[] = {
	{1, 64},    {2, 64},	 {16, 64},    {48, 64},	    {256, 64},	{1280, 64},
	{512, 256}, {256, 4096}, {7, 256},    {28, 256},    {1, 1024},	{8, 1024},
	{1, 4096},  {2, 4096},	 {6, 4096},   {600, 4096},  {1, 65536}, {2, 65536},
	{4, 65536}, {1, 262144}, {3, 262144}, {1, 2 << 20},
};

static void check_trace(uint64_t seed, uint64_t span)
{
	struct kona_sim_config config = small_levels;
	struct kona_sim *sims[3];
	struct naive naive;

	make_trace(seed, span);
	config.stack_count = KONA_ARRAY_LEN(stacks);
	memcpy(config.stack, stacks, sizeof(stacks));
	for (int simd = 0; simd < 3; simd++) {
		config.simd = KONA_SIM_SIMD_PORTABLE + simd;
		sims[simd] = run_engine(&config);
	}
	for (uint32_t s = 0; s < KONA_ARRAY_LEN(stacks); s++) {
		for (uint32_t ways = 1; ways <= KONA_SIM_WAYS; ways += ways < 5 ? 1 : 4) {
			if (stacks[s].block_bytes / 64 * ways * stacks[s].sets >
			    NAIVE_LINES_MAX * 4)
				continue;
			run_naive(&naive, stacks[s].sets, ways, stacks[s].block_bytes / 64);
			for (int simd = 0; simd < 3; simd++)
				compare(sims[simd], s, ways, &naive);
			free_naive(&naive);
		}
	}
}

static void test_small_span(void **state)
{
	check_trace(1, 96 << 10);
}

static void test_wide_span(void **state)
{
	check_trace(2, 24 << 20);
}

/* No level above: every access and every store reaches the DRAM cache. */
static void test_without_levels(void **state)
{
	static const struct kona_sim_host host = {.map = map_zeroed};
	struct kona_sim_config config = {.line_bytes = 64, .stack_count = 1};
	struct kona_sim_dram_counts got;
	struct kona_sim *sim;

	config.stack[0] = (struct kona_sim_stack_config){1, 4096};
	assert_int_equal(kona_sim_create(&host, &config, &sim), 0);
	for (uint64_t page = 16; page < 16 + 4; page++)
		for (uint64_t line = 0; line < 3; line++)
			kona_sim_access(sim, page * 4096 + line * 64, 8, KONA_SIM_WRITE);
	kona_sim_access(sim, 16 * 4096, 8, KONA_SIM_READ);
	kona_sim_finish(sim);
	kona_sim_dram_counts(sim, 0, 2, &got);
	assert_int_equal(got.misses[KONA_SIM_SIDE_WRITE], 4);
	assert_int_equal(got.misses[KONA_SIM_SIDE_READ], 1);
	assert_int_equal(got.writebacks, 4);
	assert_int_equal(got.writeback_lines, 12);
	kona_sim_dram_counts(sim, 0, 4, &got);
	assert_int_equal(got.misses[KONA_SIM_SIDE_READ], 0);
}

static void test_bad_configurations(void **state)
{
	static const struct kona_sim_host host = {.map = map_zeroed};
	struct kona_sim_config config = small_levels;
	struct kona_sim *sim = NULL;

	config.line_bytes = 48;
	assert_int_equal(kona_sim_create(&host, &config, &sim), -22);
	config = small_levels;
	config.l2.ways = 5;
	assert_int_equal(kona_sim_create(&host, &config, &sim), -22);
	config = small_levels;
	config.stack_count = 1;
	config.stack[0] = (struct kona_sim_stack_config){4, 32};
	assert_int_equal(kona_sim_create(&host, &config, &sim), -22);
	config.stack[0] = (struct kona_sim_stack_config){4, 4 << 20};
	assert_int_equal(kona_sim_create(&host, &config, &sim), -22);
	assert_null(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_span),
		cmocka_unit_test(test_wide_span),
		cmocka_unit_test(test_without_levels),
		cmocka_unit_test(test_bad_configurations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
