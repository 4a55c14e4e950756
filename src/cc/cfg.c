/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reverse postorder by a depth-first walk with a stack of its own (functions of 10,000 blocks
 * exist), predecessors, and dominators by the iteration of Cooper, Harvey and Kennedy, "A Simple,
 * Fast Dominance Algorithm". Cannot fail, but for memory, which ends the program.
 */
#include <string.h>

#include "cc/cfg.h"

enum {
	DEEPEST = 6, /* loops within one another that are told apart */
};

int kona_opt_cfg_find(const struct kona_opt_cfg *cfg, LLVMBasicBlockRef block)
{
	return (int)kona_map_get(&cfg->index, block, 0) - 1;
}

/* Lists the blocks; their order is that of the walk's ends, reversed. */
static void order(struct kona_opt_cfg *cfg, LLVMValueRef function)
{
	unsigned most = LLVMCountBasicBlocks(function), depth = 0;
	LLVMBasicBlockRef *ends = kona_opt_zeros(most, sizeof(*ends));
	struct {
		LLVMBasicBlockRef block;
		unsigned next; /* successor to visit */
	} *stack = kona_opt_zeros(most, sizeof(*stack));
	struct kona_map seen = {0};
	int count = 0;

	stack[depth++].block = LLVMGetEntryBasicBlock(function);
	kona_map_set(&seen, stack[0].block, 1);
	while (depth) {
		LLVMValueRef end = LLVMGetBasicBlockTerminator(stack[depth - 1].block);
		LLVMBasicBlockRef next;

		if (stack[depth - 1].next == LLVMGetNumSuccessors(end)) {
			ends[count++] = stack[--depth].block;
			continue;
		}
		next = LLVMGetSuccessor(end, stack[depth - 1].next++);
		if (kona_map_get(&seen, next, 0))
			continue;
		kona_map_set(&seen, next, 1);
		stack[depth].block = next;
		stack[depth++].next = 0;
	}
	cfg->count = count;
	cfg->blocks = kona_opt_zeros((size_t)count, sizeof(*cfg->blocks));
	for (int i = 0; i < count; i++) {
		cfg->blocks[i].block = ends[count - 1 - i];
		kona_map_set(&cfg->index, cfg->blocks[i].block, (size_t)i + 1);
	}
	kona_map_free(&seen);
	free(stack);
	free(ends);
}

static void find_predecessors(struct kona_opt_cfg *cfg)
{
	size_t total = 0;
	int *next;

	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < cfg->count; i++) {
			LLVMValueRef end = LLVMGetBasicBlockTerminator(cfg->blocks[i].block);

			for (unsigned s = 0; s < LLVMGetNumSuccessors(end); s++) {
				int to = kona_opt_cfg_find(cfg, LLVMGetSuccessor(end, s));
				struct kona_opt_block *block = &cfg->blocks[to];

				if (pass)
					block->before[block->before_count] = i;
				block->before_count++;
				total++;
			}
		}
		if (pass)
			break;
		next = cfg->edges = kona_opt_zeros(total, sizeof(*cfg->edges));
		for (int i = 0; i < cfg->count; i++) {
			cfg->blocks[i].before = next;
			next += cfg->blocks[i].before_count;
			cfg->blocks[i].before_count = 0;
		}
	}
}

static int common(const struct kona_opt_cfg *cfg, int a, int b)
{
	while (a != b) {
		while (a > b)
			a = cfg->blocks[a].dominator;
		while (b > a)
			b = cfg->blocks[b].dominator;
	}
	return a;
}

static void find_dominators(struct kona_opt_cfg *cfg)
{
	int changed = 1;

	for (int i = 1; i < cfg->count; i++)
		cfg->blocks[i].dominator = KONA_OPT_NO_BLOCK;
	cfg->blocks[0].dominator = 0;
	while (changed) {
		changed = 0;
		for (int i = 1; i < cfg->count; i++) {
			struct kona_opt_block *block = &cfg->blocks[i];
			int found = KONA_OPT_NO_BLOCK;

			for (int e = 0; e < block->before_count; e++) {
				int from = block->before[e];

				if (cfg->blocks[from].dominator == KONA_OPT_NO_BLOCK ||
				    cfg->blocks[from].is_way_in)
					continue;
				found = found == KONA_OPT_NO_BLOCK ? from
								   : common(cfg, found, from);
			}
			changed |= block->dominator != found;
			block->dominator = found;
		}
	}
}

int kona_opt_cfg_is_header(const struct kona_opt_cfg *cfg, int block)
{
	for (int e = 0; e < cfg->blocks[block].before_count; e++)
		if (cfg->blocks[block].before[e] >= block)
			return 1;
	return 0;
}

int kona_opt_cfg_flood(const struct kona_opt_cfg *cfg, int header, int *marks, const char *broken,
		       int *stack)
{
	int depth = 0, back = 0, mark = header + 1;

	stack[depth++] = header;
	marks[header] = mark;
	while (depth) {
		const struct kona_opt_block *block = &cfg->blocks[stack[--depth]];

		for (int e = 0; e < block->before_count; e++) {
			int from = block->before[e];

			if (from < header || (broken && broken[from]) ||
			    (marks[from] && marks[from] != mark))
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

unsigned *kona_opt_cfg_depths(const struct kona_opt_cfg *cfg, const char *broken)
{
	size_t count = (size_t)cfg->count;
	unsigned *depths = kona_opt_zeros(count, sizeof(*depths));
	int *marks = kona_opt_zeros(count, sizeof(*marks));
	int *stack = kona_opt_zeros(count, sizeof(*stack));

	for (int h = 0; h < cfg->count; h++) {
		if (!kona_opt_cfg_is_header(cfg, h))
			continue;
		memset(marks, 0, count * sizeof(*marks));
		kona_opt_cfg_flood(cfg, h, marks, broken, stack);
		for (int b = h; b < cfg->count; b++)
			if (marks[b] && depths[b] < DEEPEST)
				depths[b]++;
	}
	free(stack);
	free(marks);
	return depths;
}

int kona_opt_cfg_dominates(const struct kona_opt_cfg *cfg, int a, int b)
{
	if (cfg->blocks[b].is_way_in) {
		LLVMValueRef end = LLVMGetBasicBlockTerminator(cfg->blocks[b].block);

		b = cfg->blocks[kona_opt_cfg_find(cfg, LLVMGetSuccessor(end, 0))].dominator;
	}
	while (b > a)
		b = cfg->blocks[b].dominator;
	return a == b;
}

void kona_opt_cfg_make(struct kona_opt_cfg *ret_cfg, LLVMValueRef function,
		       const struct kona_map *ways_in)
{
	struct kona_opt_cfg cfg = {0};

	order(&cfg, function);
	for (int i = 0; ways_in && i < cfg.count; i++)
		cfg.blocks[i].is_way_in = (int)kona_map_get(ways_in, cfg.blocks[i].block, 0);
	find_predecessors(&cfg);
	find_dominators(&cfg);
	*ret_cfg = cfg;
}

void kona_opt_cfg_free(struct kona_opt_cfg *cfg)
{
	free(cfg->blocks);
	free(cfg->edges);
	kona_map_free(&cfg->index);
}
