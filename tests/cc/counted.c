/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes a known number of accesses to the heap, for the test of kona-cc --sim: with N, N loads and
 * 2 N stores of words, N atomic additions, and a copy of N words; on two threads if there is a
 * second argument. Stack and globals are not heap.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t count;
static unsigned long sum;
static unsigned long *volatile kept; /* so that the copy is made */

static void *work(void *argument)
{
	volatile unsigned long *words = argument;
	atomic_ulong *counter = malloc(sizeof(*counter));
	unsigned long *copy = malloc(count * sizeof(*copy)), local = 0;

	for (size_t i = 0; i < count; i++)
		words[i] = i;
	for (size_t i = 0; i < count; i++)
		local += words[i];
	for (size_t i = 0; i < count; i++)
		words[i] = 0;
	atomic_init(counter, 0);
	for (size_t i = 0; i < count; i++)
		atomic_fetch_add(counter, i);
	memcpy(copy, (void *)argument, count * sizeof(*copy));
	sum = local;
	kept = copy;
	free(kept);
	free(counter);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	unsigned long *words;

	count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	words = malloc(2 * count * sizeof(*words));
	if (!count || !words)
		return 2;
	if (argc > 2) {
		if (pthread_create(&thread, NULL, work, words + count))
			return 1;
		pthread_join(thread, NULL);
	}
	work(words);
	printf("%lu\n", sum);
	return 0;
}
