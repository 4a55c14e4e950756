/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The buffer comes from the kernel, for the heap and mmap(2) may give far memory, at the thread's
 * first use, and goes with the thread. State: thread-local. (A jump out of a signal handler that
 * uses the buffer leaves it taken: slow, not wrong.)
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cc/bounce.h"

static __thread void *buffer; /* Thread-local */
static __thread int taken;    /* Thread-local */
static pthread_key_t key;     /* Immutable after init */
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

static void *make_buffer(void)
{
	long address;
	int saved = errno;

	if (pthread_once(&once, make_key) || !key_works)
		return NULL;
	address = syscall(SYS_mmap, NULL, (size_t)KONA_CC_BOUNCE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
	errno = saved;
	if (address == -1)
		return NULL;
	if (pthread_setspecific(key, (void *)address)) {
		munmap((void *)address, KONA_CC_BOUNCE_BYTES);
		return NULL;
	}
	return (void *)address;
}

void *kona_cc_bounce_take(size_t size_bytes)
{
	if (taken || size_bytes > KONA_CC_BOUNCE_BYTES)
		return NULL;
	taken = 1;
	if (!buffer)
		buffer = make_buffer();
	if (!buffer)
		taken = 0;
	return buffer;
}

void kona_cc_bounce_give_back(void)
{
	taken = 0;
}
