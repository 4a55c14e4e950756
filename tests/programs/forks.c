/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork(2) and its relatives: a child sees the memory as it was at the fork, whatever its parent
 * does to it meanwhile, and the other way round. Output is the same with and without Kona. One
 * argument: the section, or none for all but `orphan` (which ends the program).
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checks.h"
#include "children.h"

static const size_t size = 48 * MIB;
extern char **environ;

/* The parent overwrites a third, drops a third, unmaps a third, while the child looks. */
static void snapshot(void)
{
	size_t third = size / 3;
	char *memory = map_anonymous(size), *heap = malloc(4 * MIB);
	char *parts[] = {memory, memory + third, memory + 2 * third};
	pid_t pid;

	for (uint64_t i = 0; i < 3; i++)
		fill_pages(parts[i], third, i);
	fill_pages(heap, 4 * MIB, 3);
	pid = fork_checked();
	if (!pid) {
		for (int turn = 0; turn < 2; turn++) {
			for (uint64_t i = 3; i-- > 0;)
				CHECK(!wrong_pages(parts[i], third, i));
			CHECK(!wrong_pages(heap, 4 * MIB, 3));
		}
		for (uint64_t i = 0; i < 3; i++)
			fill_pages(parts[i], third, 10 + i);
		for (uint64_t i = 0; i < 3; i++)
			CHECK(!wrong_pages(parts[i], third, 10 + i));
		_exit(0);
	}
	fill_pages(parts[0], third, 20);
	CHECK(!madvise(parts[1], third, MADV_DONTNEED));
	CHECK(!munmap(parts[2], third));
	free(heap);
	heap = malloc(4 * MIB);
	fill_pages(heap, 4 * MIB, 23);
	CHECK(!wrong_pages(parts[0], third, 20));
	CHECK(!nonzero_pages(parts[1], third));
	printf("  child: %d\n", ends(pid));
	CHECK(!wrong_pages(parts[0], third, 20));
	CHECK(!wrong_pages(heap, 4 * MIB, 23));
	free(heap);
	CHECK(!munmap(memory, 2 * third));
}

/* Many children at once, each with a snapshot of its own. They look when they are told to. */
static void generations(void)
{
	enum { CHILDREN = 12 };
	char *memory = map_anonymous(size), byte;
	pid_t pids[CHILDREN];
	int go[2], failed = 0;

	CHECK(!pipe(go));
	for (uint64_t i = 0; i < CHILDREN; i++) {
		fill_pages(memory + i % 4 * size / 4, size / 4, i);
		pids[i] = fork_checked();
		if (!pids[i]) {
			close(go[1]);
			CHECK(read(go[0], &byte, 1) == 0);
			for (uint64_t part = 0; part < 4; part++) {
				char *at = memory + part * size / 4;
				uint64_t last = i - (i + 4 - part) % 4;

				if (last <= i)
					CHECK(!wrong_pages(at, size / 4, last));
				else
					CHECK(!nonzero_pages(at, size / 4));
			}
			_exit(0);
		}
	}
	fill_pages(memory, size, 99);
	close(go[0]);
	close(go[1]);
	for (int i = 0; i < CHILDREN; i++)
		failed += ends(pids[i]) != 0;
	printf("  %d of %d failed\n", failed, CHILDREN);
	CHECK(!wrong_pages(memory, size, 99));
	CHECK(!munmap(memory, size));
}

static void in_a_row(void)
{
	char *memory = map_anonymous(size);
	int failed = 0;

	fill_pages(memory, size, 1);
	for (uint64_t i = 0; i < 100; i++) {
		char *at = memory + i % 12 * 4 * MIB;
		pid_t pid;

		fill_pages(at, 4 * MIB, 100 + i);
		pid = fork_checked();
		if (!pid) {
			CHECK(!wrong_pages(at, 4 * MIB, 100 + i));
			_exit(0);
		}
		fill_pages(at, 4 * MIB, 200 + i);
		failed += ends(pid) != 0;
		CHECK(!wrong_pages(at, 4 * MIB, 200 + i));
	}
	printf("  %d failed\n", failed);
	CHECK(!munmap(memory, size));
}

static char *shared_memory;

