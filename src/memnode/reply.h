/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packets that the broker sends. None of them blocks: a client that cannot take one reply is no
 * client any more. All return 0 or -errno. `text` tells people why status is not 0.
 */
#ifndef KONA_MEMNODE_REPLY_H
#define KONA_MEMNODE_REPLY_H

#include <stdint.h>

#include "base/compiler.h"

KONA_MUST_CHECK int kona_reply_welcome(int connection, int status, int64_t lease,
				       uint64_t slab_bytes, const char *node, const char *text);
KONA_MUST_CHECK int kona_reply_held(int connection, int status);
/* The descriptor goes along when status is 0. */
KONA_MUST_CHECK int kona_reply_granted(int connection, int status, const int64_t *slabs,
				       uint32_t count, int descriptor, const char *text);

#endif
