/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What C can do to memory, one section for each thing: a program that kona-cc compiles must print
 * what the same program prints that clang compiles (cc-language). Catches accesses without guards,
 * stores without marks, translations used too long.
 *
 * usage: language [SECTION]...
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "language.h"

/* Bytes; more than is local: of the mock, or, with -DMUCH, of kona run. */
#ifndef MUCH
#define MUCH 300000
#endif

struct node {
	struct node *next;
	int key;
	short small;
	char name[21];
	double weight;
};

static APART struct node *make_list(int count)
{
	struct node *head = NULL;

	for (int i = 0; i < count; i++) {
		struct node *n = malloc(sizeof(*n));

		memset(n->name, 'a' + i % 26, sizeof(n->name));
		n->next = head;
		n->key = i * 7;
		n->small = (short)-i;
		n->weight = i / 3.0;
		head = n;
	}
	return head;
}

static void chase(void)
{
	struct node *head = make_list(MUCH / 100);
	double w = 0;
	long k = 0;

	for (int round = 0; round < 3; round++)
		for (struct node *n = head; n; n = n->next) {
			k += n->key + n->small + n->name[round];
			w += n->weight;
			n->key ^= round;
			n->weight = -n->weight;
		}
	printf("%ld %.3f\n", k, w);
}

static APART unsigned mixed(int count, ...)
{
	va_list args, again;
	unsigned s = 0;

	va_start(args, count);
	va_copy(again, args);
	for (int i = 0; i < count; i++) {
		s = s * 31 + (unsigned)va_arg(args, int);
		s = s * 31 + (unsigned)va_arg(args, double);
		s = s * 31 + va_arg(args, struct node).name[3];
		s = s * 31 + (unsigned)va_arg(args, struct node *)->key;
	}
	s += (unsigned)va_arg(again, int);
	va_end(again);
	va_end(args);
	return s;
}

static void varargs(void)
{
	struct node *list = make_list(700), *b = list->next;

	for (struct node *a = list; b->next; a = a->next, b = b->next)
		if (a->key % 500 == 0)
			printf("%u\n", mixed(2, a->key, a->weight, *a, b, b->key, 2.5, *b, a));
}

static APART struct node by_value(struct node n, int k)
{
	n.key += k;
	n.name[0] = 'Z';
	return n;
}

static void structures(void)
{
	struct node *list = make_list(2000), copy;
	long s = 0;

	for (struct node *n = list; n->next; n = n->next) {
		struct node *next = n->next;

		copy = by_value(*n, 5);
		*next = by_value(*next, 3);
		s += copy.key + copy.name[0] + next->key;
		if (n->key % 3 == 0) {
			struct node *keep = next->next;

			*next = *n;
			next->next = keep;
		}
	}
	for (struct node *n = list; n; n = n->next)
		s = s * 33 + n->key + n->name[20];
	printf("%ld\n", s);
}

static jmp_buf *jump_place;

static APART void jump(int *far, int depth)
{
	far[depth * 1000] = depth;
	if (!depth)
		longjmp(*jump_place, far[1000] + 41);
	jump(far, depth - 1);
}

static void jumps(void)
{
	int *far = far_bytes(MUCH), value;
	jmp_buf place;

	jump_place = &place;
	for (int i = 0; i < 20; i++) {
		far[1000] = i;
		value = setjmp(place);
		if (!value)
			jump(far, 30 + i % 3);
		far[i] = value;
	}
	printf("%u\n", sum(far, MUCH));
}

static sigjmp_buf signal_place;
static int *volatile signal_far;

static void on_signal(int number)
{
	int *far = signal_far;

	for (int i = 0; i < 60; i++)
		far[i * 1024 + 5] += number + i;
	if (far[5] % 4 == 0)
		siglongjmp(signal_place, 1);
}

static void signals(void)
{
	int *far = far_bytes(MUCH);
	volatile int jumped = 0;

	signal_far = far;
	signal(SIGUSR1, on_signal);
	for (volatile int i = 0; i < 100; i++) {
		if (sigsetjmp(signal_place, 1)) {
			jumped++;
			continue;
		}
		far[i]++;
		raise(SIGUSR1);
		far[i * 700] += far[i];
	}
	signal(SIGUSR1, SIG_DFL);
	printf("%u %d\n", sum(far, MUCH), jumped);
}

