/* The service's memory: models, data sets, jobs, events, artifacts, as domain verbs with the transactions inside.
 *
 * Every verb is one transaction and durable when it returns. All are thread safe. Records that come back own their strings and are
 * released with store_*_done. JSON columns (info, request, data …) are opaque text here. Times are wall-clock
 * milliseconds given by the env; leases use the same clock's boot-time counterpart only within one process: a process that starts owns no
 * lease (store_recover). Backends: sqlite/ (one process, one writing connection, WAL, synchronous FULL), memory/ (tests); one contract
 * suite, tests/storage/test_contract.c, runs on all. */
#ifndef STORAGE_STORE_H
#define STORAGE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/env.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "storage/digest.h"

struct store;

/* Whose: every model, data set, job and idempotency key belongs to one owner, a name of 1 to 32 letters, digits and hyphens. Whoever acts for a client does so
 * through a view, which is the store as that owner may see it: what it makes is the owner's, and what belongs to others does not exist (PARE_E_NOT_FOUND, empty
 * pages, references that name nothing). Only the verbs of the workers and of the service itself take the whole store. */
#define STORE_OWNER_MAX 33
#define STORE_DEFAULT_OWNER "default" /* of all rows when there are no keys, and of rows from before there were owners */
struct store_view {
	struct store *store;
	const char *owner; /* borrowed; never NULL */
};

/* What each owner may have; 0: no limit. To be set before the store is used by several threads; without it there are no limits. */
struct store_quota {
	int64_t max_bytes;     /* files of models and data sets, uploads that have not become one, and artifacts. Work that is done is never thrown away for it: artifacts are counted and not refused */
	int64_t max_open_jobs; /* not ended; children count with their parent as one */
};
void store_set_quota(struct store *s, const struct store_quota *q);
/* PARE_E_QUOTA_BYTES if n_bytes more are not allowed to the view's owner. The verbs that store bytes and jobs check by themselves, within their transactions; this is for those
 * who would like to know earlier. */
PARE_MUST_USE enum pare_code store_quota_check(struct store_view v, int64_t n_bytes, struct pare_err *err);
struct store_usage {
	int64_t bytes, open_jobs; /* jobs counted up to STORE_USAGE_JOBS_MAX */
	struct store_quota quota;
};
#define STORE_USAGE_JOBS_MAX 100000
PARE_MUST_USE enum pare_code store_usage(struct store_view v, struct store_usage *out, struct pare_err *err);

/* dir/pared.db; takes an exclusive lock on dir/lock (PARE_E_CONFLICT names the other process) and migrates. */
PARE_MUST_USE enum pare_code store_sqlite_open(const char *dir, const struct pare_env *env, struct store **out, struct pare_err *err);
PARE_MUST_USE enum pare_code store_memory_open(const struct pare_env *env, struct store **out, struct pare_err *err);
void store_close(struct store *s);
/* Grows with every transaction that may have changed something, before the verb that made it returns: what was read when it was no greater than it is now is still so. */
uint64_t store_n_changes(struct store *s);
/* Can it still be written to? For readyz. */
PARE_MUST_USE enum pare_code store_ping(struct store *s, struct pare_err *err);

/* What a request's Idempotency-Key remembers: its fingerprint and what it made. With a key that is known, put verbs make nothing: same fingerprint -> PARE_OK, replayed is
 * true, and the id of the record is that of what was made before; another fingerprint -> PARE_E_KEY_REUSED. Keys are forgotten after 24 h, or with what they made. */
struct store_idempotency {
	const char *key;   /* NULL: none sent */
	const char *scope; /* within the owner: API key id, "" or NULL without auth */
	uint8_t fingerprint[STORE_SHA256_BYTES];
	bool only_known; /* nothing new is taken now: with a key that is not known put verbs return PARE_E_DRAINING */
	bool replayed; /* set by the verb */
};
/* What put verbs would find of a key, before anything is done for the request: replayed, and *out_made, or the same errors. */
PARE_MUST_USE enum pare_code store_once_known(struct store_view v, struct store_idempotency *k, char out_made[PARE_ID_MAX], struct pare_err *err);

