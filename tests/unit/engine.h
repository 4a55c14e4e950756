/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine on a store of its own, with far more data than frames, for tests that each run in a
 * process apart: a space is never taken back.
 */
#ifndef KONA_TESTS_ENGINE_H
#define KONA_TESTS_ENGINE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/fatal.h"
#include "runtime/space.h"

enum {
	SLAB_BYTES = 4 << 20,
	SPACE_BYTES = 256 << 20,
	LOCAL_BYTES = 3 << 20, /* some 650 frames */
	DATA_PAGES = 4096,
	WORDS = KONA_PAGE_BYTES / 8,
	THREADS = 4,
};

/* In the child process an assertion that fails must not jump into cmocka. */
#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			_exit(1);                                                       \
		}                                                                       \
	} while (0)

static struct kona_transport shm;
static struct kona_stats stats;
static struct kona_space space;

static int grow(void *context, uint64_t first, uint64_t count, bool patient)
{
	int descriptor = memfd_create("grant", MFD_CLOEXEC);

	if (descriptor < 0 || ftruncate(descriptor, (off_t)(count * SLAB_BYTES)))
		return -errno;
	kona_transport_shm_attach(&shm, first, count, descriptor);
	return 0;
}

static void make_space(enum kona_dirty_mode mode, struct kona_transport *store)
{
	struct kona_space_options options = {
		.size_bytes = SPACE_BYTES,
		.slab_bytes = SLAB_BYTES,
		.local_bytes = mode == KONA_DIRTY_TWIN ? 2 * LOCAL_BYTES : LOCAL_BYTES,
		.dirty_mode = mode,
		.store = store,
		.stats = &stats,
		.grower = {grow, NULL, 4},
	};

	kona_fatal_init();
	CHECK(!kona_transport_shm_init(&shm, SLAB_BYTES, SPACE_BYTES / SLAB_BYTES));
	CHECK(!kona_space_init(&space, &options));
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t *take_data(uint64_t pages)
{
	void *taken = kona_region_alloc(&space, pages, 1, PROT_READ | PROT_WRITE);

	CHECK(taken);
	return taken;
}

/* Runs the test in a process of its own. Returns its wait status. */
static int run_apart(void (*test)(void))
{
	int status;
	pid_t child = fork();

	if (!child) {
		alarm(100);
		test();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

#define APART(name)                                   \
	static void name##_apart(void **state)        \
	{                                             \
		assert_int_equal(run_apart(name), 0); \
	}

#endif
