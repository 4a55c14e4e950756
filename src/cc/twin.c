/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes twins (cc/twin.h). Both share the arguments and the variables of the entry block, and
 * nothing else: every other value is copied, debugging intrinsics left out. While guards are put
 * in, the copies stand outside of the function, where no walk sees them.
 *
 * What cannot be copied has no twin: blocks whose address is taken, inline assembly (it may define
 * labels), tokens. Nor has what is not optimised; what calls setjmp(), for it may return to a twin
 * that was left; loops that begin with an exception's landing; and too many of them (leave.c).
 */
#include "cc/twin.h"

#include <string.h>

#include "cc/leave.h"
#include "cc/shape.h"

static int is_debugging(LLVMValueRef instruction)
{
	size_t length;
	LLVMValueRef callee = LLVMIsACallInst(instruction) ? LLVMGetCalledValue(instruction) : NULL;

	return callee && LLVMIsAFunction(callee) &&
	       !strncmp(LLVMGetValueName2(callee, &length), "llvm.dbg.", 9);
}

/* A variable, at home in the entry block. */
static int is_variable(LLVMValueRef instruction)
{
	return LLVMIsAAllocaInst(instruction) && LLVMIsAConstantInt(LLVMGetOperand(instruction, 0));
}

static int returns_twice(LLVMValueRef call)
{
	unsigned kind = LLVMGetEnumAttributeKindForName("returns_twice", 13);
	LLVMValueRef callee = LLVMGetCalledValue(call);

	return LLVMGetCallSiteEnumAttribute(call, LLVMAttributeFunctionIndex, kind) ||
	       (LLVMIsAFunction(callee) &&
		LLVMGetEnumAttributeAtIndex(callee, LLVMAttributeFunctionIndex, kind));
}

static int can_copy(LLVMValueRef instruction)
{
	switch (LLVMGetInstructionOpcode(instruction)) {
	case LLVMIndirectBr:
	case LLVMCallBr:
		return 0;
	case LLVMCall:
	case LLVMInvoke:
		if (LLVMIsAInlineAsm(LLVMGetCalledValue(instruction)) || returns_twice(instruction))
			return 0;
		break;
	default:
		break;
	}
	return LLVMGetTypeKind(LLVMTypeOf(instruction)) != LLVMTokenTypeKind;
}

static int address_is_taken(LLVMBasicBlockRef block)
{
	for (LLVMUseRef use = LLVMGetFirstUse(LLVMBasicBlockAsValue(block)); use;
	     use = LLVMGetNextUse(use))
		if (LLVMIsABlockAddress(LLVMGetUser(use)))
			return 1;
	return 0;
}

static int has_accesses(struct kona_opt *opt, LLVMValueRef function)
{
	struct kona_opt_access access;

	for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(function); b;
	     b = LLVMGetNextBasicBlock(b))
		for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i))
			if (kona_opt_describe(opt, i, &access))
				return 1;
	return 0;
}

static int is_possible(LLVMValueRef function)
{
	if (kona_opt_has_attribute(function, "optnone"))
		return 0;
	for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(function); b;
	     b = LLVMGetNextBasicBlock(b)) {
		if (address_is_taken(b))
			return 0;
		for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i))
			if (!can_copy(i))
				return 0;
	}
	return 1;
}

/* The instructions, as they are, but for empty phis. */
static void copy_block(struct kona_opt *opt, LLVMBasicBlockRef from, int is_entry,
		       LLVMBasicBlockRef to, struct kona_map *copies)
{
	LLVMPositionBuilderAtEnd(opt->builder, to);
	LLVMSetCurrentDebugLocation2(opt->builder, NULL);
	for (LLVMValueRef i = LLVMGetFirstInstruction(from); i; i = LLVMGetNextInstruction(i)) {
		LLVMValueRef copy;

		if (is_debugging(i) || (is_entry && is_variable(i)))
			continue;
		if (LLVMIsAPHINode(i)) {
			copy = LLVMBuildPhi(opt->builder, LLVMTypeOf(i), "");
		} else {
			copy = LLVMInstructionClone(i);
			LLVMInsertIntoBuilder(opt->builder, copy);
		}
		kona_map_set(copies, i, (size_t)copy);
	}
}

static LLVMValueRef copy_of(const struct kona_map *copies, LLVMValueRef value)
{
	return (LLVMValueRef)kona_map_get(copies, value, (size_t)value);
}

