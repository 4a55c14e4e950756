/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The L1 of a thread that is alone (linked.h), which looks its accesses up by itself. Replacement
 * is LRU, and stores allocate; what goes on is the same, in the same order, as what the simulator
 * hands on from L1 to L2 (engine/walk.h).
 */
#ifndef KONA_LINKED_L1_H
#define KONA_LINKED_L1_H

#include <kona/linked-state.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Looks the line up in the thread's own L1, and makes it the most recent one of its set. Returns
 * 1 if it missed, with what had to go for it in *ret_victim (an entry, or 0).
 */
KONA_LINKED_INLINE uint64_t kona_linked_look_up(struct kona_linked *self, uint64_t base,
						unsigned kind, uint64_t *ret_victim)
{
	const uint64_t noted = kind == KONA_LINKED_READ ? KONA_LINKED_READ_NOTED
			       : kind == KONA_LINKED_WRITE
				       ? KONA_LINKED_WRITE_NOTED
				       : KONA_LINKED_READ_NOTED | KONA_LINKED_WRITE_NOTED;
	const uint64_t known = KONA_LINKED_DIRTY | KONA_LINKED_WRITE_NOTED;
	uint64_t line = base >> KONA_LINKED_LINE_SHIFT, index = line & self->mask;
	uint64_t *set = self->l1 + (line & self->l1_mask) * self->l1_ways;
	uint64_t ways = self->l1_ways, entry = set[0], way = 0, next, missed;

	/* Each entry moves to where the next one stood, until the line's own is found. */
	while ((entry ^ base) >= KONA_LINKED_LINE_BYTES && ++way < ways) {
		next = set[way];
		set[way] = entry;
		entry = next;
	}
	missed = way == ways;
	*ret_victim = missed ? entry : 0;
	entry = missed ? base | self->l1_fresh : entry;
	entry |= kind != KONA_LINKED_READ;
	if (__builtin_expect((entry & noted) != noted, 0)) {
		*self->note = base | noted;
		/* Full: no room for an event is what the next one finds. */
		if (++self->note == self->note_end)
			self->end = self->last;
		entry |= noted;
	}
	set[0] = entry;
	self->read[index] = base;
	self->write[index] = (entry & known) == known ? base : UINT64_MAX;
	return missed;
}

/* Adds an event without a branch: what is there counts only if it is wanted (1, else 0). */
KONA_LINKED_INLINE void kona_linked_add(struct kona_linked *self, uint64_t base, unsigned kind,
					uint64_t wanted)
{
	self->last[1] = base >> KONA_LINKED_LINE_SHIFT << 3 | kind;
	self->last += wanted;
}

/* What had to go for a line goes on if it is dirty. */
KONA_LINKED_INLINE void kona_linked_add_victim(struct kona_linked *self, uint64_t victim)
{
	kona_linked_add(self, victim, KONA_LINKED_WRITEBACK, victim & KONA_LINKED_DIRTY);
}

/* What an access does to the thread's own L1, and what it tells those below; also across lines. */
static inline void kona_linked_look_up_any(struct kona_linked *self, uint64_t address,
					   uint64_t bytes, unsigned kind)
{
	const uint64_t line = ~(uint64_t)(KONA_LINKED_LINE_BYTES - 1);
	const unsigned below = kind == KONA_LINKED_WRITE;
	uint64_t base = address & line, end = (address + bytes - 1) & line, victim, missed;
	unsigned pair = end == base ? 0 : KONA_LINKED_PAIR;

	missed = kona_linked_look_up(self, base, kind, &victim);
	kona_linked_add_victim(self, victim);
	if (pair) {
		missed |= kona_linked_look_up(self, end, kind, &victim);
		kona_linked_add_victim(self, victim);
	}
	self->l1_misses[below] += missed;
	/* Both go on, whichever of them missed. */
	kona_linked_add(self, base, below | pair, missed);
	kona_linked_add(self, end, below, pair ? missed : 0);
}

KONA_LINKED_INLINE int kona_linked_window_is_over(const struct kona_linked *self)
{
	return self->reads + self->writes >= self->window_end;
}

/* An access within a line, by a thread that is alone and has room for it. */
KONA_LINKED_INLINE void kona_linked_record_alone(struct kona_linked *self, uint64_t base,
						 unsigned kind)
{
	const unsigned below = kind == KONA_LINKED_WRITE;
	uint64_t victim;

	self->state = KONA_LINKED_ALONE | KONA_LINKED_INSIDE;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (kona_linked_look_up(self, base, kind, &victim)) {
		self->l1_misses[below]++;
		kona_linked_add_victim(self, victim);
		kona_linked_add(self, base, below, 1);
	}
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	self->state = KONA_LINKED_ALONE;
}

#ifdef __cplusplus
}
#endif

#endif
