/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona-opt --sim: instead of guards, calls of the simulator, in front of the same accesses. Nothing
 * is translated; each access is told, and counted once for its block of code. A load and a store to
 * the same place, with nothing told in between, are told together. Memory intrinsics, and calls of
 * the C library's functions of the same names, are told as ranges; the library's other accesses are
 * not seen. The code is as the optimiser leaves it, with vectors and unrolled loops: so accesses
 * are those that the program would make without us.
 *
 * Cannot fail but for files, as opt.c.
 */
#include <string.h>

#include "cc/opt.h"

enum { LINE_BYTES = 64 };

/* The functions of sim-guards.c. */
enum call {
	LOAD,
	STORE,
	MODIFY,
	COUNT,
	RANGE,
	LANE,
	RECORD_LOAD,
	RECORD_STORE,
	RECORD_MODIFY,
	RECORD_ANY,
	CALLS
};

static const char *const names[CALLS] = {
	[LOAD] = "kona_cc_s_load",
	[STORE] = "kona_cc_s_store",
	[MODIFY] = "kona_cc_s_modify",
	[COUNT] = "kona_cc_s_count",
	[RANGE] = "kona_cc_s_range",
	[LANE] = "kona_cc_s_lane",
	[RECORD_LOAD] = "kona_cc_s_record_load",
	[RECORD_STORE] = "kona_cc_s_record_store",
	[RECORD_MODIFY] = "kona_cc_s_record_modify",
	[RECORD_ANY] = "kona_cc_s_record_any",
};

