/* Blobs as files: dir/blobs/ab/<62 more digits>, staged in dir/staging/ (parts of them in dir/parts/: blob_part.c).
 *
 * A commit is: fsync of the file, rename into place, fsync of the directory it went to (and of blobs/ when the fan-out directory is
 * new). Until the rename nobody sees the bytes, so a crash leaves at most a staging file, which the next open removes; only files that
 * bear our suffix go, should somebody have put something else there. A hard link in place of the rename would also tell an existing blob, but
 * equal bytes under an equal name make the overwrite harmless, and rename works on every file system.
 *
 * Names come from outside (sha256 in a URL), so each is checked to be 64 hex digits before it becomes a path, all opens are relative to held
 * directory descriptors, and none follows a link. A failed fsync is final: the kernel forgets the error with its first report, so it is never tried again. For a file that means
 * that its bytes are not believed; for the directory that a blob was moved to, that nobody can hold the blob, and so name it in a row, until the directory has been changed once more and that
 * has been synced.
 *
 * Between a commit and the row that names the blob, somebody else may be about to remove the same bytes (a refused upload, a deleted model). So a commit
 * enters the digest in a list of holds before the rename, and a removal asks that list, then the store, and unlinks, all under the list's lock: it comes either
 * wholly before the hold, and the rename brings the bytes back, or after it, and is refused. Rejected: reference counts in the store, which need a transaction per
 * file and a repair after a crash. A removal is not made durable: one that a power failure undoes leaves what the next sweep finds. */
#include "storage/blob_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/mem.h"

#define STAGING_SUFFIX ".part"
#define STAGING_NAME 64
#define HELD_BYTES ((int64_t)64 << 10) /* of a writer that may hold what it has: making a file costs more than writing that much (a journal, a search for a free inode) */
#define HOLDING_MAX 256                /* such writers; further ones make their file at the first byte */

struct blob_writer {
	struct blob_store *b;
	struct store_sha256 *sha;
	struct hold *hold; /* made here, so that a commit does not fail for it */
	int fd; /* -1: there is no file yet */
	int64_t cap_bytes, n_bytes;
	char *held; /* HELD_BYTES, of which n_bytes are used; NULL: the bytes are in the file */
	bool shared; /* the descriptor was handed out: the file is what it holds at commit */
	char name[STAGING_NAME];
};

/* "ab" and "cdef…" of a checked digest. */
struct place {
	char dir[3];
	char file[STORE_SHA256_HEX - 2];
};

static bool place_of(const char *sha256, struct place *out)
{
	if (!store_hex_check(sha256, STORE_SHA256_HEX - 1))
		return false;
	memcpy(out->dir, sha256, 2);
	out->dir[2] = '\0';
	memcpy(out->file, sha256 + 2, sizeof out->file);
	return true;
}

static enum pare_code no_blob(const char *sha256, struct pare_err *err)
{
	return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no blob \"%.64s\"", sha256);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

/* Opens a directory, making it first if need be; a new one is made durable in its parent. The first of them, AT_FDCWD, was named by the
 * operator and may be a link. */
static int open_dir(int at, const char *name)
{
	const int flags = at == AT_FDCWD ? DIR_FLAGS & ~O_NOFOLLOW : DIR_FLAGS;
	int fd = openat(at, name, flags);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mkdirat(at, name, 0700) != 0 && errno != EEXIST)
		return -1;
	if (at != AT_FDCWD && fsync(at) != 0) {
		int errnum = errno;

		(void)unlinkat(at, name, AT_REMOVEDIR); /* so that the next one does not believe in it */
		errno = errnum;
		return -1;
	}
	return openat(at, name, flags);
}

static bool is_staging_name(const char *name)
{
	size_t n = strlen(name), k = sizeof STAGING_SUFFIX - 1;

	return n > k && strcmp(name + n - k, STAGING_SUFFIX) == 0;
}

static DIR *read_dir(int at, const char *name)
{
	int fd = openat(at, name, DIR_FLAGS);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (d == NULL)
		close_fd(fd);
	return d;
}

static enum pare_code empty_staging(struct blob_store *b, struct pare_err *err)
{
	DIR *d = read_dir(b->staging_fd, ".");
	struct dirent *e;

	if (d == NULL)
		return pare_err_errno(err, errno, "reading the staging directory");
	while ((e = readdir(d)) != NULL)
		if (is_staging_name(e->d_name))
			(void)unlinkat(b->staging_fd, e->d_name, 0);
	(void)closedir(d);
	return PARE_OK;
}

