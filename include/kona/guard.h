/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guard: the inline check before a load or store that may touch VFMem. It translates the
 * address to where the page is now, without a page fault and without a system call on a hit.
 *
 *   q = kona_guard_load(p, slot);   v = *(const T *)q;
 *   q = kona_guard_store(p, slot);  *(T *)q = v;
 *
 * kona-cc puts these in front of every access; programs may call them by hand. Rules:
 *
 *   1. A translation is good until the same thread uses the same slot again, and no longer than
 *      the function that made it runs: a call may use any slot.
 *   2. It is good for the page of `p` only: an access of n bytes must not leave that page. See
 *      kona_guard_within(); others go through kona_guard_read() and kona_guard_write().
 *   3. The bytes of a store must lie in the line of `p`; a store that spans two lines of a page
 *      calls kona_guard_mark() for its last byte, too.
 *   4. The mark comes before the store (kona_guard_store() sees to it).
 *
 * Why no fence: a guard stores its slot, then loads the entry, once. The evictor takes pages out of
 * the table, issues a membarrier(2), then leaves every page alone that stands in a slot. Either the
 * load came after the entry was cleared, and misses; or the slot is visible to the evictor. The
 * miss is a loop, for an entry may be cleared and come back while its page stands in a slot.
 * (src/runtime/hazard.h; tests/model/guard.pml.)
 *
 * Code that uses no guards may touch VFMem at any time: it takes a page fault, and stays correct.
 * So does a thread that sees no VFMem, for its size_bytes is 0: one that the runtime does not know,
 * and every one as long as memory was never short, when all pages are at their own addresses.
 */
#ifndef KONA_GUARD_H
#define KONA_GUARD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	KONA_GUARD_SLOTS =
		16, /* 0 .. 12 for compiled code; the rest for the runtime's own copies */
};

#define KONA_GUARD_NO_PAGE (~(uintptr_t)0) /* a slot that is not in use */

/* Bits of a page-table entry (src/runtime/pagetable.h). Without RESIDENT, none of DELTA is set: one
 * `and` tells whether the page is there, and where. Its result is 1 more than the distance; that 1
 * costs nothing, as an access takes it off in its addressing. */
#define KONA_GUARD_RESIDENT UINT64_C(1)
#define KONA_GUARD_DELTA    UINT64_C(0x1fffffff000) /* bytes from the page to its frame */
#define KONA_GUARD_HIT	    (KONA_GUARD_DELTA | KONA_GUARD_RESIDENT)

/* What a thread knows of VFMem, and what it is using. Thread-local, but for the slots, which the
 * evictor reads. */
struct kona_guard {
	uintptr_t bias;	       /* minus the address of VFMem: p + bias is the place of p in it */
	uintptr_t size_bytes;  /* of VFMem; 0: all is ordinary memory to this thread's guards */
	uintptr_t vfmem_bytes; /* the same, but also while guards sleep */
	const uint64_t *table; /* entry of the page at a place: table[place >> 12] */
	unsigned char *dirty;  /* mark of the line at local address a: dirty[a >> 6]. Biased */
	uintptr_t slots[KONA_GUARD_SLOTS]; /* place >> 12 of pages in use, or NO_PAGE */
};

#define KONA_GUARD_API __attribute__((visibility("default")))

extern KONA_GUARD_API __thread struct kona_guard kona_guard_self
	__attribute__((tls_model("initial-exec")));

/*
 * Makes the page of `address` resident, as far as that goes at the moment: look again. Saves every
 * general register but the scratch register r11, and no vector registers: clang's preserve_most.
 * Callers may only count on that when they are linked with -z now, for the dynamic linker's lazy
 * binding, at the first call, saves no r10: who sees to that says so by this macro. (Programs that
 * kona-cc compiles call it from its library, src/cc/straddle.S.)
 */
#if defined(__clang__) && defined(KONA_GUARD_BOUND_NOW)
KONA_GUARD_API __attribute__((preserve_most)) void kona_guard_miss(const void *address);
#else
KONA_GUARD_API void kona_guard_miss(const void *address);
#endif

/* Copies out of and into far or ordinary memory, any length and alignment; page by page. */
KONA_GUARD_API void kona_guard_read(void *to, const void *from, size_t size_bytes);
KONA_GUARD_API void kona_guard_write(void *to, const void *from, size_t size_bytes);

/* True when [p, p + size) lies in one page. */
static inline int kona_guard_within(const void *p, size_t size_bytes)
{
	return ((uintptr_t)p & 4095) + size_bytes <= 4096;
}

/* The address is in VFMem, and guards are awake. They may wake at any moment: two questions may
 * have two answers. */
static inline int kona_guard_is_far(const void *p)
{
	/* Relaxed: hazard.h in src/runtime. */
	uintptr_t size_bytes = __atomic_load_n(&kona_guard_self.size_bytes, __ATOMIC_RELAXED);

	return (uintptr_t)p + kona_guard_self.bias < size_bytes;
}

/* The address is in VFMem: what is used by one translation must end where its page does, though it
 * may need none yet. */
static inline int kona_guard_is_paged(const void *p)
{
	return (uintptr_t)p + kona_guard_self.bias < kona_guard_self.vfmem_bytes;
}

/* Puts a page into the slot, then looks at its entry. page: a place >> 12. table: what the view
 * says, when it has been read. */
static inline __attribute__((always_inline)) uint64_t
kona_guard_entry(const uint64_t *table, uintptr_t page, unsigned slot)
{
	/* GU-1: store then load, unfenced; pairs with the membarrier in kona_hazard_collect(). */
	__atomic_store_n(&kona_guard_self.slots[slot], page, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	/* PT-1: acquire, pairs with the release in kona_pt_settle(). */
	return __atomic_load_n(&table[page], __ATOMIC_ACQUIRE);
}

/* Where the page of the far address p is: to be added to it. */
static inline uintptr_t kona_guard_delta(const void *p, unsigned slot)
{
	uintptr_t page = ((uintptr_t)p + kona_guard_self.bias) >> 12;
	uint64_t hit;

	while (__builtin_expect(
		!(hit = kona_guard_entry(kona_guard_self.table, page, slot) & KONA_GUARD_HIT), 0))
		kona_guard_miss(p);
	return (uintptr_t)(hit - KONA_GUARD_RESIDENT);
}

/* Marks the line at a translated address, of VFMem, as dirty. */
static inline void kona_guard_mark(const void *local)
{
	/* Relaxed: GU-1 orders it; the store that follows cannot overtake it on x86, and the
	 * compiler is kept from moving it. */
	__atomic_store_n(&kona_guard_self.dirty[(uintptr_t)local >> 6], 1, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* The same for all lines of [local, local + size_bytes), which lies in one page; at least a byte.
 * The stores of so short a memset() are ordinary ones, which no later store overtakes either. */
static inline void kona_guard_mark_range(const void *local, size_t size_bytes)
{
	uintptr_t first = (uintptr_t)local >> 6, last = ((uintptr_t)local + size_bytes - 1) >> 6;

	__builtin_memset(&kona_guard_self.dirty[first], 1, last - first + 1);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline const void *kona_guard_load(const void *p, unsigned slot)
{
	if (!kona_guard_is_far(p))
		return p;
	return (const char *)p + kona_guard_delta(p, slot);
}

static inline void *kona_guard_store(void *p, unsigned slot)
{
	char *local;

	if (!kona_guard_is_far(p))
		return p;
	local = (char *)p + kona_guard_delta(p, slot);
	kona_guard_mark(local);
	return local;
}

#ifdef __cplusplus
}
#endif

#endif
