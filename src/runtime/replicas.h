/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the slabs of a space stand (broker -> replicas -> transport/pool): what a grant brought,
 * and what the controller changes later.
 */
#ifndef KONA_RUNTIME_REPLICAS_H
#define KONA_RUNTIME_REPLICAS_H

#include "base/compiler.h"
#include "runtime/broker.h"
#include "transport/pool.h"

enum { KONA_REPLICAS_AWAY = 8 };

struct kona_replicas {
	struct kona_broker *broker; /* Immutable after init */
	struct kona_pool pool;
	unsigned int copying; /* copies that may become whole. The thread's own */
	/* Nodes that could not be reached lately, and until when not to try. The thread's own */
	uint64_t away[KONA_REPLICAS_AWAY], away_until_ns[KONA_REPLICAS_AWAY];
	unsigned int away_next;
	int untold;	 /* eventfd: deaths that could not be told. Immutable after init. Owned */
	bool has_untold; /* ... some are left. The thread's own */
	/* From the start of a fork to its end, guarded by the region lock: links for the child */
	uint64_t heir_nodes[KONA_POOL_MOST_NODES];
	int heir_sockets[KONA_POOL_MOST_NODES];
	size_t heir_count;
};

/* -ENOMEM, -EINVAL, -EMFILE. */
KONA_MUST_CHECK int kona_replicas_init(struct kona_replicas *replicas, struct kona_broker *broker,
				       uint64_t most_slabs);

/* Starts the thread that acts by the controller's changes. -EAGAIN. */
KONA_MUST_CHECK int kona_replicas_start(struct kona_replicas *replicas);

/*
 * Puts a grant in place from slab `first` on; takes over the descriptor. Returns 0; -EIO when a
 * slab has no replica that can be reached: then nothing of the grant may be used.
 */
KONA_MUST_CHECK int kona_replicas_grant(struct kona_replicas *replicas, uint64_t first,
					const struct kona_broker_granted *granted, int descriptor);

/*
 * Around fork, with the region lock held. prepare links to every node for the child, which cannot
 * share ours; one of the others lets go of those. What it has no link to, the child links to itself
 * when it needs it.
 */
void kona_replicas_prepare_fork(struct kona_replicas *replicas);
void kona_replicas_after_fork(struct kona_replicas *replicas);
void kona_replicas_in_child(struct kona_replicas *replicas);

#endif
