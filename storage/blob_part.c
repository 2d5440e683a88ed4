/* Parts: files in dir/parts/ that grow over many requests.
 *
 * The size of the file is the offset; there is no second record of it that could disagree. write() puts bytes where they survive the death of this process, so
 * after kill -9 the size is true. A power failure is another matter: the size may then speak of bytes that never reached the disk. The file parts/boot
 * names the run of the system (the kernel's boot_id) in which the parts were written; a start in another run cuts every part to what its row says was synced, which
 * is where the last answered request ended. Rejected: syncing while the bytes come in, which makes every upload as slow as the disk for the sake of power
 * failures in the middle of a request; a log of offsets, which has to be synced, too.
 *
 * Taking turns: each opening draws a number, and an append under an older number than the newest is refused. The lock of a part is held for one write(), so
 * whoever takes the turn waits for that at most, and the size it then sees is final. Sealing, which may have to read gigabytes back, holds no lock: it
 * marks the part instead.
 *
 * A failed sync is final here as for blobs: the kernel tells of it once and may have dropped the bytes, which memory still shows, so that a later sync would go well and the digest
 * that has run along would fit, until somebody reads the disk. So what is not known to have been synced is cut, and the client is told a smaller offset. What an
 * earlier run of the daemon has synced is not known.
 *
 * The digest runs along while the bytes come in and stays in memory between requests. Where it cannot (after a restart, after a cut), sealing reads the file. */
#include "storage/blob_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"

#define BOOT_FILE "boot"
#define BOOT_TEMPORARY "boot.new"

struct part {
	struct part *next;
	char name[BLOB_PART_NAME];
	int n_open;         /* under the store's lock, as is the list */
	bool gone;          /* removed: forget it with the last handle */
	pthread_mutex_t lock; /* of what follows */
	uint64_t turn;
	bool sealing;
	struct store_sha256 *sha; /* of the first n_hashed bytes; NULL: the file has to be read */
	int64_t n_hashed;
	int64_t n_durable; /* the first so many bytes have been synced */
	_Atomic int64_t touched_ms; /* 0: nothing came yet */
};

struct blob_part {
	struct blob_store *b;
	struct part *part;
	uint64_t turn;
	int fd;
	int64_t n_bytes;
	bool fresh; /* its directory entry may not be durable yet */
};

static bool is_part_name(const char *s)
{
	return store_hex_check(s, BLOB_PART_NAME - 1);
}

static void read_line(int dir_fd, const char *path, char out[BLOB_BOOT_MAX])
{
	int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, BLOB_BOOT_MAX - 1) : -1;

	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	if (fd >= 0)
		(void)close(fd);
}

void blob_parts_init(struct blob_store *b)
{
	char last[BLOB_BOOT_MAX];

	read_line(AT_FDCWD, "/proc/sys/kernel/random/boot_id", b->boot);
	read_line(b->parts_fd, BOOT_FILE, last);
	b->parts_trusted = b->boot[0] != '\0' && strcmp(b->boot, last) == 0;
}

static void free_part(struct part *p)
{
	store_sha256_free(p->sha);
	(void)pthread_mutex_destroy(&p->lock);
	pare_free(p);
}

void blob_parts_done(struct blob_store *b)
{
	while (b->parts != NULL) {
		struct part *next = b->parts->next;

		free_part(b->parts);
		b->parts = next;
	}
}

void blob_part_name(struct blob_store *b, char out[BLOB_PART_NAME])
{
	uint8_t rnd[(BLOB_PART_NAME - 1) / 2];

	b->env.random(b->env.ctx, rnd, sizeof rnd);
	store_hex(rnd, sizeof rnd, out);
}

static struct part **find_part(struct blob_store *b, const char *name)
{
	struct part **p = &b->parts;

	while (*p != NULL && ((*p)->gone || strcmp((*p)->name, name) != 0))
		p = &(*p)->next;
	return p;
}

static struct part *take_part(struct blob_store *b, const char *name)
{
	struct part *p;

	(void)pthread_mutex_lock(&b->lock);
	p = *find_part(b, name);
	if (p == NULL) {
		p = pare_calloc(1, sizeof *p);
		if (p != NULL) {
			(void)pthread_mutex_init(&p->lock, NULL);
			memcpy(p->name, name, sizeof p->name);
			p->next = b->parts;
			b->parts = p;
		}
	}
	if (p != NULL)
		p->n_open++;
	(void)pthread_mutex_unlock(&b->lock);
	return p;
}

