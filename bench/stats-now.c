/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a running `kona run` has counted so far, in the format of its --stats: `stats-now PID` with
 * the process of `kona run`. So a benchmark can take what belongs to one phase of a program.
 *
 * Walk: the statistics area is a memfd of that process; it is found by its name among the
 * descriptors, mapped, and handed to the writer that `kona run` itself uses.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "cli/run.h"

static int open_area(const char *pid)
{
	char folder[64], path[PATH_MAX], target[64];
	struct dirent *entry;
	int fd = -ENOENT;
	DIR *dir;

	if (snprintf(folder, sizeof(folder), "/proc/%s/fd", pid) >= (int)sizeof(folder))
		return -EINVAL;
	dir = opendir(folder);
	if (!dir)
		return -errno;
	while (fd < 0 && (entry = readdir(dir))) {
		ssize_t length;

		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		length = readlink(path, target, sizeof(target) - 1);
		if (length <= 0)
			continue;
		target[length] = 0;
		if (!strncmp(target, "/memfd:kona-stats", strlen("/memfd:kona-stats")))
			fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	closedir(dir);
	return fd;
}

int main(int argc, char **argv)
{
	const struct kona_stats_area *area = MAP_FAILED;
	char *command[] = {NULL};
	int fd;

	kona_log_name("stats-now");
	if (argc != 2) {
		kona_error("give the PID of kona run");
		return 2;
	}
	fd = open_area(argv[1]);
	if (fd < 0) {
		kona_error("no statistics of process %s: %s", argv[1], strerror(-fd));
		return 1;
	}
	area = mmap(NULL, sizeof(*area), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (area == MAP_FAILED || area->magic != KONA_STATS_MAGIC ||
	    area->version != KONA_STATS_VERSION) {
		kona_error("the statistics of process %s are not of this version", argv[1]);
		return 1;
	}
	return kona_summary_write("/dev/stdout", area, command, 0, 0);
}
