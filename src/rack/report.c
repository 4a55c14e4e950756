/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the controller knows, for people (status) and for Prometheus (metrics).
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "rack/api.h"

/* Each row of a query as an object; NULL and -EIO when the state file fails. */
static json_t *collect(struct kona_rack *rack, enum kona_rack_sql sql,
		       json_t *(*make)(struct kona_rack *rack, sqlite3_stmt *row), int *ret_error)
{
	sqlite3_stmt *rows = kona_rack_query(&rack->store, sql);
	json_t *list = json_array();
	int rc;

	while ((rc = kona_rack_step(rows)) == 1)
		json_array_append_new(list, make(rack, rows));
	if (!rc)
		return list;
	*ret_error = kona_rack_state_failed(rack);
	json_decref(list);
	return NULL;
}

static json_t *make_node(struct kona_rack *rack, sqlite3_stmt *row)
{
	int64_t node = sqlite3_column_int64(row, 0);
	int64_t slabs = sqlite3_column_int64(row, 4);

	return json_pack("{s:I, s:s, s:s, s:I, s:I, s:I}", "node", (json_int_t)node, "name",
			 kona_rack_column_text(row, 1), "state",
			 kona_rack_is_up(rack, node) ? "up" : "down", "capacity_bytes",
			 (json_int_t)sqlite3_column_int64(row, 3), "granted_bytes",
			 (json_int_t)(slabs * rack->store.slab_bytes), "slabs", (json_int_t)slabs);
}

static json_t *make_lease(struct kona_rack *rack, sqlite3_stmt *row)
{
	int64_t slabs = sqlite3_column_int64(row, 6);

	return json_pack("{s:I, s:I, s:I, s:I, s:s, s:I, s:I, s:I}", "lease",
			 (json_int_t)sqlite3_column_int64(row, 0), "node",
			 (json_int_t)sqlite3_column_int64(row, 1), "pid",
			 (json_int_t)sqlite3_column_int64(row, 2), "uid",
			 (json_int_t)sqlite3_column_int64(row, 3), "program",
			 kona_rack_column_text(row, 4), "limit_bytes",
			 (json_int_t)sqlite3_column_int64(row, 5), "granted_bytes",
			 (json_int_t)(slabs * rack->store.slab_bytes), "slabs", (json_int_t)slabs);
}

char *kona_rack_report_status(struct kona_rack *rack, int *ret_error)
{
	json_t *nodes, *leases = NULL, *status;
	char *text = NULL;

	nodes = collect(rack, KONA_SQL_NODES, make_node, ret_error);
	if (nodes)
		leases = collect(rack, KONA_SQL_LEASES, make_lease, ret_error);
	if (!leases) {
		json_decref(nodes);
		return NULL;
	}
	status = json_pack("{s:{s:s, s:I, s:I}, s:o, s:o}", "rack", "version", KONA_VERSION,
			   "slab_bytes", (json_int_t)rack->store.slab_bytes, "epoch",
			   (json_int_t)rack->epoch, "nodes", nodes, "leases", leases);
	if (status)
		text = json_dumps(status, JSON_COMPACT);
	json_decref(status);
	return text;
}

struct totals {
	long long up, down, capacity_bytes, slabs, leases;
};

static int add_up(struct kona_rack *rack, struct totals *totals)
{
	sqlite3_stmt *rows = kona_rack_query(&rack->store, KONA_SQL_NODES);
	int rc;

	while ((rc = kona_rack_step(rows)) == 1) {
		if (kona_rack_is_up(rack, sqlite3_column_int64(rows, 0)))
			totals->up++;
		else
			totals->down++;
		totals->capacity_bytes += sqlite3_column_int64(rows, 3);
		totals->slabs += sqlite3_column_int64(rows, 4);
	}
	if (rc)
		return rc;
	rows = kona_rack_query(&rack->store, KONA_SQL_LEASES);
	while ((rc = kona_rack_step(rows)) == 1)
		totals->leases++;
	return rc;
}

char *kona_rack_report_metrics(struct kona_rack *rack, int *ret_error)
{
	struct totals t = {0};
	char *text;
	int length;

	if (add_up(rack, &t)) {
		*ret_error = kona_rack_state_failed(rack);
		return NULL;
	}
	length = asprintf(
		&text,
		"# TYPE kona_rack_nodes gauge\n"
		"kona_rack_nodes{state=\"up\"} %lld\nkona_rack_nodes{state=\"down\"} %lld\n"
		"# TYPE kona_rack_capacity_bytes gauge\nkona_rack_capacity_bytes %lld\n"
		"# TYPE kona_rack_granted_bytes gauge\nkona_rack_granted_bytes %lld\n"
		"# TYPE kona_rack_slabs gauge\nkona_rack_slabs %lld\n"
		"# TYPE kona_rack_leases gauge\nkona_rack_leases %lld\n"
		"# TYPE kona_rack_requests_total counter\nkona_rack_requests_total %llu\n"
		"# TYPE kona_rack_refused_total counter\nkona_rack_refused_total %llu\n"
		"# TYPE kona_rack_slabs_granted_total counter\nkona_rack_slabs_granted_total %llu\n"
		"# TYPE kona_rack_state_errors_total counter\nkona_rack_state_errors_total %llu\n",
		t.up, t.down, t.capacity_bytes, t.slabs * (long long)rack->store.slab_bytes,
		t.slabs, t.leases, (unsigned long long)rack->requests,
		(unsigned long long)rack->refused, (unsigned long long)rack->slabs_granted,
		(unsigned long long)rack->state_errors);
	return length < 0 ? NULL : text;
}
