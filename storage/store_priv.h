/* What the backends of the store share. A backend knows rows and transactions and nothing of jobs: every rule (who may go where, what an
 * event says, when a key is forgotten) stands once, in store_jobs.c and store_assets.c, above this table of row operations. */
#ifndef STORAGE_STORE_PRIV_H
#define STORAGE_STORE_PRIV_H

#include <stdatomic.h>

#include "core/base/buf.h"
#include "storage/hook.h"
#include "storage/keys.h"
#include "storage/store.h"
#include "storage/uploads.h"

#define STORE_ID_DIGITS 26

/* A job as a row: what clients see, and what only the queue needs. Strings are borrowed or belong to j.memory. */
struct store_job_row {
	struct store_job j;
	const char *worker;  /* who holds it, "" when nobody does */
	int64_t lease_until; /* env's mono_ms; of use only while this process lives */
	int64_t next_seq;    /* of its next event */
	enum store_job_status loaded_status; /* as the row still is; while it equals j.status only phase, revision, progress, lease_until, next_seq and the checkpoint change; STORE_N_STATUS: all may */
};

/* A page, worked out: ids in (above, below), in one direction, at most limit rows. NULL filters: any. */
struct store_range {
	const char *owner;
	const char *above, *below;
	bool ascending;
	int limit;
	unsigned statuses;
	const char *parent; /* NULL: of none */
	const char *kind, *model, *dataset, *name;
	const char *const *labels;
	int n_labels;
	char from[PARE_ID_MAX], until[PARE_ID_MAX]; /* bounds by time, which above and below may point to: a range is not copied */
};

struct store_idem_row {
	bool found;
	char made[PARE_ID_MAX];
	uint8_t fingerprint[STORE_SHA256_BYTES];
};

struct store_tx; /* the backend's own */

/* Row operations, all within a transaction. Records that come back are owned (store_*_done). Loads answer PARE_E_NOT_FOUND, for another owner's
 * row by the same search that does not find an unknown id (one failing walk down an index over owner and id), so that neither text nor time tells them apart; a page
 * fills out[0 .. limit) and counts *out_n as it goes, so that the caller can release what was read when it fails half-way. */
struct store_ops {
	void (*close)(struct store *s);
	/* A writing transaction excludes every other one; PARE_E_BUSY when it cannot be had in some seconds. */
	enum pare_code (*begin)(struct store *s, bool write, struct store_tx **out, struct pare_err *err);
	/* Commits if code is PARE_OK, else undoes everything; returns the first error of both. Ends tx in any case. */
	enum pare_code (*end)(struct store_tx *tx, enum pare_code code, struct pare_err *err);
	/* Copies the database to a new file, and names every blob that the copy names, until blob says false. NULL: there is no such thing. */
	enum pare_code (*backup)(struct store *s, const char *path, bool (*blob)(void *ctx, const char *sha256), void *ctx, struct pare_err *err);
	enum pare_code (*touch)(struct store_tx *tx, int64_t now_ms, struct pare_err *err);

	enum pare_code (*asset_insert)(struct store_tx *tx, const struct store_asset *a, struct pare_err *err);
	enum pare_code (*asset_load)(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *id, struct store_asset *out, struct pare_err *err);
	enum pare_code (*asset_exists)(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *id, bool *out, struct pare_err *err);
	enum pare_code (*asset_remove)(struct store_tx *tx, enum store_asset_kind kind, const char *id, struct pare_err *err);
	enum pare_code (*asset_page)(struct store_tx *tx, enum store_asset_kind kind, const struct store_range *r, struct store_asset *out, int *out_n, struct pare_err *err);
	/* Some job that has not ended and uses the asset; *out_id "" when there is none. */
	enum pare_code (*asset_user)(struct store_tx *tx, enum store_asset_kind kind, const char *id, char out_id[PARE_ID_MAX], struct pare_err *err);

