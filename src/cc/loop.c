/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds loops that count (cc/loop.h): one way in, one way out, at the end; no calls, for a
 * translation does not live across one; the exit compares something that grows by a constant with
 * something that does not change. Reads only; what is not understood is no such loop.
 */
#include <string.h>

#include "cc/loop.h"

enum {
	DEEPEST = 8, /* levels of an address computation */
};

int kona_opt_loop_contains(const struct kona_opt_loop *loop, LLVMBasicBlockRef block)
{
	for (int i = 0; i < loop->count; i++)
		if (loop->blocks[i] == block)
			return 1;
	return 0;
}

static int varies(const struct kona_opt_loop *loop, LLVMValueRef value)
{
	return LLVMIsAInstruction(value) &&
	       kona_opt_loop_contains(loop, LLVMGetInstructionParent(value));
}

static int add_block(struct kona_opt_loop *loop, LLVMBasicBlockRef block)
{
	if (kona_opt_loop_contains(loop, block))
		return 1;
	if (loop->count == KONA_OPT_LOOP_BLOCKS)
		return 0;
	loop->blocks[loop->count++] = block;
	return 1;
}

/* The blocks from which the latch is reached without the header. */
static int collect(const struct kona_opt_cfg *cfg, struct kona_opt_loop *loop, int header,
		   int latch)
{
	loop->header = cfg->blocks[header].block;
	loop->latch = cfg->blocks[latch].block;
	loop->blocks[loop->count++] = loop->header;
	if (!add_block(loop, loop->latch))
		return 0;
	for (int i = 1; i < loop->count; i++) {
		const struct kona_opt_block *block =
			&cfg->blocks[kona_opt_cfg_find(cfg, loop->blocks[i])];

		for (int e = 0; e < block->before_count; e++)
			if (!add_block(loop, cfg->blocks[block->before[e]].block))
				return 0;
	}
	for (int i = 0; i < loop->count; i++)
		loop->always[i] =
			kona_opt_cfg_dominates(cfg, kona_opt_cfg_find(cfg, loop->blocks[i]), latch);
	return 1;
}

static int is_harmless_call(LLVMValueRef call)
{
	static const char *const names[] = {"llvm.dbg.",
					    "llvm.lifetime.",
					    "llvm.assume",
					    "llvm.fabs.",
					    "llvm.sqrt.",
					    "llvm.fmuladd.",
					    "llvm.fma.",
					    "llvm.smax.",
					    "llvm.smin.",
					    "llvm.umax.",
					    "llvm.umin.",
					    "llvm.abs.",
					    "llvm.bswap.",
					    "llvm.ctpop.",
					    "llvm.ctlz.",
					    "llvm.cttz.",
					    "llvm.fshl.",
					    "llvm.fshr.",
					    "llvm.uadd.sat.",
					    "llvm.usub.sat.",
					    "llvm.sadd.sat.",
					    "llvm.ssub.sat.",
					    "llvm.experimental.noalias"};
	LLVMValueRef callee = LLVMGetCalledValue(call);
	size_t length;
	const char *name;

	if (!LLVMIsAFunction(callee) || !LLVMGetIntrinsicID(callee))
		return 0;
	name = LLVMGetValueName2(callee, &length);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strncmp(name, names[i], strlen(names[i])))
			return 1;
	return 0;
}

/* No calls, no inner loop, and no way out but the latch's. */
static int is_simple(const struct kona_opt_cfg *cfg, const struct kona_opt_loop *loop)
{
	for (int b = 0; b < loop->count; b++) {
		LLVMValueRef end = LLVMGetBasicBlockTerminator(loop->blocks[b]);
		int here = kona_opt_cfg_find(cfg, loop->blocks[b]);

		if (LLVMGetInstructionOpcode(end) != LLVMBr &&
		    LLVMGetInstructionOpcode(end) != LLVMSwitch)
			return 0;
		for (unsigned s = 0; s < LLVMGetNumSuccessors(end); s++) {
			LLVMBasicBlockRef next = LLVMGetSuccessor(end, s);

			if (loop->blocks[b] == loop->latch)
				continue;
			if (!kona_opt_loop_contains(loop, next) || next == loop->header ||
			    kona_opt_cfg_find(cfg, next) <= here)
				return 0;
		}
		for (LLVMValueRef i = LLVMGetFirstInstruction(loop->blocks[b]); i;
		     i = LLVMGetNextInstruction(i))
			if (LLVMIsACallInst(i) && !is_harmless_call(i))
				return 0;
	}
	return 1;
}

