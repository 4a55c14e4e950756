/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program that dirties a known, seeded set of lines, for the tests of kona track.
 *
 * It reads commands from standard input, one a line, and answers each with lines and "end":
 *
 *   step    some writes by threads, some mappings made, moved, grown, shrunk, protected, dropped;
 *           answers the addresses (hex) of all lines that now differ from the last step's end
 *   far     maps 3 GiB and reserves 100 GiB, and writes here and there; answers as step does
 *   fork    forks a child that writes all over its copy until the next step, and leaves
 *   exec    replaces itself by a new copy (same seed)
 *
 * All tracked memory lies above BASE; the book-keeping lies in a shared mapping, which is not
 * tracked. usage: track-target SEED THREADS [reuse]. With "reuse", addresses are used again at
 * once, and pages dropped and written again within a step, which only events can tell.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BASE UINT64_C(0x100000000000)

enum {
	REGIONS = 24,
	PAGES_MAX = 600,
	PAGE = 4096,
	LINE = 64,
	PAGE_LINES = PAGE / LINE,
	WRITES = 2000,
	THREADS_MAX = 512,
};

struct region {
	char *start; /* NULL: none */
	size_t pages;
	int writable;
	/* By line: version written last, and at the last step's end. 0: zeros. */
	uint32_t now[PAGES_MAX * PAGE_LINES], before[PAGES_MAX * PAGE_LINES];
};

struct state {
	struct region region[REGIONS];
	uint32_t version;
	uint64_t bump; /* next unused address */
};

static struct state *state;
static uint64_t seed;
static int threads, reuse;
static pid_t child;

static uint64_t draw(uint64_t limit)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % limit;
}

