/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forecast. Walk: the result's frame pools under the clock, or its 4 KiB caches, less what the
 * largest of them still has (first touches), become points by size; models turn points into time.
 * Only memory can fail.
 */
#include "plan.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "engine/engine.h"

enum {
	SET_COUNTS = 20, /* 1 to 512 K sets: 4 KiB to 32 GiB */
	FIRST_WAYS = 9,	 /* of a table that has a table half its size */
};

static const double dram_ns = 82;
/* What of a wait for memory an out-of-order core does not hide. */
static const double dram_seen_ns = 20;

void kona_plan_models(struct kona_models *models)
{
	static const struct kona_model all[] = {
		{"kona", 2, 9, 26, 130, 0, 0},
		{"kona-main-memory", 2, 9, 26, 82, 0, 0},
		{"kona-tcp", 2, 9, 26, 82, 23700, 23700},
		{"kona-shm", 2, 9, 26, 82, 750, 750},
		{"legoos", 2, 9, 26, 82, 10000, 10000},
		{"infiniswap", 2, 9, 26, 82, 40000, 40000},
	};

	models->count = KONA_ARRAY_LEN(all);
	memcpy(models->model, all, sizeof(all));
}

char *kona_plan_stacks(void)
{
	enum { ITEM_BYTES = 24 };
	char *text = malloc(SET_COUNTS * ITEM_BYTES);
	size_t used = 0;

	for (int i = 0; text && i < SET_COUNTS; i++)
		used += (size_t)snprintf(text + used, ITEM_BYTES, "%s%d:%u", i ? "," : "",
					 KONA_PLAN_BLOCK, 1u << i);
	return text;
}

