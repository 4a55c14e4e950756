/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two data structures of one program: counters that are changed here and there, and an array that
 * is written from end to end. Which of them makes whole pages dirty for a few bytes?
 *   kona sim --patterns --bytes --window 20M --attribute=heap -- two-tables
 * usage: two-tables [MIB]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state = 1;

static uint64_t next_random(void)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return state >> 33;
}

static uint8_t *make_counters(size_t bytes)
{
	return malloc(bytes);
}

static uint64_t *make_log(size_t bytes)
{
	return malloc(bytes);
}

int main(int argc, char **argv)
{
	size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 32) << 20;
	uint8_t *counters = make_counters(bytes);
	uint64_t *record = make_log(bytes);
	uint64_t sum = 0;

	if (!counters || !record)
		return 1;
	for (size_t i = 0; i < bytes / 8; i++) {
		record[i] = i;
		if (i % 32 == 0)
			counters[next_random() % bytes] = (uint8_t)i;
	}
	for (size_t i = 0; i < bytes; i += 4096)
		sum += counters[i] + record[i / 8];
	printf("%llu\n", (unsigned long long)sum);
	free(counters);
	free(record);
	return 0;
}
