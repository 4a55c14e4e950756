/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state file: SQLite, write-ahead log, every commit on disk before it is told. Opening refuses
 * what it does not understand rather than guess, and brings an older file up to date.
 *
 * State: the connection and its prepared statements. One thread, no locks; the exclusive locking
 * mode keeps a second controller out for as long as the first one lives. What can fail: the disk is
 * full or broken. Then a transaction is rolled back as a whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rack/store.h"

enum {
	SCHEMA_VERSION = 2,
	APPLICATION_ID = 0x4b4f4e41, /* "KONA" */
};

enum { PUT, DELETE, BEGIN, COMMIT, LOAD, STATEMENTS };

static const char *const sql[STATEMENTS] = {
	[PUT] = "INSERT OR REPLACE INTO records VALUES (?, ?, ?)",
	[DELETE] = "DELETE FROM records WHERE kind = ? AND id = ?",
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[LOAD] = "SELECT kind, id, value FROM records ORDER BY kind, id",
};

struct sqlite_store {
	struct kona_rack_store store;
	sqlite3 *database;
	sqlite3_stmt *statements[STATEMENTS];
	char *path;
};

static struct sqlite_store *of(struct kona_rack_store *store)
{
	return (struct sqlite_store *)store;
}

static int failed(struct sqlite_store *s)
{
	int code = sqlite3_errcode(s->database);

	snprintf(s->store.why, sizeof(s->store.why), "the controller's state file %.120s: %s%s",
		 s->path, sqlite3_errmsg(s->database),
		 code == SQLITE_FULL ? ": make room on its disk" : "");
	return -EIO;
}

/* Runs a statement without rows. */
static int run(struct sqlite_store *s, int which)
{
	int code = sqlite3_step(s->statements[which]);

	sqlite3_reset(s->statements[which]);
	return code == SQLITE_DONE ? 0 : failed(s);
}

/*
 * Also folds the log into the file, which makes room where the disk was full. Returns true when it
 * did, so that another attempt is worth while.
 */
static bool roll_back(struct sqlite_store *s)
{
	if (!sqlite3_get_autocommit(s->database) &&
	    sqlite3_exec(s->database, "ROLLBACK", NULL, NULL, NULL)) {
		/* SQLite has rolled back by itself (disk full, I/O error). */
	}
	return !sqlite3_wal_checkpoint_v2(s->database, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
					  NULL);
}

static int write_record(struct sqlite_store *s, const struct kona_record *record)
{
	int which = record->value ? PUT : DELETE;
	sqlite3_stmt *statement = s->statements[which];

	/* A failed bind leaves NULL, which every column refuses. */
	sqlite3_bind_int(statement, 1, (int)record->kind);
	sqlite3_bind_int64(statement, 2, record->id);
	if (record->value)
		sqlite3_bind_text(statement, 3, record->value, -1, SQLITE_STATIC);
	return run(s, which);
}

static int try_commit(struct sqlite_store *s, const struct kona_record *records, size_t count)
{
	int rc = run(s, BEGIN);

	for (size_t i = 0; i < count && !rc; i++)
		rc = write_record(s, &records[i]);
	return rc ? rc : run(s, COMMIT);
}

static int sqlite_commit(struct kona_rack_store *store, const struct kona_record *records,
			 size_t count)
{
	struct sqlite_store *s = of(store);
	int rc = try_commit(s, records, count);

	if (rc && roll_back(s))
		rc = try_commit(s, records, count);
	if (rc)
		roll_back(s);
	return rc;
}

/* Grows the file by as much as a small commit does, and takes it back. */
static int sqlite_probe(struct kona_rack_store *store)
{
	struct sqlite_store *s = of(store);
	int rc = 0;

	/* First the log goes into the file: else the log takes all the room that was made. */
	if (!roll_back(s) ||
	    sqlite3_exec(s->database,
			 "BEGIN IMMEDIATE; INSERT INTO records VALUES (99, 1, zeroblob(16384)"
			 " || ''); COMMIT; DELETE FROM records WHERE kind = 99",
			 NULL, NULL, NULL)) {
		rc = failed(s);
		roll_back(s);
	}
	return rc;
}

static int sqlite_load(struct kona_rack_store *store, kona_record_take *take, void *with)
{
	struct sqlite_store *s = of(store);
	sqlite3_stmt *rows = s->statements[LOAD];
	int code, rc = 0;

	while (!rc && (code = sqlite3_step(rows)) == SQLITE_ROW) {
		const char *value = (const char *)sqlite3_column_text(rows, 2);

		rc = value ? take(with, (enum kona_record_kind)sqlite3_column_int(rows, 0),
				  sqlite3_column_int64(rows, 1), value)
			   : -ENOMEM;
	}
	if (!rc && code != SQLITE_DONE)
		rc = failed(s);
	sqlite3_reset(rows);
	return rc;
}

static int sqlite_tick(struct kona_rack_store *store, uint64_t now_ns)
{
	return 1;
}

static void sqlite_close(struct kona_rack_store *store)
{
	struct sqlite_store *s = of(store);

	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(s->statements[i]);
	sqlite3_close(s->database);
	free(s->path);
	free(s);
}

static const struct kona_rack_store_ops sqlite_ops = {sqlite_tick, sqlite_load, sqlite_commit,
						      sqlite_probe, sqlite_close};

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

#define RECORDS                                                                                  \
	"CREATE TABLE records (kind INTEGER NOT NULL, id INTEGER NOT NULL, value TEXT NOT NULL," \
	" PRIMARY KEY (kind, id)) STRICT, WITHOUT ROWID;"

