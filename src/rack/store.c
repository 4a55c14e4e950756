/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state file. Opening refuses what it does not understand rather than guess.
 *
 * State: the connection and its prepared statements. One thread, no locks; the exclusive locking
 * mode keeps a second controller out for as long as the first one lives. What can fail: the disk is
 * full or broken. Then a transaction is rolled back as a whole and the caller gets -EIO.
 */
#include "rack/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/units.h"

enum {
	SCHEMA_VERSION = 1,
	APPLICATION_ID = 0x4b4f4e41, /* "KONA" */
};

#define DEFAULT_SLAB_BYTES ((int64_t)(64 * KONA_MIB))

static const char schema[] =
	"CREATE TABLE settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;"
	"CREATE TABLE nodes (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
	"  instance TEXT NOT NULL, capacity_bytes INTEGER NOT NULL) STRICT;"
	"CREATE TABLE leases (id INTEGER PRIMARY KEY,"
	"  node INTEGER NOT NULL REFERENCES nodes ON DELETE CASCADE, pid INTEGER NOT NULL,"
	"  uid INTEGER NOT NULL, program TEXT NOT NULL, limit_bytes INTEGER NOT NULL,"
	"  request INTEGER NOT NULL) STRICT;"
	"CREATE INDEX leases_of_node ON leases (node);"
	"CREATE TABLE slabs (id INTEGER PRIMARY KEY,"
	"  lease INTEGER NOT NULL REFERENCES leases ON DELETE CASCADE,"
	"  node INTEGER NOT NULL REFERENCES nodes ON DELETE CASCADE) STRICT;"
	"CREATE INDEX slabs_of_lease ON slabs (lease);"
	"CREATE INDEX slabs_of_node ON slabs (node);";

static const struct {
	const char *text;
	const char *types; /* i: int64_t, s: text */
} sql[KONA_SQL_COUNT] = {
	[KONA_SQL_BEGIN] = {"BEGIN IMMEDIATE", ""},
	[KONA_SQL_COMMIT] = {"COMMIT", ""},
	[KONA_SQL_ROLLBACK] = {"ROLLBACK", ""},
	[KONA_SQL_NEXT_ID] = {"UPDATE settings SET value = value + 1 WHERE name = ?"
			      " RETURNING value",
			      "s"},
	[KONA_SQL_RAISE_ID] = {"UPDATE settings SET value = max(value, ?) WHERE name = ?", "is"},
	[KONA_SQL_NODES] = {"SELECT id, name, instance, capacity_bytes,"
			    " (SELECT count(*) FROM slabs WHERE node = nodes.id)"
			    " FROM nodes ORDER BY name",
			    ""},
	[KONA_SQL_NODE_BY_NAME] = {"SELECT id, instance FROM nodes WHERE name = ?", "s"},
	[KONA_SQL_NODE_BY_ID] = {"SELECT instance, name FROM nodes WHERE id = ?", "i"},
	[KONA_SQL_NODE_PUT] = {"INSERT INTO nodes VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
			       " SET instance = excluded.instance,"
			       " capacity_bytes = excluded.capacity_bytes",
			       "issi"},
	[KONA_SQL_NODE_DROP] = {"DELETE FROM nodes WHERE id = ?", "i"},
	[KONA_SQL_LEASES] = {"SELECT id, node, pid, uid, program, limit_bytes,"
			     " (SELECT count(*) FROM slabs WHERE lease = leases.id)"
			     " FROM leases ORDER BY id",
			     ""},
	[KONA_SQL_LEASE] = {"SELECT node, limit_bytes, request FROM leases WHERE id = ?", "i"},
	[KONA_SQL_LEASE_PUT] = {"INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?, ?)", "iiiisii"},
	[KONA_SQL_LEASE_REQUEST] = {"UPDATE leases SET request = ? WHERE id = ?", "ii"},
	[KONA_SQL_LEASE_DROP] = {"DELETE FROM leases WHERE id = ?", "i"},
	[KONA_SQL_LEASES_DROP] = {"DELETE FROM leases WHERE node = ?", "i"},
	[KONA_SQL_SLAB_PUT] = {"INSERT INTO slabs VALUES (?, ?, ?)", "iii"},
	[KONA_SQL_SLABS_DROP_AFTER] = {"DELETE FROM slabs WHERE lease = ? AND id > ?", "ii"},
	[KONA_SQL_SLABS_HELD] = {"SELECT count(*) FROM slabs WHERE lease = ?", "i"},
	[KONA_SQL_SLABS_ALL] = {"SELECT count(*) FROM slabs", ""},
};

