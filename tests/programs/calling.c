/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program written to include/kona/kona.h. What it prints is the same with and without Kona; what
 * only holds under `kona run --local=8M` it checks itself. One argument: the section, or none.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "guarded.h"

static const size_t size = 24 * MIB;

static struct kona_counts counts_now(void)
{
	struct kona_counts counts;

	CHECK(!kona_counts(&counts, sizeof(counts)));
	return counts;
}

static bool is_far(void)
{
	struct kona_counts counts;
	int rc = kona_counts(&counts, sizeof(counts));

	CHECK(!rc || rc == -ENOTCONN);
	return !rc;
}

static void push_out(void)
{
	char *other = map_anonymous(size);

	put_pages(other, size, 77);
	CHECK(!wrong_by_guards(other, size, 77));
	CHECK(!munmap(other, size));
}

/* Pinned memory is there, whatever the evictor wants: reading it fetches nothing. */
static void pins(void)
{
	static const size_t lengths[] = {1, 64, PAGE, 3 * PAGE, 100 * PAGE};
	char *memory = map_anonymous(size);

	for (size_t i = 0; i < 10; i++) {
		size_t bytes = lengths[i / 2], at = (i + 1) * MIB + (bytes < PAGE ? 100 : 0);
		enum kona_pin_for what = i % 2 ? KONA_PIN_WRITE : KONA_PIN_READ;
		uint64_t sum = 0, fetched = 0;
		struct kona_pin pin;

		put_pages(memory, size, 1);
		push_out();
		CHECK(!kona_pin(memory + at, bytes, what, &pin));
		push_out();
		fetched = is_far() ? counts_now().fetched_pages : 0;
		for (size_t byte = 0; byte < bytes; byte++)
			sum += ((volatile unsigned char *)pin.address)[byte];
		CHECK(!is_far() || counts_now().fetched_pages == fetched);
		if (what == KONA_PIN_WRITE)
			memset(pin.address, (int)i, bytes);
		push_out();
		kona_unpin(&pin);
		push_out();
		for (size_t byte = 0; what == KONA_PIN_WRITE && byte < bytes; byte++)
			CHECK(*(const char *)kona_guard_load(memory + at + byte, 0) == (char)i);
		printf("  %zu: %lu\n", bytes, (unsigned long)sum);
	}
	CHECK(!munmap(memory, size));
}

static void too_many(void)
{
	char *memory = map_anonymous(size);
	struct kona_pin pins[3];
	int rc;

	put_pages(memory, size, 2);
	CHECK(kona_pin(memory, 0, KONA_PIN_READ, &pins[0]) == -EINVAL);
	rc = kona_pin(memory, size, KONA_PIN_READ, &pins[0]);
	CHECK(rc == (is_far() ? -ENOSPC : 0));
	CHECK(!kona_pin(memory, 2 * MIB, KONA_PIN_READ, &pins[0]));
	rc = kona_pin(memory + 4 * MIB, 2 * MIB, KONA_PIN_READ, &pins[1]);
	CHECK(rc == (is_far() ? -ENOSPC : 0));
	kona_unpin(&pins[0]);
	CHECK(!kona_pin(memory + 4 * MIB, 2 * MIB, KONA_PIN_WRITE, &pins[2]));
	CHECK(!wrong_pages(memory, size, 2));
	kona_unpin(&pins[2]);
	push_out();
	printf("  %zu wrong\n", wrong_by_guards(memory, size, 2));
	CHECK(!munmap(memory, size));
}

/* Of three that would pin half of the limit and more, all at once, one at most may. */
enum { RIVALS = 3, TURNS = 8 };

static pthread_barrier_t rivals_start, rivals_done;
static int rivals_in;

