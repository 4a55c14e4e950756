/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One function: every load, store and atomic whose pointer may be far is given a translated one.
 * An access that may leave its page goes through a bounce buffer on the stack when it does.
 *
 * Blocks are visited such that a block follows its predecessors, but for those that lead back to a
 * loop, and starts with what is known behind all of them. The view (where VFMem is) is read into
 * two variables at the entry, after each call, for a call may be the one that starts the runtime,
 * or a fork, and where a twin comes in (leave.h); the optimiser makes registers of them. (The table
 * only where there are loops, which need it more than once.)
 *
 * State: struct kona_opt_function. Cannot fail.
 */
#include <string.h>

#include "cc/loop.h"
#include "cc/shape.h"
#include "cc/twin.h"
#include "cc/window.h"

static LLVMValueRef byte_pointer(struct kona_opt *opt, LLVMValueRef pointer)
{
	return LLVMBuildBitCast(opt->builder, pointer, opt->byte_pointer, "");
}

static LLVMValueRef moved(struct kona_opt *opt, LLVMValueRef address, LLVMValueRef delta)
{
	return LLVMBuildGEP2(opt->builder, LLVMInt8TypeInContext(opt->context), address, &delta, 1,
			     "");
}

/* Puts the translated address into the instruction. */
static void replace(struct kona_opt *opt, const struct kona_opt_access *access,
		    LLVMValueRef address)
{
	LLVMTypeRef type = LLVMTypeOf(LLVMGetOperand(access->instruction, access->operand));

	LLVMSetOperand(access->instruction, access->operand,
		       LLVMBuildBitCast(opt->builder, address, type, ""));
	/* The memory is invariant, but its place is not. */
	LLVMSetMetadata(access->instruction, opt->invariant_load, NULL);
}

void kona_opt_replace_address(struct kona_opt_function *f, const struct kona_opt_access *access,
			      LLVMValueRef delta)
{
	struct kona_opt *opt = f->opt;
	LLVMValueRef pointer = LLVMGetOperand(access->instruction, access->operand);

	kona_opt_build_before(opt, access->instruction);
	replace(opt, access, moved(opt, byte_pointer(opt, pointer), delta));
}

static LLVMValueRef bounce_of(struct kona_opt_function *f, int stores)
{
	return byte_pointer(f->opt, f->bounce[stores]);
}

static LLVMValueRef through_bounce(struct kona_opt_function *f,
				   const struct kona_opt_access *access, LLVMValueRef address,
				   struct kona_opt_place place)
{
	struct kona_opt *opt = f->opt;
	LLVMValueRef bounce = bounce_of(f, access->stores), used;
	LLVMValueRef bytes = kona_opt_number(opt, (int64_t)access->bytes);

	if (!access->stores)
		return place.entire
			       ? place.local
			       : kona_opt_call(
					 opt, KONA_OPT_LOAD_SPAN,
					 (LLVMValueRef[]){address, place.local, bytes, bounce}, 4);
	used = place.entire
		       ? place.local
		       : kona_opt_call(opt, KONA_OPT_STORE_SPAN,
				       (LLVMValueRef[]){place.local, place.delta, bytes, bounce},
				       4);
	kona_opt_build_before(opt, LLVMGetNextInstruction(access->instruction));
	kona_opt_call(opt, KONA_OPT_STORE_DONE, (LLVMValueRef[]){address, used, bytes, bounce}, 4);
	kona_opt_build_before(opt, access->instruction);
	return used;
}

