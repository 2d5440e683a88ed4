/* What the operator does to the store as a whole: what is too old goes, and what nothing names. */
#ifndef STORAGE_UPKEEP_H
#define STORAGE_UPKEEP_H

#include "storage/blob.h"
#include "storage/store.h"

/* How long ended jobs, and the artifacts of ended jobs, are kept from the job's end on, in milliseconds; 0: for ever. */
struct store_retention {
	int64_t jobs_ms, artifacts_ms;
};
struct store_freed {
	int64_t n_jobs;      /* that went with all they had */
	int64_t n_artifacts; /* of jobs that stay */
	int64_t n_blobs, n_bytes;
};
/* Removes what is older (children go with their parent, and keep their artifacts while it runs), a job at a time, each in a transaction of its own, and drops the bytes that nothing names any more. The revision of a job that loses its artifacts grows.
 * go_on (NULL: always) is asked between two jobs. What was done is added to freed, also when an error ends it. */
PARE_MUST_USE enum pare_code store_retain(struct store *s, struct blob_store *b, const struct store_retention *r, bool (*go_on)(void *ctx), void *ctx, struct store_freed *freed, struct pare_err *err);
/* Drops every blob that nothing names and nobody holds. Safe at any time beside uploads and running jobs (store_blob_drop). */
PARE_MUST_USE enum pare_code store_collect(struct store *s, struct blob_store *b, bool (*go_on)(void *ctx), void *ctx, struct store_freed *freed, struct pare_err *err);

/* A directory of its own in dir (made if need be) that a service can be started on: pared.db, blobs/ (hard links, so dir lies on the file system of the data), and blobs.txt, which
 * sha256sum -c takes. One moment's truth; the service goes on meanwhile, but no blob is removed. One at a time. Uploads that are under way are not in it. PARE_E_UNSUPPORTED: in memory. */
#define STORE_BACKUP_NAME_MAX 32
struct store_backup {
	char name[STORE_BACKUP_NAME_MAX]; /* of the directory: 20261122T010203123Z */
	int64_t n_db_bytes, n_blobs, n_blob_bytes;
};
PARE_MUST_USE enum pare_code store_backup(struct store *s, struct blob_store *b, const char *dir, struct store_backup *out, struct pare_err *err);

#endif
