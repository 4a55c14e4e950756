/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program's life: start, signals, end.
 *
 * Signals stay blocked in kona run and are read from a signalfd. Those that a process sent to us
 * are passed on. Those that the kernel sent because of the terminal have reached the program, too,
 * which is in the same foreground group. When the program is stopped by job control, we stop, so
 * that the shell sees it.
 *
 * The program gets SIGKILL when kona run dies: nobody would be left to pass on signals, and its
 * private memory ends as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/log.h"
#include "cli/run.h"
#include "transport/ofi.h"

/* What was there before kona run, for the program. */
struct inherited {
	sigset_t mask;
	struct sigaction pipe, child;
};

/* All that can be passed on: not those that a fault raises, nor those that nobody can take. */
static void fill_forwarded(sigset_t *set)
{
	static const int not_passed[] = {SIGKILL, SIGSTOP, SIGCHLD, SIGSEGV, SIGBUS, SIGFPE,
					 SIGILL,  SIGTRAP, SIGSYS,  SIGABRT, SIGPIPE};

	sigfillset(set);
	for (size_t i = 0; i < KONA_ARRAY_LEN(not_passed); i++)
		sigdelset(set, not_passed[i]);
}

static int take_signals(struct inherited *inherited, int *ret_fd)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, usual = {.sa_handler = SIG_DFL};
	sigset_t set;
	int fd;

	fill_forwarded(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &inherited->mask);
	sigaction(SIGPIPE, &ignore, &inherited->pipe);
	sigaction(SIGCHLD, &usual, &inherited->child);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int put(const char *name, const char *value)
{
	return setenv(name, value, 1) ? -errno : 0;
}

static int put_number(const char *name, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return put(name, text);
}

static int put_fabric(const char *value)
{
	int rc;

	if (!value)
		return -unsetenv("KONA_FABRIC");
	rc = kona_ofi_set_limits();
	return rc ? rc : put("KONA_FABRIC", value);
}

static int set_environment(const struct kona_launch *launch, int stats_fd)
{
	const char *before = getenv("LD_PRELOAD");
	char *preload;
	int rc;

	if (asprintf(&preload, "%s%s%s", launch->library, before && before[0] ? ":" : "",
		     before ? before : "") < 0)
		return -ENOMEM;
	rc = put("LD_PRELOAD", preload);
	free(preload);
	if (!rc)
		rc = put("KONA_SOCKET", launch->socket);
	if (!rc)
		rc = put_number("KONA_LOCAL", launch->local_bytes);
	if (!rc)
		rc = put_number("KONA_REMOTE", launch->remote_bytes);
	if (!rc)
		rc = put("KONA_DIRTY", launch->dirty);
	if (!rc)
		rc = launch->net ? put("KONA_NET", launch->net) : -unsetenv("KONA_NET");
	if (!rc)
		rc = put_fabric(launch->fabric);
	if (!rc)
		rc = put_number("KONA_FOLLOW", launch->follow);
	if (!rc)
		rc = put_number("KONA_SEAL", launch->seal);
	if (!rc)
		rc = put_number("KONA_STATS_FD", (uint64_t)stats_fd);
	return rc;
}

/* A high number, out of the way of programs that count on low ones. */
static int pass_stats(int fd)
{
	int passed = fcntl(fd, F_DUPFD, 200);

	return passed >= 0 ? passed : fcntl(fd, F_DUPFD, 3);
}

