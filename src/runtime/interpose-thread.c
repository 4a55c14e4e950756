/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads of the program: each sees VFMem with its guards from its first instruction to its last
 * (interpose -> hazard). A thread that was made past us (a raw clone) sees ordinary memory only,
 * and takes the fault path.
 *
 * State: the key whose destructor is a thread's last word to us. What can fail: memory for what a
 * thread is told, which is EAGAIN, as pthread_create() has it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "runtime/alloc.h"
#include "runtime/fatal.h"
#include "runtime/hazard.h"
#include "runtime/process.h"

struct start {
	void *(*run)(void *argument);
	void *argument;
};

typedef int create_function(pthread_t *thread, const pthread_attr_t *attributes,
			    void *(*run)(void *argument), void *argument);

static pthread_key_t last_word;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static create_function *create; /* libc's. Immutable after once */

static void leave(void *value)
{
	kona_hazard_leave();
}

static void prepare(void)
{
	create = (create_function *)(uintptr_t)dlsym(RTLD_NEXT, "pthread_create");
	if (!create || pthread_key_create(&last_word, leave))
		kona_fatal("threads cannot be watched");
}

/* However the thread ends, the key's destructor comes by; any value but NULL will do. */
static void *run_watched(void *argument)
{
	struct start start = *(struct start *)argument;
	struct kona_space *space = kona_process_space();
	enum kona_route before = kona_alloc_enter_local();

	free(argument);
	if (space) {
		kona_hazard_enter(space);
		pthread_setspecific(last_word, &once);
	}
	kona_alloc_leave(before);
	return start.run(start.argument);
}

KONA_PUBLIC int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			       void *(*run)(void *), void *argument)
{
	enum kona_route before;
	struct start *start;
	int rc;

	pthread_once(&once, prepare);
	if (!kona_process_space())
		return create(thread, attributes, run, argument);
	before = kona_alloc_enter_local();
	start = malloc(sizeof(*start));
	kona_alloc_leave(before);
	if (!start)
		return EAGAIN;
	*start = (struct start){run, argument};
	rc = create(thread, attributes, run_watched, start);
	if (!rc)
		return 0;
	before = kona_alloc_enter_local();
	free(start);
	kona_alloc_leave(before);
	return rc;
}
