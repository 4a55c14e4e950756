/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes and reads random lines of its heap until it gets SIGTERM, and checks every value against
 * what it remembers in memory that stays local. Says "ready" when all was written once, when an
 * access took more than a second, and at the end how many values it checked, and the longest time
 * that one access took.
 *
 * usage: verifying MIB [fork]     fork: now and then a child checks all of it, as it was at the
 * fork
 *
 * Exit status: 0; 1: a wrong value, of which a line tells.
 */
#include <err.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINE_WORDS = 8, LINES_PER_MIB = (1 << 20) / 64, FORK_EVERY = 400000 };

static volatile sig_atomic_t stopped;
static uint64_t (*lines)[LINE_WORDS]; /* far */
static uint32_t *versions;	      /* local: a shared mapping */
static uint64_t count, state = 0x9e3779b97f4a7c15;

static void stop(int signal)
{
	stopped = 1;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void tell_if_long(uint64_t took_ns)
{
	if (took_ns < 1000000000)
		return;
	printf("%.1f an access took %llu ms\n", (double)now_ns() / 1e9,
	       (unsigned long long)(took_ns / 1000000));
	fflush(stdout);
}

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Two words of a line tell its number and version; the others follow from them. */
static void write_line(uint64_t i)
{
	versions[i]++;
	for (int word = 0; word < LINE_WORDS; word++)
		lines[i][word] = (i << 32 | versions[i]) * (2 * (uint64_t)word + 1);
}

static void check_line(uint64_t i)
{
	for (int word = 0; word < LINE_WORDS; word++) {
		uint64_t wanted = (i << 32 | versions[i]) * (2 * (uint64_t)word + 1);

		if (lines[i][word] == wanted)
			continue;
		printf("wrong: line %llu, word %d: %llx, not %llx (version %u)\n",
		       (unsigned long long)i, word, (unsigned long long)lines[i][word],
		       (unsigned long long)wanted, versions[i]);
		fflush(stdout);
		_exit(1);
	}
}

/* The versions are shared with the parent, which goes on: the child needs its own. */
static void check_in_child(void)
{
	size_t bytes = count * sizeof(*versions);
	uint32_t *own =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t child;

	if (own == MAP_FAILED)
		err(2, "mmap");
	memcpy(own, versions, bytes);
	child = fork();
	if (child < 0)
		err(2, "fork");
	if (!child) {
		versions = own;
		for (uint64_t i = 0; i < count; i++)
			check_line(i);
		_exit(0);
	}
	for (int i = 0; i < FORK_EVERY / 4; i++)
		write_line(draw() % count);
	if (waitpid(child, &status, 0) != child || status) {
		printf("wrong: the child ended with status %x\n", status);
		exit(1);
	}
	munmap(own, bytes);
}

int main(int argc, char **argv)
{
	bool forks = argc > 2 && !strcmp(argv[2], "fork");
	uint64_t longest_ns = 0, checked = 0;

	if (argc < 2)
		errx(2, "usage: verifying MIB [fork]");
	signal(SIGTERM, stop);
	count = strtoull(argv[1], NULL, 10) * LINES_PER_MIB;
	lines = malloc(count * sizeof(*lines));
	versions = mmap(NULL, count * sizeof(*versions), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!lines || versions == MAP_FAILED)
		errx(2, "no memory");
	for (uint64_t i = 0; i < count; i++)
		write_line(i);
	puts("ready");
	fflush(stdout);
	for (; !stopped; checked++) {
		uint64_t i = draw() % count, start_ns = now_ns(), took_ns;

		check_line(i);
		if (draw() % 2)
			write_line(i);
		took_ns = now_ns() - start_ns;
		tell_if_long(took_ns);
		if (took_ns > longest_ns)
			longest_ns = took_ns;
		if (forks && checked % FORK_EVERY == FORK_EVERY / 2)
			check_in_child();
	}
	for (uint64_t i = 0; i < count; i++)
		check_line(i);
	printf("checked %llu values, the longest access took %llu ms\n",
	       (unsigned long long)(checked + count), (unsigned long long)(longest_ns / 1000000));
	return 0;
}
