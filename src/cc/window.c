/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds windows (cc/window.h). They are closed where a region (cc/region.h) is entered, and only
 * there: inside, there are no calls. Within a region, the accesses of one stream share a window:
 * pointers that are made of each other by phis and steps, or that start from the same place and are
 * indexed by numbers made so. Streams of inner loops come first, then those with more accesses.
 *
 * Cannot fail: what is not understood gets no window.
 */
#include "cc/window.h"

#include <assert.h>

#include "cc/region.h"

enum {
	LONGEST_STEP = 256,
	OBJECT_BYTES = 256, /* larger parts of an object leave their page too often */
	MOST_VALUES = 48,   /* that a stream's pointer is made of */
	MOST_STREAMS = 32,  /* that are compared in a region */
};

/* Behind a counting loop, which owns the first slots, objects are pinned in the last ones. */
static_assert(KONA_OPT_STREAMS + KONA_OPT_WINDOWS <= KONA_CC_SLOTS_SHARED, "slots of their own");

struct region {
	struct kona_opt_function *f;
	const struct kona_opt_cfg *cfg;
	int header;
	const int *of_block; /* of each block: the header of its region, plus 1 */
};

struct stream {
	LLVMValueRef base, index; /* where it comes from, and what moves; NULL: nothing does */
	int64_t low, high;	  /* then: offsets of what is used */
	int64_t store_low, store_high;
	int certain; /* one access is made in every step, or nearly */
	unsigned weight;
	uint64_t most_bytes;
	struct kona_opt_window *window;
};

/* What a number or pointer is made of, in the region. */
struct making {
	LLVMValueRef values[MOST_VALUES];
	unsigned count;
	int steps;	   /* grows by a small constant on some way */
	LLVMValueRef root; /* a pointer from outside the region */
	LLVMValueRef name; /* the outermost phi of them, by which makings are told apart */
	int name_block;
};

static int block_of(const struct region *region, LLVMValueRef value)
{
	int block;

	if (!LLVMIsAInstruction(value))
		return KONA_OPT_NO_BLOCK;
	block = kona_opt_cfg_find(region->cfg, LLVMGetInstructionParent(value));
	return block != KONA_OPT_NO_BLOCK && region->of_block[block] == region->header + 1
		       ? block
		       : KONA_OPT_NO_BLOCK;
}

static void add(struct making *making, LLVMValueRef value)
{
	for (unsigned i = 0; i < making->count; i++)
		if (making->values[i] == value)
			return;
	if (making->count < MOST_VALUES)
		making->values[making->count++] = value;
}

static int is_small(struct kona_opt *opt, LLVMValueRef number, LLVMTypeRef unit)
{
	uint64_t bytes = unit ? LLVMABISizeOfType(opt->layout, unit) : 1;
	int64_t steps;

	if (!LLVMIsAConstantInt(number) || LLVMGetIntTypeWidth(LLVMTypeOf(number)) > 64)
		return 0;
	steps = LLVMConstIntGetSExtValue(number);
	return steps && bytes && steps >= -LONGEST_STEP && steps <= LONGEST_STEP &&
	       (uint64_t)(steps < 0 ? -steps : steps) * bytes <= LONGEST_STEP;
}

/* The one index of a getelementptr that is no constant; NULL: there are more. */
static LLVMValueRef index_of(LLVMValueRef gep)
{
	LLVMValueRef index = NULL;

	for (unsigned i = 1; i < (unsigned)LLVMGetNumOperands(gep); i++) {
		LLVMValueRef operand = LLVMGetOperand(gep, i);

		if (LLVMIsAConstantInt(operand))
			continue;
		if (index)
			return NULL;
		index = operand;
	}
	return index;
}

static int comes_before(LLVMValueRef phi, LLVMValueRef other)
{
	for (; phi; phi = LLVMGetNextInstruction(phi))
		if (phi == other)
			return 1;
	return 0;
}

