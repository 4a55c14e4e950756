/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counting loops over consecutive memory: a guard for each page, instead of one for each access.
 *
 *   before -> header ... latch -> exit            (latch goes back to header)
 * becomes
 *   before -> start -> header ... latch -> end -> exit   (latch to header, end to start)
 *
 * `start` finds out how many steps leave every pointer in its page (MOST_STEPS, where memory is
 * ordinary), translates the pointers, marks what will be stored, and lets the inner loop run so
 * many steps; `end` decides what the latch decided. Inside, there is nothing left that keeps the
 * optimiser from vectorising. Without pointers to translate that makes strips of a twin's loop
 * (leave.c).
 *
 * The translations own slots of the loop: other guards inside use the rest. Nothing else may: there
 * are no calls (loop.c).
 */
#include "cc/loop.h"

enum {
	LONGEST_STRIDE = 256, /* beyond, a page holds too few steps */
	MOST_STEPS = 4096,    /* at once: memory that is ordinary may be far by then */
};

/* One pointer that moves evenly. */
struct stream {
	LLVMValueRef pointer; /* as the loop computes it */
	LLVMValueRef address; /* the same, at the start of a page */
	LLVMValueRef delta;
	int64_t stride;
	uint64_t store_bytes; /* 0: is only read */
	uint64_t most_bytes;  /* of an access */
};

struct chunk {
	struct kona_opt_function *f;
	struct kona_opt_loop loop;
	struct stream streams[KONA_OPT_STREAMS];
	unsigned count;
	int others; /* there are accesses of no stream */
	LLVMBasicBlockRef start, end;
	struct kona_map outer; /* of a header's phi: the phi in `start` */
};

static struct stream *find_stream(struct chunk *chunk, LLVMValueRef pointer)
{
	for (unsigned i = 0; i < chunk->count; i++)
		if (chunk->streams[i].pointer == pointer)
			return &chunk->streams[i];
	return NULL;
}

static LLVMValueRef without_casts(LLVMValueRef pointer)
{
	while (LLVMIsABitCastInst(pointer))
		pointer = LLVMGetOperand(pointer, 0);
	return pointer;
}

/* Takes the access into a stream if it moves evenly. Returns 0 if not. */
static int consider(struct chunk *chunk, const struct kona_opt_access *access)
{
	LLVMValueRef pointer = without_casts(LLVMGetOperand(access->instruction, access->operand));
	struct stream *stream = find_stream(chunk, pointer);
	int64_t stride;

	if (!kona_opt_is_contained(access) || access->whole)
		return 0;
	if (!stream) {
		if (chunk->count == KONA_OPT_STREAMS ||
		    !kona_opt_loop_stride(chunk->f->opt, &chunk->loop, pointer, &stride) ||
		    stride < -LONGEST_STRIDE || stride > LONGEST_STRIDE)
			return 0;
		stream = &chunk->streams[chunk->count++];
		*stream = (struct stream){.pointer = pointer, .stride = stride};
	}
	if (access->stores && access->bytes > stream->store_bytes)
		stream->store_bytes = access->bytes;
	if (access->bytes > stream->most_bytes)
		stream->most_bytes = access->bytes;
	return 1;
}

static void find_streams(struct chunk *chunk)
{
	struct kona_opt_access access;

	for (int b = 0; b < chunk->loop.count; b++)
		for (LLVMValueRef i = LLVMGetFirstInstruction(chunk->loop.blocks[b]); i;
		     i = LLVMGetNextInstruction(i))
			if (kona_opt_describe(chunk->f->opt, i, &access))
				chunk->others |=
					!chunk->loop.always[b] || !consider(chunk, &access);
}

/* A new phi in front of `block`, or of an old phi of it. */
static LLVMValueRef add_phi(struct kona_opt *opt, LLVMTypeRef type, LLVMBasicBlockRef block)
{
	LLVMValueRef first = LLVMGetFirstInstruction(block);

	if (first)
		LLVMPositionBuilderBefore(opt->builder, first);
	else
		LLVMPositionBuilderAtEnd(opt->builder, block);
	LLVMSetCurrentDebugLocation2(opt->builder, NULL);
	return LLVMBuildPhi(opt->builder, type, "");
}