enum pare_code blob_fs_open(const char *dir, const struct pare_env *env, struct blob_store **out, struct pare_err *err)
{
	struct blob_store *b = pare_calloc(1, sizeof *b);
	enum pare_code code;
	int dir_fd;

	if (b == NULL)
		return pare_err_nomem(err, sizeof *b);
	b->env = *env;
	(void)pthread_mutex_init(&b->lock, NULL);
	b->staging_fd = b->parts_fd = -1;
	dir_fd = open_dir(AT_FDCWD, dir);
	b->blobs_fd = dir_fd >= 0 ? open_dir(dir_fd, "blobs") : -1;
	if (b->blobs_fd >= 0)
		b->staging_fd = open_dir(dir_fd, "staging");
	if (b->staging_fd >= 0)
		b->parts_fd = open_dir(dir_fd, "parts");
	if (b->parts_fd < 0)
		code = pare_err_errno(err, errno, dir);
	else
		code = empty_staging(b, err);
	if (code == PARE_OK)
		blob_parts_init(b);
	close_fd(dir_fd);
	if (code == PARE_OK)
		*out = b;
	else
		blob_close(b);
	return code;
}

void blob_close(struct blob_store *b)
{
	if (b == NULL)
		return;
	while (b->holds != NULL) {
		struct hold *next = b->holds->next;

		pare_free(b->holds);
		b->holds = next;
	}
	blob_parts_done(b);
	(void)pthread_mutex_destroy(&b->lock);
	close_fd(b->blobs_fd);
	close_fd(b->staging_fd);
	close_fd(b->parts_fd);
	pare_free(b);
}

/* --- writing */
static enum pare_code make_file(struct blob_writer *w, struct pare_err *err)
{
	struct blob_store *b = w->b;
	uint64_t rnd;

	b->env.random(b->env.ctx, &rnd, sizeof rnd);
	(void)snprintf(w->name, sizeof w->name, "%016llx-%llu" STAGING_SUFFIX, (unsigned long long)rnd, (unsigned long long)atomic_fetch_add(&b->n_staged, 1));
	w->fd = openat(b->staging_fd, w->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return w->fd >= 0 ? PARE_OK : pare_err_errno(err, errno, "making a staging file");
}

enum pare_code blob_begin_held(struct blob_store *b, int64_t cap_bytes, struct blob_writer **out, struct pare_err *err)
{
	struct blob_writer *w = pare_calloc(1, sizeof *w);

	if (w == NULL)
		return pare_err_nomem(err, sizeof *w);
	w->b = b;
	w->fd = -1;
	w->cap_bytes = cap_bytes;
	w->sha = store_sha256_new();
	w->hold = pare_alloc(sizeof *w->hold);
	if (w->sha == NULL || w->hold == NULL) {
		blob_abort(w);
		return pare_err_nomem(err, 0);
	}
	*out = w;
	return PARE_OK;
}

enum pare_code blob_begin(struct blob_store *b, int64_t cap_bytes, struct blob_writer **out, struct pare_err *err)
{
	struct blob_writer *w;
	enum pare_code code = blob_begin_held(b, cap_bytes, &w, err);

	if (code != PARE_OK)
		return code;
	code = make_file(w, err);
	if (code == PARE_OK)
		*out = w;
	else
		blob_abort(w);
	return code;
}

static enum pare_code too_large(const struct blob_writer *w, struct pare_err *err)
{
	return pare_err_set(err, PARE_E_TOO_LARGE, NULL, "more than the %lld bytes that are allowed here", (long long)w->cap_bytes);
}

enum pare_code blob_write_failed(int errnum, struct pare_err *err)
{
	return pare_err_errno(err, errnum == EFBIG ? ENOSPC : errnum, "writing to the blob store");
}

static enum pare_code write_file(struct blob_writer *w, const char *bytes, size_t n, struct pare_err *err)
{
	while (n > 0) {
		ssize_t k = write(w->fd, bytes, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return blob_write_failed(errno, err);
		store_sha256_add(w->sha, bytes, (size_t)k);
		bytes += k;
		n -= (size_t)k;
	}
	return PARE_OK;
}

static void drop_held(struct blob_writer *w)
{
	if (w->held == NULL)
		return;
	pare_free(w->held);
	w->held = NULL;
	(void)atomic_fetch_sub(&w->b->n_holding, 1);
}

/* Room for n bytes in memory, if this writer may have that. */
static bool may_hold(struct blob_writer *w, size_t n)
{
	if (w->fd >= 0 || (int64_t)n > HELD_BYTES - w->n_bytes)
		return false;
	if (w->held != NULL)
		return true;
	if (atomic_fetch_add(&w->b->n_holding, 1) < HOLDING_MAX)
		w->held = pare_alloc((size_t)HELD_BYTES);
	if (w->held == NULL)
		(void)atomic_fetch_sub(&w->b->n_holding, 1);
	return w->held != NULL;
}

/* There is a file, and what was held is in it. */
static enum pare_code settle(struct blob_writer *w, struct pare_err *err)
{
	enum pare_code code = w->fd < 0 ? make_file(w, err) : PARE_OK;