/* An outer phi is the better name; of those of a block a number's, then the first. */
static void consider_name(struct making *making, LLVMValueRef phi, int block)
{
	int number = LLVMGetTypeKind(LLVMTypeOf(phi)) != LLVMPointerTypeKind, named_number;

	if (making->name) {
		named_number = LLVMGetTypeKind(LLVMTypeOf(making->name)) != LLVMPointerTypeKind;
		if (block > making->name_block)
			return;
		if (block == making->name_block &&
		    (number < named_number ||
		     (number == named_number && !comes_before(phi, making->name))))
			return;
	}
	making->name = phi;
	making->name_block = block;
}

/* What a phi is that can be but one thing. */
static LLVMValueRef without_detour(LLVMValueRef value)
{
	while (LLVMIsAPHINode(value) && LLVMCountIncoming(value) == 1)
		value = LLVMGetIncomingValue(value, 0);
	return value;
}

/* One step back. */
static void follow(struct region *region, struct making *making, LLVMValueRef value)
{
	struct kona_opt *opt = region->f->opt;
	int block;

	value = without_detour(value);
	block = block_of(region, value);
	if (block == KONA_OPT_NO_BLOCK) {
		if (!making->root && LLVMGetTypeKind(LLVMTypeOf(value)) == LLVMPointerTypeKind)
			making->root = value;
		return;
	}
	switch (LLVMGetInstructionOpcode(value)) {
	case LLVMPHI:
		consider_name(making, value, block);
		for (unsigned i = 0; i < LLVMCountIncoming(value); i++)
			add(making, LLVMGetIncomingValue(value, i));
		break;
	case LLVMAdd:
		making->steps |= is_small(opt, LLVMGetOperand(value, 1), NULL);
		add(making, LLVMGetOperand(value, 0));
		add(making, LLVMGetOperand(value, 1));
		break;
	case LLVMGetElementPtr:
		if (LLVMGetNumOperands(value) == 2)
			making->steps |= is_small(opt, LLVMGetOperand(value, 1),
						  LLVMGetGEPSourceElementType(value));
		add(making, LLVMGetOperand(value, 0));
		if (index_of(value))
			add(making, index_of(value));
		break;
	case LLVMSelect:
		add(making, LLVMGetOperand(value, 1));
		add(making, LLVMGetOperand(value, 2));
		break;
	case LLVMAnd:
	case LLVMSub:
	case LLVMBitCast:
	case LLVMZExt:
	case LLVMSExt:
	case LLVMTrunc:
	case LLVMFreeze:
		add(making, LLVMGetOperand(value, 0));
		break;
	default:
		break;
	}
}

/* Returns whether the value moves by small steps in the region. *root stays when it comes from no
 * pointer outside. */
static int moves(struct region *region, LLVMValueRef value, LLVMValueRef *root,
		 LLVMValueRef *ret_name)
{
	struct making making = {.values = {value}, .count = 1};

	for (unsigned i = 0; i < making.count; i++)
		follow(region, &making, making.values[i]);
	if (!making.name || !making.steps)
		return 0;
	if (making.root)
		*root = making.root;
	*ret_name = making.name;
	return 1;
}

/* Which stream a pointer is of. Returns 0: of none. */
static int name_stream(struct region *region, LLVMValueRef pointer, struct stream *ret_stream)
{
	struct kona_opt *opt = region->f->opt;
	int64_t offset;
	LLVMValueRef base = kona_opt_base(opt, pointer, &offset), index = NULL, none;
	int inside;

	if (block_of(region, base) != KONA_OPT_NO_BLOCK && LLVMIsAGetElementPtrInst(base)) {
		index = index_of(base);
		if (!index || !moves(region, index, &none, &index))
			return 0;
		base = kona_opt_base(opt, LLVMGetOperand(base, 0), &offset);
	}
	inside = block_of(region, base) != KONA_OPT_NO_BLOCK;
	/* Where an indexed pointer comes from is not followed, but for its own steps. */
	if (inside && !LLVMIsAGetElementPtrInst(base) && moves(region, base, &base, &index))
		inside = 0;
	*ret_stream = (struct stream){.base = base, .index = index};
	return !inside || index;
}

/* Takes the fields of `wanted` into the stream, if they are near those that it has. */
static int widen(struct stream *stream, const struct stream *wanted)
{
	int64_t low = wanted->low < stream->low ? wanted->low : stream->low;
	int64_t high = wanted->high > stream->high ? wanted->high : stream->high;

	if (high - low > OBJECT_BYTES)
		return 0;
	stream->low = low;
	stream->high = high;
	return 1;
}

