/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Comparing and searching for guarded programs, piece by piece (cc/far.h), each piece by the C
 * library. Where all memory is ordinary, the C library does the whole. No state, no locks.
 */
#include <emmintrin.h>
#include <errno.h>
#include <limits.h>

#include "cc/far.h"
#include "cc/functions.h"

int kona_cc_memcmp(const void *a, const void *b, size_t size_bytes)
{
	const char *p = a, *q = b;

	while (size_bytes) {
		size_t piece = kona_cc_piece(p, kona_cc_piece(q, size_bytes));
		int order = memcmp(kona_guard_load(p, KONA_CC_SLOT_ONCE), kona_cc_source(q), piece);

		if (order)
			return order;
		p += piece;
		q += piece;
		size_bytes -= piece;
	}
	return 0;
}

int kona_cc_bcmp(const void *a, const void *b, size_t size_bytes)
{
	return kona_cc_memcmp(a, b, size_bytes);
}

void *kona_cc_memchr(const void *memory, int c, size_t size_bytes)
{
	const char *p = memory;

	while (size_bytes) {
		size_t piece = kona_cc_piece(p, size_bytes);
		const char *local = kona_cc_source(p), *found = memchr(local, c, piece);

		if (found)
			return (char *)p + (found - local);
		p += piece;
		size_bytes -= piece;
	}
	return NULL;
}

size_t kona_cc_strnlen(const char *text, size_t most)
{
	size_t length = 0;

	while (length < most) {
		size_t piece = kona_cc_piece(text + length, most - length);
		size_t part = strnlen(kona_cc_source(text + length), piece);

		length += part;
		if (part < piece)
			break;
	}
	return length;
}

size_t kona_cc_strlen(const char *text)
{
	return kona_guard_is_far(text) ? kona_cc_strnlen(text, SIZE_MAX) : strlen(text);
}

/* Compares strings by `compare`, one of the C library's with a bound. */
static int compare_strings(const char *a, const char *b, size_t most,
			   int (*compare)(const char *, const char *, size_t))
{
	if (!kona_guard_is_far(a) && !kona_guard_is_far(b))
		return compare(a, b, most);
	while (most) {
		size_t piece = kona_cc_piece(a, kona_cc_piece(b, most));
		const char *local = kona_guard_load(a, KONA_CC_SLOT_ONCE);
		int order = compare(local, kona_cc_source(b), piece);

		if (order || strnlen(local, piece) < piece)
			return order;
		a += piece;
		b += piece;
		most -= piece;
	}
	return 0;
}

int kona_cc_strncmp(const char *a, const char *b, size_t most)
{
	return compare_strings(a, b, most, strncmp);
}

int kona_cc_strcmp(const char *a, const char *b)
{
	return compare_strings(a, b, SIZE_MAX, strncmp);
}

int kona_cc_strncasecmp(const char *a, const char *b, size_t most)
{
	return compare_strings(a, b, most, strncasecmp);
}

int kona_cc_strcasecmp(const char *a, const char *b)
{
	return compare_strings(a, b, SIZE_MAX, strncasecmp);
}

/* The first byte of a piece that is c or 0; behind it when there is none. By aligned blocks, which
 * lie in one page: most texts end in the first, where the C library's functions, which know no
 * page, would have to be asked for the end and for c. */
static const char *find_or_end(const char *local, size_t piece, int c)
{
	const char *block = local - (uintptr_t)local % sizeof(__m128i), *end = local + piece;
	const __m128i wanted = _mm_set1_epi8((char)c), zero = _mm_setzero_si128();
	unsigned before = (unsigned)(local - block);

	for (; block < end; block += sizeof(__m128i), before = 0) {
		__m128i bytes = _mm_load_si128((const __m128i *)block);
		unsigned found = (unsigned)_mm_movemask_epi8(
			_mm_or_si128(_mm_cmpeq_epi8(bytes, wanted), _mm_cmpeq_epi8(bytes, zero)));

		found &= UINT_MAX << before;
		if (found) {
			block += __builtin_ctz(found);
			return block < end ? block : end;
		}
	}
	return end;
}

/* The first byte of the text that is c or 0; that byte. */
static char *find_far(const char *text, int c, char *ret_byte)
{
	for (;;) {
		size_t piece = kona_cc_piece(text, KONA_CC_PAGE_BYTES);
		const char *local = kona_cc_source(text), *found = find_or_end(local, piece, c);

		text += found - local;
		if (found < local + piece) {
			*ret_byte = *found;
			return (char *)text;
		}
	}
}

