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
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/units.h"
#include "rack-world.h"

enum {
	TAKERS = 4,	/* threads that take slabs */
	PER_GRANT = 16, /* as kona-memd asks */
	SLOW_GRANTS = 1000,
};

static double *latencies;
static atomic_size_t latency_count;

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
	pthread_t beaters[BEATERS], takers[TAKERS];
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
	for (size_t t = 0; t < BEATERS; t++)
		if (pthread_create(&beaters[t], NULL, beat_all, (void *)(uintptr_t)t))
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
	for (size_t t = 0; t < BEATERS; t++)
		pthread_join(beaters[t], NULL);
	kill(world.pid, SIGTERM);
	waitpid(world.pid, NULL, 0);
	return 0;
}