static uint64_t fresh_address(size_t pages)
{
	uint64_t at = state->bump;

	state->bump += ((uint64_t)pages + 1 + draw(64)) * PAGE;
	return at;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void map_region(struct region *r, uint64_t at, size_t pages)
{
	r->pages = pages;
	r->start = mmap((void *)at, r->pages * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (r->start == MAP_FAILED)
		die("mmap");
	r->writable = 1;
	memset(r->now, 0, sizeof(r->now));
	memset(r->before, 0, sizeof(r->before));
}

static void unmap_region(struct region *r)
{
	munmap(r->start, r->pages * PAGE);
	r->start = NULL;
}

/* Moves, grows or shrinks. */
static void remap_region(struct region *r, int move)
{
	size_t pages = move ? 1 + draw(PAGES_MAX) : 1 + draw(r->pages);
	size_t kept = pages < r->pages ? pages : r->pages;
	void *at;

	if (move)
		at = mremap(r->start, r->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			    (void *)fresh_address(pages));
	else
		at = mremap(r->start, r->pages * PAGE, pages * PAGE, 0);
	if (at == MAP_FAILED)
		die("mremap");
	r->start = at;
	r->pages = pages;
	memset(r->now + kept * PAGE_LINES, 0, (PAGES_MAX - kept) * PAGE_LINES * 4);
	memset(r->before + kept * PAGE_LINES, 0, (PAGES_MAX - kept) * PAGE_LINES * 4);
}

static void protect_region(struct region *r)
{
	r->writable = !r->writable;
	if (mprotect(r->start, r->pages * PAGE, r->writable ? PROT_READ | PROT_WRITE : PROT_READ))
		die("mprotect");
}

/* What is dropped reads as zeros again, and was not written. */
static void drop_pages(struct region *r)
{
	size_t first = draw(r->pages);
	size_t count = 1 + draw(r->pages - first);

	if (madvise(r->start + first * PAGE, count * PAGE, MADV_DONTNEED))
		die("madvise");
	memset(r->now + first * PAGE_LINES, 0, count * PAGE_LINES * 4);
	memset(r->before + first * PAGE_LINES, 0, count * PAGE_LINES * 4);
}

struct write {
	char *at;
	uint32_t version;
};

struct work {
	const struct write *write;
	size_t count;
	pthread_t thread;
};

/* The threads that wrote last stay until others are to write: an edge meets them all. */
static struct work work[THREADS_MAX];
static pthread_barrier_t written, leave;
static int waiting;

static void write_lines(const struct work *w)
{
	for (size_t i = 0; i < w->count; i++)
		memcpy(w->write[i].at, &w->write[i].version, 4);
}

static void *be_writer(void *argument)
{
	write_lines(argument);
	pthread_barrier_wait(&written);
	pthread_barrier_wait(&leave);
	return NULL;
}

static void let_writers_leave(void)
{
	if (waiting)
		pthread_barrier_wait(&leave);
	for (int t = 0; waiting && t < threads; t++) {
		pthread_join(work[t].thread, NULL);
		free((void *)work[t].write);
	}
	waiting = 0;
}

/* Draws lines and lets new threads write them, each line by one thread. */
static void write_some(struct write *writes, size_t count, const char *dropped_start,
		       const char *dropped_end)
{
	size_t used = 0, part;
	pthread_attr_t small;

	for (size_t i = 0; i < count; i++) {
		struct region *r = &state->region[draw(REGIONS)];
		size_t line;

		if (!r->start || !r->writable)
			continue;
		line = draw(r->pages * PAGE_LINES);
		if (r->start + line * LINE >= dropped_start && r->start + line * LINE < dropped_end)
			continue;
		r->now[line] = ++state->version;
		/* One place per line: then its last version alone says what it holds. */
		writes[used++] =
			(struct write){r->start + line * LINE + line % 15 * 4, state->version};
	}
	/* Neighbouring writes of one line must stay in order: sort is not needed, since a thread
	 * takes every line of its residue. */
	part = (size_t)threads;
	let_writers_leave();
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	for (size_t t = 0; t < part; t++) {
		struct write *own = malloc((used + 1) * sizeof(*own));
		size_t n = 0;

		for (size_t i = 0; i < used; i++)
			if ((uintptr_t)writes[i].at / LINE % part == t)
				own[n++] = writes[i];
		work[t] = (struct work){.write = own, .count = n};
		if (part > 1 && pthread_create(&work[t].thread, &small, be_writer, &work[t]))
			die("pthread_create");
	}
	pthread_attr_destroy(&small);
	if (part > 1) {
		pthread_barrier_wait(&written);
		waiting = 1;
		return;
	}
	write_lines(&work[0]);
	free((void *)work[0].write);
}

static void change_mapping(void)
{
	struct region *r = &state->region[draw(REGIONS)];

	if (!r->start) {
		map_region(r, fresh_address(PAGES_MAX), 1 + draw(PAGES_MAX));
		return;
	}
	switch (draw(reuse ? 8 : 6)) {
	case 0:
		unmap_region(r);
		break;
	case 1:
	case 2:
		remap_region(r, 1);
		break;
	case 3:
		remap_region(r, 0);
		break;
	case 4:
	case 5:
		protect_region(r);
		break;
	case 6: {
		uint64_t at = (uint64_t)r->start;

		unmap_region(r);
		map_region(r, at, 1 + draw(r->pages));
		break;
	}
	case 7:
		drop_pages(r);
		break;
	}
}

static void answer(void)
{
	for (size_t i = 0; i < REGIONS; i++) {
		struct region *r = &state->region[i];

		for (size_t j = 0; r->start && j < r->pages * PAGE_LINES; j++)
			if (r->now[j] != r->before[j])
				printf("%lx\n", (unsigned long)(r->start + j * LINE));
		memcpy(r->before, r->now, sizeof(r->now));
	}
	puts("end");
	fflush(stdout);
}

static void end_child(void)
{
	if (!child)
		return;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	child = 0;
}

static void step(void)
{
	static struct write writes[WRITES];
	size_t changes = draw(6);

	end_child();
	for (size_t i = 0; i < changes; i++) {
		write_some(writes, draw(WRITES / 4), NULL, NULL);
		change_mapping();
	}
	write_some(writes, draw(WRITES), NULL, NULL);
	answer();
}

static void far_step(void)
{
	const size_t big = (size_t)3 << 30, sparse = (size_t)100 << 30;
	char *a = mmap((void *)(BASE + ((uint64_t)1 << 40)), big, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	char *b = mmap((void *)(BASE + ((uint64_t)2 << 40)), sparse, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (a == MAP_FAILED || b == MAP_FAILED)
		die("mmap");
	for (int i = 0; i < 300; i++) {
		char *at = i % 2 ? a + draw(big / LINE) * LINE : b + draw(sparse / LINE) * LINE;

		/* The far end, too. */
		if (i == 0)
			at = b + sparse - LINE;
		if (i == 1)
			at = a + big - LINE;
		if (!*at)
			printf("%lx\n", (unsigned long)at);
		*at = 1;
	}
	answer();
}

static void fork_writer(void)
{
	child = fork();
	if (!child) {
		for (;;)
			for (size_t i = 0; i < REGIONS; i++)
				for (size_t p = 0;
				     state->region[i].start && state->region[i].writable &&
				     p < state->region[i].pages;
				     p++)
					state->region[i].start[p * PAGE + 60]++;
	}
	puts("end");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char command[64];

	if (argc < 3)
		return 2;
	seed = strtoull(argv[1], NULL, 10) * 2654435761u + 88172645463325252u;
	threads = atoi(argv[2]);
	reuse = argc > 3;
	if (threads < 1 || threads > THREADS_MAX)
		return 2;
	pthread_barrier_init(&written, NULL, (unsigned int)threads + 1);
	pthread_barrier_init(&leave, NULL, (unsigned int)threads + 1);
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (state == MAP_FAILED)
		die("mmap");
	state->bump = BASE;
	for (size_t i = 0; i < REGIONS / 2; i++)
		map_region(&state->region[i], fresh_address(PAGES_MAX), 1 + draw(PAGES_MAX));
	puts("ready");
	fflush(stdout);
	while (fgets(command, sizeof(command), stdin)) {
		if (!strcmp(command, "step\n"))
			step();
		else if (!strcmp(command, "far\n"))
			far_step();
		else if (!strcmp(command, "fork\n"))
			fork_writer();
		else if (!strcmp(command, "exec\n"))
			execv("/proc/self/exe", argv);
		else
			return 2;
	}
	let_writers_leave();
	end_child();
	return 0;
}
