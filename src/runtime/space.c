/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Puts a space together: reserves VFMem, registers it with a userfaultfd, starts the threads.
 * What can fail: address space, the userfaultfd, descriptors, a budget too small.
 */
#include "runtime/space.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "runtime/cool.h"
#include "runtime/fatal.h"
#include "runtime/hazard.h"
#include "runtime/os.h"

/* Values of a shield: there is none; all know of it; or some may not yet. */
enum { SHIELD_NONE, SHIELD_KNOWN, SHIELD_NEW };

/*
 * VFMem starts without access: regions open what they hand out, and a stray pointer is a SIGSEGV.
 * No huge pages (a page is the unit of everything here); not in core dumps, where missing pages
 * would be zeros; not inherited by forks that are not announced (fork.c).
 */
int kona_space_reserve(struct kona_space *space, uint64_t first, uint64_t pages)
{
	size_t bytes = pages * KONA_PAGE_BYTES;
	void *start = kona_os_mmap(kona_space_address(space, first), bytes, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	if (start == MAP_FAILED)
		return -ENOMEM;
	kona_os_madvise(start, bytes, MADV_NOHUGEPAGE);
	kona_os_madvise(start, bytes, MADV_DONTDUMP);
	kona_os_madvise(start, bytes, MADV_DONTFORK);
	return kona_uffd_register(space->uffd, start, bytes, space->write_protect);
}

/* VFMem, and FMem right above it, which starts on a huge page. The kernel fills FMem by huge pages
 * where it can; pages of frames move, so it is inherited by nobody. */
static int reserve_all(struct kona_space *space)
{
	size_t vfmem = space->pages * KONA_PAGE_BYTES, huge = KONA_FRAME_CHUNK * KONA_PAGE_BYTES;
	size_t fmem = kona_frames_bytes(&space->frames), whole = vfmem + fmem + huge;
	char *start = kona_os_mmap(NULL, whole, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *frames;

	if (start == MAP_FAILED)
		return -ENOMEM;
	frames = (char *)kona_round_up((uintptr_t)start + vfmem, huge);
	space->base = frames - vfmem;
	if (kona_os_mprotect(frames, fmem, PROT_READ | PROT_WRITE))
		return -ENOMEM;
	kona_os_madvise(frames, fmem, MADV_HUGEPAGE);
	kona_os_madvise(frames, fmem, MADV_DONTDUMP);
	kona_os_madvise(frames, fmem, MADV_DONTFORK);
	space->line_marks = kona_os_alloc((vfmem + fmem) / KONA_LINE_BYTES);
	if (!space->line_marks)
		return -ENOMEM;
	kona_frames_place(&space->frames, frames, space->uffd,
			  space->line_marks + vfmem / KONA_LINE_BYTES);
	return kona_space_reserve(space, 0, space->pages);
}

static int init_parts(struct kona_space *space, const struct kona_space_options *options)
{
	int rc = kona_dirty_init(&space->dirty, options->dirty_mode);

	if (!rc)
		rc = kona_frames_init(&space->frames, options->local_bytes,
				      kona_dirty_baseline_bytes(options->dirty_mode), space->pages);
	if (!rc)
		rc = kona_pt_init(&space->pt, space->pages);
	if (!rc)
		rc = kona_region_init(&space->region, space->pages, space->slab_pages,
				      &options->grower);
	if (!rc)
		rc = kona_fetch_init(&space->fetch);
	if (!rc)
		rc = kona_lineage_init(space);
	return rc;
}

int kona_space_init(struct kona_space *space, const struct kona_space_options *options)
{
	int rc;

	*space = (struct kona_space){
		.pages = options->size_bytes / KONA_PAGE_BYTES,
		.slab_pages = options->slab_bytes / KONA_PAGE_BYTES,
		.write_protect = options->dirty_mode == KONA_DIRTY_WP,
		.store = options->store,
		.stats = options->stats,
		.uffd = -1,
	};
	pthread_mutex_init(&space->write_back, NULL);
	space->slab_local = kona_os_alloc(space->pages / space->slab_pages * sizeof(uint32_t));
	space->shield = kona_os_alloc(space->pages / KONA_SHIELD_PAGES + 1);
	if (!space->slab_local || !space->shield)
		return -ENOMEM;
	rc = init_parts(space, options);
	if (!rc)
		rc = kona_uffd_open(&space->uffd);
	if (!rc)
		rc = reserve_all(space);
	if (!rc)
		rc = kona_evict_init(space);
	if (!rc)
		rc = kona_fault_start(space);
	if (!rc)
		rc = kona_evict_start(space);
	if (rc)
		return rc;
	space->stats->local_budget_bytes = options->local_bytes;
	space->stats->metadata_bytes = kona_frames_metadata_bytes(&space->frames);
	return 0;
}

void kona_space_lock(struct kona_space *space, sigset_t *ret_signals)
{
	kona_os_block_signals(ret_signals);
	pthread_mutex_lock(&space->write_back);
	kona_store_relaxed(&space->foreign, true); /* relaxed: a hint to fetch */
}

bool kona_space_try_lock(struct kona_space *space, sigset_t *ret_signals)
{
	kona_os_block_signals(ret_signals);
	if (!pthread_mutex_trylock(&space->write_back)) {
		kona_store_relaxed(&space->foreign, true); /* relaxed: a hint to fetch */
		return true;
	}
	pthread_sigmask(SIG_SETMASK, ret_signals, NULL);
	return false;
}

void kona_space_unlock(struct kona_space *space, const sigset_t *signals)
{
	kona_store_relaxed(&space->foreign, false); /* relaxed: a hint to fetch */
	pthread_mutex_unlock(&space->write_back);
	pthread_sigmask(SIG_SETMASK, signals, NULL);
}

void kona_space_expect_guards(struct kona_space *space)
{
	kona_store_relaxed(&space->guarded, true); /* relaxed: set only */
	if (space->store->ops->expect_guards)
		space->store->ops->expect_guards(space->store);
}

int64_t kona_space_resize(struct kona_space *space, uint64_t local_bytes)
{
	sigset_t signals;
	int64_t left;

	kona_space_lock(space, &signals);
	kona_flight_land_old(space);
	left = kona_frames_resize(&space->frames, local_bytes);
	for (int moved = 1; left > 0 && moved > 0;) {
		moved = kona_evict_batch(space);
		left = kona_frames_resize(&space->frames, local_bytes);
	}
	if (left >= 0) {
		kona_evict_adjust(space);
		if (kona_cool_resize(space))
			kona_warn(
				"no memory for a larger queue of cooling pages; the old one stays");
		/* relaxed: levels, both */
		kona_store_relaxed(&space->stats->local_budget_bytes, local_bytes);
		kona_store_relaxed(&space->stats->metadata_bytes,
				   kona_frames_metadata_bytes(&space->frames));
	}
	kona_space_unlock(space, &signals);
	return left;
}

void kona_space_shield(struct kona_space *space, uint64_t first, uint64_t pages)
{
	uint64_t from = first / KONA_SHIELD_PAGES, to = (first + pages - 1) / KONA_SHIELD_PAGES;
	bool known = true;
	sigset_t signals;

	for (uint64_t i = from; i <= to; i++) {
		/* SH-1: acquire, pairs with the release below. */
		if (kona_load_acquire(&space->shield[i]) == SHIELD_KNOWN)
			continue;
		kona_store_relaxed(&space->shield[i], SHIELD_NEW); /* relaxed: what follows */
		known = false;
	}
	if (known)
		return;
	kona_hazard_close_gate(&signals);
	kona_hazard_open_gate(&signals);
	for (uint64_t i = from; i <= to; i++)
		/* SH-1: release; who finds it so need not wait. */
		kona_store_release(&space->shield[i], SHIELD_KNOWN);
}

void kona_space_wake(struct kona_space *space, uint64_t page)
{
	kona_uffd_wake(space->uffd, kona_space_address(space, page), KONA_PAGE_BYTES);
}

void kona_space_count_local(struct kona_space *space, const uint64_t *pages, uint32_t count,
			    int change)
{
	uint64_t all = (uint64_t)((int64_t)change * count);
	/* relaxed: levels, all of them */
	uint64_t level = kona_add_relaxed(&space->stats->local_pages, all) + all;

	for (uint32_t i = 0; i < count; i++)
		kona_add_relaxed(&space->slab_local[pages[i] / space->slab_pages],
				 (uint32_t)change);
	if (change > 0 && level > kona_load_relaxed(&space->stats->local_pages_peak))
		kona_store_relaxed(&space->stats->local_pages_peak, level);
}