	enum pare_code (*asset_update)(struct store_tx *tx, const struct store_asset *a, struct pare_err *err); /* name, version, revision, labels, description; the last step */
	/* The next version of a name. */
	enum pare_code (*asset_number)(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, int64_t *out, struct pare_err *err);
	/* The id of that version of the name, 0: the newest there is; "": there is none. The same of an alias. */
	enum pare_code (*asset_named)(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, int64_t version, char out_id[PARE_ID_MAX], struct pare_err *err);
	enum pare_code (*alias_load)(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, char out_id[PARE_ID_MAX], struct pare_err *err);
	enum pare_code (*alias_put)(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, const char *id, struct pare_err *err); /* the last step */
	enum pare_code (*alias_remove)(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, struct pare_err *err);

	enum pare_code (*job_insert)(struct store_tx *tx, const struct store_job_row *r, struct pare_err *err);
	/* owner NULL: whoever owns it, for the worker's side. */
	enum pare_code (*job_load)(struct store_tx *tx, const char *owner, const char *id, struct store_job_row *out, struct pare_err *err);
	enum pare_code (*job_stamp)(struct store_tx *tx, const char *owner, const char *id, enum store_job_status *out_status, int64_t *out_revision, struct pare_err *err);
	enum pare_code (*job_update)(struct store_tx *tx, const struct store_job_row *r, struct pare_err *err);
	enum pare_code (*job_update_record)(struct store_tx *tx, const struct store_job_row *r, struct pare_err *err); /* name, labels, priority, revision */
	enum pare_code (*job_remove)(struct store_tx *tx, const char *id, struct pare_err *err); /* with all that hangs on it */
	enum pare_code (*job_page)(struct store_tx *tx, const struct store_range *r, struct store_job *out, int *out_n, struct pare_err *err);
	/* The queued job that is next, or some held one whose lease_until <= limit. */
	enum pare_code (*job_next_queued)(struct store_tx *tx, int64_t now_ms, struct store_job_row *out, struct pare_err *err);
	enum pare_code (*job_held_until)(struct store_tx *tx, int64_t limit, struct store_job_row *out, struct pare_err *err);
	/* How many queued jobs are before this one; at most STORE_POSITION_MAX are counted. And the ids of the first STORE_POSITION_MAX, in their order. */
	enum pare_code (*job_ahead)(struct store_tx *tx, const struct store_job *j, int64_t *out, struct pare_err *err);
	enum pare_code (*job_queue)(struct store_tx *tx, char (*out)[PARE_ID_MAX], int *out_n, struct pare_err *err);
	/* Children: some one that has one of n (at most 4) statuses, how many in which, is there one of that trial? */
	enum pare_code (*job_child_in)(struct store_tx *tx, const char *parent, const enum store_job_status *statuses, int n, struct store_job_row *out, struct pare_err *err);
	enum pare_code (*job_children)(struct store_tx *tx, const char *parent, int64_t out[STORE_N_STATUS], struct pare_err *err);
	enum pare_code (*job_has_child)(struct store_tx *tx, const char *parent, const char *trial, bool *out, struct pare_err *err);
	enum pare_code (*job_counts)(struct store_tx *tx, int64_t out[STORE_N_STATUS], int64_t *out_oldest_queued_ms, struct pare_err *err);

	enum pare_code (*event_insert)(struct store_tx *tx, const char *owner, struct store_event *e, struct pare_err *err); /* sets its cursor */
	enum pare_code (*event_page)(struct store_tx *tx, const char *subject, int64_t after, int limit, struct store_event *out, int *out_n, struct pare_err *err);
	enum pare_code (*feed_page)(struct store_tx *tx, const char *owner, int64_t after, int limit, struct store_event *out, int *out_n, struct pare_err *err);
	enum pare_code (*feed_last)(struct store_tx *tx, int64_t *out, struct pare_err *err);
	enum pare_code (*artifact_insert)(struct store_tx *tx, const struct store_artifact *a, struct pare_err *err);
	enum pare_code (*artifact_count)(struct store_tx *tx, const char *job, int *out, struct pare_err *err);
	enum pare_code (*artifact_page)(struct store_tx *tx, const char *job, int limit, struct store_artifact *out, int *out_n, struct pare_err *err);
	enum pare_code (*artifact_find)(struct store_tx *tx, const char *owner, const char *id, struct store_artifact *out, struct pare_err *err);
	enum pare_code (*artifact_remove)(struct store_tx *tx, const char *id, struct pare_err *err);
	enum pare_code (*artifact_load)(struct store_tx *tx, const char *job, const char *name, struct store_artifact *out, struct pare_err *err);

