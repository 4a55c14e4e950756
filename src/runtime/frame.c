/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The free frames: a lock-free stack (Treiber), whose head carries a count of changes so that a
 * frame that went and came back is noticed. Fetch takes, evict and discard give.
 *
 * State: the stack and the arrays. What can fail: the mappings at start.
 */
#include "runtime/frame.h"

#include <errno.h>

#include "base/atomic.h"
#include "base/units.h"
#include "runtime/os.h"

enum { LEAST_FRAMES = 512 };

static size_t frame_bytes(size_t baseline_bytes)
{
	return baseline_bytes + sizeof(uint32_t) + sizeof(uint8_t);
}

int kona_frames_init(struct kona_frames *frames, uint64_t budget_bytes, size_t baseline_bytes)
{
	uint64_t count = budget_bytes / (KONA_PAGE_BYTES + frame_bytes(baseline_bytes));

	if (count < LEAST_FRAMES || count >= UINT32_MAX)
		return -EINVAL;
	*frames = (struct kona_frames){.count = (uint32_t)count, .baseline_bytes = baseline_bytes};
	frames->next = kona_os_alloc(count * sizeof(uint32_t));
	frames->marks = kona_os_alloc(count);
	frames->baselines = kona_os_alloc(count * baseline_bytes + 1);
	if (!frames->next || !frames->marks || !frames->baselines) {
		kona_frames_destroy(frames);
		return -ENOMEM;
	}
	for (uint32_t i = (uint32_t)count; i-- > 0;)
		kona_frame_give(frames, i);
	return 0;
}

void kona_frames_destroy(struct kona_frames *frames)
{
	if (frames->next)
		kona_os_munmap(frames->next, frames->count * sizeof(uint32_t));
	if (frames->marks)
		kona_os_munmap(frames->marks, frames->count);
	if (frames->baselines)
		kona_os_munmap(frames->baselines, frames->count * frames->baseline_bytes + 1);
	*frames = (struct kona_frames){0};
}

/* Takes `spare` into account by the level, which may lag: a few frames either way do not matter. */
bool kona_frame_take(struct kona_frames *frames, uint32_t spare, uint32_t *ret_frame)
{
	uint64_t seen, desired;
	uint32_t top;

	if (kona_frames_available(frames) <= spare)
		return false;
	/* FR-1: acquire, pairs with the CAS in kona_frame_give(): next[] of the top is written. */
	seen = kona_load_acquire(&frames->head);
	do {
		top = (uint32_t)seen;
		if (!top)
			return false;
		/* Relaxed: a stale value comes with a stale count, and the CAS fails. */
		desired = ((seen >> 32) + 1) << 32 | kona_load_relaxed(&frames->next[top - 1]);
	} while (!kona_cas_acq_rel(&frames->head, &seen, desired)); /* FR-1 */
	kona_sub_relaxed(&frames->available, 1);		    /* relaxed: a level */
	*ret_frame = top - 1;
	return true;
}

void kona_frame_give(struct kona_frames *frames, uint32_t frame)
{
	uint64_t seen = kona_load_acquire(&frames->head); /* FR-1 */

	frames->marks[frame] = 0;
	do {
		/* Relaxed: published by the CAS. */
		kona_store_relaxed(&frames->next[frame], (uint32_t)seen);
	} while (!kona_cas_acq_rel(&frames->head, &seen,
				   ((seen >> 32) + 1) << 32 | (frame + 1))); /* FR-1 */
	kona_add_relaxed(&frames->available, 1);			     /* relaxed: a level */
}

uint32_t kona_frames_available(const struct kona_frames *frames)
{
	return kona_load_relaxed(&frames->available); /* relaxed: a level */
}

uint64_t kona_frames_metadata_bytes(const struct kona_frames *frames)
{
	return frames->count * (uint64_t)frame_bytes(frames->baseline_bytes);
}