LLVMValueRef kona_opt_incoming(LLVMValueRef phi, LLVMBasicBlockRef block)
{
	for (unsigned i = 0; i < LLVMCountIncoming(phi); i++)
		if (LLVMGetIncomingBlock(phi, i) == block)
			return LLVMGetIncomingValue(phi, i);
	return NULL;
}

void kona_opt_redirect_phis(struct kona_opt *opt, LLVMBasicBlockRef block, LLVMBasicBlockRef from,
			    LLVMBasicBlockRef to)
{
	LLVMValueRef next;

	for (LLVMValueRef phi = LLVMGetFirstInstruction(block); phi && LLVMIsAPHINode(phi);
	     phi = next) {
		LLVMValueRef new;

		next = LLVMGetNextInstruction(phi);
		if (!kona_opt_incoming(phi, from))
			continue;
		new = add_phi(opt, LLVMTypeOf(phi), block);
		for (unsigned i = 0; i < LLVMCountIncoming(phi); i++) {
			LLVMValueRef value = LLVMGetIncomingValue(phi, i);
			LLVMBasicBlockRef way = LLVMGetIncomingBlock(phi, i);

			if (way == from)
				way = to;
			LLVMAddIncoming(new, &value, &way, 1);
		}
		LLVMReplaceAllUsesWith(phi, new);
		LLVMInstructionEraseFromParent(phi);
	}
}

/* A phi in `start` for each of the header's, which then takes its value from there. */
static void split_header_phis(struct chunk *chunk)
{
	struct kona_opt *opt = chunk->f->opt;
	LLVMBasicBlockRef header = chunk->loop.header, before = chunk->loop.before;
	LLVMValueRef phi, next;

	for (phi = LLVMGetFirstInstruction(header); phi && LLVMIsAPHINode(phi); phi = next) {
		LLVMValueRef outer = add_phi(opt, LLVMTypeOf(phi), chunk->start), inner;
		LLVMValueRef values[] = {kona_opt_incoming(phi, before),
					 kona_opt_incoming(phi, chunk->loop.latch)};
		LLVMBasicBlockRef ways[] = {before, chunk->end};
		LLVMValueRef inner_values[] = {outer, values[1]};
		LLVMBasicBlockRef inner_ways[] = {chunk->start, chunk->loop.latch};

		next = LLVMGetNextInstruction(phi);
		LLVMAddIncoming(outer, values, ways, 2);
		inner = add_phi(opt, LLVMTypeOf(phi), header);
		LLVMAddIncoming(inner, inner_values, inner_ways, 2);
		for (unsigned i = 0; i < chunk->count; i++)
			if (chunk->streams[i].pointer == phi)
				chunk->streams[i].pointer = inner;
		if (chunk->loop.counted == phi)
			chunk->loop.counted = inner;
		LLVMReplaceAllUsesWith(phi, inner);
		LLVMInstructionEraseFromParent(phi);
		kona_map_set(&chunk->outer, inner, (size_t)outer);
	}
}

/* A value of the loop's first step, computed in `start` (at the builder's place). */
static LLVMValueRef at_start(struct chunk *chunk, LLVMValueRef value)
{
	LLVMValueRef copy;

	if (!LLVMIsAInstruction(value) ||
	    !kona_opt_loop_contains(&chunk->loop, LLVMGetInstructionParent(value)))
		return value;
	if (LLVMIsAPHINode(value))
		return (LLVMValueRef)kona_map_get(&chunk->outer, value, 0);
	copy = LLVMInstructionClone(value);
	for (unsigned i = 0; i < (unsigned)LLVMGetNumOperands(value); i++)
		LLVMSetOperand(copy, i, at_start(chunk, LLVMGetOperand(value, i)));
	LLVMInsertIntoBuilder(chunk->f->opt->builder, copy);
	return copy;
}