static struct stream *find_stream(struct stream *streams, unsigned *count,
				  const struct stream *wanted)
{
	for (unsigned i = 0; i < *count; i++)
		if (streams[i].base == wanted->base && streams[i].index == wanted->index &&
		    (wanted->index || widen(&streams[i], wanted)))
			return &streams[i];
	if (*count == MOST_STREAMS)
		return NULL;
	streams[*count] = *wanted;
	return &streams[(*count)++];
}

static void add_store(struct stream *stream, int64_t low, int64_t high)
{
	int first = stream->store_low == stream->store_high;

	if (first || low < stream->store_low)
		stream->store_low = low;
	if (first || high > stream->store_high)
		stream->store_high = high;
}

/* The access may use a window; its stream, or NULL. */
static struct stream *stream_of(struct region *region, LLVMValueRef instruction,
				struct stream *streams, unsigned *count,
				struct kona_opt_access *ret_access)
{
	struct stream stream, *found;
	LLVMValueRef pointer;

	if (kona_map_get(&region->f->done, instruction, 0) ||
	    !kona_opt_describe(region->f->opt, instruction, ret_access) ||
	    ret_access->bytes > KONA_OPT_WINDOW_ACCESS ||
	    (ret_access->whole && !kona_opt_is_contained(ret_access)))
		return NULL;
	pointer = LLVMGetOperand(instruction, ret_access->operand);
	if (!name_stream(region, pointer, &stream))
		return NULL;
	kona_opt_base(region->f->opt, pointer, &stream.low);
	stream.high = stream.low + (int64_t)ret_access->bytes;
	found = find_stream(streams, count, &stream);
	if (found && ret_access->stores)
		add_store(found, stream.low, stream.high);
	return found;
}

static LLVMValueRef variable(struct kona_opt_function *f)
{
	return LLVMBuildAlloca(f->opt->builder, f->opt->i64, "");
}

static int is_in(const struct region *region, int block)
{
	return region->of_block[block] == region->header + 1;
}

/* From the block, which is not of the region, it is entered. */
static int enters(const struct region *region, int block)
{
	LLVMValueRef end = LLVMGetBasicBlockTerminator(region->cfg->blocks[block].block);

	for (unsigned s = 0; !is_in(region, block) && s < LLVMGetNumSuccessors(end); s++)
		if (is_in(region, kona_opt_cfg_find(region->cfg, LLVMGetSuccessor(end, s))))
			return 1;
	return 0;
}

/* The block leads into another region, too, whose objects would take the same slots there. */
static int enters_another(const struct region *region, int block)
{
	LLVMValueRef end = LLVMGetBasicBlockTerminator(region->cfg->blocks[block].block);

	for (unsigned s = 0; s < LLVMGetNumSuccessors(end); s++) {
		int next = kona_opt_cfg_find(region->cfg, LLVMGetSuccessor(end, s));

		if (region->of_block[next] && !is_in(region, next))
			return 1;
	}
	return 0;
}

/*
 * The object can be translated at the end of each block from which the region is entered: it is
 * known there, no call follows, and no other region's slots are in use.
 */
static int can_pin(const struct region *region, const struct stream *stream)
{
	const struct kona_opt_cfg *cfg = region->cfg;
	int home = LLVMIsAInstruction(stream->base)
			   ? kona_opt_cfg_find(cfg, LLVMGetInstructionParent(stream->base))
			   : 0;

	if (stream->index || !stream->certain)
		return 0;
	for (int b = 0; b < cfg->count; b++) {
		LLVMValueRef end = LLVMGetBasicBlockTerminator(cfg->blocks[b].block);

		if (enters(region, b) && (region->of_block[b] || enters_another(region, b) ||
					  !kona_opt_cfg_dominates(cfg, home, b) ||
					  (!LLVMIsABranchInst(end) && !LLVMIsASwitchInst(end))))
			return 0;
	}
	return 1;
}

