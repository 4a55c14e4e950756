/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One case, once: starts kona-page-access (bench -> kona run -> program), lets it go on, reads its
 * line of JSON. A signal meanwhile ends the program first.
 *
 * State: none. What can fail: the program; its one line is on standard error already.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"
#include "cli/bench.h"

const char *const kona_bench_names[KONA_BENCH_CASES] = {
	[KONA_BENCH_GUARD] = "guard",	    [KONA_BENCH_WP] = "fault wp",
	[KONA_BENCH_LINES] = "fault lines", [KONA_BENCH_SWAP] = "swap to zram",
	[KONA_BENCH_FLOOR] = "floor",	    [KONA_BENCH_LOCAL] = "all local",
};

enum { MOST_WORDS = 24, WORD_BYTES = 48, POLL_MS = 5, PATIENT_POLL_MS = 100, LINE_BYTES = 2048 };

struct command {
	char texts[MOST_WORDS][WORD_BYTES];
	const char *words[MOST_WORDS];
	size_t count;
};

static void say(struct command *command, const char *word)
{
	command->words[command->count++] = word;
}

KONA_PRINTF(2, 3) static void say_formatted(struct command *command, const char *format, ...)
{
	char *text = command->texts[command->count];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, WORD_BYTES, format, arguments);
	va_end(arguments);
	say(command, text);
}

static void make_command(const struct kona_bench *bench, enum kona_bench_case which,
			 unsigned long threads, struct command *command)
{
	static const char *const paths[] = {
		[KONA_BENCH_GUARD] = "guard", [KONA_BENCH_FLOOR] = "floor"};
	const char *path =
		which == KONA_BENCH_GUARD || which == KONA_BENCH_FLOOR ? paths[which] : "plain";

	*command = (struct command){.count = 0};
	if (which <= KONA_BENCH_LINES) {
		say(command, bench->kona);
		say(command, "run");
		say_formatted(command, "--local=%" PRIu64, bench->local_bytes);
		say(command, which == KONA_BENCH_WP ? "--dirty=wp" : "--dirty=lines");
		if (bench->memd) {
			say(command, "--memd");
			say(command, bench->memd);
		}
		if (bench->fabric) {
			say(command, "--fabric");
			say(command, bench->fabric);
		}
		if (bench->net) {
			say(command, "--net");
			say(command, bench->net);
		}
		say(command, "--");
	}
	say(command, bench->program);
	say_formatted(command, "--path=%s", path);
	say_formatted(command, "--bytes=%" PRIu64, bench->data_bytes);
	say_formatted(command, "--threads=%lu", threads);
	say_formatted(command, "--operation=%s", bench->operation);
	say_formatted(command, "--order=%s", bench->order);
	say_formatted(command, "--warm=%" PRIu64 "ns", bench->warm_ns);
	say_formatted(command, "--time=%" PRIu64 "ns", bench->run_ns);
	command->words[command->count] = NULL;
}

struct child {
	pid_t pid;
	int to, from; /* its standard input and output */
	const struct kona_bench_swap *swap;
};

static KONA_NORETURN void become(const struct command *command, const int to[2], const int from[2],
				 const struct kona_bench_swap *swap)
{
	signal(SIGPIPE, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(to[0], STDIN_FILENO);
	dup2(from[1], STDOUT_FILENO);
	if (swap && kona_bench_swap_join(swap))
		_exit(127);
	execv(command->words[0], (char **)(uintptr_t)command->words);
	_exit(127);
}

static int start(const struct command *command, const struct kona_bench_swap *swap,
		 struct child *ret_child)
{
	int to[2], from[2];
	pid_t pid;

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid)
		become(command, to, from, swap);
	close(to[0]);
	close(from[1]);
	*ret_child = (struct child){pid, to[1], from[0], swap};
	return pid < 0 ? -errno : 0;
}

