/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guards that wake in the midst of everything: each operation below runs while they sleep, and once
 * more for instructions at which they wake; all must give the same. Compiled by kona-cc.
 *
 * Catches: a length that was taken while guards slept, for ordinary memory, and is used with a
 * translation that was made when they were awake.
 */
#include "waking.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	MOST_TRAPS = 40000, /* of one operation: each takes microseconds */
	AROUND = 80,	    /* bytes, on either side of a page's end */
	EDGE = WAKING_PAGE - AROUND,
	OTHER = 8 * WAKING_PAGE - AROUND + 7, /* another place, elsewhere in its line */
};

static char *far; /* hides from the compiler that it is always the same */
static char near[2 * AROUND];

static uint64_t copy_out(void)
{
	memcpy(near, far + EDGE, 2 * AROUND);
	return 0;
}

static uint64_t copy_in(void)
{
	memcpy(far + EDGE, near, 2 * AROUND);
	return 0;
}

static uint64_t copy_far(void)
{
	memcpy(far + OTHER, far + EDGE, 2 * AROUND);
	return 0;
}

static uint64_t move_up(void)
{
	memmove(far + EDGE + 40, far + EDGE, 2 * AROUND);
	return 0;
}

static uint64_t move_down(void)
{
	memmove(far + EDGE, far + EDGE + 40, 2 * AROUND);
	return 0;
}

static uint64_t set(void)
{
	memset(far + EDGE, 7, 2 * AROUND);
	return 0;
}

static uint64_t search(void)
{
	far[WAKING_PAGE + 90] = 0;
	return strlen(far + EDGE) + (uint64_t)(strchr(far + EDGE, 0) - far) +
	       (uint64_t)((char *)memchr(far + EDGE, 0, 2 * AROUND) - far);
}

static uint64_t compare(void)
{
	memcpy(far + OTHER, far + EDGE, 2 * AROUND);
	return (uint64_t)((memcmp(far + EDGE, far + OTHER, 2 * AROUND) != 0) +
			  (strncmp(far + EDGE, far + OTHER, 2 * AROUND) != 0) * 2);
}

static uint64_t sum(void)
{
	const uint16_t *numbers = (const uint16_t *)(far + EDGE);
	uint64_t result = 0;

	for (int i = 0; i < AROUND; i++)
		result += numbers[i];
	return result;
}

static uint64_t sum_down(void)
{
	const uint16_t *numbers = (const uint16_t *)(far + EDGE);
	uint64_t result = 0;

	for (int i = AROUND; i-- > 0;)
		result = result * 3 + numbers[i];
	return result;
}

static uint64_t triad(void)
{
	float *a = (float *)(far + EDGE + 2), *b = a + 3 * WAKING_PAGE / 4,
	      *c = b + WAKING_PAGE / 4;

	for (int i = 0; i < AROUND / 2; i++) {
		b[i] = (float)i;
		c[i] = (float)(i + 1);
	}
	for (int i = 0; i < AROUND / 2; i++)
		a[i] = b[i] + 3 * c[i];
	return (uint64_t)a[AROUND / 3];
}

static uint64_t parse(void)
{
	uint64_t result = 0;

	far[WAKING_PAGE + 60] = 0;
	for (const char *p = far + EDGE; *p; p++)
		result = *p == 100 ? result + 1 : result * 5 + (uint64_t)*p;
	return result;
}

static uint64_t cross(void)
{
	uint64_t value, result = 0;

	for (int i = 0; i < 3; i++) {
		memcpy(&value, far + (i + 1) * WAKING_PAGE - 3, 8);
		result = result * 31 + value;
		value = result;
		memcpy(far + (i + 5) * WAKING_PAGE - 5, &value, 8);
	}
	return result;
}

static uint64_t through_a_pipe(void)
{
	int pipes[2];
	ssize_t sent, got = -1;

	if (pipe(pipes))
		return 1;
	sent = write(pipes[1], far + EDGE, 2 * AROUND);
	if (sent > 0)
		got = read(pipes[0], far + OTHER, (size_t)sent);
	close(pipes[0]);
	close(pipes[1]);
	return got == 2 * AROUND ? 0 : 2;
}

static const struct {
	const char *name;
	uint64_t (*run)(void);
} operations[] = {
	{"copy out", copy_out}, {"copy in", copy_in},	  {"copy far", copy_far},
	{"move up", move_up},	{"move down", move_down}, {"set", set},
	{"search", search},	{"compare", compare},	  {"sum", sum},
	{"sum down", sum_down}, {"triad", triad},	  {"parse", parse},
	{"cross", cross},	{"pipe", through_a_pipe},
};

struct outcome {
	uint64_t result, digest, near;
};

/* Returns instructions that were left until the guards would have woken. */
static unsigned long try(uint64_t (*run)(void), unsigned long moment, struct outcome *ret_outcome)
{
	unsigned long left;

	waking_fill();
	for (int i = 0; i < (int)sizeof(near); i++)
		near[i] = (char)(i * 7);
	waking_in(moment);
	ret_outcome->result = run();
	left = waking_over();
	ret_outcome->digest = waking_digest();
	ret_outcome->near = 0;
	for (int i = 0; i < (int)sizeof(near); i++)
		ret_outcome->near = ret_outcome->near * 31 + (uint64_t)near[i];
	return left;
}

int main(void)
{
	static const unsigned long forever = 1ul << 40;
	int wrong = 0;

	far = waking_memory();
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
		struct outcome wanted, got;
		unsigned long all, step;

		try(operations[i].run, forever, &wanted); /* binds what is bound lazily */
		all = forever - try(operations[i].run, forever, &wanted);
		step = all * all / 2 / MOST_TRAPS + 1;
		for (unsigned long moment = 1; moment < all; moment += step) {
			try(operations[i].run, moment, &got);
			if (!memcmp(&got, &wanted, sizeof(got)))
				continue;
			printf("%s: woken at instruction %lu of %lu, it goes wrong\n",
			       operations[i].name, moment, all);
			wrong++;
			break;
		}
	}
	return wrong != 0;
}
