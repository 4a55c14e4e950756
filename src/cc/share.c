/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Translations, and their sharing. An address is a base and a constant offset. Where an earlier
 * guard has translated an address of the same base nearby, one comparison tells that the page is
 * the same, and the guard is spared.
 *
 * A shared translation owns a slot, from the guard that made it to the next use of the slot; no
 * call lies between (guard.c forgets all at a call, and where paths meet).
 */
#include "cc/opt.h"

enum {
	SPAN_BYTES = 256, /* farther apart, two addresses seldom share a page */
};

/* The bytes by which a getelementptr with constant indices moves; 0 when some are not constant. */
static int constant_offset(struct kona_opt *opt, LLVMValueRef gep, int64_t *ret_offset)
{
	LLVMTypeRef type = LLVMGetGEPSourceElementType(gep);
	int64_t offset = 0;

	for (int i = 1; i < LLVMGetNumOperands(gep); i++) {
		LLVMValueRef index = LLVMGetOperand(gep, (unsigned)i);
		int64_t number;

		if (!LLVMIsAConstantInt(index))
			return 0;
		number = LLVMConstIntGetSExtValue(index);
		if (i == 1) {
			offset += number * (int64_t)LLVMABISizeOfType(opt->layout, type);
		} else if (LLVMGetTypeKind(type) == LLVMStructTypeKind) {
			offset += (int64_t)LLVMOffsetOfElement(opt->layout, type, (unsigned)number);
			type = LLVMStructGetTypeAtIndex(type, (unsigned)number);
		} else {
			type = LLVMGetElementType(type);
			offset += number * (int64_t)LLVMABISizeOfType(opt->layout, type);
		}
	}
	*ret_offset = offset;
	return 1;
}

/* Takes constant offsets off a pointer. */
static LLVMValueRef base_of(struct kona_opt *opt, LLVMValueRef pointer, int64_t *ret_offset)
{
	int64_t offset = 0, step;

	for (;;) {
		int is_gep = LLVMIsAGetElementPtrInst(pointer) != NULL;

		if (is_gep && constant_offset(opt, pointer, &step))
			offset += step;
		else if (!LLVMIsABitCastInst(pointer))
			break;
		pointer = LLVMGetOperand(pointer, 0);
	}
	*ret_offset = offset;
	return pointer;
}

static LLVMValueRef view(struct kona_opt_function *f, LLVMValueRef variable)
{
	return LLVMBuildLoad2(f->opt->builder, f->opt->i64, variable, "");
}

LLVMValueRef kona_opt_translate_anew(struct kona_opt_function *f, LLVMValueRef address,
				     unsigned slot)
{
	LLVMValueRef args[] = {address, view(f, f->base), view(f, f->size),
			       LLVMConstInt(f->opt->i32, slot, 0)};

	return kona_opt_call(f->opt, KONA_OPT_DELTA, args, 4);
}

static struct kona_opt_known *find(struct kona_opt_state *state, LLVMValueRef base, int64_t offset)
{
	for (unsigned i = 0; i < KONA_CC_SLOTS_SHARED; i++) {
		struct kona_opt_known *known = &state->slots[i];

		if (known->base == base && offset - known->offset <= SPAN_BYTES &&
		    known->offset - offset <= SPAN_BYTES)
			return known;
	}
	return NULL;
}

static unsigned oldest(const struct kona_opt_state *state, unsigned first)
{
	unsigned slot = first;

	for (unsigned i = first + 1; i < KONA_CC_SLOTS_SHARED; i++)
		if (state->slots[i].used < state->slots[slot].used)
			slot = i;
	return slot;
}

LLVMValueRef kona_opt_translate(struct kona_opt_function *f, LLVMValueRef pointer,
				LLVMValueRef address, uint64_t bytes, unsigned once)
{
	struct kona_opt *opt = f->opt;
	struct kona_opt_state *state = &f->now;
	int64_t offset;
	LLVMValueRef base = base_of(opt, pointer, &offset);
	struct kona_opt_known *known = find(state, base, offset);
	unsigned slot;

	if (known) {
		LLVMValueRef args[] = {address,
				       known->address,
				       known->delta,
				       kona_opt_number(opt, offset - known->offset),
				       kona_opt_number(opt, (int64_t)bytes),
				       LLVMConstInt(opt->i32, once, 0),
				       f->place};

		known->used = ++state->clock;
		if (offset == known->offset && bytes == 1)
			return known->delta;
		return kona_opt_call(opt, KONA_OPT_AGAIN, args, 7);
	}
	slot = oldest(state, f->first_slot);
	state->slots[slot] =
		(struct kona_opt_known){.base = base,
					.offset = offset,
					.address = address,
					.delta = kona_opt_translate_anew(f, address, slot),
					.used = ++state->clock};
	return state->slots[slot].delta;
}
