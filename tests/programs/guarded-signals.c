/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signal handlers that run guards, while the thread that they interrupt runs guards, too, and
 * misses most of the time. Output is the same with and without Kona. One argument: the section, or
 * none for all.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/time.h>
#include <ucontext.h>

#include "guarded.h"

static const size_t size = 24 * MIB;

/* What the handlers use: each page counts how often it was met. */
static char *theirs;
static volatile sig_atomic_t handled, nested;

static size_t next_page(uint64_t number)
{
	return number * 1237 % (size / PAGE);
}

static void meet(uint64_t number)
{
	char *word = theirs + next_page(number) * PAGE + 8 * (number % 3);

	put(word, get(word) + 1);
}

static uint64_t count_met(void)
{
	uint64_t sum = 0;

	for (size_t page = 0; page < size / PAGE; page++)
		for (size_t i = 0; i < 3; i++)
			sum += get(theirs + page * PAGE + 8 * i);
	return sum;
}

static void on_signal(int number)
{
	int saved = errno;

	for (int i = 0; i < 8; i++)
		meet((uint64_t)handled * 8 + (uint64_t)i);
	handled++;
	errno = saved;
}

/* Holds translations over other guards: a handler in between must leave them alone. */
static void copy_pages(char *memory, uint64_t turn)
{
	for (size_t i = 0; i < 64; i++) {
		uint64_t number = turn * 64 + i, page = number * 31 % (size / 2 / PAGE);
		char *from = memory + page * PAGE, *to = from + size / 2;
		const uint64_t *in = kona_guard_load(from, 3);
		uint64_t *out = kona_guard_store(to, 4);

		for (size_t word = 0; word < 512; word += 8) {
			if (kona_guard_is_far(to))
				kona_guard_mark(out + word);
			out[word] = in[word] + turn;
		}
		in = kona_guard_load(to, 5);
		for (size_t word = 0; word < 512; word += 8)
			CHECK(in[word] == get(from + word * 8) + turn);
	}
}

static char *map_numbered(void)
{
	char *memory = map_anonymous(size);

	for (size_t page = 0; page < size / 2 / PAGE; page++)
		for (size_t word = 0; word < 512; word += 8)
			put(memory + page * PAGE + word * 8, word_at(page, word));
	return memory;
}

static void alarm_every(long us)
{
	struct itimerval often = {{0, us}, {0, us}};

	CHECK(!setitimer(ITIMER_REAL, &often, NULL));
}

static void alarms(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	char *memory = map_numbered();
	uint64_t turn = 0;

	handled = 0;
	theirs = map_anonymous(size);
	CHECK(!sigaction(SIGALRM, &action, NULL));
	alarm_every(1000);
	while (handled < 500)
		copy_pages(memory, turn++);
	alarm_every(0);
	printf("  all counted: %d\n", count_met() == (uint64_t)handled * 8);
	for (size_t page = 0; page < size / 2 / PAGE; page++)
		for (size_t word = 0; word < 512; word += 8)
			CHECK(get(memory + page * PAGE + word * 8) == word_at(page, word));
	CHECK(!munmap(theirs, size) && !munmap(memory, size));
}

/* --- from other threads, within one another ----------------------------------------------------*/

static pthread_t victim;
static volatile bool over;

static void *shoot(void *argument)
{
	static const int numbers[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGHUP, SIGWINCH, SIGURG};

	for (size_t i = 0; !over; i++) {
		CHECK(!pthread_kill(victim, numbers[i % 6]));
		usleep(100);
	}
	return NULL;
}

/* Deeper than the runtime keeps slots for (KONA_HAZARD_DEPTH). */
static void on_any(int number, siginfo_t *info, void *context)
{
	char *word = theirs + next_page((uint64_t)handled * 7 + (uint64_t)number) * PAGE;
	uint64_t before;

	__atomic_add_fetch(&nested, 1, __ATOMIC_RELAXED); /* whole: others run in between */
	__atomic_add_fetch(&handled, 1, __ATOMIC_RELAXED);
	CHECK(info->si_signo == number && context);
	before = get(word + 64 * (size_t)number);
	for (int i = 0; i < 4; i++)
		get(theirs + next_page((uint64_t)handled * 5 + (uint64_t)i) * PAGE);
	put(word + 64 * (size_t)number, before + 1);
	CHECK(get(word + 64 * (size_t)number) == before + 1);
	__atomic_sub_fetch(&nested, 1, __ATOMIC_RELAXED);
}

