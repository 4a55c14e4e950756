/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two threads that take turns reading 24 KiB each: for the test of private caches in kona sim.
 */
#include <pthread.h>
#include <stdint.h>

enum { TURNS = 400, BYTES = 24 << 10 };

static uint8_t memory[2][BYTES] __attribute__((aligned(65536)));
static pthread_barrier_t barrier;
static uint64_t sums[2];
static uint8_t *volatile place = memory[0]; /* what is there is not the compiler's to know */

static void *run(void *context)
{
	uintptr_t self = (uintptr_t)context;

	for (uintptr_t turn = 0; turn < TURNS; turn++) {
		if (turn % 2 == self)
			for (int i = 0; i < BYTES; i += 8)
				sums[self] += place[self * BYTES + (uintptr_t)i];
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

int main(void)
{
	pthread_t other;

	pthread_barrier_init(&barrier, NULL, 2);
	if (pthread_create(&other, NULL, run, (void *)1))
		return 1;
	run(NULL);
	pthread_join(other, NULL);
	return sums[0] + sums[1] != 0;
}
