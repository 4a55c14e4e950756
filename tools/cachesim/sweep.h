/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sweep a user asks for, and the run under Valgrind that answers it.
 */
#ifndef KONA_CACHESIM_SWEEP_H
#define KONA_CACHESIM_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum { KONA_SWEEP_LIST_MAX = 64, KONA_SWEEP_ARGUMENTS_MAX = 32 };

struct kona_sweep_list {
	size_t count;
	uint64_t value[KONA_SWEEP_LIST_MAX];
};

struct kona_sweep {
	struct kona_sweep_list sizes, blocks, ways;
	bool sizes_asked; /* by the user: the table shows them all */
};

/* 1M to 2G by twos; 64, 256, 1K, 4K, 64K, 2M; 1, 2, 4, 8, 16. */
void kona_sweep_default(struct kona_sweep *sweep);

/* "64,4K,2M". Returns 0 and *ret_list, -EINVAL, or -E2BIG for more than KONA_SWEEP_LIST_MAX. */
KONA_MUST_CHECK int kona_sweep_list_parse(const char *text, struct kona_sweep_list *ret_list);

/*
 * The tool's --stacks argument for the sweep: each (block, set count) once. A size that is no whole
 * number of sets of some block and ways is left out there. Bad blocks and ways, and a sweep of
 * which nothing is left, are -EINVAL; too many pairs -E2BIG. *ret_text is the caller's to free.
 */
KONA_MUST_CHECK int kona_sweep_stacks(const struct kona_sweep *sweep, char **ret_text);

struct kona_sweep_run {
	const char *result;    /* path the tool writes */
	bool follow;	       /* into the programs it execs */
	bool aside;	       /* what the program prints goes to standard error */
	size_t argument_count; /* of the tool */
	const char *argument[KONA_SWEEP_ARGUMENTS_MAX];
	char **program; /* NULL-terminated */
};

/*
 * Runs the program under the simulator and waits for it. While it runs, SIGINT and SIGQUIT end only
 * the program, and SIGTERM is passed on to it, so that results so far are kept. Returns 0 and
 * *ret_status (as of waitpid); -ENOENT: the tool is not beside this executable; -EOPNOTSUPP: the
 * program was built by kona-cc --sim, and is simulated without Valgrind, which these arguments
 * need; or -errno.
 */
KONA_MUST_CHECK int kona_sweep_run(const struct kona_sweep_run *run, int *ret_status);

#endif