static int by_size(const void *a, const void *b)
{
	const struct kona_plan_point *x = a, *y = b;

	return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/*
 * The largest cache's misses are first touches. Nothing goes home but by an eviction, and a page is
 * evicted at most once per coming, less those that stay to the end; that also takes out lines of
 * the last level that find their page gone.
 */
static void settle_lru(struct kona_plan *plan)
{
	struct kona_plan_point *p = plan->points;
	const struct kona_plan_point last = p[plan->count - 1];

	for (size_t i = 0; i < plan->count; i++) {
		double remote = fmax(plan->footprint - p[i].bytes, 0) / KONA_PLAN_BLOCK;
		double evictions;

		p[i].fetches = p[i].faults = fmax(p[i].fetches - last.fetches, 0);
		evictions = p[i].fetches + remote;
		p[i].writebacks = fmin(p[i].writebacks, evictions);
		p[i].writeback_lines = fmin(p[i].writeback_lines, evictions * KONA_PAGE_LINES);
	}
}

/* Going down in size, less memory never does better: what chance says otherwise is levelled. */
static void level(struct kona_plan *plan)
{
	struct kona_plan_point *p = plan->points;

	for (size_t i = plan->count - 1; i-- > 0;) {
		p[i].faults = fmax(p[i].faults, p[i + 1].faults);
		p[i].fetches = fmax(p[i].fetches, p[i + 1].fetches);
		p[i].writebacks = fmax(p[i].writebacks, p[i + 1].writebacks);
		p[i].writeback_lines = fmax(p[i].writeback_lines, p[i + 1].writeback_lines);
	}
}

/* Waits are what the core does not hide of them; fitted to gzip, xz and sort on a server. */
double kona_plan_estimate_ns(const struct kona_sim_result *result)
{
	const double l1 = (double)(result->l1.misses[0] + result->l1.misses[1]);
	const double l2 = (double)(result->l2.misses[0] + result->l2.misses[1]);
	const double l3 = (double)(result->l3.misses[0] + result->l3.misses[1]);

	return 0.12 * (double)result->instructions + 1 * l1 + 2 * l2 + dram_seen_ns * l3;
}

static void take_lru(struct kona_plan *plan)
{
	for (size_t i = 0; i < plan->result->dram_count; i++) {
		const struct kona_sim_dram *d = &plan->result->dram[i];

		if (d->block != KONA_PLAN_BLOCK ||
		    (d->ways < FIRST_WAYS && d->size / d->ways > d->block))
			continue;
		plan->points[plan->count++] = (struct kona_plan_point){
			.bytes = (double)d->size,
			.fetches = (double)(d->misses[0] + d->misses[1]),
			.writebacks = (double)d->writebacks,
			.writeback_lines = (double)d->writeback_lines,
		};
	}
	qsort(plan->points, plan->count, sizeof(*plan->points), by_size);
	if (plan->count)
		settle_lru(plan);
}

/* All of it local means that nothing leaves, whatever the clock holds in reserve. */
static void take_clock(struct kona_plan *plan)
{
	for (size_t i = 0; i < plan->result->clock_count; i++) {
		const struct kona_sim_clock *c = &plan->result->clock[i];
		double bytes = (double)c->frames * KONA_PLAN_BLOCK;

		if (bytes >= plan->footprint)
			break;
		plan->points[plan->count++] = (struct kona_plan_point){
			.bytes = bytes,
			.faults = (double)c->faults,
			.fetches = (double)c->fetches,
			.writebacks = (double)c->writebacks,
			.writeback_lines = (double)c->writeback_lines,
		};
	}
	if (plan->result->clock_count)
		plan->points[plan->count++] = (struct kona_plan_point){.bytes = plan->footprint};
}

int kona_plan_make(const struct kona_sim_result *result, enum kona_plan_replacement replacement,
		   double local_ns, struct kona_plan *ret_plan)
{
	struct kona_plan plan = {.result = result, .replacement = replacement};

	plan.points = calloc(result->dram_count + result->clock_count + 1, sizeof(*plan.points));
	if (!plan.points)
		return -ENOMEM;
	plan.footprint = fmax((double)result->footprint, KONA_PLAN_BLOCK);
	if (replacement == KONA_PLAN_LRU)
		take_lru(&plan);
	else
		take_clock(&plan);
	if (!plan.count) {
		free(plan.points);
		return -ENODATA;
	}
	level(&plan);
	plan.local_measured = local_ns > 0;
	plan.local_ns = plan.local_measured ? local_ns : fmax(kona_plan_estimate_ns(result), 1);
	*ret_plan = plan;
	return 0;
}

void kona_plan_free(struct kona_plan *plan)
{
	free(plan->points);
	plan->points = NULL;
}

static double between(double low, double high, double share)
{
	if (low > 0 && high > 0)
		return low * pow(high / low, share);
	return low + (high - low) * share;
}

struct kona_plan_point kona_plan_at(const struct kona_plan *plan, double bytes)
{
	const struct kona_plan_point *p = plan->points;
	size_t i = 1;
	double share;

	if (bytes <= p[0].bytes || plan->count == 1)
		return p[0];
	while (i + 1 < plan->count && p[i].bytes < bytes)
		i++;
	share = fmin((bytes - p[i - 1].bytes) / (p[i].bytes - p[i - 1].bytes), 1);
	return (struct kona_plan_point){
		.bytes = bytes,
		.faults = between(p[i - 1].faults, p[i].faults, share),
		.fetches = between(p[i - 1].fetches, p[i].fetches, share),
		.writebacks = between(p[i - 1].writebacks, p[i].writebacks, share),
		.writeback_lines = between(p[i - 1].writeback_lines, p[i].writeback_lines, share),
	};
}

struct kona_plan_band kona_plan_band_at(const struct kona_plan *plan, double bytes)
{
	const struct kona_plan_point *p = plan->points;
	size_t more = 0, less = plan->count - 1;

	while (more < plan->count - 1 && p[more].bytes < bytes * 1.02)
		more++;
	while (less > 0 && p[less].bytes > bytes * 0.98)
		less--;
	return (struct kona_plan_band){.more = p[more], .less = p[less]};
}

int kona_plan_on_edge(const struct kona_plan *plan, const struct kona_model *model, double bytes)
{
	struct kona_plan_band band = kona_plan_band_at(plan, bytes);

	return band.less.fetches > 1.5 * band.more.fetches &&
	       kona_plan_slowdown(plan, model, &band.less) >
		       1.1 * kona_plan_slowdown(plan, model, &band.more);
}

double kona_plan_slowdown(const struct kona_plan *plan, const struct kona_model *model,
			  const struct kona_plan_point *point)
{
	double references = (double)(plan->result->l3.misses[0] + plan->result->l3.misses[1]);
	double extra = references * (model->cache - dram_ns) * (dram_seen_ns / dram_ns) +
		       point->fetches * kona_model_remote_ns(model, KONA_PLAN_BLOCK);

	return (plan->local_ns + extra) / plan->local_ns;
}

double kona_plan_smallest(const struct kona_plan *plan, const struct kona_model *model,
			  double limit)
{
	double smallest = INFINITY;

	for (size_t i = plan->count; i-- > 0;) {
		if (kona_plan_slowdown(plan, model, &plan->points[i]) > limit)
			break;
		smallest = fmin(plan->points[i].bytes, plan->footprint);
	}
	return smallest;
}
