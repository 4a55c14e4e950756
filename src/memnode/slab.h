/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slabs that this node serves over the network, and the lines that reach them.
 *
 *   data-request --> open, bytes, log, discard          copy --> copied pages
 *
 * A slab is made, zeroed, by the OPEN that asks for it. One that a program of this
 * host has in shared memory stands here, too, so that it can be copied to another node: it is only
 * read, and never through a mapping, since its tenant may shrink it.
 *
 * All of it is guarded by the server's lock (data-server.h).
 */
#ifndef KONA_MEMNODE_SLAB_H
#define KONA_MEMNODE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/compiler.h"
#include "memnode/fabric.h"
#include "memnode/store.h"
#include "wire/data.h"
#include "wire/log.h"

struct kona_slab {
	LIST_ENTRY(kona_slab) link;
	uint64_t id, generation;
	uint64_t bytes;
	uint64_t sequence;	    /* of the last log or discard */
	char *memory;		    /* owned; NULL: a tenant's, in `descriptor` */
	struct kona_memory backing; /* of memory; descriptor -1: it is anonymous. Owned */
	int descriptor;		    /* lent; the tenant's memory */
	uint64_t at_bytes;	    /* the slab's place in it */
	const char *device; /* lent; where a device is mapped, for it cannot be read; or NULL */
	struct kona_ofi_region region; /* of memory, once its program reads it by itself */
	struct kona_realm *realm;      /* of the region */
	uint64_t *present;	       /* a bit per page that was ever written. Owned */
	uint64_t *newer;    /* joined: a mask per page of what logs brought. Owned; or NULL */
	unsigned int users; /* handles of connections, and the copier */
	bool dead;	    /* dropped: every request fails; freed with the last user */
};

LIST_HEAD(kona_slab_list, kona_slab);

enum { KONA_SLAB_BUCKETS = 4096 };

struct kona_slabs {
	struct kona_slab_list buckets[KONA_SLAB_BUCKETS];
	uint64_t count;
	uint64_t bytes;			 /* of memory that was made here */
	struct kona_node_fabric *fabric; /* lent; NULL: none */
	struct kona_store *store;	 /* where it comes from. Lent; NULL: anonymous memory */
};

void kona_slabs_init(struct kona_slabs *slabs);
void kona_slabs_destroy(struct kona_slabs *slabs);

/* NULL: there is none. */
struct kona_slab *kona_slab_find(struct kona_slabs *slabs, uint64_t id);

/*
 * The slab that a valid OPEN names, with a user more; made as its flags say. -ENOENT: it is not
 * here; -ESTALE: a newer generation is; -EINVAL: another size, or a join of a tenant's; -ENOMEM.
 */
KONA_MUST_CHECK int kona_slab_open(struct kona_slabs *slabs, const struct kona_data_open *open,
				   struct kona_slab **ret_slab);
void kona_slab_close(struct kona_slab *slab);

/* Makes a tenant's slab known; forgets it before the tenant's memory goes. -ENOMEM. */
KONA_MUST_CHECK int kona_slab_lend(struct kona_slabs *slabs, uint64_t id, uint64_t generation,
				   uint64_t bytes, int descriptor, uint64_t at_bytes,
				   const char *device);

/* Frees the memory and fails whoever still uses it. One that is not there is no failure. */
void kona_slab_drop(struct kona_slabs *slabs, uint64_t id);

/*
 * Applies a checked log, or a discard, of this sequence number. 0, also when it was applied
 * before; -ESTALE: there is a gap.
 */
KONA_MUST_CHECK int kona_slab_log(struct kona_slab *slab, const struct kona_log *log);
KONA_MUST_CHECK int kona_slab_discard(struct kona_slab *slab,
				      const struct kona_data_discard *discard);

/*
 * Lets the network read the slab, in this realm. -EOPNOTSUPP: there is none; -EAGAIN: it is being
 * copied; -EINVAL: a tenant's; -EACCES: it is in another realm; -ENOMEM, ...: the device's limits.
 */
KONA_MUST_CHECK int kona_slab_expose(struct kona_slabs *slabs, struct kona_slab *slab,
				     const uint8_t realm[KONA_DATA_REALM_BYTES]);

/* Where the page's bytes are; zeros when it was never written. Not for a tenant's slab. */
const char *kona_slab_page(const struct kona_slab *slab, uint64_t page);

/* Stores what was copied of a page, but for lines that logs brought. */
void kona_slab_fill(struct kona_slab *slab, uint64_t page, const char *content);

/* All pages are copied. */
void kona_slab_filled(struct kona_slab *slab);

#endif
