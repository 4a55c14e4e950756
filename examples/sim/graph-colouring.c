/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Greedy colouring of a random graph with hubs: for each vertex the colours of its neighbours,
 * which lie anywhere. Edges are read in order, colours at random, a few bytes of a page at a time.
 * usage: graph-colouring [VERTICES [DEGREE]]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLOURS = 1024 };

static uint64_t state = 1;

static uint64_t next_random(void)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return state >> 33;
}

/* Low numbers are hubs. */
static uint32_t pick(uint32_t vertices)
{
	uint64_t at = next_random() % vertices;

	return (uint32_t)(next_random() % 3 ? at : at * at / vertices);
}

/* A vertex with all that is known of it, as graph engines keep it. */
struct vertex {
	int32_t colour;
	uint32_t degree;
	uint64_t first_edge;
	char rest[48];
};

int main(int argc, char **argv)
{
	uint32_t vertices = argc > 1 ? (uint32_t)atoi(argv[1]) : 400000;
	uint32_t degree = argc > 2 ? (uint32_t)atoi(argv[2]) : 16;
	struct vertex *v = calloc(vertices, sizeof(*v));
	uint32_t *edges = malloc((size_t)vertices * degree * sizeof(*edges));
	int32_t most = 0;

	if (!v || !edges)
		return 1;
	for (uint32_t i = 0; i < vertices; i++) {
		v[i] = (struct vertex){.colour = -1, .degree = degree};
		v[i].first_edge = (uint64_t)i * degree;
		for (uint32_t e = 0; e < degree; e++)
			edges[v[i].first_edge + e] = pick(vertices);
	}
	for (uint32_t i = 0; i < vertices; i++) {
		uint8_t taken[COLOURS] = {0};
		int32_t colour = 0;

		for (uint32_t e = 0; e < v[i].degree; e++) {
			int32_t other = v[edges[v[i].first_edge + e]].colour;

			if (other >= 0 && other < COLOURS)
				taken[other] = 1;
		}
		while (taken[colour])
			colour++;
		v[i].colour = colour;
		most = colour > most ? colour : most;
	}
	printf("%d colours\n", most + 1);
	free(edges);
	free(v);
	return 0;
}
