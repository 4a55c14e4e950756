/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A picture: plots one below the other in one stand-alone SVG, with a head and a foot.
 *
 *   kona_picture_open(path, title, subtitle, panels, &picture)
 *   kona_picture_panel(&picture, &plot)      once per panel
 *   kona_picture_foot(&picture, line), twice at most
 *   kona_picture_close(&picture)
 *
 * It appears under its name only when it is whole. What goes wrong in between is remembered and
 * told by close.
 */
#ifndef KONA_REPORT_PICTURE_H
#define KONA_REPORT_PICTURE_H

#include <limits.h>
#include <stdio.h>

#include "base/compiler.h"
#include "report/svg.h"

struct kona_picture {
	FILE *out;
	const char *path;
	char temporary[PATH_MAX];
	int panels, drawn, feet;
};

/* Returns 0 or -errno; path must stay. */
KONA_MUST_CHECK int kona_picture_open(const char *path, const char *title, const char *subtitle,
				      int panels, struct kona_picture *ret_picture);
void kona_picture_panel(struct kona_picture *picture, const struct kona_plot *plot);
void kona_picture_foot(struct kona_picture *picture, const char *line);
KONA_MUST_CHECK int kona_picture_close(struct kona_picture *picture);

#endif
