/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk at a window's end: from the target's mappings to its dirty lines.
 *
 *   mappings -> pages that are there -> runs with and without slots -> batches of 256 KiB, read in
 *   one call -> compared with what is kept, which is brought up to date -> dirty lines
 *
 * A page without a slot was not there at the last edge; it held zeros then, or what its file holds.
 * Unless its mapping moved: so pages without slots are put off until all others are through (then
 * it is known whose pages vanished, and events are in), and the second pass takes them.
 *
 * 256 KiB a call is where process_vm_readv(2) is fastest here (6 times 4 KiB a call); the buffer
 * stays in the second-level cache. State: struct kona_scan. The target may be running (ASYNC): it
 * may take pages away between listing and reading; these are read again at the next edge.
 */
#include "scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/units.h"

int kona_scan_open(struct kona_target *target)
{
	struct kona_scan *s = aligned_alloc(64, kona_round_up(sizeof(*s), 64));
	uint8_t zeros[KONA_PAGE_BYTES] __attribute__((aligned(64))) = {0};

	if (!s)
		return -ENOMEM;
	memset(s, 0, sizeof(*s));
	s->file = -1;
	s->buffer = mmap(NULL, BATCH_PAGES * KONA_PAGE_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (s->buffer == MAP_FAILED) {
		free(s);
		return -ENOMEM;
	}
	if (target->kept == KONA_KEPT_HASH)
		target->lines->hash(zeros, s->zero_hashes, target->key);
	target->scan = s;
	return 0;
}

void kona_scan_close(struct kona_target *target)
{
	struct kona_scan *s = target->scan;

	if (!s)
		return;
	munmap(s->buffer, BATCH_PAGES * KONA_PAGE_BYTES);
	if (s->file >= 0)
		close(s->file);
	kona_regions_free(&s->there);
	kona_regions_free(&s->written);
	kona_regions_free(&s->put_off);
	kona_regions_free(&s->again);
	free(s);
	target->scan = NULL;
}

/* The mapping's file, to know what its pages held before they were written; -1 when out of reach.
 */
static int file_of(struct kona_target *target, const struct kona_mapping *m)
{
	struct kona_scan *s = target->scan;
	char path[512];
	struct stat st;

	if (s->file_start == m->start && s->file_inode == m->inode)
		return s->file;
	if (s->file >= 0)
		close(s->file);
	s->file_start = m->start;
	s->file_inode = m->inode;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", target->pid,
		 (unsigned long)m->start, (unsigned long)m->end);
	s->file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (s->file < 0) {
		snprintf(path, sizeof(path), "/proc/%d/root%s", target->pid, m->name);
		s->file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	}
	if (s->file >= 0 &&
	    (fstat(s->file, &st) || !S_ISREG(st.st_mode) || st.st_ino != m->inode)) {
		close(s->file);
		s->file = -1;
	}
	return s->file;
}

/* Fills the slot of a page that was not there before with what it held then. */
static void fill_slot(struct kona_target *target, const struct kona_mapping *m, uint64_t page,
		      void *slot)
{
	struct kona_scan *s = target->scan;
	uint8_t held[KONA_PAGE_BYTES] __attribute__((aligned(64)));
	int file = m->inode ? file_of(target, m) : -1;
	ssize_t n = 0;

	if (file >= 0)
		n = pread(file, held, sizeof(held),
			  (off_t)(m->offset + page * KONA_PAGE_BYTES - m->start));
	if (n <= 0) {
		if (target->kept == KONA_KEPT_HASH)
			memcpy(slot, s->zero_hashes, sizeof(s->zero_hashes));
		else
			memset(slot, 0, KONA_PAGE_BYTES);
		return;
	}
	memset(held + n, 0, sizeof(held) - (size_t)n);
	if (target->kept == KONA_KEPT_HASH)
		target->lines->hash(held, slot, target->key);
	else
		memcpy(slot, held, sizeof(held));
}

/* One page that was read. */
static int compare_page(struct kona_target *target, const struct piece *p, uint32_t index,
			const void *page)
{
	void *slot = kona_store_slot(&target->store, p->extent.slot + index);
	bool copy = target->kept == KONA_KEPT_COPY;
	uint64_t mask;

	if (p->is_new && target->fresh && copy) {
		memcpy(slot, page, KONA_PAGE_BYTES);
		return 0;
	}
	if (p->is_new && !target->fresh)
		fill_slot(target, p->mapping, p->extent.page + index, slot);
	mask = copy ? target->lines->copy(page, slot, &target->changed_bytes)
		    : target->lines->hash(page, slot, target->key);
	if (!mask || (p->is_new && target->fresh))
		return 0;
	return kona_dirty_add(&target->dirty, p->extent.page + index, mask);
}

