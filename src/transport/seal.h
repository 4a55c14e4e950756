/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The seal: a layer over a store that nobody needs to trust. What leaves is encrypted page by page,
 * and what comes back is what left last, or is not taken.
 *
 *   evict  --> seal --> write_lines() of the layer below, whole pages
 *   fetch  --> read() of the layer below --> open
 *
 * Each time a page leaves it gets the next number of all that ever left, its version, which is the
 * nonce. Version and tag stay here, 24 bytes a page: so the memory nodes can neither read a page,
 * nor change it, nor give another one or an older one for it. A page that was discarded, or never
 * left, is zeros without asking anybody.
 *
 * What a seal costs: a page of which one line changed leaves whole.
 *
 * A page that is not what left is read from the other replicas (kona_judge); when none has it, read
 * fails with -EBADMSG.
 *
 * A forked child reads its parent's pages, with a copy of the key and the table that both share. A
 * page that the parent changes meanwhile reads as anything: whoever shares a store must know from
 * elsewhere that it was changed (runtime/heritage.h). It cannot seal: what would make nonces is
 * wiped at the fork.
 */
#ifndef KONA_TRANSPORT_SEAL_H
#define KONA_TRANSPORT_SEAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "transport/cipher.h"
#include "transport/transport.h"

enum { KONA_SEAL_BATCH = 64 };

/* What is known of a page in the store. All three words: Atomic, edge SE-1 */
struct kona_seal_entry {
	uint64_t version; /* 0: zeros, whatever the store holds; UINT64_MAX: just changing */
	uint64_t tag[KONA_CIPHER_TAG_WORDS];
};

struct kona_seal_hooks {
	/*
	 * A memory node, of this name, did not give what was stored at this place; another one did,
	 * or `lost`: nobody does. NULL: which one it was is not known. Any thread.
	 */
	void (*changed)(void *with, uint64_t offset_bytes, const char *node, bool lost);
	void *with;
};

struct kona_seal {
	struct kona_transport transport; /* what the runtime sees */
	struct kona_transport *below;	 /* Owned. Immutable after init, like what follows */
	uint64_t pages;
	struct kona_seal_entry *entries; /* shared with forked children. Owned */
	struct kona_cipher *cipher;	 /* not in core dumps. Owned */
	struct kona_seal_hooks hooks;

	pthread_mutex_t write;
	struct kona_seal_staging *staging; /* zeros in a forked child. Owned. Guarded by write */
};

/*
 * Seals what goes to `below`, a store of so many pages. -ENOTSUP: the processor has no AES
 * instructions; -ENOMEM.
 */
KONA_MUST_CHECK int kona_seal_init(struct kona_seal *seal, struct kona_transport *below,
				   uint64_t pages, const struct kona_seal_hooks *hooks);

#endif
