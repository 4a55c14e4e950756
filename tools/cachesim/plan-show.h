/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a plan says: a table for people, JSON for programs, a page with plots.
 */
#ifndef KONA_CACHESIM_PLAN_SHOW_H
#define KONA_CACHESIM_PLAN_SHOW_H

#include <stdio.h>

#include "plan.h"

/* limit: the slowdown that the smallest local sizes must keep, as in kona_plan_smallest(). */
void kona_plan_table_print(FILE *stream, const struct kona_plan *plan,
			   const struct kona_models *models, double limit);

/* path "-": standard output. Both return 0 or -errno. */
KONA_MUST_CHECK int kona_plan_json_write(const char *path, const struct kona_plan *plan,
					 const struct kona_models *models, double limit);
KONA_MUST_CHECK int kona_plan_html_write(const char *path, const struct kona_plan *plan,
					 const struct kona_models *models, double limit);

#endif
