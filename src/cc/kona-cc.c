/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona-cc, kona-c++: clang, whose output reaches VFMem through guards. man/kona-cc.1.
 *
 * clang plans the work (cc/plan.h), and its commands are run as they are, but for those that
 * compile: each becomes three. The front end writes bitcode, optimised but (for guards) neither
 * vectorised nor unrolled; kona-opt puts the guards in; clang's own code generation, with the whole
 * optimiser before it, makes the object. Temporary files lie in a folder of our own, which goes at
 * the end.
 *
 * Owns no shared state. Fails as the command fails that it runs, with its exit status.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "cc/plan.h"

extern char **environ;

/* Where our parts are: all beside kona-cc in a build, in their places once installed. */
struct parts {
	char opt[PATH_MAX];
	char guards[PATH_MAX];
	char libraries[PATH_MAX];
};

static char temporary[PATH_MAX]; /* our folder; "" while there is none */
static const char *callers_tmpdir;
static int simulates; /* --sim: accesses call the simulator, instead of guards */
static volatile sig_atomic_t child_running; /* its process id, or 0 */

/* A terminal's signals reach the command by themselves; its end is ours, after tidying up. */
static void on_signal(int number)
{
	if (number == SIGTERM && child_running)
		kill(child_running, number);
}

static void remove_temporary(void)
{
	char path[PATH_MAX + 256];
	struct dirent *entry;
	DIR *dir;

	if (!*temporary || !(dir = opendir(temporary)))
		return;
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", temporary, entry->d_name);
		unlink(path);
	}
	closedir(dir);
	rmdir(temporary);
	*temporary = 0;
}

static void make_temporary(void)
{
	const char *parent = callers_tmpdir = getenv("TMPDIR");

	if (!parent || !*parent || strlen(parent) > PATH_MAX - 64)
		parent = "/tmp";
	snprintf(temporary, sizeof(temporary), "%s/kona-cc-XXXXXX", parent);
	if (!mkdtemp(temporary)) {
		*temporary = 0;
		err(1, "kona-cc: %s", parent);
	}
	atexit(remove_temporary);
	/* clang's own temporary files go with ours. */
	if (setenv("TMPDIR", temporary, 1))
		err(1, "kona-cc");
}

static void find_parts(struct parts *parts)
{
	const char *guards = simulates ? "kona-sim-guards.ll" : "kona-guards.ll";
	char self[PATH_MAX - 32];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length < 0)
		err(1, "kona-cc: /proc/self/exe");
	self[length] = 0;
	*strrchr(self, '/') = 0;
	snprintf(parts->opt, sizeof(parts->opt), "%s/kona-opt", self);
	snprintf(parts->guards, sizeof(parts->guards), "%s/%s", self, guards);
	snprintf(parts->libraries, sizeof(parts->libraries), "%s", self);
	if (!access(parts->opt, X_OK))
		return;
	snprintf(parts->opt, sizeof(parts->opt), "%s/kona-opt", KONA_LIBEXECDIR);
	snprintf(parts->guards, sizeof(parts->guards), "%s/%s", KONA_LIBEXECDIR, guards);
	snprintf(parts->libraries, sizeof(parts->libraries), "%s", KONA_LIBDIR);
	if (access(parts->opt, X_OK))
		err(1, "kona-cc: kona-opt is neither beside kona-cc nor in %s", KONA_LIBEXECDIR);
}

