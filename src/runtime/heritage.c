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
	uint64_t bytes = sizeof(struct kona_heritage) + 2 * words * sizeof(uint64_t) +
			 words * sizeof(uint32_t);
	struct kona_heritage *heritage = kona_os_mmap(NULL, bytes, PROT_READ | PROT_WRITE,
						      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (heritage == MAP_FAILED)
		return NULL;
	heritage->pages = pages;
	heritage->words = words;
	heritage->mapped_bytes = bytes;
	heritage->ranks = (uint32_t *)(void *)&heritage->bits[2 * words];
	return heritage;
}

void kona_heritage_delete(struct kona_heritage *heritage)
{
	kona_os_munmap(heritage, heritage->mapped_bytes);
}

void kona_heritage_snapshot(struct kona_heritage *heritage, struct kona_space *space)
{
	uint32_t rank = 0;

	for (uint64_t word = 0; word < heritage->words; word++) {
		uint64_t far = 0;

		for (uint64_t i = 0; i < 64 && word * 64 + i < heritage->pages; i++)
			if (kona_pt_load(&space->pt, word * 64 + i) & KONA_PT_FAR)
				far |= UINT64_C(1) << i;
		heritage->bits[word] = far;
		heritage->ranks[word] = rank;
		rank += (uint32_t)__builtin_popcountll(far);
	}
}

bool kona_heritage_far(const struct kona_heritage *heritage, uint64_t page)
{
	return page < heritage->pages && heritage->bits[page / 64] >> page % 64 & 1;
}

static bool is_saved(const struct kona_heritage *heritage, uint64_t page)
{
	/* HE-1: acquire, pairs with the OR in kona_heritage_mark_saved(). */
	uint64_t word = kona_load_acquire(&heritage->bits[heritage->words + page / 64]);

	return word >> page % 64 & 1;
}

bool kona_heritage_needs(const struct kona_heritage *heritage, uint64_t page)
{
	return kona_heritage_far(heritage, page) && !is_saved(heritage, page);
}

bool kona_heritage_shelf(const struct kona_heritage *heritage, uint64_t page, uint64_t *ret_page)
{
	uint64_t before = heritage->bits[page / 64] & ((UINT64_C(1) << page % 64) - 1);
	uint64_t rank = heritage->ranks[page / 64] + (uint64_t)__builtin_popcountll(before);

	if (rank >= heritage->shelf_pages)
		return false;
	*ret_page = heritage->shelf_page + rank;
	return true;
}

void kona_heritage_mark_saved(struct kona_heritage *heritage, uint64_t page)
{
	/* HE-1: acquire-release; the shelf was written before, the store is overwritten later. */
	(void)kona_or_acq_rel(&heritage->bits[heritage->words + page / 64], UINT64_C(1)
										    << page % 64);
}

/* Where the far page can be read now. False: the parent is about to map it. */
static bool locate(const struct kona_executor *executor, uint64_t page, uint64_t *ret_at)
{
	*ret_at = page;
	if (!is_saved(executor->heritage, page))
		return true;
	/* A parent that ended before it mapped the page did not overwrite it either. */
	return kona_heritage_shelf(executor->heritage, page, ret_at) || executor->parent_gone;
}

/* Reads far pages from `page` on, at most `most`. Returns how many, or -errno. */
static int read_run(const struct kona_executor *executor, uint64_t page, uint32_t most)
{
	struct kona_read pieces[KONA_FETCH_MOST_PAGES];
	uint64_t at[KONA_FETCH_MOST_PAGES], system_calls = 0;
	uint32_t count = 0, good = 0;
	size_t used = 0;
	int rc;

	for (; count < most && kona_heritage_far(executor->heritage, page + count); count++) {
		if (!locate(executor, page + count, &at[count]))
			break;
		if (count && at[count] == at[count - 1] + 1)
			pieces[used - 1].size_bytes += KONA_PAGE_BYTES;
		else
			pieces[used++] = (struct kona_read){at[count] * KONA_PAGE_BYTES,
							    executor->bounce +
								    (size_t)count * KONA_PAGE_BYTES,
							    KONA_PAGE_BYTES};
	}
	if (!count)
		return 0;
	rc = executor->store->ops->read(executor->store, pieces, used, &system_calls);
	if (rc)
		return rc;
	/* HE-1: what was overwritten meanwhile stands elsewhere by now. */
	while (good < count) {
		uint64_t now;

		if (!locate(executor, page + good, &now) || now != at[good])
			break;
		good++;
	}
	return (int)good;
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
	int count;

	if (!kona_heritage_far(executor->heritage, page))
		return map_pages(executor, page, executor->zeros, 1, false);
	widen(executor, page);
	if (executor->trim)
		kona_trim(executor, executor->window_pages);
	count = read_run(executor, page, executor->window_pages);
	if (count < 0)
		return count;
	executor->next_page = page + (uint64_t)count;
	if (count)
		return map_pages(executor, page, executor->bounce, (uint32_t)count, true);
	/* Not there yet, or overwritten while it was read: the thread faults again. */
	kona_uffd_wake(executor->uffd, executor->base + page * KONA_PAGE_BYTES, KONA_PAGE_BYTES);
	return 0;
}
