/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages a walk comes by: all private mappings that are writable, or anonymous, or of which
 * something is kept (they were writable when it was), and in them the pages that are there, but not
 * those that still show their file.
 */
#include <errno.h>

#include "base/units.h"
#include "scan.h"

/* Is anything kept of these pages? */
static bool any_kept(const struct kona_extents *list, uint64_t page, uint64_t end)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (list->v[middle].page + list->v[middle].count <= page)
			low = middle + 1;
		else
			high = middle;
	}
	return low < list->count && list->v[low].page < end;
}

static bool wanted(const struct kona_target *target, const struct kona_mapping *m)
{
	return m->writable || !m->inode ||
	       any_kept(&target->store.now, m->start / KONA_PAGE_BYTES, m->end / KONA_PAGE_BYTES);
}

static int by_start(const void *a, const void *b)
{
	const struct kona_region *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* An anonymous mapping's pages need not be told from a file's. */
static unsigned int files(const struct kona_mapping *m)
{
	return m->inode ? KONA_REGIONS_FILES : 0;
}

/* What of the mapping was written since the last call, and what is to be read again. *ret_all:
 * nobody knows, so read all. */
static int find_written(struct kona_target *target, const struct kona_mapping *m, bool *ret_all)
{
	struct kona_regions *list = &target->scan->written;
	unsigned int how = KONA_REGIONS_PROTECT | files(m);
	size_t before;
	int err;

	*ret_all = false;
	list->count = 0;
	err = kona_watch_range(target, m->start, m->end, false);
	if (!err)
		err = kona_regions_scan(target->pagemap, m->start, m->end, how, list);
	if (err == -EPERM) {
		/* Another mapping than before, in part at least. Of the rest, what was written may
		 * have been told, and forgotten, by the call that failed. */
		list->count = 0;
		err = kona_watch_range(target, m->start, m->end, true);
		if (!err)
			err = kona_regions_scan(target->pagemap, m->start, m->end, how, list);
		*ret_all = !err;
	}
	if (err == -EINVAL || err == -EPERM || err == -EBUSY || err == -ENOENT) {
		*ret_all = true;
		list->count = 0;
		return 0;
	}
	before = list->count;
	for (size_t i = 0; !err && i < target->scan->again.count; i++) {
		const struct kona_region *r = &target->scan->again.v[i];

		if (r->start >= m->start && r->end <= m->end && r->end > r->start)
			err = kona_regions_add(list, r);
	}
	if (list->count > before)
		qsort(list->v, list->count, sizeof(*list->v), by_start);
	return err;
}

/* Comes by a run of pages that are there, in parts that were written and parts that were not. */
static int visit_parts(struct kona_target *target, const struct kona_mapping *m,
		       const struct kona_region *run, size_t *written, bool put_off)
{
	const struct kona_regions *list = &target->scan->written;
	uint64_t at = run->start;

	while (at < run->end) {
		uint64_t end = run->end;
		bool candidate = false;
		int err;

		while (*written < list->count && list->v[*written].end <= at)
			++*written;
		if (*written < list->count) {
			const struct kona_region *w = &list->v[*written];
			uint64_t edge = w->start <= at ? w->end : w->start;

			candidate = w->start <= at;
			end = edge < end ? edge : end;
		}
		err = kona_scan_visit(target, m, at / KONA_PAGE_BYTES, (end - at) / KONA_PAGE_BYTES,
				      candidate, put_off);
		if (err)
			return err;
		at = end;
	}
	return 0;
}

static int walk_mapping(struct kona_target *target, const struct kona_mapping *m,
			enum kona_finding finding)
{
	struct kona_regions *there = &target->scan->there;
	bool all = finding == KONA_FIND_SCAN;
	bool put_off = !target->fresh;
	uint64_t at = m->start;
	size_t written = 0;
	int err = all ? 0 : find_written(target, m, &all);

	while (!err && at < m->end) {
		there->count = 0;
		err = kona_regions_next(target->pagemap, &at, m->end, files(m), there);
		for (size_t i = 0; !err && i < there->count; i++) {
			const struct kona_region *r = &there->v[i];

			if (m->inode && r->categories & KONA_PAGE_FILE)
				continue;
			if (all)
				err = kona_scan_visit(target, m, r->start / KONA_PAGE_BYTES,
						      (r->end - r->start) / KONA_PAGE_BYTES, true,
						      put_off);
			else
				err = visit_parts(target, m, r, &written, put_off);
		}
	}
	return err;
}

/*
 * When all is read, neighbouring anonymous mappings are walked as one, for stacks with their guards
 * come by the hundred. Returns the last of those that m begins with, and their span.
 */
static const struct kona_mapping *join(struct kona_target *target, const struct kona_mapping *m,
				       struct kona_mapping *ret_span)
{
	const struct kona_mapping *end = target->mappings.v + target->mappings.count;

	*ret_span = *m;
	for (;; m++) {
		/* If not, then its moves go unseen: it is one of the kernel's special mappings. */
		if (target->watch >= 0)
			(void)!kona_watch_range(target, m->start, m->end, false);
		ret_span->end = m->end;
		if (m + 1 == end || m->inode || m[1].inode || m[1].start != m->end)
			return m;
	}
}

/* What this walk has registered is known to the next. */
static void keep_watched(struct kona_target *target)
{
	struct kona_regions old = target->watched;

	target->watched = target->watching;
	target->watching = old;
	target->watching.count = 0;
}

static int first_pass(struct kona_target *target, enum kona_finding finding)
{
	int err = 0, flush_err;

	kona_store_begin(&target->store);
	for (size_t i = 0; !err && i < target->mappings.count; i++) {
		const struct kona_mapping *m = &target->mappings.v[i];
		struct kona_mapping span = *m;

		if (!wanted(target, m))
			continue;
		if (finding == KONA_FIND_SCAN)
			i += (size_t)(join(target, m, &span) - m);
		err = walk_mapping(target, &span, finding);
		kona_watch_drain(target);
	}
	flush_err = kona_scan_flush(target);
	err = err ? err : flush_err;
	if (!err)
		err = kona_store_end(&target->store);
	return err;
}

/* The pages that had no slots in the first pass: some may have got them by a move. */
static int second_pass(struct kona_target *target)
{
	const struct kona_regions *list = &target->scan->put_off;
	size_t at = 0;
	int err = 0, flush_err;

	kona_store_begin(&target->store);
	for (size_t i = 0; !err && i < list->count; i++) {
		const struct kona_region *r = &list->v[i];
		uint64_t start = r->start;

		/* A run may span mappings: neighbours. */
		while (!err && start < r->end) {
			const struct kona_mapping *m;
			uint64_t end;

			while (target->mappings.v[at].end <= start)
				at++;
			m = &target->mappings.v[at];
			end = m->end < r->end ? m->end : r->end;
			err = kona_store_keep(&target->store, start / KONA_PAGE_BYTES);
			if (!err)
				err = kona_scan_visit(target, m, start / KONA_PAGE_BYTES,
						      (end - start) / KONA_PAGE_BYTES, true, false);
			start = end;
		}
	}
	if (!err)
		err = kona_store_keep(&target->store, UINT64_MAX);
	flush_err = kona_scan_flush(target);
	err = err ? err : flush_err;
	if (!err)
		err = kona_store_end(&target->store);
	return err;
}

/* Whole pages instead of lines: nothing is kept or read. */
static int walk_pages(struct kona_target *target)
{
	struct kona_regions *list = &target->scan->written;
	long resident_kib = kona_status_number(target->pid, "RssAnon:");
	int err = 0;

	target->resident_bytes = resident_kib > 0 ? (uint64_t)resident_kib * KONA_KIB : 0;
	for (size_t i = 0; !err && i < target->mappings.count; i++) {
		const struct kona_mapping *m = &target->mappings.v[i];
		bool unknown;

		if (!m->writable && m->inode)
			continue;
		err = find_written(target, m, &unknown);
		for (size_t j = 0; !err && !target->fresh && j < list->count; j++) {
			if (m->inode && list->v[j].categories & KONA_PAGE_FILE)
				continue;
			for (uint64_t a = list->v[j].start; !err && a < list->v[j].end;
			     a += KONA_PAGE_BYTES)
				err = kona_dirty_add(&target->dirty, a / KONA_PAGE_BYTES,
						     UINT64_MAX);
		}
		kona_watch_drain(target);
	}
	target->changes.count = 0;
	target->trapped_pages = target->armed ? target->dirty.count : 0;
	return err;
}

static int walk_lines(struct kona_target *target, enum kona_finding finding)
{
	struct kona_scan *s = target->scan;
	struct kona_regions done = s->again;
	int err;

	s->again = target->retry;
	target->retry = done;
	target->retry.count = 0;
	s->put_off.count = 0;
	err = first_pass(target, finding);
	kona_watch_drain(target);
	if (!err)
		err = kona_watch_apply(target);
	if (!err && s->put_off.count && target->watch < 0)
		err = kona_moves_follow(target, &s->put_off);
	if (!err && s->put_off.count)
		err = second_pass(target);
	if (!err)
		err = kona_store_drop(&target->store);
	kona_watch_drain(target);
	if (!err)
		err = kona_watch_apply(target);
	target->resident_bytes = target->store.held * KONA_PAGE_BYTES;
	return err;
}

static size_t read_pages(size_t held)
{
	size_t pages = held / READ_SHARE;

	if (pages < READ_PAGES_LEAST)
		return READ_PAGES_LEAST;
	return pages < READ_PAGES ? pages : READ_PAGES;
}

int kona_scan_walk(struct kona_target *target, enum kona_finding finding)
{
	uint64_t start = kona_now_ns();
	int err;

	target->dirty.count = 0;
	target->dirty.unsorted = false;
	target->changed_bytes = target->unreadable_pages = target->scanned_bytes = 0;
	target->trapped_pages = 0;
	target->scan->file_start = UINT64_MAX;
	target->scan->read_pages = read_pages(target->store.held);
	target->scan->crew = finding == KONA_FIND_SCAN ? target->crew : NULL;
	kona_watch_drain(target);
	err = kona_watch_apply(target);
	if (!err)
		err = kona_mappings_read(target->pid, &target->mappings);
	if (!err)
		err = finding == KONA_FIND_PAGES ? walk_pages(target) : walk_lines(target, finding);
	keep_watched(target);
	if (!err) {
		kona_dirty_sort(&target->dirty);
		target->armed = finding != KONA_FIND_SCAN;
		target->fresh = false;
	}
	target->scan_ns = kona_now_ns() - start;
	return err;
}
