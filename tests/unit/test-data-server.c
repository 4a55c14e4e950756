/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data server and the client's end of its connections, over loopback.
 *
 * Catches: bytes that come back otherwise than they were stored, a log that is applied twice or
 * across a gap, a slab that comes back after it was dropped, copied bytes over newer lines, and
 * hostile peers: a wrong capability, ranges outside of a slab, damaged frames, half requests, slow
 * readers, a thousand idle connections; none of which may disturb another client.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "data-node.h"
#include "transport/link.h"

enum { SLAB_BYTES = 1 << 20 };

#define SECOND UINT64_C(1000000000)

static struct data_node node;

static int start(void **state)
{
	data_node_start(&node);
	return 0;
}

static int stop(void **state)
{
	kona_data_server_stop(&node.server);
	return 0;
}

static int dial(void)
{
	return data_node_dial(&node);
}

static uint64_t *new_bits(void)
{
	uint64_t *bits = calloc(16, sizeof(*bits));

	assert_non_null(bits);
	return bits;
}

static void hang_up(struct kona_link *link)
{
	if (link->socket >= 0)
		close(link->socket);
	free(link->opened);
	kona_link_destroy(link);
}

static struct kona_data_open open_of(uint64_t slab, uint32_t handle, uint32_t flags)
{
	return data_node_open(slab, SLAB_BYTES, handle, flags);
}

static void connect_link(struct kona_link *link, uint64_t slab, uint32_t flags)
{
	struct kona_data_open open = open_of(slab, 0, flags);

	kona_link_init(link, dial(), new_bits());
	assert_int_equal(kona_link_open(link, &open, kona_now_ns() + SECOND), 0);
}

/* Sends one log with these lines of one page. Returns what the wait returns. */
static int write_lines(struct kona_link *link, uint64_t slab, uint64_t sequence, uint32_t page,
		       uint64_t mask, const char *content)
{
	static _Alignas(8) char buffer[1 << 14];
	struct kona_log_header header = {.slab = slab, .sequence = sequence};
	struct kona_log_page dirty = {page, mask, content};
	size_t bytes = kona_log_encode(buffer, &header, &dirty, 1);
	uint64_t refused;

	assert_int_equal(kona_link_send(link, KONA_DATA_LOG, buffer, bytes, kona_now_ns() + SECOND),
			 0);
	return kona_link_wait(link, 1, &refused, kona_now_ns() + SECOND);
}

static void assert_page(struct kona_link *link, uint32_t page, const char *wanted)
{
	char got[KONA_PAGE_BYTES];
	struct kona_link_piece piece = {0, sizeof(got), (uint64_t)page * KONA_PAGE_BYTES, got};

	memset(got, 0xee, sizeof(got));
	assert_int_equal(kona_link_read(link, &piece, 1, kona_now_ns() + SECOND), 0);
	assert_memory_equal(got, wanted, sizeof(got));
}

static char blank[KONA_PAGE_BYTES];
static char filled[KONA_PAGE_BYTES];

static void what_is_stored_comes_back(void **state)
{
	struct kona_link writer, reader;
	char wanted[KONA_PAGE_BYTES] = {0};
	struct kona_link_piece pieces[100];
	static char many[100][KONA_PAGE_BYTES];

	connect_link(&writer, 1, KONA_DATA_CREATE);
	connect_link(&reader, 1, 0);
	assert_page(&reader, 9, blank);
	assert_int_equal(write_lines(&writer, 1, 1, 9, 0x8001, filled), 0);
	memcpy(wanted, filled, 64);
	memcpy(wanted + 15 * 64, filled + 15 * 64, 64);
	assert_page(&reader, 9, wanted);
	for (size_t i = 0; i < 100; i++)
		pieces[i] =
			(struct kona_link_piece){0, KONA_PAGE_BYTES, i * KONA_PAGE_BYTES, many[i]};
	assert_int_equal(kona_link_read(&reader, pieces, 100, kona_now_ns() + SECOND), 0);
	for (size_t i = 0; i < 100; i++)
		assert_memory_equal(many[i], i == 9 ? wanted : blank, KONA_PAGE_BYTES);
	/* Not aligned, across pages. */
	pieces[0] = (struct kona_link_piece){0, 8000, 9 * KONA_PAGE_BYTES - 100, many[0]};
	assert_int_equal(kona_link_read(&reader, pieces, 1, kona_now_ns() + SECOND), 0);
	assert_memory_equal(many[0] + 100, wanted, KONA_PAGE_BYTES);
	assert_memory_equal(many[0], blank, 100);
	hang_up(&writer);
	hang_up(&reader);
}

