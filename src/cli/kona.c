/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona: finds the verb and hands over. Each verb is a file of its own, cmd-<verb>.c.
 */
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "cli/command.h"

static const struct kona_command commands[] = {
	{"bench", "measure what a miss costs: guards, page faults, swap", kona_cmd_bench},
	{"plan", "foretell a program's slowdown on remote memory", kona_cmd_plan},
	{"rack", "administer a rack: certificates, nodes, slabs, draining", kona_cmd_rack},
	{"run", "run a program with its heap in remote memory", kona_cmd_run},
	{"sim", "simulate a program's caches and remote memory in one run", kona_cmd_sim},
	{"status", "show the nodes, leases and slabs of a rack", kona_cmd_status},
	{"track", "find the cache lines that a running program writes", kona_cmd_track},
	{NULL, NULL, NULL},
};

static void print_usage(FILE *stream)
{
	fputs("usage: kona VERB [ARGUMENTS]\n\n", stream);
	for (const struct kona_command *c = commands; c->verb; c++)
		fprintf(stream, "  %-8s %s\n", c->verb, c->summary);
	fputs("\n`kona VERB --help` tells the options of a verb; `kona --version` the version.\n",
	      stream);
}

static const struct kona_command *find_command(const char *verb)
{
	for (const struct kona_command *c = commands; c->verb; c++)
		if (!strcmp(c->verb, verb))
			return c;
	return NULL;
}

int main(int argc, char **argv)
{
	const struct kona_command *command;
	char name[32];

	if (argc < 2) {
		print_usage(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("kona " KONA_VERSION);
		return 0;
	}
	command = find_command(argv[1]);
	if (!command) {
		kona_error("no such verb: %s (see `kona help`)", argv[1]);
		return 2;
	}
	snprintf(name, sizeof(name), "kona %s", command->verb);
	argv[1] = name;
	return command->main(argc - 1, argv + 1);
}
