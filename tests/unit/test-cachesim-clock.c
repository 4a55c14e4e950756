/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local memory under the runtime's clock, all sizes in one pass, against a naive simulator of one
 * size, which keeps a plain record per page. It would catch sizes that disturb each other, a hand
 * that loses its place when a region is born below it, a size that begins with other contents than
 * it would have had, a place that is not clean when a new size takes it over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "engine/engine.h"

enum {
	REGION_PAGES = 512,
	REGIONS = 24,
	PAGES = REGIONS * REGION_PAGES,
	SPREAD = 3, /* regions lie that many apart */
	ACCESSES = 300000,
	BATCH = 256,
	RUN = 64,
	STREAMS = 16,
};

struct access {
	uint32_t page;
	uint32_t line;
	int writes;
};

struct naive_page {
	int here, hot, far, left, touched, written;
	uint64_t dirty, turn;
};

struct naive {
	struct naive_page page[PAGES];
	uint64_t next[STREAMS], used_at[STREAMS], window[STREAMS];
	uint64_t frames, used, low, high, hand, turn, tick, touched;
	int begun;
	struct kona_sim_clock_counts counts;
};

static struct access trace[ACCESSES];
static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return random_state >> 33;
}

static uint64_t address_page(uint64_t page)
{
	return (page / REGION_PAGES * SPREAD + 5) * REGION_PAGES + page % REGION_PAGES;
}

/* Streams, a hot set, and pages at random from a range that grows both ways. */
static void make_trace(uint64_t seed)
{
	uint64_t stream[3] = {0, PAGES / 3, PAGES / 2};

	random_state = seed;
	for (uint32_t i = 0; i < ACCESSES; i++) {
		uint64_t reach = (uint64_t)PAGES * i / ACCESSES + 64;
		uint64_t choice = next_random() % 8, page;

		if (choice < 3) {
			stream[choice] += next_random() % 4 == 0;
			page = (stream[choice] + PAGES / 2 - reach / 2) % PAGES;
		} else if (choice < 5) {
			page = PAGES / 2 - reach / 2 + next_random() % 40;
		} else {
			page = PAGES / 2 - reach / 2 + next_random() % reach;
		}
		trace[i] = (struct access){(uint32_t)page % PAGES, (uint32_t)next_random() % 64,
					   next_random() % 3 == 0};
	}
}

static void naive_evict(struct naive *n)
{
	uint64_t wanted = n->frames / 8 < BATCH ? n->frames / 8 : BATCH;
	uint64_t last = n->turn + 2;

	while (wanted && n->turn <= last) {
		struct naive_page *p;

		if (n->hand == PAGES) {
			n->hand = 0;
			n->turn++;
			continue;
		}
		p = &n->page[n->hand++];
		if (p->here && !p->hot) {
			p->here = 0;
			n->used--;
			wanted--;
			p->far |= p->written;
			p->turn = n->turn;
			n->counts.writebacks += p->dirty != 0;
			n->counts.writeback_lines += (uint64_t)__builtin_popcountll(p->dirty);
			p->left |= p->dirty != 0;
			p->dirty = 0;
		} else if (p->here) {
			p->hot = 0;
		}
	}
}

static int naive_stream(struct naive *n, uint64_t page)
{
	int oldest = 0;

	n->tick++;
	for (int i = 0; i < STREAMS; i++) {
		if (n->window[i] && page - n->next[i] < RUN) {
			n->window[i] = n->window[i] * 2 < RUN ? n->window[i] * 2 : RUN;
			n->used_at[i] = n->tick;
			return i;
		}
		if (n->used_at[i] < n->used_at[oldest])
			oldest = i;
	}
	n->window[oldest] = 1;
	n->used_at[oldest] = n->tick;
	return oldest;
}

