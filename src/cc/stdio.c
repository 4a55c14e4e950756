/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The C library's streams copy between their buffer and the caller's memory, by code that has no
 * guards: far memory goes through the thread's bounce buffer, under the stream's lock. Without the
 * bounce buffer, the address itself is used. Fails as the C library's functions fail.
 */
#include "cc/bounce.h"
#include "cc/far.h"
#include "cc/functions.h"

size_t kona_cc_fread(void *to, size_t size, size_t count, FILE *file)
{
	char *target = to, *bounce = NULL;
	size_t total, done = 0;

	if (!__builtin_mul_overflow(size, count, &total) && total && kona_guard_is_far(to))
		bounce = kona_cc_bounce_take(1);
	if (!bounce)
		return fread(to, size, count, file);
	flockfile(file);
	while (done < total) {
		size_t piece =
			total - done < KONA_CC_BOUNCE_BYTES ? total - done : KONA_CC_BOUNCE_BYTES;
		size_t got = fread_unlocked(bounce, 1, piece, file);

		kona_cc_memcpy(target + done, bounce, got);
		done += got;
		if (got < piece)
			break;
	}
	funlockfile(file);
	kona_cc_bounce_give_back();
	return done / size;
}

size_t kona_cc_fwrite(const void *from, size_t size, size_t count, FILE *file)
{
	const char *source = from;
	char *bounce = NULL;
	size_t total, done = 0;

	if (!__builtin_mul_overflow(size, count, &total) && total && kona_guard_is_far(from))
		bounce = kona_cc_bounce_take(1);
	if (!bounce)
		return fwrite(from, size, count, file);
	flockfile(file);
	while (done < total) {
		size_t piece =
			total - done < KONA_CC_BOUNCE_BYTES ? total - done : KONA_CC_BOUNCE_BYTES;
		size_t put;

		kona_cc_memcpy(bounce, source + done, piece);
		put = fwrite_unlocked(bounce, 1, piece, file);
		done += put;
		if (put < piece)
			break;
	}
	funlockfile(file);
	kona_cc_bounce_give_back();
	return done / size;
}

char *kona_cc_fgets(char *to, int size, FILE *file)
{
	char *bounce = size > 1 && kona_guard_is_far(to) ? kona_cc_bounce_take((size_t)size) : NULL;
	int length = 0, c = 0;

	if (!bounce)
		return fgets(to, size, file);
	flockfile(file);
	while (length < size - 1 && c != '\n' && (c = getc_unlocked(file)) != EOF)
		bounce[length++] = (char)c;
	bounce[length] = 0;
	funlockfile(file);
	if (length)
		kona_cc_memcpy(to, bounce, (size_t)length + 1);
	kona_cc_bounce_give_back();
	return length ? to : NULL;
}

int kona_cc_fputs(const char *text, FILE *file)
{
	size_t length;

	if (!kona_guard_is_far(text))
		return fputs(text, file);
	length = kona_cc_strlen(text);
	return kona_cc_fwrite(text, 1, length, file) == length ? 1 : EOF;
}
