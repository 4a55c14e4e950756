/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses single cache lines of 4 KiB pages and says how many in how long: the paper's
 * microbenchmark. It is an ordinary program with one large anonymous mapping: `kona bench` and
 * bench/fault-path run it under `kona run` and without.
 *
 *   plain       ordinary accesses: under `kona run`, the fault path
 *   guard       through include/kona/guard.h
 *   floor       what cannot be left out: no table that others share, no eviction by anybody else; a
 *               missing page is copied in from a second mapping, its dirty lines are copied out
 *
 * Walk: every line of every page is written (so that pages exist and differ from zeros), then all
 * threads access pages for the warm-up, then for the time that counts:
 *
 *   random      any page, any line of it
 *   sequential  page after page, each thread in its own stretch, again and again; any line of each
 *   thirds      the same, but each third page, in three passes
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
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <kona/guard.h>
#include <kona/kona.h>

#include "base/atomic.h"
#include "base/log.h"
#include "base/units.h"

enum {
	MOST_THREADS = 64,
	LEAST_BYTES = 1 << 20,
	WORDS_PER_PAGE = KONA_PAGE_BYTES / sizeof(uint64_t),
	WORDS_PER_LINE = KONA_LINE_BYTES / sizeof(uint64_t),
	ACCESSES_PER_LOOK = 32, /* at the clock */
};

enum order { ORDER_RANDOM, ORDER_SEQUENTIAL, ORDER_THIRDS };
enum path { PATH_PLAIN, PATH_GUARD, PATH_FLOOR };
enum operation { OPERATION_UPDATE, OPERATION_MIX, OPERATION_READ };

static const char *const path_names[] = {"plain", "guard", "floor"};
static const char *const order_names[] = {"random", "sequential", "thirds"};
static const char *const operation_names[] = {"update", "mix", "read"};

struct options {
	uint64_t bytes;
	uint64_t warm_ns, run_ns;
	unsigned long threads;
	enum path path;
	enum order order;
	enum operation operation;
};

/* The least that a cache of half of the pages has to do; each thread has one of its own. */
struct floor {
	char *memory;	   /* what is far: all pages */
	char *frames;	   /* half as many, or fewer with threads */
	uint32_t *frame;   /* + 1, of each page; 0: not local */
	uint64_t *page_of; /* of each frame */
	uint64_t *dirty;   /* lines of each frame */
	uint64_t count;	   /* of frames */
	uint64_t next;	   /* victim: first in, first out */
};

