/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Translations, and their sharing. An address is a base and a constant offset. Where an earlier
 * guard has translated an address of the same base nearby, one comparison tells that the page is
 * the same, and the guard is spared.
 *
 * A shared translation owns a slot, from the guard that made it to the next use of the slot; no
 * call lies between (guard.c forgets all at a call, and where paths meet what not all of them
 * know).
 */
#include "cc/shape.h"
#include "cc/window.h"

enum {
	SPAN_BYTES = 256, /* farther apart, two addresses seldom share a page */
	FORESIGHT = 100,  /* instructions */
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

LLVMValueRef kona_opt_base(struct kona_opt *opt, LLVMValueRef pointer, int64_t *ret_offset)
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

static LLVMValueRef view_table(struct kona_opt_function *f)
{
	LLVMTypeRef type = LLVMPointerType(f->opt->i64, 0);

	return f->table ? LLVMBuildLoad2(f->opt->builder, type, f->table, "") : LLVMConstNull(type);
}

static LLVMValueRef number32(struct kona_opt *opt, unsigned number)
{
	return LLVMConstInt(opt->i32, number, 0);
}

LLVMValueRef kona_opt_distance(struct kona_opt_function *f, LLVMValueRef address, unsigned slot)
{
	LLVMValueRef args[] = {address, view(f, f->bias), view_table(f),
			       number32(f->opt, !f->table), number32(f->opt, slot)};

	return kona_opt_call(f->opt, KONA_OPT_DELTA, args, 5);
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

static unsigned oldest(const struct kona_opt_state *state, unsigned first, unsigned last)
{
	unsigned slot = first;

	for (unsigned i = first + 1; i < last; i++)
		if (state->slots[i].used < state->slots[slot].used)
			slot = i;
	return slot;
}

/* The `bytes` from `offset` on are among the first `most` of what is known. */
static int covers(const struct kona_opt_known *known, uint64_t most, int64_t offset, uint64_t bytes)
{
	return offset >= known->offset && (uint64_t)(offset - known->offset) + bytes <= most;
}

/* By a translation of the same base nearby. */
static struct kona_opt_place translate_again(struct kona_opt_function *f,
					     struct kona_opt_known *known, LLVMValueRef address,
					     int64_t offset, uint64_t bytes, unsigned once)
{
	struct kona_opt *opt = f->opt;
	struct kona_opt_place place = {.delta = known->delta,
				       .marked = covers(known, known->marked, offset, bytes)};
	LLVMValueRef distance = kona_opt_number(opt, offset - known->offset);
	LLVMValueRef args[] = {address,
			       known->address,
			       known->delta,
			       distance,
			       kona_opt_number(opt, (int64_t)bytes),
			       number32(opt, once),
			       f->distance};

	known->used = ++f->now.clock;
	if (covers(known, known->bytes, offset, bytes)) {
		place.local = LLVMBuildGEP2(opt->builder, LLVMInt8TypeInContext(opt->context),
					    known->local, &distance, 1, "");
		return place;
	}
	place.local = kona_opt_call(opt, KONA_OPT_AGAIN, args, 7);
	place.delta = view(f, f->distance);
	return place;
}

/* A contained store to where `access` loads, or loads and stores, is certain to follow: then the
 * line is marked at once, where it is known to be far. */
static int store_follows(struct kona_opt_function *f, const struct kona_opt_access *access,
			 LLVMValueRef base, int64_t offset)
{
	unsigned left = FORESIGHT;
	struct kona_opt_access later;
	int64_t later_offset;

	for (LLVMValueRef i = LLVMGetNextInstruction(access->instruction); i && left--;
	     i = LLVMGetNextInstruction(i)) {
		if (kona_opt_ends_translations(i))
			return 0;
		if (!LLVMIsAStoreInst(i) || !kona_opt_describe(f->opt, i, &later))
			continue;
		if (kona_opt_base(f->opt, LLVMGetOperand(i, 1), &later_offset) == base &&
		    later_offset == offset && later.bytes <= access->bytes &&
		    kona_opt_is_contained(&later))
			return 1;
	}
	return 0;
}

static struct kona_opt_place translate_by_window(struct kona_opt_function *f,
						 const struct kona_opt_access *access,
						 LLVMValueRef address,
						 const struct kona_opt_window *window)
{
	struct kona_opt *opt = f->opt;
	int contained = kona_opt_is_contained(access);
	LLVMValueRef args[] = {address,
			       window->start,
			       window->distance,
			       number32(opt, window->slot),
			       kona_opt_number(opt, (int64_t)window->most_bytes),
			       kona_opt_number(opt, (int64_t)access->bytes),
			       kona_opt_number(opt, kona_opt_mask(access)),
			       contained ? LLVMConstNull(opt->byte_pointer)
					 : LLVMBuildBitCast(opt->builder, f->bounce[access->stores],
							    opt->byte_pointer, ""),
			       number32(opt, (unsigned)access->stores)};
	struct kona_opt_place place = {.marked = access->stores, .entire = 1};
	struct kona_opt_known *known = &f->now.slots[window->slot];

	place.local = kona_opt_call(opt, KONA_OPT_WINDOW, args, 9);
	place.delta = view(f, window->distance);
	*known = (struct kona_opt_known){.address = address,
					 .delta = place.delta,
					 .bytes = contained ? access->bytes : 1,
					 .marked = contained && access->stores ? access->bytes : 0,
					 .used = ++f->now.clock};
	known->base = kona_opt_base(opt, LLVMGetOperand(access->instruction, access->operand),
				    &known->offset);
	known->local = LLVMBuildGEP2(opt->builder, LLVMInt8TypeInContext(opt->context), address,
				     &place.delta, 1, "");
	return place;
}

void kona_opt_pin(struct kona_opt_function *f, const struct kona_opt_window *window)
{
	struct kona_opt *opt = f->opt;
	LLVMValueRef low = kona_opt_number(opt, window->low), args[8];

	args[0] = LLVMBuildBitCast(opt->builder, window->object, opt->byte_pointer, "");
	args[0] = LLVMBuildGEP2(opt->builder, LLVMInt8TypeInContext(opt->context), args[0], &low, 1,
				"");
	args[1] = view(f, f->bias);
	args[2] = view_table(f);
	args[3] = number32(opt, !f->table);
	args[4] = number32(opt, window->slot);
	args[5] = kona_opt_number(opt, window->high - window->low);
	args[6] = kona_opt_number(opt, window->store_low - window->low);
	args[7] = kona_opt_number(opt, window->store_high - window->store_low);
	LLVMBuildStore(opt->builder, kona_opt_call(opt, KONA_OPT_PIN, args, 8), window->distance);
}

static struct kona_opt_place place_in_pinned(struct kona_opt_function *f, LLVMValueRef address,
					     const struct kona_opt_window *window)
{
	struct kona_opt_place place = {
		.delta = view(f, window->distance), .marked = 1, .pinned = 1};

	place.local = LLVMBuildGEP2(f->opt->builder, LLVMInt8TypeInContext(f->opt->context),
				    address, &place.delta, 1, "");
	return place;
}

struct kona_opt_place kona_opt_translate(struct kona_opt_function *f,
					 const struct kona_opt_access *access, LLVMValueRef address,
					 unsigned once)
{
	struct kona_opt *opt = f->opt;
	struct kona_opt_state *state = &f->now;
	int contained = kona_opt_is_contained(access), stores;
	int64_t offset;
	uint64_t bytes = contained ? access->bytes : 1;
	LLVMValueRef base =
		kona_opt_base(opt, LLVMGetOperand(access->instruction, access->operand), &offset);
	struct kona_opt_known *known = find(state, base, offset);
	struct kona_opt_window *window =
		(struct kona_opt_window *)kona_map_get(&f->window_of, access->instruction, 0);
	struct kona_opt_place place = {0};
	unsigned slot;

	if (window && window->object)
		return place_in_pinned(f, address, window);
	if (window && !(known && contained && covers(known, known->bytes, offset, bytes)))
		return translate_by_window(f, access, address, window);
	if (known)
		return translate_again(f, known, address, offset, bytes, once);
	slot = oldest(state, f->first_slot, f->last_slot);
	stores = contained && (access->stores || store_follows(f, access, base, offset));
	place.local = kona_opt_call(opt, KONA_OPT_TRANSLATE,
				    (LLVMValueRef[]){address, view(f, f->bias), view_table(f),
						     number32(opt, !f->table), number32(opt, slot),
						     kona_opt_number(opt, (int64_t)bytes),
						     kona_opt_number(opt, kona_opt_mask(access)),
						     number32(opt, (unsigned)stores), f->distance},
				    9);
	place.delta = view(f, f->distance);
	place.marked = stores;
	state->slots[slot] = (struct kona_opt_known){.base = base,
						     .offset = offset,
						     .address = address,
						     .local = place.local,
						     .delta = place.delta,
						     .bytes = bytes,
						     .marked = stores ? bytes : 0,
						     .used = ++state->clock};
	return place;
}