/* A part without handles stays for its digest's sake, and for the time of its last bytes. */
static void give_part(struct blob_store *b, struct part *p)
{
	struct part **at;

	(void)pthread_mutex_lock(&b->lock);
	p->n_open--;
	if (p->n_open == 0 && (p->gone || (p->sha == NULL && p->touched_ms == 0))) {
		for (at = &b->parts; *at != p;)
			at = &(*at)->next;
		*at = p->next;
		free_part(p);
	}
	(void)pthread_mutex_unlock(&b->lock);
}

/* A sealed one that did not become a blob is read-only. */
static int open_file(struct blob_store *b, const char *name)
{
	const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
	int fd = openat(b->parts_fd, name, flags, 0600);

	if (fd < 0 && errno == EACCES && fchmodat(b->parts_fd, name, 0600, 0) == 0)
		fd = openat(b->parts_fd, name, flags, 0600);
	return fd;
}

enum pare_code blob_part_open(struct blob_store *b, const char *name, struct blob_part **out, struct pare_err *err)
{
	struct blob_part *h;
	enum pare_code code = PARE_OK;
	struct stat st;

	if (!is_part_name(name))
		return pare_err_set(err, PARE_E_INTERNAL, NULL, "\"%.40s\" is no name of a part", name);
	h = pare_calloc(1, sizeof *h);
	if (h == NULL)
		return pare_err_nomem(err, sizeof *h);
	h->b = b;
	h->fd = -1;
	h->part = take_part(b, name);
	if (h->part == NULL) {
		pare_free(h);
		return pare_err_nomem(err, 0);
	}
	(void)pthread_mutex_lock(&h->part->lock);
	h->turn = ++h->part->turn;
	h->fd = open_file(b, name);
	if (h->fd < 0 || fstat(h->fd, &st) != 0)
		code = pare_err_errno(err, errno, "opening a part");
	else
		h->n_bytes = st.st_size;
	h->fresh = h->n_bytes == 0;
	if (code == PARE_OK && h->n_bytes == 0 && h->part->sha == NULL) { /* without a digest, sealing makes one */
		h->part->sha = store_sha256_new();
		h->part->n_hashed = 0;
	}
	(void)pthread_mutex_unlock(&h->part->lock);
	if (code == PARE_OK)
		*out = h;
	else
		blob_part_close(h);
	return code;
}

int64_t blob_part_bytes(const struct blob_part *h)
{
	return h->n_bytes;
}

void blob_part_close(struct blob_part *h)
{
	if (h == NULL)
		return;
	if (h->fd >= 0)
		(void)close(h->fd);
	give_part(h->b, h->part);
	pare_free(h);
}

/* Under the part's lock. */
static enum pare_code check_turn(const struct blob_part *h, struct pare_err *err)
{
	if (h->turn != h->part->turn)
		return pare_err_set(err, PARE_E_CONFLICT, NULL, "another request has taken this upload over");
	if (h->part->sealing)
		return pare_err_set(err, PARE_E_CONFLICT, NULL, "the upload is just being completed");
	return PARE_OK;
}

static void forget_digest(struct part *p)
{
	store_sha256_free(p->sha);
	p->sha = NULL;
}

enum pare_code blob_part_append(struct blob_part *h, const void *bytes, size_t n, struct pare_err *err)
{
	struct part *p = h->part;
	const char *at = bytes;
	enum pare_code code;

	(void)pthread_mutex_lock(&p->lock);
	code = check_turn(h, err);
	if (p->n_hashed != h->n_bytes)
		forget_digest(p);
	while (n > 0 && code == PARE_OK) {
		ssize_t k = pwrite(h->fd, at, n, h->n_bytes);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			code = blob_write_failed(errno, err);
			continue;
		}
		if (p->sha != NULL)
			store_sha256_add(p->sha, at, (size_t)k);
		h->n_bytes += k;
		p->n_hashed = h->n_bytes;
		p->touched_ms = h->b->env.wall_ms(h->b->env.ctx);
		at += k;
		n -= (size_t)k;
	}
	(void)pthread_mutex_unlock(&p->lock);
	return code;
}

enum pare_code blob_part_cut(struct blob_part *h, int64_t n_bytes, struct pare_err *err)
{
	enum pare_code code;

