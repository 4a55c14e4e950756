/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways out of twins (cc/leave.h). A twin runs while its function sleeps; once that wakes up, all
 * that is left without guards is one turn of a loop, or a strip of one that counts: a question in
 * each turn would keep the optimiser from vectorising it, so those pause every some thousand turns
 * (chunk.c).
 *
 * Which values a way in brings along: a header's phis, and what is computed in blocks that dominate
 * the one in front of it. (What is computed elsewhere is computed anew behind it, before it is
 * used.) Both copies of the code store those in variables; in the guarded one, other blocks load
 * them from there. LLVM's mem2reg makes registers of the variables, and phis where the two meet.
 *
 * No state. Cannot fail, but for memory, which ends the program.
 */
#include "cc/leave.h"

#include <llvm-c/Transforms/Utils.h>
#include <string.h>

#include "cc/loop.h"
#include "cc/shape.h"

enum {
	SELDOM = 1, /* a way is taken, of so many turns and one */
	OFTEN = 100000,
	MOST_PHIS = 100000, /* with more, the optimiser takes for ever */
};

static int has_one_way_in(LLVMBasicBlockRef block)
{
	LLVMUseRef use = LLVMGetFirstUse(LLVMBasicBlockAsValue(block));

	return use && !LLVMGetNextUse(use);
}

/* The result of an invoke is stored in a block that is entered from there alone. */
static void give_results_a_place(struct kona_opt *opt, LLVMValueRef function)
{
	LLVMBasicBlockRef next;

	for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(function); b; b = next) {
		LLVMValueRef end = LLVMGetBasicBlockTerminator(b);
		LLVMBasicBlockRef to, place;

		next = LLVMGetNextBasicBlock(b);
		if (!LLVMIsAInvokeInst(end) || !LLVMGetFirstUse(end))
			continue;
		to = LLVMGetNormalDest(end);
		if (has_one_way_in(to))
			continue;
		place = LLVMInsertBasicBlockInContext(opt->context, to, "");
		LLVMPositionBuilderAtEnd(opt->builder, place);
		LLVMSetCurrentDebugLocation2(opt->builder, NULL);
		LLVMBuildBr(opt->builder, to);
		LLVMSetNormalDest(end, place);
		kona_opt_redirect_phis(opt, to, b, place);
	}
}

/* Some of the ways to a header: all but those from `apart`, or, if that is NULL, those by which the
 * loop is entered. */
struct some {
	const struct kona_opt_cfg *cfg;
	LLVMBasicBlockRef apart;
	LLVMBasicBlockRef header;
};

static int is_one(const struct some *some, LLVMBasicBlockRef from)
{
	int block;

	if (some->apart)
		return from != some->apart;
	block = kona_opt_cfg_find(some->cfg, from);
	return block != KONA_OPT_NO_BLOCK && block < kona_opt_cfg_find(some->cfg, some->header);
}

/* A phi in `join` for what comes by those ways, and one in the header for that and the rest. */
static void split_phi(struct kona_opt *opt, const struct some *some, LLVMBasicBlockRef join,
		      LLVMValueRef phi)
{
	LLVMValueRef outer, inner;

	LLVMPositionBuilderBefore(opt->builder, LLVMGetBasicBlockTerminator(join));
	LLVMSetCurrentDebugLocation2(opt->builder, NULL);
	outer = LLVMBuildPhi(opt->builder, LLVMTypeOf(phi), "");
	LLVMPositionBuilderBefore(opt->builder, phi);
	inner = LLVMBuildPhi(opt->builder, LLVMTypeOf(phi), "");
	LLVMAddIncoming(inner, &outer, &join, 1);
	for (unsigned i = 0; i < LLVMCountIncoming(phi); i++) {
		LLVMValueRef value = LLVMGetIncomingValue(phi, i);
		LLVMBasicBlockRef way = LLVMGetIncomingBlock(phi, i);

		LLVMAddIncoming(is_one(some, way) ? outer : inner, &value, &way, 1);
	}
	LLVMReplaceAllUsesWith(phi, inner);
	LLVMInstructionEraseFromParent(phi);
}

/* Those ways lead to `join` instead of the header. */
static void redirect(const struct some *some, LLVMBasicBlockRef join)
{
	LLVMValueRef function = LLVMGetBasicBlockParent(some->header);

	for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(function); b;
	     b = LLVMGetNextBasicBlock(b)) {
		LLVMValueRef end = LLVMGetBasicBlockTerminator(b);

		for (unsigned s = 0; end && s < LLVMGetNumSuccessors(end); s++)
			if (LLVMGetSuccessor(end, s) == some->header && is_one(some, b))
				LLVMSetSuccessor(end, s, join);
	}
}

