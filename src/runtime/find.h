/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dirty lines of the pages that are on their way out.
 */
#ifndef KONA_RUNTIME_FIND_H
#define KONA_RUNTIME_FIND_H

#include "base/compiler.h"

struct kona_space;

enum kona_find {
	KONA_FIND_FRAMED = 1,
	KONA_FIND_MAPPED = 2,
	KONA_FIND_ALL = KONA_FIND_FRAMED | KONA_FIND_MAPPED,
};

/* Sets dirty_lines of those victims of the batch that have contents and are of this kind. By who
 * holds the write-back lock, with all writers stopped. */
void kona_find_dirty(struct kona_space *space, enum kona_find which);

#endif
