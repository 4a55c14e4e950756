/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A verb of `kona`: one file cmd-<verb>.c, one manual page kona-<verb>.1, one test.
 */
#ifndef KONA_CLI_COMMAND_H
#define KONA_CLI_COMMAND_H

struct kona_command {
	const char *verb;
	const char *summary; /* one line for `kona help` */
	/* argv[0] is "kona VERB", for messages and argp. Returns the exit status. */
	int (*main)(int argc, char **argv);
};

int kona_cmd_bench(int argc, char **argv);
int kona_cmd_plan(int argc, char **argv);
int kona_cmd_rack(int argc, char **argv);
int kona_cmd_run(int argc, char **argv);
int kona_cmd_sim(int argc, char **argv);
int kona_cmd_status(int argc, char **argv);
int kona_cmd_track(int argc, char **argv);

#endif
