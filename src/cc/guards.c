/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guards that kona-opt inserts, as bitcode: include/kona/guard.h, cut into the pieces that the
 * rewriter shares between accesses. All are inlined; their names end here.
 *
 * `base` and `size` are the caller's copies of the view's fields, loaded anew after each call.
 * A translation is a distance d: the byte of p is at p + d, d is 0 for memory that needs none (and
 * for pages in place, whose dirty lines the fault path finds).
 */
#include "cc/guards.h"
#define KONA_GUARD_BOUND_NOW /* kona-cc.c: -z now */
#include "kona/guard.h"

#define GUARD __attribute__((always_inline)) extern inline

#define RARELY(x) __builtin_expect(!!(x), 0)

enum {
	PAGE_MASK = 4095,
	LINE_BYTES = 64,
};

GUARD uintptr_t kona_cc_g_base(void)
{
	return kona_guard_self.base;
}

GUARD uintptr_t kona_cc_g_size(void)
{
	return kona_guard_self.size_bytes;
}

/* Translates for as long as `slot` is not used again. */
GUARD uintptr_t kona_cc_g_delta(const char *p, uintptr_t base, uintptr_t size, unsigned slot)
{
	if ((uintptr_t)p - base >= size)
		return 0;
	return kona_guard_delta(p, slot);
}

/*
 * Translates p = q + offset by what is known of q, if all of its `bytes` are in the page of q.
 * Otherwise in `slot`, which is for such cases: good for this access only. That is not inlined: it
 * is rare, and there are many. Its result comes by way of memory, `place`.
 */
GUARD uintptr_t kona_cc_g_again(const char *p, const char *q, uintptr_t d, long offset, long bytes,
				unsigned slot, uintptr_t *place)
{
	if (RARELY(((uintptr_t)q & PAGE_MASK) + (uintptr_t)offset > 4096 - (uintptr_t)bytes)) {
		kona_cc_elsewhere(p, slot, place);
		return *place;
	}
	return d;
}

/* Before a store that stays in one line. */
GUARD void kona_cc_g_mark(char *p, uintptr_t d)
{
	if (d)
		kona_guard_mark(p + d);
}

/* Before a store of up to a page, inside one page. */
GUARD void kona_cc_g_mark_span(char *p, uintptr_t d, long bytes)
{
	if (!d)
		return;
	for (long at = 0; at < bytes; at += LINE_BYTES)
		kona_guard_mark(p + d + at);
	kona_guard_mark(p + d + bytes - 1);
}

/*
 * The place from which an access of `bytes` at p may be loaded, when its first byte is translated
 * by d: `bounce`, filled, if it leaves the page.
 */
GUARD const char *kona_cc_g_load_span(const char *p, uintptr_t d, long bytes, char *bounce)
{
	if (RARELY(((uintptr_t)p & PAGE_MASK) > 4096 - (uintptr_t)bytes)) {
		kona_cc_straddle_load(bounce, p, (unsigned long)bytes);
		return bounce;
	}
	return p + d;
}

/* The same for a store; kona_cc_g_store_done() takes what is in `bounce` to its place. */
GUARD char *kona_cc_g_store_span(char *p, uintptr_t d, long bytes, char *bounce)
{
	if (RARELY(((uintptr_t)p & PAGE_MASK) > 4096 - (uintptr_t)bytes))
		return bounce;
	kona_cc_g_mark_span(p, d, bytes);
	return p + d;
}

GUARD void kona_cc_g_store_done(char *p, char *used, long bytes, char *bounce)
{
	if (RARELY(used == bounce))
		kona_cc_straddle_store(p, bounce, (unsigned long)bytes);
}

/*
 * For what cannot go through a bounce buffer: atomic and masked accesses. Across pages they use the
 * address itself, and the fault path.
 */
GUARD char *kona_cc_g_whole_span(char *p, uintptr_t d, long bytes, int stores)
{
	if (RARELY(((uintptr_t)p & PAGE_MASK) > 4096 - (uintptr_t)bytes))
		return p;
	if (stores)
		kona_cc_g_mark_span(p, d, bytes);
	return p + d;
}

/*
 * How many of `count` steps of a loop stay in the page of p, which moves by `step` and is aligned
 * such that no access leaves the page halfway. Ordinary memory has no such bounds.
 */
GUARD unsigned long kona_cc_g_steps(const char *p, long step, unsigned long count, uintptr_t base,
				    uintptr_t size)
{
	uintptr_t offset = (uintptr_t)p & PAGE_MASK, room;
	unsigned long steps;

	if ((uintptr_t)p - base >= size)
		return count;
	room = step > 0 ? PAGE_MASK - offset : offset;
	steps = room / (uintptr_t)(step > 0 ? step : -step) + 1;
	return steps < count ? steps : count;
}

/* Before a loop that stores to `count` places from p on, all inside one page. */
GUARD void kona_cc_g_mark_steps(char *p, uintptr_t d, long step, long bytes, unsigned long count)
{
	uintptr_t first = (uintptr_t)p + d, last = first + (uintptr_t)step * (count - 1);

	if (!d)
		return;
	if (step < 0) {
		uintptr_t swap = first;

		first = last;
		last = swap;
	}
	last += (uintptr_t)bytes - 1;
	for (uintptr_t line = first / LINE_BYTES; line <= last / LINE_BYTES; line++)
		kona_guard_mark((const char *)(line * LINE_BYTES));
}
