/* Every statement by name, but for the lists of jobs (sqlite_lists.c). Lists walk an index in id order and stop at the limit. Bounds are always there (an id sorts between
 * "" and "~"), so that one text serves the first page and all others.
 *
 * What a client asks for by id is looked up in an index over (owner, id), by name: the planner would take the primary key, and then another
 * owner's row would be read before it is refused, which an unknown id's is not. */
#include "storage/sqlite/sqlite_priv.h"

#define ASSET_ROW "id, owner, name, info, produced_by, created_ms, n_files, version, revision, labels, description"
#define ASSET_COLUMNS ASSET_ROW ", (SELECT group_concat(alias) FROM (SELECT alias FROM aliases WHERE aliases.asset = assets.id ORDER BY alias))"
#define ARTIFACT_COLUMNS "id, job, owner, name, media_type, sha256, n_bytes, created_ms"
#define KEY_COLUMNS "id, owner, name, scopes, hash, created_ms, expires_ms, revoked_ms, last_used_ms"
#define UPLOAD_COLUMNS "id, owner, name, metadata, part, n_total, n_synced, sha256, created_ms, expires_ms"
#define EVENT_COLUMNS "subject, seq, cursor, at_ms, type, level, data"
#define HOOK_COLUMNS "id, owner, ifnull(job, ''), created_ms, url, description, events, format, enabled, disabled_why, secret, old_secret, old_until_ms, revision, updated_ms, key"
#define UPLOAD_LIST(direction) "SELECT " UPLOAD_COLUMNS " FROM uploads INDEXED BY uploads_owner WHERE owner = ?1 AND id > ?2 AND id < ?3 ORDER BY id " direction " LIMIT ?4"
#define HOOK_LIST(direction) "SELECT " HOOK_COLUMNS " FROM webhooks INDEXED BY webhooks_owner WHERE owner = ?1 AND id > ?2 AND id < ?3 ORDER BY id " direction " LIMIT ?4"
#define DELIVERY_COLUMNS "id, webhook, event, subject, type, seq, cursor, at_ms, level, data, created_ms, status, n_attempts, n_tries, next_ms, finished_ms, attempts"
#define DELIVERY_LIST(direction) "SELECT " DELIVERY_COLUMNS " FROM deliveries WHERE webhook = ?1 AND id > ?2 AND id < ?3 ORDER BY id " direction " LIMIT ?4"
/* Counted so far and no further: enough to tell a filter that leaves few rows from one that leaves many. */
#define PROBE(table, id, where) "SELECT count(*) FROM (SELECT 1 FROM " table " WHERE " where " AND " id " > ?2 AND " id " < ?3 LIMIT " TEXT_OF(SQLITE_PROBE_MAX) ")"
#define ASSET_LIST(direction) "SELECT " ASSET_COLUMNS " FROM assets WHERE owner = ?1 AND kind = ?2 AND id > ?3 AND id < ?4 ORDER BY id " direction " LIMIT ?5"
#define ASSET_OF_NAME(direction)                                                                                                                               \
	"SELECT " ASSET_COLUMNS " FROM assets INDEXED BY assets_name WHERE owner = ?1 AND kind = ?2 AND id > ?3 AND id < ?4 AND name = ?6 ORDER BY id " direction " LIMIT ?5"
#define TEXT_OF(n) TEXT_OF_(n)
#define TEXT_OF_(n) #n
#define UNENDED "status IN ('queued', 'running', 'pausing', 'paused', 'canceling')"

