/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The DRAM caches: a batch of records against every stack table.
 *
 * Walk: walk.h pushes references and dirty lines; when the batch is full each part of the work
 * below goes through it: the tables of each block size, the reuse distances, the clock. Parts share
 * nothing that changes, so the host may run them on threads, and the levels go on meanwhile. Tables
 * of one block size stand by rising set count: what changed nothing in one is not shown to the
 * next.
 *
 * Only the order of records within a set matters. So before the first table of SIM_BUCKETS sets or
 * more, what is left of the batch is sorted (stably) by the low bits of the block number, in which
 * records of one set agree for every larger power of two; and such a table keeps the sets of one
 * bucket together. A scan then works on one small part of the table at a time, which stays in the
 * host's cache, where scanning in order of time would wait for memory at nearly every record.
 *
 * State: the tables, whose sets come into being 64 at a time as the program touches them (memory
 * grows with the footprint); the regions, 2 MiB of address space each, which give lines dense
 * numbers (32-bit tags) and remember when each line was last written back.
 *
 * What can fail: memory. Then kona_sim_out_of_memory() says so, and the front end must.
 */
#include "internal.h"

void *sim_alloc(struct sim_arena *arena, size_t bytes)
{
	void *memory;

	bytes = (bytes + 63) & ~(size_t)63;
	if (bytes >= SIM_ARENA_BYTES / 4) {
		memory = arena->host->map(bytes);
		arena->exhausted |= !memory;
		return memory;
	}
	if (bytes > arena->left) {
		arena->at = arena->host->map(SIM_ARENA_BYTES);
		arena->left = arena->at ? SIM_ARENA_BYTES : 0;
		arena->exhausted |= !arena->at;
		if (!arena->at)
			return NULL;
	}
	memory = arena->at;
	arena->at += bytes;
	arena->left -= bytes;
	return memory;
}

void *sim_stack_grow(struct sim_stack *stack, uint64_t chunk)
{
	size_t set_bytes = sizeof(struct sim_set) + (size_t)KONA_SIM_WAYS * stack->side_bytes;

	stack->chunks[chunk] = sim_alloc(stack->arena, SIM_CHUNK_SETS * set_bytes);
	return stack->chunks[chunk];
}

static int init_stack(struct kona_sim *sim, struct sim_stack *stack, uint32_t index)
{
	const struct kona_sim_stack_config *config = &sim->config.stack[index];

	if (!sim_is_power_of_two(config->block_bytes) || !config->sets ||
	    config->block_bytes < sim->config.line_bytes ||
	    config->block_bytes > 1u << KONA_SIM_REGION_SHIFT)
		return -SIM_ERR_INVAL;
	stack->config_index = index;
	stack->sets = config->sets;
	stack->mask = sim_is_power_of_two(config->sets) ? config->sets - 1 : 0;
	stack->bucket_sets = config->sets % SIM_BUCKETS ? 0 : config->sets / SIM_BUCKETS;
	stack->block_shift = (uint32_t)__builtin_ctz(config->block_bytes);
	stack->line_shift = stack->block_shift - sim->line_shift;
	stack->block_lines = 1u << stack->line_shift;
	stack->has_epochs = config->block_bytes >= SIM_EPOCH_BLOCK && stack->block_lines > 1;
	if (stack->has_epochs)
		stack->side_bytes = KONA_SIM_WAYS * sizeof(uint32_t);
	else
		stack->side_bytes = stack->block_lines > 1 ? stack->block_lines : 0;
	stack->chunks =
		sim_alloc(&sim->arena, ((config->sets + SIM_CHUNK_SETS - 1) / SIM_CHUNK_SETS) *
					       sizeof(*stack->chunks));
	return stack->chunks ? 0 : -SIM_ERR_NOMEM;
}

static int comes_before(const struct sim_stack *a, const struct sim_stack *b)
{
	if (a->block_shift != b->block_shift)
		return a->block_shift < b->block_shift;
	return a->sets < b->sets;
}

