/* Bytes by their SHA-256. A blob appears whole or not at all: staged in a temporary file, fsync, rename into place, fsync of
 * the directory; only then may a row of the store name it. Writing the same bytes twice gives the same blob. */
#ifndef STORAGE_BLOB_H
#define STORAGE_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/env.h"
#include "core/base/err.h"
#include "storage/digest.h"

struct blob_store;
struct blob_writer;

struct blob_ref {
	char sha256[STORE_SHA256_HEX];
	int64_t n_bytes;
};

/* Directory backend: dir/blobs/ab/cdef…, dir/staging/. Creates what is missing; empties staging. */
PARE_MUST_USE enum pare_code blob_fs_open(const char *dir, const struct pare_env *env, struct blob_store **out, struct pare_err *err);
void blob_close(struct blob_store *b);

/* Staging. cap_bytes: PARE_E_TOO_LARGE as soon as more would be written. Dropping a writer without commit removes its file. */
PARE_MUST_USE enum pare_code blob_begin(struct blob_store *b, int64_t cap_bytes, struct blob_writer **out, struct pare_err *err);
PARE_MUST_USE enum pare_code blob_write(struct blob_writer *w, const void *p, size_t n, struct pare_err *err);
/* The staging file's descriptor (read-write), for an engine process to write into; then blob_write is not used, and commit reads the file to hash it.
 * Commit only after that process has ended: whoever still holds the descriptor can change the bytes after they were hashed. */
int blob_writer_fd(struct blob_writer *w);
PARE_MUST_USE enum pare_code blob_commit(struct blob_writer *w, struct blob_ref *out, struct pare_err *err); /* frees w in any case */
/* A committed blob is held, so that nobody removes it before a row names it. Ends one such hold: the row is there, or will never be. */
void blob_release(struct blob_store *b, const char *sha256);
void blob_abort(struct blob_writer *w); /* NULL is fine */

/* A read-only descriptor (O_CLOEXEC) and the size. PARE_E_NOT_FOUND. */
PARE_MUST_USE enum pare_code blob_get(struct blob_store *b, const char *sha256, int *out_fd, int64_t *out_bytes, struct pare_err *err);
/* PARE_E_CONFLICT, and nothing happens, while somebody holds it or used() says that it is named (or that it cannot tell). Nothing can be committed and named between
 * that answer and the removal. See store_blob_drop. */
PARE_MUST_USE enum pare_code blob_remove(struct blob_store *b, const char *sha256, bool (*used)(void *ctx, const char *sha256), void *ctx, struct pare_err *err);
/* Calls fn for every blob; fn returning false stops. What is committed or removed meanwhile may be seen or not. */
PARE_MUST_USE enum pare_code blob_each(struct blob_store *b, bool (*fn)(void *ctx, const char *sha256), void *ctx, struct pare_err *err);
/* Free bytes of the file system; -1 if it cannot be told. */
int64_t blob_free_bytes(struct blob_store *b);

#endif
