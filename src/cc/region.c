/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds regions (cc/region.h), from the outermost loops to the innermost: backwards from each
 * header of a loop that is in no region yet. Reads only. Cannot fail, but for memory, which ends
 * the program.
 */
#include "cc/region.h"

#include "cc/shape.h"

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

void kona_opt_regions_find(struct kona_opt_regions *ret_regions, struct kona_opt *opt,
			   const struct kona_opt_cfg *cfg)
{
	size_t count = (size_t)cfg->count;
	int *marks = kona_opt_zeros(count, sizeof(*marks));
	int *stack = kona_opt_zeros(count, sizeof(*stack));
	char *broken = kona_opt_zeros(count, 1);
	unsigned *depths;

	for (int b = 0; b < cfg->count; b++)
		broken[b] = (char)block_breaks(opt, cfg->blocks[b].block);
	depths = kona_opt_cfg_depths(cfg, broken);
	for (int h = 0; h < cfg->count; h++)
		if (!marks[h] && !broken[h] && kona_opt_cfg_is_header(cfg, h) &&
		    !kona_opt_cfg_flood(cfg, h, marks, broken, stack))
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
