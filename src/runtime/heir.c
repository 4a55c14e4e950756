/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The child's side of a fork (fork -> heir -> heritage -> transport). One thread, which waits for
 * the child's own userfaultfd and for the parent's end. It has a descriptor table of its own: a
 * child that closes all descriptors, by whatever call, keeps what it inherited.
 *
 * State: the executor, the thread's own. What can fail: the store (fatal).
 */
#include "runtime/heir.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/units.h"
#include "base/unix.h"
#include "runtime/fatal.h"
#include "runtime/fetch.h"
#include "runtime/os.h"
#include "runtime/space.h"

enum { MOST_MESSAGES = 32 };

int kona_heir_init(struct kona_heir *heir, struct kona_space *inherited,
		   struct kona_heritage *heritage, int parent)
{
	char byte;
	int uffd = -1;
	ssize_t got = kona_unix_receive(parent, &byte, sizeof(byte), 0, &uffd);

	if (got < 0 || uffd == -EMFILE)
		return got < 0 ? (int)got : -EMFILE;
	if (uffd < 0)
		return -EPIPE;
	*heir = (struct kona_heir){
		.executor =
			{
				.heritage = heritage,
				.base = inherited->base,
				.uffd = kona_os_raise(uffd),
				.store = inherited->store,
				.bounce = inherited->fetch.bounce,
				.zeros = inherited->fetch.zeros,
				.window_pages = 1,
			},
		.size_bytes = inherited->pages * KONA_PAGE_BYTES,
		.most_pages = inherited->frames.count / 2,
		.parent = parent,
		.stop = kona_os_raise(eventfd(0, EFD_CLOEXEC)),
	};
	return heir->stop < 0 ? -EMFILE : 0;
}

/* The first store to a page that was mapped read-only. */
static void let_write(struct kona_heir *heir, uint64_t page)
{
	char *address = heir->executor.base + page * KONA_PAGE_BYTES;

	kona_trim_keep(&heir->trim, page);
	if (kona_uffd_unprotect(heir->executor.uffd, address, KONA_PAGE_BYTES))
		kona_uffd_wake(heir->executor.uffd, address, KONA_PAGE_BYTES);
}

static void serve(struct kona_heir *heir)
{
	struct uffd_msg message;
	int left = MOST_MESSAGES; /* then look whether the parent lives */

	while (left-- &&
	       read(heir->executor.uffd, &message, sizeof(message)) == (ssize_t)sizeof(message)) {
		uint64_t page = (message.arg.pagefault.address - (uintptr_t)heir->executor.base) /
				KONA_PAGE_BYTES;
		int rc;

		if (message.event != UFFD_EVENT_PAGEFAULT)
			continue;
		if (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
			let_write(heir, page);
			continue;
		}
		rc = kona_heritage_serve(&heir->executor, page);
		if (rc < 0)
			kona_fatal("inherited page %p cannot be fetched from the memory node: %s",
				   (void *)(uintptr_t)message.arg.pagefault.address, strerror(-rc));
	}
}

/* Pages that an access cannot bring in, for the program forbade access: they are copied in. */
static void copy_in(struct kona_heir *heir)
{
	struct kona_executor own = heir->executor;
	/* HI-1: acquire, pairs with the release in have_copied_in() */
	uint64_t end = kona_load_acquire(&heir->wanted_end);

	own.trim = NULL; /* who waits for us holds its lock, so that nothing is dropped */
	for (uint64_t page = heir->wanted_first; page < end; page++) {
		int rc = kona_heritage_serve(&own, page);

		if (rc < 0)
			kona_fatal("inherited memory cannot be fetched: %s", strerror(-rc));
		if (!kona_heritage_needs(own.heritage, page))
			usleep(1000); /* the parent is mapping it just now */
	}
	/* HI-1: release, pairs with the acquire in have_copied_in() */
	kona_store_release(&heir->wanted_end, 0);
}

static void run(void *argument)
{
	struct kona_heir *heir = argument;
	struct pollfd wait[] = {{heir->executor.uffd, POLLIN, 0},
				{heir->parent, POLLRDHUP, 0},
				{heir->stop, POLLIN, 0}};
	char byte = 't';
	uint64_t asked;

	/* The parent's handler may serve beside us until it reads this; a page has one outcome. */
	if (send(heir->parent, &byte, 1, MSG_NOSIGNAL) < 0)
		heir->executor.parent_gone = true;
	for (;;) {
		if (poll(wait, KONA_ARRAY_LEN(wait), -1) < 0 && errno != EINTR)
			kona_fatal("the heir's thread cannot wait: %s", strerror(errno));
		if (wait[1].revents) {
			heir->executor.parent_gone = true;
			wait[1].fd = -1;
		}
		if (wait[0].revents & (POLLNVAL | POLLERR))
			kona_fatal("the inherited userfaultfd was taken away");
		if (wait[0].revents)
			serve(heir);
		if (wait[2].revents &&
		    read(heir->stop, &asked, sizeof(asked)) == (ssize_t)sizeof(asked)) {
			if (!kona_load_acquire(&heir->wanted_end)) /* HI-1 */
				break;
			copy_in(heir);
		}
	}
	kona_trim_destroy(&heir->trim);
}