/* Each thread owns a quarter of the memory, and forks while the others write. */
static void *fork_often(void *argument)
{
	uint64_t me = (uintptr_t)argument, failed = 0;
	char *mine = shared_memory + me * size / 4;

	for (uint64_t i = 0; i < 8; i++) {
		pid_t pid;

		fill_pages(mine, size / 4, me * 1000 + i);
		pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			char *block = malloc(100000);

			CHECK(block);
			memset(block, 1, 100000);
			CHECK(!wrong_pages(mine, size / 4, me * 1000 + i));
			_exit(0);
		}
		fill_pages(mine, size / 4, me * 1000 + 500 + i);
		failed += ends(pid) != 0;
		CHECK(!wrong_pages(mine, size / 4, me * 1000 + 500 + i));
	}
	return (void *)(uintptr_t)failed;
}

/* Children that end at once: one is let go while another thread announces the next. */
static void *fork_briefly(void *argument)
{
	uint64_t failed = 0;

	for (uint64_t i = 0; i < 150; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid)
			_exit(shared_memory[(uintptr_t)argument * size / 4] != 1);
		failed += ends(pid) != 0;
	}
	return (void *)(uintptr_t)failed;
}

static void fork_from_threads(void *(*work)(void *argument))
{
	pthread_t threads[4];
	uint64_t failed = 0;

	fflush(stdout);
	for (uintptr_t i = 0; i < 4; i++)
		CHECK(!pthread_create(&threads[i], NULL, work, (void *)i));
	for (int i = 0; i < 4; i++) {
		void *result;

		CHECK(!pthread_join(threads[i], &result));
		failed += (uintptr_t)result;
	}
	printf("  %d failed\n", (int)failed);
	CHECK(!munmap(shared_memory, size));
}

static void from_threads(void)
{
	shared_memory = map_anonymous(size);
	fork_from_threads(fork_often);
}

static void briefly_from_threads(void)
{
	shared_memory = map_anonymous(size);
	memset(shared_memory, 1, size);
	fork_from_threads(fork_briefly);
}

/* Three generations below us, each changes a part before it forks, and checks after its child. */
static void descend(char *memory, uint64_t level)
{
	pid_t pid;

	if (level == 4)
		return;
	fill_pages(memory + level * MIB, 8 * MIB, 50 + level);
	pid = fork_checked();
	if (!pid) {
		for (uint64_t i = 0; i <= level; i++)
			CHECK(!wrong_pages(memory + i * MIB, i < level ? MIB : 8 * MIB, 50 + i));
		CHECK(!wrong_pages(memory + 16 * MIB, size - 16 * MIB, 40));
		descend(memory, level + 1);
		_exit(0);
	}
	fill_pages(memory + level * MIB, 8 * MIB, 60 + level);
	fill_pages(memory + 16 * MIB, MIB, 60);
	CHECK(!ends(pid));
	CHECK(!wrong_pages(memory + level * MIB, 8 * MIB, 60 + level));
}

static void grandchildren(void)
{
	char *memory = map_anonymous(size);

	fill_pages(memory + 16 * MIB, size - 16 * MIB, 40);
	descend(memory, 0);
	printf("  all saw their own\n");
	CHECK(!munmap(memory, size));
}

/* Two children of one child, while its own parent overwrites everything. */
static void siblings(void)
{
	char *memory = map_anonymous(size);
	pid_t pid;

	fill_pages(memory, size, 70);
	pid = fork_checked();
	if (!pid) {
		pid_t pids[2];

		for (uint64_t i = 0; i < 2; i++) {
			pids[i] = fork();
			CHECK(pids[i] >= 0);
			if (!pids[i]) {
				CHECK(!wrong_pages(memory, size / 2, 70 + i));
				CHECK(!wrong_pages(memory + size / 2, size / 2, 70));
				_exit(0);
			}
			fill_pages(memory, size / 2, 71 + i);
		}
		CHECK(!ends(pids[0]) && !ends(pids[1]));
		CHECK(!wrong_pages(memory, size / 2, 72));
		_exit(0);
	}
	fill_pages(memory, size, 79);
	printf("  %d\n", ends(pid));
	CHECK(!wrong_pages(memory, size, 79));
	CHECK(!munmap(memory, size));
}

