/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory that is lent, and its return when a lease ends.
 *
 * Where it comes from (kona-memd --pool):
 *
 *   nothing   a sealed memfd for each grant (wire/broker.h)
 *   a folder  an unnamed file for each grant: tenants stay apart, as with memfds, but a file cannot
 *             be sealed: its tenant can enlarge it, at the cost of whoever shares the file system
 *   a file,   ranges of it. A descriptor opens all of it, so only programs of its owner get one,
 *   a device  who could open it anyway. A range is locked through the open file that its tenant
 *             gets (F_OFD_SETLK): the kernel frees it when nobody has it open or mapped any more,
 *             and only then, and zeroed, is it lent again
 *
 * A file's owner may shrink it, so we never map it. A device cannot shrink.
 */
#ifndef KONA_MEMNODE_STORE_H
#define KONA_MEMNODE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

enum kona_store_kind {
	KONA_STORE_MEMFD,
	KONA_STORE_FOLDER,
	KONA_STORE_FILE,
	KONA_STORE_DEVICE,
};

/* All but `next` is immutable after kona_store_open(). */
struct kona_store {
	enum kona_store_kind kind;
	const char *path;     /* lent */
	uint64_t bytes;	      /* of all of it; FOLDER: free ones */
	uint64_t align_bytes; /* slabs are multiples of this */
	char *mapped;	      /* DEVICE: all of it. Owned */
	uid_t owner;	      /* FILE, DEVICE: whose programs may have ranges */
	uint64_t next_bytes;  /* where the last range ended. Atomic, no edge: a hint */
};

struct kona_memory {
	int descriptor; /* owned */
	uint64_t bytes;
	uint64_t base_bytes; /* its place behind the descriptor */
	bool is_range;	     /* of a file or device that others use, too */
};

/*
 * path: NULL for memfds. Returns 0; -errno with what is wrong, in words, in *ret_why (a literal).
 */
KONA_MUST_CHECK int kona_store_open(struct kona_store *store, const char *path,
				    const char **ret_why);
void kona_store_close(struct kona_store *store);

/* Can programs of this user be given a descriptor? */
bool kona_store_serves(const struct kona_store *store, uid_t user);

/*
 * Makes slabs of zeros, one behind the other; any thread. Pages of memfds come when they are first
 * written, others are there. Returns 0; -EMFILE, -ENFILE, -ENOMEM, -ENOSPC; -EINVAL: slabs of this
 * size are not possible; -EIO: the file has shrunk.
 */
KONA_MUST_CHECK int kona_memory_make(struct kona_store *store, uint64_t slab_bytes, uint64_t count,
				     struct kona_memory *ret_memory);

/* Of memory that nobody has yet, all beyond `bytes` goes back. Closes it when nothing is left. */
void kona_memory_cut(struct kona_memory *memory, uint64_t bytes);

/* Closes memory that nobody else has. */
void kona_memory_drop(struct kona_memory *memory);

/*
 * Gives back up to step_bytes from the end of the memory, whoever still maps it, but for ranges,
 * which go back when nobody does; closes it when nothing is left. Returns true then. (A gigabyte
 * takes the kernel a good part of a second, for which the loop must not stand still.)
 */
bool kona_memory_shrink(struct kona_memory *memory, uint64_t step_bytes);

/* Where a device's memory is in this process; NULL: it is no device's. */
char *kona_memory_window(const struct kona_store *store, const struct kona_memory *memory);

#endif
