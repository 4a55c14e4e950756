/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk at a window's end: from the target's mappings to its dirty lines.
 *
 *   mappings -> pages that are there -> runs with and without slots -> jobs, read by up to 1 MiB ->
 *   compared with what is kept, which is brought up to date -> dirty lines
 *
 * A page without a slot was not there at the last edge; it held zeros then, or what its file holds.
 * Unless its mapping moved: so pages without slots are put off until all others are through (then
 * it is known whose pages vanished, and events are in), and the second pass takes them.
 *
 * 1 MiB a call is where process_vm_readv(2) stops getting faster here (3 to 5 times 4 KiB a call),
 * and the buffer stays in the processor's cache; of small targets less is read in a call. While the
 * target stands still, a crew of threads does the reading and comparing; a job's pages and slots
 * belong to whoever does it, all else to the walk. State: struct kona_scan.
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
	target->scan = s;
	s->file = -1;
	s->job = calloc(JOBS, sizeof(*s->job));
	if (!s->job)
		return -ENOMEM;
	for (int i = 0; i < KONA_CREW_MAX; i++) {
		void *buffer = mmap(NULL, READ_PAGES * KONA_PAGE_BYTES, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (buffer == MAP_FAILED)
			return -ENOMEM;
		s->buffer[i] = buffer;
	}
	if (target->kept == KONA_KEPT_HASH)
		target->lines->hash(zeros, s->zero_hashes, target->key);
	return 0;
}