void kona_opt_guard_access(struct kona_opt_function *f, const struct kona_opt_access *access,
			   unsigned once)
{
	struct kona_opt *opt = f->opt;
	LLVMValueRef address;
	struct kona_opt_place place;

	kona_opt_build_before(opt, access->instruction);
	address = byte_pointer(opt, LLVMGetOperand(access->instruction, access->operand));
	place = kona_opt_translate(f, access, address, once);
	if (place.pinned) {
		replace(opt, access, place.local);
	} else if (kona_opt_is_contained(access)) {
		if (access->stores && !place.marked)
			kona_opt_call(opt, KONA_OPT_MARK,
				      (LLVMValueRef[]){place.local, place.delta,
						       kona_opt_number(opt, (int64_t)access->bytes),
						       kona_opt_number(opt, kona_opt_mask(access))},
				      4);
		replace(opt, access, place.local);
	} else if (access->whole) {
		LLVMValueRef args[] = {address, place.local, place.delta,
				       kona_opt_number(opt, (int64_t)access->bytes),
				       LLVMConstInt(opt->i32, (unsigned)access->stores, 0)};

		replace(opt, access, kona_opt_call(opt, KONA_OPT_WHOLE_SPAN, args, 5));
	} else {
		replace(opt, access, through_bounce(f, access, address, place));
	}
}

int kona_opt_describe(struct kona_opt *opt, LLVMValueRef instruction,
		      struct kona_opt_access *ret_access)
{
	struct kona_opt_access *access = ret_access;
	LLVMTypeRef type;

	*access = (struct kona_opt_access){.instruction = instruction};
	switch (LLVMGetInstructionOpcode(instruction)) {
	case LLVMLoad:
		type = LLVMTypeOf(instruction);
		break;
	case LLVMStore:
		type = LLVMTypeOf(LLVMGetOperand(instruction, 0));
		access->operand = 1;
		access->stores = 1;
		break;
	case LLVMAtomicRMW:
	case LLVMAtomicCmpXchg:
		type = LLVMTypeOf(LLVMGetOperand(instruction, 1));
		access->stores = 1;
		access->whole = 1;
		break;
	default:
		return 0;
	}
	access->bytes = LLVMStoreSizeOfType(opt->layout, type);
	access->align_bytes = LLVMGetAlignment(instruction);
	if (!access->whole && LLVMGetOrdering(instruction) != LLVMAtomicOrderingNotAtomic)
		access->whole = 1;
	return access->bytes && access->bytes <= 4096 &&
	       !kona_opt_is_local(opt, LLVMGetOperand(instruction, access->operand));
}

/* Which instructions are followed by code that may see another view. */
static int calls_out(LLVMValueRef instruction)
{
	LLVMValueRef callee;
	size_t length;

	if (!LLVMIsACallInst(instruction) && !LLVMIsAInvokeInst(instruction))
		return 0;
	callee = LLVMGetCalledValue(instruction);
	if (!LLVMIsAFunction(callee))
		return !LLVMIsAInlineAsm(callee);
	if (LLVMGetIntrinsicID(callee))
		return 0;
	return strncmp(LLVMGetValueName2(callee, &length), "kona_cc_", 8) != 0;
}

/* Guards that call the library, which has slots of its own. */
static int is_guard_call(LLVMValueRef instruction)
{
	size_t length;
	LLVMValueRef callee = LLVMIsACallInst(instruction) ? LLVMGetCalledValue(instruction) : NULL;

	return callee && LLVMIsAFunction(callee) &&
	       !strncmp(LLVMGetValueName2(callee, &length), "kona_cc_g_", 10);
}

int kona_opt_ends_translations(LLVMValueRef instruction)
{
	LLVMValueRef callee;

	if (!LLVMIsACallInst(instruction) && !LLVMIsAInvokeInst(instruction))
		return 0;
	callee = LLVMGetCalledValue(instruction);
	if (LLVMIsAInlineAsm(callee))
		return 0;
	return !(LLVMIsAFunction(callee) && LLVMGetIntrinsicID(callee)) &&
	       !is_guard_call(instruction);
}

