/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller at scale: a real kona-rackd with its state on disk, fake nodes and programs over
 * its real API. Fake nodes beat once a second each, report what they are ordered to do as done, and
 * have programs that take slabs of two copies on other nodes.
 *
 *   1. nodes register, programs open leases and take slabs: latency of every grant
 *   2. memory of kona-rackd per slab; grants at a moderate rate
 *   3. ten nodes fall silent: time until every slab of a program that lives has two copies again;
 *      grants meanwhile
 *   4. kill -9 and restart: time until it answers, until all nodes are known, until it grants
 *
 * usage: rack-scale RACKD FOLDER NODES CLIENTS SLABS
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/units.h"
#include "wire/rack-call.h"
#include "wire/rack.h"

enum {
	TAKERS = 4,	/* threads that take slabs */
	PER_GRANT = 16, /* as kona-memd asks */
	SLOW_GRANTS = 1000,
	DIE = 10,
	DEPTH_OF_NODE = 2, /* its memory holds so many times its share */
	MOST_CALL_MS = 30000,
};

struct ids {
	int64_t *ids;
	size_t count, room;
};

struct node {
	pthread_mutex_t lock; /* guards all below */
	struct kona_rack_peer *peer;
	int64_t id;
	bool silent, registered;
	struct ids hosted, dropped, copied;
	json_t *taken; /* owned list */
};

struct lease {
	int64_t id, request, have;
	size_t node;
	struct ids slabs;
	size_t hurt; /* copies on the nodes that die */
};

static struct {
	const char *rackd, *folder;
	char address[160];
	size_t nodes, clients, slabs;
	struct node *node;
	struct lease *lease;
	pid_t pid;
	atomic_bool end;
} world;

static double *latencies;
static atomic_size_t latency_count;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "rack-scale: %s: %s\n", what, why);
	if (world.pid > 0)
		kill(world.pid, SIGKILL);
	exit(1);
}

static void add(struct ids *list, int64_t id)
{
	if (list->count == list->room) {
		list->room = list->room ? list->room * 2 : 16;
		list->ids = reallocarray(list->ids, list->room, sizeof(*list->ids));
		if (!list->ids)
			die("memory", "none left");
	}
	list->ids[list->count++] = id;
}

static void take_away(struct ids *list, int64_t id)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->ids[i] == id) {
			list->ids[i] = list->ids[--list->count];
			return;
		}
}

static json_t *as_json(const struct ids *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(array, json_integer(list->ids[i]));
	return array;
}

static void start_rackd(void)
{
	char listen[200], state[200], ready[32], line[16];
	int ends[2];

	snprintf(listen, sizeof(listen), "--listen=%s", world.address);
	snprintf(state, sizeof(state), "--state=%s/state.db", world.folder);
	if (pipe(ends))
		die("pipe", strerror(errno));
	snprintf(ready, sizeof(ready), "--ready-fd=%d", ends[1]);
	world.pid = fork();
	if (!world.pid) {
		execl(world.rackd, "kona-rackd", listen, state, ready, "--slab=64M", NULL);
		_exit(127);
	}
	close(ends[1]);
	if (read(ends[0], line, sizeof(line)) <= 0)
		die(world.rackd, "does not start");
	close(ends[0]);
}

static struct kona_rack_peer *new_peer(void)
{
	struct kona_rack_peer *peer;

	if (kona_rack_peer_new(world.address, NULL, &peer))
		die("peer", world.address);
	return peer;
}

static int64_t number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* Consumes the body. */
static int call(struct kona_rack_peer *peer, const char *method, const char *path, json_t *body,
		json_t **ret_reply, char *text)
{
	int rc = kona_rack_call(peer, method, path, body, MOST_CALL_MS, ret_reply, text);

	json_decref(body);
	return rc;
}

static json_t *claims_of(size_t n)
{
	json_t *list = json_array();

	for (size_t l = n; l < world.clients; l += world.nodes) {
		const struct lease *lease = &world.lease[l];

		if (lease->id)
			json_array_append_new(list,
					      json_pack("{s:I, s:s, s:i, s:i, s:i, s:I, s:[], s:o}",
							"lease", (json_int_t)lease->id, "program",
							"fake", "pid", 1, "uid", 0, "limit_bytes",
							0, "request", (json_int_t)lease->request,
							"slabs", "remote", as_json(&lease->slabs)));
	}
	return list;
}