/* --- assets: models and data sets are the same thing to the store; a saved recipe is one without files, whose text is its info */
enum store_asset_kind { STORE_MODEL, STORE_DATASET, STORE_RECIPE };
struct store_file {
	const char *path; /* "model.onnx", "train-images-idx3-ubyte" */
	char sha256[STORE_SHA256_HEX];
	int64_t n_bytes;
};
struct store_asset {
	enum store_asset_kind kind;
	char id[PARE_ID_MAX];
	char owner[STORE_OWNER_MAX];
	const char *name;
	int64_t version;         /* of that name, from 1; 0: it has no name. Made (storage/registry.h) */
	int64_t revision;        /* grows with every change */
	const char *labels, *description; /* JSON object, text; NULL: none, "{}" and "" when read */
	const char *aliases;     /* that mean it, with commas between; read only */
	const char *info; /* JSON from inspection */
	const char *produced_by; /* job id or NULL */
	int64_t created_ms;
	int n_files;
	const struct store_file *files;
	struct store_idempotency *once; /* of store_asset_put only; NULL: none */
	void *memory;
};
/* Makes the id ("mdl_", "dst_", "rcp_"), version, revision and created_ms, written into a (of one that is replayed the id alone). PARE_E_QUOTA_BYTES. What is stored belongs to the view's owner. PARE_E_INVALID, where "/name": it may not be called that. */
PARE_MUST_USE enum pare_code store_asset_put(struct store_view v, struct store_asset *a, struct pare_err *err);
PARE_MUST_USE enum pare_code store_asset_get(struct store_view v, enum store_asset_kind kind, const char *id, struct store_asset *out, struct pare_err *err);
/* PARE_E_NOT_FOUND; PARE_E_CONFLICT while a job that has not ended uses it, or an alias means it (message names it). */
PARE_MUST_USE enum pare_code store_asset_delete(struct store_view v, enum store_asset_kind kind, const char *id, struct pare_err *err);
void store_asset_done(struct store_asset *a);

/* Pages: newest first unless ascending; after/before are ids (exclusive) or NULL and mean places in that order: after = the page behind that id;
 * before alone = the page just in front of it, in the same order, "more" then being those still further in front. PARE_E_INVALID: limit. */
struct store_page {
	int limit; /* 1 to 200 */
	const char *after, *before;
	bool ascending;
	/* Jobs only. Filters hold together; NULL, 0: any. */
	unsigned statuses; /* bits 1 << enum store_job_status */
	const char *parent; /* the children of that job; NULL: jobs that are nobody's */
	const char *kind, *model, *dataset;
	const char *const *labels; /* "key=value", each of which the job has */
	int n_labels; /* at most STORE_FILTER_LABELS */
	int64_t created_after_ms, created_before_ms; /* exclusive; by the time that the id holds */
	const char *name; /* assets only; NULL: any */
};
#define STORE_FILTER_LABELS 8
PARE_MUST_USE enum pare_code store_asset_list(struct store_view v, enum store_asset_kind kind, const struct store_page *page, struct store_asset **out, int *out_n, bool *out_more, struct pare_err *err);
void store_asset_list_done(struct store_asset *list, int n);

/* --- jobs */
enum store_job_status { STORE_QUEUED, STORE_RUNNING, STORE_PAUSING, STORE_PAUSED, STORE_CANCELING, STORE_SUCCEEDED, STORE_FAILED, STORE_CANCELED, STORE_N_STATUS };
const char *store_job_status_name(enum store_job_status st);
bool store_job_status_final(enum store_job_status st);

struct store_hook;
struct store_job {
	char id[PARE_ID_MAX];
	char owner[STORE_OWNER_MAX];
	enum store_job_status status;
	const char *phase;    /* of a running job, "" otherwise */
	int64_t revision;     /* grows with every change; the ETag */
	int64_t created_ms, started_ms, finished_ms; /* 0: not yet */
	int attempt;          /* how often it was claimed */
	int crashes;          /* how often the engine process died under it */
	int max_crashes;      /* then it fails: worker_crashed */
	const char *kind;     /* what it is for: a word of the recipe language */
	const char *name;     /* for people, may be "" */
	const char *labels;   /* lines "key=value", each ending in '\n', sorted; may be "" */
	int priority;         /* higher ones are claimed first */
	int64_t position;     /* while it is queued: how many jobs are ahead of it. Set by store_job_get, _list and _position only */
	const char *model, *dataset; /* ids */
	const char *request;  /* canonical job JSON */
	const char *progress; /* JSON or "" */
	const char *result;   /* JSON or "" */
	const char *error_code, *error_message, *error_where; /* "" unless failed */
	int64_t lease_token;  /* of the present claim; 0: none */
	char checkpoint[STORE_SHA256_HEX]; /* the blob to go on from, "" when there is none: always so in a final status, but of one that failed for want of room */
	int64_t checkpoint_bytes, checkpoint_ms; /* 0 without one */
	const char *checkpoint_place; /* JSON or "" */
	int stalls;           /* how often in a row, without a new checkpoint, it found no room for its results */
	int64_t stalled_ms, not_before_ms; /* since when; when it is tried again. 0 without stalls */
	char parent[PARE_ID_MAX];   /* the job that it is a run of, "": none */
	const char *trial;          /* which run, JSON; "" without a parent */
	int trials_all, trials_ahead; /* of a job that has had children: how many runs it needs in all, how many it has yet to make jobs of; else 0 */
	char retry_of[PARE_ID_MAX]; /* the ended job that it does again, "": none */
	const char *register_as;    /* what its model is to be called when it has succeeded: "name" or "name@alias"; "": nothing */
	struct store_hook *webhook; /* of store_job_put only: made with the job, of which alone it hears (storage/hook.h); NULL: none */
	void *memory;
};
void store_job_done(struct store_job *j);

