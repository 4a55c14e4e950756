/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function's twin: its blocks once more, without guards, for as long as the function sleeps
 * (kona/sleepers.h): in a program without kona run for ever, else until it keeps touching what is
 * far. It asks where it is entered, and in each turn of a loop: when it wakes up, the twin is left
 * for the guarded code (cc/leave.h). What it touches until then, the fault path serves.
 */
#ifndef KONA_CC_TWIN_H
#define KONA_CC_TWIN_H

#include "cc/leave.h"
#include "cc/opt.h"

struct kona_opt_twin {
	LLVMBasicBlockRef *blocks; /* not in the function yet; NULL: there is no twin. Owned */
	unsigned count;
	struct kona_opt_ways ways;
};

/* Before the guards: copies the blocks, if that is worth it and possible. Sets f's begin and
 * ways_in. */
void kona_opt_twin_make(struct kona_opt_function *f, struct kona_opt_twin *ret_twin);

/* After them: puts the copies into the function, and the question in front. */
void kona_opt_twin_add(struct kona_opt_function *f, struct kona_opt_twin *twin);

/* sleeper.c: the function may have a record (kona/sleepers.h); makes it, and returns its address.
 */
int kona_opt_can_sleep(LLVMValueRef function);
LLVMValueRef kona_opt_sleeper(struct kona_opt *opt, LLVMValueRef function);

#endif
