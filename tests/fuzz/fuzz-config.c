/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any lines as the environment of a Kona program, and as sizes that people write: refused with a
 * reason, or in range; and nothing of ours is left in the environment afterwards.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "fuzz.h"
#include "runtime/config.h"

enum { MOST_LINES = 64 };

bool fuzz_accepted;

static void check_size(const char *text)
{
	uint64_t bytes = 0;

	if (!kona_size_parse(text, &bytes) && bytes > UINT64_C(1) << 63)
		abort();
}

static void check_config(void)
{
	struct kona_config config;
	const char *reason = NULL;

	if (kona_config_read(&config, &reason)) {
		if (!reason)
			abort();
		return;
	}
	fuzz_accepted = true;
	if (!memchr(config.socket, '\0', sizeof(config.socket)) || config.local_bytes > INT64_MAX ||
	    config.remote_bytes > INT64_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *lines[MOST_LINES + 1], *kept[MOST_LINES], **before = environ;
	size_t count = 0;

	while (size && count < MOST_LINES) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t length = end ? (size_t)(end - data) : size;

		lines[count] = kept[count] = strndup((const char *)data, length);
		check_size(lines[count++]);
		length += !!end;
		data += length;
		size -= length;
	}
	lines[count] = NULL;
	environ = lines;
	check_config();
	kona_config_forget();
	for (size_t i = 0; lines[i]; i++)
		if (!strncmp(lines[i], "KONA_LOCAL=", 11))
			abort();
	environ = before;
	for (size_t i = 0; i < count; i++)
		free(kept[i]);
	return 0;
}