	enum pare_code (*idem_purge)(struct store_tx *tx, int64_t before_ms, struct pare_err *err);
	enum pare_code (*idem_load)(struct store_tx *tx, const char *owner, const char *scope, const char *key, struct store_idem_row *out, struct pare_err *err);
	enum pare_code (*idem_insert)(struct store_tx *tx, const char *owner, const char *key, const char *scope, const uint8_t fingerprint[STORE_SHA256_BYTES], const char *made, int64_t now_ms, struct pare_err *err);

	/* The id of the job without a parent that ended first, if it did by then, or of some job with artifacts that were made by then and no parent that runs; *out_id stays as it is when there is none. */
	enum pare_code (*job_ended)(struct store_tx *tx, int64_t before_ms, char out_id[PARE_ID_MAX], struct pare_err *err);
	enum pare_code (*artifact_old)(struct store_tx *tx, int64_t before_ms, char out_id[PARE_ID_MAX], struct pare_err *err);
	enum pare_code (*artifacts_remove)(struct store_tx *tx, const char *job, struct pare_err *err); /* a transaction's last step */
	/* What an owner has: bytes of files and artifacts; jobs that have not ended, counted up to max. */
	enum pare_code (*owner_bytes)(struct store_tx *tx, const char *owner, int64_t *out, struct pare_err *err);
	enum pare_code (*owner_open_jobs)(struct store_tx *tx, const char *owner, int64_t max, int64_t *out, struct pare_err *err);
	enum pare_code (*key_insert)(struct store_tx *tx, const struct store_key *k, struct pare_err *err);
	enum pare_code (*key_load)(struct store_tx *tx, const char *id, struct store_key *out, struct pare_err *err);
	enum pare_code (*key_update)(struct store_tx *tx, const struct store_key *k, struct pare_err *err); /* revoked_ms, last_used_ms; a transaction's last step */
	enum pare_code (*key_page)(struct store_tx *tx, const struct store_range *r, struct store_key *out, int *out_n, struct pare_err *err); /* of all owners */
	enum pare_code (*key_count)(struct store_tx *tx, int *out, struct pare_err *err);
	enum pare_code (*key_purge)(struct store_tx *tx, int64_t before_ms, struct pare_err *err); /* those that were revoked or expired by then */
	enum pare_code (*blob_used)(struct store_tx *tx, const char *sha256, bool *out, struct pare_err *err);
	enum pare_code (*blob_known)(struct store_tx *tx, const char *owner, const char *sha256, unsigned int places, bool *out, struct pare_err *err);

	enum pare_code (*upload_insert)(struct store_tx *tx, const struct store_upload *u, struct pare_err *err);
	enum pare_code (*upload_load)(struct store_tx *tx, const char *owner, const char *id, struct store_upload *out, struct pare_err *err);
	enum pare_code (*upload_update)(struct store_tx *tx, const struct store_upload *u, struct pare_err *err); /* n_total, n_synced, sha256, expires_ms; the last step */
	enum pare_code (*upload_remove)(struct store_tx *tx, const char *id, struct pare_err *err);
	enum pare_code (*upload_page)(struct store_tx *tx, const struct store_range *r, struct store_upload *out, int *out_n, struct pare_err *err);
	/* What the owner's complete uploads with that digest count for: all their bytes, or nothing while a file of the owner's has it. */
	enum pare_code (*upload_bytes)(struct store_tx *tx, const char *owner, const char *sha256, int64_t *out, struct pare_err *err);
	enum pare_code (*upload_count)(struct store_tx *tx, const char *owner, int *out, struct pare_err *err);
	enum pare_code (*upload_expired)(struct store_tx *tx, int64_t now_ms, struct store_upload *out, struct pare_err *err); /* some one */
	enum pare_code (*upload_of_part)(struct store_tx *tx, const char *part, struct store_upload *out, struct pare_err *err);

