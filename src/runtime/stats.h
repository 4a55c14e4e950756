/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a Kona process counted, in memory that outlives it.
 *
 * `kona run` makes the area (a memfd) and hands it down; each Kona process takes one block. So the
 * figures survive any death of the program. Counters only grow, unless they are marked as a level.
 */
#ifndef KONA_RUNTIME_STATS_H
#define KONA_RUNTIME_STATS_H

#include <assert.h>
#include <stdint.h>

#define KONA_STATS_MAGIC   UINT64_C(0x7374617473414e4b)
#define KONA_STATS_VERSION 6

enum {
	KONA_STATS_BLOCKS = 256,
	KONA_STATS_NAME_BYTES = 32,
};

/* All 64-bit fields: Atomic, no edge (relaxed adds; a reader wants a figure, not an order). */
struct kona_stats {
	uint32_t pid;
	uint32_t reserved;
	char program[KONA_STATS_NAME_BYTES];
	uint64_t faults_missing;  /* page-fault messages handled */
	uint64_t faults_wp;	  /* write-protect faults, mode wp only */
	uint64_t guard_misses;	  /* misses of guards that fetched */
	uint64_t woken_functions; /* of compiled code: they use guards now (sleepers.h) */
	uint64_t fetched_pages;	  /* read from the store */
	uint64_t fetched_bytes;
	uint64_t zero_filled_pages;   /* mapped as zeros, no store involved */
	uint64_t prefetched_pages;    /* of both: brought in around a miss, not asked for */
	uint64_t prefetch_used_pages; /* of the guard path's: touched before they left */
	uint64_t evicted_pages;
	uint64_t evicted_clean_pages; /* of those: nothing was written back */
	uint64_t recalled_pages;      /* touched while on their way out, brought back */
	uint64_t held_pages;	      /* should have left, but a guard might be using them */
	uint64_t moved_in_place;      /* from the frame to the page's own address: unguarded code */
	uint64_t moved_to_frame;      /* and back */
	uint64_t written_back_bytes;  /* what crossed the transport, headers included */
	uint64_t dirty_lines;	      /* lines found changed at eviction */
	uint64_t discarded_pages;     /* freed: never written back */
	uint64_t preserved_pages;     /* copied to a forked child before they were overwritten */
	uint64_t changed_pages;	     /* sealed: not given back as stored; other replicas had them */
	uint64_t handler_ns;	     /* time the fault handler worked */
	uint64_t evict_ns;	     /* time eviction worked, in any thread */
	uint64_t system_calls;	     /* made by the runtime on the fetch and write-back walks */
	uint64_t local_pages;	     /* level */
	uint64_t local_pages_peak;   /* level */
	uint64_t local_budget_bytes; /* level: --local, metadata included */
	uint64_t metadata_bytes;     /* level: baselines and descriptors of local pages */
	uint64_t remote_slabs;	     /* level */
	uint64_t remote_bytes;	     /* level: granted */
	uint64_t one_sided_bytes;    /* of what was fetched: read past the node's processor */
	uint64_t one_sided_written_bytes; /* logs, to each replica: written into the node's ring */
};

struct kona_stats_area {
	uint64_t magic;
	uint32_t version;
	uint32_t
		used_blocks; /* Atomic, no edge; may exceed KONA_STATS_BLOCKS: the last is shared */
	struct kona_stats blocks[KONA_STATS_BLOCKS];
};

static_assert(sizeof(struct kona_stats) == 40 + 31 * 8, "shared layout");
static_assert(sizeof(struct kona_stats_area) == 16 + KONA_STATS_BLOCKS * sizeof(struct kona_stats),
	      "shared layout");

#endif
