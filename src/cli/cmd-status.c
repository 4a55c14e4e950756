/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona status: what a rack controller knows of its nodes and leases.
 */
#include <argp.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "cli/command.h"
#include "wire/rack-call.h"
#include "wire/rack.h"

enum {
	OPTION_JSON = 256,
	OPTION_RACK,
	TIMEOUT_MS = 5000,
};

struct options {
	const char *rack;
	bool json;
};

static const struct argp_option argp_options[] = {
	{"rack", OPTION_RACK, "ADDRESS", 0,
	 "the controller, http://HOST:PORT or unix:PATH [" KONA_RACK_DEFAULT "]"},
	{"json", OPTION_JSON, NULL, 0, "print the controller's JSON"},
	{0},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case OPTION_RACK:
		o->rack = argument;
		return 0;
	case OPTION_JSON:
		o->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument: %s", argument);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "?";
}

static long long number_of(const json_t *object, const char *name)
{
	return (long long)json_integer_value(json_object_get(object, name));
}

static const char *size_of(const json_t *object, const char *name)
{
	static char texts[4][16];
	static unsigned int next;

	return kona_size_format((uint64_t)number_of(object, name), texts[next++ % 4],
				sizeof(texts[0]));
}

static const char *node_name(const json_t *nodes, long long node)
{
	const json_t *object;
	size_t i;

	json_array_foreach (nodes, i, object)
		if (number_of(object, "node") == node)
			return text_of(object, "name");
	return "?";
}

static void print_table(const json_t *status)
{
	const json_t *nodes = json_object_get(status, "nodes");
	const json_t *leases = json_object_get(status, "leases");
	const json_t *object;
	size_t i;

	printf("%-20s %-6s %10s %10s %8s\n", "NODE", "STATE", "CAPACITY", "GRANTED", "SLABS");
	json_array_foreach (nodes, i, object)
		printf("%-20s %-6s %10s %10s %8lld\n", text_of(object, "name"),
		       text_of(object, "state"), size_of(object, "capacity_bytes"),
		       size_of(object, "granted_bytes"), number_of(object, "slabs"));
	printf("\n%-20s %-20s %8s %6s %10s %10s %8s\n", "PROGRAM", "NODE", "PID", "UID", "LIMIT",
	       "GRANTED", "SLABS");
	json_array_foreach (leases, i, object)
		printf("%-20s %-20s %8lld %6lld %10s %10s %8lld\n", text_of(object, "program"),
		       node_name(nodes, number_of(object, "node")), number_of(object, "pid"),
		       number_of(object, "uid"),
		       number_of(object, "limit_bytes") ? size_of(object, "limit_bytes") : "none",
		       size_of(object, "granted_bytes"), number_of(object, "slabs"));
	printf("\n%zu nodes, %zu leases, slabs of %s\n", json_array_size(nodes),
	       json_array_size(leases), size_of(json_object_get(status, "rack"), "slab_bytes"));
}

int kona_cmd_status(int argc, char **argv)
{
	static const struct argp argp = {
		argp_options, parse_option,
		NULL,	      "Print the nodes, leases and slabs that a rack controller knows.",
		NULL,	      NULL,
		NULL};
	struct options o = {.rack = KONA_RACK_DEFAULT};
	char text[KONA_RACK_TEXT_BYTES];
	struct kona_rack_peer *peer;
	json_t *status;
	int rc;

	kona_log_name(argv[0]);
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	rc = kona_rack_peer_new(o.rack, NULL, &peer);
	if (rc) {
		kona_error("--rack %s: %s", o.rack,
			   rc == -EINVAL ? "want " KONA_RACK_ADDRESS_FORMS : strerror(-rc));
		return 2;
	}
	rc = kona_rack_call(peer, "GET", "/v1/status", NULL, TIMEOUT_MS, &status, text);
	kona_rack_peer_free(peer);
	if (rc) {
		kona_error("%s", text);
		return 1;
	}
	if (o.json) {
		json_dumpf(status, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_table(status);
	}
	json_decref(status);
	if (fflush(stdout) || ferror(stdout)) {
		kona_error("cannot write: %s", strerror(errno));
		return 1;
	}
	return 0;
}