/* A child allocates, resizes, frees and drops, both what it inherited and what is its own. */
static void greedy(void)
{
	enum { BLOCKS = 3000 };
	char **blocks = calloc(BLOCKS, sizeof(*blocks)), *memory = map_anonymous(size);
	pid_t pid;

	for (uint64_t i = 0; i < BLOCKS; i++) {
		blocks[i] = malloc(PAGE * (1 + i % 7));
		fill_pages(blocks[i], PAGE * (1 + i % 7), i);
	}
	fill_pages(memory, size, 80);
	pid = fork_checked();
	if (!pid) {
		char *own = map_anonymous(32 * MIB);

		fill_pages(own, 32 * MIB, 81);
		for (uint64_t i = 0; i < BLOCKS; i++) {
			size_t bytes = PAGE * (1 + i % 7);

			CHECK(!wrong_pages(blocks[i], bytes, i));
			if (i % 3 == 0) {
				free(blocks[i]);
				blocks[i] = malloc(bytes);
				fill_pages(blocks[i], bytes, i);
			} else if (i % 3 == 1) {
				blocks[i] = realloc(blocks[i], 2 * bytes);
				CHECK(blocks[i]);
			}
		}
		for (uint64_t i = 0; i < BLOCKS; i++)
			CHECK(!wrong_pages(blocks[i], PAGE * (1 + i % 7), i));
		CHECK(!madvise(memory, 4 * MIB, MADV_DONTNEED));
		CHECK(!nonzero_pages(memory, 4 * MIB));
		CHECK(!munmap(memory + 4 * MIB, 4 * MIB));
		CHECK(!mprotect(memory + 8 * MIB, 4 * MIB, PROT_READ));
		CHECK(mmap(memory + 12 * MIB, 4 * MIB, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory + 12 * MIB);
		CHECK(!nonzero_pages(memory + 12 * MIB, 4 * MIB));
		{
			char *copy = map_anonymous(size);

			memcpy(copy + 16 * MIB, memory + 16 * MIB, size - 16 * MIB);
			memcpy(copy + 8 * MIB, memory + 8 * MIB, 4 * MIB);
			CHECK(*(uint64_t *)(void *)(copy + 20 * MIB + 20 * MIB / PAGE % 128 * 8) ==
			      word_at(80, 20 * MIB / PAGE * 4));
			CHECK(*(uint64_t *)(void *)(copy + 8 * MIB + 8 * MIB / PAGE % 128 * 8) ==
			      word_at(80, 8 * MIB / PAGE * 4));
		}
		memory = mremap(memory + 16 * MIB, size - 16 * MIB, 2 * size, MREMAP_MAYMOVE);
		CHECK(memory != MAP_FAILED);
		CHECK(!nonzero_pages(memory + size - 16 * MIB, size));
		CHECK(*(uint64_t *)(void *)(memory + 16 * MIB / PAGE % 128 * 8) ==
		      word_at(80, 16 * MIB / PAGE * 4));
		CHECK(!wrong_pages(own, 32 * MIB, 81));
		_exit(0);
	}
	for (uint64_t i = 0; i < BLOCKS; i++) {
		CHECK(!wrong_pages(blocks[i], PAGE * (1 + i % 7), i));
		free(blocks[i]);
	}
	fill_pages(memory, size, 82);
	printf("  %d\n", ends(pid));
	CHECK(!wrong_pages(memory, size, 82));
	CHECK(!munmap(memory, size));
	free(blocks);
}

/* The kernel reads and writes far memory for the child: nobody but its own thread can help it. */
static void kernel_reads(void)
{
	char *memory = map_anonymous(size);
	int ends_of[2];
	pid_t pid;

	fill_pages(memory, size, 83);
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends_of));
	pid = fork_checked();
	if (!pid) {
		for (size_t sent = 0; sent < size;) {
			ssize_t now = write(ends_of[1], memory + sent, size - sent);

			CHECK(now > 0);
			sent += (size_t)now;
		}
		_exit(0);
	}
	close(ends_of[1]);
	/* Into its own source: the parent overwrites what the child has yet to send. */
	memset(memory, 0, size);
	for (size_t got = 0; got < size;) {
		ssize_t now = read(ends_of[0], memory + got, size - got);

		CHECK(now > 0);
		got += (size_t)now;
	}
	printf("  %d, %zu wrong\n", ends(pid), wrong_pages(memory, size, 83));
	close(ends_of[0]);
	CHECK(!munmap(memory, size));
}

