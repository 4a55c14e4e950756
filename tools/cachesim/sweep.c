/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A sweep: from sizes, block sizes and ways to stack tables, and the run of the program under the
 * Valgrind tool, or by itself where kona-cc --sim has built it. One table of S sets answers for S x
 * 1 to S x 16 blocks, so a sweep of many configurations needs few of them.
 */
#include "sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/units.h"
#include "engine/engine.h"

enum { STACK_TEXT_BYTES = 40 };

static volatile sig_atomic_t program_pid;

void kona_sweep_default(struct kona_sweep *sweep)
{
	*sweep = (struct kona_sweep){
		.sizes = {.count = 12},
		.blocks = {6, {64, 256, 1024, 4096, 65536, 2 << 20}},
		.ways = {5, {1, 2, 4, 8, 16}},
	};
	for (size_t i = 0; i < sweep->sizes.count; i++)
		sweep->sizes.value[i] = KONA_MIB << i;
}

int kona_sweep_list_parse(const char *text, struct kona_sweep_list *ret_list)
{
	struct kona_sweep_list list = {0};
	KONA_FREE char *copy = strdup(text);
	char *rest, *word;

	if (!copy)
		return -ENOMEM;
	for (word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		if (list.count == KONA_SWEEP_LIST_MAX)
			return -E2BIG;
		if (kona_size_parse(word, &list.value[list.count]) || !list.value[list.count])
			return -EINVAL;
		list.count++;
	}
	if (!list.count)
		return -EINVAL;
	*ret_list = list;
	return 0;
}

struct stacks {
	size_t count;
	struct kona_sim_stack_config stack[KONA_SIM_STACKS_MAX];
};

static int add_stack(struct stacks *stacks, uint64_t size, uint64_t block, uint64_t ways)
{
	uint64_t sets = size / block / ways;

	if (block < KONA_LINE_BYTES || block > 1u << KONA_SIM_REGION_SHIFT || block & (block - 1) ||
	    ways > KONA_SIM_WAYS)
		return -EINVAL;
	if (!sets)
		return 0;
	if (sets * block * ways != size)
		return 0;
	for (size_t i = 0; i < stacks->count; i++)
		if (stacks->stack[i].sets == sets && stacks->stack[i].block_bytes == block)
			return 0;
	if (stacks->count == KONA_SIM_STACKS_MAX)
		return -E2BIG;
	stacks->stack[stacks->count++] = (struct kona_sim_stack_config){sets, (uint32_t)block};
	return 0;
}

int kona_sweep_stacks(const struct kona_sweep *sweep, char **ret_text)
{
	struct stacks stacks = {0};
	size_t used = 0;
	char *text;
	int err = 0;

	for (size_t b = 0; b < sweep->blocks.count; b++)
		for (size_t s = 0; s < sweep->sizes.count; s++)
			for (size_t w = 0; w < sweep->ways.count && !err; w++)
				err = add_stack(&stacks, sweep->sizes.value[s],
						sweep->blocks.value[b], sweep->ways.value[w]);
	if (!err && !stacks.count)
		err = -EINVAL;
	if (err)
		return err;
	text = calloc(stacks.count + 1, STACK_TEXT_BYTES);
	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < stacks.count; i++)
		used += (size_t)snprintf(text + used, STACK_TEXT_BYTES, "%s%u:%llu", i ? "," : "",
					 stacks.stack[i].block_bytes,
					 (unsigned long long)stacks.stack[i].sets);
	*ret_text = text;
	return 0;
}

/* Beside the executable in the build folder, or under its libexec when installed. */
static int find_tool(char *folder, size_t bytes)
{
	static const char *const places[] = {"tools/cachesim", "../libexec/kona/valgrind"};
	char self[PATH_MAX], tool[PATH_MAX + 64];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length < 0)
		return -errno;
	self[length] = 0;
	*strrchr(self, '/') = 0;
	for (size_t i = 0; i < KONA_ARRAY_LEN(places); i++) {
		if ((size_t)snprintf(folder, bytes, "%s/%s", self, places[i]) >= bytes)
			return -ENAMETOOLONG;
		snprintf(tool, sizeof(tool), "%s/kona_sim-amd64-linux", folder);
		if (!access(tool, X_OK))
			return 0;
	}
	return -ENOENT;
}

