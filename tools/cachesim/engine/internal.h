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
#include "tables.h"

enum {
	SIM_BATCH = 1 << 18,
	SIM_ARENA_BYTES = 16 << 20,
	SIM_BUCKETS = 128,	/* parts that a batch is sorted into; see stacks.c */
	SIM_EPOCH_BLOCK = 4096, /* from this block size on, epochs instead of levels per line */
	SIM_REGION_SLOTS = KONA_SIM_REGIONS_MAX * 2,
};

#define SIM_ERR_NOMEM 12
#define SIM_ERR_INVAL 22

#define SIM_LIKELY(x)	__builtin_expect(!!(x), 1)
#define SIM_UNLIKELY(x) __builtin_expect(!!(x), 0)

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

/* A record as the tables of one block size see it. */
struct sim_change {
	uint64_t block;
	uint32_t tag;  /* dense number of the block + 1 */
	uint32_t kind; /* enum sim_record_kind */
	uint32_t now;  /* as the record's */
	union {
		uint32_t previous; /* as the record's; for tables that keep epochs */
		uint32_t line;	   /* of the block; for those that keep levels */
	};
};

/* What a thread needs to run a part. */
struct kona_sim_scratch {
	struct sim_change changes[SIM_BATCH]; /* the part of the batch that is left, in order... */
	struct sim_change sorted[SIM_BATCH];  /* ... and by bucket */
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

	struct sim_arena arena;
	struct sim_arena core_arena; /* for all cores but the first: of who walks L1 */
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
	struct kona_reuse *reuse_lines, *reuse_pages; /* NULL: not kept */
	struct kona_clock *clock;		      /* NULL: not simulated */

	struct sim_stack *stacks; /* by block size, then by set count */
	struct sim_group *groups;
	uint32_t group_count;
	int failed[KONA_SIM_PARTS_MAX]; /* each its part's: there was no memory */
	uint32_t *stack_of_config;
	uint32_t (*scan)(struct kona_sim *sim, struct sim_stack *stack, struct sim_change *changes,
			 uint32_t count);
	uint32_t (*l1)(struct kona_sim *sim, struct sim_core *core, const uint64_t *events,
		       uint32_t count, uint64_t *below_l1);
	void (*below)(struct kona_sim *sim, struct sim_core *core, const uint64_t *events,
		      uint32_t count);
	const char *simd_name;
};

/* Zeroed and backed on first touch; NULL when the host has no more. */
void *sim_alloc(struct sim_arena *arena, size_t bytes);

int sim_stacks_init(struct kona_sim *sim);

/* Queues one record for the DRAM caches. */
void sim_push(struct kona_sim *sim, uint64_t line, enum sim_record_kind kind);
/* Gives the batch to the parts. */
void sim_hand_over(struct kona_sim *sim);
/* Runs the changes through the table; moves those that the next one must see to the front, and
 * returns how many they are. */
#define SIM_SCAN_PROTOTYPE(name)                                                                 \
	uint32_t name(struct kona_sim *sim, struct sim_stack *stack, struct sim_change *changes, \
		      uint32_t count)
SIM_SCAN_PROTOTYPE(sim_scan_portable);
SIM_SCAN_PROTOTYPE(sim_scan_avx2);
SIM_SCAN_PROTOTYPE(sim_scan_avx512);

static inline int sim_is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

#endif