/* With the node's lock. */
static int enroll(size_t n)
{
	struct node *node = &world.node[n];
	char name[32], domain[32], instance[32], text[KONA_RACK_TEXT_BYTES];
	int64_t share = (int64_t)(world.slabs * 2 / world.nodes) + 1;
	json_t *reply;
	int rc;

	snprintf(name, sizeof(name), "node-%zu", n);
	snprintf(domain, sizeof(domain), "rack-%zu", n / 20);
	snprintf(instance, sizeof(instance), "i%zu", n);
	rc = call(node->peer, "POST", "/v1/nodes",
		  json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:o}", "name", name, "instance",
			    instance, "domain", domain, "endpoint", "10.0.0.1:7000", "secret",
			    "000102030405060708090a0b0c0d0e0f", "capacity_bytes",
			    (json_int_t)(share * DEPTH_OF_NODE * (INT64_C(64) << 20)), "leases",
			    claims_of(n), "hosted", as_json(&node->hosted)),
		  &reply, text);
	if (rc)
		return rc;
	node->id = number_of(reply, "node");
	node->registered = true;
	json_decref(reply);
	return 0;
}

static void obey(struct node *node, const json_t *orders)
{
	const json_t *order;
	size_t i;

	json_array_foreach (json_object_get(orders, "drop"), i, order) {
		take_away(&node->hosted, json_integer_value(order));
		add(&node->dropped, json_integer_value(order));
	}
	json_array_foreach (json_object_get(orders, "replicate"), i, order) {
		int64_t id = number_of(order, "slab");

		take_away(&node->hosted, id);
		add(&node->hosted, id);
		add(&node->copied, id);
	}
	json_array_foreach (json_object_get(orders, "sets"), i, order)
		json_array_append_new(node->taken,
				      json_pack("{s:I, s:I, s:I}", "lease",
						(json_int_t)number_of(order, "lease"), "slab",
						(json_int_t)number_of(order, "slab"), "version",
						(json_int_t)number_of(order, "version")));
}

static void beat(size_t n)
{
	struct node *node = &world.node[n];
	char path[64], instance[32], text[KONA_RACK_TEXT_BYTES];
	json_t *reply = NULL;

	pthread_mutex_lock(&node->lock);
	if (node->silent)
		goto out;
	if (!node->registered && enroll(n))
		goto out;
	snprintf(path, sizeof(path), "/v1/nodes/%" PRId64 "/heartbeat", node->id);
	snprintf(instance, sizeof(instance), "i%zu", n);
	if (call(node->peer, "POST", path,
		 json_pack("{s:s, s:o, s:o, s:O}", "instance", instance, "dropped",
			   as_json(&node->dropped), "copied", as_json(&node->copied), "taken",
			   node->taken),
		 &reply, text)) {
		node->registered = false;
		goto out;
	}
	node->dropped.count = node->copied.count = 0;
	json_array_clear(node->taken);
	obey(node, reply);
	json_decref(reply);
out:
	pthread_mutex_unlock(&node->lock);
}

/* All nodes once a second, evenly. */
static void *beat_all(void *with)
{
	while (!world.end) {
		uint64_t begin_ns = kona_now_ns(), each_ns = 1000000000 / world.nodes;

		for (size_t n = 0; n < world.nodes && !world.end; n++) {
			uint64_t due_ns = begin_ns + n * each_ns, now_ns = kona_now_ns();

			if (now_ns < due_ns)
				usleep((useconds_t)((due_ns - now_ns) / 1000));
			beat(n);
		}
		while (!world.end && kona_now_ns() < begin_ns + 1000000000)
			usleep(1000);
	}
	return NULL;
}

static int open_lease(struct kona_rack_peer *peer, struct lease *lease)
{
	struct node *node = &world.node[lease->node];
	char instance[32], text[KONA_RACK_TEXT_BYTES];
	json_t *reply;
	int rc;

	snprintf(instance, sizeof(instance), "i%zu", lease->node);
	rc = call(peer, "POST", "/v1/leases",
		  json_pack("{s:I, s:s, s:s, s:i, s:i, s:i}", "node", (json_int_t)node->id,
			    "instance", instance, "program", "fake", "pid", 1, "uid", 0,
			    "limit_bytes", 0),
		  &reply, text);
	if (rc)
		die("lease", text);
	lease->id = number_of(reply, "lease");
	json_decref(reply);
	return 0;
}

static void note_copies(struct lease *lease, const json_t *slab)
{
	const json_t *replica;
	size_t i;

	json_array_foreach (json_object_get(slab, "replicas"), i, replica) {
		const char *name = json_string_value(json_object_get(replica, "name"));
		size_t n = (size_t)atol(name + strlen("node-"));
		struct node *node = &world.node[n];

		lease->hurt += n < DIE;
		pthread_mutex_lock(&node->lock);
		add(&node->hosted, number_of(slab, "slab"));
		pthread_mutex_unlock(&node->lock);
	}
}

