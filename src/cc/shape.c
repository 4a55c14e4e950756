/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Brings the accesses of a function into the shape that share.c and window.c understand, before any
 * is guarded: LLVM computes the address of each field of p[i] by an instruction of its own, so
 * nothing tells that they are neighbours. Here the address of p[i] becomes one value that all
 * share, and each field a constant distance from it. Copies of as many bytes as a register has
 * become a load and a store, which can use windows.
 *
 * No state. Cannot fail: what does not fit stays as it is.
 */
#include "cc/shape.h"

enum {
	MOST_INDICES = 8,
};

/* The index of a getelementptr from which on all are constant; 0: the first is. */
static unsigned tail_of(LLVMValueRef gep)
{
	unsigned count = (unsigned)LLVMGetNumOperands(gep);

	while (count > 1 && LLVMIsAConstantInt(LLVMGetOperand(gep, count - 1)))
		count--;
	return count == 1 ? 0 : count;
}

/* Both are there where some instruction uses them, so one of the two sees the other. */
static LLVMValueRef later(const struct kona_opt_cfg *cfg, LLVMValueRef a, LLVMValueRef b)
{
	LLVMBasicBlockRef block = LLVMGetInstructionParent(a), other = LLVMGetInstructionParent(b);

	if (block != other)
		return kona_opt_cfg_find(cfg, block) > kona_opt_cfg_find(cfg, other) ? a : b;
	for (LLVMValueRef i = a; i; i = LLVMGetNextInstruction(i))
		if (i == b)
			return b;
	return a;
}

/* Where all of the first `count` operands are there, as early as can be; NULL: at no place known.
 */
static LLVMValueRef earliest_place(const struct kona_opt_cfg *cfg, LLVMValueRef gep, unsigned count)
{
	LLVMValueRef last = NULL, entry = LLVMGetFirstInstruction(cfg->blocks[0].block);

	for (unsigned i = 0; i < count; i++) {
		LLVMValueRef operand = LLVMGetOperand(gep, i);

		if (LLVMIsAInstruction(operand))
			last = last ? later(cfg, last, operand) : operand;
	}
	if (!last) {
		while (LLVMIsAAllocaInst(entry))
			entry = LLVMGetNextInstruction(entry);
		return entry;
	}
	if (LLVMIsATerminatorInst(last))
		return NULL;
	return LLVMIsAPHINode(last) ? kona_opt_first_after_phis(LLVMGetInstructionParent(last))
				    : LLVMGetNextInstruction(last);
}

static int is_same_head(LLVMValueRef head, LLVMValueRef gep, unsigned count)
{
	if (!LLVMIsAGetElementPtrInst(head) || (unsigned)LLVMGetNumOperands(head) != count ||
	    LLVMGetGEPSourceElementType(head) != LLVMGetGEPSourceElementType(gep))
		return 0;
	for (unsigned i = 0; i < count; i++)
		if (LLVMGetOperand(head, i) != LLVMGetOperand(gep, i))
			return 0;
	return 1;
}

/* The address without its constant tail: one for all that begin with the same operands. */
static LLVMValueRef head_of(struct kona_opt *opt, const struct kona_opt_cfg *cfg,
			    struct kona_map *heads, LLVMValueRef gep, unsigned count)
{
	LLVMValueRef indices[MOST_INDICES], place, head;

	for (LLVMUseRef use = LLVMGetFirstUse(LLVMGetOperand(gep, count - 1)); use;
	     use = LLVMGetNextUse(use)) {
		head = LLVMGetUser(use);
		if (kona_map_get(heads, head, 0) && is_same_head(head, gep, count))
			return head;
	}
	place = earliest_place(cfg, gep, count);
	if (!place)
		return NULL;
	for (unsigned i = 1; i < count; i++)
		indices[i - 1] = LLVMGetOperand(gep, i);
	kona_opt_build_before(opt, place);
	head = LLVMBuildGEP2(opt->builder, LLVMGetGEPSourceElementType(gep), LLVMGetOperand(gep, 0),
			     indices, count - 1, "");
	if (!LLVMIsAGetElementPtrInst(head))
		return NULL;
	kona_map_set(heads, head, 1);
	return head;
}

