/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who of the sleepers faults (fault -> sleepers).
 *
 * Where a thread stands that the kernel has stopped, /proc/self/task/THREAD/syscall tells. The
 * price, some microseconds, is paid for as long as it finds somebody to wake: after each look in
 * vain (the fault is a library's that is not compiled by kona-cc) twice as many faults go by
 * without one. Where the kernel does not tell, all wake up.
 *
 * State: a watch for each roll. Lock: its own; the fault handler only tries for it, and the fault
 * is not counted. What can fail: memory for a watch: then functions sleep for ever, which is right,
 * too.
 */
#include "runtime/sleepers.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/units.h"
#include "runtime/os.h"
#include "runtime/space.h"

enum {
	LEAST_BLAME = 64 * KONA_BLAME_FAR,
	MOST_BLAME = 2048 * KONA_BLAME_FAR,
	LOCAL_SHARE = 4, /* of the frames */
	FORGOTTEN_PER_MS = KONA_BLAME_FAR,
	MOST_PASSED = 1024, /* faults between two looks */
	FIRST_ROOM = 256,
	LOOKS = 8,
	LOOK_NS = 50000, /* one that takes longer is paid for by faults without one */
};

/* A sleeper under watch. */
struct watched {
	struct kona_sleeper *sleeper;
	uint32_t blamed_ms; /* the last time */
	uint32_t blame;
};

/* A roll, with those of it that are known so far, by address. All but next: the fault handler's. */
struct watch {
	struct watch *next; /* Guarded by lock */
	struct kona_roll *roll;
	uintptr_t begin, end;	   /* of the library's code. Immutable */
	struct kona_sleeper *seen; /* and all who enrolled before it are known */
	struct watched *list;	   /* Owned */
	size_t count, room;
};

/* Where a thread stands: its file in /proc. */
struct look {
	pid_t thread; /* 0: none */
	int file;     /* Owned */
};

static struct {
	pthread_mutex_t lock;
	struct watch *watches; /* Guarded by lock; a look without it is a hint */
	bool begun, awake;     /* Immutable after start, both */
	uint32_t passed;       /* faults that go by before the next look. The handler's, both */
	uint32_t in_vain;
	uint32_t weight; /* of the next look: those that a slow one was let go by for. The handler's
			  */
	struct look looks[LOOKS]; /* The handler's */
} roll_call = {.lock = PTHREAD_MUTEX_INITIALIZER, .weight = 1};

/* All of a roll, of now and later. */
static void set_all(struct kona_roll *roll, int awake)
{
	kona_store_relaxed(&roll->awake, awake); /* relaxed: kona/sleepers.h */
	/* SL-1: acquire, pairs with the CAS by which a sleeper enrols. */
	for (struct kona_sleeper *sleeper = kona_load_acquire(&roll->first); sleeper;
	     sleeper = sleeper->next)
		kona_store_relaxed(&sleeper->awake, awake); /* relaxed: the same */
}

static void set_all_locked(int awake)
{
	for (struct watch *watch = roll_call.watches; watch; watch = watch->next)
		set_all(watch->roll, awake);
}

/* --- rolls -------------------------------------------------------------------------------------*/

static bool is_in(uintptr_t address, const struct dl_phdr_info *object, const Elf64_Phdr *segment)
{
	return segment->p_type == PT_LOAD &&
	       address - object->dlpi_addr - segment->p_vaddr < segment->p_memsz;
}

/* Where the code of the library lies whose data the roll is part of. */
static int find_code(struct dl_phdr_info *object, size_t size, void *of)
{
	struct watch *watch = of;
	bool found = false;

	for (int i = 0; i < object->dlpi_phnum; i++)
		found |= is_in((uintptr_t)watch->roll, object, &object->dlpi_phdr[i]);
	for (int i = 0; found && i < object->dlpi_phnum; i++) {
		const Elf64_Phdr *segment = &object->dlpi_phdr[i];

		if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
			continue;
		watch->begin = object->dlpi_addr + segment->p_vaddr;
		watch->end = watch->begin + segment->p_memsz;
	}
	return found;
}

static struct watch *make_watch(struct kona_roll *roll)
{
	struct watch *watch = kona_os_alloc(sizeof(*watch));

	if (!watch)
		return NULL;
	watch->roll = roll;
	dl_iterate_phdr(find_code, watch);
	return watch;
}

/* Signals are blocked: who holds the lock runs no handler, which might load a library. */
KONA_PUBLIC void kona_cc_sleepers_come(struct kona_roll *roll)
{
	struct watch *watch = roll_call.begun ? make_watch(roll) : NULL;
	sigset_t signals;

	if (!watch)
		return;
	kona_os_block_signals(&signals);
	pthread_mutex_lock(&roll_call.lock);
	watch->next = roll_call.watches;
	kona_store_relaxed(&roll_call.watches, watch); /* relaxed: guarded by lock */
	if (roll_call.awake)
		set_all(roll, 1);
	pthread_mutex_unlock(&roll_call.lock);
	pthread_sigmask(SIG_SETMASK, &signals, NULL);
}

static void free_watch(struct watch *watch)
{
	if (watch->list)
		kona_os_munmap(watch->list, watch->room * sizeof(watch->list[0]));
	kona_os_munmap(watch, sizeof(*watch));
}

KONA_PUBLIC void kona_cc_sleepers_go(struct kona_roll *roll)
{
	struct watch **link = &roll_call.watches, *watch;
	sigset_t signals;

	kona_os_block_signals(&signals);
	pthread_mutex_lock(&roll_call.lock);
	while ((watch = *link) && watch->roll != roll)
		link = &watch->next;
	if (watch)
		kona_store_relaxed(link, watch->next); /* relaxed: guarded by lock */
	pthread_mutex_unlock(&roll_call.lock);
	pthread_sigmask(SIG_SETMASK, &signals, NULL);
	if (watch)
		free_watch(watch);
}

void kona_sleepers_begin(bool awake)
{
	roll_call.begun = true;
	roll_call.awake = awake;
}

static void drop(struct look *look)
{
	if (look->thread)
		kona_os_close(look->file);
	look->thread = 0;
}

void kona_sleepers_forked(void)
{
	pthread_mutex_init(&roll_call.lock, NULL);
	for (int i = 0; i < LOOKS; i++) /* of the parent's threads */
		drop(&roll_call.looks[i]);
	/* The handler may have been at work on these: they are not given back. */
	for (struct watch *watch = roll_call.watches; watch; watch = watch->next) {
		watch->seen = NULL;
		watch->list = NULL;
		watch->count = watch->room = 0;
	}
	if (!roll_call.awake)
		set_all_locked(0);
}

/* --- blame -------------------------------------------------------------------------------------*/

/* All by hand, here and below: what the C library's printf() and its like read may be far. */
static void write_path(char *path, pid_t thread)
{
	static const char before[] = "/proc/self/task/", behind[] = "/syscall";
	char digits[16];
	size_t count = 0;

	for (; thread; thread /= 10)
		digits[count++] = (char)('0' + thread % 10);
	memcpy(path, before, sizeof(before) - 1);
	path += sizeof(before) - 1;
	while (count)
		*path++ = digits[--count];
	memcpy(path, behind, sizeof(behind));
}

/* The thread's file, among those that are kept open. -errno. */
static int file_of(pid_t thread)
{
	struct look *look = &roll_call.looks[thread % LOOKS];
	char path[64];
	int file;

	if (look->thread == thread)
		return look->file;
	write_path(path, thread);
	file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -errno;
	drop(look);
	*look = (struct look){thread, kona_os_raise(file)};
	return look->file;
}

static uintptr_t read_number(const char **text)
{
	uintptr_t number = 0;

	for (*text += strlen(" 0x"); **text > ' '; (*text)++)
		number = number * 16 + (uintptr_t)(**text & 15) + (**text > '9' ? 9 : 0);
	return number;
}

/* "-1 STACK INSTRUCTION", in hexadecimal, of a thread that is stopped, but not in a system call;
 * else *ret_code is 0. -errno: there is no such thread, or the kernel does not tell. */
static int find_instruction(pid_t thread, uintptr_t *ret_code)
{
	int file = file_of(thread);
	const char *at;
	char text[256];
	ssize_t got;

	*ret_code = 0;
	if (file < 0)
		return file;
	got = pread(file, text, sizeof(text) - 1, 0);
	if (got <= 0) {
		drop(&roll_call.looks[thread % LOOKS]);
		return -ESRCH;
	}
	text[got] = '\0';
	if (strncmp(text, "-1 ", 3))
		return 0;
	at = text + strlen("-1");
	(void)read_number(&at);
	if (*at)
		*ret_code = read_number(&at);
	return 0;
}

/* The kernel tells of this thread. */
static bool kernel_tells(void)
{
	uintptr_t code;

	return !find_instruction((pid_t)syscall(SYS_gettid), &code);
}

/* How many of those that are known begin at or before the instruction. */
static size_t count_up_to(const struct watch *watch, uintptr_t code)
{
	size_t low = 0, high = watch->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if ((uintptr_t)watch->list[middle].sleeper->code <= code)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool make_room(struct watch *watch)
{
	size_t room = watch->room ? 2 * watch->room : FIRST_ROOM;
	struct watched *list = kona_os_alloc(room * sizeof(*list));

	if (!list)
		return false;
	if (watch->list) {
		memcpy(list, watch->list, watch->count * sizeof(*list));
		kona_os_munmap(watch->list, watch->room * sizeof(*list));
	}
	watch->list = list;
	watch->room = room;
	return true;
}

/* Those who enrolled since. */
static void learn(struct watch *watch)
{
	struct kona_sleeper *first = kona_load_acquire(&watch->roll->first); /* SL-1 */

	for (struct kona_sleeper *sleeper = first; sleeper != watch->seen;
	     sleeper = sleeper->next) {
		size_t place = count_up_to(watch, (uintptr_t)sleeper->code);

		if (watch->count == watch->room && !make_room(watch))
			break;
		memmove(&watch->list[place + 1], &watch->list[place],
			(watch->count - place) * sizeof(watch->list[0]));
		watch->list[place] = (struct watched){.sleeper = sleeper};
		watch->count++;
	}
	watch->seen = first;
}

/* The last of its library that begins at or before the instruction; NULL. Code that is no
 * sleeper's, behind it, is taken for it. */
static struct watched *find_locked(uintptr_t code)
{
	for (struct watch *watch = roll_call.watches; watch; watch = watch->next) {
		size_t count;

		if (code < watch->begin || code >= watch->end)
			continue;
		learn(watch);
		count = count_up_to(watch, code);
		return count ? &watch->list[count - 1] : NULL;
	}
	return NULL;
}

static uint32_t waking_blame(const struct kona_space *space)
{
	/* relaxed: a level */
	uint32_t share = kona_load_relaxed(&space->frames.count) / LOCAL_SHARE * KONA_BLAME_FAR;

	if (share < LEAST_BLAME)
		return LEAST_BLAME;
	return share < MOST_BLAME ? share : MOST_BLAME;
}

static void add_blame(struct kona_space *space, struct watched *watched, uint32_t weight)
{
	uint32_t now_ms = (uint32_t)(kona_now_ns() / 1000000);
	uint32_t forgotten = (now_ms - watched->blamed_ms) * FORGOTTEN_PER_MS;

	watched->blamed_ms = now_ms;
	watched->blame -= forgotten < watched->blame ? forgotten : watched->blame;
	watched->blame += weight;
	if (watched->blame < waking_blame(space))
		return;
	kona_store_relaxed(&watched->sleeper->awake, 1);     /* relaxed: kona/sleepers.h */
	kona_add_relaxed(&space->stats->woken_functions, 1); /* relaxed: a figure */
}

/* True: somebody who slept was found. */
static bool blame_locked(struct kona_space *space, pid_t thread, uint32_t weight)
{
	struct watched *watched;
	uintptr_t code;

	if (find_instruction(thread, &code)) {
		if (!kernel_tells())
			set_all_locked(1);
		return false;
	}
	watched = find_locked(code);
	/* relaxed: kona/sleepers.h */
	if (!watched || kona_load_relaxed(&watched->sleeper->awake))
		return false;
	add_blame(space, watched, weight);
	return true;
}

bool kona_sleepers_any(void)
{
	return kona_load_relaxed(&roll_call.watches); /* relaxed: a hint */
}

/* A look sleeps for a jiffy where the kernel preempted the thread on its way to sleep. */
static void pay_for(uint64_t took_ns)
{
	uint64_t passed = took_ns / LOOK_NS;

	roll_call.passed = passed < MOST_PASSED ? (uint32_t)passed : MOST_PASSED;
	roll_call.weight = 1 + roll_call.passed;
}

void kona_sleepers_blame(struct kona_space *space, pid_t thread, uint32_t weight)
{
	uint64_t start_ns;

	if (roll_call.passed) {
		roll_call.passed--;
		return;
	}
	if (pthread_mutex_trylock(&roll_call.lock))
		return;
	start_ns = kona_now_ns();
	if (blame_locked(space, thread, weight * roll_call.weight)) {
		roll_call.in_vain = 0;
		pay_for(kona_now_ns() - start_ns);
	} else {
		roll_call.in_vain = 2 * roll_call.in_vain + 1;
		if (roll_call.in_vain > MOST_PASSED)
			roll_call.in_vain = MOST_PASSED;
		roll_call.passed = roll_call.in_vain;
		roll_call.weight = 1;
	}
	pthread_mutex_unlock(&roll_call.lock);
}
