/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logs that stand in a ring, where the node finds them, and where a program may write at any time.
 *
 * Catches: one that is applied though the ring holds another or a part of it, twice, or across a
 * gap; a place outside of the ring; a slab of another realm, or of none; a ring that outlives the
 * slabs for whose sake it was made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "data-node.h"
#include "still-fabric.h"
#include "transport/link.h"

enum { SLAB_BYTES = 1 << 20, RING = KONA_DATA_RING_BYTES };

static struct data_node node;
static struct kona_link ours;
static uint64_t opened;
static char pages[4][KONA_PAGE_BYTES];

static uint64_t in_a_while_ns(void)
{
	return kona_now_ns() + UINT64_C(5000000000);
}

static void connect_link(void)
{
	opened = 0;
	kona_link_init(&ours, data_node_dial(&node), &opened);
}

static void hang_up(void)
{
	close(ours.socket);
	kona_link_destroy(&ours);
}

static int start(void **state)
{
	data_node_start(&node);
	still_fabric_open(&node.fabric);
	node.server.slabs.fabric = &node.fabric;
	for (size_t i = 0; i < KONA_ARRAY_LEN(pages); i++)
		memset(pages[i], 'a' + (int)i, sizeof(pages[i]));
	connect_link();
	return 0;
}

static int stop(void **state)
{
	hang_up();
	kona_data_server_stop(&node.server);
	kona_node_fabric_close(&node.fabric);
	return 0;
}

static void open_slab(uint64_t slab, uint32_t handle, uint32_t flags)
{
	struct kona_data_open open = data_node_open(slab, SLAB_BYTES, handle, flags);

	assert_int_equal(kona_link_open(&ours, &open, in_a_while_ns()), 0);
}

/* The refusal; or 0. */
static int enter(uint32_t handle, const char *realm)
{
	struct kona_data_expose expose = {.handle = handle, .provider = "still"};
	struct kona_data_exposed exposed;
	int rc;

	memcpy(expose.realm, realm, strlen(realm));
	rc = kona_link_expose(&ours, &expose, &exposed, in_a_while_ns());
	assert_true(rc || exposed.ring_bytes == RING);
	return rc == -EREMOTEIO ? ours.status : rc;
}

/* What the program's device would do. */
static void put(uint64_t slab, size_t at, const void *bytes, size_t size_bytes)
{
	pthread_mutex_lock(&node.server.lock);
	memcpy(kona_slab_find(&node.server.slabs, slab)->realm->ring + at, bytes, size_bytes);
	pthread_mutex_unlock(&node.server.lock);
}

static _Alignas(8) char log_bytes[1 << 14];

/* A log of one page, as it is told of. */
static struct kona_data_pushed make(uint64_t slab, uint64_t sequence, uint32_t at, uint32_t page,
				    const char *content)
{
	struct kona_log_header header = {.slab = slab, .sequence = sequence};
	struct kona_log_page dirty = {page, UINT64_MAX, content};
	struct kona_data_pushed pushed = {.at_bytes = at};

	pushed.size_bytes = (uint32_t)kona_log_encode(log_bytes, &header, &dirty, 1);
	memcpy(&pushed.header, log_bytes, sizeof(pushed.header));
	return pushed;
}

/* The refusal; or 0. */
static int tell(const struct kona_data_pushed *pushed)
{
	uint64_t refused;
	int rc;

	assert_int_equal(
		kona_link_send(&ours, KONA_DATA_PUSHED, pushed, sizeof(*pushed), in_a_while_ns()),
		0);
	rc = kona_link_wait(&ours, 1, &refused, in_a_while_ns());
	return rc == -EREMOTEIO ? ours.status : rc;
}

static int push(uint64_t slab, uint64_t sequence, uint32_t at, uint32_t page, const char *content)
{
	struct kona_data_pushed pushed = make(slab, sequence, at, page, content);

	put(slab, at, log_bytes, pushed.size_bytes);
	return tell(&pushed);
}

static void expect(uint32_t page, const char *wanted)
{
	char got[KONA_PAGE_BYTES];
	struct kona_link_piece piece = {0, sizeof(got), (uint64_t)page * sizeof(got), got};

	assert_int_equal(kona_link_read(&ours, &piece, 1, in_a_while_ns()), 0);
	assert_memory_equal(got, wanted, sizeof(got));
}

