/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a walk, shared by its two halves: walk.c (which pages) and scan.c (reading and
 * comparing them).
 */
#ifndef KONA_TRACK_SCAN_H
#define KONA_TRACK_SCAN_H

#include "crew.h"
#include "target.h"

enum {
	READ_PAGES = 256, /* at most, in one call */
	READ_PAGES_LEAST = 32,
	READ_SHARE =
		512, /* one call reads this part of all, so that buffers stay small beside it */
	JOB_PAGES = 512,
	JOBS = 2 * KONA_CREW_MAX, /* being filled, worked on, or done */
};

/* Neighbouring pages, in the target and in the store. */
struct piece {
	struct kona_extent extent;
	bool is_new; /* nothing is kept of it yet */
};

/* Pages to be read and compared, and what came of it. */
struct scan_job {
	struct kona_job job;
	struct kona_target *target;
	size_t pieces, pages;
	struct piece piece[JOB_PAGES];
	bool missed[JOB_PAGES]; /* could not be read */
	uint64_t mask[JOB_PAGES];
	uint64_t changed_bytes;
};

struct kona_scan {
	struct kona_crew *crew;	     /* NULL: alone; the target may run */
	char *buffer[KONA_CREW_MAX]; /* memory comes as far as it is written */
	size_t read_pages;	     /* in one call of this walk */
	struct scan_job *job;	     /* a ring of JOBS */
	size_t filling, oldest;	     /* the job being filled; the first that is not taken in */
	struct kona_regions there, written, put_off;
	struct kona_regions again; /* what the last walk could not read */
	uint8_t zero_hashes[KONA_HASH_BYTES] __attribute__((aligned(64)));
	int file; /* of the mapping that starts at file_start; -1: out of reach */
	uint64_t file_start, file_inode;
};

/* Comes by pages that are there, by rising address. candidate: they may have been written.
 * put_off_new: those without slots go into scan->put_off. */
KONA_MUST_CHECK int kona_scan_visit(struct kona_target *target, const struct kona_mapping *m,
				    uint64_t page, uint64_t count, bool candidate,
				    bool put_off_new);

/* Reads and compares what has been visited. */
KONA_MUST_CHECK int kona_scan_flush(struct kona_target *target);

#endif
