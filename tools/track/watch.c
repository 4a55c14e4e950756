/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Watching a target through its userfaultfd: asynchronous write-protection (the kernel itself lets
 * the first write of a page through, and remembers it), and events of pages that move or go.
 *
 * Events matter because a page that was dropped and came back holds zeros first, and a page that
 * moved holds what it held: comparing by address alone would call both written. The target waits in
 * its munmap(2), mremap(2) or madvise(2) until the event is read, so they are drained between any
 * two chunks of work; closing the descriptor, also by the tracker's death, lets all waiters go.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/units.h"
#include "inject.h"
#include "kernel.h"
#include "target.h"

int kona_watch_open(struct kona_target *target)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			    UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |
			    UFFD_FEATURE_EVENT_UNMAP,
	};
	int fd = -1;
	int err = kona_inject_userfaultfd(target->pid, &fd, &target->watch_stopped_ns);

	if (err)
		return err;
	if (ioctl(fd, UFFDIO_API, &api)) {
		err = errno == EINVAL ? -ENOSYS : -errno;
		close(fd);
		return err;
	}
	target->watch = fd;
	return 0;
}

/* Is all of [start, end) in the list? */
static bool covered(const struct kona_regions *list, uint64_t start, uint64_t end)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (list->v[middle].end <= start)
			low = middle + 1;
		else
			high = middle;
	}
	return low < list->count && list->v[low].start <= start && end <= list->v[low].end;
}

int kona_watch_range(struct kona_target *target, uint64_t start, uint64_t end, bool again)
{
	struct uffdio_register arg = {
		.range = {start, end - start},
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct kona_region range = {start, end, 0};

	if (!again && covered(&target->watched, start, end))
		return kona_regions_add(&target->watching, &range);
	/* The kernel says ENOMEM, too, of an address space that has ended. */
	if (ioctl(target->watch, UFFDIO_REGISTER, &arg))
		return errno == ENOMEM ? -ESRCH : -errno;
	return again ? 0 : kona_regions_add(&target->watching, &range);
}

void kona_watch_disarm(struct kona_target *target)
{
	for (size_t i = 0; i < target->mappings.count; i++) {
		const struct kona_mapping *m = &target->mappings.v[i];
		struct uffdio_writeprotect arg = {.range = {m->start, m->end - m->start}};

		/* A mapping that is gone, or was never registered, has none. */
		ioctl(target->watch, UFFDIO_WRITEPROTECT, &arg);
		kona_watch_drain(target);
	}
	target->armed = false;
}

static void note(struct kona_target *target, uint64_t start, uint64_t end, uint64_t to)
{
	struct kona_changes *list = &target->changes;

	if (list->count == list->room) {
		size_t more = list->room ? list->room * 2 : 64;
		void *bigger = realloc(list->v, more * sizeof(*list->v));

		if (!bigger)
			return; /* then those pages compare with what they held */
		list->v = bigger;
		list->room = more;
	}
	list->v[list->count++] = (struct kona_change){
		start / KONA_PAGE_BYTES, (end - start) / KONA_PAGE_BYTES, to / KONA_PAGE_BYTES};
}

void kona_watch_drain(struct kona_target *target)
{
	struct uffd_msg messages[16];
	ssize_t n;

	if (target->watch < 0)
		return;
	while ((n = read(target->watch, messages, sizeof(messages))) > 0) {
		for (size_t i = 0; i < (size_t)n / sizeof(messages[0]); i++) {
			const struct uffd_msg *m = &messages[i];

			/* What stands at that address next is registered anew. */
			if (m->event != UFFD_EVENT_REMOVE)
				target->watched.count = target->watching.count = 0;
			if (m->event == UFFD_EVENT_REMAP)
				note(target, m->arg.remap.from,
				     m->arg.remap.from + m->arg.remap.len, m->arg.remap.to);
			else if (m->event == UFFD_EVENT_REMOVE || m->event == UFFD_EVENT_UNMAP)
				note(target, m->arg.remove.start, m->arg.remove.end, 0);
		}
	}
}

bool kona_watch_touched(const struct kona_target *target, uint64_t page, uint64_t count)
{
	for (size_t i = 0; i < target->changes.count; i++) {
		const struct kona_change *c = &target->changes.v[i];

		if (page < c->page + c->count && c->page < page + count)
			return true;
		if (c->to && page < c->to + c->count && c->to < page + count)
			return true;
	}
	return false;
}

/* The pages that are to be read again go where their contents went. */
static void move_retry(struct kona_regions *retry, const struct kona_change *c)
{
	for (size_t i = 0; i < retry->count; i++) {
		struct kona_region *r = &retry->v[i];
		uint64_t page = r->start / KONA_PAGE_BYTES;

		if (page < c->page || page >= c->page + c->count)
			continue;
		r->start = (page - c->page + c->to) * KONA_PAGE_BYTES;
		r->end = c->to ? r->start + KONA_PAGE_BYTES : r->start;
	}
}

int kona_watch_apply(struct kona_target *target)
{
	int err = 0;

	for (size_t i = 0; !err && i < target->changes.count; i++) {
		const struct kona_change *c = &target->changes.v[i];

		err = c->to ? kona_store_move(&target->store, c->page, c->to, c->count)
			    : kona_store_forget(&target->store, c->page, c->count);
		move_retry(&target->retry, c);
	}
	target->changes.count = 0;
	return err;
}
