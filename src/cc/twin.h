/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function's twin: its blocks once more, without guards, for threads that have no far memory:
 * those of a program without kona run. The function asks once, where it is entered. (Should far
 * memory come while a twin runs, the fault path serves it.)
 */
#ifndef KONA_CC_TWIN_H
#define KONA_CC_TWIN_H

#include "cc/opt.h"

struct kona_opt_twin {
	LLVMBasicBlockRef *blocks; /* not in the function yet; NULL: there is no twin. Owned */
	unsigned count;
};

/* Before the guards: copies the blocks, if that is worth it and possible. */
struct kona_opt_twin kona_opt_twin_make(struct kona_opt *opt, LLVMValueRef function);

/* After them: puts the copies into the function, and the question in front. */
void kona_opt_twin_add(struct kona_opt *opt, LLVMValueRef function, struct kona_opt_twin *twin);

#endif
