/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who touches far memory besides plain loads and stores: system calls, devices, signal handlers,
 * the kernel's signal frames, futexes, thread stacks, the allocator. Output is the same with and
 * without Kona. One argument: the section, or none for all.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "checks.h"

static const size_t size = 24 * MIB;

static void push_out(void)
{
	char *other = map_anonymous(size);

	fill_pages(other, size, 77);
	CHECK(!wrong_pages(other, size, 77));
	CHECK(!munmap(other, size));
}

static int scratch_file(int flags)
{
	char path[] = "/var/tmp/kona-touching-XXXXXX";
	int first = mkstemp(path), fd = open(path, O_RDWR | O_CLOEXEC | flags);

	CHECK(first >= 0 && !unlink(path));
	close(first);
	return fd;
}

/* --- the kernel as reader and writer -----------------------------------------------------------*/

static void whole_write(int fd, const char *memory, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t now = write(fd, memory + done, bytes - done);

		CHECK(now > 0);
		done += (size_t)now;
	}
}

static void whole_read(int fd, char *memory, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t now = read(fd, memory + done, bytes - done);

		CHECK(now > 0);
		done += (size_t)now;
	}
}

static void files(void)
{
	char *memory = map_anonymous(size), *again = map_anonymous(size);
	struct iovec parts[64];
	struct stat *status = malloc(sizeof(*status));
	int fd = scratch_file(0);

	fill_pages(memory, size, 1);
	push_out();
	whole_write(fd, memory, size);
	push_out();
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	whole_read(fd, again, size);
	printf("  read: %zu wrong\n", wrong_pages(again, size, 1));
	memset(again, 0, size);
	push_out();
	/* Every second page, out of order. */
	for (size_t i = 0; i < 64; i++)
		parts[i] = (struct iovec){again + (63 - i) * 2 * PAGE, PAGE};
	printf("  preadv: %d\n", preadv(fd, parts, 64, 0) == 64 * (ssize_t)PAGE);
	for (size_t i = 0; i < 64; i++)
		CHECK(!memcmp(again + (63 - i) * 2 * PAGE, memory + i * PAGE, PAGE));
	push_out();
	printf("  pwritev: %d\n", pwritev(fd, parts, 64, 64 * PAGE) == 64 * (ssize_t)PAGE);
	CHECK(pread(fd, again, 64 * PAGE, 64 * PAGE) == 64 * (ssize_t)PAGE);
	CHECK(!memcmp(again, memory, 64 * PAGE));
	push_out();
	CHECK(!fstat(fd, status));
	printf("  fstat: %ld\n", (long)status->st_size);
	CHECK(!mprotect(again, MIB, PROT_NONE) && pread(fd, again, PAGE, 0) < 0);
	printf("  into closed memory: %s\n", strerrorname_np(errno));
	close(fd);
	free(status);
	CHECK(!munmap(memory, size) && !munmap(again, size));
}

/* The device writes into the page while the evictor would have it. */
static void direct(void)
{
	char *memory = map_anonymous(size), *again = map_anonymous(size);
	int fd = scratch_file(O_DIRECT);

	if (fd < 0) {
		printf("  the file system has no O_DIRECT\n");
		return;
	}
	fill_pages(memory, size, 2);
	push_out();
	for (int turn = 0; turn < 3; turn++) {
		CHECK(lseek(fd, 0, SEEK_SET) == 0);
		whole_write(fd, memory, size);
		push_out();
		CHECK(lseek(fd, 0, SEEK_SET) == 0);
		whole_read(fd, again, size);
		CHECK(!wrong_pages(again, size, 2));
		memset(again, turn, size);
	}
	printf("  done\n");
	close(fd);
	CHECK(!munmap(memory, size) && !munmap(again, size));
}

