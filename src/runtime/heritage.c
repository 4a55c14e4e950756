/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a forked child inherits (fork -> lineage, heir -> heritage -> transport). State: the bit
 * maps that parent and child share. No locks: HE-1 is the whole protocol.
 */
#include "runtime/heritage.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "base/units.h"
#include "runtime/fetch.h"
#include "runtime/os.h"
#include "runtime/space.h"
#include "runtime/trim.h"

struct kona_heritage *kona_heritage_new(uint64_t pages)
{
	uint64_t words = (pages + 63) / 64;
	uint64_t bytes = sizeof(struct kona_heritage) + 2 * words * sizeof(uint64_t);
	struct kona_heritage *heritage = kona_os_mmap(NULL, bytes, PROT_READ | PROT_WRITE,
						      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (heritage == MAP_FAILED)
		return NULL;
	heritage->pages = pages;
	heritage->words = words;
	heritage->mapped_bytes = bytes;
	return heritage;
}

void kona_heritage_delete(struct kona_heritage *heritage)
{
	kona_os_munmap(heritage, heritage->mapped_bytes);
}

void kona_heritage_snapshot(struct kona_heritage *heritage, struct kona_space *space)
{
	for (uint64_t page = 0; page < heritage->pages; page++)
		if (kona_pt_load(&space->pt, page) & KONA_PT_FAR)
			heritage->bits[page / 64] |= UINT64_C(1) << page % 64;
}

bool kona_heritage_far(const struct kona_heritage *heritage, uint64_t page)
{
	return page < heritage->pages && heritage->bits[page / 64] >> page % 64 & 1;
}

static bool is_saved(const struct kona_heritage *heritage, uint64_t page)
{
	/* HE-1: acquire, pairs with the CAS in kona_heritage_save(). */
	uint64_t word = kona_load_acquire(&heritage->bits[heritage->words + page / 64]);

	return word >> page % 64 & 1;
}

bool kona_heritage_needs(const struct kona_heritage *heritage, uint64_t page)
{
	return kona_heritage_far(heritage, page) && !is_saved(heritage, page);
}

bool kona_heritage_save(struct kona_heritage *heritage, uint64_t page)
{
	uint64_t bit = UINT64_C(1) << page % 64;

	if (!kona_heritage_far(heritage, page))
		return false;
	/* HE-1: acquire-release; the store is overwritten only later. */
	return !(kona_or_acq_rel(&heritage->bits[heritage->words + page / 64], bit) & bit);
}

/* How many pages from `page` on may be read now. */
static uint32_t readable(const struct kona_executor *executor, uint64_t page, uint32_t most)
{
	uint32_t count = 0;

	while (count < most && kona_heritage_far(executor->heritage, page + count) &&
	       (executor->parent_gone || !is_saved(executor->heritage, page + count)))
		count++;
	return count;
}

static void widen(struct kona_executor *executor, uint64_t page)
{
	if (page - executor->next_page >= KONA_FETCH_MOST_PAGES)
		executor->window_pages = 1;
	else if (executor->window_pages < KONA_FETCH_MOST_PAGES)
		executor->window_pages *= 2;
}

/* With an account of what may be dropped again, pages are mapped read-only: a store tells. */
static void note_mapped(struct kona_executor *executor, uint64_t page, uint32_t count)
{
	for (uint32_t i = 0; executor->trim && i < count; i++)
		kona_trim_note(executor->trim, page + i);
}

/* Maps count pages; those that are there already stay. */
static int map_pages(struct kona_executor *executor, uint64_t page, const char *content,
		     uint32_t count, bool far)
{
	int mapped = 0;

	for (uint32_t done = 0; done < count;) {
		char *to = executor->base + (page + done) * KONA_PAGE_BYTES;
		size_t bytes;
		int rc = kona_uffd_copy(
			executor->uffd, to, content + (size_t)done * KONA_PAGE_BYTES,
			(size_t)(count - done) * KONA_PAGE_BYTES, executor->trim && far, &bytes);
		if (far)
			note_mapped(executor, page + done, (uint32_t)(bytes / KONA_PAGE_BYTES));

		done += (uint32_t)(bytes / KONA_PAGE_BYTES);
		mapped += (int)(bytes / KONA_PAGE_BYTES);
		if (!rc)
			continue;
		to = executor->base + (page + done) * KONA_PAGE_BYTES;
		kona_uffd_wake(executor->uffd, to, KONA_PAGE_BYTES);
		if (rc != -EEXIST)
			break;
		done++;
	}
	return mapped;
}

int kona_heritage_serve(struct kona_executor *executor, uint64_t page)
{
	uint32_t count;
	int rc;

	if (!kona_heritage_far(executor->heritage, page))
		return map_pages(executor, page, executor->zeros, 1, false);
	widen(executor, page);
	if (executor->trim)
		kona_trim(executor, executor->window_pages);
	count = readable(executor, page, executor->window_pages);
	if (count) {
		rc = kona_transport_read(executor->store, page * KONA_PAGE_BYTES, executor->bounce,
					 (size_t)count * KONA_PAGE_BYTES);
		if (rc)
			return rc;
		count = readable(executor, page, count); /* HE-1: what was overwritten meanwhile */
	}
	executor->next_page = page + count;
	if (count)
		return map_pages(executor, page, executor->bounce, count, true);
	/* The parent is about to map it; the thread faults again until it has. */
	kona_uffd_wake(executor->uffd, executor->base + page * KONA_PAGE_BYTES, KONA_PAGE_BYTES);
	return 0;
}