static void visit_block(struct kona_opt_function *f, LLVMBasicBlockRef block)
{
	struct kona_opt_access access;
	LLVMValueRef next;

	f->first_slot = (unsigned)kona_map_get(&f->reserved, block, 0);
	f->last_slot = KONA_CC_SLOTS_SHARED - (unsigned)kona_map_get(&f->unshared, block, 0);
	for (LLVMValueRef i = LLVMGetFirstInstruction(block); i; i = next) {
		int ends = kona_opt_ends_translations(i);

		next = LLVMGetNextInstruction(i);
		if (kona_map_get(&f->done, i, 0))
			continue;
		if (LLVMIsACallInst(i) || LLVMIsAInvokeInst(i))
			kona_opt_guard_call(f, i);
		else if (kona_opt_describe(f->opt, i, &access))
			kona_opt_guard_access(f, &access, KONA_CC_SLOT_ONCE);
		/* The call itself may be another by now. */
		if (ends)
			f->now = (struct kona_opt_state){0};
	}
	for (size_t taken = kona_map_get(&f->taken_behind, block, 0); taken; taken--)
		f->now.slots[KONA_CC_SLOTS_SHARED - taken] = (struct kona_opt_known){0};
}

/* One translation, made before the ways parted, which is in its slot at the end of both. */
static int is_same(const struct kona_opt_known *one, const struct kona_opt_known *other)
{
	return one->base == other->base && one->local == other->local && one->delta == other->delta;
}

/* What is known where a block begins: in every slot, what all ways to it have left there. Of ways
 * back to a loop nothing is known. */
static struct kona_opt_state state_before(const struct kona_opt_cfg *cfg,
					  const struct kona_opt_state *after, int block)
{
	const int *before = cfg->blocks[block].before;
	struct kona_opt_state state = {0};

	for (int e = 0; e < cfg->blocks[block].before_count; e++) {
		const struct kona_opt_state *other = &after[before[e]];

		if (before[e] >= block)
			return (struct kona_opt_state){0};
		if (!e)
			state = *other;
		for (int slot = 0; slot < KONA_CC_SLOTS_SHARED; slot++)
			if (!is_same(&state.slots[slot], &other->slots[slot]))
				state.slots[slot] = (struct kona_opt_known){0};
		if (other->clock > state.clock)
			state.clock = other->clock;
	}
	return state;
}

/* Reads the view at the builder's place. */
static void read_view(struct kona_opt_function *f)
{
	struct kona_opt *opt = f->opt;

	LLVMBuildStore(opt->builder, kona_opt_call(opt, KONA_OPT_BIAS, NULL, 0), f->bias);
	if (f->table)
		LLVMBuildStore(opt->builder, kona_opt_call(opt, KONA_OPT_TABLE, NULL, 0), f->table);
}

LLVMValueRef kona_opt_first_after_phis(LLVMBasicBlockRef block)
{
	LLVMValueRef i = LLVMGetFirstInstruction(block);

	while (LLVMGetInstructionOpcode(i) == LLVMPHI ||
	       LLVMGetInstructionOpcode(i) == LLVMLandingPad)
		i = LLVMGetNextInstruction(i);
	return i;
}

/* Nothing may stand between a call that must be a tail call and its return. */
static int returns_next(LLVMValueRef instruction)
{
	LLVMValueRef next = LLVMGetNextInstruction(instruction);

	if (LLVMIsABitCastInst(next))
		next = LLVMGetNextInstruction(next);
	return LLVMGetInstructionOpcode(next) == LLVMRet;
}

static void read_view_after_calls(struct kona_opt_function *f, LLVMBasicBlockRef block)
{
	LLVMValueRef next;

	for (LLVMValueRef i = LLVMGetFirstInstruction(block); i; i = next) {
		next = LLVMGetNextInstruction(i);
		if (!calls_out(i))
			continue;
		if (LLVMIsAInvokeInst(i)) {
			kona_opt_build_before(f->opt,
					      kona_opt_first_after_phis(LLVMGetNormalDest(i)));
			read_view(f);
			kona_opt_build_before(f->opt,
					      kona_opt_first_after_phis(LLVMGetUnwindDest(i)));
			read_view(f);
		} else if (!returns_next(i)) {
			kona_opt_build_before(f->opt, next);
			read_view(f);
		}
	}
}