/* Requests in flight keep their pages pinned, while other pages come and go. */
static void in_flight(void)
{
	enum { REQUESTS = 32 };
	const size_t piece = size / REQUESTS;
	char *memory = map_anonymous(size), *again = map_anonymous(size);
	struct iocb *requests = calloc(REQUESTS, sizeof(*requests)), *list[REQUESTS];
	struct io_event *events = calloc(REQUESTS, sizeof(*events));
	aio_context_t context = 0;
	int fd = scratch_file(O_DIRECT);

	if (fd < 0)
		fd = scratch_file(0);
	fill_pages(memory, size, 3);
	whole_write(fd, memory, size);
	CHECK(!syscall(SYS_io_setup, REQUESTS, &context));
	for (int turn = 0; turn < 3; turn++) {
		memset(again, turn, size);
		for (size_t i = 0; i < REQUESTS; i++) {
			requests[i] = (struct iocb){.aio_lio_opcode = IOCB_CMD_PREAD,
						    .aio_fildes = (uint32_t)fd,
						    .aio_buf = (uintptr_t)again + i * piece,
						    .aio_nbytes = piece,
						    .aio_offset = (int64_t)(i * piece)};
			list[i] = &requests[i];
		}
		CHECK(syscall(SYS_io_submit, context, REQUESTS, list) == REQUESTS);
		push_out();
		CHECK(syscall(SYS_io_getevents, context, REQUESTS, REQUESTS, events, NULL) ==
		      REQUESTS);
		for (size_t i = 0; i < REQUESTS; i++)
			CHECK(events[i].res == (int64_t)piece);
		push_out();
		CHECK(!wrong_pages(again, size, 3));
	}
	printf("  done\n");
	CHECK(!syscall(SYS_io_destroy, context));
	close(fd);
	free(requests);
	free(events);
	CHECK(!munmap(memory, size) && !munmap(again, size));
}

static void *receive(void *argument)
{
	int fd = ((int *)argument)[0];
	char *memory = map_anonymous(size);
	size_t got = 0;

	while (got < size) {
		struct iovec parts[2] = {
			{memory + got, (size - got) / 2},
			{memory + got + (size - got) / 2, size - got - (size - got) / 2}};
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
		ssize_t now = recvmsg(fd, &message, 0);

		CHECK(now > 0);
		got += (size_t)now;
	}
	return memory;
}

static void sockets(void)
{
	char *memory = map_anonymous(size);
	int *ends = malloc(2 * sizeof(int));
	pthread_t thread;
	void *received;

	fill_pages(memory, size, 4);
	push_out();
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	CHECK(!pthread_create(&thread, NULL, receive, ends));
	for (size_t done = 0; done < size;) {
		ssize_t now = send(ends[1], memory + done,
				   size - done < 300000 ? size - done : 300000, 0);

		CHECK(now > 0);
		done += (size_t)now;
	}
	CHECK(!pthread_join(thread, &received));
	printf("  %zu wrong\n", wrong_pages(received, size, 4));
	close(ends[0]);
	close(ends[1]);
	free(ends);
	CHECK(!munmap(memory, size) && !munmap(received, size));
}

/* A pipe holds on to the pages themselves. */
static void spliced(void)
{
	char *memory = map_anonymous(size), *got = malloc(16 * PAGE);
	int fds[2], wrong = 0;

	fill_pages(memory, size, 5);
	CHECK(!pipe(fds));
	for (size_t at = 0; at < size; at += 256 * PAGE) {
		struct iovec part = {memory + at, 16 * PAGE};

		CHECK(vmsplice(fds[1], &part, 1, 0) == 16 * (ssize_t)PAGE);
		fill_pages(memory + (at + size / 2) % size, MIB, 6);
		fill_pages(memory + (at + size / 2) % size, MIB, 5);
		whole_read(fds[0], got, 16 * PAGE);
		wrong += !!memcmp(got, memory + at, 16 * PAGE);
	}
	printf("  %d wrong\n", wrong);
	close(fds[0]);
	close(fds[1]);
	free(got);
	CHECK(!munmap(memory, size));
}

/* --- signals -----------------------------------------------------------------------------------*/

static char *handler_memory;
static volatile sig_atomic_t alarms, alarm_errors;

static void on_alarm(int number)
{
	int saved = errno;
	size_t page = (size_t)alarms * 37 % (size / PAGE);
	volatile uint64_t *word = (uint64_t *)(void *)(handler_memory + page * PAGE) + 100;

	/* Each page counts how often it was met. */
	alarm_errors += *word > (uint64_t)alarms;
	*word += 1;
	alarms++;
	errno = saved;
}