static void atomics(void)
{
	char *far = far_bytes(MUCH);
	long s = 0;

	for (int at = 0; at + 64 < MUCH; at += 1352) {
		_Atomic(uint64_t) *a = (void *)(far + (at & ~63));
		_Atomic(uint32_t) *b = (void *)(far + (at & ~63) + 8);
		_Atomic(unsigned char) *c = (void *)(far + (at & ~63) + 13);
		uint64_t expected = atomic_load(a);

		s += atomic_compare_exchange_strong(a, &expected, expected * 3);
		expected ^= 1;
		s += atomic_compare_exchange_weak(a, &expected, 1);
		s += (long)expected;
		s += atomic_fetch_add(b, 7) + atomic_fetch_xor(b, 0xff00ff) +
		     atomic_fetch_and(b, ~3u);
		s += atomic_exchange(c, 9) + atomic_fetch_sub_explicit(c, 2, memory_order_relaxed);
		atomic_store_explicit(b, (uint32_t)s, memory_order_release);
		s += atomic_load_explicit(b, memory_order_acquire);
		s += __atomic_fetch_nand((uint16_t *)(void *)(far + (at & ~63) + 16), 0x55aa,
					 __ATOMIC_SEQ_CST);
	}
	printf("%ld %u\n", s, sum(far, MUCH));
}

static APART void sixteen(__int128 *far, long i)
{
	__int128 old = far[i];

	far[i] = old * 3 + i;
	far[i + 1] ^= old >> 7;
}

static void wide(void)
{
	__int128 *far = far_bytes(MUCH);
	long double *tens = far_bytes(MUCH);

	for (long i = 0; i + 1 < MUCH / 16; i++)
		sixteen(far, i);
	for (long i = 0; i < MUCH / 16; i++)
		tens[i] = (long double)i / 7;
	for (long i = 1; i < MUCH / 16; i++)
		tens[i] += tens[i - 1];
	printf("%u %.6Lf\n", sum(far, MUCH), tens[MUCH / 16 - 1]);
}

struct packed {
	char tag;
	uint64_t value;
	uint32_t small;
	double real;
} __attribute__((packed));

static void unaligned(void)
{
	char *far = far_pages(MUCH);
	struct packed *array = (void *)(far + 1);
	uint64_t s = 0;

	for (size_t i = 0; i < MUCH / sizeof(*array) - 1; i++) {
		array[i].value = i * 0x123456789abcdefull;
		array[i].small += (uint32_t)i;
		array[i].real = (double)i;
	}
	for (size_t i = 0; i < MUCH / sizeof(*array) - 1; i++)
		s = s * 3 + array[i].value + array[i].small + (uint64_t)array[i].real;
	/* Every place around every border of pages. */
	for (uintptr_t at = 4096; at + 4096 < MUCH; at += 4096)
		for (uintptr_t back = 0; back < 16; back++) {
			char *border = (char *)(((uintptr_t)far + at) & ~(uintptr_t)4095) - back;
			uint64_t x;
			uint16_t y;

			memcpy(&x, border, 8);
			x ^= back * 0x1111111111111111ull;
			memcpy(border, &x, 8);
			memcpy(&y, border + 3, 2);
			s += x + y;
		}
	printf("%lu %u\n", s, sum(far, MUCH));
}

static void isvolatile(void)
{
	volatile int *far = far_bytes(MUCH);
	long s = 0;

	for (int i = 0; i < MUCH / 4; i += 77) {
		far[i] = far[i] + i;
		far[i]++;
		s += far[i];
	}
	printf("%ld %u\n", s, sum((const void *)far, MUCH));
}

static _Thread_local int own[2000];
static _Thread_local int *own_far;

static void thread_local(void)
{
	own_far = far_bytes(MUCH);
	for (int i = 0; i < 2000; i++) {
		own[i] = own_far[i * 37] * 3;
		own_far[i * 37] = own[i] - own[i / 2];
	}
	printf("%u %u\n", sum(own, sizeof(own)), sum(own_far, MUCH));
}

