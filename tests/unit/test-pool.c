/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool over data servers in this process, against a model of what it holds.
 *
 * Catches: a wrong byte at any mix of local and remote slabs and R = 1..3; a node's death that is
 * noticed by a wrong byte, an error while a replica lives, or a stall; a stale read from a replica
 * that missed a write; a replica that joins while logs flow and ends up different; more requests
 * than are needed; a connection that breaks and costs a write or a node.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/atomic.h"
#include "data-node.h"
#include "transport/flight.h"
#include "transport/pool.h"

enum {
	NODES = 4,
	SLABS = 6,
	SLAB_BYTES = 1 << 19, /* more than one one-sided read brings */
	SLAB_PAGES = SLAB_BYTES / KONA_PAGE_BYTES,
	PAGES = SLABS * SLAB_PAGES,
	READERS = 6,
};

static struct data_node nodes[NODES];
static bool started[NODES];
static struct kona_pool pool;
static char model[PAGES][KONA_PAGE_BYTES];
static uint64_t lost[64][2];
static size_t lost_count;
static uint64_t seed;
static const char *library, *provider, *address; /* NULL: no one-sided reads */
static struct kona_fabric fabric;
static pthread_t fabric_thread;
static uint64_t one_sided_bytes, one_sided_written_bytes;

static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* While this is set, nobody takes reports. */
static bool nobody_hears;

static bool note_lost(void *with, uint64_t node, uint64_t slab)
{
	size_t index;

	if (nobody_hears)
		return false;
	index = kona_add_relaxed(&lost_count, 1); /* relaxed: a test's notes */
	lost[index % 64][0] = node;
	lost[index % 64][1] = slab;
	return true;
}

/* Connections are made again while this is set. */
static bool mending;
static uint64_t mended; /* Atomic, no edge */
static int dial_through_carrier(const struct data_node *node);

static int mend(void *with, uint64_t node, int socket, uint64_t deadline_ns)
{
	int fresh;

	if (!mending || !started[node - 1])
		return -ECONNREFUSED;
	fresh = dial_through_carrier(&nodes[node - 1]);
	if (socket < 0)
		return fresh;
	assert_return_code(dup2(fresh, socket), errno);
	close(fresh);
	return socket;
}

static void close_socket(int socket)
{
	close(socket);
}

static void *run_fabric(void *with)
{
	kona_fabric_run(with);
	return NULL;
}

static void open_fabric(void)
{
	const struct kona_pool_counters counters = {&one_sided_bytes, &one_sided_written_bytes};

	one_sided_bytes = one_sided_written_bytes = 0;
	assert_int_equal(kona_fabric_init(&fabric, library, provider), 0);
	pthread_create(&fabric_thread, NULL, run_fabric, &fabric);
	assert_int_equal(kona_fabric_wait_ready(&fabric), 0);
	kona_pool_use_fabric(&pool, &fabric, &counters);
}

static void close_fabric(void)
{
	kona_fabric_stop(&fabric);
	pthread_join(fabric_thread, NULL);
}

static void start_node(int i)
{
	char why[200] = "";

	data_node_start(&nodes[i]);
	if (library &&
	    kona_node_fabric_open(&nodes[i].fabric, library, provider, address, why, sizeof(why)))
		fail_msg("%s", why);
	if (library)
		nodes[i].server.slabs.fabric = &nodes[i].fabric;
	started[i] = true;
}

static void stop_node(int i)
{
	kona_data_server_stop(&nodes[i].server);
	if (library)
		kona_node_fabric_close(&nodes[i].fabric);
	started[i] = false;
}

static void add_node(int i)
{
	int sockets[KONA_POOL_LINKS];

	for (int j = 0; j < KONA_POOL_LINKS; j++)
		sockets[j] = data_node_dial(&nodes[i]);
	assert_int_equal(kona_pool_add_node(&pool, (uint64_t)i + 1, "n", sockets), 0);
}

static uint64_t slab_id(uint64_t index)
{
	return 1000 + index;
}

static struct kona_pool_replica replica_of(uint64_t index, int node, enum kona_pool_state state)
{
	struct kona_pool_replica replica = {.node = (uint64_t)node + 1, .state = state};

	assert_int_equal(
		kona_capability_make(data_node_secret, slab_id(index), 1, replica.capability), 0);
	return replica;
}

/* The pool knows the first `known` of the nodes. */
static int bring_up_knowing(int known)
{
	static const struct kona_pool_hooks hooks = {note_lost, mend, close_socket, NULL};

	seed = 0x2545f4914f6cdd1d;
	lost_count = 0;
	mending = false;
	mended = 0;
	nobody_hears = false;
	memset(model, 0, sizeof(model));
	for (int i = 0; i < NODES; i++)
		start_node(i);
	assert_int_equal(kona_pool_init(&pool, SLAB_BYTES, 64, &hooks), 0);
	for (int i = 0; i < known; i++)
		add_node(i);
	if (library)
		open_fabric();
	return 0;
}

static int bring_up(void **state)
{
	return bring_up_knowing(NODES);
}

static int bring_up_half(void **state)
{
	return bring_up_knowing(NODES / 2);
}

static int take_down(void **state)
{
	pool.transport.ops->close(&pool.transport);
	if (library)
		close_fabric();
	for (int i = 0; i < NODES; i++)
		if (started[i])
			stop_node(i);
	return 0;
}

