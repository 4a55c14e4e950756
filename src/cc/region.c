/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds regions (cc/region.h), from the outermost loops to the innermost: backwards from each
 * header of a loop that is in no region yet. Reads only. Cannot fail, but for memory, which ends
 * the program.
 */
#include "cc/region.h"

#include "cc/shape.h"

#include <string.h>

enum {
	DEEPEST_WEIGHT = 6, /* loops within one another */
};

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

void kona_opt_regions_find(struct kona_opt_regions *ret_regions, struct kona_opt *opt,
			   const struct kona_opt_cfg *cfg)
{
	size_t count = (size_t)cfg->count;
	int *marks = calloc(count, sizeof(*marks)), *stack = calloc(count, sizeof(*stack));
	unsigned *depths = calloc(count, sizeof(*depths));
	char *broken = calloc(count, 1);

	if (!marks || !stack || !depths || !broken)
		err(1, "kona-opt");
	for (int b = 0; b < cfg->count; b++)
		broken[b] = (char)block_breaks(opt, cfg->blocks[b].block);
	find_depths(cfg, depths, marks, broken, stack);
	for (int h = 0; h < cfg->count; h++)
		if (!marks[h] && !broken[h] && kona_opt_cfg_is_header(cfg, h) &&
		    !flood(cfg, h, marks, h + 1, broken, stack))
			marks[h] = 0;
	free(stack);
	free(broken);
	*ret_regions = (struct kona_opt_regions){.of_block = marks, .depths = depths};
}

void kona_opt_regions_free(struct kona_opt_regions *regions)
{
	free(regions->of_block);
	free(regions->depths);
}
