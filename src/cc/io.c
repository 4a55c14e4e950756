/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls that move memory. Far data of up to the bounce buffer's size goes through it: still
 * one system call for one call, so that nothing is torn that was whole. More goes by the address
 * itself: the kernel faults, and waits for the page.
 *
 * State: the thread's bounce buffer. Fails as the system call fails.
 */
#include "cc/bounce.h"
#include "cc/far.h"
#include "cc/functions.h"

enum {
	MOST_PIECES = 128, /* of a vector; longer ones go by their addresses */
};

/* Ends a read into the bounce buffer: what came goes to its place. */
static ssize_t land(void *to, const void *bounce, ssize_t got)
{
	if (got > 0)
		kona_cc_memcpy(to, bounce, (size_t)got);
	kona_cc_bounce_give_back();
	return got;
}

static void *take_if_far(const void *p, size_t size_bytes)
{
	return kona_guard_is_far(p) && size_bytes ? kona_cc_bounce_take(size_bytes) : NULL;
}

/* The same, filled, for a write. */
static const void *launch(const void *from, size_t size_bytes)
{
	void *bounce = take_if_far(from, size_bytes);

	return bounce ? kona_cc_memcpy(bounce, from, size_bytes) : NULL;
}

static ssize_t sent(ssize_t result)
{
	kona_cc_bounce_give_back();
	return result;
}

ssize_t kona_cc_read(int fd, void *to, size_t size_bytes)
{
	void *bounce = take_if_far(to, size_bytes);

	return bounce ? land(to, bounce, read(fd, bounce, size_bytes)) : read(fd, to, size_bytes);
}

ssize_t kona_cc_write(int fd, const void *from, size_t size_bytes)
{
	const void *bounce = launch(from, size_bytes);

	return bounce ? sent(write(fd, bounce, size_bytes)) : write(fd, from, size_bytes);
}

ssize_t kona_cc_pread(int fd, void *to, size_t size_bytes, off_t at)
{
	void *bounce = take_if_far(to, size_bytes);

	return bounce ? land(to, bounce, pread(fd, bounce, size_bytes, at))
		      : pread(fd, to, size_bytes, at);
}

ssize_t kona_cc_pwrite(int fd, const void *from, size_t size_bytes, off_t at)
{
	const void *bounce = launch(from, size_bytes);

	return bounce ? sent(pwrite(fd, bounce, size_bytes, at)) : pwrite(fd, from, size_bytes, at);
}

ssize_t kona_cc_pread64(int fd, void *to, size_t size_bytes, off64_t at)
{
	return kona_cc_pread(fd, to, size_bytes, at);
}

ssize_t kona_cc_pwrite64(int fd, const void *from, size_t size_bytes, off64_t at)
{
	return kona_cc_pwrite(fd, from, size_bytes, at);
}

ssize_t kona_cc_recv(int fd, void *to, size_t size_bytes, int flags)
{
	/* With MSG_TRUNC a datagram's length comes back, which may be more than was written. */
	void *bounce = flags & MSG_TRUNC ? NULL : take_if_far(to, size_bytes);

	return bounce ? land(to, bounce, recv(fd, bounce, size_bytes, flags))
		      : recv(fd, to, size_bytes, flags);
}

ssize_t kona_cc_send(int fd, const void *from, size_t size_bytes, int flags)
{
	/* The kernel may read the memory of MSG_ZEROCOPY later. */
	const void *bounce = flags & MSG_ZEROCOPY ? NULL : launch(from, size_bytes);

	return bounce ? sent(send(fd, bounce, size_bytes, flags))
		      : send(fd, from, size_bytes, flags);
}

/* Fetches a vector. Returns its total when it is to go through the bounce buffer, or 0. */
static size_t fetch_vector(const struct iovec *vector, int count, struct iovec *ret_local)
{
	size_t total = 0;
	int far = 0;

	if (count <= 0 || count > MOST_PIECES)
		return 0;
	kona_cc_memcpy(ret_local, vector, (size_t)count * sizeof(*vector));
	for (int i = 0; i < count; i++) {
		if (ret_local[i].iov_len > KONA_CC_BOUNCE_MOST_BYTES)
			return 0;
		total += ret_local[i].iov_len;
		far |= ret_local[i].iov_len && kona_guard_is_far(ret_local[i].iov_base);
	}
	return far ? total : 0;
}

ssize_t kona_cc_readv(int fd, const struct iovec *vector, int count)
{
	struct iovec local[MOST_PIECES];
	size_t total = fetch_vector(vector, count, local), left;
	char *bounce = total ? kona_cc_bounce_take(total) : NULL;
	ssize_t got;

	if (!bounce)
		return readv(fd, vector, count);
	got = read(fd, bounce, total);
	left = got > 0 ? (size_t)got : 0;
	for (int i = 0; left; i++) {
		size_t part = local[i].iov_len < left ? local[i].iov_len : left;

		kona_cc_memcpy(local[i].iov_base, bounce, part);
		bounce += part;
		left -= part;
	}
	kona_cc_bounce_give_back();
	return got;
}

ssize_t kona_cc_writev(int fd, const struct iovec *vector, int count)
{
	struct iovec local[MOST_PIECES];
	size_t total = fetch_vector(vector, count, local), at = 0;
	char *bounce = total ? kona_cc_bounce_take(total) : NULL;

	if (!bounce)
		return writev(fd, vector, count);
	for (int i = 0; i < count; i++) {
		kona_cc_memcpy(bounce + at, local[i].iov_base, local[i].iov_len);
		at += local[i].iov_len;
	}
	return sent(write(fd, bounce, total));
}
