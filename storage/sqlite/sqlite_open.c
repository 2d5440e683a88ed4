/* Connections and transactions.
 *
 * SQLite before 3.51.3 can corrupt a WAL database when two connections commit or checkpoint at the same moment, and no distribution
 * we run on has the fix. So: one process (an flock on dir/lock, held for life), one connection that writes and checkpoints (one thread at a time), and a few
 * that cannot write (opened read-only, query_only, no automatic checkpoint, no checkpoint on close). No mmap_size: a truncated file would
 * be a SIGBUS instead of an error.
 *
 * synchronous=FULL makes every commit one fsync of the log, and that is what bounds the rate of writes. So writers share commits. Each verb is a
 * savepoint of a transaction that stays open while other writers wait for their turn; the one that ends when nobody waits (or when
 * the group is full) commits for all, and only then is any of them answered. While it syncs the next ones queue up and become the next group, so
 * nobody waits for a timer and a lone writer commits at once. A verb that fails undoes its own savepoint; a commit that fails, or
 * an error that makes SQLite drop the whole transaction, fails every verb of the group. Rejected: a thread of its own for commits (two
 * more switches for a lone writer) and a fixed delay to collect writers (latency without load).
 *
 * Waiting is bounded twice: for the turn to write, and for a lock that some foreign process holds on the file. Both end in PARE_E_BUSY. */
#include "storage/sqlite/sqlite_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"

#define LOCK_WAIT_MS 3000   /* for a process that is gone to let go of the directory */
#define LOCK_STEP_MS 10
#define WAIT_SECONDS 3      /* for the turn to write */
#define BUSY_STEPS 100      /* for a foreign lock: the steps of busy_handler add up to about 2.5 s */
#define CHECKPOINT_PAGES 2000 /* 8 MiB of log: writers wait while it moves. 16 MiB are one request in a hundred that waits 37 to 45 ms instead of 30, 64 MiB 61 to 97 */
#define GROUP_MAX 128       /* verbs that one commit answers: bounds how long the first of them waits for the last */

/* Temporary files (statement journals, sorts) stay in memory: a container with a read-only root has no directory for them. */
static const char writer_setup[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
                                   "PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864;";
static const char reader_setup[] = "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;";

static int busy_handler(void *ctx, int n_tries)
{
	const struct timespec nap = {.tv_sec = 0, .tv_nsec = (n_tries < 10 ? 2 : 28) * 1000000L};

	(void)ctx;
	if (n_tries >= BUSY_STEPS)
		return 0;
	(void)nanosleep(&nap, NULL);
	return 1;
}

enum pare_code sqlite_fail(struct store_tx *c, int rc, const char *doing, struct pare_err *err)
{
	int sys = c->sys_errno;
	const char *why = c->db != NULL ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc);
	enum pare_code code = PARE_E_STORE;

	if ((rc & 0xFF) == SQLITE_FULL || ((rc & 0xFF) == SQLITE_IOERR && (sys == ENOSPC || sys == EDQUOT || sys == EFBIG)))
		return pare_err_set(err, PARE_E_STORE_FULL, c->store->path, "%s: no space is left for the database: free some and try again", doing);
	if ((rc & 0xFF) == SQLITE_BUSY || (rc & 0xFF) == SQLITE_LOCKED)
		return pare_err_set(err, PARE_E_BUSY, c->store->path, "%s: another process holds the database locked: try again", doing);
	if ((rc & 0xFF) == SQLITE_NOMEM)
		code = PARE_E_NOMEM;
	return pare_err_set(err, code, c->store->path, "%s: %s (SQLite %d)", doing, why, rc);
}

enum pare_code sqlite_connect(struct sqlite_store *s, struct store_tx *c, bool write, struct pare_err *err)
{
	int flags = write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
	enum pare_code code;
	int rc;

