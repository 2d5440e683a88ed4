/* What the files of the blob store share: its struct, and the last steps of every commit. */
#ifndef STORAGE_BLOB_PRIV_H
#define STORAGE_BLOB_PRIV_H

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "storage/blob.h"

#define READ_BYTES ((size_t)256 << 10)
#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
#define BLOB_BOOT_MAX 64

struct hold {
	struct hold *next;
	char sha256[STORE_SHA256_HEX];
};

struct part;
struct blob_store {
	struct pare_env env;
	int blobs_fd, staging_fd, parts_fd;
	atomic_uint_fast64_t n_staged; /* names of staging files */
	atomic_int n_holding;          /* writers that have bytes in memory */
	atomic_bool unsure[256];       /* by fan-out directory: a sync of it has failed, so what it holds may not be there after a power failure */
	pthread_mutex_t lock; /* of holds and parts, and for removals */
	struct hold *holds;
	int n_pins; /* while there are any, nothing is removed */
	struct part *parts;       /* those that this process has touched */
	bool parts_trusted;       /* the system has been up since they were written: what was written is there */
	char boot[BLOB_BOOT_MAX]; /* names this run of the system; "" when it cannot be told */
};

/* The two halves of a commit: the bytes become durable and unchangeable and their digest is held (sha has seen them all, and ends here; hold is taken in any
 * case); then the file gets the name that its digest is. PARE_E_NOT_FOUND: there is no such file. */
PARE_MUST_USE enum pare_code blob_seal(struct blob_store *b, int fd, struct store_sha256 *sha, struct hold *hold, char sha256[STORE_SHA256_HEX], struct pare_err *err);
PARE_MUST_USE enum pare_code blob_move(struct blob_store *b, int from_fd, const char *name, const char *sha256, struct pare_err *err);
/* The first n_bytes of a file into a digest. */
PARE_MUST_USE enum pare_code blob_hash_file(int fd, int64_t n_bytes, struct store_sha256 *sha, struct pare_err *err);
enum pare_code blob_write_failed(int errnum, struct pare_err *err);

void blob_parts_init(struct blob_store *b);
void blob_parts_done(struct blob_store *b);

#endif
