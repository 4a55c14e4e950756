/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The evictor's thread: sleeps until frames run low, then evicts batches until they are plenty.
 * It also watches the fault handler's thread, as that watches it: a runtime that lost one of them
 * ends the program with a line instead of leaving threads stuck.
 *
 * State: the watermarks and the kick. Takes the write-back lock for each batch.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/atomic.h"
#include "runtime/cool.h"
#include "runtime/evict.h"
#include "runtime/fatal.h"
#include "runtime/os.h"
#include "runtime/space.h"

enum {
	RETRY_US = 200,	     /* until a fork event is read, or a pin released */
	PATIENCE_TRIES = 50, /* then the budget is overdrawn: 10 ms */
};

void kona_evict_adjust(struct kona_space *space)
{
	uint32_t low = kona_load_relaxed(&space->frames.count) / 64; /* relaxed: levels, all */

	if (low < 2 * KONA_FRAME_RESERVE)
		low = 2 * KONA_FRAME_RESERVE;
	kona_store_relaxed(&space->evict.low, low);
	kona_store_relaxed(&space->evict.high, 2 * low);
}

int kona_evict_init(struct kona_space *space)
{
	struct kona_evict *evict = &space->evict;
	size_t bytes = (size_t)KONA_EVICT_BATCH * KONA_PAGE_BYTES;

	kona_evict_adjust(space);
	evict->staging = kona_os_alloc(bytes);
	evict->stored = kona_os_alloc((size_t)KONA_EVICT_STORED_PAGES * KONA_PAGE_BYTES);
	if (!evict->staging || !evict->stored)
		return -ENOMEM;
	kona_os_madvise(evict->staging, bytes, MADV_NOHUGEPAGE);
	/* A fork would make an event of it that nobody reads. */
	kona_os_madvise(evict->staging, bytes, MADV_DONTFORK);
	evict->wake = kona_os_raise(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (evict->wake < 0)
		return -EMFILE;
	if (kona_cool_resize(space))
		return -ENOMEM;
	return kona_uffd_register(space->uffd, evict->staging, bytes, space->write_protect);
}

void kona_evict_kick(struct kona_space *space)
{
	uint64_t one = 1;

	/* EV-1: acquire-release, pairs with the store before the evictor looks at the level. */
	if (!kona_exchange_acq_rel(&space->evict.kicked, true) &&
	    write(space->evict.wake, &one, sizeof(one)) < 0 && errno == EBADF)
		kona_fatal("a descriptor of the runtime was closed");
}

/* Nothing could leave for a while. Better a little more local memory than a program that hangs. */
static void overdraw(struct kona_space *space)
{
	static bool said; /* The evictor's */

	if (kona_frames_overdraw(&space->frames, KONA_FETCH_MOST_PAGES)) {
		kona_fault_feed(space);
		return;
	}
	if (!said)
		kona_warn("all local memory is pinned or being forked; raise --local");
	said = true;
}

static void evict_until_plenty(struct kona_space *space)
{
	uint32_t idle = 0;

	kona_flight_land_old(space);
	while (kona_frames_available(&space->frames) < space->evict.high) {
		int left;

		pthread_mutex_lock(&space->write_back);
		left = kona_evict_batch(space);
		pthread_mutex_unlock(&space->write_back);
		kona_fault_feed(space);
		if (left > 0) {
			idle = 0;
			continue;
		}
		if (kona_frames_available(&space->frames) >= space->evict.low)
			break;
		if (++idle >= PATIENCE_TRIES)
			overdraw(space);
		usleep(RETRY_US);
	}
	kona_frames_repay(&space->frames, space->evict.low);
	kona_frames_mend(&space->frames);
}

static void run(void *argument)
{
	struct kona_space *space = argument;
	struct pollfd wait[] = {{space->evict.wake, POLLIN, 0},
				{space->evict.handler_death, POLLIN, 0}};

	for (;;) {
		uint64_t count;

		if (poll(wait, KONA_ARRAY_LEN(wait), -1) < 0 && errno != EINTR)
			kona_fatal("the evictor cannot wait: %s", strerror(errno));
		if (((wait[0].revents | wait[1].revents) & POLLNVAL) ||
		    (read(space->evict.wake, &count, sizeof(count)) < 0 && errno == EBADF))
			kona_fatal("a descriptor of the runtime was closed");
		if (wait[1].revents)
			kona_fatal("the fault handler's thread is gone");
		/* EV-1: an exchange, for the look at the level must not come before it. */
		(void)kona_exchange_acq_rel(&space->evict.kicked, false);
		evict_until_plenty(space);
	}
}

static void evictor_died(struct kona_space *space, struct kona_watch *watch)
{
	kona_fatal("the evictor's thread is gone");
}

int kona_evict_start(struct kona_space *space)
{
	struct kona_evict *evict = &space->evict;
	int rc;

	evict->handler_death = kona_os_thread_pidfd(space->fault.tid);
	/* Linux 6.8 has no descriptors for threads: then their deaths go unwatched. */
	if (evict->handler_death >= 0)
		evict->handler_death = kona_os_raise(evict->handler_death);
	rc = kona_os_thread("kona-evict", run, space, false, &evict->tid);
	if (rc)
		return rc;
	evict->death = (struct kona_watch){evictor_died, kona_os_thread_pidfd(evict->tid)};
	if (evict->death.descriptor < 0)
		return 0;
	evict->death.descriptor = kona_os_raise(evict->death.descriptor);
	return kona_fault_watch(space, &evict->death, EPOLLIN);
}
