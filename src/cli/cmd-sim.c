/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona sim: simulate a program's caches, local DRAM cache and remote memory in one run.
 */
#include <argp.h>
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/sim-run.h"
#include "sim-html.h"
#include "sweep.h"
#include "table.h"
#include "trace.h"

enum {
	OPTION_L1 = 256,
	OPTION_L1I,
	OPTION_L2,
	OPTION_L3,
	OPTION_LINE,
	OPTION_FETCHES,
	OPTION_PRIVATE,
	OPTION_PATTERNS,
	OPTION_BYTES,
	OPTION_REUSE,
	OPTION_WINDOW,
	OPTION_ATTRIBUTE,
	OPTION_CHILDREN,
	OPTION_FOLLOW,
	OPTION_RESULT,
	OPTION_FROM,
	OPTION_TRACE,
	OPTION_MODEL,
	OPTION_MODELS,
	OPTION_JSON,
	OPTION_OUTPUT,
	OPTION_HTML,
	ARGUMENT_BYTES = 128
};

struct options {
	struct kona_sweep sweep;
	struct kona_sweep_run run;
	struct kona_models models;
	const char *model; /* only this one; NULL: all */
	const char *from, *trace, *json, *html, *output;
	bool patterns, sweep_asked; /* patterns alone need no sweep */
	char text[KONA_SWEEP_ARGUMENTS_MAX][ARGUMENT_BYTES];
};

static const struct argp_option argp_options[] = {
	{"sizes", 's', "LIST", 0, "DRAM cache sizes [1M,2M,...,2G]"},
	{"blocks", 'b', "LIST", 0, "block sizes, 64 to 2M [64,256,1K,4K,64K,2M]"},
	{"ways", 'w', "LIST", 0, "associativities, 1 to 16 [1,2,4,8,16]"},
	{"l1", OPTION_L1, "SIZE,WAYS", 0, "L1 data cache [32K,8]; 0: none"},
	{"l1i", OPTION_L1I, "SIZE,WAYS", 0, "L1 instruction cache, with --fetches [0]"},
	{"l2", OPTION_L2, "SIZE,WAYS", 0, "L2 [64K,16]"},
	{"l3", OPTION_L3, "SIZE,WAYS", 0, "L3 [2M,16]"},
	{"line", OPTION_LINE, "SIZE", 0, "line size of L1 to L3 [64]"},
	{"fetches", OPTION_FETCHES, NULL, 0, "instruction fetches go through the caches too"},
	{"private", OPTION_PRIVATE, NULL, 0, "an L1 and L2 per thread [shared]"},
	{"patterns", OPTION_PATTERNS, NULL, 0, "lines per page and window; no sweep unless asked"},
	{"bytes", OPTION_BYTES, NULL, 0, "with --patterns: distinct bytes written, too; slower"},
	{"reuse", OPTION_REUSE, NULL, 0, "reuse distances below the last level"},
	{"window", OPTION_WINDOW, "N", 0, "instructions per window of --patterns [100000000]"},
	{"attribute", OPTION_ATTRIBUTE, "WHAT", OPTION_ARG_OPTIONAL,
	 "last-level misses by source `line' [line], or by `heap' allocation site"},
	{"children", OPTION_CHILDREN, NULL, 0, "forked children write RESULT.PID"},
	{"follow", OPTION_FOLLOW, NULL, 0, "simulate what the program execs, too"},
	{"result", OPTION_RESULT, "FILE", 0, "keep the counts, for --from"},
	{"from", OPTION_FROM, "FILE", 0, "no run: read the counts of an earlier one"},
	{"trace", OPTION_TRACE, "FILE", 0,
	 "no run: simulate a trace of kona track or of Lackey (`-': standard input)"},
	{"model", OPTION_MODEL, "NAME", 0,
	 "only this latency model, or `original' for all built in"},
	{"models", OPTION_MODELS, "FILE", 0, "latency models: lines of `NAME KEY=NS ...'"},
	{"output", OPTION_OUTPUT, "FILE", 0,
	 "write the table there [standard error; with --from standard output]"},
	{"json", OPTION_JSON, "FILE", 0, "write JSON (`-': standard output, for it alone)"},
	{"html", OPTION_HTML, "FILE", 0, "write a page with plots"},
	{0},
};

