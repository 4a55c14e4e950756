/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registry of threads that run guards, and the walk over their slots (guard -> hazard <- evict,
 * discard).
 *
 * State: the list of threads and the gate. Lock: the registry's, the last in the order of locks.
 * What can fail: membarrier(2), which is the end of the program: without it no frame may be reused.
 */
#include "runtime/hazard.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "runtime/fatal.h"
#include "runtime/mutate.h"
#include "runtime/os.h"
#include "runtime/space.h"

static_assert(KONA_HELD_BITS == 1 << 15, "kona_held_bit()");

__thread struct kona_guard kona_guard_self;

static __thread struct kona_hazard self;
static __thread bool entered;

static struct {
	pthread_mutex_t lock;
	struct kona_hazard *threads; /* Guarded by lock */
	uint32_t gate;		     /* closings. Atomic, edge GU-2 */
	bool awake;		     /* Guarded by lock; a look without it is a hint */
	bool barrier_ready;	     /* Guarded by lock */
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void barrier(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0))
		kona_fatal("membarrier: %s", strerror(errno));
	kona_mutant_barrier();
}

static void prepare_barrier_locked(void)
{
	if (registry.barrier_ready)
		return;
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0))
		kona_fatal("membarrier: %s", strerror(errno));
	registry.barrier_ready = true;
}

static void link_locked(struct kona_hazard *hazard)
{
	hazard->next = registry.threads;
	hazard->previous = &registry.threads;
	if (hazard->next)
		hazard->next->previous = &hazard->next;
	registry.threads = hazard;
}

/* Signals are blocked: who holds the lock runs no handler, which might want a page, and the evictor
 * the lock. */
void kona_hazard_enter(struct kona_space *space)
{
	struct kona_guard *guard = &kona_guard_self;
	sigset_t signals;

	if (entered)
		return;
	kona_os_block_signals(&signals);
	self = (struct kona_hazard){.guard = guard};
	guard->bias = -(uintptr_t)space->base;
	guard->table = space->pt.entries;
	memset(guard->slots, 0xff, sizeof(guard->slots)); /* KONA_GUARD_NO_PAGE */
	memset(self.saved, 0xff, sizeof(self.saved));
	guard->vfmem_bytes = space->pages * KONA_PAGE_BYTES;
	guard->dirty = space->line_marks - ((uintptr_t)space->base / KONA_LINE_BYTES);
	pthread_mutex_lock(&registry.lock);
	prepare_barrier_locked();
	link_locked(&self);
	/* Last: from here on guards translate, and their slots are walked. */
	if (registry.awake)
		guard->size_bytes = self.size_bytes = guard->vfmem_bytes;
	pthread_mutex_unlock(&registry.lock);
	entered = true;
	pthread_sigmask(SIG_SETMASK, &signals, NULL);
}

void kona_hazard_leave(void)
{
	sigset_t signals;

	if (!entered)
		return;
	kona_os_block_signals(&signals);
	pthread_mutex_lock(&registry.lock);
	/* Whoever wakes threads holds the lock, and finds this one no more. */
	kona_guard_self.vfmem_bytes = kona_guard_self.size_bytes = 0;
	*self.previous = self.next;
	if (self.next)
		self.next->previous = self.previous;
	pthread_mutex_unlock(&registry.lock);
	entered = false;
	pthread_sigmask(SIG_SETMASK, &signals, NULL);
}

void kona_hazard_forked(void)
{
	pthread_mutex_init(&registry.lock, NULL);
	registry.threads = NULL;
	registry.barrier_ready = false;
	kona_store_relaxed(&registry.gate, 0); /* relaxed: the only thread */
	registry.awake = false;
	entered = false;
	kona_guard_self.vfmem_bytes = kona_guard_self.size_bytes = 0;
}

struct kona_hazard *kona_hazard_self(void)
{
	return entered ? &self : NULL;
}

/* --- sleep -------------------------------------------------------------------------------------*/

bool kona_hazard_awake(void)
{
	return kona_load_relaxed(&registry.awake); /* relaxed: a hint */
}

