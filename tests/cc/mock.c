/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A far memory of one process for testing compiled guards: the contract of include/kona/guard.h
 * with nothing but mprotect(2) behind it. It is merciless: VFMem is inaccessible, few frames exist,
 * every miss takes others away that are in no slot, only lines that are marked are written back,
 * and a frame that was taken is filled with rubbish. A missed guard, a missed mark or a translation
 * that outlives its slot shows in the results, or is counted as a touch.
 *
 * malloc() gives far memory. Threads but the first are unknown to it, and touch.
 * Link it into a program that kona-cc compiles; the environment's KONA_MOCK_REPORT names a file for
 * the counts.
 *
 * With KONA_MOCK_WAKE=N it sleeps at first: all memory is ordinary, at its own addresses. Few pages
 * can be accessed at a time, so there is a fault now and then; the Nth is the moment when it wakes
 * up: in the midst of whatever the program does, between a guard and its access, too. Not for what
 * has the kernel access far memory. With KONA_MOCK_DOZE, too, functions sleep on, but one that
 * touches far memory some times: so code with guards and without goes on side by side.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define KONA_GUARD_BOUND_NOW /* stands in for libkona */
#include "kona/sleepers.h"

enum {
	PAGE = 4096,
	PAGES = 1 << 16,
	FRAMES = 24, /* a little more than there are slots */
	LINES = PAGE / 64,
	TAKEN_AT_A_MISS = 5,
	IN_PLACE = 1 << 4, /* a flag of ours in an entry */
	OPEN = 24,	   /* pages at a time, asleep; and in place */
	WAKING_TOUCHES = 3,
	SLEEPERS = 4096,
};

__thread struct kona_guard kona_guard_self;

static char *vfmem, *frames, *store;
static uint64_t table[PAGES];
static unsigned char *marks; /* of the lines of VFMem, which nobody reads, and of the frames */
static unsigned char *dirty; /* those of the frames */
static long page_of_frame[FRAMES];
static uint32_t sizes[(size_t)PAGES * PAGE / 16];
static atomic_size_t allocated;
static atomic_flag busy = ATOMIC_FLAG_INIT;
static unsigned hand, seed = 1;
static unsigned long misses, evictions, touches, ticks;
static unsigned long wake_at; /* which tick; 0: it is awake */
static long opened[OPEN];     /* pages, asleep */
static long placed[OPEN];     /* pages in place, for a dozing program */
static unsigned placed_hand;
static int dozes;
static struct kona_roll *roll;
static unsigned char touched[SLEEPERS]; /* by functions with this hash, while they slept */
static const struct kona_guard *known;	/* the first thread's */

void kona_mock_start(void);
/* The C library's: libkona has a version of sigaction() that is not wanted here. */
int __sigaction(int number, const struct sigaction *action, struct sigaction *ret_old);

static void die(const char *what)
{
	if (write(2, what, strlen(what)) < 0 || write(2, " (mock)\n", 8) < 0)
		_exit(97);
	_exit(99);
}

static void protect(void *page, int protection)
{
	if (mprotect(page, PAGE, protection))
		die("mprotect");
}

static void lock(sigset_t *old)
{
	sigset_t all;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigprocmask(SIG_SETMASK, &all, old);
	while (atomic_flag_test_and_set(&busy))
		sched_yield();
}

static void unlock(const sigset_t *old)
{
	atomic_flag_clear(&busy);
	sigprocmask(SIG_SETMASK, old, NULL);
}

static char *frame_at(unsigned frame)
{
	return frames + (size_t)frame * PAGE;
}

static int in_a_slot(long page)
{
	for (int i = 0; i < KONA_GUARD_SLOTS; i++)
		if (known->slots[i] == (uintptr_t)page)
			return 1;
	return 0;
}

/* Takes a frame away, whose page is in no slot. Of a page in place it is only the old home. */
static void evict(unsigned frame)
{
	long page = page_of_frame[frame];
	char *from = frame_at(frame), *to = store + page * PAGE;

	if (table[page] & IN_PLACE)
		protect(from, PROT_READ | PROT_WRITE);
	else
		table[page] = 0;
	for (int line = 0; line < LINES; line++)
		if (dirty[frame * LINES + (unsigned)line])
			memcpy(to + line * 64, from + line * 64, 64);
	memset(dirty + frame * LINES, 0, LINES);
	memset(from, 0xdb, PAGE);
	page_of_frame[frame] = -1;
	evictions++;
}

static void evict_some(int count)
{
	for (int tried = 0; tried < FRAMES && count; tried++) {
		unsigned frame = hand++ % FRAMES;

		if (page_of_frame[frame] < 0 || in_a_slot(page_of_frame[frame]))
			continue;
		evict(frame);
		count--;
	}
}

static void bring(long page)
{
	unsigned frame;

	seed = seed * 1103515245 + 12345;
	evict_some((seed >> 16) % TAKEN_AT_A_MISS + 1);
	for (unsigned tries = 0;; tries++) {
		frame = (hand * 7 + tries * 5) % FRAMES;
		if (page_of_frame[frame] < 0)
			break;
		if (tries == FRAMES - 1)
			die("every frame is in a slot or in place");
	}
	memcpy(frame_at(frame), store + page * PAGE, PAGE);
	page_of_frame[frame] = page;
	table[page] = (uint64_t)(frame_at(frame) - (vfmem + page * PAGE)) | KONA_GUARD_RESIDENT;
}

