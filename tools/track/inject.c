/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leading a thread through a system call. It is stopped, its registers are set to those of the call
 * with the instruction pointer on a `syscall` instruction that the process already has (in its
 * vdso), one step is made with all signals blocked, and registers and signal mask are put back, so
 * that an interrupted call of its own restarts as if nothing had been.
 */
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "base/units.h"
#include "kernel.h"
#include "stop.h"

enum {
	USER_CODE_SEGMENT = 0x33, /* of 64-bit programs */
	STEPS = 100,
};

#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif

/* What the helper sends back, with the descriptor beside it. */
struct answer {
	int err;
	uint64_t stopped_ns;
};

/* Finds `syscall` (0f 05) in the vdso. */
static int find_instruction(pid_t pid, uint64_t *ret_address)
{
	KONA_CLOSE int memory = -1;
	char path[64], line[256];
	unsigned char code[4 * KONA_PAGE_BYTES];
	unsigned long start = 0, end = 0;
	ssize_t n;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return -errno;
	while (fgets(line, sizeof(line), maps)) {
		if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			break;
		start = 0;
	}
	fclose(maps);
	if (!start)
		return -EBUSY;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	if (memory < 0)
		return -errno;
	if (end - start > sizeof(code))
		end = start + sizeof(code);
	n = pread(memory, code, end - start, (off_t)start);
	for (ssize_t i = 0; i + 1 < n; i++) {
		if (code[i] == 0x0f && code[i + 1] == 0x05) {
			*ret_address = start + (unsigned long)i;
			return 0;
		}
	}
	return -EBUSY;
}

/* Is the thread within a restartable sequence, which a detour would break? */
static bool in_sequence(pid_t pid, pid_t tid)
{
	struct {
		uint64_t address;
		uint32_t size, signature, flags, pad;
	} config = {0};
	uint64_t critical = 0;
	struct iovec local = {&critical, sizeof(critical)}, remote;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof(config), &config) < 0 ||
	    !config.address)
		return false;
	remote = (struct iovec){(void *)(uintptr_t)(config.address + 8), sizeof(critical)};
	return process_vm_readv(pid, &local, 1, &remote, 1, 0) != sizeof(critical) || critical;
}

/* A thread that waits in a call of its own is best; one outside of any sequence will do. */
static int choose_thread(const struct kona_stop *stop, pid_t *ret_tid)
{
	struct user_regs_struct regs;
	pid_t second = 0;
	int err = -EBUSY;

	for (size_t i = 0; i < stop->count; i++) {
		const struct kona_stopped_thread *t = &stop->v[i];

		if (!t->plain || ptrace(PTRACE_GETREGS, t->tid, NULL, &regs))
			continue;
		if (regs.cs != USER_CODE_SEGMENT) {
			err = -EOPNOTSUPP;
			continue;
		}
		if ((long)regs.orig_rax >= 0) {
			*ret_tid = t->tid;
			return 0;
		}
		if (!second && !in_sequence(stop->pid, t->tid))
			second = t->tid;
	}
	if (!second)
		return err;
	*ret_tid = second;
	return 0;
}

/*
 * One instruction, at `address`. Job control may wake the thread in vain; SIGSTOP, which no mask
 * holds back, is only noted: the caller sends it again.
 */
static int step(pid_t tid, uint64_t address, struct user_regs_struct *regs, bool *stops)
{
	for (int i = 0; i < STEPS; i++) {
		int status;

		if (ptrace(PTRACE_SINGLESTEP, tid, NULL, NULL))
			return -errno;
		if (waitpid(tid, &status, __WALL) < 0)
			return -errno;
		if (!WIFSTOPPED(status))
			return -ESRCH;
		if (ptrace(PTRACE_GETREGS, tid, NULL, regs))
			return -errno;
		if (!(status >> 16) && WSTOPSIG(status) == SIGSTOP)
			*stops = true;
		if (regs->rip != address)
			return 0;
	}
	return -EBUSY;
}

static int call(pid_t tid, uint64_t address, const struct user_regs_struct *saved, long number,
		long argument, long *ret_result, bool *stops)
{
	struct user_regs_struct regs = *saved;
	int err;

	regs.rip = address;
	regs.rax = (unsigned long long)number;
	regs.orig_rax = (unsigned long long)-1;
	regs.rdi = (unsigned long long)argument;
	if (ptrace(PTRACE_SETREGS, tid, NULL, &regs))
		return -errno;
	err = step(tid, address, &regs, stops);
	if (!err)
		*ret_result = (long)regs.rax;
	return err;
}

