/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stand-in for libkona in the tests of `kona run`: a preloaded library that does what the
 * launcher and the broker see of the real one. It takes a lease and one slab, writes a line of it,
 * and fills a block of statistics. What it met is told on standard error, with STANDIN_TELL.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/stats.h"
#include "wire/broker.h"

static int lease = -1; /* the connection; ours until the process ends */

#define HEADER(type)                                         \
	{                                                    \
		KONA_BROKER_MAGIC, KONA_BROKER_VERSION, type \
	}

/* Out of the range that a program may count on, as the real one does. */
static int move_high(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 300);

	close(fd);
	return high;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -errno;
	}
	return move_high(fd);
}

/* Receives GRANTED; *memory gets its descriptor. */
static ssize_t receive(struct kona_broker_granted *granted, int *memory)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec vector = {granted, sizeof(*granted)};
	struct msghdr message = {.msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	ssize_t got = recvmsg(lease, &message, MSG_CMSG_CLOEXEC);

	if (got > 0 && CMSG_FIRSTHDR(&message))
		memcpy(memory, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return got;
}

static int take_lease(struct kona_broker_welcome *welcome, struct kona_broker_granted *granted)
{
	struct kona_broker_hello hello = {.header = HEADER(KONA_BROKER_HELLO)};
	struct kona_broker_grant grant = {.header = HEADER(KONA_BROKER_GRANT), .count = 1};
	int memory = -1;

	lease = connect_to(getenv("KONA_SOCKET"));
	if (lease < 0)
		return lease;
	hello.remote_limit_bytes = strtoull(getenv("KONA_REMOTE"), NULL, 10);
	snprintf(hello.program, sizeof(hello.program), "%s", program_invocation_short_name);
	if (send(lease, &hello, sizeof(hello), 0) < 0 ||
	    recv(lease, welcome, sizeof(*welcome), 0) != (ssize_t)sizeof(*welcome))
		return -EPROTO;
	if (welcome->status)
		return welcome->status;
	if (send(lease, &grant, sizeof(grant), 0) < 0 ||
	    receive(granted, &memory) != (ssize_t)sizeof(*granted))
		return -EPROTO;
	if (memory >= 0)
		memory = move_high(memory);
	if (!granted->status && pwrite(memory, "far", 3, 0) != 3)
		return -EIO;
	return granted->status;
}

static void fill_stats(uint64_t slab_bytes)
{
	struct kona_stats_area *area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED,
					    atoi(getenv("KONA_STATS_FD")), 0);
	struct kona_stats *stats;

	if (area == MAP_FAILED || area->magic != KONA_STATS_MAGIC)
		return;
	stats = &area->blocks[__atomic_fetch_add(&area->used_blocks, 1, __ATOMIC_RELAXED)];
	stats->pid = (uint32_t)getpid();
	snprintf(stats->program, sizeof(stats->program), "%s", program_invocation_short_name);
	stats->dirty_lines = 10;
	stats->evicted_pages = 5;
	stats->evicted_clean_pages = 3;
	stats->written_back_bytes = 1280;
	stats->local_budget_bytes = strtoull(getenv("KONA_LOCAL"), NULL, 10);
	stats->remote_slabs = 1;
	stats->remote_bytes = slab_bytes;
}

__attribute__((constructor)) static void start(void)
{
	struct kona_broker_welcome welcome = {0};
	struct kona_broker_granted granted = {0};
	int rc;

	if (!getenv("KONA_SOCKET"))
		return;
	rc = take_lease(&welcome, &granted);
	if (!rc)
		fill_stats(welcome.slab_bytes);
	if (getenv("STANDIN_TELL"))
		fprintf(stderr, "standin: %s: status %d %s%s\n", program_invocation_short_name, rc,
			welcome.text, granted.text);
	/* A program that it executes runs locally. */
	if (!atoi(getenv("KONA_FOLLOW"))) {
		unsetenv("KONA_SOCKET");
		unsetenv("LD_PRELOAD");
	}
}