#ifdef __clang__
__attribute__((preserve_most))
#endif
void kona_guard_miss(const void *address)
{
	long page = ((const char *)address - vfmem) / PAGE;
	sigset_t old;

	lock(&old);
	if (!(table[page] & KONA_GUARD_RESIDENT)) {
		misses++;
		bring(page);
	}
	unlock(&old);
}

/* Unguarded code touched the page at its own address: it goes there, and its frame is closed. */
static void put_in_place(long page)
{
	char *own = vfmem + page * PAGE;

	touches++;
	if (!(table[page] & KONA_GUARD_RESIDENT)) {
		protect(own, PROT_READ | PROT_WRITE);
		memcpy(own, store + page * PAGE, PAGE);
	} else {
		char *frame = own + (table[page] & KONA_GUARD_DELTA);

		protect(frame, PROT_READ);
		protect(own, PROT_READ | PROT_WRITE);
		memcpy(own, frame, PAGE);
		protect(frame, PROT_NONE);
	}
	/* A frame that the page had stays its own, for whoever still has the translation. */
	table[page] = KONA_GUARD_RESIDENT | IN_PLACE;
}

/* Whatever was in place the longest, and is in no slot, leaves. */
static void make_place(long page)
{
	long *oldest = &placed[placed_hand++ % OPEN];

	if (*oldest >= 0 && in_a_slot(*oldest))
		return;
	if (*oldest >= 0 && *oldest != page && table[*oldest] & IN_PLACE) {
		char *own = vfmem + *oldest * PAGE;

		for (unsigned frame = 0; frame < FRAMES; frame++)
			if (page_of_frame[frame] == *oldest)
				evict(frame);
		protect(own, PROT_READ);
		memcpy(store + *oldest * PAGE, own, PAGE);
		protect(own, PROT_NONE);
		table[*oldest] = 0;
	}
	*oldest = page;
}

static void wake(int awake)
{
	if (!roll)
		return;
	roll->awake = awake;
	for (struct kona_sleeper *sleeper = roll->first; sleeper; sleeper = sleeper->next)
		sleeper->awake = awake;
}

/* The function that touches far memory for the third time wakes up. */
static void blame(const void *code)
{
	struct kona_sleeper *found = NULL;

	for (struct kona_sleeper *sleeper = roll ? roll->first : NULL; sleeper;
	     sleeper = sleeper->next)
		if (sleeper->code <= code && (!found || sleeper->code > found->code))
			found = sleeper;
	if (found && ++touched[(uintptr_t)found->code / 16 % SLEEPERS] >= WAKING_TOUCHES)
		found->awake = 1;
}

void kona_cc_sleepers_come(struct kona_roll *come)
{
	roll = come;
	wake(!wake_at);
}

void kona_cc_sleepers_go(struct kona_roll *gone)
{
	roll = NULL;
}

/* From now on memory is far: nothing of it is here. */
static void wake_up(void)
{
	size_t used = (atomic_load(&allocated) + PAGE - 1) / PAGE * PAGE;

	if (mprotect(vfmem, used, PROT_READ))
		die("mprotect");
	memcpy(store, vfmem, used);
	if (mprotect(vfmem, used, PROT_NONE))
		die("mprotect");
	wake_at = 0;
	kona_guard_self.size_bytes = (size_t)PAGES * PAGE;
	wake(!dozes);
}

/* Asleep, a page is accessed that is not open. */
static void tick(long page)
{
	unsigned place = (unsigned)(ticks++ % OPEN);

	if (ticks == wake_at) {
		wake_up();
		put_in_place(page);
		return;
	}
	if (opened[place] >= 0)
		protect(vfmem + opened[place] * PAGE, PROT_NONE);
	protect(vfmem + page * PAGE, PROT_READ | PROT_WRITE);
	opened[place] = page;
}

/* A translation is used whose page went in place meanwhile: it comes back to its frame. */
static void put_back(unsigned frame)
{
	long page = page_of_frame[frame];
	char *own = vfmem + page * PAGE;

	protect(own, PROT_READ);
	protect(frame_at(frame), PROT_READ | PROT_WRITE);
	memcpy(frame_at(frame), own, PAGE);
	memset(dirty + frame * LINES, 1, LINES);
	protect(own, PROT_NONE);
	table[page] = (uint64_t)(frame_at(frame) - own) | KONA_GUARD_RESIDENT;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	const ucontext_t *interrupted = context;
	char *at = info->si_addr;
	int saved = errno;
	sigset_t old;

	lock(&old);
	if (at >= vfmem && at < vfmem + (size_t)PAGES * PAGE) {
		long page = (at - vfmem) / PAGE;

		if (wake_at) {
			tick(page);
		} else if (!(table[page] & IN_PLACE)) {
			if (dozes) {
				blame((const void *)interrupted->uc_mcontext.gregs[REG_RIP]);
				make_place(page);
			}
			put_in_place(page);
		}
	} else if (at >= frames && at < frames + FRAMES * PAGE) {
		unsigned frame = (unsigned)((at - frames) / PAGE);

		if (page_of_frame[frame] >= 0 && (table[page_of_frame[frame]] & IN_PLACE))
			put_back(frame);
	} else {
		die("the program faults elsewhere");
	}
	unlock(&old);
	errno = saved;
}