/* Adds NAME followed by VALUE ("--line=", "128") to the tool's arguments. */
static void add_argument(struct options *o, struct argp_state *state, const char *name,
			 const char *value)
{
	char *text = o->text[o->run.argument_count];

	if (o->run.argument_count == KONA_SWEEP_ARGUMENTS_MAX - 1)
		argp_error(state, "too many options");
	if (snprintf(text, ARGUMENT_BYTES, "%s%s", name, value) >= ARGUMENT_BYTES)
		argp_error(state, "too long: %s", value);
	o->run.argument[o->run.argument_count++] = text;
}

static void parse_list(struct kona_sweep_list *list, const char *text, struct argp_state *state)
{
	if (kona_sweep_list_parse(text, list))
		argp_error(state, "not a list of up to %d sizes: %s", KONA_SWEEP_LIST_MAX, text);
}

/* "32K,8" -> "--l1d=32768,8" */
static void parse_level(struct options *o, const char *name, const char *text,
			struct argp_state *state)
{
	struct kona_sweep_list list;
	char value[64];

	if (!strcmp(text, "0"))
		snprintf(value, sizeof(value), "--%s=0", name);
	else if (kona_sweep_list_parse(text, &list) || list.count != 2)
		argp_error(state, "want SIZE,WAYS (like 32K,8) of %s, or 0, not %s", name, text);
	else
		snprintf(value, sizeof(value), "--%s=%llu,%llu", name,
			 (unsigned long long)list.value[0], (unsigned long long)list.value[1]);
	add_argument(o, state, "", value);
}

/* Options without a value, as the tool knows them. */
static const struct {
	int key;
	const char *text;
} flags[] = {
	{OPTION_PATTERNS, "--patterns=yes"},	 {OPTION_BYTES, "--bytes=yes"},
	{OPTION_REUSE, "--reuse=yes"},		 {OPTION_FETCHES, "--fetches=yes"},
	{OPTION_PRIVATE, "--private-cores=yes"}, {OPTION_CHILDREN, "--children=yes"},
};

static void parse_tool_option(int key, char *argument, struct options *o, struct argp_state *state)
{
	struct kona_sweep_list one;
	char text[32];

	switch (key) {
	case OPTION_L1:
		parse_level(o, "l1d", argument, state);
		break;
	case OPTION_L1I:
		parse_level(o, "l1i", argument, state);
		break;
	case OPTION_L2:
		parse_level(o, "l2", argument, state);
		break;
	case OPTION_L3:
		parse_level(o, "l3", argument, state);
		break;
	case OPTION_ATTRIBUTE:
		if (argument && strcmp(argument, "line") != 0 && strcmp(argument, "heap") != 0)
			argp_error(state, "--attribute is for line or heap, not %s", argument);
		add_argument(o, state, "",
			     argument && argument[0] == 'h' ? "--heap=yes" : "--attribute=yes");
		break;
	case OPTION_LINE:
	case OPTION_WINDOW:
		if (kona_sweep_list_parse(argument, &one) || one.count != 1)
			argp_error(state, "not a number: %s", argument);
		snprintf(text, sizeof(text), "%llu", (unsigned long long)one.value[0]);
		add_argument(o, state, key == OPTION_LINE ? "--line=" : "--window=", text);
		break;
	default:
		for (size_t i = 0; i < KONA_ARRAY_LEN(flags); i++)
			if (flags[i].key == key)
				add_argument(o, state, "", flags[i].text);
		o->patterns |= key == OPTION_PATTERNS;
		break;
	}
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 's':
		parse_list(&o->sweep.sizes, argument, state);
		o->sweep_asked = o->sweep.sizes_asked = true;
		break;
	case 'b':
		parse_list(&o->sweep.blocks, argument, state);
		o->sweep_asked = true;
		break;
	case 'w':
		parse_list(&o->sweep.ways, argument, state);
		o->sweep_asked = true;
		break;
	case OPTION_FOLLOW:
		o->run.follow = true;
		break;
	case OPTION_RESULT:
		o->run.result = argument;
		break;
	case OPTION_FROM:
		o->from = argument;
		break;
	case OPTION_TRACE:
		o->trace = argument;
		break;
	case OPTION_MODEL:
		o->model = argument;
		break;
	case OPTION_MODELS:
		kona_sim_option_models(&o->models, argument, state);
		break;
	case OPTION_JSON:
		o->json = argument;
		break;
	case OPTION_HTML:
		o->html = argument;
		break;
	case OPTION_OUTPUT:
		o->output = argument;
		break;
	case ARGP_KEY_ARGS:
		o->run.program = state->argv + state->next;
		break;
	case ARGP_KEY_END:
		if (!o->from && !o->trace && !o->run.program)
			argp_error(state, "give a program to run, --from FILE or --trace FILE");
		if (!!o->from + !!o->trace + !!o->run.program > 1)
			argp_error(state, "%s with %s: only one of them can be simulated",
				   o->from ? "--from" : "--trace",
				   o->run.program ? "a program to run" : "--trace");
		o->run.aside = kona_sim_is_stdout(o->json);
		break;
	default:
		if (key < OPTION_L1 || key > OPTION_CHILDREN)
			return ARGP_ERR_UNKNOWN;
		parse_tool_option(key, argument, o, state);
		break;
	}
	return 0;
}