/* All slabs with this many replicas, on nodes 0 .. count - 1. */
static void grant_all(size_t replicas, bool local)
{
	if (local) {
		int memory = memfd_create("local", MFD_CLOEXEC);

		assert_return_code(ftruncate(memory, SLABS * SLAB_BYTES), errno);
		for (uint64_t slab = 0; slab < SLABS; slab++)
			kona_pool_attach_local(&pool, slab, memory, slab, !slab);
	}
	for (uint64_t slab = 0; slab < SLABS; slab++) {
		struct kona_pool_replica set[KONA_POOL_MOST_REPLICAS];

		for (size_t i = 0; i < replicas; i++)
			set[i] = replica_of(slab, (int)i, KONA_POOL_FULL);
		assert_int_equal(
			kona_pool_grant(&pool, slab, slab_id(slab), 1, local, set, replicas), 0);
	}
}

/* Writes random lines of up to `most` pages in one call. */
static void write_some(size_t most)
{
	static char contents[300][KONA_PAGE_BYTES];
	struct kona_dirty_page dirty[300];
	size_t count = 1 + draw() % most;
	uint64_t page = draw() % PAGES, wire = 0, calls = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t mask = draw() & draw();

		if (draw() % 8 == 0)
			mask = UINT64_MAX;
		mask |= UINT64_C(1) << draw() % 64;
		memset(contents[i], (int)draw(), KONA_PAGE_BYTES);
		contents[i][draw() % KONA_PAGE_BYTES]++;
		dirty[i] = (struct kona_dirty_page){page * KONA_PAGE_BYTES, mask, contents[i]};
		for (unsigned int line = 0; line < 64; line++)
			if (mask >> line & 1)
				memcpy(model[page] + line * 64, contents[i] + line * 64, 64);
		page = (page + (draw() % 4 ? 1 : draw() % PAGES)) % PAGES;
	}
	assert_int_equal(
		pool.transport.ops->write_lines(&pool.transport, dirty, count, &wire, &calls), 0);
}

static void discard_some(void)
{
	uint64_t page = draw() % PAGES, count = 1 + draw() % (PAGES - page);

	assert_int_equal(pool.transport.ops->discard(&pool.transport, page * KONA_PAGE_BYTES,
						     count * KONA_PAGE_BYTES),
			 0);
	memset(model[page], 0, count * KONA_PAGE_BYTES);
}

static void read_some(size_t most)
{
	static char got[200][KONA_PAGE_BYTES * 4];
	struct kona_read reads[200];
	size_t count = 1 + draw() % most;
	uint64_t calls = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t pages = 1 + draw() % 4;

		reads[i] = (struct kona_read){draw() % (PAGES - pages) * KONA_PAGE_BYTES, got[i],
					      pages * KONA_PAGE_BYTES};
	}
	assert_int_equal(pool.transport.ops->read(&pool.transport, reads, count, &calls), 0);
	for (size_t i = 0; i < count; i++)
		assert_memory_equal(got[i], model[reads[i].offset_bytes / KONA_PAGE_BYTES],
				    reads[i].size_bytes);
}

static void read_all(void)
{
	static char got[PAGES][KONA_PAGE_BYTES];

	assert_int_equal(kona_transport_read(&pool.transport, 0, got, sizeof(got)), 0);
	assert_memory_equal(got, model, sizeof(got));
}

static void use(int rounds)
{
	for (int i = 0; i < rounds; i++) {
		write_some(300);
		read_some(200);
		if (i % 16 == 0)
			discard_some();
	}
	read_all();
}

static uint32_t requests_to(int node)
{
	uint32_t tags = 0;

	for (int i = 1; i < KONA_POOL_LINKS; i++)
		tags += pool.nodes[node].links[i].tag;
	return tags;
}

/* Pages in a row, here and there: more of them than one request has pieces. */
static void neighbours_travel_as_one(void **state)
{
	static char got[2 * SLAB_PAGES][KONA_PAGE_BYTES];
	struct kona_read reads[2 * SLAB_PAGES];
	uint64_t calls = 0;
	uint32_t before;

	kona_pool_use_fabric(&pool, NULL, NULL);
	grant_all(1, false);
	use(10);
	for (size_t i = 0; i < KONA_ARRAY_LEN(reads); i++)
		reads[i] = (struct kona_read){i * KONA_PAGE_BYTES, got[i], KONA_PAGE_BYTES};
	before = requests_to(0);
	assert_int_equal(
		pool.transport.ops->read(&pool.transport, reads, KONA_ARRAY_LEN(reads), &calls), 0);
	assert_memory_equal(got, model, sizeof(got));
	assert_int_equal(requests_to(0) - before, 1);
}

/* --- reads that nobody waits for ---------------------------------------------------------------*/

enum { FLIGHT_PAGES = 63 };

static struct flight_of_pages {
	struct kona_flight flight;
	struct kona_read reads[FLIGHT_PAGES];
	char got[FLIGHT_PAGES][KONA_PAGE_BYTES];
} flights[KONA_POOL_LINKS];

static int begin_flight(struct flight_of_pages *flight, uint64_t page)
{
	uint64_t calls = 0;

	for (size_t i = 0; i < FLIGHT_PAGES; i++)
		flight->reads[i] = (struct kona_read){(page + i) * KONA_PAGE_BYTES, flight->got[i],
						      KONA_PAGE_BYTES};
	flight->flight.reads = flight->reads;
	flight->flight.count = FLIGHT_PAGES;
	return pool.transport.ops->begin_read(&pool.transport, &flight->flight, &calls);
}

static void end_flight(struct flight_of_pages *flight)
{
	uint64_t calls = 0;

	assert_int_equal(pool.transport.ops->end_read(&pool.transport, &flight->flight, &calls), 0);
	assert_memory_equal(flight->got, model[flight->reads[0].offset_bytes / KONA_PAGE_BYTES],
			    sizeof(flight->got));
}

