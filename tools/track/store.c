/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store's extents and slots. No locks: one thread. What can fail is memory.
 *
 * Memory is promised to stay below 1.1 times what is tracked (copies) or 15 % of it (hashes), so
 * the range of slots grows by a thirty-second at a time, and freed slots give their memory back
 * once they are a sixteenth of all.
 */
#include "store.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/units.h"

enum {
	HUGE_BYTES = 2 << 20,
	SMALL_BYTES = 64 << 20, /* below this, it grows by small steps */
	SMALL_STEP_BYTES = 256 << 10,
	GROW_SHARE = 32,
	FREE_SHARE = 16,
};

static int append(struct kona_extents *list, uint64_t page, uint32_t count, uint32_t slot)
{
	struct kona_extent *last = list->count ? &list->v[list->count - 1] : NULL;

	if (last && last->page + last->count == page && last->slot + last->count == slot &&
	    last->count + count > count) {
		last->count += count;
		return 0;
	}
	if (last && page < last->page + last->count)
		list->unsorted = true;
	if (list->count == list->room) {
		size_t more = list->room ? list->room + list->room / 2 : 64;
		void *bigger = realloc(list->v, more * sizeof(*list->v));

		if (!bigger)
			return -ENOMEM;
		list->v = bigger;
		list->room = more;
	}
	list->v[list->count++] = (struct kona_extent){page, count, slot};
	return 0;
}

static int by_page(const void *a, const void *b)
{
	const struct kona_extent *x = a, *y = b;

	return x->page < y->page ? -1 : x->page > y->page;
}

static int by_slot(const void *a, const void *b)
{
	const struct kona_extent *x = a, *y = b;

	return x->slot < y->slot ? -1 : x->slot > y->slot;
}

static void sort(struct kona_extents *list)
{
	if (list->unsorted)
		qsort(list->v, list->count, sizeof(*list->v), by_page);
	list->unsorted = false;
}

/* Appends to the free list, where `page` says whether the memory was given back. */
static int free_slots(struct kona_store *store, uint32_t slot, uint32_t count)
{
	struct kona_extents *list = &store->free;
	int err = append(list, 0, count, slot);

	if (!err)
		store->held -= count;
	return err;
}

