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
 * bucket together. One bucket after the other then goes through all of these tables: its records
 * and one small part of each table stay in the host's cache, where scanning in order of time would
 * wait for memory at nearly every record.
 *
 * State: the tables, whose sets come into being 64 at a time as the program touches them (memory
 * grows with the footprint), first with few ways, which most sets of large tables never exceed; the
 * regions, 2 MiB of address space each, which give lines dense numbers (32-bit tags) and remember
 * when each line was last written back.
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

static size_t chunk_bytes(const struct sim_stack *stack, uint32_t ways)
{
	size_t way = sizeof(uint32_t) + 1 + (stack->side_bytes ? 1 + stack->side_bytes : 0);

	return SIM_CHUNK_SETS * ways * way;
}

uintptr_t sim_stack_grow(struct sim_stack *stack, uint64_t chunk)
{
	struct sim_group *group = stack->group;
	size_t bytes = chunk_bytes(stack, SIM_FEW_WAYS);
	char *start = group->spare;

	if (start) {
		group->spare = *(char **)(void *)start;
		for (size_t i = 0; i < bytes; i++)
			start[i] = 0;
	} else {
		start = sim_alloc(&group->arena, bytes);
	}
	stack->chunks[chunk] = start ? sim_chunk_word(start, SIM_FEW_WAYS) : 0;
	return stack->chunks[chunk];
}

static void widen_set(const struct sim_stack *stack, const struct sim_set *few,
		      const struct sim_set *set)
{
	for (uint32_t way = 0; way < few->ways; way++) {
		sim_set_tags(set)[way] = sim_set_tags(few)[way];
		sim_set_dirty(set)[way] = sim_set_dirty(few)[way];
		if (stack->side_bytes)
			sim_set_slots(set)[way] = sim_set_slots(few)[way];
	}
	for (size_t i = 0; i < (size_t)few->ways * stack->side_bytes; i++)
		sim_set_sides(set, stack->side_bytes)[i] = sim_set_sides(few, stack->side_bytes)[i];
}

uintptr_t sim_stack_widen(struct sim_stack *stack, uint64_t chunk)
{
	struct sim_group *group = stack->group;
	struct sim_set few = {sim_chunk_start(stack->chunks[chunk]), SIM_FEW_WAYS, 0};
	struct sim_set set = {sim_alloc(&group->arena, chunk_bytes(stack, KONA_SIM_WAYS)),
			      KONA_SIM_WAYS, 0};

	if (!set.chunk)
		return 0;
	for (; set.at < SIM_CHUNK_SETS; few.at = ++set.at)
		widen_set(stack, &few, &set);
	*(char **)(void *)few.chunk = group->spare;
	group->spare = few.chunk;
	stack->chunks[chunk] = sim_chunk_word(set.chunk, KONA_SIM_WAYS);
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
		stack->group = &sim->groups[sim->group_count - 1];
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
	sim->below_l1 = sim_alloc(arena, KONA_SIM_BELOW_L1 * sizeof(*sim->below_l1));
	sim->below_l2 = sim_alloc(arena, (8 * SIM_EVENTS + 1) * sizeof(*sim->below_l2));
	if (sim->host->hand_over) {
		sim->batch = sim->host->hand_over(NULL);
	} else {
		sim->batch = sim_alloc(arena, sizeof(*sim->batch));
		sim->scratch = sim_alloc(arena, sizeof(*sim->scratch));
	}
	sim->regions = sim_alloc(arena, KONA_SIM_REGIONS_MAX * sizeof(*sim->regions));
	sim->region_slots = sim_alloc(arena, SIM_REGION_SLOTS * sizeof(*sim->region_slots));
	if (arena->exhausted || !sim->batch)
		return -SIM_ERR_NOMEM;
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

/*
 * Fills changes[] with what of the batch can change a table of the stack's blocks: a reference to
 * the same block as the reference before changes none. Returns how many they are.
 */
static uint32_t find_changes(const struct kona_sim_batch *batch, const struct sim_stack *stack,
			     struct sim_change *changes)
{
	uint64_t latest = UINT64_MAX;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < batch->count; i++) {
		const struct sim_record *record = &batch->record[i];
		uint64_t block = record->line >> stack->line_shift;
		uint32_t refers = record->kind != SIM_RECORD_WRITEBACK;
		uint32_t line = (uint32_t)record->line & (stack->block_lines - 1);

		changes[kept].block = block;
		changes[kept].tag = (record->id >> stack->line_shift) + 1;
		changes[kept].kind = record->kind;
		changes[kept].now = record->now;
		changes[kept].previous = stack->has_epochs ? record->previous : line;
		kept += !refers | (block != latest);
		latest = refers ? block : latest;
	}
	return kept;
}