	enum pare_code (*hook_insert)(struct store_tx *tx, const struct store_hook *h, struct pare_err *err);
	enum pare_code (*hook_load)(struct store_tx *tx, const char *owner, const char *id, struct store_hook *out, struct pare_err *err); /* owner NULL: whoever owns it */
	enum pare_code (*hook_update)(struct store_tx *tx, const struct store_hook *h, struct pare_err *err);
	enum pare_code (*hook_remove)(struct store_tx *tx, const char *id, struct pare_err *err); /* with its deliveries */
	enum pare_code (*hook_page)(struct store_tx *tx, const struct store_range *r, struct store_hook *out, int *out_n, struct pare_err *err);
	enum pare_code (*hook_count)(struct store_tx *tx, const char *owner, const char *job, int64_t *out, struct pare_err *err); /* those of that job; "": of none */
	/* The first enabled one of that job ("": of none) whose id is greater. */
	enum pare_code (*hook_next)(struct store_tx *tx, const char *owner, const char *job, const char *after, struct store_hook *out, bool *out_found, struct pare_err *err);
	enum pare_code (*delivery_insert)(struct store_tx *tx, const struct store_delivery *d, struct pare_err *err);
	enum pare_code (*delivery_load)(struct store_tx *tx, const char *hook, const char *id, struct store_delivery *out, struct pare_err *err); /* hook NULL: any */
	enum pare_code (*delivery_update)(struct store_tx *tx, const struct store_delivery *d, struct pare_err *err); /* status, counts, times, attempts */
	enum pare_code (*delivery_page)(struct store_tx *tx, const char *hook, const struct store_range *r, struct store_delivery *out, int *out_n, struct pare_err *err);
	enum pare_code (*delivery_due)(struct store_tx *tx, const struct store_busy *busy, int64_t now_ms, int limit, struct store_delivery *out, int *out_n, struct pare_err *err);
	enum pare_code (*delivery_next)(struct store_tx *tx, int64_t now_ms, int64_t *out_ms, struct pare_err *err); /* the first that is due after now; 0: none */
	enum pare_code (*delivery_fail_all)(struct store_tx *tx, const char *hook, int64_t now_ms, struct pare_err *err); /* those that are pending */
	enum pare_code (*delivery_purge)(struct store_tx *tx, int64_t before_ms, int *out_n, struct pare_err *err);
};

/* Every backend's struct begins with this one. */
struct store {
	const struct store_ops *ops;
	struct pare_env env;
	struct store_quota quota;
	char last_id[STORE_ID_DIGITS + 1]; /* of any kind; touched in writing transactions only */
	_Atomic uint64_t n_changes; /* see store_count_change */
	uint64_t n_put;             /* deliveries that were made due; touched in writing transactions only */
	_Atomic uint64_t n_due;     /* the same, of those that have ended */
};

/* What store_jobs.c and store_children.c share. An event of the job; the same and the row as it now is; a new job, its row and its first event; that nobody holds it
 * any more. */
