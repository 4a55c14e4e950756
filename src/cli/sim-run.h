/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `kona sim` and `kona plan` share: a run under the simulator with words for what went wrong,
 * and the result it leaves.
 */
#ifndef KONA_CLI_SIM_RUN_H
#define KONA_CLI_SIM_RUN_H

#include <stdbool.h>
#include <stdio.h>

#include "base/compiler.h"

struct argp_state;
struct kona_models;	/* tools/cachesim/model.h */
struct kona_sim_result; /* tools/cachesim/result.h */
struct kona_sweep_run;	/* tools/cachesim/sweep.h */

/*
 * Runs run->program; where run->result is NULL the counts go through a temporary file. On 0,
 * *ret_exit_status is what to pass on: the program's, or 128 plus its signal. Else -errno, told.
 */
KONA_MUST_CHECK int kona_sim_run(struct kona_sweep_run *run, struct kona_sim_result *ret_result,
				 int *ret_exit_status);

/* Reads kept counts. Returns 0, or -errno, told. */
KONA_MUST_CHECK int kona_sim_load(const char *path, struct kona_sim_result *ret_result);

/* --models FILE: adds to the latency models; a bad file ends the program with argp's usage line. */
void kona_sim_option_models(struct kona_models *models, const char *path, struct argp_state *state);

/* Is this what a report is written to (NULL: it is not) standard output? Then it has it alone: no
 * table goes there, and nothing that the program prints. */
bool kona_sim_is_stdout(const char *path);

/* Opens where the table goes: path, or without one `otherwise`. NULL: told why. */
FILE *kona_sim_output_open(const char *path, FILE *otherwise);

/* Closes it; returns 1 for an exit status if something was lost, after telling so. */
KONA_MUST_CHECK int kona_sim_output_close(FILE *stream, const char *path);

/* Tells when a report (path) could not be written (err); returns 1 then, else 0. */
KONA_MUST_CHECK int kona_sim_tell_lost(const char *path, int err);

#endif
