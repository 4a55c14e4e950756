/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drops pages that an heir fetched and did not write (heir -> heritage -> trim). The store still
 * has them, or the shelf; unless there is no room on that, and the parent is overwriting one just
 * now:
 *
 *   parent: saved = 1; map the old contents into the child (it is there: EEXIST); overwrite
 *   child:  copy the page aside; drop it; saved = 1 now? map the copy
 *
 * If the parent found the page there, saved was 1 before the drop, so the child sees it (HE-1, and
 * the system calls on both sides in between).
 *
 * State: the account. What can fail: nothing that matters; a page that cannot be dropped stays.
 */
#include "runtime/trim.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/units.h"
#include "runtime/heritage.h"
#include "runtime/os.h"

int kona_trim_init(struct kona_trim *trim, uint64_t pages, uint32_t most_pages)
{
	*trim = (struct kona_trim){.pages = pages, .ring_pages = most_pages};
	pthread_mutex_init(&trim->lock, NULL);
	trim->memory = kona_os_raise(
		(int)syscall(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDONLY | O_CLOEXEC));
	trim->clean = kona_os_alloc(pages / 8 + sizeof(uint64_t));
	trim->ring = kona_os_alloc(most_pages * sizeof(uint64_t));
	trim->copy = kona_os_alloc(KONA_PAGE_BYTES);
	if (trim->memory >= 0 && trim->clean && trim->ring && trim->copy)
		return 0;
	kona_trim_destroy(trim);
	return -ENOMEM;
}

void kona_trim_destroy(struct kona_trim *trim)
{
	kona_os_close(trim->memory);
	if (trim->clean)
		kona_os_munmap(trim->clean, trim->pages / 8 + sizeof(uint64_t));
	if (trim->ring)
		kona_os_munmap(trim->ring, trim->ring_pages * sizeof(uint64_t));
	if (trim->copy)
		kona_os_munmap(trim->copy, KONA_PAGE_BYTES);
	*trim = (struct kona_trim){.memory = -1};
}

void kona_trim_note(struct kona_trim *trim, uint64_t page)
{
	/* No edge, as below: a store to the page waits for the thread that does this. */
	kona_or_acq_rel(&trim->clean[page / 64], UINT64_C(1) << page % 64);
	if (trim->count == trim->ring_pages) { /* its oldest page stays, then */
		trim->first = (trim->first + 1) % trim->ring_pages;
		trim->count--;
	}
	trim->ring[(trim->first + trim->count++) % trim->ring_pages] = page;
}

void kona_trim_keep(struct kona_trim *trim, uint64_t page)
{
	if (page < trim->pages) /* no edge: callers hold the lock, or are the heir's thread */
		kona_and_acq_rel(&trim->clean[page / 64], ~(UINT64_C(1) << page % 64));
}

static bool is_clean(const struct kona_trim *trim, uint64_t page)
{
	/* No edge: under the lock. */
	return kona_load_acquire(&trim->clean[page / 64]) >> page % 64 & 1;
}

static void drop_page(struct kona_executor *executor, uint64_t page)
{
	struct kona_trim *trim = executor->trim;
	char *home = executor->base + page * KONA_PAGE_BYTES;
	uint64_t shelf_page;
	size_t done;

	if (pread(trim->memory, trim->copy, KONA_PAGE_BYTES, (off_t)(uintptr_t)home) !=
		    KONA_PAGE_BYTES ||
	    kona_os_madvise(home, KONA_PAGE_BYTES, MADV_DONTNEED))
		return;
	kona_trim_keep(trim, page);
	/* Whether the parent lives or not: with saved = 1 the store may hold its new bytes. */
	if (kona_heritage_needs(executor->heritage, page) ||
	    kona_heritage_shelf(executor->heritage, page, &shelf_page))
		return;
	/* EEXIST: the parent's copy came first. */
	if (kona_uffd_copy(executor->uffd, home, trim->copy, KONA_PAGE_BYTES, false, &done))
		kona_uffd_wake(executor->uffd, home, KONA_PAGE_BYTES);
}

void kona_trim(struct kona_executor *executor, uint32_t room)
{
	struct kona_trim *trim = executor->trim;

	if (trim->ring_pages - trim->count >= room || pthread_mutex_trylock(&trim->lock))
		return;
	while (trim->count && trim->ring_pages - trim->count < room) {
		uint64_t page = trim->ring[trim->first];

		trim->first = (trim->first + 1) % trim->ring_pages;
		trim->count--;
		if (is_clean(trim, page))
			drop_page(executor, page);
	}
	pthread_mutex_unlock(&trim->lock);
}
