/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target over the files of a corpus folder, each also cut at every length: so that what
 * a fuzzer found once stays found in builds without it. Catches also: a seed that the target does
 * not accept any more (fuzz.h), so that the corpus tests nothing.
 */
#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { MOST_BYTES = 1 << 16 };

int main(int argc, char **argv)
{
	static uint8_t bytes[MOST_BYTES];
	struct dirent *entry;
	int files = 0, wrong = 0;
	DIR *folder;

	if (argc != 2)
		errx(1, "usage: replay FOLDER");
	folder = opendir(argv[1]);
	if (!folder)
		err(1, "%s", argv[1]);
	while ((entry = readdir(folder))) {
		char path[4096];
		size_t size;
		FILE *file;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
		file = fopen(path, "rb");
		if (!file)
			err(1, "%s", path);
		size = fread(bytes, 1, sizeof(bytes), file);
		fclose(file);
		for (size_t cut = 0; cut <= size; cut += cut + 64 < size ? 7 : 1)
			LLVMFuzzerTestOneInput(bytes, cut);
		fuzz_accepted = false;
		LLVMFuzzerTestOneInput(bytes, size);
		if (fuzz_accepted == !strncmp(entry->d_name, "bad-", 4)) {
			warnx("%s is %s", path,
			      fuzz_accepted ? "accepted" : "refused: is it stale?");
			wrong++;
		}
		files++;
	}
	closedir(folder);
	if (!files)
		errx(1, "%s is empty", argv[1]);
	printf("%d files\n", files);
	return wrong ? 1 : 0;
}