/* Returns 0 or what the controller says; ret_ns: how long it took. */
static int grant(struct kona_rack_peer *peer, struct lease *lease, size_t count, uint64_t *ret_ns)
{
	struct node *home = &world.node[lease->node];
	char path[64], text[KONA_RACK_TEXT_BYTES];
	json_t *reply, *slab;
	uint64_t begin_ns;
	size_t i;
	int rc;

	/* So that a registration in between reports what is granted. */
	pthread_mutex_lock(&home->lock);
	snprintf(path, sizeof(path), "/v1/leases/%" PRId64 "/slabs", lease->id);
	begin_ns = kona_now_ns();
	rc = call(peer, "POST", path,
		  json_pack("{s:I, s:I, s:I, s:b}", "count", (json_int_t)count, "have",
			    (json_int_t)lease->have, "request", (json_int_t)++lease->request,
			    "remote", 1),
		  &reply, text);
	*ret_ns = kona_now_ns() - begin_ns;
	if (!rc)
		json_array_foreach (json_object_get(reply, "slabs"), i, slab) {
			lease->have = number_of(slab, "slab");
			add(&lease->slabs, lease->have);
		}
	pthread_mutex_unlock(&home->lock);
	if (rc)
		return rc;
	json_array_foreach (json_object_get(reply, "slabs"), i, slab)
		note_copies(lease, slab);
	json_decref(reply);
	return 0;
}

static void *take_share(void *with)
{
	size_t thread = (size_t)(uintptr_t)with;
	size_t each = world.slabs / world.clients;
	struct kona_rack_peer *peer = new_peer();

	for (size_t l = thread; l < world.clients; l += TAKERS)
		open_lease(peer, &world.lease[l]);
	/* All leases grow together, as programs do. */
	for (size_t done = 0; done < each; done += PER_GRANT)
		for (size_t l = thread; l < world.clients; l += TAKERS) {
			size_t count = each - done < PER_GRANT ? each - done : PER_GRANT;
			uint64_t ns;

			if (grant(peer, &world.lease[l], count, &ns))
				die("grant", "refused");
			latencies[latency_count++] = (double)ns / 1e6;
		}
	kona_rack_peer_free(peer);
	return NULL;
}

static int by_value(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static void print_latencies(const char *what)
{
	size_t count = latency_count;

	qsort(latencies, count, sizeof(*latencies), by_value);
	if (count)
		printf("%-34s p50 %.2f ms, p99 %.2f ms, most %.1f ms (%zu grants)\n", what,
		       latencies[count / 2], latencies[count * 99 / 100], latencies[count - 1],
		       count);
	fflush(stdout);
	latency_count = 0;
}

/* A hundred grants a second, while all nodes beat: what a program waits for when the rack is full.
 */
static void grow_slowly(struct kona_rack_peer *peer)
{
	uint64_t begin_ns = kona_now_ns(), ns;

	for (size_t i = 0; i < SLOW_GRANTS; i++) {
		uint64_t due_ns = begin_ns + i * 10000000, now_ns = kona_now_ns();

		if (now_ns < due_ns)
			usleep((useconds_t)((due_ns - now_ns) / 1000));
		if (grant(peer, &world.lease[i * 7 % world.clients], PER_GRANT, &ns))
			die("grant", "refused");
		latencies[latency_count++] = (double)ns / 1e6;
	}
	print_latencies("grants of 16 slabs, 100 a second");
}

static long rss_kib(void)
{
	char path[64], line[128];
	long kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)world.pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib;
}

static json_t *rack_nodes(struct kona_rack_peer *peer)
{
	char text[KONA_RACK_TEXT_BYTES];
	json_t *reply;

	if (call(peer, "GET", "/v1/nodes", NULL, &reply, text))
		die("nodes", text);
	return reply;
}

static int64_t copies_made(struct kona_rack_peer *peer)
{
	json_t *status = rack_nodes(peer);
	int64_t count = number_of(json_object_get(status, "rack"), "copies");

	json_decref(status);
	return count;
}

static double seconds_since(uint64_t ns)
{
	return (double)(kona_now_ns() - ns) / 1e9;
}