static void they_are_logs_like_others(void **state)
{
	uint64_t refused;

	open_slab(1, 0, KONA_DATA_CREATE);
	assert_int_equal(enter(0, "ours"), 0);
	assert_int_equal(push(1, 1, 0, 5, pages[0]), 0);
	expect(5, pages[0]);
	/* At the very end of the ring. */
	assert_int_equal(push(1, 2, RING - (uint32_t)kona_log_bytes(1, 64), 6, pages[1]), 0);
	expect(6, pages[1]);
	/* Once more, with other bytes: acknowledged, not applied. And a gap. */
	assert_int_equal(push(1, 2, 64, 6, pages[2]), 0);
	expect(6, pages[1]);
	assert_int_equal(push(1, 4, 64, 6, pages[2]), -ESTALE);
	/* One by the link between two in the ring. */
	make(1, 3, 0, 6, pages[3]);
	assert_int_equal(kona_link_send(&ours, KONA_DATA_LOG, log_bytes, kona_log_bytes(1, 64),
					in_a_while_ns()),
			 0);
	assert_int_equal(kona_link_wait(&ours, 1, &refused, in_a_while_ns()), 0);
	assert_int_equal(push(1, 4, 64, 7, pages[2]), 0);
	expect(6, pages[3]);
	expect(7, pages[2]);
}

/* What is told of has not arrived, or only in part: the connection goes on. */
static void what_is_not_there(void **state)
{
	struct kona_data_pushed pushed;

	open_slab(1, 0, KONA_DATA_CREATE);
	assert_int_equal(enter(0, "ours"), 0);
	assert_int_equal(push(1, 1, 0, 5, pages[0]), 0);
	/* The one before stands there, which is right by itself. */
	pushed = make(1, 2, 0, 5, pages[1]);
	assert_int_equal(tell(&pushed), -EBADMSG);
	put(1, 0, log_bytes, pushed.size_bytes / 2);
	assert_int_equal(tell(&pushed), -EBADMSG);
	expect(5, pages[0]);
	put(1, 0, log_bytes, pushed.size_bytes);
	assert_int_equal(tell(&pushed), 0);
	expect(5, pages[1]);
}

static void places_outside(void **state)
{
	for (int i = 0; i < 7; i++) {
		struct kona_data_pushed pushed;

		open_slab(1, 0, i ? 0 : KONA_DATA_CREATE);
		assert_int_equal(enter(0, "ours"), 0);
		pushed = make(1, 1, 0, 5, pages[0]);
		put(1, 0, log_bytes, pushed.size_bytes);
		pushed.at_bytes = i == 0   ? RING - pushed.size_bytes + 8
				  : i == 1 ? UINT32_MAX - 7
				  : i == 2 ? 4
					   : 0;
		if (i == 3)
			pushed.size_bytes += 8;
		if (i == 4)
			pushed.header.pages = UINT32_MAX;
		if (i == 5)
			pushed.header.handle = 1;
		if (i == 6)
			pushed.header.slab = 2;
		assert_int_equal(tell(&pushed), -EPROTO);
		/* That was the end of it. */
		hang_up();
		connect_link();
	}
	open_slab(1, 0, 0);
	assert_int_equal(push(1, 1, 0, 5, pages[0]), 0);
}

/* A page outside of the slab, with a right checksum. */
static void a_page_outside(void **state)
{
	open_slab(1, 0, KONA_DATA_CREATE);
	assert_int_equal(enter(0, "ours"), 0);
	assert_int_equal(push(1, 1, 0, SLAB_BYTES / KONA_PAGE_BYTES, pages[0]), -EPROTO);
}

static void realms_are_apart(void **state)
{
	struct kona_data_pushed pushed;

	open_slab(1, 0, KONA_DATA_CREATE);
	open_slab(2, 1, KONA_DATA_CREATE);
	assert_int_equal(enter(0, "ours"), 0);
	pushed = make(2, 1, 0, 5, pages[0]);
	pushed.header.handle = 1;
	put(1, 0, log_bytes, pushed.size_bytes);
	/* Slab 2 is in no realm yet; then in another one, whose ring is empty. */
	assert_int_equal(tell(&pushed), -EOPNOTSUPP);
	assert_int_equal(enter(1, "theirs"), 0);
	assert_int_equal(tell(&pushed), -EBADMSG);
	assert_int_equal(enter(1, "ours"), -EACCES);
	/* Ours ends with its only slab; so does its ring. */
	pthread_mutex_lock(&node.server.lock);
	assert_ptr_not_equal(LIST_NEXT(LIST_FIRST(&node.fabric.realms), link), NULL);
	kona_slab_drop(&node.server.slabs, 1);
	assert_ptr_equal(LIST_NEXT(LIST_FIRST(&node.fabric.realms), link), NULL);
	pthread_mutex_unlock(&node.server.lock);
	pushed = make(1, 1, 0, 5, pages[0]);
	assert_int_equal(tell(&pushed), -EOPNOTSUPP);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(they_are_logs_like_others, start, stop),
		cmocka_unit_test_setup_teardown(what_is_not_there, start, stop),
		cmocka_unit_test_setup_teardown(places_outside, start, stop),
		cmocka_unit_test_setup_teardown(a_page_outside, start, stop),
		cmocka_unit_test_setup_teardown(realms_are_apart, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
