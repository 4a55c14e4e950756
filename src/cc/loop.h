/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Innermost loops that count: how many steps are to come is known before the first. Found in
 * loop.c, treated in chunk.c.
 */
#ifndef KONA_CC_LOOP_H
#define KONA_CC_LOOP_H

#include "cc/opt.h"

enum {
	KONA_OPT_LOOP_BLOCKS = 24, /* larger loops are left alone */
};

struct kona_opt_loop {
	LLVMBasicBlockRef before; /* from where the loop is entered */
	LLVMBasicBlockRef header;
	LLVMBasicBlockRef latch; /* its end decides on the next step: the only exit */
	LLVMBasicBlockRef exit;
	LLVMBasicBlockRef blocks[KONA_OPT_LOOP_BLOCKS];
	int always[KONA_OPT_LOOP_BLOCKS]; /* the block is part of every step */
	int count;
	/* The loop goes on while `counted` stands in `relation` to `bound`, which does not change.
	 */
	LLVMValueRef counted, bound;
	LLVMIntPredicate relation;
	int64_t step; /* of `counted`: bytes for a pointer */
};

/* The loop whose header is a block of the cfg. Returns 0 when it is not of this kind. */
int kona_opt_loop_find(struct kona_opt *opt, const struct kona_opt_cfg *cfg, int header,
		       struct kona_opt_loop *ret_loop);

int kona_opt_loop_contains(const struct kona_opt_loop *loop, LLVMBasicBlockRef block);

/* By how much a 64-bit number or a pointer (bytes) grows with each step. Returns 0 when it does not
 * grow by a constant. */
int kona_opt_loop_stride(struct kona_opt *opt, const struct kona_opt_loop *loop, LLVMValueRef value,
			 int64_t *ret_stride);

/* chunk.c: loops over consecutive memory. Changes the control flow. */
void kona_opt_chunk_loops(struct kona_opt_function *f);

/* chunk.c: has a loop pause after some thousands of steps. Returns the block where it does so, with
 * a phi for each of the header's, which take their values from there. NULL: it is nested and cannot
 * be vectorised; such loops tend to be short, and strips cost much to begin. */
LLVMBasicBlockRef kona_opt_strip_loop(struct kona_opt_function *f, const struct kona_opt_loop *loop,
				      int is_nested);

/* chunk.c: what a phi is by way of `block`; NULL: it is not entered from there. */
LLVMValueRef kona_opt_incoming(LLVMValueRef phi, LLVMBasicBlockRef block);

/* chunk.c: rebuilds the phis of `block`: what came from `from` comes from `to`. */
void kona_opt_redirect_phis(struct kona_opt *opt, LLVMBasicBlockRef block, LLVMBasicBlockRef from,
			    LLVMBasicBlockRef to);

#endif
