/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sizes and durations as people write them. Stateless; errors are -EINVAL and -ERANGE.
 */
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Reads a plain decimal number; strtod alone would accept "inf", "0x1p3" and a sign. */
static int parse_number(const char *text, double *ret_value, const char **ret_rest)
{
	char *end;
	double value;

	if (!isdigit((unsigned char)text[0]) || (text[0] == '0' && (text[1] | 32) == 'x'))
		return -EINVAL;
	value = strtod(text, &end);
	if (!isfinite(value))
		return -ERANGE;
	*ret_value = value;
	*ret_rest = end;
	return 0;
}

static int scale(double value, double factor, uint64_t *ret_product)
{
	if (value * factor >= 0x1p63)
		return -ERANGE;
	*ret_product = (uint64_t)(value * factor + 0.5);
	return 0;
}

int kona_size_parse(const char *text, uint64_t *ret_bytes)
{
	static const char suffixes[] = "KMGT";
	const char *rest, *found;
	double value, factor = 1;
	int rc;

	rc = parse_number(text, &value, &rest);
	if (rc)
		return rc;
	if (*rest && (found = strchr(suffixes, toupper((unsigned char)*rest)))) {
		factor = (double)(UINT64_C(1) << (10 * (found - suffixes + 1)));
		rest++;
		if (*rest == 'i' && rest[1] == 'B')
			rest++;
	}
	if (*rest == 'B')
		rest++;
	if (*rest)
		return -EINVAL;
	return scale(value, factor, ret_bytes);
}

char *kona_size_format(uint64_t bytes, char *text, size_t text_bytes)
{
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t i = 0;

	while (value >= 1024 && i + 1 < KONA_ARRAY_LEN(names)) {
		value /= 1024;
		i++;
	}
	snprintf(text, text_bytes, i && value < 100 ? "%.1f %s" : "%.0f %s", value, names[i]);
	return text;
}

int kona_duration_parse(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		double factor;
	} units[] = {{"", 1e9},	 {"ns", 1},   {"us", 1e3},  {"ms", 1e6},
		     {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
	const char *rest;
	double value;
	int rc;

	rc = parse_number(text, &value, &rest);
	if (rc)
		return rc;
	for (size_t i = 0; i < KONA_ARRAY_LEN(units); i++)
		if (!strcmp(rest, units[i].name))
			return scale(value, units[i].factor, ret_ns);
	return -EINVAL;
}

uint64_t kona_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
