/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ranges of VFMem (alloc, interpose -> region -> broker). First fit in a sorted vector of free
 * ranges: addresses stay low and dense, so that slabs are used up before new ones are asked for.
 *
 * Slabs come in grants that double (1, 2, 4 ... grower.most_slabs): few descriptors for large
 * programs, little waste for small ones. A grant that is refused is asked for again at the size
 * that is needed.
 *
 * State: the free ranges and how many slabs are in place, under the region lock. What can fail:
 * no range is large enough, the rack grants nothing, the kernel has no mappings left.
 */
#include "runtime/region.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "base/units.h"
#include "runtime/discard.h"
#include "runtime/fatal.h"
#include "runtime/flight.h"
#include "runtime/inplace.h"
#include "runtime/os.h"
#include "runtime/space.h"
#include "runtime/vacate.h"

enum { FIRST_ROOM = 4096 };

#define SPARE_PAUSE_NS (UINT64_C(10) * 1000000000)

int kona_region_init(struct kona_region *region, uint64_t pages, uint64_t slab_pages,
		     const struct kona_grower *grower)
{
	*region = (struct kona_region){
		.grower = *grower,
		.free = kona_os_alloc(FIRST_ROOM * sizeof(struct kona_range)),
		.free_room = FIRST_ROOM,
		.free_count = 1,
		.slab_pages = slab_pages,
		.slab_there = kona_os_alloc(pages / slab_pages),
	};
	if (!region->free || !region->slab_there)
		return -ENOMEM;
	pthread_mutex_init(&region->lock, NULL);
	region->free[0] = (struct kona_range){0, pages};
	return 0;
}

uint64_t kona_region_used_pages(const struct kona_region *region)
{
	return kona_load_relaxed(&region->used_slabs) *
	       region->slab_pages; /* relaxed: grows only */
}

/* --- slabs -------------------------------------------------------------------------------------*/

static int grow_by(struct kona_space *space, uint64_t first, uint64_t count, bool patient)
{
	struct kona_region *region = &space->region;
	int rc = region->grower.grow(region->grower.context, first, count, patient);

	if (rc)
		return rc;
	memset(&region->slab_there[first], true, count);
	region->held_slabs += count;
	if (first + count > region->used_slabs)
		kona_store_relaxed(&region->used_slabs, first + count); /* relaxed: grows only */
	/* relaxed: levels, both */
	kona_add_relaxed(&space->stats->remote_slabs, count);
	kona_add_relaxed(&space->stats->remote_bytes, count * region->slab_pages * KONA_PAGE_BYTES);
	return 0;
}

/* How many slabs from `first` on are not there, at most `most`. */
static uint64_t count_missing(const struct kona_space *space, uint64_t first, uint64_t most)
{
	uint64_t slabs = space->pages / space->slab_pages, count = 0;

	while (count < most && first + count < slabs && !space->region.slab_there[first + count])
		count++;
	return count;
}

/* Slabs for all of the pages. */
static int ensure_slabs(struct kona_space *space, uint64_t first_page, uint64_t pages, bool patient)
{
	struct kona_region *region = &space->region;
	uint64_t end = (first_page + pages + region->slab_pages - 1) / region->slab_pages;

	for (uint64_t slab = first_page / region->slab_pages; slab < end; slab++) {
		uint64_t most = region->grower.most_slabs, needed, wanted;
		int rc;

		if (region->slab_there[slab])
			continue;
		needed = count_missing(space, slab, end - slab < most ? end - slab : most);
		wanted = count_missing(space, slab,
				       region->held_slabs < most ? region->held_slabs : most);
		rc = grow_by(space, slab, wanted > needed ? wanted : needed, patient);
		if (rc && wanted > needed)
			rc = grow_by(space, slab, needed, patient);
		if (rc)
			return rc;
	}
	return 0;
}

/* --- ranges ------------------------------------------------------------------------------------*/