/* While some links wait for a flight all else goes on, and may need those links. */
static void flights_are_ended_in_any_order(void **state)
{
	struct kona_link *free_link = &pool.nodes[0].links[KONA_POOL_LINKS - 1];
	int socket = free_link->socket;

	kona_pool_use_fabric(&pool, NULL, NULL);
	grant_all(1, false);
	use(10);
	assert_true(pool.transport.ops->may_begin(&pool.transport, 0));
	for (int i = 0; i < 20; i++) {
		int count = 0;

		while (count < KONA_POOL_LINKS &&
		       !begin_flight(&flights[count], draw() % (PAGES - FLIGHT_PAGES)))
			count++;
		assert_in_range(count, 1, KONA_POOL_LINKS - 2); /* one is left for reads */
		read_some(200);
		free_link->socket = -1;
		read_some(20); /* now by a link with a flight */
		free_link->socket = socket;
		while (count-- > 0)
			end_flight(&flights[count]);
	}
}

static void a_flight_outlives_its_node(void **state)
{
	kona_pool_use_fabric(&pool, NULL, NULL);
	grant_all(2, false);
	use(10);
	assert_int_equal(begin_flight(&flights[0], 0), 0);
	stop_node(flights[0].flight.batch.node);
	end_flight(&flights[0]);
	read_all();
}

static void nothing_flies_over_shared_memory(void **state)
{
	assert_false(pool.transport.ops->may_begin(&pool.transport, 0));
	grant_all(1, true);
	assert_false(pool.transport.ops->may_begin(&pool.transport, 0));
}

static void one_replica(void **state)
{
	grant_all(1, false);
	use(60);
	assert_int_equal(lost_count, 0);
	assert_true(!library || one_sided_bytes > sizeof(model));
	assert_true(!library || one_sided_written_bytes > sizeof(model));
}

static void three_replicas(void **state)
{
	grant_all(3, false);
	use(40);
	stop_node(0);
	use(20);
	stop_node(2);
	use(20);
	assert_int_equal(lost_count, 2);
}

static void local_and_remote(void **state)
{
	grant_all(1, true);
	use(40);
	stop_node(0);
	use(20);
}

static void the_last_replica(void **state)
{
	char page[KONA_PAGE_BYTES] = {1};
	struct kona_dirty_page dirty = {0, 1, page};
	uint64_t wire = 0, calls = 0;

	grant_all(2, false);
	use(10);
	stop_node(0);
	stop_node(1);
	assert_int_equal(kona_transport_read(&pool.transport, 0, page, sizeof(page)), -EIO);
	assert_int_equal(pool.transport.ops->write_lines(&pool.transport, &dirty, 1, &wire, &calls),
			 -EIO);
	/* A slab that was never granted. */
	assert_int_equal(kona_transport_read(&pool.transport, 63 * SLAB_BYTES, page, 4096), -EIO);
}

/* The first page behind the model's. */
static void write_page_alone(char byte)
{
	char content[KONA_PAGE_BYTES];
	const struct kona_dirty_page page = {(uint64_t)SLABS * SLAB_BYTES, UINT64_MAX, content};
	uint64_t wire_bytes = 0, calls = 0;

	memset(content, byte, sizeof(content));
	assert_int_equal(
		pool.transport.ops->write_lines(&pool.transport, &page, 1, &wire_bytes, &calls), 0);
}

static void check_page_alone(char byte)
{
	char content[KONA_PAGE_BYTES];

	assert_int_equal(kona_transport_read(&pool.transport, (uint64_t)SLABS * SLAB_BYTES, content,
					     sizeof(content)),
			 0);
	for (size_t i = 0; i < sizeof(content); i++)
		assert_int_equal(content[i], byte);
}

/* The lock of a server is held: it takes bytes, and answers nothing. */
static void a_silent_node(void **state)
{
	uint64_t start_ns, took_ns;

	grant_all(2, false);
	use(5);
	pthread_mutex_lock(&nodes[0].server.lock);
	start_ns = kona_now_ns();
	use(5);
	took_ns = kona_now_ns() - start_ns;
	pthread_mutex_unlock(&nodes[0].server.lock);
	assert_true(took_ns < UINT64_C(5000000000));
	use(5);
	assert_int_equal(lost_count, 1);
	assert_int_equal(lost[0][0], 1);
}

static void *wake_later(void *with)
{
	usleep(3000000);
	pthread_mutex_unlock(with);
	return NULL;
}

/* It is late for what another one has, too; not for what it has alone. */
static void a_slow_node_keeps_what_it_has_alone(void **state)
{
	struct kona_pool_replica alone = replica_of(SLABS, 0, KONA_POOL_FULL);
	pthread_t waker;

	mending = true;
	grant_all(2, false);
	assert_int_equal(kona_pool_grant(&pool, SLABS, slab_id(SLABS), 1, false, &alone, 1), 0);
	write_page_alone('a');
	use(5);
	/* The servers have ordinary mutexes: another thread may unlock them. */
	pthread_mutex_lock(&nodes[0].server.lock);
	pthread_create(&waker, NULL, wake_later, &nodes[0].server.lock);
	use(5);
	write_page_alone('b');
	pthread_join(waker, NULL);
	check_page_alone('b');
	assert_int_equal(lost_count, SLABS);
	/* So it is after a read. */
	pthread_mutex_lock(&nodes[0].server.lock);
	pthread_create(&waker, NULL, wake_later, &nodes[0].server.lock);
	check_page_alone('b');
	pthread_join(waker, NULL);
	use(5);
	stop_node(0);
	use(5);
}

