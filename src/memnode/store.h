/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory that is lent: one memfd per grant, and its return when a lease ends.
 */
#ifndef KONA_MEMNODE_STORE_H
#define KONA_MEMNODE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct kona_memory {
	int descriptor; /* owned */
	uint64_t bytes;
};

/*
 * Makes size_bytes of zeros in a memfd, sealed as wire/broker.h tells. The pages come when they are
 * first written. Returns 0; -EMFILE, -ENFILE, -ENOMEM, -EINVAL.
 */
KONA_MUST_CHECK int kona_memory_make(uint64_t size_bytes, struct kona_memory *ret_memory);

/*
 * Gives back up to step_bytes from the end of the memory, whoever still maps it; closes it when
 * nothing is left. Returns true then. (A gigabyte takes the kernel a good part of a second, for
 * which the loop must not stand still.)
 */
bool kona_memory_shrink(struct kona_memory *memory, uint64_t step_bytes);

#endif
