/* Resumable uploads as rows: what is known of bytes that are still arriving (a part, storage/blob.h) or that have arrived and wait to be named by a model or a
 * data set. Verbs as in store.h. How many bytes of a part are there, the part itself says; the row says how many of them were made durable. */
#ifndef STORAGE_UPLOADS_H
#define STORAGE_UPLOADS_H

#include "storage/blob.h"
#include "storage/store.h"

struct store_upload {
	char id[PARE_ID_MAX]; /* "upl_" */
	char owner[STORE_OWNER_MAX];
	const char *name;     /* as the client calls the file, may be "" */
	const char *metadata; /* Upload-Metadata as sent, may be "" */
	char part[BLOB_PART_NAME];
	int64_t n_total;      /* -1: not told yet */
	int64_t n_synced;     /* durable bytes, which count for the owner; of a complete one all of them */
	char sha256[STORE_SHA256_HEX]; /* "" until it is complete */
	int64_t created_ms, expires_ms;
	struct store_idempotency *once; /* of store_upload_put only; NULL: none */
	void *memory;
};
/* Makes id and created_ms; part, n_total, n_synced, sha256, expires_ms are given. PARE_E_QUOTA when the owner has max_open already, PARE_E_QUOTA_BYTES when its whole length, as
 * far as it is told, does not fit into his share. Until then what has come counts (n_synced). */
PARE_MUST_USE enum pare_code store_upload_put(struct store_view v, struct store_upload *u, int max_open, struct pare_err *err);
PARE_MUST_USE enum pare_code store_upload_get(struct store_view v, const char *id, struct store_upload *out, struct pare_err *err);
/* Writes n_total, n_synced, sha256 and expires_ms of an upload that is not complete; PARE_E_CONFLICT for one that is. PARE_E_QUOTA_BYTES, if more has come than the
 * owner may have: nothing is written. */
PARE_MUST_USE enum pare_code store_upload_update(struct store_view v, const struct store_upload *u, struct pare_err *err);
PARE_MUST_USE enum pare_code store_upload_delete(struct store_view v, const char *id, struct pare_err *err);
PARE_MUST_USE enum pare_code store_upload_list(struct store_view v, const struct store_page *page, struct store_upload **out, int *out_n, bool *out_more, struct pare_err *err);
void store_upload_list_done(struct store_upload *list, int n);
void store_upload_done(struct store_upload *u);

/* When it expires: keep_ms after bytes last came, which a body that lasts long tells only of its part. */
int64_t store_upload_expiry(const struct store_upload *u, struct blob_store *b, int64_t keep_ms);
/* Removes the uploads that have expired, with their bytes; returns how many. */
PARE_MUST_USE enum pare_code store_uploads_collect(struct store *s, struct blob_store *b, int64_t keep_ms, int *out_n, struct pare_err *err);
/* Makes durable and notes in their rows what came by requests that did not come to their end, so that it counts for its owner, over his share, too. */
PARE_MUST_USE enum pare_code store_uploads_count(struct store *s, struct blob_store *b, struct pare_err *err);
/* After a start: brings the parts in line with the rows (blob_parts_recover), then the rows with the parts. A store that cannot tell of a part ends it. */
PARE_MUST_USE enum pare_code store_uploads_recover(struct store *s, struct blob_store *b, struct pare_err *err);

#endif
