/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The programs that make a picture of what a bench measured: `NAME FIGURES.JSON PICTURE.SVG`.
 */
#ifndef KONA_BENCH_DRAW_H
#define KONA_BENCH_DRAW_H

#include <jansson.h>

/*
 * main() of program `name`: reads the figures, which `bench` writes, and has them drawn to `path`.
 * draw: -EINVAL: other figures; -errno: the picture cannot be written. Returns the exit status.
 */
int kona_draw_main(int argc, char **argv, const char *name, const char *bench,
		   int (*draw)(const char *path, json_t *root));

#endif