struct worker {
	const struct options *options;
	uint64_t *memory;
	uint64_t pages;
	struct floor floor;
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

static int floor_init(struct floor *floor, char *memory, uint64_t pages, uint64_t frames)
{
	*floor = (struct floor){
		.memory = memory,
		.frames = aligned_alloc(KONA_PAGE_BYTES, frames * KONA_PAGE_BYTES),
		.frame = calloc(pages, sizeof(uint32_t)),
		.page_of = calloc(frames, sizeof(uint64_t)),
		.dirty = calloc(frames, sizeof(uint64_t)),
		.count = frames,
	};
	if (!floor->frames || !floor->frame || !floor->page_of || !floor->dirty)
		return -ENOMEM;
	memset(floor->frames, 0, frames * KONA_PAGE_BYTES);
	return 0;
}

static void copy_out(struct floor *floor, uint64_t frame)
{
	uint64_t page = floor->page_of[frame];

	for (uint64_t mask = floor->dirty[frame]; mask; mask &= mask - 1) {
		size_t at = (size_t)__builtin_ctzll(mask) * KONA_LINE_BYTES;

		memcpy(floor->memory + page * KONA_PAGE_BYTES + at,
		       floor->frames + frame * KONA_PAGE_BYTES + at, KONA_LINE_BYTES);
	}
	floor->dirty[frame] = 0;
	floor->frame[page] = 0;
}

static uint64_t copy_in(struct floor *floor, uint64_t page)
{
	uint64_t frame = floor->next;

	floor->next = frame + 1 == floor->count ? 0 : frame + 1;
	copy_out(floor, frame);
	memcpy(floor->frames + frame * KONA_PAGE_BYTES, floor->memory + page * KONA_PAGE_BYTES,
	       KONA_PAGE_BYTES);
	floor->page_of[frame] = page;
	floor->frame[page] = (uint32_t)frame + 1;
	return frame;
}

static uint64_t *floor_translate(struct floor *floor, uint64_t *word, bool writes)
{
	uint64_t offset_bytes = (uint64_t)((char *)word - floor->memory);
	uint64_t page = offset_bytes / KONA_PAGE_BYTES, within = offset_bytes % KONA_PAGE_BYTES;
	uint64_t frame = floor->frame[page] ? floor->frame[page] - 1 : copy_in(floor, page);

	if (writes)
		floor->dirty[frame] |= UINT64_C(1) << within / KONA_LINE_BYTES;
	return (uint64_t *)(void *)(floor->frames + frame * KONA_PAGE_BYTES + within);
}

static uint64_t choose_page(struct worker *worker, uint64_t random)
{
	uint64_t page;

	if (worker->options->order == ORDER_RANDOM)
		return (random >> 32) * worker->pages >> 32;
	page = worker->next_page;
	if (worker->options->order == ORDER_SEQUENTIAL) {
		if (++worker->next_page == worker->end_page)
			worker->next_page = worker->first_page;
	} else {
		worker->next_page += 3;
		if (worker->next_page >= worker->end_page) /* the next pass */
			worker->next_page =
				worker->first_page + (page - worker->first_page + 1) % 3;
	}
	return page;
}

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Where the line is now. `path` is a constant to the compiler: each path has a loop of its own, as
 * it would have in a program. */
ALWAYS_INLINE uint64_t *translate(struct worker *worker, uint64_t *word, bool writes,
				  enum path path)
{
	switch (path) {
	case PATH_GUARD:
		if (writes)
			return kona_guard_store(word, 0);
		return (uint64_t *)(uintptr_t)kona_guard_load(word, 0);
	case PATH_FLOOR:
		return floor_translate(&worker->floor, word, writes);
	case PATH_PLAIN:
		break;
	}
	return word;
}

ALWAYS_INLINE void access_page(struct worker *worker, uint64_t number, uint64_t random,
			       enum path path)
{
	uint64_t *page = worker->memory + number * (KONA_PAGE_BYTES / sizeof(uint64_t));
	uint64_t *word = page + (random >> 16 & (KONA_PAGE_LINES - 1)) * WORDS_PER_LINE;
	bool writes = worker->options->operation == OPERATION_UPDATE ||
		      (worker->options->operation == OPERATION_MIX && random >> 8 & 1);
	bool reads = worker->options->operation == OPERATION_UPDATE || !writes;

