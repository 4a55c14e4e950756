/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses single cache lines of 4 KiB pages and says how many in how long. It is an ordinary
 * program with one large anonymous mapping: bench/fault-path runs it under `kona run` and without.
 *
 * Walk: every line of every page is written (so that pages exist and differ from zeros), then all
 * threads access pages for the warm-up, then for the time that counts:
 *
 *   random      any page, any line of it
 *   sequential  page after page, each thread in its own stretch, again and again; any line of each
 *
 *   update      read a line, write the same line
 *   mix         half of the accesses only read, the others only write
 *   read        read
 *
 * On standard output stand "ready" before the time that counts and one JSON object after it; before
 * and after it a line (or the end) of standard input is awaited, so that whoever runs us can look
 * at the counters of the runtime meanwhile.
 *
 * State: the mapping; one struct worker per thread. What can fail: memory, threads.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "base/log.h"
#include "base/units.h"

enum {
	MOST_THREADS = 64,
	LEAST_BYTES = 1 << 20,
	WORDS_PER_LINE = KONA_LINE_BYTES / sizeof(uint64_t),
	ACCESSES_PER_LOOK = 32, /* at the clock */
};

enum order { ORDER_RANDOM, ORDER_SEQUENTIAL };
enum operation { OPERATION_UPDATE, OPERATION_MIX, OPERATION_READ };

static const char *const order_names[] = {"random", "sequential"};
static const char *const operation_names[] = {"update", "mix", "read"};

struct options {
	uint64_t bytes;
	uint64_t warm_ns, run_ns;
	unsigned long threads;
	enum order order;
	enum operation operation;
};

struct worker {
	const struct options *options;
	uint64_t *memory;
	uint64_t pages;
	uint64_t next_page, first_page, end_page; /* of the stretch, for sequential order */
	uint64_t random;
	uint64_t accesses;
	uint64_t sum; /* of what was read: keeps the reads alive */
	pthread_barrier_t *barrier;
};

/* xorshift64* (Vigna 2016). */
static uint64_t draw(struct worker *worker)
{
	worker->random ^= worker->random >> 12;
	worker->random ^= worker->random << 25;
	worker->random ^= worker->random >> 27;
	return worker->random * UINT64_C(2685821657736338717);
}

static uint64_t choose_page(struct worker *worker, uint64_t random)
{
	uint64_t page;

	if (worker->options->order == ORDER_RANDOM)
		return (random >> 32) * worker->pages >> 32;
	page = worker->next_page++;
	if (worker->next_page == worker->end_page)
		worker->next_page = worker->first_page;
	return page;
}

static void access_page(struct worker *worker)
{
	uint64_t random = draw(worker);
	uint64_t *page =
		worker->memory + choose_page(worker, random) * (KONA_PAGE_BYTES / sizeof(uint64_t));
	uint64_t *word = page + (random >> 16 & (KONA_PAGE_LINES - 1)) * WORDS_PER_LINE;
	bool writes = worker->options->operation == OPERATION_UPDATE ||
		      (worker->options->operation == OPERATION_MIX && random >> 8 & 1);
	bool reads = worker->options->operation == OPERATION_UPDATE || !writes;

	/* Relaxed, all: they keep the compiler from leaving out the access. Threads may undo each
	 * other's writes, which is no matter here. */
	if (reads)
		worker->sum += kona_load_relaxed(word);
	if (writes)
		kona_store_relaxed(word, random);
}

static uint64_t access_until(struct worker *worker, uint64_t end_ns)
{
	uint64_t accesses = 0;

	while (kona_now_ns() < end_ns) {
		for (int i = 0; i < ACCESSES_PER_LOOK; i++)
			access_page(worker);
		accesses += ACCESSES_PER_LOOK;
	}
	return accesses;
}

/* Barriers: warm-up begins; it is over; the time that counts begins; it is over. */
static void *work(void *argument)
{
	struct worker *worker = argument;

	pthread_barrier_wait(worker->barrier);
	access_until(worker, kona_now_ns() + worker->options->warm_ns);
	pthread_barrier_wait(worker->barrier);
	pthread_barrier_wait(worker->barrier);
	worker->accesses = access_until(worker, kona_now_ns() + worker->options->run_ns);
	pthread_barrier_wait(worker->barrier);
	return NULL;
}

static void await_line(void)
{
	int c;

	fflush(stdout);
	while ((c = getchar()) != EOF && c != '\n')
		;
}