int kona_store_open(struct kona_store *store, uint32_t slot_bytes)
{
	size_t slots = (size_t)sysconf(_SC_PHYS_PAGES) * 4;
	void *mapped = MAP_FAILED;
	char *base;

	/* Where address space is limited, less must do. */
	for (; slots > 1024; slots /= 2) {
		mapped = mmap(NULL, slots * slot_bytes + HUGE_BYTES, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (mapped != MAP_FAILED)
			break;
	}
	if (mapped == MAP_FAILED)
		return -ENOMEM;
	base = (char *)kona_round_up((uintptr_t)mapped, HUGE_BYTES);
	/* Huge pages are filled many times faster here; where there are none, nothing is lost. */
	madvise(base, slots * slot_bytes, MADV_HUGEPAGE);
	*store = (struct kona_store){
		.slot_bytes = slot_bytes, .mapped = mapped, .base = base, .reserved = slots};
	return 0;
}

void kona_store_close(struct kona_store *store)
{
	if (!store->base)
		return;
	munmap(store->mapped, store->reserved * store->slot_bytes + HUGE_BYTES);
	free(store->now.v);
	free(store->next.v);
	free(store->orphans.v);
	free(store->free.v);
	*store = (struct kona_store){0};
}

/* Backs more slots with memory, all at once: touching it page by page would cost a fault each. */
static int grow(struct kona_store *store, size_t wanted)
{
	size_t more = store->grown / GROW_SHARE;
	size_t bytes = store->grown * store->slot_bytes;
	size_t step = bytes < SMALL_BYTES ? SMALL_STEP_BYTES : HUGE_BYTES;
	char *at = store->base + bytes;

	if (more < wanted)
		more = wanted;
	bytes = kona_round_up(bytes + more * store->slot_bytes, step) - bytes;
	more = bytes / store->slot_bytes;
	if (more > store->reserved - store->grown)
		return -ENOMEM;
	if (mprotect(at, bytes, PROT_READ | PROT_WRITE))
		return -ENOMEM;
	/* Before Linux 5.14 the pages come by faults. */
	if (madvise(at, bytes, MADV_POPULATE_WRITE) && errno != EINVAL)
		return -ENOMEM;
	store->grown += more;
	return 0;
}

int kona_store_prepare(struct kona_store *store, size_t slots)
{
	size_t have = store->grown - store->top;

	for (size_t i = 0; i < store->free.count; i++)
		have += store->free.v[i].count;
	return have < slots ? grow(store, slots - have) : 0;
}

/* At most count slots in one piece. */
static int take_slots(struct kona_store *store, uint32_t count, uint32_t *ret_slot,
		      uint32_t *ret_count)
{
	struct kona_extents *list = &store->free;

	if (list->count) {
		struct kona_extent *last = &list->v[list->count - 1];

		if (count > last->count)
			count = last->count;
		last->count -= count;
		*ret_slot = last->slot + last->count;
		list->count -= !last->count;
	} else {
		if (store->top + count > store->grown) {
			int err = grow(store, store->top + count - store->grown);

			if (err)
				return err;
		}
		*ret_slot = (uint32_t)store->top;
		store->top += count;
	}
	*ret_count = count;
	store->held += count;
	return 0;
}

void kona_store_begin(struct kona_store *store)
{
	store->cursor = 0;
	store->cursor_used = 0;
	store->next.count = 0;
	store->next.unsorted = false;
}

/* Passes the extents of now that lie before page; they become orphans. */
static int pass(struct kona_store *store, uint64_t page)
{
	while (store->cursor < store->now.count) {
		const struct kona_extent *e = &store->now.v[store->cursor];
		uint64_t at = e->page + store->cursor_used;
		uint64_t left = e->count - store->cursor_used;
		uint64_t gone = page > at ? page - at : 0;
		int err;

		if (!gone)
			return 0;
		if (gone > left)
			gone = left;
		err = append(&store->orphans, at, (uint32_t)gone, e->slot + store->cursor_used);
		if (err)
			return err;
		store->cursor_used += (uint32_t)gone;
		if (store->cursor_used == e->count) {
			store->cursor++;
			store->cursor_used = 0;
		}
	}
	return 0;
}

int kona_store_keep(struct kona_store *store, uint64_t page)
{
	while (store->cursor < store->now.count) {
		const struct kona_extent *e = &store->now.v[store->cursor];
		uint64_t at = e->page + store->cursor_used;
		struct kona_extent kept;
		bool known;
		int err;

		if (at >= page)
			return 0;
		err = kona_store_take(store, at, page - at, &kept, &known);
		if (err)
			return err;
	}
	return 0;
}

int kona_store_take(struct kona_store *store, uint64_t page, uint64_t count,
		    struct kona_extent *ret_extent, bool *ret_known)
{
	const struct kona_extent *e = NULL;
	struct kona_extent out;
	uint64_t at = UINT64_MAX;
	int err = pass(store, page);

	if (err)
		return err;
	if (count > UINT32_MAX)
		count = UINT32_MAX;
	if (store->cursor < store->now.count) {
		e = &store->now.v[store->cursor];
		at = e->page + store->cursor_used;
	}
	if (at > page) {
		if (count > at - page)
			count = at - page;
		*ret_extent = (struct kona_extent){page, (uint32_t)count, 0};
		*ret_known = false;
		return 0;
	}
	out = (struct kona_extent){page, e->count - store->cursor_used,
				   e->slot + store->cursor_used};
	if (out.count > count)
		out.count = (uint32_t)count;
	err = append(&store->next, out.page, out.count, out.slot);
	if (err)
		return err;
	store->cursor_used += out.count;
	if (store->cursor_used == e->count) {
		store->cursor++;
		store->cursor_used = 0;
	}
	*ret_extent = out;
	*ret_known = true;
	return 0;
}

int kona_store_add(struct kona_store *store, uint64_t page, uint64_t count,
		   struct kona_extent *ret_extent)
{
	struct kona_extent out = {.page = page};
	int err;

	err = take_slots(store, count > UINT32_MAX ? UINT32_MAX : (uint32_t)count, &out.slot,
			 &out.count);
	if (err)
		return err;
	err = append(&store->next, page, out.count, out.slot);
	if (!err)
		*ret_extent = out;
	return err;
}

int kona_store_end(struct kona_store *store)
{
	struct kona_extents old = store->now;
	int err = pass(store, UINT64_MAX);

	if (err)
		return err;
	sort(&store->next);
	store->now = store->next;
	store->next = old;
	return 0;
}

const struct kona_extent *kona_store_find(const struct kona_extents *extents, uint64_t page)
{
	size_t low = 0, high = extents->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct kona_extent *e = &extents->v[middle];

		if (page < e->page)
			high = middle;
		else if (page >= e->page + e->count)
			low = middle + 1;
		else
			return e;
	}
	return NULL;
}