/* A block in front of the header where those ways meet. */
static LLVMBasicBlockRef join(struct kona_opt *opt, const struct some *some)
{
	LLVMBasicBlockRef join = LLVMInsertBasicBlockInContext(opt->context, some->header, "");
	LLVMValueRef next;

	redirect(some, join);
	LLVMPositionBuilderAtEnd(opt->builder, join);
	LLVMSetCurrentDebugLocation2(opt->builder, NULL);
	LLVMBuildBr(opt->builder, some->header);
	for (LLVMValueRef phi = LLVMGetFirstInstruction(some->header); LLVMIsAPHINode(phi);
	     phi = next) {
		next = LLVMGetNextInstruction(phi);
		split_phi(opt, some, join, phi);
	}
	return join;
}

static int is_pad(LLVMBasicBlockRef block)
{
	LLVMValueRef i = LLVMGetFirstInstruction(block);

	while (LLVMIsAPHINode(i))
		i = LLVMGetNextInstruction(i);
	return LLVMIsALandingPadInst(i) || LLVMIsACatchPadInst(i) || LLVMIsACleanupPadInst(i) ||
	       LLVMIsACatchSwitchInst(i);
}

static int find_headers(struct kona_opt *opt, LLVMValueRef function, struct kona_opt_ways *ways)
{
	struct kona_opt_cfg cfg;
	int possible = 1;
	unsigned *depths;

	kona_opt_cfg_make(&cfg, function, NULL);
	depths = kona_opt_cfg_depths(&cfg, NULL);
	for (int b = 0; b < cfg.count; b++) {
		ways->count += (unsigned)kona_opt_cfg_is_header(&cfg, b);
		possible &= !(kona_opt_cfg_is_header(&cfg, b) && is_pad(cfg.blocks[b].block));
	}
	if (possible)
		ways->ways = kona_opt_zeros(ways->count, sizeof(*ways->ways));
	ways->count = 0;
	for (int b = 0; possible && b < cfg.count; b++) {
		struct some entries = {.cfg = &cfg, .header = cfg.blocks[b].block};

		if (kona_opt_cfg_is_header(&cfg, b))
			ways->ways[ways->count++] =
				(struct kona_opt_way){.header = cfg.blocks[b].block,
						      .before = join(opt, &entries),
						      .is_nested = depths[b] > 1};
	}
	free(depths);
	kona_opt_cfg_free(&cfg);
	return possible;
}

/* Where a value can be stored. */
static LLVMValueRef behind(LLVMValueRef value)
{
	if (LLVMIsAInvokeInst(value))
		return kona_opt_first_after_phis(LLVMGetNormalDest(value));
	if (LLVMIsAPHINode(value) || LLVMIsALandingPadInst(value))
		return kona_opt_first_after_phis(LLVMGetInstructionParent(value));
	return LLVMGetNextInstruction(value);
}

static int can_keep(LLVMValueRef value, LLVMBasicBlockRef entry)
{
	LLVMBasicBlockRef home = LLVMGetInstructionParent(value);

	if (LLVMGetTypeKind(LLVMTypeOf(value)) == LLVMVoidTypeKind)
		return 0;
	return home != entry || !LLVMIsAAllocaInst(value) ||
	       !LLVMIsAConstantInt(LLVMGetOperand(value, 0));
}

static void keep(struct kona_opt *opt, struct kona_opt_ways *ways, LLVMBasicBlockRef entry,
		 LLVMValueRef value)
{
	struct kona_opt_kept *kept = &ways->kept[ways->kept_count++];

	LLVMPositionBuilderBefore(opt->builder, LLVMGetFirstInstruction(entry));
	LLVMSetCurrentDebugLocation2(opt->builder, NULL);
	kept->variable = LLVMBuildAlloca(opt->builder, LLVMTypeOf(value), "");
	LLVMPositionBuilderBefore(opt->builder, behind(value));
	LLVMSetCurrentDebugLocation2(opt->builder, NULL);
	kept->store = LLVMBuildStore(opt->builder, value, kept->variable);
}

/* Which blocks dominate one in front of a loop. */
static char *find_leading(const struct kona_opt_cfg *cfg, const struct kona_opt_ways *ways)
{
	char *leads = kona_opt_zeros((size_t)cfg->count, 1);

	for (unsigned w = 0; w < ways->count; w++) {
		int b = kona_opt_cfg_find(cfg, ways->ways[w].before);

		for (; !leads[b]; b = cfg->blocks[b].dominator)
			leads[b] = 1;
	}
	return leads;
}