static void handlers(void)
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval often = {{0, 300}, {0, 300}}, never = {0};
	char *memory = map_anonymous(size);
	uint64_t sum = 0;

	handler_memory = map_anonymous(size);
	fill_pages(memory, size, 7);
	CHECK(!sigaction(SIGALRM, &action, NULL));
	CHECK(!setitimer(ITIMER_REAL, &often, NULL));
	while (alarms < 3000) {
		char *block = malloc(200000);

		CHECK(block);
		memset(block, 1, 200000);
		CHECK(!wrong_pages(memory, size, 7));
		free(block);
	}
	CHECK(!setitimer(ITIMER_REAL, &never, NULL));
	for (size_t page = 0; page < size / PAGE; page++)
		sum += ((uint64_t *)(void *)(handler_memory + page * PAGE))[100];
	printf("  %d errors, all counted: %d\n", (int)alarm_errors, sum == (uint64_t)alarms);
	CHECK(!munmap(handler_memory, size) && !munmap(memory, size));
}

static sigjmp_buf *jump; /* in far memory */

static void on_segv(int number, siginfo_t *info, void *context)
{
	char *here = (char *)&here;

	push_out(); /* from the far stack, too */
	CHECK(here > (char *)((ucontext_t *)context)->uc_stack.ss_sp);
	siglongjmp(*jump, 1);
}

