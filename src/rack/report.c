/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the controller knows, for people (status, slabs) and for Prometheus (metrics).
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rack/api.h"

enum {
	MOST_SLABS_LISTED = 100000,
};

static json_t *make_node(const struct kona_rack *rack, const struct kona_rack_node *node)
{
	int64_t slab_bytes = rack->model.slab_bytes;
	int64_t slabs = (int64_t)node->slab_count;

	return json_pack("{s:I, s:s, s:s, s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "node",
			 (json_int_t)node->id, "name", node->name, "state",
			 kona_rack_is_up(rack, node) ? "up" : "down", "draining",
			 (int)node->draining, "domain", node->domain, "endpoint", node->endpoint,
			 "capacity_bytes", (json_int_t)node->capacity_bytes, "granted_bytes",
			 (json_int_t)(slabs * slab_bytes), "slabs", (json_int_t)slabs, "dropping",
			 (json_int_t)node->drops.count, "quota_bytes",
			 (json_int_t)node->quota_bytes, "leased_bytes",
			 (json_int_t)(node->leased_slabs * slab_bytes));
}

static json_t *make_lease(const struct kona_rack *rack, const struct kona_rack_lease *lease)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:I}", "lease",
			 (json_int_t)lease->id, "node", (json_int_t)lease->node->id, "pid",
			 (json_int_t)lease->pid, "uid", (json_int_t)lease->uid, "program",
			 lease->program, "limit_bytes", (json_int_t)lease->limit_bytes,
			 "granted_bytes", (json_int_t)(lease->slab_count * rack->model.slab_bytes),
			 "slabs", (json_int_t)lease->slab_count, "replicas",
			 (json_int_t)lease->replicas);
}

static int by_name(const void *left, const void *right)
{
	return strcmp((*(const struct kona_rack_node *const *)left)->name,
		      (*(const struct kona_rack_node *const *)right)->name);
}

static int by_id(const void *left, const void *right)
{
	int64_t a = **(const int64_t *const *)left, b = **(const int64_t *const *)right;

	return (a > b) - (a < b);
}

/* All items of a table in order; NULL without memory. Free it. */
static const void **sorted(const struct kona_table *table,
			   int (*compare)(const void *left, const void *right))
{
	const void **items = calloc(table->count + 1, sizeof(*items));
	size_t cursor = 0, count = 0;
	const void *item;

	if (!items)
		return NULL;
	while ((item = kona_table_next(table, &cursor)))
		items[count++] = item;
	if (count)
		qsort(items, count, sizeof(*items), compare);
	return items;
}

static char *dump(json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}

static json_t *make_rack(const struct kona_rack *rack)
{
	const struct kona_rack_model *m = &rack->model;

	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "version", KONA_VERSION,
			 "slab_bytes", (json_int_t)m->slab_bytes, "epoch", (json_int_t)rack->epoch,
			 "replicas", (json_int_t)rack->replicas, "slabs",
			 (json_int_t)m->slabs.count, "degraded",
			 (json_int_t)m->healths[KONA_RACK_DEGRADED], "lost",
			 (json_int_t)m->healths[KONA_RACK_LOST], "copies",
			 (json_int_t)rack->copies_done, "leases", (json_int_t)m->leases.count);
}

static json_t *list_nodes(const struct kona_rack *rack)
{
	const void **nodes = sorted(&rack->model.nodes, by_name);
	json_t *list = json_array();

	for (size_t i = 0; nodes && nodes[i]; i++)
		json_array_append_new(list, make_node(rack, nodes[i]));
	free(nodes);
	return list;
}

char *kona_rack_report_nodes(const struct kona_rack *rack)
{
	return dump(json_pack("{s:o, s:o}", "rack", make_rack(rack), "nodes", list_nodes(rack)));
}

char *kona_rack_report_status(const struct kona_rack *rack)
{
	const void **leases = sorted(&rack->model.leases, by_id);
	json_t *list = json_array();

	for (size_t i = 0; leases && leases[i]; i++)
		json_array_append_new(list, make_lease(rack, leases[i]));
	free(leases);
	return dump(json_pack("{s:o, s:o, s:o}", "rack", make_rack(rack), "nodes", list_nodes(rack),
			      "leases", list));
}

