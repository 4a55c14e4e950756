/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Catches: a readable copy that missed a write; memory given back while somebody writes to it; a
 * slab granted twice; a node filled beyond its capacity; two copies on one node, or in one domain
 * when that was avoidable; a repair that never ends; a restart that forgets any of it.
 *
 * A world of nodes and clients obeys the protocol of wire/rack.h, under a fake clock and at random:
 * writes, deaths, returns with and without memory, cuts, drains, grants, ends, copies, restarts and
 * rebalances. After each step the controller's lists are checked against one another, and what each
 * client would read against what it wrote. At the end all come back, and all must be whole.
 * usage: test-rack-chaos [SEED [STEPS [STORE]]]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "rack/orders.h"

#define SLAB   INT64_C(65536)
#define MS     UINT64_C(1000000)
#define SECRET "000102030405060708090a0b0c0d0e0f"

enum { NODES = 7, CLIENTS = 2, ALL = NODES + CLIENTS, CAPACITY = 40, LEASES = 3, SLABS = 400 };

/* What a node has of a slab. */
struct copy {
	bool there, whole;
	uint64_t writes; /* the last write that it got */
};

/* What a client knows of a replica. */
struct seen {
	bool used, full, lost;
};

struct data {
	int64_t id; /* 0: free */
	int lease;  /* index */
	uint64_t writes;
	bool dead; /* all copies are gone: its program ends */
	int64_t version, taken;
	struct seen seen[ALL];
	struct copy copies[ALL];
};

struct host {
	int64_t node;
	int instance;
	bool alive, cut; /* cut: from everybody */
	bool registered;
	uint64_t died_ns;
	struct kona_ids dropped, copied;
};

static struct kona_rack rack;
static struct host hosts[ALL];
static struct data slabs[SLABS];
static struct {
	int64_t lease, request, have;
	int client;
} leases[LEASES];
static struct kona_rack_lost lost[2 * SLABS];
static size_t lost_count;
static struct kona_ids ever;
static uint64_t seed, generator, reads, copies_made, deaths;
static int step;
static bool calm; /* no node misses a heartbeat by chance */

static void fail(const char *what, int64_t number)
{
	fprintf(stderr, "step %d of seed %" PRIu64 ": %s (%" PRId64 ")\n", step, seed, what,
		number);
	abort();
}

static uint64_t chance(uint64_t of)
{
	generator = generator * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (generator >> 33) % of;
}

static bool works(int h)
{
	return hosts[h].alive && !hosts[h].cut;
}

static int host_of(int64_t node)
{
	for (int h = 0; h < ALL; h++)
		if (hosts[h].node == node)
			return h;
	fail("no such node", node);
	return -1;
}

static struct data *data_of(int64_t id)
{
	for (int i = 0; i < SLABS; i++)
		if (slabs[i].id == id)
			return &slabs[i];
	return NULL;
}

static void write_slab(struct data *d)
{
	bool kept = false;

	d->writes++;
	for (int h = 0; h < ALL; h++) {
		if (!d->seen[h].used || d->seen[h].lost)
			continue;
		if (works(h) && d->copies[h].there) {
			d->copies[h].writes = d->writes;
			kept |= d->seen[h].full;
			continue;
		}
		/* Found dead: the client goes on without it, and says so before anything else. */
		d->seen[h].lost = true;
		lost[lost_count++ % (2 * SLABS)] =
			(struct kona_rack_lost){leases[d->lease].lease, hosts[h].node, d->id};
	}
	d->dead |= !kept;
}

/* What the client would read must be what it wrote. */
static void read_slab(const struct data *d)
{
	bool any = false;

	for (int h = 0; h < ALL; h++) {
		/* A node that came back empty refuses the capability of the one before. */
		if (!d->seen[h].used || !d->seen[h].full || d->seen[h].lost || !works(h) ||
		    !d->copies[h].there)
			continue;
		any = true;
		if (!d->copies[h].whole || d->copies[h].writes != d->writes)
			fail("a readable copy is stale", d->id);
	}
	reads += any;
}

