/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes accesses with the instrumentation of kona-cc --sim put in by hand
 * (include/kona/linked.h): streams, random ones, some that straddle lines, ranges. With a file,
 * it also writes them there as Valgrind's Lackey would, so that the same can be simulated from a
 * trace.
 *
 * usage: linked-target ACCESSES [TRACE | exit | abort | fork | threads | forever | _exit | exec |
 *        vfork]
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kona/linked.h"

enum { BYTES = 24 << 20, THREADS = 4 };

static char *memory;
static FILE *trace;

static void tell(char kind, const char *at, size_t bytes)
{
	if (trace)
		fprintf(trace, " %c %lx,%zu\n", kind, (unsigned long)at, bytes);
}

static void read_some(char *at, size_t bytes)
{
	kona_linked_load(at, bytes);
	kona_linked_count(1, 0);
	tell('L', at, bytes);
}

static void write_some(char *at, size_t bytes)
{
	kona_linked_store(at, bytes);
	kona_linked_count(0, 1);
	tell('S', at, bytes);
	memset(at, 1, bytes);
}

static void *work(void *argument)
{
	size_t count = *(const size_t *)argument;
	uint64_t x = 88172645463325252u;

	for (size_t i = 0; i < count; i++) {
		char *at;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		at = memory + x % (BYTES - 64);
		if (i % 8 < 4)
			at = memory + i * 8 % (BYTES / 2);
		else if (i % 8 < 7)
			at = memory + x % 40000 / 8 * 8;
		if (x >> 60 < 4)
			write_some(at, 1u << (x >> 40 & 3));
		else
			read_some(at, 1u << (x >> 40 & 3));
	}
	return NULL;
}

static void work_in_threads(size_t count)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, &count))
			exit(1);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	const char *what = argc > 2 ? argv[2] : "exit";

	memory = aligned_alloc(4096, BYTES);
	if (!memory || !count)
		return 2;
	memset(memory, 0, BYTES);
	if (strchr(what, '/'))
		trace = fopen(what, "we");
	if (!strcmp(what, "threads"))
		work_in_threads(count);
	else
		work(&count);
	while (!strcmp(what, "forever")) {
		puts("a round");
		fflush(stdout);
		work(&count);
	}
	if (!strcmp(what, "_exit"))
		_exit(3);
	if (!strcmp(what, "exec"))
		execlp("true", "true", NULL);
	/* The child's end is not the program's, though they share all memory. */
	if (!strcmp(what, "vfork") && vfork() == 0)
		_exit(0);
	if (!strcmp(what, "abort"))
		abort();
	if (!strcmp(what, "fork") && fork() == 0) {
		work(&count);
		exit(0);
	}
	if (!strcmp(what, "fork"))
		wait(NULL);
	if (trace)
		return fclose(trace) != 0;
	return 3;
}