static const char *state_name(uint8_t state)
{
	switch (state) {
	case KONA_RACK_FULL:
		return "full";
	case KONA_RACK_MOVING:
		return "moving";
	case KONA_RACK_JOINING:
		return "joining";
	case KONA_RACK_COPYING:
		return "copying";
	default:
		return "leaving";
	}
}

static json_t *make_slab(const struct kona_rack_slab *slab)
{
	static const char *const health[] = {"healthy", "degraded", "lost"};
	json_t *replicas = json_array();

	for (size_t i = 0; i < slab->count; i++)
		json_array_append_new(replicas,
				      json_pack("{s:I, s:s, s:s}", "node",
						(json_int_t)slab->replicas[i].node->id, "name",
						slab->replicas[i].node->name, "state",
						state_name(slab->replicas[i].state)));
	return json_pack("{s:I, s:I, s:s, s:I, s:I, s:o}", "slab", (json_int_t)slab->id, "lease",
			 (json_int_t)slab->lease->id, "health", health[slab->health], "version",
			 (json_int_t)slab->version, "taken", (json_int_t)slab->taken, "replicas",
			 replicas);
}

char *kona_rack_report_slabs(const struct kona_rack *rack)
{
	const void **slabs = sorted(&rack->model.slabs, by_id);
	json_t *list = json_array();

	for (size_t i = 0; slabs && slabs[i] && i < MOST_SLABS_LISTED; i++)
		json_array_append_new(list, make_slab(slabs[i]));
	free(slabs);
	return dump(json_pack("{s:o}", "slabs", list));
}

struct totals {
	long long up, down, capacity_bytes, replicas, dropping;
};

static struct totals add_up(const struct kona_rack *rack)
{
	struct totals t = {0};

	for (size_t i = 0; i < rack->model.nodes.count; i++) {
		const struct kona_rack_node *node = rack->model.order[i];

		if (kona_rack_is_up(rack, node))
			t.up++;
		else
			t.down++;
		t.capacity_bytes += node->capacity_bytes;
		t.replicas += (long long)node->slab_count;
		t.dropping += (long long)node->drops.count;
	}
	return t;
}

#define GAUGE(name)   "# TYPE kona_rack_" name " gauge\n"
#define COUNTER(name) "# TYPE kona_rack_" name " counter\nkona_rack_" name " %llu\n"
#define VALUE(name)   GAUGE(name) "kona_rack_" name " %lld\n"

char *kona_rack_report_metrics(const struct kona_rack *rack)
{
	const struct kona_rack_model *m = &rack->model;
	struct totals t = add_up(rack);
	long long slabs = (long long)m->slabs.count;
	char *text;
	int length = asprintf(
		&text,
		GAUGE("nodes") "kona_rack_nodes{state=\"up\"} %lld\n"
			       "kona_rack_nodes{state=\"down\"} %lld\n" VALUE(
				       "capacity_bytes") VALUE("granted_bytes") VALUE("slabs")
				       VALUE("replicas") VALUE("degraded_slabs") VALUE("lost_slabs")
					       VALUE("dropping_replicas") VALUE("leases") COUNTER(
						       "requests_total") COUNTER("refused_total")
						       COUNTER("slabs_granted_total")
							       COUNTER("copies_total") COUNTER(
								       "state_errors_total"),
		t.up, t.down, t.capacity_bytes, slabs * (long long)m->slab_bytes, slabs, t.replicas,
		(long long)m->healths[KONA_RACK_DEGRADED], (long long)m->healths[KONA_RACK_LOST],
		t.dropping, (long long)m->leases.count, (unsigned long long)rack->requests,
		(unsigned long long)rack->refused, (unsigned long long)rack->slabs_granted,
		(unsigned long long)rack->copies_done, (unsigned long long)rack->state_errors);

	return length < 0 ? NULL : text;
}
