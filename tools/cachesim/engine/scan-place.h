/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where in a stack table the set of a block lies. What can fail is memory, for a set that comes
 * into being: then its chunk is 0.
 */
#ifndef KONA_CACHESIM_SCAN_PLACE_H
#define KONA_CACHESIM_SCAN_PLACE_H

#include "internal.h"

/* What the loop needs of a table, where nothing that it writes can lie. */
struct scan_table {
	struct kona_sim *sim;
	struct sim_stack *stack;
	uintptr_t *chunks;
	uint64_t sets, mask, bucket_sets;
	int has_mask;
};

static inline struct scan_table scan_table(struct kona_sim *sim, struct sim_stack *stack)
{
	return (struct scan_table){
		.sim = sim,
		.stack = stack,
		.chunks = stack->chunks,
		.sets = stack->sets,
		.mask = stack->mask,
		.bucket_sets = stack->bucket_sets,
		.has_mask = stack->mask || stack->sets == 1,
	};
}

/* Where the block's set lies in the table. */
SIM_INLINE uint64_t scan_place(const struct scan_table *table, uint64_t block)
{
	uint64_t set = SIM_LIKELY(table->has_mask) ? block & table->mask : block % table->sets;

	return table->bucket_sets ? set % SIM_BUCKETS * table->bucket_sets + set / SIM_BUCKETS
				  : set;
}

/* The chunk that it lies in, made if need be; 0: no memory. */
SIM_INLINE uintptr_t scan_chunk(const struct scan_table *table, uint64_t place)
{
	uintptr_t chunk = table->chunks[place / SIM_CHUNK_SETS];

	return SIM_LIKELY(chunk) ? chunk : sim_stack_grow(table->stack, place / SIM_CHUNK_SETS);
}

SIM_INLINE struct sim_set scan_set_in(uintptr_t chunk, uint64_t place)
{
	return (struct sim_set){sim_chunk_start(chunk),
				sim_chunk_has_few(chunk) ? SIM_FEW_WAYS : KONA_SIM_WAYS,
				place % SIM_CHUNK_SETS};
}

SIM_INLINE void scan_prefetch(const struct scan_table *table, uint64_t place)
{
	struct sim_set set = scan_set_in(table->chunks[place / SIM_CHUNK_SETS], place);

	__builtin_prefetch(sim_set_tags(&set));
	__builtin_prefetch(sim_set_dirty(&set));
}

#endif
