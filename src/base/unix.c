/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unix sockets: names, and packets that carry a descriptor. The lock file decides who owns a name;
 * the socket file follows it.
 *
 * A crash leaves both files behind, but the kernel drops the flock: the next owner takes the lock,
 * and only then may it unlink the socket. The lock file is unlinked by its holder, so a contender
 * that opened the old file must look whether it locked the one that the name still means.
 */
#include "base/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int make_address(const char *path, struct sockaddr_un *ret_address)
{
	if (!path[0])
		return -EINVAL;
	if (strlen(path) >= sizeof(ret_address->sun_path))
		return -ENAMETOOLONG;
	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->sun_family = AF_UNIX;
	memcpy(ret_address->sun_path, path, strlen(path) + 1);
	return 0;
}

/* Takes PATH.lock. Returns 0 and *ret_lock; -EADDRINUSE when another process holds it. */
static int take_lock(const char *path, int *ret_lock)
{
	char lock_path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + sizeof(".lock")];

	snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
	for (;;) {
		struct stat held, named;
		int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			int rc = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;

			close(fd);
			return rc;
		}
		if (!fstat(fd, &held) && !lstat(lock_path, &named) && held.st_ino == named.st_ino &&
		    held.st_dev == named.st_dev) {
			*ret_lock = fd;
			return 0;
		}
		close(fd);
	}
}

static void drop_lock(const char *path, int lock)
{
	char lock_path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + sizeof(".lock")];

	snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
	unlink(lock_path);
	close(lock);
}

/* Removes a socket that nobody answers. */
static int remove_stale(const char *path, int type)
{
	struct stat st;
	int fd, rc;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	rc = kona_unix_connect(path, type, &fd);
	if (!rc) {
		close(fd);
		return -EADDRINUSE;
	}
	if (rc != -ECONNREFUSED)
		return rc == -EPROTOTYPE ? -EADDRINUSE : rc;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

int kona_unix_listen(const char *path, int type, mode_t mode,
		     struct kona_unix_listener *ret_listener)
{
	struct sockaddr_un address;
	int lock = -1, fd = -1;
	mode_t mask;
	int rc;

	rc = make_address(path, &address);
	if (rc)
		return rc;
	rc = take_lock(path, &lock);
	if (rc)
		return rc;
	rc = remove_stale(path, type);
	if (rc)
		goto out;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		rc = -errno;
		goto out;
	}
	/* The umask, not a later chmod, so that there is no moment with wider rights. */
	mask = umask(0777 & ~mode);
	rc = bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	umask(mask);
	if (!rc && listen(fd, 128))
		rc = -errno;
	if (rc)
		goto out;
	ret_listener->descriptor = fd;
	ret_listener->lock = lock;
	memcpy(ret_listener->path, address.sun_path, sizeof(ret_listener->path));
	return 0;
out:
	if (fd >= 0)
		close(fd);
	drop_lock(path, lock);
	return rc;
}

void kona_unix_unlisten(struct kona_unix_listener *listener)
{
	unlink(listener->path);
	close(listener->descriptor);
	drop_lock(listener->path, listener->lock);
}

int kona_unix_connect(const char *path, int type, int *ret_descriptor)
{
	struct sockaddr_un address;
	int fd, rc;

	rc = make_address(path, &address);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	do
		rc = connect(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	while (rc == -EINTR);
	if (rc) {
		close(fd);
		return rc;
	}
	*ret_descriptor = fd;
	return 0;
}

/* --- packets with a descriptor -----------------------------------------------------------------*/

/* Room for one, as the kernel wants it aligned: which leaves room for a second. */
union passed {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int kona_unix_send(int socket, const void *packet, size_t size_bytes, int descriptor, int flags)
{
	union passed passed = {0};
	struct iovec vector = {(void *)packet, size_bytes};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
	ssize_t sent;

	if (descriptor >= 0) {
		message.msg_control = passed.bytes;
		message.msg_controllen = sizeof(passed.bytes);
		passed.header.cmsg_level = SOL_SOCKET;
		passed.header.cmsg_type = SCM_RIGHTS;
		passed.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&passed.header), &descriptor, sizeof(int));
	}
	do
		sent = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

/* The first descriptor of those that came; the others are closed. */
static int take_first(struct cmsghdr *header)
{
	size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int fd, first = -1;

	for (size_t i = 0; i < count; i++) {
		memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
		if (!i)
			first = fd;
		else
			close(fd);
	}
	return first;
}

ssize_t kona_unix_receive(int socket, void *packet, size_t size_bytes, int flags,
			  int *ret_descriptor)
{
	union passed passed;
	struct iovec vector = {packet, size_bytes};
	struct msghdr message = {.msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = passed.bytes,
				 .msg_controllen = sizeof(passed.bytes)};
	struct cmsghdr *header;
	ssize_t got;
	int first = -1;

	do
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_TRUNC | flags);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		first = take_first(header);
	if (first < 0 && (message.msg_flags & MSG_CTRUNC))
		first = -EMFILE;
	*ret_descriptor = first;
	return got;
}
