/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast a stopped process is scanned, in one run: by a loop that reads 4 KiB a call and compares
 * with memcmp, as the paper's KTracker does, and by this tracker's edge (stop, mappings, pages,
 * reading, comparing, letting go), with copies and with hashes. Best and median of a few rounds.
 *
 * usage: track-throughput [MIB [ROUNDS]]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/units.h"
#include "crew.h"
#include "target.h"

enum { ROUNDS_MAX = 64, DIRTY_EVERY = 997 };

static char *memory; /* at the same address in parent and child; the child's is the target */
static size_t bytes;

static void be_target(int ready)
{
	uint64_t x = 88172645463325252u;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < bytes; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(memory + i, &x, 8);
	}
	if (write(ready, "", 1) != 1)
		_exit(1);
	for (;;) {
		for (size_t i = 0; i < bytes; i += DIRTY_EVERY * KONA_PAGE_BYTES)
			memory[i]++;
		usleep(10000);
	}
}

/* The original's way. */
static uint64_t scan_by_page(pid_t pid, char *copy)
{
	static char page[KONA_PAGE_BYTES];
	uint64_t lines = 0;

	for (size_t at = 0; at < bytes; at += KONA_PAGE_BYTES) {
		struct iovec local = {page, sizeof(page)}, remote = {memory + at, sizeof(page)};

		if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != sizeof(page))
			exit(1);
		if (!memcmp(page, copy + at, sizeof(page)))
			continue;
		for (size_t line = 0; line < sizeof(page); line += KONA_LINE_BYTES)
			lines += memcmp(page + line, copy + at + line, KONA_LINE_BYTES) != 0;
		memcpy(copy + at, page, sizeof(page));
	}
	return lines;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double tell(const char *name, uint64_t *ns, int rounds, double against)
{
	double median;

	qsort(ns, (size_t)rounds, sizeof(*ns), by_value);
	median = (double)ns[rounds / 2] / 1e9 / ((double)bytes / (double)KONA_GIB);
	printf("%-28s %8.3f s/GiB (best %.3f) %7.2f GB/s", name, median,
	       (double)ns[0] / 1e9 / ((double)bytes / (double)KONA_GIB),
	       (double)KONA_GIB / 1e9 / median);
	if (against > 0)
		printf("  %.1fx", against / median);
	putchar('\n');
	return median;
}

static void run_edges(pid_t pid, const char *name, enum kona_kept kept, struct kona_crew *crew,
		      int rounds, double against)
{
	static uint8_t key[KONA_LINES_KEY_BYTES] __attribute__((aligned(64)));
	const struct kona_stopper stopper = {0};
	struct kona_target target;
	uint64_t ns[ROUNDS_MAX];

	if (kona_lines_draw_key(key) ||
	    kona_target_open(&target, pid, kept, kona_lines_find(NULL), key, false))
		exit(1);
	target.crew = crew;
	if (kona_target_edge(&target, KONA_FIND_SCAN, &stopper, &ns[0]))
		exit(1);
	for (int i = 0; i < rounds; i++) {
		usleep(20000);
		if (kona_target_edge(&target, KONA_FIND_SCAN, &stopper, &ns[i]))
			exit(1);
	}
	tell(name, ns, rounds, against);
	kona_target_close(&target);
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 9;
	struct kona_crew *crew;
	uint64_t ns[ROUNDS_MAX];
	double against;
	int ready[2];
	char *copy, byte;
	pid_t pid;

	bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 1024) * KONA_MIB;
	if (rounds < 1 || rounds > ROUNDS_MAX || !bytes || pipe(ready))
		return 2;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (!pid)
		be_target(ready[1]);
	kona_stop_init();
	if (read(ready[0], &byte, 1) != 1 || kona_crew_new(&crew))
		return 1;
	copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
		    -1, 0);
	/* As the edges do, for the same chances. */
	kona_crew_hurry(true);
	scan_by_page(pid, copy);
	for (int i = 0; i < rounds; i++) {
		uint64_t start = kona_now_ns();

		scan_by_page(pid, copy);
		ns[i] = kona_now_ns() - start;
	}
	against = tell("4 KiB a call, memcmp", ns, rounds, 0);
	munmap(copy, bytes);
	run_edges(pid, "copy, one thread", KONA_KEPT_COPY, NULL, rounds, against);
	run_edges(pid, "hash, one thread", KONA_KEPT_HASH, NULL, rounds, against);
	run_edges(pid, "copy, all threads", KONA_KEPT_COPY, crew, rounds, against);
	run_edges(pid, "hash, all threads", KONA_KEPT_HASH, crew, rounds, against);
	kona_crew_free(crew);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}