static void take_set(const json_t *set)
{
	struct data *d = data_of(json_integer_value(json_object_get(set, "slab")));
	struct seen next[ALL] = {{0}};
	const json_t *replica;
	size_t i;

	if (!d)
		return;
	json_array_foreach (json_object_get(set, "replicas"), i, replica) {
		int h = host_of(json_integer_value(json_object_get(replica, "node")));
		bool full = !strcmp(json_string_value(json_object_get(replica, "state")), "full");

		next[h].used = true;
		next[h].full = full;
		next[h].lost = d->seen[h].lost && full;
		/* The first connection makes the slab there. */
		if (works(h) && !d->copies[h].there)
			d->copies[h] = (struct copy){true, d->version == 0, 0};
		else if (!works(h))
			next[h].lost = true;
		if (works(h) && !full && !d->seen[h].used)
			d->copies[h].writes = d->writes;
		if (next[h].lost && !d->seen[h].lost)
			lost[lost_count++ % (2 * SLABS)] = (struct kona_rack_lost){
				leases[d->lease].lease, hosts[h].node, d->id};
	}
	memcpy(d->seen, next, sizeof(next));
	d->version = json_integer_value(json_object_get(set, "version"));
}

static void forget_lease(int l)
{
	for (int i = 0; i < SLABS; i++)
		if (slabs[i].id && slabs[i].lease == l)
			slabs[i].id = 0;
	leases[l].lease = 0;
}

/* The node's memory outlives the lease until it is told to drop it, so copies are kept by number.
 */
static struct copy_left {
	int64_t id;
	int host;
} left[SLABS * 4];
static size_t left_count;

static void leave_copies(int l)
{
	for (int i = 0; i < SLABS; i++)
		for (int h = 0; h < ALL && slabs[i].id && slabs[i].lease == l; h++)
			if (slabs[i].copies[h].there)
				left[left_count++ % (SLABS * 4)] =
					(struct copy_left){slabs[i].id, h};
}

static bool drop_left(int64_t id, int h)
{
	for (size_t i = 0; i < SLABS * 4; i++)
		if (left[i].id == id && left[i].host == h) {
			left[i].id = 0;
			return true;
		}
	return false;
}

static void carry_out(int h, const json_t *orders)
{
	const json_t *order;
	size_t i;

	json_array_foreach (json_object_get(orders, "drop"), i, order) {
		int64_t id = json_integer_value(order);
		struct data *d = data_of(id);

		if (d && d->copies[h].there) {
			if (d->seen[h].used && !d->seen[h].lost)
				fail("memory in use is dropped", id);
			d->copies[h] = (struct copy){false, false, 0};
		}
		drop_left(id, h);
		if (!kona_ids_has(&hosts[h].dropped, id) && kona_ids_add(&hosts[h].dropped, id))
			fail("memory", 0);
	}
	json_array_foreach (json_object_get(orders, "replicate"), i, order) {
		struct data *d = data_of(json_integer_value(json_object_get(order, "slab")));
		int from = atoi(strchr(json_string_value(json_object_get(order, "from")), ':') + 1);

		/* It waits for the client, and takes its time. */
		if (!d || !d->seen[h].used || d->seen[h].lost || chance(3) || !works(from) ||
		    !d->copies[from].there || !d->copies[from].whole)
			continue;
		d->copies[h].whole = true;
		copies_made++;
		if (!kona_ids_has(&hosts[h].copied, d->id) && kona_ids_add(&hosts[h].copied, d->id))
			fail("memory", 0);
	}
	json_array_foreach (json_object_get(orders, "sets"), i, order)
		if (chance(4))
			take_set(order);
}

static void register_host(int h)
{
	char name[16], instance[16], domain[16], endpoint[32];
	struct kona_rack_claim claims[LEASES] = {{0}};
	struct kona_rack_registration r = {.name = name,
					   .instance = instance,
					   .domain = domain,
					   .endpoint = h < NODES ? endpoint : "",
					   .secret = h < NODES ? SECRET : "",
					   .capacity_bytes = h < NODES ? CAPACITY * SLAB : 0,
					   .claims = claims};
	struct kona_ids ended = {0};
	int rc;

	snprintf(name, sizeof(name), "n%d", h);
	snprintf(instance, sizeof(instance), "i%d", hosts[h].instance);
	snprintf(domain, sizeof(domain), "d%d", h / 2);
	snprintf(endpoint, sizeof(endpoint), "host:%d", h);
	for (int l = 0; l < LEASES; l++) {
		struct kona_rack_claim *claim = &claims[r.claim_count];

		if (!leases[l].lease || leases[l].client != h)
			continue;
		r.claim_count++;
		*claim = (struct kona_rack_claim){.lease = leases[l].lease,
						  .pid = 1,
						  .program = "p",
						  .replicas = 2,
						  .request = leases[l].request};
		for (int i = 0; i < SLABS; i++)
			if (slabs[i].id && slabs[i].lease == l &&
			    kona_ids_add(&claim->remote, slabs[i].id))
				fail("memory", 0);
	}
	for (int i = 0; i < SLABS; i++)
		if (slabs[i].id && slabs[i].copies[h].there && kona_ids_add(&r.hosted, slabs[i].id))
			fail("memory", 0);
	for (size_t i = 0; i < SLABS * 4; i++)
		if (left[i].id && left[i].host == h && kona_ids_add(&r.hosted, left[i].id))
			fail("memory", 0);
	rc = kona_rack_register(&rack, &r, &hosts[h].node, &ended);
	if (rc && rc != -EEXIST)
		fail(rack.why, rc);
	hosts[h].registered = !rc;
	for (size_t i = 0; i < ended.count; i++)
		for (int l = 0; l < LEASES; l++)
			if (leases[l].lease == ended.ids[i]) {
				leave_copies(l);
				forget_lease(l);
			}
	for (int l = 0; l < LEASES; l++) {
		kona_ids_free(&claims[l].remote);
		kona_ids_free(&claims[l].slabs);
	}
	kona_ids_free(&r.hosted);
	kona_ids_free(&ended);
}