/* The words that the executed program gets lie in far memory. */
static void executes(void)
{
	char *memory = map_anonymous(size), *words[5], line[64];
	pid_t pid;
	FILE *stream;
	int fds[2];

	fill_pages(memory, size, 84);
	for (size_t i = 0; i < 4; i++)
		words[i] = memory + (i + 1) * 4 * MIB;
	strcpy(words[0], "/bin/sh");
	strcpy(words[1], "-c");
	strcpy(words[2], "echo \"  $0\"");
	strcpy(words[3], "the word");
	words[4] = NULL;
	fill_pages(memory + size / 2, size / 2, 84);
	fflush(stdout);

	pid = fork_checked();
	if (!pid) {
		execve(words[0], words, environ);
		_exit(127);
	}
	printf("  fork and exec: %d\n", ends(pid));
	fflush(stdout);
	pid = vfork();
	if (!pid) {
		execve(words[0], words, environ);
		_exit(127);
	}
	printf("  vfork and exec: %d\n", ends(pid));
	fflush(stdout);
	CHECK(!posix_spawn(&pid, words[0], NULL, NULL, words, environ));
	printf("  posix_spawn: %d\n", ends(pid));
	fflush(stdout);
	printf("  system: %d\n", system("echo '  from system'; exit 3") >> 8);
	stream = popen("echo from popen", "r");
	CHECK(stream && fgets(line, sizeof(line), stream) && !pclose(stream));
	printf("  %s", line);
	fflush(stdout);
	CHECK(!pipe(fds));
	pid = fork_checked();
	if (!pid) {
		close(fds[0]);
		dup2(fds[1], STDOUT_FILENO);
		execl("/bin/echo", "echo", "through a pipe", NULL);
		_exit(127);
	}
	close(fds[1]);
	CHECK(read(fds[0], line, sizeof(line)) == 15);
	printf("  %.15s  %d\n", line, ends(pid));
	close(fds[0]);
	pid = vfork();
	if (!pid)
		_exit(7);
	printf("  vfork: %d\n", ends(pid));
	CHECK(!munmap(memory, size));
}

/* A child that is killed, or ends at once, holds nothing up. */
static void short_lives(void)
{
	char *memory = map_anonymous(size);

	fill_pages(memory, size, 85);
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork_checked();

		if (!pid) {
			if (i % 2)
				_exit(i);
			for (;;)
				CHECK(!wrong_pages(memory, size, 85));
		}
		if (i % 2 == 0) {
			CHECK(!kill(pid, i % 4 ? SIGKILL : SIGTERM));
			CHECK(ends(pid) == 1000 + (i % 4 ? SIGKILL : SIGTERM));
		} else {
			CHECK(ends(pid) == i);
		}
		CHECK(!wrong_pages(memory, size, 85));
	}
	printf("  done\n");
	CHECK(!munmap(memory, size));
}

/* The child goes on when its parent is gone: how it went depends on the argument. */
static void orphan(const char *how)
{
	char *memory = map_anonymous(size), byte;
	int alive[2];
	pid_t pid;

	fill_pages(memory, size, 90);
	CHECK(!pipe(alive));
	pid = fork_checked();
	if (!pid) {
		close(alive[1]);
		CHECK(!wrong_pages(memory, size / 8, 90));
		CHECK(read(alive[0], &byte, 1) == 0);
		for (int turn = 0; turn < 2; turn++)
			CHECK(!wrong_pages(memory, size, 90));
		pid = fork();
		CHECK(pid >= 0);
		if (pid)
			CHECK(!ends(pid));
		CHECK(!wrong_pages(memory, size, 90));
		fill_pages(memory, size, 91);
		CHECK(!wrong_pages(memory, size, 91));
		if (pid) {
			printf("  the orphan saw all\n");
			fflush(stdout);
		}
		_exit(0);
	}
	fill_pages(memory, size / 2, 92);
	CHECK(!wrong_pages(memory, size / 2, 92));
	if (!strcmp(how, "exec"))
		execl("/bin/true", "true", NULL);
	if (!strcmp(how, "kill"))
		raise(SIGKILL);
	_exit(0);
}

int main(int argc, char **argv)
{
	static const struct section sections[] = {{"snapshot", snapshot},
						  {"generations", generations},
						  {"in-a-row", in_a_row},
						  {"from-threads", from_threads},
						  {"briefly-from-threads", briefly_from_threads},
						  {"grandchildren", grandchildren},
						  {"siblings", siblings},
						  {"greedy", greedy},
						  {"kernel-reads", kernel_reads},
						  {"executes", executes},
						  {"short-lives", short_lives}};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2 && !strcmp(argv[1], "orphan"))
		orphan(argv[2]);
	RUN_SECTIONS(sections, argc > 1 ? argv[1] : NULL);
	return 0;
}
