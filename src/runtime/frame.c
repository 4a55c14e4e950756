/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The free frames: the solid ones by place (freemap.h), hollow ones on a lock-free stack (Treiber),
 * whose head carries a count of changes so that a frame that went and came back is noticed; and
 * behind them the frames never taken so far. Fetch
 * takes, evict and discard give.
 *
 * State: the stacks and the arrays. What can fail: the mappings at start; memory for FMem, which is
 * the end of the program (fatal.h), as it is for any program that touches its memory.
 */
#include "runtime/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "base/huge.h"
#include "base/units.h"
#include "runtime/fatal.h"
#include "runtime/os.h"
#include "runtime/pagetable.h"

enum {
	LEAST_FRAMES = 512,
	MOST_LOOKS = 8, /* at chunks, for one to mend */
};

#define MEND_NS	    UINT64_C(5000000)
#define CHUNK_BYTES ((size_t)KONA_FRAME_CHUNK * KONA_PAGE_BYTES)

static size_t frame_bytes(size_t baseline_bytes)
{
	return baseline_bytes + 2 * sizeof(uint32_t) + 2 * sizeof(uint16_t) + sizeof(uint8_t);
}

/* The overdraft has chunks of its own, behind the others. */
static size_t all_frames(const struct kona_frames *frames)
{
	return (size_t)frames->most + KONA_FRAME_OVERDRAFT;
}

static size_t rough_bytes(const struct kona_frames *frames)
{
	return all_frames(frames) / KONA_FRAME_CHUNK + 1;
}

/* Frames that a budget pays for; 0: too few, or too many. */
static uint32_t count_for(const struct kona_frames *frames, uint64_t budget_bytes)
{
	uint64_t count = budget_bytes / (KONA_PAGE_BYTES + frame_bytes(frames->baseline_bytes));

	return count < LEAST_FRAMES || count > frames->most ? 0 : (uint32_t)count;
}

int kona_frames_init(struct kona_frames *frames, uint64_t budget_bytes, size_t baseline_bytes,
		     uint64_t most_pages)
{
	uint64_t nameable = KONA_PT_MOST_PAYLOAD - KONA_FRAME_OVERDRAFT;
	uint64_t most = most_pages < nameable ? most_pages : nameable;

	*frames = (struct kona_frames){
		.most = (uint32_t)kona_round_down(most, KONA_FRAME_CHUNK),
		.baseline_bytes = baseline_bytes,
	};
	frames->count = count_for(frames, budget_bytes);
	if (!frames->count)
		return -EINVAL;
	frames->numbers = frames->count;
	frames->available = frames->count;
	frames->lent = kona_os_alloc(KONA_FRAME_OVERDRAFT * sizeof(uint32_t));
	frames->next = kona_os_alloc(all_frames(frames) * sizeof(uint32_t));
	frames->owner = kona_os_alloc(all_frames(frames) * sizeof(uint32_t));
	if (kona_freemap_init(&frames->solid, frames->most))
		return -ENOMEM;
	frames->pins = kona_os_alloc(all_frames(frames) * sizeof(uint16_t));
	frames->marks = kona_os_alloc(all_frames(frames));
	frames->recency = kona_os_alloc(all_frames(frames) * sizeof(uint16_t));
	frames->rough = kona_os_alloc(rough_bytes(frames));
	frames->baselines = kona_os_alloc(all_frames(frames) * baseline_bytes + 1);
	if (!frames->lent || !frames->next || !frames->owner || !frames->pins || !frames->marks ||
	    !frames->recency || !frames->rough || !frames->baselines) {
		kona_frames_destroy(frames);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < KONA_FRAME_OVERDRAFT; i++)
		frames->lent[frames->lent_count++] = frames->most + i;
	return 0;
}

