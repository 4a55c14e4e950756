/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona rack: what an administrator does with a rack. One verb more, one call of the controller, one
 * table; except init, which makes certificates and calls nobody.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/rack-admin.h"
#include "wire/pki.h"
#include "wire/rack-call.h"
#include "wire/rack.h"

enum {
	OPTION_JSON = 256,
	OPTION_RACK,
	OPTION_PKI,
	OPTION_DIR,
	OPTION_DAYS,
	OPTION_WAIT,
	TIMEOUT_MS = 10000,
	MOST_DAYS = 3650,
	WAIT_MS = 200,
};

struct options {
	const char *rack, *pki, *dir;
	long days;
	bool json, wait;
	char **arguments; /* of the action; NULL at the end */
	size_t count;
};

struct session {
	const struct options *o;
	struct kona_rack_peer *peer;
};

static const struct argp_option argp_options[] = {
	{"rack", OPTION_RACK, "ADDRESS", 0,
	 "the controller, " KONA_RACK_ADDRESS_FORMS " [" KONA_RACK_DEFAULT "]"},
	{"pki", OPTION_PKI, "FOLDER", 0,
	 "certificates, for https [$KONA_PKI or " KONA_PKI_DEFAULT "]"},
	{"json", OPTION_JSON, NULL, 0, "print the controller's JSON"},
	{"wait", OPTION_WAIT, NULL, 0, "drain, rebalance: until all of it is done"},
	{"dir", OPTION_DIR, "FOLDER", 0, "init: where the certificates go [kona-pki]"},
	{"days", OPTION_DAYS, "N", 0, "init: how long certificates are valid [1095]"},
	{0},
};