/* How many steps follow the one that begins, at least; as i64. */
static LLVMValueRef steps_to_follow(struct chunk *chunk)
{
	struct kona_opt *opt = chunk->f->opt;
	LLVMBuilderRef builder = opt->builder;
	const struct kona_opt_loop *loop = &chunk->loop;
	LLVMValueRef counted = at_start(chunk, loop->counted), goes_on, far, bound = loop->bound;
	int64_t step = loop->step > 0 ? loop->step : -loop->step;

	goes_on = LLVMBuildICmp(builder, loop->relation, counted, bound, "");
	if (LLVMGetTypeKind(LLVMTypeOf(counted)) == LLVMPointerTypeKind) {
		counted = LLVMBuildPtrToInt(builder, counted, opt->i64, "");
		bound = LLVMBuildPtrToInt(builder, bound, opt->i64, "");
	}
	/* Rounded down: a step less in a page does no harm. */
	far = loop->step > 0 ? LLVMBuildSub(builder, bound, counted, "")
			     : LLVMBuildSub(builder, counted, bound, "");
	if (LLVMTypeOf(far) != opt->i64)
		far = LLVMBuildZExt(builder, far, opt->i64, "");
	far = LLVMBuildUDiv(builder, far, kona_opt_number(opt, step), "");
	return LLVMBuildSelect(builder, goes_on, far, kona_opt_number(opt, 0), "");
}

static void fill_start(struct chunk *chunk, LLVMValueRef *ret_steps)
{
	struct kona_opt *opt = chunk->f->opt;
	LLVMBuilderRef builder = opt->builder;
	LLVMValueRef jump, most = kona_opt_number(opt, MOST_STEPS - 1), steps;
	LLVMValueRef straddles;

	LLVMPositionBuilderAtEnd(builder, chunk->start);
	LLVMSetCurrentDebugLocation2(builder, NULL);
	jump = LLVMBuildBr(builder, chunk->loop.header);
	kona_opt_build_before(opt, jump);
	steps = steps_to_follow(chunk);
	steps = LLVMBuildSelect(builder, LLVMBuildICmp(builder, LLVMIntULT, steps, most, ""), steps,
				most, "");
	steps = LLVMBuildAdd(builder, steps, kona_opt_number(opt, 1), "");
	for (unsigned i = 0; i < chunk->count; i++) {
		struct stream *s = &chunk->streams[i];
		LLVMValueRef args[5];

		s->address = LLVMBuildBitCast(builder, at_start(chunk, s->pointer),
					      opt->byte_pointer, "");
		args[0] = s->address;
		args[1] = kona_opt_number(opt, s->stride);
		args[2] = kona_opt_number(opt, (int64_t)s->most_bytes);
		args[3] = steps;
		args[4] = LLVMBuildLoad2(builder, opt->i64, chunk->f->bias, "");
		steps = kona_opt_call(opt, KONA_OPT_STEPS, args, 5);
	}
	/* A step with an access that leaves its page halfway is made by the fault path. */
	straddles = LLVMBuildICmp(builder, LLVMIntEQ, steps, kona_opt_number(opt, 0), "");
	steps = LLVMBuildSelect(builder, straddles, kona_opt_number(opt, 1), steps, "");
	for (unsigned i = 0; i < chunk->count; i++) {
		struct stream *s = &chunk->streams[i];
		LLVMValueRef args[] = {s->address, NULL, kona_opt_number(opt, s->stride),
				       kona_opt_number(opt, (int64_t)s->store_bytes), steps};

		s->delta = kona_opt_distance(chunk->f, s->address, i);
		s->delta = args[1] =
			LLVMBuildSelect(builder, straddles, kona_opt_number(opt, 0), s->delta, "");
		if (s->store_bytes)
			kona_opt_call(opt, KONA_OPT_MARK_STEPS, args, 5);
	}
	*ret_steps = steps;
}

/* The latch counts down; `end` decides what it decided. */
static void fill_end(struct chunk *chunk, LLVMValueRef steps)
{
	struct kona_opt *opt = chunk->f->opt;
	const struct kona_opt_loop *loop = &chunk->loop;
	LLVMValueRef old = LLVMGetBasicBlockTerminator(loop->latch), left, next;
	LLVMValueRef condition = LLVMGetCondition(old);
	int header_first = LLVMGetSuccessor(old, 0) == loop->header;

	left = add_phi(opt, opt->i64, loop->header);
	kona_opt_build_before(opt, old);
	next = LLVMBuildSub(opt->builder, left, kona_opt_number(opt, 1), "");
	LLVMBuildCondBr(opt->builder,
			LLVMBuildICmp(opt->builder, LLVMIntNE, next, kona_opt_number(opt, 0), ""),
			loop->header, chunk->end);
	LLVMPositionBuilderAtEnd(opt->builder, chunk->end);
	LLVMBuildCondBr(opt->builder, condition, header_first ? chunk->start : loop->exit,
			header_first ? loop->exit : chunk->start);
	LLVMInstructionEraseFromParent(old);
	LLVMAddIncoming(left, (LLVMValueRef[]){steps, next},
			(LLVMBasicBlockRef[]){chunk->start, loop->latch}, 2);
	kona_opt_redirect_phis(opt, loop->exit, loop->latch, chunk->end);
}

