/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Forked children look at what they inherited, twice, after their parent has overwritten all of it;
 * the last one when the parent is gone. Every child prints the most
 * memory that it had resident, in KiB. One argument: how many rounds of children.
 */
#include <string.h>
#include <sys/wait.h>

#include "checks.h"

static const size_t size = 128 * MIB;

static long peak_kib(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[128];
	long kib = 0;

	CHECK(status);
	while (fgets(line, sizeof(line), status))
		if (!strncmp(line, "VmHWM:", 6))
			kib = strtol(line + 6, NULL, 10);
	fclose(status);
	return kib;
}

static void look(const char *memory, uint64_t seed, int turned)
{
	char byte;

	CHECK(read(turned, &byte, 1) == 0);
	for (int turn = 0; turn < 2; turn++)
		CHECK(!wrong_pages(memory, size, seed));
	printf("child %d: peak %ld KiB\n", (int)seed, peak_kib());
	_exit(0);
}

/* New memory is zeros, whatever the children's inheritance left in the store. */
static void use_more(void)
{
	char *more = map_anonymous(size);

	CHECK(!nonzero_pages(more, size));
	fill_pages(more, size, 99);
	CHECK(!wrong_pages(more, size, 99));
	CHECK(!munmap(more, size));
}

int main(int argc, char **argv)
{
	uint64_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 2;
	char *memory = map_anonymous(size);
	int status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	fill_pages(memory, size, 1);
	for (uint64_t round = 1; round <= rounds; round++) {
		int turn[2];
		pid_t pid;

		CHECK(!pipe(turn));
		pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			close(turn[1]);
			look(memory, round, turn[0]);
		}
		close(turn[0]);
		fill_pages(memory, size, round + 1);
		if (round == rounds)
			return 0; /* the last child sees its parent's end */
		close(turn[1]);
		CHECK(waitpid(pid, &status, 0) == pid && !status);
		CHECK(!wrong_pages(memory, size, round + 1));
		use_more();
	}
	return 0;
}