int kona_heir_start(struct kona_heir *heir)
{
	int rc = kona_trim_init(&heir->trim, heir->executor.heritage->pages, heir->most_pages);
	pid_t tid;

	if (rc)
		return rc;
	/* Inherited as registered for missing pages; read-only ones need this, too. */
	rc = kona_uffd_register(heir->executor.uffd, heir->executor.base, heir->size_bytes, true);
	if (rc)
		return rc;
	heir->executor.trim = &heir->trim;
	return kona_os_thread("kona-heir", run, heir, true, &tid);
}

static void wake_thread(struct kona_heir *heir)
{
	uint64_t one = 1;

	if (write(heir->stop, &one, sizeof(one)) < 0)
		kona_fatal("a descriptor of the runtime was closed");
}

/* By the thread: its descriptors are its own, and the links that it made are not in our table. */
static void have_copied_in(struct kona_heir *heir, uint64_t first, uint64_t end)
{
	heir->wanted_first = first;
	/* HI-1: release, pairs with the acquire in copy_in() */
	kona_store_release(&heir->wanted_end, end);
	wake_thread(heir);
	/* HI-1: acquire, pairs with the release in copy_in() */
	while (kona_load_acquire(&heir->wanted_end))
		usleep(1000);
}

void kona_heir_materialise(struct kona_heir *heir)
{
	struct kona_executor *executor = &heir->executor;
	struct uffdio_range all = {(uintptr_t)executor->base, heir->size_bytes};
	uint64_t page = 0;

	pthread_mutex_lock(&heir->trim.lock); /* nothing is dropped meanwhile */
	while (page < executor->heritage->pages) {
		uint64_t end = page;

		while (kona_heritage_far(executor->heritage, end))
			end++;
		if (end > page &&
		    kona_os_madvise(executor->base + page * KONA_PAGE_BYTES,
				    (end - page) * KONA_PAGE_BYTES, MADV_POPULATE_READ))
			have_copied_in(heir, page, end);
		page = end + 1;
	}
	if (ioctl(executor->uffd, UFFDIO_UNREGISTER, &all))
		kona_fatal("inherited memory cannot be made ordinary: %s", strerror(errno));
	kona_os_madvise(executor->base, heir->size_bytes, MADV_DOFORK);
	kona_os_close(heir->trim.memory); /* no page is missing any more: it is not used */
	heir->trim.memory = -1;
	pthread_mutex_unlock(&heir->trim.lock);
	shutdown(heir->parent, SHUT_RDWR);
	wake_thread(heir);
	/* The thread has its own copies, until it ends. */
	kona_os_close(executor->uffd);
	kona_os_close(heir->parent);
	kona_os_close(heir->stop);
}

/* From now on the pages are the child's own business. */
static void take_away(struct kona_heir *heir, const void *start, size_t size_bytes)
{
	uintptr_t from = (uintptr_t)start, base = (uintptr_t)heir->executor.base;
	uint64_t first = from > base ? (from - base) / KONA_PAGE_BYTES : 0;
	uint64_t end = (from + size_bytes - base + KONA_PAGE_BYTES - 1) / KONA_PAGE_BYTES;

	for (uint64_t page = first; page < end && page < heir->trim.pages; page++)
		kona_trim_keep(&heir->trim, page);
}

void *kona_heir_mmap(struct kona_heir *heir, void *start, size_t size_bytes, int protection,
		     int flags, int descriptor, off_t offset)
{
	void *mapped;

	pthread_mutex_lock(&heir->trim.lock);
	take_away(heir, start, size_bytes);
	mapped = kona_os_mmap(start, size_bytes, protection, flags, descriptor, offset);
	pthread_mutex_unlock(&heir->trim.lock);
	return mapped;
}

int kona_heir_munmap(struct kona_heir *heir, void *start, size_t size_bytes)
{
	int rc;

	pthread_mutex_lock(&heir->trim.lock);
	take_away(heir, start, size_bytes);
	rc = kona_os_munmap(start, size_bytes);
	pthread_mutex_unlock(&heir->trim.lock);
	return rc;
}
