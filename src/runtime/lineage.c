/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parent's side of a fork (fork -> lineage -> heritage).
 *
 *   prepare   the forking thread: sees to memory for the child's shelf
 *   announce  the same, all locks held: makes the heritage and a socket pair
 *   born      the fault handler, at the kernel's event, while fork() still waits: the page table
 *             stands still, so it is the snapshot; sends the child its userfaultfd
 *   serve     the handler serves the child until the child's own thread does: glibc touches the
 *             child's memory before any atfork handler runs there
 *   preserve  evict and discard: old contents go to the child's shelf before the store changes
 *
 * State: the list of children. Children are freed by lock holders once the handler has let go.
 */
#include "runtime/lineage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/unix.h"
#include "runtime/fatal.h"
#include "runtime/os.h"
#include "runtime/space.h"

static int open_spare(void)
{
	return kona_os_raise((int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC));
}

int kona_lineage_init(struct kona_space *space)
{
	space->lineage = (struct kona_lineage){
		.child_end = -1,
		.spare = open_spare(),
		.page = kona_os_alloc(KONA_PAGE_BYTES),
	};
	return space->lineage.page ? 0 : -ENOMEM;
}

void kona_lineage_make_room(struct kona_space *space)
{
	if (space->lineage.spare < 0)
		kona_fatal("fork: no descriptor is left for the child (ulimit -n)");
	kona_os_close(space->lineage.spare);
	space->lineage.spare = -1;
}

/* --- announce ----------------------------------------------------------------------------------*/

/* Its shelf stays for the next child, or until the program needs the memory. */
static void free_child(struct kona_space *space, struct kona_child *child)
{
	kona_os_close(child->executor.uffd);
	if (child->executor.heritage)
		kona_heritage_delete(child->executor.heritage);
	if (child->shelf.pages) {
		child->next = space->lineage.retired;
		space->lineage.retired = child;
		return;
	}
	kona_os_munmap(child, sizeof(*child));
}

static void forget_dead(struct kona_space *space)
{
	struct kona_child **link = &space->lineage.children;

	while (*link) {
		struct kona_child *child = *link;

		/* LI-1: acquire, pairs with the release in let_go(). FA-2: the handler may still
		 * have an event of this child at hand in the round in which it let go. */
		uint64_t dead = kona_load_acquire(&child->dead);

		if (!dead || kona_load_acquire(&space->fault.rounds) < dead) {
			link = &child->next;
			continue;
		}
		*link = child->next;
		free_child(space, child);
	}
}

/* --- the shelf ---------------------------------------------------------------------------------*/

/* How many pages of the child would be in the store, if it were born now. */
static uint64_t count_far(struct kona_space *space)
{
	uint64_t used = kona_region_used_pages(&space->region), count = 0;

	for (uint64_t page = 0; page < used; page++)
		count += !!(kona_pt_load(&space->pt, page) & KONA_PT_FAR);
	return count;
}

/* The shelf of a child that is gone, if it fits. */
static struct kona_shelf reuse_shelf(struct kona_space *space, uint64_t pages)
{
	struct kona_child **link = &space->lineage.retired, *child;
	struct kona_shelf shelf = {0};
	sigset_t signals;

	kona_space_lock(space, &signals);
	forget_dead(space);
	for (; *link; link = &(*link)->next) {
		child = *link;
		if (child->shelf.pages < pages || child->shelf.pages / 4 > pages)
			continue;
		shelf = child->shelf;
		*link = child->next;
		kona_os_munmap(child, sizeof(*child));
		break;
	}
	kona_space_unlock(space, &signals);
	return shelf;
}

struct kona_child *kona_lineage_prepare(struct kona_space *space)
{
	struct kona_child *child = kona_os_alloc(sizeof(*child));
	uint64_t pages = count_far(space);

	if (!child || !pages)
		return child;
	/* More pages may leave until the child is born. */
	pages += pages / 16 + KONA_EVICT_BATCH;
	child->shelf = reuse_shelf(space, pages);
	if (child->shelf.pages)
		return child;
	kona_lineage_reclaim(space);
	if (!kona_region_spare(space, pages, &child->shelf.first_page))
		child->shelf.pages = pages;
	return child;
}

/* What the store holds there is not the program's: the entries must say so. */
static void mark_stale(struct kona_space *space, const struct kona_shelf *shelf)
{
	for (uint64_t i = 0; i < shelf->pages; i++) {
		uint64_t page = shelf->first_page + i, entry = kona_pt_load(&space->pt, page);

		/* Nobody else knows these pages. */
		if (kona_pt_claim(&space->pt, page, entry, KONA_PT_FETCHING) &&
		    kona_pt_settle(&space->pt, page, entry | KONA_PT_STALE))
			kona_space_wake(space, page);
	}
}