	(void)pthread_mutex_lock(&h->part->lock);
	code = check_turn(h, err);
	if (code == PARE_OK && ftruncate(h->fd, n_bytes) != 0)
		code = pare_err_errno(err, errno, "cutting a part");
	if (code == PARE_OK) {
		h->n_bytes = n_bytes;
		h->part->n_durable = h->part->n_durable < n_bytes ? h->part->n_durable : n_bytes;
		forget_digest(h->part);
	}
	(void)pthread_mutex_unlock(&h->part->lock);
	return code;
}

/* After a failed sync. Nobody goes on from an offset that he was told before; one that seals now syncs by himself, and hears of the same trouble. */
static void cut_to_durable(struct blob_part *h)
{
	struct part *p = h->part;

	(void)pthread_mutex_lock(&p->lock);
	if (!p->sealing) {
		p->turn++;
		forget_digest(p);
		if (ftruncate(h->fd, p->n_durable) != 0)
			(void)unlinkat(h->b->parts_fd, p->name, 0);
	}
	(void)pthread_mutex_unlock(&p->lock);
}

enum pare_code blob_part_sync(struct blob_part *h, struct pare_err *err)
{
	struct part *p = h->part;

	if (fdatasync(h->fd) != 0 || (h->fresh && fsync(h->b->parts_fd) != 0)) {
		enum pare_code code = blob_write_failed(errno, err);

		cut_to_durable(h);
		return code;
	}
	h->fresh = false;
	(void)pthread_mutex_lock(&p->lock);
	if (h->turn == p->turn) /* else it may have been cut since */
		p->n_durable = h->n_bytes;
	(void)pthread_mutex_unlock(&p->lock);
	return PARE_OK;
}

/* The digest of all its bytes so far; the part's own, which ends with it, if it has run along. NULL: no memory. */
static struct store_sha256 *take_digest(struct blob_part *h, bool *out_whole)
{
	struct store_sha256 *sha = h->part->sha;

	*out_whole = sha != NULL && h->part->n_hashed == h->n_bytes;
	if (!*out_whole)
		return store_sha256_new();
	h->part->sha = NULL;
	return sha;
}

enum pare_code blob_part_seal(struct blob_part *h, struct blob_ref *out, struct pare_err *err)
{
	struct hold *hold = pare_alloc(sizeof *hold);
	struct store_sha256 *sha = NULL;
	struct blob_ref ref = {.n_bytes = h->n_bytes};
	bool whole = false, synced = true;
	enum pare_code code;

	(void)pthread_mutex_lock(&h->part->lock);
	code = check_turn(h, err);
	if (code == PARE_OK) {
		sha = take_digest(h, &whole);
		h->part->sealing = true;
	}
	(void)pthread_mutex_unlock(&h->part->lock);
	if (code != PARE_OK) {
		pare_free(hold);
		return code;
	}
	if (sha == NULL || hold == NULL)
		code = pare_err_nomem(err, 0);
	else if (!whole)
		code = blob_hash_file(h->fd, h->n_bytes, sha, err);
	if (code == PARE_OK) {
		code = blob_seal(h->b, h->fd, sha, hold, ref.sha256, err);
		synced = code == PARE_OK;
	} else {
		pare_free(hold);
	}
	store_sha256_free(sha);
	(void)pthread_mutex_lock(&h->part->lock);
	h->part->sealing = false;
	(void)pthread_mutex_unlock(&h->part->lock);
	if (code == PARE_OK)
		*out = ref;
	else if (!synced)
		cut_to_durable(h);
	return code;
}

enum pare_code blob_part_place(struct blob_store *b, const char *name, const char *sha256, struct pare_err *err)
{
	enum pare_code code = is_part_name(name) ? blob_move(b, b->parts_fd, name, sha256, err) : PARE_E_NOT_FOUND;

	if (code == PARE_OK)
		blob_part_remove(b, name); /* what is known of it here */
	return code;
}