/* A page that could not be read: it will be tried again; a new one gets its slot filled. */
static int miss_page(struct kona_target *target, const struct piece *p, uint32_t index)
{
	uint64_t address = (p->extent.page + index) * KONA_PAGE_BYTES;
	struct kona_region again = {address, address + KONA_PAGE_BYTES, KONA_PAGE_WRITTEN};

	if (p->is_new)
		fill_slot(target, p->mapping, p->extent.page + index,
			  kona_store_slot(&target->store, p->extent.slot + index));
	target->unreadable_pages++;
	return kona_regions_add(&target->retry, &again);
}

/*
 * Reads the batch; returns the number of pages read, in order, until the first that cannot be. The
 * fast call wants readable mappings; the slow one reads what the target itself may not.
 */
static size_t read_batch(struct kona_target *target)
{
	struct kona_scan *s = target->scan;
	struct iovec local = {s->buffer, s->pages * KONA_PAGE_BYTES};
	struct iovec remote[BATCH_PAGES];
	ssize_t n;

	for (size_t i = 0; i < s->pieces; i++)
		remote[i] = (struct iovec){
			(void *)(uintptr_t)(s->piece[i].extent.page * KONA_PAGE_BYTES),
			(size_t)s->piece[i].extent.count * KONA_PAGE_BYTES};
	n = process_vm_readv(target->pid, &local, 1, remote, s->pieces, 0);
	return n < 0 ? 0 : (size_t)n / KONA_PAGE_BYTES;
}

static int flush(struct kona_target *target)
{
	struct kona_scan *s = target->scan;
	size_t at = 0, got;
	int err = 0;

	if (!s->pages)
		return 0;
	got = read_batch(target);
	kona_watch_drain(target);
	for (size_t i = 0; !err && i < s->pieces; i++) {
		const struct piece *p = &s->piece[i];
		bool touched = target->changes.count &&
			       kona_watch_touched(target, p->extent.page, p->extent.count);

		for (uint32_t j = 0; !err && j < p->extent.count; j++, at++) {
			char *page = s->buffer + at * KONA_PAGE_BYTES;
			off_t address = (off_t)((p->extent.page + j) * KONA_PAGE_BYTES);
			bool have = at < got;

			if (!have && !touched)
				have = pread(target->memory, page, KONA_PAGE_BYTES, address) ==
				       KONA_PAGE_BYTES;
			err = have && !touched ? compare_page(target, p, j, page)
					       : miss_page(target, p, j);
		}
	}
	target->scanned_bytes += s->pages * KONA_PAGE_BYTES;
	s->pages = s->pieces = 0;
	return err;
}

static int add_piece(struct kona_target *target, const struct kona_mapping *m,
		     struct kona_extent extent, bool is_new)
{
	struct kona_scan *s = target->scan;

	while (extent.count) {
		uint32_t room = BATCH_PAGES - (uint32_t)s->pages;
		uint32_t part = extent.count < room ? extent.count : room;

		s->piece[s->pieces++] = (struct piece){{extent.page, part, extent.slot}, m, is_new};
		s->pages += part;
		extent.page += part;
		extent.slot += part;
		extent.count -= part;
		if (s->pages == BATCH_PAGES) {
			int err = flush(target);

			if (err)
				return err;
		}
	}
	return 0;
}

/* Comes by pages that are there. candidate: they may have been written. */
int kona_scan_visit(struct kona_target *target, const struct kona_mapping *m, uint64_t page,
		    uint64_t count, bool candidate, bool put_off_new)
{
	int err = 0;

	while (!err && count) {
		struct kona_extent extent;
		bool known;

		err = kona_store_take(&target->store, page, count, &extent, &known);
		if (err)
			return err;
		if (known) {
			if (candidate)
				err = add_piece(target, m, extent, false);
		} else if (put_off_new) {
			struct kona_region new = {page * KONA_PAGE_BYTES,
						  (page + extent.count) * KONA_PAGE_BYTES, 0};

			err = kona_regions_add(&target->scan->put_off, &new);
		} else {
			err = kona_store_add(&target->store, page, extent.count, &extent);
			if (!err)
				err = add_piece(target, m, extent, true);
		}
		page += extent.count;
		count -= extent.count;
	}
	return err;
}

int kona_scan_flush(struct kona_target *target)
{
	return flush(target);
}