/* Lets the copy of an instruction use copies. */
static void connect(const struct kona_map *copies, LLVMValueRef from)
{
	LLVMValueRef to = copy_of(copies, from);

	if (to == from)
		return;
	if (LLVMIsAPHINode(from)) {
		for (unsigned i = 0; i < LLVMCountIncoming(from); i++) {
			LLVMValueRef value = copy_of(copies, LLVMGetIncomingValue(from, i));
			LLVMBasicBlockRef way = LLVMValueAsBasicBlock(copy_of(
				copies, LLVMBasicBlockAsValue(LLVMGetIncomingBlock(from, i))));

			LLVMAddIncoming(to, &value, &way, 1);
		}
		return;
	}
	for (unsigned i = 0; i < (unsigned)LLVMGetNumOperands(from); i++) {
		LLVMValueRef operand = LLVMGetOperand(from, i);

		if (operand && copy_of(copies, operand) != operand)
			LLVMSetOperand(to, i, copy_of(copies, operand));
	}
}

static void copy_blocks(struct kona_opt *opt, LLVMValueRef function, struct kona_opt_twin *twin,
			struct kona_map *copies)
{
	LLVMBasicBlockRef entry = LLVMGetEntryBasicBlock(function);

	twin->blocks = kona_opt_zeros(LLVMCountBasicBlocks(function), sizeof(*twin->blocks));
	for (LLVMBasicBlockRef b = entry; b; b = LLVMGetNextBasicBlock(b)) {
		LLVMBasicBlockRef copy = LLVMCreateBasicBlockInContext(opt->context, "");

		twin->blocks[twin->count++] = copy;
		kona_map_set(copies, LLVMBasicBlockAsValue(b), (size_t)LLVMBasicBlockAsValue(copy));
		copy_block(opt, b, b == entry, copy, copies);
	}
	for (LLVMBasicBlockRef b = entry; b; b = LLVMGetNextBasicBlock(b))
		for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i))
			connect(copies, i);
}

/*
 * A new first block, with the variables of both. For now it leads to the guarded code, and, for all
 * that a reader of the control flow can tell, to the ways in.
 */
static void put_entry(struct kona_opt *opt, const struct kona_opt_twin *twin, LLVMBasicBlockRef old)
{
	LLVMBasicBlockRef entry = LLVMInsertBasicBlockInContext(opt->context, old, "");
	LLVMValueRef next, choice;

	LLVMPositionBuilderAtEnd(opt->builder, entry);
	LLVMSetCurrentDebugLocation2(opt->builder, NULL);
	for (LLVMValueRef i = LLVMGetFirstInstruction(old); i; i = next) {
		next = LLVMGetNextInstruction(i);
		if (!is_variable(i))
			continue;
		LLVMInstructionRemoveFromParent(i);
		LLVMInsertIntoBuilder(opt->builder, i);
	}
	choice = LLVMBuildSwitch(opt->builder, LLVMGetUndef(opt->i32), old, twin->ways.count);
	for (unsigned w = 0; w < twin->ways.count; w++)
		LLVMAddCase(choice, LLVMConstInt(opt->i32, w, 0), twin->ways.ways[w].leave);
}

void kona_opt_twin_make(struct kona_opt_function *f, struct kona_opt_twin *ret_twin)
{
	struct kona_map copies = {0};
	struct kona_opt_twin twin = {0};

	*ret_twin = twin;
	if (!kona_opt_can_sleep(f->function) || !is_possible(f->function) ||
	    !has_accesses(f->opt, f->function) ||
	    !kona_opt_ways_prepare(f->opt, f->function, &twin.ways))
		return;
	copy_blocks(f->opt, f->function, &twin, &copies);
	kona_opt_ways_open(f->opt, &twin.ways, &copies);
	for (unsigned w = 0; w < twin.ways.count; w++)
		kona_map_set(&f->ways_in, twin.ways.ways[w].leave, 1);
	f->begin = LLVMGetEntryBasicBlock(f->function);
	put_entry(f->opt, &twin, f->begin);
	kona_map_free(&copies);
	*ret_twin = twin;
}

void kona_opt_twin_add(struct kona_opt_function *f, struct kona_opt_twin *twin)
{
	struct kona_opt *opt = f->opt;
	LLVMValueRef jump, answer;

	if (!twin->blocks)
		return;
	for (unsigned i = 0; i < twin->count; i++)
		LLVMAppendExistingBasicBlock(f->function, twin->blocks[i]);
	jump = LLVMGetBasicBlockTerminator(LLVMGetEntryBasicBlock(f->function));
	kona_opt_build_before(opt, jump);
	f->sleeper = kona_opt_sleeper(opt, f->function);
	answer = kona_opt_call(opt, KONA_OPT_ENTER, &f->sleeper, 1);
	LLVMBuildCondBr(
		opt->builder,
		LLVMBuildICmp(opt->builder, LLVMIntNE, answer, LLVMConstInt(opt->i32, 0, 0), ""),
		f->begin, twin->blocks[0]);
	LLVMInstructionEraseFromParent(jump);
	kona_opt_ways_connect(f, &twin->ways);
	kona_opt_ways_free(&twin->ways);
	free(twin->blocks);
	twin->blocks = NULL;
}