	if (code == PARE_OK && w->held != NULL)
		code = write_file(w, w->held, (size_t)w->n_bytes, err);
	drop_held(w);
	return code;
}

enum pare_code blob_write(struct blob_writer *w, const void *p, size_t n, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	if (n > (uint64_t)(w->cap_bytes - w->n_bytes))
		return too_large(w, err);
	if (may_hold(w, n)) {
		memcpy(w->held + w->n_bytes, p, n);
	} else {
		code = settle(w, err);
		if (code == PARE_OK)
			code = write_file(w, p, n, err);
	}
	w->n_bytes += (int64_t)n;
	return code;
}

int blob_writer_fd(struct blob_writer *w)
{
	w->shared = true;
	return w->fd;
}

void blob_abort(struct blob_writer *w)
{
	if (w == NULL)
		return;
	if (w->fd >= 0)
		(void)unlinkat(w->b->staging_fd, w->name, 0);
	close_fd(w->fd);
	drop_held(w);
	store_sha256_free(w->sha);
	pare_free(w->hold);
	pare_free(w);
}

enum pare_code blob_hash_file(int fd, int64_t n_bytes, struct store_sha256 *sha, struct pare_err *err)
{
	char *chunk = pare_alloc(READ_BYTES);
	int64_t at = 0;

	if (chunk == NULL)
		return pare_err_nomem(err, READ_BYTES);
	while (at < n_bytes) {
		int64_t left = n_bytes - at;
		ssize_t k = pread(fd, chunk, left < (int64_t)READ_BYTES ? (size_t)left : READ_BYTES, at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		store_sha256_add(sha, chunk, (size_t)k);
		at += k;
	}
	pare_free(chunk);
	if (at != n_bytes)
		return pare_err_set(err, PARE_E_IO, NULL, "a staging file of %lld bytes ended after %lld", (long long)n_bytes, (long long)at);
	return PARE_OK;
}

/* Somebody else wrote the file: its size is what the file system says, its digest that of the bytes up to there. */
static enum pare_code hash_shared(struct blob_writer *w, struct pare_err *err)
{
	struct stat st;

	if (fstat(w->fd, &st) != 0)
		return pare_err_errno(err, errno, "reading a staging file");
	if (st.st_size > w->cap_bytes)
		return too_large(w, err);
	w->n_bytes = st.st_size;
	return blob_hash_file(w->fd, st.st_size, w->sha, err);
}

/* The fan-out directory of a blob, -1 with errno. */
static int dir_of(struct blob_store *b, const char *sha256, struct place *at)
{
	if (place_of(sha256, at))
		return openat(b->blobs_fd, at->dir, DIR_FLAGS);
	errno = ENOENT;
	return -1;
}

static atomic_bool *unsure_of(struct blob_store *b, const struct place *at)
{
	return &b->unsure[strtoul(at->dir, NULL, 16)];
}

/* Of a directory whose sync has failed: a change of its own, synced. */
static enum pare_code make_sure(struct blob_store *b, int dir_fd, const struct place *at, struct pare_err *err)
{
	char again[STAGING_NAME];

	if (!atomic_load(unsure_of(b, at)))
		return PARE_OK;
	(void)snprintf(again, sizeof again, "again-%llu" STAGING_SUFFIX, (unsigned long long)atomic_fetch_add(&b->n_staged, 1));
	if (linkat(dir_fd, at->file, dir_fd, again, 0) != 0 || unlinkat(dir_fd, again, 0) != 0 || fsync(dir_fd) != 0)
		return blob_write_failed(errno, err);
	atomic_store(unsure_of(b, at), false);
	return PARE_OK;
}

enum pare_code blob_move(struct blob_store *b, int from_fd, const char *name, const char *sha256, struct pare_err *err)
{
	struct place at;
	enum pare_code code = PARE_OK;
	int dir_fd;

