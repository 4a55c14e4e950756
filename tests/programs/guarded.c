/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program written to include/kona/guard.h whose guards meet what else touches its memory: plain
 * accesses, the kernel, changes of its mappings, threads that come and go. Output is the same with
 * and without Kona. One argument: the section, or none for all.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>

#include "guarded.h"

static const size_t size = 24 * MIB;

static void push_out(void)
{
	char *other = map_anonymous(size);

	put_pages(other, size, 77);
	CHECK(!wrong_by_guards(other, size, 77));
	CHECK(!munmap(other, size));
}

static int scratch_file(void)
{
	char path[] = "/var/tmp/kona-guarded-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0 && !unlink(path));
	return fd;
}

static uint64_t draw(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

/* --- threads -----------------------------------------------------------------------------------*/

enum { THREADS = 4, STEPS = 150000 };

struct player {
	pthread_t thread;
	uint64_t me;
	char *memory;
	uint32_t *versions; /* of its line in each page; local */
};

/* Each thread has lines of its own in every page, and reaches them by guards or, one time in 16,
 * without. */
static void *play(void *argument)
{
	struct player *player = argument;
	uint64_t random = 0x9e3779b97f4a7c15ULL * (player->me + 1);

	for (int i = 0; i < STEPS; i++) {
		uint64_t drawn = draw(&random), page = (drawn >> 20) % (size / PAGE);
		char *word = player->memory + page * PAGE + (player->me + THREADS * 5) * 64;
		uint64_t expected = player->versions[page]
					    ? word_at(player->me, page) + player->versions[page]
					    : 0;
		bool plain = drawn % 16 == 0;

		CHECK((plain ? *(uint64_t *)(void *)word : get(word)) == expected);
		if (drawn % 3 == 0)
			continue;
		player->versions[page]++;
		expected = word_at(player->me, page) + player->versions[page];
		if (plain)
			*(uint64_t *)(void *)word = expected;
		else
			put(word, expected);
	}
	return NULL;
}

static void threads(void)
{
	char *memory = map_anonymous(size);
	struct player players[THREADS];
	size_t wrong = 0;

	for (uint64_t i = 0; i < THREADS; i++) {
		players[i] = (struct player){
			.me = i, .memory = memory, .versions = calloc(size / PAGE, 4)};
		CHECK(!pthread_create(&players[i].thread, NULL, play, &players[i]));
	}
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(players[i].thread, NULL));
	for (uint64_t i = 0; i < THREADS; i++) {
		for (size_t page = 0; page < size / PAGE; page++) {
			uint32_t version = players[i].versions[page];

			wrong += get(memory + page * PAGE + (i + THREADS * 5) * 64) !=
				 (version ? word_at(i, page) + version : 0);
		}
		free(players[i].versions);
	}
	printf("  %zu wrong\n", wrong);
	CHECK(!munmap(memory, size));
}

static char *shared_memory;

static void *come_and_go(void *argument)
{
	uint64_t me = (uintptr_t)argument;

	for (uint64_t i = 0; i < 20; i++)
		add(shared_memory + (me * 31 + i * 257) % (size / PAGE) * PAGE, 1);
	if (me % 3 == 0)
		pthread_exit(argument);
	if (me % 3 == 1)
		return argument;
	for (;;) /* until it is cancelled, in the midst of guards or not */
		if (get(shared_memory + me % 100 * PAGE) == UINT64_MAX || usleep(1))
			return NULL;
}

