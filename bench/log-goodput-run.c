/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Eviction goodput of four ways to write dirty lines back:
 *
 *   page    whole pages                            tcp: 64 of them in a request
 *   line    one request, or one-sided write, per line
 *   gather  one per page, with its lines           rdma: gathered by the card, no copy
 *   log     one cache-line log for 64 pages
 *
 * over one connection to a data server, or over a network card that is emulated (log-goodput.h),
 * where pages and lines go home by themselves and the far end applies what was gathered or logged.
 *
 * Every way sends all of a batch of 64 pages, then waits for the acknowledgement. Useful bytes are
 * dirty lines; times are split into gather (header, masks, checksum), copy (the lines), send and
 * wait; those of the median batch. JSON on standard output.
 *
 * usage: log-goodput-run serve ADDRESS:PORT
 *        log-goodput-run tcp ADDRESS:PORT MILLISECONDS
 *        log-goodput-run rdma LATENCY_NS:BYTES_PER_SECOND:POST_NS:ELEMENT_NS MILLISECONDS
 */
#include <inttypes.h>
#include <stdbool.h>

#include "base/lines.h"
#include "log-goodput.h"
#include "wire-common.h"

enum { BATCH = 64, SLAB_BYTES = 16 << 20, MOST_REQUESTS = 64, MOST_BATCHES = 1 << 14 };

enum way { WAY_PAGE, WAY_LINE, WAY_GATHER, WAY_LOG, WAYS };

static const char *const names[] = {"page", "line", "gather", "log"};

struct times {
	uint64_t gather_ns, copy_ns, send_ns, wait_ns, wire_bytes;
};

static struct kona_link link_to;
static struct card card;
static char (*home)[KONA_PAGE_BYTES]; /* rdma: the far end's slab; else NULL */
static uint64_t sequence;
static char contents[BATCH][KONA_PAGE_BYTES];
static struct kona_log_page batch[BATCH];
static _Alignas(8) char staging[1 << 20];

/* Time since *at, which moves on. */
static uint64_t lap(uint64_t *at_ns)
{
	uint64_t now_ns = kona_now_ns(), took_ns = now_ns - *at_ns;

	*at_ns = now_ns;
	return took_ns;
}

/* Returns the size of the log that stands in staging then. */
static size_t encode(const struct kona_log_page *pages, size_t count, struct times *times)
{
	struct kona_log_header header = {.slab = 1, .sequence = ++sequence};
	uint64_t at_ns = kona_now_ns();
	char *lines = kona_log_lay_out(staging, &header, pages, count), *end;
	size_t bytes;

	times->gather_ns += lap(&at_ns);
	end = kona_log_copy_lines(lines, pages, count);
	times->copy_ns += lap(&at_ns);
	bytes = kona_log_sum(staging, end);
	times->gather_ns += lap(&at_ns);
	return bytes;
}

/* --- tcp ---------------------------------------------------------------------------------------*/

static uint64_t deadline_ns(void)
{
	return kona_now_ns() + 10 * WIRE_SECOND;
}

static void wait_for(uint32_t *requests, struct times *times)
{
	uint64_t at_ns = kona_now_ns(), refused;

	if (*requests && kona_link_wait(&link_to, *requests, &refused, deadline_ns()))
		errx(1, "the server refused a log");
	*requests = 0;
	times->wait_ns += lap(&at_ns);
}

static void send_pages(const struct kona_log_page *pages, size_t count, uint32_t *requests,
		       struct times *times)
{
	size_t bytes = encode(pages, count, times);
	uint64_t at_ns = kona_now_ns();

	if (kona_link_send(&link_to, KONA_DATA_LOG, staging, bytes, deadline_ns()))
		errx(1, "a log could not be sent");
	times->send_ns += lap(&at_ns);
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

static void send_batch_tcp(enum way way, struct times *times)
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
	}
	if (way == WAY_LOG || way == WAY_PAGE)
		send_pages(way == WAY_LOG ? batch : whole, BATCH, &requests, times);
	wait_for(&requests, times);
}

