/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls. Memory intrinsics of a small known size are guarded in line; larger ones become calls of
 * our library. Masked loads and stores are guarded like others. A structure that is passed by value
 * is fetched to the stack first, for the copy is made by code that is generated later. Calls of C
 * library functions that move memory, and pointers to them, go to our versions of them.
 *
 * Gathers, scatters, and the processor's own intrinsics keep their addresses: the fault path.
 */
#include <stdio.h>
#include <string.h>

#include "cc/shape.h"

enum { IN_LINE_BYTES = 128 }; /* most that clang copies without a call */

/* Has a version of ours: kona_cc_NAME. */
static const char *const library[] = {
#define KONA_CC_FUNCTION(name) #name,
#include "cc/library.h"
#undef KONA_CC_FUNCTION
};

void kona_opt_rename_library(struct kona_opt *opt)
{
	char name[64];

	for (size_t i = 0; i < sizeof(library) / sizeof(*library); i++) {
		LLVMValueRef function = LLVMGetNamedFunction(opt->module, library[i]), ours;

		/* A module that has a function of this name for itself keeps it. */
		if (!function || !LLVMIsDeclaration(function))
			continue;
		snprintf(name, sizeof(name), "kona_cc_%s", library[i]);
		ours = LLVMGetNamedFunction(opt->module, name);
		if (!ours)
			ours = LLVMAddFunction(opt->module, name, LLVMGlobalGetValueType(function));
		LLVMReplaceAllUsesWith(function, LLVMConstBitCast(ours, LLVMTypeOf(function)));
	}
}

static int is_intrinsic(LLVMValueRef call, const char *name)
{
	unsigned id = LLVMGetIntrinsicID(LLVMGetCalledValue(call));

	return id && id == LLVMLookupIntrinsicID(name, strlen(name));
}

uint64_t kona_opt_align_of_argument(LLVMValueRef call, unsigned argument)
{
	unsigned kind = LLVMGetEnumAttributeKindForName("align", 5);
	LLVMAttributeRef align = LLVMGetCallSiteEnumAttribute(call, argument + 1, kind);

	return align ? LLVMGetEnumAttributeValue(align) : 1;
}

static void guard_argument(struct kona_opt_function *f, LLVMValueRef call, unsigned argument,
			   uint64_t bytes, int stores, unsigned once)
{
	struct kona_opt_access access = {.instruction = call,
					 .operand = argument,
					 .bytes = bytes,
					 .align_bytes = kona_opt_align_of_argument(call, argument),
					 .stores = stores};

	if (!kona_opt_is_local(f->opt, LLVMGetOperand(call, argument)))
		kona_opt_guard_access(f, &access, once);
}

static LLVMValueRef library_function(struct kona_opt *opt, const char *name, LLVMTypeRef type)
{
	LLVMValueRef function = LLVMGetNamedFunction(opt->module, name);

	return function ? function : LLVMAddFunction(opt->module, name, type);
}

/* Calls our memcpy, memmove or memset instead of the intrinsic, which goes. */
static void call_library(struct kona_opt *opt, LLVMValueRef call, const char *name)
{
	int sets = !strcmp(name, "kona_cc_memset");
	LLVMTypeRef types[] = {opt->byte_pointer, sets ? opt->i32 : opt->byte_pointer, opt->i64};
	LLVMTypeRef type = LLVMFunctionType(opt->byte_pointer, types, 3, 0);
	LLVMValueRef args[3], function = library_function(opt, name, type);

	kona_opt_build_before(opt, call);
	for (unsigned i = 0; i < 3; i++)
		args[i] = LLVMGetOperand(call, i);
	if (sets)
		args[1] = LLVMBuildZExt(opt->builder, args[1], opt->i32, "");
	args[2] = LLVMBuildZExtOrBitCast(opt->builder, args[2], opt->i64, "");
	function = LLVMBuildBitCast(opt->builder, function, LLVMPointerType(type, 0), "");
	LLVMBuildCall2(opt->builder, type, function, args, 3, "");
	LLVMInstructionEraseFromParent(call);
}

static int all_local(struct kona_opt *opt, LLVMValueRef call, int copies)
{
	return kona_opt_is_local(opt, LLVMGetOperand(call, 0)) &&
	       (!copies || kona_opt_is_local(opt, LLVMGetOperand(call, 1)));
}

static int is_larger(LLVMValueRef size, uint64_t bytes)
{
	return !LLVMIsAConstantInt(size) || LLVMConstIntGetZExtValue(size) > bytes;
}

static int is_large(LLVMValueRef size)
{
	return is_larger(size, KONA_OPT_SMALL_COPY_BYTES);
}

static void guard_memory_intrinsic(struct kona_opt_function *f, LLVMValueRef call, const char *name)
{
	struct kona_opt *opt = f->opt;
	int copies = strcmp(name, "kona_cc_memset") != 0;
	LLVMValueRef size = LLVMGetOperand(call, 2);

	if (all_local(opt, call, copies))
		return;
	if (is_large(size)) {
		call_library(opt, call, name);
		f->now = (struct kona_opt_state){0}; /* the library uses slots, too */
		return;
	}
	if (!LLVMConstIntGetZExtValue(size))
		return;
	/* Both translations must hold at once. */
	if (copies)
		guard_argument(f, call, 1, LLVMConstIntGetZExtValue(size), 0, KONA_CC_SLOT_OTHER);
	guard_argument(f, call, 0, LLVMConstIntGetZExtValue(size), 1, KONA_CC_SLOT_ONCE);
}

