/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SETs keys of a Redis server, at random or in sequence, and prints the rate. Values are fresh
 * random bytes; or, with `same', always the same bytes, as redis-benchmark's are: a tracker that
 * compares then sees what Redis itself changes about a key, not the value.
 *
 * usage: redis-set PORT KEYS SECONDS random|sequential [VALUE_BYTES [SETS_PER_SECOND [same]]]
 * SETS_PER_SECOND 0: as fast as it can.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/units.h"

enum { PIPELINE = 16, VALUE_MAX = 65536, HEAD_MAX = 128 };

static uint64_t key_state = 88172645463325252u, value_state = 2463534242u;

static uint64_t draw(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int send_batch(int fd, uint64_t keys, int in_sequence, uint64_t done, size_t value_bytes,
		      int same)
{
	static char text[PIPELINE * (VALUE_MAX + HEAD_MAX)];
	size_t used = 0, at = 0;

	for (uint64_t i = 0; i < PIPELINE; i++) {
		uint64_t key = (in_sequence ? done + i : draw(&key_state)) % keys;

		used += (size_t)snprintf(text + used, HEAD_MAX,
					 "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012llu\r\n$%zu\r\n",
					 (unsigned long long)key, value_bytes);
		for (size_t j = 0; j < value_bytes; j += 8) {
			uint64_t word = same ? 0x0101010101010101u : draw(&value_state);

			memcpy(text + used + j, &word, value_bytes - j < 8 ? value_bytes - j : 8);
		}
		used += value_bytes;
		memcpy(text + used, "\r\n", 2);
		used += 2;
	}
	while (at < used) {
		ssize_t n = write(fd, text + at, used - at);

		if (n <= 0)
			return -1;
		at += (size_t)n;
	}
	return 0;
}

/* "+OK\r\n" for each. */
static int read_answers(int fd)
{
	char text[PIPELINE * 5];
	size_t got = 0;

	while (got < sizeof(text)) {
		ssize_t n = read(fd, text + got, sizeof(text) - got);

		if (n <= 0 || text[0] != '+')
			return -1;
		got += (size_t)n;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	uint64_t start = kona_now_ns(), keys, limit_ns, done = 0;
	size_t value_bytes = argc > 5 ? (size_t)atol(argv[5]) : 1024;
	double rate = argc > 6 ? atof(argv[6]) : 0;
	int same = argc > 7;

	if (argc < 5 || !value_bytes || value_bytes > VALUE_MAX)
		return 2;
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	keys = strtoull(argv[2], NULL, 10);
	limit_ns = (uint64_t)(atof(argv[3]) * 1e9);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		perror("redis-set: connect");
		return 1;
	}
	while (kona_now_ns() - start < limit_ns) {
		double ahead =
			rate > 0 ? (double)done / rate * 1e9 - (double)(kona_now_ns() - start) : 0;

		if (ahead > 0) {
			struct timespec nap = {0, ahead < 1e8 ? (long)ahead : 100000000};

			nanosleep(&nap, NULL);
			continue;
		}
		if (send_batch(fd, keys, argv[4][0] == 's', done, value_bytes, same) ||
		    read_answers(fd)) {
			fprintf(stderr, "redis-set: the server failed\n");
			return 1;
		}
		done += PIPELINE;
	}
	printf("%.0f\n", (double)done / ((double)(kona_now_ns() - start) / 1e9));
	return 0;
}