static void beat(int h)
{
	struct kona_rack_reports reports = {.dropped = hosts[h].dropped, .copied = hosts[h].copied};
	struct kona_rack_taken taken[SLABS];
	char instance[16];
	json_t *orders;
	int rc;

	if (!works(h))
		return;
	if (!hosts[h].registered) {
		register_host(h);
		return;
	}
	reports.taken = taken;
	for (int i = 0; i < SLABS && h >= NODES; i++)
		if (slabs[i].id && leases[slabs[i].lease].client == h && slabs[i].version > 0 &&
		    slabs[i].version != slabs[i].taken)
			taken[reports.taken_count++] = (struct kona_rack_taken){
				leases[slabs[i].lease].lease, slabs[i].id, slabs[i].version};
	reports.lost = lost;
	reports.lost_count = h < NODES		      ? 0
			     : lost_count < 2 * SLABS ? lost_count
						      : (size_t)2 * SLABS;
	snprintf(instance, sizeof(instance), "i%d", hosts[h].instance);
	rc = kona_rack_heartbeat(&rack, hosts[h].node, instance, &reports);
	if (rc == -ENOENT) {
		hosts[h].registered = false;
		return;
	}
	if (rc)
		fail(rack.why, rc);
	for (int i = 0; i < SLABS && h >= NODES; i++)
		if (slabs[i].id && leases[slabs[i].lease].client == h)
			slabs[i].taken = slabs[i].version;
	/* Reports of the other client stay. */
	for (size_t i = 0, kept = 0; h >= NODES && i <= reports.lost_count; i++) {
		if (i == reports.lost_count) {
			lost_count = kept;
			break;
		}
		for (int l = 0; l < LEASES; l++)
			if (leases[l].lease == lost[i].lease && leases[l].client != h) {
				lost[kept++] = lost[i];
				break;
			}
	}
	hosts[h].dropped.count = hosts[h].copied.count = 0;
	orders = json_object();
	if (kona_rack_orders(&rack, hosts[h].node, orders))
		fail("orders", 0);
	carry_out(h, orders);
	json_decref(orders);
}

static void grant(int l)
{
	struct kona_rack_slab *granted[8];
	struct kona_rack_wish wish = {.lease = leases[l].lease,
				      .count = 1 + (int64_t)chance(8),
				      .have = leases[l].have,
				      .request = ++leases[l].request,
				      .remote = true};
	int room = 0, rc;

	for (int i = 0; i < SLABS; i++)
		room += !slabs[i].id;
	if (room < wish.count || !works(leases[l].client))
		return;
	rc = kona_rack_grant(&rack, &wish, granted);
	if (rc == -ENOSPC)
		return;
	if (rc == -ENOENT) {
		hosts[leases[l].client].registered = false;
		return;
	}
	if (rc)
		fail(rack.why, rc);
	for (int64_t g = 0; g < wish.count; g++) {
		json_t *set = kona_rack_set(granted[g]);
		struct data *d = slabs;

		while (d->id)
			d++;
		if (kona_ids_has(&ever, granted[g]->id) || kona_ids_add(&ever, granted[g]->id))
			fail("granted twice", granted[g]->id);
		*d = (struct data){.id = granted[g]->id, .lease = l};
		take_set(set);
		d->taken = d->version;
		json_decref(set);
		leases[l].have = d->id;
	}
}

static void open_lease(int l)
{
	const struct kona_rack_claim claim = {.pid = 1, .program = "p", .replicas = 2};
	int h = NODES + l % CLIENTS;
	char instance[16];

	snprintf(instance, sizeof(instance), "i%d", hosts[h].instance);
	leases[l].client = h;
	leases[l].have = leases[l].request = 0;
	if (!works(h) ||
	    kona_rack_lease_open(&rack, hosts[h].node, instance, &claim, &leases[l].lease)) {
		leases[l].lease = 0;
		hosts[h].registered = false;
	}
}