/* -EINTR: a signal asked us to end; -EPIPE: the program ended. */
static int read_line(const struct child *child, char line[LINE_BYTES])
{
	struct pollfd wait = {child->from, POLLIN, 0};
	size_t length = 0;

	while (!kona_bench_interrupted()) {
		ssize_t got;

		if (child->swap)
			kona_bench_swap_nudge(child->swap);
		if (poll(&wait, 1, child->swap ? POLL_MS : PATIENT_POLL_MS) <= 0)
			continue;
		got = read(child->from, line + length, 1);
		if (got <= 0 || length == LINE_BYTES - 1)
			return -EPIPE;
		if (line[length] == '\n') {
			line[length] = '\0';
			return 0;
		}
		length++;
	}
	return -EINTR;
}

static int proceed(const struct child *child)
{
	return write(child->to, "\n", 1) == 1 ? 0 : -EPIPE;
}

static int end(const struct child *child, bool whole)
{
	int status = 0;

	close(child->to);
	close(child->from);
	if (!whole)
		kill(child->pid, SIGTERM);
	for (;;) {
		pid_t pid = waitpid(child->pid, &status, child->swap ? WNOHANG : 0);

		if (pid == child->pid)
			return status;
		if (child->swap) {
			kona_bench_swap_nudge(child->swap);
			usleep(1000);
		}
	}
}

static int parse(const char *line, struct kona_bench_result *ret_result)
{
	double accesses, elapsed_ns, faults, misses, fetched, evicted, written, lines, calls, left;
	/* As reals: the sum of what was read takes all of 64 bits, which JSON's integers do not. */
	json_t *root = json_loads(line, JSON_DECODE_INT_AS_REAL, NULL);
	int rc = json_unpack(root, "{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "accesses",
			     &accesses, "elapsed_ns", &elapsed_ns, "faults", &faults, "misses",
			     &misses, "fetched_pages", &fetched, "evicted_pages", &evicted,
			     "written_back_bytes", &written, "dirty_lines", &lines, "system_calls",
			     &calls);

	json_decref(root);
	if (rc || accesses < 1)
		return -EPROTO;
	left = evicted > 0 ? evicted : 1;
	*ret_result = (struct kona_bench_result){
		.accesses = accesses,
		.ns = elapsed_ns / accesses,
		.faults = faults / accesses,
		.misses = misses / accesses,
		.system_calls = calls / accesses,
		.fetched_bytes = fetched * KONA_PAGE_BYTES / accesses,
		.written_bytes = written / accesses,
		.dirty_bytes_per_page = lines * KONA_LINE_BYTES / left,
		.written_bytes_per_page = written / left,
	};
	return 0;
}

static int talk(const struct child *child, struct kona_bench_result *ret_result)
{
	uint64_t in_pages, out_pages, in_after, out_after;
	char line[LINE_BYTES];
	int rc = read_line(child, line); /* "ready" */

	kona_bench_swap_count(&in_pages, &out_pages);
	if (!rc)
		rc = proceed(child);
	if (!rc)
		rc = read_line(child, line);
	kona_bench_swap_count(&in_after, &out_after);
	if (!rc)
		rc = parse(line, ret_result);
	if (!rc)
		rc = proceed(child);
	if (rc || !child->swap)
		return rc;
	ret_result->fetched_bytes =
		(double)(in_after - in_pages) * KONA_PAGE_BYTES / ret_result->accesses;
	ret_result->written_bytes =
		(double)(out_after - out_pages) * KONA_PAGE_BYTES / ret_result->accesses;
	ret_result->written_bytes_per_page = KONA_PAGE_BYTES;
	return 0;
}

int kona_bench_run(struct kona_bench *bench, enum kona_bench_case which, unsigned long threads,
		   struct kona_bench_result *ret_result)
{
	struct command command;
	struct child child;
	int rc, status;

	make_command(bench, which, threads, &command);
	rc = start(&command, which == KONA_BENCH_SWAP ? &bench->swap : NULL, &child);
	if (rc) {
		kona_error("no process: %s", strerror(-rc));
		return 1;
	}
	rc = talk(&child, ret_result);
	status = end(&child, !rc);
	if (kona_bench_interrupted())
		return 128 + kona_bench_interrupted();
	if (!rc && !status)
		return 0;
	kona_error("%s did not run to its end: %s", kona_bench_names[which],
		   rc ? strerror(-rc) : "it failed");
	return 1;
}