/* Stores the job, its idempotency record and its first event (job.queued), together. Needs kind, name, labels, priority, model, dataset, request, max_crashes, retry_of, register_as; makes id, created_ms. With retry_of it goes on
 * from the checkpoint of that one, if it has one and the request is the same.
 * PARE_E_INVALID, where "/register": nothing can be called that.
 * PARE_E_QUOTA when the owner has as many open jobs as it may.
 * PARE_E_NOT_FOUND when model or dataset does not exist (where: "/model" or "/dataset"). When it is replayed, j is the job that was made before. dataset may be NULL or "": none. On
 * failure j is untouched. j is filled completely (store_job_done). */
PARE_MUST_USE enum pare_code store_job_put(struct store_view v, struct store_job *j, struct store_idempotency *once, struct pare_err *err);
PARE_MUST_USE enum pare_code store_job_get(struct store_view v, const char *id, struct store_job *out, struct pare_err *err);
/* Status and revision alone: enough to tell whether what one knows of a job is still so. */
PARE_MUST_USE enum pare_code store_job_stamp(struct store_view v, const char *id, enum store_job_status *out_status, int64_t *out_revision, struct pare_err *err);
PARE_MUST_USE enum pare_code store_job_list(struct store_view v, const struct store_page *page, struct store_job **out, int *out_n, bool *out_more, struct pare_err *err);
void store_job_list_done(struct store_job *list, int n);
/* Queued and paused -> canceled at once (with its event); running and pausing -> canceling; canceling and canceled: PARE_OK, nothing changes;
 * succeeded or failed -> PARE_E_CONFLICT. One that waits for its children, or is paused while it does, is canceled at once, and they are with it. */
PARE_MUST_USE enum pare_code store_job_cancel(struct store_view v, const char *id, struct store_job *out, struct pare_err *err);
/* Queued -> paused at once, event job.paused; running -> pausing, until its worker gives it back; one that waits -> paused, its queued children with it, the others come to their end; pausing and paused: nothing changes; else PARE_E_CONFLICT. */
PARE_MUST_USE enum pare_code store_job_pause(struct store_view v, const char *id, struct store_job *out, struct pare_err *err);
/* Paused -> queued, at its old place, event job.queued; or to waiting, its children queued again, when some are open; pausing -> running; queued and running: nothing changes; else PARE_E_CONFLICT. */
PARE_MUST_USE enum pare_code store_job_resume(struct store_view v, const char *id, struct store_job *out, struct pare_err *err);
/* Final jobs only (PARE_E_CONFLICT); takes events, artifacts and children with it. */
PARE_MUST_USE enum pare_code store_job_delete(struct store_view v, const char *id, struct pare_err *err);
/* What of a job may be changed at any time. NULL: stays. No event tells of it. Its children that wait in the queue get its priority. */
struct store_job_change {
	const char *name, *labels;
	const int *priority;
	int64_t if_revision; /* 0: whatever it is */
};
/* PARE_E_PRECONDITION: its revision is another one by now. */
PARE_MUST_USE enum pare_code store_job_change(struct store_view v, const char *id, const struct store_job_change *c, struct store_job *out, struct pare_err *err);
/* Looks up j->position, of a job as it was read or written. Counted up to STORE_POSITION_MAX, so that asking costs the same behind 100,000 jobs. */
#define STORE_POSITION_MAX 100
PARE_MUST_USE enum pare_code store_job_position(struct store_view v, struct store_job *j, struct pare_err *err);
PARE_MUST_USE enum pare_code store_job_counts(struct store *s, int64_t out[STORE_N_STATUS], int64_t *out_oldest_queued_ms, struct pare_err *err);