static int keep_values(struct kona_opt *opt, LLVMValueRef function, struct kona_opt_ways *ways)
{
	LLVMBasicBlockRef entry = LLVMGetEntryBasicBlock(function);
	struct kona_opt_cfg cfg;
	LLVMValueRef next;
	char *leads;
	size_t most = 0;
	int possible;

	kona_opt_cfg_make(&cfg, function, NULL);
	leads = find_leading(&cfg, ways);
	for (int b = 0; b < cfg.count; b++)
		for (LLVMValueRef i = LLVMGetFirstInstruction(cfg.blocks[b].block); leads[b] && i;
		     i = LLVMGetNextInstruction(i))
			most += (size_t)can_keep(i, entry);
	possible = most * ways->count <= MOST_PHIS;
	if (possible)
		ways->kept = kona_opt_zeros(most, sizeof(*ways->kept));
	for (int b = 0; possible && b < cfg.count; b++)
		for (LLVMValueRef i = LLVMGetFirstInstruction(cfg.blocks[b].block); leads[b] && i;
		     i = next) {
			next = LLVMGetNextInstruction(i);
			if (can_keep(i, entry))
				keep(opt, ways, entry, i);
		}
	free(leads);
	kona_opt_cfg_free(&cfg);
	return possible;
}

void kona_opt_ways_free(struct kona_opt_ways *ways)
{
	for (unsigned w = 0; w < ways->count; w++)
		free(ways->ways[w].brought);
	free(ways->ways);
	free(ways->kept);
	*ways = (struct kona_opt_ways){0};
}

int kona_opt_ways_prepare(struct kona_opt *opt, LLVMValueRef function,
			  struct kona_opt_ways *ret_ways)
{
	struct kona_opt_ways ways = {0};

	if (!find_headers(opt, function, &ways))
		return 0;
	if (ways.count) {
		give_results_a_place(opt, function);
		if (!keep_values(opt, function, &ways)) {
			kona_opt_ways_free(&ways);
			return 0;
		}
	}
	*ret_ways = ways;
	return 1;
}

static LLVMValueRef store_of(LLVMValueRef phi)
{
	for (LLVMUseRef use = LLVMGetFirstUse(phi); use; use = LLVMGetNextUse(use)) {
		LLVMValueRef user = LLVMGetUser(use);

		if (LLVMIsAStoreInst(user) &&
		    LLVMGetInstructionParent(user) == LLVMGetInstructionParent(phi))
			return user;
	}
	return NULL;
}

/* Pairs the phis in front of the loop with those of the twin. */
static void bring(struct kona_opt_way *way, const struct kona_map *copies)
{
	unsigned count = 0;

	for (LLVMValueRef i = LLVMGetFirstInstruction(way->header); LLVMIsAPHINode(i);
	     i = LLVMGetNextInstruction(i))
		count++;
	way->brought = kona_opt_zeros(count, sizeof(*way->brought));
	for (LLVMValueRef i = LLVMGetFirstInstruction(way->header); LLVMIsAPHINode(i);
	     i = LLVMGetNextInstruction(i))
		way->brought[way->brought_count++] = (struct kona_opt_brought){
			.store = store_of(kona_opt_incoming(i, way->before)),
			.copy = (LLVMValueRef)kona_map_get(copies, i, 0)};
}

static LLVMBasicBlockRef block_copy(const struct kona_map *copies, LLVMBasicBlockRef block)
{
	return LLVMValueAsBasicBlock(
		(LLVMValueRef)kona_map_get(copies, LLVMBasicBlockAsValue(block), 0));
}

void kona_opt_ways_open(struct kona_opt *opt, struct kona_opt_ways *ways,
			const struct kona_map *copies)
{
	for (unsigned w = 0; w < ways->count; w++) {
		struct kona_opt_way *way = &ways->ways[w];

		way->twin = block_copy(copies, way->header);
		way->twin_before = block_copy(copies, way->before);
		way->leave = LLVMInsertBasicBlockInContext(opt->context, way->before, "");
		LLVMPositionBuilderAtEnd(opt->builder, way->leave);
		LLVMSetCurrentDebugLocation2(opt->builder, NULL);
		LLVMBuildBr(opt->builder, way->before);
		bring(way, copies);
	}
}

/* The block of the twin's loop that asks: where the next strip begins, or the next turn. (The first
 * one begins soon after the function, which has asked, or another loop.) */
static LLVMBasicBlockRef make_pause(struct kona_opt_function *f, const struct kona_opt_way *way)
{
	LLVMBasicBlockRef pause = NULL;
	struct kona_opt_loop loop;
	struct kona_opt_cfg cfg;

	kona_opt_cfg_make(&cfg, f->function, NULL);
	if (kona_opt_loop_find(f->opt, &cfg, kona_opt_cfg_find(&cfg, way->twin), &loop))
		pause = kona_opt_strip_loop(f, &loop, way->is_nested);
	kona_opt_cfg_free(&cfg);
	if (!pause)
		pause = join(f->opt,
			     &(struct some){.apart = way->twin_before, .header = way->twin});
	return pause;
}

/* From here on a phi of the twin's that is rebuilt is found by way of the one that it is brought
 * to. */
