/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lineage: the forked children that still depend on this space's store, as their parent sees them.
 */
#ifndef KONA_RUNTIME_LINEAGE_H
#define KONA_RUNTIME_LINEAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "runtime/fault.h"
#include "runtime/heritage.h"

struct kona_space;

struct kona_child {
	struct kona_child *next;       /* Guarded by the write-back lock */
	struct kona_executor executor; /* the handler's, until the child serves itself */
	struct kona_watch messages;    /* the child's userfaultfd. Owned */
	struct kona_watch life; /* our end of a socket pair: a byte says that the child serves
				   itself, its end that the child is gone. Owned */
	uint64_t dead; /* the handler's round in which it let go; 0: not yet. Atomic, edge LI-1 */
};

enum kona_birth {
	KONA_BIRTH_NONE,
	KONA_BIRTH_ANNOUNCED,
	KONA_BIRTH_DONE,
};

struct kona_lineage {
	struct kona_child *children;  /* Guarded by the write-back lock */
	struct kona_child *announced; /* by the forking thread, which holds that lock */
	uint32_t birth;		      /* of the announced. Atomic, edge LI-2 */
	int child_end;		      /* of the announced's socket pair */
	int spare;		      /* a descriptor to give up when a fork event finds no room */
	char *page;		      /* on its way to a child. Guarded by the write-back lock */
};

KONA_MUST_CHECK int kona_lineage_init(struct kona_space *space);

/* Before fork(), with the write-back lock held. 0; -errno: the child cannot have this memory. */
KONA_MUST_CHECK int kona_lineage_announce(struct kona_space *space);

/* After fork(), in the parent, with the lock still held. */
void kona_lineage_announced(struct kona_space *space);

/* Fault handler: the fork event, with the child's userfaultfd. */
void kona_lineage_born(struct kona_space *space, int uffd);

/* Fault handler: a fork event could not be read for want of a descriptor. */
void kona_lineage_make_room(struct kona_space *space);

/* Saves what children need of pages first .. first + count - 1, whose bytes in the store are about
 * to change. With the write-back lock held. */
void kona_lineage_preserve(struct kona_space *space, uint64_t first, uint64_t count);

#endif
