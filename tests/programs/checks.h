/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs share that the system tests run with and without Kona. They print what they
 * see, never an address or a time, so that the two outputs can be compared; and they fail by
 * themselves where a contract tells what must be seen.
 */
#ifndef KONA_TESTS_CHECKS_H
#define KONA_TESTS_CHECKS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL
#define MIB  (1UL << 20)

#define CHECK(condition)                                                                      \
	do {                                                                                  \
		if (!(condition)) {                                                           \
			fflush(stdout);                                                       \
			fprintf(stderr, "%s:%d: not so: %s (errno %m)\n", __FILE__, __LINE__, \
				#condition);                                                  \
			_exit(99);                                                            \
		}                                                                             \
	} while (0)

/* A word that depends on its place and on a seed (splitmix64). */
static inline uint64_t word_at(uint64_t seed, uint64_t index)
{
	uint64_t z = seed * 0xd1342543de82ef95ULL + (index + 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* Four words a page, at places that vary: all that it takes to tell pages apart. */
static inline void fill_pages(void *memory, size_t bytes, uint64_t seed)
{
	uint64_t *words = memory;

	for (size_t page = 0; page < bytes / PAGE; page++)
		for (size_t i = 0; i < 4; i++)
			words[page * 512 + i * 128 + page % 128] = word_at(seed, page * 4 + i);
}

/* How many pages of the range do not hold what fill_pages() left there. */
static inline size_t wrong_pages(const void *memory, size_t bytes, uint64_t seed)
{
	const uint64_t *words = memory;
	size_t wrong = 0;

	for (size_t page = 0; page < bytes / PAGE; page++) {
		int same = 0;

		for (size_t i = 0; i < 4; i++)
			same += words[page * 512 + i * 128 + page % 128] ==
				word_at(seed, page * 4 + i);
		wrong += same != 4;
	}
	return wrong;
}

/* How many pages of the range hold anything but zeros. */
static inline size_t nonzero_pages(const void *memory, size_t bytes)
{
	const uint64_t *words = memory;
	size_t nonzero = 0;

	for (size_t page = 0; page < bytes / PAGE; page++) {
		uint64_t any = 0;

		for (size_t i = 0; i < 512; i++)
			any |= words[page * 512 + i];
		nonzero += !!any;
	}
	return nonzero;
}

/* Anonymous private memory, readable and writable. */
static inline char *map_anonymous(size_t bytes)
{
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

/* A part of a program, which may be run alone. */
struct section {
	const char *name;
	void (*run)(void);
};

/* Runs all sections, or the one that `only` (which may be NULL) names. */
static inline void run_sections(const struct section *sections, size_t count, const char *only)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < count; i++) {
		if (only && strcmp(only, sections[i].name))
			continue;
		printf("%s\n", sections[i].name);
		sections[i].run();
	}
}

#define RUN_SECTIONS(sections, only) \
	run_sections(sections, sizeof(sections) / sizeof((sections)[0]), only)

#endif