bool kona_lineage_reclaim(struct kona_space *space)
{
	struct kona_child *child;
	sigset_t signals;
	bool any;

	kona_space_lock(space, &signals);
	forget_dead(space);
	child = space->lineage.retired;
	space->lineage.retired = NULL;
	kona_space_unlock(space, &signals);
	any = child;
	while (child) {
		struct kona_child *next = child->next;

		if (child->shelf.written)
			mark_stale(space, &child->shelf);
		kona_region_free(space, child->shelf.first_page, child->shelf.pages);
		kona_os_munmap(child, sizeof(*child));
		child = next;
	}
	return any;
}

/* --- announced ---------------------------------------------------------------------------------*/

int kona_lineage_announce(struct kona_space *space, struct kona_child *child)
{
	struct kona_lineage *lineage = &space->lineage;
	int ends[2];

	forget_dead(space);
	if (!child)
		return -ENOMEM;
	child->executor = (struct kona_executor){
		.heritage = kona_heritage_new(kona_region_used_pages(&space->region)),
		.base = space->base,
		.uffd = -1,
		.store = space->store,
		.bounce = space->fetch.bounce,
		.zeros = space->fetch.zeros,
		.window_pages = 1,
	};
	if (!child->executor.heritage) {
		free_child(space, child);
		return -ENOMEM;
	}
	child->executor.heritage->shelf_page = child->shelf.first_page;
	child->executor.heritage->shelf_pages = child->shelf.pages;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		int rc = -errno;

		free_child(space, child);
		return rc;
	}
	child->life.descriptor = kona_os_raise(ends[0]);
	lineage->child_end = kona_os_raise(ends[1]);
	lineage->announced = child;
	kona_store_release(&lineage->birth, KONA_BIRTH_ANNOUNCED); /* LI-2 */
	return 0;
}

/*
 * fork() returns when its event was read, not when it was dealt with; and without an event when it
 * failed. Then nobody has the child's end of the socket pair, which our end tells. So it does when
 * the child died at once: a round trip with the handler tells the two apart.
 */
static bool wait_until_born(struct kona_space *space, const struct kona_child *child)
{
	struct pollfd life = {child->life.descriptor, 0, 0};
	struct kona_lineage *lineage = &space->lineage;

	/* LI-2: acquire, pairs with the release in kona_lineage_born(). */
	while (kona_load_acquire(&lineage->birth) != KONA_BIRTH_DONE) {
		if (poll(&life, 1, 0) != 1) {
			sched_yield();
			continue;
		}
		kona_fault_round_trip(space);
		return kona_load_acquire(&lineage->birth) == KONA_BIRTH_DONE; /* LI-2 */
	}
	return true;
}

void kona_lineage_announced(struct kona_space *space)
{
	struct kona_lineage *lineage = &space->lineage;
	struct kona_child *child = lineage->announced;

	kona_os_close(lineage->child_end);
	lineage->child_end = -1;
	if (!wait_until_born(space, child)) { /* fork() failed */
		kona_os_close(child->life.descriptor);
		free_child(space, child);
	}
	lineage->announced = NULL;
}

/* --- born, served ------------------------------------------------------------------------------*/

static void let_go(struct kona_space *space, struct kona_child *child)
{
	int life = child->life.descriptor;

	if (child->messages.descriptor >= 0)
		kona_fault_unwatch(space, &child->messages);
	kona_fault_unwatch(space, &child->life);
	/* Forgotten first: until the record is freed, forked children close what it names (fork.c),
	 * which must not be what got the same number since. */
	kona_store_relaxed(&child->life.descriptor, -1); /* relaxed: a fork orders it */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	kona_os_close(life);
	/* The userfaultfd stays open until the child is freed: preserve() may be using it. */
	kona_store_release(&child->dead, space->fault.rounds + 1); /* LI-1 */
}

static void serve_child(struct kona_space *space, struct kona_watch *watch)
{
	struct kona_child *child = KONA_CONTAINER(watch, struct kona_child, messages);
	struct uffd_msg message;

	while (read(watch->descriptor, &message, sizeof(message)) == (ssize_t)sizeof(message)) {
		int rc;

		if (message.event != UFFD_EVENT_PAGEFAULT)
			continue;
		rc = kona_heritage_serve(
			&child->executor,
			kona_space_page(space, (void *)(uintptr_t)message.arg.pagefault.address));
		if (rc < 0)
			kona_fatal("a page of a forked child cannot be fetched: %s", strerror(-rc));
	}
}