static void give_window(const struct region *region, struct stream *stream, unsigned number)
{
	struct kona_opt_function *f = region->f;
	struct kona_opt_window *window = kona_opt_zeros(1, sizeof(*window));

	kona_opt_build_before(f->opt, LLVMGetFirstInstruction(LLVMGetEntryBasicBlock(f->function)));
	*window = (struct kona_opt_window){.start = variable(f),
					   .distance = variable(f),
					   .slot = KONA_CC_SLOTS_SHARED - 1 - number,
					   .object = can_pin(region, stream) ? stream->base : NULL,
					   .low = stream->low,
					   .high = stream->high,
					   .store_low = stream->store_low,
					   .store_high = stream->store_high,
					   .most_bytes = stream->most_bytes,
					   .next = f->windows};
	f->windows = stream->window = window;
}

/* The windows of the heaviest streams. Returns how many. */
static unsigned give_windows(const struct region *region, struct stream *streams, unsigned count)
{
	unsigned given = 0;

	while (given < KONA_OPT_WINDOWS) {
		struct stream *best = NULL;

		for (unsigned i = 0; i < count; i++)
			if (!streams[i].window && (!best || streams[i].weight > best->weight))
				best = &streams[i];
		if (!best)
			break;
		give_window(region, best, given++);
	}
	return given;
}

/* Closes the last `count` windows before the end of a block, or pins what they are for. */
static void close_windows(struct kona_opt_function *f, LLVMBasicBlockRef block, unsigned count)
{
	struct kona_opt_window *window = f->windows;

	kona_opt_build_before(f->opt, LLVMGetBasicBlockTerminator(block));
	for (unsigned i = 0; i < count; i++, window = window->next)
		if (window->object)
			kona_opt_pin(f, window);
		else
			LLVMBuildStore(f->opt->builder,
				       kona_opt_number(f->opt, (int64_t)KONA_CC_WINDOW_CLOSED),
				       window->start);
	kona_map_set(&f->taken_behind, block, count);
}

static void treat_region(struct region *region, const unsigned *depths)
{
	struct kona_opt_function *f = region->f;
	const struct kona_opt_cfg *cfg = region->cfg;
	struct stream streams[MOST_STREAMS], *stream;
	struct kona_opt_access access;
	unsigned count = 0, given;

	for (int pass = 0; pass < 2; pass++) {
		for (int b = region->header; b < cfg->count; b++) {
			if (!is_in(region, b))
				continue;
			for (LLVMValueRef i = LLVMGetFirstInstruction(cfg->blocks[b].block); i;
			     i = LLVMGetNextInstruction(i)) {
				stream = stream_of(region, i, streams, &count, &access);
				if (!stream)
					continue;
				stream->weight += 1u << (4 * depths[b]);
				stream->certain |= b == region->header;
				if (access.bytes > stream->most_bytes)
					stream->most_bytes = access.bytes;
				if (pass && stream->window)
					kona_map_set(&f->window_of, i, (size_t)stream->window);
			}
		}
		if (!pass && !(given = give_windows(region, streams, count)))
			return;
	}
	for (int b = 0; b < cfg->count; b++)
		if (is_in(region, b))
			kona_map_set(&f->unshared, cfg->blocks[b].block, given);
		else if (enters(region, b))
			close_windows(f, cfg->blocks[b].block, given);
}

void kona_opt_find_windows(struct kona_opt_function *f, const struct kona_opt_cfg *cfg)
{
	struct kona_opt_regions regions;

	kona_opt_regions_find(&regions, f->opt, cfg);
	for (int h = 0; h < cfg->count; h++) {
		struct region region = {
			.f = f, .cfg = cfg, .header = h, .of_block = regions.of_block};

		if (regions.of_block[h] == h + 1)
			treat_region(&region, regions.depths);
	}
	kona_opt_regions_free(&regions);
}

void kona_opt_free_windows(struct kona_opt_function *f)
{
	struct kona_opt_window *next;

	for (struct kona_opt_window *w = f->windows; w; w = next) {
		next = w->next;
		free(w);
	}
	kona_map_free(&f->window_of);
	kona_map_free(&f->unshared);
	kona_map_free(&f->taken_behind);
}
