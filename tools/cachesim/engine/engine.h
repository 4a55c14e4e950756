/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulation engine of KCacheSim: one pass over a program's accesses, every DRAM cache at once.
 *
 *   access -> L1 -> L2 -> L3 -> batch -> one LRU stack table per (block size, set count)
 *
 * The DRAM caches see what a real one sees: the misses of the last level, and the dirty lines it
 * evicts. A stack table keeps the 16 most recent blocks of each set in LRU order and so answers for
 * the 16 associativities at once (Hill & Smith's all-associativity method); how long a line has
 * been dirty is kept as the deepest stack position its block reached since (Thompson & Smith), so
 * write-backs too are exact for every associativity.
 *
 * What a DRAM cache of this model does. A reference (a last-level miss) loads its block, and makes
 * it most recent. A line that the last level writes back marks its block's line dirty where the
 * block is resident, without making it recent; where it is not, the line goes to remote memory by
 * itself. A block that leaves with dirty lines is one write-back, carrying those lines. What is
 * still dirty at the end counts as written back: it must get home.
 *
 * The engine is freestanding: no libc, no system calls; memory comes from the host's map().
 * One thread at a time, but for what parts.h says.
 */
#ifndef KONA_CACHESIM_ENGINE_H
#define KONA_CACHESIM_ENGINE_H

#include <stddef.h>
#include <stdint.h>

enum {
	KONA_SIM_WAYS = 16,	   /* associativities that one stack table answers for */
	KONA_SIM_STACKS_MAX = 256, /* (block size, set count) pairs in one run */
	KONA_SIM_PARTS_MAX = KONA_SIM_STACKS_MAX + 3,
	KONA_SIM_CORES_MAX = 64,    /* private L1/L2 pairs; later threads share the last */
	KONA_SIM_REGION_SHIFT = 21, /* largest block, and the unit of the footprint table */
	KONA_SIM_REGIONS_MAX = (1 << 17) - 1, /* 256 GiB of touched 2 MiB regions */
	KONA_SIM_FILTER_LINES = 1024,
	KONA_SIM_CLOCK_SIZES = 64,
};

enum kona_sim_kind {
	KONA_SIM_READ,
	KONA_SIM_WRITE,
	KONA_SIM_MODIFY, /* read and write of one operand: counts as a read, leaves the line dirty
			  */
	KONA_SIM_FETCH,	 /* of an instruction */
};

enum kona_sim_side { KONA_SIM_SIDE_READ, KONA_SIM_SIDE_WRITE, KONA_SIM_SIDE_FETCH, KONA_SIM_SIDES };

struct kona_sim_level_config {
	uint64_t bytes; /* 0: no such level */
	uint32_t ways;
};

struct kona_sim_stack_config {
	uint64_t sets;	      /* any number, not only powers of two */
	uint32_t block_bytes; /* power of two, line_bytes to 2 MiB */
};

enum kona_sim_simd {
	KONA_SIM_SIMD_BEST,
	KONA_SIM_SIMD_PORTABLE,
	KONA_SIM_SIMD_AVX2,
	KONA_SIM_SIMD_AVX512,
};

struct kona_sim_config {
	uint32_t line_bytes; /* power of two, 64 to 4096 */
	struct kona_sim_level_config l1d, l1i, l2, l3;
	int reuse;		 /* keep reuse distances of what the DRAM caches are asked for */
	int clock;		 /* also simulate local memory as the runtime manages it */
	enum kona_sim_simd simd; /* the most to use; what the processor lacks is not used */
	uint32_t stack_count;
	struct kona_sim_stack_config stack[KONA_SIM_STACKS_MAX];
};

struct kona_sim_batch;
struct kona_sim_scratch;

struct kona_sim_host {
	/* Returns zeroed memory, backed on first touch, never given back; NULL if there is none. */
	void *(*map)(size_t bytes);
	/*
	 * Takes a batch, of which each part must be run (parts.h), and returns an empty
	 * one; NULL: no memory. At the start none is handed over (batch is NULL). Without this
	 * function the engine runs the parts, at once.
	 */
	struct kona_sim_batch *(*hand_over)(struct kona_sim_batch *batch);
	/* Where there is hand_over(): waits until all parts have run all batches. */
	void (*settle)(void);
};

/* Misses of L1, L2 and L3: an access that misses counts once, even when it straddles two lines. */
struct kona_sim_counts {
	uint64_t l1[KONA_SIM_SIDES];
	uint64_t l2[KONA_SIM_SIDES];
	uint64_t l3[KONA_SIM_SIDES];
	uint64_t dram[KONA_SIM_SIDES]; /* lines asked of the DRAM cache */
	uint64_t l3_writebacks;	       /* dirty lines given to the DRAM cache */
	uint64_t footprint_pages;      /* distinct 4 KiB pages below the last level */
	uint64_t footprint_lines;
	uint64_t outside_lines; /* lines not simulated: more than KONA_SIM_REGIONS_MAX regions */
};

enum { KONA_SIM_REUSE_BUCKETS = 33 };

/* Index 0: no other block in between; n: 2^(n-1) to 2^n - 1 others. */
struct kona_sim_reuse_counts {
	uint64_t cold; /* first references */
	uint64_t distance[KONA_SIM_REUSE_BUCKETS];
};

/* One DRAM cache: size = sets x ways x block. */
struct kona_sim_dram_counts {
	uint64_t misses[KONA_SIM_SIDES];
	uint64_t writebacks; /* remote writes: dirty blocks, and single lines sent by themselves */
	uint64_t writeback_lines; /* lines they carry */
};

/* Local memory of so many 4 KiB frames, managed as the runtime does: clock.c. */
struct kona_sim_clock_counts {
	uint64_t frames;
	uint64_t faults;  /* of pages that had left; each brings in one page or more */
	uint64_t fetches; /* pages brought in by them */
	uint64_t writebacks, writeback_lines;
};

/*
 * Lines that are most recent in their L1 set, by (line number & mask), as base addresses: an access
 * that lies within one changes nothing and need not be reported. `write` holds those that are known
 * dirty as well. The front end tests it inline: (address - entry) <= line_bytes - size, unsigned.
 */
struct kona_sim_filter {
	uint64_t read[KONA_SIM_FILTER_LINES];
	uint64_t write[KONA_SIM_FILTER_LINES];
	uint64_t fetch[KONA_SIM_FILTER_LINES];
	uint64_t data_mask;
	uint64_t fetch_mask;
};

struct kona_sim;

/*
 * Returns 0 and *ret_sim; -EINVAL for a configuration that cannot be (a size that is no whole
 * number of sets, a block below the line); -ENOMEM. Memory is never given back: one simulator per
 * process, or few.
 */
int kona_sim_create(const struct kona_sim_host *host, const struct kona_sim_config *config,
		    struct kona_sim **ret_sim);

/* One access of 1 to line_bytes bytes, which may straddle two lines. */
void kona_sim_access(struct kona_sim *sim, uint64_t address, uint32_t bytes,
		     enum kona_sim_kind kind);

/* Accesses wait for others, to go through L1 to L3 together. Now they do. */
void kona_sim_walk(struct kona_sim *sim);

/* From here on accesses are core's, which has its own L1 and L2. Core 0 exists from the start. */
int kona_sim_switch_core(struct kona_sim *sim, uint32_t core);

struct kona_sim_filter *kona_sim_filter(struct kona_sim *sim);

/* Forgets the filter, so that every line's next access is reported (start of a window). */
void kona_sim_filter_reset(struct kona_sim *sim);

/* Brings the counts below up to date; the run may go on. */
void kona_sim_drain(struct kona_sim *sim);

/* After a drain. 1: there was no memory, and what has been counted since is wrong. */
int kona_sim_out_of_memory(const struct kona_sim *sim);

/* The end: what is dirty in L1 to L3 goes to the DRAM caches. */
void kona_sim_finish(struct kona_sim *sim);

/* After kona_sim_drain or kona_sim_finish. */
void kona_sim_counts(const struct kona_sim *sim, struct kona_sim_counts *counts);

/* DRAM cache of configured table `stack` with `ways` (1 to KONA_SIM_WAYS) ways; after a drain. */
void kona_sim_dram_counts(const struct kona_sim *sim, uint32_t stack, uint32_t ways,
			  struct kona_sim_dram_counts *counts);

/* Reuse distances of lines, and of 4 KiB pages; NULL: config.reuse was 0. */
const struct kona_sim_reuse_counts *kona_sim_reuse_lines(const struct kona_sim *sim);
const struct kona_sim_reuse_counts *kona_sim_reuse_pages(const struct kona_sim *sim);

/*
 * Fills counts[KONA_SIM_CLOCK_SIZES] by rising size, with the sizes that the footprint exceeds or
 * nearly does, and returns how many; 0 also where config.clock was 0.
 */
uint32_t kona_sim_clock_counts(const struct kona_sim *sim, struct kona_sim_clock_counts *counts);

/* "portable", "avx2" or "avx512": what the stack scan runs on. */
const char *kona_sim_simd_name(const struct kona_sim *sim);

#endif