	c->store = s;
	c->write = write;
	rc = sqlite3_open_v2(s->path, &c->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_handler(c->db, busy_handler, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
	if (rc == SQLITE_OK && !write)
		rc = sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(c->db, write ? writer_setup : reader_setup, NULL, NULL, NULL);
	if (rc == SQLITE_OK && write)
		rc = sqlite3_wal_autocheckpoint(c->db, CHECKPOINT_PAGES);
	if (rc == SQLITE_OK)
		return PARE_OK;
	code = sqlite_fail(c, rc, "opening the database", err);
	sqlite_disconnect(c);
	return code;
}

void sqlite_disconnect(struct store_tx *c)
{
	for (int i = 0; i < N_QUERIES; i++) {
		(void)sqlite3_finalize(c->statements[i]);
		c->statements[i] = NULL;
	}
	for (int i = 0; i < SQLITE_N_LISTS; i++) {
		(void)sqlite3_finalize(c->lists[i].st);
		c->lists[i] = (struct sqlite_list){.shape = 0};
	}
	(void)sqlite3_close(c->db);
	c->db = NULL;
}

/* --- transactions */
static enum pare_code simple(struct store_tx *tx, enum query q, const char *doing, struct pare_err *err)
{
	struct use u = sqlite_use(tx, q);

	(void)sqlite_row(&u);
	return sqlite_use_end(&u, doing, err);
}

static enum pare_code take_writer(struct sqlite_store *s, struct store_tx **out, struct pare_err *err)
{
	struct timespec until;
	bool mine;
	int rc = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WAIT_SECONDS;
	(void)pthread_mutex_lock(&s->write_lock);
	s->n_waiting++;
	while (s->writing && rc == 0)
		rc = pthread_cond_timedwait(&s->write_free, &s->write_lock, &until);
	s->n_waiting--; /* a turn that is free is taken even if time is over: the group may have been left open for this one */
	mine = !s->writing;
	s->writing = true;
	(void)pthread_mutex_unlock(&s->write_lock);
	if (!mine)
		return pare_err_set(err, PARE_E_BUSY, s->path, "other writes have been waiting for the disk for %d s: try again", WAIT_SECONDS);
	*out = &s->writer;
	return PARE_OK;
}

/* Readers are opened when they are first needed and stay. */
static enum pare_code take_reader(struct sqlite_store *s, struct store_tx **out, struct pare_err *err)
{
	enum pare_code code = PARE_OK;
	struct store_tx *c = NULL;

	(void)pthread_mutex_lock(&s->pool_lock);
	while (c == NULL) {
		for (int i = 0; i < SQLITE_N_READERS && c == NULL; i++)
			if (!s->readers[i].in_use)
				c = &s->readers[i];
		if (c == NULL)
			(void)pthread_cond_wait(&s->pool_free, &s->pool_lock);
	}
	if (c->db == NULL)
		code = sqlite_connect(s, c, false, err);
	c->in_use = code == PARE_OK;
	(void)pthread_mutex_unlock(&s->pool_lock);
	*out = c;
	return code;
}

static void give_reader(struct store_tx *c)
{
	struct sqlite_store *s = c->store;

	(void)pthread_mutex_lock(&s->pool_lock);
	c->in_use = false;
	(void)pthread_cond_signal(&s->pool_free);
	(void)pthread_mutex_unlock(&s->pool_lock);
}

/* --- group commit */

/* A verb whose savepoint has gone well, waiting in sqlite_end for the commit; on that thread's stack, under write_lock. */
struct sqlite_member {
	struct sqlite_member *next;
	bool done;
	enum pare_code code;
	struct pare_err *err;
};

static bool in_transaction(const struct store_tx *tx)
{
	return sqlite3_get_autocommit(tx->db) == 0;
}

static void roll_back(struct store_tx *tx)
{
	if (in_transaction(tx))
		(void)simple(tx, Q_ROLLBACK, "rolling back", NULL);
}

/* Undoes what the verb at hand has done. If that cannot be, all that is open goes, and with it the group. */
static void undo_verb(struct store_tx *tx)
{
	if (in_transaction(tx) && (simple(tx, Q_ROLLBACK_VERB, "undoing", NULL) != PARE_OK || simple(tx, Q_RELEASE_VERB, "undoing", NULL) != PARE_OK))
		roll_back(tx);
}

/* The whole group's answer. */
static void settle(struct sqlite_store *s, enum pare_code code, const struct pare_err *why)
{
	(void)pthread_mutex_lock(&s->write_lock);
	store_count_change(&s->base);
	for (struct sqlite_member *m = s->group; m != NULL; m = m->next) {
		m->done = true;
		m->code = code;
		if (code != PARE_OK && m->err != NULL)
			*m->err = *why;
	}
	s->group = NULL;
	s->n_group = 0;
	(void)pthread_cond_broadcast(&s->group_done);
	(void)pthread_mutex_unlock(&s->write_lock);
}

/* A full disk or a failed commit may have rolled back by itself; then there is nothing left to undo. */
static void commit_group(struct store_tx *tx)
{
	struct pare_err why = {.code = PARE_OK};
	enum pare_code code = simple(tx, Q_COMMIT, "committing", &why);

	if (code != PARE_OK)
		roll_back(tx);
	settle(tx->store, code, &why);
}

/* Ends the turn of a verb that has gone well (me) or of one that has been undone (NULL): passes the open transaction on, or commits it. That somebody waits is looked
 * at and acted on under one hold of the lock: whoever gave up waiting in between would leave the group without anybody to commit it. */
static void end_turn(struct store_tx *tx, struct sqlite_member *me)
{
	struct sqlite_store *s = tx->store;

	(void)pthread_mutex_lock(&s->write_lock);
	if (me != NULL) {
		me->next = s->group;
		s->group = me;
		s->n_group++;
	}
	if (s->group == NULL || s->n_waiting == 0 || s->n_group >= GROUP_MAX) {
		bool empty = s->group == NULL;

		(void)pthread_mutex_unlock(&s->write_lock);
		if (empty)
			roll_back(tx);
		else
			commit_group(tx);
		(void)pthread_mutex_lock(&s->write_lock);
	}
	s->writing = false;
	(void)pthread_cond_signal(&s->write_free);
	while (me != NULL && !me->done)
		(void)pthread_cond_wait(&s->group_done, &s->write_lock);
	(void)pthread_mutex_unlock(&s->write_lock);
}

/* Ends the turn of a verb that has failed; if the transaction went with it, so did the group. */
static void abandon(struct store_tx *tx, enum pare_code code, const struct pare_err *err)
{
	struct pare_err why = {.code = PARE_OK};

	if (err == NULL)
		(void)pare_err_set(&why, code, tx->store->path, "a write beside this one undid both: try again");
	undo_verb(tx);
	if (!in_transaction(tx))
		settle(tx->store, code, err != NULL ? err : &why);
	end_turn(tx, NULL);
}

static enum pare_code begin_verb(struct store_tx *tx, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	if (!in_transaction(tx))
		code = simple(tx, Q_BEGIN_WRITE, "beginning a transaction", err);
	if (code == PARE_OK)
		code = simple(tx, Q_SAVE_VERB, "beginning a transaction", err);
	if (code != PARE_OK)
		abandon(tx, code, err);
	return code;
}

static enum pare_code end_verb(struct store_tx *tx, enum pare_code code, struct pare_err *err)
{
	struct sqlite_member me = {.done = false, .err = err};

	if (code == PARE_OK)
		code = simple(tx, Q_RELEASE_VERB, "ending a transaction", err);
	if (code != PARE_OK) {
		abandon(tx, code, err);
		return code;
	}
	end_turn(tx, &me);
	return me.code;
}

enum pare_code sqlite_begin(struct store *base, bool write, struct store_tx **out, struct pare_err *err)
{
	struct sqlite_store *s = (struct sqlite_store *)base;
	enum pare_code code = write ? take_writer(s, out, err) : take_reader(s, out, err);

	if (code != PARE_OK || write)
		return code != PARE_OK ? code : begin_verb(*out, err);
	code = simple(*out, Q_BEGIN_READ, "beginning a transaction", err);
	if (code != PARE_OK)
		give_reader(*out);
	return code;
}

enum pare_code sqlite_end(struct store_tx *tx, enum pare_code code, struct pare_err *err)
{
	if (tx->write)
		return end_verb(tx, code, err);
	if (code == PARE_OK)
		code = simple(tx, Q_COMMIT, "committing", err);
	if (code != PARE_OK)
		roll_back(tx);
	give_reader(tx);
	return code;
}

/* --- opening and closing */
/* A process that was killed while it started another one lives on in that one's descriptors until it has become its program: who is named in the
 * file is gone then, and the lock soon. In a container that one may have had our number. */
static enum pare_code wait_for_lock(int fd, const char *path, struct pare_err *err)
{
	for (int ms = 0;; ms += LOCK_STEP_MS) {
		char pid[16] = "";
		ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
		pid_t who;

		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return PARE_OK;
		if (errno != EWOULDBLOCK)
			return pare_err_errno(err, errno, path);
		pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
		who = (pid_t)strtol(pid, NULL, 10);
		if (ms >= LOCK_WAIT_MS || (who > 0 && who != getpid() && (kill(who, 0) == 0 || errno != ESRCH)))
			return pare_err_set(err, PARE_E_CONFLICT, path, "the data directory is in use by process %s: stop that one, or give this one a directory of its own",
			    who > 0 ? pid : "(unknown)");
		(void)nanosleep(&(struct timespec){.tv_nsec = LOCK_STEP_MS * 1000000L}, NULL);
	}
}

static enum pare_code take_lock(struct sqlite_store *s, const char *path, struct pare_err *err)
{
	char pid[24];
	int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
	enum pare_code code;

	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return pare_err_errno(err, errno, path);
	code = wait_for_lock(s->lock_fd, path, err);
	if (code != PARE_OK)
		return code;
	if (ftruncate(s->lock_fd, 0) != 0 || pwrite(s->lock_fd, pid, (size_t)n, 0) != n)
		return pare_err_errno(err, errno, path);
	return PARE_OK;
}

static char *join(const char *dir, const char *name)
{
	size_t n = strlen(dir) + strlen(name) + 2;
	char *p = pare_alloc(n);

	if (p != NULL)
		(void)snprintf(p, n, "%s/%s", dir, name);
	return p;
}

static enum pare_code open_in(struct sqlite_store *s, const char *dir, struct pare_err *err)
{
	char *lock_path = join(dir, "lock");
	enum pare_code code;

	s->path = join(dir, "pared.db");
	if (lock_path == NULL || s->path == NULL)
		code = pare_err_nomem(err, strlen(dir));
	else if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		code = pare_err_errno(err, errno, dir);
	else
		code = take_lock(s, lock_path, err);
	pare_free(lock_path);
	if (code == PARE_OK)
		code = sqlite_connect(s, &s->writer, true, err);
	if (code == PARE_OK)
		code = sqlite_migrate(&s->writer, err);
	return code;
}

enum pare_code store_sqlite_open(const char *dir, const struct pare_env *env, struct store **out, struct pare_err *err)
{
	struct sqlite_store *s = pare_calloc(1, sizeof *s);
	pthread_condattr_t monotonic;
	enum pare_code code;

	if (s == NULL)
		return pare_err_nomem(err, sizeof *s);
	s->base.ops = &sqlite_ops;
	s->base.env = *env;
	s->lock_fd = -1;
	s->writer.store = s;
	(void)pthread_mutex_init(&s->write_lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->write_free, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	(void)pthread_cond_init(&s->group_done, NULL);
	(void)pthread_mutex_init(&s->pool_lock, NULL);
	(void)pthread_cond_init(&s->pool_free, NULL);
	code = open_in(s, dir, err);
	if (code == PARE_OK)
		*out = &s->base;
	else
		sqlite_close_store(&s->base);
	return code;
}

/* Readers first: the last connection to close is the writer, which checkpoints. */
void sqlite_close_store(struct store *base)
{
	struct sqlite_store *s = (struct sqlite_store *)base;

	for (int i = 0; i < SQLITE_N_READERS; i++)
		sqlite_disconnect(&s->readers[i]);
	sqlite_disconnect(&s->writer);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	(void)pthread_cond_destroy(&s->write_free);
	(void)pthread_cond_destroy(&s->group_done);
	(void)pthread_mutex_destroy(&s->write_lock);
	(void)pthread_mutex_destroy(&s->pool_lock);
	(void)pthread_cond_destroy(&s->pool_free);
	pare_free(s->path);
	pare_free(s);
}