void kona_frames_destroy(struct kona_frames *frames)
{
	kona_freemap_destroy(&frames->solid);
	if (frames->lent)
		kona_os_munmap(frames->lent, KONA_FRAME_OVERDRAFT * sizeof(uint32_t));
	if (frames->next)
		kona_os_munmap(frames->next, all_frames(frames) * sizeof(uint32_t));
	if (frames->owner)
		kona_os_munmap(frames->owner, all_frames(frames) * sizeof(uint32_t));
	if (frames->pins)
		kona_os_munmap(frames->pins, all_frames(frames) * sizeof(uint16_t));
	if (frames->marks)
		kona_os_munmap(frames->marks, all_frames(frames));
	if (frames->recency)
		kona_os_munmap(frames->recency, all_frames(frames) * sizeof(uint16_t));
	if (frames->rough)
		kona_os_munmap(frames->rough, rough_bytes(frames));
	if (frames->baselines)
		kona_os_munmap(frames->baselines, all_frames(frames) * frames->baseline_bytes + 1);
	*frames = (struct kona_frames){0};
}

uint64_t kona_frames_bytes(const struct kona_frames *frames)
{
	return kona_round_up(all_frames(frames) * KONA_PAGE_BYTES, CHUNK_BYTES);
}

/* --- the stacks --------------------------------------------------------------------------------*/

static bool pop(struct kona_frames *frames, uint64_t *stack, uint32_t *ret_frame)
{
	/* FR-1: acquire, pairs with the CAS in push(): next[] of the top is written. */
	uint64_t seen = kona_load_acquire(stack), desired;
	uint32_t top;

	do {
		top = (uint32_t)seen;
		if (!top)
			return false;
		/* Relaxed: a stale value comes with a stale count, and the CAS fails. */
		desired = ((seen >> 32) + 1) << 32 | kona_load_relaxed(&frames->next[top - 1]);
	} while (!kona_cas_acq_rel(stack, &seen, desired)); /* FR-1 */
	*ret_frame = top - 1;
	return true;
}

static void push(struct kona_frames *frames, uint64_t *stack, uint32_t frame)
{
	uint64_t seen = kona_load_acquire(stack); /* FR-1 */

	do {
		/* Relaxed: published by the CAS. */
		kona_store_relaxed(&frames->next[frame], (uint32_t)seen);
	} while (
		!kona_cas_acq_rel(stack, &seen, ((seen >> 32) + 1) << 32 | (frame + 1))); /* FR-1 */
}

/* --- hollow and solid --------------------------------------------------------------------------*/

/* Takes a frame that was never taken, or the whole chunk that begins with it. Returns how many of
 * these the budget pays for. */
static uint32_t break_ground(struct kona_frames *frames, bool chunk, uint32_t *ret_first)
{
	uint32_t first = kona_load_acquire(&frames->virgin), count, paid; /* FR-2 */
	uint32_t end = kona_load_relaxed(&frames->numbers);		  /* relaxed: only grows */

	do {
		if (first >= end)
			return 0;
		count = chunk && first % KONA_FRAME_CHUNK == 0 ? KONA_FRAME_CHUNK : 1;
		paid = count < end - first ? count : end - first;
	} while (!kona_cas_acq_rel(&frames->virgin, &first, first + count)); /* FR-2: with itself */
	kona_add_relaxed(&frames->numbers, count - paid); /* relaxed: only grows */
	*ret_first = first;
	return paid;
}

static void register_frames(struct kona_frames *frames, uint32_t first, uint32_t count)
{
	int rc = kona_uffd_register(frames->uffd, kona_frame_address(frames, first),
				    (size_t)count * KONA_PAGE_BYTES, false);

	if (rc)
		kona_fatal("frames cannot be registered: %s", strerror(-rc));
}

/* Memory for `count` frames of a chunk never taken: huge pages where the kernel has them. Those
 * that the budget does not pay for wait until it grows: hollow, though the huge page brought them.
 */