static const char make_tables[] = "BEGIN EXCLUSIVE;" RECORDS "PRAGMA application_id = %d;"
				  "PRAGMA user_version = %d; COMMIT;";

/* Format 1 had a table for each kind, and one replica of a slab. */
static const char migrate_1[] =
	"BEGIN EXCLUSIVE;" RECORDS
	"INSERT INTO records SELECT 0, CASE name WHEN 'slab_bytes' THEN 1 WHEN 'node' THEN 2"
	"  WHEN 'lease' THEN 3 ELSE 4 END, value FROM settings;"
	"INSERT INTO records SELECT 1, id, json_object('name', name, 'instance', instance,"
	"  'capacity_bytes', capacity_bytes) FROM nodes;"
	"INSERT INTO records SELECT 2, id, json_object('node', node, 'pid', pid, 'uid', uid,"
	"  'program', program, 'limit_bytes', limit_bytes, 'request', request) FROM leases;"
	"INSERT INTO records SELECT 3, id, lease || ' 1 1 0 ' || node || ':f' FROM slabs;"
	"DROP TABLE slabs; DROP TABLE leases; DROP TABLE nodes; DROP TABLE settings;"
	"PRAGMA user_version = %d; COMMIT;";

static int execute(struct sqlite_store *s, const char *format, int first, int second)
{
	char *text = sqlite3_mprintf(format, first, second);
	int code = text ? sqlite3_exec(s->database, text, NULL, NULL, NULL) : SQLITE_NOMEM;

	sqlite3_free(text);
	return code ? -EIO : 0;
}

static int check_version(struct sqlite_store *s, char *why)
{
	int64_t version = 0, application = 0, tables = 0;

	if (read_number(s->database, "SELECT count(*) FROM sqlite_schema", &tables) ||
	    read_number(s->database, "PRAGMA application_id", &application) ||
	    read_number(s->database, "PRAGMA user_version", &version))
		return -EIO;
	if (!tables && !application && !version)
		return execute(s, make_tables, APPLICATION_ID, SCHEMA_VERSION);
	if (application != APPLICATION_ID) {
		snprintf(why, KONA_STORE_TEXT_BYTES, "%s is another program's database", s->path);
		return -EINVAL;
	}
	if (version > SCHEMA_VERSION) {
		snprintf(why, KONA_STORE_TEXT_BYTES,
			 "%s was written by a newer kona-rackd (format %lld, this one knows %d): "
			 "install that one, or give another --state",
			 s->path, (long long)version, SCHEMA_VERSION);
		return -EINVAL;
	}
	return version == 1 ? execute(s, migrate_1, SCHEMA_VERSION, 0) : 0;
}

static void explain(struct sqlite_store *s, int *rc, char *why)
{
	int code = s->database ? sqlite3_errcode(s->database) : SQLITE_NOMEM;

	if (why[0])
		return;
	if (code == SQLITE_BUSY) {
		snprintf(why, KONA_STORE_TEXT_BYTES,
			 "%s is in use by another kona-rackd: stop it, or give another --state",
			 s->path);
		*rc = -EBUSY;
	} else if (code == SQLITE_NOTADB) {
		snprintf(why, KONA_STORE_TEXT_BYTES, "%s is not a state file of kona-rackd",
			 s->path);
		*rc = -EINVAL;
	} else if (code == SQLITE_CANTOPEN || code == SQLITE_READONLY) {
		snprintf(why, KONA_STORE_TEXT_BYTES,
			 "%s: %s: its folder must be there, and the user who runs this must be "
			 "able to write both",
			 s->path, sqlite3_errmsg(s->database));
	} else {
		snprintf(why, KONA_STORE_TEXT_BYTES, "%s: %s%s", s->path,
			 s->database ? sqlite3_errmsg(s->database) : "out of memory",
			 code == SQLITE_FULL ? ": make room on its disk" : "");
	}
}

/* The file holds the nodes' secrets: for its owner only. */
static void make_private(const char *path)
{
	int fd = strcmp(path, ":memory:") ? open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600) : -1;

	/* What SQLite cannot open either, it tells. */
	if (fd >= 0)
		close(fd);
}

/* A write is what takes the lock, and what tells a read-only file. */
static const char set_up[] = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
			     "PRAGMA synchronous = FULL; BEGIN IMMEDIATE; COMMIT;";

int kona_rack_store_open_sqlite(const char *path, struct kona_rack_store **ret_store, char *why)
{
	struct sqlite_store *s = calloc(1, sizeof(*s));
	int code, rc;

	snprintf(why, KONA_STORE_TEXT_BYTES, "out of memory");
	if (!s)
		return -ENOMEM;
	s->store.ops = &sqlite_ops;
	s->path = strdup(path);
	if (!s->path) {
		sqlite_close(&s->store);
		return -ENOMEM;
	}
	why[0] = 0;
	make_private(path);
	code = sqlite3_open_v2(path, &s->database,
			       SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			       NULL);
	if (!code)
		code = sqlite3_exec(s->database, set_up, NULL, NULL, NULL);
	rc = code ? -EIO : check_version(s, why);
	for (int i = 0; i < STATEMENTS && !rc; i++)
		if (sqlite3_prepare_v3(s->database, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &s->statements[i], NULL))
			rc = -EIO;
	if (!rc) {
		*ret_store = &s->store;
		return 0;
	}
	explain(s, &rc, why);
	sqlite_close(&s->store);
	return rc;
}
