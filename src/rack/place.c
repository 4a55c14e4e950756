/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Placement on the program's own host: shared memory is the only transport to a slab so far, so no
 * other node can serve it. Stateless.
 */
#include "rack/place.h"

#include <errno.h>
#include <stdio.h>

static int64_t free_slabs(const struct kona_rack_candidate *c)
{
	return c->capacity_slabs > c->used_slabs ? c->capacity_slabs - c->used_slabs : 0;
}

int kona_rack_place(const struct kona_rack_candidate *candidates, size_t candidate_count,
		    int64_t home, int64_t count, size_t *ret_index, char why[KONA_RACK_WHY_BYTES])
{
	const struct kona_rack_candidate *here = NULL;
	int64_t elsewhere = 0;

	for (size_t i = 0; i < candidate_count; i++) {
		if (candidates[i].node == home)
			here = &candidates[i];
		else if (candidates[i].up)
			elsewhere += free_slabs(&candidates[i]);
	}
	if (!here || !here->up) {
		snprintf(why, KONA_RACK_WHY_BYTES,
			 "node %s is down: the controller has not heard of it",
			 here ? here->name : "of this lease");
		return -EHOSTDOWN;
	}
	if (free_slabs(here) < count) {
		snprintf(why, KONA_RACK_WHY_BYTES,
			 "node %s has %lld of %lld slabs free, %lld were asked for%s", here->name,
			 (long long)free_slabs(here), (long long)here->capacity_slabs,
			 (long long)count,
			 elsewhere >= count ? " (other hosts have room, but slabs can only be "
					      "reached on the program's own host so far)"
					    : "");
		return -ENOSPC;
	}
	*ret_index = (size_t)(here - candidates);
	return 0;
}