void kona_scan_close(struct kona_target *target)
{
	struct kona_scan *s = target->scan;

	if (!s)
		return;
	for (int i = 0; i < KONA_CREW_MAX; i++)
		if (s->buffer[i])
			munmap(s->buffer[i], READ_PAGES * KONA_PAGE_BYTES);
	if (s->file >= 0)
		close(s->file);
	free(s->job);
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
static uint64_t compare_page(const struct kona_target *target, const struct piece *p,
			     uint32_t index, const void *page, uint64_t *changed_bytes)
{
	void *slot = kona_store_slot(&target->store, p->extent.slot + index);
	bool first = p->is_new && target->fresh; /* nothing to compare with: keep it */
	uint64_t mask;

	if (target->kept == KONA_KEPT_HASH) {
		mask = target->lines->hash(page, slot, target->key);
	} else if (first) {
		memcpy(slot, page, KONA_PAGE_BYTES);
		return 0;
	} else {
		mask = target->lines->copy(page, slot, changed_bytes);
	}
	return first ? 0 : mask;
}

/*
 * Reads pages of the job into buffer, as many as fit, in one call; returns how many, in order,
 * until the first that cannot be read so.
 */
static size_t read_pieces(const struct scan_job *j, size_t piece, uint32_t skip, char *buffer,
			  size_t pages)
{
	struct iovec local = {buffer, pages * KONA_PAGE_BYTES};
	struct iovec remote[READ_PAGES];
	size_t count = 0, left = pages;
	ssize_t n;

	for (; left && piece < j->pieces; piece++, skip = 0) {
		const struct kona_extent *e = &j->piece[piece].extent;
		size_t part = e->count - skip < left ? e->count - skip : left;

		remote[count++] =
			(struct iovec){(void *)(uintptr_t)((e->page + skip) * KONA_PAGE_BYTES),
				       part * KONA_PAGE_BYTES};
		left -= part;
	}
	n = process_vm_readv(j->target->pid, &local, 1, remote, count, 0);
	return n < 0 ? 0 : (size_t)n / KONA_PAGE_BYTES;
}

/* Slower, but reads what the target itself may not, too. */
static bool read_page(const struct kona_target *target, uint64_t page, char *buffer)
{
	return pread(target->memory, buffer, KONA_PAGE_BYTES, (off_t)(page * KONA_PAGE_BYTES)) ==
	       KONA_PAGE_BYTES;
}

/*
 * Reads and compares a job's pages. While the target runs it may take pages away or move them
 * between the read and its event: those that an event touches are read again at the next edge.
 */
static void do_job(struct kona_job *job, unsigned int worker)
{
	struct scan_job *j = (struct scan_job *)job;
	struct kona_target *target = j->target;
	char *buffer = target->scan->buffer[worker];
	size_t piece = 0, at = 0;
	uint32_t skip = 0;

	while (at < j->pages) {
		size_t most = target->scan->read_pages;
		size_t pages = j->pages - at < most ? j->pages - at : most;
		size_t got = read_pieces(j, piece, skip, buffer, pages);

		if (!target->scan->crew)
			kona_watch_drain(target);
		for (size_t i = 0; i < pages; i++, at++) {
			const struct piece *p = &j->piece[piece];
			char *page = buffer + i * KONA_PAGE_BYTES;
			uint64_t number = p->extent.page + skip;

			j->missed[at] =
				(target->changes.count && kona_watch_touched(target, number, 1)) ||
				(i >= got && !read_page(target, number, page));
			j->mask[at] = j->missed[at] ? 0
						    : compare_page(target, p, skip, page,
								   &j->changed_bytes);
			if (++skip == p->extent.count) {
				piece++;
				skip = 0;
			}
		}
	}
}

/* Takes in what came of a job. */
static int take_in(struct scan_job *j)
{
	struct kona_target *target = j->target;
	size_t at = 0;
	int err = 0;

	for (size_t i = 0; i < j->pieces; i++) {
		const struct kona_extent *e = &j->piece[i].extent;

		for (uint32_t k = 0; !err && k < e->count; k++, at++) {
			uint64_t start = (e->page + k) * KONA_PAGE_BYTES;
			struct kona_region again = {start, start + KONA_PAGE_BYTES, 0};

			if (j->mask[at])
				err = kona_dirty_add(&target->dirty, e->page + k, j->mask[at]);
			else if (j->missed[at])
				err = kona_regions_add(&target->retry, &again);
			target->unreadable_pages += j->missed[at];
		}
	}
	target->scanned_bytes += j->pages * KONA_PAGE_BYTES;
	target->changed_bytes += j->changed_bytes;
	j->pieces = j->pages = j->changed_bytes = 0;
	return err;
}

static int take_oldest(struct kona_scan *s)
{
	struct scan_job *j = &s->job[s->oldest++ % JOBS];

	if (s->crew)
		kona_crew_wait(s->crew, &j->job);
	return take_in(j);
}

/* Hands the job that was being filled over, and makes the next one free. */
static int submit(struct kona_target *target)
{
	struct kona_scan *s = target->scan;
	struct scan_job *j = &s->job[s->filling % JOBS];

	if (!j->pages)
		return 0;
	j->target = target;
	j->job.work = do_job;
	s->filling++;
	if (!s->crew) {
		do_job(&j->job, 0);
		return take_oldest(s);
	}
	kona_crew_submit(s->crew, &j->job);
	return s->filling - s->oldest == JOBS ? take_oldest(s) : 0;
}

static int add_piece(struct kona_target *target, const struct kona_mapping *m,
		     struct kona_extent extent, bool is_new)
{
	struct kona_scan *s = target->scan;

	for (uint32_t i = 0; is_new && !target->fresh && i < extent.count; i++)
		fill_slot(target, m, extent.page + i,
			  kona_store_slot(&target->store, extent.slot + i));
	while (extent.count) {
		struct scan_job *j = &s->job[s->filling % JOBS];
		uint32_t room = JOB_PAGES - (uint32_t)j->pages;
		uint32_t part = extent.count < room ? extent.count : room;

		j->piece[j->pieces++] = (struct piece){{extent.page, part, extent.slot}, is_new};
		j->pages += part;
		extent.page += part;
		extent.slot += part;
		extent.count -= part;
		if (j->pages == JOB_PAGES) {
			int err = submit(target);

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
			if (candidate) {
				target->trapped_pages += target->armed ? extent.count : 0;
				err = add_piece(target, m, extent, false);
			}
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
	struct kona_scan *s = target->scan;
	int err = submit(target);

	/* Also after a failure: no job may outlive the walk. */
	while (s->oldest < s->filling) {
		int taken = take_oldest(s);

		err = err ? err : taken;
	}
	return err;
}
