/* The schema, as numbered steps that are never edited once released: a change is a new row. The database's user_version says which
 * step it has reached; each step and its number commit together, so a crash between two leaves a valid older schema.
 *
 * Statuses are text so that the file can be read by people and does not depend on the order of an enum. A job keeps the ids of its model and
 * data set as plain text: they may be deleted once it has ended, and its record goes on telling what it was made from. */
#include <string.h>

#include "storage/sqlite/sqlite_priv.h"

/* Of step 21, and not to be changed either: what a row of uploads counts for, and what all those count for that have the digest of a row of asset_files. */
#define UPLOAD_COUNTS(row) \
	"CASE WHEN " row ".sha256 <> '' AND EXISTS (SELECT 1 FROM asset_files WHERE owner = " row ".owner AND sha256 = " row ".sha256) THEN 0 ELSE " row ".n_synced END"
#define UPLOADS_OF(row) "(SELECT coalesce(sum(n_synced), 0) FROM uploads WHERE sha256 = " row ".sha256 AND sha256 <> '' AND owner = " row ".owner)"

const struct sqlite_migration sqlite_migration_table[] = {
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
    {.version = 3, /* owners; what was there belongs to the default one */
        .sql = "ALTER TABLE assets ADD COLUMN owner TEXT NOT NULL DEFAULT 'default';"
               "ALTER TABLE jobs ADD COLUMN owner TEXT NOT NULL DEFAULT 'default';"
               "CREATE UNIQUE INDEX assets_owner ON assets (owner, id);"
               "CREATE INDEX assets_owner_kind ON assets (owner, kind, id);"
               "DROP INDEX assets_kind;"
               "CREATE UNIQUE INDEX jobs_owner ON jobs (owner, id);"
               "CREATE INDEX jobs_owner_status ON jobs (owner, status, id);"
               "ALTER TABLE idempotency RENAME TO old_idempotency;"
               "DROP INDEX idempotency_created;"
               "DROP INDEX idempotency_job;"
               "CREATE TABLE idempotency (owner TEXT NOT NULL, scope TEXT NOT NULL, key TEXT NOT NULL, fingerprint BLOB NOT NULL,"
               " job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, created_ms INTEGER NOT NULL, PRIMARY KEY (owner, scope, key)) STRICT, WITHOUT ROWID;"
               "INSERT INTO idempotency SELECT 'default', scope, key, fingerprint, job, created_ms FROM old_idempotency;"
               "DROP TABLE old_idempotency;"
               "CREATE INDEX idempotency_created ON idempotency (created_ms);"
               "CREATE INDEX idempotency_job ON idempotency (job);"
               "PRAGMA user_version = 3;"},
    {.version = 4,
        .sql = "CREATE TABLE keys (id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, scopes TEXT NOT NULL, hash BLOB NOT NULL,"
               " created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, revoked_ms INTEGER NOT NULL, last_used_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
               "PRAGMA user_version = 4;"},
    {.version = 5,
        .sql = "CREATE TABLE uploads (id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, metadata TEXT NOT NULL, part TEXT NOT NULL UNIQUE,"
               " n_total INTEGER NOT NULL, n_synced INTEGER NOT NULL, sha256 TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL) STRICT;"
               "CREATE UNIQUE INDEX uploads_owner ON uploads (owner, id);"
               "CREATE INDEX uploads_expires ON uploads (expires_ms);"
               "CREATE INDEX uploads_sha256 ON uploads (sha256) WHERE sha256 <> '';"
               "PRAGMA user_version = 5;"},
    /* Bytes of owners are counted by triggers, so that no verb can forget to. Rows that a deleted asset or job takes with it have no owner to be found any more, so
     * they are taken off before. */
    {.version = 6,
        .sql = "CREATE TABLE owner_usage (owner TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
               "INSERT INTO owner_usage SELECT owner, sum(n_bytes) FROM (SELECT a.owner, f.n_bytes FROM asset_files f JOIN assets a ON a.id = f.asset"
               " UNION ALL SELECT j.owner, r.n_bytes FROM artifacts r JOIN jobs j ON j.id = r.job) GROUP BY owner;"
               "CREATE TRIGGER usage_file_added AFTER INSERT ON asset_files BEGIN"
               " INSERT INTO owner_usage SELECT owner, NEW.n_bytes FROM assets WHERE id = NEW.asset ON CONFLICT (owner) DO UPDATE SET bytes = bytes + excluded.bytes; END;"
               "CREATE TRIGGER usage_asset_removed BEFORE DELETE ON assets BEGIN"
               " UPDATE owner_usage SET bytes = bytes - (SELECT coalesce(sum(n_bytes), 0) FROM asset_files WHERE asset = OLD.id) WHERE owner = OLD.owner; END;"
               "CREATE TRIGGER usage_artifact_added AFTER INSERT ON artifacts BEGIN"
               " INSERT INTO owner_usage SELECT owner, NEW.n_bytes FROM jobs WHERE id = NEW.job ON CONFLICT (owner) DO UPDATE SET bytes = bytes + excluded.bytes; END;"
               "CREATE TRIGGER usage_artifact_removed AFTER DELETE ON artifacts BEGIN"
               " UPDATE owner_usage SET bytes = bytes - OLD.n_bytes WHERE owner = (SELECT owner FROM jobs WHERE id = OLD.job); END;"
               "CREATE TRIGGER usage_job_removed BEFORE DELETE ON jobs BEGIN"
               " UPDATE owner_usage SET bytes = bytes - (SELECT coalesce(sum(n_bytes), 0) FROM artifacts WHERE job = OLD.id) WHERE owner = OLD.owner; END;"
               "PRAGMA user_version = 6;"},
    {.version = 7, /* events of every kind of thing, numbered over all; webhooks */
        .sql = "CREATE TABLE new_events (subject TEXT NOT NULL, seq INTEGER NOT NULL, owner TEXT NOT NULL, cursor INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
               " type TEXT NOT NULL, level TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (subject, seq)) STRICT, WITHOUT ROWID;"
               "INSERT INTO new_events SELECT e.job, e.seq, j.owner, row_number() OVER (ORDER BY e.at_ms, e.job, e.seq), e.at_ms, e.type, e.level, e.data"
               " FROM events e JOIN jobs j ON j.id = e.job;"
               "DROP TABLE events;"
               "ALTER TABLE new_events RENAME TO events;"
               "CREATE UNIQUE INDEX events_feed ON events (owner, cursor);"
               "INSERT INTO meta (name, value) SELECT 'event_cursor', count(*) FROM events;"
               "CREATE TABLE webhooks (id TEXT PRIMARY KEY, owner TEXT NOT NULL, job TEXT REFERENCES jobs (id) ON DELETE CASCADE, created_ms INTEGER NOT NULL,"
               " url TEXT NOT NULL, description TEXT NOT NULL, events TEXT NOT NULL, format TEXT NOT NULL CHECK (format IN ('standard', 'cloudevents')),"
               " enabled INTEGER NOT NULL, disabled_why TEXT NOT NULL, secret TEXT NOT NULL, old_secret TEXT NOT NULL, old_until_ms INTEGER NOT NULL,"
               " revision INTEGER NOT NULL, updated_ms INTEGER NOT NULL) STRICT;"
               "CREATE UNIQUE INDEX webhooks_owner ON webhooks (owner, id);"
               "CREATE INDEX webhooks_job ON webhooks (job);"
               "CREATE INDEX webhooks_match ON webhooks (owner, job, id) WHERE enabled = 1;"
               "CREATE TABLE deliveries (id TEXT PRIMARY KEY, webhook TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE, event TEXT NOT NULL,"
               " subject TEXT NOT NULL, type TEXT NOT NULL, seq INTEGER NOT NULL, cursor INTEGER NOT NULL, at_ms INTEGER NOT NULL, level TEXT NOT NULL,"
               " data TEXT NOT NULL, created_ms INTEGER NOT NULL, status TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),"
               " n_attempts INTEGER NOT NULL, n_tries INTEGER NOT NULL, next_ms INTEGER NOT NULL, finished_ms INTEGER NOT NULL, attempts TEXT NOT NULL) STRICT;"
               "CREATE INDEX deliveries_webhook ON deliveries (webhook, id);"
               "CREATE INDEX deliveries_due ON deliveries (next_ms, id, webhook) WHERE status = 'pending';"
               "CREATE INDEX deliveries_pending ON deliveries (webhook) WHERE status = 'pending';"
               "CREATE INDEX deliveries_finished ON deliveries (finished_ms) WHERE finished_ms > 0;"
               "PRAGMA user_version = 7;"},
    {.version = 8, /* versions of names, and aliases */
        .sql = "ALTER TABLE assets ADD COLUMN version INTEGER NOT NULL DEFAULT 0;"
               "ALTER TABLE assets ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;"
               "ALTER TABLE assets ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';"
               "ALTER TABLE assets ADD COLUMN description TEXT NOT NULL DEFAULT '';"
               "CREATE INDEX assets_name ON assets (owner, kind, name, id);"
               "UPDATE assets SET version = (SELECT count(*) FROM assets b INDEXED BY assets_name WHERE b.owner = assets.owner AND b.kind = assets.kind"
               " AND b.name = assets.name AND b.id <= assets.id) WHERE name <> '';"
               "CREATE INDEX assets_version ON assets (owner, kind, name, version);"
               "CREATE TABLE asset_names (owner TEXT NOT NULL, kind INTEGER NOT NULL, name TEXT NOT NULL, last_version INTEGER NOT NULL,"
               " PRIMARY KEY (owner, kind, name)) STRICT, WITHOUT ROWID;"
               "INSERT INTO asset_names SELECT owner, kind, name, max(version) FROM assets WHERE name <> '' GROUP BY owner, kind, name;"
               "CREATE TABLE aliases (owner TEXT NOT NULL, kind INTEGER NOT NULL, name TEXT NOT NULL, alias TEXT NOT NULL,"
               " asset TEXT NOT NULL REFERENCES assets (id), PRIMARY KEY (owner, kind, name, alias)) STRICT, WITHOUT ROWID;"
               "CREATE INDEX aliases_asset ON aliases (asset, alias);"
               "PRAGMA user_version = 8;"},
    {.version = 9, /* for retention */
        .sql = "CREATE INDEX jobs_finished ON jobs (finished_ms) WHERE finished_ms <> 0;"
               "CREATE INDEX artifacts_created ON artifacts (created_ms);"
               "PRAGMA user_version = 9;"},
    /* Kinds of older jobs are read off their texts, which are canonical: a step is its name as the one key of an object. */
    {.version = 10,
        .sql = "ALTER TABLE jobs ADD COLUMN kind TEXT NOT NULL DEFAULT '';"
               "ALTER TABLE jobs ADD COLUMN labels TEXT NOT NULL DEFAULT '';"
               "ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
               "UPDATE jobs SET kind = CASE WHEN instr(request, '\"sweep\":{') THEN 'sweep' WHEN instr(request, '{\"search\":{') THEN 'search'"
               " WHEN instr(request, '{\"prune\":{') THEN 'prune' WHEN instr(request, '{\"quantize\":{') THEN 'quantize'"
               " WHEN instr(request, '{\"cluster\":{') THEN 'cluster' WHEN instr(request, '{\"train\":{') THEN 'train' ELSE 'evaluate' END;"
               "CREATE INDEX jobs_owner_kind ON jobs (owner, kind, id);"
               "CREATE INDEX jobs_queue ON jobs (priority DESC, id) WHERE status = 'queued';"
               "CREATE TABLE job_labels (holder TEXT NOT NULL, label TEXT NOT NULL, job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,"
               " PRIMARY KEY (holder, label, job)) STRICT, WITHOUT ROWID;"
               "CREATE INDEX job_labels_job ON job_labels (job);"
               "PRAGMA user_version = 10;"},
    /* Two more statuses. A check cannot be changed, and a new table would take along what refers to the old one; so the column is replaced. */
    {.version = 11,
        .sql = "ALTER TABLE jobs ADD COLUMN state TEXT NOT NULL DEFAULT 'queued'"
               " CHECK (state IN ('queued', 'running', 'pausing', 'paused', 'canceling', 'succeeded', 'failed', 'canceled'));"
               "UPDATE jobs SET state = status;"
               "DROP INDEX jobs_status; DROP INDEX jobs_owner_status; DROP INDEX jobs_queue;"
               "ALTER TABLE jobs DROP COLUMN status;"
               "ALTER TABLE jobs RENAME COLUMN state TO status;"
               "CREATE INDEX jobs_status ON jobs (status, id);"
               "CREATE INDEX jobs_owner_status ON jobs (owner, status, id);"
               "CREATE INDEX jobs_queue ON jobs (priority DESC, id) WHERE status = 'queued';"
               "PRAGMA user_version = 11;"},
    {.version = 12, /* artifacts are found by their own ids, too */
        .sql = "ALTER TABLE artifacts ADD COLUMN owner TEXT NOT NULL DEFAULT 'default';"
               "UPDATE artifacts SET owner = (SELECT owner FROM jobs WHERE jobs.id = artifacts.job);"
               "CREATE UNIQUE INDEX artifacts_owner ON artifacts (owner, id);"
               "PRAGMA user_version = 12;"},
    /* A parent is NULL and not '' where there is none, so that deleting it takes its children along. */
    {.version = 13,
        .sql = "ALTER TABLE jobs ADD COLUMN parent TEXT REFERENCES jobs (id) ON DELETE CASCADE;"
               "ALTER TABLE jobs ADD COLUMN trial TEXT NOT NULL DEFAULT '';"
               "ALTER TABLE jobs ADD COLUMN trials_all INTEGER NOT NULL DEFAULT 0;"
               "ALTER TABLE jobs ADD COLUMN trials_ahead INTEGER NOT NULL DEFAULT 0;"
               "ALTER TABLE jobs ADD COLUMN retry_of TEXT NOT NULL DEFAULT '';"
               "CREATE UNIQUE INDEX jobs_parent_trial ON jobs (parent, trial) WHERE parent IS NOT NULL;"
               "CREATE INDEX jobs_parent ON jobs (parent, id) WHERE parent IS NOT NULL;"
               "CREATE INDEX jobs_parent_status ON jobs (parent, status) WHERE parent IS NOT NULL;"
               "CREATE INDEX jobs_owner_top ON jobs (owner, id) WHERE parent IS NULL;"
               "PRAGMA user_version = 13;"},
    {.version = 14, /* children are as old as their parents */
        .sql = "DROP INDEX jobs_finished;"
               "CREATE INDEX jobs_finished ON jobs (finished_ms) WHERE finished_ms <> 0 AND parent IS NULL;"
               "PRAGMA user_version = 14;"},
    {.version = 15, /* results that become models */
        .sql = "ALTER TABLE jobs ADD COLUMN register_as TEXT NOT NULL DEFAULT '';"
               "PRAGMA user_version = 15;"},
    /* Idempotency keys of everything that is made. What it is they do not know, so what takes it away takes them with it. */
    {.version = 16,
        .sql = "ALTER TABLE idempotency RENAME TO old_idempotency;"
               "DROP INDEX idempotency_created;"
               "DROP INDEX idempotency_job;"
               "CREATE TABLE idempotency (owner TEXT NOT NULL, scope TEXT NOT NULL, key TEXT NOT NULL, fingerprint BLOB NOT NULL, made TEXT NOT NULL,"
               " created_ms INTEGER NOT NULL, PRIMARY KEY (owner, scope, key)) STRICT, WITHOUT ROWID;"
               "INSERT INTO idempotency SELECT owner, scope, key, fingerprint, job, created_ms FROM old_idempotency;"
               "DROP TABLE old_idempotency;"
               "CREATE INDEX idempotency_created ON idempotency (created_ms);"
               "CREATE INDEX idempotency_made ON idempotency (made);"
               "CREATE TRIGGER job_forgotten AFTER DELETE ON jobs BEGIN DELETE FROM idempotency WHERE made = OLD.id; END;"
               "CREATE TRIGGER asset_forgotten AFTER DELETE ON assets BEGIN DELETE FROM idempotency WHERE made = OLD.id; END;"
               "CREATE TRIGGER upload_forgotten AFTER DELETE ON uploads BEGIN DELETE FROM idempotency WHERE made = OLD.id; END;"
               "CREATE TRIGGER webhook_forgotten AFTER DELETE ON webhooks BEGIN DELETE FROM idempotency WHERE made = OLD.id; END;"
               "PRAGMA user_version = 16;"},
    /* Events go with what they tell of, whatever takes it away: the children of a job that was deleted have left theirs. */
    {.version = 17,
        .sql = "DELETE FROM events WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = events.subject) AND NOT EXISTS (SELECT 1 FROM assets WHERE id = events.subject);"
               "CREATE TRIGGER job_untold AFTER DELETE ON jobs BEGIN DELETE FROM events WHERE subject = OLD.id; END;"
               "CREATE TRIGGER asset_untold AFTER DELETE ON assets BEGIN DELETE FROM events WHERE subject = OLD.id; END;"
               "PRAGMA user_version = 17;"},
    /* Who deletes a model asks for its open jobs, who names a digest for what is his: neither pays for what has ended, or for all that he has. */
    {.version = 18,
        .sql = "CREATE INDEX jobs_model_open ON jobs (model) WHERE finished_ms = 0;"
               "CREATE INDEX jobs_dataset_open ON jobs (dataset) WHERE finished_ms = 0;"
               "ALTER TABLE asset_files ADD COLUMN owner TEXT NOT NULL DEFAULT 'default';"
               "UPDATE asset_files SET owner = (SELECT owner FROM assets WHERE id = asset);"
               "CREATE INDEX asset_files_owner ON asset_files (owner, sha256);"
               "PRAGMA user_version = 18;"},
    /* Jobs by status are counted as they change, so that who asks does not count them all. */
    {.version = 19,
        .sql = "CREATE TABLE job_counts (status TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
               "INSERT INTO job_counts SELECT status, count(*) FROM jobs GROUP BY status;"
               "CREATE TRIGGER count_job_added AFTER INSERT ON jobs BEGIN"
               " INSERT INTO job_counts VALUES (NEW.status, 1) ON CONFLICT (status) DO UPDATE SET n = n + 1; END;"
               "CREATE TRIGGER count_job_changed AFTER UPDATE OF status ON jobs WHEN NEW.status <> OLD.status BEGIN"
               " UPDATE job_counts SET n = n - 1 WHERE status = OLD.status;"
               " INSERT INTO job_counts VALUES (NEW.status, 1) ON CONFLICT (status) DO UPDATE SET n = n + 1; END;"
               "CREATE TRIGGER count_job_removed AFTER DELETE ON jobs BEGIN"
               " UPDATE job_counts SET n = n - 1 WHERE status = OLD.status; END;"
               "PRAGMA user_version = 19;"},
    /* An endpoint knows when the first of its pending deliveries is due (0: none is pending), so that who looks for what is due passes over an endpoint and not over all that waits for it. */
    {.version = 20,
        .sql = "DROP INDEX deliveries_pending;"
               "CREATE INDEX deliveries_pending ON deliveries (webhook, next_ms, id) WHERE status = 'pending';"
               "ALTER TABLE webhooks ADD COLUMN due_ms INTEGER NOT NULL DEFAULT 0;"
               "UPDATE webhooks SET due_ms = coalesce((SELECT min(next_ms) FROM deliveries WHERE webhook = webhooks.id AND status = 'pending'), 0);"
               "CREATE INDEX webhooks_due ON webhooks (due_ms, id, owner) WHERE due_ms > 0;"
               "CREATE TRIGGER due_added AFTER INSERT ON deliveries WHEN NEW.status = 'pending' BEGIN"
               " UPDATE webhooks SET due_ms = NEW.next_ms WHERE id = NEW.webhook AND (due_ms = 0 OR due_ms > NEW.next_ms); END;"
               "CREATE TRIGGER due_changed AFTER UPDATE OF status, next_ms ON deliveries WHEN OLD.status = 'pending' OR NEW.status = 'pending' BEGIN"
               " UPDATE webhooks SET due_ms = coalesce((SELECT min(next_ms) FROM deliveries INDEXED BY deliveries_pending WHERE webhook = NEW.webhook AND status = 'pending'), 0)"
               " WHERE id = NEW.webhook; END;"
               "PRAGMA user_version = 20;"},
    /* Uploads count for what has come of them, unless a file of their owner's has their digest: the file counts then, and the first and the last of such files change what they count for. */
    {.version = 21,
        .sql = "CREATE TRIGGER usage_upload_added AFTER INSERT ON uploads BEGIN"
               " INSERT INTO owner_usage VALUES (NEW.owner, " UPLOAD_COUNTS("NEW") ") ON CONFLICT (owner) DO UPDATE SET bytes = bytes + excluded.bytes; END;"
               "CREATE TRIGGER usage_upload_changed AFTER UPDATE OF n_synced, sha256 ON uploads WHEN NEW.n_synced <> OLD.n_synced OR NEW.sha256 <> OLD.sha256 BEGIN"
               " UPDATE owner_usage SET bytes = bytes + " UPLOAD_COUNTS("NEW") " - " UPLOAD_COUNTS("OLD") " WHERE owner = NEW.owner; END;"
               "CREATE TRIGGER usage_upload_removed AFTER DELETE ON uploads BEGIN"
               " UPDATE owner_usage SET bytes = bytes - " UPLOAD_COUNTS("OLD") " WHERE owner = OLD.owner; END;"
               "CREATE TRIGGER usage_upload_named AFTER INSERT ON asset_files WHEN (SELECT count(*) FROM (SELECT 1 FROM asset_files WHERE owner = NEW.owner AND sha256 = NEW.sha256 LIMIT 2)) = 1 BEGIN"
               " UPDATE owner_usage SET bytes = bytes - " UPLOADS_OF("NEW") " WHERE owner = NEW.owner; END;"
               "CREATE TRIGGER usage_upload_unnamed AFTER DELETE ON asset_files WHEN NOT EXISTS (SELECT 1 FROM asset_files WHERE owner = OLD.owner AND sha256 = OLD.sha256) BEGIN"
               " UPDATE owner_usage SET bytes = bytes + " UPLOADS_OF("OLD") " WHERE owner = OLD.owner; END;"
               "INSERT INTO owner_usage SELECT owner, sum(" UPLOAD_COUNTS("uploads") ") FROM uploads WHERE true GROUP BY owner ON CONFLICT (owner) DO UPDATE SET bytes = bytes + excluded.bytes;"
               "PRAGMA user_version = 21;"},
    /* Jobs that find no room for their results. */
    {.version = 22,
        .sql = "ALTER TABLE jobs ADD COLUMN stalls INTEGER NOT NULL DEFAULT 0;"
               "ALTER TABLE jobs ADD COLUMN stalled_ms INTEGER NOT NULL DEFAULT 0;"
               "ALTER TABLE jobs ADD COLUMN not_before_ms INTEGER NOT NULL DEFAULT 0;"
               "PRAGMA user_version = 22;"},
    /* Whose key answers for what an endpoint hears. */
    {.version = 23,
        .sql = "ALTER TABLE webhooks ADD COLUMN key TEXT NOT NULL DEFAULT '';"
               "PRAGMA user_version = 23;"},
    {0},
};

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
	int have = 0, newest = 0;
	enum pare_code code = schema_version(c, &have, err);

	for (const struct sqlite_migration *m = sqlite_migration_table; m->version != 0; m++)
		newest = m->version;
	if (code == PARE_OK && have > newest)
		return pare_err_set(err, PARE_E_STORE, c->store->path,
		    "the database has schema version %d and this program knows versions up to %d: run the newer program that wrote it", have, newest);
	for (const struct sqlite_migration *m = sqlite_migration_table; m->version != 0 && code == PARE_OK; m++)
		if (m->version > have)
			code = apply(c, m->sql, err);
	return code;
}