const char *const sqlite_query_table[N_QUERIES] = {
    [Q_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [Q_BEGIN_READ] = "BEGIN",
    [Q_COMMIT] = "COMMIT",
    [Q_ROLLBACK] = "ROLLBACK",
    [Q_SAVE_VERB] = "SAVEPOINT verb",
    [Q_RELEASE_VERB] = "RELEASE verb",
    [Q_ROLLBACK_VERB] = "ROLLBACK TO verb",
    [Q_TOUCH] = "INSERT INTO meta (name, value) VALUES ('touched_ms', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",

    [Q_ASSET_INSERT] = "INSERT INTO assets (kind, " ASSET_ROW ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [Q_ASSET_UPDATE] = "UPDATE assets SET name = ?2, version = ?3, revision = ?4, labels = ?5, description = ?6 WHERE id = ?1",
    [Q_ASSET_NUMBER] = "INSERT INTO asset_names (owner, kind, name, last_version) VALUES (?1, ?2, ?3, 1) "
                       "ON CONFLICT (owner, kind, name) DO UPDATE SET last_version = last_version + 1 RETURNING last_version",
    [Q_ASSET_NAMED] = "SELECT id FROM assets INDEXED BY assets_version WHERE owner = ?1 AND kind = ?2 AND name = ?3 AND (?4 = 0 OR version = ?4) ORDER BY version DESC LIMIT 1",
    [Q_ALIAS_LOAD] = "SELECT asset FROM aliases WHERE owner = ?1 AND kind = ?2 AND name = ?3 AND alias = ?4",
    [Q_ALIAS_PUT] = "INSERT INTO aliases (owner, kind, name, alias, asset) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (owner, kind, name, alias) DO UPDATE SET asset = excluded.asset",
    [Q_ALIAS_REMOVE] = "DELETE FROM aliases WHERE owner = ?1 AND kind = ?2 AND name = ?3 AND alias = ?4",
    [Q_ASSETS_OF_NAME_DESC] = ASSET_OF_NAME("DESC"),
    [Q_ASSETS_OF_NAME_ASC] = ASSET_OF_NAME("ASC"),
    [Q_ASSET_LOAD] = "SELECT " ASSET_COLUMNS " FROM assets INDEXED BY assets_owner WHERE owner = ?1 AND id = ?2 AND kind = ?3",
    [Q_ASSET_EXISTS] = "SELECT 1 FROM assets INDEXED BY assets_owner WHERE owner = ?1 AND id = ?2 AND kind = ?3",
    [Q_ASSET_REMOVE] = "DELETE FROM assets WHERE id = ?1 AND kind = ?2",
    [Q_ASSET_DESC] = ASSET_LIST("DESC"),
    [Q_ASSET_ASC] = ASSET_LIST("ASC"),
    [Q_MODEL_USER] = "SELECT id FROM jobs INDEXED BY jobs_model_open WHERE model = ?1 AND finished_ms = 0 LIMIT 1",
    [Q_DATASET_USER] = "SELECT id FROM jobs INDEXED BY jobs_dataset_open WHERE dataset = ?1 AND finished_ms = 0 LIMIT 1",
    [Q_FILE_INSERT] = "INSERT INTO asset_files (asset, position, path, sha256, n_bytes, owner) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [Q_FILE_LIST] = "SELECT path, sha256, n_bytes FROM asset_files WHERE asset = ?1 ORDER BY position",

    [Q_JOB_INSERT] = "INSERT INTO jobs (" JOB_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [Q_JOB_LOAD] = "SELECT " JOB_COLUMNS " FROM jobs WHERE id = ?1",
    [Q_JOB_STAMP] = "SELECT status, revision FROM jobs INDEXED BY jobs_owner WHERE owner = ?2 AND id = ?1",
    [Q_JOB_LOAD_OWN] = "SELECT " JOB_COLUMNS " FROM jobs INDEXED BY jobs_owner WHERE owner = ?2 AND id = ?1",
    [Q_JOB_UPDATE] = "UPDATE jobs SET phase = ?1, revision = ?2, progress = ?3, lease_until = ?4, next_seq = ?5, checkpoint = ?7, checkpoint_bytes = ?8, "
                     "checkpoint_ms = ?9, checkpoint_place = ?10, status = ?11, started_ms = ?12, finished_ms = ?13, attempt = ?14, crashes = ?15, result = ?16, "
                     "error_code = ?17, error_message = ?18, error_where = ?19, lease_token = ?20, worker = ?21, trials_all = ?22, trials_ahead = ?23, "
                     "stalls = ?24, stalled_ms = ?25, not_before_ms = ?26 WHERE id = ?6",
    [Q_JOB_PROGRESS] = "UPDATE jobs SET phase = ?1, revision = ?2, progress = ?3, lease_until = ?4, next_seq = ?5, checkpoint = ?7, checkpoint_bytes = ?8, "
                       "checkpoint_ms = ?9, checkpoint_place = ?10 WHERE id = ?6",
    [Q_JOB_RECORD] = "UPDATE jobs SET name = ?1, labels = ?2, priority = ?3, revision = ?4 WHERE id = ?5",
    [Q_LABEL_INSERT] = "INSERT INTO job_labels (holder, job, label) VALUES (?1, ?2, ?3)",
    [Q_LABELS_REMOVE] = "DELETE FROM job_labels WHERE job = ?1",
    [Q_JOB_REMOVE] = "DELETE FROM jobs WHERE id = ?1",
    [Q_JOB_NEXT_QUEUED] = "SELECT " JOB_COLUMNS " FROM jobs INDEXED BY jobs_queue WHERE status = 'queued' AND (not_before_ms <= ?1 OR not_before_ms > ?2) ORDER BY priority DESC, id LIMIT 1",
    [Q_JOB_HELD_UNTIL] = "SELECT " JOB_COLUMNS " FROM jobs WHERE status IN ('running', 'pausing', 'canceling') AND lease_token <> 0 AND lease_until <= ?1 LIMIT 1",
    [Q_JOB_AHEAD] = "SELECT count(*) FROM (SELECT 1 FROM jobs INDEXED BY jobs_queue WHERE status = 'queued' AND priority > ?1 "
                    "UNION ALL SELECT 1 FROM jobs INDEXED BY jobs_queue WHERE status = 'queued' AND priority = ?1 AND id < ?2 LIMIT " TEXT_OF(STORE_POSITION_MAX) ")",
    [Q_JOB_QUEUE] = "SELECT id FROM jobs INDEXED BY jobs_queue WHERE status = 'queued' ORDER BY priority DESC, id LIMIT " TEXT_OF(STORE_POSITION_MAX),
    [Q_CHILD_IN] = "SELECT " JOB_COLUMNS " FROM jobs INDEXED BY jobs_parent_status WHERE parent = ?1 AND status IN (?2, ?3, ?4, ?5) LIMIT 1",
    [Q_CHILDREN] = "SELECT status, count(*) FROM jobs INDEXED BY jobs_parent_status WHERE parent = ?1 GROUP BY status",
    [Q_CHILD_OF] = "SELECT 1 FROM jobs INDEXED BY jobs_parent_trial WHERE parent = ?1 AND trial = ?2",
    [Q_JOB_COUNTS] = "SELECT status, n FROM job_counts",
    [Q_JOB_OLDEST_MS] = "SELECT created_ms FROM jobs INDEXED BY jobs_status WHERE status = 'queued' ORDER BY id LIMIT 1",
    [Q_PROBE_LABEL] = PROBE("job_labels", "job", "holder = ?1 AND label = ?4"),
    [Q_PROBE_MODEL] = PROBE("jobs INDEXED BY jobs_model", "id", "model = ?4"),
    [Q_PROBE_DATASET] = PROBE("jobs INDEXED BY jobs_dataset", "id", "dataset = ?4"),
    [Q_PROBE_STATUS] = PROBE("jobs INDEXED BY jobs_owner_status", "id", "owner = ?1 AND status = ?4"),
    [Q_PROBE_KIND] = PROBE("jobs INDEXED BY jobs_owner_kind", "id", "owner = ?1 AND kind = ?4"),

    [Q_EVENT_INSERT] = "INSERT INTO events (subject, seq, owner, cursor, at_ms, type, level, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [Q_EVENT_LIST] = "SELECT " EVENT_COLUMNS " FROM events WHERE subject = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    [Q_FEED_LIST] = "SELECT " EVENT_COLUMNS " FROM events INDEXED BY events_feed WHERE owner = ?1 AND cursor > ?2 ORDER BY cursor LIMIT ?3",
    [Q_CURSOR_NEXT] = "UPDATE meta SET value = value + 1 WHERE name = 'event_cursor' RETURNING value",
    [Q_CURSOR] = "SELECT value FROM meta WHERE name = 'event_cursor'",
    [Q_ARTIFACT_INSERT] = "INSERT INTO artifacts (" ARTIFACT_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [Q_ARTIFACT_COUNT] = "SELECT count(*) FROM artifacts WHERE job = ?1",
    [Q_ARTIFACT_LIST] = "SELECT " ARTIFACT_COLUMNS " FROM artifacts WHERE job = ?1 ORDER BY id LIMIT ?2",
    [Q_ARTIFACT_LOAD] = "SELECT " ARTIFACT_COLUMNS " FROM artifacts WHERE job = ?1 AND name = ?2",

    [Q_ARTIFACT_FIND] = "SELECT " ARTIFACT_COLUMNS " FROM artifacts INDEXED BY artifacts_owner WHERE owner = ?1 AND id = ?2",
    [Q_ARTIFACT_REMOVE] = "DELETE FROM artifacts WHERE id = ?1",

    [Q_IDEM_PURGE] = "DELETE FROM idempotency WHERE created_ms <= ?1",
    [Q_IDEM_LOAD] = "SELECT made, fingerprint FROM idempotency WHERE owner = ?1 AND scope = ?2 AND key = ?3",
    [Q_IDEM_INSERT] = "INSERT INTO idempotency (owner, scope, key, fingerprint, made, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [Q_BLOB_USED] = "SELECT 1 WHERE EXISTS (SELECT 1 FROM asset_files WHERE sha256 = ?1) OR EXISTS (SELECT 1 FROM artifacts WHERE sha256 = ?1) "
                    "OR EXISTS (SELECT 1 FROM jobs WHERE checkpoint = ?1 AND checkpoint <> '') OR EXISTS (SELECT 1 FROM uploads WHERE sha256 = ?1 AND sha256 <> '')",
    [Q_BLOB_LIST] = "SELECT sha256 FROM asset_files UNION SELECT sha256 FROM artifacts UNION SELECT checkpoint FROM jobs WHERE checkpoint <> '' "
                    "UNION SELECT sha256 FROM uploads WHERE sha256 <> ''",

    [Q_KEY_INSERT] = "INSERT INTO keys (" KEY_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [Q_KEY_LOAD] = "SELECT " KEY_COLUMNS " FROM keys WHERE id = ?1",
    [Q_KEY_UPDATE] = "UPDATE keys SET revoked_ms = ?2, last_used_ms = ?3 WHERE id = ?1",
    [Q_KEY_DESC] = "SELECT " KEY_COLUMNS " FROM keys WHERE id > ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
    [Q_KEY_ASC] = "SELECT " KEY_COLUMNS " FROM keys WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3",
    [Q_KEY_COUNT] = "SELECT count(*) FROM keys",
    [Q_KEY_PURGE] = "DELETE FROM keys WHERE (revoked_ms <> 0 AND revoked_ms <= ?1) OR (expires_ms <> 0 AND expires_ms <= ?1)",

    [Q_BLOB_KNOWN] = "SELECT 1 WHERE EXISTS (SELECT 1 FROM asset_files AS f INDEXED BY asset_files_owner CROSS JOIN assets AS a ON a.id = f.asset WHERE f.owner = ?1 AND f.sha256 = ?2 "
                     "AND (?3 >> a.kind) & 1) "
                     "OR (?4 AND EXISTS (SELECT 1 FROM uploads WHERE sha256 = ?2 AND sha256 <> '' AND owner = ?1))",
    [Q_UPLOAD_INSERT] = "INSERT INTO uploads (" UPLOAD_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [Q_UPLOAD_LOAD] = "SELECT " UPLOAD_COLUMNS " FROM uploads INDEXED BY uploads_owner WHERE owner = ?1 AND id = ?2",
    [Q_UPLOAD_UPDATE] = "UPDATE uploads SET n_total = ?1, n_synced = ?2, sha256 = ?3, expires_ms = ?4 WHERE id = ?5",
    [Q_UPLOAD_REMOVE] = "DELETE FROM uploads WHERE id = ?1",
    [Q_UPLOADS] = UPLOAD_LIST("DESC"),
    [Q_UPLOADS_ASC] = UPLOAD_LIST("ASC"),
    [Q_UPLOAD_BYTES] = "SELECT coalesce(sum(n_synced), 0) FROM uploads WHERE sha256 = ?2 AND sha256 <> '' AND owner = ?1"
                       " AND NOT EXISTS (SELECT 1 FROM asset_files INDEXED BY asset_files_owner WHERE owner = ?1 AND sha256 = ?2)",
    [Q_UPLOAD_COUNT] = "SELECT count(*) FROM uploads INDEXED BY uploads_owner WHERE owner = ?1",
    [Q_UPLOAD_EXPIRED] = "SELECT " UPLOAD_COLUMNS " FROM uploads WHERE expires_ms <= ?1 ORDER BY expires_ms LIMIT 1",
    [Q_UPLOAD_OF_PART] = "SELECT " UPLOAD_COLUMNS " FROM uploads WHERE part = ?1",

    [Q_JOB_ENDED] = "SELECT id FROM jobs INDEXED BY jobs_finished WHERE finished_ms <> 0 AND parent IS NULL AND finished_ms <= ?1 ORDER BY finished_ms LIMIT 1",
    [Q_ARTIFACT_OLD] = "SELECT job FROM artifacts a WHERE created_ms <= ?1 AND NOT EXISTS (SELECT 1 FROM jobs j JOIN jobs p ON p.id = j.parent WHERE j.id = a.job AND p.finished_ms = 0) "
                       "ORDER BY created_ms LIMIT 1",
    [Q_ARTIFACTS_REMOVE] = "DELETE FROM artifacts WHERE job = ?1",
    [Q_OWNER_BYTES] = "SELECT bytes FROM owner_usage WHERE owner = ?1",
    [Q_OWNER_OPEN_JOBS] = "SELECT count(*) FROM (SELECT 1 FROM jobs INDEXED BY jobs_owner_status WHERE owner = ?1 AND parent IS NULL AND " UNENDED " LIMIT ?2)",
    [Q_HOOK_INSERT] = "INSERT INTO webhooks (id, owner, job, created_ms, url, description, events, format, enabled, disabled_why, secret, old_secret, old_until_ms, revision, updated_ms, key) "
                      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    [Q_HOOK_LOAD] = "SELECT " HOOK_COLUMNS " FROM webhooks WHERE id = ?1",
    [Q_HOOK_LOAD_OWN] = "SELECT " HOOK_COLUMNS " FROM webhooks INDEXED BY webhooks_owner WHERE owner = ?2 AND id = ?1",
    [Q_HOOK_UPDATE] = "UPDATE webhooks SET url = ?2, description = ?3, events = ?4, format = ?5, enabled = ?6, disabled_why = ?7, secret = ?8, old_secret = ?9, old_until_ms = ?10, "
                      "revision = ?11, updated_ms = ?12, key = ?13 WHERE id = ?1",
    [Q_HOOK_REMOVE] = "DELETE FROM webhooks WHERE id = ?1",
    [Q_HOOK_COUNT] = "SELECT count(*) FROM webhooks INDEXED BY webhooks_job WHERE owner = ?1 AND job IS ?2",
    [Q_HOOK_NEXT] = "SELECT " HOOK_COLUMNS " FROM webhooks INDEXED BY webhooks_match WHERE enabled = 1 AND owner = ?1 AND job IS ?2 AND id > ?3 ORDER BY id LIMIT 1",
    [Q_HOOKS] = HOOK_LIST("DESC"),
    [Q_HOOKS_ASC] = HOOK_LIST("ASC"),
    [Q_DELIVERY_INSERT] = "INSERT INTO deliveries (" DELIVERY_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    [Q_DELIVERY_LOAD] = "SELECT " DELIVERY_COLUMNS " FROM deliveries WHERE id = ?1 AND (?2 IS NULL OR webhook = ?2)",
    [Q_DELIVERY_UPDATE] = "UPDATE deliveries SET status = ?2, n_attempts = ?3, n_tries = ?4, next_ms = ?5, finished_ms = ?6, attempts = ?7 WHERE id = ?1",
    [Q_DELIVERIES] = DELIVERY_LIST("DESC"),
    [Q_DELIVERIES_ASC] = DELIVERY_LIST("ASC"),
    [Q_DELIVERY_DUE] = "SELECT " DELIVERY_COLUMNS " FROM deliveries WHERE id IN (SELECT d.value FROM (SELECT id FROM webhooks INDEXED BY webhooks_due WHERE due_ms > 0 AND due_ms <= ?1 "
                       "AND id NOT IN (SELECT value FROM json_each(?2)) AND owner NOT IN (SELECT value FROM json_each(?4)) ORDER BY due_ms, id LIMIT ?3) AS w, "
                       "json_each((SELECT json_group_array(id) FROM (SELECT id FROM deliveries INDEXED BY deliveries_pending WHERE webhook = w.id AND status = 'pending' AND next_ms <= ?1 "
                       "ORDER BY next_ms, id LIMIT ?5))) AS d) ORDER BY next_ms, id LIMIT ?3",
    [Q_DELIVERY_NEXT] = "SELECT next_ms FROM deliveries WHERE status = 'pending' AND next_ms > ?1 ORDER BY next_ms LIMIT 1",
    [Q_DELIVERY_FAIL_ALL] = "UPDATE deliveries SET status = 'failed', next_ms = 0, finished_ms = ?2 WHERE webhook = ?1 AND status = 'pending'",
    [Q_DELIVERY_PURGE] = "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE finished_ms > 0 AND finished_ms < ?1 LIMIT 1000)",
};
