/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reports and orders. Orders are repeated by the controller until they are reported done, so one
 * that cannot be obeyed now is forgotten here.
 *
 * State: the reports. What can fail: memory, which costs a report until its order comes again.
 */
#include "memnode/orders.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "memnode/news.h"
#include "wire/rack.h"

static const char *const kinds[] = {"dropped", "copied", "taken", "lost"};

static json_t *make_reports(void)
{
	return json_pack("{s:[], s:[], s:[], s:[]}", kinds[0], kinds[1], kinds[2], kinds[3]);
}

int kona_orders_init(struct kona_orders *orders, struct kona_tenants *tenants)
{
	*orders = (struct kona_orders){.tenants = tenants, .waiting = make_reports()};
	return orders->waiting ? 0 : -ENOMEM;
}

void kona_orders_free(struct kona_orders *orders)
{
	json_decref(orders->waiting);
	json_decref(orders->sent);
	orders->waiting = orders->sent = NULL;
}

static void add(struct kona_orders *orders, const char *kind, json_t *report)
{
	json_array_append_new(json_object_get(orders->waiting, kind), report);
}

void kona_orders_taken(struct kona_orders *orders, int64_t lease, uint64_t slab, uint64_t version)
{
	add(orders, "taken",
	    json_pack("{s:I, s:I, s:I}", "lease", (json_int_t)lease, "slab", (json_int_t)slab,
		      "version", (json_int_t)version));
	kona_rack_client_hurry(orders->tenants->rack);
}

void kona_orders_lost(struct kona_orders *orders, int64_t lease, uint64_t node, uint64_t slab)
{
	add(orders, "lost",
	    json_pack("{s:I, s:I, s:I}", "lease", (json_int_t)lease, "node", (json_int_t)node,
		      "slab", (json_int_t)slab));
	kona_rack_client_hurry(orders->tenants->rack);
}

/* What the copier has finished since the last look. */
static void collect_copied(struct kona_orders *orders)
{
	uint64_t slab;

	while (orders->copier && kona_copier_finished(orders->copier, &slab))
		add(orders, "copied", json_integer((json_int_t)slab));
}

void kona_orders_report(struct kona_orders *orders, json_t *body)
{
	json_t *fresh = make_reports();

	collect_copied(orders);
	if (!fresh)
		return;
	json_decref(orders->sent);
	orders->sent = orders->waiting;
	orders->waiting = fresh;
	json_object_update(body, orders->sent);
}

/* The heartbeat was lost: its reports come first the next time. */
static void take_back(struct kona_orders *orders)
{
	if (!orders->sent)
		return;
	for (size_t i = 0; i < KONA_ARRAY_LEN(kinds); i++)
		json_array_extend(json_object_get(orders->sent, kinds[i]),
				  json_object_get(orders->waiting, kinds[i]));
	json_decref(orders->waiting);
	orders->waiting = orders->sent;
	orders->sent = NULL;
}

json_t *kona_orders_hosted(struct kona_orders *orders)
{
	json_t *list = json_array();
	const struct kona_slab *slab;

	pthread_mutex_lock(&orders->server->lock);
	for (size_t i = 0; i < KONA_SLAB_BUCKETS; i++)
		LIST_FOREACH (slab, &orders->server->slabs.buckets[i], link)
			if (slab->memory)
				json_array_append_new(list, json_integer((json_int_t)slab->id));
	pthread_mutex_unlock(&orders->server->lock);
	return list;
}

/* --- orders ------------------------------------------------------------------------------------*/

static void obey_drop(struct kona_orders *orders, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_int_t id = json_integer_value(json_array_get(list, i));

		if (id <= 0)
			continue;
		kona_tenants_drop(orders->tenants, (uint64_t)id);
		if (orders->server) {
			pthread_mutex_lock(&orders->server->lock);
			kona_slab_drop(&orders->server->slabs, (uint64_t)id);
			pthread_mutex_unlock(&orders->server->lock);
		}
		add(orders, "dropped", json_integer(id));
	}
	if (json_array_size(list))
		kona_rack_client_hurry(orders->tenants->rack);
}

static void obey_replicate(struct kona_orders *orders, const json_t *list)
{
	for (size_t i = 0; orders->copier && i < json_array_size(list); i++) {
		const json_t *order = json_array_get(list, i);
		const char *from = json_string_value(json_object_get(order, "from"));
		struct kona_copy copy = {
			.slab = (uint64_t)json_integer_value(json_object_get(order, "slab")),
			.generation =
				(uint64_t)json_integer_value(json_object_get(order, "generation")),
		};

		if (!from || strlen(from) >= sizeof(copy.from) ||
		    kona_peers_read_hex(json_string_value(json_object_get(order, "capability")),
					copy.capability))
			continue;
		strcpy(copy.from, from);
		kona_copier_order(orders->copier, &copy);
	}
}

static void obey_set(struct kona_orders *orders, const json_t *set)
{
	json_int_t lease = json_integer_value(json_object_get(set, "lease"));
	struct kona_tenant *tenant = kona_tenants_find(orders->tenants, lease);

	if (tenant)
		kona_news_set(tenant, set);
}

void kona_orders_obey(struct kona_orders *orders, const json_t *reply)
{
	const json_t *sets = json_object_get(reply, "sets");

	if (!reply) {
		take_back(orders);
		return;
	}
	json_decref(orders->sent);
	orders->sent = NULL;
	obey_drop(orders, json_object_get(reply, "drop"));
	obey_replicate(orders, json_object_get(reply, "replicate"));
	for (size_t i = 0; i < json_array_size(sets); i++)
		obey_set(orders, json_array_get(sets, i));
}
