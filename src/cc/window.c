/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds windows (cc/window.h). A region is a set of blocks without calls from which its header is
 * reached again without leaving it: a call may use any slot, so windows are closed where a region
 * is entered, and only there. Within a region, the accesses of one stream share a window: pointers
 * that are made of each other by phis and steps, or that start from the same place and are indexed
 * by numbers made so. Streams of inner loops come first, then those with more accesses.
 *
 * Cannot fail: what is not understood gets no window.
 */
#include "cc/window.h"

#include <string.h>

#include "cc/shape.h"

enum {
	LONGEST_STEP = 256,
	MOST_VALUES = 48,   /* that a stream's pointer is made of */
	MOST_STREAMS = 32,  /* that are compared in a region */
	DEEPEST_WEIGHT = 6, /* loops within one another */
};

struct region {
	struct kona_opt_function *f;
	const struct kona_opt_cfg *cfg;
	int header;
	const int *of_block; /* of each block: the header of its region, plus 1 */
};

struct stream {
	LLVMValueRef base, index; /* where it comes from, and what moves; NULL: nothing does */
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

/* One step back. */
static void follow(struct region *region, struct making *making, LLVMValueRef value)
{
	struct kona_opt *opt = region->f->opt;
	int block = block_of(region, value);

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

static struct stream *find_stream(struct stream *streams, unsigned *count,
				  const struct stream *wanted)
{
	for (unsigned i = 0; i < *count; i++)
		if (streams[i].base == wanted->base && streams[i].index == wanted->index)
			return &streams[i];
	if (*count == MOST_STREAMS)
		return NULL;
	streams[*count] = *wanted;
	return &streams[(*count)++];
}

/* The access may use a window; its stream, or NULL. */
static struct stream *stream_of(struct region *region, LLVMValueRef instruction,
				struct stream *streams, unsigned *count,
				struct kona_opt_access *ret_access)
{
	struct stream stream;

	if (kona_map_get(&region->f->done, instruction, 0) ||
	    !kona_opt_describe(region->f->opt, instruction, ret_access) ||
	    ret_access->bytes > KONA_OPT_WINDOW_ACCESS ||
	    (ret_access->whole && !kona_opt_is_contained(ret_access)) ||
	    !name_stream(region, LLVMGetOperand(instruction, ret_access->operand), &stream))
		return NULL;
	return find_stream(streams, count, &stream);
}

static LLVMValueRef variable(struct kona_opt_function *f)
{
	return LLVMBuildAlloca(f->opt->builder, f->opt->i64, "");
}

static void give_window(struct kona_opt_function *f, struct stream *stream, unsigned number)
{
	struct kona_opt_window *window = calloc(1, sizeof(*window));

	if (!window)
		err(1, "kona-opt");
	kona_opt_build_before(f->opt, LLVMGetFirstInstruction(LLVMGetEntryBasicBlock(f->function)));
	*window = (struct kona_opt_window){.start = variable(f),
					   .distance = variable(f),
					   .slot = KONA_CC_SLOTS_SHARED - 1 - number,
					   .most_bytes = stream->most_bytes,
					   .next = f->windows};
	f->windows = stream->window = window;
}

/* The windows of the heaviest streams. Returns how many. */
static unsigned give_windows(struct kona_opt_function *f, struct stream *streams, unsigned count)
{
	unsigned given = 0;

	while (given < KONA_OPT_WINDOWS) {
		struct stream *best = NULL;

		for (unsigned i = 0; i < count; i++)
			if (!streams[i].window && (!best || streams[i].weight > best->weight))
				best = &streams[i];
		if (!best)
			break;
		give_window(f, best, given++);
	}
	return given;
}

/* Closes the last `count` windows before the end of a block. */
static void close_windows(struct kona_opt_function *f, LLVMBasicBlockRef block, unsigned count)
{
	struct kona_opt_window *window = f->windows;

	kona_opt_build_before(f->opt, LLVMGetBasicBlockTerminator(block));
	for (unsigned i = 0; i < count; i++, window = window->next)
		LLVMBuildStore(f->opt->builder,
			       kona_opt_number(f->opt, (int64_t)KONA_CC_WINDOW_CLOSED),
			       window->start);
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
			if (region->of_block[b] != region->header + 1)
				continue;
			for (LLVMValueRef i = LLVMGetFirstInstruction(cfg->blocks[b].block); i;
			     i = LLVMGetNextInstruction(i)) {
				stream = stream_of(region, i, streams, &count, &access);
				if (!stream)
					continue;
				stream->weight += 1u << (4 * depths[b]);
				if (access.bytes > stream->most_bytes)
					stream->most_bytes = access.bytes;
				if (pass && stream->window)
					kona_map_set(&f->window_of, i, (size_t)stream->window);
			}
		}
		if (!pass && !(given = give_windows(f, streams, count)))
			return;
	}
	for (int b = region->header; b < cfg->count; b++) {
		if (region->of_block[b] != region->header + 1)
			continue;
		kona_map_set(&f->unshared, cfg->blocks[b].block, given);
		for (int e = 0; e < cfg->blocks[b].before_count; e++)
			if (region->of_block[cfg->blocks[b].before[e]] != region->header + 1)
				close_windows(f, cfg->blocks[cfg->blocks[b].before[e]].block,
					      given);
	}
}

