/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runtime's few words to the user. State: the copy of standard error; whether a fatal line was
 * written. Nothing here touches VFMem: the caller may be the thread that serves it.
 */
#include "runtime/fatal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "runtime/os.h"

static int copy_of_stderr = -1; /* Immutable after init */
static int dying;		/* Atomic, no edge: elects the one who speaks */

void kona_fatal_init(void)
{
	int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	copy_of_stderr = copy < 0 ? -1 : kona_os_raise(copy);
}

static KONA_PRINTF(1, 0) void write_line(const char *format, va_list args)
{
	char line[512];
	int used, more;
	size_t length;

	used = snprintf(line, sizeof(line), "kona: %s[%d]: ", program_invocation_short_name,
			(int)syscall(SYS_getpid));
	more = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, format, args);
	length = (size_t)used + (size_t)(more < 0 ? 0 : more);
	if (length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	/* The program may have closed the copy, by a system call of its own. */
	if (write(copy_of_stderr, line, length) < 0 && write(STDERR_FILENO, line, length) < 0) {
		/* Nowhere left to say so. */
	}
}

void kona_warn(const char *format, ...)
{
	int saved = errno;
	va_list args;

	va_start(args, format);
	write_line(format, args);
	va_end(args);
	errno = saved;
}

void kona_fatal(const char *format, ...)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t bus;
	va_list args;

	/* No edge: whoever comes first speaks. */
	if (kona_exchange_acq_rel(&dying, 1))
		for (;;)
			pause();
	va_start(args, format);
	write_line(format, args);
	va_end(args);
	sigaction(SIGBUS, &action, NULL);
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &bus, NULL);
	syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGBUS);
	_exit(128 + SIGBUS);
}
