/* A backup is a directory that a service can be started on: the database, and every blob it names as a hard link to the one in use, so that it costs the database's size and no
 * more until something is deleted. It is built under a name that ends in .part and gets its own when all of it is on the disk; what a crash leaves of one is removed by the next.
 *
 * No blob is removed between the copy of the database and the last link (blob_pin): whatever the copy names is there. Rejected: copying the blobs, which takes as long as
 * there is data and doubles it; a list alone, whose blobs may be gone by the time somebody reads it. The list is written all the same, in the form that sha256sum -c takes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "storage/store_priv.h"
#include "storage/upkeep.h"

#define PART_SUFFIX ".part"
#define LIST_FLUSH ((size_t)64 << 10)

struct making {
	struct blob_store *b;
	char *path; /* of the directory that is built */
	int dir_fd, list_fd;
	struct pare_buf lines;
	struct store_backup out;
	enum pare_code code;
	struct pare_err *err;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void remove_tree(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static char *join(const char *dir, const char *name, const char *suffix)
{
	size_t n = strlen(dir) + strlen(name) + strlen(suffix) + 2;
	char *p = pare_alloc(n);

	if (p != NULL)
		(void)snprintf(p, n, "%s/%s%s", dir, name, suffix);
	return p;
}

/* What crashes have left. */
static void remove_parts(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		size_t n = strlen(e->d_name), k = sizeof PART_SUFFIX - 1;
		char *path = n > k && strcmp(e->d_name + n - k, PART_SUFFIX) == 0 ? join(dir, e->d_name, "") : NULL;

		if (path != NULL)
			remove_tree(path);
		pare_free(path);
	}
	if (d != NULL)
		(void)closedir(d);
}

static enum pare_code flush_list(struct making *m, struct pare_err *err)
{
	size_t done = 0;
	enum pare_code code = pare_buf_status(&m->lines, err);

	while (code == PARE_OK && done < m->lines.len) {
		ssize_t k = write(m->list_fd, m->lines.data + done, m->lines.len - done);

		if (k < 0 && errno != EINTR)
			code = pare_err_errno(err, errno, "writing the list of blobs");
		done += k > 0 ? (size_t)k : 0;
	}
	pare_buf_reset(&m->lines);
	return code;
}

static bool take_blob(void *ctx, const char *sha256)
{
	struct making *m = ctx;
	int64_t n_bytes = 0;

	m->code = blob_link(m->b, sha256, m->dir_fd, &n_bytes, m->err);
	m->out.n_blobs++;
	m->out.n_blob_bytes += n_bytes;
	(void)pare_buf_printf(&m->lines, "%s  blobs/%.2s/%s\n", sha256, sha256, sha256 + 2);
	if (m->code == PARE_OK && m->lines.len > LIST_FLUSH)
		m->code = flush_list(m, m->err);
	return m->code == PARE_OK;
}

static enum pare_code open_dirs(struct making *m, struct pare_err *err)
{
	if (mkdir(m->path, 0700) != 0)
		return pare_err_errno(err, errno, m->path);
	m->dir_fd = open(m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dir_fd >= 0)
		m->list_fd = openat(m->dir_fd, "blobs.txt", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return m->list_fd >= 0 ? PARE_OK : pare_err_errno(err, errno, m->path);
}

static enum pare_code fill(struct store *s, struct making *m, struct pare_err *err)
{
	char *db = join(m->path, "pared.db", "");
	struct stat st;
	enum pare_code code = db != NULL ? open_dirs(m, err) : pare_err_nomem(err, 0);

	if (code == PARE_OK) {
		blob_pin(m->b);
		code = s->ops->backup(s, db, take_blob, m, err);
		blob_unpin(m->b);
	}
	code = code == PARE_OK ? m->code : code;
	if (code == PARE_OK)
		code = flush_list(m, err);
	if (code == PARE_OK && (stat(db, &st) != 0 || chmod(db, 0600) != 0 || syncfs(m->dir_fd) != 0))
		code = pare_err_errno(err, errno, db);
	if (code == PARE_OK)
		m->out.n_db_bytes = st.st_size;
	pare_free(db);
	return code;
}

/* 20261122T010203123Z */
static void name_of(const struct store *s, char out[STORE_BACKUP_NAME_MAX])
{
	char text[PARE_TIME_MAX];
	size_t n = 0;

	pare_time_format(s->env.wall_ms(s->env.ctx), text);
	for (const char *p = text; *p != '\0' && n + 1 < STORE_BACKUP_NAME_MAX; p++)
		if (strchr("-:.", *p) == NULL)
			out[n++] = *p;
	out[n] = '\0';
}

static enum pare_code publish(struct making *m, const char *dir, struct pare_err *err)
{
	char *final = join(dir, m->out.name, "");
	enum pare_code code = PARE_OK;
	int fd;

	if (final == NULL)
		return pare_err_nomem(err, 0);
	if (rename(m->path, final) != 0)
		code = pare_err_errno(err, errno, final);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (code == PARE_OK && (fd < 0 || fsync(fd) != 0))
		code = pare_err_errno(err, errno, dir);
	if (fd >= 0)
		(void)close(fd);
	pare_free(final);
	return code;
}

enum pare_code store_backup(struct store *s, struct blob_store *b, const char *dir, struct store_backup *out, struct pare_err *err)
{
	struct making m = {.b = b, .dir_fd = -1, .list_fd = -1, .err = err};
	enum pare_code code;

	if (s->ops->backup == NULL)
		return pare_err_set(err, PARE_E_UNSUPPORTED, NULL, "a store in memory cannot be backed up");
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return pare_err_errno(err, errno, dir);
	remove_parts(dir);
	name_of(s, m.out.name);
	m.path = join(dir, m.out.name, PART_SUFFIX);
	if (m.path == NULL)
		return pare_err_nomem(err, 0);
	pare_buf_init(&m.lines, LIST_FLUSH * 2);
	code = fill(s, &m, err);
	if (code == PARE_OK)
		code = publish(&m, dir, err);
	if (m.list_fd >= 0)
		(void)close(m.list_fd);
	if (m.dir_fd >= 0)
		(void)close(m.dir_fd);
	if (code == PARE_OK)
		*out = m.out;
	else
		remove_tree(m.path);
	pare_buf_done(&m.lines);
	pare_free(m.path);
	return code;
}
