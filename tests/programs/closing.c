/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program that closes all descriptors that it did not open, by a system call of its own, and then
 * reads its memory. It ends with 0 when it saw what it wrote, with 99 when it saw anything else.
 * One argument: `all`: at once. `child`: a forked child does it. `waits`: when it
 * is given a byte; then it says "closed" and sleeps.
 */
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checks.h"

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "all";
	size_t size = strcmp(how, "waits") ? 48 * MIB : MIB;
	char *memory = map_anonymous(size);
	char byte;
	int status;

	fill_pages(memory, size, 1);
	if (!strcmp(how, "child")) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid) {
			fill_pages(memory, size, 2);
			CHECK(waitpid(pid, &status, 0) == pid);
			CHECK(!wrong_pages(memory, size, 2));
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
	}
	if (!strcmp(how, "waits"))
		CHECK(write(STDOUT_FILENO, "full\n", 5) == 5 && read(STDIN_FILENO, &byte, 1) == 1);
	CHECK(!syscall(SYS_close_range, 3, ~0U, 0));
	if (!strcmp(how, "waits")) {
		CHECK(write(STDOUT_FILENO, "closed\n", 7) == 7);
		for (;;)
			pause();
	}
	for (int turn = 0; turn < 2; turn++)
		CHECK(!wrong_pages(memory, size, 1));
	return 0;
}
