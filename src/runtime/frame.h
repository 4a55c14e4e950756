/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FMem: the budget of local memory, as a number of frames. A page is local while it holds a frame.
 * A frame number stands for two things: what the runtime knows of the page beside its contents, and
 * 4 KiB of addresses in FMem, where guarded code finds the contents.
 *
 *   frame:  next free | owner | marks | baseline: 64 line hashes | a twin page | nothing
 *
 * Memory stands behind a frame's addresses (SOLID) or not: a page that the fault path mapped at its
 * own address took the memory along. So a budget of n frames never has more than n pages of memory.
 *
 *   virgin --> hollow <--> solid     free frames; guards want solid ones, the fault path hollow
 * ones
 *
 * FMem lies right above VFMem. It grows by 2 MiB (a huge page, populated before it is registered
 * with the userfaultfd: from then on, an access of a hollow frame is a fault that is seen). Where
 * hollow frames were filled one by one, as after guards have slept, the evictor makes a huge page
 * of them again once a chunk is full: misses take a sixth longer without.
 *
 * The baseline and the rest are paid out of the budget: count = budget / (4096 + all of the above).
 */
#ifndef KONA_RUNTIME_FRAME_H
#define KONA_RUNTIME_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/units.h"
#include "runtime/freemap.h"

#define KONA_FRAME_DIRTY   UINT8_C(2)  /* wp: written since it was fetched */
#define KONA_FRAME_SOLID   UINT8_C(4)  /* memory stands behind its addresses */
#define KONA_FRAME_COMPARE UINT8_C(8)  /* unguarded code may have written: compare, too */
#define KONA_FRAME_MARKED  UINT8_C(16) /* guarded code may have left dirty marks */
#define KONA_FRAME_AHEAD   UINT8_C(32) /* brought in ahead, and not touched so far */

enum {
	/* The last frames are kept for faults of a thread that stops the evictor (space.h). */
	KONA_FRAME_RESERVE = 32,
	/*
	 * What the budget may be overdrawn by, 32 MiB, while all of it is pinned: one O_DIRECT
	 * request can pin more than the budget before the kernel sends it off, and needs the next
	 * page to go on. Within the fixed slack that the program's resident memory is promised.
	 */
	KONA_FRAME_OVERDRAFT = 8192,
	/* FMem grows by a huge page. */
	KONA_FRAME_CHUNK = 512,
};

enum kona_frame_kind { KONA_FRAME_WANT_HOLLOW, KONA_FRAME_WANT_SOLID };

struct kona_frames {
	char *fmem;	       /* addresses of all frames, or NULL: none yet. Not owned */
	int uffd;	       /* FMem's. Not owned. Immutable after kona_frames_place() */
	uint32_t most;	       /* that the budget may ever have. Immutable after init */
	uint32_t count;	       /* that it has now. Atomic, no edge: a level */
	uint32_t numbers;      /* in use: count, and the parked ones. Atomic, no edge */
	size_t baseline_bytes; /* of one frame. Immutable after init */
	uint64_t hollow;       /* free stack: change count << 32 | frame + 1. Atomic, edge FR-1 */
	struct kona_freemap solid; /* free, by place */
	uint64_t parked;	   /* the same, of what a smaller budget took away */
	uint32_t virgin;	   /* frames from here on were never taken. Atomic, edge FR-2 */
	uint32_t *lent;		   /* frames of the overdraft that are not in use. The evictor's */
	uint32_t lent_count;	   /* The evictor's */
	uint32_t *next;		   /* frame + 1 below in the stack. Written by the frame's holder;
				    * of a frame in use: kona_frame_cooled() */
	uint16_t *pins;		   /* Atomic, edge GU-1: by threads whose slot names the page */
	uint32_t *owner;    /* the page that holds it. Atomic, edge PT-1; written by the holder */
	uint8_t *marks;	    /* Written by the page's owner */
	uint16_t *recency;  /* recency.h. Atomic, no edge: a hint */
	uint8_t *rough;	    /* per chunk: filled in small pages. Atomic, no edge: a hint */
	uint32_t mended;    /* chunks looked at. The evictor's */
	uint64_t mended_ns; /* when the last one was mended. The evictor's */
	char *baselines;    /* Written by the page's owner */
	uint8_t *dirty;	    /* a byte per line of FMem, then set by guards. Not owned */
	/* Apart from all that is only read. Atomic, no edge: a level for watermarks */
	_Alignas(KONA_LINE_BYTES) uint32_t available;
};

/* As many frames as the budget pays for, of at most most_pages that there will ever be (fewer, when
 * a page-table entry cannot name as many). -EINVAL when those are too few to work, or too many;
 * -ENOMEM. */
