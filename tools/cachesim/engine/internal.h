/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the engine's files share: the cache levels, the batch and the stack tables.
 */
#ifndef KONA_CACHESIM_INTERNAL_H
#define KONA_CACHESIM_INTERNAL_H

#include "clock.h"
#include "engine.h"
#include "levels.h"
#include "parts.h"
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
/* What a caller's constants make small, though it looks large. */
#define SIM_INLINE static inline __attribute__((always_inline))

/* What the DRAM caches are told: a reference, or a dirty line coming down. */
struct sim_record {
	uint64_t line;
	uint32_t id;	   /* dense number of the line: region number, then line in the region */
	uint32_t kind;	   /* enum sim_record_kind */
	uint32_t now;	   /* number of write-backs so far, this one included */
	uint32_t previous; /* `now` of this line's last write-back; 0: none */
};

/* A full batch is every part's to read, and nobody's to change. */
struct kona_sim_batch {
	struct sim_record record[SIM_BATCH];
	uint32_t count;
};

/* What a thread needs to run a part. */
struct kona_sim_scratch {
	struct sim_record sorted[SIM_BATCH]; /* the part of the batch that is left, by bucket */
	uint32_t survivors[SIM_BATCH];
};

/* Memory in pieces; each part has its own, so that parts may run at once. */
struct sim_arena {
	const struct kona_sim_host *host;
	char *at;
	size_t left;
	int exhausted; /* the host had no more: what is counted from then on is wrong */
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
	struct sim_arena *arena; /* of its part */
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

/* The tables of one block size: a part of the work below the last level. */
struct sim_group {
	struct sim_stack *first, *end;
	struct sim_arena arena;
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

	struct sim_arena arena;
	/* On their way through the levels. An event: sim_event(). */
	uint32_t event_count;
	uint64_t events[SIM_EVENTS];
	uint64_t *below_l1, *below_l2;

	struct sim_region *regions;
	uint32_t *region_slots; /* open addressing: region index + 1 */
	uint32_t region_count;
	uint32_t last_region;

	uint32_t now;
	struct kona_sim_batch *batch;		      /* to be filled */
	struct kona_sim_scratch *scratch;	      /* NULL: the host runs the parts */
	uint32_t *everyone;			      /* 0, 1, 2, ... */
	struct kona_reuse *reuse_lines, *reuse_pages; /* NULL: not kept */
	struct kona_clock *clock;		      /* NULL: not simulated */

	struct sim_stack *stacks; /* by block size, then by set count */
	struct sim_group *groups;
	uint32_t group_count;
	int failed[KONA_SIM_PARTS_MAX]; /* each its part's: there was no memory */
	uint32_t *stack_of_config;
	uint32_t (*scan)(struct kona_sim *sim, struct sim_stack *stack,
			 const struct sim_record *records, const uint32_t *list, uint32_t count,
			 uint32_t *survivors);
	void (*walk)(struct kona_sim *sim, const uint64_t *events, uint32_t count);
	const char *simd_name;
};

/* Zeroed and backed on first touch; NULL when the host has no more. */
void *sim_alloc(struct sim_arena *arena, size_t bytes);

int sim_stacks_init(struct kona_sim *sim);

/* Queues one record for the DRAM caches. */
void sim_push(struct kona_sim *sim, uint64_t line, enum sim_record_kind kind);
/* Gives the batch to the parts. */
void sim_hand_over(struct kona_sim *sim);
void *sim_stack_grow(struct sim_stack *stack, uint64_t chunk);

#define SIM_SCAN_PROTOTYPE(name)                                                              \
	uint32_t name(struct kona_sim *sim, struct sim_stack *stack,                          \
		      const struct sim_record *records, const uint32_t *list, uint32_t count, \
		      uint32_t *survivors)
SIM_SCAN_PROTOTYPE(sim_scan_portable);
SIM_SCAN_PROTOTYPE(sim_scan_avx2);
SIM_SCAN_PROTOTYPE(sim_scan_avx512);

static inline int sim_is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

#endif