/* What a header's phi is by the latch. */
static LLVMValueRef next_of(const struct kona_opt_loop *loop, LLVMValueRef phi)
{
	for (unsigned i = 0; i < LLVMCountIncoming(phi); i++)
		if (LLVMGetIncomingBlock(phi, i) == loop->latch)
			return LLVMGetIncomingValue(phi, i);
	return NULL;
}

static int constant(LLVMValueRef value, int64_t *ret_number)
{
	if (!LLVMIsAConstantInt(value) || LLVMGetIntTypeWidth(LLVMTypeOf(value)) > 64)
		return 0;
	*ret_number = LLVMConstIntGetSExtValue(value);
	return 1;
}

/* The step of a header's phi that grows by a constant: bytes for a pointer. */
static int phi_step(struct kona_opt *opt, const struct kona_opt_loop *loop, LLVMValueRef phi,
		    int64_t *ret_step)
{
	LLVMValueRef next = next_of(loop, phi);
	int64_t number;

	if (!next || !LLVMIsAInstruction(next) || LLVMGetOperand(next, 0) != phi)
		return 0;
	if (LLVMGetInstructionOpcode(next) == LLVMAdd &&
	    constant(LLVMGetOperand(next, 1), &number)) {
		*ret_step = number;
		return 1;
	}
	if (!LLVMIsAGetElementPtrInst(next) || LLVMGetNumOperands(next) != 2 ||
	    !constant(LLVMGetOperand(next, 1), &number))
		return 0;
	*ret_step =
		number * (int64_t)LLVMABISizeOfType(opt->layout, LLVMGetGEPSourceElementType(next));
	return 1;
}

static int stride_of(struct kona_opt *opt, const struct kona_opt_loop *loop, LLVMValueRef value,
		     int64_t *ret_stride, int depth);

/* a * scale + b, where b is another stride: of two operands of an instruction. */
static int combine(struct kona_opt *opt, const struct kona_opt_loop *loop, LLVMValueRef value,
		   int64_t sign, int64_t *ret_stride, int depth)
{
	int64_t a, b;

	if (!stride_of(opt, loop, LLVMGetOperand(value, 0), &a, depth) ||
	    !stride_of(opt, loop, LLVMGetOperand(value, 1), &b, depth))
		return 0;
	*ret_stride = a + sign * b;
	return 1;
}

static int gep_stride(struct kona_opt *opt, const struct kona_opt_loop *loop, LLVMValueRef gep,
		      int64_t *ret_stride, int depth)
{
	LLVMTypeRef type = LLVMGetGEPSourceElementType(gep);
	int64_t total, part;

	if (!stride_of(opt, loop, LLVMGetOperand(gep, 0), &total, depth))
		return 0;
	for (int i = 1; i < LLVMGetNumOperands(gep); i++) {
		LLVMValueRef index = LLVMGetOperand(gep, (unsigned)i);

		if (i > 1 && LLVMGetTypeKind(type) == LLVMStructTypeKind) {
			type = LLVMStructGetTypeAtIndex(type,
							(unsigned)LLVMConstIntGetZExtValue(index));
			continue;
		}
		if (i > 1)
			type = LLVMGetElementType(type);
		if (!stride_of(opt, loop, index, &part, depth))
			return 0;
		total += part * (int64_t)LLVMABISizeOfType(opt->layout, type);
	}
	*ret_stride = total;
	return 1;
}

static int stride_of(struct kona_opt *opt, const struct kona_opt_loop *loop, LLVMValueRef value,
		     int64_t *ret_stride, int depth)
{
	LLVMTypeRef type = LLVMTypeOf(value);
	int64_t number;

	*ret_stride = 0;
	if (!varies(loop, value))
		return 1;
	/* Narrower numbers wrap, and are extended afterwards: not affine. */
	if (type != opt->i64 && LLVMGetTypeKind(type) != LLVMPointerTypeKind)
		return 0;
	if (depth == DEEPEST)
		return 0;
	if (LLVMIsAPHINode(value))
		return LLVMGetInstructionParent(value) == loop->header &&
		       phi_step(opt, loop, value, ret_stride);
	switch (LLVMGetInstructionOpcode(value)) {
	case LLVMBitCast:
		return stride_of(opt, loop, LLVMGetOperand(value, 0), ret_stride, depth + 1);
	case LLVMGetElementPtr:
		return gep_stride(opt, loop, value, ret_stride, depth + 1);
	case LLVMAdd:
		return combine(opt, loop, value, 1, ret_stride, depth + 1);
	case LLVMSub:
		return combine(opt, loop, value, -1, ret_stride, depth + 1);
	case LLVMMul:
		if (!constant(LLVMGetOperand(value, 1), &number))
			return 0;
		break;
	case LLVMShl:
		if (!constant(LLVMGetOperand(value, 1), &number) || number < 0 || number > 20)
			return 0;
		number = INT64_C(1) << number;
		break;
	default:
		return 0;
	}
	if (!stride_of(opt, loop, LLVMGetOperand(value, 0), ret_stride, depth + 1))
		return 0;
	*ret_stride *= number;
	return 1;
}