	if (!place_of(sha256, &at))
		return pare_err_set(err, PARE_E_INTERNAL, NULL, "\"%.70s\" is not a digest", sha256);
	dir_fd = open_dir(b->blobs_fd, at.dir);
	if (dir_fd < 0)
		return pare_err_errno(err, errno, "opening a blob directory");
	if (renameat(from_fd, name, dir_fd, at.file) != 0) {
		code = errno == ENOENT ? no_blob(sha256, err) : pare_err_errno(err, errno, "moving a blob into place");
	} else if (fsync(dir_fd) != 0) {
		code = blob_write_failed(errno, err);
		atomic_store(unsure_of(b, &at), true);
	}
	close_fd(dir_fd);
	return code;
}

static void add_hold(struct blob_store *b, struct hold *h, const char *sha256)
{
	memcpy(h->sha256, sha256, sizeof h->sha256);
	(void)pthread_mutex_lock(&b->lock);
	h->next = b->holds;
	b->holds = h;
	(void)pthread_mutex_unlock(&b->lock);
}

/* That it survives a power failure is made sure of where the move left it open. */
static enum pare_code see_held(struct blob_store *b, const char *sha256, int64_t *out_bytes, struct pare_err *err)
{
	struct place at;
	int fd, dir_fd;
	enum pare_code code = blob_get(b, sha256, &fd, out_bytes, err);

	if (code != PARE_OK)
		return code;
	close_fd(fd);
	dir_fd = dir_of(b, sha256, &at);
	code = dir_fd >= 0 ? make_sure(b, dir_fd, &at, err) : pare_err_errno(err, errno, "opening a blob directory");
	close_fd(dir_fd);
	return code;
}

enum pare_code blob_hold(struct blob_store *b, const char *sha256, int64_t *out_bytes, struct pare_err *err)
{
	struct hold *h = pare_alloc(sizeof *h);
	enum pare_code code;

	if (h == NULL)
		return pare_err_nomem(err, sizeof *h);
	if (!store_hex_check(sha256, STORE_SHA256_HEX - 1)) {
		pare_free(h);
		return no_blob(sha256, err);
	}
	add_hold(b, h, sha256);
	code = see_held(b, sha256, out_bytes, err);
	if (code != PARE_OK)
		blob_release(b, sha256);
	return code;
}

static struct hold **find_hold(struct blob_store *b, const char *sha256)
{
	struct hold **p = &b->holds;

	while (*p != NULL && strcmp((*p)->sha256, sha256) != 0)
		p = &(*p)->next;
	return p;
}

void blob_release(struct blob_store *b, const char *sha256)
{
	struct hold **p, *found;

	(void)pthread_mutex_lock(&b->lock);
	p = find_hold(b, sha256);
	found = *p;
	if (found != NULL)
		*p = found->next;
	(void)pthread_mutex_unlock(&b->lock);
	pare_free(found);
}

enum pare_code blob_seal(struct blob_store *b, int fd, struct store_sha256 *sha, struct hold *hold, char sha256[STORE_SHA256_HEX], struct pare_err *err)
{
	uint8_t digest[STORE_SHA256_BYTES];
	enum pare_code code;

	if (fchmod(fd, 0400) != 0 || fsync(fd) != 0) {
		code = blob_write_failed(errno, err);
		pare_free(hold);
		return code;
	}
	store_sha256_get(sha, digest);
	store_hex(digest, sizeof digest, sha256);
	add_hold(b, hold, sha256);
	return PARE_OK;
}

enum pare_code blob_commit(struct blob_writer *w, struct blob_ref *out, struct pare_err *err)
{
	enum pare_code code = settle(w, err);
	struct blob_ref ref;

	if (code == PARE_OK && w->shared)
		code = hash_shared(w, err);
	if (code == PARE_OK) {
		struct hold *hold = w->hold;

		w->hold = NULL;
		code = blob_seal(w->b, w->fd, w->sha, hold, ref.sha256, err);
	}
	if (code == PARE_OK) {
		ref.n_bytes = w->n_bytes;
		code = blob_move(w->b, w->b->staging_fd, w->name, ref.sha256, err);
		if (code == PARE_OK)
			*out = ref;
		else
			blob_release(w->b, ref.sha256);
	}
	blob_abort(w); /* after the rename there is no staging file left to remove */
	return code;
}

/* --- reading */
enum pare_code blob_get(struct blob_store *b, const char *sha256, int *out_fd, int64_t *out_bytes, struct pare_err *err)
{
	struct place at;
	struct stat st;
	int dir_fd = dir_of(b, sha256, &at), fd = -1, errnum;

	if (dir_fd >= 0)
		fd = openat(dir_fd, at.file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	errnum = errno;
	close_fd(dir_fd);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		*out_fd = fd;
		*out_bytes = st.st_size;
		return PARE_OK;
	}
	if (fd >= 0)
		errnum = EIO;
	close_fd(fd);
	return errnum == ENOENT ? no_blob(sha256, err) : pare_err_errno(err, errnum, "opening a blob");
}

static enum pare_code unlink_blob(struct blob_store *b, const char *sha256, struct pare_err *err)
{
	struct place at;
	int dir_fd = dir_of(b, sha256, &at), errnum = 0;