/* Threads that live shorter than a batch of the evictor. */
static void churn(void)
{
	enum { AT_ONCE = 16, ROUNDS = 60 };
	uint64_t sum = 0;

	shared_memory = map_anonymous(size);
	for (uintptr_t round = 0; round < ROUNDS; round++) {
		pthread_t some[AT_ONCE];

		for (uintptr_t i = 0; i < AT_ONCE; i++)
			CHECK(!pthread_create(&some[i], NULL, come_and_go,
					      (void *)(round * AT_ONCE + i)));
		for (uintptr_t i = 0; i < AT_ONCE; i++) {
			void *result;

			/* It counts before it ends: no guard is a point of cancellation. */
			if ((round * AT_ONCE + i) % 3 == 2)
				CHECK(!pthread_cancel(some[i]));
			CHECK(!pthread_join(some[i], &result));
		}
		if (round % 20 == 0)
			push_out();
	}
	for (size_t page = 0; page < size / PAGE; page++)
		sum += get(shared_memory + page * PAGE);
	printf("  %lu\n", (unsigned long)sum);
	CHECK(sum == ROUNDS * AT_ONCE * 20);
	CHECK(!munmap(shared_memory, size));
}

/* --- atomics, futexes --------------------------------------------------------------------------*/

static void *count_up(void *argument)
{
	uint64_t random = (uintptr_t)argument * 7919 + 1;

	for (int i = 0; i < STEPS; i++) {
		char *word = shared_memory + draw(&random) % (size / PAGE) * PAGE + 8;

		if (i % 32)
			add(word, 1);
		else
			__atomic_fetch_add((uint64_t *)(void *)word, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* All threads count in the same words, some without guards. */
static void atomics(void)
{
	pthread_t some[THREADS];
	uint64_t sum = 0;

	shared_memory = map_anonymous(size);
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&some[i], NULL, count_up, (void *)i));
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(some[i], NULL));
	for (size_t page = 0; page < size / PAGE; page++)
		sum += get(shared_memory + page * PAGE + 8);
	printf("  %d\n", sum == (uint64_t)THREADS * STEPS);
	CHECK(!munmap(shared_memory, size));
}

enum { TURNS = 1500, WORDS = 16 };

static char *futex_at(uint64_t turn)
{
	return shared_memory + turn % WORDS * (size / WORDS) + turn % WORDS * 4;
}

/* The word is changed by guards, slept on by the kernel; the data beside it is read by guards. */
static void *pass_on(void *argument)
{
	for (uint32_t turn = (uint32_t)(uintptr_t)argument; turn < TURNS; turn += 2) {
		uint32_t *word = (uint32_t *)(void *)futex_at(turn), seen, *mine;

		while ((seen = __atomic_load_n((const uint32_t *)kona_guard_load(word, 0),
					       __ATOMIC_ACQUIRE)) != turn / WORDS + 1)
			syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
		CHECK(get(futex_at(turn) - turn % WORDS * 4 + 512) == turn);
		put(futex_at(turn + 1) - (turn + 1) % WORDS * 4 + 512, turn + 1);
		mine = kona_guard_store(futex_at(turn + 1), 1);
		__atomic_store_n(mine, (turn + 1) / WORDS + 1, __ATOMIC_RELEASE);
		syscall(SYS_futex, futex_at(turn + 1), FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
		for (uint64_t i = 0; i < 64; i++)
			add(shared_memory + (turn * 64 + i) % (size / PAGE) * PAGE + 2048, 1);
	}
	return NULL;
}

static void futexes(void)
{
	pthread_t some[2];
	uint64_t sum = 0;

	shared_memory = map_anonymous(size);
	*(uint32_t *)(void *)futex_at(0) = 1;
	for (uintptr_t i = 0; i < 2; i++)
		CHECK(!pthread_create(&some[i], NULL, pass_on, (void *)i));
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_join(some[i], NULL));
	for (size_t page = 0; page < size / PAGE; page++)
		sum += get(shared_memory + page * PAGE + 2048);
	printf("  %d\n", sum == (uint64_t)TURNS * 64);
	CHECK(!munmap(shared_memory, size));
}

/* --- the kernel --------------------------------------------------------------------------------*/