static int init_tables(struct kona_sim *sim)
{
	uint32_t count = sim->config.stack_count;
	struct sim_stack *stacks = sim->stacks;

	for (uint32_t i = 0; i < count; i++) {
		struct sim_stack stack = {0};
		uint32_t place = i;
		int err = init_stack(sim, &stack, i);

		if (err)
			return err;
		for (; place && comes_before(&stack, &stacks[place - 1]); place--)
			stacks[place] = stacks[place - 1];
		stacks[place] = stack;
	}
	return 0;
}

static void group_tables(struct kona_sim *sim)
{
	struct sim_stack *stacks = sim->stacks;

	for (uint32_t i = 0; i < sim->config.stack_count; i++) {
		struct sim_stack *stack = &stacks[i];

		sim->stack_of_config[stack->config_index] = i;
		if (!i || stack->block_shift != stack[-1].block_shift)
			sim->groups[sim->group_count++] =
				(struct sim_group){.first = stack, .arena.host = sim->host};
		else if (stack->sets % stack[-1].sets == 0)
			stack->extends = 1;
		if (stack->extends)
			stack[-1].next = stack;
		stack->arena = &sim->groups[sim->group_count - 1].arena;
		sim->groups[sim->group_count - 1].end = stack + 1;
	}
}

int sim_stacks_init(struct kona_sim *sim)
{
	uint32_t count = sim->config.stack_count;
	struct sim_arena *arena = &sim->arena;
	int err;

	if (count > KONA_SIM_STACKS_MAX)
		return -SIM_ERR_INVAL;
	sim->stacks = sim_alloc(arena, (count + 1) * sizeof(*sim->stacks));
	sim->groups = sim_alloc(arena, (count + 1) * sizeof(*sim->groups));
	sim->stack_of_config = sim_alloc(arena, (count + 1) * sizeof(*sim->stack_of_config));
	sim->below_l1 = sim_alloc(arena, (4 * SIM_EVENTS + 1) * sizeof(*sim->below_l1));
	sim->below_l2 = sim_alloc(arena, (8 * SIM_EVENTS + 1) * sizeof(*sim->below_l2));
	if (sim->host->hand_over) {
		sim->batch = sim->host->hand_over(NULL);
	} else {
		sim->batch = sim_alloc(arena, sizeof(*sim->batch));
		sim->scratch = sim_alloc(arena, sizeof(*sim->scratch));
	}
	sim->everyone = sim_alloc(arena, SIM_BATCH * sizeof(*sim->everyone));
	sim->regions = sim_alloc(arena, KONA_SIM_REGIONS_MAX * sizeof(*sim->regions));
	sim->region_slots = sim_alloc(arena, SIM_REGION_SLOTS * sizeof(*sim->region_slots));
	if (arena->exhausted || !sim->batch)
		return -SIM_ERR_NOMEM;
	for (uint32_t i = 0; i < SIM_BATCH; i++)
		sim->everyone[i] = i;
	err = init_tables(sim);
	if (!err)
		group_tables(sim);
	return err;
}

size_t kona_sim_batch_bytes(void)
{
	return sizeof(struct kona_sim_batch);
}

void kona_sim_batch_clear(struct kona_sim_batch *batch)
{
	batch->count = 0;
}

size_t kona_sim_scratch_bytes(void)
{
	return sizeof(struct kona_sim_scratch);
}

static uint32_t new_region(struct kona_sim *sim, uint64_t number)
{
	uint32_t lines = 1u << (KONA_SIM_REGION_SHIFT - sim->line_shift);
	struct sim_region *region = &sim->regions[sim->region_count];

	if (sim->region_count == KONA_SIM_REGIONS_MAX)
		return KONA_SIM_REGIONS_MAX;
	region->times = sim_alloc(&sim->arena, lines * sizeof(*region->times));
	region->lines = sim_alloc(&sim->arena, lines / 8);
	if (!region->times || !region->lines)
		return KONA_SIM_REGIONS_MAX;
	region->number = number;
	return sim->region_count++;
}

