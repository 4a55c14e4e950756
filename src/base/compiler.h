/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words for the compiler that the whole tree shares.
 */
#ifndef KONA_BASE_COMPILER_H
#define KONA_BASE_COMPILER_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define KONA_PUBLIC	  __attribute__((visibility("default")))
#define KONA_MUST_CHECK	  __attribute__((warn_unused_result))
#define KONA_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define KONA_NORETURN	  __attribute__((noreturn))
#define KONA_LIKELY(x)	  __builtin_expect(!!(x), 1)
#define KONA_UNLIKELY(x)  __builtin_expect(!!(x), 0)

#define KONA_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct of which `member` is a member, from a pointer to that member. */
#define KONA_CONTAINER(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Scope-bound cleanup: `KONA_CLOSE int fd = open(...)`, `KONA_FREE char *s = strdup(...)`. */
static inline void kona_cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void kona_cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

#define KONA_CLOSE __attribute__((cleanup(kona_cleanup_close)))
#define KONA_FREE  __attribute__((cleanup(kona_cleanup_free)))

#endif
