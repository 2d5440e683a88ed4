/* The schema, as numbered steps that are never edited once released: a change is a new row. The database's user_version says which
 * step it has reached; each step and its number commit together, so a crash between two leaves a valid older schema.
 *
 * Statuses are text so that the file can be read by people and does not depend on the order of an enum. A job keeps the ids of its model and
 * data set as plain text: they may be deleted once it has ended, and its record goes on telling what it was made from. */
#include <string.h>

#include "storage/sqlite/sqlite_priv.h"

static const struct {
	int version;
	const char *sql;
} migration_table[] = {
    {.version = 1,
        .sql = "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
               "CREATE TABLE assets (id TEXT PRIMARY KEY, kind INTEGER NOT NULL, name TEXT NOT NULL, info TEXT NOT NULL, produced_by TEXT,"
               " created_ms INTEGER NOT NULL, n_files INTEGER NOT NULL) STRICT;"
               "CREATE INDEX assets_kind ON assets (kind, id);"
               "CREATE TABLE asset_files (asset TEXT NOT NULL REFERENCES assets (id) ON DELETE CASCADE, position INTEGER NOT NULL, path TEXT NOT NULL,"
               " sha256 TEXT NOT NULL, n_bytes INTEGER NOT NULL, PRIMARY KEY (asset, position)) STRICT, WITHOUT ROWID;"
               "CREATE INDEX asset_files_sha256 ON asset_files (sha256);"
               "CREATE TABLE jobs (id TEXT PRIMARY KEY,"
               " status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'canceling', 'succeeded', 'failed', 'canceled')),"
               " phase TEXT NOT NULL, revision INTEGER NOT NULL, created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, finished_ms INTEGER NOT NULL,"
               " attempt INTEGER NOT NULL, crashes INTEGER NOT NULL, max_crashes INTEGER NOT NULL, name TEXT NOT NULL, model TEXT NOT NULL,"
               " dataset TEXT NOT NULL, request TEXT NOT NULL, progress TEXT NOT NULL, result TEXT NOT NULL, error_code TEXT NOT NULL,"
               " error_message TEXT NOT NULL, error_where TEXT NOT NULL, lease_token INTEGER NOT NULL, worker TEXT NOT NULL,"
               " lease_until INTEGER NOT NULL, next_seq INTEGER NOT NULL) STRICT;"
               "CREATE INDEX jobs_status ON jobs (status, id);"
               "CREATE INDEX jobs_model ON jobs (model, id);"
               "CREATE INDEX jobs_dataset ON jobs (dataset, id);"
               "CREATE TABLE events (job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
               " type TEXT NOT NULL, level TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (job, seq)) STRICT, WITHOUT ROWID;"
               "CREATE TABLE artifacts (id TEXT PRIMARY KEY, job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, name TEXT NOT NULL,"
               " media_type TEXT NOT NULL, sha256 TEXT NOT NULL, n_bytes INTEGER NOT NULL, created_ms INTEGER NOT NULL, UNIQUE (job, name)) STRICT;"
               "CREATE INDEX artifacts_sha256 ON artifacts (sha256);"
               "CREATE TABLE idempotency (scope TEXT NOT NULL, key TEXT NOT NULL, fingerprint BLOB NOT NULL,"
               " job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, created_ms INTEGER NOT NULL, PRIMARY KEY (scope, key)) STRICT, WITHOUT ROWID;"
               "CREATE INDEX idempotency_created ON idempotency (created_ms);"
               "CREATE INDEX idempotency_job ON idempotency (job);"
               "PRAGMA user_version = 1;"},
    {.version = 2,
        .sql = "ALTER TABLE jobs ADD COLUMN checkpoint TEXT NOT NULL DEFAULT '';"
               "ALTER TABLE jobs ADD COLUMN checkpoint_bytes INTEGER NOT NULL DEFAULT 0;"
               "ALTER TABLE jobs ADD COLUMN checkpoint_ms INTEGER NOT NULL DEFAULT 0;"
               "ALTER TABLE jobs ADD COLUMN checkpoint_place TEXT NOT NULL DEFAULT '';"
               "CREATE INDEX jobs_checkpoint ON jobs (checkpoint) WHERE checkpoint <> '';"
               "PRAGMA user_version = 2;"},
};

#define N_MIGRATIONS ((int)(sizeof migration_table / sizeof *migration_table))

static enum pare_code schema_version(struct store_tx *c, int *out, struct pare_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(c->db, "PRAGMA user_version", -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int(st, 0);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? PARE_OK : sqlite_fail(c, rc, "reading the schema version", err);
}

static enum pare_code apply(struct store_tx *c, const char *sql, struct pare_err *err)
{
	enum pare_code code;
	int rc = sqlite3_exec(c->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	if (rc != SQLITE_OK)
		return sqlite_fail(c, rc, "migrating", err);
	rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(c->db, "COMMIT", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return PARE_OK;
	code = sqlite_fail(c, rc, "migrating", err);
	(void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
	return code;
}

enum pare_code sqlite_migrate(struct store_tx *c, struct pare_err *err)
{
	const int newest = migration_table[N_MIGRATIONS - 1].version;
	int have = 0;
	enum pare_code code = schema_version(c, &have, err);

	if (code == PARE_OK && have > newest)
		return pare_err_set(err, PARE_E_STORE, c->store->path,
		    "the database has schema version %d and this program knows versions up to %d: run the newer program that wrote it", have, newest);
	for (int i = 0; i < N_MIGRATIONS && code == PARE_OK; i++)
		if (migration_table[i].version > have)
			code = apply(c, migration_table[i].sql, err);
	return code;
}
