/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only file in which a page-table entry changes. The walk: fault and discard load and claim
 * here and settle when they are done; evict claims, steps and settles.
 *
 * State: the array. No locks: every change is one compare-and-swap, and a busy entry has one owner.
 * What can fail: the reservation at start; a claim that lost its race.
 */
#include "runtime/pagetable.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <kona/guard.h>

#include "base/atomic.h"

#define MARKS (KONA_PT_TOUCHED | KONA_PT_WAITED)

static_assert(KONA_GUARD_RESIDENT == 1 && KONA_GUARD_DELTA == KONA_PT_DELTA,
	      "include/kona/guard.h knows these bits of an entry");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	      "the futex word is the entry's lower half, which holds state and marks");

int kona_pt_init(struct kona_pagetable *pt, uint64_t pages)
{
	void *entries = mmap(NULL, pages * sizeof(uint64_t), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (entries == MAP_FAILED)
		return -errno;
	pt->entries = entries;
	pt->pages = pages;
	return 0;
}

void kona_pt_destroy(struct kona_pagetable *pt)
{
	munmap(pt->entries, pt->pages * sizeof(uint64_t));
	pt->entries = NULL;
}

uint64_t kona_pt_load(const struct kona_pagetable *pt, uint64_t page)
{
	/* PT-1: acquire, pairs with the release in kona_pt_settle(): who sees a page in place also
	 * sees its frame's baseline. */
	return kona_load_acquire(&pt->entries[page]);
}

bool kona_pt_claim(struct kona_pagetable *pt, uint64_t page, uint64_t seen, enum kona_pt_state busy)
{
	assert(!kona_pt_busy(seen) && kona_pt_busy(busy));
	/* PT-2: acquire-release, pairs with itself: the next owner sees all that the last one did.
	 */
	return kona_cas_acq_rel(&pt->entries[page], &seen, kona_pt_out_of_sight(seen, busy));
}

void kona_pt_step(struct kona_pagetable *pt, uint64_t page, enum kona_pt_state busy)
{
	/* Relaxed: only marks change under the owner, and the CAS reads them again. */
	uint64_t seen = kona_load_relaxed(&pt->entries[page]);

	assert(kona_pt_busy(seen) && kona_pt_busy(busy));
	/* PT-2. */
	while (!kona_cas_acq_rel(&pt->entries[page], &seen, kona_pt_out_of_sight(seen, busy)))
		;
}

/* Between the two idle states of a framed page. */
static bool change_sight(struct kona_pagetable *pt, uint64_t page, uint64_t seen, uint64_t entry)
{
	assert(kona_pt_framed(seen) && kona_pt_framed(entry));
	/* PT-2: acquire-release; who sees FRAME again sees all that was in the frame before. */
	return kona_cas_acq_rel(&pt->entries[page], &seen, entry);
}

bool kona_pt_cool(struct kona_pagetable *pt, uint64_t page, uint64_t seen)
{
	return change_sight(pt, page, seen, kona_pt_out_of_sight(seen, KONA_PT_COOLING));
}

bool kona_pt_recall(struct kona_pagetable *pt, uint64_t page, uint64_t seen, uint64_t entry)
{
	return change_sight(pt, page, seen, entry);
}

bool kona_pt_settle(struct kona_pagetable *pt, uint64_t page, uint64_t entry)
{
	uint64_t before;

	assert(!kona_pt_busy(entry) && !(entry & MARKS));
	assert(kona_pt_resident(entry) || !(entry & KONA_PT_DELTA));
	/* PT-1: release, pairs with the acquire in kona_pt_load(). PT-2. */
	before = kona_exchange_acq_rel(&pt->entries[page], entry);
	assert(kona_pt_busy(before));
	if (before & KONA_PT_WAITED)
		syscall(SYS_futex, &pt->entries[page], FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	return before & KONA_PT_TOUCHED;
}

bool kona_pt_wanted(const struct kona_pagetable *pt, uint64_t page)
{
	return kona_pt_load(pt, page) & MARKS;
}

/* Sets a mark on a busy entry. Returns the entry as it is then; idle: there was none to mark. */
static uint64_t mark(struct kona_pagetable *pt, uint64_t page, uint64_t flag)
{
	uint64_t seen = kona_pt_load(pt, page);

	while (kona_pt_busy(seen) && !(seen & flag))
		/* PT-2: the owner's exchange sees the mark, or this CAS fails and sees the end. */
		if (kona_cas_acq_rel(&pt->entries[page], &seen, seen | flag))
			return seen | flag;
	return seen;
}

bool kona_pt_touch(struct kona_pagetable *pt, uint64_t page)
{
	return kona_pt_busy(mark(pt, page, KONA_PT_TOUCHED));
}

uint64_t kona_pt_want(struct kona_pagetable *pt, uint64_t page)
{
	return mark(pt, page, KONA_PT_WAITED);
}

void kona_pt_sleep(struct kona_pagetable *pt, uint64_t page, uint64_t seen)
{
	/* A change before the kernel looks makes it return at once (EAGAIN). */
	syscall(SYS_futex, &pt->entries[page], FUTEX_WAIT_PRIVATE, (uint32_t)seen, NULL, NULL, 0);
}
