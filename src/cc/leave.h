/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ways out of a running twin (cc/twin.h) into the guarded code: one for each loop, where a turn
 * of it begins. In front of the guarded loop stands a block of its own, `before`, where it is
 * entered from both; a way in, `leave`, leads there from the twin's loop.
 *
 *   guarded:  ... -> before -> header -> ...
 *                     ^
 *                   leave <--- pause <--- (end of a turn)
 *                                v
 *   twin:     ... -> before -> header -> ...
 *
 * Guards are put in before the twin's edges exist. Until then the ways in hang from the function's
 * first block, so that whoever looks at the control flow sees that a loop may be entered there with
 * nothing translated. The values that a way in brings along are kept in variables of the stack,
 * which become registers again at the end.
 */
#ifndef KONA_CC_LEAVE_H
#define KONA_CC_LEAVE_H

#include "cc/opt.h"

/* A value that is used behind a way in, though it is computed before. */
struct kona_opt_kept {
	LLVMValueRef variable;
	LLVMValueRef store; /* of the value, wherever it is computed */
};

/* What a phi in front of a guarded loop is by the way in: a phi of the twin's. */
struct kona_opt_brought {
	LLVMValueRef store; /* keeps the former */
	LLVMValueRef copy;
};

struct kona_opt_way {
	LLVMBasicBlockRef header, before; /* of the guarded loop */
	LLVMBasicBlockRef leave;
	int is_nested;			     /* the loop is in another */
	LLVMBasicBlockRef twin, twin_before; /* the same of the twin's */
	LLVMBasicBlockRef pause;	     /* where that asks whether to leave */
	struct kona_opt_brought *brought;    /* Owned */
	unsigned brought_count;
};

/* All zero: the function has no loops. */
struct kona_opt_ways {
	struct kona_opt_way *ways;  /* Owned */
	struct kona_opt_kept *kept; /* Owned */
	unsigned count, kept_count;
};

/* Before the blocks are copied: gives each loop its block in front, and keeps what must be. Returns
 * 0 if there is a loop out of which no way leads; then the function may have been changed, but does
 * what it did. */
int kona_opt_ways_prepare(struct kona_opt *opt, LLVMValueRef function,
			  struct kona_opt_ways *ret_ways);

/* Afterwards: makes the ways in. copies: of blocks and of values, in the twin. */
void kona_opt_ways_open(struct kona_opt *opt, struct kona_opt_ways *ways,
			const struct kona_map *copies);

/* At last, when the function has guards, and its twin: leads the twin's loops into the ways. */
void kona_opt_ways_connect(struct kona_opt_function *f, struct kona_opt_ways *ways);

void kona_opt_ways_free(struct kona_opt_ways *ways);

#endif
