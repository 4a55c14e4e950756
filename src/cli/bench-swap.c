/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux swap to compressed memory, for one process at a time: a zram device and a memory cgroup
 * (v1) of our own. Swap that was there before is not touched.
 *
 * Linux 6.18 may find nothing to reclaim in a small group and call the OOM killer. So the killer
 * stays off, and whoever it would have killed is woken by raising the limit for a moment.
 *
 * State: what was made, for its end. What can fail: everything, on a machine that does not have it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"
#include "cli/bench.h"

#define GROUPS	     "/sys/fs/cgroup/memory"
#define CONTROL	     "/sys/class/zram-control"
#define PAGE_CLUSTER "/proc/sys/vm/page-cluster"

enum {
	NUDGE_BYTES = 256 << 10,
	TRIES = 200,
	PAUSE_US = 10000,
	HEADER_VERSION_AT = 1024, /* of a swap area's first page: mkswap(8) */
	HEADER_MAGIC_AT = KONA_PAGE_BYTES - 10,
};

KONA_MUST_CHECK static int write_text(const char *path, const char *format, ...) KONA_PRINTF(2, 3);

static int write_text(const char *path, const char *format, ...)
{
	char text[32];
	va_list arguments;
	ssize_t put;
	int fd, length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	put = write(fd, text, (size_t)length);
	length = put < 0 ? -errno : 0;
	close(fd);
	return length;
}

static int read_text(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -errno;
	got = read(fd, text, room - 1);
	close(fd);
	if (got < 0)
		return -errno;
	text[got] = '\0';
	return 0;
}

static int write_group(const struct kona_bench_swap *swap, const char *name, int64_t value)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", swap->group, name);
	return write_text(path, "%" PRId64, value);
}

/* --- making it ---------------------------------------------------------------------------------*/