static void refused_by_one(void **state)
{
	grant_all(2, false);
	use(5);
	pthread_mutex_lock(&nodes[1].server.lock);
	kona_slab_drop(&nodes[1].server.slabs, slab_id(2));
	pthread_mutex_unlock(&nodes[1].server.lock);
	use(20);
	assert_int_equal(lost_count, 1);
	assert_int_equal(lost[0][0], 2);
	assert_int_equal(lost[0][1], slab_id(2));
}

/* Copies slab `index` from one node to the other as the copier does, page by page. */
static void copy_page(uint64_t index, int from, int to, uint64_t page)
{
	char content[KONA_PAGE_BYTES];

	pthread_mutex_lock(&nodes[from].server.lock);
	memcpy(content,
	       kona_slab_page(kona_slab_find(&nodes[from].server.slabs, slab_id(index)), page),
	       sizeof(content));
	pthread_mutex_unlock(&nodes[from].server.lock);
	/* What is written now is newer than what was read. */
	if (draw() % 4 == 0)
		write_some(4);
	pthread_mutex_lock(&nodes[to].server.lock);
	kona_slab_fill(kona_slab_find(&nodes[to].server.slabs, slab_id(index)), page, content);
	pthread_mutex_unlock(&nodes[to].server.lock);
}

static void repair(int dead, int source, int fresh, uint64_t version)
{
	for (uint64_t slab = 0; slab < SLABS; slab++) {
		struct kona_pool_replica set[] = {replica_of(slab, source, KONA_POOL_FULL),
						  replica_of(slab, fresh, KONA_POOL_COPYING)};

		assert_int_equal(kona_pool_set(&pool, slab_id(slab), version, false, set, 2), 0);
		for (uint64_t page = 0; page < SLAB_PAGES; page++)
			copy_page(slab, source, fresh, page);
		pthread_mutex_lock(&nodes[fresh].server.lock);
		kona_slab_filled(kona_slab_find(&nodes[fresh].server.slabs, slab_id(slab)));
		pthread_mutex_unlock(&nodes[fresh].server.lock);
		set[1].state = KONA_POOL_FULL;
		assert_int_equal(kona_pool_set(&pool, slab_id(slab), version + 1, false, set, 2),
				 0);
	}
}

/* The controller did not hear that node 0 is dead. */
static void a_lost_report_is_repeated(void)
{
	struct kona_pool_replica set[] = {replica_of(3, 0, KONA_POOL_FULL),
					  replica_of(3, 1, KONA_POOL_FULL)};

	lost_count = 0;
	assert_int_equal(kona_pool_set(&pool, slab_id(3), 1, false, set, 2), 0);
	assert_int_equal(lost_count, 1);
	assert_int_equal(lost[0][0], 1);
	assert_int_equal(lost[0][1], slab_id(3));
}

/* What cannot be told at once is told later, once, and before anything is taken. */
static void untold_deaths(void **state)
{
	struct kona_pool_replica set[] = {replica_of(2, 0, KONA_POOL_FULL),
					  replica_of(2, 1, KONA_POOL_FULL)};

	nobody_hears = true;
	grant_all(2, false);
	pthread_mutex_lock(&nodes[1].server.lock);
	kona_slab_drop(&nodes[1].server.slabs, slab_id(2));
	pthread_mutex_unlock(&nodes[1].server.lock);
	use(20);
	assert_false(kona_pool_tell_lost(&pool));
	assert_int_equal(kona_pool_set(&pool, slab_id(2), 1, false, set, 2), -EAGAIN);
	nobody_hears = false;
	assert_true(kona_pool_tell_lost(&pool));
	assert_int_equal(lost_count, 1);
	assert_int_equal(lost[0][0], 2);
	assert_int_equal(lost[0][1], slab_id(2));
	assert_true(kona_pool_tell_lost(&pool));
	assert_int_equal(lost_count, 1);
	nobody_hears = true;
	stop_node(1);
	use(20);
	nobody_hears = false;
	assert_true(kona_pool_tell_lost(&pool));
	assert_int_equal(lost_count, SLABS);
	for (size_t i = 1; i < SLABS; i++)
		assert_int_equal(lost[i][0], 2);
}

/* Nobody could reach it when the slab was granted. */
static void an_untold_node_that_was_never_reached(void **state)
{
	struct kona_pool_replica set[] = {replica_of(0, 0, KONA_POOL_FULL),
					  replica_of(0, 0, KONA_POOL_FULL)};

	set[1].node = 77;
	nobody_hears = true;
	assert_int_equal(kona_pool_grant(&pool, 0, slab_id(0), 1, false, set, 2), 0);
	assert_int_equal(kona_pool_grant(&pool, 1, slab_id(1), 1, false, set + 1, 1), -EIO);
	assert_false(kona_pool_has_node(&pool, 77));
	nobody_hears = false;
	assert_true(kona_pool_tell_lost(&pool));
	assert_int_equal(lost_count, 1);
	assert_int_equal(lost[0][0], 77);
	assert_int_equal(lost[0][1], slab_id(0));
}

static void a_replica_joins(void **state)
{
	grant_all(2, false);
	use(10);
	stop_node(0);
	use(5);
	a_lost_report_is_repeated();
	repair(0, 1, 2, 2);
	use(5);
	stop_node(1);
	use(10);
	/* The first one is back, empty. */
	start_node(0);
	add_node(0);
	repair(1, 2, 0, 4);
	stop_node(2);
	use(10);
}

