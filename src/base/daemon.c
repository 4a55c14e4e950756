/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Readiness and ownership of the daemons. Stateless.
 *
 * A private daemon holds the read end of a pipe whose write end only its owner has. The kernel
 * closes that whatever way the owner dies, so no signal and no process id is relied upon. An owner
 * that ends in order writes one byte first.
 */
#include "base/daemon.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

void kona_daemon_guard_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void notify_manager(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t length;
	KONA_CLOSE int fd = -1;

	if (!path || !path[0] || strlen(path) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, strlen(path));
	length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
			      length) < 0) {
		/* The manager will say that the start timed out. */
	}
}

void kona_daemon_say(int ready_fd, const char *line)
{
	char text[64];
	int length = snprintf(text, sizeof(text), "%s\n", line);

	if (ready_fd >= 0 && write(ready_fd, text, (size_t)length) < 0) {
		/* Nobody waits any more. */
	}
}

void kona_daemon_raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit)) {
			/* As it was. */
		}
	}
}

void kona_daemon_ready(int ready_fd)
{
	notify_manager("READY=1");
	kona_daemon_say(ready_fd, "ready");
}

int kona_daemon_adopt_fd(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
		return -errno;
	return 0;
}

int kona_daemon_option_fd(const char *text, struct argp_state *state)
{
	char *end;
	long fd = strtol(text, &end, 10);

	if (end == text || *end || fd < 0 || fd > INT_MAX || kona_daemon_adopt_fd((int)fd))
		argp_error(state, "not an open descriptor: %s", text);
	return (int)fd;
}

mode_t kona_daemon_option_mode(const char *text, struct argp_state *state)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (end == text || *end || mode > 0777)
		argp_error(state, "not an octal mode: %s", text);
	return (mode_t)mode;
}

const char *kona_daemon_bad_address(int error)
{
	switch (-error) {
	case EADDRINUSE:
		return "another process has this port (ss -ltnp tells which): stop it, or give "
		       "another port";
	case EADDRNOTAVAIL:
		return "this host has no such address (ip address tells which it has)";
	case EACCES:
		return "ports below 1024 are for root alone: give another one";
	default:
		return strerror(-error);
	}
}

const char *kona_daemon_bad_path(int error)
{
	switch (-error) {
	case EADDRINUSE:
		return "another process listens there: stop it, or give another path";
	case ENOENT:
		return "there is no such folder: make it, or give another path";
	case EACCES:
		return "this user may not write to that folder: give another path, or let it";
	default:
		return strerror(-error);
	}
}

enum kona_daemon_owner kona_daemon_owner_state(int owner_fd, int *left)
{
	char byte;

	for (;;) {
		ssize_t got = read(owner_fd, &byte, 1);

		if (got > 0)
			*left = 1;
		else if (got < 0 && errno == EINTR)
			continue;
		else if (got < 0 && errno == EAGAIN)
			return KONA_OWNER_LIVES;
		else
			return *left ? KONA_OWNER_LEFT : KONA_OWNER_DIED;
	}
}

int kona_daemon_thread(pthread_t *ret_thread, void *(*run)(void *), void *argument)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(ret_thread, NULL, run, argument);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

void kona_daemon_hush(void)
{
	KONA_CLOSE int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (null >= 0)
		dup2(null, STDERR_FILENO);
}

void kona_daemon_remove_private(const char *folder)
{
	static const char *const names[] = {
		KONA_PRIVATE_RACK_SOCKET, KONA_PRIVATE_RACK_SOCKET ".lock",
		KONA_PRIVATE_MEMD_SOCKET, KONA_PRIVATE_MEMD_SOCKET ".lock"};
	char path[PATH_MAX];

	for (size_t i = 0; i < KONA_ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}