/* What mkswap(8) writes. */
static int format_device(const char *device, uint64_t bytes)
{
	static char page[KONA_PAGE_BYTES];
	uint32_t header[] = {1, (uint32_t)(bytes / KONA_PAGE_BYTES - 1), 0};
	ssize_t put;
	int fd = -1;

	for (int i = 0; i < TRIES && fd < 0; i++) { /* until it is in /dev */
		fd = open(device, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			usleep(PAUSE_US);
	}
	if (fd < 0)
		return -errno;
	memcpy(page + HEADER_VERSION_AT, header, sizeof(header));
	memcpy(page + HEADER_MAGIC_AT, "SWAPSPACE2", 10);
	put = write(fd, page, sizeof(page));
	if (put == (ssize_t)sizeof(page) && fsync(fd))
		put = -1;
	close(fd);
	return put == (ssize_t)sizeof(page) ? 0 : -EIO;
}

static int make_swap(struct kona_bench_swap *swap, uint64_t bytes)
{
	char text[32], path[64];
	int rc = read_text(CONTROL "/hot_add", text, sizeof(text));

	if (rc)
		return rc;
	swap->number = (int)strtol(text, NULL, 10);
	snprintf(swap->device, sizeof(swap->device), "/dev/zram%d", swap->number);
	snprintf(path, sizeof(path), "/sys/block/zram%d/disksize", swap->number);
	rc = write_text(path, "%" PRIu64, bytes);
	if (!rc)
		rc = format_device(swap->device, bytes);
	/* Above any other swap: ours is used first. */
	if (!rc && swapon(swap->device, SWAP_FLAG_PREFER | SWAP_FLAG_PRIO_MASK))
		rc = -errno;
	swap->swapping = !rc;
	return rc;
}

static int make_group(struct kona_bench_swap *swap, uint64_t limit_bytes)
{
	char text[32];
	int rc = read_text(PAGE_CLUSTER, text, sizeof(text));

	if (rc)
		return rc;
	/* Accesses are random: reading neighbours from swap would only cost it time. */
	rc = write_text(PAGE_CLUSTER, "0");
	if (rc)
		return rc;
	swap->page_cluster = (int)strtol(text, NULL, 10);
	if (mkdir(swap->group, 0755))
		return -errno;
	swap->grouped = true;
	swap->limit_bytes = limit_bytes;
	rc = write_group(swap, "memory.swappiness", 100);
	if (!rc)
		rc = write_group(swap, "memory.oom_control", 1);
	return rc ? rc : write_group(swap, "memory.limit_in_bytes", (int64_t)limit_bytes);
}

int kona_bench_swap_begin(struct kona_bench_swap *swap, uint64_t data_bytes, uint64_t limit_bytes,
			  char ret_reason[128])
{
	int rc;

	*swap = (struct kona_bench_swap){.number = -1, .page_cluster = -1};
	snprintf(swap->group, sizeof(swap->group), GROUPS "/kona-bench-%d", (int)getpid());
	if (geteuid()) {
		strcpy(ret_reason, "it takes root");
		return -EPERM;
	}
	if (access(GROUPS "/memory.limit_in_bytes", W_OK)) {
		strcpy(ret_reason, "there is no memory cgroup (v1) at " GROUPS);
		return -ENOENT;
	}
	if (access(CONTROL "/hot_add", R_OK)) {
		strcpy(ret_reason, "the kernel has no zram");
		return -ENOENT;
	}
	rc = make_swap(swap, 4 * data_bytes);
	if (rc)
		snprintf(ret_reason, 128, "no swap on zram: %s", strerror(-rc));
	if (!rc) {
		rc = make_group(swap, limit_bytes);
		if (rc)
			snprintf(ret_reason, 128, "no memory cgroup: %s", strerror(-rc));
	}
	if (rc)
		kona_bench_swap_end(swap);
	return rc;
}

/* --- undoing it --------------------------------------------------------------------------------*/

/* The last process may be on its way out yet. */
static int remove_group(struct kona_bench_swap *swap)
{
	for (int i = 0; i < TRIES; i++) {
		if (!rmdir(swap->group))
			return 0;
		usleep(PAUSE_US);
	}
	return -errno;
}

static int remove_device(const struct kona_bench_swap *swap)
{
	char path[64];
	int rc;

	snprintf(path, sizeof(path), "/sys/block/zram%d/reset", swap->number);
	rc = write_text(path, "1");
	return rc ? rc : write_text(CONTROL "/hot_remove", "%d", swap->number);
}

static void say(const char *what, int rc)
{
	if (rc)
		kona_error("%s: %s", what, strerror(-rc));
}

/* Every step is tried, whatever became of the one before. */
void kona_bench_swap_end(struct kona_bench_swap *swap)
{
	if (swap->page_cluster >= 0)
		say(PAGE_CLUSTER " stays 0", write_text(PAGE_CLUSTER, "%d", swap->page_cluster));
	if (swap->grouped) {
		say(swap->group, write_group(swap, "memory.limit_in_bytes", -1));
		say(swap->group, remove_group(swap));
	}
	if (swap->swapping)
		say(swap->device, swapoff(swap->device) ? -errno : 0);
	if (swap->number >= 0)
		say(swap->device, remove_device(swap));
	*swap = (struct kona_bench_swap){.number = -1, .page_cluster = -1};
}

/* --- while it is used --------------------------------------------------------------------------*/

int kona_bench_swap_join(const struct kona_bench_swap *swap)
{
	return write_group(swap, "cgroup.procs", getpid());
}

void kona_bench_swap_nudge(const struct kona_bench_swap *swap)
{
	char path[128], text[256];

	snprintf(path, sizeof(path), "%s/memory.oom_control", swap->group);
	if (read_text(path, text, sizeof(text)) || !strstr(text, "under_oom 1"))
		return;
	if (!write_group(swap, "memory.limit_in_bytes", (int64_t)swap->limit_bytes + NUDGE_BYTES) &&
	    write_group(swap, "memory.limit_in_bytes", (int64_t)swap->limit_bytes))
		return; /* not yet: the next nudge tries again */
}

static uint64_t find_count(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtoull(line + strlen(name), NULL, 10) : 0;
}

void kona_bench_swap_count(uint64_t *ret_in_pages, uint64_t *ret_out_pages)
{
	static char text[1 << 15];
	FILE *stream = fopen("/proc/vmstat", "re");
	size_t got = stream ? fread(text, 1, sizeof(text) - 1, stream) : 0;

	text[got] = '\0';
	if (stream)
		fclose(stream);
	*ret_in_pages = find_count(text, "\npswpin ");
	*ret_out_pages = find_count(text, "\npswpout ");
}