static void tell(const struct options *o, const struct worker *workers, uint64_t elapsed_ns)
{
	uint64_t accesses = 0, sum = 0;

	for (unsigned long i = 0; i < o->threads; i++) {
		accesses += workers[i].accesses;
		sum += workers[i].sum;
	}
	printf("{\"order\": \"%s\", \"operation\": \"%s\", \"threads\": %lu, \"pages\": %" PRIu64
	       ", \"accesses\": %" PRIu64 ", \"elapsed_ns\": %" PRIu64 ", \"sum\": %" PRIu64 "}\n",
	       order_names[o->order], operation_names[o->operation], o->threads,
	       o->bytes / KONA_PAGE_BYTES, accesses, elapsed_ns, sum);
}

static int run(const struct options *o, uint64_t *memory)
{
	struct worker workers[MOST_THREADS];
	pthread_t threads[MOST_THREADS];
	uint64_t pages = o->bytes / KONA_PAGE_BYTES, start_ns;
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, (unsigned int)o->threads + 1);
	for (unsigned long i = 0; i < o->threads; i++) {
		int err;

		workers[i] = (struct worker){.options = o,
					     .memory = memory,
					     .pages = pages,
					     .first_page = i * pages / o->threads,
					     .next_page = i * pages / o->threads,
					     .end_page = (i + 1) * pages / o->threads,
					     .random = (i + 1) * UINT64_C(0x9e3779b97f4a7c15),
					     .barrier = &barrier};
		err = pthread_create(&threads[i], NULL, work, &workers[i]);
		if (err)
			return -err; /* the process ends, and the threads that wait with it */
	}
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	puts("ready");
	await_line();
	start_ns = kona_now_ns();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	tell(o, workers, kona_now_ns() - start_ns);
	await_line();
	for (unsigned long i = 0; i < o->threads; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
	return 0;
}

static const struct argp_option argp_options[] = {
	{"bytes", 'b', "SIZE", 0, "size of the memory [128M]"},
	{"order", 'o', "ORDER", 0, "random or sequential [random]"},
	{"operation", 'x', "NAME", 0, "update, mix or read [update]"},
	{"threads", 't', "N", 0, "threads, 64 at most [1]"},
	{"warm", 'w', "TIME", 0, "time before the one that counts [1s]"},
	{"time", 'd', "TIME", 0, "time that counts [1s]"},
	{0},
};

static int find_name(const char *text, const char *const *names, size_t count,
		     struct argp_state *state)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(text, names[i]))
			return (int)i;
	argp_error(state, "there is no %s", text);
	return 0;
}

static void parse_time(const char *text, uint64_t *ret_ns, struct argp_state *state)
{
	if (kona_duration_parse(text, ret_ns))
		argp_error(state, "not a time: %s", text);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct options *o = state->input;
	char *end;

	switch (key) {
	case 'b':
		if (kona_size_parse(argument, &o->bytes) || o->bytes < LEAST_BYTES)
			argp_error(state, "not a size of 1M and more: %s", argument);
		o->bytes = kona_round_down(o->bytes, KONA_PAGE_BYTES);
		break;
	case 'o':
		o->order = find_name(argument, order_names, KONA_ARRAY_LEN(order_names), state);
		break;
	case 'x':
		o->operation = find_name(argument, operation_names, KONA_ARRAY_LEN(operation_names),
					 state);
		break;
	case 't':
		o->threads = strtoul(argument, &end, 10);
		if (*end || o->threads < 1 || o->threads > MOST_THREADS)
			argp_error(state, "--threads goes from 1 to %d", MOST_THREADS);
		break;
	case 'w':
		parse_time(argument, &o->warm_ns, state);
		break;
	case 'd':
		parse_time(argument, &o->run_ns, state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		argp_options,
		parse_option,
		NULL,
		"Access single lines of pages in a large mapping; see bench/fault-path.",
		NULL,
		NULL,
		NULL};
	struct options o = {
		.bytes = 128 * KONA_MIB, .warm_ns = 1000000000, .run_ns = 1000000000, .threads = 1};
	uint64_t *memory;
	int err;

	kona_log_name("page-access");
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	memory = mmap(NULL, o.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		kona_error("no memory: %s", strerror(errno));
		return 1;
	}
	/* One page is what both Linux and Kona manage then. */
	madvise(memory, o.bytes, MADV_NOHUGEPAGE);
	for (uint64_t i = 0; i < o.bytes / sizeof(uint64_t); i++)
		memory[i] = i + 1;
	err = run(&o, memory);
	if (err)
		kona_error("no thread: %s", strerror(-err));
	return err ? 1 : 0;
}