	/* Relaxed, all: they keep the compiler from leaving out the access. Threads may undo each
	 * other's writes, which is no matter here. */
	word = translate(worker, word, writes, path);
	if (reads)
		worker->sum += kona_load_relaxed(word);
	if (writes)
		kona_store_relaxed(word, random);
}

/* Each page once, on the way that is measured: however slow the machine is, what happens once per
 * page is over before the time that counts. */
static void access_all(struct worker *worker)
{
	for (uint64_t page = worker->first_page; page < worker->end_page; page++)
		access_page(worker, page, draw(worker), worker->options->path);
}

/* Once at least: on a busy machine a short time may be over before the thread comes to it. */
ALWAYS_INLINE uint64_t access_by(struct worker *worker, uint64_t end_ns, enum path path)
{
	uint64_t accesses = 0;

	do {
		for (int i = 0; i < ACCESSES_PER_LOOK; i++) {
			uint64_t random = draw(worker);

			access_page(worker, choose_page(worker, random), random, path);
		}
		accesses += ACCESSES_PER_LOOK;
	} while (kona_now_ns() < end_ns);
	return accesses;
}

static uint64_t access_until(struct worker *worker, uint64_t end_ns)
{
	switch (worker->options->path) {
	case PATH_GUARD:
		return access_by(worker, end_ns, PATH_GUARD);
	case PATH_FLOOR:
		return access_by(worker, end_ns, PATH_FLOOR);
	default:
		return access_by(worker, end_ns, PATH_PLAIN);
	}
}

/* Barriers: warm-up begins; it is over; the time that counts begins; it is over. */
static void *work(void *argument)
{
	struct worker *worker = argument;

	pthread_barrier_wait(worker->barrier);
	access_all(worker);
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

/* What is counted over the time that counts. */
struct counts {
	struct kona_counts kona;
	uint64_t faults; /* of the kernel, all kinds */
};

static struct counts count_now(void)
{
	struct counts counts = {0};
	struct rusage usage;

	if (kona_counts(&counts.kona, sizeof(counts.kona)))
		counts.kona = (struct kona_counts){0}; /* not under kona run */
	getrusage(RUSAGE_SELF, &usage);
	counts.faults = (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
	return counts;
}

static void tell_counts(const struct counts *from, const struct counts *to)
{
	printf(", \"faults\": %" PRIu64 ", \"misses\": %" PRIu64 ", \"fetched_pages\": %" PRIu64
	       ", \"prefetched_pages\": %" PRIu64 ", \"prefetch_used_pages\": %" PRIu64
	       ", \"evicted_pages\": %" PRIu64 ", \"written_back_bytes\": %" PRIu64
	       ", \"dirty_lines\": %" PRIu64 ", \"system_calls\": %" PRIu64,
	       to->faults - from->faults, to->kona.guard_misses - from->kona.guard_misses,
	       to->kona.fetched_pages - from->kona.fetched_pages,
	       to->kona.prefetched_pages - from->kona.prefetched_pages,
	       to->kona.prefetch_used_pages - from->kona.prefetch_used_pages,
	       to->kona.evicted_pages - from->kona.evicted_pages,
	       to->kona.written_back_bytes - from->kona.written_back_bytes,
	       to->kona.dirty_lines - from->kona.dirty_lines,
	       to->kona.system_calls - from->kona.system_calls);
}

static void tell(const struct options *o, const struct worker *workers, uint64_t elapsed_ns,
		 const struct counts *before, const struct counts *after)
{
	uint64_t accesses = 0, sum = 0;

	for (unsigned long i = 0; i < o->threads; i++) {
		accesses += workers[i].accesses;
		sum += workers[i].sum;
	}
	printf("{\"path\": \"%s\", \"order\": \"%s\", \"operation\": \"%s\", \"threads\": %lu, "
	       "\"pages\": %" PRIu64 ", \"accesses\": %" PRIu64 ", \"elapsed_ns\": %" PRIu64
	       ", \"sum\": %" PRIu64,
	       path_names[o->path], order_names[o->order], operation_names[o->operation],
	       o->threads, o->bytes / KONA_PAGE_BYTES, accesses, elapsed_ns, sum);
	tell_counts(before, after);
	printf("}\n");
}

static int run(const struct options *o, uint64_t *memory)
{
	struct worker workers[MOST_THREADS];
	pthread_t threads[MOST_THREADS];
	uint64_t pages = o->bytes / KONA_PAGE_BYTES, start_ns, elapsed_ns;
	struct counts before, after;
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
		if (o->path == PATH_FLOOR &&
		    floor_init(&workers[i].floor, (char *)memory, pages, pages / 2 / o->threads))
			return -ENOMEM;
		err = pthread_create(&threads[i], NULL, work, &workers[i]);
		if (err)
			return -err; /* the process ends, and the threads that wait with it */
	}
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	puts("ready");
	await_line();
	before = count_now();
	start_ns = kona_now_ns();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	elapsed_ns = kona_now_ns() - start_ns;
	after = count_now();
	tell(o, workers, elapsed_ns, &before, &after);
	await_line();
	for (unsigned long i = 0; i < o->threads; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
	return 0;
}

static const struct argp_option argp_options[] = {
	{"bytes", 'b', "SIZE", 0, "size of the memory [128M]"},
	{"path", 'p', "NAME", 0, "plain, guard or floor (a thread each, half local) [plain]"},
	{"order", 'o', "ORDER", 0, "random, sequential or thirds [random]"},
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
	case 'p':
		o->path = find_name(argument, path_names, KONA_ARRAY_LEN(path_names), state);
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

/* Guarded programs write their memory through guards from the start. */
static void fill_page(const struct options *o, uint64_t *page, uint64_t number)
{
	uint64_t words[WORDS_PER_PAGE];

	for (uint64_t i = 0; i < WORDS_PER_PAGE; i++)
		words[i] = number * WORDS_PER_PAGE + i + 1;
	if (o->path == PATH_GUARD)
		kona_write(page, words, sizeof(words));
	else
		memcpy(page, words, sizeof(words));
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

	kona_log_name("kona-page-access");
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	memory = mmap(NULL, o.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		kona_error("no memory: %s", strerror(errno));
		return 1;
	}
	/* One page is what both Linux and Kona manage then. */
	madvise(memory, o.bytes, MADV_NOHUGEPAGE);
	for (uint64_t page = 0; page < o.bytes / KONA_PAGE_BYTES; page++)
		fill_page(&o, memory + page * WORDS_PER_PAGE, page);
	err = run(&o, memory);
	if (err)
		kona_error("no thread: %s", strerror(-err));
	return err ? 1 : 0;
}