static void exec_program(const struct kona_sweep_run *run, const char *folder, char *result)
{
	size_t words = 0, count = 0;
	char **argv;

	while (run->program[words])
		words++;
	argv = calloc(run->argument_count + words + 8, sizeof(*argv));
	if (!argv || setenv("VALGRIND_LIB", folder, 1))
		_exit(127);
	argv[count++] = (char *)"valgrind";
	argv[count++] = (char *)"-q";
	argv[count++] = (char *)"--tool=kona_sim";
	argv[count++] = (char *)(run->follow ? "--trace-children=yes" : "--trace-children=no");
	argv[count++] = result;
	for (size_t i = 0; i < run->argument_count; i++)
		argv[count++] = (char *)run->argument[i];
	argv[count++] = (char *)"--";
	memcpy(argv + count, run->program, words * sizeof(*argv));
	execvp("valgrind", argv);
	fprintf(stderr, "kona: cannot run valgrind: %s (Debian package: valgrind)\n",
		strerror(errno));
	_exit(127);
}

/* The file that execvp(3) would run. */
static int open_program(const char *name)
{
	const char *folders = getenv("PATH");

	if (strchr(name, '/') || !folders)
		return open(name, O_RDONLY | O_CLOEXEC);
	while (*folders) {
		size_t length = strcspn(folders, ":");
		char path[PATH_MAX];

		if ((size_t)snprintf(path, sizeof(path), "%.*s/%s", (int)length, folders, name) <
			    sizeof(path) &&
		    !access(path, X_OK))
			return open(path, O_RDONLY | O_CLOEXEC);
		folders += length;
		folders += *folders == ':';
	}
	return -1;
}

/* Was it built by kona-cc --sim? Then it asks for the library by name. */
static bool is_linked(const char *program)
{
	static const char library[] = "\0libkona-sim.so";
	KONA_CLOSE int fd = open_program(program);
	struct stat st;
	void *file;
	bool found;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || !st.st_size)
		return false;
	file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED)
		return false;
	found = (size_t)st.st_size > 4 && !memcmp(file, "\177ELF", 4) &&
		memmem(file, (size_t)st.st_size, library, sizeof(library) - 1);
	munmap(file, (size_t)st.st_size);
	return found;
}

static bool needs_valgrind(const struct kona_sweep_run *run)
{
	static const char *const names[] = {
		"--attribute=", "--heap=", "--children=", "--fetches=", "--l1i=", "--line="};

	for (size_t i = 0; i < run->argument_count; i++)
		for (size_t j = 0; j < KONA_ARRAY_LEN(names); j++)
			if (!strncmp(run->argument[i], names[j], strlen(names[j])))
				return true;
	return run->follow;
}

/* The arguments by the environment, one to a line: see linked.c. */
static void exec_linked(const struct kona_sweep_run *run, const char *result)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *stream = open_memstream(&text, &bytes);

	if (!stream)
		_exit(127);
	fputs(result, stream);
	for (size_t i = 0; i < run->argument_count; i++)
		fprintf(stream, "\n%s", run->argument[i]);
	if (fclose(stream) || setenv("KONA_SIM", text, 1))
		_exit(127);
	execvp(run->program[0], run->program);
	fprintf(stderr, "kona: cannot run %s: %s\n", run->program[0], strerror(errno));
	_exit(127);
}

static void pass_on(int signal)
{
	kill((pid_t)program_pid, signal);
}

int kona_sweep_run(const struct kona_sweep_run *run, int *ret_status)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct sigaction forward = {.sa_handler = pass_on};
	struct sigaction old_int, old_quit, old_term;
	char folder[PATH_MAX], result[PATH_MAX + 16];
	bool linked = is_linked(run->program[0]);
	int err = linked ? 0 : find_tool(folder, sizeof(folder));
	int status = 0;
	pid_t pid;

	if (linked && needs_valgrind(run))
		err = -EOPNOTSUPP;
	if (err)
		return err;
	snprintf(result, sizeof(result), "--result=%s", run->result);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid && run->aside && dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(127);
	if (!pid && linked)
		exec_linked(run, result);
	if (!pid)
		exec_program(run, folder, result);
	program_pid = pid;
	sigaction(SIGINT, &ignore, &old_int);
	sigaction(SIGQUIT, &ignore, &old_quit);
	sigaction(SIGTERM, &forward, &old_term);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR) {
			err = -errno;
			break;
		}
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGQUIT, &old_quit, NULL);
	sigaction(SIGTERM, &old_term, NULL);
	if (!err)
		*ret_status = status;
	return err;
}
