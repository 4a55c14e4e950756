/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libkona-sim: the ends of a program that exit() does not see. These functions stand before those
 * of the C library, write the result, and go on to them. Stateless; what can fail is the exec,
 * after which the program goes on, and is simulated no longer.
 */
#include "linked.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kona/linked.h"

enum { ARGUMENTS_MAX = 1024 }; /* of execl() and its kin, whose list has no length */

typedef int exec_path(const char *file, char *const argv[], char *const envp[]);
typedef int exec_descriptor(int fd, char *const argv[], char *const envp[]);

KONA_LINKED_PUBLIC void _exit(int status)
{
	kona_linked_finish("exit");
	for (;;)
		syscall(SYS_exit_group, status);
}

KONA_LINKED_PUBLIC void _Exit(int status)
{
	_exit(status);
}

/* An exec that returns has failed. */
static int tell_failed(int finished)
{
	int error = errno;

	if (finished)
		fprintf(stderr, "kona-sim: an exec failed (%s): what follows is not counted\n",
			strerror(error));
	errno = error;
	return -1;
}

KONA_LINKED_PUBLIC int execve(const char *path, char *const argv[], char *const envp[])
{
	int finished = kona_linked_finish("exec");

	syscall(SYS_execve, path, argv, envp);
	return tell_failed(finished);
}

KONA_LINKED_PUBLIC int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

KONA_LINKED_PUBLIC int execvpe(const char *file, char *const argv[], char *const envp[])
{
	int finished = kona_linked_finish("exec");
	exec_path *next = (exec_path *)dlsym(RTLD_NEXT, "execvpe");

	next(file, argv, envp);
	return tell_failed(finished);
}

KONA_LINKED_PUBLIC int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

KONA_LINKED_PUBLIC int fexecve(int fd, char *const argv[], char *const envp[])
{
	int finished = kona_linked_finish("exec");
	exec_descriptor *next = (exec_descriptor *)dlsym(RTLD_NEXT, "fexecve");

	next(fd, argv, envp);
	return tell_failed(finished);
}

/* Fills argv[] with the list that begins with `first`; returns 0 if it is too long. */
static int take_list(char **argv, const char *first, va_list *list)
{
	const char *argument = first;

	for (int count = 0; count < ARGUMENTS_MAX; count++) {
		argv[count] = (char *)argument;
		if (!argument)
			return 1;
		argument = va_arg(*list, const char *);
	}
	errno = E2BIG;
	return 0;
}

KONA_LINKED_PUBLIC int execl(const char *path, const char *first, ...)
{
	char *argv[ARGUMENTS_MAX];
	va_list list;
	int fits;

	va_start(list, first);
	fits = take_list(argv, first, &list);
	va_end(list);
	return fits ? execv(path, argv) : -1;
}

KONA_LINKED_PUBLIC int execlp(const char *file, const char *first, ...)
{
	char *argv[ARGUMENTS_MAX];
	va_list list;
	int fits;

	va_start(list, first);
	fits = take_list(argv, first, &list);
	va_end(list);
	return fits ? execvp(file, argv) : -1;
}

KONA_LINKED_PUBLIC int execle(const char *path, const char *first, ...)
{
	char *argv[ARGUMENTS_MAX], **envp = NULL;
	va_list list;
	int fits;

	va_start(list, first);
	fits = take_list(argv, first, &list);
	if (fits)
		envp = va_arg(list, char **);
	va_end(list);
	return fits ? execve(path, argv, envp) : -1;
}