static long parse_days(const char *text, struct argp_state *state)
{
	char *end;
	long days = strtol(text, &end, 10);

	if (*end || days < 1 || days > MOST_DAYS)
		argp_error(state, "--days wants 1 to %d, not %s", MOST_DAYS, text);
	return days;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case OPTION_RACK:
		o->rack = argument;
		return 0;
	case OPTION_PKI:
		o->pki = argument;
		return 0;
	case OPTION_JSON:
		o->json = true;
		return 0;
	case OPTION_WAIT:
		o->wait = true;
		return 0;
	case OPTION_DIR:
		o->dir = argument;
		return 0;
	case OPTION_DAYS:
		o->days = parse_days(argument, state);
		return 0;
	case ARGP_KEY_ARGS:
		o->arguments = state->argv + state->next;
		o->count = (size_t)(state->argc - state->next);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "what shall it do?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Calls; prints the reason of a failure. Returns the reply, or NULL. */
static json_t *call(const struct session *s, const char *method, const char *path,
		    const json_t *body)
{
	char text[KONA_RACK_TEXT_BYTES];
	json_t *reply = NULL;

	if (!kona_rack_call(s->peer, method, path, body, TIMEOUT_MS, &reply, text))
		return reply;
	kona_error("%s", text);
	return NULL;
}

static void print_json(const json_t *object)
{
	json_dumpf(object, stdout, JSON_INDENT(2));
	putchar('\n');
}

static int show(const struct session *s, const char *path, const char *part,
		void (*table)(const json_t *reply))
{
	json_t *reply = call(s, "GET", path, NULL);

	if (!reply)
		return 1;
	if (s->o->json)
		print_json(part ? json_object_get(reply, part) : reply);
	else
		table(reply);
	json_decref(reply);
	return 0;
}

static int do_status(const struct session *s)
{
	return show(s, "/v1/nodes", NULL, kona_rack_show_status);
}

static int do_nodes(const struct session *s)
{
	return show(s, "/v1/nodes", "nodes", kona_rack_show_nodes);
}

static int do_slabs(const struct session *s)
{
	return show(s, "/v1/slabs", "slabs", kona_rack_show_slabs);
}

/* The node that the first argument names; NULL after a message. Borrowed from *ret_status. */
static const json_t *find_node(const struct session *s, json_t **ret_status)
{
	const char *name = s->o->arguments[1];
	const json_t *node;
	size_t i;

	*ret_status = call(s, "GET", "/v1/nodes", NULL);
	if (!*ret_status)
		return NULL;
	json_array_foreach (json_object_get(*ret_status, "nodes"), i, node)
		if (!strcmp(json_string_value(json_object_get(node, "name")), name))
			return node;
	kona_error("there is no node %s (kona rack nodes)", name);
	json_decref(*ret_status);
	return NULL;
}

static int64_t number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static int call_node(const struct session *s, const char *action, const json_t *body)
{
	json_t *status, *reply;
	const json_t *node = find_node(s, &status);
	char path[96];

	if (!node)
		return 1;
	snprintf(path, sizeof(path), "/v1/nodes/%" PRId64 "/%s", number_of(node, "node"), action);
	json_decref(status);
	reply = call(s, "POST", path, body);
	json_decref(reply);
	return reply ? 0 : 1;
}

static void pause_a_little(void)
{
	const struct timespec time = {0, WAIT_MS * 1000000L};

	nanosleep(&time, NULL);
}

static int do_drain(const struct session *s)
{
	json_t *status, *empty = json_object();
	int rc = call_node(s, "drain", empty);

	json_decref(empty);
	while (!rc && s->o->wait) {
		const json_t *node = find_node(s, &status);
		int64_t left = node ? number_of(node, "slabs") + number_of(node, "dropping") : 0;

		if (!node)
			return 1;
		json_decref(status);
		if (!left)
			break;
		pause_a_little();
	}
	return rc;
}

static int do_plain(const struct session *s)
{
	json_t *empty = json_object();
	int rc = call_node(s, s->o->arguments[0], empty);

	json_decref(empty);
	return rc;
}

static int do_quota(const struct session *s)
{
	uint64_t bytes = 0;
	json_t *body;
	int rc;

	if (strcmp(s->o->arguments[2], "none") != 0 &&
	    (kona_size_parse(s->o->arguments[2], &bytes) ||
	     bytes >= (uint64_t)KONA_RACK_MOST_VALUE)) {
		kona_error("not a size: %s", s->o->arguments[2]);
		return 2;
	}
	body = json_pack("{s:I}", "bytes", (json_int_t)bytes);
	rc = call_node(s, "quota", body);
	json_decref(body);
	return rc;
}

/* Are all slabs on as many nodes as they should be, and none under way? */
static bool is_settled(const json_t *slabs)
{
	const json_t *slab, *replica;
	size_t i, j;

	json_array_foreach (json_object_get(slabs, "slabs"), i, slab)
		json_array_foreach (json_object_get(slab, "replicas"), j, replica)
			if (strcmp(json_string_value(json_object_get(replica, "state")), "full"))
				return false;
	return true;
}

static int do_rebalance(const struct session *s)
{
	json_t *empty = json_object(), *reply = call(s, "POST", "/v1/rebalance", empty);
	bool settled = !s->o->wait;

	json_decref(empty);
	if (!reply)
		return 1;
	printf("%" PRId64 " copies to move\n", number_of(reply, "moves"));
	json_decref(reply);
	while (!settled) {
		reply = call(s, "GET", "/v1/slabs", NULL);
		if (!reply)
			return 1;
		settled = is_settled(reply);
		json_decref(reply);
		if (!settled)
			pause_a_little();
	}
	return 0;
}

static int do_init(const struct session *s)
{
	const struct kona_rack_pki_wish wish = {s->o->dir, s->o->days, s->o->arguments + 1};

	return kona_rack_pki_make(&wish);
}

static const struct action {
	const char *name;
	size_t least, most; /* arguments, with the action's own name */
	int (*run)(const struct session *session);
} actions[] = {
	{"init", 2, 1000, do_init}, {"status", 1, 1, do_status}, {"nodes", 1, 1, do_nodes},
	{"slabs", 1, 1, do_slabs},  {"drain", 2, 2, do_drain},	 {"undrain", 2, 2, do_plain},
	{"remove", 2, 2, do_plain}, {"quota", 3, 3, do_quota},	 {"rebalance", 1, 1, do_rebalance},
};

static int run(const struct action *action, const struct options *o)
{
	struct session session = {o, NULL};
	int rc;

	if (o->count < action->least || o->count > action->most) {
		kona_error("%s: wrong number of arguments (see --help)", action->name);
		return 2;
	}
	rc = action->run == do_init ? 0 : kona_rack_peer_new(o->rack, o->pki, &session.peer);
	if (rc) {
		kona_error("--rack %s: %s", o->rack,
			   rc == -EINVAL ? "want " KONA_RACK_ADDRESS_FORMS : strerror(-rc));
		return 2;
	}
	rc = action->run(&session);
	kona_rack_peer_free(session.peer);
	return rc;
}

int kona_cmd_rack(int argc, char **argv)
{
	static const struct argp argp = {
		argp_options,
		parse_option,
		"init HOST[=ADDRESS,...]...\nstatus\nnodes\nslabs\ndrain NODE\nundrain NODE\n"
		"remove NODE\nquota NODE SIZE|none\nrebalance",
		"Administer a rack: make its certificates, see its nodes and slabs, empty a node, "
		"forget one that is dead, limit what programs of one take, spread slabs evenly.",
		NULL,
		NULL,
		NULL};
	struct options o = {.rack = KONA_RACK_DEFAULT, .dir = "kona-pki", .days = 1095};

	kona_log_name(argv[0]);
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	for (size_t i = 0; i < KONA_ARRAY_LEN(actions); i++)
		if (!strcmp(o.arguments[0], actions[i].name))
			return run(&actions[i], &o);
	kona_error("no such action: %s (see kona rack --help)", o.arguments[0]);
	return 2;
}
