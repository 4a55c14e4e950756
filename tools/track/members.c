/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which processes a session tracks: one by pid, or a command that it starts, and with --children
 * all that descend from it. A child that has executed another program is counted from its exec on
 * (what it held then is known: zeros and files); one that only forked, from when it is first seen.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "session.h"

static struct kona_target *find(const struct kona_session *session, pid_t pid)
{
	for (size_t i = 0; i < session->target_count; i++)
		if (session->target[i]->pid == pid)
			return session->target[i];
	return NULL;
}

int kona_session_add(struct kona_session *session, pid_t pid, bool from_start)
{
	struct kona_target *target;
	int err;

	if (session->target_count == session->target_room) {
		size_t more = session->target_room ? session->target_room * 2 : 16;
		void *bigger = realloc(session->target, more * sizeof(*session->target));

		if (!bigger)
			return -ENOMEM;
		session->target = bigger;
		session->target_room = more;
	}
	target = malloc(sizeof(*target));
	if (!target)
		return -ENOMEM;
	err = kona_target_open(target, pid, session->options.kept, session->lines, session->key,
			       from_start);
	if (err) {
		free(target);
		return err;
	}
	target->preferred = KONA_FIND_ASYNC;
	target->crew = session->crew;
	session->target[session->target_count++] = target;
	return 0;
}

/* In the child: waits until it may go on, and becomes the command. Errors go up the pipe. */
static KONA_NORETURN void become_command(char **command, int go, int failed)
{
	sigset_t none;
	char byte;
	int err;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Where only ancestors may trace (Yama), our helper may, too. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	if (read(go, &byte, 1) != 1)
		_exit(127);
	execvp(command[0], command);
	err = errno;
	if (write(failed, &err, sizeof(err)) < 0) {
		/* The parent is gone: nobody asks. */
	}
	_exit(127);
}

int kona_session_spawn(struct kona_session *session)
{
	int go[2] = {-1, -1}, failed[2] = {-1, -1};
	int err = 0, child_err = 0;
	ssize_t n;

	if (pipe2(go, O_CLOEXEC) || pipe2(failed, O_CLOEXEC)) {
		err = -errno;
		goto out;
	}
	session->command_pid = fork();
	if (session->command_pid < 0) {
		err = -errno;
		goto out;
	}
	if (!session->command_pid) {
		close(go[1]);
		become_command(session->options.command, go[0], failed[1]);
	}
	close(failed[1]);
	failed[1] = -1;
	if (write(go[1], "", 1) != 1)
		err = -errno;
	/* The pipe closes as the command's exec succeeds. */
	do
		n = read(failed[0], &child_err, sizeof(child_err));
	while (n < 0 && errno == EINTR);
	if (n == sizeof(child_err))
		err = -child_err;
out:
	for (int i = 0; i < 2; i++) {
		if (go[i] >= 0)
			close(go[i]);
		if (failed[i] >= 0)
			close(failed[i]);
	}
	return err;
}

static void leave(struct kona_session *session, size_t index)
{
	struct kona_target *target = session->target[index];

	kona_target_close(target);
	free(target);
	session->target[index] = session->target[--session->target_count];
}

static bool ended(const struct kona_target *target)
{
	struct pollfd wait = {target->pidfd, POLLIN, 0};

	return target->pidfd < 0 || poll(&wait, 1, 0) > 0;
}

static bool shares_memory(pid_t pid, pid_t other)
{
	return syscall(SYS_kcmp, pid, other, KCMP_VM, 0, 0) == 0;
}

static int adopt_children(struct kona_session *session, pid_t parent)
{
	struct kona_ids children = {0};
	int err = kona_children_read(parent, &children);

	for (size_t i = 0; !err && i < children.count; i++) {
		pid_t pid = children.v[i];

		/* The child of a vfork, before its exec. */
		if (find(session, pid) || shares_memory(pid, parent))
			continue;
		err = kona_session_add(session, pid, !kona_same_executable(pid, parent));
		if (err == -EPERM)
			kona_debug("child %d may not be tracked", pid);
		if (err == -ESRCH || err == -EPERM)
			err = 0;
	}
	kona_ids_free(&children);
	return err == -ESRCH ? 0 : err;
}

int kona_session_look(struct kona_session *session)
{
	int err = 0;

	if (session->options.children)
		for (size_t i = 0; !err && i < session->target_count; i++)
			err = adopt_children(session, session->target[i]->pid);
	for (size_t i = session->target_count; i-- > 0;)
		if (ended(session->target[i]))
			leave(session, i);
	return err;
}

int kona_session_renew(struct kona_session *session, struct kona_target *target)
{
	pid_t pid = target->pid;
	int err;

	if (ended(target))
		return -ESRCH;
	kona_target_close(target);
	err = kona_target_open(target, pid, session->options.kept, session->lines, session->key,
			       true);
	/* A closed target counts as ended. */
	target->preferred = KONA_FIND_ASYNC;
	target->crew = session->crew;
	if (err && kona_memory_held(pid))
		kona_info("pid %d has executed another program, which may not be tracked", pid);
	return err;
}