/* --- rdma --------------------------------------------------------------------------------------*/

static unsigned int count_runs(uint64_t mask)
{
	return (unsigned int)__builtin_popcountll(mask & ~(mask << 1));
}

static size_t lines_bytes(uint64_t mask)
{
	return (size_t)__builtin_popcountll(mask) * KONA_LINE_BYTES;
}

/* The far end's receiver. */
static void apply_log(size_t bytes)
{
	struct kona_log log;
	const char *why, *lines;

	if (kona_log_check(staging, bytes, SLAB_BYTES / KONA_PAGE_BYTES, &log, &why))
		errx(1, "%s", why);
	lines = log.lines;
	for (uint32_t i = 0; i < log.header->pages; i++)
		lines = kona_log_apply_page(home[log.pages[i]], log.masks[i], lines);
}

/* What the cards move, or the receiver stores of gathered pages: pages or lines of the batch. */
static void arrive(bool whole)
{
	for (int i = 0; i < BATCH; i++)
		for (uint64_t mask = whole ? UINT64_MAX : batch[i].mask; mask;) {
			unsigned int lines, first = kona_lines_take_run(&mask, &lines);

			memcpy(home[batch[i].page] + first * KONA_LINE_BYTES,
			       batch[i].content + first * KONA_LINE_BYTES, lines * KONA_LINE_BYTES);
		}
}

static void post_batch(enum way way, size_t log_bytes, struct times *times)
{
	if (way == WAY_LOG) {
		times->wire_bytes += card_post(&card, log_bytes, 1);
		return;
	}
	for (int i = 0; i < BATCH; i++) {
		unsigned int writes =
			way == WAY_LINE ? (unsigned int)__builtin_popcountll(batch[i].mask) : 1;
		size_t bytes = KONA_PAGE_BYTES;

		if (way == WAY_LINE)
			bytes = KONA_LINE_BYTES;
		else if (way == WAY_GATHER) /* with the mask and the page's number */
			bytes = sizeof(uint64_t) + sizeof(uint32_t) + lines_bytes(batch[i].mask);
		for (unsigned int j = 0; j < writes; j++)
			times->wire_bytes +=
				card_post(&card, bytes,
					  way == WAY_GATHER ? 1 + count_runs(batch[i].mask) : 1);
	}
}

static void send_batch_rdma(enum way way, struct times *times)
{
	size_t bytes = way == WAY_LOG ? encode(batch, BATCH, times) : 0;
	uint64_t at_ns = kona_now_ns();

	card_begin(&card);
	post_batch(way, bytes, times);
	card_posted(&card);
	times->send_ns += lap(&at_ns);
	if (way == WAY_LOG) {
		apply_log(bytes);
	} else if (way == WAY_GATHER) {
		arrive(false);
	} else { /* cards take no processor for that: the clock stands */
		arrive(way == WAY_PAGE);
		card.free_ns += (double)lap(&at_ns);
	}
	card_wait(&card);
	times->wait_ns += lap(&at_ns);
}

/* --- the measurement -------------------------------------------------------------------------- */

static void make_batch(unsigned int lines, bool alternating)
{
	uint64_t mask = 0;

	for (unsigned int i = 0; i < lines; i++)
		mask |= UINT64_C(1) << (alternating ? i * (64 / lines) : i);
	for (uint32_t i = 0; i < BATCH; i++) {
		memset(contents[i], (int)(i + lines), KONA_PAGE_BYTES);
		batch[i] = (struct kona_log_page){i * 37 % (SLAB_BYTES / KONA_PAGE_BYTES), mask,
						  contents[i]};
	}
}

/* All lines of the batch must have come home. */
static void check_home(void)
{
	for (int i = 0; i < BATCH; i++)
		for (uint64_t mask = batch[i].mask; mask; mask &= mask - 1) {
			size_t at = (size_t)__builtin_ctzll(mask) * KONA_LINE_BYTES;

			if (memcmp(home[batch[i].page] + at, batch[i].content + at,
				   KONA_LINE_BYTES) != 0)
				errx(1, "a line did not arrive");
		}
}