/* --- the worker's side. Every verb below that takes a token is fenced: PARE_E_LEASE_LOST if the job is no longer held under it. */
/* The oldest queued job of the highest priority -> running, attempt + 1, a new token, event job.started. *out_found false when the queue is empty. */
PARE_MUST_USE enum pare_code store_job_claim(struct store *s, const char *worker, int64_t lease_ms, struct store_job *out, bool *out_found, struct pare_err *err);
/* Extends the lease; tells whether it is asked to end: *out_status is RUNNING, PAUSING or CANCELING. */
PARE_MUST_USE enum pare_code store_job_renew(struct store *s, const char *id, int64_t token, int64_t lease_ms, enum store_job_status *out_status, struct pare_err *err);
/* Appends an event (type "job.metrics"…; level "info", "warning", "error"; data JSON object) and sets phase / progress when not NULL. */
PARE_MUST_USE enum pare_code store_job_event(struct store *s, const char *id, int64_t token, const char *type, const char *level, const char *data, const char *phase, const char *progress, struct pare_err *err);

/* A new checkpoint takes the place of the last one, together with the event job.checkpoint, whose data is place. Nothing names the last one's blob afterwards. */
PARE_MUST_USE enum pare_code store_job_checkpoint(struct store *s, const char *id, int64_t token, const char *sha256, int64_t n_bytes, const char *place, struct pare_err *err);

struct store_artifact {
	char id[PARE_ID_MAX]; /* "art_" */
	char job[PARE_ID_MAX];
	char owner[STORE_OWNER_MAX]; /* that of its job */
	const char *name, *media_type;
	char sha256[STORE_SHA256_HEX];
	int64_t n_bytes, created_ms;
	void *memory;
};
struct store_outcome {
	enum store_job_status status; /* SUCCEEDED, FAILED or CANCELED */
	const char *result;           /* JSON or NULL */
	enum pare_code code;          /* FAILED */
	const char *message, *where;
	int n_artifacts;
	struct store_artifact *artifacts; /* name, media_type, sha256, n_bytes given; ids are made */
	struct store_asset *model;        /* the artifacts that are the model, as it is to be known: info and files given, the rest is made. NULL: none */
};
/* PARE_E_INVALID, and nothing changes: two artifacts of one name, or a sha256 that is none.
 * A job with register_as that succeeds makes o->model the next version of that name, moves the alias to it and says so in its result ("model": id). The bytes are counted, not refused.
 * Status, artifacts, model and the last event (job.succeeded | job.failed | job.canceled), together. A job that was being cancelled and succeeded all the same has succeeded. */
PARE_MUST_USE enum pare_code store_job_finish(struct store *s, const char *id, int64_t token, const struct store_outcome *o, struct pare_err *err);
/* Gives a job back: queued again (canceling -> canceled; pausing -> paused, event job.paused, progress stays), without phase, progress and started_ms; its checkpoint stays. crashed: counts a crash, and at
 * max_crashes the job fails with worker_crashed and reason as its message. Event job.retrying with reason, or job.failed. */
PARE_MUST_USE enum pare_code store_job_release(struct store *s, const char *id, int64_t token, bool crashed, const char *reason, struct pare_err *err);
/* The same for one that found no room for its results, which is no fault of its own: it is claimed again after a pause that grows from a second to STORE_STALL_MAX_MS (in the event as pause_seconds), and
 * fails with PARE_E_STORE_FULL when that has gone on for max_ms without a new checkpoint. The one it has stays then, for the job that does it again (retry_of). */
#define STORE_STALL_MAX_MS ((int64_t)600 * 1000)
PARE_MUST_USE enum pare_code store_job_stall(struct store *s, const char *id, int64_t token, int64_t max_ms, const char *reason, struct pare_err *err);
/* Start-up: every running job is queued again without counting a crash, every canceling one is canceled, every pausing one paused. Returns how many. */
PARE_MUST_USE enum pare_code store_recover(struct store *s, int *out_n, struct pare_err *err);
/* Jobs whose lease ran out are given back in the same way (event job.retrying, job.canceled, job.paused). */
PARE_MUST_USE enum pare_code store_expire(struct store *s, int *out_n, struct pare_err *err);