static APART void mix(double *restrict a, const double *restrict b, const double *c, int n,
		      int step)
{
	for (int i = 0; i < n; i += step)
		a[i] = b[i] * 3 + c[n - 1 - i];
	for (int i = n - 1; i >= step; i -= step)
		a[i] += a[i - step];
	for (int i = 1; i + 1 < n; i++)
		a[i] = (a[i - 1] + a[i] + a[i + 1]) / 3;
}

static void loops(void)
{
	int n = MUCH / 8;
	double *a = malloc(MUCH), *b = malloc(MUCH), *c = malloc(MUCH);
	int *few = far_bytes(MUCH);
	unsigned char *bytes = far_bytes(MUCH);
	long s = 0;

	for (int i = 0; i < n; i++) {
		a[i] = 0;
		b[i] = i;
		c[i] = n - i;
	}
	for (int step = 1; step < 9; step++)
		mix(a + step, b, c + step, n - 2 * step, step);
	for (int i = 0; i < MUCH / 4; i++)
		if (few[i] & 1)
			few[i] = -few[i];
		else if (few[i] & 2)
			s += few[i];
	for (int i = 0; i < MUCH - 1; i++)
		bytes[i] += bytes[i + 1];
	for (int i = MUCH - 1; i > 0; i -= 3)
		bytes[i] ^= (unsigned char)i;
	for (unsigned i = 0; i < MUCH / 4; i += 1000)
		few[i] = 7;
	for (int *p = few, *end = few + MUCH / 4; p != end; p++)
		s += *p;
	for (int i = 0; i < MUCH && bytes[i] != 250; i++)
		s += bytes[i];
	for (unsigned char *p = bytes; p < bytes + 5; p++)
		*p = 1;
	for (int k = 0; k < 9; k++)
		for (int i = 0; i < k; i++)
			s += bytes[i] + few[4090 / 4 + i];
	printf("%u %u %u %ld\n", sum(a, MUCH), sum(few, MUCH), sum(bytes, MUCH), s);
}

static APART int search(const char *p, char wanted, int most)
{
	int i = 0;

	while (i < most && p[i] != wanted)
		i++;
	return i;
}

static void exits(void)
{
	char *far = far_bytes(MUCH);
	int at = 0;
	long s = 0;

	for (int i = 0; i < 3000; i++) {
		at = (at + search(far + at, (char)i, 5000) + 1) % (MUCH - 6000);
		s = s * 3 + at;
	}
	printf("%ld\n", s);
}

