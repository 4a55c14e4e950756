/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hazard slots: which pages the guards of all threads may hold a translation of.
 *
 * A thread's slots (include/kona/guard.h) name the pages that it translated last. They stay set
 * until they are used again, also while the thread sleeps, so nobody may wait for one to clear.
 * Whoever wants to reuse a page's frame
 *
 *   1. takes the page out of the guards' sight (COOLING, or a busy entry),
 *   2. calls kona_hazard_barrier(): one membarrier(2), which drains the store buffers of all
 *      threads,
 *   3. claims the page, if it is only COOLING so far,
 *   4. calls kona_hazard_collect(), a walk over all slots, and leaves pages alone that kona_held()
 *      finds.
 *
 * A guard that published its slot before the barrier is seen; one that did so after it loads the
 * entry after step 1, and misses. (Edge GU-1.) So one barrier serves all pages that cooled before
 * it, however much later they are claimed. A page that came back meanwhile, and cools again, needs
 * another.
 *
 * Stores of a guard that used the page, and published another since, are seen, too: on x86 they
 * become visible in order, before the slot in which the page no longer stands.
 *
 * Sleep. As long as memory was never short no page is in a frame, and guards have nothing to do:
 * code without guards is right everywhere (fault.h). So threads start with guards that see no VFMem
 * (size_bytes 0), and the first batch that is evicted wakes them, by a plain store into each
 * thread's block. Nobody needs to wait until a thread has seen it: what it does meanwhile is what
 * unguarded code does. Nor do the slots of code that the store interrupts matter: it has no
 * translations. (tests/model/wake.pml.)
 *
 * Signals. A handler runs guards, too, on the interrupted thread's slots: they are saved first, and
 * put back behind it. The walk looks at the slots before the saved ones, so that a page which goes
 * from one to the other is seen; saved slots are not cleared, so one that goes back is seen as
 * well.
 */
#ifndef KONA_RUNTIME_HAZARD_H
#define KONA_RUNTIME_HAZARD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include <kona/guard.h>

#include "runtime/prefetch.h"

struct kona_space;

enum {
	KONA_HAZARD_DEPTH = 4, /* signal handlers within one another whose guards may miss */
	KONA_HELD_BITS = 1 << 15,
};

/* One thread, as the evictor sees it. */
struct kona_hazard {
	struct kona_guard *guard;			      /* its slots. Atomic, edge GU-1 */
	struct kona_hazard *next, **previous;		      /* Guarded by the registry's lock */
	uintptr_t saved[KONA_HAZARD_DEPTH][KONA_GUARD_SLOTS]; /* Atomic, edge GU-1 */
	struct {
		uintptr_t frame;       /* of the wrapper's stack */
		bool alternate;	       /* that stack is the one for signals */
	} handlers[KONA_HAZARD_DEPTH]; /* Thread-local */
	uint32_t depth;		       /* of handlers. Thread-local */
	uintptr_t size_bytes;	       /* for guard->size_bytes; 0: asleep. Atomic, edge GU-3 */
	uint32_t missing;	       /* the thread is in a miss. Atomic, edge GU-2 */
	bool deferred;		       /* signals wait for the end of the miss. Thread-local */
	sigset_t unblocked;	       /* the mask before they did. Thread-local */
	struct kona_prefetch prefetch; /* Thread-local */
};

/* Pages found in slots. Others may be taken for them, seldom; none is missed. */
struct kona_held {
	uint64_t bits[KONA_HELD_BITS / 64];
};

/* Makes VFMem of `space` visible to the guards of this thread, for as long as it lives; when they
 * are awake. */
void kona_hazard_enter(struct kona_space *space);

/* To this thread's guards all memory is ordinary from now on. A thread calls it before it ends. */
void kona_hazard_leave(void);

/* In a forked child: forgets all threads; to this one all memory is ordinary. */
void kona_hazard_forked(void);

/* Before the first page leaves VFMem, and every time again: wakes the guards of all threads, of now
 * and later. The caller holds the write-back lock. */
void kona_hazard_wake(struct kona_space *space);
/* They are awake; or were about to be woken. */
bool kona_hazard_awake(void);

/* Step 2 above. */
void kona_hazard_barrier(struct kona_space *space);
/* Step 4. The caller holds the write-back lock. */
void kona_hazard_collect(struct kona_held *held);

/* This thread's record; NULL: it does not see VFMem. */
struct kona_hazard *kona_hazard_self(void);

/*
 * Around a signal handler, on the thread that runs it; frame: an address on its stack; alternate:
 * that is the stack for signals. When handlers are too deep within one another, the guards of the
 * inner ones see ordinary memory only. A handler that was left by longjmp() is recognised by the
 * stack: what runs now does not lie below it.
 */
void kona_hazard_save(struct kona_hazard *hazard, uintptr_t frame, bool alternate);
void kona_hazard_restore(struct kona_hazard *hazard);

/*
 * The gate. While it is closed no thread begins a miss, and after kona_hazard_close_gate() none is
 * in one. The caller holds no lock that a miss may want: the region lock at most. Closings add up.
 * All signals are blocked meanwhile: a handler on this very thread would wait at the gate for ever.
 */
void kona_hazard_close_gate(sigset_t *ret_signals);
void kona_hazard_open_gate(const sigset_t *signals);
bool kona_hazard_gate_closed(void);

/* Waits at the gate, then marks the thread as being in a miss; and the end of it, when signals that
 * came meanwhile are let in. */
void kona_hazard_begin_miss(struct kona_hazard *hazard);
void kona_hazard_end_miss(struct kona_hazard *hazard);

static inline uint64_t kona_held_bit(uint64_t page)
{
	return page * UINT64_C(0x9e3779b97f4a7c15) >> (64 - 15);
}

static inline bool kona_held(const struct kona_held *held, uint64_t page)
{
	uint64_t bit = kona_held_bit(page);

	return held->bits[bit / 64] >> bit % 64 & 1;
}

#endif
