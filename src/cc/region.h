/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A region is a set of blocks without calls from which its header is reached again without leaving
 * it: a call may use any slot, so what lives on in a loop lives in a region. No block is in two.
 */
#ifndef KONA_CC_REGION_H
#define KONA_CC_REGION_H

#include "cc/opt.h"

/* Both have an entry for each block of the function's cfg. Owned. */
struct kona_opt_regions {
	int *of_block;	  /* its region's header, plus 1; 0: it is in none */
	unsigned *depths; /* how many loops without calls it is in */
};

void kona_opt_regions_find(struct kona_opt_regions *ret_regions, struct kona_opt *opt,
			   const struct kona_opt_cfg *cfg);
void kona_opt_regions_free(struct kona_opt_regions *regions);

#endif
