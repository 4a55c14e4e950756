/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses at addresses that their types do not allow, as programs for x86 make them by casts: they
 * leave lines and pages halfway. Prints sums; by cc-far.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BYTES = 48 << 20,
	PAGE = 4096,
	TRIES = 60000,
};

#define APART __attribute__((noinline))

struct pair {
	uint64_t first;
	uint32_t second, third;
	uint16_t fourth;
};

static char *memory;
static uint64_t state = 88172645463325252;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Mostly around the ends of pages and lines. */
static char *somewhere(void)
{
	uint64_t page = draw() % (BYTES / PAGE - 2) + 1, near = draw() % 64;

	return memory + page * PAGE - 32 + (draw() % 2 ? near : draw() % PAGE);
}

static uint64_t sum_of_all(void)
{
	uint64_t sum = 1469598103934665603;

	for (size_t i = 0; i < BYTES; i++)
		sum = (sum ^ (unsigned char)memory[i]) * 1099511628211;
	return sum;
}

/* --- single accesses ---------------------------------------------------------------------------*/

APART static uint64_t load(const char *p, int width)
{
	switch (width) {
	case 0:
		return *(const uint16_t *)p;
	case 1:
		return *(const uint32_t *)p;
	case 2:
		return *(const uint64_t *)p;
	default:
		return (uint64_t) * (const double *)p;
	}
}

APART static void store(char *p, int width, uint64_t value)
{
	switch (width) {
	case 0:
		*(uint16_t *)p = (uint16_t)value;
		break;
	case 1:
		*(uint32_t *)p = (uint32_t)value;
		break;
	case 2:
		*(uint64_t *)p = value;
		break;
	default:
		*(double *)p = (double)(value % 1000);
	}
}

APART static void update(uint32_t *p)
{
	*p = *p * 3 + 1;
}

APART static uint64_t fields(struct pair *p)
{
	uint64_t sum = p->second + p->fourth;

	p->third += (uint32_t)sum;
	p->first ^= sum;
	return sum + p->first;
}

APART static void count_atomically(uint32_t *p)
{
	__atomic_fetch_add(p, 5, __ATOMIC_RELAXED);
}

/* --- loops -------------------------------------------------------------------------------------*/

APART static uint64_t sum_up(const uint64_t *p, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += p[i];
	return sum;
}

APART static uint64_t sum_down(const uint32_t *p, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = count; i-- > 0;)
		sum = sum * 3 + p[i];
	return sum;
}

APART static void fill(uint32_t *p, size_t count, uint32_t value)
{
	for (size_t i = 0; i < count; i++)
		p[i] = value += 7;
}

APART static void add(uint64_t *to, const uint64_t *from, size_t count)
{
	for (size_t i = 0; i < count; i++)
		to[i] += from[i] * 3;
}

/* A store of one step is a load of the next. */
APART static void run_on(uint16_t *p, size_t count)
{
	for (size_t i = 1; i < count; i++)
		p[i] = (uint16_t)(p[i] + p[i - 1]);
}

APART static void strided(char *p, size_t count)
{
	for (size_t i = 0; i < count; i++, p += 24)
		*(uint64_t *)p += i;
}

static void singles(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < TRIES; i++) {
		char *p = somewhere();

		sum = sum * 31 + load(p, i % 3);
		store(somewhere(), i % 4, draw());
		sum += load(p, 3) & 1;
		update((uint32_t *)(void *)somewhere());
		sum += fields((struct pair *)(void *)somewhere());
		/* Of a cache line: kernels may forbid split locks. */
		count_atomically(
			(uint32_t *)(void *)(memory + draw() % (BYTES / 64) * 64 + draw() % 60));
	}
	printf("single accesses: %" PRIx64 " %" PRIx64 "\n", sum, sum_of_all());
}

static void loops(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < TRIES / 100; i++) {
		sum = sum * 31 + sum_up((uint64_t *)(void *)somewhere(), draw() % 300);
		sum = sum * 31 + sum_down((uint32_t *)(void *)somewhere(), draw() % 300);
		fill((uint32_t *)(void *)somewhere(), draw() % 300, (uint32_t)draw());
		add((uint64_t *)(void *)somewhere(), (uint64_t *)(void *)somewhere(), draw() % 300);
		run_on((uint16_t *)(void *)somewhere(), draw() % 3000);
		strided(somewhere(), draw() % 40);
	}
	printf("loops: %" PRIx64 " %" PRIx64 "\n", sum, sum_of_all());
}

int main(void)
{
	memory = malloc(BYTES + PAGE * 4);
	if (!memory)
		return 1;
	for (size_t i = 0; i < (BYTES + PAGE * 4) / 8; i++)
		((uint64_t *)(void *)memory)[i] = i * 0x9e3779b97f4a7c15;
	singles();
	loops();
	return 0;
}