static void populate(struct kona_frames *frames, uint32_t first, uint32_t count)
{
	char *start = kona_frame_address(frames, first);
	size_t bytes = (size_t)count * KONA_PAGE_BYTES;

	if (kona_os_madvise(start, bytes, MADV_POPULATE_WRITE) ||
	    (bytes < CHUNK_BYTES &&
	     kona_os_madvise(start + bytes, CHUNK_BYTES - bytes, MADV_DONTNEED)))
		kona_fatal("no local memory: %s", strerror(errno));
	register_frames(frames, first, KONA_FRAME_CHUNK);
	for (uint32_t i = count; i < KONA_FRAME_CHUNK; i++)
		push(frames, &frames->parked, first + i);
	for (uint32_t i = 0; i < count; i++)
		frames->marks[first + i] = KONA_FRAME_SOLID;
}

void kona_frames_place(struct kona_frames *frames, char *fmem, int uffd, uint8_t *dirty)
{
	frames->fmem = fmem;
	frames->uffd = uffd;
	frames->dirty = dirty;
	register_frames(frames, frames->most, KONA_FRAME_OVERDRAFT);
}

/* All of a new chunk that is paid for, but its first frame. */
static void give_chunk(struct kona_frames *frames, uint32_t first, uint32_t count)
{
	for (uint32_t at = KONA_FRAME_CHUNK; at; at -= KONA_FREEMAP_WORD) {
		uint32_t word = at - KONA_FREEMAP_WORD, bits = count > word ? count - word : 0;
		uint64_t mask = bits < KONA_FREEMAP_WORD ? (UINT64_C(1) << bits) - 1 : UINT64_MAX;

		if (!word)
			mask &= ~UINT64_C(1);
		if (mask)
			kona_freemap_give_word(&frames->solid, first + word, mask);
	}
}

static bool take_new_solid(struct kona_frames *frames, uint32_t *ret_frame, uint64_t *system_calls)
{
	uint32_t first, count = break_ground(frames, true, &first);

	if (!count)
		return false;
	if (first % KONA_FRAME_CHUNK) { /* the fault path broke this chunk */
		register_frames(frames, (uint32_t)kona_round_down(first, KONA_FRAME_CHUNK),
				KONA_FRAME_CHUNK);
		*system_calls += 1;
		push(frames, &frames->hollow, first);
		return false;
	}
	populate(frames, first, count);
	*system_calls += 2;
	give_chunk(frames, first, count);
	*ret_frame = first;
	return true;
}

/* One that others break at the same time is registered once more, rather than used before it is. */
static bool break_one(struct kona_frames *frames, uint32_t *ret_frame, uint64_t *system_calls)
{
	if (!break_ground(frames, false, ret_frame))
		return false;
	register_frames(frames, (uint32_t)kona_round_down(*ret_frame, KONA_FRAME_CHUNK),
			KONA_FRAME_CHUNK);
	*system_calls += 1;
	return true;
}

static void hollow_out(struct kona_frames *frames, uint32_t frame)
{
	if (kona_os_madvise(kona_frame_address(frames, frame), KONA_PAGE_BYTES, MADV_DONTNEED))
		kona_fatal("a frame cannot be emptied: %s", strerror(errno));
	frames->marks[frame] &= (uint8_t)~KONA_FRAME_SOLID;
}

/* While a fork event is unread the kernel answers EAGAIN. */
static bool fill(struct kona_frames *frames, uint32_t frame)
{
	static const char zeros[KONA_PAGE_BYTES];
	char *address = kona_frame_address(frames, frame);
	size_t done;
	int rc = kona_uffd_copy(frames->uffd, address, zeros, KONA_PAGE_BYTES, false, &done);

	if (rc == -EAGAIN)
		return false;
	if (rc)
		kona_fatal("a frame cannot be filled: %s", strerror(-rc));
	kona_frame_filled(frames, frame, 0);
	return true;
}

static bool is_solid(const struct kona_frames *frames, uint32_t chunk)
{
	const uint8_t *marks = &frames->marks[(size_t)chunk * KONA_FRAME_CHUNK];

	for (uint32_t i = 0; i < KONA_FRAME_CHUNK; i++)
		if (!(kona_load_relaxed(&marks[i]) & KONA_FRAME_SOLID)) /* relaxed: a hint */
			return false;
	return true;
}

