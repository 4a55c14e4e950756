/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pieces of `kona run`, in the order in which they are used:
 *
 *   target (what to run, and can it run?) -> rack (whose memory?) -> launch (run it) -> summary
 *
 * Functions that fail print their one line themselves and return the exit status to end with, or 0.
 */
#ifndef KONA_CLI_RUN_H
#define KONA_CLI_RUN_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "runtime/stats.h"

enum {
	KONA_EXIT_OURS = 125,	    /* kona run itself failed */
	KONA_EXIT_CANNOT_RUN = 126, /* the program was found, but cannot be run */
	KONA_EXIT_NOT_FOUND = 127,
};

/* target.c: the program. */
struct kona_target {
	char path[PATH_MAX]; /* of the file to execute */
	char **argv;	     /* what it is to see; the caller's, or `made` */
	char **made;	     /* owned; NULL when argv is the caller's */
};

KONA_MUST_CHECK int kona_target_find(char **argv, struct kona_target *ret_target);
void kona_target_free(struct kona_target *target);

/* elf.c: can libkona be preloaded into this file? Prints why not. */
KONA_MUST_CHECK int kona_elf_check(const char *path, int fd);

/* host.c: can this kernel do it, with the rights we have? */
KONA_MUST_CHECK int kona_host_check(void);

/* The host's memory in bytes. */
uint64_t kona_host_memory_bytes(void);

/*
 * Finds a file that belongs to kona: beside the running executable, else in `installed`. Returns 0;
 * -ENOENT.
 */
KONA_MUST_CHECK int kona_find_beside(const char *name, const char *installed,
				     char ret_path[PATH_MAX]);

/* rack.c: the memory. A private rack, or the host's own daemons. */
struct kona_run_rack {
	pid_t memd, rackd; /* our children; 0: none */
	int owner_fd;	   /* write end of memd's owner pipe */
	int ready_fd[2];   /* read ends: memd's, rackd's */
	bool memd_told;	   /* the program said itself that its memory node is gone */
	char folder[96];   /* of a private rack; "" without */
	char socket[108];  /* memd's, for the program */
};

struct kona_rack_wish {
	const char *rack, *memd; /* as given, or NULL */
	const char *pool;	 /* of a private rack; or NULL */
	uint64_t remote_bytes;	 /* 0: what there is */
};

KONA_MUST_CHECK int kona_run_rack_start(struct kona_run_rack *rack,
					const struct kona_rack_wish *wish);
/* Lets go of it: it ends with the last lease, now if there is none. Waits for that. */
void kona_run_rack_release(struct kona_run_rack *rack);
/* One line when the controller of ours has ended before its time. */
void kona_run_rack_reap(struct kona_run_rack *rack);

/* launch.c: the program's life. */
struct kona_launch {
	const struct kona_target *target;
	const char *library, *socket, *dirty;
	const char *net;    /* KONA_NET; NULL: none */
	const char *fabric; /* KONA_FABRIC; NULL: none */
	uint64_t local_bytes, remote_bytes;
	bool follow, seal;
	int stats_fd;
};

/*
 * Runs the program, passes signals on, waits for its end. Returns 0 and its wait status; else an
 * exit status.
 */
KONA_MUST_CHECK int kona_launch(const struct kona_launch *launch, struct kona_run_rack *rack,
				int *ret_wait_status);

/* Ends this process as the program has ended. */
KONA_NORETURN void kona_launch_end_like(int wait_status);

/* net.c: the value of KONA_NET for rdma, tcp or LATENCY:BITS_PER_SECOND. -EINVAL. */
enum { KONA_NET_TEXT_BYTES = 48 };
KONA_MUST_CHECK int kona_net_parse(const char *text, char ret_value[KONA_NET_TEXT_BYTES]);

/* summary.c */
void kona_summary_print(FILE *stream, const struct kona_stats_area *area, const char *program,
			uint64_t elapsed_ns);
/* Is it possible to write the file? */
KONA_MUST_CHECK int kona_summary_try(const char *path);
KONA_MUST_CHECK int kona_summary_write(const char *path, const struct kona_stats_area *area,
				       char **argv, int wait_status, uint64_t elapsed_ns);

#endif
