// SPDX-License-Identifier: BSD-2-Clause
//
// The kernels of bench/cc-kernels: small programs of well-known kinds, whose data is on the heap.
// For each line of its input one runs, and prints the processor time that it took in milliseconds and a
// sum that must not depend on the compiler. Compiled by clang++ and by kona-c++.
//
// usage: cc-kernels KERNEL
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#define APART __attribute__((noinline))

namespace {

constexpr size_t WORDS = 8 << 20; // 64 MiB of 8 bytes

uint64_t state = 1;

uint64_t next_random()
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

template <typename T> T *heap(size_t count)
{
	T *p = static_cast<T *>(malloc(count * sizeof(T)));
	if (!p)
		abort();
	return p;
}

double now_ms()
{
	timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return double(t.tv_sec) * 1e3 + double(t.tv_nsec) / 1e6;
}

struct Link {
	Link *next;
	uint64_t value;
	uint64_t rest[6];
};

Link *links;
uint64_t *words, *more, *third;

APART uint64_t chase(const Link *l, size_t steps)
{
	uint64_t s = 0;
	for (size_t i = 0; i < steps; i++, l = l->next)
		s += l->value;
	return s;
}

APART uint64_t random_read(const uint64_t *p, size_t count)
{
	uint64_t s = 0, x = 88172645463325252ull;
	for (size_t i = 0; i < count; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		s += p[x & (WORDS - 1)];
	}
	return s;
}

APART uint64_t random_update(uint64_t *p, size_t count)
{
	uint64_t x = 88172645463325252ull;
	for (size_t i = 0; i < count; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[x & (WORDS - 1)] ^= x;
	}
	return p[x & (WORDS - 1)];
}

APART uint64_t sequential_sum(const uint64_t *p, size_t count)
{
	uint64_t s = 0;
	for (size_t i = 0; i < count; i++)
		s += p[i];
	return s;
}

APART uint64_t triad(double *a, const double *b, const double *c, size_t count)
{
	for (size_t i = 0; i < count; i++)
		a[i] = b[i] + 3 * c[i];
	return uint64_t(a[count / 2]);
}

// A quicksort of its own: the C library's is not compiled here.
APART void quick_sort(uint64_t *a, int64_t n)
{
	while (n > 16) {
		uint64_t pivot = a[n / 2];
		int64_t i = -1, j = n;
		for (;;) {
			while (a[++i] < pivot)
				;
			while (a[--j] > pivot)
				;
			if (i >= j)
				break;
			std::swap(a[i], a[j]);
		}
		quick_sort(a, j + 1);
		a += j + 1;
		n -= j + 1;
	}
	for (int64_t i = 1; i < n; i++) {
		uint64_t x = a[i];
		int64_t j = i;
		for (; j && a[j - 1] > x; j--)
			a[j] = a[j - 1];
		a[j] = x;
	}
}

struct Entry {
	Entry *next;
	uint64_t key, value;
};

struct Table {
	Entry **buckets;
	size_t mask;
};

APART void table_add(Table *t, uint64_t key, uint64_t value)
{
	Entry **bucket = &t->buckets[(key * 0x9e3779b97f4a7c15ull >> 40) & t->mask];
	for (Entry *e = *bucket; e; e = e->next)
		if (e->key == key) {
			e->value += value;
			return;
		}
	Entry *e = heap<Entry>(1);
	e->key = key;
	e->value = value;
	e->next = *bucket;
	*bucket = e;
}

APART uint64_t table_find(const Table *t, uint64_t key)
{
	for (Entry *e = t->buckets[(key * 0x9e3779b97f4a7c15ull >> 40) & t->mask]; e; e = e->next)
		if (e->key == key)
			return e->value;
	return 0;
}

// An LZ77 codec in the manner of LZ4: greedy matches by a hash of four bytes, byte-aligned output.
uint32_t read32(const uint8_t *p)
{
	uint32_t x;
	memcpy(&x, p, 4);
	return x;
}

APART size_t lz_compress(const uint8_t *in, size_t size, uint8_t *out, uint32_t *heads)
{
	const uint8_t *p = in, *start = in, *end = in + size - 16;
	uint8_t *o = out;
	memset(heads, 0, 65536 * sizeof(*heads));
	while (p < end) {
		uint32_t h = read32(p) * 2654435761u >> 16;
		const uint8_t *match = in + heads[h];
		heads[h] = uint32_t(p - in);
		if (match >= p || p - match > 65535 || read32(match) != read32(p)) {
			p++;
			continue;
		}
		size_t length = 4;
		while (p + length < end && p[length] == match[length] && length < 250)
			length++;
		size_t literals = size_t(p - start);
		while (literals >= 255) {
			*o++ = 255;
			memcpy(o, start, 254);
			o += 254;
			start += 254;
			literals -= 254;
			*o++ = 0;
		}
		*o++ = uint8_t(literals);
		for (size_t i = 0; i < literals; i++)
			*o++ = start[i];
		*o++ = uint8_t(length);
		uint16_t distance = uint16_t(p - match);
		memcpy(o, &distance, 2);
		o += 2;
		p += length;
		start = p;
	}
	size_t rest = size_t(in + size - start);
	*o++ = 254;
	memcpy(o, &rest, sizeof(rest));
	memcpy(o + sizeof(rest), start, rest);
	return size_t(o - out) + sizeof(rest) + rest;
}

APART size_t lz_decompress(const uint8_t *p, uint8_t *out)
{
	uint8_t *o = out;
	for (;;) {
		size_t literals = *p++;
		if (literals == 254) {
			size_t rest;
			memcpy(&rest, p, sizeof(rest));
			memcpy(o, p + sizeof(rest), rest);
			return size_t(o - out) + rest;
		}
		if (literals == 255)
			literals = 254;
		for (size_t i = 0; i < literals; i += 8) // may write a little more; it is overwritten
			memcpy(o + i, p + i, 8);
		o += literals;
		p += literals;
		size_t length = *p++;
		if (!length)
			continue;
		uint16_t distance;
		memcpy(&distance, p, 2);
		p += 2;
		const uint8_t *match = o - distance;
		if (distance >= 8)
			for (size_t i = 0; i < length; i += 8)
				memcpy(o + i, match + i, 8);
		else
			for (size_t i = 0; i < length; i++)
				o[i] = match[i];
		o += length;
	}
}

struct Graph {
	std::vector<uint32_t> offsets, sources, degrees;
	std::vector<double> rank, next;
};

APART double page_rank(Graph &g)
{
	size_t n = g.degrees.size();
	for (size_t v = 0; v < n; v++) {
		double s = 0;
		for (uint32_t e = g.offsets[v]; e < g.offsets[v + 1]; e++) {
			uint32_t from = g.sources[e];
			s += g.rank[from] / g.degrees[from];
		}
		g.next[v] = 0.15 / double(n) + 0.85 * s;
	}
	g.rank.swap(g.next);
	return g.rank[n / 2] * 1e9;
}

Graph graph;
Table table;
uint8_t *text, *packed, *unpacked;
uint32_t *heads;
size_t text_bytes = 16 << 20;

void prepare_words()
{
	words = heap<uint64_t>(WORDS);
	more = heap<uint64_t>(WORDS);
	third = heap<uint64_t>(WORDS);
	for (size_t i = 0; i < WORDS; i++) {
		words[i] = next_random();
		reinterpret_cast<double *>(more)[i] = double(i);
		reinterpret_cast<double *>(third)[i] = 1;
	}
}

void prepare_links()
{
	size_t n = WORDS / 8;
	std::vector<uint32_t> order(n);
	links = heap<Link>(n);
	for (size_t i = 0; i < n; i++)
		order[i] = uint32_t(i);
	for (size_t i = n - 1; i; i--)
		std::swap(order[i], order[next_random() % (i + 1)]);
	for (size_t i = 0; i < n; i++) {
		links[order[i]].next = &links[order[(i + 1) % n]];
		links[order[i]].value = i;
	}
}

void prepare_text()
{
	text = heap<uint8_t>(text_bytes);
	packed = heap<uint8_t>(text_bytes * 2);
	unpacked = heap<uint8_t>(text_bytes + 64);
	heads = heap<uint32_t>(65536);
	for (size_t i = 0; i < text_bytes;) {
		uint64_t r = next_random();
		if (i > 100000 && r % 4) {
			size_t from = i - 1 - (r >> 8) % 60000, length = 4 + (r >> 40) % 40;
			for (size_t k = 0; k < length && i < text_bytes; k++)
				text[i++] = text[from + k];
		} else {
			for (int k = 0; k < 12 && i < text_bytes; k++)
				text[i++] = uint8_t('a' + next_random() % 20);
		}
	}
}

void prepare_graph()
{
	uint32_t n = 500000;
	graph.offsets.push_back(0);
	graph.degrees.assign(n, 1);
	for (uint32_t v = 0; v < n; v++) {
		for (uint64_t e = next_random() % 17; e; e--) {
			uint32_t from = uint32_t(next_random() % n);
			graph.sources.push_back(from);
			graph.degrees[from]++;
		}
		graph.offsets.push_back(uint32_t(graph.sources.size()));
	}
	graph.rank.assign(n, 1.0 / n);
	graph.next.assign(n, 0);
}

void prepare_table()
{
	table.mask = (1 << 18) - 1;
	table.buckets = heap<Entry *>(table.mask + 1);
	for (size_t i = 0; i <= table.mask; i++)
		table.buckets[i] = nullptr;
}

uint64_t run_hash()
{
	uint64_t s = 0, key = 1;
	for (int i = 0; i < 1000000; i++) {
		key = key * 6364136223846793005ull + 1442695040888963407ull;
		table_add(&table, key >> 46, key);
		s += table_find(&table, key >> 45);
	}
	return s;
}

uint64_t run_sort()
{
	uint64_t x = 7;
	size_t n = 1000000;
	for (size_t i = 0; i < n; i++)
		words[i] = x = x * 6364136223846793005ull + 1;
	quick_sort(words, int64_t(n));
	return words[n / 3];
}

uint64_t run_compress()
{
	return lz_compress(text, text_bytes, packed, heads);
}

uint64_t run_decompress()
{
	size_t n = lz_decompress(packed, unpacked);
	if (n != text_bytes || memcmp(text, unpacked, n))
		abort();
	return n;
}

const struct {
	const char *name;
	void (*prepare)();
	uint64_t (*run)();
} kernels[] = {
	{"chase", prepare_links, [] { return chase(links, 1000000); }},
	{"random-read", prepare_words, [] { return random_read(words, 10000000); }},
	{"random-update", prepare_words, [] { return random_update(words, 10000000); }},
	{"sum", prepare_words, [] { return sequential_sum(words, WORDS); }},
	{"triad", prepare_words,
	 [] {
		 return triad(reinterpret_cast<double *>(words), reinterpret_cast<double *>(more),
			      reinterpret_cast<double *>(third), WORDS);
	 }},
	{"quicksort", prepare_words, run_sort},
	{"hash", prepare_table, run_hash},
	{"lz-compress", prepare_text, run_compress},
	{"lz-decompress",
	 [] {
		 prepare_text();
		 run_compress();
	 },
	 run_decompress},
	{"pagerank", prepare_graph, [] { return uint64_t(page_rank(graph)); }},
};

} // namespace

int main(int argc, char **argv)
{
	char line[8];

	if (argc != 2)
		return 2;
	for (auto &kernel : kernels) {
		if (strcmp(argv[1], kernel.name))
			continue;
		kernel.prepare();
		kernel.run();
		while (fgets(line, sizeof(line), stdin)) {
			uint64_t s = kernel.run(); // what others did meanwhile is in the caches
			double start = now_ms();
			s = s * 31 + kernel.run();
			printf("%.3f %llu\n", now_ms() - start, static_cast<unsigned long long>(s));
			fflush(stdout);
		}
		return 0;
	}
	return 2;
}