static int breaks(struct kona_opt *opt, LLVMValueRef instruction)
{
	return kona_opt_ends_translations(instruction) || kona_opt_becomes_call(opt, instruction);
}

static int block_breaks(struct kona_opt *opt, LLVMBasicBlockRef block)
{
	for (LLVMValueRef i = LLVMGetFirstInstruction(block); i; i = LLVMGetNextInstruction(i))
		if (breaks(opt, i))
			return 1;
	return 0;
}

/* Marks the blocks that lead back to `header`, of those that make no calls and are not marked yet.
 * Returns how many ways back there are. */
static int flood(const struct kona_opt_cfg *cfg, int header, int *marks, int mark,
		 const char *broken, int *stack)
{
	int depth = 0, back = 0;

	stack[depth++] = header;
	marks[header] = mark;
	while (depth) {
		const struct kona_opt_block *block = &cfg->blocks[stack[--depth]];

		for (int e = 0; e < block->before_count; e++) {
			int from = block->before[e];

			if (from < header || broken[from] || (marks[from] && marks[from] != mark))
				continue;
			back += block == &cfg->blocks[header];
			if (marks[from] == mark)
				continue;
			marks[from] = mark;
			stack[depth++] = from;
		}
	}
	return back;
}

/* How many loops a block is in, of those that make no calls. */
static void find_depths(const struct kona_opt_cfg *cfg, unsigned *depths, int *marks,
			const char *broken, int *stack)
{
	for (int h = 0; h < cfg->count; h++) {
		if (!kona_opt_cfg_is_header(cfg, h))
			continue;
		memset(marks, 0, (size_t)cfg->count * sizeof(*marks));
		flood(cfg, h, marks, h + 1, broken, stack);
		for (int b = h; b < cfg->count; b++)
			if (marks[b] && depths[b] < DEEPEST_WEIGHT)
				depths[b]++;
	}
	memset(marks, 0, (size_t)cfg->count * sizeof(*marks));
}

void kona_opt_find_windows(struct kona_opt_function *f, const struct kona_opt_cfg *cfg)
{
	size_t count = (size_t)cfg->count;
	int *marks = calloc(count, sizeof(*marks)), *stack = calloc(count, sizeof(*stack));
	unsigned *depths = calloc(count, sizeof(*depths));
	char *broken = calloc(count, 1);

	if (!marks || !stack || !depths || !broken)
		err(1, "kona-opt");
	for (int b = 0; b < cfg->count; b++)
		broken[b] = (char)block_breaks(f->opt, cfg->blocks[b].block);
	find_depths(cfg, depths, marks, broken, stack);
	for (int h = 0; h < cfg->count; h++) {
		struct region region = {.f = f, .cfg = cfg, .header = h, .of_block = marks};

		if (marks[h] || broken[h] || !kona_opt_cfg_is_header(cfg, h))
			continue;
		if (flood(cfg, h, marks, h + 1, broken, stack))
			treat_region(&region, depths);
	}
	free(marks);
	free(stack);
	free(depths);
	free(broken);
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
}
