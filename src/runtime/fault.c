/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fault handler: where an access of a missing page enters the runtime (fault -> fetch ->
 * transport). One thread per space.
 *
 * It never blocks on anything but its descriptors: whoever it could wait for may be waiting for it.
 * (It tries for the write-back lock, seldom.)
 * A fault that cannot be served now (no frame is free, or a fork is under way) is kept and tried
 * again when the evictor feeds the handler or the fork event was read.
 *
 * State: the faults kept back. What can fail: a descriptor taken from us, the store (both fatal).
 */
#include "runtime/fault.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "runtime/fatal.h"
#include "runtime/flight.h"
#include "runtime/hazard.h"
#include "runtime/inplace.h"
#include "runtime/os.h"
#include "runtime/sleepers.h"
#include "runtime/space.h"

enum {
	MOST_MESSAGES = 32,
	MOST_EVENTS = 8,
};

static const char closed[] = "a descriptor of the runtime was closed";

/*
 * The table says that the page is mapped, and yet it was missing: the message is old, or the
 * program dropped the page by a system call of its own, which leaves zeros.
 */
static int refill(struct kona_space *space, uint64_t page, uint64_t seen)
{
	uint32_t frame = kona_pt_payload(seen);
	bool stale = !(seen & KONA_PT_ZERO) || (seen & KONA_PT_STALE);
	uint64_t entry = seen;
	size_t done;
	int rc;

	if (!kona_pt_claim(&space->pt, page, seen, KONA_PT_FETCHING))
		return -ESTALE;
	rc = kona_uffd_copy(space->uffd, kona_space_address(space, page), space->fetch.zeros,
			    KONA_PAGE_BYTES, space->write_protect, &done);
	if (!rc) {
		/* Written from now on without marks; what guards marked before still counts. */
		space->frames.marks[frame] &= KONA_FRAME_MARKED;
		space->frames.marks[frame] |= KONA_FRAME_COMPARE;
		entry = kona_pt_entry(KONA_PT_INPLACE, KONA_PT_ZERO | (stale ? KONA_PT_STALE : 0),
				      frame);
	}
	if (kona_pt_settle(&space->pt, page, entry) || (rc && rc != -EAGAIN))
		kona_space_wake(space, page);
	return rc == -EAGAIN ? rc : 0;
}

/* Mode wp: the first store to a page since it was fetched. */
static int unprotect(struct kona_space *space, uint64_t page, uint64_t seen)
{
	int rc;

	if (!kona_pt_claim(&space->pt, page, seen, KONA_PT_VACATING))
		return -ESTALE;
	space->frames.marks[kona_pt_payload(seen)] |= KONA_FRAME_DIRTY;
	rc = kona_uffd_unprotect(space->uffd, kona_space_address(space, page), KONA_PAGE_BYTES);
	if (kona_pt_settle(&space->pt, page, seen) || (rc && rc != -EAGAIN))
		kona_space_wake(space, page);
	kona_add_relaxed(&space->stats->system_calls, 1); /* relaxed: a figure */
	return rc == -EAGAIN ? rc : 0;
}

/* Between frame and address. What is not moved lightly needs the write-back lock, for which the
 * handler does not wait. */
static int cross(struct kona_space *space, uint64_t page, uint64_t seen,
		 int (*way)(struct kona_space *space, uint64_t page, uint64_t seen, bool locked))
{
	int rc = way(space, page, seen, false);

	if (rc != -EPERM)
		return rc;
	if (pthread_mutex_trylock(&space->write_back))
		return -EAGAIN;
	rc = way(space, page, seen, true);
	pthread_mutex_unlock(&space->write_back);
	return rc;
}

static int serve_once(struct kona_space *space, uint64_t page, uint64_t flags)
{
	uint64_t entry = kona_pt_load(&space->pt, page);
	bool protection = flags & UFFD_PAGEFAULT_FLAG_WP;
	int rc;

	switch (kona_pt_state(entry)) {
	case KONA_PT_ABSENT:
	case KONA_PT_REMOTE:
		if (protection) {
			kona_space_wake(space,
					page); /* it left meanwhile: comes again as missing */
			return 0;
		}
		return kona_fetch(space, page, entry, flags & UFFD_PAGEFAULT_FLAG_WRITE);
	case KONA_PT_INPLACE:
		return protection ? unprotect(space, page, entry) : refill(space, page, entry);
	case KONA_PT_FRAME:
	case KONA_PT_COOLING:
		return cross(space, page, entry, kona_inplace_enter);
	case KONA_PT_OUTSIDE: /* an old message: the program mapped something there since */
		kona_space_wake(space, page);
		return 0;
	case KONA_PT_LOST:
		kona_fatal("page %p is lost: no memory node has it any more",
			   (void *)kona_space_address(space, page));
	default: /* busy: its owner brings it back, or wakes the thread; in flight: that is us */
		rc = kona_fetch_land(space, page, flags & UFFD_PAGEFAULT_FLAG_WRITE);
		if (rc != -ENOENT)
			return rc;
		if (!kona_pt_touch(&space->pt, page))
			return -ESTALE;
		(void)kona_flight_land(space, page);
		return 0;
	}
}