const char *kona_rack_store_text(struct kona_rack_store *store)
{
	return sqlite3_errmsg(store->database);
}

sqlite3_stmt *kona_rack_query(struct kona_rack_store *store, enum kona_rack_sql which, ...)
{
	sqlite3_stmt *statement = store->statements[which];
	va_list args;
	int index = 1;

	sqlite3_reset(statement);
	va_start(args, which);
	for (const char *type = sql[which].types; *type; type++, index++) {
		/* A failed bind leaves NULL, which every column refuses. */
		if (*type == 'i')
			sqlite3_bind_int64(statement, index, va_arg(args, int64_t));
		else
			sqlite3_bind_text(statement, index, va_arg(args, const char *), -1,
					  SQLITE_TRANSIENT);
	}
	va_end(args);
	return statement;
}

int kona_rack_step(sqlite3_stmt *statement)
{
	switch (sqlite3_step(statement)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		sqlite3_reset(statement);
		return 0;
	default:
		sqlite3_reset(statement);
		return -EIO;
	}
}

const char *kona_rack_column_text(sqlite3_stmt *statement, int column)
{
	const unsigned char *text = sqlite3_column_text(statement, column);

	return text ? (const char *)text : "";
}

int kona_rack_run(sqlite3_stmt *statement)
{
	int code;

	do
		code = sqlite3_step(statement);
	while (code == SQLITE_ROW);
	sqlite3_reset(statement);
	if (code == SQLITE_DONE)
		return 0;
	return code == SQLITE_CONSTRAINT ? -EEXIST : -EIO;
}

int kona_rack_begin(struct kona_rack_store *store)
{
	return kona_rack_run(kona_rack_query(store, KONA_SQL_BEGIN));
}

int kona_rack_commit(struct kona_rack_store *store)
{
	return kona_rack_run(kona_rack_query(store, KONA_SQL_COMMIT));
}

void kona_rack_rollback(struct kona_rack_store *store)
{
	/* A query that was left in the middle would keep the transaction open. */
	for (int i = 0; i < KONA_SQL_COUNT; i++)
		sqlite3_reset(store->statements[i]);
	if (!sqlite3_get_autocommit(store->database) &&
	    kona_rack_run(kona_rack_query(store, KONA_SQL_ROLLBACK))) {
		/* SQLite has rolled back by itself (disk full, I/O error). */
	}
}

void kona_rack_store_recover(struct kona_rack_store *store)
{
	if (sqlite3_wal_checkpoint_v2(store->database, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
				      NULL)) {
		/* Still no room, or the disk is broken: the next request tells. */
	}
}

int kona_rack_next_id(struct kona_rack_store *store, const char *name, int64_t *ret_id)
{
	sqlite3_stmt *statement = kona_rack_query(store, KONA_SQL_NEXT_ID, name);
	int64_t id;

	if (kona_rack_step(statement) != 1)
		return -EIO;
	id = sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	*ret_id = id;
	return 0;
}