static uint64_t total_ns(const struct times *times)
{
	return times->gather_ns + times->copy_ns + times->send_ns + times->wait_ns;
}

static int compare(const void *a, const void *b)
{
	uint64_t left_ns = total_ns(a), right_ns = total_ns(b);

	return (left_ns > right_ns) - (left_ns < right_ns);
}

/* The median batch: what others' jobs disturb falls out. */
static struct times run(enum way way, uint64_t for_ns)
{
	static struct times batches[MOST_BATCHES];
	uint64_t start_ns = kona_now_ns();
	size_t count = 0;

	do {
		struct times *times = &batches[count++];

		*times = (struct times){0};
		if (home)
			send_batch_rdma(way, times);
		else
			send_batch_tcp(way, times);
	} while (count < MOST_BATCHES && kona_now_ns() - start_ns < for_ns);
	if (home)
		check_home();
	qsort(batches, count, sizeof(batches[0]), compare);
	return batches[count / 2];
}

static void print_case(unsigned int lines, bool alternating, enum way way, uint64_t for_ns)
{
	static const char *separator = "[";
	struct times times = run(way, for_ns);
	double useful_bytes = 0, batch_ns = (double)total_ns(&times);

	for (int i = 0; i < BATCH; i++)
		useful_bytes += (double)lines_bytes(batch[i].mask);
	printf("%s{\"lines\": %u, \"alternating\": %s, \"way\": \"%s\", \"bytes_per_s\": %.0f, "
	       "\"useful\": %.4f, \"batch_ns\": %.0f, \"gather_ns\": %" PRIu64
	       ", \"copy_ns\": %" PRIu64 ", \"send_ns\": %" PRIu64 ", \"wait_ns\": %" PRIu64 "}",
	       separator, lines, alternating ? "true" : "false", names[way],
	       useful_bytes * 1e9 / batch_ns, useful_bytes / (double)times.wire_bytes, batch_ns,
	       times.gather_ns, times.copy_ns, times.send_ns, times.wait_ns);
	separator = ",\n";
}

static void open_card(const char *costs)
{
	double bytes_per_s;

	if (sscanf(costs, "%" SCNu64 ":%lf:%" SCNu64 ":%" SCNu64, &card.latency_ns, &bytes_per_s,
		   &card.post_ns, &card.element_ns) != 4 ||
	    bytes_per_s <= 0)
		errx(1, "want LATENCY_NS:BYTES_PER_SECOND:POST_NS:ELEMENT_NS, not %s", costs);
	card.bytes_per_ns = bytes_per_s / 1e9;
	home = malloc(SLAB_BYTES);
	if (!home)
		errx(1, "no memory");
	memset(home, 0, SLAB_BYTES); /* all of it is there before the clock runs */
}

int main(int argc, char **argv)
{
	static const unsigned int lines[] = {1, 2, 4, 8, 16, 64};
	uint64_t for_ns;

	if (argc == 3 && !strcmp(argv[1], "serve"))
		wire_serve(argv[2]);
	if (argc != 4)
		errx(1, "usage: log-goodput-run serve ADDRESS:PORT | tcp ADDRESS:PORT MS | rdma "
			"COSTS MS");
	if (!strcmp(argv[1], "tcp"))
		wire_link(&link_to, argv[2], 1, SLAB_BYTES);
	else
		open_card(argv[2]);
	for_ns = strtoull(argv[3], NULL, 10) * 1000000;
	for (int alternating = 0; alternating < 2; alternating++)
		for (size_t i = 0; i < KONA_ARRAY_LEN(lines); i++) {
			if (alternating && (lines[i] == 1 || lines[i] == 64))
				continue;
			make_batch(lines[i], alternating);
			for (enum way way = WAY_PAGE; way < WAYS; way++)
				print_case(lines[i], alternating, way, for_ns);
		}
	puts("]");
	return 0;
}
