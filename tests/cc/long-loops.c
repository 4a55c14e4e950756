/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops that are long, of all kinds: who runs without guards when far memory wakes up must leave
 * them (cc-language counts what is touched until then), and what was computed before and in them is
 * used behind them. Catches a loop that is not left, and values that are lost on the way.
 *
 * usage: long-loops [SECTION]
 */
#include "language.h"

/* Bytes. */
#ifndef LONG
#define LONG (2 << 20)
#endif

static APART long add_up(const int *p, long count)
{
	long s = count;

	for (long i = 0; i < count; i++)
		s += p[i];
	return s * count;
}

static APART double blend(float *restrict a, const float *b, long count, double by)
{
	double most = by * 3, less = most - 1;

	for (long i = 0; i < count; i++)
		a[i] = b[i] * (float)by + (float)less;
	for (long i = count - 1; i > 0 && most < 1e9; i -= 3)
		most += a[i] > 2 ? a[i] : less;
	return most + less;
}

/* Nested, with more than one way out; rows of some length and of none. */
static APART unsigned long rows(const unsigned char *p, long count)
{
	const unsigned char *end = p + count;
	unsigned long s = 0, row = 0, longest = 0;

	for (; p < end; p++, row++) {
		unsigned long length = 0;

		while (*p % 16 != 5) {
			s = s * 31 + *p;
			if (++p == end)
				goto out;
			if (++length > 400)
				break;
		}
		for (unsigned long i = 0; i < length % 8; i++)
			s += p[-(long)i] ^ row;
		if (length > longest)
			longest = length;
	}
out:
	return s + row * 1000 + longest;
}

/* A loop that is a switch, and is entered in its middle. */
static APART long machine(const unsigned char *p, long count, int state)
{
	const unsigned char *end = p + count;
	long s = 0, turns = 0;

	if (state)
		goto middle;
	do {
		switch (*p % 5) {
		case 0:
			s += *p;
			continue;
		case 1:
			s ^= turns;
			break;
		case 2:
			if (s & 1)
				goto middle;
			s += 3;
			break;
		default:
			s *= 3;
		}
		turns++;
	middle:
		s += p[state] & 7;
		if (s % 1000003 == 7 && turns > count)
			return s;
	} while (++p < end - 1);
	return s * 7 + turns;
}

struct pair {
	long whole;
	double part;
};

static APART struct pair next_pair(struct pair from, const int *p)
{
	return (struct pair){from.whole * 3 + *p, from.part / 2 + *p};
}

typedef float four __attribute__((vector_size(16)));

/* Structures, vectors and pointers that live on from turn to turn, calls between. */
static APART double values(int *p, long count)
{
	struct pair pair = {count, 0.5};
	four many = {1, 2, 3, 4}, start = many;
	int *last = p;

	for (long i = 0; i < count; i += 5) {
		pair = next_pair(pair, p + i);
		many = many * 0.5f + start * (float)(p[i] & 15);
		if (p[i] > *last)
			last = p + i;
		p[i] ^= (int)i;
	}
	return (double)(pair.whole % 1000) + many[0] + many[3] + start[1] + (double)(last - p) +
	       pair.part;
}

/* An array whose length is known late, in each turn. */
static APART long lengths(const unsigned char *p, long count)
{
	long s = 0, length = p[0] % 7 + 2;
	int whole[length];

	memset(whole, 0, sizeof(whole));
	for (long i = 0; i < count; i += length) {
		short part[p[i] % 5 + 1];

		for (long k = 0; k <= p[i] % 5; k++)
			part[k] = (short)(p[i] * k);
		whole[i % length] += part[p[i] % 5];
		s += whole[(i + 1) % length];
	}
	return s + whole[0];
}

static APART long recursive(const unsigned char *p, long count, int depth)
{
	long s = 0, part = count / 4;

	if (!depth || part < 4)
		return p[0];
	for (long i = 0; i < 4; i++)
		s = s * 5 + recursive(p + i * part, part, depth - 1) + p[i];
	for (long i = 0; i < count; i += 16)
		s += p[i];
	return s;
}

static void counting(void)
{
	float *a = far_bytes(LONG);
	int *numbers = far_bytes(LONG);

	for (int i = 0; i < LONG / 4; i++)
		a[i] = (float)(i % 1000);
	printf("%ld ", add_up(numbers, LONG / 4));
	printf("%.3f ", blend(a, a + LONG / 8, LONG / 8, 0.25));
	printf("%.3f\n", blend(a, a + LONG / 8, LONG / 8, 1.25));
}

static void nesting(void)
{
	printf("%lu\n", rows(far_bytes(LONG), LONG));
}

static void switching(void)
{
	unsigned char *p = far_bytes(LONG);

	for (int state = 0; state < 2; state++)
		printf("%ld\n", machine(p, LONG, state));
}

static void calling(void)
{
	int *numbers = far_bytes(LONG);

	for (int round = 0; round < 2; round++)
		printf("%.3f\n", values(numbers, LONG / 4));
}

static void stacking(void)
{
	printf("%ld\n", lengths(far_bytes(LONG), LONG));
}

static void recursing(void)
{
	printf("%ld\n", recursive(far_bytes(LONG), LONG, 5));
}

static const struct section sections[] = {
	{"counting", counting}, {"nesting", nesting},	{"switching", switching},
	{"calling", calling},	{"stacking", stacking}, {"recursing", recursing},
};

int main(int argc, char **argv)
{
	return run_sections(sections, sizeof(sections) / sizeof(*sections),
			    argc > 1 ? argv[1] : NULL);
}
