/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Placement: which node gives the slabs of a grant. A pure function of what is known of the nodes.
 */
#ifndef KONA_RACK_PLACE_H
#define KONA_RACK_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum {
	KONA_RACK_WHY_BYTES = 256, /* of every text that explains a refusal */
};

struct kona_rack_candidate {
	int64_t node;
	const char *name;
	bool up;
	int64_t capacity_slabs;
	int64_t used_slabs;
};

/*
 * Chooses one candidate for `count` slabs of a lease whose program runs on the host of node `home`.
 * Returns 0 and the index; -EHOSTDOWN when home is down; -ENOSPC when there is not enough room;
 * why then tells people.
 */
KONA_MUST_CHECK int kona_rack_place(const struct kona_rack_candidate *candidates,
				    size_t candidate_count, int64_t home, int64_t count,
				    size_t *ret_index, char why[KONA_RACK_WHY_BYTES]);

#endif