/* Two rounds: a thread that tells its guards to see nothing (see show()) does so before it learns
 * of the wake, and is overruled, or it learns of it. */
void kona_hazard_wake(struct kona_space *space)
{
	uintptr_t size_bytes = space->pages * KONA_PAGE_BYTES;

	if (KONA_LIKELY(kona_hazard_awake()))
		return;
	pthread_mutex_lock(&registry.lock);
	kona_store_relaxed(&registry.awake, true); /* relaxed: guarded by lock */
	for (struct kona_hazard *thread = registry.threads; thread; thread = thread->next)
		/* GU-3: release, pairs with the acquire in show(). */
		kona_store_release(&thread->size_bytes, size_bytes);
	if (registry.threads)
		barrier(); /* GU-3: pairs with the store, then load, in show() */
	for (struct kona_hazard *thread = registry.threads; thread; thread = thread->next)
		kona_store_relaxed(&thread->guard->size_bytes, size_bytes); /* relaxed: see there */
	pthread_mutex_unlock(&registry.lock);
}

/* This thread's guards see VFMem, if they are awake. */
static void show(struct kona_hazard *hazard)
{
	uintptr_t size_bytes;

	do {
		size_bytes = kona_load_acquire(&hazard->size_bytes); /* GU-3 */
		/* relaxed: GU-3; store then load, unfenced: see kona_hazard_wake() */
		kona_store_relaxed(&hazard->guard->size_bytes, size_bytes);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	} while (kona_load_acquire(&hazard->size_bytes) != size_bytes); /* GU-3 */
}

/* --- the walk ----------------------------------------------------------------------------------*/

static void hold(struct kona_held *held, const uintptr_t *slots)
{
	for (int i = 0; i < KONA_GUARD_SLOTS; i++) {
		/* GU-1: acquire, for the slots are looked at in order (hazard.h). */
		uintptr_t page = kona_load_acquire(&slots[i]);
		uint64_t bit;

		if (page == KONA_GUARD_NO_PAGE)
			continue;
		bit = kona_held_bit(page);
		held->bits[bit / 64] |= UINT64_C(1) << bit % 64;
	}
}

void kona_hazard_barrier(struct kona_space *space)
{
	pthread_mutex_lock(&registry.lock);
	if (registry.threads && !KONA_MUTATED(NO_BARRIER)) {
		barrier(); /* GU-1: pairs with the slot store of kona_guard_delta() */
		kona_add_relaxed(&space->stats->system_calls, 1); /* relaxed: a figure */
	}
	pthread_mutex_unlock(&registry.lock);
}

void kona_hazard_collect(struct kona_held *held)
{
	memset(held, 0, sizeof(*held));
	pthread_mutex_lock(&registry.lock);
	for (const struct kona_hazard *thread = registry.threads; thread; thread = thread->next) {
		for (int i = 0; i < KONA_HAZARD_DEPTH && KONA_MUTATED(SAVED_FIRST); i++)
			hold(held, thread->saved[i]);
		if (KONA_MUTATED(SAVED_FIRST)) /* long enough for a signal */
			usleep(50);
		if (!KONA_MUTATED(NO_SCAN))
			hold(held, thread->guard->slots);
		for (int i = 0;
		     i < KONA_HAZARD_DEPTH && !KONA_MUTATED(NO_SAVED) && !KONA_MUTATED(SAVED_FIRST);
		     i++)
			hold(held, thread->saved[i]);
	}
	pthread_mutex_unlock(&registry.lock);
}

/* --- signals -----------------------------------------------------------------------------------*/

static void copy_slots(uintptr_t *to, const uintptr_t *from)
{
	for (int i = 0; i < KONA_GUARD_SLOTS; i++)
		/* GU-1: release, pairs with the acquire in hold(): in order. */
		kona_store_release(&to[i], from[i]);
}

static bool was_left(const struct kona_hazard *hazard, uint32_t index, uintptr_t frame,
		     bool alternate)
{
	if (hazard->handlers[index].alternate != alternate)
		return !alternate;
	return hazard->handlers[index].frame <= frame;
}

