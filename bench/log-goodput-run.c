/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Eviction goodput of four ways to write dirty lines back, over one connection to a data server:
 *
 *   page    whole pages, 64 of them in a request
 *   line    one request per line
 *   gather  one request per page, with its lines
 *   log     one cache-line log for 64 pages
 *
 * Every way sends all of a batch of 64 pages, then waits for the acknowledgement. Useful bytes are
 * dirty lines; times are split into gather (copy and checksum), send and wait.
 *
 * usage: log-goodput-run serve ADDRESS:PORT | log-goodput-run ADDRESS:PORT MILLISECONDS
 */
#include "wire-common.h"

enum { BATCH = 64, SLAB_BYTES = 16 << 20, MOST_REQUESTS = 64 };

enum way { WAY_PAGE, WAY_LINE, WAY_GATHER, WAY_LOG };

static const char *const names[] = {"page", "line", "gather", "log"};

struct times {
	uint64_t gather_ns, send_ns, wait_ns, useful_bytes, wire_bytes;
};

static struct kona_link link_to;
static uint64_t sequence;
static char contents[BATCH][KONA_PAGE_BYTES];
static struct kona_log_page batch[BATCH];
static _Alignas(8) char staging[1 << 20];

static uint64_t deadline_ns(void)
{
	return kona_now_ns() + 10 * WIRE_SECOND;
}

static void wait_for(uint32_t *requests, struct times *times)
{
	uint64_t start_ns = kona_now_ns(), refused;

	if (*requests && kona_link_wait(&link_to, *requests, &refused, deadline_ns()))
		errx(1, "the server refused a log");
	*requests = 0;
	times->wait_ns += kona_now_ns() - start_ns;
}

static void send_pages(const struct kona_log_page *pages, size_t count, uint32_t *requests,
		       struct times *times)
{
	struct kona_log_header header = {.slab = 1, .sequence = ++sequence};
	uint64_t start_ns = kona_now_ns(), gathered_ns;
	size_t bytes = kona_log_encode(staging, &header, pages, count);

	gathered_ns = kona_now_ns();
	if (kona_link_send(&link_to, KONA_DATA_LOG, staging, bytes, deadline_ns()))
		errx(1, "a log could not be sent");
	times->gather_ns += gathered_ns - start_ns;
	times->send_ns += kona_now_ns() - gathered_ns;
	times->wire_bytes += sizeof(struct kona_data_header) + bytes;
	if (++*requests == MOST_REQUESTS)
		wait_for(requests, times);
}

static void send_lines(const struct kona_log_page *page, uint32_t *requests, struct times *times)
{
	for (uint64_t mask = page->mask; mask; mask &= mask - 1) {
		struct kona_log_page one = {page->page, mask & -mask, page->content};

		send_pages(&one, 1, requests, times);
	}
}

static void send_batch(enum way way, struct times *times)
{
	struct kona_log_page whole[BATCH];
	uint32_t requests = 0;

	memcpy(whole, batch, sizeof(whole));
	for (int i = 0; i < BATCH; i++) {
		whole[i].mask = UINT64_MAX;
		if (way == WAY_LINE)
			send_lines(&batch[i], &requests, times);
		else if (way == WAY_GATHER)
			send_pages(&batch[i], 1, &requests, times);
		times->useful_bytes +=
			(uint64_t)__builtin_popcountll(batch[i].mask) * KONA_LINE_BYTES;
	}
	if (way == WAY_LOG || way == WAY_PAGE)
		send_pages(way == WAY_LOG ? batch : whole, BATCH, &requests, times);
	wait_for(&requests, times);
}

static void make_batch(unsigned int lines, bool alternating)
{
	uint64_t mask = 0;

	for (unsigned int i = 0; i < lines; i++)
		mask |= UINT64_C(1) << (alternating ? i * (64 / lines) : i);
	for (uint32_t i = 0; i < BATCH; i++)
		batch[i] = (struct kona_log_page){i * 37 % (SLAB_BYTES / KONA_PAGE_BYTES), mask,
						  contents[i]};
}

static double run(enum way way, uint64_t for_ns, double page_goodput)
{
	struct times times = {0};
	uint64_t start_ns = kona_now_ns(), all_ns;
	double goodput;

	do
		send_batch(way, &times);
	while (kona_now_ns() - start_ns < for_ns);
	all_ns = kona_now_ns() - start_ns;
	goodput = (double)times.useful_bytes / (double)all_ns * 1000;
	printf(" %-7s %9.2f %7.3f %6.2fx   %4.0f%% %4.0f%% %4.0f%%\n", names[way], goodput,
	       (double)times.useful_bytes / (double)times.wire_bytes,
	       page_goodput ? goodput / page_goodput : 1, 100.0 * (double)times.gather_ns / all_ns,
	       100.0 * (double)times.send_ns / all_ns, 100.0 * (double)times.wait_ns / all_ns);
	return goodput;
}

int main(int argc, char **argv)
{
	static const unsigned int lines[] = {1, 2, 4, 8, 16, 64};

	if (argc == 3 && !strcmp(argv[1], "serve"))
		wire_serve(argv[2]);
	if (argc != 3)
		errx(1, "usage: log-goodput-run serve ADDRESS:PORT | ADDRESS:PORT MILLISECONDS");
	wire_link(&link_to, argv[1], 1, SLAB_BYTES);
	printf("lines a page      MB/s  useful  vs page   gather send wait\n");
	for (int alternating = 0; alternating < 2; alternating++)
		for (size_t i = 0; i < KONA_ARRAY_LEN(lines); i++) {
			double page = 0;

			if (alternating && (lines[i] == 1 || lines[i] == 64))
				continue;
			printf("%u%s\n", lines[i], alternating ? ", alternating" : "");
			make_batch(lines[i], alternating);
			for (enum way way = WAY_PAGE; way <= WAY_LOG; way++) {
				double goodput =
					run(way, strtoull(argv[2], NULL, 10) * 1000000, page);

				page = page ? page : goodput;
			}
		}
	return 0;
}