static void within(void)
{
	static const int numbers[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGHUP, SIGWINCH, SIGURG};
	struct sigaction action = {.sa_sigaction = on_any, .sa_flags = SA_SIGINFO | SA_RESTART};
	char *memory = map_numbered();
	uint64_t turn = 0, sum = 0;
	pthread_t thread;

	handled = nested = 0;
	over = false;
	theirs = map_anonymous(size);
	victim = pthread_self();
	for (int i = 0; i < 6; i++)
		CHECK(!sigaction(numbers[i], &action, NULL));
	CHECK(!pthread_create(&thread, NULL, shoot, NULL));
	while (handled < 1200)
		copy_pages(memory, turn++);
	over = true;
	CHECK(!pthread_join(thread, NULL));
	for (size_t page = 0; page < size / PAGE; page++)
		for (size_t line = 0; line < 64; line++)
			sum += get(theirs + page * PAGE + line * 64);
	printf("  all counted: %d, none is left: %d\n", sum == (uint64_t)handled, !nested);
	for (int i = 0; i < 6; i++)
		CHECK(signal(numbers[i], SIG_DFL) == (sighandler_t)(uintptr_t)on_any);
	CHECK(!munmap(theirs, size) && !munmap(memory, size));
}

/* --- handlers that do not return ---------------------------------------------------------------*/

static sigjmp_buf jump;

static void leap(int number)
{
	meet((uint64_t)handled++);
	siglongjmp(jump, 1);
}

/* Out of the handler, into the loop: whatever the guards were in the midst of. */
static void leap_often(int leaps, bool alternate)
{
	struct sigaction action = {.sa_handler = leap, .sa_flags = alternate ? SA_ONSTACK : 0};
	char *volatile memory = map_anonymous(size);
	volatile uint64_t seen = 0;

	handled = 0;
	put_pages(memory, size, 5);
	theirs = map_anonymous(size);
	CHECK(!sigaction(SIGALRM, &action, NULL));
	if (sigsetjmp(jump, 1))
		seen++; /* but for when the next alarm is here already */
	else
		alarm_every(1000);
	while (handled < leaps)
		CHECK(!wrong_by_guards(memory, size, 5));
	alarm_every(0);
	signal(SIGALRM, SIG_IGN);
	printf("  leaps seen: %d, counted: %d\n", seen > (uint64_t)handled / 2,
	       count_met() == (uint64_t)handled);
	CHECK(!wrong_by_guards(memory, size, 5));
	CHECK(!munmap(theirs, size) && !munmap(memory, size));
}

static void leaps(void)
{
	leap_often(500, false);
}

/* The stack for signals lies in far memory. */
static void on_far_stack(void)
{
	stack_t stack = {.ss_size = 16 * PAGE}, before;

	stack.ss_sp = map_anonymous(stack.ss_size);
	CHECK(!sigaltstack(&stack, &before));
	leap_often(300, true);
	CHECK(!sigaltstack(&before, NULL));
	CHECK(!munmap(stack.ss_sp, stack.ss_size));
}

/* --- handlers that serve once ------------------------------------------------------------------*/

enum { SHOTS = 400 };

static void *shoot_once_each(void *argument)
{
	for (int i = 0; i < SHOTS; i++) {
		while (!__atomic_load_n(&nested, __ATOMIC_ACQUIRE))
			usleep(20); /* it is not in place yet */
		nested = 0;
		CHECK(!pthread_kill(victim, SIGUSR1));
		while (handled <= i)
			usleep(20);
	}
	return NULL;
}

/* SA_RESETHAND: whether the signal had to wait or not, it is handled once, and then no more. */
static void once(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, now;
	char *memory = map_numbered();
	uint64_t turn = 0;
	pthread_t thread;
	int reset = 0;

	handled = nested = 0;
	theirs = map_anonymous(size);
	victim = pthread_self();
	CHECK(!pthread_create(&thread, NULL, shoot_once_each, NULL));
	for (int i = 0; i < SHOTS; i++) {
		CHECK(!sigaction(SIGUSR1, &action, NULL));
		__atomic_store_n(&nested, 1, __ATOMIC_RELEASE);
		while (handled == i)
			copy_pages(memory, turn++);
		CHECK(!sigaction(SIGUSR1, NULL, &now));
		reset += now.sa_handler == SIG_DFL;
	}
	CHECK(!pthread_join(thread, NULL));
	printf("  %d handled, %d reset, counted: %d\n", (int)handled, reset,
	       count_met() == SHOTS * 8);
	CHECK(!munmap(theirs, size) && !munmap(memory, size));
}

/* What a handler finds of the interrupted thread: its mask, its errno; and what sigaction() tells
 * of a handler. */
static volatile sig_atomic_t masks_wrong;