/* Forgets handlers that were left by longjmp(). */
static void forget_left(struct kona_hazard *hazard, uintptr_t frame, bool alternate)
{
	uint32_t known = hazard->depth < KONA_HAZARD_DEPTH ? hazard->depth : KONA_HAZARD_DEPTH;
	uint32_t left = known;

	while (left && was_left(hazard, left - 1, frame, alternate))
		left--;
	if (left == known)
		return;
	hazard->depth = left;
	show(hazard);
}

/* A signal may come between any two steps, and save and restore at the same depth: then its frame
 * stands in ours, and all is done again. */
static void save_at(struct kona_hazard *hazard, uint32_t depth, uintptr_t frame, bool alternate)
{
	do {
		copy_slots(hazard->saved[depth], hazard->guard->slots);
		hazard->handlers[depth].alternate = alternate;
		hazard->handlers[depth].frame = frame;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		hazard->depth = depth + 1;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	} while (hazard->handlers[depth].frame != frame);
}

void kona_hazard_save(struct kona_hazard *hazard, uintptr_t frame, bool alternate)
{
	forget_left(hazard, frame, alternate);
	if (hazard->depth < KONA_HAZARD_DEPTH) {
		save_at(hazard, hazard->depth, frame, alternate);
		return;
	}
	hazard->depth++;
	hazard->guard->size_bytes = 0;
}

/* The depth goes down last: a signal that comes before saves elsewhere. */
void kona_hazard_restore(struct kona_hazard *hazard)
{
	uint32_t depth = hazard->depth - 1;

	if (KONA_MUTATED(DEPTH_BEFORE_RESTORE)) { /* and long enough for a signal */
		hazard->depth = depth;
		usleep(50);
	}
	if (depth < KONA_HAZARD_DEPTH && !KONA_MUTATED(NO_RESTORE))
		copy_slots(hazard->guard->slots, hazard->saved[depth]);
	else if (depth == KONA_HAZARD_DEPTH)
		show(hazard);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	hazard->depth = depth;
}

/* --- the gate ----------------------------------------------------------------------------------*/

static bool anybody_misses(void)
{
	bool found = false;

	pthread_mutex_lock(&registry.lock);
	for (struct kona_hazard *thread = registry.threads; thread; thread = thread->next)
		found |= thread != &self && kona_load_acquire(&thread->missing); /* GU-2 */
	pthread_mutex_unlock(&registry.lock);
	return found;
}

/* It waits without the lock: whoever misses may need it, to evict. */
void kona_hazard_close_gate(sigset_t *ret_signals)
{
	kona_os_block_signals(ret_signals);
	kona_add_relaxed(&registry.gate, 1); /* relaxed: the barrier below orders it */
	pthread_mutex_lock(&registry.lock);
	if (registry.threads)
		barrier(); /* GU-2: pairs with the store in kona_hazard_begin_miss() */
	pthread_mutex_unlock(&registry.lock);
	while (anybody_misses())
		sched_yield();
}

void kona_hazard_open_gate(const sigset_t *signals)
{
	kona_sub_relaxed(&registry.gate, 1); /* relaxed: those who wait look again */
	pthread_sigmask(SIG_SETMASK, signals, NULL);
}

bool kona_hazard_gate_closed(void)
{
	return kona_load_acquire(&registry.gate); /* GU-2 */
}

void kona_hazard_begin_miss(struct kona_hazard *hazard)
{
	for (;;) {
		/* GU-2: release; store then load, unfenced; pairs with the barrier in
		 * kona_hazard_close_gate(). */
		kona_store_release(&hazard->missing, 1);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		if (KONA_LIKELY(!kona_hazard_gate_closed()))
			return;
		kona_store_release(&hazard->missing, 0); /* GU-2 */
		usleep(50);
	}
}

void kona_hazard_end_miss(struct kona_hazard *hazard)
{
	kona_store_release(&hazard->missing, 0); /* GU-2 */
	if (KONA_LIKELY(!hazard->deferred))
		return;
	hazard->deferred = false;
	pthread_sigmask(SIG_SETMASK, &hazard->unblocked, NULL);
}