static void end_lease(int l)
{
	if (!works(leases[l].client) || kona_rack_lease_end(&rack, leases[l].lease))
		return;
	leave_copies(l);
	forget_lease(l);
}

static void kill_node(int h)
{
	hosts[h].alive = hosts[h].registered = false;
	hosts[h].cut = false;
	hosts[h].died_ns = rack.now_ns;
	hosts[h].instance++;
	hosts[h].dropped.count = hosts[h].copied.count = 0;
	for (int i = 0; i < SLABS; i++)
		slabs[i].copies[h] = (struct copy){false, false, 0};
	for (size_t i = 0; i < SLABS * 4; i++)
		if (left[i].host == h)
			left[i].id = 0;
	deaths++;
}

/* Programs whose memory is gone end. */
static void end_the_dead(void)
{
	for (int i = 0; i < SLABS; i++)
		if (slabs[i].id && slabs[i].dead)
			end_lease(slabs[i].lease);
}

static void check_slab(const struct kona_rack_slab *slab)
{
	for (size_t i = 0; i < slab->count; i++) {
		const struct kona_rack_replica *r = &slab->replicas[i];

		if (r->node->slabs[r->place] != slab)
			fail("a node's list is wrong", slab->id);
		for (size_t j = 0; j < i; j++)
			if (slab->replicas[j].node == r->node)
				fail("two copies on one node", slab->id);
	}
	if (slab->version != slab->taken && !slab->told)
		fail("nobody tells the client", slab->id);
}

static void check_lists(void)
{
	const struct kona_rack_model *m = &rack.model;
	struct kona_rack_slab *slab;
	size_t cursor = 0, replicas = 0, listed = 0;
	uint64_t healths = 0;

	while ((slab = kona_table_next(&m->slabs, &cursor))) {
		check_slab(slab);
		replicas += slab->count;
	}
	for (int i = 0; i < KONA_RACK_HEALTHS; i++)
		healths += m->healths[i];
	if (healths != m->slabs.count)
		fail("healths", (int64_t)healths);
	for (size_t i = 0; i < m->nodes.count; i++) {
		const struct kona_rack_node *node = m->order[i];

		listed += node->slab_count;
		if (node->index != i)
			fail("order", node->id);
		if ((int64_t)(node->slab_count + node->drops.count) * SLAB > node->capacity_bytes)
			fail("more than its capacity", node->id);
	}
	if (listed != replicas)
		fail("replicas", (int64_t)listed);
}

static void pass_time(uint64_t ms)
{
	while (ms) {
		uint64_t part = ms < 250 ? ms : 250;

		rack.now_ns += part * MS;
		ms -= part;
		while (!kona_rack_tick(&rack))
			;
		for (int h = 0; h < ALL; h++)
			if (calm || chance(3))
				beat(h);
	}
}

static void come_back(int h)
{
	if (!hosts[h].alive && rack.now_ns - hosts[h].died_ns > rack.deadline_ns)
		hosts[h].alive = true;
	hosts[h].cut = false;
}

static void one_step(void)
{
	int h = (int)chance(NODES), l = (int)chance(LEASES), ill = 0;
	int64_t moves;

	for (int i = 0; i < NODES; i++)
		ill += !works(i);
	switch (chance(20)) {
	case 0:
		if (ill < 2)
			kill_node(h);
		break;
	case 1:
		if (ill < 2)
			hosts[h].cut = true;
		break;
	case 2:
	case 3:
	case 4:
		come_back(h);
		break;
	case 5:
		if (hosts[h].node && kona_rack_drain(&rack, hosts[h].node, chance(2)))
			fail(rack.why, h);
		break;
	case 6:
		rack.stale = true;
		break;
	case 7:
		if (kona_rack_rebalance(&rack, &moves))
			fail(rack.why, 0);
		break;
	case 8:
		if (leases[l].lease && !chance(4))
			end_lease(l);
		break;
	case 9:
		hosts[NODES + chance(CLIENTS)].registered = false;
		break;
	case 10:
	case 11:
	case 12:
		if (leases[l].lease)
			grant(l);
		else
			open_lease(l);
		break;
	default:
		pass_time(chance(1500));
	}
	for (int i = 0; i < SLABS; i++)
		if (slabs[i].id && !chance(3))
			write_slab(&slabs[i]);
	for (int i = 0; i < SLABS; i++)
		if (slabs[i].id && !slabs[i].dead)
			read_slab(&slabs[i]);
	end_the_dead();
	check_lists();
}