static int read_number(sqlite3 *database, const char *text, int64_t *ret_value)
{
	sqlite3_stmt *statement;
	int code = sqlite3_prepare_v2(database, text, -1, &statement, NULL);

	if (code)
		return code;
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*ret_value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Identifiers start at a random point: see wire/rack.h. */
static int make_tables(sqlite3 *database, int64_t slab_bytes)
{
	uint32_t start;
	char *text;
	int code;

	if (getrandom(&start, sizeof(start), 0) != (ssize_t)sizeof(start))
		return SQLITE_IOERR;
	start &= 0x3fffffff;
	text = sqlite3_mprintf("BEGIN EXCLUSIVE; %s"
			       "INSERT INTO settings VALUES ('slab_bytes', %lld), ('node', 0),"
			       " ('lease', %lld), ('slab', %lld);"
			       "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
			       schema, (long long)slab_bytes, (long long)start << 20,
			       (long long)start << 20, APPLICATION_ID, SCHEMA_VERSION);
	if (!text)
		return SQLITE_NOMEM;
	code = sqlite3_exec(database, text, NULL, NULL, NULL);
	sqlite3_free(text);
	return code;
}

/* Returns 0, or an errno value with `why` filled. */
static int check_version(sqlite3 *database, const char *path, int64_t slab_bytes, char *why,
			 size_t why_bytes)
{
	int64_t version = 0, application = 0, tables = 0;

	if (read_number(database, "SELECT count(*) FROM sqlite_schema", &tables) ||
	    read_number(database, "PRAGMA application_id", &application) ||
	    read_number(database, "PRAGMA user_version", &version))
		return -EIO;
	if (!tables && !application && !version)
		return make_tables(database, slab_bytes ? slab_bytes : DEFAULT_SLAB_BYTES) ? -EIO
											   : 0;
	if (application != APPLICATION_ID) {
		snprintf(why, why_bytes, "%s is another program's database", path);
		return -EINVAL;
	}
	if (version > SCHEMA_VERSION) {
		snprintf(why, why_bytes,
			 "%s was written by a newer kona-rackd (format %lld, this one knows %d)",
			 path, (long long)version, SCHEMA_VERSION);
		return -EINVAL;
	}
	return 0;
}

static int take_slab_size(struct kona_rack_store *store, const char *path, int64_t wanted,
			  char *why, size_t why_bytes)
{
	int64_t kept = 0;

	if (read_number(store->database, "SELECT value FROM settings WHERE name = 'slab_bytes'",
			&kept))
		return -EIO;
	if (wanted && wanted != kept) {
		snprintf(why, why_bytes, "%s has slabs of %lld bytes, which --slab cannot change",
			 path, (long long)kept);
		return -EINVAL;
	}
	store->slab_bytes = kept;
	return 0;
}

/* A write is what takes the lock, and what tells a read-only file. */
static const char set_up[] = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
			     "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
			     "BEGIN IMMEDIATE; COMMIT;";

int kona_rack_store_open(struct kona_rack_store *store, const char *path, int64_t slab_bytes,
			 char *why, size_t why_bytes)
{
	int code, rc;

	memset(store, 0, sizeof(*store));
	why[0] = 0;
	code = sqlite3_open_v2(path, &store->database,
			       SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			       NULL);
	if (!code)
		code = sqlite3_exec(store->database, set_up, NULL, NULL, NULL);
	rc = code ? -EIO : check_version(store->database, path, slab_bytes, why, why_bytes);
	if (!rc)
		rc = take_slab_size(store, path, slab_bytes, why, why_bytes);
	for (int i = 0; i < KONA_SQL_COUNT && !rc; i++)
		if (sqlite3_prepare_v3(store->database, sql[i].text, -1, SQLITE_PREPARE_PERSISTENT,
				       &store->statements[i], NULL))
			rc = -EIO;
	if (!rc)
		return 0;
	code = store->database ? sqlite3_errcode(store->database) : SQLITE_NOMEM;
	if (code == SQLITE_BUSY) {
		snprintf(why, why_bytes, "%s is in use by another kona-rackd", path);
		rc = -EBUSY;
	} else if (code == SQLITE_NOTADB) {
		snprintf(why, why_bytes, "%s is not a state file of kona-rackd", path);
		rc = -EINVAL;
	} else if (!why[0]) {
		snprintf(why, why_bytes, "%s: %s", path, kona_rack_store_text(store));
	}
	kona_rack_store_close(store);
	return rc;
}

void kona_rack_store_close(struct kona_rack_store *store)
{
	for (int i = 0; i < KONA_SQL_COUNT; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->database);
	memset(store, 0, sizeof(*store));
}
