/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona track: which cache lines does a running program dirty? `kona' executes this, with "kona
 * track" as its name.
 */
#include <argp.h>
#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/log.h"
#include "base/units.h"
#include "show.h"

enum {
	OPTION_CHILDREN = 256,
	OPTION_WP,
	OPTION_JSON,
	OPTION_HTML,
	OPTION_TRACE,
	OPTION_COMPARE,
};

struct options {
	struct kona_session_options session;
	bool found_asked;
	const char *json, *html, *trace; /* json: "-" for standard output */
};

/* Where a session's windows go. */
struct outputs {
	FILE *table, *json, *trace;
	struct kona_track_report *report;
};

static const struct argp_option argp_options[] = {
	{"pid", 'p', "PID", 0, "track this process"},
	{"interval", 'i', "TIME", 0, "length of a window [1s]; SIGUSR1 ends one at once"},
	{"windows", 'n', "N", 0, "stop after N windows"},
	{"duration", 'd', "TIME", 0, "stop after this time"},
	{"children", OPTION_CHILDREN, NULL, 0, "track descendants, too"},
	{"mode", 'm', "MODE", 0,
	 "how written pages are found: scan, wp-async or auto [auto]; and what is kept of a page: "
	 "copy (exact) or hash [hash]; `copy' or `hash' alone means scan; joined by a comma"},
	{"wp", OPTION_WP, NULL, 0, "only write-protect pages, as VMs do: to compare the cost"},
	{"json", OPTION_JSON, "FILE", OPTION_ARG_OPTIONAL,
	 "JSON lines [to standard output, instead of the table]"},
	{"html", OPTION_HTML, "FILE", 0, "write a report with plots"},
	{"trace", OPTION_TRACE, "FILE", 0, "write the dirty pages and lines of each window"},
	{"compare", OPTION_COMPARE, "NAME", 0,
	 "how to compare: portable, avx2 or avx512 [the best here]"},
	{0},
};

static void parse_time(const char *text, uint64_t *ret_ns, struct argp_state *state)
{
	if (kona_duration_parse(text, ret_ns) || !*ret_ns)
		argp_error(state, "not a time (like 500ms, 1s, 2m): %s", text);
}

static uint64_t parse_count(const char *text, uint64_t most, struct argp_state *state)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end || text[0] < '0' || text[0] > '9' || !value || value > most)
		argp_error(state, "not a number from 1: %s", text);
	return value;
}