static void tell(const struct kona_rack_slab *slab)
{
	const struct data *d = data_of(slab->id);

	fprintf(stderr, "slab %" PRId64 " wants %d, version %u, taken %u, queued %d, starved %d\n",
		slab->id, slab->wanted, slab->version, slab->taken, slab->queued, slab->starved);
	for (size_t i = 0; i < slab->count; i++) {
		int h = host_of(slab->replicas[i].node->id);

		fprintf(stderr, "  %c on %s: used %d full %d lost %d, there %d whole %d\n",
			slab->replicas[i].state, slab->replicas[i].node->name, d->seen[h].used,
			d->seen[h].full, d->seen[h].lost, d->copies[h].there, d->copies[h].whole);
	}
}

static void end_whole(void)
{
	struct kona_rack_slab *slab;
	size_t cursor = 0;

	calm = true;
	for (int i = 0; i < 100; i++) {
		for (int h = 0; h < ALL; h++) {
			come_back(h);
			if (hosts[h].node && kona_rack_drain(&rack, hosts[h].node, false))
				fail(rack.why, h);
		}
		pass_time(1000);
		for (int s = 0; s < SLABS; s++)
			if (slabs[s].id)
				write_slab(&slabs[s]);
		end_the_dead();
		check_lists();
	}
	while ((slab = kona_table_next(&rack.model.slabs, &cursor))) {
		const struct data *d = data_of(slab->id);

		if (!d)
			fail("of no lease", slab->id);
		if (slab->count != slab->wanted || slab->health || slab->version != slab->taken)
			tell(slab);
		if (slab->count != slab->wanted || slab->health || slab->version != slab->taken)
			fail("not whole at the end", slab->id);
		for (size_t i = 0; i < slab->count; i++)
			if (!d->copies[host_of(slab->replicas[i].node->id)].whole)
				fail("a copy is not whole at the end", slab->id);
	}
	for (size_t i = 0; i < rack.model.nodes.count; i++)
		if (rack.model.order[i]->drops.count)
			fail("never dropped", rack.model.order[i]->id);
	for (size_t i = 0; i < SLABS * 4; i++)
		if (left[i].id)
			fail("memory nobody misses is kept", left[i].id);
	for (int i = 0; i < SLABS; i++)
		for (int h = 0; h < ALL && slabs[i].id; h++) {
			slab = kona_table_find(&rack.model.slabs, slabs[i].id);
			if (slabs[i].copies[h].there &&
			    (!slab ||
			     !kona_model_replica_on(
				     slab, kona_table_find(&rack.model.nodes, hosts[h].node))))
				fail("memory nobody misses is kept", slabs[i].id);
		}
}

static void play(int steps, const char *store)
{
	char why[KONA_STORE_TEXT_BYTES];

	memset(hosts, 0, sizeof(hosts));
	memset(slabs, 0, sizeof(slabs));
	memset(leases, 0, sizeof(leases));
	memset(left, 0, sizeof(left));
	lost_count = left_count = 0;
	ever.count = 0;
	generator = seed;
	calm = false;
	kona_rack_init(&rack, 1000 * MS, seed + 1);
	rack.wished_slab_bytes = SLAB;
	rack.replicas = 2;
	if (kona_rack_store_open(store, "", NULL, &rack.store, why))
		fail(why, 0);
	kona_rack_tick(&rack);
	for (int h = 0; h < ALL; h++) {
		hosts[h].alive = true;
		register_host(h);
	}
	for (step = 0; step < steps; step++)
		one_step();
	end_whole();
	kona_rack_free(&rack);
	for (int h = 0; h < ALL; h++) {
		kona_ids_free(&hosts[h].dropped);
		kona_ids_free(&hosts[h].copied);
	}
}

int main(int argc, char **argv)
{
	int steps = argc > 2 ? atoi(argv[2]) : 1500, worlds = argc > 1 ? 1 : 4;

	for (int i = 0; i < worlds; i++) {
		seed = argc > 1 ? strtoull(argv[1], NULL, 10) : kona_now_ns() % 1000000007;
		printf("seed %" PRIu64 "\n", seed);
		fflush(stdout);
		play(steps, argc > 3 ? argv[3] : ":memory:");
	}
	printf("%" PRIu64 " reads, %" PRIu64 " copies, %" PRIu64 " deaths\n", reads, copies_made,
	       deaths);
	kona_ids_free(&ever);
	return reads && copies_made && deaths ? 0 : 1;
}
