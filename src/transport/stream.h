/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines on their way to a store that is mapped: past the caches, for nobody here reads them soon.
 */
#ifndef KONA_TRANSPORT_STREAM_H
#define KONA_TRANSPORT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

/* Copies the lines of a page that `mask` names, to a page that is aligned to a line. They are home
 * after an sfence. */
typedef void kona_stream(char *to, const char *from, uint64_t mask);

/* The way that is fastest on this processor. */
kona_stream kona_stream_lines;

/* The ways; the wide one where kona_stream_is_wide() only. */
kona_stream kona_stream_narrow, kona_stream_wide;
bool kona_stream_is_wide(void);

#endif
