/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Placement by free capacity and failure domain. The better of two nodes taken by chance: nearly as
 * even as looking at all of them, and as cheap with a thousand nodes as with three. Only when some
 * pairs in a row are of no use are all looked at.
 */
#include "rack/rack.h"

#include <string.h>

enum {
	PAIRS = 6,
};

/* Can the node take a replica of the slab at all? Two of one slab never stand on one node. */
static bool is_able(const struct kona_rack *rack, const struct kona_rack_slab *slab,
		    const struct kona_rack_node *node)
{
	if (!node->registered || node->draining || !node->endpoint[0] ||
	    !kona_rack_is_up(rack, node) || !kona_model_free_slabs(&rack->model, node))
		return false;
	for (size_t i = 0; i < slab->count; i++)
		if (slab->replicas[i].node == node)
			return false;
	/* Until an old replica is dropped, its memory could be taken for the new one's. */
	return !kona_ids_has(&node->drops, slab->id);
}

/* Does a replica that will stay stand in the same domain? */
static bool is_shared(const struct kona_rack_slab *slab, const struct kona_rack_node *node)
{
	for (size_t i = 0; i < slab->count; i++) {
		const struct kona_rack_replica *r = &slab->replicas[i];

		if (r->state != KONA_RACK_LEAVING && r->state != KONA_RACK_MOVING &&
		    !r->node->draining && !strcmp(r->node->domain, node->domain))
			return true;
	}
	return false;
}

static bool is_emptier(const struct kona_rack *rack, const struct kona_rack_node *node,
		       const struct kona_rack_node *than)
{
	return !than || kona_model_free_slabs(&rack->model, node) >
				kona_model_free_slabs(&rack->model, than);
}

static struct kona_rack_node *best_of_all(struct kona_rack *rack, const struct kona_rack_slab *slab,
					  bool apart)
{
	struct kona_rack_node *best = NULL;

	for (size_t i = 0; i < rack->model.nodes.count; i++) {
		struct kona_rack_node *node = rack->model.order[i];

		if (is_emptier(rack, node, best) && is_able(rack, slab, node) &&
		    !(apart && is_shared(slab, node)))
			best = node;
	}
	return best;
}

/* The program's own host first: its memory is reached without a network. */
static struct kona_rack_node *at_home(struct kona_rack *rack, const struct kona_rack_slab *slab)
{
	struct kona_rack_node *home = slab->lease->node;

	return is_able(rack, slab, home) && !is_shared(slab, home) ? home : NULL;
}

struct kona_rack_node *kona_rack_place(struct kona_rack *rack, const struct kona_rack_slab *slab,
				       bool emptiest)
{
	struct kona_rack_node *best = emptiest ? NULL : at_home(rack, slab);
	size_t count = rack->model.nodes.count;

	for (int pair = 0; pair < PAIRS && !best && !emptiest && count; pair++)
		for (int i = 0; i < 2; i++) {
			struct kona_rack_node *node =
				rack->model.order[kona_rack_random(rack) % count];

			if (is_emptier(rack, node, best) && is_able(rack, slab, node) &&
			    !is_shared(slab, node))
				best = node;
		}
	if (!best)
		best = best_of_all(rack, slab, true);
	return best ? best : best_of_all(rack, slab, false);
}