static void *rival(void *argument)
{
	struct kona_pin pin;

	for (int i = 0; i < TURNS; i++) {
		int rc;

		pthread_barrier_wait(&rivals_start);
		rc = kona_pin(argument, 5 * MIB / 2, KONA_PIN_READ, &pin);
		CHECK(!rc || (is_far() && rc == -ENOSPC));
		if (!rc)
			__atomic_fetch_add(&rivals_in, 1, __ATOMIC_RELAXED);
		pthread_barrier_wait(&rivals_done);
		CHECK(!is_far() || __atomic_load_n(&rivals_in, __ATOMIC_RELAXED) <= 1);
		pthread_barrier_wait(&rivals_start);
		if (!rc)
			kona_unpin(&pin);
		if (!pthread_barrier_wait(&rivals_done))
			__atomic_store_n(&rivals_in, 0, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void at_once(void)
{
	char *memory = map_anonymous(size);
	pthread_t threads[RIVALS];

	put_pages(memory, size, 6);
	CHECK(!pthread_barrier_init(&rivals_start, NULL, RIVALS));
	CHECK(!pthread_barrier_init(&rivals_done, NULL, RIVALS));
	for (int i = 0; i < RIVALS; i++)
		CHECK(!pthread_create(&threads[i], NULL, rival, memory + i * 4 * MIB));
	for (int i = 0; i < RIVALS; i++)
		CHECK(!pthread_join(threads[i], NULL));
	printf("  %zu wrong\n", wrong_by_guards(memory, size, 6));
	CHECK(!munmap(memory, size));
}

/* --- the size of local memory ------------------------------------------------------------------*/

static char *shared_memory;
static volatile bool over;

static void *press(void *argument)
{
	while (!over)
		CHECK(!wrong_by_guards(shared_memory, size, 3));
	return NULL;
}

/* Without the memory node's own, which is mapped. */
static size_t resident_bytes(void)
{
	FILE *stream = fopen("/proc/self/status", "r");
	unsigned long kib = 0;
	char line[256];

	CHECK(stream);
	while (fgets(line, sizeof(line), stream))
		sscanf(line, "RssAnon: %lu", &kib);
	fclose(stream);
	CHECK(kib);
	return kib * 1024;
}

/* Up and down, while a thread reads all of it. */
static void sizes(void)
{
	static const size_t local[] = {32 * MIB, 8 * MIB, 16 * MIB, 9 * MIB, 40 * MIB, 8 * MIB};
	size_t least = resident_bytes();
	pthread_t thread;

	over = false;
	shared_memory = map_anonymous(size);
	put_pages(shared_memory, size, 3);
	CHECK(!pthread_create(&thread, NULL, press, NULL));
	for (size_t i = 0; is_far() && i < sizeof(local) / sizeof(local[0]); i++) {
		CHECK(!kona_set_local(local[i]));
		CHECK(counts_now().local_budget_bytes == local[i]);
		CHECK(counts_now().local_pages * PAGE <= local[i]);
		usleep(200000);
		CHECK(counts_now().local_pages * PAGE <= local[i]);
		if (local[i] <= 9 * MIB)
			CHECK(resident_bytes() < least + 10 * MIB);
	}
	CHECK(kona_set_local(4096) == (is_far() ? -EINVAL : -ENOTCONN));
	over = true;
	CHECK(!pthread_join(thread, NULL));
	printf("  %zu wrong\n", wrong_by_guards(shared_memory, size, 3));
	CHECK(!munmap(shared_memory, size));
}

/* --- hints -------------------------------------------------------------------------------------*/

enum { PATIENCE = 20000 };

static void hints(void)
{
	char *memory = map_anonymous(size);
	struct kona_counts before = {0}, after;

	put_pages(memory, size, 4);
	push_out();
	/* Nothing comes before the evictor has made room. */
	for (int i = 0; i < PATIENCE; i++) {
		if (is_far())
			before = counts_now();
		kona_prefetch(memory + 5 * MIB, 40 * PAGE);
		if (!is_far() || counts_now().prefetched_pages > before.prefetched_pages)
			break;
		usleep(1000);
	}
	if (is_far()) {
		after = counts_now();
		CHECK(after.prefetched_pages > before.prefetched_pages);
		CHECK(after.guard_misses == before.guard_misses);
		CHECK(after.faults == before.faults);
	}
	CHECK(get(memory + 5 * MIB + 5 * MIB / PAGE % 128 * 8) == word_at(4, 5 * MIB / PAGE * 4));
	if (is_far())
		CHECK(counts_now().prefetch_used_pages > before.prefetch_used_pages);
	kona_prefetch(memory + 5 * MIB, 0);
	kona_prefetch(&before, sizeof(before));

	/* Whole pages only. */
	kona_discard_range(memory + MIB + 8, MIB);
	CHECK(!nonzero_by_guards(memory + MIB + PAGE, MIB - PAGE));
	CHECK(!wrong_by_guards(memory, MIB + PAGE, 4));
	CHECK(get(memory + 2 * MIB + 2 * MIB / PAGE % 128 * 8) == word_at(4, 2 * MIB / PAGE * 4));
	kona_discard_range(memory + 100, 200);
	push_out();
	CHECK(!nonzero_pages(memory + MIB + PAGE, MIB - PAGE));
	printf("  %zu wrong\n", wrong_pages(memory, MIB + PAGE, 4));
	CHECK(!munmap(memory, size));
}

static void blocks(void)
{
	enum { BLOCKS = 200 };
	static char copy[100000], again[100000];
	char *all[BLOCKS];

	for (size_t i = 0; i < sizeof(copy); i++)
		copy[i] = (char)(i * 7);
	for (size_t i = 0; i < BLOCKS; i++) {
		all[i] = kona_alloc(sizeof(copy));
		CHECK(all[i] && !((uintptr_t)all[i] % 16));
		kona_write(all[i] + i, copy, sizeof(copy) - i);
	}
	push_out();
	for (size_t i = 0; i < BLOCKS; i++) {
		kona_read(again, all[i] + i, sizeof(copy) - i);
		CHECK(!memcmp(again, copy, sizeof(copy) - i));
		CHECK(!memcmp(all[i] + i, copy, 5000));
		if (i + 1 < BLOCKS)
			kona_write(all[i + 1] + i + 1, all[i] + i, 30000); /* both far */
	}
	for (size_t i = 0; i < BLOCKS; i++)
		kona_free(all[i]);
	errno = 0;
	CHECK(!kona_alloc(SIZE_MAX / 4) && errno == ENOMEM);
	kona_free(NULL);
	CHECK(kona_counts((struct kona_counts *)(void *)again, 8) == -EINVAL);
	printf("  done\n");
}

int main(int argc, char **argv)
{
	static const struct section sections[] = {{"pins", pins},	{"too-many", too_many},
						  {"at-once", at_once}, {"sizes", sizes},
						  {"hints", hints},	{"blocks", blocks}};

	RUN_SECTIONS(sections, argc > 1 ? argv[1] : NULL);
	return 0;
}
