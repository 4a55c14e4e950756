/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a fetch over TCP costs, against bare sockets that spin at both ends, and beside one-sided
 * reads by libfabric's tcp provider, which polls at both ends, too: 4 KiB, one at a time and 32 in
 * flight, and blocks of 64 KiB. One run on loopback, the contenders in turn, server and client in
 * processes of their own and on CPUs of their own: where they share one, spinning keeps the other
 * from answering, and the scheduler leaves them together for seconds. Others' jobs decide the
 * figures unless it runs under `chrt -f 10`.
 *
 * usage: tcp-fetch [ROUNDS]
 */
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/atomic.h"
#include "transport/ofi.h"
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
	WARM_CALLS = 100,
};

/* Who fetches, and what from. */
struct client {
	int bare;
	struct kona_link link;
	struct kona_ofi *ofi;
	struct kona_ofi_region local; /* buffer */
	uint64_t peer;
};

/* What libfabric's server and client share. */
struct board {
	bool ready;  /* Atomic, edge TF-1 */
	bool polled; /* Atomic, no edge: it is the library's turn */
	uint8_t address[KONA_OFI_ADDRESS_BYTES];
	struct kona_ofi_region slab;
};

static struct board *board;
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

/* It polls, but not while another contender runs. */
static void serve_library(void)
{
	static char slab[SLAB_BYTES];
	size_t bytes = sizeof(board->address);
	struct kona_ofi *ofi;
	void *context;
	int status;

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (board == MAP_FAILED)
		errx(1, "no memory");
	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memset(slab, 'x', sizeof(slab));
	if (kona_ofi_ops.open("tcp", "127.0.0.1", true, &ofi) ||
	    kona_ofi_ops.expose(ofi, slab, sizeof(slab), KONA_OFI_READABLE, &board->slab) ||
	    kona_ofi_ops.name(ofi, board->address, &bytes))
		errx(1, "libfabric cannot serve");
	kona_store_release(&board->ready, true); /* TF-1: release */
	for (;;)
		if (kona_load_relaxed(&board->polled)) /* relaxed: it will be seen */
			kona_ofi_ops.poll(ofi, &context, &status);
		else
			kona_ofi_ops.wait(ofi, 1);
}

static void meet_library(struct client *client)
{
	while (!kona_load_acquire(&board->ready)) /* TF-1: acquire, pairs with serve_library() */
		usleep(1000);
	if (kona_ofi_ops.open("tcp", NULL, false, &client->ofi) ||
	    kona_ofi_ops.expose(client->ofi, buffer, sizeof(buffer), KONA_OFI_OURS,
				&client->local) ||
	    kona_ofi_ops.peer(client->ofi, board->address, &client->peer))
		errx(1, "libfabric cannot fetch");
}

static double bare_ns(struct client *client, uint32_t bytes, size_t depth, int calls)
{
	uint32_t requests[DEPTH * REQUEST / 4] = {0};
	uint64_t start_ns = kona_now_ns();

	for (size_t i = 0; i < depth; i++)
		requests[i * REQUEST / 4] = bytes;
	for (int i = 0; i < calls; i++) {
		send_all(client->bare, (char *)requests, depth * REQUEST);
		spin_receive(client->bare, buffer, bytes * depth);
	}
	return (double)(kona_now_ns() - start_ns) / calls / (double)depth;
}

/* Scattered pages, one block after the other. */
static uint64_t next_place(uint64_t at, uint32_t bytes)
{
	return (at + (bytes == PAGE ? 37 * PAGE : bytes)) % SLAB_BYTES;
}

static double ours_ns(struct client *client, uint32_t bytes, size_t depth, int calls)
{
	struct kona_link_piece pieces[DEPTH];
	uint64_t start_ns = kona_now_ns(), at = 0;

	for (int i = 0; i < calls; i++) {
		for (size_t j = 0; j < depth; j++) {
			at = next_place(at, bytes);
			pieces[j] =
				(struct kona_link_piece){0, bytes, at, buffer + j * (size_t)bytes};
		}
		if (kona_link_read(&client->link, pieces, depth, kona_now_ns() + WIRE_SECOND))
			errx(1, "a read failed");
	}
	return (double)(kona_now_ns() - start_ns) / calls / (double)depth;
}

