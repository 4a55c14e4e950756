/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who uses pages in place, nobody sees: there is no mark of the last access. What is seen is how
 * soon a page is wanted back there, and from that follows for how many turns of the clock hand it
 * stays:
 *
 *   level   0   1   2   3   4   5
 *   turns   0   1   4  16  64 255
 *
 * A page in a frame is used by guards, who tell (cool.c), and for whom a page that left too early
 * costs a tenth to a fiftieth of a page fault. So where guards are, whatever is wanted back in
 * place within a turn stays for longer than it did the last time, as does what others than guards
 * want when it is in a frame. Where there are none, all pages cost the same: one turn is all that
 * any gets, for having been wanted back within about one (tools/cachesim/engine/clock.c simulates
 * it).
 *
 * While a page is local, its frame keeps level << 8 | turns that are left; while it is REMOTE, its
 * entry keeps level << CLOCK_BITS | how many pages had left when it did, / 16.
 */
#ifndef KONA_RUNTIME_RECENCY_H
#define KONA_RUNTIME_RECENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "runtime/space.h"

enum {
	KONA_RECENCY_NEEDED = 3, /* level of a page that was wanted soon */
	KONA_RECENCY_MOST = 5,
	KONA_RECENCY_SHARE = 32, /* of the frames, left meanwhile: that is soon */
	KONA_RECENCY_UNIT = 16,	 /* pages */
};

/* Of a REMOTE entry's payload; the level is above. */
#define KONA_RECENCY_CLOCK_BITS 23
#define KONA_RECENCY_CLOCK	((UINT32_C(1) << KONA_RECENCY_CLOCK_BITS) - 1)

/* Of the page in the frame. */
static inline uint32_t kona_recency_level(const struct kona_space *space, uint32_t frame)
{
	return kona_load_relaxed(&space->frames.recency[frame]) >> 8; /* relaxed: a hint */
}

/* Of the page when it left; 0 for one that was ABSENT. */
static inline uint32_t kona_recency_last_level(uint64_t seen)
{
	return kona_pt_state(seen) == KONA_PT_REMOTE
		       ? kona_pt_payload(seen) >> KONA_RECENCY_CLOCK_BITS
		       : 0;
}

static inline uint32_t kona_recency_clock(const struct kona_space *space)
{
	/* relaxed: a hint */
	return kona_load_relaxed(&space->evict.left_pages) / KONA_RECENCY_UNIT;
}

/* For the REMOTE entry of the page in the frame, which leaves now. */
static inline uint32_t kona_recency_of_leaver(const struct kona_space *space, uint32_t frame)
{
	return kona_recency_level(space, frame) << KONA_RECENCY_CLOCK_BITS |
	       (kona_recency_clock(space) & KONA_RECENCY_CLOCK);
}

/* Pages that left since. */
static inline uint64_t kona_recency_away(const struct kona_space *space, uint64_t remote)
{
	uint32_t units = (kona_recency_clock(space) - kona_pt_payload(remote)) & KONA_RECENCY_CLOCK;

	return (uint64_t)units * KONA_RECENCY_UNIT;
}

/* The page is wanted back soon after it left. */
static inline bool kona_recency_is_soon(const struct kona_space *space, uint64_t remote)
{
	/* relaxed: a level */
	uint32_t share = kona_load_relaxed(&space->frames.count) / KONA_RECENCY_SHARE;

	return kona_recency_away(space, remote) <
	       (share > KONA_EVICT_BATCH ? share : KONA_EVICT_BATCH);
}

static inline uint32_t kona_recency_raised(uint32_t level)
{
	return level < KONA_RECENCY_MOST ? level + 1 : level;
}

/* Of a page that comes in place. wanted: somebody is stopped on it; it is no neighbour. */
static inline uint32_t kona_recency_next_level(const struct kona_space *space, uint64_t remote,
					       bool wanted)
{
	uint32_t level = kona_recency_last_level(remote);
	/* relaxed: a level */
	uint64_t turn = kona_load_relaxed(&space->frames.count);
	uint64_t away = kona_recency_away(space, remote);

	if (!kona_load_relaxed(&space->guarded)) /* relaxed: once is enough */
		return away < turn + turn / 2;
	if (level < KONA_RECENCY_NEEDED && kona_recency_is_soon(space, remote))
		return KONA_RECENCY_NEEDED;
	if (away >= turn)
		return 0;
	return wanted ? kona_recency_raised(level) : level;
}

static inline void kona_recency_set(struct kona_space *space, uint32_t frame, uint32_t level)
{
	static const uint8_t turns[] = {0, 1, 4, 16, 64, 255};

	/* relaxed: a hint */
	kona_store_relaxed(&space->frames.recency[frame], (uint16_t)(level << 8 | turns[level]));
}

/* The page, whose entry was `seen`, comes in place. */
static inline void kona_recency_come(struct kona_space *space, uint32_t frame, uint64_t seen,
				     bool wanted)
{
	bool remote = kona_pt_state(seen) == KONA_PT_REMOTE;

	kona_recency_set(space, frame, remote ? kona_recency_next_level(space, seen, wanted) : 0);
}

/* It comes into its frame, for guards. */
static inline void kona_recency_keep(struct kona_space *space, uint32_t frame, uint64_t seen)
{
	kona_recency_set(space, frame, kona_recency_last_level(seen));
}

/* It goes in place from there. */
static inline void kona_recency_move(struct kona_space *space, uint32_t frame)
{
	kona_recency_set(space, frame, kona_recency_raised(kona_recency_level(space, frame)));
}

static inline bool kona_recency_is_needed(const struct kona_space *space, uint32_t frame)
{
	return kona_recency_level(space, frame) >= KONA_RECENCY_NEEDED;
}

/* The clock hand meets it: it stays, for a turn less. */
static inline bool kona_recency_passes(struct kona_space *space, uint32_t frame)
{
	uint16_t *recency = &space->frames.recency[frame];
	uint16_t seen = kona_load_relaxed(recency); /* relaxed: a hint, both */

	if (!(seen & 0xff))
		return false;
	kona_store_relaxed(recency, (uint16_t)(seen - 1));
	return true;
}

#endif
