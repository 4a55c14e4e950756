/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control flow of a function: LLVM's C interface has no analyses. Blocks are in reverse
 * postorder, so that a block comes after what dominates it; blocks that cannot be reached are not
 * listed. Valid until the function's blocks change.
 */
#ifndef KONA_CC_CFG_H
#define KONA_CC_CFG_H

#include <llvm-c/Core.h>

#include "cc/map.h"

enum {
	KONA_OPT_NO_BLOCK = -1,
};

struct kona_opt_block {
	LLVMBasicBlockRef block;
	int dominator; /* its immediate dominator; itself at the entry */
	int *before;   /* its predecessors, one for each edge */
	int before_count;
	int is_way_in; /* from outside of the code in question (cc/leave.h) */
};

struct kona_opt_cfg {
	struct kona_opt_block *blocks; /* blocks[0] is the entry */
	int count;
	struct kona_map index; /* of a block, plus 1 */
	int *edges;	       /* where all `before` point to */
};

/* ways_in: the blocks of which dominators take no notice, for they bring along whatever a block may
 * use; NULL: there are none. */
void kona_opt_cfg_make(struct kona_opt_cfg *ret_cfg, LLVMValueRef function,
		       const struct kona_map *ways_in);
void kona_opt_cfg_free(struct kona_opt_cfg *cfg);

/* The index of a block, or KONA_OPT_NO_BLOCK. */
int kona_opt_cfg_find(const struct kona_opt_cfg *cfg, LLVMBasicBlockRef block);

/* A loop begins with the block: it is reached from itself or from a later one. */
int kona_opt_cfg_is_header(const struct kona_opt_cfg *cfg, int block);

/*
 * Marks, with the header's index plus 1, the blocks that lead back to it, of those that are not
 * broken (NULL: none is) and not marked yet. Returns how many ways back there are. stack: has room
 * for all.
 */
int kona_opt_cfg_flood(const struct kona_opt_cfg *cfg, int header, int *marks, const char *broken,
		       int *stack);

/* How many loops each block is in, its own as a header too, of blocks that are not broken; six at
 * most. To be freed. */
unsigned *kona_opt_cfg_depths(const struct kona_opt_cfg *cfg, const char *broken);

/* Every way to b leads over a; if b is a way in, to what it leads to. */
int kona_opt_cfg_dominates(const struct kona_opt_cfg *cfg, int a, int b);

#endif