/* --- a job whose runs are jobs: its children. It waits for them as a running job that nobody holds; when the last one has ended it is queued again in the
 * same transaction, and finds what came of them by store_job_list. Children have the owner, model, data set, name, labels, priority and max_crashes of their parent. */
struct store_child {
	const char *kind, *request, *trial; /* of one parent's children each has another trial */
};
/* Stores n > 0 children of a held job and lets go of it, together; event job.waiting. all: runs that the job needs in all, ahead: those of them that are neither made by now nor
 * among these. Each end of a child is an event job.trial of the parent, with {"job", "status", "trial", "done", "all"} and its result or its error, and moves its
 * progress on. A job that is being paused is paused and makes none. PARE_E_CANCELED: it is being canceled. PARE_E_CONFLICT: there is a child of that trial already. */
PARE_MUST_USE enum pare_code store_job_fork(struct store *s, const char *id, int64_t token, const struct store_child *children, int n, int all, int ahead, struct pare_err *err);
/* Does it wait? */
bool store_job_waits(const struct store_job *j);
/* Its children by status. */
PARE_MUST_USE enum pare_code store_job_children(struct store_view v, const char *id, int64_t out[STORE_N_STATUS], struct pare_err *err);

/* --- events and artifacts */
struct store_event {
	char subject[PARE_ID_MAX]; /* what it tells of: a job; a model or data set, which has one event, model.ready or dataset.ready */
	int64_t seq; /* 1, 2, 3 … per subject, no gaps */
	int64_t cursor; /* grows over all events in the order of their commits: who has read up to one misses none by asking for what comes after */
	int64_t at_ms;
	const char *type, *level, *data;
	void *memory;
};
#define STORE_EVENT_PAGE_MAX 1001 /* one more than clients may ask for, which tells whether there is more */
/* Ascending from seq > after; limit 1 to STORE_EVENT_PAGE_MAX. *out_final: the job has ended and nothing follows the last one returned. PARE_E_NOT_FOUND. */
PARE_MUST_USE enum pare_code store_event_list(struct store_view v, const char *job, int64_t after, int limit, struct store_event **out, int *out_n, bool *out_final, struct pare_err *err);
void store_event_list_done(struct store_event *list, int n);
/* All of an owner's events, ascending from cursor > after; limit 1 to 1001. Those of what was deleted are gone. */
PARE_MUST_USE enum pare_code store_feed_list(struct store_view v, int64_t after, int limit, struct store_event **out, int *out_n, struct pare_err *err);
PARE_MUST_USE enum pare_code store_feed_last(struct store_view v, int64_t *out, struct pare_err *err); /* no event has a greater cursor now */
PARE_MUST_USE enum pare_code store_artifact_list(struct store_view v, const char *job, struct store_artifact **out, int *out_n, struct pare_err *err);
PARE_MUST_USE enum pare_code store_artifact_get(struct store_view v, const char *job, const char *name, struct store_artifact *out, struct pare_err *err);
/* By its own id. Deleting one changes its job (a new revision), whose other artifacts stay. */
PARE_MUST_USE enum pare_code store_artifact_find(struct store_view v, const char *id, struct store_artifact *out, struct pare_err *err);
PARE_MUST_USE enum pare_code store_artifact_delete(struct store_view v, const char *id, struct pare_err *err);
void store_artifact_list_done(struct store_artifact *list, int n);
void store_artifact_done(struct store_artifact *a);
/* The next of a job's labels: its length without the '\n', 0 at the end; *inout goes on. */
size_t store_label_next(const char **inout, const char **out);
/* Is a blob named by any file, artifact, checkpoint or upload? */
PARE_MUST_USE enum pare_code store_blob_used(struct store *s, const char *sha256, bool *out, struct pare_err *err);
/* Is it named by a file of a model or data set, or by an upload, of this owner? places: which of them count, 1u << kind of an asset and STORE_IN_UPLOADS. */
#define STORE_IN_UPLOADS (1u << 8)
PARE_MUST_USE enum pare_code store_blob_known(struct store_view v, const char *sha256, unsigned int places, bool *out, struct pare_err *err);
/* Removes a blob (storage/blob.h) that nothing names and nobody holds; true if it did. At any time, beside uploads and running jobs. */
struct blob_store;
bool store_blob_drop(struct store *s, struct blob_store *b, const char *sha256);

#endif
