/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork(2) and its relatives in a program whose memory is in frames: a child sees it as it was at
 * the fork, by guards and without; its parent's guards go on. Output is the same with and without
 * Kona, and with --follow. One argument: the section, or none for all.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "guarded.h"

#include "children.h"

static const size_t size = 24 * MIB;
extern char **environ;

/* Half of it was framed last, a part of it after plain accesses. */
static char *map_framed(uint64_t seed)
{
	char *memory = map_anonymous(size);

	put_pages(memory, size, seed);
	CHECK(!wrong_pages(memory, MIB, seed));
	CHECK(!wrong_by_guards(memory, 2 * MIB, seed));
	return memory;
}

/* --- snapshots ---------------------------------------------------------------------------------*/

static void look_and_write(char *memory, uint64_t seed)
{
	char *own = map_anonymous(8 * MIB), *heap = malloc(MIB);

	CHECK(!wrong_by_guards(memory, size / 2, seed));
	CHECK(!wrong_pages(memory, size, seed));
	CHECK(!wrong_by_guards(memory, size, seed));
	put_pages(memory, size, seed + 1);
	put_pages(own, 8 * MIB, seed + 2);
	put_pages(heap, MIB, seed + 3);
	CHECK(!wrong_pages(memory, size, seed + 1));
	CHECK(!wrong_by_guards(own, 8 * MIB, seed + 2));
	CHECK(!wrong_pages(own, 8 * MIB, seed + 2));
	CHECK(!wrong_by_guards(heap, MIB, seed + 3));
	CHECK(!wrong_by_guards(memory, size, seed + 1));
}

static void snapshot(void)
{
	for (uint64_t turn = 0; turn < 4; turn++) {
		char *memory = map_framed(turn);
		pid_t pid = fork_checked();

		if (!pid) {
			look_and_write(memory, turn);
			_exit(0);
		}
		put_pages(memory, size, turn + 50);
		CHECK(!wrong_by_guards(memory, size, turn + 50));
		printf("  child: %d\n", ends(pid));
		CHECK(!wrong_pages(memory, size, turn + 50));
		CHECK(!munmap(memory, size));
	}
}

static void generations(void)
{
	char *memory = map_framed(20);

	for (uint64_t level = 0; level < 3; level++) {
		pid_t pid = fork_checked();

		if (pid) {
			put_pages(memory, size, 30 + level);
			CHECK(!wrong_by_guards(memory, size, 30 + level));
			CHECK(!ends(pid));
			CHECK(!wrong_pages(memory, size, 30 + level));
			if (level)
				_exit(0);
			break;
		}
		CHECK(!wrong_by_guards(memory, size, 20 + level));
		put_pages(memory, size, 21 + level);
		if (level == 2)
			_exit(0);
	}
	printf("  all saw their own\n");
	CHECK(!munmap(memory, size));
}

/* --- beside threads that miss ------------------------------------------------------------------*/

enum { THREADS = 3, FORKS = 25 };

struct worker {
	pthread_t thread;
	char *memory;
	uint64_t rounds, me;
};

static volatile bool over;

static void *work(void *argument)
{
	struct worker *worker = argument;

	while (!over || !worker->rounds) {
		put_pages(worker->memory, size / THREADS, worker->me * 1000 + worker->rounds);
		CHECK(!wrong_by_guards(worker->memory, size / THREADS,
				       worker->me * 1000 + worker->rounds));
		worker->rounds++;
	}
	return NULL;
}

/* Each page holds the words of one round, though not all pages those of the same one. */
static bool is_of_some_round(const char *memory, size_t page, uint64_t me, uint64_t rounds)
{
	for (uint64_t round = rounds + 1; round-- > 0;) {
		int same = 0;

		for (size_t i = 0; i < 4; i++)
			same += *(const uint64_t *)(const void *)(memory + page * PAGE +
								  (i * 128 + page % 128) * 8) ==
				word_at(me * 1000 + round, page * 4 + i);
		if (same)
			return true;
	}
	return false;
}

static void beside_threads(void)
{
	char *memory = map_anonymous(size), *constant = map_framed(60);
	struct worker workers[THREADS];
	int failed = 0;

	over = false;
	for (uint64_t i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.memory = memory + i * (size / THREADS), .me = i + 1};
		CHECK(!pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	}
	for (int i = 0; i < FORKS; i++) {
		uint64_t rounds[THREADS];
		pid_t pid;

		usleep(2000);
		pid = fork_checked();
		if (!pid) {
			for (int k = 0; k < THREADS; k++)
				rounds[k] = workers[k].rounds;
			CHECK(!wrong_by_guards(constant, size, 60));
			for (int k = 0; k < THREADS; k++)
				for (size_t page = 0; rounds[k] && page < 200; page++)
					CHECK(is_of_some_round(workers[k].memory, page * 7,
							       workers[k].me, rounds[k] + 1));
			put_pages(constant, MIB, 61);
			_exit(0);
		}
		if (i % 3 == 0)
			CHECK(!wrong_by_guards(constant, size, 60));
		failed += ends(pid) != 0;
	}
	over = true;
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(workers[i].thread, NULL));
	printf("  %d failed\n", failed);
	CHECK(!wrong_by_guards(constant, size, 60));
	CHECK(!munmap(memory, size) && !munmap(constant, size));
}

static char *quarters;

