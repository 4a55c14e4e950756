/* SPDX-License-Identifier: BSD-2-Clause */
/* The shape of a function in which its accesses are seen to be neighbours (shape.c), and what else
 * is asked about instructions. */
#ifndef KONA_CC_SHAPE_H
#define KONA_CC_SHAPE_H

#include "cc/opt.h"

/* shape.c: makes neighbours of a function's accesses known as such. */
void kona_opt_shape(struct kona_opt *opt, LLVMValueRef function);

/* guard.c: where a block's own work begins. */
LLVMValueRef kona_opt_first_after_phis(LLVMBasicBlockRef block);

/* calls.c: llvm.memcpy or llvm.memmove. */
int kona_opt_copies_memory(LLVMValueRef instruction);

/* calls.c: the alignment of a pointer that is passed, as far as the call tells. */
uint64_t kona_opt_align_of_argument(LLVMValueRef call, unsigned argument);

/* opt.c: the function has an attribute of this name. */
int kona_opt_has_attribute(LLVMValueRef function, const char *name);

/* calls.c: what clang would make calls of the C library's functions of, goes to our versions: for
 * the function and its twin alike, for ours bring in what is far, and need nobody to be awake. */
void kona_opt_call_library(struct kona_opt *opt, LLVMValueRef function);

/* calls.c: an intrinsic that kona_opt_guard_call() makes a call of. */
int kona_opt_becomes_call(struct kona_opt *opt, LLVMValueRef instruction);

/* guard.c: a call after which no translation is good. */
int kona_opt_ends_translations(LLVMValueRef instruction);

#endif
