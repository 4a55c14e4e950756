/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona-opt --sim: instead of guards, calls of the simulator, in front of the same accesses. Nothing
 * is translated, and nothing is shared between accesses: each is told, and counted once for its
 * block of code. Memory intrinsics, and calls of the C library's functions of the same names, are
 * told as ranges; the library's other accesses are not seen.
 *
 * Cannot fail but for files, as opt.c.
 */
#include <string.h>

#include "cc/opt.h"

enum { LINE_BYTES = 64 };

/* The functions of sim-guards.c. */
enum call { LOAD, STORE, COUNT, RANGE, RECORD_LOAD, RECORD_STORE, REFILL, CALLS };

static const char *const names[CALLS] = {
	[LOAD] = "kona_cc_s_load",
	[STORE] = "kona_cc_s_store",
	[COUNT] = "kona_cc_s_count",
	[RANGE] = "kona_cc_s_range",
	[RECORD_LOAD] = "kona_cc_s_record_load",
	[RECORD_STORE] = "kona_cc_s_record_store",
	[REFILL] = "kona_cc_s_refill",
};

struct simulate {
	struct kona_opt *opt;
	LLVMValueRef calls[CALLS];
	uint64_t reads, writes; /* of the block */
};

static void call(struct simulate *s, enum call which, LLVMValueRef *args, unsigned count)
{
	LLVMValueRef function = s->calls[which];

	LLVMBuildCall2(s->opt->builder, LLVMGlobalGetValueType(function), function, args, count,
		       "");
}

static LLVMValueRef byte_pointer(struct simulate *s, LLVMValueRef pointer)
{
	return LLVMBuildBitCast(s->opt->builder, pointer, s->opt->byte_pointer, "");
}

static void tell(struct simulate *s, LLVMValueRef pointer, uint64_t bytes, int stores)
{
	LLVMValueRef args[] = {byte_pointer(s, pointer), kona_opt_number(s->opt, (int64_t)bytes),
			       LLVMConstInt(s->opt->i32, (unsigned)stores, 0)};

	if (bytes > LINE_BYTES) {
		call(s, RANGE, args, 3);
		return;
	}
	call(s, stores ? STORE : LOAD, args, 2);
	s->reads += !stores;
	s->writes += (uint64_t)stores;
}

static void tell_access(struct simulate *s, const struct kona_opt_access *access)
{
	LLVMValueRef pointer = LLVMGetOperand(access->instruction, access->operand);
	LLVMOpcode opcode = LLVMGetInstructionOpcode(access->instruction);

	kona_opt_build_before(s->opt, access->instruction);
	if (opcode == LLVMAtomicRMW || opcode == LLVMAtomicCmpXchg)
		tell(s, pointer, access->bytes, 0);
	tell(s, pointer, access->bytes, access->stores);
}

static void tell_range(struct simulate *s, LLVMValueRef at, LLVMValueRef pointer,
		       LLVMValueRef bytes, int stores)
{
	LLVMValueRef args[3];

	if (kona_opt_is_local(s->opt, pointer))
		return;
	kona_opt_build_before(s->opt, at);
	args[0] = byte_pointer(s, pointer);
	args[1] = LLVMBuildZExtOrBitCast(s->opt->builder, bytes, s->opt->i64, "");
	args[2] = LLVMConstInt(s->opt->i32, (unsigned)stores, 0);
	call(s, RANGE, args, 3);
}

static int is_named(const char *name, const char *what)
{
	static const char intrinsic[] = "llvm.";
	size_t length = strlen(what);

	if (!strcmp(name, what))
		return 1;
	return !strncmp(name, intrinsic, sizeof(intrinsic) - 1) &&
	       !strncmp(name + sizeof(intrinsic) - 1, what, length) &&
	       name[sizeof(intrinsic) - 1 + length] == '.';
}

static void tell_call(struct simulate *s, LLVMValueRef at)
{
	LLVMValueRef callee = LLVMGetCalledValue(at);
	size_t length;
	const char *name;

	if (!LLVMIsAFunction(callee) || LLVMGetNumArgOperands(at) < 3)
		return;
	name = LLVMGetValueName2(callee, &length);
	if (is_named(name, "memcpy") || is_named(name, "memmove")) {
		tell_range(s, at, LLVMGetOperand(at, 1), LLVMGetOperand(at, 2), 0);
		tell_range(s, at, LLVMGetOperand(at, 0), LLVMGetOperand(at, 2), 1);
	} else if (is_named(name, "memset")) {
		tell_range(s, at, LLVMGetOperand(at, 0), LLVMGetOperand(at, 2), 1);
	} else if (is_named(name, "memcmp")) {
		tell_range(s, at, LLVMGetOperand(at, 0), LLVMGetOperand(at, 2), 0);
		tell_range(s, at, LLVMGetOperand(at, 1), LLVMGetOperand(at, 2), 0);
	}
}

static void visit(struct simulate *s, LLVMBasicBlockRef block)
{
	struct kona_opt_access access;
	LLVMValueRef args[2];

	s->reads = s->writes = 0;
	for (LLVMValueRef i = LLVMGetFirstInstruction(block), next; i; i = next) {
		next = LLVMGetNextInstruction(i);
		if (LLVMIsACallInst(i) || LLVMIsAInvokeInst(i))
			tell_call(s, i);
		else if (kona_opt_describe(s->opt, i, &access))
			tell_access(s, &access);
	}
	if (!s->reads && !s->writes)
		return;
	kona_opt_build_before(s->opt, LLVMGetBasicBlockTerminator(block));
	args[0] = kona_opt_number(s->opt, (int64_t)s->reads);
	args[1] = kona_opt_number(s->opt, (int64_t)s->writes);
	call(s, COUNT, args, 2);
}

static int is_ours(const struct simulate *s, LLVMValueRef function)
{
	for (int i = 0; i < CALLS; i++)
		if (s->calls[i] == function)
			return 1;
	return 0;
}

void kona_opt_simulate(struct kona_opt *opt, const char *path)
{
	struct simulate s = {.opt = opt};

	kona_opt_link(opt, path, names, CALLS, s.calls);
	for (LLVMValueRef f = LLVMGetFirstFunction(opt->module); f; f = LLVMGetNextFunction(f)) {
		if (is_ours(&s, f) || !kona_opt_is_wanted(opt, f))
			continue;
		for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b;
		     b = LLVMGetNextBasicBlock(b))
			visit(&s, b);
	}
	for (int i = 0; i < CALLS; i++)
		if (!LLVMGetFirstUse(s.calls[i]))
			LLVMDeleteFunction(s.calls[i]);
}