char *kona_cc_strchrnul(const char *text, int c)
{
	char byte;

	return kona_guard_is_far(text) ? find_far(text, c, &byte) : strchrnul(text, c);
}

char *kona_cc_strchr(const char *text, int c)
{
	char byte, *found;

	if (!kona_guard_is_far(text))
		return strchr(text, c);
	found = find_far(text, c, &byte);
	return byte == (char)c ? found : NULL;
}

char *kona_cc_strrchr(const char *text, int c)
{
	const char *last = NULL;

	if (!kona_guard_is_far(text))
		return strrchr(text, c);
	if (!(char)c)
		return (char *)text + kona_cc_strlen(text);
	while ((text = kona_cc_strchr(text, c)))
		last = text++;
	return (char *)last;
}

char *kona_cc_strstr(const char *text, const char *wanted)
{
	size_t length;

	if (!kona_guard_is_far(text) && !kona_guard_is_far(wanted))
		return strstr(text, wanted);
	length = kona_cc_strlen(wanted);
	if (!length)
		return (char *)text;
	while ((text = kona_cc_strchr(text, *(const char *)kona_cc_source(wanted)))) {
		if (!kona_cc_strncmp(text, wanted, length))
			return (char *)text;
		text++;
	}
	return NULL;
}

/* How many bytes from `text` on are of the set (`in` 1) or not of it (0); the end is never. */
static size_t span(const char *text, const char *set, int in)
{
	unsigned char member[256] = {0};
	size_t length = 0;

	for (; *(const unsigned char *)kona_cc_source(set); set++)
		member[*(const unsigned char *)kona_cc_source(set)] = 1;
	if (!in)
		member[0] = 1;
	for (;;) {
		size_t piece = kona_cc_piece(text + length, KONA_CC_PAGE_BYTES);
		const unsigned char *local = kona_cc_source(text + length);

		for (size_t i = 0; i < piece; i++)
			if (member[local[i]] != in)
				return length + i;
		length += piece;
	}
}

size_t kona_cc_strspn(const char *text, const char *set)
{
	return span(text, set, 1);
}

size_t kona_cc_strcspn(const char *text, const char *set)
{
	return span(text, set, 0);
}

char *kona_cc_strpbrk(const char *text, const char *set)
{
	text += span(text, set, 0);
	return *(const char *)kona_cc_source(text) ? (char *)text : NULL;
}

enum {
	NUMBER_BYTES = 128, /* longer ones are left to the fault path */
};

/* Fetches the text of a number. Returns what is to be read: the copy, or the text itself. */
static const char *fetch_number(const char *text, char copy[NUMBER_BYTES])
{
	size_t length;

	if (!kona_guard_is_far(text))
		return text;
	length = kona_cc_strnlen(text, NUMBER_BYTES - 1);
	kona_cc_memcpy(copy, text, length);
	copy[length] = 0;
	return copy;
}

/* Reads a number by the C library's function `name`, from a copy as long as that tells all. */
#define READ_NUMBER(name, ...)                                                           \
	char copy[NUMBER_BYTES], *end;                                                   \
	const char *local = fetch_number(text, copy);                                    \
	int saved = errno;                                                               \
	__typeof__(name(text, NULL __VA_ARGS__)) number = name(local, &end __VA_ARGS__); \
                                                                                         \
	if (local == copy && end - copy == NUMBER_BYTES - 1) {                           \
		errno = saved;                                                           \
		number = name(text, &end __VA_ARGS__);                                   \
		local = text;                                                            \
	}                                                                                \
	end = (char *)text + (end - local);                                              \
	if (ret_end)                                                                     \
		kona_cc_memcpy(ret_end, &end, sizeof(end));                              \
	return number

#define COMMA_BASE , base

long kona_cc_strtol(const char *text, char **ret_end, int base)
{
	READ_NUMBER(strtol, COMMA_BASE);
}

unsigned long kona_cc_strtoul(const char *text, char **ret_end, int base)
{
	READ_NUMBER(strtoul, COMMA_BASE);
}

long long kona_cc_strtoll(const char *text, char **ret_end, int base)
{
	READ_NUMBER(strtoll, COMMA_BASE);
}

unsigned long long kona_cc_strtoull(const char *text, char **ret_end, int base)
{
	READ_NUMBER(strtoull, COMMA_BASE);
}

double kona_cc_strtod(const char *text, char **ret_end)
{
	READ_NUMBER(strtod, );
}