/* In a forked child: every page as the parent says in shared memory, once it lets us go. */
static void be_child(int go, const char *pages)
{
	char byte, page[KONA_PAGE_BYTES];

	mending = true;
	kona_pool_become_child(&pool, NULL, NULL, 0);
	if (read(go, &byte, 1) != 1)
		_exit(2);
	for (uint64_t i = 0; i < PAGES; i++) {
		if (kona_transport_read(&pool.transport, i * KONA_PAGE_BYTES, page, sizeof(page)))
			_exit(3);
		if (memcmp(page, pages + i * KONA_PAGE_BYTES, sizeof(page)))
			_exit(4);
	}
	_exit(0);
}

/* Everything moves to nodes that the pool did not know at the fork. */
static void a_child_follows(void **state)
{
	char *pages = mmap(NULL, sizeof(model), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			   -1, 0);
	int go[2], status;
	pid_t child;

	assert_true(pages != MAP_FAILED);
	assert_return_code(pipe(go), errno);
	grant_all(2, false);
	use(10);
	child = fork();
	assert_return_code(child, errno);
	if (!child)
		be_child(go[0], pages);
	add_node(2);
	repair(0, 1, 2, 1);
	add_node(3);
	repair(1, 2, 3, 3);
	stop_node(0);
	stop_node(1);
	memcpy(pages, model, sizeof(model));
	assert_int_equal(write(go[1], "g", 1), 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(go[0]);
	close(go[1]);
	munmap(pages, sizeof(model));
}

/* One that is still being copied is not enough. */
static void a_copy_is_not_a_replica(void **state)
{
	struct kona_pool_replica set[2];
	char page[KONA_PAGE_BYTES];

	grant_all(1, false);
	use(3);
	set[0] = replica_of(0, 0, KONA_POOL_FULL);
	set[1] = replica_of(0, 1, KONA_POOL_COPYING);
	assert_int_equal(kona_pool_set(&pool, slab_id(0), 1, false, set, 2), 0);
	/* The same once more, and an older one, change nothing. */
	assert_int_equal(kona_pool_set(&pool, slab_id(0), 1, false, set, 2), 0);
	assert_int_equal(kona_pool_set(&pool, slab_id(0), 0, false, set, 0), 0);
	use(3);
	/* A set without any full one is not taken. */
	assert_int_equal(kona_pool_set(&pool, slab_id(0), 2, false, set + 1, 1), -EIO);
	assert_int_equal(kona_pool_set(&pool, 77, 2, false, set, 2), -ENOENT);
	stop_node(0);
	assert_int_equal(kona_transport_read(&pool.transport, 0, page, sizeof(page)), -EIO);
}

/* Reads from several threads while a node dies; each page tells its number and a version. */
struct reader {
	pthread_t thread;
	uint64_t seed;
	bool stop;
	uint64_t reads;
};

static void *read_on(void *with)
{
	struct reader *reader = with;

	while (!kona_load_relaxed(&reader->stop)) { /* relaxed: a test's flag */
		uint64_t words[2][KONA_PAGE_BYTES / 8], page, calls = 0;
		struct kona_read reads[2];

		reader->seed = reader->seed * 6364136223846793005u + 1442695040888963407u;
		page = (reader->seed >> 33) % (PAGES - 1);
		reads[0] = (struct kona_read){page * KONA_PAGE_BYTES, words[0], KONA_PAGE_BYTES};
		reads[1] =
			(struct kona_read){(page + 1) * KONA_PAGE_BYTES, words[1], KONA_PAGE_BYTES};
		if (pool.transport.ops->read(&pool.transport, reads, 2, &calls) ||
		    words[0][0] != page || words[1][0] != page + 1)
			return (void *)"a wrong byte";
		kona_add_relaxed(&reader->reads, 1); /* relaxed: a test's count */
	}
	return NULL;
}

static void wait_for_reads(struct reader *readers, uint64_t more)
{
	uint64_t end_ns = kona_now_ns() + UINT64_C(10000000000);

	for (int i = 0; i < READERS; i++)
		while (kona_load_relaxed(&readers[i].reads) < more) { /* relaxed: a test's count */
			assert_true(kona_now_ns() < end_ns);
			usleep(1000);
		}
}

static void readers_survive(void **state)
{
	struct reader readers[READERS] = {0};

	grant_all(2, false);
	for (uint64_t page = 0; page < PAGES; page++) {
		uint64_t words[KONA_PAGE_BYTES / 8] = {page}, wire = 0, calls = 0;
		struct kona_dirty_page dirty = {page * KONA_PAGE_BYTES, 1, (char *)words};

		assert_int_equal(
			pool.transport.ops->write_lines(&pool.transport, &dirty, 1, &wire, &calls),
			0);
	}
	for (int i = 0; i < READERS; i++) {
		readers[i].seed = (uint64_t)i + 1;
		pthread_create(&readers[i].thread, NULL, read_on, &readers[i]);
	}
	wait_for_reads(readers, 20);
	stop_node(0);
	wait_for_reads(readers, 40);
	for (int i = 0; i < READERS; i++) {
		void *fault;

		kona_store_relaxed(&readers[i].stop, true); /* relaxed: a test's flag */
		pthread_join(readers[i].thread, &fault);
		assert_null(fault);
	}
}

/* --- connections that break --------------------------------------------------------------------*/

/* A connection that ends, there and back, after so many bytes: what is under way is lost. */
struct carrier {
	int ends[2]; /* the client's, the node's */
	size_t left_bytes[2];
};

/* Carries what has come from one end to the other. False: it ends here. */
static bool carry_some(struct carrier *carrier, int from)
{
	static _Thread_local char bytes[1 << 16];
	ssize_t got = recv(carrier->ends[from], bytes, sizeof(bytes), 0);
	size_t count = got > 0 ? (size_t)got : 0, sent = 0;

	if (count > carrier->left_bytes[from])
		count = carrier->left_bytes[from];
	carrier->left_bytes[from] -= count;
	while (sent < count) {
		ssize_t more = send(carrier->ends[!from], bytes + sent, count - sent, MSG_NOSIGNAL);

		if (more < 0)
			return false;
		sent += (size_t)more;
	}
	return got > 0 && carrier->left_bytes[from];
}

static void *carry(void *with)
{
	struct carrier *carrier = with;
	struct pollfd polled[2] = {{carrier->ends[0], POLLIN, 0}, {carrier->ends[1], POLLIN, 0}};
	bool goes_on = true;

	while (goes_on && poll(polled, 2, -1) > 0)
		for (int i = 0; i < 2 && goes_on; i++)
			if (polled[i].revents)
				goes_on = carry_some(carrier, i);
	close(carrier->ends[0]);
	close(carrier->ends[1]);
	free(carrier);
	return NULL;
}

/* A way to the node that breaks in what is asked or answered; each fourth one soon, so that answers
 * to logs are lost, too. */
static int dial_through_carrier(const struct data_node *node)
{
	uint64_t turn = kona_add_relaxed(&mended, 1); /* relaxed: a test's numbers */
	uint64_t random = (turn + 1) * UINT64_C(0x9e3779b97f4a7c15);
	uint64_t asked = 16 + (random >> 40) % 3000000;
	uint64_t answered = 16 + (random >> 16) % (turn % 4 == 3 ? 500 : 3000000);
	struct carrier *carrier = malloc(sizeof(*carrier));
	pthread_attr_t detached;
	pthread_t thread;
	int pair[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), errno);
	*carrier = (struct carrier){{pair[1], data_node_dial(node)}, {asked, answered}};
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	assert_int_equal(pthread_create(&thread, &detached, carry, carrier), 0);
	pthread_attr_destroy(&detached);
	return pair[0];
}

