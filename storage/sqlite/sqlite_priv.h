/* Inside the SQLite backend: connections, the statements by name, and the few helpers every row operation is made of. */
#ifndef STORAGE_SQLITE_PRIV_H
#define STORAGE_SQLITE_PRIV_H

#include <pthread.h>
#include <sqlite3.h>

#include "storage/store_priv.h"

#define SQLITE_PROBE_MAX 1000
#define SQLITE_N_READERS 4

enum query {
	Q_BEGIN_WRITE,
	Q_BEGIN_READ,
	Q_COMMIT,
	Q_ROLLBACK,
	Q_SAVE_VERB,
	Q_RELEASE_VERB,
	Q_ROLLBACK_VERB,
	Q_TOUCH,
	Q_ASSET_INSERT,
	Q_ASSET_UPDATE,
	Q_ASSET_NUMBER,
	Q_ASSET_NAMED,
	Q_ALIAS_LOAD,
	Q_ALIAS_PUT,
	Q_ALIAS_REMOVE,
	Q_ASSETS_OF_NAME_DESC,
	Q_ASSETS_OF_NAME_ASC,
	Q_ASSET_LOAD,
	Q_ASSET_EXISTS,
	Q_ASSET_REMOVE,
	Q_ASSET_DESC,
	Q_ASSET_ASC,
	Q_MODEL_USER,
	Q_DATASET_USER,
	Q_FILE_INSERT,
	Q_FILE_LIST,
	Q_JOB_INSERT,
	Q_JOB_LOAD,
	Q_JOB_LOAD_OWN,
	Q_JOB_STAMP,
	Q_JOB_UPDATE,
	Q_JOB_PROGRESS,
	Q_JOB_RECORD,
	Q_LABEL_INSERT,
	Q_LABELS_REMOVE,
	Q_JOB_REMOVE,
	Q_JOB_NEXT_QUEUED,
	Q_JOB_HELD_UNTIL,
	Q_JOB_AHEAD,
	Q_JOB_QUEUE,
	Q_CHILD_IN,
	Q_CHILDREN,
	Q_CHILD_OF,
	Q_JOB_COUNTS,
	Q_JOB_OLDEST_MS,
	/* How many rows of a list an index would give, by enum list_drive. */
	Q_PROBE_LABEL,
	Q_PROBE_MODEL,
	Q_PROBE_DATASET,
	Q_PROBE_STATUS,
	Q_PROBE_KIND,
	Q_EVENT_INSERT,
	Q_EVENT_LIST,
	Q_FEED_LIST,
	Q_CURSOR_NEXT,
	Q_CURSOR,
	Q_ARTIFACT_INSERT,
	Q_ARTIFACT_COUNT,
	Q_ARTIFACT_LIST,
	Q_ARTIFACT_LOAD,
	Q_ARTIFACT_FIND,
	Q_ARTIFACT_REMOVE,
	Q_IDEM_PURGE,
	Q_IDEM_LOAD,
	Q_IDEM_INSERT,
	Q_BLOB_USED,
	Q_BLOB_LIST, /* of the same places; of a backup */
	Q_BLOB_KNOWN,
	Q_KEY_INSERT,
	Q_KEY_LOAD,
	Q_KEY_UPDATE,
	Q_KEY_DESC,
	Q_KEY_ASC,
	Q_KEY_COUNT,
	Q_KEY_PURGE,
	Q_UPLOAD_INSERT,
	Q_UPLOAD_LOAD,
	Q_UPLOAD_UPDATE,
	Q_UPLOAD_REMOVE,
	Q_UPLOADS,
	Q_UPLOADS_ASC,
	Q_UPLOAD_BYTES,
	Q_UPLOAD_COUNT,
	Q_UPLOAD_EXPIRED,
	Q_UPLOAD_OF_PART,
	Q_JOB_ENDED,
	Q_ARTIFACT_OLD,
	Q_ARTIFACTS_REMOVE,
	Q_OWNER_BYTES,
	Q_OWNER_OPEN_JOBS,
	Q_HOOK_INSERT,
	Q_HOOK_LOAD,
	Q_HOOK_LOAD_OWN,
	Q_HOOK_UPDATE,
	Q_HOOK_REMOVE,
	Q_HOOK_COUNT,
	Q_HOOK_NEXT,
	Q_HOOKS,
	Q_HOOKS_ASC,
	Q_DELIVERY_INSERT,
	Q_DELIVERY_LOAD,
	Q_DELIVERY_UPDATE,
	Q_DELIVERIES,
	Q_DELIVERIES_ASC,
	Q_DELIVERY_DUE,
	Q_DELIVERY_NEXT,
	Q_DELIVERY_FAIL_ALL,
	Q_DELIVERY_PURGE,
	N_QUERIES
};

