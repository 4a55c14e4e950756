/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The endpoints. A request is routed by its path, its body parsed and checked, the operation done,
 * the result written as JSON. State: none of its own.
 */
#include "rack/api.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rack/fields.h"
#include "wire/errno-names.h"
#include "wire/rack.h"

struct call {
	struct kona_rack *rack;
	const struct kona_rack_caller *caller;
	int64_t id;	    /* from the path, or 0 */
	const json_t *body; /* an object, or NULL where none is wanted */
	json_t *reply;	    /* filled by the endpoint */
};

typedef int endpoint(struct call *call);

static unsigned int http_status(int error)
{
	switch (error) {
	case -EINVAL:
		return 400;
	case -EDQUOT:
	case -EPERM:
		return 403;
	case -ENOENT:
		return 404;
	case -EEXIST:
	case -ESTALE:
	case -EBUSY:
		return 409;
	case -EMSGSIZE:
		return 413;
	case -ENOSPC:
		return 507;
	case -EAGAIN:
	case -EIO:
		return 503;
	default:
		return 500;
	}
}

void kona_rack_answer_error(struct kona_rack_answer *ret_answer, int error, const char *why)
{
	json_t *reply = json_pack("{s:s, s:s}", "error", why, "code", kona_errno_name(error));

	memset(ret_answer, 0, sizeof(*ret_answer));
	ret_answer->status = http_status(error);
	ret_answer->content_type = "application/json";
	ret_answer->body = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	json_decref(reply);
}

/* A node acts for itself, and for the brokers that `kona run` starts on it. */
static int check_owner(struct call *call, const char *node)
{
	const char *own = call->caller->name;
	size_t length = strlen(own);

	if (call->caller->role != KONA_RACK_NODE ||
	    (!strncmp(node, own, length) && (!node[length] || !strncmp(node + length, "-run-", 5))))
		return 0;
	return kona_rack_refuse(
		call->rack, -EPERM,
		"this host's certificate is of %s, so its node cannot be %s: start "
		"kona-memd with --name=%s, or make a certificate with kona rack init",
		own, node, own);
}

static int check_node(struct call *call, int64_t id)
{
	const struct kona_rack_node *node = kona_table_find(&call->rack->model.nodes, id);

	return node ? check_owner(call, node->name) : 0;
}

static int check_lease(struct call *call)
{
	const struct kona_rack_lease *lease = kona_table_find(&call->rack->model.leases, call->id);

	return lease ? check_owner(call, lease->node->name) : 0;
}

static int register_node(struct call *call)
{
	struct kona_rack_registration registration;
	struct kona_rack *rack = call->rack;
	struct kona_ids ended = {0};
	json_t *list;
	int64_t node;
	int rc = kona_field_registration(call->body, rack->replicas, &registration, rack->why);

	if (!rc)
		rc = check_owner(call, registration.name);
	if (!rc)
		rc = kona_rack_register(rack, &registration, &node, &ended);
	kona_field_registration_free(&registration);
	if (!rc) {
		list = json_array();
		for (size_t i = 0; i < ended.count; i++)
			json_array_append_new(list, json_integer(ended.ids[i]));
		call->reply = json_pack("{s:I, s:I, s:I, s:i, s:o}", "node", (json_int_t)node,
					"slab_bytes", (json_int_t)rack->model.slab_bytes, "epoch",
					(json_int_t)rack->epoch, "heartbeat_ms",
					KONA_RACK_HEARTBEAT_MS, "ended", list);
	}
	kona_ids_free(&ended);
	return rc;
}

static int heartbeat(struct call *call)
{
	struct kona_rack_reports reports = {0};
	const char *instance;
	int rc = kona_field_name(call->body, "instance", &instance, call->rack->why);

	if (!rc)
		rc = kona_field_reports(call->body, &reports, call->rack->why);
	if (!rc)
		rc = check_node(call, call->id);
	if (!rc)
		rc = kona_rack_heartbeat(call->rack, call->id, instance, &reports);
	kona_field_reports_free(&reports);
	if (rc)
		return rc;
	call->reply = json_pack("{s:I}", "epoch", (json_int_t)call->rack->epoch);
	return kona_rack_orders(call->rack, call->id, call->reply);
}

static int leave(struct call *call)
{
	const char *instance;
	int rc = kona_field_name(call->body, "instance", &instance, call->rack->why);

	if (!rc)
		rc = check_node(call, call->id);
	return rc ? rc : kona_rack_leave(call->rack, call->id, instance);
}

static int drain(struct call *call)
{
	return kona_rack_drain(call->rack, call->id, true);
}