static int choose_model(struct options *o)
{
	const struct kona_model *model;

	if (!o->model)
		return 0;
	if (!strcmp(o->model, "original")) {
		kona_models_builtin(&o->models);
		return 0;
	}
	model = kona_models_find(&o->models, o->model);
	if (!model) {
		kona_error("no such model: %s; there are original, and:", o->model);
		for (size_t i = 0; i < o->models.count; i++)
			kona_error("  %s", o->models.model[i].name);
		return -EINVAL;
	}
	o->models.model[0] = *model;
	o->models.count = 1;
	return 0;
}

/* The tables to simulate, into the tool's arguments; *ret_argument is the caller's to free. */
static int add_sweep(struct options *o, char **ret_argument)
{
	KONA_FREE char *stacks = NULL;
	int err;

	if (o->patterns && !o->sweep_asked)
		return 0;
	err = kona_sweep_stacks(&o->sweep, &stacks);
	if (err) {
		kona_error(
			"%s",
			err == -E2BIG
				? "too many configurations: leave out some sizes or "
				  "block sizes"
				: "bad sweep: blocks are powers of two from 64 to 2M, "
				  "ways 1 to 16, and some size must be a multiple of block x ways");
		return err;
	}
	if (asprintf(ret_argument, "--stacks=%s", stacks) < 0)
		return -ENOMEM;
	o->run.argument[o->run.argument_count++] = *ret_argument;
	return 0;
}

static int simulate_trace(const struct options *o, struct kona_sim_result *ret_result)
{
	uint64_t line = 0;
	int err = kona_trace_simulate(o->trace, &o->run, ret_result, &line);

	if (err == -EPROTO)
		kona_error("%s:%llu: neither a line of `kona track --trace' nor of Lackey",
			   o->trace, (unsigned long long)line);
	else if (err == -EINVAL)
		kona_error("this cache configuration is impossible, or of no use with a trace");
	else if (err)
		kona_error("%s: %s", o->trace, strerror(-err));
	return err;
}

/* Returns 1 when something could not be written. */
static int report(struct options *o, const struct kona_sim_result *result)
{
	FILE *stream;
	int lost = 0;

	if (o->output || !kona_sim_is_stdout(o->json)) {
		/* Not where the program's own output goes. */
		stream = kona_sim_output_open(o->output, o->run.program ? stderr : stdout);
		if (!stream)
			return 1;
		kona_sim_table_print(stream, result, &o->sweep, &o->models);
		lost |= kona_sim_output_close(stream, o->output);
	}
	if (o->json)
		lost |= kona_sim_tell_lost(
			o->json, kona_sim_json_write(o->json, result, &o->sweep, &o->models));
	if (o->html)
		lost |= kona_sim_tell_lost(
			o->html, kona_sim_html_write(o->html, result, &o->sweep, &o->models));
	return lost;
}

int kona_cmd_sim(int argc, char **argv)
{
	static const struct argp argp = {
		argp_options,
		parse_option,
		"-- PROGRAM [ARGUMENTS]\n--from FILE\n--trace FILE",
		"Simulate what PROGRAM would cost on remote memory: every DRAM cache size, block "
		"size and associativity in one run, under Valgrind.",
		NULL,
		NULL,
		NULL};
	static struct options o;
	struct kona_sim_result result;
	KONA_FREE char *argument = NULL;
	int exit_status = 0;
	int err;

	kona_sweep_default(&o.sweep);
	kona_models_builtin(&o.models);
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &o);
	if (choose_model(&o))
		return 2;
	if (o.from)
		err = kona_sim_load(o.from, &result);
	else if (add_sweep(&o, &argument))
		err = -EINVAL;
	else if (o.trace)
		err = simulate_trace(&o, &result);
	else
		err = kona_sim_run(&o.run, &result, &exit_status);
	if (err)
		return 1;
	if (report(&o, &result))
		exit_status = 1;
	kona_sim_result_free(&result);
	return exit_status;
}