static void logs_have_an_order(void **state)
{
	struct kona_link link;
	struct kona_data_discard discard = {0, 0, 0, KONA_PAGE_BYTES, 2};
	uint64_t refused;

	connect_link(&link, 2, KONA_DATA_CREATE);
	assert_int_equal(write_lines(&link, 2, 1, 0, UINT64_MAX, filled), 0);
	/* The same again, with other bytes: acknowledged, not applied. */
	assert_int_equal(write_lines(&link, 2, 1, 0, UINT64_MAX, blank), 0);
	assert_page(&link, 0, filled);
	/* A gap. */
	assert_int_equal(write_lines(&link, 2, 3, 0, UINT64_MAX, blank), -EREMOTEIO);
	assert_int_equal(link.status, -ESTALE);
	assert_page(&link, 0, filled);
	assert_int_equal(kona_link_send(&link, KONA_DATA_DISCARD, &discard, sizeof(discard),
					kona_now_ns() + SECOND),
			 0);
	assert_int_equal(kona_link_wait(&link, 1, &refused, kona_now_ns() + SECOND), 0);
	assert_page(&link, 0, blank);
	hang_up(&link);
}

/* Refusals in the middle of many logs are told apart. */
static void answers_to_many_logs(void **state)
{
	struct kona_link link;
	_Alignas(8) char buffers[8][4504];
	uint64_t refused = 0;

	connect_link(&link, 3, KONA_DATA_CREATE);
	for (int i = 0; i < 8; i++) {
		/* The fourth is one too far; what follows it, too. */
		struct kona_log_header header = {.slab = 3,
						 .sequence = (uint64_t)(i + 1 + (i > 2))};
		struct kona_log_page dirty = {(uint32_t)i, UINT64_MAX, filled};
		size_t bytes = kona_log_encode(buffers[i], &header, &dirty, 1);

		assert_int_equal(kona_link_send(&link, KONA_DATA_LOG, buffers[i], bytes,
						kona_now_ns() + SECOND),
				 0);
	}
	assert_int_equal(kona_link_wait(&link, 8, &refused, kona_now_ns() + SECOND), -EREMOTEIO);
	assert_int_equal(refused, 0xf8);
	assert_page(&link, 2, filled);
	assert_page(&link, 3, blank);
	hang_up(&link);
}

static void a_dropped_slab_stays_away(void **state)
{
	struct kona_link link, late;
	struct kona_data_open open = open_of(4, 0, 0);
	struct kona_link_piece piece = {0, KONA_PAGE_BYTES, 0, (char[KONA_PAGE_BYTES]){0}};

	connect_link(&link, 4, KONA_DATA_CREATE);
	assert_int_equal(write_lines(&link, 4, 1, 0, UINT64_MAX, filled), 0);
	pthread_mutex_lock(&node.server.lock);
	kona_slab_drop(&node.server.slabs, 4);
	pthread_mutex_unlock(&node.server.lock);
	assert_int_equal(kona_link_read(&link, &piece, 1, kona_now_ns() + SECOND), -EREMOTEIO);
	assert_int_equal(link.status, -ESTALE);
	assert_int_equal(write_lines(&link, 4, 2, 0, UINT64_MAX, filled), -EREMOTEIO);
	kona_link_init(&late, dial(), new_bits());
	assert_int_equal(kona_link_open(&late, &open, kona_now_ns() + SECOND), -EREMOTEIO);
	assert_int_equal(late.status, -ENOENT);
	hang_up(&link);
	hang_up(&late);
}