static int undrain(struct call *call)
{
	return kona_rack_drain(call->rack, call->id, false);
}

static int remove_node(struct call *call)
{
	return kona_rack_remove(call->rack, call->id);
}

static int set_quota(struct call *call)
{
	int64_t bytes;
	int rc = kona_field_integer(call->body, "bytes", 0, KONA_RACK_MOST_VALUE - 1, &bytes,
				    call->rack->why);

	return rc ? rc : kona_rack_quota(call->rack, call->id, bytes);
}

static int rebalance(struct call *call)
{
	int64_t moves;
	int rc = kona_rack_rebalance(call->rack, &moves);

	if (!rc)
		call->reply = json_pack("{s:I}", "moves", (json_int_t)moves);
	return rc;
}

static int open_lease(struct call *call)
{
	struct kona_rack_claim claim = {0};
	const char *instance;
	char *why = call->rack->why;
	int64_t node, id;
	int rc = kona_field_integer(call->body, "node", 1, KONA_RACK_MOST_VALUE - 1, &node, why);

	if (!rc)
		rc = kona_field_name(call->body, "instance", &instance, why);
	if (!rc)
		rc = kona_field_tenant(call->body, call->rack->replicas, &claim, why);
	if (!rc)
		rc = check_node(call, node);
	if (!rc)
		rc = kona_rack_lease_open(call->rack, node, instance, &claim, &id);
	if (!rc)
		call->reply = json_pack("{s:I}", "lease", (json_int_t)id);
	return rc;
}

static int grant(struct call *call)
{
	struct kona_rack_slab *slabs[KONA_RACK_MOST_SLABS];
	struct kona_rack_wish wish = {
		.lease = call->id, .remote = json_is_true(json_object_get(call->body, "remote"))};
	char *why = call->rack->why;
	json_t *list;
	int rc = kona_field_integer(call->body, "count", 1, KONA_RACK_MOST_SLABS, &wish.count, why);

	if (!rc)
		rc = kona_field_integer(call->body, "have", 0, KONA_RACK_MOST_VALUE - 1, &wish.have,
					why);
	if (!rc)
		rc = kona_field_integer(call->body, "request", 1, KONA_RACK_MOST_VALUE - 1,
					&wish.request, why);
	if (!rc)
		rc = check_lease(call);
	if (!rc)
		rc = kona_rack_grant(call->rack, &wish, slabs);
	if (rc)
		return rc;
	list = json_array();
	for (int64_t i = 0; i < wish.count; i++) {
		json_t *set = kona_rack_set(slabs[i]);

		json_object_set_new(set, "node", json_integer(slabs[i]->replicas[0].node->id));
		if (json_array_append_new(list, set)) {
			json_decref(list);
			return -ENOMEM;
		}
	}
	call->reply = json_pack("{s:o}", "slabs", list);
	return 0;
}

static int end_lease(struct call *call)
{
	int rc = check_lease(call);

	return rc ? rc : kona_rack_lease_end(call->rack, call->id);
}

static const struct route {
	const char *method, *before, *after; /* before ID after; no ID: after is NULL */
	unsigned int success;
	bool wants_body, for_nodes; /* else for administrators */
	endpoint *endpoint;
} routes[] = {
	{"POST", "/v1/nodes", NULL, 200, true, true, register_node},
	{"POST", "/v1/nodes/", "/heartbeat", 200, true, true, heartbeat},
	{"DELETE", "/v1/nodes/", "", 200, true, true, leave},
	{"POST", "/v1/nodes/", "/drain", 200, false, false, drain},
	{"POST", "/v1/nodes/", "/undrain", 200, false, false, undrain},
	{"POST", "/v1/nodes/", "/remove", 200, false, false, remove_node},
	{"POST", "/v1/nodes/", "/quota", 200, true, false, set_quota},
	{"POST", "/v1/rebalance", NULL, 200, false, false, rebalance},
	{"POST", "/v1/leases", NULL, 201, true, true, open_lease},
	{"POST", "/v1/leases/", "/slabs", 201, true, true, grant},
	{"DELETE", "/v1/leases/", "", 200, false, true, end_lease},
};

static const struct {
	const char *path, *content_type;
	char *(*make)(const struct kona_rack *rack);
} reports[] = {
	{"/v1/nodes", "application/json", kona_rack_report_nodes},
	{"/v1/status", "application/json", kona_rack_report_status},
	{"/v1/slabs", "application/json", kona_rack_report_slabs},
	{"/v1/metrics", "text/plain; version=0.0.4", kona_rack_report_metrics},
	{"/metrics", "text/plain; version=0.0.4", kona_rack_report_metrics},
};

