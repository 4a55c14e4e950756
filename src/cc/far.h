/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the library of guarded programs takes memory piece by piece: a piece lies in one page of
 * VFMem, or is ordinary memory of any length. The functions use the slots of single accesses: at a
 * call, no translation of the caller is alive.
 */
#ifndef KONA_CC_FAR_H
#define KONA_CC_FAR_H

#include "cc/guards.h"
#include "kona/guard.h"

enum {
	KONA_CC_PAGE_BYTES = 4096,
};

/* Guards are asleep: then the C library's function is right for all of it, whatever happens while
 * it runs. */
static inline int kona_cc_asleep(void)
{
	return !__atomic_load_n(&kona_guard_self.size_bytes, __ATOMIC_RELAXED);
}

/* How many bytes from p on, at most `most`, are a piece. */
static inline size_t kona_cc_piece(const void *p, size_t most)
{
	size_t room;

	if (!kona_guard_is_paged(p))
		return most;
	room = KONA_CC_PAGE_BYTES - ((uintptr_t)p & (KONA_CC_PAGE_BYTES - 1));
	return room < most ? room : most;
}

/* How many bytes before `end`, at most `most`, are a piece. */
static inline size_t kona_cc_piece_before(const void *end, size_t most)
{
	size_t room;

	if (!kona_guard_is_paged((const char *)end - 1))
		return most;
	room = (((uintptr_t)end - 1) & (KONA_CC_PAGE_BYTES - 1)) + 1;
	return room < most ? room : most;
}

static inline const void *kona_cc_source(const void *p)
{
	return kona_guard_load(p, KONA_CC_SLOT_OTHER);
}

/* Marks all lines of the piece: it is about to be overwritten. */
static inline void *kona_cc_target(void *p, size_t size_bytes)
{
	char *local;

	if (!kona_guard_is_far(p))
		return p;
	local = (char *)p + kona_guard_delta(p, KONA_CC_SLOT_ONCE);
	kona_guard_mark_range(local, size_bytes);
	return local;
}

#endif
