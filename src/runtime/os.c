/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel calls of the runtime. Used by every stage of both walks. Stateless.
 *
 * UFFDIO_MOVE is declared here: Debian 12's kernel headers are older than it (Linux 6.8).
 */
#include "runtime/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"

#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
struct uffdio_move {
	uint64_t dst, src, len, mode;
	int64_t move;
};
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

enum {
	RAISED_DESCRIPTORS = 64, /* how far below the limit of the table ours stand */
	LEAST_RAISED = 128,
};

static uint8_t guarded[KONA_OS_MOST_GUARDED]; /* Atomic, no edge: by descriptor */

void *kona_os_mmap(void *address, size_t size, int protection, int flags, int descriptor,
		   off_t offset)
{
	return (void *)syscall(SYS_mmap, address, size, protection, flags, descriptor, offset);
}

int kona_os_munmap(void *address, size_t size)
{
	return (int)syscall(SYS_munmap, address, size);
}

int kona_os_madvise(void *address, size_t size, int advice)
{
	return (int)syscall(SYS_madvise, address, size, advice);
}

int kona_os_mprotect(void *address, size_t size, int protection)
{
	return (int)syscall(SYS_mprotect, address, size, protection);
}

void *kona_os_alloc(size_t size_bytes)
{
	void *memory = kona_os_mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void guard(int descriptor, bool on)
{
	if (descriptor >= 0 && descriptor < KONA_OS_MOST_GUARDED)
		kona_store_relaxed(&guarded[descriptor], on); /* relaxed: its number is its key */
}

bool kona_os_guards(int descriptor)
{
	return descriptor >= 0 && descriptor < KONA_OS_MOST_GUARDED &&
	       kona_load_relaxed(&guarded[descriptor]); /* relaxed: its number is its key */
}

void kona_os_close(int descriptor)
{
	if (descriptor < 0)
		return;
	guard(descriptor, false);
	syscall(SYS_close, descriptor);
}

int kona_os_close_range(unsigned first, unsigned last, int flags)
{
	unsigned from = first;

	for (unsigned i = first; i <= last && i < KONA_OS_MOST_GUARDED; i++) {
		if (!kona_os_guards((int)i))
			continue;
		if (i > from && syscall(SYS_close_range, from, i - 1, flags))
			return -1;
		from = i + 1;
	}
	return from > last ? 0 : (int)syscall(SYS_close_range, from, last, flags);
}

int kona_os_raise(int descriptor)
{
	struct rlimit limit;
	int from, raised = -1;

	if (descriptor < 0)
		return descriptor;
	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur >= 2 * LEAST_RAISED) {
		/* A high number would make the kernel's table of descriptors large. */
		from = limit.rlim_cur > 1024 ? 1024 - RAISED_DESCRIPTORS
					     : (int)limit.rlim_cur - RAISED_DESCRIPTORS;
		raised = fcntl(descriptor, F_DUPFD_CLOEXEC, from);
	}
	if (raised >= 0) {
		syscall(SYS_close, descriptor);
		descriptor = raised;
	}
	guard(descriptor, true);
	return descriptor;
}

/* One line of /proc/self/maps, "START-END rwxp ...". True when it holds the address. */
static bool parse_mapping(const char *line, uintptr_t address, int *protection)
{
	char *rest;
	uintptr_t start = strtoul(line, &rest, 16), end;

	if (*rest != '-')
		return false;
	end = strtoul(rest + 1, &rest, 16);
	if (address < start || address >= end)
		return false;
	*protection = (rest[1] == 'r' ? PROT_READ : 0) | (rest[2] == 'w' ? PROT_WRITE : 0) |
		      (rest[3] == 'x' ? PROT_EXEC : 0);
	return true;
}

int kona_os_protection(const void *address)
{
	int maps = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
	char line[64], buffer[4096];
	size_t used = 0;
	int protection = -ENOMEM;
	ssize_t got;

	if (maps < 0)
		return -errno;
	while (protection < 0 && (got = read(maps, buffer, sizeof(buffer))) > 0)
		for (ssize_t i = 0; i < got; i++) {
			if (buffer[i] != '\n') {
				if (used < sizeof(line) - 1)
					line[used++] = buffer[i];
				continue;
			}
			line[used] = '\0';
			used = 0;
			if (parse_mapping(line, (uintptr_t)address, &protection))
				break;
		}
	syscall(SYS_close, maps);
	return protection;
}

struct thread_start {
	const char *name;
	void (*run)(void *);
	void *argument;
	bool own_table;
	pid_t tid; /* Atomic, edge OS-1: 0 until the thread runs; -errno: it cannot */
};

static int leave_table(void)
{
	if (unshare(CLONE_FILES) || kona_os_close_range(0, ~0U, 0))
		return -errno;
	return 0;
}

