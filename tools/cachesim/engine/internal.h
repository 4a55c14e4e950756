/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the engine's files share: the cache levels, the batch and the stack tables.
 */
#ifndef KONA_CACHESIM_INTERNAL_H
#define KONA_CACHESIM_INTERNAL_H

#include "clock.h"
#include "engine.h"
#include "reuse.h"

enum {
	SIM_BATCH = 1 << 18,
	SIM_ARENA_BYTES = 16 << 20,
	SIM_CHUNK_SETS = 64,	/* sets of a table that come into being together */
	SIM_BUCKETS = 128,	/* parts that a batch is sorted into; see stacks.c */
	SIM_EPOCH_BLOCK = 4096, /* from this block size on, epochs instead of levels per line */
	SIM_REGION_SLOTS = KONA_SIM_REGIONS_MAX * 2,
};

#define SIM_ERR_NOMEM 12
#define SIM_ERR_INVAL 22

#define SIM_LIKELY(x)	__builtin_expect(!!(x), 1)
#define SIM_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* An entry is line << 1 | dirty, sets in most-recent-first order; 0 is empty (line 0 is never). */
struct sim_cache {
	uint64_t *entries; /* NULL: no such level, everything misses */
	uint64_t sets;
	uint64_t mask; /* sets - 1 where that is a mask, else 0 */
	uint32_t ways;
};

struct sim_core {
	struct sim_cache l1d, l1i, l2;
};

enum sim_record_kind { SIM_RECORD_READ, SIM_RECORD_WRITE, SIM_RECORD_FETCH, SIM_RECORD_WRITEBACK };

/* What the DRAM caches are told: a reference, or a dirty line coming down. */
struct sim_record {
	uint64_t line;
	uint32_t id;	   /* dense number of the line: region number, then line in the region */
	uint32_t kind;	   /* enum sim_record_kind */
	uint32_t now;	   /* number of write-backs so far, this one included */
	uint32_t previous; /* `now` of this line's last write-back; 0: none */
};

/*
 * One set: 16 slots. order[] holds each slot's LRU position, XORed with the slot's number so that
 * zeroed memory is a set whose empty slots stand in order. dirty[] is the deepest position the
 * block stood at when referenced since its last dirtying; 16 = never dirtied since it came in.
 */
struct sim_set {
	uint32_t tag[KONA_SIM_WAYS]; /* dense block number + 1 */
	uint8_t order[KONA_SIM_WAYS];
	uint8_t dirty[KONA_SIM_WAYS];
};
_Static_assert(sizeof(struct sim_set) == 96, "six 16-byte vectors");

/* Histograms by stack position; position 0 is what the totals leave, so it is not counted. */
struct sim_histogram {
	uint64_t references[KONA_SIM_SIDES][KONA_SIM_WAYS + 1];
	uint64_t writebacks[KONA_SIM_WAYS + 1];
	uint64_t lines[KONA_SIM_WAYS + 1];
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
	void **chunks; /* SIM_CHUNK_SETS sets each, then their side arrays; NULL until touched */
	struct sim_histogram hist;
	struct sim_histogram tail; /* what this table and all that extend it have in common */
};

struct sim_region {
	uint64_t number; /* address >> KONA_SIM_REGION_SHIFT */
	uint32_t *times; /* per line: `now` of its last write-back */
	uint64_t pages[8];
	uint64_t *lines; /* bitmap of touched lines */
};

struct kona_sim {
	struct kona_sim_filter filter;
	const struct kona_sim_host *host;
	struct kona_sim_config config;
	uint32_t line_shift;
	uint32_t core;
	struct sim_core *cores[KONA_SIM_CORES_MAX];
	struct sim_cache l3;
	struct kona_sim_counts counts;

	char *arena;
	size_t arena_left;

	struct sim_region *regions;
	uint32_t *region_slots; /* open addressing: region index + 1 */
	uint32_t region_count;
	uint32_t last_region;

	uint32_t now;
	uint32_t batch_count;
	struct sim_record *batch;
	struct sim_record *sorted; /* the part of the batch that is left, by bucket */
	uint32_t *survivors;
	uint32_t *everyone;
	int out_of_memory;
	struct kona_reuse *reuse_lines, *reuse_pages; /* NULL: not kept */
	struct kona_clock *clock;		      /* NULL: not simulated */

	struct sim_stack *stacks; /* by block size, then by set count */
	uint32_t *stack_of_config;
	uint32_t (*scan)(struct kona_sim *sim, struct sim_stack *stack,
			 const struct sim_record *records, const uint32_t *list, uint32_t count,
			 uint32_t *survivors);
	void (*access)(struct kona_sim *sim, uint64_t address, uint32_t bytes,
		       enum kona_sim_kind kind);
	const char *simd_name;
};

/* Zeroed and backed on first touch; NULL when the host has no more. */
void *sim_alloc(struct kona_sim *sim, size_t bytes);

int sim_cache_init(struct kona_sim *sim, struct sim_cache *cache,
		   const struct kona_sim_level_config *config);
int sim_core_create(struct kona_sim *sim, uint32_t core);

int sim_stacks_init(struct kona_sim *sim);

/* Queues one record for the DRAM caches. */
void sim_push(struct kona_sim *sim, uint64_t line, enum sim_record_kind kind);
void sim_run_batch(struct kona_sim *sim);
void *sim_stack_grow(struct kona_sim *sim, struct sim_stack *stack, uint64_t chunk);

#define SIM_SCAN_PROTOTYPE(name)                                                              \
	uint32_t name(struct kona_sim *sim, struct sim_stack *stack,                          \
		      const struct sim_record *records, const uint32_t *list, uint32_t count, \
		      uint32_t *survivors)
SIM_SCAN_PROTOTYPE(sim_scan_portable);
SIM_SCAN_PROTOTYPE(sim_scan_avx2);
SIM_SCAN_PROTOTYPE(sim_scan_avx512);

#define SIM_ACCESS_PROTOTYPE(name) \
	void name(struct kona_sim *sim, uint64_t address, uint32_t bytes, enum kona_sim_kind kind)
SIM_ACCESS_PROTOTYPE(sim_access_portable);
SIM_ACCESS_PROTOTYPE(sim_access_avx2);
SIM_ACCESS_PROTOTYPE(sim_access_avx512);

static inline int sim_is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

#endif