/* Runs a command. Returns its exit status, 128 + the signal that ended it. */
static int run(char **argv)
{
	int status;
	pid_t child;

	status = posix_spawnp(&child, argv[0], NULL, NULL, argv, environ);
	if (status)
		errx(1, "%s: %s", argv[0], strerror(status));
	child_running = child;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			err(1, "kona-cc: wait");
	child_running = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const char *value_of(const struct kona_cc_args *args, const char *option)
{
	int i = kona_cc_args_find(args, option);

	return i >= 0 && (size_t)i + 1 < args->count ? args->v[i + 1] : NULL;
}

/* A command that turns C, C++ or bitcode into code: not -E, -M, a precompiled header, assembly. */
static int compiles(const struct kona_cc_args *args)
{
	const char *language = value_of(args, "-x");

	if (kona_cc_args_find(args, "-cc1") != 1 || !language || !value_of(args, "-o"))
		return 0;
	return kona_cc_args_find(args, "-emit-obj") > 0 || kona_cc_args_find(args, "-S") > 0;
}

/* Options of the front end that would have an effect for a second time on bitcode. */
static int only_in_front(const char *word)
{
	static const char *const prefixes[] = {
		"-fsanitize",	      "-fprofile",   "-ftest-coverage",	     "-coverage-",
		"-fcoverage-mapping", "-opt-record", "-serialize-diagnostic"};

	for (size_t i = 0; i < KONA_ARRAY_LEN(prefixes); i++)
		if (!strncmp(word, prefixes[i], strlen(prefixes[i])))
			return 1;
	return !strcmp(word, "-MP") || !strcmp(word, "-sys-header-deps");
}

static int only_in_front_with_value(const char *word)
{
	static const char *const words[] = {"-dependency-file",
					    "-MT",
					    "-MQ",
					    "-include",
					    "-include-pch",
					    "-imacros",
					    "-header-include-file",
					    "-opt-record-file"};

	for (size_t i = 0; i < KONA_ARRAY_LEN(words); i++)
		if (!strcmp(word, words[i]))
			return 1;
	return 0;
}

/* From source to bitcode. What unrolls and vectorises would hide the loops that kona-opt guards;
 * but a simulated program is to make the accesses that it makes by itself. */
static struct kona_cc_args front(const struct kona_cc_args *job, const char *bitcode)
{
	static const char *const add[] = {"-mllvm", "-unroll-runtime=0", "-mllvm",
					  "-unroll-allow-partial=0"};
	struct kona_cc_args args = {0};

	kona_cc_args_add(&args, job->v[0]);
	kona_cc_args_add(&args, job->v[1]);
	for (size_t i = 0; !simulates && i < KONA_ARRAY_LEN(add); i++)
		kona_cc_args_add(&args, add[i]);
	for (size_t i = 2; i < job->count; i++) {
		const char *word = job->v[i];

		if (!simulates &&
		    (!strcmp(word, "-vectorize-loops") || !strcmp(word, "-vectorize-slp") ||
		     !strcmp(word, "-funroll-loops")))
			continue;
		if (!strcmp(word, "-emit-obj") || !strcmp(word, "-S"))
			word = "-emit-llvm-bc";
		kona_cc_args_add(&args, word);
		if (!strcmp(word, "-o")) {
			kona_cc_args_add(&args, bitcode);
			i++;
		}
	}
	return args;
}

/* From bitcode to what the job asks for. */
static struct kona_cc_args back(const struct kona_cc_args *job, const char *bitcode)
{
	struct kona_cc_args args = {0};

	for (size_t i = 0; i + 1 < job->count; i++) {
		const char *word = job->v[i];

		if (only_in_front(word))
			continue;
		if (only_in_front_with_value(word)) {
			i++;
			continue;
		}
		kona_cc_args_add(&args, word);
		if (!strcmp(word, "-x")) {
			kona_cc_args_add(&args, "ir");
			i++;
		}
	}
	kona_cc_args_add(&args, bitcode);
	return args;
}

static int compile(const struct kona_cc_args *job, const struct parts *parts, size_t number)
{
	char plain[PATH_MAX + 64], guarded[PATH_MAX + 64];
	char *opt[] = {
		(char *)parts->opt, (char *)"--sim", (char *)parts->guards, plain, guarded, NULL};
	char **words = opt;
	struct kona_cc_args command;
	int status = 0;

	snprintf(plain, sizeof(plain), "%s/%zu.bc", temporary, number);
	snprintf(guarded, sizeof(guarded), "%s/%zu-guarded.bc", temporary, number);
	if (strcmp(value_of(job, "-x"), "ir")) {
		command = front(job, plain);
		status = run(command.v);
		kona_cc_args_free(&command);
	} else {
		opt[3] = job->v[job->count - 1];
	}
	if (!simulates) {
		opt[1] = opt[0];
		words++;
	}
	if (!status)
		status = run(words);
	if (status)
		return status;
	command = back(job, guarded);
	status = run(command.v);
	kona_cc_args_free(&command);
	return status;
}

/* The caller's arguments, and ours. clang uses of them what the work needs. */
static struct kona_cc_args whole_command(int argc, char **argv, const struct parts *parts)
{
	size_t name_length = strlen(argv[0]);
	int plus = name_length >= 2 && !strcmp(argv[0] + name_length - 2, "++");
	struct kona_cc_args args = {0};
	char word[PATH_MAX + 32];
	int is_static = 0, relocatable = 0;

	kona_cc_args_add(&args, plus ? KONA_CLANGXX : KONA_CLANG);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--sim"))
			continue;
		kona_cc_args_add(&args, argv[i]);
		is_static |= !strcmp(argv[i], "-static") || !strcmp(argv[i], "-static-pie");
		relocatable |= !strcmp(argv[i], "-r");
	}
	if (simulates && is_static)
		errx(1, "kona-cc: --sim links libkona-sim.so: not with -static");
	kona_cc_args_add(&args, "--start-no-unused-arguments");
	kona_cc_args_add(&args, "-fno-lto");
	if (!relocatable) {
		snprintf(word, sizeof(word), "-L%s", parts->libraries);
		kona_cc_args_add(&args, word);
		if (!simulates)
			kona_cc_args_add(&args, "-lkona-cc");
		kona_cc_args_add(&args, simulates   ? "-lkona-sim"
					: is_static ? "-lkona-cc-static"
						    : "-lkona");
		snprintf(word, sizeof(word), "-Wl,-rpath,%s", parts->libraries);
		if (!is_static)
			kona_cc_args_add(&args, word);
	}
	kona_cc_args_add(&args, "--end-no-unused-arguments");
	return args;
}

