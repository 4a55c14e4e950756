/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the controller's state survives: records, that a commit replaces all or none of.
 *
 *   kona_rack_store_open -> tick until it leads -> load -> commit ... -> close
 *
 * Two kinds: a file (SQLite), which leads for as long as it is open, and etcd, for two controllers
 * and more of which one leads. One thread.
 */
#ifndef KONA_RACK_STORE_H
#define KONA_RACK_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum {
	KONA_STORE_TEXT_BYTES = 256,
	/* A commit of more records may be cut in two by a crash; what stands first comes first. */
	KONA_STORE_ATOMIC = 100,
};

/* In the order in which a commit writes them. */
enum kona_record_kind {
	KONA_RECORD_META,
	KONA_RECORD_NODE,
	KONA_RECORD_LEASE,
	KONA_RECORD_SLAB,
};

struct kona_record {
	enum kona_record_kind kind;
	int64_t id;
	char *value; /* NULL: delete it */
};

/* Returns 0, or -errno to end the loading with. */
typedef int kona_record_take(void *with, enum kona_record_kind kind, int64_t id, const char *value);

struct kona_rack_store;

struct kona_rack_store_ops {
	/*
	 * Keeps, or tries to get, the right to write. Called often. Returns 1 when this controller
	 * leads, 0 when it does not.
	 */
	int (*tick)(struct kona_rack_store *store, uint64_t now_ns);
	/* All records, by kind. Returns 0, -EIO, -ENOMEM, or what take() returned. */
	int (*load)(struct kona_rack_store *store, kona_record_take *take, void *with);
	/*
	 * Returns 0 when all is durable; -EIO, -EAGAIN (no longer leads): then what is in the store
	 * is known only after load().
	 */
	int (*commit)(struct kona_rack_store *store, const struct kona_record *records,
		      size_t count);
	/* After a commit has failed: would one work now? Returns 0 or -EIO. */
	int (*probe)(struct kona_rack_store *store);
	void (*close)(struct kona_rack_store *store);
};

struct kona_rack_store {
	const struct kona_rack_store_ops *ops;
	char why[KONA_STORE_TEXT_BYTES]; /* the last failure, for people */
};

/*
 * `where` is a file, ":memory:", or "etcd:URL[,URL...]". `self` is this controller's address, by
 * which another one's clients find it when it leads; pki: as for kona_etcd_new(). Returns 0; -EBUSY
 * when another controller has the file; -EINVAL when it is no state file or of a newer version;
 * -EIO otherwise. On failure why tells people what to do.
 */
KONA_MUST_CHECK int kona_rack_store_open(const char *where, const char *self, const char *pki,
					 struct kona_rack_store **ret_store, char *why);

KONA_MUST_CHECK int kona_rack_store_open_sqlite(const char *path,
						struct kona_rack_store **ret_store, char *why);
KONA_MUST_CHECK int kona_rack_store_open_etcd(const char *addresses, const char *self,
					      const char *pki, struct kona_rack_store **ret_store,
					      char *why);

static inline void kona_rack_store_close(struct kona_rack_store *store)
{
	if (store)
		store->ops->close(store);
}

#endif