/* Keeps `depth` reads under way until `count` have ended. */
static void read_by_library(struct client *client, uint32_t bytes, size_t depth, size_t count)
{
	size_t begun = 0, ended = 0;
	uint64_t at = 0;
	void *context;
	int status, rc;

	while (ended < count) {
		while (begun < count && begun - ended < depth) {
			uint64_t next = next_place(at, bytes);

			rc = kona_ofi_ops.read(
				client->ofi, client->peer, buffer + begun % depth * bytes, bytes,
				&client->local, board->slab.base + next, board->slab.key, NULL);
			if (rc == -EAGAIN)
				break;
			if (rc)
				errx(1, "libfabric begins no read");
			at = next;
			begun++;
		}
		if (!kona_ofi_ops.poll(client->ofi, &context, &status))
			continue;
		if (status)
			errx(1, "a read by libfabric failed");
		ended++;
	}
}

static double library_ns(struct client *client, uint32_t bytes, size_t depth, int calls)
{
	size_t count = (size_t)calls * depth;
	uint64_t start_ns;
	double each_ns;

	kona_store_relaxed(&board->polled, true); /* relaxed: the warm-up waits for it */
	read_by_library(client, bytes, depth, WARM_CALLS);
	start_ns = kona_now_ns();
	read_by_library(client, bytes, depth, count);
	each_ns = (double)(kona_now_ns() - start_ns) / (double)count;
	kona_store_relaxed(&board->polled, false); /* relaxed: soon enough */
	return each_ns;
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

static void show(const char *what, struct client *client, uint32_t bytes, size_t depth, int calls,
		 int rounds)
{
	double (*const contenders[])(struct client *, uint32_t, size_t, int) = {bare_ns, ours_ns,
										library_ns};
	double *each_ns[KONA_ARRAY_LEN(contenders)], medians_ns[KONA_ARRAY_LEN(contenders)];

	for (size_t i = 0; i < KONA_ARRAY_LEN(contenders); i++)
		each_ns[i] = calloc((size_t)rounds, sizeof(double));
	for (int round = 0; round < rounds; round++)
		for (size_t i = 0; i < KONA_ARRAY_LEN(contenders); i++)
			each_ns[i][round] = contenders[i](client, bytes, depth, calls);
	for (size_t i = 0; i < KONA_ARRAY_LEN(contenders); i++) {
		medians_ns[i] = median(each_ns[i], rounds);
		free(each_ns[i]);
	}
	printf("%-24s %9.0f %9.0f %8.2f %9.0f %8.2f\n", what, medians_ns[0], medians_ns[1],
	       medians_ns[1] / medians_ns[0], medians_ns[2], medians_ns[2] / medians_ns[0]);
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
	int rounds = argc > 1 ? atoi(argv[1]) : ROUNDS;
	struct client client;

	setvbuf(stdout, NULL, _IOLBF, 0);
	run_on(1);
	wire_serve_beside(ours);
	serve_bare();
	serve_library();
	run_on(0);
	client.bare = wire_dial(bare);
	wire_link(&client.link, ours, 1, SLAB_BYTES);
	fill(&client.link);
	meet_library(&client);
	printf("%-24s %9s %9s %8s %9s %8s\n", "ns each", "bare", "ours", "ratio", "libfabric",
	       "ratio");
	show("4 KiB", &client, PAGE, 1, CALLS, rounds);
	show("4 KiB, 32 in flight", &client, PAGE, DEPTH, CALLS / 10, rounds);
	show("64 KiB, 4 in flight", &client, BLOCK, 4, CALLS / 10, rounds);
	return 0;
}
