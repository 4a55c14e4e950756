/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a simulation says: a table for people, JSON for programs.
 */
#ifndef KONA_CACHESIM_TABLE_H
#define KONA_CACHESIM_TABLE_H

#include <stdio.h>

#include "model.h"
#include "result.h"
#include "sweep.h"

/* The run's counts, then per configuration of the sweep that was simulated: misses, AMAT. */
void kona_sim_table_print(FILE *stream, const struct kona_sim_result *result,
			  const struct kona_sweep *sweep, const struct kona_models *models);

/*
 * The result file's fields, with `dram` cut down to the sweep and an `amat_ns` object, model name
 * to AMAT, in each; and at the top for no local cache at all. path "-": standard output. Returns 0
 * or -errno.
 */
KONA_MUST_CHECK int kona_sim_json_write(const char *path, const struct kona_sim_result *result,
					const struct kona_sweep *sweep,
					const struct kona_models *models);

#endif