static int make_room(struct kona_region *region)
{
	struct kona_range *larger;
	uint64_t room = 2 * region->free_room;

	if (region->free_count + 1 < region->free_room)
		return 0;
	larger = kona_os_alloc(room * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	memcpy(larger, region->free, region->free_count * sizeof(*larger));
	kona_os_munmap(region->free, region->free_room * sizeof(*larger));
	region->free = larger;
	region->free_room = room;
	return 0;
}

static void remove_range(struct kona_region *region, uint64_t index)
{
	region->free_count--;
	memmove(&region->free[index], &region->free[index + 1],
		(region->free_count - index) * sizeof(region->free[0]));
}

static void insert_range(struct kona_region *region, uint64_t index, struct kona_range range)
{
	memmove(&region->free[index + 1], &region->free[index],
		(region->free_count - index) * sizeof(region->free[0]));
	region->free[index] = range;
	region->free_count++;
}

/* Index of the first free range that ends behind `page`. */
static uint64_t find_range(const struct kona_region *region, uint64_t page)
{
	uint64_t low = 0, high = region->free_count;

	while (low < high) {
		uint64_t middle = (low + high) / 2;

		if (region->free[middle].first + region->free[middle].count > page)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Takes [first, first + count) out of the free range `index`, which holds it. Room was made. */
static void carve(struct kona_region *region, uint64_t index, uint64_t first, uint64_t count)
{
	struct kona_range *range = &region->free[index];
	struct kona_range behind = {first + count, range->first + range->count - first - count};

	range->count = first - range->first;
	if (!range->count)
		remove_range(region, index);
	else
		index++;
	if (behind.count)
		insert_range(region, index, behind);
}

/* Makes [first, end) free, joining it with what is free around and within it. Room was made. */
static void join(struct kona_region *region, uint64_t first, uint64_t end)
{
	uint64_t index = find_range(region, first ? first - 1 : 0);

	while (index < region->free_count && region->free[index].first <= end) {
		struct kona_range *range = &region->free[index];

		if (range->first < first)
			first = range->first;
		if (range->first + range->count > end)
			end = range->first + range->count;
		remove_range(region, index);
	}
	insert_range(region, index, (struct kona_range){first, end - first});
}

/* First fit. */
static int find_fit(const struct kona_region *region, uint64_t pages, uint64_t align_pages,
		    uint64_t *ret_index, uint64_t *ret_first)
{
	for (uint64_t i = 0; i < region->free_count; i++) {
		const struct kona_range *range = &region->free[i];
		uint64_t first = kona_round_up(range->first, align_pages);

		if (first + pages <= range->first + range->count) {
			*ret_index = i;
			*ret_first = first;
			return 0;
		}
	}
	return -ENOMEM;
}

/* --- the interface -----------------------------------------------------------------------------*/

static void say_no_more(int error)
{
	static int said; /* Atomic, no edge */

	if (!kona_exchange_acq_rel(&said, 1))
		kona_warn("no more remote memory: %s; allocations fail from here on",
			  strerror(-error));
}

/* Of a range that is free, or about to be. Protection changes wait for evictions of the range,
 * which may be copying (vacate.c). */
static int protect(struct kona_space *space, uint64_t first, uint64_t pages, int protection)
{
	sigset_t signals;
	int rc;

	kona_space_lock(space, &signals);
	rc = kona_os_mprotect(kona_space_address(space, first), pages * KONA_PAGE_BYTES, protection)
		     ? -errno
		     : 0;
	kona_space_unlock(space, &signals);
	return rc;
}

/* Of a range that may hold pages. Where the kernel's protection is to be felt, guarded code must
 * not go to frames. */
static int protect_in_use(struct kona_space *space, uint64_t first, uint64_t pages, int protection)
{
	bool plain = protection == (PROT_READ | PROT_WRITE);
	sigset_t signals;
	int rc;

	if (!plain)
		kona_space_shield(space, first, pages);
	kona_space_lock(space, &signals);
	if (!plain)
		kona_inplace_enter_range(space, first, pages);
	rc = kona_os_mprotect(kona_space_address(space, first), pages * KONA_PAGE_BYTES, protection)
		     ? -errno
		     : 0;
	kona_space_unlock(space, &signals);
	return rc;
}

/* Makes a range that lies in free range `index` usable. The caller holds the region lock. */
static int occupy_locked(struct kona_space *space, uint64_t index, uint64_t first, uint64_t pages,
			 int protection)
{
	int rc = make_room(&space->region);

	if (!rc && protection != PROT_NONE)
		rc = ensure_slabs(space, first, pages, true);
	if (!rc)
		rc = protect_in_use(space, first, pages, protection);
	if (!rc)
		carve(&space->region, index, first, pages);
	return rc;
}

void *kona_region_alloc(struct kona_space *space, uint64_t pages, uint64_t align_pages,
			int protection)
{
	struct kona_region *region = &space->region;
	uint64_t index, first;
	int rc;

	do {
		pthread_mutex_lock(&region->lock);
		rc = find_fit(region, pages, align_pages, &index, &first);
		if (!rc)
			rc = occupy_locked(space, index, first, pages, protection);
		pthread_mutex_unlock(&region->lock);
	} while (rc && kona_lineage_reclaim(space));
	if (rc)
		say_no_more(rc);
	return rc ? NULL : kona_space_address(space, first);
}

int kona_region_spare(struct kona_space *space, uint64_t pages, uint64_t *ret_first)
{
	struct kona_region *region = &space->region;
	uint64_t index, first;
	int rc = -EAGAIN;

	pthread_mutex_lock(&region->lock);
	if (!region->refused_ns || kona_now_ns() - region->refused_ns > SPARE_PAUSE_NS) {
		rc = find_fit(region, pages, 1, &index, &first);
		if (!rc)
			rc = make_room(region);
		if (!rc)
			rc = ensure_slabs(space, first, pages, false);
		region->refused_ns = rc ? kona_now_ns() : 0;
	}
	if (!rc) {
		carve(region, index, first, pages);
		*ret_first = first;
	}
	pthread_mutex_unlock(&region->lock);
	return rc;
}

/* Takes what is free of [first, end) out of the free ranges. */
static int carve_all(struct kona_region *region, uint64_t first, uint64_t end)
{
	for (;;) {
		uint64_t index = find_range(region, first), from, to;
		int rc = make_room(region);

		if (rc)
			return rc;
		if (index == region->free_count || region->free[index].first >= end)
			return 0;
		from = region->free[index].first > first ? region->free[index].first : first;
		to = region->free[index].first + region->free[index].count;
		carve(region, index, from, (to < end ? to : end) - from);
	}
}

static bool all_free(const struct kona_region *region, uint64_t first, uint64_t end)
{
	uint64_t index = find_range(region, first);
	const struct kona_range *range = &region->free[index];

	return index < region->free_count && range->first <= first &&
	       end <= range->first + range->count;
}

/* For guards these pages are at their own address; the runtime has nothing to do with them. One
 * that is still in a slot keeps its frame (KONA_PT_ZERO) until it comes back. */
static void settle_outside(struct kona_space *space, uint64_t page)
{
	uint64_t entry, flags = KONA_PT_STALE; /* what the store holds is of an earlier life */
	uint32_t frame = 0;

	do
		entry = kona_flight_await(space, page);
	while (!kona_pt_claim(&space->pt, page, entry, KONA_PT_FETCHING));
	if (kona_pt_framed(entry) || kona_pt_state(entry) == KONA_PT_INPLACE) {
		flags |= KONA_PT_ZERO;
		frame = kona_pt_payload(entry);
	}
	kona_vacate_keep(space, page, kona_pt_entry(KONA_PT_OUTSIDE, flags, frame));
}

/* The mapping is VFMem again. To be discarded next. */
static void take_back(struct kona_space *space, uint64_t first, uint64_t pages)
{
	for (uint64_t page = first; page < first + pages; page++) {
		uint64_t entry = kona_pt_load(&space->pt, page);
		uint32_t frame = kona_pt_payload(entry);
		enum kona_pt_state state = KONA_PT_ABSENT;

		if (kona_pt_state(entry) != KONA_PT_OUTSIDE ||
		    !kona_pt_claim(&space->pt, page, entry, KONA_PT_FETCHING))
			continue;
		if (entry & KONA_PT_ZERO)
			state = space->frames.marks[frame] & KONA_FRAME_SOLID ? KONA_PT_COOLING
									      : KONA_PT_INPLACE;
		kona_vacate_keep(
			space, page,
			kona_pt_entry(state, entry & (KONA_PT_ZERO | KONA_PT_STALE), frame));
	}
}

int kona_region_occupy(struct kona_space *space, uint64_t first, uint64_t pages, int protection,
		       bool over)
{
	struct kona_region *region = &space->region;
	bool lent;
	int rc = 0;

	if (first + pages > space->pages)
		return -ENOMEM;
	pthread_mutex_lock(&region->lock);
	if (!over && !all_free(region, first, first + pages))
		rc = -EEXIST;
	if (!rc && protection != PROT_NONE)
		rc = ensure_slabs(space, first, pages, true);
	lent = region->lent;
	if (!rc && lent)
		rc = kona_space_reserve(space, first, pages);
	if (!rc)
		rc = carve_all(region, first, first + pages);
	pthread_mutex_unlock(&region->lock);
	if (rc)
		return rc;
	if (lent)
		take_back(space, first, pages);
	if (over)
		kona_discard(space, first, pages);
	return protect_in_use(space, first, pages, protection);
}

int kona_region_protect(struct kona_space *space, uint64_t first, uint64_t pages, int protection)
{
	int rc = 0;

	if (protection != PROT_NONE) {
		pthread_mutex_lock(&space->region.lock);
		rc = ensure_slabs(space, first, pages, true);
		pthread_mutex_unlock(&space->region.lock);
		if (rc) {
			say_no_more(rc);
			return -ENOMEM;
		}
	}
	return protect_in_use(space, first, pages, protection);
}

void kona_region_lend(struct kona_space *space, uint64_t first, uint64_t pages)
{
	pthread_mutex_lock(&space->region.lock);
	space->region.lent = true;
	pthread_mutex_unlock(&space->region.lock);
	for (uint64_t i = 0; i < pages; i++)
		settle_outside(space, first + i);
}

/* Closes a range before it is discarded, so that nobody writes between that and its next owner.
 * What the program mapped there goes, and VFMem is there again. */
static int close_range_locked(struct kona_space *space, uint64_t first, uint64_t pages)
{
	if (!space->region.lent)
		return protect(space, first, pages, PROT_NONE);
	return kona_space_reserve(space, first, pages);
}

void kona_region_free(struct kona_space *space, uint64_t first, uint64_t pages)
{
	struct kona_region *region = &space->region;
	bool lent;
	int rc;

	pthread_mutex_lock(&region->lock);
	lent = region->lent;
	rc = close_range_locked(space, first, pages);
	pthread_mutex_unlock(&region->lock);
	if (lent)
		take_back(space, first, pages);
	kona_discard(space, first, pages);
	pthread_mutex_lock(&region->lock);
	/* Without room the range stays in use for ever: better than to lose track of it. */
	if (!make_room(region) && !rc)
		join(region, first, first + pages);
	pthread_mutex_unlock(&region->lock);
}

bool kona_region_in_use(struct kona_space *space, uint64_t first, uint64_t pages)
{
	struct kona_region *region = &space->region;
	uint64_t index;
	bool in_use;

	pthread_mutex_lock(&region->lock);
	index = find_range(region, first);
	in_use = index == region->free_count || region->free[index].first >= first + pages;
	pthread_mutex_unlock(&region->lock);
	return in_use;
}
