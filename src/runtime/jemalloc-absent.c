/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the renamed jemalloc would take from elsewhere and must not have (scripts/rename-jemalloc).
 * Its configuration is ours alone; its profiler is never on.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/types.h>

char *kona_je_no_secure_getenv(const char *name);
ssize_t kona_je_no_readlink(const char *path, char *buffer, size_t size);
double kona_je_no_log(double x);
double kona_je_no_exp(double x);
double kona_je_no_round(double x);
int kona_je_no__Unwind_Backtrace(void *function, void *argument);
unsigned long kona_je_no__Unwind_GetIP(void *context);

char *kona_je_no_secure_getenv(const char *name)
{
	return NULL;
}

ssize_t kona_je_no_readlink(const char *path, char *buffer, size_t size)
{
	errno = ENOENT;
	return -1;
}

double kona_je_no_log(double x)
{
	abort();
}

double kona_je_no_exp(double x)
{
	abort();
}

double kona_je_no_round(double x)
{
	abort();
}

int kona_je_no__Unwind_Backtrace(void *function, void *argument)
{
	return 0; /* its start-up calls it once, to warm it up */
}

unsigned long kona_je_no__Unwind_GetIP(void *context)
{
	abort();
}
