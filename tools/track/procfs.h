/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What /proc tells of a process: its mappings, threads, children, and which pages are there.
 */
#ifndef KONA_TRACK_PROCFS_H
#define KONA_TRACK_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "kernel.h"

/* One private mapping. */
struct kona_mapping {
	uint64_t start, end; /* bytes */
	uint64_t offset;     /* into the file */
	uint64_t inode;	     /* 0: anonymous */
	bool readable, writable;
	const char *name; /* as in /proc/PID/maps, "" for none; lives as long as the list */
};

struct kona_mappings {
	struct kona_mapping *v;
	size_t count, room;
	char *text; /* holds the names */
	size_t text_room;
};

/*
 * Reads the private mappings, by rising address, into list (kept memory is used again). Left out:
 * what the kernel lends to every process (vdso, vvar, vsyscall). Returns 0; -ESRCH when the process
 * or its memory is gone; -errno.
 */
KONA_MUST_CHECK int kona_mappings_read(pid_t pid, struct kona_mappings *list);
void kona_mappings_free(struct kona_mappings *list);

/* A growing list of thread or process ids; zero-initialise. */
struct kona_ids {
	pid_t *v;
	size_t count, room;
};

KONA_MUST_CHECK int kona_ids_add(struct kona_ids *ids, pid_t id);
void kona_ids_free(struct kona_ids *ids);

/* Threads of a process; its children (of all its threads). Replace what is in the list. */
KONA_MUST_CHECK int kona_threads_read(pid_t pid, struct kona_ids *ret_ids);
/* How many threads there are; 0 when the process is gone. */
size_t kona_threads_count(pid_t pid);
KONA_MUST_CHECK int kona_children_read(pid_t pid, struct kona_ids *ret_ids);

/* The state letter of a thread ('R', 'S', 'D', 'T', 't', 'Z', 'X'); 0 when it is gone. */
char kona_thread_state(pid_t pid, pid_t tid);

/* The number in a line of /proc/PID/status ("TracerPid:", "Seccomp:"); -1 when there is none. */
long kona_status_number(pid_t pid, const char *field);

/*
 * Does any thread still have memory? Not so where the process ends, some time before it can be
 * reaped: its files are closed in between.
 */
bool kona_memory_held(pid_t pid);

/* The command name, for people. */
void kona_process_name(pid_t pid, char *name, size_t name_bytes);

/* Is the file that pid executes another than other's? */
bool kona_same_executable(pid_t pid, pid_t other);

struct kona_regions {
	struct kona_region *v;
	size_t count, room;
};

/* How pages are looked for. */
enum {
	KONA_REGIONS_PROTECT = 1 << 0, /* only those written since they were last protected; they
					  are protected in the same instant */
	KONA_REGIONS_FILES = 1 << 1,   /* tell pages of files (KONA_PAGE_FILE): costs a look at each
					  page's descriptor, which is seldom in a cache */
};

/*
 * Appends the pages of a first part of [*start, end) that are present or swapped out, but are not
 * the kernel's zero page; *start moves to where that part ends. Nothing is populated. pagemap is a
 * descriptor of /proc/PID/pagemap. Returns 0; -EPERM: the range is not registered for being
 * protected; -ENOTTY: this kernel (before Linux 6.7) protects nothing; -errno.
 */
KONA_MUST_CHECK int kona_regions_next(int pagemap, uint64_t *start, uint64_t end, unsigned int how,
				      struct kona_regions *list);
/* The same for all of [start, end). */
KONA_MUST_CHECK int kona_regions_scan(int pagemap, uint64_t start, uint64_t end, unsigned int how,
				      struct kona_regions *list);
/* Appends a run; it becomes one with the last, where it continues it. */
KONA_MUST_CHECK int kona_regions_add(struct kona_regions *list, const struct kona_region *region);
void kona_regions_free(struct kona_regions *list);

#endif