static void add_values(const struct kona_opt_way *way)
{
	for (unsigned i = 0; i < way->brought_count; i++) {
		LLVMValueRef copy = way->brought[i].copy;
		LLVMBasicBlockRef leave = way->leave;

		LLVMAddIncoming(LLVMGetOperand(way->brought[i].store, 0), &copy, &leave, 1);
	}
}

static void pause_at(struct kona_opt_way *way, LLVMBasicBlockRef pause)
{
	for (unsigned i = 0; i < way->brought_count; i++) {
		LLVMValueRef phi = LLVMGetOperand(way->brought[i].store, 0);
		unsigned last = LLVMCountIncoming(phi) - 1;

		LLVMSetOperand(phi, last,
			       kona_opt_incoming(LLVMGetIncomingValue(phi, last), pause));
	}
	way->pause = pause;
}

static void ask(struct kona_opt_function *f, const struct kona_opt_way *way)
{
	struct kona_opt *opt = f->opt;
	LLVMValueRef old = LLVMGetBasicBlockTerminator(way->pause), awake, branch;
	LLVMValueRef weights[] = {LLVMMDStringInContext(opt->context, "branch_weights", 14),
				  LLVMConstInt(opt->i32, SELDOM, 0),
				  LLVMConstInt(opt->i32, OFTEN, 0)};

	kona_opt_build_before(opt, old);
	awake = kona_opt_call(opt, KONA_OPT_AWAKE, &f->sleeper, 1);
	awake = LLVMBuildICmp(opt->builder, LLVMIntNE, awake, LLVMConstInt(opt->i32, 0, 0), "");
	branch = LLVMBuildCondBr(opt->builder, awake, way->leave, LLVMGetSuccessor(old, 0));
	LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(opt->context, "prof", 4),
			LLVMMDNodeInContext(opt->context, weights, 3));
	LLVMInstructionEraseFromParent(old);
}

/* Where an operand is used: by a phi, at the end of the block from which it comes. */
static LLVMValueRef place_of_use(LLVMValueRef user, unsigned operand)
{
	return LLVMIsAPHINode(user)
		       ? LLVMGetBasicBlockTerminator(LLVMGetIncomingBlock(user, operand))
		       : user;
}

/* Has a user of the value load it, where it is of another block. */
static void load_for(struct kona_opt *opt, const struct kona_opt_kept *kept, LLVMValueRef user)
{
	LLVMValueRef value = LLVMGetOperand(kept->store, 0);

	for (unsigned i = 0; i < (unsigned)LLVMGetNumOperands(user); i++) {
		LLVMValueRef place;

		if (LLVMGetOperand(user, i) != value)
			continue;
		place = place_of_use(user, i);
		if (LLVMGetInstructionParent(place) == LLVMGetInstructionParent(value))
			continue;
		LLVMPositionBuilderBefore(opt->builder, place);
		LLVMSetCurrentDebugLocation2(opt->builder, NULL);
		LLVMSetOperand(user, i,
			       LLVMBuildLoad2(opt->builder, LLVMTypeOf(value), kept->variable, ""));
	}
}

static void load_kept(struct kona_opt *opt, const struct kona_opt_kept *kept)
{
	LLVMValueRef value = LLVMGetOperand(kept->store, 0), *users;
	size_t count = 0, all = 0;

	for (LLVMUseRef use = LLVMGetFirstUse(value); use; use = LLVMGetNextUse(use))
		all++;
	users = kona_opt_zeros(all, sizeof(LLVMValueRef));
	for (LLVMUseRef use = LLVMGetFirstUse(value); use; use = LLVMGetNextUse(use))
		users[count++] = LLVMGetUser(use);
	while (count--)
		if (users[count] != kept->store)
			load_for(opt, kept, users[count]);
	free(users);
}

static void make_registers(struct kona_opt *opt, LLVMValueRef function)
{
	LLVMPassManagerRef passes = LLVMCreateFunctionPassManagerForModule(opt->module);

	LLVMAddPromoteMemoryToRegisterPass(passes);
	LLVMInitializeFunctionPassManager(passes);
	LLVMRunFunctionPassManager(passes, function);
	LLVMFinalizeFunctionPassManager(passes);
	LLVMDisposePassManager(passes);
}

void kona_opt_ways_connect(struct kona_opt_function *f, struct kona_opt_ways *ways)
{
	if (!ways->count)
		return;
	for (unsigned w = 0; w < ways->count; w++)
		add_values(&ways->ways[w]);
	for (unsigned w = 0; w < ways->count; w++)
		pause_at(&ways->ways[w], make_pause(f, &ways->ways[w]));
	for (unsigned w = 0; w < ways->count; w++)
		ask(f, &ways->ways[w]);
	for (unsigned k = 0; k < ways->kept_count; k++)
		load_kept(f->opt, &ways->kept[k]);
	make_registers(f->opt, f->function);
}