static void report(void)
{
	const char *path = getenv("KONA_MOCK_REPORT");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;

	if (fd < 0)
		return;
	dprintf(fd, "%lu misses, %lu evictions, %lu touches, %lu ticks\n", misses, evictions,
		touches, ticks);
	close(fd);
}

/* The counts begin here: what starts the program is not tested. */
void kona_mock_start(void)
{
	misses = evictions = touches = ticks = 0;
	atexit(report);
}

/* Before main(), as libkona: functions that are entered earlier know of no far memory. */
__attribute__((constructor)) static void start(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	size_t bytes = (size_t)PAGES * PAGE;
	const char *moment = getenv("KONA_MOCK_WAKE");

	if (vfmem)
		return;
	vfmem = mmap(NULL, bytes + FRAMES * PAGE, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	store = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	marks = mmap(NULL, (bytes + FRAMES * PAGE) / 64, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vfmem == MAP_FAILED || store == MAP_FAILED || marks == MAP_FAILED)
		die("mmap");
	frames = vfmem + bytes;
	dirty = marks + bytes / 64;
	if (mprotect(frames, FRAMES * PAGE, PROT_READ | PROT_WRITE))
		die("mprotect");
	memset(frames, 0xdb, FRAMES * PAGE);
	for (int i = 0; i < FRAMES; i++)
		page_of_frame[i] = -1;
	__sigaction(SIGSEGV, &action, NULL);
	known = &kona_guard_self;
	kona_guard_self.bias = -(uintptr_t)vfmem;
	wake_at = moment ? strtoul(moment, NULL, 10) : 0;
	dozes = getenv("KONA_MOCK_DOZE") != NULL;
	kona_guard_self.vfmem_bytes = bytes;
	kona_guard_self.size_bytes = wake_at ? 0 : bytes;
	memset(opened, 0xff, sizeof(opened));
	memset(placed, 0xff, sizeof(placed));
	kona_guard_self.table = table;
	memset(kona_guard_self.slots, 0xff, sizeof(kona_guard_self.slots)); /* KONA_GUARD_NO_PAGE */
	kona_guard_self.dirty = marks - ((uintptr_t)vfmem >> 6);
}

static char *allocate(size_t bytes, size_t align)
{
	size_t at, next;

	start();
	do {
		at = atomic_load(&allocated);
		next = (at + 16 + align - 1) / align * align;
		if (bytes >= UINT32_MAX || next + bytes > (size_t)PAGES * PAGE) {
			errno = ENOMEM;
			return NULL;
		}
	} while (!atomic_compare_exchange_weak(&allocated, &at, (next + bytes + 15) / 16 * 16));
	sizes[next / 16] = (uint32_t)bytes;
	return vfmem + next;
}

void *malloc(size_t bytes)
{
	return allocate(bytes, 16);
}

void *calloc(size_t count, size_t bytes)
{
	return allocate(count * bytes, 16);
}

void free(void *p)
{
}

void *aligned_alloc(size_t align, size_t bytes)
{
	return allocate(bytes, align < 16 ? 16 : align);
}

int posix_memalign(void **ret_p, size_t align, size_t bytes)
{
	*ret_p = aligned_alloc(align, bytes);
	return *ret_p ? 0 : ENOMEM;
}

void *realloc(void *p, size_t bytes)
{
	void *new = malloc(bytes);
	size_t old;
	char piece[512];

	if (!p || !new)
		return new;
	old = sizes[((char *)p - vfmem) / 16];
	for (size_t at = 0, n; at < old && at < bytes; at += n) {
		n = old - at < sizeof(piece) ? old - at : sizeof(piece);
		if (n > bytes - at)
			n = bytes - at;
		kona_guard_read(piece, (char *)p + at, n);
		kona_guard_write((char *)new + at, piece, n);
	}
	return new;
}

void kona_guard_read(void *to, const void *from, size_t bytes)
{
	for (size_t at = 0, n; at < bytes; at += n) {
		const char *p = (const char *)from + at;

		n = PAGE - ((uintptr_t)p & (PAGE - 1));
		if (n > bytes - at)
			n = bytes - at;
		memcpy((char *)to + at, kona_guard_load(p, KONA_GUARD_SLOTS - 1), n);
	}
}

void kona_guard_write(void *to, const void *from, size_t bytes)
{
	for (size_t at = 0, n; at < bytes; at += n) {
		char *p = (char *)to + at, *local;

		n = 64 - ((uintptr_t)p & 63);
		if (n > bytes - at)
			n = bytes - at;
		local = kona_guard_store(p, KONA_GUARD_SLOTS - 2);
		memcpy(local, (const char *)from + at, n);
	}
}
