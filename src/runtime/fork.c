/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork() in a Kona program. glibc calls the "prepare" handlers in the reverse order of their
 * registration, the others in that order; so with two registrations around jemalloc's:
 *
 *   parent, threads_prepare   an inherited space is brought in whole: heritage is one generation
 *           (jemalloc takes its locks)
 *           locks_prepare     lets no guard miss any more, takes the runtime's locks, announces the
 *                             child (lineage.h), brings framed pages in place: the child knows
 *                             nothing of frames
 *     fork: the kernel copies VFMem; the fault handler reads the event, takes the snapshot and
 *           serves the child
 *   parent  locks_parent      lets go
 *   child   locks_child       new locks; takes over its userfaultfd
 *           (jemalloc frees its locks)
 *           threads_child     starts the heir's thread
 *
 * VFMem is MADV_DONTFORK but for this while: the child of a fork by a raw system call has no VFMem,
 * and ends with SIGSEGV when it touches it, instead of reading zeros.
 *
 * State: what prepare hands to its counterparts; one fork at a time, by the region lock.
 */
#include "runtime/fork.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "runtime/alloc.h"
#include "runtime/fatal.h"
#include "runtime/hazard.h"
#include "runtime/heir.h"
#include "runtime/inplace.h"
#include "runtime/os.h"
#include "runtime/process.h"
#include "runtime/space.h"

static struct kona_heritage *heritage; /* of the child; NULL: it could not be announced */
static sigset_t signals;	       /* of the forking thread */
static enum kona_route route;	       /* of the forking thread */
static struct kona_heir heir;	       /* in a child */
static bool heir_is_new;

static void set_inheritance(struct kona_space *space, int advice)
{
	kona_os_madvise(space->base, space->pages * KONA_PAGE_BYTES, advice);
}

static void threads_prepare(void)
{
	struct kona_heir *old = kona_process_heir();

	if (!old)
		return;
	kona_heir_materialise(old);
	kona_process_disinherit();
}

/* Faults of guards that would bring a page back to its frame are kept until the gate opens; the
 * round trip sees to it that none is just being served. */
static void bring_all_in_place(struct kona_space *space)
{
	if (!kona_load_relaxed(&space->guarded)) /* relaxed: the gate's barrier was later */
		return;
	kona_fault_round_trip(space);
	kona_inplace_enter_range(space, 0, kona_region_used_pages(&space->region));
}

static void locks_prepare(void)
{
	struct kona_space *space = kona_process_space();
	struct kona_child *child;
	sigset_t blocked;
	int rc;

	route = kona_alloc_enter_local();
	heritage = NULL;
	if (!space)
		return;
	child = kona_lineage_prepare(space);
	kona_hazard_close_gate(&signals);
	pthread_mutex_lock(&space->region.lock);
	kona_process_prepare_fork();
	kona_space_lock(space, &blocked);
	rc = kona_lineage_announce(space, child);
	if (rc) {
		kona_warn("fork: %s: the child will end when it touches its heap", strerror(-rc));
		return;
	}
	heritage = space->lineage.announced->executor.heritage;
	bring_all_in_place(space);
	set_inheritance(space, MADV_DOFORK);
}

static void locks_parent(void)
{
	struct kona_space *space = kona_process_space();
	sigset_t blocked;

	kona_alloc_leave(route);
	if (!space)
		return;
	sigfillset(&blocked);
	if (heritage) {
		kona_lineage_announced(space);
		set_inheritance(space, MADV_DONTFORK);
	}
	kona_space_unlock(space, &blocked);
	kona_process_after_fork();
	pthread_mutex_unlock(&space->region.lock);
	kona_hazard_open_gate(&signals);
}

/* The parent's threads are not here: their descriptors are of no use, and would keep ours from
 * seeing the parent's end. */
static void close_parents(struct kona_space *space)
{
	kona_os_close(space->uffd);
	kona_os_close(space->fault.epoll);
	kona_os_close(space->fault.wake.descriptor);
	kona_os_close(space->evict.wake);
	kona_os_close(space->evict.handler_death);
	kona_os_close(space->evict.death.descriptor);
	kona_os_close(space->lineage.spare);
	/* The parent's end of our own socket pair. */
	if (space->lineage.announced)
		kona_os_close(space->lineage.announced->life.descriptor);
	for (struct kona_child *child = space->lineage.children; child; child = child->next) {
		kona_os_close(child->executor.uffd);
		kona_os_close(child->life.descriptor);
	}
}

static void locks_child(void)
{
	struct kona_space *space = kona_process_space();
	int rc;

	kona_alloc_leave(route);
	if (!space)
		return;
	close_parents(space);
	heir_is_new = false;
	if (heritage) {
		rc = kona_heir_init(&heir, space, heritage, space->lineage.child_end);
		if (rc)
			kona_fatal("fork: the parent is gone: %s", strerror(-rc));
		set_inheritance(space, MADV_DONTFORK);
		heir_is_new = true;
	}
	kona_process_become_child(heir_is_new ? &heir : NULL);
	pthread_sigmask(SIG_SETMASK, &signals, NULL);
}

static void threads_child(void)
{
	enum kona_route before;
	int rc;

	if (!heir_is_new)
		return;
	heir_is_new = false;
	before = kona_alloc_enter_local();
	rc = kona_heir_start(&heir);
	kona_alloc_leave(before);
	if (rc)
		kona_fatal("fork: the child cannot start a thread: %s", strerror(-rc));
	kona_alloc_forked();
}

int kona_fork_init_locks(void)
{
	return -pthread_atfork(locks_prepare, locks_parent, locks_child);
}

int kona_fork_init_threads(void)
{
	return -pthread_atfork(threads_prepare, NULL, threads_child);
}
