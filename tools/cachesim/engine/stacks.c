/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The DRAM caches: a batch of records against every stack table.
 *
 * Walk: levels.c pushes references and dirty lines; when the batch is full each table scans it.
 * Tables of one block size stand by rising set count: what changed nothing in one is not shown to
 * the next.
 *
 * Only the order of records within a set matters. So before the first table of SIM_BUCKETS sets or
 * more, what is left of the batch is sorted (stably) by the low bits of the block number, in which
 * records of one set agree for every larger power of two; and such a table keeps the sets of one
 * bucket together. A scan then works on one small part of the table at a time, which stays in the
 * host's cache, where scanning in order of time would wait for memory at nearly every record.
 *
 * State: the tables, whose sets come into being 256 at a time as the program touches them (memory
 * grows with the footprint); the regions, 2 MiB of address space each, which give lines dense
 * numbers (32-bit tags) and remember when each line was last written back.
 *
 * What can fail: memory. Then out_of_memory is set, the tables stop, and the front end must say so.
 */
#include "internal.h"

void *sim_alloc(struct kona_sim *sim, size_t bytes)
{
	void *memory;

	bytes = (bytes + 63) & ~(size_t)63;
	if (bytes >= SIM_ARENA_BYTES / 4)
		return sim->host->map(bytes);
	if (bytes > sim->arena_left) {
		sim->arena = sim->host->map(SIM_ARENA_BYTES);
		sim->arena_left = sim->arena ? SIM_ARENA_BYTES : 0;
		if (!sim->arena)
			return NULL;
	}
	memory = sim->arena;
	sim->arena += bytes;
	sim->arena_left -= bytes;
	return memory;
}

void *sim_stack_grow(struct kona_sim *sim, struct sim_stack *stack, uint64_t chunk)
{
	size_t set_bytes = sizeof(struct sim_set) + (size_t)KONA_SIM_WAYS * stack->side_bytes;

	stack->chunks[chunk] = sim_alloc(sim, SIM_CHUNK_SETS * set_bytes);
	if (!stack->chunks[chunk])
		sim->out_of_memory = 1;
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
	stack->chunks = sim_alloc(sim, ((config->sets + SIM_CHUNK_SETS - 1) / SIM_CHUNK_SETS) *
					       sizeof(*stack->chunks));
	return stack->chunks ? 0 : -SIM_ERR_NOMEM;
}

static int comes_before(const struct sim_stack *a, const struct sim_stack *b)
{
	if (a->block_shift != b->block_shift)
		return a->block_shift < b->block_shift;
	return a->sets < b->sets;
}

int sim_stacks_init(struct kona_sim *sim)
{
	uint32_t count = sim->config.stack_count;
	struct sim_stack *stacks;

	if (count > KONA_SIM_STACKS_MAX)
		return -SIM_ERR_INVAL;
	sim->stacks = stacks = sim_alloc(sim, (count + 1) * sizeof(*stacks));
	sim->stack_of_config = sim_alloc(sim, (count + 1) * sizeof(*sim->stack_of_config));
	sim->batch = sim_alloc(sim, SIM_BATCH * sizeof(*sim->batch));
	sim->sorted = sim_alloc(sim, SIM_BATCH * sizeof(*sim->sorted));
	sim->survivors = sim_alloc(sim, SIM_BATCH * sizeof(*sim->survivors));
	sim->everyone = sim_alloc(sim, SIM_BATCH * sizeof(*sim->everyone));
	sim->regions = sim_alloc(sim, KONA_SIM_REGIONS_MAX * sizeof(*sim->regions));
	sim->region_slots = sim_alloc(sim, SIM_REGION_SLOTS * sizeof(*sim->region_slots));
	if (!stacks || !sim->stack_of_config || !sim->batch || !sim->sorted || !sim->survivors ||
	    !sim->everyone || !sim->regions || !sim->region_slots)
		return -SIM_ERR_NOMEM;
	for (uint32_t i = 0; i < SIM_BATCH; i++)
		sim->everyone[i] = i;
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
	for (uint32_t i = 0; i < count; i++) {
		sim->stack_of_config[stacks[i].config_index] = i;
		stacks[i].extends = i && stacks[i - 1].block_shift == stacks[i].block_shift &&
				    stacks[i].sets % stacks[i - 1].sets == 0;
		if (stacks[i].extends)
			stacks[i - 1].next = &stacks[i];
	}
	return 0;
}

