/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into a program, it makes its wall clock go wrong by $KONA_TEST_SKEW seconds.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long skew(void)
{
	const char *text = getenv("KONA_TEST_SKEW");

	return text ? atol(text) : 0;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	static int (*real)(clockid_t clock, struct timespec * ret_time);
	int rc;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	rc = real(clock, ret_time);
	if (!rc && clock == CLOCK_REALTIME)
		ret_time->tv_sec += skew();
	return rc;
}

__attribute__((visibility("default"))) time_t time(time_t *ret_time)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (ret_time)
		*ret_time = now.tv_sec;
	return now.tv_sec;
}

__attribute__((visibility("default"))) int gettimeofday(struct timeval *ret_time, void *zone)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	ret_time->tv_sec = now.tv_sec;
	ret_time->tv_usec = now.tv_nsec / 1000;
	return 0;
}
