// SPDX-License-Identifier: BSD-2-Clause
// What C++ adds: the same rules as for language.c.
//
// usage: language++ [SECTION]
#include <algorithm>
#include <cstring>
#include <immintrin.h>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "language.h"

// How many objects; more than are local: of the mock, or, with -DMANY, of kona run.
#ifndef MANY
#define MANY 4000
#endif

namespace {

struct Shape {
	explicit Shape(int n) : number(n) {}
	virtual ~Shape() {}
	virtual long area() const = 0;
	int number;
	long padding[9] = {};
};

struct Square : Shape {
	using Shape::Shape;
	long area() const override { return long(number) * number; }
};

struct Circle : virtual Square {
	explicit Circle(int n) : Square(n), extra(n / 2) {}
	long area() const override { return Square::area() * 3 + extra; }
	int extra;
};

void classes()
{
	std::vector<std::unique_ptr<Shape>> shapes;
	long s = 0;

	for (int i = 0; i < MANY; i++)
		if (i % 3)
			shapes.emplace_back(new Square(i));
		else
			shapes.emplace_back(new Circle(i));
	for (auto &shape : shapes) {
		s = s * 3 + shape->area();
		shape->number++;
		if (shape->number % 3 == 1)
			s += static_cast<Square *>(shape.get())->area();
	}
	printf("%ld\n", s);
}

void containers()
{
	std::map<int, std::string> tree;
	std::unordered_map<std::string, int> hash;
	std::vector<long> numbers;
	long s = 0;

	for (int i = 0; i < MANY; i++) {
		tree[i * 7919 % 10007] = std::string(size_t(i % 40), char('a' + i % 26));
		hash["key" + std::to_string(i * 31 % 5003)] += i;
		numbers.push_back(i * 7919L % 10007);
	}
	std::sort(numbers.begin(), numbers.end());
	for (auto &[key, text] : tree)
		s = s * 3 + key + long(text.size());
	for (int i = 0; i < MANY; i++)
		s = s * 5 + hash["key" + std::to_string(i)];
	for (long n : numbers)
		s = s * 7 + n;
	printf("%ld\n", s);
}

struct Failure : std::runtime_error {
	explicit Failure(int n) : std::runtime_error("failed " + std::to_string(n)), number(n) {}
	int number;
};

struct Counter {
	int *far;
	~Counter() { ++*far; }
};

APART long dig(int *far, int depth)
{
	Counter counter{far + depth * 1000};

	if (depth == 0)
		throw Failure(far[500]);
	if (depth == 7)
		throw far[700];
	return dig(far, depth - 1) + far[depth];
}

void exceptions()
{
	int *far = static_cast<int *>(far_bytes(300000));
	long s = 0;

	for (int i = 0; i < 40; i++)
		try {
			far[500] = i;
			far[i] += i;
			s += dig(far, i % 12);
		} catch (const Failure &failure) {
			s = s * 3 + failure.number + long(std::strlen(failure.what()));
		} catch (int number) {
			s = s * 3 + number;
			far[i] ^= number;
		}
	printf("%ld %u\n", s, sum(far, 300000));
}

void lambdas()
{
	int *far = static_cast<int *>(far_bytes(300000));
	int scale = 3;
	auto work = [&scale, far](int i) { return far[i] * scale + i; };

	std::sort(far, far + 30000, [](int a, int b) { return (a ^ 0x55) < (b ^ 0x55); });
	for (int i = 0; i < 30000; i++)
		far[i + 30000] = work(i);
	std::reverse(far + 1, far + 50001);
	std::rotate(far, far + 777, far + 60000);
	printf("%u\n", sum(far, 300000));
}

void vectors()
{
	float *far = static_cast<float *>(std::malloc(300000));
	int n = 300000 / 4 - 16;

	for (int i = 0; i < n; i++)
		far[i] = float(i % 1000) / 8;
	for (int i = 0; i + 16 < n; i += 5) {
		__m256 a = _mm256_loadu_ps(far + i), b = _mm256_loadu_ps(far + i + 3);
		_mm256_storeu_ps(far + i + 1, _mm256_add_ps(_mm256_mul_ps(a, _mm256_set1_ps(0.25f)), b));
		__m128 c = _mm_loadu_ps(far + i + 7);
		_mm_storeu_ps(far + i + 9, _mm_sub_ps(c, _mm_set1_ps(1)));
	}
	printf("%u\n", sum(far, size_t(n) * 4));
}

void gather()
{
	int *far = static_cast<int *>(far_bytes(300000));
	long s = 0;

	for (int i = 0; i < 2000; i++) {
		__m256i where = _mm256_setr_epi32(i, i * 2, i * 3, i * 5, i * 7, i * 11, i * 13, i * 17);
		__m256i got = _mm256_i32gather_epi32(far, where, 4);
		__m256i mask = _mm256_cmpgt_epi32(got, _mm256_setzero_si256());
		_mm256_maskstore_epi32(far + i * 31, mask, where);
		s += _mm256_extract_epi32(_mm256_maskload_epi32(far + i * 29, mask), 3);
	}
	printf("%ld %u\n", s, sum(far, 300000));
}

APART long careful(const int *p, long i)
{
	if (p[i] % 1021 == 5)
		throw p[i];
	if (p[i] % 4099 == 7)
		throw Failure(p[i] & 255);
	return p[i] % 100;
}

// Loops with results of calls that may throw, caught in the loop, and outside of it.
APART long catching(int *p, long count)
{
	long s = 0, last = count, thrown = 0;
	std::string text = "begin";

	for (long i = 0; i < count; i += 3) {
		long next = last & 3;
		try {
			next += careful(p, i);
			s += next * last;
		} catch (int number) {
			thrown += number & 7;
			p[i] = 1;
		}
		last = next;
		if (last % 64 == 9 && text.size() < 60)
			text += char('a' + last % 26);
	}
	return s + last + thrown + long(text.size());
}

APART long escaping(const int *p, long count)
{
	long s = 0;

	for (long i = 0; i < count; i += 2)
		s = s * 3 + careful(p, i);
	return s;
}

void catching_all()
{
	const long count = 2 << 18;
	int *far = static_cast<int *>(far_bytes(count * sizeof(int)));
	long s = 0;

	for (int round = 0; round < 2; round++)
		s = s * 7 + catching(far, count);
	for (long i = 0; i < count; i++)
		far[i] = i > count - 5 ? 7 : int(i % 997) + 8;
	try {
		s += escaping(far, count);
	} catch (const Failure &failure) {
		s += failure.number;
	}
	printf("%ld %u\n", s, sum(far, size_t(count) * sizeof(int)));
}

const section sections[] = {{"classes", classes},	 {"containers", containers}, {"exceptions", exceptions},
		{"lambdas", lambdas},	 {"vectors", vectors},	     {"gather", gather},
		{"catching", catching_all}};

} // namespace

int main(int argc, char **argv)
{
	return run_sections(sections, sizeof(sections) / sizeof(*sections), argc > 1 ? argv[1] : NULL);
}