static void use_while_links_break(size_t replicas)
{
	mending = true;
	kona_pool_use_fabric(&pool, NULL, NULL);
	grant_all(replicas, false);
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < KONA_POOL_LINKS; j++)
			shutdown(pool.nodes[i].links[j].socket, SHUT_RDWR);
	use(120);
	/* relaxed: a test's count */
	assert_true(kona_load_relaxed(&mended) > 20);
	assert_int_equal(lost_count, 0);
}

static void broken_links_lose_nothing(void **state)
{
	use_while_links_break(1);
}

static void broken_links_cost_no_replica(void **state)
{
	use_while_links_break(2);
	/* Both have every write. */
	stop_node(0);
	use(10);
}

/* Its memory is gone: a new connection to it is of no use. */
static void a_node_started_anew_is_dead(void **state)
{
	static const uint8_t other_secret[16] = "another";

	mending = true;
	grant_all(2, false);
	use(5);
	pthread_mutex_lock(&nodes[0].server.lock);
	for (uint64_t slab = 0; slab < SLABS; slab++)
		kona_slab_drop(&nodes[0].server.slabs, slab_id(slab));
	memcpy(nodes[0].server.secret, other_secret, sizeof(other_secret));
	pthread_mutex_unlock(&nodes[0].server.lock);
	for (int i = 0; i < KONA_POOL_LINKS; i++)
		shutdown(pool.nodes[0].links[i].socket, SHUT_RDWR);
	use(20);
	assert_int_equal(lost_count, 1);
	assert_int_equal(lost[0][0], 1);
	assert_int_equal(lost[0][1], 0);
}

/* --- one-sided reads alone ---------------------------------------------------------------------*/

/* Where slab 0 is at node 0, as a hostile program might remember it. */
static struct kona_fabric_piece remember(char *buffer)
{
	return (struct kona_fabric_piece){
		.there = pool.slabs[0].exposed[0].base,
		.key = pool.slabs[0].exposed[0].key,
		.buffer = buffer,
		.size_bytes = KONA_PAGE_BYTES,
	};
}

static uint64_t in_a_while_ns(void)
{
	return kona_now_ns() + UINT64_C(3000000000);
}

static int read_past_the_node(const struct kona_fabric_piece *piece)
{
	return kona_fabric_read(&fabric, pool.nodes[0].realm.peer, piece, 1, in_a_while_ns());
}

static void expect_zeros(const char page[KONA_PAGE_BYTES])
{
	for (size_t i = 0; i < KONA_PAGE_BYTES; i++)
		assert_int_equal(page[i], 0);
}

static void a_key_opens_its_slab_alone(void **state)
{
	char page[KONA_PAGE_BYTES] = {0};
	struct kona_fabric_piece piece;

	grant_all(1, false);
	use(5);
	piece = remember(page);
	assert_int_equal(read_past_the_node(&piece), 0);
	assert_memory_equal(page, model[0], sizeof(page));
	piece.there += SLAB_BYTES; /* behind its end */
	memset(page, 0, sizeof(page));
	assert_int_not_equal(read_past_the_node(&piece), 0);
	expect_zeros(page);
}

static void a_key_ends_with_its_slab(void **state)
{
	char page[KONA_PAGE_BYTES] = {0};
	struct kona_fabric_piece piece;

	grant_all(1, false);
	use(5);
	piece = remember(page);
	pthread_mutex_lock(&nodes[0].server.lock);
	kona_slab_drop(&nodes[0].server.slabs, slab_id(0));
	pthread_mutex_unlock(&nodes[0].server.lock);
	assert_int_not_equal(read_past_the_node(&piece), 0);
	expect_zeros(page);
}

