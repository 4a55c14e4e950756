/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log lines of the programs (daemons, CLI, tools). State: the name and the verbosity, both set
 * once at start, before threads.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const char *log_name = "kona"; /* Immutable after start. */
static int log_verbose;		      /* Immutable after start. */

void kona_log_name(const char *name)
{
	log_name = name;
}

void kona_log_verbose(int on)
{
	log_verbose = on;
}

static KONA_PRINTF(1, 0) void write_line(const char *format, va_list args)
{
	char line[1024];
	int saved = errno;
	int used = snprintf(line, sizeof(line), "%s: ", log_name);
	int more = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, format, args);
	size_t length = (size_t)used + (size_t)(more < 0 ? 0 : more);

	if (length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	if (write(STDERR_FILENO, line, length) < 0) {
		/* Nowhere left to say so. */
	}
	errno = saved;
}

void kona_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(format, args);
	va_end(args);
}

void kona_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(format, args);
	va_end(args);
}

void kona_debug(const char *format, ...)
{
	va_list args;

	if (!log_verbose)
		return;
	va_start(args, format);
	write_line(format, args);
	va_end(args);
}
