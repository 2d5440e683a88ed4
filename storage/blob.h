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

/* Directory backend: dir/blobs/ab/cdef…, dir/staging/, dir/parts/. Creates what is missing; empties staging. */
PARE_MUST_USE enum pare_code blob_fs_open(const char *dir, const struct pare_env *env, struct blob_store **out, struct pare_err *err);
void blob_close(struct blob_store *b);

/* Staging. cap_bytes: PARE_E_TOO_LARGE as soon as more would be written. Dropping a writer without commit removes its file. */
PARE_MUST_USE enum pare_code blob_begin(struct blob_store *b, int64_t cap_bytes, struct blob_writer **out, struct pare_err *err);
/* Like blob_begin, for a thread that must not wait for the disk: the file is made by the commit, or as soon as more bytes have come than are held in memory (a few, and
 * few for all writers together). blob_writer_fd is not used. */
PARE_MUST_USE enum pare_code blob_begin_held(struct blob_store *b, int64_t cap_bytes, struct blob_writer **out, struct pare_err *err);
PARE_MUST_USE enum pare_code blob_write(struct blob_writer *w, const void *p, size_t n, struct pare_err *err);
/* The staging file's descriptor (read-write), for an engine process to write into; then blob_write is not used, and commit reads the file to hash it.
 * Commit only after that process has ended: whoever still holds the descriptor can change the bytes after they were hashed. */
int blob_writer_fd(struct blob_writer *w);
PARE_MUST_USE enum pare_code blob_commit(struct blob_writer *w, struct blob_ref *out, struct pare_err *err); /* frees w in any case */
/* A committed blob is held, so that nobody removes it before a row names it. Ends one such hold: the row is there, or will never be. */
void blob_release(struct blob_store *b, const char *sha256);
void blob_abort(struct blob_writer *w); /* NULL is fine */

/* Holds a blob that is there, and says its size. PARE_E_NOT_FOUND; another code: it is there, and not certain to be after a power failure. */
PARE_MUST_USE enum pare_code blob_hold(struct blob_store *b, const char *sha256, int64_t *out_bytes, struct pare_err *err);

/* --- parts: bytes that arrive over many requests, and runs of the daemon, until they are whole. A part is a file under a name that blob_part_name makes and
 * its owner's row keeps; how many bytes it has is what the file says. Whoever opened it last has it: to everybody who did before, appending is
 * PARE_E_CONFLICT from then on. */
#define BLOB_PART_NAME 33 /* 32 hex digits and NUL */
struct blob_part;
void blob_part_name(struct blob_store *b, char out[BLOB_PART_NAME]);
/* Makes the file if there is none. */
PARE_MUST_USE enum pare_code blob_part_open(struct blob_store *b, const char *name, struct blob_part **out, struct pare_err *err);
int64_t blob_part_bytes(const struct blob_part *p);
/* On failure (a full disk) as many bytes are there as could be written. */
PARE_MUST_USE enum pare_code blob_part_append(struct blob_part *p, const void *bytes, size_t n, struct pare_err *err);
PARE_MUST_USE enum pare_code blob_part_cut(struct blob_part *p, int64_t n_bytes, struct pare_err *err); /* to its first n_bytes */
/* What was appended survives a power failure. On failure, here and when sealing, the bytes that are not known to are gone, and the part is nobody's: open it again. */
PARE_MUST_USE enum pare_code blob_part_sync(struct blob_part *p, struct pare_err *err);
/* It is whole: durable, hashed, its digest held like that of a committed blob. Then a row has to name the digest, and then blob_part_place makes it a
 * blob (again and again, until that has gone well: blob_parts_recover does it after a crash in between). */
PARE_MUST_USE enum pare_code blob_part_seal(struct blob_part *p, struct blob_ref *out, struct pare_err *err);
void blob_part_close(struct blob_part *p); /* NULL is fine; the bytes stay */
/* PARE_E_NOT_FOUND: there is no such part (it has its place, most likely). */
PARE_MUST_USE enum pare_code blob_part_place(struct blob_store *b, const char *name, const char *sha256, struct pare_err *err);
int64_t blob_part_size(struct blob_store *b, const char *name); /* nobody's turn ends; 0: there is none */
void blob_part_remove(struct blob_store *b, const char *name);
int64_t blob_part_touched_ms(struct blob_store *b, const char *name); /* wall clock: when bytes last came; now, while somebody has it open; 0: not in this run of the daemon */
/* Syncs what has come, unless somebody has it open (*out_bytes -1, and nothing is done); nobody's turn ends. PARE_E_NOT_FOUND. */
PARE_MUST_USE enum pare_code blob_part_settle(struct blob_store *b, const char *name, int64_t *out_bytes, struct pare_err *err);
/* Calls fn for every part; fn returning false stops. What comes or goes meanwhile may be seen or not. */
PARE_MUST_USE enum pare_code blob_parts_each(struct blob_store *b, bool (*fn)(void *ctx, const char *name), void *ctx, struct pare_err *err);
/* After a start, once: asks fn about every part. It says the bytes to keep at least; *out_sha256 set: a row names the part as that blob; -1: nobody knows
 * the part. What fn did not ask to keep is cut, if the system itself was down since it was written: until then what a killed daemon has written is there. fn failing ends
 * it: nothing is trusted then that was not before, and the next start asks again. */
typedef enum pare_code blob_recall_fn(void *ctx, const char *name, int64_t *out_keep, char out_sha256[STORE_SHA256_HEX], struct pare_err *err);
PARE_MUST_USE enum pare_code blob_parts_recover(struct blob_store *b, blob_recall_fn *fn, void *ctx, struct pare_err *err);

/* A read-only descriptor (O_CLOEXEC) and the size. PARE_E_NOT_FOUND. */
PARE_MUST_USE enum pare_code blob_get(struct blob_store *b, const char *sha256, int *out_fd, int64_t *out_bytes, struct pare_err *err);
/* PARE_E_CONFLICT, and nothing happens, while somebody holds it or used() says that it is named (or that it cannot tell). Nothing can be committed and named between
 * that answer and the removal. See store_blob_drop. */
PARE_MUST_USE enum pare_code blob_remove(struct blob_store *b, const char *sha256, bool (*used)(void *ctx, const char *sha256), void *ctx, struct pare_err *err);
/* Between the two nothing is removed (blob_remove: PARE_E_CONFLICT). They nest. */
void blob_pin(struct blob_store *b);
void blob_unpin(struct blob_store *b);
/* Gives a blob a second name, dir/blobs/ab/cdef…, on the same file system; one that is there already stays. PARE_E_NOT_FOUND. */
PARE_MUST_USE enum pare_code blob_link(struct blob_store *b, const char *sha256, int dir_fd, int64_t *out_bytes, struct pare_err *err);
/* Calls fn for every blob; fn returning false stops. What is committed or removed meanwhile may be seen or not. */
PARE_MUST_USE enum pare_code blob_each(struct blob_store *b, bool (*fn)(void *ctx, const char *sha256), void *ctx, struct pare_err *err);
/* Free bytes of the file system; -1 if it cannot be told. */
int64_t blob_free_bytes(struct blob_store *b);

#endif
