// SPDX-License-Identifier: BSD-2-Clause
//
// The kernels of bench/cc-kernels: small programs of well-known kinds, whose data is on the heap.
// For each line of its input one runs, and prints the processor time that it took in milliseconds and a
// sum that must not depend on the compiler. Compiled by clang++ and by kona-c++, and linked with zlib and
// lz4, compiled the same way.
//
// usage: cc-kernels KERNEL [short]
// short: before the kernel runs, memory is short, and all of its data leaves, so that guards are awake.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include <lz4.h>
#include <zlib.h>

extern "C" int kona_set_local(uint64_t bytes) __attribute__((weak)); // <kona/kona.h>

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

constexpr size_t TEXT_BYTES = 16 << 20, PACKED_BYTES = 2 * TEXT_BYTES;
constexpr size_t ZLIB_BYTES = TEXT_BYTES / 4; // it is slower
char *text, *packed, *unpacked;
size_t packed_bytes;

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

// Half of it words that came before, not far away, half of it new ones.
void prepare_text()
{
	text = heap<char>(TEXT_BYTES);
	packed = heap<char>(PACKED_BYTES);
	unpacked = heap<char>(TEXT_BYTES);
	for (size_t i = 0; i < TEXT_BYTES;) {
		uint64_t r = next_random();
		if (i > 100000 && r % 4) {
			size_t from = i - 1 - (r >> 8) % 60000, length = 4 + (r >> 40) % 40;
			for (size_t k = 0; k < length && i < TEXT_BYTES; k++)
				text[i++] = text[from + k];
		} else {
			for (int k = 0; k < 12 && i < TEXT_BYTES; k++)
				text[i++] = char('a' + next_random() % 20);
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

uint64_t pack_by_zlib()
{
	uLongf size = PACKED_BYTES;
	if (compress2(reinterpret_cast<Bytef *>(packed), &size, reinterpret_cast<Bytef *>(text),
		      ZLIB_BYTES, Z_DEFAULT_COMPRESSION) != Z_OK)
		abort();
	return packed_bytes = size;
}

uint64_t unpack_by_zlib()
{
	uLongf size = TEXT_BYTES;
	if (uncompress(reinterpret_cast<Bytef *>(unpacked), &size,
		       reinterpret_cast<Bytef *>(packed), packed_bytes) != Z_OK ||
	    size != ZLIB_BYTES)
		abort();
	return size;
}

uint64_t pack_by_lz4()
{
	int size = LZ4_compress_default(text, packed, int(TEXT_BYTES), int(PACKED_BYTES));
	if (size <= 0)
		abort();
	return packed_bytes = size_t(size);
}

uint64_t unpack_by_lz4()
{
	int size = LZ4_decompress_safe(packed, unpacked, int(packed_bytes), int(TEXT_BYTES));
	if (size != int(TEXT_BYTES))
		abort();
	return size_t(size);
}

template <uint64_t (*pack)(), uint64_t (*unpack)(), size_t bytes> void prepare_packed()
{
	prepare_text();
	pack();
	unpack();
	if (memcmp(text, unpacked, bytes))
		abort();
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
	{"zlib-compress", prepare_text, pack_by_zlib},
	{"zlib-decompress", prepare_packed<pack_by_zlib, unpack_by_zlib, ZLIB_BYTES>, unpack_by_zlib},
	{"lz4-compress", prepare_text, pack_by_lz4},
	{"lz4-decompress", prepare_packed<pack_by_lz4, unpack_by_lz4, TEXT_BYTES>, unpack_by_lz4},
	{"pagerank", prepare_graph, [] { return uint64_t(page_rank(graph)); }},
};

// Returns false when that is not a Kona program.
bool be_short()
{
	return kona_set_local && !kona_set_local(uint64_t(8) << 20) &&
	       !kona_set_local(uint64_t(2) << 30);
}

} // namespace

int main(int argc, char **argv)
{
	char line[8];

	if (argc < 2)
		return 2;
	for (auto &kernel : kernels) {
		if (strcmp(argv[1], kernel.name))
			continue;
		kernel.prepare();
		kernel.run(); // makes the hash table
		if (argc > 2 && !be_short())
			return 1;
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
