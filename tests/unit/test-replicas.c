/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runtime's dealings with the memory node of its host, played by this test.
 *
 * Catches: a death of which the controller never hears, because the socket was full; a wait without
 * an end for a memory node that hangs; an answer that is taken for another's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/units.h"
#include "base/unix.h"
#include "runtime/replicas.h"

enum {
	SLAB_BYTES = 1 << 20,
	DEADLINE_MS = 60000, /* for what comes at once */
	SHORT_MS = 50,
	NODE = 77,
	SLAB = 1000,
};

static int requests[2], news[2]; /* [0]: the runtime's end */
static struct kona_broker broker;
static struct kona_replicas replicas;

static int bring_up(void **state)
{
	assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, requests), errno);
	assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, news), errno);
	broker = (struct kona_broker){
		.socket = requests[0], .news = news[0], .slab_bytes = SLAB_BYTES};
	return 0;
}

static int take_down(void **state)
{
	for (int i = 0; i < 2; i++) {
		close(requests[i]);
		close(news[i]);
	}
	return 0;
}

static void fill_news(void)
{
	int rc;

	do
		rc = kona_broker_report(&broker, KONA_BROKER_TAKEN, SLAB, 1);
	while (!rc);
	assert_int_equal(rc, -EAGAIN);
}

/* A slab that is here, and on a node that nobody knows: which is a death to tell of. */
static void find_a_death(void)
{
	const struct kona_pool_replica replica = {.node = NODE, .state = KONA_POOL_FULL};

	assert_int_equal(kona_pool_grant(&replicas.pool, 0, SLAB, 1, true, &replica, 1), 0);
}

/* Reads news until a death is told. */
static struct kona_broker_report next_lost(void)
{
	struct pollfd polled = {news[1], POLLIN, 0};
	struct kona_broker_report report;
	int passed;

	do {
		assert_int_equal(poll(&polled, 1, DEADLINE_MS), 1);
		assert_int_equal(kona_unix_receive(news[1], &report, sizeof(report), 0, &passed),
				 sizeof(report));
	} while (report.header.type != KONA_BROKER_LOST);
	return report;
}

static void a_death_is_told_when_there_is_room(void **state)
{
	struct kona_broker_report report;

	assert_int_equal(kona_replicas_init(&replicas, &broker, 16), 0);
	assert_int_equal(kona_replicas_start(&replicas), 0);
	fill_news();
	find_a_death();
	report = next_lost();
	assert_int_equal(report.slab, SLAB);
	assert_int_equal(report.value, NODE);
	/* The thread ends with its socket; it uses what is static here. */
	shutdown(news[1], SHUT_RDWR);
}

static uint64_t after_ms(unsigned int ms)
{
	return kona_now_ns() + ms * UINT64_C(1000000);
}

static void a_hanging_memory_node(void **state)
{
	char name[KONA_BROKER_NAME_BYTES];
	int rc;

	assert_int_equal(kona_broker_link(&broker, NODE, name, after_ms(SHORT_MS)), -ETIMEDOUT);
	/* Nor when it has not read for so long that no request can be sent any more. */
	do
		rc = kona_broker_ask_link(&broker, NODE);
	while (rc >= 0 && !close(rc));
	assert_int_equal(rc, -EAGAIN);
	assert_int_equal(kona_broker_link(&broker, NODE, name, after_ms(SHORT_MS)), -EAGAIN);
}

/* Receives a LINK; returns where its answer goes. */
static int take_request(uint64_t *ret_node)
{
	struct kona_broker_link link;
	int answer = -1;

	assert_int_equal(kona_unix_receive(requests[1], &link, sizeof(link), 0, &answer),
			 sizeof(link));
	assert_int_equal(link.header.type, KONA_BROKER_LINK);
	assert_true(answer >= 0);
	*ret_node = link.node;
	return answer;
}

static void give_answer(int answer, int status, const char *node, int socket)
{
	struct kona_broker_linked linked = {
		.header = {KONA_BROKER_MAGIC, KONA_BROKER_VERSION, KONA_BROKER_LINKED},
		.status = status};

	strcpy(linked.node, node);
	assert_int_equal(kona_unix_send(answer, &linked, sizeof(linked), socket, 0), 0);
	close(answer);
}

static void answers_in_any_order(void **state)
{
	char name[KONA_BROKER_NAME_BYTES];
	int asked[3], answers[3], linked;
	uint64_t node;

	for (int i = 0; i < 3; i++) {
		asked[i] = kona_broker_ask_link(&broker, (uint64_t)i);
		assert_return_code(asked[i], errno);
		answers[i] = take_request(&node);
		assert_int_equal(node, i);
	}
	give_answer(answers[2], 0, "two", news[0]);
	give_answer(answers[1], -EHOSTUNREACH, "one", -1);
	linked = kona_broker_take_link(asked[2], name, after_ms(DEADLINE_MS));
	assert_return_code(linked, errno);
	assert_string_equal(name, "two");
	close(linked);
	assert_int_equal(kona_broker_take_link(asked[1], name, after_ms(DEADLINE_MS)),
			 -EHOSTUNREACH);
	/* The memory node has thrown the third away. */
	close(answers[0]);
	assert_int_equal(kona_broker_take_link(asked[0], name, after_ms(DEADLINE_MS)), -ECONNRESET);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_hanging_memory_node, bring_up, take_down),
		cmocka_unit_test_setup_teardown(answers_in_any_order, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_death_is_told_when_there_is_room, bring_up,
						take_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
