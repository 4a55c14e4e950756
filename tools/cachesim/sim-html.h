/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a simulation says, as a page with plots.
 */
#ifndef KONA_CACHESIM_SIM_HTML_H
#define KONA_CACHESIM_SIM_HTML_H

#include "model.h"
#include "result.h"
#include "sweep.h"

/* AMAT against cache size and block size, write-back amplification, and the patterns' plots.
 * Returns 0 or -errno. */
KONA_MUST_CHECK int kona_sim_html_write(const char *path, const struct kona_sim_result *result,
					const struct kona_sweep *sweep,
					const struct kona_models *models);

#endif
