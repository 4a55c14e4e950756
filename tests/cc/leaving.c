/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leaves functions in ways that do not come back, with a known number of accesses, for the test of
 * kona-cc --sim: with N, 2 N stores (half of them to what was just read) and N + 1 loads of words.
 * One function ends in a call that must be its last act.
 */
#include <setjmp.h>
#include <stdlib.h>

static volatile unsigned long *words;
static jmp_buf back;

static __attribute__((noinline)) void leave_for_good(unsigned long count)
{
	for (unsigned long i = 0; i < count; i++)
		words[i]++;
	(void)words[0];
	exit(3);
}

static __attribute__((noinline)) void jump(unsigned long count)
{
	for (unsigned long i = 0; i < count; i++)
		words[i] = i;
	longjmp(back, 1);
}

static __attribute__((noinline)) void pass_on(unsigned long count)
{
	__attribute__((musttail)) return leave_for_good(count);
}

int main(int argc, char **argv)
{
	static unsigned long count;

	(void)argv;
	count = 1000UL * (unsigned long)argc;
	words = malloc(count * sizeof(*words));
	if (words && !setjmp(back))
		jump(count);
	pass_on(count);
	return 1;
}
