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

/* A range of VFMem whose place in the store holds what a child inherited. Its pages are ABSENT. */
struct kona_shelf {
	uint64_t first_page;
	uint64_t pages; /* 0: none */
	bool written;
};

struct kona_child {
	struct kona_child *next;       /* Guarded by the write-back lock */
	struct kona_shelf shelf;       /* Guarded by the write-back lock */
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
	struct kona_child *retired;   /* gone, but for their shelves. Guarded by the same */
	uint32_t birth;		      /* of the announced. Atomic, edge LI-2 */
	int child_end;		      /* of the announced's socket pair */
	int spare;		      /* a descriptor to give up when a fork event finds no room */
	char *page;		      /* on its way to a child. Guarded by the write-back lock */
};

KONA_MUST_CHECK int kona_lineage_init(struct kona_space *space);

/*
 * Before fork(), with none of the runtime's locks held: makes a child, with a shelf that is large
 * enough for all that is remote, if the rack gives memory for it. NULL: no memory.
 */
struct kona_child *kona_lineage_prepare(struct kona_space *space);

/* Gives the shelves of children that are gone back to the regions. True when there were any. With
 * none of the runtime's locks held. */
bool kona_lineage_reclaim(struct kona_space *space);

/* Before fork(), with the write-back lock held; takes over the child, which may be NULL. 0; -errno:
 * the child cannot have this memory. */
KONA_MUST_CHECK int kona_lineage_announce(struct kona_space *space, struct kona_child *child);

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