static void copied_bytes_are_older(void **state)
{
	struct kona_link link;
	struct kona_data_open open = open_of(5, 0, KONA_DATA_JOIN);
	char wanted[KONA_PAGE_BYTES], old[KONA_PAGE_BYTES];
	struct kona_slab *slab;

	memset(old, 'o', sizeof(old));
	open.sequence = 41;
	kona_link_init(&link, dial(), new_bits());
	assert_int_equal(kona_link_open(&link, &open, kona_now_ns() + SECOND), 0);
	assert_int_equal(write_lines(&link, 5, 42, 7, 0xf0, filled), 0);
	pthread_mutex_lock(&node.server.lock);
	slab = kona_slab_find(&node.server.slabs, 5);
	kona_slab_fill(slab, 7, old);
	kona_slab_fill(slab, 8, old);
	kona_slab_filled(slab);
	pthread_mutex_unlock(&node.server.lock);
	memcpy(wanted, old, sizeof(wanted));
	memcpy(wanted + 4 * 64, filled + 4 * 64, 4 * 64);
	assert_page(&link, 7, wanted);
	assert_page(&link, 8, old);
	hang_up(&link);
}

static void a_tenants_slab_is_only_read(void **state)
{
	struct kona_link link;
	int memory = memfd_create("tenant", MFD_CLOEXEC);
	struct kona_link_piece piece = {0, KONA_PAGE_BYTES, 0, (char[KONA_PAGE_BYTES]){0}};

	assert_return_code(ftruncate(memory, 2 * SLAB_BYTES), errno);
	assert_int_equal(pwrite(memory, filled, sizeof(filled), SLAB_BYTES), sizeof(filled));
	pthread_mutex_lock(&node.server.lock);
	assert_int_equal(
		kona_slab_lend(&node.server.slabs, 6, 1, SLAB_BYTES, memory, SLAB_BYTES, NULL), 0);
	pthread_mutex_unlock(&node.server.lock);
	connect_link(&link, 6, 0);
	assert_page(&link, 0, filled);
	assert_page(&link, 1, blank);
	assert_int_equal(write_lines(&link, 6, 1, 0, UINT64_MAX, blank), -EREMOTEIO);
	/* Its tenant shrinks it. */
	assert_return_code(ftruncate(memory, 0), errno);
	assert_int_equal(kona_link_read(&link, &piece, 1, kona_now_ns() + SECOND), -EREMOTEIO);
	pthread_mutex_lock(&node.server.lock);
	kona_slab_drop(&node.server.slabs, 6);
	pthread_mutex_unlock(&node.server.lock);
	close(memory);
	hang_up(&link);
}

/* --- hostile peers -----------------------------------------------------------------------------*/

/* Another client goes on undisturbed. */
static struct kona_link witness;
static uint64_t witness_sequence;

static void assert_undisturbed(void)
{
	memset(filled, (int)++witness_sequence, 64);
	assert_int_equal(write_lines(&witness, 100, witness_sequence, 3, 1, filled), 0);
	assert_page(&witness, 3, filled);
}

static int bring_witness(void **state)
{
	connect_link(&witness, 100, KONA_DATA_JOIN); /* anew */
	pthread_mutex_lock(&node.server.lock);
	kona_slab_filled(kona_slab_find(&node.server.slabs, 100));
	pthread_mutex_unlock(&node.server.lock);
	witness_sequence = 1;
	return write_lines(&witness, 100, 1, 3, UINT64_MAX, filled);
}

static int take_witness(void **state)
{
	hang_up(&witness);
	return 0;
}

