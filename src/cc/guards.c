/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guards that kona-opt inserts, as bitcode: include/kona/guard.h, cut into the pieces that the
 * rewriter shares between accesses. All are inlined; their names end here.
 *
 * `bias` and `table` are the caller's copies of the view's fields, loaded anew after each call;
 * `lazy`: the table is not, it is loaded where it is needed. The size always is: a comparison with
 * memory costs no more than one with a register.
 * A translation is a distance d: the byte of p is at p + d, d is 0 for memory that needs none (and
 * for pages in place, whose dirty lines the fault path finds). Functions that return the place
 * p + d say d by way of memory, which is a register once they are inlined: who needs one of the two
 * need not keep the other.
 */
#include "cc/guards.h"
#include "cc/version.h"
#include "kona/guard.h"
#include "kona/sleepers.h"

#define GUARD __attribute__((always_inline)) extern inline

#define RARELY(x) __builtin_expect(!!(x), 0)
/* Programs without far memory run twins (cc/twin.h). The others hardly meet ordinary memory here:
 * it is two jumps away, and far memory none. */
#define ORDINARY(place) RARELY((place) >= kona_guard_self.size_bytes)

/* Keeps loop strength reduction from what is made of the value: it takes the rare ways for as often
 * used as the others, and has loops count in a register more for each. */
#define OPAQUE(value) __asm__("" : "+r"(value))

enum {
	ONE = KONA_GUARD_RESIDENT,
	PAGE_MASK = 4095,
	LINE_BYTES = 64,
};

/* In every module, so that it is linked with the library of its own version alone (version.c). */
extern const char KONA_CC_VERSION;
static const char *wanted_version __attribute__((used, retain)) = &KONA_CC_VERSION;

/* The word of a record (kona/sleepers.h). Nothing is ordered by it: an atomic load would have the
 * optimiser take other accesses for ordered, too, and could not be part of the comparison. */
static inline __attribute__((always_inline)) int word_of(const void *record)
{
	return *(const volatile int *)&((const struct kona_sleeper *)record)->awake;
}

/* The function is awake: asked where it is entered. */
GUARD int kona_cc_g_enter(void *record)
{
	int awake = word_of(record);

	return RARELY(awake < 0) ? kona_cc_enrol(record) : awake;
}

/* The same, asked by its twin in each turn of a loop, for the answer may change at any moment. */
GUARD int kona_cc_g_awake(const void *record)
{
	return word_of(record);
}

GUARD uintptr_t kona_cc_g_bias(void)
{
	return kona_guard_self.bias;
}

GUARD const uint64_t *kona_cc_g_table(void)
{
	return kona_guard_self.table;
}

/*
 * The distance of a far p, plus 1, whose page is put into the slot of `access` (KONA_CC_ACCESS).
 * The type of the access promises that no bit of `mask` is set in p: then it stays in a line, which
 * is marked if it stores. Programs break such promises; then it is kona_cc_elsewhere() that sees to
 * it that the distance holds for all of the access.
 */
static inline __attribute__((always_inline)) uintptr_t far_distance(const char *p, uintptr_t place,
								    const uint64_t *table,
								    unsigned long access,
								    uintptr_t mask)
{
	uint64_t hit;

	if (RARELY((uintptr_t)p & mask))
		return kona_cc_elsewhere(p, access) + ONE;
	hit = kona_guard_entry(table, place >> 12, KONA_CC_ACCESS_SLOT(access)) & KONA_GUARD_HIT;
	if (RARELY(!hit))
		return kona_cc_elsewhere(p, access) + ONE;
	/* Where bit 0 of p is not set, the next byte is of the same line. */
	if (KONA_CC_ACCESS_STORES(access))
		kona_guard_mark(p + hit - (mask & 1 ? 0 : ONE));
	return hit;
}

/* Translates for as long as `slot` is not used again. */
GUARD uintptr_t kona_cc_g_delta(const char *p, uintptr_t bias, const uint64_t *table, int lazy,
				unsigned slot)
{
	uintptr_t place = (uintptr_t)p + bias;

	if (ORDINARY(place))
		return 0;
	return far_distance(p, place, lazy ? kona_guard_self.table : table,
			    KONA_CC_ACCESS(slot, 1, 0), 0) -
	       ONE;
}

/*
 * The same for an access of `bytes`, with the `mask` of its type. The distance of ordinary memory
 * is one that the optimiser does not know: else it would take the 1 off in either block. So it
 * comes off where the memory is used, by its addressing.
 */
GUARD char *kona_cc_g_translate(char *p, uintptr_t bias, const uint64_t *table, int lazy,
				unsigned slot, long bytes, uintptr_t mask, int stores,
				uintptr_t *ret_d)
{
	uintptr_t place, d;

	OPAQUE(p);
	place = (uintptr_t)p + bias;
	if (ORDINARY(place)) {
		d = ONE;
		OPAQUE(d);
	} else {
		d = far_distance(p, place, lazy ? kona_guard_self.table : table,
				 KONA_CC_ACCESS(slot, bytes, stores), mask);
	}
	*ret_d = d - ONE;
	return p + d - ONE;
}

/*
 * Whether `bytes` at q + offset leave the page of q. A short way up is asked by one test:
 * does its last byte lie at the start of a page? That includes some that have not left theirs.
 */
static inline __attribute__((always_inline)) int leaves(const char *q, long offset, long bytes)
{
	unsigned long way = (unsigned long)(offset + bytes - 1), start = LINE_BYTES / 4;

	if (offset >= 0 && way <= LINE_BYTES) {
		while (start < way)
			start *= 2;
		return !(((uintptr_t)q + way) & (PAGE_MASK & -start));
	}
	return ((uintptr_t)q & PAGE_MASK) + (uintptr_t)offset > 4096 - (uintptr_t)bytes;
}