/* The kernel writes the signal's frame to a far stack. */
static void far_stack(void)
{
	struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	stack_t stack = {.ss_size = 16 * MIB}, before;
	volatile char *closed = mmap(NULL, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile int caught = 0;

	stack.ss_sp = map_anonymous(stack.ss_size);
	jump = malloc(sizeof(*jump));
	CHECK(!sigaltstack(&stack, &before));
	CHECK(!sigaction(SIGSEGV, &action, NULL));
	for (volatile int i = 0; i < 8; i++) {
		push_out();
		if (!sigsetjmp(*jump, 1))
			closed[i] = 1;
		else
			caught++;
	}
	printf("  %d caught\n", caught);
	action.sa_handler = SIG_DFL;
	CHECK(!sigaction(SIGSEGV, &action, NULL));
	CHECK(!sigaltstack(&before, NULL));
	CHECK(!munmap(stack.ss_sp, stack.ss_size));
	free(jump);
}

/* --- threads -----------------------------------------------------------------------------------*/

static uint64_t deep(uint64_t level, uint64_t seed)
{
	uint64_t words[256];

	for (uint64_t i = 0; i < 256; i++)
		words[i] = word_at(seed, i + level);
	if (level)
		seed = deep(level - 1, seed + 1);
	for (uint64_t i = 0; i < 256; i++)
		seed = seed * 31 + words[(i * 7) % 256];
	return seed;
}

static void *go_deep(void *argument)
{
	return (void *)(uintptr_t)deep(400, (uintptr_t)argument);
}

/* The thread's stack, and with it its thread-local storage, are the program's own far memory. */
static void stacks(void)
{
	enum { THREADS = 8 };
	const size_t stack_bytes = 2 * MIB;
	char *memory = map_anonymous(THREADS * stack_bytes);
	uint64_t sum = 0;

	for (int turn = 0; turn < 3; turn++) {
		pthread_t threads[THREADS];
		void *result;

		for (uintptr_t i = 0; i < THREADS; i++) {
			pthread_attr_t attributes;

			pthread_attr_init(&attributes);
			CHECK(!pthread_attr_setstack(&attributes, memory + i * stack_bytes,
						     stack_bytes));
			CHECK(!pthread_create(&threads[i], &attributes, go_deep, (void *)i));
			pthread_attr_destroy(&attributes);
		}
		for (int i = 0; i < THREADS; i++) {
			push_out();
			CHECK(!pthread_join(threads[i], &result));
			sum = sum * 3 + (uintptr_t)result;
		}
	}
	printf("  %llx\n", (unsigned long long)sum);
	CHECK(!munmap(memory, THREADS * stack_bytes));
}

struct meeting {
	pthread_mutex_t mutex;
	pthread_cond_t condition;
	pthread_rwlock_t rwlock;
	pthread_barrier_t barrier;
	sem_t semaphore;
	uint64_t turn, count, reads;
	char apart[PAGE];
};

enum { MEETINGS = 64, PLAYERS = 4, ROUNDS = 40 };

static struct meeting *meetings;

static void *meet(void *argument)
{
	uint64_t me = (uintptr_t)argument;

	for (uint64_t round = 0; round < ROUNDS * MEETINGS; round++) {
		struct meeting *at = &meetings[round * 29 % MEETINGS];

		CHECK(!pthread_mutex_lock(&at->mutex));
		while (at->turn % PLAYERS != me)
			CHECK(!pthread_cond_wait(&at->condition, &at->mutex));
		at->turn++;
		CHECK(!pthread_cond_broadcast(&at->condition));
		CHECK(!pthread_mutex_unlock(&at->mutex));
		CHECK(!pthread_rwlock_rdlock(&at->rwlock));
		CHECK(at->turn > round / MEETINGS);
		CHECK(!pthread_rwlock_unlock(&at->rwlock));
		CHECK(!pthread_rwlock_wrlock(&at->rwlock));
		at->count++;
		CHECK(!pthread_rwlock_unlock(&at->rwlock));
		CHECK(!sem_wait(&at->semaphore));
		at->reads += at->apart[round % PAGE] == 0;
		CHECK(!sem_post(&at->semaphore));
		if (round % 64 == 0)
			pthread_barrier_wait(&at->barrier);
	}
	return NULL;
}

/* Locks whose futex lies in far memory, while another thread drives all of it out. */
static void locks(void)
{
	pthread_t threads[PLAYERS];
	uint64_t turns = 0, counts = 0, reads = 0;
	size_t bytes = sizeof(struct meeting) * MEETINGS;

	meetings = (struct meeting *)(void *)map_anonymous(bytes + MIB);
	for (int i = 0; i < MEETINGS; i++) {
		pthread_mutex_init(&meetings[i].mutex, NULL);
		pthread_cond_init(&meetings[i].condition, NULL);
		pthread_rwlock_init(&meetings[i].rwlock, NULL);
		pthread_barrier_init(&meetings[i].barrier, NULL, PLAYERS);
		sem_init(&meetings[i].semaphore, 0, 1);
	}
	for (uintptr_t i = 0; i < PLAYERS; i++)
		CHECK(!pthread_create(&threads[i], NULL, meet, (void *)i));
	for (int i = 0; i < 4; i++)
		push_out();
	for (int i = 0; i < PLAYERS; i++)
		CHECK(!pthread_join(threads[i], NULL));
	for (int i = 0; i < MEETINGS; i++) {
		turns += meetings[i].turn;
		counts += meetings[i].count;
		reads += meetings[i].reads;
	}
	printf("  %d %d %d\n", (int)turns, (int)counts, (int)reads);
	CHECK(!munmap(meetings, bytes + MIB));
}

static void *hold(void *argument)
{
	CHECK(!pthread_mutex_lock(argument));
	push_out(); /* the mutex is remote when its holder ends */
	return NULL;
}

/* The kernel marks a robust mutex whose holder has ended: in far memory, from a dying thread. */
static void robust(void)
{
	pthread_mutexattr_t attributes;
	int marked = 0;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	for (int i = 0; i < 10; i++) {
		char *memory = map_anonymous(MIB);
		pthread_mutex_t *mutex = (pthread_mutex_t *)(void *)(memory + i * 5 * PAGE);
		struct timespec soon;
		pthread_t thread;

		pthread_mutex_init(mutex, &attributes);
		CHECK(!pthread_create(&thread, NULL, hold, mutex));
		CHECK(!pthread_join(thread, NULL));
		clock_gettime(CLOCK_REALTIME, &soon);
		soon.tv_sec += 2;
		marked += pthread_mutex_timedlock(mutex, &soon) == EOWNERDEAD;
		CHECK(!munmap(memory, MIB));
	}
	printf("  %d told of their holder's end\n", marked);
}

static void *blow(void *argument)
{
	uint64_t me = (uintptr_t)argument;
	char *blocks[32];

	for (uint64_t i = 0; i < 32; i++) {
		blocks[i] = malloc(1000 + me % 77 * 100);
		CHECK(blocks[i]);
		memset(blocks[i], (int)(me + i), 1000);
	}
	for (uint64_t i = 0; i < 32; i++) {
		CHECK(blocks[i][0] == (char)(me + i) && blocks[i][999] == (char)(me + i));
		free(blocks[i]);
	}
	return argument;
}

static void storms(void)
{
	enum { AT_ONCE = 50 };

	for (uintptr_t round = 0; round < 40; round++) {
		pthread_t threads[AT_ONCE];
		void *result;

		for (uintptr_t i = 0; i < AT_ONCE; i++)
			CHECK(!pthread_create(&threads[i], NULL, blow, (void *)(round * 50 + i)));
		for (uintptr_t i = 0; i < AT_ONCE; i++) {
			CHECK(!pthread_join(threads[i], &result));
			CHECK((uintptr_t)result == round * 50 + i);
		}
	}
	push_out();
	printf("  done\n");
}

/* --- the allocator -----------------------------------------------------------------------------*/

static void heap(void)
{
	enum { BLOCKS = 6000, STEPS = 50000 };
	static const size_t alignments[] = {16, 64, 512, 4096, 65536, 2 * MIB};
	uint64_t **blocks = calloc(BLOCKS, sizeof(*blocks)), random = 88172645463325252ULL;
	size_t *sizes = calloc(BLOCKS, sizeof(*sizes));
	volatile size_t most = SIZE_MAX / 2; /* the compiler knows it else */

	for (uint64_t step = 0; step < STEPS; step++) {
		size_t i, words, kept;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		i = random % BLOCKS;
		words = random / BLOCKS % (step % 500 ? 600 : 60000) + 1;
		kept = words < sizes[i] ? words : sizes[i];
		for (size_t k = 0; k < sizes[i]; k += 61)
			CHECK(blocks[i][k] == word_at(i, k));
		switch (step % 4) {
		case 0: /* zeros, whatever the memory was before */
			free(blocks[i]);
			blocks[i] = calloc(words, 8);
			CHECK(blocks[i]);
			for (size_t k = 0; k < words; k++)
				CHECK(!blocks[i][k]);
			break;
		case 1:
			free(blocks[i]);
			CHECK(!posix_memalign((void **)&blocks[i], alignments[step / 4 % 6],
					      words * 8));
			CHECK(!((uintptr_t)blocks[i] % alignments[step / 4 % 6]));
			break;
		case 2:
			blocks[i] = realloc(blocks[i], words * 8);
			CHECK(blocks[i] && malloc_usable_size(blocks[i]) >= words * 8);
			for (size_t k = 0; k < kept; k += 61)
				CHECK(blocks[i][k] == word_at(i, k));
			break;
		default:
			free(blocks[i]);
			blocks[i] = malloc(words * 8);
			CHECK(blocks[i]);
		}
		sizes[i] = words;
		for (size_t k = 0; k < words; k += 61)
			blocks[i][k] = word_at(i, k);
	}
	errno = 0;
	blocks[0] = malloc(most - PAGE);
	printf("  too much: %d %s\n", blocks[0] != NULL, strerrorname_np(errno));
	errno = 0;
	blocks[0] = calloc(most, 3);
	printf("  overflow: %d %s\n", blocks[0] != NULL, strerrorname_np(errno));
	push_out();
	printf("  done\n");
}

static void libraries(void)
{
	static const char *const names[] = {"libm.so.6", "libresolv.so.2", "libgcc_s.so.1",
					    "libz.so.1"};
	int loaded = 0;

	for (int i = 0; i < 200; i++) {
		void *handle = dlopen(names[i % 4], RTLD_NOW);

		loaded += !!handle;
		if (handle && i % 4 == 0) {
			double (*cosine)(double) = (double (*)(double))dlsym(handle, "cos");

			CHECK(cosine && cosine(0) == 1);
		}
		if (handle && i % 3)
			dlclose(handle);
		if (i % 50 == 0)
			push_out();
	}
	printf("  %d loaded\n", loaded);
}

int main(int argc, char **argv)
{
	static const struct section sections[] = {
		{"files", files},	  {"direct", direct},	{"in-flight", in_flight},
		{"sockets", sockets},	  {"spliced", spliced}, {"handlers", handlers},
		{"far-stack", far_stack}, {"stacks", stacks},	{"locks", locks},
		{"robust", robust},	  {"storms", storms},	{"heap", heap},
		{"libraries", libraries}};

	RUN_SECTIONS(sections, argc > 1 ? argv[1] : NULL);
	return 0;
}
