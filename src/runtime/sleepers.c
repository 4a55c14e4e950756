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
#include <stdio.h>
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

static struct {
	pthread_mutex_t lock;
	struct watch *watches; /* Guarded by lock; a look without it is a hint */
	bool begun, awake;     /* Immutable after start, both */
	uint32_t passed;       /* faults that go by before the next look. The handler's, both */
	uint32_t in_vain;
} roll_call = {.lock = PTHREAD_MUTEX_INITIALIZER};

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

void kona_sleepers_forked(void)
{
	pthread_mutex_init(&roll_call.lock, NULL);
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

/* "-1 STACK INSTRUCTION", in hexadecimal, of a thread that is stopped, but not in a system call.
 * False: the kernel does not tell. *ret_code 0: it is elsewhere. */
static bool find_instruction(pid_t thread, uintptr_t *ret_code)
{
	char path[64], text[256], *end;
	ssize_t got;
	int file;

	*ret_code = 0;
	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", thread);
	file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM; /* another time */
	got = read(file, text, sizeof(text) - 1);
	syscall(SYS_close, file);
	if (got <= 0)
		return false;
	text[got] = '\0';
	if (strncmp(text, "-1 ", 3))
		return true;
	strtoull(text + 3, &end, 16);
	*ret_code = (uintptr_t)strtoull(end, NULL, 16);
	return true;
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

	if (!find_instruction(thread, &code)) {
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

void kona_sleepers_blame(struct kona_space *space, pid_t thread, uint32_t weight)
{
	if (roll_call.passed) {
		roll_call.passed--;
		return;
	}
	if (pthread_mutex_trylock(&roll_call.lock))
		return;
	if (blame_locked(space, thread, weight))
		roll_call.in_vain = 0;
	else if (roll_call.in_vain < MOST_PASSED)
		roll_call.in_vain = 2 * roll_call.in_vain + 1;
	roll_call.passed = roll_call.in_vain;
	pthread_mutex_unlock(&roll_call.lock);
}
