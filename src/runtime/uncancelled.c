/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The libc functions that the runtime calls in the program's threads and that are points of
 * cancellation: here, for libkona alone, they are not. Else pthread_cancel() could end a thread in
 * a miss, a malloc() or a madvise(), which are no such points, and with it a page's claim or a
 * lock.
 *
 * State: none. What can fail: as their namesakes. (tests/api/symbols sees to it that none is
 * missing.)
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

ssize_t read(int descriptor, void *buffer, size_t size_bytes)
{
	return syscall(SYS_read, descriptor, buffer, size_bytes);
}

ssize_t write(int descriptor, const void *buffer, size_t size_bytes)
{
	return syscall(SYS_write, descriptor, buffer, size_bytes);
}

ssize_t pread64(int descriptor, void *buffer, size_t size_bytes, off64_t offset_bytes)
{
	return syscall(SYS_pread64, descriptor, buffer, size_bytes, offset_bytes);
}

ssize_t pwrite64(int descriptor, const void *buffer, size_t size_bytes, off64_t offset_bytes)
{
	return syscall(SYS_pwrite64, descriptor, buffer, size_bytes, offset_bytes);
}

int fallocate64(int descriptor, int mode, off64_t offset_bytes, off64_t size_bytes)
{
	return (int)syscall(SYS_fallocate, descriptor, mode, offset_bytes, size_bytes);
}

int poll(struct pollfd *descriptors, nfds_t count, int timeout_ms)
{
	return (int)syscall(SYS_poll, descriptors, count, timeout_ms);
}

int ppoll(struct pollfd *descriptors, nfds_t count, const struct timespec *timeout,
	  const sigset_t *mask)
{
	struct timespec left =
		timeout ? *timeout : (struct timespec){0}; /* the kernel changes it */

	return (int)syscall(SYS_ppoll, descriptors, count, timeout ? &left : NULL, mask, _NSIG / 8);
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
	return syscall(SYS_sendmsg, descriptor, message, flags);
}

ssize_t recvmsg(int descriptor, struct msghdr *message, int flags)
{
	return syscall(SYS_recvmsg, descriptor, message, flags);
}

int usleep(useconds_t time_us)
{
	struct timespec time = {time_us / 1000000, (long)(time_us % 1000000) * 1000};

	return (int)syscall(SYS_nanosleep, &time, NULL);
}