/* Buffers that guards filled last, and whose contents guards see next. */
static void buffers(void)
{
	char *memory = map_anonymous(size), *again = map_anonymous(size);
	int fd = scratch_file();

	for (uint64_t turn = 0; turn < 3; turn++) {
		put_pages(memory, size, turn);
		CHECK(lseek(fd, 0, SEEK_SET) == 0);
		for (size_t at = 0; at < size; at += MIB)
			CHECK(write(fd, memory + at, MIB) == (ssize_t)MIB);
		put_pages(again, size, 100); /* framed, and dirty */
		for (size_t at = 0; at < size; at += MIB)
			CHECK(pread(fd, again + at, MIB, (off_t)at) == (ssize_t)MIB);
		printf("  %zu wrong\n", wrong_by_guards(again, size, turn));
		CHECK(!wrong_by_guards(memory, size, turn));
	}
	close(fd);
	CHECK(!munmap(memory, size) && !munmap(again, size));
}

/* --- mappings ----------------------------------------------------------------------------------*/

static sigjmp_buf jump;
static void *volatile fault_address;

static void on_segv(int number, siginfo_t *info, void *context)
{
	fault_address = info->si_addr;
	siglongjmp(jump, 1);
}

/* Not inlined: beside sigsetjmp() nothing may change. */
static __attribute__((noinline)) void touch(char *address, int writes)
{
	if (writes)
		put(address, 5);
	else
		get(address);
}

static int is_refused(char *volatile address, int writes)
{
	fault_address = NULL;
	if (sigsetjmp(jump, 1)) {
		CHECK(fault_address == address);
		return 1;
	}
	touch(address, writes);
	return 0;
}

/* The kernel's protection is felt by guards, whether the page was framed or remote. */
static void protection(void)
{
	struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
	char *memory = map_anonymous(size), *at[] = {memory, memory + size / 2};
	int refused = 0;

	CHECK(!sigaction(SIGSEGV, &action, NULL));
	for (volatile uint64_t turn = 0; turn < 20; turn++) {
		put_pages(at[0], size / 2, turn);
		put_pages(at[1], size / 2, turn);
		CHECK(!wrong_by_guards(at[1], MIB, turn)); /* framed; what is at[0] is remote */
		for (volatile int i = 0; i < 2; i++) {
			CHECK(!mprotect(at[i], MIB, PROT_READ));
			for (volatile size_t page = 0; page < MIB; page += 37 * PAGE)
				refused +=
					is_refused(at[i] + page, 1) + !is_refused(at[i] + page, 0);
			CHECK(!wrong_by_guards(at[i], MIB, turn));
			CHECK(!mprotect(at[i], MIB, PROT_NONE));
			for (volatile size_t page = 0; page < MIB; page += 37 * PAGE)
				refused += is_refused(at[i] + page, 0);
			CHECK(!mprotect(at[i], MIB, PROT_READ | PROT_WRITE));
		}
		for (volatile int i = 0; i < 2; i++)
			CHECK(!wrong_by_guards(at[i], size / 2, turn));
	}
	printf("  %d refused\n", refused);
	action.sa_handler = SIG_DFL;
	CHECK(!sigaction(SIGSEGV, &action, NULL));
	CHECK(!munmap(memory, size));
}

static void moved(void)
{
	char *memory = map_anonymous(4 * MIB), *blocker;

	for (uint64_t turn = 0; turn < 20; turn++) {
		put_pages(memory, 4 * MIB, turn);
		blocker = map_anonymous(MIB);
		memory = mremap(memory, 4 * MIB, 12 * MIB, MREMAP_MAYMOVE);
		CHECK(memory != MAP_FAILED);
		CHECK(!wrong_by_guards(memory, 4 * MIB, turn));
		CHECK(!nonzero_by_guards(memory + 4 * MIB, MIB));
		put_pages(memory + 4 * MIB, 8 * MIB, turn + 50);
		CHECK(!wrong_pages(memory, 4 * MIB, turn));
		memory = mremap(memory, 12 * MIB, 4 * MIB, 0);
		CHECK(memory != MAP_FAILED);
		CHECK(!wrong_by_guards(memory, 4 * MIB, turn));
		CHECK(!munmap(blocker, MIB));
	}
	push_out();
	printf("  %zu wrong\n", wrong_by_guards(memory, 4 * MIB, 19));
	CHECK(!munmap(memory, 4 * MIB));
}

