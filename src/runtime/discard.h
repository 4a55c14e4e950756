/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discard: the program gave memory back. It is dropped on both sides and never written back.
 */
#ifndef KONA_RUNTIME_DISCARD_H
#define KONA_RUNTIME_DISCARD_H

#include <stdint.h>

struct kona_space;

/*
 * Pages first .. first + count - 1 read as zeros from now on. Any thread of the program; takes the
 * write-back lock, may sleep. A thread that touches the range meanwhile sees old bytes or zeros.
 */
void kona_discard(struct kona_space *space, uint64_t first, uint64_t count);

#endif
