/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guard's miss: where guarded code enters the runtime (guard -> fetch-frame -> transport), in the
 * thread that made the access: no hand-off, and no system call when memory of the node is mapped.
 *
 * State: the space that guards see. Locks: none; without a free frame, the write-back lock, for one
 * batch. What can fail: the store (fatal).
 *
 * A signal that arrives in a miss waits for its end (interpose-signal.c): its handler might want
 * the page that this thread has claimed.
 */
#include "runtime/guard.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <kona/guard.h>

#include "base/atomic.h"
#include "runtime/fatal.h"
#include "runtime/fetch-frame.h"
#include "runtime/flight.h"
#include "runtime/hazard.h"
#include "runtime/space.h"

enum { SPINS = 64 };

static struct kona_space *attached; /* Atomic, no edge: changes while there is one thread */

void kona_guard_attach(struct kona_space *space)
{
	kona_store_relaxed(&attached, space); /* relaxed: the only thread */
}

/* While guards sleep; and where a mapping is not readable and writable, for the kernel's
 * protection. */
static bool is_used_in_place(const struct kona_space *space, uint64_t page)
{
	return !kona_hazard_awake() || kona_space_shielded(space, page);
}

/* Frees frames, or gives those who do the time to. */
static void make_room(struct kona_space *space)
{
	sigset_t signals;
	int left;

	for (int i = 0; i < SPINS; i++) {
		if (kona_frames_available(&space->frames) > KONA_FRAME_RESERVE)
			return;
		__builtin_ia32_pause();
	}
	if (!kona_space_try_lock(space, &signals)) {
		sched_yield();
		return;
	}
	left = kona_evict_batch(space);
	kona_space_unlock(space, &signals);
	kona_fault_feed(space);
	if (left <= 0) { /* all is pinned, or a fork is under way: the evictor knows what to do */
		kona_evict_kick(space);
		usleep(100);
	}
}

bool kona_guard_serve(struct kona_space *space, struct kona_hazard *hazard, uint64_t page)
{
	for (;;) {
		uint64_t entry = kona_pt_load(&space->pt, page);

		if (kona_pt_resident(entry))
			return true;
		if (!kona_pt_busy(entry) && is_used_in_place(space, page))
			return false;
		switch (kona_pt_state(entry)) {
		case KONA_PT_COOLING:
			if (kona_fetch_recall(space, &hazard->prefetch, page, entry))
				return true;
			break;
		case KONA_PT_LOST:
			kona_fatal("page %p is lost: no memory node has it any more",
				   (void *)kona_space_address(space, page));
		case KONA_PT_ABSENT:
		case KONA_PT_REMOTE:
			if (kona_fetch_frames(space, &hazard->prefetch, page, entry) == -EAGAIN)
				make_room(space);
			break;
		default: /* it is under way, or somebody has it: what he makes of it is seen then */
			kona_fetch_follow(space, &hazard->prefetch, page);
			kona_flight_await(space, page);
		}
	}
}

void kona_guard_missed(const void *address)
{
	struct kona_space *space = kona_load_relaxed(&attached); /* relaxed: see there */
	struct kona_hazard *hazard = kona_hazard_self();
	int saved = errno;
	bool served;

	if (KONA_UNLIKELY(!kona_load_relaxed(&space->guarded))) /* relaxed: once is enough */
		kona_space_expect_guards(space);
	kona_hazard_begin_miss(hazard);
	served = kona_guard_serve(space, hazard, kona_space_page(space, address));
	kona_hazard_end_miss(hazard);
	/* Behind the miss: where it is refused, the program's handler may leave for ever, or change
	 * protections itself. relaxed: only for the fault */
	if (!served)
		(void)kona_load_relaxed((const char *)address);
	errno = saved;
}

/*
 * kona_guard_miss(): preserve_most, so that the compiler keeps its values in registers around a
 * miss that seldom happens. All general registers but r11 survive; vector registers need not.
 * The stack is aligned anew: the caller is an inline guard, anywhere.
 */
__asm__(".text\n"
	".globl kona_guard_miss\n"
	".type kona_guard_miss, @function\n"
	"kona_guard_miss:\n"
	"	.cfi_startproc\n"
	"	pushq %rbp\n"
	"	.cfi_def_cfa_offset 16\n"
	"	.cfi_offset %rbp, -16\n"
	"	movq %rsp, %rbp\n"
	"	.cfi_def_cfa_register %rbp\n"
	"	pushq %rax\n"
	"	pushq %rcx\n"
	"	pushq %rdx\n"
	"	pushq %rsi\n"
	"	pushq %rdi\n"
	"	pushq %r8\n"
	"	pushq %r9\n"
	"	pushq %r10\n"
	"	andq $-16, %rsp\n"
	"	cld\n"
	"	call kona_guard_missed\n"
	"	movq -8(%rbp), %rax\n"
	"	movq -16(%rbp), %rcx\n"
	"	movq -24(%rbp), %rdx\n"
	"	movq -32(%rbp), %rsi\n"
	"	movq -40(%rbp), %rdi\n"
	"	movq -48(%rbp), %r8\n"
	"	movq -56(%rbp), %r9\n"
	"	movq -64(%rbp), %r10\n"
	"	leave\n"
	"	.cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size kona_guard_miss, . - kona_guard_miss\n");

/* --- copies ------------------------------------------------------------------------------------*/

/* Slots of their own: they may run between a translation of compiled code and its use. */
enum { READ_SLOT = KONA_GUARD_SLOTS - 1, WRITE_SLOT = KONA_GUARD_SLOTS - 2 };

static size_t to_page_end(const void *p, size_t most)
{
	size_t left = KONA_PAGE_BYTES - (uintptr_t)p % KONA_PAGE_BYTES;

	return left < most ? left : most;
}

void kona_guard_read(void *to, const void *from, size_t size_bytes)
{
	while (size_bytes) {
		size_t piece = to_page_end(from, size_bytes);

		memcpy(to, kona_guard_load(from, READ_SLOT), piece);
		to = (char *)to + piece;
		from = (const char *)from + piece;
		size_bytes -= piece;
	}
}

void kona_guard_write(void *to, const void *from, size_t size_bytes)
{
	while (size_bytes) {
		size_t piece = to_page_end(to, size_bytes);
		char *local = to;

		if (kona_guard_is_far(to)) {
			local += kona_guard_delta(to, WRITE_SLOT);
			kona_guard_mark_range(local, piece);
		}
		memcpy(local, from, piece);
		to = (char *)to + piece;
		from = (const char *)from + piece;
		size_bytes -= piece;
	}
}
