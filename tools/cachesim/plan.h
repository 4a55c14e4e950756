/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A forecast from one run's counts: how much slower would the program be with only a share of its
 * memory local, and what would it send home?
 *
 * Local memory is taken as 4 KiB frames at eight sizes per power of two, replaced in one of two
 * ways: by the clock of kona run, which fetches the neighbours of a stream ahead
 * (engine/clock.c), or by LRU in sets of 9 to 16 frames, without fetching ahead, as the original
 * KCacheSim takes it. The first touch of a page costs no network (memory that was never written
 * reads as zeros); what is still local at the program's end is thrown away, dirty or not. A page
 * that comes stops its thread for one remote read of a page; write-backs happen behind the
 * program's back.
 */
#ifndef KONA_CACHESIM_PLAN_H
#define KONA_CACHESIM_PLAN_H

#include "model.h"
#include "result.h"

enum { KONA_PLAN_BLOCK = 4096 };

/* What local memory of this size leaves to the network, over the whole run. */
struct kona_plan_point {
	double bytes;
	double faults;		/* stops; LRU: one per page */
	double fetches;		/* pages */
	double writebacks;	/* pages that leave with dirty lines */
	double writeback_lines; /* their dirty lines */
};

enum kona_plan_replacement {
	KONA_PLAN_CLOCK,
	KONA_PLAN_LRU,
};

struct kona_plan {
	const struct kona_sim_result *result; /* the caller's */
	double footprint;		      /* bytes; never 0 */
	enum kona_plan_replacement replacement;
	double local_ns;     /* run time with all memory local */
	bool local_measured; /* told by the user, not estimated */
	size_t count;
	struct kona_plan_point *points; /* by rising size; fetches never rise */
};

/* The paper's systems that differ at 4 KiB, and two more networks for Kona. */
void kona_plan_models(struct kona_models *models);

/* The simulator's --stacks argument that a plan needs; the caller's to free, NULL: no memory. */
char *kona_plan_stacks(void);

/*
 * local_ns 0: estimate it. Returns 0 and *ret_plan, to be freed by kona_plan_free(); -ENODATA for a
 * result without the tables of kona_plan_stacks(), or for the clock of a run without
 * --clock=yes; -ENOMEM.
 */
KONA_MUST_CHECK int kona_plan_make(const struct kona_sim_result *result,
				   enum kona_plan_replacement replacement, double local_ns,
				   struct kona_plan *ret_plan);
void kona_plan_free(struct kona_plan *plan);

/*
 * With bytes of local memory. Between two simulated sizes a count changes by the same factor with
 * each step, so that on a cliff the error is as large a factor upwards as downwards; on a straight
 * line where one of them has none.
 */
struct kona_plan_point kona_plan_at(const struct kona_plan *plan, double bytes);

/*
 * What local memory 2 % larger and 2 % smaller would leave, at worst: counts never rise with size,
 * so they are those of the next simulated sizes beyond.
 */
struct kona_plan_band {
	struct kona_plan_point more, less; /* local memory */
};
struct kona_plan_band kona_plan_band_at(const struct kona_plan *plan, double bytes);

/*
 * The curve is so steep there that the forecast cannot be trusted: in the band reads differ by more
 * than half, and the slowdown by more than a tenth.
 */
int kona_plan_on_edge(const struct kona_plan *plan, const struct kona_model *model, double bytes);

/* Run time over that with all memory local. */
double kona_plan_slowdown(const struct kona_plan *plan, const struct kona_model *model,
			  const struct kona_plan_point *point);

/*
 * The least local memory from which on no larger one is slower than `limit` (1.1: 10 % slower).
 * INFINITY: not even all of it.
 */
double kona_plan_smallest(const struct kona_plan *plan, const struct kona_model *model,
			  double limit);

/* Run time from instructions and misses alone, ns: good to a factor of two. */
double kona_plan_estimate_ns(const struct kona_sim_result *result);

#endif
