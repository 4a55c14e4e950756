/* SPDX-License-Identifier: BSD-2-Clause */
/* Children of the programs that fork, with and without guards. */
#ifndef KONA_TESTS_CHILDREN_H
#define KONA_TESTS_CHILDREN_H

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checks.h"

static pid_t fork_checked(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	return pid;
}

/* 0: ended well. Else 1000 + signal, or its status. */
static int ends(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		CHECK(errno == EINTR);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

#endif
