/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pointers cannot be far: what the heap does not hold. A pointer is followed to the objects
 * from which it may come; it is local when all of them are. (A stack may lie in VFMem, if a program
 * puts it there. Then the fault path serves it.)
 *
 * Reads the module and local_arguments. Cannot fail: what is not understood is not local.
 */
#include <string.h>

#include "cc/opt.h"

enum {
	MOST_VALUES = 64, /* a pointer that may come from more is not followed */
};

struct walk {
	LLVMValueRef values[MOST_VALUES];
	unsigned count;
	int overflow;
};

static void walk_add(struct walk *walk, LLVMValueRef value)
{
	for (unsigned i = 0; i < walk->count; i++)
		if (walk->values[i] == value)
			return;
	if (walk->count == MOST_VALUES)
		walk->overflow = 1;
	else
		walk->values[walk->count++] = value;
}

/* Functions of the C library that return the place of something of its own. */
static int returns_local(LLVMValueRef call)
{
	static const char *const names[] = {"__errno_location", "__ctype_b_loc",
					    "__ctype_tolower_loc", "__ctype_toupper_loc",
					    "__h_errno_location"};
	LLVMValueRef callee = LLVMGetCalledValue(call);
	size_t length;
	const char *name;

	if (!LLVMIsAFunction(callee))
		return 0;
	name = LLVMGetValueName2(callee, &length);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(name, names[i]))
			return 1;
	return 0;
}

/* A loaded pointer that is known: a vtable, a table of character classes. */
static int loads_local(struct kona_opt *opt, LLVMValueRef load)
{
	LLVMValueRef from = LLVMGetOperand(load, 0), tag = LLVMGetMetadata(load, opt->tbaa);
	LLVMValueRef parts[4], name_parts[4];
	unsigned length;

	if (LLVMIsACallInst(from) && returns_local(from))
		return 1;
	if (!tag || LLVMGetMDNodeNumOperands(tag) < 3 || LLVMGetMDNodeNumOperands(tag) > 4)
		return 0;
	LLVMGetMDNodeOperands(tag, parts);
	if (!parts[1] || !LLVMIsAMDNode(parts[1]) || LLVMGetMDNodeNumOperands(parts[1]) < 2 ||
	    LLVMGetMDNodeNumOperands(parts[1]) > 4)
		return 0;
	LLVMGetMDNodeOperands(parts[1], name_parts);
	if (!name_parts[0] || !LLVMIsAMDString(name_parts[0]))
		return 0;
	return !strncmp(LLVMGetMDString(name_parts[0], &length), "vtable pointer", 14);
}

static int is_by_value(LLVMValueRef argument)
{
	LLVMValueRef function = LLVMGetParamParent(argument);
	unsigned kind = LLVMGetEnumAttributeKindForName("byval", 5), index = 1;

	for (LLVMValueRef a = LLVMGetFirstParam(function); a && a != argument;
	     a = LLVMGetNextParam(a))
		index++;
	return LLVMGetEnumAttributeAtIndex(function, index, kind) != NULL;
}

/* Says whether a constant is local; what a constant expression is made of is followed. */
static int constant_is_local(struct walk *walk, LLVMValueRef value)
{
	if (LLVMIsAConstantExpr(value) && LLVMGetConstOpcode(value) != LLVMIntToPtr)
		walk_add(walk, LLVMGetOperand(value, 0));
	return 1;
}

