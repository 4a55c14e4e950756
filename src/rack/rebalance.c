/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rebalancing: which replicas should stand elsewhere. It only marks them; repair.c makes their
 * successors and takes them away when those are full.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rack/rack.h"

/* A slab that is as it should be, so that moving it endangers nothing. */
static bool may_move(const struct kona_rack_slab *slab)
{
	if (slab->version != slab->taken || slab->count != slab->wanted)
		return false;
	for (size_t i = 0; i < slab->count; i++)
		if (slab->replicas[i].state != KONA_RACK_FULL)
			return false;
	return true;
}

static int move(struct kona_rack *rack, struct kona_rack_slab *slab,
		struct kona_rack_replica *replica)
{
	replica->state = KONA_RACK_MOVING;
	kona_rack_touch_slab(rack, slab);
	kona_rack_queue(rack, slab);
	return rack->batch.incomplete ? -ENOMEM : 0;
}

/* Two replicas in one domain, and a node elsewhere that could take one. */
static bool is_together(struct kona_rack *rack, struct kona_rack_slab *slab,
			struct kona_rack_replica *replica)
{
	const struct kona_rack_node *better;
	bool together = false;

	for (size_t i = 0; i < slab->count; i++)
		together |= &slab->replicas[i] != replica &&
			    !strcmp(slab->replicas[i].node->domain, replica->node->domain);
	if (!together)
		return false;
	better = kona_rack_place(rack, slab, true);
	if (!better)
		return false;
	for (size_t i = 0; i < slab->count; i++)
		if (!strcmp(slab->replicas[i].node->domain, better->domain))
			return false;
	return true;
}

static int part(struct kona_rack *rack, int64_t *moves)
{
	struct kona_rack_slab *slab;
	size_t cursor = 0;
	int rc = 0;

	while (!rc && (slab = kona_table_next(&rack->model.slabs, &cursor)))
		for (size_t i = 1; slab->wanted > 1 && i < slab->count && may_move(slab) && !rc;
		     i++)
			if (is_together(rack, slab, &slab->replicas[i])) {
				rc = move(rack, slab, &slab->replicas[i]);
				++*moves;
			}
	return rc;
}

static bool counts(const struct kona_rack *rack, const struct kona_rack_node *node)
{
	return node->registered && !node->draining && node->endpoint[0] &&
	       kona_rack_is_up(rack, node) && node->capacity_bytes >= rack->model.slab_bytes;
}

/* The node gives away what it has beyond its share, in slabs. */
static int even_out(struct kona_rack *rack, struct kona_rack_node *node, int64_t share,
		    int64_t *moves)
{
	int64_t surplus = (int64_t)node->slab_count - share;
	int rc = 0;

	for (size_t i = 0; i < node->slab_count && surplus > 0 && !rc; i++) {
		struct kona_rack_slab *slab = node->slabs[i];

		if (!may_move(slab))
			continue;
		rc = move(rack, slab, kona_model_replica_on(slab, node));
		surplus--;
		++*moves;
	}
	return rc;
}

int kona_rack_rebalance(struct kona_rack *rack, int64_t *ret_moves)
{
	double used = 0, capacity = 0;
	int64_t moves = 0;
	int rc = kona_rack_begin(rack);

	if (rc)
		return rc;
	for (size_t i = 0; i < rack->model.nodes.count; i++) {
		const struct kona_rack_node *node = rack->model.order[i];

		if (!counts(rack, node))
			continue;
		used += (double)node->slab_count;
		capacity += (double)(node->capacity_bytes / rack->model.slab_bytes);
	}
	rc = part(rack, &moves);
	for (size_t i = 0; i < rack->model.nodes.count && !rc && capacity > 0; i++) {
		struct kona_rack_node *node = rack->model.order[i];
		double own = (double)(node->capacity_bytes / rack->model.slab_bytes);

		if (counts(rack, node))
			rc = even_out(rack, node, (int64_t)(used / capacity * own) + 1, &moves);
	}
	if (rc) {
		rack->stale = true;
		return kona_rack_refuse(rack, rc, "the controller is out of memory");
	}
	rc = kona_rack_commit(rack);
	if (!rc)
		*ret_moves = moves;
	return rc;
}