/* Index of the region of address space, made on first touch; KONA_SIM_REGIONS_MAX: no room. */
static uint32_t find_region(struct kona_sim *sim, uint64_t number)
{
	uint32_t slot = (uint32_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 40) % SIM_REGION_SLOTS;
	uint32_t index;

	if (SIM_LIKELY(sim->region_count && sim->regions[sim->last_region].number == number))
		return sim->last_region;
	for (; sim->region_slots[slot]; slot = (slot + 1) % SIM_REGION_SLOTS) {
		index = sim->region_slots[slot] - 1;
		if (sim->regions[index].number == number)
			return sim->last_region = index;
	}
	index = new_region(sim, number);
	if (index == KONA_SIM_REGIONS_MAX)
		return index;
	sim->region_slots[slot] = index + 1;
	return sim->last_region = index;
}

static void note_footprint(struct kona_sim *sim, struct sim_region *region, uint32_t line)
{
	uint32_t page = line << sim->line_shift >> 12;
	uint64_t line_bit = UINT64_C(1) << line % 64;
	uint64_t page_bit = UINT64_C(1) << page % 64;

	if (SIM_LIKELY(region->lines[line / 64] & line_bit))
		return;
	region->lines[line / 64] |= line_bit;
	sim->counts.footprint_lines++;
	if (!(region->pages[page / 64] & page_bit)) {
		region->pages[page / 64] |= page_bit;
		sim->counts.footprint_pages++;
	}
}

void sim_push(struct kona_sim *sim, uint64_t line, enum sim_record_kind kind)
{
	uint32_t region_line_shift = KONA_SIM_REGION_SHIFT - sim->line_shift;
	uint32_t index = find_region(sim, line >> region_line_shift);
	uint32_t in_region = (uint32_t)line & ((1u << region_line_shift) - 1);
	struct sim_record *record = &sim->batch->record[sim->batch->count];
	struct sim_region *region;

	if (SIM_UNLIKELY(index == KONA_SIM_REGIONS_MAX)) {
		sim->counts.outside_lines++;
		return;
	}
	region = &sim->regions[index];
	note_footprint(sim, region, in_region);
	record->line = line;
	record->id = index << region_line_shift | in_region;
	record->kind = kind;
	record->previous = 0;
	if (kind == SIM_RECORD_WRITEBACK) {
		/* At the last number time stands still: lines written back then look rewritten. */
		sim->now += sim->now != UINT32_MAX;
		record->previous = region->times[in_region];
		region->times[in_region] = sim->now;
	}
	record->now = sim->now;
	if (++sim->batch->count == SIM_BATCH)
		sim_hand_over(sim);
}

/* Fills sorted[] with the listed records of the batch, by bucket, those of a bucket in order. */
static void sort_by_bucket(const struct kona_sim_batch *batch, const struct sim_stack *stack,
			   const uint32_t *list, uint32_t count, struct sim_record *sorted)
{
	uint32_t start[SIM_BUCKETS] = {0};
	uint32_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		start[(batch->record[list[i]].line >> stack->line_shift) % SIM_BUCKETS]++;
	for (uint32_t i = 0; i < SIM_BUCKETS; i++) {
		uint32_t records = start[i];

		start[i] = sum;
		sum += records;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct sim_record *record = &batch->record[list[i]];

		sorted[start[(record->line >> stack->line_shift) % SIM_BUCKETS]++] = *record;
	}
}

static int run_tables(struct kona_sim *sim, struct sim_group *group,
		      const struct kona_sim_batch *batch, struct kona_sim_scratch *scratch)
{
	const struct sim_record *records = batch->record;
	const uint32_t *list = sim->everyone;
	uint32_t left = batch->count;

	for (struct sim_stack *stack = group->first; stack < group->end; stack++) {
		if (!stack->extends) {
			records = batch->record;
			list = sim->everyone;
			left = batch->count;
		}
		if (stack->bucket_sets && records == batch->record) {
			sort_by_bucket(batch, stack, list, left, scratch->sorted);
			records = scratch->sorted;
			list = sim->everyone;
		}
		left = sim->scan(sim, stack, records, list, left, scratch->survivors);
		list = scratch->survivors;
	}
	return group->arena.exhausted;
}