struct simulate {
	struct kona_opt *opt;
	LLVMValueRef calls[CALLS];
	LLVMValueRef counts;	/* of the function: a variable, two words */
	uint64_t reads, writes; /* of the block so far, which are not in it */
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

static LLVMValueRef counts_pointer(struct simulate *s, int64_t which)
{
	LLVMValueRef indices[] = {kona_opt_number(s->opt, 0), kona_opt_number(s->opt, which)};

	return LLVMBuildInBoundsGEP2(s->opt->builder, LLVMArrayType(s->opt->i64, 2), s->counts,
				     indices, 2, "");
}

static void add_to(struct simulate *s, int64_t which, uint64_t amount)
{
	LLVMValueRef pointer, sum;

	if (!amount)
		return;
	pointer = counts_pointer(s, which);
	sum = LLVMBuildLoad2(s->opt->builder, s->opt->i64, pointer, "");
	sum = LLVMBuildAdd(s->opt->builder, sum, kona_opt_number(s->opt, (int64_t)amount), "");
	LLVMBuildStore(s->opt->builder, sum, pointer);
}

/* Counts what the block has made so far, at the builder's place. */
static void count(struct simulate *s)
{
	add_to(s, 0, s->reads);
	add_to(s, 1, s->writes);
	s->reads = s->writes = 0;
}

/* Who leaves the function may not come back: what it has counted goes to the thread's counters. */
static void leave(struct simulate *s, LLVMValueRef at)
{
	LLVMValueRef args[1];

	kona_opt_build_before(s->opt, at);
	count(s);
	args[0] = counts_pointer(s, 0);
	call(s, COUNT, args, 1);
}

/* reads, writes: 0 or 1. Larger accesses are ranges, which count themselves. */
static void tell(struct simulate *s, LLVMValueRef pointer, uint64_t bytes, unsigned reads,
		 unsigned writes)
{
	LLVMValueRef args[] = {byte_pointer(s, pointer), kona_opt_number(s->opt, (int64_t)bytes),
			       counts_pointer(s, 0)};

	if (bytes > LINE_BYTES) {
		args[2] = LLVMConstInt(s->opt->i32, writes, 0);
		call(s, RANGE, args, 3);
		return;
	}
	call(s, !writes ? LOAD : reads ? MODIFY : STORE, args, 3);
	s->reads += reads;
	s->writes += writes;
}

/*
 * The store that is to the same place as this load, and the next to be told in its block; NULL:
 * there is none.
 */
static LLVMValueRef store_of(struct simulate *s, const struct kona_opt_access *load)
{
	LLVMValueRef pointer = LLVMGetOperand(load->instruction, load->operand);
	LLVMValueRef i = LLVMGetNextInstruction(load->instruction);
	struct kona_opt_access access;

	if (LLVMGetInstructionOpcode(load->instruction) != LLVMLoad || load->bytes > LINE_BYTES)
		return NULL;
	for (; i; i = LLVMGetNextInstruction(i)) {
		if (LLVMIsADbgInfoIntrinsic(i))
			continue;
		if (LLVMIsACallInst(i) || LLVMIsAInvokeInst(i))
			break;
		if (!kona_opt_describe(s->opt, i, &access))
			continue;
		if (LLVMGetInstructionOpcode(i) == LLVMStore && access.bytes == load->bytes &&
		    LLVMGetOperand(i, access.operand) == pointer)
			return i;
		break;
	}
	return NULL;
}

/* Returns the store that is told with it, or NULL. */
static LLVMValueRef tell_access(struct simulate *s, const struct kona_opt_access *access)
{
	LLVMValueRef pointer = LLVMGetOperand(access->instruction, access->operand);
	LLVMOpcode opcode = LLVMGetInstructionOpcode(access->instruction);
	LLVMValueRef store = store_of(s, access);
	unsigned modifies = opcode == LLVMAtomicRMW || opcode == LLVMAtomicCmpXchg || store;

	kona_opt_build_before(s->opt, access->instruction);
	tell(s, pointer, access->bytes, modifies || !access->stores, modifies || access->stores);
	return store;
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

/* The pointer of a lane: an element of `pointers`, or the lane's place from a pointer on. */
static LLVMValueRef lane_pointer(struct simulate *s, LLVMValueRef pointers, LLVMTypeRef element,
				 LLVMValueRef lane)
{
	LLVMBuilderRef builder = s->opt->builder;

	if (LLVMGetTypeKind(LLVMTypeOf(pointers)) == LLVMVectorTypeKind)
		return LLVMBuildExtractElement(builder, pointers, lane, "");
	pointers = LLVMBuildBitCast(builder, pointers, LLVMPointerType(element, 0), "");
	return LLVMBuildGEP2(builder, element, pointers, &lane, 1, "");
}

/* `pointers` may be a vector of places in one object. */
static int are_local(struct simulate *s, LLVMValueRef pointers)
{
	if (LLVMGetTypeKind(LLVMTypeOf(pointers)) != LLVMVectorTypeKind)
		return kona_opt_is_local(s->opt, pointers);
	return LLVMIsAGetElementPtrInst(pointers) && are_local(s, LLVMGetOperand(pointers, 0));
}

/* Vectors of which the mask says which elements are loaded or stored: they are told one by one. */
static void tell_masked(struct simulate *s, LLVMValueRef at, int stores)
{
	LLVMTypeRef type = LLVMTypeOf(stores ? LLVMGetOperand(at, 0) : at);
	LLVMTypeRef element = LLVMGetElementType(type);
	LLVMValueRef pointers = LLVMGetOperand(at, (unsigned)stores);
	LLVMValueRef mask = LLVMGetOperand(at, (unsigned)stores + 2), lane, args[4];

	if (are_local(s, pointers))
		return;
	kona_opt_build_before(s->opt, at);
	for (unsigned i = 0; i < LLVMGetVectorSize(type); i++) {
		lane = LLVMConstInt(s->opt->i32, i, 0);
		args[0] = byte_pointer(s, lane_pointer(s, pointers, element, lane));
		args[1] = kona_opt_number(s->opt,
					  (int64_t)LLVMStoreSizeOfType(s->opt->layout, element));
		args[2] = LLVMBuildZExt(s->opt->builder,
					LLVMBuildExtractElement(s->opt->builder, mask, lane, ""),
					s->opt->i32, "");
		args[3] = LLVMConstInt(s->opt->i32, (unsigned)stores, 0);
		call(s, LANE, args, 4);
	}
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
	} else if (is_named(name, "masked.load") || is_named(name, "masked.gather")) {
		tell_masked(s, at, 0);
	} else if (is_named(name, "masked.store") || is_named(name, "masked.scatter")) {
		tell_masked(s, at, 1);
	}
}

static int is_intrinsic(LLVMValueRef at)
{
	LLVMValueRef callee = LLVMGetCalledValue(at);

	return LLVMIsAFunction(callee) && LLVMGetIntrinsicID(callee);
}

static void visit(struct simulate *s, LLVMBasicBlockRef block)
{
	LLVMValueRef told = NULL, end = LLVMGetBasicBlockTerminator(block);
	struct kona_opt_access access;
	int has_left = 0; /* and made no access since */

	for (LLVMValueRef i = LLVMGetFirstInstruction(block), next; i; i = next) {
		next = LLVMGetNextInstruction(i);
		if (LLVMIsACallInst(i) || LLVMIsAInvokeInst(i)) {
			tell_call(s, i);
			if (!is_intrinsic(i)) {
				leave(s, i);
				has_left = 1;
			}
		} else if (i != told && kona_opt_describe(s->opt, i, &access)) {
			told = tell_access(s, &access);
			has_left = 0;
		}
	}
	kona_opt_build_before(s->opt, end);
	/* Between a call that must be the last and the return there may be nothing. */
	if (!LLVMGetNumSuccessors(end) && !has_left)
		leave(s, end);
	else if (s->reads || s->writes)
		count(s);
}

static void visit_function(struct simulate *s, LLVMValueRef function)
{
	LLVMBasicBlockRef entry = LLVMGetEntryBasicBlock(function);

	kona_opt_build_before(s->opt, LLVMGetFirstInstruction(entry));
	s->counts = LLVMBuildAlloca(s->opt->builder, LLVMArrayType(s->opt->i64, 2), "");
	LLVMBuildStore(s->opt->builder, LLVMConstNull(LLVMArrayType(s->opt->i64, 2)), s->counts);
	for (LLVMBasicBlockRef b = entry; b; b = LLVMGetNextBasicBlock(b))
		visit(s, b);
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
		if (!is_ours(&s, f) && kona_opt_is_wanted(opt, f))
			visit_function(&s, f);
	}
	for (int i = 0; i < CALLS; i++)
		if (!LLVMGetFirstUse(s.calls[i]))
			LLVMDeleteFunction(s.calls[i]);
}
