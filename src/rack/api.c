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
		return 403;
	case -ENOENT:
		return 404;
	case -EEXIST:
	case -ESTALE:
		return 409;
	case -EMSGSIZE:
		return 413;
	case -ENOSPC:
		return 507;
	case -EHOSTDOWN:
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

static int register_node(struct call *call)
{
	struct kona_rack_registration registration;
	struct kona_rack *rack = call->rack;
	int64_t node;
	int rc = kona_field_registration(call->body, &registration, rack->why);

	if (!rc)
		rc = kona_rack_register(rack, &registration, &node);
	kona_field_registration_free(&registration);
	if (!rc)
		call->reply =
			json_pack("{s:I, s:I, s:I, s:i}", "node", (json_int_t)node, "slab_bytes",
				  (json_int_t)rack->store.slab_bytes, "epoch",
				  (json_int_t)rack->epoch, "heartbeat_ms", KONA_RACK_HEARTBEAT_MS);
	return rc;
}

static int heartbeat(struct call *call)
{
	const char *instance;
	int rc = kona_field_name(call->body, "instance", &instance, call->rack->why);

	if (!rc)
		rc = kona_rack_heartbeat(call->rack, call->id, instance);
	if (!rc)
		call->reply = json_pack("{s:I}", "epoch", (json_int_t)call->rack->epoch);
	return rc;
}

static int leave(struct call *call)
{
	const char *instance;
	int rc = kona_field_name(call->body, "instance", &instance, call->rack->why);

	if (!rc)
		rc = kona_rack_leave(call->rack, call->id, instance);
	if (!rc)
		call->reply = json_object();
	return rc;
}

static int open_lease(struct call *call)
{
	struct kona_rack_lease lease = {0};
	const char *instance;
	char *why = call->rack->why;
	int64_t node, id;
	int rc = kona_field_integer(call->body, "node", 1, KONA_RACK_MOST_VALUE - 1, &node, why);

	if (!rc)
		rc = kona_field_name(call->body, "instance", &instance, why);
	if (!rc)
		rc = kona_field_tenant(call->body, &lease, why);
	if (!rc)
		rc = kona_rack_lease_open(call->rack, node, instance, &lease, &id);
	if (!rc)
		call->reply = json_pack("{s:I}", "lease", (json_int_t)id);
	return rc;
}

static int grant(struct call *call)
{
	int64_t slabs[KONA_RACK_MOST_SLABS];
	char *why = call->rack->why;
	int64_t count, have, request, node;
	json_t *list;
	int rc = kona_field_integer(call->body, "count", 1, KONA_RACK_MOST_SLABS, &count, why);

	if (!rc)
		rc = kona_field_integer(call->body, "have", 0, KONA_RACK_MOST_VALUE - 1, &have,
					why);
	if (!rc)
		rc = kona_field_integer(call->body, "request", 1, KONA_RACK_MOST_VALUE - 1,
					&request, why);
	if (!rc)
		rc = kona_rack_grant(call->rack, call->id, count, have, request, slabs, &node);
	if (rc)
		return rc;
	list = json_array();
	for (int64_t i = 0; i < count; i++)
		json_array_append_new(list, json_pack("{s:I, s:I}", "slab", (json_int_t)slabs[i],
						      "node", (json_int_t)node));
	call->reply = json_pack("{s:o}", "slabs", list);
	return 0;
}

static int end_lease(struct call *call)
{
	int rc = kona_rack_lease_end(call->rack, call->id);

	if (!rc)
		call->reply = json_object();
	return rc;
}

static const struct route {
	const char *method, *before, *after; /* before ID after; no ID: after is NULL */
	unsigned int success;
	bool wants_body;
	endpoint *endpoint;
} routes[] = {
	{"POST", "/v1/nodes", NULL, 200, true, register_node},
	{"POST", "/v1/nodes/", "/heartbeat", 200, true, heartbeat},
	{"DELETE", "/v1/nodes/", "", 200, true, leave},
	{"POST", "/v1/leases", NULL, 201, true, open_lease},
	{"POST", "/v1/leases/", "/slabs", 201, true, grant},
	{"DELETE", "/v1/leases/", "", 200, false, end_lease},
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

static void run(const struct route *route, struct call *call, const char *body, size_t body_bytes,
		struct kona_rack_answer *answer)
{
	json_error_t error;
	json_t *object = NULL;
	int rc = 0;

	if (route->wants_body) {
		object = json_loadb(body, body_bytes, JSON_REJECT_DUPLICATES, &error);
		if (!json_is_object(object)) {
			snprintf(call->rack->why, KONA_RACK_WHY_BYTES,
				 "the body is no JSON object%s%.160s", object ? "" : ": ",
				 object ? "" : error.text);
			rc = -EINVAL;
		}
	}
	call->body = object;
	if (!rc)
		rc = route->endpoint(call);
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
	bool metrics = !strcmp(path, "/metrics") || !strcmp(path, "/v1/metrics");
	int error = 0;
	char *text;

	if (!metrics && strcmp(path, "/v1/status") != 0)
		return false;
	text = metrics ? kona_rack_report_metrics(rack, &error)
		       : kona_rack_report_status(rack, &error);
	if (error)
		kona_rack_answer_error(answer, error, rack->why);
	else
		*answer = (struct kona_rack_answer){
			200, metrics ? "text/plain; version=0.0.4" : "application/json", NULL,
			text};
	return true;
}

void kona_rack_api(struct kona_rack *rack, const char *method, const char *path, const char *body,
		   size_t body_bytes, struct kona_rack_answer *ret_answer)
{
	struct call call = {.rack = rack};
	struct kona_rack_answer answer;
	const char *allow = NULL;
	bool reads = !strcmp(method, "GET");
	uint64_t errors = rack->state_errors;

	rack->requests++;
	for (size_t i = 0; i < KONA_ARRAY_LEN(routes); i++) {
		if (!path_fits(&routes[i], path, &call.id))
			continue;
		if (!strcmp(method, routes[i].method)) {
			run(&routes[i], &call, body, body_bytes, ret_answer);
			goto out;
		}
		allow = routes[i].method;
	}
	if (!allow && report(rack, path, &answer)) {
		if (reads) {
			*ret_answer = answer;
			goto out;
		}
		free(answer.body);
		allow = "GET";
	}
	kona_rack_answer_error(ret_answer, -ENOENT,
			       allow ? "this path does not take this method"
				     : "there is no such path");
	if (allow) {
		ret_answer->status = 405;
		ret_answer->allow = allow;
	}
out:
	if (rack->state_errors != errors)
		kona_rack_store_recover(&rack->store);
	if (ret_answer->status >= 400)
		rack->refused++;
}
