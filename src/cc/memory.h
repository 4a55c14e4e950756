/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory for kona-opt, which ends when there is none. */
#ifndef KONA_CC_MEMORY_H
#define KONA_CC_MEMORY_H

#include <err.h>
#include <stddef.h>
#include <stdlib.h>

/* Zeros; never NULL, for `count` 0 neither. To be freed. */
static inline void *kona_opt_zeros(size_t count, size_t bytes)
{
	void *memory = calloc(count ? count : 1, bytes);

	if (!memory)
		err(1, "kona-opt");
	return memory;
}

#endif
