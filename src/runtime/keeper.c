/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keeper's thread (process -> keeper). It sleeps until the memory node's end of the lease's
 * socket is gone. State: none of its own. What can fail: its start.
 */
#include "runtime/keeper.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include "runtime/fatal.h"
#include "runtime/os.h"

void kona_keeper_node_gone(const struct kona_broker *broker)
{
	kona_fatal("memory node %s is gone, and with it this program's memory", broker->node);
}

static void run(void *argument)
{
	const struct kona_keeper *keeper = argument;
	struct pollfd lease = {keeper->broker->socket, POLLRDHUP, 0};

	while (poll(&lease, 1, -1) < 0)
		if (errno != EINTR)
			kona_fatal("the keeper cannot wait: %s", strerror(errno));
	kona_keeper_node_gone(keeper->broker);
}

static void keeper_died(struct kona_space *space, struct kona_watch *watch)
{
	kona_fatal("the keeper's thread is gone");
}

int kona_keeper_start(struct kona_keeper *keeper, struct kona_space *space,
		      const struct kona_broker *broker)
{
	pid_t tid;
	int rc;

	keeper->broker = broker;
	rc = kona_os_thread("kona-keeper", run, keeper, true, &tid);
	if (rc)
		return rc;
	keeper->death = (struct kona_watch){keeper_died, kona_os_thread_pidfd(tid)};
	/* Linux 6.8 has no descriptors for threads: then its death goes unwatched. */
	if (keeper->death.descriptor < 0)
		return 0;
	keeper->death.descriptor = kona_os_raise(keeper->death.descriptor);
	return kona_fault_watch(space, &keeper->death, EPOLLIN);
}