/* A thread that is not the first forks, and its child runs guards and threads of its own. */
static void *use_quarter(void *argument)
{
	uint64_t me = (uintptr_t)argument;
	char *mine = quarters + me * (size / 4);

	put_pages(mine, size / 4, me + 70);
	CHECK(!wrong_by_guards(mine, size / 4, me + 70));
	return NULL;
}

static void *fork_here(void *argument)
{
	pid_t pid;

	use_quarter(argument);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		pthread_t threads[4];

		for (uintptr_t i = 0; i < 4; i++)
			CHECK(!pthread_create(&threads[i], NULL, use_quarter, (void *)i));
		for (int i = 0; i < 4; i++)
			CHECK(!pthread_join(threads[i], NULL));
		_exit(0);
	}
	use_quarter(argument);
	return (void *)(uintptr_t)ends(pid);
}

static void from_threads(void)
{
	pthread_t threads[4];
	void *result;
	int failed = 0;

	fflush(stdout);
	quarters = map_anonymous(size);
	for (int turn = 0; turn < 2; turn++) {
		for (uintptr_t i = 0; i < 4; i++)
			CHECK(!pthread_create(&threads[i], NULL, fork_here, (void *)i));
		for (int i = 0; i < 4; i++) {
			CHECK(!pthread_join(threads[i], &result));
			failed += result != NULL;
		}
	}
	printf("  %d failed\n", failed);
	CHECK(!munmap(quarters, size));
}

static char *closed;
static pthread_barrier_t barrier;
static sigjmp_buf jump;

static void on_segv(int number)
{
	siglongjmp(jump, 1);
}

/* Is refused, leaves the handler for good, and does nothing more. */
static void *try_closed(void *argument)
{
	volatile int tries = 0;

	if (!sigsetjmp(jump, 1)) {
		tries++;
		get(closed);
		tries++;
	}
	pthread_barrier_wait(&barrier); /* the other one forks */
	pthread_barrier_wait(&barrier);
	return (void *)(uintptr_t)tries;
}

static void after_refusals(void)
{
	struct sigaction action = {.sa_handler = on_segv};
	char *memory = map_framed(75);
	pthread_t thread;
	void *tries;
	pid_t pid;

	closed = memory + size / 2; /* remote by now */
	CHECK(!mprotect(closed, MIB, PROT_NONE));
	CHECK(!sigaction(SIGSEGV, &action, NULL));
	CHECK(!pthread_barrier_init(&barrier, NULL, 2));
	CHECK(!pthread_create(&thread, NULL, try_closed, NULL));
	pthread_barrier_wait(&barrier);
	pid = fork_checked();
	if (!pid) {
		CHECK(!wrong_by_guards(memory, size / 2, 75));
		_exit(0);
	}
	printf("  child: %d\n", ends(pid));
	pthread_barrier_wait(&barrier);
	CHECK(!pthread_join(thread, &tries));
	printf("  %d tries\n", (int)(uintptr_t)tries);
	CHECK(!mprotect(closed, MIB, PROT_READ | PROT_WRITE));
	CHECK(!wrong_by_guards(memory, size, 75));
	CHECK(!munmap(memory, size));
}

/* --- executing ---------------------------------------------------------------------------------*/

/* The words that the executed program gets lie in frames. */
static void executes(void)
{
	char *memory = map_framed(80),
	     *words[4] = {memory, memory + 5 * MIB, memory + 9 * MIB, NULL};
	pid_t pid;

	kona_write(words[0], "/bin/sh", 8);
	kona_write(words[1], "-c", 3);
	kona_write(words[2], "echo \"  from a shell\"; exit 5", 30);
	pid = fork_checked();
	if (!pid) {
		execve(words[0], words, environ);
		_exit(127);
	}
	printf("  fork and exec: %d\n", ends(pid));
	fflush(stdout);
	CHECK(kona_guard_store(words[2], 0)); /* framed again */
	pid = vfork();
	if (!pid) {
		execve(words[0], words, environ);
		_exit(127);
	}
	printf("  vfork and exec: %d\n", ends(pid));
	fflush(stdout);
	CHECK(!posix_spawn(&pid, words[0], NULL, NULL, words, environ));
	printf("  posix_spawn: %d\n", ends(pid));
	CHECK(!wrong_by_guards(memory + 12 * MIB, 0, 80));
	CHECK(!munmap(memory, size));
}

/* Once more, with this program. Under --follow it has remote memory of its own. */
static void executes_itself(void)
{
	char *memory = map_framed(90);
	pid_t pid = fork_checked();

	if (!pid) {
		execl("/proc/self/exe", "guarded-forks", "executed", NULL);
		_exit(127);
	}
	printf("  %d\n", ends(pid));
	CHECK(!wrong_by_guards(memory, size, 90));
	CHECK(!munmap(memory, size));
}

static void executed(void)
{
	char *memory = map_framed(91);
	pid_t pid = fork_checked();

	if (!pid) {
		look_and_write(memory, 91);
		_exit(0);
	}
	put_pages(memory, size, 92);
	printf("  child: %d\n", ends(pid));
	CHECK(!wrong_by_guards(memory, size, 92));
	CHECK(!munmap(memory, size));
}

int main(int argc, char **argv)
{
	static const struct section sections[] = {{"snapshot", snapshot},
						  {"generations", generations},
						  {"beside-threads", beside_threads},
						  {"from-threads", from_threads},
						  {"after-refusals", after_refusals},
						  {"executes", executes},
						  {"executes-itself", executes_itself},
						  {"executed", executed}};

	RUN_SECTIONS(sections, argc > 1 ? argv[1] : NULL);
	return 0;
}
