/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packets that the broker sends. None of them blocks: a client that cannot take one reply is no
 * client any more. All return 0 or -errno. `text` tells people why status is not 0.
 */
#ifndef KONA_MEMNODE_REPLY_H
#define KONA_MEMNODE_REPLY_H

#include <stdint.h>

#include "base/compiler.h"
#include "memnode/store.h"
#include "wire/broker.h"

/* welcome: all but header and text. The socket for news goes along when status is 0. */
KONA_MUST_CHECK int kona_reply_welcome(int connection, struct kona_broker_welcome *welcome,
				       int news, const char *text);
KONA_MUST_CHECK int kona_reply_told(int connection, const char *rack);
KONA_MUST_CHECK int kona_reply_held(int connection, int status);
/* The memory, unless it is NULL, goes along when status is 0. */
KONA_MUST_CHECK int kona_reply_granted(int connection, int status,
				       const struct kona_broker_slab *slabs, uint32_t count,
				       const struct kona_memory *memory, const char *text);
KONA_MUST_CHECK int kona_reply_linked(int connection, int status, const char *node, int socket,
				      const char *text);

#endif
