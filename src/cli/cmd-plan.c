/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona plan: before anything is moved, how much slower a program would be with part of its memory
 * remote.
 */
#include <argp.h>
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/sim-run.h"
#include "plan-show.h"
#include "sweep.h"

enum {
	OPTION_TIME = 256,
	OPTION_LIMIT,
	OPTION_FOLLOW,
	OPTION_REPLACEMENT,
	OPTION_RESULT,
	OPTION_FROM,
	OPTION_MODELS,
	OPTION_OUTPUT,
	OPTION_JSON,
	OPTION_HTML,
};

struct options {
	struct kona_sweep_run run;
	struct kona_models models;
	double local_ns, limit;
	enum kona_plan_replacement replacement;
	const char *from, *output, *json, *html;
};

static const struct argp_option argp_options[] = {
	{"time", OPTION_TIME, "TIME", 0, "how long the program runs natively [estimated]"},
	{"limit", OPTION_LIMIT, "FACTOR", 0, "the slowdown to keep under [1.1]"},
	{"replacement", OPTION_REPLACEMENT, "NAME", 0,
	 "which page leaves: by the `clock' of kona run, or by `lru' [clock]"},
	{"follow", OPTION_FOLLOW, NULL, 0, "simulate what the program execs, too"},
	{"result", OPTION_RESULT, "FILE", 0, "keep the counts, for --from"},
	{"from", OPTION_FROM, "FILE", 0, "no run: read the counts of an earlier plan"},
	{"models", OPTION_MODELS, "FILE", 0, "latency models: lines of `NAME KEY=NS ...'"},
	{"output", OPTION_OUTPUT, "FILE", 0,
	 "write the table there [standard error; with --from standard output]"},
	{"json", OPTION_JSON, "FILE", 0, "write JSON (`-': standard output, for it alone)"},
	{"html", OPTION_HTML, "FILE", 0, "write a page with plots"},
	{0},
};

static void parse_time(struct options *o, const char *text, struct argp_state *state)
{
	uint64_t ns;

	if (kona_duration_parse(text, &ns) || !ns)
		argp_error(state, "not a time (like 2.5s or 300ms): %s", text);
	o->local_ns = (double)ns;
}

static void parse_limit(struct options *o, const char *text, struct argp_state *state)
{
	char *end;

	o->limit = strtod(text, &end);
	if (end == text || *end || !(o->limit > 1 && o->limit < 1e6))
		argp_error(state, "a limit is a factor above 1 (like 1.1), not %s", text);
}

static void parse_replacement(struct options *o, const char *text, struct argp_state *state)
{
	if (!strcmp(text, "clock"))
		o->replacement = KONA_PLAN_CLOCK;
	else if (!strcmp(text, "lru"))
		o->replacement = KONA_PLAN_LRU;
	else
		argp_error(state, "there are clock and lru, not %s", text);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case OPTION_TIME:
		parse_time(o, argument, state);
		break;
	case OPTION_LIMIT:
		parse_limit(o, argument, state);
		break;
	case OPTION_REPLACEMENT:
		parse_replacement(o, argument, state);
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
	case OPTION_MODELS:
		kona_sim_option_models(&o->models, argument, state);
		break;
	case OPTION_OUTPUT:
		o->output = argument;
		break;
	case OPTION_JSON:
		o->json = argument;
		break;
	case OPTION_HTML:
		o->html = argument;
		break;
	case ARGP_KEY_ARGS:
		o->run.program = state->argv + state->next;
		break;
	case ARGP_KEY_END:
		if (!o->from && !o->run.program)
			argp_error(state, "give a program to run, or --from FILE");
		if (o->from && o->run.program)
			argp_error(state, "--from with a program to run: only one of them can be "
					  "looked at");
		o->run.aside = kona_sim_is_stdout(o->json);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int run(struct options *o, struct kona_sim_result *ret_result, int *ret_exit_status)
{
	KONA_FREE char *stacks = kona_plan_stacks();
	KONA_FREE char *argument = NULL;

	if (!stacks || asprintf(&argument, "--stacks=%s", stacks) < 0) {
		argument = NULL;
		return -ENOMEM;
	}
	o->run.argument[o->run.argument_count++] = argument;
	o->run.argument[o->run.argument_count++] = "--clock=yes";
	return kona_sim_run(&o->run, ret_result, ret_exit_status);
}

/* Returns 1 when something could not be written. */
static int report(const struct options *o, const struct kona_plan *plan)
{
	FILE *stream;
	int lost = 0, err;

	if (o->output || !kona_sim_is_stdout(o->json)) {
		stream = kona_sim_output_open(o->output, o->run.program ? stderr : stdout);
		if (!stream)
			return 1;
		kona_plan_table_print(stream, plan, &o->models, o->limit);
		lost |= kona_sim_output_close(stream, o->output);
	}
	err = o->json ? kona_plan_json_write(o->json, plan, &o->models, o->limit) : 0;
	lost |= kona_sim_tell_lost(o->json, err);
	err = o->html ? kona_plan_html_write(o->html, plan, &o->models, o->limit) : 0;
	lost |= kona_sim_tell_lost(o->html, err);
	return lost;
}

int kona_cmd_plan(int argc, char **argv)
{
	static const struct argp argp = {
		argp_options,
		parse_option,
		"-- PROGRAM [ARGUMENTS]\n--from FILE",
		"Foretell how much slower PROGRAM would be with 100 % down to 1 % of its memory "
		"local, on each network, and what it would send home; from one run under Valgrind.",
		NULL,
		NULL,
		NULL};
	static struct options o = {.limit = 1.1};
	struct kona_sim_result result;
	struct kona_plan plan;
	int exit_status = 0;
	int err;

	kona_plan_models(&o.models);
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &o);
	err = o.from ? kona_sim_load(o.from, &result) : run(&o, &result, &exit_status);
	if (err)
		return 1;
	err = kona_plan_make(&result, o.replacement, o.local_ns, &plan);
	if (err) {
		kona_error("%s", err == -ENODATA ? "this result is not of a `kona plan', or of an "
						   "earlier version's: run the program again"
						 : strerror(-err));
		exit_status = 1;
	} else {
		if (report(&o, &plan))
			exit_status = 1;
		kona_plan_free(&plan);
	}
	kona_sim_result_free(&result);
	return exit_status;
}
