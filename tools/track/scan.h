/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a walk, shared by its two halves: walk.c (which pages) and scan.c (reading and
 * comparing them).
 */
#ifndef KONA_TRACK_SCAN_H
#define KONA_TRACK_SCAN_H

#include "target.h"

enum { BATCH_PAGES = 64 };

/* Pages of a batch that are neighbours, in the target and in the store. */
struct piece {
	struct kona_extent extent;
	const struct kona_mapping *mapping;
	bool is_new; /* its slots are not filled yet */
};

struct kona_scan {
	char *buffer;
	struct piece piece[BATCH_PAGES];
	size_t pieces, pages;
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