/* In the child. Writes an errno to the pipe when it cannot become the program. */
static KONA_NORETURN void become_program(const struct kona_launch *launch,
					 const struct inherited *inherited, pid_t parent,
					 int failed_fd)
{
	int error = 0, stats_fd = pass_stats(launch->stats_fd);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* It may have died before that. */
	if (getppid() != parent)
		raise(SIGKILL);
	if (stats_fd < 0)
		error = errno;
	else
		error = -set_environment(launch, stats_fd);
	sigaction(SIGPIPE, &inherited->pipe, NULL);
	sigaction(SIGCHLD, &inherited->child, NULL);
	sigprocmask(SIG_SETMASK, &inherited->mask, NULL);
	if (!error) {
		/* Of a path, execvp differs from execve in running a file without "#!". */
		execvp(launch->target->path, launch->target->argv);
		error = errno;
	}
	if (write(failed_fd, &error, sizeof(error)) < 0) {
		/* The exit status tells it as well. */
	}
	_exit(KONA_EXIT_CANNOT_RUN);
}

static int start_program(const struct kona_launch *launch, const struct inherited *inherited,
			 pid_t *ret_pid)
{
	pid_t parent = getpid(), pid;
	int failed[2], error = 0;
	ssize_t got;

	if (pipe2(failed, O_CLOEXEC)) {
		kona_error("pipe: %s", strerror(errno));
		return KONA_EXIT_OURS;
	}
	pid = fork();
	if (!pid)
		become_program(launch, inherited, parent, failed[1]);
	close(failed[1]);
	if (pid < 0) {
		kona_error("fork: %s", strerror(errno));
		close(failed[0]);
		return KONA_EXIT_OURS;
	}
	do
		got = read(failed[0], &error, sizeof(error));
	while (got < 0 && errno == EINTR);
	close(failed[0]);
	if (got == (ssize_t)sizeof(error)) {
		waitpid(pid, NULL, 0);
		kona_error("%s: %s", launch->target->path, strerror(error));
		return error == ENOENT ? KONA_EXIT_NOT_FOUND : KONA_EXIT_CANNOT_RUN;
	}
	*ret_pid = pid;
	return 0;
}

/* The program has changed its state. Returns true at its end. */
static bool reap_program(pid_t pid, int *ret_status)
{
	int status;

	while (waitpid(pid, &status, WNOHANG | WUNTRACED) == pid) {
		if (!WIFSTOPPED(status)) {
			*ret_status = status;
			return true;
		}
		/* A plain SIGSTOP is between the program and who sent it: see its SIGCONT pass. */
		if (WSTOPSIG(status) == SIGSTOP)
			continue;
		raise(SIGSTOP);
		kill(pid, SIGCONT);
	}
	return false;
}

static void pass_on(pid_t pid, const struct signalfd_siginfo *info)
{
	if (info->ssi_code == SI_KERNEL)
		return;
	kill(pid, (int)info->ssi_signo);
}

static void wait_for_end(int signals, pid_t pid, struct kona_run_rack *rack, int *ret_status)
{
	struct pollfd polled = {.fd = signals, .events = POLLIN};
	struct signalfd_siginfo info;

	for (;;) {
		poll(&polled, 1, -1);
		while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
			if (info.ssi_signo != SIGCHLD) {
				pass_on(pid, &info);
				continue;
			}
			kona_run_rack_reap(rack);
			if (reap_program(pid, ret_status))
				return;
		}
	}
}

int kona_launch(const struct kona_launch *launch, struct kona_run_rack *rack, int *ret_wait_status)
{
	struct inherited inherited;
	int signals = -1, status;
	pid_t pid;
	int rc = take_signals(&inherited, &signals);

	if (rc) {
		kona_error("signalfd: %s", strerror(-rc));
		return KONA_EXIT_OURS;
	}
	status = start_program(launch, &inherited, &pid);
	if (!status)
		wait_for_end(signals, pid, rack, ret_wait_status);
	close(signals);
	return status;
}

void kona_launch_end_like(int wait_status)
{
	static const struct rlimit no_core = {0, 0};
	int signal_number;
	sigset_t set;

	if (WIFEXITED(wait_status))
		exit(WEXITSTATUS(wait_status));
	signal_number = WTERMSIG(wait_status);
	/* The program's core is the one that matters. */
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0);
	signal(signal_number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, signal_number);
	raise(signal_number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	exit(128 + signal_number);
}