/*
 * An access of a frame without memory: a guard translated before the page went in place. The frame
 * is the page's still, for the guard's slot is set.
 */
static int serve_frame(struct kona_space *space, uint32_t frame)
{
	uint64_t page, entry;

	if (kona_hazard_gate_closed()) /* a fork wants all pages in place */
		return -EAGAIN;
	/* relaxed: PT-1, by the load of the entry that names the frame */
	page = kona_load_relaxed(&space->frames.owner[frame]);
	entry = kona_pt_load(&space->pt, page);
	if (kona_pt_busy(entry))
		return -EAGAIN;
	if (kona_pt_state(entry) == KONA_PT_INPLACE && kona_pt_payload(entry) == frame)
		return cross(space, page, entry, kona_inplace_leave);
	/* An old message: the page has come back, and may be gone again. */
	kona_uffd_wake(space->uffd, kona_frame_address(&space->frames, frame), KONA_PAGE_BYTES);
	return 0;
}

/* -EAGAIN: not now. Pages behind VFMem are frames. */
static int serve(struct kona_space *space, uint64_t page, uint64_t flags)
{
	int rc;

	do
		rc = page < space->pages ? serve_once(space, page, flags)
					 : serve_frame(space, (uint32_t)(page - space->pages));
	while (rc == -ESTALE);
	return rc;
}

static void keep(struct kona_space *space, uint64_t page, uint64_t flags)
{
	struct kona_fault *fault = &space->fault;

	if (fault->pending_count == KONA_FAULT_MOST_PENDING) {
		kona_space_wake(space, page); /* it faults again: the kernel is the longer queue */
		return;
	}
	fault->pending[fault->pending_count++] = (struct kona_pending){page, flags};
}

static void serve_pending(struct kona_space *space)
{
	struct kona_fault *fault = &space->fault;
	uint32_t left = 0;

	for (uint32_t i = 0; i < fault->pending_count; i++)
		if (serve(space, fault->pending[i].page, fault->pending[i].flags) == -EAGAIN)
			fault->pending[left++] = fault->pending[i];
	fault->pending_count = left;
	/* FA-1: release, pairs with the acquire in kona_fault_feed(). */
	kona_store_release(&fault->starving, left > 0);
}

/* The evictor may have gone to sleep since: it is asked again as long as anybody waits. */
static void retry_pending(struct kona_space *space)
{
	serve_pending(space);
	if (space->fault.pending_count)
		kona_evict_kick(space);
}

/* Before the fault is served: then the thread stands there no more. */
static void blame(struct kona_space *space, uint64_t page, pid_t thread)
{
	uint32_t weight = kona_fetch_blame(space, page);

	if (weight)
		kona_sleepers_blame(space, thread, weight);
}

static void handle_fault(struct kona_space *space, const struct uffd_msg *message)
{
	void *address = (void *)(uintptr_t)message->arg.pagefault.address;
	uint64_t flags = message->arg.pagefault.flags;
	uint64_t page = kona_space_page(space, address);

	/* The staging area, which nobody but the evictor may touch. */
	if (page >= space->pages + kona_frames_bytes(&space->frames) / KONA_PAGE_BYTES)
		kona_fatal("fault at %p, outside of VFMem", address);
	kona_add_relaxed(flags & UFFD_PAGEFAULT_FLAG_WP ? &space->stats->faults_wp
							: &space->stats->faults_missing,
			 1); /* relaxed: a figure */
	if (page < space->pages && kona_sleepers_any())
		blame(space, page, (pid_t)message->arg.pagefault.feat.ptid);
	if (serve(space, page, flags) == -EAGAIN)
		keep(space, page, flags);
}