/* While the rack is repaired, a grant every 20 ms from programs of nodes that live. */
static void repair(struct kona_rack_peer *peer)
{
	uint64_t begin_ns, told_ns, ns;
	int64_t hurt = 0, made = 0;
	size_t l = DIE;

	/* Programs of the nodes that die are dead, too. */
	for (size_t i = 0; i < world.clients; i++)
		hurt += world.lease[i].node < DIE ? 0 : (int64_t)world.lease[i].hurt;
	for (size_t n = 0; n < DIE; n++) {
		pthread_mutex_lock(&world.node[n].lock);
		world.node[n].silent = true;
		pthread_mutex_unlock(&world.node[n].lock);
	}
	begin_ns = told_ns = kona_now_ns();
	while (made < hurt) {
		usleep(20000);
		if (!grant(peer, &world.lease[l], 1, &ns))
			latencies[latency_count++] = (double)ns / 1e6;
		do
			l = (l + 1) % world.clients;
		while (l % world.nodes < DIE);
		if (kona_now_ns() - told_ns < 200000000)
			continue;
		told_ns = kona_now_ns();
		made = copies_made(peer);
	}
	printf("%-34s %.1f s after the deadline of %d s (%" PRId64 " copies)\n",
	       "repaired after ten nodes died",
	       seconds_since(begin_ns) - KONA_RACK_DEADLINE_MS / 1e3, KONA_RACK_DEADLINE_MS / 1000,
	       made);
	print_latencies("grants meanwhile");
}

static size_t count_registered(void)
{
	size_t count = 0;

	for (size_t n = 0; n < world.nodes; n++)
		count += world.node[n].registered || world.node[n].silent;
	return count;
}

static void restart(struct kona_rack_peer *peer)
{
	uint64_t begin_ns, ns;
	double ready;

	kill(world.pid, SIGKILL);
	waitpid(world.pid, NULL, 0);
	for (size_t n = 0; n < world.nodes; n++) {
		pthread_mutex_lock(&world.node[n].lock);
		world.node[n].registered = false;
		pthread_mutex_unlock(&world.node[n].lock);
	}
	begin_ns = kona_now_ns();
	start_rackd();
	ready = seconds_since(begin_ns);
	while (grant(peer, &world.lease[world.nodes - 1], 1, &ns))
		usleep(1000);
	printf("%-34s answers after %.2f s, grants after %.2f s, ", "restart after kill -9", ready,
	       seconds_since(begin_ns));
	fflush(stdout);
	while (count_registered() < world.nodes)
		usleep(1000);
	printf("all nodes known after %.2f s\n", seconds_since(begin_ns));
}

int main(int argc, char **argv)
{
	pthread_t beats, takers[TAKERS];
	struct kona_rack_peer *peer;
	long before_kib, after_kib;
	uint64_t begin_ns;

	if (argc != 6) {
		fprintf(stderr, "usage: rack-scale RACKD FOLDER NODES CLIENTS SLABS\n");
		return 2;
	}
	world.rackd = argv[1];
	world.folder = argv[2];
	world.nodes = strtoul(argv[3], NULL, 10);
	world.clients = strtoul(argv[4], NULL, 10);
	world.slabs = strtoul(argv[5], NULL, 10);
	snprintf(world.address, sizeof(world.address), "unix:%s/rack.sock", world.folder);
	world.node = calloc(world.nodes, sizeof(*world.node));
	world.lease = calloc(world.clients, sizeof(*world.lease));
	latencies = calloc(world.slabs + 100000, sizeof(*latencies));
	if (!world.node || !world.lease || !latencies)
		die("memory", "none left");
	start_rackd();
	for (size_t n = 0; n < world.nodes; n++) {
		pthread_mutex_init(&world.node[n].lock, NULL);
		world.node[n].peer = new_peer();
		world.node[n].taken = json_array();
		if (enroll(n))
			die("node", "refused");
	}
	for (size_t l = 0; l < world.clients; l++)
		world.lease[l].node = l % world.nodes;
	before_kib = rss_kib();
	if (pthread_create(&beats, NULL, beat_all, NULL))
		die("thread", "none");
	begin_ns = kona_now_ns();
	for (size_t t = 0; t < TAKERS; t++)
		if (pthread_create(&takers[t], NULL, take_share, (void *)(uintptr_t)t))
			die("thread", "none");
	for (size_t t = 0; t < TAKERS; t++)
		pthread_join(takers[t], NULL);
	printf("%zu nodes, %zu programs, %zu slabs of two copies, taken in %.0f s\n", world.nodes,
	       world.clients, world.slabs, seconds_since(begin_ns));
	print_latencies("grants of 16 slabs, 4 at a time");
	after_kib = rss_kib();
	printf("%-34s %.0f bytes a slab (%ld MiB; %ld MiB with nodes alone)\n", "memory",
	       (double)(after_kib - before_kib) * 1024 / (double)world.slabs, after_kib >> 10,
	       before_kib >> 10);
	peer = new_peer();
	grow_slowly(peer);
	repair(peer);
	restart(peer);
	world.end = true;
	pthread_join(beats, NULL);
	kill(world.pid, SIGTERM);
	waitpid(world.pid, NULL, 0);
	return 0;
}