static void a_key_is_not_guessed(void **state)
{
	char page[KONA_PAGE_BYTES] = {0};
	struct kona_fabric_piece piece;

	grant_all(1, false);
	use(5);
	piece = remember(page);
	piece.key ^= 0x40;
	assert_int_not_equal(read_past_the_node(&piece), 0);
}

/* Opens a slab at node 0, and asks for its key in this realm. The refusal; or 0. */
static int expose_to(struct kona_link *link, uint64_t slab, uint32_t handle, const uint8_t *realm,
		     struct kona_data_exposed *ret_exposed)
{
	struct kona_data_open open = {.handle = handle,
				      .flags = KONA_DATA_CREATE,
				      .slab = slab,
				      .generation = 1,
				      .slab_bytes = SLAB_BYTES};
	struct kona_data_expose expose = {.handle = handle};
	int rc;

	assert_int_equal(kona_capability_make(data_node_secret, slab, 1, open.capability), 0);
	assert_int_equal(kona_link_open(link, &open, in_a_while_ns()), 0);
	strcpy(expose.provider, provider);
	memcpy(expose.realm, realm, sizeof(expose.realm));
	rc = kona_link_expose(link, &expose, ret_exposed, in_a_while_ns());
	return rc == -EREMOTEIO ? link->status : rc;
}

/* One that has guessed right still has no use for it: it talks to an endpoint of its own. */
static void a_key_is_of_its_realm(void **state)
{
	static struct kona_fabric other;
	char page[KONA_PAGE_BYTES] = "something";
	struct kona_fabric_piece guessed, own = {.buffer = page, .size_bytes = sizeof(page)};
	struct kona_data_exposed exposed;
	struct kona_link link;
	uint64_t opened = 0, peer;
	pthread_t thread;

	grant_all(1, false);
	use(5);
	guessed = remember(page);
	assert_int_equal(kona_fabric_init(&other, library, provider), 0);
	pthread_create(&thread, NULL, run_fabric, &other);
	assert_int_equal(kona_fabric_wait_ready(&other), 0);
	kona_link_init(&link, data_node_dial(&nodes[0]), &opened);

	assert_int_equal(expose_to(&link, slab_id(77), 0, other.realm, &exposed), 0);
	assert_int_equal(kona_fabric_add_peer(&other, exposed.address, exposed.address_bytes,
					      in_a_while_ns(), &peer),
			 0);
	own.there = exposed.base;
	own.key = exposed.key;
	assert_int_equal(kona_fabric_read(&other, peer, &own, 1, in_a_while_ns()), 0);
	expect_zeros(page);
	assert_int_not_equal(kona_fabric_read(&other, peer, &guessed, 1, in_a_while_ns()), 0);
	expect_zeros(page);
	assert_int_equal(expose_to(&link, slab_id(0), 1, other.realm, &exposed), -EACCES);

	kona_fabric_stop(&other);
	pthread_join(thread, NULL);
	close(link.socket);
	kona_link_destroy(&link);
	read_all();
}

/* Its slabs are read by links, and nothing is wrong with it. */
static void a_node_without_a_device(void **state)
{
	grant_all(1, false);
	nodes[0].server.slabs.fabric = NULL;
	use(20);
	assert_int_equal(one_sided_bytes, 0);
	assert_int_equal(lost_count, 0);
	nodes[0].server.slabs.fabric = &nodes[0].fabric;
}

/* One-sided reads fail, the node does not: they are made by links from then on. */
static void a_device_that_fails(void **state)
{
	uint64_t start_ns, before;

	grant_all(1, false);
	use(10);
	before = one_sided_bytes;
	assert_true(before > 0);
	pthread_mutex_lock(&nodes[0].server.lock);
	for (uint64_t slab = 0; slab < SLABS; slab++)
		nodes[0].fabric.ops->hide(
			&kona_slab_find(&nodes[0].server.slabs, slab_id(slab))->region);
	pthread_mutex_unlock(&nodes[0].server.lock);
	start_ns = kona_now_ns();
	use(10);
	assert_true(kona_now_ns() - start_ns < UINT64_C(10000000000));
	assert_int_equal(one_sided_bytes, before);
	assert_int_equal(lost_count, 0);
}

/* Logs go by links from then on; nothing is lost, and nobody is dead. */
static void a_ring_that_fails(void **state)
{
	uint64_t before;

	grant_all(2, false);
	use(10);
	before = one_sided_written_bytes;
	assert_true(before > 0);
	pthread_mutex_lock(&nodes[0].server.lock);
	nodes[0].fabric.ops->hide(&LIST_FIRST(&nodes[0].fabric.realms)->ring_region);
	pthread_mutex_unlock(&nodes[0].server.lock);
	use(10);
	/* Those to the other node still go to its ring. */
	assert_true(one_sided_written_bytes > before);
	assert_int_equal(lost_count, 0);
	stop_node(1);
	use(5);
}

static const struct kona_ofi_ops *real_ops;

static int write_a_part(struct kona_ofi *ofi, uint64_t peer, void *from, size_t size_bytes,
			const struct kona_ofi_region *local, uint64_t to, uint64_t key,
			void *context)
{
	return real_ops->write(ofi, peer, from, size_bytes / 16 * 8, local, to, key, context);
}