/* Fills sorted[] with the changes by bucket, those of a bucket in order, up to end[bucket]. */
static void sort_by_bucket(const struct sim_change *changes, uint32_t count,
			   struct sim_change *sorted, uint32_t *end)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < SIM_BUCKETS; i++)
		end[i] = 0;
	for (uint32_t i = 0; i < count; i++)
		end[changes[i].block % SIM_BUCKETS]++;
	for (uint32_t i = 0; i < SIM_BUCKETS; i++) {
		uint32_t in_bucket = end[i];

		end[i] = sum;
		sum += in_bucket;
	}
	for (uint32_t i = 0; i < count; i++)
		sorted[end[changes[i].block % SIM_BUCKETS]++] = changes[i];
}

/* Tables of which each extends the one before, from the first that has buckets. */
static void run_buckets(struct kona_sim *sim, struct sim_stack *first,
			const struct sim_stack *end_stack, uint32_t left,
			struct kona_sim_scratch *scratch)
{
	uint32_t end[SIM_BUCKETS];

	sort_by_bucket(scratch->changes, left, scratch->sorted, end);
	for (uint32_t i = 0; i < SIM_BUCKETS; i++) {
		uint32_t start = i ? end[i - 1] : 0;

		left = end[i] - start;
		for (struct sim_stack *stack = first; stack < end_stack; stack++)
			left = sim->scan(sim, stack, scratch->sorted + start, left);
	}
}

static int run_tables(struct kona_sim *sim, struct sim_group *group,
		      const struct kona_sim_batch *batch, struct kona_sim_scratch *scratch)
{
	struct sim_stack *stack = group->first, *end;
	uint32_t left;

	while (stack < group->end) {
		for (end = stack + 1; end < group->end && end->extends;)
			end++;
		left = find_changes(batch, stack, scratch->changes);
		for (; stack < end && !stack->bucket_sets; stack++)
			left = sim->scan(sim, stack, scratch->changes, left);
		if (stack < end)
			run_buckets(sim, stack, end, left, scratch);
		stack = end;
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
	int failed = sim->arena.exhausted || sim->core_arena.exhausted;

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

/* Where a block is one line, each write-back carries one. */
static void add_counts(const struct sim_histogram *hist, int has_lines, uint32_t ways,
		       struct kona_sim_dram_counts *counts)
{
	const uint64_t *writebacks = hist->changes[SIM_RECORD_WRITEBACK];

	for (uint32_t side = 0; side < KONA_SIM_SIDES; side++)
		counts->misses[side] += from(hist->changes[side], ways);
	counts->writebacks += from(writebacks, ways);
	counts->writeback_lines += from(has_lines ? hist->lines : writebacks, ways);
}

void kona_sim_dram_counts(const struct kona_sim *sim, uint32_t stack, uint32_t ways,
			  struct kona_sim_dram_counts *counts)
{
	uint32_t i = sim->stack_of_config[stack];
	int has_lines = sim->stacks[i].side_bytes != 0;

	*counts = (struct kona_sim_dram_counts){0};
	add_counts(&sim->stacks[i].hist, has_lines, ways, counts);
	for (;; i--) {
		add_counts(&sim->stacks[i].tail, has_lines, ways, counts);
		if (!sim->stacks[i].extends)
			break;
	}
}