/* One try: without a huge page to be had, the next filled frame is time enough for another. Whoever
 * uses a frame meanwhile waits in the kernel until its page is there again. */
void kona_frames_mend(struct kona_frames *frames)
{
	uint32_t chunks = kona_load_acquire(&frames->virgin) / KONA_FRAME_CHUNK; /* FR-2 */
	uint64_t now_ns = kona_now_ns();

	if (now_ns - frames->mended_ns < MEND_NS)
		return;
	for (uint32_t i = 0; i < MOST_LOOKS && i < chunks; i++) {
		uint32_t chunk = frames->mended++ % chunks;

		/* relaxed: a hint, both */
		if (!kona_load_relaxed(&frames->rough[chunk]) || !is_solid(frames, chunk))
			continue;
		kona_store_relaxed(&frames->rough[chunk], 0);
		frames->mended_ns = now_ns;
		(void)kona_os_madvise(kona_frame_address(frames, chunk * KONA_FRAME_CHUNK),
				      CHUNK_BYTES, MADV_COLLAPSE);
		return;
	}
}

static bool take_free_solid(struct kona_frames *frames, uint32_t near, uint32_t *ret_frame)
{
	/* FR-2. */
	return kona_freemap_take(&frames->solid, kona_load_acquire(&frames->virgin), near,
				 ret_frame);
}

static bool take_solid(struct kona_frames *frames, uint32_t near, uint32_t *ret_frame,
		       uint64_t *system_calls)
{
	if (take_free_solid(frames, near, ret_frame) ||
	    take_new_solid(frames, ret_frame, system_calls))
		return true;
	if (!pop(frames, &frames->hollow, ret_frame))
		return false;
	*system_calls += 1;
	if (fill(frames, *ret_frame))
		return true;
	push(frames, &frames->hollow, *ret_frame);
	return false;
}

static bool take_hollow(struct kona_frames *frames, uint32_t *ret_frame, uint64_t *system_calls)
{
	if (pop(frames, &frames->hollow, ret_frame) || break_one(frames, ret_frame, system_calls))
		return true;
	if (!take_free_solid(frames, KONA_FREEMAP_ANY, ret_frame))
		return false;
	*system_calls += 1;
	hollow_out(frames, *ret_frame);
	return true;
}

/* Takes `spare` into account by the level, which may lag: a few frames either way do not matter. */
bool kona_frame_take(struct kona_frames *frames, uint32_t spare, enum kona_frame_kind wanted,
		     uint32_t near, uint32_t *ret_frame, uint64_t *system_calls)
{
	bool taken;

	if (kona_frames_available(frames) <= spare)
		return false;
	taken = wanted == KONA_FRAME_WANT_SOLID ? take_solid(frames, near, ret_frame, system_calls)
						: take_hollow(frames, ret_frame, system_calls);
	if (taken)
		kona_sub_relaxed(&frames->available, 1); /* relaxed: a level */
	return taken;
}

void kona_frames_give(struct kona_frames *frames, const uint32_t *list, uint32_t count)
{
	uint32_t word = 0;
	uint64_t solid = 0; /* of that word */

	for (uint32_t i = 0; i < count; i++) {
		uint32_t frame = list[i];

		/* The overdraft is not on the map. */
		if (frame >= frames->most && (frames->marks[frame] & KONA_FRAME_SOLID))
			hollow_out(frames, frame);
		frames->marks[frame] &= KONA_FRAME_SOLID;
		if (!frames->marks[frame]) {
			push(frames, &frames->hollow, frame);
			continue;
		}
		if (solid && frame / KONA_FREEMAP_WORD != word) {
			kona_freemap_give_word(&frames->solid, word * KONA_FREEMAP_WORD, solid);
			solid = 0;
		}
		word = frame / KONA_FREEMAP_WORD;
		solid |= UINT64_C(1) << frame % KONA_FREEMAP_WORD;
	}
	if (solid)
		kona_freemap_give_word(&frames->solid, word * KONA_FREEMAP_WORD, solid);
	kona_add_relaxed(&frames->available, count); /* relaxed: a level */
}