/* Nothing looks like an input. Our libraries are inputs: clang would link them alone. */
static int lacks_inputs(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (argv[i][0] != '-' || !argv[i][1] || !strncmp(argv[i], "-l", 2))
			return 0;
	return 1;
}

/* There is nothing to plan: clang answers itself, without our arguments. */
static KONA_NORETURN void become_clang(const struct kona_cc_args *args, char **argv)
{
	remove_temporary();
	if (callers_tmpdir)
		setenv("TMPDIR", callers_tmpdir, 1);
	else
		unsetenv("TMPDIR");
	argv[0] = args->v[0];
	execvp(argv[0], argv);
	err(1, "%s", argv[0]);
}

int main(int argc, char **argv)
{
	struct parts parts;
	struct kona_cc_plan plan;
	struct kona_cc_args args;
	int status = 0;

	for (int i = 1; i < argc; i++)
		simulates |= !strcmp(argv[i], "--sim");
	find_parts(&parts);
	args = whole_command(argc, argv, &parts);
	make_temporary();
	if (lacks_inputs(argc, argv) || kona_cc_args_find(&args, "-###") > 0)
		become_clang(&args, argv);
	signal(SIGINT, on_signal);
	signal(SIGHUP, on_signal);
	signal(SIGTERM, on_signal);
	status = kona_cc_plan_make(&args, &plan);
	if (status)
		errx(1, "%s: %s", args.v[0], strerror(-status));
	if (!plan.count)
		become_clang(&args, argv);
	fputs(plan.said, stderr);
	for (size_t i = 0; i < plan.count && !status; i++) {
		const struct kona_cc_args *job = &plan.jobs[i].args;

		status = compiles(job) ? compile(job, &parts, i) : run(job->v);
	}
	kona_cc_plan_free(&plan);
	kona_cc_args_free(&args);
	return status;
}
