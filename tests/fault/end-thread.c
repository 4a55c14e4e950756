/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ends one thread of another process, as a stray exit(2) would: whatever system call it makes next
 * becomes that one. usage: end-thread TID
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	pid_t tid = argc == 2 ? (pid_t)atoi(argv[1]) : 0;
	struct user_regs_struct registers;
	int status;

	if (ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD) ||
	    ptrace(PTRACE_INTERRUPT, tid, 0, 0))
		return fail("seize");
	for (;;) {
		if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status))
			return fail("wait");
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			break;
		if (ptrace(PTRACE_SYSCALL, tid, 0, 0))
			return fail("go on");
	}
	if (ptrace(PTRACE_GETREGS, tid, 0, &registers))
		return fail("registers");
	registers.orig_rax = SYS_exit;
	registers.rdi = 0;
	if (ptrace(PTRACE_SETREGS, tid, 0, &registers) || ptrace(PTRACE_DETACH, tid, 0, 0))
		return fail("let go");
	return 0;
}