/* Does the path fit the route? Then *ret_id is what stands in it. */
static bool path_fits(const struct route *route, const char *path, int64_t *ret_id)
{
	size_t length = strlen(route->before);
	char *end;
	long long id;

	if (!route->after)
		return !strcmp(path, route->before);
	if (strncmp(path, route->before, length) != 0 || path[length] < '1' || path[length] > '9')
		return false;
	errno = 0;
	id = strtoll(path + length, &end, 10);
	if (errno || id >= KONA_RACK_MOST_VALUE || strcmp(end, route->after) != 0)
		return false;
	*ret_id = id;
	return true;
}

static int check_role(const struct route *route, struct call *call)
{
	enum kona_rack_role needed = route->for_nodes ? KONA_RACK_NODE : KONA_RACK_ADMIN;

	if (call->caller->role == KONA_RACK_LOCAL || call->caller->role == needed)
		return 0;
	return kona_rack_refuse(call->rack, -EPERM,
				"the certificate of %s is that of %s: this takes one of %s (made "
				"by kona rack init)",
				call->caller->name,
				route->for_nodes ? "an administrator" : "a node",
				route->for_nodes ? "a node" : "an administrator");
}

static int parse(const struct route *route, struct call *call, const char *body, size_t body_bytes,
		 json_t **ret_object)
{
	json_error_t error;
	json_t *object;

	if (!route->wants_body)
		return 0;
	object = json_loadb(body, body_bytes, JSON_REJECT_DUPLICATES, &error);
	*ret_object = object;
	if (json_is_object(object))
		return 0;
	return kona_rack_refuse(call->rack, -EINVAL, "the body is no JSON object%s%.160s",
				object ? "" : ": ", object ? "" : error.text);
}

static void run(const struct route *route, struct call *call, const char *body, size_t body_bytes,
		struct kona_rack_answer *answer)
{
	json_t *object = NULL;
	int rc = check_role(route, call);

	if (!rc)
		rc = parse(route, call, body, body_bytes, &object);
	call->body = object;
	if (!rc)
		rc = route->endpoint(call);
	if (!rc && !call->reply)
		call->reply = json_object();
	if (rc == -ENOMEM || (!rc && !call->reply))
		kona_rack_answer_error(answer, -ENOMEM, "the controller is out of memory");
	else if (rc)
		kona_rack_answer_error(answer, rc, call->rack->why);
	else
		*answer = (struct kona_rack_answer){route->success, "application/json", NULL,
						    json_dumps(call->reply, JSON_COMPACT)};
	json_decref(call->reply);
	json_decref(object);
}

/* GET: the only requests that change nothing. Returns false for another path. */
static bool report(struct kona_rack *rack, const char *path, struct kona_rack_answer *answer)
{
	for (size_t i = 0; i < KONA_ARRAY_LEN(reports); i++) {
		int rc;

		if (strcmp(path, reports[i].path) != 0)
			continue;
		rc = kona_rack_begin_reading(rack);
		if (rc)
			kona_rack_answer_error(answer, rc, rack->why);
		else
			*answer = (struct kona_rack_answer){200, reports[i].content_type, NULL,
							    reports[i].make(rack)};
		return true;
	}
	return false;
}

/* The method that the path takes, or NULL when there is no such path. */
static const char *allowed(const char *path)
{
	int64_t id;

	for (size_t i = 0; i < KONA_ARRAY_LEN(routes); i++)
		if (path_fits(&routes[i], path, &id))
			return routes[i].method;
	for (size_t i = 0; i < KONA_ARRAY_LEN(reports); i++)
		if (!strcmp(path, reports[i].path))
			return "GET";
	return NULL;
}

void kona_rack_api(struct kona_rack *rack, const struct kona_rack_caller *caller,
		   const char *method, const char *path, const char *body, size_t body_bytes,
		   struct kona_rack_answer *ret_answer)
{
	struct call call = {.rack = rack, .caller = caller};
	const char *allow;

	rack->requests++;
	if (!strcmp(method, "GET") && report(rack, path, ret_answer))
		goto out;
	for (size_t i = 0; i < KONA_ARRAY_LEN(routes); i++)
		if (!strcmp(method, routes[i].method) && path_fits(&routes[i], path, &call.id)) {
			run(&routes[i], &call, body, body_bytes, ret_answer);
			goto out;
		}
	allow = allowed(path);
	kona_rack_answer_error(ret_answer, -ENOENT,
			       allow ? "this path does not take this method"
				     : "there is no such path");
	if (allow) {
		ret_answer->status = 405;
		ret_answer->allow = allow;
	}
out:
	if (ret_answer->status >= 400)
		rack->refused++;
}
