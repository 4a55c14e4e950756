/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One line per event on standard error. For programs: libraries return errors, programs log.
 * A line is "NAME: message"; it is formatted on the stack and leaves in one write(2), so it never
 * interleaves and never allocates. Any thread; not from a signal handler.
 */
#ifndef KONA_BASE_LOG_H
#define KONA_BASE_LOG_H

#include "base/compiler.h"

/* Name that starts each line; default "kona". The string must stay valid. Call once, at start. */
void kona_log_name(const char *name);

/* Lines of kona_debug() are written only after kona_log_verbose(1). */
void kona_log_verbose(int on);

void kona_error(const char *format, ...) KONA_PRINTF(1, 2);
void kona_info(const char *format, ...) KONA_PRINTF(1, 2);
void kona_debug(const char *format, ...) KONA_PRINTF(1, 2);

#endif
