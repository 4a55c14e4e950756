/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libkona-sim: where the program makes threads. These functions stand before those of the C library
 * and go on to them. Stateless; what can fail is theirs.
 */
#include "linked.h"

#include <dlfcn.h>
#include <pthread.h>
#include <threads.h>

#include "kona/linked.h"

typedef int make_pthread(pthread_t *thread, const pthread_attr_t *attributes,
			 void *(*start)(void *), void *argument);
typedef int make_thrd(thrd_t *thread, thrd_start_t start, void *argument);

KONA_LINKED_PUBLIC int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
				      void *(*start)(void *), void *argument)
{
	make_pthread *next = (make_pthread *)dlsym(RTLD_NEXT, "pthread_create");

	kona_linked_end_turn();
	return next(thread, attributes, start, argument);
}

KONA_LINKED_PUBLIC int thrd_create(thrd_t *thread, thrd_start_t start, void *argument)
{
	make_thrd *next = (make_thrd *)dlsym(RTLD_NEXT, "thrd_create");

	kona_linked_end_turn();
	return next(thread, start, argument);
}
