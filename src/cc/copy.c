/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copying for guarded programs, piece by piece (cc/far.h), each piece by the C library. What
 * crosses pages in one access goes here, too (straddle.S). No state, no locks; only strdup can
 * fail.
 */
#include <stdlib.h>

#include "cc/far.h"
#include "cc/functions.h"

void *kona_cc_memcpy(void *to, const void *from, size_t size_bytes)
{
	char *target = to;
	const char *source = from;

	if (kona_cc_asleep())
		return memcpy(to, from, size_bytes);
	while (size_bytes) {
		size_t piece = kona_cc_piece(source, kona_cc_piece(target, size_bytes));
		const void *local = kona_cc_source(source);

		memcpy(kona_cc_target(target, piece), local, piece);
		target += piece;
		source += piece;
		size_bytes -= piece;
	}
	return to;
}

static void copy_backwards(char *target_end, const char *source_end, size_t size_bytes)
{
	while (size_bytes) {
		size_t piece = kona_cc_piece_before(source_end,
						    kona_cc_piece_before(target_end, size_bytes));
		const void *local;

		target_end -= piece;
		source_end -= piece;
		local = kona_cc_source(source_end);
		memmove(kona_cc_target(target_end, piece), local, piece);
		size_bytes -= piece;
	}
}

void *kona_cc_memmove(void *to, const void *from, size_t size_bytes)
{
	char *target = to;
	const char *source = from;

	if (kona_cc_asleep())
		return memmove(to, from, size_bytes);
	if ((uintptr_t)to - (uintptr_t)from < size_bytes) {
		copy_backwards(target + size_bytes, source + size_bytes, size_bytes);
		return to;
	}
	while (size_bytes) {
		size_t piece = kona_cc_piece(source, kona_cc_piece(target, size_bytes));
		const void *local = kona_cc_source(source);

		memmove(kona_cc_target(target, piece), local, piece);
		target += piece;
		source += piece;
		size_bytes -= piece;
	}
	return to;
}

void *kona_cc_memset(void *to, int value, size_t size_bytes)
{
	char *target = to;

	if (kona_cc_asleep())
		return memset(to, value, size_bytes);
	while (size_bytes) {
		size_t piece = kona_cc_piece(target, size_bytes);

		memset(kona_cc_target(target, piece), value, piece);
		target += piece;
		size_bytes -= piece;
	}
	return to;
}

void *kona_cc_mempcpy(void *to, const void *from, size_t size_bytes)
{
	return (char *)kona_cc_memcpy(to, from, size_bytes) + size_bytes;
}

void kona_cc_bzero(void *to, size_t size_bytes)
{
	kona_cc_memset(to, 0, size_bytes);
}

void kona_cc_bcopy(const void *from, void *to, size_t size_bytes)
{
	kona_cc_memmove(to, from, size_bytes);
}

char *kona_cc_stpcpy(char *to, const char *from)
{
	size_t length = kona_cc_strlen(from);

	kona_cc_memcpy(to, from, length + 1);
	return to + length;
}

char *kona_cc_strcpy(char *to, const char *from)
{
	kona_cc_stpcpy(to, from);
	return to;
}

char *kona_cc_strncpy(char *to, const char *from, size_t size_bytes)
{
	size_t length = kona_cc_strnlen(from, size_bytes);

	kona_cc_memcpy(to, from, length);
	kona_cc_memset(to + length, 0, size_bytes - length);
	return to;
}

char *kona_cc_strcat(char *to, const char *from)
{
	kona_cc_stpcpy(to + kona_cc_strlen(to), from);
	return to;
}

char *kona_cc_strncat(char *to, const char *from, size_t most)
{
	size_t length = kona_cc_strnlen(from, most);
	char *end = to + kona_cc_strlen(to);

	kona_cc_memcpy(end, from, length);
	kona_cc_memset(end + length, 0, 1);
	return to;
}

char *kona_cc_strndup(const char *from, size_t most)
{
	size_t length = kona_cc_strnlen(from, most);
	char *copy = malloc(length + 1);

	if (!copy)
		return NULL;
	kona_cc_memcpy(copy, from, length);
	kona_cc_memset(copy + length, 0, 1);
	return copy;
}

char *kona_cc_strdup(const char *from)
{
	return kona_cc_strndup(from, SIZE_MAX);
}

uintptr_t kona_cc_translate(const void *p, unsigned long access)
{
	size_t within = (uintptr_t)p % KONA_CC_PAGE_BYTES, bytes = KONA_CC_ACCESS_BYTES(access);
	const char *local = p;
	uintptr_t d;

	if (!kona_guard_is_far(p) || within > KONA_CC_PAGE_BYTES - bytes)
		return 0;
	d = kona_guard_delta(p, KONA_CC_ACCESS_SLOT(access));
	if (KONA_CC_ACCESS_STORES(access)) {
		kona_guard_mark(local + d);
		kona_guard_mark(local + d + bytes - 1);
	}
	return d;
}