/* One step: 1 when the value is local, or as far as what was added to the walk is. */
static int follow(struct kona_opt *opt, struct walk *walk, LLVMValueRef value)
{
	if (LLVMIsConstant(value))
		return constant_is_local(walk, value);
	if (LLVMIsAArgument(value))
		return (int)kona_map_get(&opt->local_arguments, value, 0) || is_by_value(value);
	if (!LLVMIsAInstruction(value))
		return 0;
	switch (LLVMGetInstructionOpcode(value)) {
	case LLVMAlloca:
		return 1;
	case LLVMGetElementPtr:
	case LLVMBitCast:
	case LLVMAddrSpaceCast:
	case LLVMFreeze:
		walk_add(walk, LLVMGetOperand(value, 0));
		return 1;
	case LLVMSelect:
		walk_add(walk, LLVMGetOperand(value, 1));
		walk_add(walk, LLVMGetOperand(value, 2));
		return 1;
	case LLVMPHI:
		for (unsigned i = 0; i < LLVMCountIncoming(value); i++)
			walk_add(walk, LLVMGetIncomingValue(value, i));
		return 1;
	case LLVMLoad:
		return loads_local(opt, value);
	case LLVMCall:
		return returns_local(value);
	default:
		return 0;
	}
}

int kona_opt_is_local(struct kona_opt *opt, LLVMValueRef pointer)
{
	struct walk walk = {0};

	if (LLVMGetTypeKind(LLVMTypeOf(pointer)) != LLVMPointerTypeKind)
		return 0;
	/* Other address spaces are segments (%fs, %gs): never VFMem. */
	if (LLVMGetPointerAddressSpace(LLVMTypeOf(pointer)))
		return 1;
	walk_add(&walk, pointer);
	for (unsigned i = 0; i < walk.count; i++)
		if (!follow(opt, &walk, walk.values[i]))
			return 0;
	return !walk.overflow;
}

/* All uses of an internal function are calls of it: so all its arguments are seen. */
static int only_called(LLVMValueRef function)
{
	if (LLVMGetLinkage(function) != LLVMInternalLinkage || LLVMIsDeclaration(function))
		return 0;
	for (LLVMUseRef use = LLVMGetFirstUse(function); use; use = LLVMGetNextUse(use)) {
		LLVMValueRef user = LLVMGetUser(use);

		if (!LLVMIsACallInst(user) && !LLVMIsAInvokeInst(user))
			return 0;
		if (LLVMGetCalledValue(user) != function ||
		    LLVMGetNumArgOperands(user) < LLVMCountParams(function))
			return 0;
		for (unsigned i = 0; i < LLVMGetNumArgOperands(user); i++)
			if (LLVMGetOperand(user, i) == function)
				return 0;
	}
	return 1;
}

/* Takes back what was assumed of the arguments of a function. Returns how many. */
static unsigned withdraw(struct kona_opt *opt, LLVMValueRef function)
{
	unsigned withdrawn = 0;

	for (unsigned i = 0; i < LLVMCountParams(function); i++) {
		LLVMValueRef argument = LLVMGetParam(function, i);

		if (!kona_map_get(&opt->local_arguments, argument, 0))
			continue;
		for (LLVMUseRef use = LLVMGetFirstUse(function); use; use = LLVMGetNextUse(use)) {
			if (kona_opt_is_local(opt, LLVMGetOperand(LLVMGetUser(use), i)))
				continue;
			kona_map_set(&opt->local_arguments, argument, 0);
			withdrawn++;
			break;
		}
	}
	return withdrawn;
}

void kona_opt_find_local_arguments(struct kona_opt *opt)
{
	unsigned withdrawn;

	for (LLVMValueRef f = LLVMGetFirstFunction(opt->module); f; f = LLVMGetNextFunction(f)) {
		if (!only_called(f))
			continue;
		for (unsigned i = 0; i < LLVMCountParams(f); i++)
			if (LLVMGetTypeKind(LLVMTypeOf(LLVMGetParam(f, i))) == LLVMPointerTypeKind)
				kona_map_set(&opt->local_arguments, LLVMGetParam(f, i), 1);
	}
	do {
		withdrawn = 0;
		for (LLVMValueRef f = LLVMGetFirstFunction(opt->module); f;
		     f = LLVMGetNextFunction(f))
			withdrawn += withdraw(opt, f);
	} while (withdrawn);
}
