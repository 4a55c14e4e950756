/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kona track: a program of its own (tools/track/kona-track.c). It promises to take little memory
 * beside what it keeps of the program, and the libraries that other verbs need are six MiB.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/command.h"
#include "cli/run.h"

int kona_cmd_track(int argc, char **argv)
{
	char path[PATH_MAX];

	if (!kona_find_beside("kona-track", KONA_LIBEXECDIR, path))
		execv(path, argv);
	kona_error("kona-track cannot be run: %s", strerror(errno));
	return 1;
}
