/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One tracked process, and what happens to it at the edge of a window.
 */
#ifndef KONA_TRACK_TARGET_H
#define KONA_TRACK_TARGET_H

#include "counts.h"
#include "lines.h"
#include "procfs.h"
#include "stop.h"
#include "store.h"

enum kona_kept {
	KONA_KEPT_COPY,
	KONA_KEPT_HASH,
};

/* How written pages are found. */
enum kona_finding {
	KONA_FIND_SCAN,	 /* stop, read and compare all */
	KONA_FIND_ASYNC, /* write-protect; read and compare what was written, without a stop */
	KONA_FIND_PAGES, /* write-protect; a written page counts as a whole: what VMs do */
};

/* What the kernel said of the target's address space, by userfaultfd events. */
struct kona_change {
	uint64_t page, count, to; /* to: 0 when the pages are no more */
};

struct kona_changes {
	struct kona_change *v;
	size_t count, room;
};

struct kona_crew;

struct kona_target {
	pid_t pid;
	char name[32];
	int pidfd, memory, pagemap;
	int watch;	    /* userfaultfd, or -1 */
	bool watch_refused; /* do not try again */
	unsigned int watch_tries;
	enum kona_finding preferred; /* by kona_choice_learn() */
	bool armed;		     /* pages are write-protected */
	bool fresh;		     /* no window has begun: the next walk only keeps */
	uint64_t watch_stopped_ns;   /* what the injection cost */
	enum kona_kept kept;
	const struct kona_lines *lines;
	const void *key;
	struct kona_crew *crew; /* NULL: none; the session's */
	struct kona_store store;
	struct kona_mappings mappings;
	struct kona_stop stop;
	struct kona_changes changes;	       /* not applied yet */
	struct kona_regions retry;	       /* read in vain, to be read again */
	struct kona_regions watched, watching; /* registered: by the last walk, by this one */
	struct kona_dirty_list dirty;	       /* of the window that ends */
	uint64_t changed_bytes, unreadable_pages, resident_bytes;
	uint64_t trapped_pages;		 /* whose first write was a fault */
	uint64_t scanned_bytes, scan_ns; /* of the last walk: what reading and comparing costs */
	struct kona_scan *scan;		 /* buffers of the walk */
};

/*
 * Opens a process. from_start: it has just been executed, so that what is kept of it at first is
 * zeros and its files. Returns 0; -EPERM; -ESRCH; -errno.
 */
KONA_MUST_CHECK int kona_target_open(struct kona_target *target, pid_t pid, enum kona_kept kept,
				     const struct kona_lines *lines, const void *key,
				     bool from_start);
void kona_target_close(struct kona_target *target);

/* Has it replaced its memory (exec), or ended? */
bool kona_target_replaced(const struct kona_target *target);

/*
 * Ends a window: target->dirty, changed_bytes and the rest tell what was written since the last
 * edge. *ret_paused_ns: for how long its threads were stopped. -ESRCH: it is gone, or its memory
 * is.
 */
KONA_MUST_CHECK int kona_target_edge(struct kona_target *target, enum kona_finding finding,
				     const struct kona_stopper *stopper, uint64_t *ret_paused_ns);

/* Adds the dirty lines of the last edge to the places where they lie. */
KONA_MUST_CHECK int kona_target_places(const struct kona_target *target,
				       struct kona_places *places);

/* --- the walk (scan.c) --- */

KONA_MUST_CHECK int kona_scan_open(struct kona_target *target);
void kona_scan_close(struct kona_target *target);
KONA_MUST_CHECK int kona_scan_walk(struct kona_target *target, enum kona_finding finding);

/* Moves what is kept of pages whose mapping moved unseen by events (moves.c). fresh: pages without
 * slots, sorted. */
KONA_MUST_CHECK int kona_moves_follow(struct kona_target *target, const struct kona_regions *fresh);

/* --- watching through a userfaultfd (watch.c) --- */

/* Makes one. Returns 0, or why not (see inject.h; -ENOSYS: before Linux 6.7). */
KONA_MUST_CHECK int kona_watch_open(struct kona_target *target);
/*
 * Registers the range, unless it is known to be. again: it is not, though it was. -EINVAL: a
 * mapping of a special kind; -EBUSY: somebody else watches it.
 */
KONA_MUST_CHECK int kona_watch_range(struct kona_target *target, uint64_t start, uint64_t end,
				     bool again);
/* Takes all write-protection off. */
void kona_watch_disarm(struct kona_target *target);
/* Reads what waits into target->changes. The target waits for this in munmap, mremap, madvise. */
void kona_watch_drain(struct kona_target *target);
/* Does any change not yet applied touch these pages? */
bool kona_watch_touched(const struct kona_target *target, uint64_t page, uint64_t count);
/* Applies the changes to what is kept, and forgets them. */
KONA_MUST_CHECK int kona_watch_apply(struct kona_target *target);

#endif
