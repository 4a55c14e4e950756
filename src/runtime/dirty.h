/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which 64-byte lines of a page changed since it was fetched.
 *
 *   lines  a keyed 64-bit hash per line, compared at eviction (default). A change goes unseen with
 *          probability 2^-64 per changed line; the key is drawn at start, so no input can aim at it
 *   store  the same for the user (and default, too), where all of the store is memory of this host:
 *          the page is compared with what the store holds. Exact, and takes no local memory
 *   twin   a copy of the page, compared at eviction: exact, for twice the memory
 *   wp     one bit per page, set by a write-protect fault: what VM-based systems do (the baseline)
 *
 * (Design section 1, primitive 2.)
 */
#ifndef KONA_RUNTIME_DIRTY_H
#define KONA_RUNTIME_DIRTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "runtime/frame.h"

enum kona_dirty_mode {
	KONA_DIRTY_LINES,
	KONA_DIRTY_TWIN,
	KONA_DIRTY_WP,
	KONA_DIRTY_STORE,
};

struct kona_dirty {
	enum kona_dirty_mode mode; /* Immutable after init */
	char key[192];		   /* lines: secret of the hash. Immutable after init */
};

/* A page on its way out, with all writers stopped. */
struct kona_dirty_candidate {
	uint32_t frame;
	bool zero; /* there is no baseline: the page began as zeros */
	const char *content;
	const char *stored; /* mode store, unless it began as zeros: what the store holds */
};

/* Draws the key. -errno when the kernel has no random bytes. */
KONA_MUST_CHECK int kona_dirty_init(struct kona_dirty *dirty, enum kona_dirty_mode mode);

/* Bytes of baseline per frame in this mode. */
size_t kona_dirty_baseline_bytes(enum kona_dirty_mode mode);

/* Takes `content` (4096 bytes) as what the store holds. By the page's owner. */
void kona_dirty_baseline(const struct kona_dirty *dirty, struct kona_frames *frames, uint32_t frame,
			 const char *content);

/* Lines that differ from the baseline. By the page's owner. */
uint64_t kona_dirty_lines(const struct kona_dirty *dirty, const struct kona_frames *frames,
			  const struct kona_dirty_candidate *candidate);

/* Lines that are not zero. */
uint64_t kona_dirty_nonzero(const char *content);

#endif