static uint32_t new_region(struct kona_sim *sim, uint64_t number)
{
	uint32_t lines = 1u << (KONA_SIM_REGION_SHIFT - sim->line_shift);
	struct sim_region *region = &sim->regions[sim->region_count];

	if (sim->region_count == KONA_SIM_REGIONS_MAX)
		return KONA_SIM_REGIONS_MAX;
	region->times = sim_alloc(sim, lines * sizeof(*region->times));
	region->lines = sim_alloc(sim, lines / 8);
	if (!region->times || !region->lines) {
		sim->out_of_memory = 1;
		return KONA_SIM_REGIONS_MAX;
	}
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

static void note_reuse(struct kona_sim *sim, uint32_t id)
{
	if (kona_reuse_note(sim->reuse_lines, id) ||
	    kona_reuse_note(sim->reuse_pages, id >> (12 - sim->line_shift)))
		sim->out_of_memory = 1;
}

static void note_clock(struct kona_sim *sim, uint32_t index, uint64_t line,
		       enum sim_record_kind kind)
{
	uint64_t address = line << sim->line_shift;
	uint64_t number = address >> KONA_SIM_REGION_SHIFT;
	uint32_t in_region = (uint32_t)address & ((1u << KONA_SIM_REGION_SHIFT) - 1);
	int err = kind == SIM_RECORD_WRITEBACK
			  ? kona_clock_writeback(sim->clock, index, number, in_region)
			  : kona_clock_reference(sim->clock, index, number, in_region,
						 kind == SIM_RECORD_WRITE);

	if (err)
		sim->out_of_memory = 1;
}

void sim_push(struct kona_sim *sim, uint64_t line, enum sim_record_kind kind)
{
	uint32_t region_line_shift = KONA_SIM_REGION_SHIFT - sim->line_shift;
	uint32_t index = find_region(sim, line >> region_line_shift);
	uint32_t in_region = (uint32_t)line & ((1u << region_line_shift) - 1);
	struct sim_record *record = &sim->batch[sim->batch_count];
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
	if (SIM_UNLIKELY(sim->reuse_lines) && kind != SIM_RECORD_WRITEBACK)
		note_reuse(sim, record->id);
	if (SIM_UNLIKELY(sim->clock))
		note_clock(sim, index, line, kind);
	if (++sim->batch_count == SIM_BATCH)
		sim_run_batch(sim);
}

/* Fills sorted[] with the listed records of the batch, by bucket, those of a bucket in order. */
static void sort_by_bucket(struct kona_sim *sim, const struct sim_stack *stack,
			   const uint32_t *list, uint32_t count)
{
	uint32_t start[SIM_BUCKETS] = {0};
	uint32_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		start[(sim->batch[list[i]].line >> stack->line_shift) % SIM_BUCKETS]++;
	for (uint32_t i = 0; i < SIM_BUCKETS; i++) {
		uint32_t records = start[i];

		start[i] = sum;
		sum += records;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct sim_record *record = &sim->batch[list[i]];

		sim->sorted[start[(record->line >> stack->line_shift) % SIM_BUCKETS]++] = *record;
	}
}

void sim_run_batch(struct kona_sim *sim)
{
	const struct sim_record *records = sim->batch;
	const uint32_t *list = sim->everyone;
	uint32_t left = sim->batch_count;

	for (uint32_t i = 0; i < sim->config.stack_count && !sim->out_of_memory; i++) {
		struct sim_stack *stack = &sim->stacks[i];

		if (!stack->extends) {
			records = sim->batch;
			list = sim->everyone;
			left = sim->batch_count;
		}
		if (stack->bucket_sets && records == sim->batch) {
			sort_by_bucket(sim, stack, list, left);
			records = sim->sorted;
			list = sim->everyone;
		}
		left = sim->scan(sim, stack, records, list, left, sim->survivors);
		list = sim->survivors;
	}
	sim->batch_count = 0;
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