#define JOB_COLUMNS \
	"id, owner, status, phase, revision, created_ms, started_ms, finished_ms, attempt, crashes, max_crashes, kind, name, labels, priority, model, dataset, request, progress, result, " \
	"error_code, error_message, error_where, lease_token, worker, lease_until, next_seq, checkpoint, checkpoint_bytes, checkpoint_ms, checkpoint_place, parent, trial, trials_all, trials_ahead, retry_of, register_as, " \
	"stalls, stalled_ms, not_before_ms"

/* Lists of jobs are statements made as they are asked for (sqlite_lists.c); the last few are kept prepared. */
#define SQLITE_N_LISTS 8
struct sqlite_list {
	uint32_t shape; /* what its text follows from; 0: none */
	sqlite3_stmt *st;
};

/* A connection with its prepared statements; as a store_tx, the transaction that is open on it. */
struct store_tx {
	struct sqlite_store *store;
	sqlite3 *db; /* NULL: not opened yet */
	sqlite3_stmt *statements[N_QUERIES];
	struct sqlite_list lists[SQLITE_N_LISTS];
	unsigned next_list; /* the place that the next new one takes */
	bool write;
	bool in_use;   /* readers: taken from the pool */
	int sys_errno; /* after the last step; sqlite3_system_errno knows nothing of a COMMIT that fails on a quota */
};

struct sqlite_member;
struct sqlite_store {
	struct store base;
	char *path; /* of the database */
	int lock_fd;
	/* The turn to write, and those whose verbs wait for the commit; under write_lock. */
	pthread_mutex_t write_lock;
	pthread_cond_t write_free, group_done;
	bool writing;
	int n_waiting, n_group;
	struct sqlite_member *group;
	pthread_mutex_t pool_lock;
	pthread_cond_t pool_free;
	struct store_tx writer;
	struct store_tx readers[SQLITE_N_READERS];
};

struct use;
extern const struct store_ops sqlite_ops;
enum pare_code sqlite_read_job(struct use *u, struct store_job_row *out, struct pare_err *err);
enum pare_code sqlite_job_page(struct store_tx *tx, const struct store_range *r, struct store_job *out, int *out_n, struct pare_err *err);
extern const char *const sqlite_query_table[N_QUERIES];

/* Opens the connection; write: the one that may change things. */
enum pare_code sqlite_connect(struct sqlite_store *s, struct store_tx *c, bool write, struct pare_err *err);
void sqlite_disconnect(struct store_tx *c);
/* The schema's history, ends with version 0. */
struct sqlite_migration {
	int version;
	const char *sql; /* sets user_version, too */
};
extern const struct sqlite_migration sqlite_migration_table[];
/* Creates the schema or brings it up to date; refuses one from the future. */
enum pare_code sqlite_migrate(struct store_tx *c, struct pare_err *err);
/* Words what the connection's last call complained of. doing: "storing a job". */
enum pare_code sqlite_fail(struct store_tx *c, int rc, const char *doing, struct pare_err *err);

enum pare_code sqlite_begin(struct store *s, bool write, struct store_tx **out, struct pare_err *err);
enum pare_code sqlite_end(struct store_tx *tx, enum pare_code code, struct pare_err *err);
void sqlite_close_store(struct store *s);
enum pare_code sqlite_backup(struct store *s, const char *path, bool (*blob)(void *ctx, const char *sha256), void *ctx, struct pare_err *err);

/* A use of one statement: bind in order, step, read columns in order, finish. Errors stick in rc and are worded by sqlite_use_end. */
struct use {
	struct store_tx *tx;
	sqlite3_stmt *st;
	int rc;
	int n_bound, n_read;
};
struct use sqlite_use(struct store_tx *tx, enum query q);
void sqlite_bind_bounds(struct use *u, const struct store_range *r); /* above and below, which are "" and "~" where there are none */
void sqlite_bind_str(struct use *u, const char *s); /* NULL binds NULL; s must live until the end of the use */
void sqlite_bind_text(struct use *u, const char *s, size_t n); /* the first n bytes of it */
void sqlite_bind_int(struct use *u, int64_t v);
void sqlite_bind_bytes(struct use *u, const void *p, size_t n);
/* True while there is a row. */
bool sqlite_row(struct use *u);
const char *sqlite_str(struct use *u); /* valid until the next row or the end; NULL for NULL */
int64_t sqlite_int(struct use *u);
void sqlite_copy(struct use *u, char *out, size_t size);
void sqlite_copy_bytes(struct use *u, void *out, size_t size); /* a blob of exactly that size; anything else is corruption */
enum pare_code sqlite_use_end(struct use *u, const char *doing, struct pare_err *err);

