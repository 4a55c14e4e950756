/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller's state file: SQLite, write-ahead log, every commit on disk before it is told.
 *
 *   kona_rack_begin -> kona_rack_query ... kona_rack_step -> kona_rack_commit | kona_rack_rollback
 *
 * One thread only. Every failure is logged in the text of the store, see kona_rack_store_text().
 */
#ifndef KONA_RACK_STORE_H
#define KONA_RACK_STORE_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum kona_rack_sql {
	KONA_SQL_BEGIN,
	KONA_SQL_COMMIT,
	KONA_SQL_ROLLBACK,
	KONA_SQL_NEXT_ID,	   /* name -> id; advances */
	KONA_SQL_RAISE_ID,	   /* at least, name */
	KONA_SQL_NODES,		   /* -> id, name, instance, capacity_bytes, slabs */
	KONA_SQL_NODE_BY_NAME,	   /* name -> id, instance */
	KONA_SQL_NODE_BY_ID,	   /* id -> instance, name */
	KONA_SQL_NODE_PUT,	   /* id, name, instance, capacity_bytes */
	KONA_SQL_NODE_DROP,	   /* id */
	KONA_SQL_LEASES,	   /* -> id, node, pid, uid, program, limit_bytes, slabs */
	KONA_SQL_LEASE,		   /* id -> node, limit_bytes, request */
	KONA_SQL_LEASE_PUT,	   /* id, node, pid, uid, program, limit_bytes, request */
	KONA_SQL_LEASE_REQUEST,	   /* request, id */
	KONA_SQL_LEASE_DROP,	   /* id */
	KONA_SQL_LEASES_DROP,	   /* node */
	KONA_SQL_SLAB_PUT,	   /* id, lease, node */
	KONA_SQL_SLABS_DROP_AFTER, /* lease, have */
	KONA_SQL_SLABS_HELD,	   /* lease -> count */
	KONA_SQL_SLABS_ALL,	   /* -> count */
	KONA_SQL_COUNT
};

struct kona_rack_store {
	sqlite3 *database;
	sqlite3_stmt *statements[KONA_SQL_COUNT];
	int64_t slab_bytes; /* Immutable after open. */
};

/*
 * Opens or makes the state file; ":memory:" keeps nothing. slab_bytes is what a new file takes; an
 * existing one keeps its own, and 0 means the default. Returns 0; -EBUSY when another controller
 * has it open; -EINVAL when it is no state file, of a newer version, or of another slab size; -EIO
 * otherwise. On failure why tells people. Close with kona_rack_store_close().
 */
KONA_MUST_CHECK int kona_rack_store_open(struct kona_rack_store *store, const char *path,
					 int64_t slab_bytes, char *why, size_t why_bytes);
void kona_rack_store_close(struct kona_rack_store *store);

/*
 * Resets and binds a statement: an int64_t for each `i` of its types, a const char * for each `s`.
 */
sqlite3_stmt *kona_rack_query(struct kona_rack_store *store, enum kona_rack_sql sql, ...);

/* Returns 1 for a row, 0 at the end, -EIO. */
KONA_MUST_CHECK int kona_rack_step(sqlite3_stmt *statement);

/* A text column; "" when there is no memory for it. Valid until the next step. */
const char *kona_rack_column_text(sqlite3_stmt *statement, int column);

/* A statement without rows. Returns 0, -EEXIST for a broken constraint, or -EIO. */
KONA_MUST_CHECK int kona_rack_run(sqlite3_stmt *statement);

KONA_MUST_CHECK int kona_rack_begin(struct kona_rack_store *store);
KONA_MUST_CHECK int kona_rack_commit(struct kona_rack_store *store);
void kona_rack_rollback(struct kona_rack_store *store);

/* The next identifier of `name` ("lease", "slab", "node"); inside a transaction. */
KONA_MUST_CHECK int kona_rack_next_id(struct kona_rack_store *store, const char *name,
				      int64_t *ret_id);

/* After a failure: folds the log into the file, which makes room where the disk was full. */
void kona_rack_store_recover(struct kona_rack_store *store);

/* What the last failure was, for people. */
const char *kona_rack_store_text(struct kona_rack_store *store);

#endif