/* Cuts [page, page + count) out of list and appends it to out, `shift` pages further. */
static int cut(struct kona_extents *list, uint64_t page, uint64_t count, struct kona_extents *out,
	       uint64_t shift)
{
	size_t n = list->count;
	uint64_t end = page + count;
	int err = 0;

	for (size_t i = 0; !err && i < n; i++) {
		struct kona_extent e = list->v[i];
		uint64_t low = e.page > page ? e.page : page;
		uint64_t high = e.page + e.count < end ? e.page + e.count : end;

		if (low >= high)
			continue;
		err = append(out, low + shift, (uint32_t)(high - low),
			     e.slot + (uint32_t)(low - e.page));
		if (!err && high < e.page + e.count)
			err = append(list, high, (uint32_t)(e.page + e.count - high),
				     e.slot + (uint32_t)(high - e.page));
		list->v[i].count = (uint32_t)(low - e.page);
	}
	return err;
}

/* Takes out the extents that cut() left empty, and restores the order. */
static void tidy(struct kona_extents *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++)
		if (list->v[i].count)
			list->v[kept++] = list->v[i];
	list->count = kept;
	sort(list);
}

/* Frees the slots of [page, page + count) in list. */
static int release(struct kona_store *store, struct kona_extents *list, uint64_t page,
		   uint64_t count)
{
	struct kona_extents gone = {0};
	int err = cut(list, page, count, &gone, 0);

	tidy(list);
	for (size_t i = 0; !err && i < gone.count; i++)
		err = free_slots(store, gone.v[i].slot, gone.v[i].count);
	free(gone.v);
	return err;
}

int kona_store_forget(struct kona_store *store, uint64_t page, uint64_t count)
{
	int err = release(store, &store->now, page, count);

	return err ? err : release(store, &store->orphans, page, count);
}

int kona_store_move(struct kona_store *store, uint64_t from, uint64_t to, uint64_t count)
{
	struct kona_extents moved = {0};
	int err = cut(&store->now, from, count, &moved, to - from);

	tidy(&store->now);
	if (!err)
		err = cut(&store->orphans, from, count, &moved, to - from);
	tidy(&store->orphans);
	/* What stood at the new place is no more. */
	if (!err)
		err = kona_store_forget(store, to, count);
	for (size_t i = 0; !err && i < moved.count; i++)
		err = append(&store->now, moved.v[i].page, moved.v[i].count, moved.v[i].slot);
	tidy(&store->now);
	free(moved.v);
	return err;
}

/* Merges neighbouring free runs and, when there are many free slots, gives their memory back. */
static void settle_free(struct kona_store *store)
{
	struct kona_extents *list = &store->free;
	bool give_back = store->top - store->held > store->top / FREE_SHARE;
	size_t kept = 0;

	qsort(list->v, list->count, sizeof(*list->v), by_slot);
	for (size_t i = 0; i < list->count; i++) {
		struct kona_extent *e = &list->v[i];
		struct kona_extent *last = kept ? &list->v[kept - 1] : NULL;

		if (last && last->slot + last->count == e->slot) {
			last->count += e->count;
			last->page &= e->page;
		} else {
			list->v[kept++] = *e;
		}
	}
	list->count = kept;
	for (size_t i = 0; give_back && i < kept; i++) {
		struct kona_extent *e = &list->v[i];
		uintptr_t start = (uintptr_t)kona_store_slot(store, e->slot);
		uintptr_t end = start + (uintptr_t)e->count * store->slot_bytes;

		start = kona_round_up(start, KONA_PAGE_BYTES);
		end = kona_round_down(end, KONA_PAGE_BYTES);
		if (!e->page && end > start)
			madvise((void *)start, end - start, MADV_DONTNEED);
		e->page = 1;
	}
}

int kona_store_drop(struct kona_store *store)
{
	int err = 0;

	if (!store->orphans.count)
		return 0;
	for (size_t i = 0; !err && i < store->orphans.count; i++)
		err = free_slots(store, store->orphans.v[i].slot, store->orphans.v[i].count);
	store->orphans.count = 0;
	store->orphans.unsorted = false;
	settle_free(store);
	return err;
}

uint64_t kona_store_bytes(const struct kona_store *store)
{
	size_t lists = store->now.room + store->next.room + store->orphans.room + store->free.room;
	size_t given_back = 0;

	for (size_t i = 0; i < store->free.count; i++)
		if (store->free.v[i].page)
			given_back += store->free.v[i].count;
	return (store->grown - given_back) * store->slot_bytes + lists * sizeof(struct kona_extent);
}