PARE_MUST_USE enum pare_code store_job_append(struct store *s, struct store_tx *tx, struct store_job_row *r, const char *type, const char *level, const char *data, struct pare_err *err);
PARE_MUST_USE enum pare_code store_job_save(struct store *s, struct store_tx *tx, struct store_job_row *r, const char *type, const char *level, const char *data, struct pare_err *err);
PARE_MUST_USE enum pare_code store_job_insert(struct store *s, struct store_tx *tx, struct store_job_row *r, struct pare_err *err);
void store_job_let_go(struct store_job_row *r, enum store_job_status st);
/* A change of a job that is held under a token: PARE_E_LEASE_LOST, if it is not. What has begun ends with what came of it, which is returned. */
struct store_held {
	struct store_tx *tx;
	struct store_job_row r;
};
PARE_MUST_USE enum pare_code store_held_begin(struct store *s, const char *id, int64_t token, struct store_held *out, struct pare_err *err);
PARE_MUST_USE enum pare_code store_held_end(struct store *s, struct store_held *h, enum pare_code code, struct pare_err *err);
/* What the client's verbs do to a row; and that a job that is held is paused. */
PARE_MUST_USE enum pare_code store_job_cancel_row(struct store *s, struct store_tx *tx, struct store_job_row *r, struct pare_err *err);
PARE_MUST_USE enum pare_code store_job_pause_row(struct store *s, struct store_tx *tx, struct store_job_row *r, struct pare_err *err);
PARE_MUST_USE enum pare_code store_job_resume_row(struct store *s, struct store_tx *tx, struct store_job_row *r, struct pare_err *err);
PARE_MUST_USE enum pare_code store_job_save_paused(struct store *s, struct store_tx *tx, struct store_job_row *r, struct pare_err *err);
struct store_job_row store_job_new_row(const struct store_job *j);
/* After r has ended: its parent, if it has one, is told, and queued when it waits and r was the last. */
PARE_MUST_USE enum pare_code store_child_ended(struct store *s, struct store_tx *tx, const struct store_job_row *r, struct pare_err *err);
/* The open children of a job are cancelled with it; those that are queued are paused with it, and queued again. *out_waits: some are open, and r, which was paused, waits for them now. */
PARE_MUST_USE enum pare_code store_children_cancel(struct store *s, struct store_tx *tx, const struct store_job_row *r, struct pare_err *err);
PARE_MUST_USE enum pare_code store_children_pause(struct store *s, struct store_tx *tx, const struct store_job_row *r, struct pare_err *err);
/* Those that wait get the priority that it has now. */
PARE_MUST_USE enum pare_code store_children_priority(struct store *s, struct store_tx *tx, const struct store_job_row *r, struct pare_err *err);
PARE_MUST_USE enum pare_code store_children_resume(struct store *s, struct store_tx *tx, struct store_job_row *r, bool *out_waits, struct pare_err *err);

/* The backends call it after a writing transaction, whatever came of it, before anybody else may write. */
void store_count_change(struct store *s);

/* A new id, greater than every one this store made before: ids of one millisecond keep their order. In a writing transaction. */
void store_new_id(struct store *s, const char *prefix, char out[PARE_ID_MAX]);
const char *store_asset_prefix(enum store_asset_kind kind);
const char *store_asset_noun(enum store_asset_kind kind);
bool store_text_ok(const char *s); /* UTF-8 without control characters */
#define STORE_NAME_RULE "a name is 1 to 128 bytes of text without control characters and none of / \\ : @, without a blank at an end, and not like an id"
enum pare_code store_name_refused(struct pare_err *err);
enum store_job_status store_job_status_parse(const char *name); /* STORE_N_STATUS: none of them */

/* Files of an asset have different paths, digests and sizes. A new asset with its number and event, within a transaction: what store_asset_put and _job_finish share; id, version,
 * revision and created_ms are written into a. */
PARE_MUST_USE enum pare_code store_asset_check_files(const struct store_asset *a, struct pare_err *err);
PARE_MUST_USE enum pare_code store_asset_insert(struct store_view v, struct store_tx *tx, struct store_asset *a, struct pare_err *err);
/* The same as the next version of a name, which the alias, if there is one, means from now on (store_registry.c). */
PARE_MUST_USE enum pare_code store_register(struct store_view v, struct store_tx *tx, const char *as, struct store_asset *a, struct pare_err *err);

/* At the beginning of a transaction that makes something: k->replayed, and out_made, if the key has made it before (else out_made is untouched). At its end: remembers it. k NULL: no key
 * (store_once.c). */
