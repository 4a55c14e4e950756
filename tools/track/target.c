/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a process, and the edge of a window. The descriptors of /proc/PID/mem and pagemap belong
 * to the memory that the process has now: after an exec they lead nowhere, which is how it shows.
 */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "crew.h"

int kona_target_open(struct kona_target *target, pid_t pid, enum kona_kept kept,
		     const struct kona_lines *lines, const void *key, bool from_start)
{
	struct kona_target t = {.pid = pid,
				.pidfd = -1,
				.memory = -1,
				.pagemap = -1,
				.watch = -1,
				.fresh = !from_start,
				.kept = kept,
				.lines = lines,
				.key = key};
	char path[64];
	int err;

	kona_process_name(pid, t.name, sizeof(t.name));
	t.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (t.pidfd < 0)
		return errno == EINVAL ? -ESRCH : -errno;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	t.memory = open(path, O_RDONLY | O_CLOEXEC);
	err = t.memory < 0 ? -errno : 0;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	if (!err) {
		t.pagemap = open(path, O_RDONLY | O_CLOEXEC);
		err = t.pagemap < 0 ? -errno : 0;
	}
	if (!err)
		err = kona_store_open(&t.store,
				      kept == KONA_KEPT_COPY ? KONA_COPY_BYTES : KONA_HASH_BYTES);
	if (!err)
		err = kona_scan_open(&t);
	if (err) {
		kona_target_close(&t);
		return err == -ENOENT ? -ESRCH : err == -EACCES ? -EPERM : err;
	}
	*target = t;
	return 0;
}

void kona_target_close(struct kona_target *target)
{
	int *fds[] = {&target->pidfd, &target->memory, &target->pagemap, &target->watch};

	kona_stop_release(&target->stop);
	for (size_t i = 0; i < KONA_ARRAY_LEN(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	kona_scan_close(target);
	kona_store_close(&target->store);
	kona_mappings_free(&target->mappings);
	kona_stop_free(&target->stop);
	kona_regions_free(&target->retry);
	kona_regions_free(&target->watched);
	kona_regions_free(&target->watching);
	kona_dirty_free(&target->dirty);
	free(target->changes.v);
	target->changes = (struct kona_changes){0};
}

bool kona_target_replaced(const struct kona_target *target)
{
	char byte;

	return pread(target->memory, &byte, 1, 0) == 0;
}

static void drain(void *context)
{
	kona_watch_drain(context);
}

/* Memory for what the target has grown by, and a little more, before it stops. */
static int prepare(struct kona_target *target)
{
	long resident_kib = kona_status_number(target->pid, "RssAnon:");
	size_t held = target->store.held;
	size_t pages = resident_kib > 0 ? (size_t)resident_kib / 4 : 0;

	return pages > held ? kona_store_prepare(&target->store, pages - held) : 0;
}

int kona_target_edge(struct kona_target *target, enum kona_finding finding,
		     const struct kona_stopper *stopper, uint64_t *ret_paused_ns)
{
	/* A thread that waits for its event to be read cannot stop before it is. */
	const struct kona_stopper own = {stopper->reaped, stopper->reaped_context, drain, target};
	int err;

	if (kona_target_replaced(target))
		return -ESRCH;
	if (finding != KONA_FIND_SCAN) {
		err = kona_scan_walk(target, finding);
		if (!err && kona_target_replaced(target))
			err = -ESRCH;
		*ret_paused_ns = 0;
		return err;
	}
	err = prepare(target);
	if (err)
		return err;
	kona_crew_hurry(true);
	err = kona_stop_all(&target->stop, target->pid, &own);
	if (err)
		goto out;
	if (target->armed)
		kona_watch_disarm(target);
	if (kona_target_replaced(target))
		err = -ESRCH;
	if (!err)
		err = kona_scan_walk(target, finding);
	kona_stop_release(&target->stop);
	*ret_paused_ns = kona_now_ns() - target->stop.since_ns;
out:
	kona_crew_hurry(false);
	return err;
}

/* "libc.so.6", "libc.so.6 zeroed" (what follows a file's data), "[heap]", "anonymous 7f1200000000".
 */
static void place_name(const struct kona_mapping *m, const struct kona_mapping *before, char *name,
		       size_t name_bytes)
{
	const char *file = strrchr(m->name, '/');

	if (m->name[0])
		snprintf(name, name_bytes, "%s", m->inode && file ? file + 1 : m->name);
	else if (before && before->inode && before->end == m->start &&
		 (file = strrchr(before->name, '/')))
		snprintf(name, name_bytes, "%s zeroed", file + 1);
	else
		snprintf(name, name_bytes, "anonymous %lx", (unsigned long)m->start);
}

int kona_target_places(const struct kona_target *target, struct kona_places *places)
{
	const struct kona_dirty_list *list = &target->dirty;
	size_t at = 0;
	int err = 0;

	for (size_t i = 0; !err && i < target->mappings.count && at < list->count; i++) {
		const struct kona_mapping *m = &target->mappings.v[i];
		uint64_t lines = 0, pages = 0;
		char name[128];

		while (at < list->count && list->v[at].page < m->end / KONA_PAGE_BYTES) {
			lines += (uint64_t)__builtin_popcountll(list->v[at++].mask);
			pages++;
		}
		if (!lines)
			continue;
		place_name(m, i ? m - 1 : NULL, name, sizeof(name));
		err = kona_places_add(places, name, lines, pages);
	}
	return err;
}
