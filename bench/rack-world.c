/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fake nodes: each beats once a second, reports what it is ordered to do as done, and has programs
 * that take slabs. A node's lock guards it; no two are held at once.
 */
#include "rack-world.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"

struct world world;

void die(const char *what, const char *why)
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

void start_rackd(void)
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

struct kona_rack_peer *new_peer(void)
{
	struct kona_rack_peer *peer;

	if (kona_rack_peer_new(world.address, NULL, &peer))
		die("peer", world.address);
	return peer;
}

int64_t number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

int call(struct kona_rack_peer *peer, const char *method, const char *path, json_t *body,
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

int enroll(size_t n)
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

void *beat_all(void *with)
{
	size_t first = (size_t)(uintptr_t)with;

	while (!world.end) {
		uint64_t begin_ns = kona_now_ns(), each_ns = 1000000000 / world.nodes;

		for (size_t n = first; n < world.nodes && !world.end; n += BEATERS) {
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

void open_lease(struct kona_rack_peer *peer, struct lease *lease)
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

int grant(struct kona_rack_peer *peer, struct lease *lease, size_t count, uint64_t *ret_ns)
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
