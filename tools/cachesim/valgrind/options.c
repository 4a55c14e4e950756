/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of the Valgrind tool. `kona sim` writes them; people need not.
 */
#include "pub_tool_options.h"

#include "tool.h"

struct kona_sim_config tool_config = {
	.line_bytes = 64,
	.l1d = {32 << 10, 8},
	.l2 = {64 << 10, 16},
	.l3 = {2 << 20, 16},
};
struct tool_options tool_options = {.result = "kona-sim.json", .window = 100000000};

/* "BYTES,WAYS", or "0" for no such level. */
static Bool parse_level(const HChar *text, struct kona_sim_level_config *level)
{
	HChar *end;
	Long bytes = VG_(strtoll10)(text, &end);
	Long ways = 0;

	if (*end == ',')
		ways = VG_(strtoll10)(end + 1, &end);
	if (*end || bytes < 0 || ways < 0 || (bytes && !ways))
		return False;
	level->bytes = (uint64_t)bytes;
	level->ways = (uint32_t)ways;
	return True;
}

/* "BLOCK:SETS,BLOCK:SETS,..." */
static Bool parse_stacks(const HChar *text)
{
	while (*text) {
		struct kona_sim_stack_config *stack = &tool_config.stack[tool_config.stack_count];
		HChar *end;

		if (tool_config.stack_count == KONA_SIM_STACKS_MAX)
			return False;
		stack->block_bytes = (uint32_t)VG_(strtoll10)(text, &end);
		if (*end != ':')
			return False;
		stack->sets = (uint64_t)VG_(strtoll10)(end + 1, &end);
		tool_config.stack_count++;
		if (*end && *end != ',')
			return False;
		text = *end ? end + 1 : end;
	}
	return True;
}

Bool tool_process_option(const HChar *argument)
{
	const HChar *text;
	Bool good = True;
	Long window;

	if (VG_STR_CLO(argument, "--result", tool_options.result)) {
	} else if (VG_BOOL_CLO(argument, "--fetches", tool_options.fetches)) {
	} else if (VG_BOOL_CLO(argument, "--private-cores", tool_options.private_cores)) {
	} else if (VG_BOOL_CLO(argument, "--patterns", tool_options.patterns)) {
	} else if (VG_BOOL_CLO(argument, "--bytes", tool_options.bytes)) {
	} else if (VG_BOOL_CLO(argument, "--reuse", tool_config.reuse)) {
	} else if (VG_BOOL_CLO(argument, "--clock", tool_config.clock)) {
	} else if (VG_BOOL_CLO(argument, "--attribute", tool_options.attribute)) {
	} else if (VG_BOOL_CLO(argument, "--heap", tool_options.heap)) {
	} else if (VG_BOOL_CLO(argument, "--children", tool_options.children)) {
	} else if (VG_BINT_CLO(argument, "--window", window, 1, 1000000000000000LL)) {
		tool_options.window = (ULong)window;
	} else if (VG_BINT_CLO(argument, "--line", tool_config.line_bytes, 64, 4096)) {
	} else if (VG_STR_CLO(argument, "--l1d", text)) {
		good = parse_level(text, &tool_config.l1d);
	} else if (VG_STR_CLO(argument, "--l1i", text)) {
		good = parse_level(text, &tool_config.l1i);
	} else if (VG_STR_CLO(argument, "--l2", text)) {
		good = parse_level(text, &tool_config.l2);
	} else if (VG_STR_CLO(argument, "--l3", text)) {
		good = parse_level(text, &tool_config.l3);
	} else if (VG_STR_CLO(argument, "--stacks", text)) {
		good = parse_stacks(text);
	} else if (VG_STR_CLO(argument, "--simd", text)) {
		tool_config.simd = VG_STREQ(text, "portable") ? KONA_SIM_SIMD_PORTABLE
				   : VG_STREQ(text, "avx2")   ? KONA_SIM_SIMD_AVX2
							      : KONA_SIM_SIMD_BEST;
	} else {
		return False;
	}
	if (!good)
		VG_(fmsg_bad_option)(argument, "not understood\n");
	return True;
}

void tool_print_usage(void)
{
	VG_(printf)
	("    --result=FILE          where the counts go [kona-sim.json]\n"
	 "    --l1d=BYTES,WAYS       and --l1i, --l2, --l3; 0: no such level\n"
	 "    --line=BYTES           line size of L1 to L3 [64]\n"
	 "    --stacks=BLOCK:SETS,.. DRAM caches, each for 1 to 16 ways\n"
	 "    --fetches=yes|no       simulate instruction fetches too [no]\n"
	 "    --private-cores=yes|no an L1 and L2 per thread [no]\n"
	 "    --patterns=yes|no      lines per page and window [no]\n"
	 "    --window=N             instructions per window [100000000]\n"
	 "    --bytes=yes|no         with --patterns: distinct bytes written, too [no]\n"
	 "    --reuse=yes|no         reuse distances of lines and pages [no]\n"
	 "    --clock=yes|no         local memory as the runtime manages it, too [no]\n"
	 "    --attribute=yes|no     misses by source line [no]\n"
	 "    --heap=yes|no          misses and dirty lines by allocation site [no]\n"
	 "    --children=yes|no      forked children write FILE.PID [no]\n"
	 "    --simd=portable|avx2|best\n");
}