PARE_MUST_USE enum pare_code store_once_find(struct store_view v, struct store_tx *tx, struct store_idempotency *k, char out_made[PARE_ID_MAX], struct pare_err *err);
PARE_MUST_USE enum pare_code store_once_keep(struct store_view v, struct store_tx *tx, const struct store_idempotency *k, const char *made, struct pare_err *err);

/* Quotas, within the transaction that would exceed them (store_quota.c). */
PARE_MUST_USE enum pare_code store_quota_bytes(struct store_view v, struct store_tx *tx, int64_t n_bytes, struct pare_err *err);
PARE_MUST_USE enum pare_code store_quota_asset(struct store_view v, struct store_tx *tx, const struct store_asset *a, struct pare_err *err);
/* An upload as it will be, which counted for n_before; -1: it is new, and will be as long as it says. */
PARE_MUST_USE enum pare_code store_quota_upload(struct store_view v, struct store_tx *tx, const struct store_upload *u, int64_t n_before, struct pare_err *err);
PARE_MUST_USE enum pare_code store_quota_job(struct store_view v, struct store_tx *tx, struct pare_err *err);

/* Copies the strings that a record borrows into one block of its own (x->memory). On failure the record is cleared. */
PARE_MUST_USE enum pare_code store_job_own(struct store_job_row *r, struct pare_err *err);
PARE_MUST_USE enum pare_code store_event_own(struct store_event *e, struct pare_err *err);
PARE_MUST_USE enum pare_code store_artifact_own(struct store_artifact *a, struct pare_err *err);
PARE_MUST_USE enum pare_code store_key_own(struct store_key *k, struct pare_err *err);
PARE_MUST_USE enum pare_code store_upload_own(struct store_upload *u, struct pare_err *err);
PARE_MUST_USE enum pare_code store_hook_own(struct store_hook *h, struct pare_err *err);
PARE_MUST_USE enum pare_code store_delivery_own(struct store_delivery *d, struct pare_err *err);
/* The same for an asset, with room for n_files files, whose path strings are then added one by one. */
PARE_MUST_USE enum pare_code store_asset_own(struct store_asset *a, struct pare_err *err);
PARE_MUST_USE enum pare_code store_asset_own_file(struct store_asset *a, int i, const struct store_file *f, struct pare_err *err);

/* How a page of a kind is read: the rows of a range into list (zeroed, room for range->limit), and how one is let go. */
struct store_pager {
	size_t row_bytes;
	enum pare_code (*read)(const void *ctx, struct store_view v, struct store_tx *tx, const struct store_range *r, void *list, int *n, struct pare_err *err);
	void (*done)(void *row);
	const void *ctx; /* the verb's own */
};
/* Checks the page and reads it in a transaction of its own. *out: the rows in the page's order, released with pare_free after done of each. */
PARE_MUST_USE enum pare_code store_page_read(struct store_view v, const struct store_page *page, const struct store_pager *p, void **out, int *out_n, bool *out_more, struct pare_err *err);

enum store_hook_format store_hook_format_parse(const char *name);         /* STORE_N_HOOK_FORMATS: none of them */
enum store_delivery_status store_delivery_status_parse(const char *name); /* STORE_N_DELIVERY_STATUS: none of them */
/* Puts a delivery of the event, which has just been inserted, into the outbox of everybody who wants to hear of it. */
/* The endpoint that comes with a job, after its row and first event, of which it hears. */
PARE_MUST_USE enum pare_code store_hook_of_new_job(struct store_view v, struct store_tx *tx, struct store_hook *h, const struct store_job_row *r, struct pare_err *err);
PARE_MUST_USE enum pare_code store_tell(struct store *s, struct store_tx *tx, const char *owner, const struct store_event *e, struct pare_err *err);

/* Appends "key":"value" with the value escaped and its broken UTF-8 replaced, after a comma unless it is the object's first. */
void store_json_member(struct pare_buf *b, const char *key, const char *value);
void store_json_value(struct pare_buf *b, const char *key, const char *value); /* the same after a comma; NULL: null */

#endif
