/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The environment of a Kona program (kona run -> config -> process). Stateless. Strict: a value
 * that is not understood ends the program before it starts.
 */
#include "runtime/config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

static const char *const variables[] = {"KONA_SOCKET", "KONA_LOCAL",	"KONA_REMOTE", "KONA_DIRTY",
					"KONA_FOLLOW", "KONA_STATS_FD", "KONA_NET",    "KONA_SEAL",
					"KONA_AWAKE",  "KONA_FABRIC"};

/* Not getenv(): a program may define that for itself, as bash does. */
static const char *find_variable(const char *name)
{
	size_t length = strlen(name);

	for (char **entry = environ; entry && *entry; entry++)
		if (!strncmp(*entry, name, length) && (*entry)[length] == '=')
			return *entry + length + 1;
	return NULL;
}

/* Takes only digits, up to `end`: the launcher has parsed what people write. Returns what is
 * behind it; NULL: not a number. */
static const char *take_digits(const char *text, char end, uint64_t most, uint64_t *value)
{
	uint64_t number = 0;

	if (*text == end)
		return NULL;
	for (; *text != end; text++) {
		if (*text < '0' || *text > '9' || number > (most - 9) / 10)
			return NULL;
		number = number * 10 + (uint64_t)(*text - '0');
	}
	*value = number;
	return text + 1;
}

static int read_number(const char *name, uint64_t most, uint64_t *value)
{
	const char *text = find_variable(name);

	return text && !take_digits(text, '\0', most, value) ? -EINVAL : 0;
}

static int read_net(struct kona_config *config)
{
	const char *text = find_variable("KONA_NET");

	if (!text)
		return 0;
	text = take_digits(text, ':', INT64_MAX, &config->net_latency_ns);
	if (!text || !take_digits(text, '\0', INT64_MAX, &config->net_bytes_per_s))
		return -EINVAL;
	return config->net_bytes_per_s ? 0 : -EINVAL;
}

static int read_fabric(struct kona_config *config)
{
	const char *text = find_variable("KONA_FABRIC"), *path;

	if (!text)
		return 0;
	path = strchr(text, ':');
	if (!path || (size_t)(path - text) >= sizeof(config->fabric) ||
	    strlen(path + 1) >= sizeof(config->fabric_path))
		return -EINVAL;
	memcpy(config->fabric, text, (size_t)(path - text));
	strcpy(config->fabric_path, path + 1);
	return 0;
}

static int read_mode(enum kona_dirty_mode *mode)
{
	static const char *const names[] = {
		[KONA_DIRTY_LINES] = "lines", [KONA_DIRTY_TWIN] = "twin", [KONA_DIRTY_WP] = "wp"};
	const char *text = find_variable("KONA_DIRTY");

	if (!text)
		return 0;
	for (size_t i = 0; i < KONA_ARRAY_LEN(names); i++)
		if (!strcmp(text, names[i])) {
			*mode = (enum kona_dirty_mode)i;
			return 0;
		}
	return -EINVAL;
}

static int read_flag(const char *name, bool *flag)
{
	const char *text = find_variable(name);

	if (!text)
		return 0;
	if (strcmp(text, "0") && strcmp(text, "1"))
		return -EINVAL;
	*flag = *text == '1';
	return 0;
}

int kona_config_read(struct kona_config *config, const char **ret_reason)
{
	struct kona_config read = {.stats_descriptor = -1};
	const char *socket = find_variable("KONA_SOCKET");
	uint64_t descriptor = UINT64_MAX;
	const char *reason = NULL;

	if (!socket) {
		*config = read;
		return 0;
	}
	if (!*socket || strlen(socket) >= sizeof(read.socket))
		reason = "KONA_SOCKET is empty or too long";
	else if (!find_variable("KONA_LOCAL") ||
		 read_number("KONA_LOCAL", INT64_MAX, &read.local_bytes))
		reason = "KONA_LOCAL is not a number of bytes";
	else if (read_number("KONA_REMOTE", INT64_MAX, &read.remote_bytes))
		reason = "KONA_REMOTE is not a number of bytes";
	else if (read_mode(&read.dirty_mode))
		reason = "KONA_DIRTY is not lines, twin or wp";
	else if (read_flag("KONA_FOLLOW", &read.follow))
		reason = "KONA_FOLLOW is not 0 or 1";
	else if (read_flag("KONA_SEAL", &read.seal))
		reason = "KONA_SEAL is not 0 or 1";
	else if (read_flag("KONA_AWAKE", &read.awake))
		reason = "KONA_AWAKE is not 0 or 1";
	else if (read_net(&read))
		reason = "KONA_NET is not NANOSECONDS:BYTES_PER_SECOND";
	else if (read_fabric(&read))
		reason = "KONA_FABRIC is not PROVIDER:PATH";
	else if (read_number("KONA_STATS_FD", INT_MAX, &descriptor))
		reason = "KONA_STATS_FD is not a descriptor";
	if (reason) {
		*ret_reason = reason;
		return -EINVAL;
	}
	strcpy(read.socket, socket);
	if (descriptor != UINT64_MAX)
		read.stats_descriptor = (int)descriptor;
	*config = read;
	return 0;
}

/* Takes the paths that name libkona.so out of LD_PRELOAD's value, in place. */
static void forget_preload(char *value)
{
	char *to = value;

	while (*value) {
		size_t length = strcspn(value, ": ");
		const char *name = memrchr(value, '/', length);
		size_t skipped = name ? (size_t)(name + 1 - value) : 0;

		if (length - skipped != strlen("libkona.so") ||
		    strncmp(value + skipped, "libkona.so", length - skipped)) {
			if (value[length])
				length++; /* with its separator */
			memmove(to, value, length);
			to += length;
			value += length;
		} else {
			value += length + !!value[length];
		}
	}
	*to = '\0';
}

static bool is_ours(const char *entry)
{
	for (size_t i = 0; i < KONA_ARRAY_LEN(variables); i++) {
		size_t length = strlen(variables[i]);

		if (!strncmp(entry, variables[i], length) && entry[length] == '=')
			return true;
	}
	return false;
}

void kona_config_forget(void)
{
	static const char preload[] = "LD_PRELOAD=";
	char **to = environ;

	for (char **entry = environ; entry && *entry; entry++) {
		if (is_ours(*entry))
			continue;
		if (!strncmp(*entry, preload, sizeof(preload) - 1)) {
			forget_preload(*entry + sizeof(preload) - 1);
			if (!(*entry)[sizeof(preload) - 1])
				continue;
		}
		*to++ = *entry;
	}
	if (to)
		*to = NULL;
}