static void assert_ends(int fd)
{
	struct timeval patience = {5, 0};
	char bytes[256];
	ssize_t got;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		;
	assert_true(!got || errno == ECONNRESET);
	close(fd);
}

static void a_wrong_capability(void **state)
{
	struct kona_data_open open = open_of(100, 0, 0);
	struct kona_link link;

	open.capability[15] ^= 1;
	kona_link_init(&link, dial(), new_bits());
	assert_int_equal(kona_link_open(&link, &open, kona_now_ns() + SECOND), -EREMOTEIO);
	assert_int_equal(link.status, -EACCES);
	assert_ends(link.socket);
	link.socket = -1;
	hang_up(&link);
	/* The one of another slab. */
	open = open_of(101, 0, 0);
	open.slab = 100;
	kona_link_init(&link, dial(), new_bits());
	assert_int_equal(kona_link_open(&link, &open, kona_now_ns() + SECOND), -EREMOTEIO);
	hang_up(&link);
	assert_undisturbed();
}

static void ranges_outside(void **state)
{
	static const struct {
		uint64_t offset_bytes;
		uint32_t size_bytes, handle;
	} bad[] = {
		{SLAB_BYTES, 4096, 0},
		{SLAB_BYTES - 64, 128, 0},
		{UINT64_MAX - 63, 128, 0},
		{UINT64_C(1) << 63, 64, 0},
		{0, 64, 1},
		{0, 64, 1u << 30},
		{SLAB_BYTES - 1, 1 << 20, 0},
	};

	for (size_t i = 0; i < KONA_ARRAY_LEN(bad); i++) {
		struct kona_link link;
		static char into[1 << 20];
		struct kona_link_piece piece = {bad[i].handle, bad[i].size_bytes,
						bad[i].offset_bytes, into};

		connect_link(&link, 100, 0);
		assert_int_equal(kona_link_read(&link, &piece, 1, kona_now_ns() + SECOND),
				 -EREMOTEIO);
		assert_int_equal(link.status, -EPROTO);
		assert_ends(link.socket);
		link.socket = -1;
		hang_up(&link);
		assert_undisturbed();
	}
	for (int i = 0; i < 3; i++) {
		struct kona_data_discard discards[] = {
			{0, 0, SLAB_BYTES, KONA_PAGE_BYTES, 99},
			{0, 0, KONA_PAGE_BYTES, UINT64_MAX - KONA_PAGE_BYTES + 1, 99},
			{0, 0, 64, KONA_PAGE_BYTES, 99}};
		struct kona_link link;
		uint64_t refused;

		connect_link(&link, 100, 0);
		assert_int_equal(kona_link_send(&link, KONA_DATA_DISCARD, &discards[i],
						sizeof(discards[i]), kona_now_ns() + SECOND),
				 0);
		assert_int_equal(kona_link_wait(&link, 1, &refused, kona_now_ns() + SECOND),
				 -EREMOTEIO);
		hang_up(&link);
		assert_undisturbed();
	}
}

static void damaged_frames(void **state)
{
	struct kona_data_header whole = {KONA_DATA_MAGIC, KONA_DATA_VERSION, KONA_DATA_OPEN, 1,
					 sizeof(struct kona_data_open)};
	struct kona_data_header bad[5];

	for (size_t i = 0; i < KONA_ARRAY_LEN(bad); i++)
		bad[i] = whole;
	bad[0].magic ^= 1;
	bad[1].version = 99;
	bad[2].type = KONA_DATA_READ; /* before an OPEN */
	bad[3].body_bytes = UINT32_MAX;
	bad[4].type = 77;
	for (size_t i = 0; i < KONA_ARRAY_LEN(bad); i++) {
		int fd = dial();

		assert_int_equal(send(fd, &bad[i], sizeof(bad[i]), 0), sizeof(bad[i]));
		assert_ends(fd);
	}
	for (int i = 0; i < 200; i++) {
		char noise[300];
		int fd = dial();

		for (size_t j = 0; j < sizeof(noise); j++)
			noise[j] = (char)rand();
		send(fd, noise, sizeof(noise), MSG_NOSIGNAL);
		assert_ends(fd);
	}
	assert_undisturbed();
}

