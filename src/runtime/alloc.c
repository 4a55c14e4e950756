/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Places the program's heap in VFMem (interpose -> alloc -> region).
 *
 * A few far arenas are made, as threads appear; a thread is tied to one, so that jemalloc's
 * ordinary entry points and thread caches serve it. Arena 0 keeps jemalloc's own hooks, which map
 * local memory; metadata of all arenas lies there.
 *
 * State: the arenas made so far. What can fail: no range of VFMem, which is ENOMEM to the program.
 */
#include "runtime/alloc.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/units.h"
#include "runtime/discard.h"
#include "runtime/fatal.h"
#include "runtime/jemalloc.h"
#include "runtime/os.h"
#include "runtime/process.h"
#include "runtime/space.h"

enum { MOST_ARENAS = 8 };

__thread enum kona_route kona_alloc_route;

static unsigned arenas[MOST_ARENAS]; /* number + 1; Atomic, edge AL-1 */
static unsigned next_thread;	     /* Atomic, no edge */

/* Pages are dropped soon after they were freed: a page that waits may be written back in vain. */
const char *kona_je_malloc_conf =
	"narenas:1,dirty_decay_ms:1000,muzzy_decay_ms:0,metadata_thp:disabled,thp:never";

/* --- extent hooks: true means failure ----------------------------------------------------------
 */

/* A child that may not grow VFMem takes local memory. */
static void *alloc_local(size_t size, size_t alignment)
{
	size_t whole = size + alignment;
	char *start = kona_os_mmap(NULL, whole, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *aligned;

	if (start == MAP_FAILED)
		return NULL;
	aligned = (char *)kona_round_up((uintptr_t)start, alignment);
	if (aligned > start)
		kona_os_munmap(start, (size_t)(aligned - start));
	kona_os_munmap(aligned + size, (size_t)(start + whole - aligned) - size);
	return aligned;
}

static void *extent_alloc(extent_hooks_t *hooks, void *wanted, size_t size, size_t alignment,
			  bool *zero, bool *commit, unsigned arena)
{
	struct kona_space *space = kona_process_space();
	void *extent;

	if (wanted)
		return NULL;
	if (alignment < KONA_PAGE_BYTES)
		alignment = KONA_PAGE_BYTES;
	if (space)
		extent = kona_region_alloc(space, size / KONA_PAGE_BYTES,
					   alignment / KONA_PAGE_BYTES, PROT_READ | PROT_WRITE);
	else
		extent = alloc_local(size, alignment);
	if (extent) {
		*zero = true;
		*commit = true;
	}
	return extent;
}

static bool extent_dalloc(extent_hooks_t *hooks, void *address, size_t size, bool committed,
			  unsigned arena)
{
	struct kona_space *space = kona_process_space();

	if (space && kona_space_contains(space, address)) {
		kona_region_free(space, kona_space_page(space, address), size / KONA_PAGE_BYTES);
		return false;
	}
	if (kona_process_inherited(address))
		return true; /* jemalloc keeps it, and uses it again */
	return kona_os_munmap(address, size);
}

static bool extent_purge(extent_hooks_t *hooks, void *address, size_t size, size_t offset,
			 size_t length, unsigned arena)
{
	struct kona_space *space = kona_process_space();
	char *start = (char *)address + offset;

	if (space && kona_space_contains(space, start)) {
		kona_discard(space, kona_space_page(space, start), length / KONA_PAGE_BYTES);
		return false;
	}
	if (kona_process_inherited(start))
		return true;
	return kona_os_madvise(start, length, MADV_DONTNEED);
}

static bool extent_split(extent_hooks_t *hooks, void *address, size_t size, size_t one,
			 size_t other, bool committed, unsigned arena)
{
	return false;
}

/* Neighbours may be merged when they lie in the same kind of memory. */
static bool extent_merge(extent_hooks_t *hooks, void *one, size_t one_size, void *other,
			 size_t other_size, bool committed, unsigned arena)
{
	struct kona_space *space = kona_process_space();
	bool one_far = space && kona_space_contains(space, one);
	bool other_far = space && kona_space_contains(space, other);

	return one_far != other_far || kona_process_inherited(one) != kona_process_inherited(other);
}

static extent_hooks_t hooks = {
	.alloc = extent_alloc,
	.dalloc = extent_dalloc,
	.purge_forced = extent_purge,
	.split = extent_split,
	.merge = extent_merge,
};

/* --- routes ------------------------------------------------------------------------------------
 */

static int make_arena(unsigned *ret_arena)
{
	struct kona_je_arena_config config = {&hooks, false};
	size_t size = sizeof(*ret_arena);

	return -kona_je_mallctl("experimental.arenas_create_ext", ret_arena, &size, &config,
				sizeof(config));
}

/* The arena of the next thread. Two threads may race to make one; the loser's stays unused. */
static int choose_arena(unsigned *ret_arena)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned count = cpus < 1 ? 1 : cpus > MOST_ARENAS ? MOST_ARENAS : (unsigned)cpus;
	/* relaxed: only spreads threads */
	unsigned index = kona_add_relaxed(&next_thread, 1) % count;
	unsigned seen = kona_load_acquire(&arenas[index]); /* AL-1 */
	unsigned arena;
	int rc;

	if (!seen) {
		rc = make_arena(&arena);
		if (rc)
			return rc;
		/* AL-1: acquire-release, pairs with the load above. */
		if (kona_cas_acq_rel(&arenas[index], &seen, arena + 1))
			seen = arena + 1;
	}
	*ret_arena = seen - 1;
	return 0;
}

enum kona_route kona_alloc_enter_local(void)
{
	enum kona_route before = kona_alloc_route;

	kona_alloc_route = KONA_ROUTE_LOCAL;
	return before;
}

void kona_alloc_leave(enum kona_route before)
{
	kona_alloc_route = before;
}

enum kona_route kona_alloc_decide(void)
{
	int saved = errno;
	unsigned arena;

	switch (kona_process_prepare()) {
	case KONA_PROCESS_STARTING:
		return KONA_ROUTE_LOCAL; /* not for long: decide again next time */
	case KONA_PROCESS_PLAIN:
		kona_alloc_route = KONA_ROUTE_PLAIN;
		return KONA_ROUTE_PLAIN;
	case KONA_PROCESS_FAR:
		break;
	}
	kona_alloc_route = KONA_ROUTE_LOCAL;
	if (choose_arena(&arena) ||
	    kona_je_mallctl("thread.arena", NULL, NULL, &arena, sizeof(arena)))
		kona_fatal("the allocator has no arena in remote memory");
	kona_alloc_route = KONA_ROUTE_FAR;
	errno = saved;
	return KONA_ROUTE_FAR;
}

void kona_alloc_forked(void)
{
	kona_alloc_route = KONA_ROUTE_UNDECIDED;
}
