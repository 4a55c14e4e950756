/* SPDX-License-Identifier: BSD-2-Clause */
/* What the programs of sections share: memory that is far under Kona, sums to print, and main(). */
#ifndef KONA_TESTS_CC_LANGUAGE_H
#define KONA_TESTS_CC_LANGUAGE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define APART __attribute__((noinline))

#ifdef __cplusplus
extern "C" {
#endif
/* tests/cc/mock.c: the counts begin. */
__attribute__((weak)) void kona_mock_start(void);
#ifdef __cplusplus
}
#endif

/* The compiler must not see through it. */
static inline void *hide(void *p)
{
	__asm__("" : "+r"(p));
	return p;
}

static APART void *fill_bytes(void *memory, size_t bytes)
{
	char *p = (char *)memory;

	if (!p)
		abort();
	for (size_t i = 0; i < bytes; i++)
		p[i] = (char)(i * 131 + i / 251);
	return p;
}

static inline void *far_bytes(size_t bytes)
{
	return fill_bytes(hide(malloc(bytes)), bytes);
}

static inline void *far_pages(size_t bytes)
{
	return fill_bytes(hide(aligned_alloc(4096, (bytes + 4095) / 4096 * 4096)), bytes);
}

static APART unsigned sum(const void *memory, size_t bytes)
{
	const unsigned char *p = (const unsigned char *)memory;
	unsigned s = 1;

	for (size_t i = 0; i < bytes; i++)
		s = s * 16777619u + p[i];
	return s;
}

struct section {
	const char *name;
	void (*run)(void);
};

/* Runs the section of that name, or all. */
static inline int run_sections(const struct section *sections, size_t count, const char *name)
{
	static char output[1 << 16];

	setvbuf(stdout, output, _IOFBF, sizeof(output));
	if (kona_mock_start)
		kona_mock_start();
	for (size_t i = 0; i < count; i++)
		if (!name || !strcmp(name, sections[i].name)) {
			printf("%s: ", sections[i].name);
			sections[i].run();
		}
	return 0;
}

#endif