int kona_opt_loop_stride(struct kona_opt *opt, const struct kona_opt_loop *loop, LLVMValueRef value,
			 int64_t *ret_stride)
{
	return stride_of(opt, loop, value, ret_stride, 0);
}

static LLVMIntPredicate opposite(LLVMIntPredicate relation)
{
	switch (relation) {
	case LLVMIntEQ:
		return LLVMIntNE;
	case LLVMIntNE:
		return LLVMIntEQ;
	case LLVMIntUGT:
		return LLVMIntULE;
	case LLVMIntUGE:
		return LLVMIntULT;
	case LLVMIntULT:
		return LLVMIntUGE;
	case LLVMIntULE:
		return LLVMIntUGT;
	case LLVMIntSGT:
		return LLVMIntSLE;
	case LLVMIntSGE:
		return LLVMIntSLT;
	case LLVMIntSLT:
		return LLVMIntSGE;
	default:
		return LLVMIntSGT;
	}
}

/* The step of what the exit compares: a header's phi, or its next value. */
static int find_step(struct kona_opt *opt, struct kona_opt_loop *loop)
{
	LLVMValueRef phi = loop->counted;

	if (!LLVMIsAPHINode(phi)) {
		if (!LLVMIsAInstruction(phi) || LLVMGetNumOperands(phi) < 1)
			return 0;
		phi = LLVMGetOperand(phi, 0);
		if (!LLVMIsAPHINode(phi) || next_of(loop, phi) != loop->counted)
			return 0;
	}
	return LLVMGetInstructionParent(phi) == loop->header &&
	       phi_step(opt, loop, phi, &loop->step) && loop->step;
}

/* How the latch decides. */
static int find_bound(struct kona_opt *opt, struct kona_opt_loop *loop)
{
	LLVMValueRef end = LLVMGetBasicBlockTerminator(loop->latch), compare;
	int up;

	if (LLVMGetInstructionOpcode(end) != LLVMBr || !LLVMIsConditional(end))
		return 0;
	compare = LLVMGetCondition(end);
	if (!LLVMIsAICmpInst(compare) || !varies(loop, compare))
		return 0;
	loop->relation = LLVMGetICmpPredicate(compare);
	if (LLVMGetSuccessor(end, 0) == loop->header) {
		loop->exit = LLVMGetSuccessor(end, 1);
	} else {
		loop->exit = LLVMGetSuccessor(end, 0);
		loop->relation = opposite(loop->relation);
	}
	loop->counted = LLVMGetOperand(compare, 0);
	loop->bound = LLVMGetOperand(compare, 1);
	if (varies(loop, loop->bound) || kona_opt_loop_contains(loop, loop->exit) ||
	    !find_step(opt, loop))
		return 0;
	up = loop->step > 0;
	switch (loop->relation) {
	case LLVMIntNE:
		return LLVMGetTypeKind(LLVMTypeOf(loop->bound)) == LLVMPointerTypeKind ||
		       loop->step == 1 || loop->step == -1;
	case LLVMIntULT:
	case LLVMIntULE:
	case LLVMIntSLT:
	case LLVMIntSLE:
		return up;
	case LLVMIntUGT:
	case LLVMIntUGE:
	case LLVMIntSGT:
	case LLVMIntSGE:
		return !up;
	default:
		return 0;
	}
}

int kona_opt_loop_find(struct kona_opt *opt, const struct kona_opt_cfg *cfg, int header,
		       struct kona_opt_loop *ret_loop)
{
	const struct kona_opt_block *block = &cfg->blocks[header];
	struct kona_opt_loop loop = {0};
	int latch = KONA_OPT_NO_BLOCK, before = KONA_OPT_NO_BLOCK;

	if (block->before_count != 2)
		return 0;
	for (int e = 0; e < 2; e++)
		if (kona_opt_cfg_dominates(cfg, header, block->before[e]))
			latch = block->before[e];
		else
			before = block->before[e];
	if (latch == KONA_OPT_NO_BLOCK || before == KONA_OPT_NO_BLOCK)
		return 0;
	loop.before = cfg->blocks[before].block;
	if (!collect(cfg, &loop, header, latch) || !is_simple(cfg, &loop) ||
	    !find_bound(opt, &loop))
		return 0;
	*ret_loop = loop;
	return 1;
}