/* A library that says too soon that a write is done: the node finds out, and gets it by a link. */
static void a_write_that_lies(void **state)
{
	static struct kona_ofi_ops lying;

	grant_all(1, false);
	use(10);
	real_ops = fabric.ops;
	lying = *real_ops;
	lying.write = write_a_part;
	kona_store_relaxed(&fabric.ops, &lying); /* relaxed: the next request's bell orders it */
	use(10);
	assert_int_equal(lost_count, 0);
}

static int deaf_waits; /* atomic */

static void be_deaf(struct kona_ofi *ofi, int most_ms)
{
	kona_add_relaxed(&deaf_waits, 1); /* relaxed: a count */
	usleep((useconds_t)most_ms * 1000);
}

/*
 * Nobody calls the node's library any more, without which tcp brings nothing: a read has its
 * deadline, and is made by a link. (verbs does without.)
 */
static void a_library_that_hangs(void **state)
{
	static struct kona_ofi_ops deaf;
	const struct kona_ofi_ops *before = nodes[0].fabric.ops;
	uint64_t start_ns, took_ns;

	grant_all(2, false);
	use(5);
	deaf = *before;
	deaf.wait = be_deaf;
	kona_store_relaxed(&nodes[0].fabric.ops, &deaf); /* relaxed: it is waited for */
	while (!kona_load_relaxed(&deaf_waits))
		usleep(1000);
	start_ns = kona_now_ns();
	use(10);
	took_ns = kona_now_ns() - start_ns;
	assert_true(took_ns < UINT64_C(20000000000));
	assert_true(strcmp(provider, "tcp") || took_ns > KONA_POOL_PATIENCE_MS * 500000);
	assert_int_equal(lost_count, 0);
	kona_store_relaxed(&nodes[0].fabric.ops, before); /* relaxed: as above */
}

/* All slabs leave node 0, and come back: to an endpoint that is another one. */
static void a_realm_that_moves(void **state)
{
	uint64_t read_before, written_before;

	grant_all(2, false);
	use(5);
	repair(0, 1, 2, 1);
	pthread_mutex_lock(&nodes[0].server.lock);
	for (uint64_t slab = 0; slab < SLABS; slab++)
		kona_slab_drop(&nodes[0].server.slabs, slab_id(slab));
	assert_true(LIST_EMPTY(&nodes[0].fabric.realms));
	pthread_mutex_unlock(&nodes[0].server.lock);
	use(5);
	repair(1, 2, 0, 3);
	stop_node(1);
	stop_node(2);
	read_before = one_sided_bytes;
	written_before = one_sided_written_bytes;
	use(5);
	assert_true(one_sided_bytes > read_before);
	assert_true(one_sided_written_bytes > written_before);
}

static void what_cannot_be_loaded(void **state)
{
	static struct kona_fabric other;

	assert_int_equal(kona_fabric_init(&other, "/nowhere/libkona-ofi.so", provider), 0);
	kona_fabric_run(&other);
	assert_int_equal(kona_fabric_wait_ready(&other), -ENODEV);
	assert_non_null(strstr(other.why, "/nowhere"));
	kona_fabric_stop(&other);
	assert_int_equal(kona_fabric_init(&other, library, "carrier"), 0);
	kona_fabric_run(&other);
	assert_int_equal(kona_fabric_wait_ready(&other), -ENODEV);
	assert_non_null(strstr(other.why, "no such provider"));
	kona_fabric_stop(&other);
}

static int run_fabric_tests(char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_key_opens_its_slab_alone, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_key_ends_with_its_slab, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_key_is_not_guessed, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_key_is_of_its_realm, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_node_without_a_device, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_device_that_fails, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_ring_that_fails, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_write_that_lies, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_realm_that_moves, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_library_that_hangs, bring_up, take_down),
		cmocka_unit_test(what_cannot_be_loaded),
	};

	library = argv[1];
	provider = argv[2];
	address = argv[3];
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_replica, bring_up, take_down),
		cmocka_unit_test_setup_teardown(neighbours_travel_as_one, bring_up, take_down),
		cmocka_unit_test_setup_teardown(three_replicas, bring_up, take_down),
		cmocka_unit_test_setup_teardown(flights_are_ended_in_any_order, bring_up,
						take_down),
		cmocka_unit_test_setup_teardown(a_flight_outlives_its_node, bring_up, take_down),
		cmocka_unit_test_setup_teardown(nothing_flies_over_shared_memory, bring_up,
						take_down),
		cmocka_unit_test_setup_teardown(local_and_remote, bring_up, take_down),
		cmocka_unit_test_setup_teardown(the_last_replica, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_silent_node, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_slow_node_keeps_what_it_has_alone, bring_up,
						take_down),
		cmocka_unit_test_setup_teardown(refused_by_one, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_replica_joins, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_child_follows, bring_up_half, take_down),
		cmocka_unit_test_setup_teardown(untold_deaths, bring_up, take_down),
		cmocka_unit_test_setup_teardown(an_untold_node_that_was_never_reached, bring_up,
						take_down),
		cmocka_unit_test_setup_teardown(a_copy_is_not_a_replica, bring_up, take_down),
		cmocka_unit_test_setup_teardown(readers_survive, bring_up, take_down),
		cmocka_unit_test_setup_teardown(a_node_started_anew_is_dead, bring_up, take_down),
	};
	/* Without one-sided reads in any case. */
	static const struct CMUnitTest link_tests[] = {
		cmocka_unit_test_setup_teardown(broken_links_lose_nothing, bring_up, take_down),
		cmocka_unit_test_setup_teardown(broken_links_cost_no_replica, bring_up, take_down),
	};

	if (argc == 4 && run_fabric_tests(argv))
		return 1;
	if (argc != 4 && cmocka_run_group_tests(link_tests, NULL, NULL))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
