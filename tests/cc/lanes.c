/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For cc-sim: a loop that stores every fifth element, each loaded from a line of its own. Where the
 * processor has AVX2 and is fast at it, the compiler makes masked stores and gathers of it.
 *
 * usage: lanes COUNT; prints the sum of what was stored
 */
#include <stdio.h>
#include <stdlib.h>

enum { APART = 8 };

__attribute__((noinline, optnone)) static void fill(long *when, long *from, long count)
{
	for (long i = 0; i < count; i++) {
		when[i] = i % 5 == 0;
		from[i] = (i * 7 % count) * APART;
	}
}

__attribute__((noinline)) static void pick(long *restrict to, const long *restrict in,
					   const long *restrict when, const long *restrict from,
					   long count)
{
	for (long i = 0; i < count; i++)
		if (when[i])
			to[i] = in[from[i]] + i;
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 0, sum = 0;
	size_t bytes = (size_t)count * sizeof(long);
	long *to = aligned_alloc(64, bytes), *when = aligned_alloc(64, bytes);
	long *from = aligned_alloc(64, bytes), *in = calloc((size_t)count * APART, sizeof(*in));

	if (!to || !when || !from || !in)
		return 1;
	fill(when, from, count);
	pick(to, in, when, from, count);
	for (long i = 0; i < count; i += 5)
		sum += to[i];
	printf("%ld\n", sum);
	return 0;
}