static void enter_by_start(struct chunk *chunk)
{
	LLVMValueRef end = LLVMGetBasicBlockTerminator(chunk->loop.before);

	for (unsigned s = 0; s < LLVMGetNumSuccessors(end); s++)
		if (LLVMGetSuccessor(end, s) == chunk->loop.header)
			LLVMSetSuccessor(end, s, chunk->start);
}

/* The accesses of the streams use the translations; guard.c leaves them alone. */
static void translate_streams(struct chunk *chunk)
{
	struct kona_opt_access access;
	struct stream *stream;

	for (int b = 0; b < chunk->loop.count; b++) {
		kona_map_set(&chunk->f->reserved, chunk->loop.blocks[b], chunk->count);
		for (LLVMValueRef i = LLVMGetFirstInstruction(chunk->loop.blocks[b]); i;
		     i = LLVMGetNextInstruction(i)) {
			if (!chunk->loop.always[b] ||
			    !kona_opt_describe(chunk->f->opt, i, &access) || access.whole ||
			    !kona_opt_is_contained(&access))
				continue;
			stream = find_stream(chunk,
					     without_casts(LLVMGetOperand(i, access.operand)));
			if (!stream)
				continue;
			kona_opt_replace_address(chunk->f, &access, stream->delta);
			kona_map_set(&chunk->f->done, i, 1);
		}
	}
}

static void rebuild(struct chunk *chunk)
{
	struct kona_opt_function *f = chunk->f;
	LLVMValueRef steps;

	chunk->start = LLVMInsertBasicBlockInContext(f->opt->context, chunk->loop.header, "");
	chunk->end = LLVMAppendBasicBlockInContext(f->opt->context, f->function, "");
	split_header_phis(chunk);
	fill_start(chunk, &steps);
	translate_streams(chunk);
	fill_end(chunk, steps);
	enter_by_start(chunk);
	kona_map_free(&chunk->outer);
}

LLVMBasicBlockRef kona_opt_strip_loop(struct kona_opt_function *f, const struct kona_opt_loop *loop,
				      int is_nested)
{
	struct chunk chunk = {.f = f, .loop = *loop};

	find_streams(&chunk);
	if (chunk.others && is_nested)
		return NULL;
	chunk.count = 0;
	rebuild(&chunk);
	return chunk.start;
}

/* Returns whether the function was changed. */
static int treat(struct kona_opt_function *f, const struct kona_opt_loop *loop)
{
	struct chunk chunk = {.f = f, .loop = *loop};

	find_streams(&chunk);
	/* With other guards inside there is nothing to vectorise: windows cost less to begin. */
	if (!chunk.count || chunk.others)
		return 0;
	rebuild(&chunk);
	return 1;
}

/* Treats one loop that was not treated yet. Returns 0 when there is none. */
static int treat_next(struct kona_opt_function *f)
{
	struct kona_opt_loop loop;
	struct kona_opt_cfg cfg;
	int found = 0;

	kona_opt_cfg_make(&cfg, f->function, &f->ways_in);
	for (int i = 0; i < cfg.count && !found; i++) {
		LLVMBasicBlockRef header = cfg.blocks[i].block;

		if (cfg.blocks[i].before_count != 2 || kona_map_get(&f->seen_loops, header, 0))
			continue;
		kona_map_set(&f->seen_loops, header, 1);
		found = kona_opt_loop_find(f->opt, &cfg, i, &loop) && treat(f, &loop);
	}
	kona_opt_cfg_free(&cfg);
	return found;
}

void kona_opt_chunk_loops(struct kona_opt_function *f)
{
	while (treat_next(f))
		;
}
