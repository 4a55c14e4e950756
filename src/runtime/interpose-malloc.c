/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The malloc family, as the program sees it (interpose -> alloc -> jemalloc -> region). Also the
 * names by which programs built for jemalloc allocate: what they get must be ours to free.
 * Contracts: malloc(3), jemalloc(3).
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/units.h"
#include "runtime/alloc.h"
#include "runtime/fork.h"
#include "runtime/jemalloc.h"

#define LOCAL_FLAGS (MALLOCX_ARENA(0) | MALLOCX_TCACHE_NONE)

KONA_PUBLIC void *memalign(size_t alignment, size_t size);
KONA_PUBLIC void *pvalloc(size_t size);
KONA_PUBLIC void *mallocx(size_t size, int flags);
KONA_PUBLIC void *rallocx(void *pointer, size_t size, int flags);
KONA_PUBLIC size_t xallocx(void *pointer, size_t size, size_t extra, int flags);
KONA_PUBLIC size_t sallocx(const void *pointer, int flags);
KONA_PUBLIC void dallocx(void *pointer, int flags);
KONA_PUBLIC void sdallocx(void *pointer, size_t size, int flags);
KONA_PUBLIC size_t nallocx(size_t size, int flags);
KONA_PUBLIC size_t malloc_usable_size(void *pointer);

/* The fork handlers must be older than jemalloc's, which come with its first allocation: the
 * dynamic linker's, long before any constructor. */
static void before_first(void)
{
	static int done; /* Atomic, no edge: the first allocation has one thread */

	if (KONA_UNLIKELY(!kona_exchange_acq_rel(&done, 1)) && kona_fork_init_locks())
		abort();
}

/* True when the calling thread's allocations go to jemalloc's ordinary entry points. */
static inline bool ordinary(void)
{
	enum kona_route route = kona_alloc_route;

	if (KONA_LIKELY(route == KONA_ROUTE_FAR || route == KONA_ROUTE_PLAIN))
		return true;
	before_first();
	if (route == KONA_ROUTE_UNDECIDED)
		route = kona_alloc_decide();
	return route != KONA_ROUTE_LOCAL;
}

static void *local(size_t size, int flags)
{
	void *pointer = kona_je_mallocx(size ? size : 1, LOCAL_FLAGS | flags);

	if (!pointer)
		errno = ENOMEM;
	return pointer;
}

static bool valid_alignment(size_t alignment)
{
	return alignment && !(alignment & (alignment - 1));
}

KONA_PUBLIC void *malloc(size_t size)
{
	return ordinary() ? kona_je_malloc(size) : local(size, 0);
}

KONA_PUBLIC void *calloc(size_t count, size_t size)
{
	size_t bytes;

	if (ordinary())
		return kona_je_calloc(count, size);
	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return local(bytes, MALLOCX_ZERO);
}

KONA_PUBLIC void *realloc(void *pointer, size_t size)
{
	void *moved;

	if (ordinary())
		return kona_je_realloc(pointer, size);
	if (!pointer)
		return local(size, 0);
	if (!size) {
		kona_je_dallocx(pointer, MALLOCX_TCACHE_NONE);
		return NULL;
	}
	moved = kona_je_rallocx(pointer, size, LOCAL_FLAGS);
	if (!moved)
		errno = ENOMEM;
	return moved;
}

KONA_PUBLIC void *reallocarray(void *pointer, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(pointer, bytes);
}

KONA_PUBLIC void free(void *pointer)
{
	if (KONA_LIKELY(kona_alloc_route != KONA_ROUTE_LOCAL))
		kona_je_free(pointer);
	else if (pointer)
		kona_je_dallocx(pointer, MALLOCX_TCACHE_NONE);
}

KONA_PUBLIC int posix_memalign(void **pointer, size_t alignment, size_t size)
{
	void *aligned;

	if (ordinary())
		return kona_je_posix_memalign(pointer, alignment, size);
	if (!valid_alignment(alignment) || alignment % sizeof(void *))
		return EINVAL;
	aligned = local(size, MALLOCX_ALIGN(alignment));
	if (!aligned)
		return ENOMEM;
	*pointer = aligned;
	return 0;
}

KONA_PUBLIC void *memalign(size_t alignment, size_t size)
{
	if (!valid_alignment(alignment)) {
		errno = EINVAL;
		return NULL;
	}
	return ordinary() ? kona_je_memalign(alignment, size)
			  : local(size, MALLOCX_ALIGN(alignment));
}

KONA_PUBLIC void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

KONA_PUBLIC void *valloc(size_t size)
{
	return memalign(KONA_PAGE_BYTES, size);
}

KONA_PUBLIC void *pvalloc(size_t size)
{
	if (size > SIZE_MAX - KONA_PAGE_BYTES) {
		errno = ENOMEM;
		return NULL;
	}
	return memalign(KONA_PAGE_BYTES, kona_round_up(size, KONA_PAGE_BYTES));
}

KONA_PUBLIC size_t malloc_usable_size(void *pointer)
{
	return kona_je_malloc_usable_size(pointer);
}

/* A program's arenas and caches are of its own jemalloc; here they mean nothing. */
static int known_flags(int flags)
{
	return flags & (MALLOCX_ZERO | 0x3f);
}

KONA_PUBLIC void *mallocx(size_t size, int flags)
{
	return ordinary() ? kona_je_mallocx(size, known_flags(flags))
			  : local(size, known_flags(flags));
}

KONA_PUBLIC void *rallocx(void *pointer, size_t size, int flags)
{
	return kona_je_rallocx(pointer, size, known_flags(flags) | (ordinary() ? 0 : LOCAL_FLAGS));
}

KONA_PUBLIC size_t xallocx(void *pointer, size_t size, size_t extra, int flags)
{
	return kona_je_xallocx(pointer, size, extra, known_flags(flags));
}

KONA_PUBLIC size_t sallocx(const void *pointer, int flags)
{
	return kona_je_sallocx(pointer, known_flags(flags));
}

KONA_PUBLIC void dallocx(void *pointer, int flags)
{
	free(pointer);
}

KONA_PUBLIC void sdallocx(void *pointer, size_t size, int flags)
{
	free(pointer);
}

KONA_PUBLIC size_t nallocx(size_t size, int flags)
{
	return kona_je_nallocx(size, known_flags(flags));
}
