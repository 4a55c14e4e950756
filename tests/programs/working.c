/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program to be disturbed. It keeps its memory and checks it: what it reads is what it wrote, or
 * it ends with 99; without memory it ends with 3. Its first argument is how many MiB; then
 *   holds   says "full" and sleeps; at every byte from standard input it checks all and says
 * "right" works   says "full"; writes and checks pages at random for ever; says "right" every
 * 20,000 grows   says "full"; maps, fills and checks 4 MiB more for ever
 *   starves leaves no descriptor and no address space to itself; maps, fills and checks 64 MiB
 * more, or says "refused"; has a child check its memory, and says how that ended
 */
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "checks.h"

static void hold(const char *memory, size_t size)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) == 1) {
		CHECK(!wrong_pages(memory, size, 1));
		printf("right\n");
	}
}

static void work(char *memory, size_t size)
{
	uint32_t *turn = calloc(size / PAGE, sizeof(*turn));
	uint64_t *page;

	CHECK(turn);
	for (uint64_t i = 0;; i++) {
		uint64_t at = word_at(2, i) % (size / PAGE);

		page = (uint64_t *)(void *)(memory + at * PAGE);
		if (turn[at])
			CHECK(page[8] == word_at(at, turn[at]));
		page[8] = word_at(at, ++turn[at]);
		if (i % 20000 == 19999)
			printf("right\n");
	}
}

static void grow(size_t size)
{
	for (;;) {
		char *more = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				  -1, 0);

		if (more == MAP_FAILED) {
			fprintf(stderr, "working: %m\n");
			exit(3);
		}
		fill_pages(more, size, 3);
		CHECK(!wrong_pages(more, size, 3));
		printf("right\n");
	}
}

static void starve(const char *memory, size_t size)
{
	struct rlimit limit = {0, 0};
	int status;
	char *more;
	pid_t pid;

	while (dup(STDIN_FILENO) >= 0)
		;
	CHECK(!setrlimit(RLIMIT_AS, &limit));
	more = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (more == MAP_FAILED) {
		printf("refused\n");
	} else {
		fill_pages(more, 64 * MIB, 4);
		CHECK(!wrong_pages(more, 64 * MIB, 4));
	}
	CHECK(!wrong_pages(memory, size, 1));
	pid = fork();
	if (!pid)
		_exit(wrong_pages(memory, size, 1) ? 99 : 0);
	if (pid < 0) {
		printf("no child: %m\n");
	} else {
		CHECK(waitpid(pid, &status, 0) == pid);
		printf("child: %d\n",
		       WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status));
	}
	CHECK(!wrong_pages(memory, size, 1));
	printf("right\n");
}

int main(int argc, char **argv)
{
	size_t size = (argc > 1 ? strtoul(argv[1], NULL, 10) : 32) * MIB;
	const char *how = argc > 2 ? argv[2] : "holds";
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (memory == MAP_FAILED) {
		fprintf(stderr, "working: %m\n");
		return 3;
	}
	fill_pages(memory, size, 1);
	printf("full\n");
	if (!strcmp(how, "works"))
		work(memory, size);
	else if (!strcmp(how, "grows"))
		grow(4 * MIB);
	else if (!strcmp(how, "starves"))
		starve(memory, size);
	else
		hold(memory, size);
	return 0;
}
