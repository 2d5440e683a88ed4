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
/* Removes what is older, a job at a time, each in a transaction of its own, and drops the bytes that nothing names any more. The revision of a job that loses its artifacts grows.
 * go_on (NULL: always) is asked between two jobs. What was done is added to freed, also when an error ends it. */
PARE_MUST_USE enum pare_code store_retain(struct store *s, struct blob_store *b, const struct store_retention *r, bool (*go_on)(void *ctx), void *ctx, struct store_freed *freed, struct pare_err *err);
/* Drops every blob that nothing names and nobody holds. Safe at any time beside uploads and running jobs (store_blob_drop). */
PARE_MUST_USE enum pare_code store_collect(struct store *s, struct blob_store *b, bool (*go_on)(void *ctx), void *ctx, struct store_freed *freed, struct pare_err *err);

#endif