KONA_MUST_CHECK int kona_frames_init(struct kona_frames *frames, uint64_t budget_bytes,
				     size_t baseline_bytes, uint64_t most_pages);
void kona_frames_destroy(struct kona_frames *frames);

/* Addresses that FMem takes: of all frames, the overdraft too. A multiple of 2 MiB. */
uint64_t kona_frames_bytes(const struct kona_frames *frames);

/* Gives the frames their addresses (2 MiB aligned, without memory so far), their userfaultfd and
 * the marks of their lines (64 bytes per frame). Before the first frame is taken. */
void kona_frames_place(struct kona_frames *frames, char *fmem, int uffd, uint8_t *dirty);

/*
 * Takes a free frame, but leaves `spare` of them; of the kind that is wanted while there is one,
 * else it is made so. near: a solid frame that is wanted most, or KONA_FREEMAP_ANY. False when
 * there is none. Lock-free: the fault handler must not wait for a thread that a signal may have
 * stopped. Kernel calls are added to *system_calls.
 */
KONA_MUST_CHECK bool kona_frame_take(struct kona_frames *frames, uint32_t spare,
				     enum kona_frame_kind wanted, uint32_t near,
				     uint32_t *ret_frame, uint64_t *system_calls);
void kona_frame_give(struct kona_frames *frames, uint32_t frame);

/* Gives many; neighbours in the list that are neighbours in memory by one operation. */
void kona_frames_give(struct kona_frames *frames, const uint32_t *list, uint32_t count);

/* Evictor: makes up to `count` frames beyond the budget available. Returns how many. */
uint32_t kona_frames_overdraw(struct kona_frames *frames, uint32_t count);
/* Evictor: takes frames back, as long as more than `spare` are available, until none is overdrawn.
 */
void kona_frames_repay(struct kona_frames *frames, uint32_t spare);

/* Evictor, often: makes a huge page of a chunk's small ones, if all of its frames have memory; one
 * in some milliseconds, for in a mixed program others split it again. */
void kona_frames_mend(struct kona_frames *frames);

/*
 * Changes the budget. Growing is done at once; to shrink, the caller frees frames and calls again
 * until the answer is 0: frames that must still go. -EINVAL as above. One thread at a time.
 */
int64_t kona_frames_resize(struct kona_frames *frames, uint64_t budget_bytes);

uint32_t kona_frames_available(const struct kona_frames *frames);

/* Frames that were ever taken, the overdraft among them; and the nth of these. */
uint32_t kona_frames_used(const struct kona_frames *frames);
uint32_t kona_frames_nth(const struct kona_frames *frames, uint32_t n);

/* Metadata that the budget pays for, in bytes. */
uint64_t kona_frames_metadata_bytes(const struct kona_frames *frames);

/* Lines that guards marked since the last call; clears the marks. By the page's owner, when no
 * guard can be using the frame. */
uint64_t kona_frame_collect(struct kona_frames *frames, uint32_t frame);

/* Asked behind kona_hazard_collect(): a pin is made under the protection of a slot. */
static inline bool kona_frame_pinned(const struct kona_frames *frames, uint32_t frame)
{
	return kona_load_acquire(&frames->pins[frame]); /* GU-1 */
}

/*
 * How many barriers the evictor had made when the page in this frame cooled. Such a frame is on no
 * stack, so this has the place of the link; a pop() that still reads it finds the stack changed.
 * Under the write-back lock, without which no frame that holds a page becomes free.
 */
static inline void kona_frame_cool(struct kona_frames *frames, uint32_t frame, uint32_t barriers)
{
	kona_store_relaxed(&frames->next[frame], barriers); /* relaxed: read under the same lock */
}

static inline uint32_t kona_frame_cooled(const struct kona_frames *frames, uint32_t frame)
{
	return kona_load_relaxed(&frames->next[frame]); /* relaxed: written under the same lock */
}

static inline char *kona_frame_baseline(const struct kona_frames *frames, uint32_t frame)
{
	return frames->baselines + frame * frames->baseline_bytes;
}

/* A small page stands behind the frame now. By its holder. */
static inline void kona_frame_filled(struct kona_frames *frames, uint32_t frame, uint8_t more_marks)
{
	frames->marks[frame] |= KONA_FRAME_SOLID | more_marks;
	/* relaxed: a hint */
	kona_store_relaxed(&frames->rough[frame / KONA_FRAME_CHUNK], 1);
}

/* A byte per line. */
static inline uint8_t *kona_frame_marks(const struct kona_frames *frames, uint32_t frame)
{
	return frames->dirty + (size_t)frame * KONA_PAGE_LINES;
}

static inline char *kona_frame_address(const struct kona_frames *frames, uint32_t frame)
{
	return frames->fmem + (size_t)frame * KONA_PAGE_BYTES;
}

#endif
