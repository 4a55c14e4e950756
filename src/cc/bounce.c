/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The buffer comes from the kernel, for the heap and mmap(2) may give far memory, at the thread's
 * first use, and goes with the thread; a larger one goes with its use. State: thread-local. (A jump
 * out of a signal handler that uses the buffer leaves it taken: slow, not wrong.)
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cc/bounce.h"

static __thread void *buffer;	    /* Thread-local */
static __thread void *large;	    /* Thread-local: what is in use instead */
static __thread size_t large_bytes; /* Thread-local */
static __thread int taken;	    /* Thread-local */
static pthread_key_t key;	    /* Immutable after init */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int key_works; /* Immutable after init */

static void release(void *memory)
{
	buffer = NULL;
	taken = 1; /* a later destructor goes without */
	munmap(memory, KONA_CC_BOUNCE_BYTES);
}

static void make_key(void)
{
	key_works = !pthread_key_create(&key, release);
}

static void *map(size_t size_bytes)
{
	int saved = errno;
	long address = syscall(SYS_mmap, NULL, size_bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);

	errno = saved;
	return address == -1 ? NULL : (void *)address;
}

static void *make_buffer(void)
{
	void *made;

	if (pthread_once(&once, make_key) || !key_works)
		return NULL;
	made = map(KONA_CC_BOUNCE_BYTES);
	if (made && pthread_setspecific(key, made)) {
		munmap(made, KONA_CC_BOUNCE_BYTES);
		return NULL;
	}
	return made;
}

void *kona_cc_bounce_take(size_t size_bytes)
{
	void *given;

	if (taken || size_bytes > KONA_CC_BOUNCE_MOST_BYTES)
		return NULL;
	taken = 1;
	if (size_bytes > KONA_CC_BOUNCE_BYTES) {
		given = large = map(size_bytes);
		large_bytes = size_bytes;
	} else {
		if (!buffer)
			buffer = make_buffer();
		given = buffer;
	}
	if (!given)
		taken = 0;
	return given;
}

void kona_cc_bounce_give_back(void)
{
	if (large)
		syscall(SYS_munmap, large, large_bytes);
	large = NULL;
	taken = 0;
}
