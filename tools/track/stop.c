/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stop: list the threads, seize all, interrupt all, wait for each; again, until nobody is new (new
 * threads can only come from threads that still run). Seized threads run until they are
 * interrupted, so that a pause with many threads is shorter. A thread that does not stop because it
 * is in an uninterruptible sleep (the parent of a vfork, a page fault on slow storage) does not run
 * either: after a while it counts as stopped, and is let go when it wakes.
 */
#include "stop.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#include "base/units.h"

static const uint64_t GIVE_UP_NS = UINT64_C(5000000000);
static const uint64_t PATIENCE_NS = UINT64_C(500000000);
static const uint64_t ASLEEP_NS = UINT64_C(10000000); /* then an unwakable thread counts */

enum {
	ERESTARTNOHAND = 514, /* the kernel's own: restart, unless a handler runs */
};

void kona_stop_init(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static int add_thread(struct kona_stop *stop, pid_t tid)
{
	if (stop->count == stop->room) {
		size_t more = stop->room ? stop->room * 2 : 64;
		void *bigger = realloc(stop->v, more * sizeof(*stop->v));

		if (!bigger)
			return -ENOMEM;
		stop->v = bigger;
		stop->room = more;
	}
	stop->v[stop->count++] = (struct kona_stopped_thread){.tid = tid};
	return 0;
}

/* Tasks are listed in the order of their birth, almost always: look where the last one was. */
static bool has_thread(const struct kona_stop *stop, pid_t tid, size_t hint)
{
	for (size_t i = 0; i < stop->count; i++)
		if (stop->v[(hint + i) % stop->count].tid == tid)
			return true;
	return false;
}

/* Does this call end with EINTR after a stop, though no handler ran, and wait without limit? */
static bool wants_restart(const struct user_regs_struct *regs)
{
	if ((long)regs->rax != -EINTR)
		return false;
	switch (regs->orig_rax) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		return (int)regs->r10 == -1;
	case SYS_epoll_pwait2:
	case SYS_semtimedop:
		return regs->r10 == 0;
	case SYS_semop:
		return true;
	case SYS_io_getevents:
		return regs->r8 == 0;
	case SYS_rt_sigtimedwait:
		return regs->rdx == 0;
	default:
		return false;
	}
}

static void restart_call(pid_t tid)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) || !wants_restart(&regs))
		return;
	regs.rax = (unsigned long long)-ERESTARTNOHAND;
	ptrace(PTRACE_SETREGS, tid, NULL, &regs);
}

static void let_go(pid_t tid, int status)
{
	bool event = status >> 16;

	ptrace(PTRACE_DETACH, tid, NULL, (void *)(uintptr_t)(event ? 0 : WSTOPSIG(status)));
}

/* Has the thread come to a stop, or to its end? Asked by its id, which the kernel looks up; any
 * child's status it would look for in the list of all. */
static bool settled(struct kona_stopped_thread *t, const struct kona_stopper *stopper)
{
	int status;
	pid_t tid = waitpid(t->tid, &status, __WALL | WNOHANG);

	if (!tid)
		return false;
	if (tid < 0 || !WIFSTOPPED(status)) {
		/* It has ended instead, or has vanished in another thread's exec. */
		t->gone = true;
		if (tid > 0 && stopper->reaped)
			stopper->reaped(stopper->reaped_context, tid, status);
		return true;
	}
	t->stopped = true;
	if (!(status >> 16))
		t->signal = WSTOPSIG(status);
	else if (WSTOPSIG(status) == SIGTRAP)
		t->plain = true;
	if (t->plain)
		restart_call(tid);
	return true;
}

/* Will this thread not stop: gone without a word, or asleep in the kernel? */
static bool hopeless(const struct kona_stop *stop, const struct kona_stopped_thread *t, bool asleep)
{
	char state = kona_thread_state(stop->pid, t->tid);

	return !state || state == 'Z' || state == 'X' || (asleep && state == 'D');
}

/* Waits for the threads from the first-th on, one after the other: meanwhile the others stop. */
static int wait_from(struct kona_stop *stop, size_t first, const struct kona_stopper *stopper)
{
	const struct timespec tick = {0, 1000000};
	uint64_t start = kona_now_ns();
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = first; i < stop->count; i++) {
		struct kona_stopped_thread *t = &stop->v[i];

		while (!t->gone && !settled(t, stopper)) {
			uint64_t waited;

			if (stopper->idle)
				stopper->idle(stopper->idle_context);
			if (sigtimedwait(&set, NULL, &tick) >= 0)
				continue;
			waited = kona_now_ns() - start;
			if (waited > GIVE_UP_NS)
				return -ETIMEDOUT;
			t->gone = hopeless(stop, t, waited > ASLEEP_NS);
		}
	}
	return 0;
}

