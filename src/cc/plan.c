/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads clang's plan. Every command is a line that begins with a space and a quoted word; inside
 * quotes, a backslash protects the next character. All other lines are headings or diagnostics.
 * No state, no locks; what can fail is running clang.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "cc/plan.h"

extern char **environ;

static void *must(void *pointer)
{
	if (!pointer)
		err(1, "kona-cc");
	return pointer;
}

void kona_cc_args_add(struct kona_cc_args *args, const char *word)
{
	if (args->count + 2 > args->room) {
		args->room = args->room ? 2 * args->room : 64;
		args->v = must(realloc(args->v, args->room * sizeof(*args->v)));
	}
	args->v[args->count++] = must(strdup(word));
	args->v[args->count] = NULL;
}

int kona_cc_args_find(const struct kona_cc_args *args, const char *word)
{
	for (size_t i = 0; i < args->count; i++)
		if (!strcmp(args->v[i], word))
			return (int)i;
	return -1;
}

void kona_cc_args_free(struct kona_cc_args *args)
{
	for (size_t i = 0; i < args->count; i++)
		free(args->v[i]);
	free(args->v);
	*args = (struct kona_cc_args){0};
}

void kona_cc_plan_free(struct kona_cc_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		kona_cc_args_free(&plan->jobs[i].args);
	free(plan->jobs);
	free(plan->said);
}

/* Splits one command; the words are unquoted in place. */
static void read_job(char *line, struct kona_cc_plan *plan)
{
	struct kona_cc_job job = {0};
	char *in = line;

	while ((in = strchr(in, '"'))) {
		char *word = ++in, *out = word;

		for (; *in && *in != '"'; in++) {
			if (*in == '\\' && in[1])
				in++;
			*out++ = *in;
		}
		if (*in)
			in++;
		*out = 0;
		kona_cc_args_add(&job.args, word);
	}
	plan->jobs = must(realloc(plan->jobs, (plan->count + 1) * sizeof(job)));
	plan->jobs[plan->count++] = job;
}

static int is_heading(const char *line)
{
	static const char *const known[] = {
		"Debian clang version", "clang version",  "Target: ",
		"Thread model: ",	"InstalledDir: ", " (in-process)",
		"Found candidate GCC",	"Selected GCC",	  "Candidate multilib:",
		"Selected multilib:"};

	for (size_t i = 0; i < KONA_ARRAY_LEN(known); i++)
		if (!strncmp(line, known[i], strlen(known[i])))
			return 1;
	return 0;
}

static void read_plan(FILE *from, struct kona_cc_plan *plan)
{
	size_t room = 0, said_bytes = 0;
	FILE *said = must(open_memstream(&plan->said, &said_bytes));
	KONA_FREE char *line = NULL;

	while (getline(&line, &room, from) > 0) {
		if (!strncmp(line, " \"", 2))
			read_job(line, plan);
		else if (!is_heading(line))
			fputs(line, said);
	}
	if (fclose(said))
		err(1, "kona-cc");
}

int kona_cc_plan_make(const struct kona_cc_args *args, struct kona_cc_plan *ret_plan)
{
	struct kona_cc_plan plan = {0};
	struct kona_cc_args ask = {0};
	posix_spawn_file_actions_t actions;
	int pipe_fds[2], status;
	FILE *answer;
	pid_t child;

	kona_cc_args_add(&ask, args->v[0]);
	kona_cc_args_add(&ask, "-###");
	for (size_t i = 1; i < args->count; i++)
		kona_cc_args_add(&ask, args->v[i]);
	if (pipe2(pipe_fds, O_CLOEXEC))
		err(1, "kona-cc: pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], 2);
	status = posix_spawnp(&child, ask.v[0], &actions, NULL, ask.v, environ);
	posix_spawn_file_actions_destroy(&actions);
	kona_cc_args_free(&ask);
	close(pipe_fds[1]);
	if (status) {
		close(pipe_fds[0]);
		return -status;
	}
	answer = must(fdopen(pipe_fds[0], "r"));
	read_plan(answer, &plan);
	fclose(answer);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (status) { /* clang finds fault: it shall say so itself */
		for (size_t i = 0; i < plan.count; i++)
			kona_cc_args_free(&plan.jobs[i].args);
		plan.count = 0;
	}
	*ret_plan = plan;
	return 0;
}