static void *run_thread(void *pointer)
{
	struct thread_start *start = pointer;
	void (*run)(void *) = start->run;
	void *argument = start->argument;
	int rc = start->own_table ? leave_table() : 0;

	prctl(PR_SET_NAME, start->name);
	/* OS-1: release, pairs with the acquire in kona_os_thread(); *start is gone afterwards. */
	kona_store_release(&start->tid, rc ? rc : (pid_t)syscall(SYS_gettid));
	if (!rc)
		run(argument);
	return NULL;
}

void kona_os_block_signals(sigset_t *ret_signals)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, ret_signals);
}

int kona_os_thread(const char *name, void (*run)(void *), void *argument, bool own_table,
		   pid_t *ret_tid)
{
	struct thread_start start = {name, run, argument, own_table, 0};
	pthread_attr_t attributes;
	sigset_t before;
	pthread_t thread;
	int rc;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, 256 << 10);
	kona_os_block_signals(&before);
	rc = -pthread_create(&thread, &attributes, run_thread, &start);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (rc)
		return rc;
	while (!kona_load_acquire(&start.tid)) /* OS-1 */
		sched_yield();
	if (start.tid < 0)
		return start.tid;
	*ret_tid = start.tid;
	return 0;
}

int kona_os_thread_pidfd(pid_t tid)
{
	int descriptor = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);

	return descriptor < 0 ? -errno : descriptor;
}

/* --- userfaultfd ------------------------------------------------------------------------------ */

static int open_uffd(void)
{
	int device, uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (uffd >= 0 || errno != EPERM)
		return uffd < 0 ? -errno : uffd;
	/* Users whom the administrator allows in by the mode of the device. */
	device = (int)syscall(SYS_openat, AT_FDCWD, "/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return -EPERM;
	uffd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	if (uffd < 0)
		uffd = -errno;
	syscall(SYS_close, device);
	return uffd;
}

int kona_uffd_open(int *ret_descriptor)
{
	struct uffdio_api api = {.api = UFFD_API,
				 .features = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_MOVE |
					     UFFD_FEATURE_PAGEFAULT_FLAG_WP |
					     UFFD_FEATURE_THREAD_ID};
	int uffd = open_uffd();

	if (uffd < 0)
		return uffd;
	if (ioctl(uffd, UFFDIO_API, &api)) {
		int rc = errno == EINVAL ? -ENOSYS : -errno;

		syscall(SYS_close, uffd);
		return rc;
	}
	*ret_descriptor = kona_os_raise(uffd);
	return 0;
}

int kona_uffd_register(int uffd, void *start, size_t size_bytes, bool write_protect)
{
	struct uffdio_register request = {
		.range = {(uintptr_t)start, size_bytes},
		.mode = UFFDIO_REGISTER_MODE_MISSING |
			(write_protect ? UFFDIO_REGISTER_MODE_WP : 0),
	};

	return ioctl(uffd, UFFDIO_REGISTER, &request) ? -errno : 0;
}

void kona_uffd_wake(int uffd, void *start, size_t size_bytes)
{
	struct uffdio_range range = {(uintptr_t)start, size_bytes};

	ioctl(uffd, UFFDIO_WAKE, &range);
}

int kona_uffd_copy(int uffd, void *to, const void *from, size_t size_bytes, bool write_protect,
		   size_t *ret_done_bytes)
{
	size_t done = 0;
	int rc = 0;

	while (done < size_bytes) {
		struct uffdio_copy request = {
			.dst = (uintptr_t)to + done,
			.src = (uintptr_t)from + done,
			.len = size_bytes - done,
			.mode = write_protect ? UFFDIO_COPY_MODE_WP : 0,
		};

		if (!ioctl(uffd, UFFDIO_COPY, &request)) {
			done = size_bytes;
			break;
		}
		/* A short copy says EAGAIN, too; the next round tells the reason. */
		if (errno != EAGAIN || request.copy <= 0) {
			rc = -errno;
			break;
		}
		done += (size_t)request.copy;
	}
	*ret_done_bytes = done;
	return rc;
}

int kona_uffd_move(int uffd, void *to, void *from, size_t size_bytes, size_t *ret_done_bytes)
{
	size_t done = 0;
	int rc = 0;

	while (done < size_bytes) {
		struct uffdio_move request = {
			.dst = (uintptr_t)to + done,
			.src = (uintptr_t)from + done,
			.len = size_bytes - done,
		};

		if (!ioctl(uffd, UFFDIO_MOVE, &request)) {
			done = size_bytes;
			break;
		}
		if (errno != EAGAIN || request.move <= 0) {
			rc = -errno;
			break;
		}
		done += (size_t)request.move;
	}
	*ret_done_bytes = done;
	return rc;
}

int kona_uffd_unprotect(int uffd, void *start, size_t size_bytes)
{
	struct uffdio_writeprotect request = {.range = {(uintptr_t)start, size_bytes}};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &request) ? -errno : 0;
}
