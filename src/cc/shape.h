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

/* guard.c: a call after which no translation is good. */
int kona_opt_ends_translations(LLVMValueRef instruction);

#endif