/* Both parts of the address, instead of the one instruction. */
static void split(struct kona_opt *opt, const struct kona_opt_cfg *cfg, struct kona_map *heads,
		  LLVMValueRef gep)
{
	unsigned count = tail_of(gep), all = (unsigned)LLVMGetNumOperands(gep);
	LLVMValueRef head, whole, indices[MOST_INDICES] = {kona_opt_number(opt, 0)};

	if (!count || all > MOST_INDICES || kona_map_get(heads, gep, 0) ||
	    LLVMGetTypeKind(LLVMTypeOf(gep)) != LLVMPointerTypeKind)
		return;
	head = head_of(opt, cfg, heads, gep, count);
	if (!head)
		return;
	whole = head;
	if (count < all) {
		for (unsigned i = count; i < all; i++)
			indices[i - count + 1] = LLVMGetOperand(gep, i);
		kona_opt_build_before(opt, gep);
		whole = LLVMBuildGEP2(opt->builder, LLVMGetElementType(LLVMTypeOf(head)), head,
				      indices, all - count + 1, "");
	}
	LLVMReplaceAllUsesWith(gep, whole);
	LLVMInstructionEraseFromParent(gep);
}

/* A type of that many bytes which a register holds; NULL: there is none. */
static LLVMTypeRef register_type(struct kona_opt *opt, uint64_t bytes)
{
	switch (bytes) {
	case 1:
	case 2:
	case 4:
	case 8:
		return LLVMIntTypeInContext(opt->context, (unsigned)bytes * 8);
	case 16:
	case 32:
		return LLVMVectorType(LLVMInt8TypeInContext(opt->context), (unsigned)bytes);
	default:
		return NULL;
	}
}

/* All is loaded before any is stored: as good for memmove as for memcpy. */
static void unfold_copy(struct kona_opt *opt, LLVMValueRef call)
{
	LLVMValueRef size = LLVMGetOperand(call, 2), value, pointers[2];
	LLVMTypeRef type = LLVMIsAConstantInt(size)
				   ? register_type(opt, LLVMConstIntGetZExtValue(size))
				   : NULL;

	if (!type || !LLVMIsNull(LLVMGetOperand(call, 3)))
		return;
	if (kona_opt_is_local(opt, LLVMGetOperand(call, 0)) &&
	    kona_opt_is_local(opt, LLVMGetOperand(call, 1)))
		return;
	kona_opt_build_before(opt, call);
	for (unsigned i = 0; i < 2; i++)
		pointers[i] = LLVMBuildBitCast(opt->builder, LLVMGetOperand(call, i),
					       LLVMPointerType(type, 0), "");
	value = LLVMBuildLoad2(opt->builder, type, pointers[1], "");
	LLVMSetAlignment(value, (unsigned)kona_opt_align_of_argument(call, 1));
	value = LLVMBuildStore(opt->builder, value, pointers[0]);
	LLVMSetAlignment(value, (unsigned)kona_opt_align_of_argument(call, 0));
	LLVMInstructionEraseFromParent(call);
}

void kona_opt_shape(struct kona_opt *opt, LLVMValueRef function)
{
	struct kona_opt_cfg cfg;
	struct kona_map heads = {0};
	LLVMValueRef next;

	kona_opt_cfg_make(&cfg, function, NULL);
	for (int b = 0; b < cfg.count; b++)
		for (LLVMValueRef i = LLVMGetFirstInstruction(cfg.blocks[b].block); i; i = next) {
			next = LLVMGetNextInstruction(i);
			if (LLVMIsAGetElementPtrInst(i))
				split(opt, &cfg, &heads, i);
			else if (kona_opt_copies_memory(i))
				unfold_copy(opt, i);
		}
	kona_map_free(&heads);
	kona_opt_cfg_free(&cfg);
}