static void read_messages(struct kona_space *space)
{
	struct uffd_msg messages[MOST_MESSAGES];
	ssize_t got = read(space->uffd, messages, sizeof(messages));
	uint64_t start_ns;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0 && (errno == EMFILE || errno == ENFILE)) {
		kona_lineage_make_room(space); /* a fork event needs a descriptor */
		return;
	}
	if (got <= 0)
		kona_fatal("the userfaultfd cannot be read: %s",
			   got && errno != EBADF ? strerror(errno) : closed);
	start_ns = kona_now_ns();
	/* Forks first: since its event was read, pages can be mapped again, and the child's
	 * snapshot must not know of them. */
	for (size_t i = 0; i < (size_t)got / sizeof(messages[0]); i++)
		if (messages[i].event == UFFD_EVENT_FORK)
			kona_lineage_born(space, (int)messages[i].arg.fork.ufd);
	for (size_t i = 0; i < (size_t)got / sizeof(messages[0]); i++)
		if (messages[i].event == UFFD_EVENT_PAGEFAULT)
			handle_fault(space, &messages[i]);
	if (space->fault.pending_count) {
		retry_pending(space);
	} else if (kona_frames_available(&space->frames) < space->evict.low) {
		kona_evict_kick(space);
	}
	kona_fetch_advance(space);
	kona_add_relaxed(&space->stats->handler_ns, kona_now_ns() - start_ns); /* relaxed: figure */
}

static void uffd_ready(struct kona_space *space, struct kona_watch *watch)
{
	read_messages(space);
}

static void fed(struct kona_space *space, struct kona_watch *watch)
{
	uint64_t count;

	if (read(watch->descriptor, &count, sizeof(count)) < 0 && errno == EBADF)
		kona_fatal("%s", closed);
	retry_pending(space);
}

static void run(void *argument)
{
	struct kona_space *space = argument;
	struct epoll_event events[MOST_EVENTS];

	for (;;) {
		/* After a fork event -EAGAIN is over at once, whoever else is silent. */
		bool soon = space->fault.pending_count || kona_fetch_flies(&space->fetch);
		int timeout_ms = soon ? 1 : -1;
		int count = epoll_wait(space->fault.epoll, events, MOST_EVENTS, timeout_ms);

		if (count < 0 && errno != EINTR)
			kona_fatal("the fault handler cannot wait: %s",
				   errno == EBADF ? closed : strerror(errno));
		for (int i = 0; i < count; i++) {
			struct kona_watch *watch = events[i].data.ptr;

			watch->ready(space, watch);
		}
		if (!count)
			retry_pending(space);
		kona_fetch_land_old(space);
		/* FA-2: release, pairs with the acquire in kona_fault_round_trip(). */
		kona_store_release(&space->fault.rounds, space->fault.rounds + 1);
	}
}

int kona_fault_watch(struct kona_space *space, struct kona_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	if (epoll_ctl(space->fault.epoll, EPOLL_CTL_ADD, watch->descriptor, &event))
		return -errno;
	return 0;
}

void kona_fault_unwatch(struct kona_space *space, struct kona_watch *watch)
{
	epoll_ctl(space->fault.epoll, EPOLL_CTL_DEL, watch->descriptor, NULL);
}

void kona_fault_round_trip(struct kona_space *space)
{
	uint64_t one = 1, seen = kona_load_acquire(&space->fault.rounds); /* FA-2 */

	/* The round that ends next may have begun before the call; the one after it has not. */
	while (kona_load_acquire(&space->fault.rounds) - seen < 2) { /* FA-2 */
		if (write(space->fault.wake.descriptor, &one, sizeof(one)) < 0 && errno == EBADF)
			kona_fatal("%s", closed);
		usleep(100);
	}
}

void kona_fault_feed(struct kona_space *space)
{
	uint64_t one = 1;

	/* FA-1: acquire. A handler that starves just after this look tries again within 1 ms. */
	if (kona_load_acquire(&space->fault.starving) &&
	    write(space->fault.wake.descriptor, &one, sizeof(one)) < 0 && errno == EBADF)
		kona_fatal("a descriptor of the runtime was closed");
}

int kona_fault_start(struct kona_space *space)
{
	struct kona_fault *fault = &space->fault;
	int rc;

	fault->epoll = kona_os_raise(epoll_create1(EPOLL_CLOEXEC));
	fault->messages = (struct kona_watch){uffd_ready, space->uffd};
	fault->wake =
		(struct kona_watch){fed, kona_os_raise(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))};
	if (fault->epoll < 0 || fault->wake.descriptor < 0)
		return -EMFILE;
	rc = kona_fault_watch(space, &fault->messages, EPOLLIN);
	if (!rc)
		rc = kona_fault_watch(space, &fault->wake, EPOLLIN);
	if (!rc)
		rc = kona_os_thread("kona-fault", run, space, false, &fault->tid);
	return rc;
}
