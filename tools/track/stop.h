/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stopping all threads of a process for a moment, by ptrace.
 *
 * Nothing stays attached between two stops, so a target that runs is never in our way: signals,
 * thread births, forks, execs and job control do not come by here. A stop seizes and interrupts
 * every thread; letting go detaches, with the signal that a thread was about to receive, if any. A
 * tracker that dies is detached by the kernel. A thread in job-control stop stays in it.
 *
 * The one trace that a stop leaves: a system call that Linux does not restart after a stop, such
 * as epoll_wait(2), returns EINTR, as it does after SIGSTOP and SIGCONT (signal(7)). Where it
 * waits without a time limit we make it restart.
 */
#ifndef KONA_TRACK_STOP_H
#define KONA_TRACK_STOP_H

#include "procfs.h"

struct kona_stopped_thread {
	pid_t tid;
	int signal; /* to be delivered when it goes on */
	bool stopped;
	bool gone;  /* ended, or in the kernel and not to be woken ("D") */
	bool plain; /* stopped by us, not by a signal or by job control */
};

struct kona_stop {
	pid_t pid;
	struct kona_stopped_thread *v;
	size_t count, room;
	uint64_t since_ns; /* when the first thread was interrupted */
	struct kona_ids tasks;
};

/* What a wait status said of somebody whom no stop waits for (the command that we started). */
typedef void kona_reaped(void *context, pid_t pid, int status);

struct kona_stopper {
	kona_reaped *reaped; /* NULL: nobody asks */
	void *reaped_context;
	void (*idle)(void *context); /* called again and again while a stop waits; NULL: nothing */
	void *idle_context;
};

/* Blocks SIGCHLD for good: the stops wait for it. Once, at start. */
void kona_stop_init(void);

/*
 * Stops every thread of pid. Returns 0; -ESRCH: gone; -EPERM: not allowed, or traced by somebody
 * else (then nothing is stopped); -ETIMEDOUT.
 */
KONA_MUST_CHECK int kona_stop_all(struct kona_stop *stop, pid_t pid,
				  const struct kona_stopper *stopper);
void kona_stop_release(struct kona_stop *stop);
void kona_stop_free(struct kona_stop *stop);

/* Takes what waits to be reaped between stops, and lets go threads that stopped too late. */
void kona_stop_reap(const struct kona_stopper *stopper);

#endif