static int compare(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void sorting(void)
{
	int *far = far_bytes(MUCH), key = far[777], *found;

	qsort(far, MUCH / 4, sizeof(*far), compare);
	found = bsearch(&key, far, MUCH / 4, sizeof(*far), compare);
	printf("%u %d\n", sum(far, MUCH), found ? *found == key : -1);
}

static void assembly(void)
{
	long *far = far_bytes(MUCH);
	long s = 0;

	for (int i = 0; i < MUCH / 8; i += 999) {
		__asm__ volatile("addq %1, %0" : "+m"(far[i]) : "r"((long)i) : "cc");
		__asm__ volatile("movq (%1), %0" : "=r"(s) : "r"(far + i) : "memory");
		far[i] ^= s + 1;
	}
	printf("%u\n", sum(far, MUCH));
}

static void copies(void)
{
	char *far = far_bytes(MUCH), *other = far_bytes(MUCH), here[9000];
	unsigned s = 0;

	for (size_t size = 0; size < 9000; size = size * 2 + 1)
		for (size_t from = 4000; from < 4200; from += 33) {
			memcpy(other + from * 3, far + from, size);
			memmove(far + from + 100, far + from, size);
			memmove(far + from * 2, far + from * 2 + 1, size);
			memset(other + from * 5, (int)size, size);
			memcpy(here, far + from, size);
			s += sum(here, size);
		}
	printf("%u %u %u\n", s, sum(far, MUCH), sum(other, MUCH));
}

static void strings(void)
{
	char *text = malloc(MUCH), *copy = malloc(MUCH), *end;
	long s = 0;

	for (int i = 0; i < MUCH - 1; i++)
		text[i] = (char)("the quick brown fox, "[i % 21]);
	text[MUCH - 1] = 0;
	strcpy(copy, text);
	s += (long)strlen(copy) + strcmp(copy, text);
	s += strchr(text + 4090, 'q') - text;
	s += strrchr(text, 'q') - text;
	copy[200000] = '#';
	s += strstr(copy, "#uick") ? 1 : 2;
	s += strncmp(copy, text, 200001) < 0;
	s += (long)strcspn(copy, "#") + (long)strspn(copy, "the quickbrownfx,");
	s += (char *)memchr(copy, '#', MUCH) - copy;
	s += memcmp(copy, text, MUCH) < 0;
	strncpy(copy + 4000, "0123456789", 200);
	strcat(copy + 4000, " appended");
	snprintf(copy + 8190, 100, "%s-%d", copy + 4000, 77);
	s += strtol(copy + 4000, &end, 10) + (end - copy);
	end = strdup(copy + 4000);
	s += strcasecmp(end, "0123456789 APPENDED");
	printf("%ld %u\n", s, sum(copy, MUCH));
}

/* Around the border of pages, from every place in a block to every other: what stands before the
 * text, or behind its end, is not of it. */
static void searching(void)
{
	char *text = (char *)malloc(MUCH) + 4096 * 3 - 64, *found;
	long s = 0;

	memset(text - 64, 0xc3, 256);
	for (int from = 0; from < 100; from++)
		for (int to = from; to < 140; to++) {
			char kept = text[to];

			text[to] = 0;
			s = s * 31 + (strchrnul(text + from, '#') - text);
			s = s * 31 + (strchr(text + from, 0xc3) == text + from);
			s = s * 31 + (strchr(text + from, '#') == NULL);
			text[to] = '#';
			found = strchr(text + from, '#');
			s = s * 31 + (found - text) + (strchr(text + from, 0) == NULL);
			text[to] = kept;
		}
	printf("%ld\n", s);
}

/* More than the thread's buffer holds, and in more pieces than its stack has room for. */
static long large_transfers(char *far, char *back)
{
	struct iovec *vector = malloc(100 * sizeof(*vector));
	int file = memfd_create("transfers", 0);
	long s = 0;

	if (file < 0)
		abort();
	s += pwrite(file, far + 123, 100000, 0);
	s += pread(file, back + 7, 100000, 0) + pread(file, back, 100000, 99999);
	for (int i = 0; i < 100; i++)
		vector[i] = (struct iovec){far + 701 * i, 900};
	s += writev(file, vector, 100);
	for (int i = 0; i < 100; i++)
		vector[i].iov_base = back + 1201 * i;
	lseek(file, 0, SEEK_SET);
	s += readv(file, vector, 100);
	close(file);
	free(vector);
	return s;
}

static void kernel(void)
{
	char *far = far_bytes(MUCH), *back = far_bytes(MUCH);
	struct iovec *vector = malloc(3 * sizeof(*vector));
	int ends[2], pair[2];
	long s = 0;

	if (pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		abort();
	for (int at = 0; at + 9000 < MUCH; at += 20011) {
		s += write(ends[1], far + at, 5000) + read(ends[0], back + at + 77, 5000);
		s += send(pair[0], far + at + 1, 9000, 0) +
		     recv(pair[1], back + at, 9000, MSG_WAITALL);
	}
	for (int i = 0; i < 3; i++)
		vector[i] = (struct iovec){far + 5000 * i + 4000, 200};
	s += writev(ends[1], vector, 3);
	for (int i = 0; i < 3; i++)
		vector[i] = (struct iovec){back + 4090 * (i + 1), 200};
	s += readv(ends[0], vector, 3);
	s += large_transfers(far, back);
	for (int i = 0; i < 2; i++) {
		close(ends[i]);
		close(pair[i]);
	}
	printf("%ld %u\n", s, sum(back, MUCH));
}

static void futexes(void)
{
	int *word = malloc(MUCH);
	long s = 0;

	for (int i = 0; i < MUCH / 4; i += 10000) {
		word[i] = 5;
		__asm__ volatile("incl %0" : "+m"(word[i]) : : "cc");
		s += syscall(SYS_futex, word + i, FUTEX_WAIT, 7, NULL, NULL, 0);
		s += errno;
		s += syscall(SYS_futex, word + i, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
	printf("%ld\n", s);
}

static void streams(void)
{
	char *far = far_bytes(MUCH), *back = far_bytes(MUCH);
	static char buffer[8192];
	FILE *file = tmpfile();
	long s;

	if (!file)
		abort();
	setvbuf(file, buffer, _IOFBF, sizeof(buffer));
	s = (long)fwrite(far, 7, MUCH / 7, file);
	rewind(file);
	s += (long)fread(back, 7, MUCH / 7, file);
	s += memcmp(far, back, MUCH / 7 * 7);
	rewind(file);
	s += fgets(back + 4090, 100, file) ? sum(back + 4090, 20) : 1;
	fclose(file);
	printf("%ld %u\n", s, sum(back, MUCH));
}

static void *count_up(void *argument)
{
	atomic_long *far = argument;

	for (int i = 0; i < 500; i++) {
		atomic_fetch_add(far + i % 7 * 700, 1);
		((long *)(void *)far)[7000 + i] += i;
	}
	return NULL;
}

static void threads(void)
{
	long *far = far_bytes(MUCH);
	pthread_t thread[3];

	for (int i = 0; i < 3; i++) {
		if (pthread_create(&thread[i], NULL, count_up, far))
			abort();
		if (i != 1)
			pthread_join(thread[i], NULL);
		else
			count_up(far + 20000);
		if (i == 1)
			pthread_join(thread[i], NULL);
	}
	printf("%u\n", sum(far, MUCH));
}

static void grow(void)
{
	size_t room = 4;
	long *far = malloc(room * sizeof(*far));

	for (size_t i = 0; i < 40000; i++) {
		if (i == room)
			far = realloc(far, (room *= 2) * sizeof(*far));
		far[i] = (long)(i * i);
	}
	printf("%u\n", sum(far, 40000 * sizeof(*far)));
	free(far);
	far = calloc(5000, sizeof(*far));
	printf("%u\n", sum(far, 5000 * sizeof(*far)));
}

struct bits {
	unsigned a : 3, b : 9, c : 20;
	long d : 40;
};

static void bitfields(void)
{
	struct bits *far = far_bytes(MUCH);
	long s = 0;

	for (size_t i = 0; i < MUCH / sizeof(*far); i++) {
		far[i].a += 3;
		far[i].b = far[i].c & 511;
		far[i].d -= far[i].a;
		s += far[i].d;
	}
	printf("%ld %u\n", s, sum(far, MUCH));
}

static APART int choose(int *a, int *b, int *c, int which)
{
	int *p = which == 0 ? a : which == 1 ? b : c;

	*p += which;
	switch (*p & 7) {
	case 0:
		a[1024] = *p;
		break;
	case 3:
		b[2048] ^= *p;
		/* fall through */
	case 4:
		c[0]++;
		break;
	default:
		*c = *a + *b;
	}
	return *a + *b + *c + *p;
}

static void branches(void)
{
	int *far = far_bytes(MUCH), near[5000] = {0};
	long s = 0;

	for (int i = 0; i < 20000; i++)
		s = s * 5 + choose(far + i % 60000,
				   i % 5 ? far + (i * 77) % 60000 : near + i % 2000,
				   far + (i * 991) % 60000, i % 3);
	printf("%ld %u %u\n", s, sum(far, MUCH), sum(near, sizeof(near)));
}

static APART void partition(long *a, long count)
{
	while (count > 1) {
		long pivot = a[(count - 1) / 2], i = -1, j = count, swap;

		for (;;) {
			while (a[++i] < pivot)
				;
			while (a[--j] > pivot)
				;
			if (i >= j)
				break;
			swap = a[i];
			a[i] = a[j];
			a[j] = swap;
		}
		partition(a, j + 1);
		a += j + 1;
		count -= j + 1;
	}
}

/* Reads and writes at any distance from the border of a page; both move by what was read. */
static APART size_t parse(const unsigned char *in, size_t size, unsigned char *out, unsigned *calls)
{
	const unsigned char *p = in, *end = in + size - 64;
	unsigned char *o = out;

	while (p < end) {
		size_t length = 0, distance;
		unsigned word;
		short half;

		memcpy(&word, p, sizeof(word));
		distance = word % 8000 + 1;
		memcpy(o, &word, sizeof(word));
		p += 1 + word % 3;
		if (o - out > 8000)
			while (length < 40 && o[length - distance] != p[length % 5])
				length++;
		half = (short)length;
		memcpy(o + 1, &half, sizeof(half));
		o += word % 5;
		if (word % 512 == 7)
			*calls += sum(out + word % (size / 2), 100);
	}
	return (size_t)(o - out);
}

static APART unsigned count_bytes(const unsigned char *in, size_t size, unsigned *counts)
{
	unsigned most = 0;

	for (size_t i = 0; i < size; i++)
		if (++counts[in[i] * 40u] > most)
			most = counts[in[i] * 40u];
	return most;
}

/* Pointers whose translation lives on from step to step. */
static void hands(void)
{
	long *numbers = far_bytes(MUCH);
	unsigned char *in = (unsigned char *)far_bytes(MUCH) + 3, *out = far_bytes(MUCH * 4);
	unsigned *counts = calloc(256 * 40, sizeof(*counts)), calls = 0, most;
	long count = MUCH / 8 < 300000 ? MUCH / 8 : 300000;
	size_t length = parse(in, MUCH / 2, out, &calls);

	partition(numbers, count);
	for (long i = 1; i < count; i++)
		if (numbers[i - 1] > numbers[i])
			printf("%ld is not sorted\n", i);
	most = count_bytes(in, MUCH / 4, counts);
	printf("%u %u %zu %u %u\n", sum(numbers, MUCH), sum(out, length), length, calls, most);
}

struct counter {
	unsigned sum, count;
	unsigned char last, most;
	short step;
	char apart[128]; /* lines of their own */
	struct {
		unsigned char low, high;
		unsigned short seen;
	} kinds[8];
	unsigned long calls;
};

static APART void called(struct counter *c, unsigned byte)
{
	c->calls += c->sum ^ byte;
}

/* Its object is the same all the time, is read and written, and is seen by a call now and then. */
static APART void count_all(struct counter *c, const unsigned char *in, size_t size)
{
	for (size_t i = 0; i < size; i += (size_t)c->step) {
		unsigned k = c->sum & 7;

		c->sum = c->sum * 31 + in[i];
		c->count++;
		if (in[i] > c->most)
			c->most = in[i];
		if (in[i] < c->kinds[k].low)
			c->kinds[k].low = in[i];
		c->kinds[k].high |= in[i];
		c->kinds[k].seen++;
		if (c->count % 1024 == 0)
			called(c, in[i]);
		c->last = in[i];
	}
}

static void print_counter(const struct counter *c)
{
	printf("%u %u %u %u %lu %u\n", c->sum, c->count, c->last, c->most, c->calls,
	       sum(c->kinds, sizeof(c->kinds)));
}

static struct counter *counter_at(unsigned char *place)
{
	struct counter *c = hide(place);

	memset(c, 0, sizeof(*c));
	c->step = 7;
	return c;
}

static void objects(void)
{
	unsigned char *in = far_bytes(MUCH);
	struct counter *c = counter_at(far_bytes(sizeof(*c)));
	struct counter *other = counter_at((unsigned char *)far_pages(8192) + 4096 - sizeof(*c));

	count_all(other, in, MUCH); /* so that the first one goes, and its marks with it */
	count_all(c, in, MUCH);
	count_all(other, in, MUCH);
	print_counter(c);
	print_counter(other);
}

/* The same in two pages. */
static void straddling(void)
{
	unsigned char *in = far_bytes(MUCH);

	for (size_t before = 4; before <= 12; before += 4) {
		struct counter *c = counter_at((unsigned char *)far_pages(8192) + 4096 - before);

		count_all(c, in, MUCH);
		print_counter(c);
	}
}

/* Two loops with an object each, whose first instructions lie behind one and the same branch:
 * nothing is done before either. */
static APART void count_either(volatile unsigned *a, volatile unsigned *b, const unsigned char *in,
			       size_t size, int first)
{
	size_t i = 0;

	if (first)
		do
			*a = *a * 31 + in[i];
		while ((i += 1 + (in[i] & 7u)) < size);
	else
		do
			*b ^= *b * 5 + in[i] + (unsigned)i;
		while ((i += 1 + (in[i] & 3u)) < size);
}

/* More pages than there are slots: nothing that was translated before stands in one. */
static APART unsigned use_all_slots(const unsigned char *in)
{
	return in[0] + in[10000] + in[20000] + in[30000] + in[40000] + in[50000] + in[60000] +
	       in[70000] + in[80000] + in[90000] + in[100000] + in[110000];
}

/* Twelve pages, more than there are slots. */
static APART unsigned read_many(unsigned char **pages)
{
	return pages[0][0] + pages[1][0] + pages[2][0] + pages[3][0] + pages[4][0] + pages[5][0] +
	       pages[6][0] + pages[7][0] + pages[8][0] + pages[9][0] + pages[10][0] + pages[11][0];
}

/* What is translated before ways part is known where they meet, unless one of them used its slot
 * for something else. */
static APART unsigned meet(unsigned *p, unsigned *const *pages, unsigned way)
{
	unsigned s = p[0];

	if (way & 1) {
		s += pages[0][1] + pages[1][1] + pages[2][1] + pages[3][1] + pages[4][1] +
		     pages[5][1] + pages[6][1] + pages[7][1] + pages[8][1] + pages[9][1] +
		     pages[10][1] + pages[11][1];
		pages[way % 12][2] += s;
	}
	s += p[1];
	if (way & 2)
		p[2] = s;
	else if (way & 4)
		s ^= p[3];
	if (way & 8)
		s += read_many((unsigned char **)pages);
	p[2] += way;
	p[3] += s;
	do
		s += p[4]++;
	while (s & way & 48);
	return s + p[2];
}

static void meetings(void)
{
	unsigned *pages[12], *p = calloc(1, MUCH), s = 0;

	for (int i = 0; i < 12; i++) {
		pages[i] = calloc(1, 8192);
		pages[i][1] = (unsigned)i * 77;
	}
	for (unsigned i = 0; i < 20000; i++)
		s = s * 31 + meet(p + i % 50 * 1024, pages, i * 2654435761u >> 26);
	printf("%u %u\n", s, sum((unsigned char *)p, MUCH));
}

static void either(void)
{
	unsigned char *in = far_bytes(MUCH);
	unsigned *a = far_pages(4096), *b = far_pages(4096);

	*a = *b = 7;
	printf("%u ", use_all_slots(in));
	count_either(a, b, in, MUCH, hide(a) != NULL);
	count_either(a, b, in, MUCH, hide(a) == NULL);
	printf("%u %u\n", *a, *b);
}

/* Neighbours whose common place is computed, and copies as long as a register. */
static APART unsigned turn(struct node *nodes, const unsigned *order, int count)
{
	unsigned s = 0;

	for (int i = 0; i < count; i++) {
		struct node *n = &nodes[order[i]];

		n->key += n->small;
		n->small ^= n->name[3];
		memcpy(n->name, nodes[order[count - 1 - i]].name + 1, 16);
		n->weight += nodes[order[i] ^ 1].key;
		s = s * 31 + (unsigned)n->key;
	}
	return s;
}

static void neighbours(void)
{
	int count = MUCH / 100;
	struct node *nodes = far_bytes((size_t)count * sizeof(*nodes));
	unsigned *order = far_bytes((size_t)count * sizeof(*order));

	for (int i = 0; i < count; i++) {
		order[i] = (unsigned)i * 7919u % (unsigned)(count & ~1);
		nodes[i].weight = i;
		nodes[i].key = i * 3;
	}
	printf("%u\n", turn(nodes, order, count));
	printf("%u\n", sum(nodes, (size_t)count * sizeof(*nodes)));
}

static const struct section sections[] = {
	{"chase", chase},
	{"varargs", varargs},
	{"structures", structures},
	{"jumps", jumps},
	{"signals", signals},
	{"atomics", atomics},
	{"wide", wide},
	{"unaligned", unaligned},
	{"volatile", isvolatile},
	{"thread-local", thread_local},
	{"loops", loops},
	{"exits", exits},
	{"sorting", sorting},
	{"assembly", assembly},
	{"copies", copies},
	{"strings", strings},
	{"searching", searching},
	{"kernel", kernel},
	{"futexes", futexes},
	{"streams", streams},
	{"threads", threads},
	{"grow", grow},
	{"bitfields", bitfields},
	{"branches", branches},
	{"hands", hands},
	{"objects", objects},
	{"straddling", straddling},
	{"meetings", meetings},
	{"either", either},
	{"neighbours", neighbours},
};

int main(int argc, char **argv)
{
	return run_sections(sections, sizeof(sections) / sizeof(*sections),
			    argc > 1 ? argv[1] : NULL);
}