static void on_masked(int number, siginfo_t *info, void *context)
{
	const ucontext_t *interrupted = context;
	sigset_t now;

	meet((uint64_t)handled++);
	sigprocmask(SIG_SETMASK, NULL, &now);
	masks_wrong += !sigismember(&now, SIGUSR2) || !sigismember(&now, SIGALRM) ||
		       sigismember(&now, SIGTERM) ||
		       sigismember(&interrupted->uc_sigmask, SIGUSR2) ||
		       !sigismember(&interrupted->uc_sigmask, SIGHUP);
	errno = EDOM; /* the program's affair: nobody looks */
}

static void masks(void)
{
	struct sigaction action = {.sa_sigaction = on_masked, .sa_flags = SA_SIGINFO}, told;
	char *memory = map_anonymous(size);
	sigset_t blocked, now;

	handled = 0;
	put_pages(memory, size, 6);
	theirs = map_anonymous(size);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGHUP);
	sigaddset(&action.sa_mask, SIGUSR2);
	CHECK(!sigprocmask(SIG_BLOCK, &blocked, NULL));
	CHECK(!sigaction(SIGALRM, &action, NULL) && !sigaction(SIGALRM, NULL, &told));
	printf("  told: %d %x\n", told.sa_sigaction == on_masked, told.sa_flags & ~0x04000000);
	alarm_every(1000);
	while (handled < 300)
		CHECK(!wrong_by_guards(memory, size, 6));
	alarm_every(0);
	CHECK(!sigprocmask(SIG_UNBLOCK, &blocked, &now));
	printf("  %d masks wrong, %d\n", (int)masks_wrong,
	       sigismember(&now, SIGHUP) && !sigismember(&now, SIGALRM) &&
		       !sigismember(&now, SIGTERM));
	printf("  counted: %d\n", count_met() == (uint64_t)handled);
	CHECK(!munmap(theirs, size) && !munmap(memory, size));
}

/* --- handlers that are installed as of old -----------------------------------------------------*/

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* so they are; programs use them */

sighandler_t bsd_signal(int number, sighandler_t handler); /* hidden by later standards */

static int restarts(int number)
{
	struct sigaction told;

	CHECK(!sigaction(number, NULL, &told));
	return !!(told.sa_flags & SA_RESTART);
}

/* The handler's guards are to leave the slot alone that get() has set. */
static void by(const char *name, sighandler_t (*install)(int, sighandler_t), const char *memory)
{
	int until = handled + 10, kept = 0;
	uintptr_t slot;

	CHECK(install(SIGALRM, on_signal) == SIG_DFL);
	while (handled < until) {
		get(memory + next_page((uint64_t)handled) * PAGE);
		slot = kona_guard_self.slots[0];
		CHECK(!raise(SIGALRM));
		kept += kona_guard_self.slots[0] == slot;
	}
	printf("  %s: restarts %d, slot kept %d, was %d\n", name, restarts(SIGALRM), kept,
	       install(SIGALRM, SIG_IGN) == on_signal);
	CHECK(install(SIGALRM, SIG_DFL) == SIG_IGN);
}

static void old_ways(void)
{
	char *memory = map_anonymous(size);

	handled = 0;
	put_pages(memory, size, 7);
	theirs = map_anonymous(size);
	by("bsd_signal", bsd_signal, memory);
	by("ssignal", ssignal, memory);
	by("sigset", sigset, memory);
	CHECK(sigset(SIGALRM, on_signal) == SIG_DFL && sigset(SIGALRM, SIG_HOLD) == on_signal);
	CHECK(sigset(SIGALRM, SIG_HOLD) == SIG_HOLD && sigset(SIGALRM, on_signal) == SIG_HOLD);
	CHECK(!siginterrupt(SIGALRM, 0));
	printf("  restarts %d,", restarts(SIGALRM));
	CHECK(!siginterrupt(SIGALRM, 1) && signal(SIGALRM, on_signal) == on_signal);
	printf(" %d,", restarts(SIGALRM));
	CHECK(!siginterrupt(SIGALRM, 0) && signal(SIGALRM, SIG_DFL) == on_signal);
	printf(" %d; wrong: %d\n", restarts(SIGALRM), sigset(NSIG, SIG_IGN) == SIG_ERR);
	CHECK(!munmap(theirs, size) && !munmap(memory, size));
}

int main(int argc, char **argv)
{
	static const struct section sections[] = {
		{"alarms", alarms},    {"within", within},
		{"leaps", leaps},      {"on-far-stack", on_far_stack},
		{"once", once},	       {"masks", masks},
		{"old-ways", old_ways}};

	RUN_SECTIONS(sections, argc > 1 ? argv[1] : NULL);
	return 0;
}
