/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the figures to the picture: arguments, the file, and what is said when it fails. Stateless.
 */
#include "draw.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

int kona_draw_main(int argc, char **argv, const char *name, const char *bench,
		   int (*draw)(const char *path, json_t *root))
{
	json_error_t error;
	json_t *root;
	int err;

	kona_log_name(name);
	if (argc != 3) {
		kona_error("give the figures (JSON) and the picture (SVG)");
		return 2;
	}
	root = json_load_file(argv[1], 0, &error);
	if (!root) {
		kona_error("%s:%d: %s", argv[1], error.line, error.text);
		return 1;
	}
	err = draw(argv[2], root);
	if (err == -EINVAL)
		kona_error("%s: not what %s writes", argv[1], bench);
	else if (err)
		kona_error("%s: %s", argv[2], strerror(-err));
	json_decref(root);
	return err ? 1 : 0;
}