void kona_frame_give(struct kona_frames *frames, uint32_t frame)
{
	kona_frames_give(frames, &frame, 1);
}

uint32_t kona_frames_overdraw(struct kona_frames *frames, uint32_t count)
{
	if (count > frames->lent_count)
		count = frames->lent_count;
	for (uint32_t i = 0; i < count; i++)
		kona_frame_give(frames, frames->lent[--frames->lent_count]);
	return count;
}

void kona_frames_repay(struct kona_frames *frames, uint32_t spare)
{
	uint64_t system_calls;
	uint32_t frame;

	while (frames->lent_count < KONA_FRAME_OVERDRAFT &&
	       kona_frame_take(frames, spare, KONA_FRAME_WANT_HOLLOW, KONA_FREEMAP_ANY, &frame,
			       &system_calls))
		frames->lent[frames->lent_count++] = frame;
}

static void grow_to(struct kona_frames *frames, uint32_t wanted)
{
	uint32_t frame, more;

	while (frames->count < wanted && pop(frames, &frames->parked, &frame)) {
		kona_frame_give(frames, frame);
		kona_add_relaxed(&frames->count, 1); /* relaxed: a level */
	}
	more = wanted - frames->count;
	kona_add_relaxed(&frames->numbers, more);   /* relaxed: only grows */
	kona_add_relaxed(&frames->count, more);	    /* relaxed: a level */
	kona_add_relaxed(&frames->available, more); /* relaxed: a level */
}

int64_t kona_frames_resize(struct kona_frames *frames, uint64_t budget_bytes)
{
	uint32_t wanted = count_for(frames, budget_bytes), frame;
	uint64_t system_calls;

	if (!wanted)
		return -EINVAL;
	if (wanted > frames->count)
		grow_to(frames, wanted);
	while (frames->count > wanted &&
	       kona_frame_take(frames, KONA_FRAME_RESERVE, KONA_FRAME_WANT_HOLLOW, KONA_FREEMAP_ANY,
			       &frame, &system_calls)) {
		push(frames, &frames->parked, frame);
		kona_sub_relaxed(&frames->count, 1); /* relaxed: a level */
	}
	return frames->count - wanted;
}

uint32_t kona_frames_available(const struct kona_frames *frames)
{
	return kona_load_relaxed(&frames->available); /* relaxed: a level */
}

/* The overdraft comes first: it has a fixed number of frames. */
uint32_t kona_frames_used(const struct kona_frames *frames)
{
	return KONA_FRAME_OVERDRAFT + kona_load_acquire(&frames->virgin); /* FR-2 */
}

uint32_t kona_frames_nth(const struct kona_frames *frames, uint32_t n)
{
	return n < KONA_FRAME_OVERDRAFT ? frames->most + n : n - KONA_FRAME_OVERDRAFT;
}

uint64_t kona_frames_metadata_bytes(const struct kona_frames *frames)
{
	return frames->count * (uint64_t)frame_bytes(frames->baseline_bytes);
}

/* Eight marks, each 0 or 1, to eight bits: the multiplication moves bit 8i to bit 56 + i. */
static uint64_t gather_bits(uint64_t marks)
{
	return marks * UINT64_C(0x0102040810204080) >> 56;
}

uint64_t kona_frame_collect(struct kona_frames *frames, uint32_t frame)
{
	uint8_t *bytes = kona_frame_marks(frames, frame);
	uint64_t words[KONA_PAGE_LINES / 8], mask = 0;

	memcpy(words, bytes, sizeof(words));
	for (unsigned i = 0; i < KONA_PAGE_LINES / 8; i++)
		mask |= gather_bits(words[i]) << 8 * i;
	if (mask)
		memset(bytes, 0, KONA_PAGE_LINES);
	return mask;
}
