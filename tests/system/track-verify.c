/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program that checks itself, for the test that tracking harms nobody: threads come and go and
 * checksum what they write, mappings move and are dropped, a timer sends signals all the time,
 * pipes and sleeps are waited on, children are forked and check their copy. Any system call that
 * fails, a value that is not what was written, or a lost signal ends it with a line and status 1.
 *
 * usage: track-verify SECONDS; prints "ready", and "correct: ..." at the end. A wait that ended
 * with EINTR though no handler ran, as it does after job control (signal(7)), is counted.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 1 << 17, ROUND_THREADS = 4 };

static volatile sig_atomic_t signals; /* written by the handler alone */
static unsigned long interrupted;     /* written by the waiter alone */

static void on_signal(int number)
{
	(void)number;
	signals++;
}

static void fail(const char *what)
{
	fprintf(stderr, "track-verify: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	return x ^ x >> 29;
}

static void fill(uint64_t *words, size_t count, uint64_t seed)
{
	for (size_t i = 0; i < count; i++)
		words[i] = mix(seed + i);
}

static void check(const uint64_t *words, size_t count, uint64_t seed, const char *what)
{
	for (size_t i = 0; i < count; i++)
		if (words[i] != mix(seed + i)) {
			errno = 0;
			fail(what);
		}
}

/* Writes, moves, and checks a mapping of its own; its registers hold sums meanwhile. */
static void *work(void *argument)
{
	uint64_t seed = (uint64_t)argument * 1000003;
	size_t bytes = WORDS * 8;
	uint64_t *words =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double sum = 0, again = 0;

	if (words == MAP_FAILED)
		fail("mmap");
	fill(words, WORDS, seed);
	for (size_t i = 0; i < WORDS; i++)
		sum += (double)(words[i] >> 40) * 1.5;
	words = mremap(words, bytes, 2 * bytes, MREMAP_MAYMOVE);
	if (words == MAP_FAILED)
		fail("mremap");
	check(words, WORDS, seed, "after mremap");
	for (size_t i = 0; i < WORDS; i++)
		again += (double)(words[i] >> 40) * 1.5;
	if (sum != again)
		fail("sums differ");
	if (words[WORDS + 7])
		fail("new memory is not zero");
	if (madvise(words, bytes, MADV_DONTNEED))
		fail("madvise");
	if (words[5])
		fail("dropped memory is not zero");
	fill(words, WORDS, seed + 1);
	check(words, WORDS, seed + 1, "rewritten");
	if (munmap(words, 2 * bytes))
		fail("munmap");
	return NULL;
}

/* A thread that waits without limit must wake when written to, not before. */
static void *wait_forever(void *argument)
{

	int *ends = argument;
	struct epoll_event event = {.events = EPOLLIN};
	int epoll = epoll_create1(0);
	char byte;

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event))
		fail("epoll_ctl");
	for (;;) {
		sigset_t all;

		sigfillset(&all);
		while (epoll_pwait(epoll, &event, 1, -1, &all) != 1)
			if (errno == EINTR)
				interrupted++;
			else
				fail("epoll_pwait");
		if (read(ends[0], &byte, 1) != 1)
			fail("read");
		if (byte == 'q')
			break;
	}
	close(epoll);
	return NULL;
}

static void fork_and_check(const uint64_t *words, uint64_t seed)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		fail("fork");
	if (!child) {
		check(words, WORDS, seed, "in the child");
		_exit(42);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			fail("waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 42)
		fail("the child");
}

static void start_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct itimerspec every = {{0, 10000000}, {0, 10000000}};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
	timer_t timer;

	if (sigaction(SIGUSR2, &action, NULL) || timer_create(CLOCK_MONOTONIC, &event, &timer) ||
	    timer_settime(timer, 0, &every, NULL))
		fail("timer");
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 5;
	uint64_t *words = malloc(WORDS * 8);
	pthread_t waiter, thread[ROUND_THREADS];
	struct timespec start, now;
	unsigned long rounds = 0;
	int ends[2];

	if (!words || pipe(ends))
		fail("start");
	start_signals();
	if (pthread_create(&waiter, NULL, wait_forever, ends))
		fail("pthread_create");
	clock_gettime(CLOCK_MONOTONIC, &start);
	puts("ready");
	fflush(stdout);
	do {
		struct timespec nap = {0, 2000000};

		for (uintptr_t i = 0; i < ROUND_THREADS; i++)
			if ((errno = pthread_create(&thread[i], NULL, work,
						    (void *)(rounds * 8 + i))))
				fail("pthread_create");
		fill(words, WORDS, rounds);
		if (rounds % 8 == 0)
			fork_and_check(words, rounds);
		while (nanosleep(&nap, &nap))
			if (errno != EINTR)
				fail("nanosleep");
		for (int i = 0; i < ROUND_THREADS; i++)
			if ((errno = pthread_join(thread[i], NULL)))
				fail("pthread_join");
		check(words, WORDS, rounds, "main's memory");
		if (write(ends[1], "x", 1) != 1)
			fail("write");
		rounds++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9 <
		 seconds);
	if (write(ends[1], "q", 1) != 1 || (errno = pthread_join(waiter, NULL)))
		fail("the waiter");
	if (!signals)
		fail("no signals came");
	printf("correct: rounds %lu, signals %d, interrupted %lu\n", rounds, (int)signals,
	       interrupted);
	return 0;
}
