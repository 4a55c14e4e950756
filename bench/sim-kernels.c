/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small programs for bench/sim-built, on heap memory: sort, hash, matrix, pack, tree.
 *
 * usage: sim-kernels NAME SIZE
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 88172645463325252u;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void *need(size_t bytes)
{
	void *memory = calloc(1, bytes);

	if (!memory)
		abort();
	return memory;
}

static void sift(uint64_t *v, size_t at, size_t count)
{
	for (size_t child; (child = 2 * at + 1) < count; at = child) {
		uint64_t swap;

		child += child + 1 < count && v[child + 1] > v[child];
		if (v[at] >= v[child])
			return;
		swap = v[at];
		v[at] = v[child];
		v[child] = swap;
	}
}

static uint64_t heap_sort(size_t count)
{
	uint64_t *v = need(count * sizeof(*v)), swap;

	for (size_t i = 0; i < count; i++)
		v[i] = draw();
	for (size_t i = count / 2; i-- > 0;)
		sift(v, i, count);
	for (size_t i = count; i-- > 1;) {
		swap = v[0];
		v[0] = v[i];
		v[i] = swap;
		sift(v, 0, i);
	}
	return v[count / 2];
}

/* Counts words of a skewed distribution: most are found at once. */
static uint64_t hash(size_t count)
{
	enum { SLOTS = 1 << 16 };
	struct {
		uint64_t key, count;
	} *table = need(SLOTS * sizeof(*table));
	uint64_t most = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t key = 1 + (draw() & draw() & draw() & 0xffff), slot = key * 0x9e3779b9;

		for (slot %= SLOTS; table[slot].key && table[slot].key != key;)
			slot = (slot + 1) % SLOTS;
		table[slot].key = key;
		if (++table[slot].count > most)
			most = table[slot].count;
	}
	return most;
}

static uint64_t matrix(size_t n)
{
	double *a = need(n * n * sizeof(*a)), *b = need(n * n * sizeof(*b));
	double *c = need(n * n * sizeof(*c));

	for (size_t i = 0; i < n * n; i++) {
		a[i] = (double)(draw() % 8);
		b[i] = (double)(draw() % 8);
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++)
			for (size_t j = 0; j < n; j++)
				c[i * n + j] += a[i * n + k] * b[k * n + j];
	return (uint64_t)c[n + 1];
}

/* Finds repetitions by a hash of four bytes, as the LZ family does. */
static uint64_t pack(size_t bytes)
{
	uint8_t *text = need(bytes + 8);
	uint32_t *seen = need((1 << 14) * sizeof(*seen));
	uint64_t matched = 0;

	for (size_t i = 0; i < bytes; i++)
		text[i] = (uint8_t)("etaoin shrdlu"[draw() % 13]);
	for (size_t i = 0; i + 8 < bytes;) {
		uint32_t word, length = 0, at;

		memcpy(&word, text + i, 4);
		word = word * 2654435761u >> 18;
		at = seen[word];
		seen[word] = (uint32_t)i;
		while (at < i && i + length < bytes && text[at + length] == text[i + length])
			length++;
		matched += length > 3 ? length : 0;
		i += length > 3 ? length : 1;
	}
	return matched;
}

struct node {
	uint64_t key;
	struct node *child[2];
};

static uint64_t tree(size_t count)
{
	struct node *root = NULL, **place;
	uint64_t depth = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t key = draw() % (count / 2);

		for (place = &root; *place && (*place)->key != key; depth++)
			place = &(*place)->child[key > (*place)->key];
		if (*place)
			continue;
		*place = need(sizeof(**place));
		(*place)->key = key;
	}
	return depth;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint64_t (*run)(size_t size);
	} kernels[] = {{"sort", heap_sort},
		       {"hash", hash},
		       {"matrix", matrix},
		       {"pack", pack},
		       {"tree", tree}};

	for (size_t i = 0; argc > 2 && i < sizeof(kernels) / sizeof(*kernels); i++)
		if (!strcmp(argv[1], kernels[i].name)) {
			printf("%llu\n",
			       (unsigned long long)kernels[i].run(strtoull(argv[2], NULL, 10)));
			return 0;
		}
	return 2;
}