/* sqlite_keys.c: rows of struct store_ops */
enum pare_code sqlite_key_insert(struct store_tx *tx, const struct store_key *k, struct pare_err *err);
enum pare_code sqlite_key_load(struct store_tx *tx, const char *id, struct store_key *out, struct pare_err *err);
enum pare_code sqlite_key_update(struct store_tx *tx, const struct store_key *k, struct pare_err *err);
enum pare_code sqlite_key_page(struct store_tx *tx, const struct store_range *r, struct store_key *out, int *out_n, struct pare_err *err);
enum pare_code sqlite_key_count(struct store_tx *tx, int *out, struct pare_err *err);
enum pare_code sqlite_owner_bytes(struct store_tx *tx, const char *owner, int64_t *out, struct pare_err *err);
enum pare_code sqlite_owner_open_jobs(struct store_tx *tx, const char *owner, int64_t max, int64_t *out, struct pare_err *err);
enum pare_code sqlite_key_purge(struct store_tx *tx, int64_t before_ms, struct pare_err *err);
/* --- row operations that stand in files of their own */
enum pare_code sqlite_asset_update(struct store_tx *tx, const struct store_asset *a, struct pare_err *err);
enum pare_code sqlite_asset_number(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, int64_t *out, struct pare_err *err);
enum pare_code sqlite_asset_named(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, int64_t version, char out_id[PARE_ID_MAX], struct pare_err *err);
enum pare_code sqlite_alias_load(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, char out_id[PARE_ID_MAX], struct pare_err *err);
enum pare_code sqlite_alias_put(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, const char *id, struct pare_err *err);
enum pare_code sqlite_alias_remove(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, struct pare_err *err);
enum pare_code sqlite_upload_insert(struct store_tx *tx, const struct store_upload *u, struct pare_err *err);
enum pare_code sqlite_upload_load(struct store_tx *tx, const char *owner, const char *id, struct store_upload *out, struct pare_err *err);
enum pare_code sqlite_upload_update(struct store_tx *tx, const struct store_upload *u, struct pare_err *err);
enum pare_code sqlite_upload_remove(struct store_tx *tx, const char *id, struct pare_err *err);
enum pare_code sqlite_upload_page(struct store_tx *tx, const struct store_range *r, struct store_upload *out, int *out_n, struct pare_err *err);
enum pare_code sqlite_upload_bytes(struct store_tx *tx, const char *owner, const char *sha256, int64_t *out, struct pare_err *err);
enum pare_code sqlite_upload_count(struct store_tx *tx, const char *owner, int *out, struct pare_err *err);
enum pare_code sqlite_upload_expired(struct store_tx *tx, int64_t now_ms, struct store_upload *out, struct pare_err *err);
enum pare_code sqlite_upload_of_part(struct store_tx *tx, const char *part, struct store_upload *out, struct pare_err *err);
/* sqlite_hooks.c: rows of struct store_ops */
enum pare_code sqlite_event_insert(struct store_tx *tx, const char *owner, struct store_event *e, struct pare_err *err);
enum pare_code sqlite_event_page(struct store_tx *tx, const char *subject, int64_t after, int limit, struct store_event *out, int *out_n, struct pare_err *err);
enum pare_code sqlite_feed_page(struct store_tx *tx, const char *owner, int64_t after, int limit, struct store_event *out, int *out_n, struct pare_err *err);
enum pare_code sqlite_feed_last(struct store_tx *tx, int64_t *out, struct pare_err *err);
enum pare_code sqlite_hook_insert(struct store_tx *tx, const struct store_hook *h, struct pare_err *err);
enum pare_code sqlite_hook_update(struct store_tx *tx, const struct store_hook *h, struct pare_err *err);
enum pare_code sqlite_hook_load(struct store_tx *tx, const char *owner, const char *id, struct store_hook *out, struct pare_err *err);
enum pare_code sqlite_hook_next(struct store_tx *tx, const char *owner, const char *job, const char *after, struct store_hook *out, bool *out_found, struct pare_err *err);
enum pare_code sqlite_hook_remove(struct store_tx *tx, const char *id, struct pare_err *err);
enum pare_code sqlite_hook_count(struct store_tx *tx, const char *owner, const char *job, int64_t *out, struct pare_err *err);
enum pare_code sqlite_hook_page(struct store_tx *tx, const struct store_range *r, struct store_hook *out, int *out_n, struct pare_err *err);
enum pare_code sqlite_delivery_insert(struct store_tx *tx, const struct store_delivery *d, struct pare_err *err);
enum pare_code sqlite_delivery_update(struct store_tx *tx, const struct store_delivery *d, struct pare_err *err);
enum pare_code sqlite_delivery_load(struct store_tx *tx, const char *hook, const char *id, struct store_delivery *out, struct pare_err *err);
enum pare_code sqlite_delivery_page(struct store_tx *tx, const char *hook, const struct store_range *r, struct store_delivery *out, int *out_n, struct pare_err *err);
enum pare_code sqlite_delivery_due(struct store_tx *tx, const struct store_busy *busy, int64_t now_ms, int limit, struct store_delivery *out, int *out_n, struct pare_err *err);
enum pare_code sqlite_delivery_next(struct store_tx *tx, int64_t now_ms, int64_t *out_ms, struct pare_err *err);
enum pare_code sqlite_delivery_fail_all(struct store_tx *tx, const char *hook, int64_t now_ms, struct pare_err *err);
enum pare_code sqlite_delivery_purge(struct store_tx *tx, int64_t before_ms, int *out_n, struct pare_err *err);

#endif