/* Returns 0: it can be interrupted; -ESRCH: it has ended; -errno. */
static int seize(pid_t pid, pid_t tid)
{
	char state;

	if (!ptrace(PTRACE_SEIZE, tid, NULL, NULL))
		return 0;
	if (errno != EPERM)
		return -errno;
	state = kona_thread_state(pid, tid);
	if (!state || state == 'Z' || state == 'X')
		return -ESRCH;
	/* Ours already: it slept through an earlier stop. */
	return kona_status_number(tid, "TracerPid:") == getpid() ? 0 : -EPERM;
}

/* Seizes the threads that are not in stop yet; they go on running. */
static int seize_new(struct kona_stop *stop)
{
	size_t known = stop->count;

	for (size_t i = 0; i < stop->tasks.count; i++) {
		pid_t tid = stop->tasks.v[i];
		int err;

		if (known && has_thread(stop, tid, i % known))
			continue;
		err = add_thread(stop, tid);
		if (err)
			return err;
		err = seize(stop->pid, tid);
		stop->v[stop->count - 1].gone = err;
		if (err && err != -ESRCH)
			return err;
	}
	return 0;
}

static void interrupt_from(struct kona_stop *stop, size_t first)
{
	if (!stop->since_ns)
		stop->since_ns = kona_now_ns();
	for (size_t i = first; i < stop->count; i++)
		if (!stop->v[i].gone)
			ptrace(PTRACE_INTERRUPT, stop->v[i].tid, NULL, NULL);
}

/* Do all threads that there are stand still? Counting them is cheaper than listing them. */
static bool all_stand(const struct kona_stop *stop)
{
	for (size_t i = 0; i < stop->count; i++)
		if (!stop->v[i].stopped)
			return false;
	return kona_threads_count(stop->pid) == stop->count;
}

static int try_stop(struct kona_stop *stop, pid_t pid, const struct kona_stopper *stopper)
{
	size_t before;
	int err, wait_err;

	stop->pid = pid;
	stop->count = 0;
	stop->since_ns = 0;
	do {
		before = stop->count;
		err = kona_threads_read(pid, &stop->tasks);
		if (err)
			break;
		err = seize_new(stop);
		/* Also after a failure: only a thread that stands can be let go. */
		interrupt_from(stop, before);
		wait_err = wait_from(stop, before, stopper);
		if (!err)
			err = wait_err;
	} while (!err && stop->count > before && !all_stand(stop));
	if (!err) {
		for (size_t i = 0; i < stop->count; i++)
			if (stop->v[i].stopped)
				return 0;
		char state = kona_thread_state(pid, pid);

		err = state == 'D' ? 0 : -ESRCH;
	}
	if (err)
		kona_stop_release(stop);
	return err;
}

int kona_stop_all(struct kona_stop *stop, pid_t pid, const struct kona_stopper *stopper)
{
	const struct timespec nap = {0, 5000000};
	uint64_t start = kona_now_ns();
	int err;

	/* Another tracker like this one holds it for a moment only. */
	while ((err = try_stop(stop, pid, stopper)) == -EPERM &&
	       kona_status_number(pid, "TracerPid:") > 0 && kona_now_ns() - start < PATIENCE_NS)
		nanosleep(&nap, NULL);
	return err;
}

void kona_stop_release(struct kona_stop *stop)
{
	for (size_t i = 0; i < stop->count; i++)
		if (stop->v[i].stopped)
			ptrace(PTRACE_DETACH, stop->v[i].tid, NULL,
			       (void *)(uintptr_t)stop->v[i].signal);
	stop->count = 0;
}

void kona_stop_free(struct kona_stop *stop)
{
	free(stop->v);
	kona_ids_free(&stop->tasks);
	*stop = (struct kona_stop){0};
}

void kona_stop_reap(const struct kona_stopper *stopper)
{
	pid_t tid;
	int status;

	while ((tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
		if (WIFSTOPPED(status))
			let_go(tid, status);
		else if (stopper->reaped)
			stopper->reaped(stopper->reaped_context, tid, status);
	}
}