/* Says hello with half of it, byte by byte; others do not wait. */
static void half_requests(void **state)
{
	int slow[50];

	for (int i = 0; i < 50; i++) {
		struct kona_data_header header = {KONA_DATA_MAGIC, KONA_DATA_VERSION,
						  KONA_DATA_OPEN, 1, sizeof(struct kona_data_open)};

		slow[i] = dial();
		assert_int_equal(send(slow[i], &header, (size_t)(i % 16) + 1, 0), i % 16 + 1);
		assert_undisturbed();
	}
	for (int i = 0; i < 50; i++)
		close(slow[i]);
}

/* Asks for far more than the socket holds, and reads none of it. */
static void a_slow_reader(void **state)
{
	struct kona_link link;
	struct kona_data_piece piece = {0, SLAB_BYTES, 0};

	connect_link(&link, 100, 0);
	for (uint32_t i = 0; i < 200; i++) {
		struct kona_data_header header = {KONA_DATA_MAGIC, KONA_DATA_VERSION,
						  KONA_DATA_READ, 100 + i, sizeof(piece)};

		if (send(link.socket, &header, sizeof(header), MSG_DONTWAIT) < 0 ||
		    send(link.socket, &piece, sizeof(piece), MSG_DONTWAIT) < 0)
			break;
		assert_undisturbed();
	}
	hang_up(&link);
	assert_undisturbed();
}

static void a_thousand_idle(void **state)
{
	struct rlimit limit;
	int idle[1000];

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < 2200)
		skip();
	for (int i = 0; i < 1000; i++)
		idle[i] = dial();
	for (int i = 0; i < 100; i++)
		assert_undisturbed();
	for (int i = 0; i < 1000; i++)
		close(idle[i]);
}

/* A node that does not answer. */
static void deadlines_hold(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	struct kona_data_open open = open_of(1, 0, 0);
	struct kona_link link;
	uint64_t before_ns;

	assert_return_code(bind(listener, (void *)&address, sizeof(address)), errno);
	assert_return_code(listen(listener, 1), errno);
	getsockname(listener, (void *)&address, &length);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_return_code(connect(fd, (void *)&address, sizeof(address)), errno);
	kona_link_init(&link, fd, new_bits());
	before_ns = kona_now_ns();
	assert_int_equal(kona_link_open(&link, &open, before_ns + SECOND / 5), -ETIMEDOUT);
	assert_in_range(kona_now_ns() - before_ns, SECOND / 5, SECOND);
	hang_up(&link);
	close(listener);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_stored_comes_back),
		cmocka_unit_test(logs_have_an_order),
		cmocka_unit_test(answers_to_many_logs),
		cmocka_unit_test(a_dropped_slab_stays_away),
		cmocka_unit_test(copied_bytes_are_older),
		cmocka_unit_test(a_tenants_slab_is_only_read),
		cmocka_unit_test(deadlines_hold),
		cmocka_unit_test_setup_teardown(a_wrong_capability, bring_witness, take_witness),
		cmocka_unit_test_setup_teardown(ranges_outside, bring_witness, take_witness),
		cmocka_unit_test_setup_teardown(damaged_frames, bring_witness, take_witness),
		cmocka_unit_test_setup_teardown(half_requests, bring_witness, take_witness),
		cmocka_unit_test_setup_teardown(a_slow_reader, bring_witness, take_witness),
		cmocka_unit_test_setup_teardown(a_thousand_idle, bring_witness, take_witness),
	};

	for (size_t i = 0; i < sizeof(filled); i++)
		filled[i] = (char)(i * 31 + i / 64);
	return cmocka_run_group_tests(tests, start, stop);
}