static void parse_mode(struct options *o, const char *text, struct argp_state *state)
{
	static const struct {
		const char *name;
		int mode, kept; /* -1: says nothing of it */
	} words[] = {
		{"scan", KONA_MODE_SCAN, -1}, {"wp-async", KONA_MODE_ASYNC, -1},
		{"auto", KONA_MODE_AUTO, -1}, {"copy", -1, KONA_KEPT_COPY},
		{"hash", -1, KONA_KEPT_HASH},
	};

	while (*text) {
		size_t length = strcspn(text, ",");
		size_t i = 0;

		while (i < KONA_ARRAY_LEN(words) && (strlen(words[i].name) != length ||
						     strncmp(words[i].name, text, length) != 0))
			i++;
		if (i == KONA_ARRAY_LEN(words))
			argp_error(state, "no such mode: %.*s", (int)length, text);
		if (words[i].kept >= 0)
			o->session.kept = (enum kona_kept)words[i].kept;
		if (words[i].mode >= 0) {
			o->session.mode = (enum kona_mode)words[i].mode;
			o->found_asked = true;
		}
		text += length;
		text += *text == ',';
	}
	if (!o->found_asked)
		o->session.mode = KONA_MODE_SCAN;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'p':
		o->session.pid = (pid_t)parse_count(argument, INT32_MAX, state);
		break;
	case 'i':
		parse_time(argument, &o->session.interval_ns, state);
		break;
	case 'n':
		o->session.windows = parse_count(argument, UINT64_MAX, state);
		break;
	case 'd':
		parse_time(argument, &o->session.duration_ns, state);
		break;
	case OPTION_CHILDREN:
		o->session.children = true;
		break;
	case 'm':
		parse_mode(o, argument, state);
		break;
	case OPTION_WP:
		o->session.mode = KONA_MODE_PAGES;
		break;
	case OPTION_JSON:
		o->json = argument ? argument : "-";
		break;
	case OPTION_HTML:
		o->html = argument;
		break;
	case OPTION_TRACE:
		o->trace = argument;
		break;
	case OPTION_COMPARE:
		o->session.lines = argument;
		break;
	case ARGP_KEY_ARGS:
		o->session.command = state->argv + state->next;
		break;
	case ARGP_KEY_END:
		if (!o->session.pid == !o->session.command)
			argp_error(state, "give a process by --pid, or a program to run");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int take_window(void *context, const struct kona_session *session,
		       const struct kona_window *window)
{
	struct outputs *out = context;
	int err = 0;

	if (out->table)
		kona_table_window(out->table, session, window);
	if (out->json)
		err = kona_json_window(out->json, session, window);
	if (!err && out->report)
		err = kona_track_report_window(out->report, window);
	return err;
}

static int take_pages(void *context, uint64_t window, const struct kona_target *target)
{
	struct outputs *out = context;

	return kona_trace_pages(out->trace, window, target);
}

/* The report is written at the end, in one go: whether it can be is to be known before. */
static int check_folder(const char *path)
{
	KONA_FREE char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	return access(dirname(copy), W_OK | X_OK) ? -errno : 0;
}

static int open_outputs(struct outputs *out, const struct options *o)
{
	int err = o->html ? check_folder(o->html) : 0;

	if (err) {
		kona_error("cannot write %s: %s", o->html, strerror(-err));
		return err;
	}
	out->table = o->json && !strcmp(o->json, "-") ? NULL : stdout;
	if (o->json)
		out->json = out->table ? fopen(o->json, "we") : stdout;
	if (o->json && !out->json) {
		kona_error("cannot write %s: %s", o->json, strerror(errno));
		return -errno;
	}
	if (o->trace) {
		out->trace = fopen(o->trace, "we");
		if (!out->trace || kona_trace_start(out->trace)) {
			kona_error("cannot write %s: %s", o->trace, strerror(errno));
			return -errno;
		}
	}
	if (o->html)
		err = kona_track_report_new(&out->report);
	return err;
}

static int close_outputs(struct outputs *out, const struct options *o,
			 const struct kona_session *session)
{
	int status = 0;
	int err;

	if (out->json && out->json != stdout && fclose(out->json)) {
		kona_error("cannot write %s: %s", o->json, strerror(errno));
		status = 1;
	}
	if (out->trace && fclose(out->trace)) {
		kona_error("cannot write %s: %s", o->trace, strerror(errno));
		status = 1;
	}
	if (out->report && session) {
		err = kona_track_report_write(out->report, session, o->html);
		if (err) {
			kona_error("cannot write %s: %s", o->html, strerror(-err));
			status = 1;
		}
	}
	kona_track_report_free(out->report);
	return status;
}

/* Says what stands in the way, and what to do about it. */
static void tell_denied(pid_t pid)
{
	long tracer = kona_status_number(pid, "TracerPid:");

	if (tracer > 0)
		kona_error("pid %d is being traced already, by pid %ld", pid, tracer);
	else
		kona_error("pid %d may not be tracked: be its user, or root (CAP_SYS_PTRACE); "
			   "where /proc/sys/kernel/yama/ptrace_scope is not 0, root, or let kona "
			   "track start the program; a setuid program wants root",
			   pid);
}

static void tell_error(const struct options *o, int err)
{
	if (err == -EPERM && o->session.pid)
		tell_denied(o->session.pid);
	else if (err == -ESRCH && o->session.pid)
		kona_error("no process has pid %d", o->session.pid);
	else if (err == -EOPNOTSUPP && o->session.lines)
		kona_error("this machine cannot compare by `%s': there are portable, avx2 and "
			   "avx512",
			   o->session.lines);
	else if (!o->session.pid && err != -ENOMEM)
		kona_error("cannot run %s: %s", o->session.command[0], strerror(-err));
	else
		kona_error("%s", strerror(-err));
}

/* The exit status: the command's, where it has ended. */
static int command_status(const struct kona_session *session)
{
	int status = session->command_status;

	if (session->options.pid)
		return 0;
	if (!session->command_ended) {
		kona_info("%s (pid %d) goes on, untracked", session->options.command[0],
			  session->command_pid);
		return 0;
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run(struct kona_session *session, struct outputs *out)
{
	int err = 0;

	if (out->json)
		err = kona_json_start(out->json, session);
	if (!err)
		err = kona_session_run(session);
	if (!err && out->json)
		err = kona_json_total(out->json, session);
	if (out->table)
		kona_table_total(out->table, session);
	return err;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		argp_options,
		parse_option,
		"--pid PID\n-- PROGRAM [ARGUMENTS]",
		"Find the 64-byte lines that a running program writes, window by window, and what "
		"tracking whole pages would make of them.",
		NULL,
		NULL,
		NULL};
	static struct options o = {.session = {.interval_ns = 1000000000,
					       .mode = KONA_MODE_AUTO,
					       .kept = KONA_KEPT_HASH}};
	static struct kona_session session;
	struct outputs out = {0};
	struct kona_sink sink = {take_window, NULL, &out};
	int status, err;

	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &o);
	if (open_outputs(&out, &o))
		return 1;
	if (out.trace)
		sink.pages = take_pages;
	err = kona_session_open(&session, &o.session, &sink);
	if (err) {
		tell_error(&o, err);
		kona_session_close(&session);
		close_outputs(&out, &o, NULL);
		return 1;
	}
	err = run(&session, &out);
	if (err)
		kona_error("%s", strerror(-err));
	status = close_outputs(&out, &o, &session);
	kona_session_close(&session);
	return err ? 1 : status ? status : command_status(&session);
}