	if (dir_fd < 0 || unlinkat(dir_fd, at.file, 0) != 0)
		errnum = errno;
	close_fd(dir_fd);
	if (errnum == 0)
		return PARE_OK;
	return errnum == ENOENT ? no_blob(sha256, err) : pare_err_errno(err, errnum, "removing a blob");
}

enum pare_code blob_remove(struct blob_store *b, const char *sha256, bool (*used)(void *ctx, const char *sha256), void *ctx, struct pare_err *err)
{
	enum pare_code code;

	(void)pthread_mutex_lock(&b->lock);
	if (b->n_pins > 0 || *find_hold(b, sha256) != NULL || used(ctx, sha256))
		code = pare_err_set(err, PARE_E_CONFLICT, NULL, "the blob \"%.64s\" is in use", sha256);
	else
		code = unlink_blob(b, sha256, err);
	(void)pthread_mutex_unlock(&b->lock);
	return code;
}

static void add_pins(struct blob_store *b, int n)
{
	(void)pthread_mutex_lock(&b->lock);
	b->n_pins += n;
	(void)pthread_mutex_unlock(&b->lock);
}

void blob_pin(struct blob_store *b)
{
	add_pins(b, 1);
}

void blob_unpin(struct blob_store *b)
{
	add_pins(b, -1);
}

enum pare_code blob_link(struct blob_store *b, const char *sha256, int dir_fd, int64_t *out_bytes, struct pare_err *err)
{
	struct place at;
	struct stat st;
	int from = dir_of(b, sha256, &at), to = -1, errnum = 0;
	char path[sizeof "blobs/" + sizeof at.dir];

	if (from < 0)
		return errno == ENOENT ? no_blob(sha256, err) : pare_err_errno(err, errno, "opening a blob directory");
	(void)snprintf(path, sizeof path, "blobs/%s", at.dir);
	if ((mkdirat(dir_fd, "blobs", 0700) == 0 || errno == EEXIST) && (mkdirat(dir_fd, path, 0700) == 0 || errno == EEXIST))
		to = openat(dir_fd, path, DIR_FLAGS);
	if (to < 0 || fstatat(from, at.file, &st, AT_SYMLINK_NOFOLLOW) != 0 || (linkat(from, at.file, to, at.file, 0) != 0 && errno != EEXIST))
		errnum = errno;
	close_fd(to);
	close_fd(from);
	if (errnum == 0)
		*out_bytes = st.st_size;
	if (errnum == 0 || errnum != ENOENT)
		return errnum == 0 ? PARE_OK : pare_err_errno(err, errnum, "linking a blob");
	return no_blob(sha256, err);
}

/* False: fn said stop. */
static bool each_in(DIR *d, const char *dir, bool (*fn)(void *ctx, const char *sha256), void *ctx)
{
	char sha256[STORE_SHA256_HEX];
	struct dirent *e;

	memcpy(sha256, dir, 2);
	while ((e = readdir(d)) != NULL) {
		if (!store_hex_check(e->d_name, STORE_SHA256_HEX - 3))
			continue;
		memcpy(sha256 + 2, e->d_name, STORE_SHA256_HEX - 2);
		if (!fn(ctx, sha256))
			return false;
	}
	return true;
}

enum pare_code blob_each(struct blob_store *b, bool (*fn)(void *ctx, const char *sha256), void *ctx, struct pare_err *err)
{
	DIR *top = read_dir(b->blobs_fd, ".");
	enum pare_code code = PARE_OK;
	struct dirent *e;
	bool more = true;

	if (top == NULL)
		return pare_err_errno(err, errno, "reading the blob directory");
	while (more && code == PARE_OK && (e = readdir(top)) != NULL) {
		DIR *d;

		if (!store_hex_check(e->d_name, 2))
			continue;
		d = read_dir(b->blobs_fd, e->d_name);
		if (d == NULL) {
			code = pare_err_errno(err, errno, "reading a blob directory");
			continue;
		}
		more = each_in(d, e->d_name, fn, ctx);
		(void)closedir(d);
	}
	(void)closedir(top);
	return code;
}

int64_t blob_free_bytes(struct blob_store *b)
{
	struct statvfs v;

	if (fstatvfs(b->blobs_fd, &v) != 0)
		return -1;
	return (int64_t)(v.f_bavail * v.f_frsize);
}
