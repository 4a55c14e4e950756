/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What heartbeats carry besides a sign of life (wire/rack.h): reports to the controller, and its
 * orders.
 *
 *   news, copier --> reports --> heartbeat --> orders --> slabs, tenants, copier
 *
 * A report is sent until a heartbeat that carried it was answered.
 */
#ifndef KONA_MEMNODE_ORDERS_H
#define KONA_MEMNODE_ORDERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "memnode/copier.h"
#include "memnode/tenant.h"

struct kona_orders {
	struct kona_tenants *tenants;
	struct kona_data_server *server; /* NULL: this node serves nobody over the network */
	struct kona_copier *copier;	 /* with the server */
	json_t *waiting;		 /* the reports, {dropped, copied, taken, lost}. Owned */
	json_t *sent;			 /* those in the heartbeat under way. Owned, or NULL */
};

/* -ENOMEM. All functions: loop thread only. */
KONA_MUST_CHECK int kona_orders_init(struct kona_orders *orders, struct kona_tenants *tenants);
void kona_orders_free(struct kona_orders *orders);

/* The slabs that this node holds for programs of other hosts, as a registration lists them. */
json_t *kona_orders_hosted(struct kona_orders *orders);

/* Puts the reports into the body of a heartbeat. */
void kona_orders_report(struct kona_orders *orders, json_t *body);

/* The heartbeat was answered, or (NULL) not. Does what it orders. */
void kona_orders_obey(struct kona_orders *orders, const json_t *reply);

void kona_orders_taken(struct kona_orders *orders, int64_t lease, uint64_t slab, uint64_t version);
void kona_orders_lost(struct kona_orders *orders, int64_t lease, uint64_t node, uint64_t slab);

#endif