static int has_loops(LLVMValueRef function)
{
	struct kona_opt_cfg cfg;
	int found = 0;

	kona_opt_cfg_make(&cfg, function, NULL);
	for (int i = 0; i < cfg.count && !found; i++)
		found = kona_opt_cfg_is_header(&cfg, i);
	kona_opt_cfg_free(&cfg);
	return found;
}

/* The variables, at the entry. */
static void open_function(struct kona_opt_function *f)
{
	struct kona_opt *opt = f->opt;
	LLVMValueRef first = LLVMGetFirstInstruction(LLVMGetEntryBasicBlock(f->function));
	LLVMTypeRef bytes =
		LLVMArrayType(LLVMInt8TypeInContext(opt->context), (unsigned)f->bounce_bytes);

	kona_opt_build_before(opt, first);
	f->bias = LLVMBuildAlloca(opt->builder, opt->i64, "");
	if (has_loops(f->function))
		f->table = LLVMBuildAlloca(opt->builder, LLVMPointerType(opt->i64, 0), "");
	f->distance = LLVMBuildAlloca(opt->builder, opt->i64, "");
	for (int i = 0; i < 2; i++) {
		f->bounce[i] = LLVMBuildAlloca(opt->builder, bytes, "");
		LLVMSetAlignment(f->bounce[i], 64);
	}
	first = LLVMGetFirstInstruction(f->begin);
	while (LLVMIsAAllocaInst(first))
		first = LLVMGetNextInstruction(first);
	kona_opt_build_before(opt, first);
	read_view(f);
}

/* The view is known wherever guarded code is entered. */
static void open_ways_in(struct kona_opt_function *f, const struct kona_opt_ways *ways)
{
	for (unsigned w = 0; w < ways->count; w++) {
		kona_opt_build_before(f->opt, LLVMGetBasicBlockTerminator(ways->ways[w].leave));
		read_view(f);
	}
}

/* The largest access, for the bounce buffers; 0 when the function needs no guards. */
static uint64_t largest_access(struct kona_opt *opt, LLVMValueRef function)
{
	struct kona_opt_access access;
	uint64_t most = 0;

	for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(function); b;
	     b = LLVMGetNextBasicBlock(b))
		for (LLVMValueRef i = LLVMGetFirstInstruction(b); i;
		     i = LLVMGetNextInstruction(i)) {
			if (LLVMIsACallInst(i) && most < KONA_OPT_SMALL_COPY_BYTES)
				most = KONA_OPT_SMALL_COPY_BYTES;
			if (kona_opt_describe(opt, i, &access) && access.bytes > most)
				most = access.bytes;
		}
	return most;
}

void kona_opt_guard_function(struct kona_opt *opt, LLVMValueRef function)
{
	struct kona_opt_function f = {.opt = opt, .function = function};
	struct kona_opt_cfg cfg;
	struct kona_opt_state *after;
	struct kona_opt_twin twin;

	f.bounce_bytes = largest_access(opt, function);
	if (!f.bounce_bytes)
		return;
	kona_opt_shape(opt, function);
	kona_opt_call_library(opt, function);
	f.begin = LLVMGetEntryBasicBlock(function);
	kona_opt_twin_make(&f, &twin);
	open_function(&f);
	open_ways_in(&f, &twin.ways);
	kona_opt_chunk_loops(&f);
	kona_opt_cfg_make(&cfg, function, &f.ways_in);
	kona_opt_find_windows(&f, &cfg);
	after = kona_opt_zeros((size_t)cfg.count, sizeof(*after));
	for (int i = 0; i < cfg.count; i++) {
		f.now = state_before(&cfg, after, i);
		visit_block(&f, cfg.blocks[i].block);
		after[i] = f.now;
	}
	for (int i = 0; i < cfg.count; i++)
		read_view_after_calls(&f, cfg.blocks[i].block);
	kona_opt_twin_add(&f, &twin);
	kona_opt_free_windows(&f);
	kona_map_free(&f.reserved);
	kona_map_free(&f.done);
	kona_map_free(&f.seen_loops);
	kona_map_free(&f.ways_in);
	free(after);
	kona_opt_cfg_free(&cfg);
}
