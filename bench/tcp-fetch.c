/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a fetch over TCP costs, against bare sockets that spin at both ends: 4 KiB, one at a time
 * and 32 in flight, and blocks of 64 KiB. One run on loopback, the contenders in turn, server and
 * client in processes of their own and on CPUs of their own: where they share one, spinning keeps
 * the other from answering, and the scheduler leaves them together for seconds. Others' jobs decide
 * the figures unless it runs under `chrt -f 10`.
 *
 * usage: tcp-fetch [ROUNDS]
 */
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include "wire-common.h"

enum {
	PAGE = KONA_PAGE_BYTES,
	DEPTH = 32,
	SLAB_BYTES = 64 << 20,
	BLOCK = 64 << 10,
	ROUNDS = 5,
	CALLS = 3000,
	REQUEST = 16,
	IDLE_NS = 1000000,
};

static const char ours[] = "127.0.0.1:17701", bare[] = "127.0.0.1:17702";
static char buffer[4 << 20];

static void spin_receive(int fd, char *to, size_t bytes)
{
	while (bytes) {
		ssize_t got = recv(fd, to, bytes, MSG_DONTWAIT);

		if (got < 0 && errno == EAGAIN)
			continue;
		if (got <= 0)
			_exit(0);
		to += got;
		bytes -= (size_t)got;
	}
}

static void send_all(int fd, const char *from, size_t bytes)
{
	while (bytes) {
		ssize_t sent = send(fd, from, bytes, MSG_NOSIGNAL);

		if (sent <= 0)
			_exit(0);
		from += sent;
		bytes -= (size_t)sent;
	}
}

/* Each request names in its first word how many bytes it wants. Answers all that have come. */
static void serve_bare(void)
{
	unsigned int port;
	int listener = kona_dial_listen(bare, &port), fd = -1;
	uint32_t requests[DEPTH * REQUEST / 4];
	struct pollfd polled = {listener, POLLIN, 0};

	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	poll(&polled, 1, -1);
	fd = accept(listener, NULL, NULL);
	polled.fd = fd;
	for (uint64_t heard_ns = kona_now_ns();; heard_ns = kona_now_ns()) {
		ssize_t got = recv(fd, requests, sizeof(requests), MSG_DONTWAIT);

		if (got == 0)
			_exit(0);
		/* It spins, but not while the other contender runs. */
		while (got < 0) {
			if (kona_now_ns() - heard_ns > IDLE_NS)
				poll(&polled, 1, -1);
			got = recv(fd, requests, sizeof(requests), MSG_DONTWAIT);
		}
		send_all(fd, buffer, requests[0] * ((size_t)got / REQUEST));
	}
}

static double bare_ns(int fd, uint32_t bytes, size_t depth, int calls)
{
	uint32_t requests[DEPTH * REQUEST / 4] = {0};
	uint64_t start_ns = kona_now_ns();

	for (size_t i = 0; i < depth; i++)
		requests[i * REQUEST / 4] = bytes;
	for (int i = 0; i < calls; i++) {
		send_all(fd, (char *)requests, depth * REQUEST);
		spin_receive(fd, buffer, bytes * depth);
	}
	return (double)(kona_now_ns() - start_ns) / calls / (double)depth;
}

static double ours_ns(struct kona_link *link, uint32_t bytes, size_t depth, int calls)
{
	struct kona_link_piece pieces[DEPTH];
	uint64_t start_ns = kona_now_ns(), at = 0;

	for (int i = 0; i < calls; i++) {
		for (size_t j = 0; j < depth; j++) {
			/* Scattered pages, one block after the other. */
			at = bytes == PAGE ? (at + 37 * PAGE) % SLAB_BYTES
					   : (at + bytes) % SLAB_BYTES;
			pieces[j] =
				(struct kona_link_piece){0, bytes, at, buffer + j * (size_t)bytes};
		}
		if (kona_link_read(link, pieces, depth, kona_now_ns() + WIRE_SECOND))
			errx(1, "a read failed");
	}
	return (double)(kona_now_ns() - start_ns) / calls / (double)depth;
}

/* So that the slab holds bytes, and reading it touches memory. */
static void fill(struct kona_link *link)
{
	static _Alignas(8) char log[1 << 20];
	static char content[PAGE];
	uint64_t refused;

	memset(content, 'x', sizeof(content));
	for (uint32_t page = 0; page < SLAB_BYTES / PAGE; page += 128) {
		struct kona_log_header header = {.slab = 1, .sequence = page / 128 + 1};
		struct kona_log_page pages[128];

		for (uint32_t i = 0; i < 128; i++)
			pages[i] = (struct kona_log_page){page + i, UINT64_MAX, content};
		if (kona_link_send(link, KONA_DATA_LOG, log,
				   kona_log_encode(log, &header, pages, 128),
				   kona_now_ns() + WIRE_SECOND) ||
		    kona_link_wait(link, 1, &refused, kona_now_ns() + WIRE_SECOND))
			errx(1, "a log failed");
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(*values), compare);
	return values[count / 2];
}

static void show(const char *what, int fd, struct kona_link *link, uint32_t bytes, size_t depth,
		 int calls, int rounds)
{
	double *a = calloc((size_t)rounds, sizeof(*a)), *b = calloc((size_t)rounds, sizeof(*b));
	double ours_median, bare_median;

	for (int i = 0; i < rounds; i++) {
		a[i] = bare_ns(fd, bytes, depth, calls);
		b[i] = ours_ns(link, bytes, depth, calls);
	}
	bare_median = median(a, rounds);
	ours_median = median(b, rounds);
	printf("%-24s %9.0f %9.0f %8.2f\n", what, bare_median, ours_median,
	       ours_median / bare_median);
	free(a);
	free(b);
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		warnx("no CPU %d: server and client share one, and the figures tell that", cpu);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : ROUNDS, fd;
	struct kona_link link;

	setvbuf(stdout, NULL, _IOLBF, 0);
	run_on(1);
	wire_serve_beside(ours);
	serve_bare();
	run_on(0);
	fd = wire_dial(bare);
	wire_link(&link, ours, 1, SLAB_BYTES);
	fill(&link);
	printf("%-24s %9s %9s %8s\n", "ns each", "bare", "ours", "ratio");
	show("4 KiB", fd, &link, PAGE, 1, CALLS, rounds);
	show("4 KiB, 32 in flight", fd, &link, PAGE, DEPTH, CALLS / 10, rounds);
	show("64 KiB, 4 in flight", fd, &link, BLOCK, 4, CALLS / 10, rounds);
	return 0;
}
