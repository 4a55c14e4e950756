/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clang would do with a command line: its own plan, as "clang -###" prints it. So kona-cc need
 * not know clang's options.
 */
#ifndef KONA_CC_PLAN_H
#define KONA_CC_PLAN_H

#include <stddef.h>

#include "base/compiler.h"

/* An argument list that ends with NULL, ready for exec. Whoever made it frees it. */
struct kona_cc_args {
	char **v; /* v[count] is NULL */
	size_t count;
	size_t room;
};

/* One command of the plan. */
struct kona_cc_job {
	struct kona_cc_args args;
};

struct kona_cc_plan {
	struct kona_cc_job *jobs;
	size_t count;
	char *said; /* what clang said beside the plan: warnings */
};

/* Appends a copy of `word`. Ends the program when memory is out, as all of kona-cc does. */
void kona_cc_args_add(struct kona_cc_args *args, const char *word);

/* Index of the argument that equals `word`, or -1. */
int kona_cc_args_find(const struct kona_cc_args *args, const char *word);

void kona_cc_args_free(struct kona_cc_args *args);

/*
 * Asks clang for its plan for `args` (args->v[0] is clang). A plan without jobs is what there is
 * when clang itself has something to say: an error, --version. Returns 0, or -errno when clang
 * could not be run.
 */
KONA_MUST_CHECK int kona_cc_plan_make(const struct kona_cc_args *args,
				      struct kona_cc_plan *ret_plan);

void kona_cc_plan_free(struct kona_cc_plan *plan);

#endif
