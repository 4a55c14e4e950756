/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options, parsed as far as that is possible without looking at the host. Stateless.
 */
#include "memnode/options.h"

#include <argp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/daemon.h"
#include "base/units.h"
#include "wire/pki.h"
#include "wire/rack.h"

enum {
	OPTION_MODE = 256,
	OPTION_DOMAIN,
	OPTION_PKI,
	OPTION_OWNER,
	OPTION_READY,
	OPTION_PRIVATE,
	OPTION_DATA,
	OPTION_POOL,
	OPTION_FABRIC,
};

static const struct argp_option argp_options[] = {
	{"lend", 'l', "SIZE", 0,
	 "memory to lend [half of the host's, or the pool]; 0: only be the broker"},
	{"pool", OPTION_POOL, "PATH", 0,
	 "lend memory of this folder (hugetlbfs, tmpfs, fs-dax), DAX device or file"},
	{"socket", 's', "PATH", 0, "Unix socket for programs [" KONA_MEMD_DEFAULT "]"},
	{"socket-mode", OPTION_MODE, "OCTAL", 0, "rights of the socket [0600]"},
	{"rack", 'r', "ADDRESS", 0, "rack controller [" KONA_RACK_DEFAULT "]"},
	{"pki", OPTION_PKI, "FOLDER", 0,
	 "certificates from kona rack init, for https [" KONA_PKI_DEFAULT "]"},
	{"name", 'n', "NAME", 0, "name of this node in the rack [the host's]"},
	{"data", OPTION_DATA, "ADDR:PORT", 0, "serve programs of other hosts at this address"},
	{"fabric", OPTION_FABRIC, "PROVIDER", 0,
	 "with --data: let programs read by RDMA, over verbs, efa or tcp (libfabric)"},
	{"domain", OPTION_DOMAIN, "NAME", 0,
	 "what fails together: a rack, a power feed [the node]"},
	{"owner-fd", OPTION_OWNER, "N", 0, "end with the owner of this pipe"},
	{"ready-fd", OPTION_READY, "N", 0, "write a line here when ready"},
	{"private", OPTION_PRIVATE, "FOLDER", 0, "remove this private rack's folder at the end"},
	{0},
};

static void parse_name(char name[KONA_BROKER_NAME_BYTES], const char *option, const char *text,
		       struct argp_state *state)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t length = strlen(text);

	if (!length || length >= KONA_BROKER_NAME_BYTES || strspn(text, allowed) != length)
		argp_error(state, "%s wants 1 to 63 letters, digits, '.', '_' and '-'", option);
	snprintf(name, KONA_BROKER_NAME_BYTES, "%s", text);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct kona_options *o = state->input;

	switch (key) {
	case 'l':
		if (kona_size_parse(argument, &o->lend_bytes) ||
		    o->lend_bytes >= (uint64_t)KONA_RACK_MOST_VALUE)
			argp_error(state, "not a size: %s", argument);
		return 0;
	case 's':
		o->socket = argument;
		return 0;
	case OPTION_MODE:
		o->mode = kona_daemon_option_mode(argument, state);
		return 0;
	case 'r':
		o->rack = argument;
		return 0;
	case 'n':
		parse_name(o->name, "--name", argument, state);
		return 0;
	case OPTION_PKI:
		o->pki = argument;
		return 0;
	case OPTION_POOL:
		o->pool = argument;
		return 0;
	case OPTION_DATA:
		o->data = argument;
		return 0;
	case OPTION_FABRIC:
		o->fabric = argument;
		return 0;
	case OPTION_DOMAIN:
		parse_name(o->domain, "--domain", argument, state);
		return 0;
	case OPTION_OWNER:
		o->owner_fd = kona_daemon_option_fd(argument, state);
		return 0;
	case OPTION_READY:
		o->ready_fd = kona_daemon_option_fd(argument, state);
		return 0;
	case OPTION_PRIVATE:
		o->private_folder = argument;
		return 0;
	case ARGP_KEY_END:
		if (o->fabric && !o->data)
			argp_error(state,
				   "--fabric is for programs of other hosts: give --data, too");
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument: %s", argument);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void set_defaults(struct kona_options *o)
{
	memset(o, 0, sizeof(*o));
	o->socket = KONA_MEMD_DEFAULT;
	o->rack = KONA_RACK_DEFAULT;
	o->mode = 0600;
	o->owner_fd = o->ready_fd = -1;
	o->lend_bytes = UINT64_MAX;
	if (gethostname(o->name, sizeof(o->name)) || memchr(o->name, 0, sizeof(o->name)) == NULL ||
	    !o->name[0])
		snprintf(o->name, sizeof(o->name), "node");
}

void kona_options_parse(struct kona_options *options, int argc, char **argv)
{
	static const struct argp argp = {
		argp_options,
		parse_option,
		NULL,
		"The memory node: lends this host's memory, serves the programs of this host.",
		NULL,
		NULL,
		NULL};

	argp_program_version = "kona-memd " KONA_VERSION;
	argp_err_exit_status = 1;
	set_defaults(options);
	argp_parse(&argp, argc, argv, 0, NULL, options);
}