static void guard_masked(struct kona_opt_function *f, LLVMValueRef call, int stores)
{
	struct kona_opt *opt = f->opt;
	struct kona_opt_access access = {
		.instruction = call, .operand = stores ? 1 : 0, .stores = stores, .whole = 1};
	LLVMTypeRef type = LLVMTypeOf(stores ? LLVMGetOperand(call, 0) : call);
	LLVMValueRef align = LLVMGetOperand(call, stores ? 2 : 1);

	access.bytes = LLVMStoreSizeOfType(opt->layout, type);
	access.align_bytes = LLVMConstIntGetZExtValue(align);
	if (!kona_opt_is_local(opt, LLVMGetOperand(call, access.operand)))
		kona_opt_guard_access(f, &access, KONA_CC_SLOT_ONCE);
}

/* Copies what is passed by value to the stack, and passes that. */
static void fetch_by_value(struct kona_opt_function *f, LLVMValueRef call, unsigned argument)
{
	struct kona_opt *opt = f->opt;
	LLVMValueRef pointer = LLVMGetOperand(call, argument), copy, args[3];
	LLVMTypeRef type = LLVMGetElementType(LLVMTypeOf(pointer));
	LLVMTypeRef types[] = {opt->byte_pointer, opt->byte_pointer, opt->i64};
	LLVMTypeRef function_type = LLVMFunctionType(opt->byte_pointer, types, 3, 0);

	kona_opt_build_before(opt, LLVMGetFirstInstruction(LLVMGetEntryBasicBlock(f->function)));
	copy = LLVMBuildAlloca(opt->builder, type, "");
	LLVMSetAlignment(copy, 64);
	kona_opt_build_before(opt, call);
	args[0] = LLVMBuildBitCast(opt->builder, copy, opt->byte_pointer, "");
	args[1] = LLVMBuildBitCast(opt->builder, pointer, opt->byte_pointer, "");
	args[2] = LLVMSizeOf(type);
	LLVMBuildCall2(opt->builder, function_type,
		       library_function(opt, "kona_cc_memcpy", function_type), args, 3, "");
	LLVMSetOperand(call, argument, copy);
}

/* Which of our functions does what a memory intrinsic does; NULL: it is none. */
static const char *memory_intrinsic(LLVMValueRef call)
{
	if (is_intrinsic(call, "llvm.memcpy") || is_intrinsic(call, "llvm.memcpy.inline"))
		return "kona_cc_memcpy";
	if (is_intrinsic(call, "llvm.memmove"))
		return "kona_cc_memmove";
	return is_intrinsic(call, "llvm.memset") ? "kona_cc_memset" : NULL;
}

int kona_opt_copies_memory(LLVMValueRef instruction)
{
	const char *name =
		LLVMIsACallInst(instruction) && LLVMIsAFunction(LLVMGetCalledValue(instruction))
			? memory_intrinsic(instruction)
			: NULL;

	return name && strcmp(name, "kona_cc_memset");
}

int kona_opt_becomes_call(struct kona_opt *opt, LLVMValueRef instruction)
{
	const char *name;

	if (!LLVMIsACallInst(instruction) || !LLVMIsAFunction(LLVMGetCalledValue(instruction)))
		return 0;
	name = memory_intrinsic(instruction);
	return name && is_large(LLVMGetOperand(instruction, 2)) &&
	       !all_local(opt, instruction, strcmp(name, "kona_cc_memset") != 0);
}

void kona_opt_call_library(struct kona_opt *opt, LLVMValueRef function)
{
	LLVMValueRef next;

	for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(function); b;
	     b = LLVMGetNextBasicBlock(b))
		for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = next) {
			next = LLVMGetNextInstruction(i);
			if (kona_opt_becomes_call(opt, i) &&
			    is_larger(LLVMGetOperand(i, 2), IN_LINE_BYTES))
				call_library(opt, i, memory_intrinsic(i));
		}
}

void kona_opt_guard_call(struct kona_opt_function *f, LLVMValueRef call)
{
	unsigned by_value = LLVMGetEnumAttributeKindForName("byval", 5);
	LLVMValueRef callee = LLVMGetCalledValue(call);
	const char *ours;

	if (!LLVMIsAFunction(callee) || !LLVMGetIntrinsicID(callee)) {
		for (unsigned i = 0; i < LLVMGetNumArgOperands(call); i++)
			if (LLVMGetCallSiteEnumAttribute(call, i + 1, by_value) &&
			    !kona_opt_is_local(f->opt, LLVMGetOperand(call, i)))
				fetch_by_value(f, call, i);
		return;
	}
	ours = memory_intrinsic(call);
	if (ours)
		guard_memory_intrinsic(f, call, ours);
	else if (is_intrinsic(call, "llvm.masked.load"))
		guard_masked(f, call, 0);
	else if (is_intrinsic(call, "llvm.masked.store"))
		guard_masked(f, call, 1);
}