static int take_descriptor(pid_t pid, int number, int *ret_fd)
{
	KONA_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int fd;

	if (pidfd < 0)
		return -errno;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int lead(pid_t pid, pid_t tid, uint64_t address, int *ret_fd, bool *stops)
{
	struct user_regs_struct saved;
	uint64_t all = ~UINT64_C(0), mask;
	long number = 0, ignored;
	int err;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &saved) ||
	    ptrace(PTRACE_GETSIGMASK, tid, sizeof(mask), &mask) ||
	    ptrace(PTRACE_SETSIGMASK, tid, sizeof(all), &all))
		return -errno;
	err = call(tid, address, &saved, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, &number, stops);
	if (!err && number == -EPERM)
		err = call(tid, address, &saved, SYS_userfaultfd,
			   O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY, &number, stops);
	if (!err && number < 0)
		err = (int)number;
	if (!err) {
		err = take_descriptor(pid, (int)number, ret_fd);
		if (call(tid, address, &saved, SYS_close, number, &ignored, stops))
			err = -EBUSY;
	}
	ptrace(PTRACE_SETREGS, tid, NULL, &saved);
	ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask);
	return err;
}

static int inject(pid_t pid, int *ret_fd, uint64_t *ret_stopped_ns)
{
	const struct kona_stopper stopper = {0};
	struct kona_stop stop = {0};
	uint64_t address = 0;
	bool stops = false;
	pid_t tid = 0;
	int err = find_instruction(pid, &address);

	if (err)
		return err;
	err = kona_stop_all(&stop, pid, &stopper);
	if (err)
		return err;
	err = choose_thread(&stop, &tid);
	if (!err)
		err = lead(pid, tid, address, ret_fd, &stops);
	kona_stop_release(&stop);
	if (stops)
		kill(pid, SIGSTOP);
	*ret_stopped_ns = kona_now_ns() - stop.since_ns;
	kona_stop_free(&stop);
	return err;
}

static KONA_NORETURN void help(int socket, pid_t pid)
{
	char room[CMSG_SPACE(sizeof(int))] = {0};
	struct answer answer = {0};
	struct iovec iov = {&answer, sizeof(answer)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	int fd = -1;

	setsid();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	answer.err = inject(pid, &fd, &answer.stopped_ns);
	if (!answer.err) {
		struct cmsghdr *control;

		message.msg_control = room;
		message.msg_controllen = sizeof(room);
		control = CMSG_FIRSTHDR(&message);
		control->cmsg_level = SOL_SOCKET;
		control->cmsg_type = SCM_RIGHTS;
		control->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(control), &fd, sizeof(fd));
	}
	sendmsg(socket, &message, 0);
	_exit(0);
}

static int receive(int socket, int *ret_fd, uint64_t *ret_stopped_ns)
{
	char room[CMSG_SPACE(sizeof(int))];
	struct answer answer;
	struct iovec iov = {&answer, sizeof(answer)};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = room,
				 .msg_controllen = sizeof(room)};
	struct cmsghdr *control;
	ssize_t n;

	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n != sizeof(answer))
		return -ESRCH;
	if (answer.err)
		return answer.err;
	control = CMSG_FIRSTHDR(&message);
	if (!control || control->cmsg_type != SCM_RIGHTS)
		return -EMFILE;
	memcpy(ret_fd, CMSG_DATA(control), sizeof(*ret_fd));
	*ret_stopped_ns = answer.stopped_ns;
	return 0;
}

int kona_inject_userfaultfd(pid_t pid, int *ret_fd, uint64_t *ret_stopped_ns)
{
	int sockets[2];
	pid_t helper;
	int err;

	if (kona_status_number(pid, "Seccomp:") > 0)
		return -EACCES;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		return -errno;
	helper = fork();
	if (!helper) {
		close(sockets[0]);
		help(sockets[1], pid);
	}
	err = helper < 0 ? -errno : 0;
	close(sockets[1]);
	if (!err) {
		err = receive(sockets[0], ret_fd, ret_stopped_ns);
		waitpid(helper, NULL, 0);
	}
	close(sockets[0]);
	return err;
}