int64_t blob_part_size(struct blob_store *b, const char *name)
{
	struct stat st;

	return is_part_name(name) && fstatat(b->parts_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_size : 0;
}

enum pare_code blob_part_settle(struct blob_store *b, const char *name, int64_t *out_bytes, struct pare_err *err)
{
	enum pare_code code = PARE_OK;
	const struct part *p;
	struct stat st;
	bool busy;
	int fd;

	(void)pthread_mutex_lock(&b->lock);
	p = *find_part(b, name);
	busy = p != NULL && p->n_open > 0;
	(void)pthread_mutex_unlock(&b->lock);
	*out_bytes = -1;
	if (busy)
		return PARE_OK;
	fd = openat(b->parts_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? PARE_E_NOT_FOUND : pare_err_errno(err, errno, "opening a part");
	if (fstat(fd, &st) != 0 || fdatasync(fd) != 0 || fsync(b->parts_fd) != 0)
		code = blob_write_failed(errno, err);
	(void)close(fd);
	if (code == PARE_OK)
		*out_bytes = st.st_size;
	return code;
}

void blob_part_remove(struct blob_store *b, const char *name)
{
	struct part *p;

	if (!is_part_name(name))
		return;
	p = take_part(b, name);
	(void)unlinkat(b->parts_fd, name, 0);
	if (p == NULL)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->turn++; /* nobody appends to what has no name any more */
	(void)pthread_mutex_unlock(&p->lock);
	(void)pthread_mutex_lock(&b->lock);
	p->gone = true;
	(void)pthread_mutex_unlock(&b->lock);
	give_part(b, p);
}

int64_t blob_part_touched_ms(struct blob_store *b, const char *name)
{
	const struct part *p;
	int64_t ms = 0;

	(void)pthread_mutex_lock(&b->lock);
	p = *find_part(b, name);
	if (p != NULL)
		ms = p->n_open > 0 ? b->env.wall_ms(b->env.ctx) : p->touched_ms;
	(void)pthread_mutex_unlock(&b->lock);
	return ms;
}

/* --- after a start */
static enum pare_code recover_one(struct blob_store *b, const char *name, int64_t keep, const char *sha256, struct pare_err *err)
{
	struct blob_part *h = NULL;
	enum pare_code code;

	if (keep < 0) {
		blob_part_remove(b, name);
		return PARE_OK;
	}
	if (sha256[0] != '\0')
		return blob_part_place(b, name, sha256, err);
	if (b->parts_trusted || blob_part_size(b, name) <= keep)
		return PARE_OK;
	code = blob_part_open(b, name, &h, err);
	if (code == PARE_OK)
		code = blob_part_cut(h, keep, err);
	if (code == PARE_OK)
		code = blob_part_sync(h, err);
	blob_part_close(h);
	return code;
}

/* From now on the parts belong to this run of the system. */
static enum pare_code trust(struct blob_store *b, struct pare_err *err)
{
	size_t n = strlen(b->boot);
	int fd = openat(b->parts_fd, BOOT_TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && write(fd, b->boot, n) == (ssize_t)n && fsync(fd) == 0;

	if (fd >= 0)
		(void)close(fd);
	ok = ok && renameat(b->parts_fd, BOOT_TEMPORARY, b->parts_fd, BOOT_FILE) == 0 && fsync(b->parts_fd) == 0;
	b->parts_trusted = ok;
	return ok ? PARE_OK : pare_err_errno(err, errno, "writing in the directory of parts");
}

enum pare_code blob_parts_each(struct blob_store *b, bool (*fn)(void *ctx, const char *name), void *ctx, struct pare_err *err)
{
	int fd = openat(b->parts_fd, ".", DIR_FLAGS);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (d == NULL) {
		enum pare_code code = pare_err_errno(err, errno, "reading the directory of parts");

		if (fd >= 0)
			(void)close(fd);
		return code;
	}
	while ((e = readdir(d)) != NULL && (!is_part_name(e->d_name) || fn(ctx, e->d_name)))
		;
	(void)closedir(d);
	return PARE_OK;
}

struct recovery {
	struct blob_store *b;
	blob_recall_fn *fn;
	void *ctx;
	enum pare_code code;
	struct pare_err *err;
};

static bool recover_part(void *ctx, const char *name)
{
	struct recovery *r = ctx;
	char sha256[STORE_SHA256_HEX] = "";
	int64_t keep = -1;

	r->code = r->fn(r->ctx, name, &keep, sha256, r->err);
	if (r->code == PARE_OK)
		r->code = recover_one(r->b, name, keep, sha256, r->err);
	return r->code == PARE_OK;
}

enum pare_code blob_parts_recover(struct blob_store *b, blob_recall_fn *fn, void *ctx, struct pare_err *err)
{
	struct recovery r = {.b = b, .fn = fn, .ctx = ctx, .err = err};
	enum pare_code code = blob_parts_each(b, recover_part, &r, err);

	if (code == PARE_OK)
		code = r.code;
	return code == PARE_OK && !b->parts_trusted ? trust(b, err) : code;
}
