/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack tables: how their sets lie in memory.
 */
#ifndef KONA_CACHESIM_TABLES_H
#define KONA_CACHESIM_TABLES_H

#include "engine.h"
#include "levels.h"

enum {
	SIM_CHUNK_SETS = 64, /* sets of a table that come into being together */
	SIM_FEW_WAYS = 4,
};

/* What a caller's constants make small, though it looks large. */
#define SIM_INLINE static inline __attribute__((always_inline))

/* Memory in pieces; each part has its own, so that parts may run at once. */
struct sim_arena {
	const struct kona_sim_host *host;
	char *at;
	size_t left;
	int exhausted; /* the host had no more: what is counted from then on is wrong */
};

/*
 * A chunk: SIM_CHUNK_SETS sets of a table, of SIM_FEW_WAYS ways until one of them needs more. What
 * stands at index n of a set belongs to its block in LRU position n. Zeroed memory is empty sets.
 *
 *   tag[sets][ways]    4 bytes: dense block number + 1
 *   dirty[sets][ways]  a byte: the deepest position the block stood at when referenced since its
 *                      last dirtying; 16 = never dirtied since it came in
 *
 * and where a block has several lines, what is kept of them, too long to be moved with it:
 *
 *   slot[sets][ways]   a byte: which of the set's sides is the block's, XORed with the position
 *   side[sets][ways]   side_bytes each
 */
struct sim_set {
	char *chunk;
	uint32_t ways;
	uint64_t at; /* in the chunk */
};

SIM_INLINE uint32_t *sim_set_tags(const struct sim_set *set)
{
	return (uint32_t *)(void *)set->chunk + set->at * set->ways;
}

SIM_INLINE uint8_t *sim_set_dirty(const struct sim_set *set)
{
	return (uint8_t *)set->chunk + (SIM_CHUNK_SETS * sizeof(uint32_t) + set->at) * set->ways;
}

SIM_INLINE uint8_t *sim_set_slots(const struct sim_set *set)
{
	return sim_set_dirty(set) + SIM_CHUNK_SETS * set->ways;
}

SIM_INLINE char *sim_set_sides(const struct sim_set *set, uint32_t side_bytes)
{
	return set->chunk +
	       (SIM_CHUNK_SETS * (sizeof(uint32_t) + 2) + set->at * side_bytes) * set->ways;
}

/* By stack position; 0 counts what no number of ways would miss. */
struct sim_histogram {
	uint64_t changes[SIM_RECORD_KINDS][KONA_SIM_WAYS + 1];
	uint64_t lines[KONA_SIM_WAYS + 1]; /* written back, where a block has several */
};

struct sim_stack {
	uint64_t sets;
	uint64_t mask; /* sets - 1 where that is a mask, else 0 */
	uint32_t block_shift;
	uint32_t line_shift; /* of a line number, to a block number */
	uint32_t block_lines;
	uint32_t side_bytes; /* per slot: a level byte per line, or 16 epochs, or none */
	int has_epochs;
	int extends; /* sets is a multiple of the table before it, same block: prune by it */
	struct sim_stack *next; /* the table that extends this one; NULL: none */
	uint64_t bucket_sets;	/* sets / SIM_BUCKETS, whose sets lie together; 0: in plain order */
	uint32_t config_index;
	struct sim_group *group;
	uintptr_t *chunks; /* by SIM_CHUNK_SETS sets: sim_chunk_word(); 0 until touched */
	struct sim_histogram hist;
	struct sim_histogram tail; /* what this table and all that extend it have in common */
};

/* The tables of one block size: a part of the work below the last level. */
struct sim_group {
	struct sim_stack *first, *end;
	struct sim_arena arena;
	char *spare; /* chunks of SIM_FEW_WAYS that were outgrown; each begins with the next one */
};

/* Both return what stands in stack->chunks[chunk] then; 0: no memory. */
uintptr_t sim_stack_grow(struct sim_stack *stack, uint64_t chunk);
uintptr_t sim_stack_widen(struct sim_stack *stack, uint64_t chunk);

/* A chunk in a word: its address, and whether it has but few ways. */
static inline uintptr_t sim_chunk_word(char *start, uint32_t ways)
{
	return (uintptr_t)start | (ways == SIM_FEW_WAYS);
}

static inline int sim_chunk_has_few(uintptr_t word)
{
	return word & 1;
}

static inline char *sim_chunk_start(uintptr_t word)
{
	return (char *)(word & ~(uintptr_t)1);
}

#endif
