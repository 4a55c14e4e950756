/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs share that are written to include/kona/guard.h: words reached through guards.
 * Without `kona run` all memory is ordinary to the guards, and the output is the same.
 */
#ifndef KONA_TESTS_GUARDED_H
#define KONA_TESTS_GUARDED_H

#include <kona/guard.h>
#include <kona/kona.h>

#include "checks.h"

/* Relaxed, both: the tests order their threads by joining them, or do not care. */
static inline uint64_t get(const void *address)
{
	return __atomic_load_n((const uint64_t *)kona_guard_load(address, 0), __ATOMIC_RELAXED);
}

static inline void put(void *address, uint64_t value)
{
	__atomic_store_n((uint64_t *)kona_guard_store(address, 1), value, __ATOMIC_RELAXED);
}

static inline uint64_t add(void *address, uint64_t value)
{
	return __atomic_add_fetch((uint64_t *)kona_guard_store(address, 2), value,
				  __ATOMIC_RELAXED);
}

/* fill_pages() and its like, through guards. */
static inline void put_pages(char *memory, size_t bytes, uint64_t seed)
{
	for (size_t page = 0; page < bytes / PAGE; page++)
		for (size_t i = 0; i < 4; i++)
			put(memory + page * PAGE + (i * 128 + page % 128) * 8,
			    word_at(seed, page * 4 + i));
}

static inline size_t wrong_by_guards(const char *memory, size_t bytes, uint64_t seed)
{
	size_t wrong = 0;

	for (size_t page = 0; page < bytes / PAGE; page++) {
		int same = 0;

		for (size_t i = 0; i < 4; i++)
			same += get(memory + page * PAGE + (i * 128 + page % 128) * 8) ==
				word_at(seed, page * 4 + i);
		wrong += same != 4;
	}
	return wrong;
}

static inline size_t nonzero_by_guards(const char *memory, size_t bytes)
{
	size_t nonzero = 0;

	for (size_t page = 0; page < bytes / PAGE; page++) {
		uint64_t any = 0;

		for (size_t i = 0; i < PAGE; i += 8)
			any |= get(memory + page * PAGE + i);
		nonzero += !!any;
	}
	return nonzero;
}

#endif
