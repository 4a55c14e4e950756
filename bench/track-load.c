/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A target for bench/track-limits: so much memory, all of it random; threads that each write a line
 * of their own every 10 ms; a timer that sends it signals. Prints "ready", and at the end (SIGTERM)
 * how many signals it was to get and how many it got.
 *
 * usage: track-load MIB THREADS SIGNALS_PER_SECOND
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/units.h"

static char *memory;
static volatile sig_atomic_t signals, ended; /* written by handlers alone */

static void on_timer(int number)
{
	signals++;
}

static void on_end(int number)
{
	ended = 1;
}

static void *write_lines(void *argument)
{
	volatile char *line = argument;

	while (!ended) {
		++*line;
		usleep(10000);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	size_t bytes = argc > 3 ? strtoull(argv[1], NULL, 10) * KONA_MIB : 0;
	long threads = argc > 3 ? atol(argv[2]) : 0, rate = argc > 3 ? atol(argv[3]) : 0;
	struct itimerval timer = {0};
	uint64_t x = 88172645463325252u, start;
	pthread_attr_t small;
	double seconds;

	memory = bytes ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			      0)
		       : MAP_FAILED;
	if (memory == MAP_FAILED)
		return 2;
	for (size_t i = 0; i < bytes; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(memory + i, &x, 8);
	}
	signal(SIGALRM, on_timer);
	signal(SIGTERM, on_end);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	for (long i = 0; i < threads; i++) {
		pthread_t thread;

		if (pthread_create(&thread, &small, write_lines,
				   memory + (size_t)i * 4 * KONA_PAGE_BYTES % bytes))
			return 1;
	}
	if (rate)
		timer.it_value.tv_usec = timer.it_interval.tv_usec = 1000000 / rate;
	start = kona_now_ns();
	setitimer(ITIMER_REAL, &timer, NULL);
	puts("ready");
	fflush(stdout);
	while (!ended)
		pause();
	seconds = (double)(kona_now_ns() - start) / 1e9;
	printf("%.0f %d\n", seconds * (double)rate, (int)signals);
	return 0;
}
