/* SPDX-License-Identifier: BSD-2-Clause */
/* See waking.h. The processor's trap flag counts instructions; the handler of SIGTRAP wakes the
 * guards. */
#include "waking.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define KONA_GUARD_BOUND_NOW /* stands in for libkona */
#include "kona/sleepers.h"

enum { BYTES = WAKING_PAGES * WAKING_PAGE, TRAP_FLAG = 0x100 };

__thread struct kona_guard kona_guard_self;

static char *memory; /* and behind it the frames */
static uint64_t table[WAKING_PAGES];
static unsigned char marks[2 * BYTES / 64];
static struct kona_roll *roll;
static volatile unsigned long left;

/* The C library's: libkona has a version of sigaction() that is not wanted here. */
int __sigaction(int number, const struct sigaction *action, struct sigaction *ret_old);

void kona_guard_miss(const void *address)
{
	abort(); /* all is resident */
}

/* Guards, and all functions. */
static void set_awake(int awake)
{
	kona_guard_self.size_bytes = awake ? BYTES : 0;
	roll->awake = awake;
	for (struct kona_sleeper *sleeper = roll->first; sleeper; sleeper = sleeper->next)
		sleeper->awake = awake;
}

void kona_cc_sleepers_come(struct kona_roll *come)
{
	roll = come;
}

void kona_cc_sleepers_go(struct kona_roll *gone)
{
}

static void on_trap(int number, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	if (left && --left)
		return;
	set_awake(1);
	interrupted->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

/* Neighbours are apart, and so are those two pages from one another. */
static uint64_t frame_of(uint64_t page)
{
	return (page * 7 + 3) % WAKING_PAGES;
}

__attribute__((constructor)) static void start(void)
{
	struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
	int file = memfd_create("waking", 0);

	memory = mmap(NULL, 2 * BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (file < 0 || ftruncate(file, BYTES) || memory == MAP_FAILED)
		abort();
	for (uint64_t page = 0; page < WAKING_PAGES; page++) {
		char *home = memory + page * WAKING_PAGE;
		char *frame = memory + BYTES + frame_of(page) * WAKING_PAGE;

		for (int i = 0; i < 2; i++)
			if (mmap(i ? home : frame, WAKING_PAGE, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_FIXED, file,
				 (off_t)(page * WAKING_PAGE)) == MAP_FAILED)
				abort();
		table[page] = KONA_GUARD_RESIDENT | (uint64_t)(frame - home);
	}
	close(file);
	__sigaction(SIGTRAP, &action, NULL);
	kona_guard_self.bias = -(uintptr_t)memory;
	kona_guard_self.vfmem_bytes = BYTES;
	kona_guard_self.table = table;
	kona_guard_self.dirty = marks - ((uintptr_t)memory >> 6);
}

char *waking_memory(void)
{
	return memory;
}

void waking_fill(void)
{
	for (uint64_t i = 0; i < BYTES; i++)
		memory[i] = (char)(1 + (i * 2654435761u >> 13) % 250);
}

unsigned long waking_digest(void)
{
	unsigned long digest = 0;

	for (uint64_t i = 0; i < BYTES; i++)
		digest = digest * 1099511628211ul + (unsigned char)memory[i];
	return digest;
}

void waking_in(unsigned long instructions)
{
	set_awake(0);
	left = instructions;
	__asm__ volatile(
		"subq $128, %%rsp\n\tpushfq\n\torq %0, (%%rsp)\n\tpopfq\n\taddq $128, %%rsp"
		:
		: "i"(TRAP_FLAG)
		: "memory", "cc");
}

unsigned long waking_over(void)
{
	__asm__ volatile(
		"subq $128, %%rsp\n\tpushfq\n\tandq %0, (%%rsp)\n\tpopfq\n\taddq $128, %%rsp"
		:
		: "i"(~(long)TRAP_FLAG)
		: "memory", "cc");
	set_awake(1);
	return left;
}