static volatile int done;

/* Sees what was written, or zeros. Its slots name pages that are dropped, again and again. */
static void *look_on(void *argument)
{
	uint64_t random = 99;

	while (!done) {
		uint64_t page = draw(&random) % (4 * MIB / PAGE);
		uint64_t seen = get(shared_memory + page * PAGE + page % 128 * 8);

		CHECK(!seen || seen == word_at(3, page * 4));
	}
	return NULL;
}

static void dropped(void)
{
	pthread_t thread;

	shared_memory = map_anonymous(size);
	done = 0;
	put_pages(shared_memory, size, 3);
	CHECK(!pthread_create(&thread, NULL, look_on, NULL));
	for (int turn = 0; turn < 60; turn++) {
		char *at = shared_memory + (size_t)turn % 4 * MIB;
		size_t bytes = turn % 3 ? MIB : 5 * PAGE;

		CHECK(!madvise(at, bytes, MADV_DONTNEED));
		CHECK(!nonzero_by_guards(at, bytes));
		for (size_t page = 0; page < bytes / PAGE; page++) {
			uint64_t index = (uint64_t)(at - shared_memory) / PAGE + page;

			for (uint64_t i = 0; i < 4; i++)
				put(at + page * PAGE + (i * 128 + index % 128) * 8,
				    word_at(3, index * 4 + i));
		}
		if (turn % 10 == 0)
			CHECK(!wrong_by_guards(shared_memory, size, 3));
	}
	done = 1;
	CHECK(!pthread_join(thread, NULL));
	printf("  %zu wrong\n", wrong_by_guards(shared_memory, size, 3));
	CHECK(!munmap(shared_memory, size));
}

/* A file over far memory, and far memory over the file. */
static void covered(void)
{
	char *memory = map_anonymous(size), *middle = memory + 8 * MIB;
	int fd = scratch_file();
	uint64_t word;

	CHECK(!ftruncate(fd, 2 * MIB));
	for (uint64_t turn = 0; turn < 10; turn++) {
		put_pages(memory, size, turn);
		put_pages(middle, 2 * MIB, turn); /* framed */
		CHECK(mmap(middle, 2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			   0) == middle);
		CHECK(get(middle + 64) == (turn ? 1000 + turn - 1 : 0));
		put(middle + 64, 1000 + turn);
		put_pages(middle + MIB, MIB, 500 + turn);
		CHECK(pread(fd, &word, 8, 64) == 8 && word == 1000 + turn);
		CHECK(!madvise(middle, 2 * MIB, MADV_DONTNEED)); /* the file stays what it is */
		CHECK(get(middle + 64) == 1000 + turn);
		CHECK(!wrong_pages(middle + MIB, MIB, 500 + turn));
		CHECK(!wrong_by_guards(memory, 8 * MIB, turn));
		CHECK(mmap(middle, 2 * MIB, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == middle);
		CHECK(!nonzero_by_guards(middle, 2 * MIB));
	}
	printf("  done\n");
	close(fd);
	CHECK(!munmap(memory, size));
}

int main(int argc, char **argv)
{
	static const struct section sections[] = {
		{"threads", threads}, {"churn", churn},	    {"atomics", atomics},
		{"futexes", futexes}, {"buffers", buffers}, {"protection", protection},
		{"moved", moved},     {"dropped", dropped}, {"covered", covered}};

	RUN_SECTIONS(sections, argc > 1 ? argv[1] : NULL);
	return 0;
}