static void hear_child(struct kona_space *space, struct kona_watch *watch)
{
	struct kona_child *child = KONA_CONTAINER(watch, struct kona_child, life);
	char byte;
	ssize_t got = recv(watch->descriptor, &byte, 1, MSG_DONTWAIT);

	if (got > 0) { /* it serves itself now */
		kona_fault_unwatch(space, &child->messages);
		child->messages.descriptor = -1;
		return;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	let_go(space, child);
}

void kona_lineage_born(struct kona_space *space, int uffd)
{
	struct kona_lineage *lineage = &space->lineage;
	struct kona_child *child;
	int rc;

	uffd = kona_os_raise(uffd);
	child = lineage->announced;
	if (lineage->spare < 0)
		lineage->spare = open_spare();
	kona_heritage_snapshot(child->executor.heritage, space);
	child->executor.uffd = uffd;
	child->messages = (struct kona_watch){serve_child, uffd};
	child->life.ready = hear_child;
	rc = kona_unix_send(child->life.descriptor, "u", 1, uffd, 0);
	if (rc == -EPIPE || rc == -ECONNRESET) /* killed already: its end of the pair tells */
		rc = 0;
	if (!rc)
		rc = kona_fault_watch(space, &child->messages, EPOLLIN);
	if (!rc)
		rc = kona_fault_watch(space, &child->life, EPOLLIN | EPOLLRDHUP);
	if (rc)
		kona_fatal("fork: the child cannot be served: %s", strerror(-rc));
	child->next = lineage->children;
	lineage->children = child;
	/* LI-2: release, pairs with the acquire in wait_until_born(). */
	kona_store_release(&lineage->birth, KONA_BIRTH_DONE);
}

/* --- preserve ----------------------------------------------------------------------------------*/

static void shelve_page(struct kona_space *space, struct kona_child *child, uint64_t page,
			uint64_t shelf_page)
{
	const struct kona_dirty_page whole = {.offset_bytes = shelf_page * KONA_PAGE_BYTES,
					      .mask = UINT64_MAX,
					      .content = space->lineage.page};
	uint64_t wire_bytes = 0, system_calls = 0;
	int rc =
		space->store->ops->write_lines(space->store, &whole, 1, &wire_bytes, &system_calls);

	if (rc)
		kona_fatal("page %p of a forked child cannot be saved: %s",
			   (void *)kona_space_address(space, page), strerror(-rc));
	child->shelf.written = true;
	kona_heritage_mark_saved(child->executor.heritage, page);
}

/* No room on the shelf: the child gets the page at once. */
static void hand_page_over(struct kona_space *space, struct kona_child *child, uint64_t page)
{
	const char *bytes = space->lineage.page;
	size_t done;
	int rc;

	kona_heritage_mark_saved(child->executor.heritage, page);
	do /* EAGAIN: the child is in a fork of its own, which its own thread ends */
		rc = kona_uffd_copy(child->executor.uffd, kona_space_address(space, page), bytes,
				    KONA_PAGE_BYTES, false, &done);
	while (rc == -EAGAIN && !kona_load_acquire(&child->dead)); /* LI-1 */
	if (rc == -EEXIST)
		kona_uffd_wake(child->executor.uffd, kona_space_address(space, page),
			       KONA_PAGE_BYTES);
	/* ENOENT: the child unmapped it; ESRCH: the child is gone. Else the store must not change.
	 */
	else if (rc && rc != -ENOENT && rc != -ESRCH && rc != -EAGAIN)
		kona_fatal("page %p of a forked child cannot be saved: %s",
			   (void *)kona_space_address(space, page), strerror(-rc));
}

static void save_page(struct kona_space *space, struct kona_child *child, uint64_t page)
{
	uint64_t shelf_page;
	int rc;

	if (!kona_heritage_needs(child->executor.heritage, page))
		return;
	rc = kona_transport_read(space->store, page * KONA_PAGE_BYTES, space->lineage.page,
				 KONA_PAGE_BYTES);
	if (rc)
		kona_fatal("page %p of a forked child cannot be saved: %s",
			   (void *)kona_space_address(space, page), strerror(-rc));
	if (kona_heritage_shelf(child->executor.heritage, page, &shelf_page))
		shelve_page(space, child, page, shelf_page);
	else
		hand_page_over(space, child, page);
	kona_add_relaxed(&space->stats->preserved_pages, 1); /* relaxed: a figure */
}

void kona_lineage_preserve(struct kona_space *space, uint64_t first, uint64_t count)
{
	if (!space->lineage.children)
		return;
	forget_dead(space);
	for (struct kona_child *child = space->lineage.children; child; child = child->next)
		for (uint64_t i = 0; i < count; i++)
			save_page(space, child, first + i);
}