static int run_reuse(struct kona_reuse *reuse, const struct kona_sim_batch *batch, uint32_t shift)
{
	int err = 0;

	for (uint32_t i = 0; i < batch->count; i++)
		if (batch->record[i].kind != SIM_RECORD_WRITEBACK)
			err |= kona_reuse_note(reuse, batch->record[i].id >> shift);
	return err;
}

static int run_clock(struct kona_sim *sim, const struct kona_sim_batch *batch)
{
	const uint32_t region_mask = (1u << KONA_SIM_REGION_SHIFT) - 1;
	int err = 0;

	for (uint32_t i = 0; i < batch->count; i++) {
		const struct sim_record *record = &batch->record[i];
		uint64_t address = record->line << sim->line_shift;
		uint64_t number = address >> KONA_SIM_REGION_SHIFT;
		uint32_t index = record->id >> (KONA_SIM_REGION_SHIFT - sim->line_shift);
		uint32_t in_region = (uint32_t)address & region_mask;

		if (record->kind == SIM_RECORD_WRITEBACK)
			err |= kona_clock_writeback(sim->clock, index, number, in_region);
		else
			err |= kona_clock_reference(sim->clock, index, number, in_region,
						    record->kind == SIM_RECORD_WRITE);
	}
	return err;
}

uint32_t kona_sim_parts(const struct kona_sim *sim)
{
	return sim->group_count + 2 * !!sim->config.reuse + !!sim->config.clock;
}

void kona_sim_run_part(struct kona_sim *sim, uint32_t part, const struct kona_sim_batch *batch,
		       struct kona_sim_scratch *scratch)
{
	uint32_t other = part - sim->group_count;
	int err;

	if (part < sim->group_count)
		err = run_tables(sim, &sim->groups[part], batch, scratch);
	else if (sim->config.reuse && other == 0)
		err = run_reuse(sim->reuse_lines, batch, 0);
	else if (sim->config.reuse && other == 1)
		err = run_reuse(sim->reuse_pages, batch, 12 - sim->line_shift);
	else
		err = run_clock(sim, batch);
	sim->failed[part] |= err;
}

void sim_hand_over(struct kona_sim *sim)
{
	if (sim->host->hand_over) {
		sim->batch = sim->host->hand_over(sim->batch);
		return;
	}
	for (uint32_t part = 0; part < kona_sim_parts(sim); part++)
		kona_sim_run_part(sim, part, sim->batch, sim->scratch);
	kona_sim_batch_clear(sim->batch);
}

int kona_sim_out_of_memory(const struct kona_sim *sim)
{
	int failed = sim->arena.exhausted;

	for (uint32_t part = 0; part < kona_sim_parts(sim); part++)
		failed |= sim->failed[part];
	return failed != 0;
}

static uint64_t from(const uint64_t *histogram, uint32_t position)
{
	uint64_t sum = 0;

	for (; position <= KONA_SIM_WAYS; position++)
		sum += histogram[position];
	return sum;
}

static void add_counts(const struct sim_histogram *hist, uint32_t ways,
		       struct kona_sim_dram_counts *counts)
{
	for (uint32_t side = 0; side < KONA_SIM_SIDES; side++)
		counts->misses[side] += from(hist->references[side], ways);
	counts->writebacks += from(hist->writebacks, ways);
	counts->writeback_lines += from(hist->lines, ways);
}

void kona_sim_dram_counts(const struct kona_sim *sim, uint32_t stack, uint32_t ways,
			  struct kona_sim_dram_counts *counts)
{
	uint32_t i = sim->stack_of_config[stack];

	*counts = (struct kona_sim_dram_counts){0};
	add_counts(&sim->stacks[i].hist, ways, counts);
	for (;; i--) {
		add_counts(&sim->stacks[i].tail, ways, counts);
		if (!sim->stacks[i].extends)
			break;
	}
}
