/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FMem: the budget of local memory, as a number of frames. A page is local while it holds a frame.
 * A frame number indexes what the runtime knows of the page beside its contents: the baseline with
 * which dirty lines are found, and marks.
 *
 *   frame:  next free | marks (HOT, DIRTY) | baseline: 64 line hashes | a twin page | nothing (wp)
 *
 * The baseline is paid out of the budget: count = budget / (4096 + all of the above).
 */
#ifndef KONA_RUNTIME_FRAME_H
#define KONA_RUNTIME_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define KONA_FRAME_HOT	 UINT8_C(1) /* came back soon after an eviction: passed over once */
#define KONA_FRAME_DIRTY UINT8_C(2) /* wp: written since it was fetched */

enum {
	/* The last frames are kept for faults of a thread that stops the evictor (space.h). */
	KONA_FRAME_RESERVE = 32,
};

struct kona_frames {
	uint32_t count;	       /* Immutable after init */
	size_t baseline_bytes; /* of one frame. Immutable after init */
	uint64_t head;	       /* free stack: change count << 32 | frame + 1. Atomic, edge FR-1 */
	uint32_t available;    /* Atomic, no edge: a level for watermarks */
	uint32_t *next;	       /* frame + 1 below in the stack. Written by the frame's holder */
	uint8_t *marks;	       /* Written by the page's owner */
	char *baselines;       /* Written by the page's owner */
};

/* As many frames as the budget pays for. -EINVAL when those are too few to work; -ENOMEM. */
KONA_MUST_CHECK int kona_frames_init(struct kona_frames *frames, uint64_t budget_bytes,
				     size_t baseline_bytes);
void kona_frames_destroy(struct kona_frames *frames);

/*
 * Takes a free frame, but leaves `spare` of them. False when there is none. Lock-free: the fault
 * handler must not wait for a thread that a signal may have stopped.
 */
KONA_MUST_CHECK bool kona_frame_take(struct kona_frames *frames, uint32_t spare,
				     uint32_t *ret_frame);
void kona_frame_give(struct kona_frames *frames, uint32_t frame);

uint32_t kona_frames_available(const struct kona_frames *frames);

/* Metadata that the budget pays for, in bytes. */
uint64_t kona_frames_metadata_bytes(const struct kona_frames *frames);

static inline char *kona_frame_baseline(const struct kona_frames *frames, uint32_t frame)
{
	return frames->baselines + frame * frames->baseline_bytes;
}

#endif