static void naive_fault(struct naive *n, uint64_t page)
{
	int stream = naive_stream(n, address_page(page)), far = n->page[page].far;
	uint64_t count = 0;

	n->counts.faults += (uint64_t)far;
	while (count < n->window[stream] && n->used < n->frames) {
		struct naive_page *p = &n->page[page + count];

		if (count && (page + count) % REGION_PAGES == 0)
			break;
		if (p->here || p->far != far)
			break;
		n->counts.fetches += (uint64_t)far;
		p->hot = far && n->turn - p->turn <= 1;
		p->here = 1;
		p->left = 0;
		p->dirty = 0;
		n->used++;
		count++;
	}
	n->next[stream] = address_page(page) + count;
	if (n->frames - n->used < n->low)
		while (n->frames - n->used < n->high)
			naive_evict(n);
}

static void naive_access(struct naive *n, const struct access *a)
{
	struct naive_page *p = &n->page[a->page];

	if (n->begun && !p->here)
		naive_fault(n, a->page);
	p->written |= a->writes;
	if (!p->touched) {
		p->touched = 1;
		n->touched++;
		if (!n->begun) {
			p->here = 1;
			n->used++;
			n->begun = n->touched + n->high >= n->frames;
		}
	}
	if (!a->writes)
		return;
	if (p->here) {
		p->dirty |= UINT64_C(1) << a->line;
		return;
	}
	n->counts.writeback_lines++;
	n->counts.writebacks += !p->left;
	p->left = p->far = 1;
}

static void check_size(const struct kona_sim_clock_counts *counts)
{
	struct naive *n = calloc(1, sizeof(*n));

	assert_non_null(n);
	n->frames = counts->frames;
	n->low = n->frames / 8 < 64 ? n->frames / 8 : 64;
	if (n->frames / 64 > n->low)
		n->low = n->frames / 64;
	n->high = 2 * n->low;
	for (uint32_t i = 0; i < ACCESSES; i++)
		naive_access(n, &trace[i]);
	if (n->counts.faults != counts->faults || n->counts.fetches != counts->fetches ||
	    n->counts.writebacks != counts->writebacks ||
	    n->counts.writeback_lines != counts->writeback_lines)
		fail_msg("%llu frames: faults %llu, naive %llu; fetches %llu, naive %llu; "
			 "write-backs %llu, naive %llu",
			 (unsigned long long)n->frames, (unsigned long long)counts->faults,
			 (unsigned long long)n->counts.faults, (unsigned long long)counts->fetches,
			 (unsigned long long)n->counts.fetches,
			 (unsigned long long)counts->writebacks,
			 (unsigned long long)n->counts.writebacks);
	free(n);
}

static void *map_zeroed(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void test_against_naive(void **state)
{
	static const struct kona_sim_host host = {.map = map_zeroed};
	const struct kona_sim_config config = {.line_bytes = 64, .clock = 1};
	struct kona_sim_clock_counts counts[KONA_SIM_CLOCK_SIZES];

	for (uint64_t seed = 1; seed <= 2; seed++) {
		struct kona_sim *sim;
		uint32_t sizes;

		make_trace(seed);
		assert_int_equal(kona_sim_create(&host, &config, &sim), 0);
		for (uint32_t i = 0; i < ACCESSES; i++)
			kona_sim_access(sim,
					address_page(trace[i].page) * 4096 +
						UINT64_C(64) * trace[i].line,
					8, trace[i].writes ? KONA_SIM_WRITE : KONA_SIM_READ);
		kona_sim_finish(sim);
		sizes = kona_sim_clock_counts(sim, counts);
		assert_in_range(sizes, 50, KONA_SIM_CLOCK_SIZES);
		/* The tiny ones are given up, and their places taken over. */
		assert_true(counts[0].frames > 64 && counts[sizes - 1].frames > 8192);
		assert_true(counts[0].fetches > 1000 && counts[sizes / 2].faults > 1000);
		for (uint32_t i = (uint32_t)seed; i < sizes; i += 3)
			check_size(&counts[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_naive)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