/*
 * Translates p = q + offset by the d of q, if all of its `bytes` are in the page of q. Otherwise in
 * `slot`, which is for such cases: good for this access only. That is not inlined: it is rare, and
 * there are many. (In the place p + d, the 1 comes off as it does in kona_cc_g_translate().)
 */
GUARD char *kona_cc_g_again(char *p, const char *q, uintptr_t d, long offset, long bytes,
			    unsigned slot, uintptr_t *ret_d)
{
	d += ONE;
	if (RARELY(leaves(q, offset, bytes)))
		d = kona_cc_elsewhere(p, KONA_CC_ACCESS(slot, bytes, 0)) + ONE;
	*ret_d = d - ONE;
	return p + d - ONE;
}

/* Before a store to memory that is translated by d, and that stays in one line if no bit of `mask`
 * is set. */
GUARD void kona_cc_g_mark(char *local, uintptr_t d, long bytes, uintptr_t mask)
{
	if (!d)
		return;
	kona_guard_mark(local);
	if (RARELY((uintptr_t)local & mask))
		kona_guard_mark(local + bytes - 1);
}

/* Before a store of up to a page, inside one page. */
GUARD void kona_cc_g_mark_span(char *local, uintptr_t d, long bytes)
{
	if (!d)
		return;
	for (long at = 0; at < bytes; at += LINE_BYTES)
		kona_guard_mark(local + at);
	kona_guard_mark(local + bytes - 1);
}

/*
 * The place from which an access of `bytes` at p may be loaded, when its first byte is at `local`:
 * `bounce`, filled, if it leaves the page.
 */
GUARD const char *kona_cc_g_load_span(const char *p, const char *local, long bytes, char *bounce)
{
	if (RARELY(((uintptr_t)local & PAGE_MASK) > 4096 - (uintptr_t)bytes)) {
		kona_cc_straddle_load(bounce, p, (unsigned long)bytes);
		return bounce;
	}
	return local;
}

/* The same for a store; kona_cc_g_store_done() takes what is in `bounce` to its place. */
GUARD char *kona_cc_g_store_span(char *local, uintptr_t d, long bytes, char *bounce)
{
	if (RARELY(((uintptr_t)local & PAGE_MASK) > 4096 - (uintptr_t)bytes))
		return bounce;
	kona_cc_g_mark_span(local, d, bytes);
	return local;
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
GUARD char *kona_cc_g_whole_span(char *p, char *local, uintptr_t d, long bytes, int stores)
{
	if (RARELY(((uintptr_t)p & PAGE_MASK) > 4096 - (uintptr_t)bytes))
		return p;
	if (stores)
		kona_cc_g_mark_span(local, d, bytes);
	return local;
}

/*
 * Translates p by a window (cc/window.h): d holds for accesses of up to `most` bytes that begin in
 * the page at `start`. If p lies elsewhere, opens the window there; `slot` then names the page, if
 * it is of VFMem.
 */
GUARD char *kona_cc_g_window(char *p, uintptr_t *start, uintptr_t *d, unsigned slot, long most,
			     long bytes, uintptr_t mask, char *bounce, int stores)
{
	OPAQUE(p);
	if (RARELY((uintptr_t)p - *start > 4096 - (uintptr_t)most)) {
		*d = kona_cc_g_delta(p, kona_guard_self.bias, NULL, 1, slot);
		*start = (uintptr_t)p & ~(uintptr_t)PAGE_MASK;
		if (((uintptr_t)p & PAGE_MASK) > 4096 - (uintptr_t)bytes) {
			if (bounce && !stores)
				kona_cc_straddle_load(bounce, p, (unsigned long)bytes);
			if (bounce)
				return bounce;
			*start = KONA_CC_WINDOW_CLOSED;
			*d = 0; /* as kona_cc_elsewhere() says */
		}
	}
	if (stores && bounce)
		kona_cc_g_mark_span(p + *d, *d, bytes);
	else if (stores)
		kona_cc_g_mark(p + *d, *d, bytes, mask);
	return p + *d;
}

/*
 * The distance of an object of `bytes` bytes, for as long as `slot` is not used again; marks what
 * will be stored of it. One that lies in two pages is not translated: it goes by the fault path.
 */
GUARD uintptr_t kona_cc_g_pin(char *p, uintptr_t bias, const uint64_t *table, int lazy,
			      unsigned slot, long bytes, long store, long store_bytes)
{
	uintptr_t place = (uintptr_t)p + bias, d;

	if (ORDINARY(place) || RARELY(((uintptr_t)p & PAGE_MASK) > 4096 - (uintptr_t)bytes))
		return 0;
	d = far_distance(p, place, lazy ? kona_guard_self.table : table,
			 KONA_CC_ACCESS(slot, bytes, 0), 0) -
	    ONE;
	if (store_bytes)
		kona_cc_g_mark_span(p + d + store, d, store_bytes);
	return d;
}

/*
 * How many of `count` steps of a loop, with accesses of `bytes` at p, which moves by `step`, stay
 * in the page of p; 0: the first one leaves it halfway. Ordinary memory has no such bounds, but far
 * memory whose guards sleep: they may be awake when the distance is asked for.
 */
GUARD unsigned long kona_cc_g_steps(const char *p, long step, long bytes, unsigned long count,
				    uintptr_t bias)
{
	uintptr_t offset = (uintptr_t)p & PAGE_MASK, room;
	unsigned long steps;

	if ((uintptr_t)p + bias >= kona_guard_self.vfmem_bytes)
		return count;
	if (RARELY(offset > 4096 - (uintptr_t)bytes))
		return 0;
	if (!step)
		return count;
	room = step > 0 ? 4096 - (uintptr_t)bytes - offset : offset;
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
