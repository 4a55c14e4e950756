/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of a program whose memory cannot be had: one clear line, then SIGBUS.
 */
#ifndef KONA_RUNTIME_FATAL_H
#define KONA_RUNTIME_FATAL_H

#include "base/compiler.h"

/* Keeps a copy of standard error, since daemons close theirs. Once, at start. */
void kona_fatal_init(void);

/*
 * Writes "kona: PROGRAM[PID]: message" in one write(2) and ends the process by SIGBUS, whatever it
 * does about that signal. Any thread; allocates nothing. The first caller's line is the only one.
 */
KONA_NORETURN void kona_fatal(const char *format, ...) KONA_PRINTF(1, 2);

/* The same line without the end; errno stays. For refusals that the program survives. */
void kona_warn(const char *format, ...) KONA_PRINTF(1, 2);

#endif
