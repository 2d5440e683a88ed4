/* What only a database on a disk has to answer for: reopening, the lock, other schemas, damage, kill -9, a full disk, size. */
#include "storage/registry.h"
#include "storage/sqlite/sqlite_priv.h"
#include "tests/storage/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define ZEROES_31 "00000000000000000000000000000000000000000000000000000000000000"

static char dir[64], db_path[80];
static struct store *s;
static struct pare_err err;
static char model[PARE_ID_MAX], dataset[PARE_ID_MAX];

static void setup(void)
{
	fixture_dir(dir);
	(void)snprintf(db_path, sizeof db_path, "%s/pared.db", dir);
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
	put_asset(s, STORE_MODEL, SHA_A, model);
	put_asset(s, STORE_DATASET, SHA_B, dataset);
}

static void teardown(void)
{
	store_close(s);
	fixture_dir_remove(dir);
}

static void close_store(void)
{
	store_close(s);
	s = NULL;
}

static void reopen(void)
{
	close_store();
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
}

static sqlite3 *raw_open(void)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(db_path, &db), SQLITE_OK);
	return db;
}

static void raw(const char *sql)
{
	sqlite3 *db = raw_open();
	char *why = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
		ck_abort_msg("%s", why);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void raw_text(const char *sql, char *out, size_t size)
{
	sqlite3 *db = raw_open();
	sqlite3_stmt *st;

	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	(void)snprintf(out, size, "%s", (const char *)sqlite3_column_text(st, 0));
	ck_assert_int_eq(sqlite3_finalize(st), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

START_TEST(everything_is_there_after_reopening)
{
	struct store_artifact art = {.name = "a.onnx", .media_type = "x/y", .sha256 = SHA_C, .n_bytes = 9}, *arts;
	struct store_outcome o = {.status = STORE_SUCCEEDED, .result = "{\"r\":1}", .n_artifacts = 1, .artifacts = &art};
	struct store_idempotency k = {.key = "k", .scope = "", .fingerprint = {3}};
	struct store_job j = {.model = model, .dataset = dataset, .request = "{}"}, again = j, got;
	struct store_event *events;
	struct stat st;
	bool found, final;
	int n;

	MUST(store_job_put(MINE(s), &j, &k, &err));
	store_job_done(&j);
	MUST(store_job_claim(s, "w", 1000, &j, &found, &err));
	MUST(store_job_finish(s, j.id, j.lease_token, &o, &err));
	reopen();
	MUST(store_job_get(MINE(s), j.id, &got, &err));
	ck_assert_int_eq(got.status, STORE_SUCCEEDED);
	ck_assert_str_eq(got.result, "{\"r\":1}");
	store_job_done(&got);
	MUST(store_event_list(MINE(s), j.id, 0, 10, &events, &n, &final, &err));
	ck_assert(n == 3 && final);
	store_event_list_done(events, n);
	MUST(store_artifact_list(MINE(s), j.id, &arts, &n, &err));
	ck_assert_int_eq(n, 1);
	ck_assert_str_eq(arts[0].id, art.id);
	store_artifact_list_done(arts, n);
	MUST(store_job_put(MINE(s), &again, &k, &err));
	ck_assert(k.replayed);
	ck_assert_str_eq(again.id, j.id);
	store_job_done(&again);
	store_job_done(&j);
	ck_assert_int_eq(stat(dir, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0700);
}
END_TEST

START_TEST(one_process_one_store)
{
	struct store *second = NULL;
	char pid[32];
	int status;

	(void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
	ck_assert_int_eq(store_sqlite_open(dir, &fixture_env, &second, &err), PARE_E_CONFLICT);
	ck_assert_ptr_null(second);
	ck_assert_ptr_nonnull(strstr(err.message, pid));
	if (fork() == 0) {
		struct store *mine;

		_exit(store_sqlite_open(dir, &fixture_env, &mine, NULL) == PARE_E_CONFLICT ? 7 : 1);
	}
	ck_assert_int_gt(wait(&status), 0);
	ck_assert_int_eq(WEXITSTATUS(status), 7);
	MUST(store_ping(s, &err)); /* and the first one is none the worse */
	reopen();
}
END_TEST

/* A daemon that was killed while it started an engine: the lock is still held through the engine's descriptors, for as long as it takes that one to become its program. */
START_TEST(a_lock_that_outlives_its_holder)
{
	char path[300], line[32];
	int ready[2], fd, status;
	pid_t gone, heir;

	store_close(s);
	gone = fork();
	if (gone == 0)
		_exit(0);
	ck_assert_int_eq(waitpid(gone, &status, 0), gone);
	(void)snprintf(path, sizeof path, "%s/lock", dir);
	fd = open(path, O_RDWR);
	ck_assert_int_ge(fd, 0);
	(void)snprintf(line, sizeof line, "%ld\n", (long)gone);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(pwrite(fd, line, strlen(line), 0), (ssize_t)strlen(line));
	ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
	ck_assert_int_eq(pipe(ready), 0);
	heir = fork();
	if (heir == 0) {
		ck_assert_int_eq(write(ready[1], "", 1), 1);
		(void)nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
		_exit(0);
	}
	close(fd);
	ck_assert_int_eq(read(ready[0], line, 1), 1);
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
	ck_assert_int_eq(waitpid(heir, &status, 0), heir);
	close(ready[0]);
	close(ready[1]);
}
END_TEST

START_TEST(directory_is_made_once_deep)
{
	char path[100];
	struct store *made;
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/new", dir);
	MUST(store_sqlite_open(path, &fixture_env, &made, &err));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0700);
	store_close(made);
	(void)snprintf(path, sizeof path, "%s/no/where", dir);
	ck_assert_int_eq(store_sqlite_open(path, &fixture_env, &made, &err), PARE_E_IO);
	ck_assert_ptr_nonnull(strstr(err.message, path));
}
END_TEST

START_TEST(a_newer_schema_is_refused)
{
	char was[16], back[48];

	close_store();
	raw_text("PRAGMA user_version", was, sizeof was);
	raw("PRAGMA user_version = 99");
	ck_assert_int_eq(store_sqlite_open(dir, &fixture_env, &s, &err), PARE_E_STORE);
	ck_assert_ptr_nonnull(strstr(err.message, "version 99"));
	s = NULL;
	(void)snprintf(back, sizeof back, "PRAGMA user_version = %s", was);
	raw(back);
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
}
END_TEST

/* A file of the first release, which knew neither checkpoints nor owners nor a feed, is brought up to date with all it holds. */
START_TEST(an_older_schema_is_brought_up_to_date)
{
	struct store_idempotency k = {.key = "k", .scope = "ci", .fingerprint = {1}};
	struct store_job j = {.model = "mdl_1", .request = "{}"}, got;
	struct store_event *feed;
	struct store_asset a;
	struct store_usage u;
	char id[PARE_ID_MAX];
	int n;

	close_store();
	ck_assert_int_eq(unlink(db_path), 0);
	ck_assert_int_eq(sqlite_migration_table[0].version, 1);
	raw(sqlite_migration_table[0].sql);
	raw("INSERT INTO assets VALUES ('mdl_0', 0, 'net', '{}', NULL, 1, 0); INSERT INTO assets VALUES ('mdl_1', 0, 'net', '{}', NULL, 1, 1); INSERT INTO asset_files VALUES ('mdl_1', 0, 'a.onnx', '" SHA_A "', 7);"
	    "INSERT INTO jobs VALUES ('job_1', 'queued', '', 1, 1, 0, 0, 0, 0, 3, 'n', 'mdl_1', '', '{}', '', '', '', '', '', 0, '', 0, 2);"
	    "INSERT INTO events VALUES ('job_1', 1, 1, 'job.queued', 'info', '{}');"
	    "INSERT INTO idempotency VALUES ('ci', 'k', x'01" ZEROES_31 "', 'job_1', 1795000000000);");
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
	MUST(store_job_get(MINE(s), "job_1", &got, &err));
	ck_assert_int_eq(got.status, STORE_QUEUED);
	ck_assert_str_eq(got.owner, STORE_DEFAULT_OWNER);
	ck_assert_str_eq(got.checkpoint, "");
	store_job_done(&got);
	MUST(store_asset_get(MINE(s), STORE_MODEL, "mdl_1", &a, &err));
	ck_assert_str_eq(a.owner, STORE_DEFAULT_OWNER);
	ck_assert_str_eq(a.files[0].sha256, SHA_A);
	ck_assert_int_eq(a.version, 2);
	store_asset_done(&a);
	MUST(store_asset_resolve(MINE(s), STORE_MODEL, "net", id, &err));
	ck_assert_str_eq(id, "mdl_1");
	MUST(store_job_put(MINE(s), &j, &k, &err));
	ck_assert(k.replayed);
	ck_assert_str_eq(j.id, "job_1");
	store_job_done(&j);
	MUST(store_usage(MINE(s), &u, &err));
	ck_assert(u.bytes == 7 && u.open_jobs == 1);
	put_asset(s, STORE_MODEL, SHA_B, id);
	MUST(store_feed_list(MINE(s), 0, 10, &feed, &n, &err));
	ck_assert_int_eq(n, 2);
	ck_assert_str_eq(feed[0].subject, "job_1");
	ck_assert_int_eq(feed[0].cursor, 1);
	ck_assert_str_eq(feed[1].subject, id);
	ck_assert_int_eq(feed[1].cursor, 2);
	store_event_list_done(feed, n);
	a = (struct store_asset){.kind = STORE_DATASET, .name = "net"};
	MUST(store_asset_put(MINE(s), &a, &err));
	ck_assert_int_eq(a.version, 1);
	a = (struct store_asset){.kind = STORE_MODEL, .name = "net"};
	MUST(store_asset_put(MINE(s), &a, &err));
	ck_assert_int_eq(a.version, 3); /* numbering goes on where it was */
}
END_TEST

/* Virtual machine steps of the statement that looks for an id: the whole of what a client could time. */
static int steps_of(enum query q, const char *owner, const char *id, int *out_rows)
{
	sqlite3 *db = raw_open();
	sqlite3_stmt *st;
	bool asset = q == Q_ASSET_LOAD || q == Q_ASSET_EXISTS, owner_first = asset || q == Q_UPLOAD_LOAD;
	int n;

	ck_assert_int_eq(sqlite3_prepare_v2(db, sqlite_query_table[q], -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_text(st, owner_first ? 1 : 2, owner, -1, SQLITE_STATIC), SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_text(st, owner_first ? 2 : 1, id, -1, SQLITE_STATIC), SQLITE_OK);
	if (asset)
		ck_assert_int_eq(sqlite3_bind_int(st, 3, STORE_MODEL), SQLITE_OK);
	*out_rows = 0;
	while (sqlite3_step(st) == SQLITE_ROW)
		++*out_rows;
	n = sqlite3_stmt_status(st, SQLITE_STMTSTATUS_VM_STEP, 0);
	ck_assert_int_eq(sqlite3_finalize(st), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	return n;
}

/* The database takes the same steps to not find another owner's row as to not find one that there is not; its own takes more. */
START_TEST(a_foreign_id_costs_what_an_unknown_one_costs)
{
	struct store_hook hook = {.url = "u", .events = "", .description = "", .enabled = true, .disabled_why = "", .secret = "", .old_secret = ""};
	struct store_upload upload = {.part = "00000000000000000000000000000001", .n_total = 1};
	char job[PARE_ID_MAX], unknown[PARE_ID_MAX];
	const struct {
		enum query q;
		const char *id;
	} queries[] = {{Q_JOB_LOAD_OWN, job}, {Q_ASSET_LOAD, model}, {Q_ASSET_EXISTS, model}, {Q_HOOK_LOAD_OWN, hook.id}, {Q_UPLOAD_LOAD, upload.id}};

	put_job(s, model, dataset, job);
	MUST(store_hook_put(MINE(s), &hook, &err));
	MUST(store_upload_put(MINE(s), &upload, 1, &err));
	close_store();
	for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
		const char *id = queries[i].id;
		int rows, own, foreign;

		memcpy(unknown, id, sizeof unknown);
		unknown[10] = unknown[10] == 'A' ? 'B' : 'A';
		own = steps_of(queries[i].q, STORE_DEFAULT_OWNER, id, &rows);
		ck_assert_int_eq(rows, 1);
		foreign = steps_of(queries[i].q, "other", id, &rows);
		ck_assert_int_eq(rows, 0);
		ck_assert_int_lt(foreign, own);
		ck_assert_int_eq(steps_of(queries[i].q, "other", unknown, &rows), foreign);
		ck_assert_int_eq(rows, 0);
	}
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
}
END_TEST

/* Steps of a statement that asks whether there is something. */
static int steps_to(enum query q, const char *first, const char *second, bool *out_found)
{
	sqlite3 *db = raw_open();
	sqlite3_stmt *st;
	int n;

	ck_assert_int_eq(sqlite3_prepare_v2(db, sqlite_query_table[q], -1, &st, NULL), SQLITE_OK);
	if (first != NULL)
		ck_assert_int_eq(sqlite3_bind_text(st, 1, first, -1, SQLITE_STATIC), SQLITE_OK);
	if (second != NULL) {
		ck_assert_int_eq(sqlite3_bind_text(st, 2, second, -1, SQLITE_STATIC), SQLITE_OK);
		ck_assert_int_eq(sqlite3_bind_int(st, 3, 1 << STORE_MODEL), SQLITE_OK);
		ck_assert_int_eq(sqlite3_bind_int(st, 4, 0), SQLITE_OK);
	}
	*out_found = sqlite3_step(st) == SQLITE_ROW;
	n = sqlite3_stmt_status(st, SQLITE_STMTSTATUS_VM_STEP, 0);
	ck_assert_int_eq(sqlite3_finalize(st), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	return n;
}

#define MANY_JOBS(status, finished_ms, id)                                                                                                                         \
	"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 2000) INSERT INTO jobs (id, status, phase, revision, created_ms, started_ms, finished_ms, attempt, crashes, "            \
	"max_crashes, kind, name, model, dataset, request, progress, result, error_code, error_message, error_where, lease_token, worker, lease_until, next_seq) SELECT " id ", "                         \
	"'" status "', '', 1, 1, 0, " finished_ms ", 0, 0, 3, 'prune', '', model, dataset, '', '', '', '', '', '', 0, '', 0, 1 FROM c, (SELECT model, dataset FROM jobs LIMIT 1)"

/* Jobs by status are known without counting, and it is what counting says, whatever becomes of jobs. */
static void check_counts(void)
{
	char wrong[32];
	bool found;

	raw_text("SELECT (SELECT count(*) FROM (SELECT status, count(*) FROM jobs GROUP BY status EXCEPT SELECT status, n FROM job_counts))"
	         " + (SELECT count(*) FROM (SELECT status, n FROM job_counts WHERE n <> 0 EXCEPT SELECT status, count(*) FROM jobs GROUP BY status))",
	    wrong, sizeof wrong);
	ck_assert_str_eq(wrong, "0");
	ck_assert_int_lt(steps_to(Q_JOB_COUNTS, NULL, NULL, &found), 50);
	ck_assert(found);
	ck_assert_int_lt(steps_to(Q_JOB_OLDEST_MS, NULL, NULL, &found), 50);
}

START_TEST(jobs_by_status_are_known)
{
	char job[PARE_ID_MAX];

	put_job(s, model, dataset, job);
	close_store();
	raw(MANY_JOBS("failed", "1", "'job_f' || i"));
	check_counts();
	raw(MANY_JOBS("queued", "0", "'job_q' || i"));
	check_counts();
	raw("UPDATE jobs SET status = CASE WHEN rowid % 3 = 0 THEN 'running' WHEN rowid % 3 = 1 THEN 'paused' ELSE status END");
	check_counts();
	raw("PRAGMA foreign_keys = ON; UPDATE jobs SET parent = 'job_q1', trial = id WHERE id LIKE 'job_q1_'; DELETE FROM jobs WHERE id = 'job_q1'"); /* children go with it */
	check_counts();
	raw("DELETE FROM jobs");
	check_counts();
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
}
END_TEST

/* Steps of a look for what is due, and the first that it finds. */
static int steps_of_due(const char *busy, char out_id[PARE_ID_MAX])
{
	sqlite3 *db = raw_open();
	sqlite3_stmt *st;
	int n;

	ck_assert_int_eq(sqlite3_prepare_v2(db, sqlite_query_table[Q_DELIVERY_DUE], -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_int64(st, 1, fake_wall), SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_text(st, 2, busy, -1, SQLITE_STATIC), SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_int(st, 3, 10), SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_text(st, 4, "[]", -1, SQLITE_STATIC), SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_int(st, 5, 5), SQLITE_OK);
	out_id[0] = '\0';
	while (sqlite3_step(st) == SQLITE_ROW)
		if (out_id[0] == '\0')
			(void)snprintf(out_id, PARE_ID_MAX, "%s", (const char *)sqlite3_column_text(st, 0));
	n = sqlite3_stmt_status(st, SQLITE_STMTSTATUS_VM_STEP, 0);
	ck_assert_int_eq(sqlite3_finalize(st), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	return n;
}

/* What waits for an endpoint that is busy, or beyond what it can take, is not looked through; and an endpoint knows when its first is due, whatever becomes of deliveries. */
START_TEST(a_backlog_costs_nothing)
{
	static const char backlog[] = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3000) INSERT INTO deliveries SELECT 'dlv_' || i, webhook, event, subject, type, seq, cursor, at_ms, level, data, "
	                              "created_ms, status, n_attempts, n_tries, next_ms - 1 - i % 100, finished_ms, attempts FROM deliveries, c WHERE id = (SELECT min(id) FROM deliveries)";
	static const char wrong[] = "SELECT count(*) FROM webhooks WHERE due_ms <> coalesce((SELECT min(next_ms) FROM deliveries WHERE webhook = webhooks.id AND status = 'pending'), 0)";
	static const char *const changes[] = {"UPDATE deliveries SET next_ms = next_ms + 50 WHERE id LIKE 'dlv_1%'", "UPDATE deliveries SET status = 'succeeded', next_ms = 0 WHERE id LIKE 'dlv_2%'",
	    "UPDATE deliveries SET status = 'failed', next_ms = 0", "UPDATE deliveries SET status = 'pending', next_ms = 7 WHERE id = 'dlv_30'"};
	struct store_hook hook = {.url = "u", .events = " job.queued ", .description = "", .enabled = true, .disabled_why = "", .secret = "", .old_secret = ""}, other = hook;
	char job[PARE_ID_MAX], id[PARE_ID_MAX], busy[PARE_ID_MAX + 8], n_wrong[16];
	struct store_job j;
	bool found;

	MUST(store_hook_put(MINE(s), &hook, &err));
	put_job(s, model, dataset, job);
	other.events = " job.started ";
	MUST(store_hook_put(MINE(s), &other, &err));
	MUST(store_job_claim(s, "w", 1000, &j, &found, &err));
	store_job_done(&j);
	close_store();
	raw(backlog);
	ck_assert_int_lt(steps_of_due("[]", id), 1500);
	ck_assert_str_ne(id, "");
	(void)snprintf(busy, sizeof busy, "[\"%s\"]", hook.id);
	ck_assert_int_lt(steps_of_due(busy, id), 500);
	ck_assert_str_ne(id, "");
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		raw(changes[i]);
		raw_text(wrong, n_wrong, sizeof n_wrong);
		ck_assert_str_eq(n_wrong, "0");
	}
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
}
END_TEST

/* Whether a model is in use is not looked for among the jobs that have ended, and whose a digest is not among all that somebody has, or others have. */
START_TEST(what_is_asked_often_is_not_searched_for)
{
	static const char ended[] = MANY_JOBS("failed", "1", "'job_' || i");
	static const char assets[] = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 2000) INSERT INTO assets (id, owner, kind, name, info, created_ms, n_files) "
	                             "SELECT 'mdl_' || i, 'default', 0, '', '{}', 1, 0 FROM c";
	char job[PARE_ID_MAX];
	bool found;
	int unknown;

	put_job(s, model, dataset, job);
	close_store();
	raw(ended);
	raw(assets);
	ck_assert_int_lt(steps_to(Q_MODEL_USER, model, NULL, &found), 50);
	ck_assert(found);
	raw("UPDATE jobs SET status = 'failed', finished_ms = 1");
	ck_assert_int_lt(steps_to(Q_MODEL_USER, model, NULL, &found), 50);
	ck_assert(!found);
	ck_assert_int_lt(steps_to(Q_DATASET_USER, dataset, NULL, &found), 50);
	ck_assert(!found);
	ck_assert_int_lt(steps_to(Q_BLOB_KNOWN, STORE_DEFAULT_OWNER, SHA_A, &found), 50);
	ck_assert(found);
	unknown = steps_to(Q_BLOB_KNOWN, "other", SHA_C, &found);
	ck_assert(!found && unknown < 50);
	ck_assert_int_eq(steps_to(Q_BLOB_KNOWN, "other", SHA_A, &found), unknown);
	ck_assert(!found);
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
}
END_TEST

START_TEST(settings_are_what_they_must_be)
{
	char value[32];

	close_store();
	raw_text("PRAGMA journal_mode", value, sizeof value);
	ck_assert_str_eq(value, "wal");
	raw_text("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND sql NOT LIKE '%STRICT%'", value, sizeof value);
	ck_assert_str_eq(value, "0");
	/* the queue is read along its index, not sorted */
	raw_text("SELECT count(*) FROM sqlite_schema WHERE name = 'jobs_status'", value, sizeof value);
	ck_assert_str_eq(value, "1");
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
}
END_TEST

/* Overwrites the pages of the file in [from, to) and uses the store: any answer will do that is not a crash or PARE_OK for a lie. */
static void damage(off_t from, off_t to)
{
	char junk[4096];
	int fd = open(db_path, O_WRONLY);

	memset(junk, 0xA5, sizeof junk);
	ck_assert_int_ge(fd, 0);
	for (off_t at = from; at < to; at += (off_t)sizeof junk)
		ck_assert_int_eq(pwrite(fd, junk, sizeof junk, at), (ssize_t)sizeof junk);
	ck_assert_int_eq(close(fd), 0);
}

START_TEST(a_damaged_file_is_an_error)
{
	struct stat st;
	char id[PARE_ID_MAX];
	struct store_job j;
	struct store_page page = {.limit = 10};
	struct store_job *list;
	enum pare_code code;
	bool more;
	int n;

	put_job(s, model, dataset, id);
	close_store();
	ck_assert_int_eq(stat(db_path, &st), 0);
	damage(4096, st.st_size); /* all but the first page: it opens, and holds nonsense */
	code = store_sqlite_open(dir, &fixture_env, &s, &err);
	if (code == PARE_OK) {
		ck_assert_int_eq(store_job_get(MINE(s), id, &j, &err), PARE_E_STORE);
		ck_assert_ptr_nonnull(strstr(err.message, "malformed"));
		ck_assert_int_eq(store_job_list(MINE(s), &page, &list, &n, &more, &err), PARE_E_STORE);
		ck_assert_int_eq(store_ping(s, &err), PARE_E_STORE);
		close_store();
	} else {
		ck_assert_int_eq(code, PARE_E_STORE);
		s = NULL;
	}
	damage(0, 4096);
	ck_assert_int_eq(store_sqlite_open(dir, &fixture_env, &s, &err), PARE_E_STORE);
	ck_assert_ptr_nonnull(strstr(err.where, "pared.db"));
	s = NULL;
}
END_TEST

/* --- kill -9: a child puts, claims and finishes, and says in a pipe what was acknowledged */
static void put_until_killed(int fd)
{
	struct store *mine;

	if (store_sqlite_open(dir, &fixture_env, &mine, NULL) != PARE_OK)
		_exit(1);
	for (int i = 0;; i++) {
		struct store_job j = {.max_crashes = 3, .model = model, .dataset = dataset, .request = "{\"some\":\"request\"}"}, c;
		struct store_outcome o = {.status = STORE_SUCCEEDED, .result = "{}"};
		struct store_idempotency k = {.key = "key", .scope = "", .fingerprint = {1}};
		bool flag;

		if (store_job_put(MINE(mine), &j, i == 0 ? &k : NULL, NULL) != PARE_OK || write(fd, j.id, PARE_ID_MAX) != PARE_ID_MAX)
			_exit(1);
		store_job_done(&j);
		if (i % 3 == 0 && store_job_claim(mine, "w", 1000, &c, &flag, NULL) == PARE_OK && flag) {
			if (i % 2 == 0 && store_job_finish(mine, c.id, c.lease_token, &o, NULL) != PARE_OK)
				_exit(1);
			store_job_done(&c);
		}
	}
}

/* id: the first that was acknowledged; the pipe holds the others. */
static void check_after_kill(char id[PARE_ID_MAX], int fd, int round)
{
	char answer[64];
	int64_t counts[STORE_N_STATUS], oldest;
	int n = 0, n_recovered;
	struct store_job j;

	raw_text("PRAGMA integrity_check", answer, sizeof answer);
	ck_assert_str_eq(answer, "ok");
	raw_text("SELECT count(*) FROM jobs WHERE next_seq - 1 <> (SELECT count(*) FROM events WHERE subject = jobs.id AND seq < jobs.next_seq)", answer, sizeof answer);
	ck_assert_str_eq(answer, "0");
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
	MUST(store_recover(s, &n_recovered, &err));
	MUST(store_job_counts(s, counts, &oldest, &err));
	ck_assert_int_eq(counts[STORE_RUNNING], 0);
	do {
		must(store_job_get(MINE(s), id, &j, &err), &err, "an acknowledged job is gone", round);
		store_job_done(&j);
		n++;
	} while (read(fd, id, PARE_ID_MAX) == PARE_ID_MAX);
	ck_assert_int_ge(counts[STORE_QUEUED] + counts[STORE_SUCCEEDED], n);
	close_store();
	check_counts();
}

START_TEST(kill_loses_nothing)
{
	close_store();
	for (int round = 0; round < 20; round++) {
		struct timespec nap = {.tv_sec = 0, .tv_nsec = (4 + round * 3) * 1000000L};
		char first[PARE_ID_MAX];
		int fds[2], status;
		pid_t child;

		ck_assert_int_eq(pipe(fds), 0);
		ck_assert_int_eq(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) > 0, 1);
		child = fork();
		if (child == 0)
			put_until_killed(fds[1]);
		(void)close(fds[1]);
		ck_assert_int_eq(read(fds[0], first, sizeof first), (ssize_t)sizeof first); /* it is at work */
		(void)nanosleep(&nap, NULL);
		ck_assert_int_eq(kill(child, SIGKILL), 0);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "round %d: the child gave up by itself: %d", round, status);
		check_after_kill(first, fds[0], round);
		(void)close(fds[0]);
	}
}
END_TEST

START_TEST(a_full_disk)
{
	struct rlimit old, small;
	char ids[3000][PARE_ID_MAX], answer[64];
	char *request = malloc(20000);
	struct store_job j;
	int n = 0;
	enum pare_code code = PARE_OK;

	ck_assert_ptr_nonnull(request);
	memset(request, 'r', 20000);
	request[19999] = '\0';
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 2 << 20;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	while (code == PARE_OK && n < 3000) {
		j = (struct store_job){.model = model, .dataset = dataset, .request = request};
		code = store_job_put(MINE(s), &j, NULL, &err);
		if (code == PARE_OK) {
			memcpy(ids[n++], j.id, PARE_ID_MAX);
			store_job_done(&j);
		}
	}
	ck_assert_msg(code == PARE_E_STORE_FULL, "%s: %s", pare_code_string(code), err.message);
	ck_assert_int_gt(n, 5);
	code = PARE_OK; /* what was undone left room for a few small writes */
	for (int i = 0; i < 100 && code == PARE_OK; i++) {
		fake_wall++; /* a row that stays the same is not written */
		code = store_ping(s, &err);
	}
	ck_assert_int_eq(code, PARE_E_STORE_FULL);
	MUST(store_job_get(MINE(s), ids[n - 1], &j, &err)); /* reading goes on */
	store_job_done(&j);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	fake_wall++;
	MUST(store_ping(s, &err));
	put_job(s, model, dataset, ids[n++]);
	reopen();
	for (int i = 0; i < n; i++) {
		MUST(store_job_get(MINE(s), ids[i], &j, &err));
		store_job_done(&j);
	}
	close_store();
	raw_text("PRAGMA integrity_check", answer, sizeof answer);
	ck_assert_str_eq(answer, "ok");
	free(request);
}
END_TEST

START_TEST(a_foreign_lock_is_busy_not_forever)
{
	sqlite3 *db = raw_open();
	struct timespec a, b;
	char id[PARE_ID_MAX];
	struct store_job j;

	put_job(s, model, dataset, id);
	ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	ck_assert_int_eq(store_ping(s, &err), PARE_E_BUSY);
	(void)clock_gettime(CLOCK_MONOTONIC, &b);
	ck_assert_int_le(b.tv_sec - a.tv_sec, 5);
	MUST(store_job_get(MINE(s), id, &j, &err)); /* readers do not wait */
	store_job_done(&j);
	ck_assert_int_eq(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	MUST(store_ping(s, &err));
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}
END_TEST

static double seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Each of these finds its page at once by some index; one that goes through all jobs shows. */
static const char *const team[] = {"team=a"};
#define STATUS(s) (1U << STORE_##s)
static const struct {
	struct store_page page;
	int n;
} page_table[] = {
    {{.limit = 50}, 50},
    {{.limit = 50, .ascending = true, .statuses = STATUS(QUEUED) | STATUS(SUCCEEDED) | STATUS(RUNNING)}, 50},
    {{.limit = 50, .model = "mdl_x", .dataset = "dst_x", .kind = "prune", .statuses = STATUS(FAILED)}, 1},
    {{.limit = 50, .kind = "search", .statuses = STATUS(SUCCEEDED)}, 0},
    {{.limit = 50, .labels = team, .n_labels = 1, .kind = "prune"}, 50},
    {{.limit = 50, .model = "mdl_y", .statuses = STATUS(SUCCEEDED) | STATUS(QUEUED)}, 0},
    {{.limit = 50, .kind = "prune", .created_after_ms = (int64_t)1 << 40}, 0},
};

START_TEST(a_hundred_thousand_jobs)
{
	int64_t counts[STORE_N_STATUS], oldest;
	struct store_job *list, j;
	double opened, listed, claimed;
	bool more, found;
	int n;

	close_store();
	raw("BEGIN; WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100000) INSERT INTO jobs (id, status, phase, revision, created_ms, started_ms, finished_ms, attempt, crashes, max_crashes, kind, name, model, dataset, request, progress, result, "
	    "error_code, error_message, error_where, lease_token, worker, lease_until, next_seq) SELECT 'job_00' || printf('%024d', i), CASE WHEN i <= 8 "
	    "THEN 'running' WHEN i = 9 THEN 'failed' WHEN i % 2 THEN 'queued' ELSE 'succeeded' END, '', 1, 1, 0, 0, 0, 0, 3, 'prune', '', 'mdl_x', 'dst_x', '{\"recipe\":\"ridge-magnitude\",\"seed\":42}', '', '',"
	    " '', '', '', i, '', 0, 2 FROM c; INSERT INTO job_labels SELECT 'default', 'team=a', id FROM jobs WHERE id LIKE '%00'; INSERT INTO events SELECT id, 1, owner, 1000000 + row_number() OVER (), 1, 'job.queued', 'info', '{}' FROM jobs; COMMIT");
	opened = seconds();
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
	MUST(store_recover(s, &n, &err));
	opened = seconds() - opened;
	ck_assert_int_eq(n, 8);
	MUST(store_job_counts(s, counts, &oldest, &err));
	ck_assert_int_eq(counts[STORE_QUEUED] + counts[STORE_SUCCEEDED], 99999);
	MUST(store_job_get(MINE(s), "job_00000000000000000000099999", &j, &err));
	ck_assert_int_eq(j.position, STORE_POSITION_MAX); /* further ones are not counted */
	store_job_done(&j);
	listed = seconds();
	for (size_t i = 0; i < sizeof page_table / sizeof *page_table; i++) {
		MUST(store_job_list(MINE(s), &page_table[i].page, &list, &n, &more, &err));
		ck_assert_msg(n == page_table[i].n && more == (n == 50), "list %zu: %d jobs", i, n);
		store_job_list_done(list, n);
	}
	listed = seconds() - listed;
	claimed = seconds();
	MUST(store_job_claim(s, "w", 1000, &j, &found, &err));
	claimed = seconds() - claimed;
	ck_assert_str_eq(j.id, "job_00000000000000000000000001");
	store_job_done(&j);
	ck_assert_msg(opened < 2.0, "open and recover took %.3f s", opened);
	ck_assert_msg(listed < 0.1, "a page took %.3f s", listed);
	ck_assert_msg(claimed < 0.1, "a claim took %.3f s", claimed);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {everything_is_there_after_reopening, one_process_one_store, a_lock_that_outlives_its_holder, directory_is_made_once_deep, a_newer_schema_is_refused, an_older_schema_is_brought_up_to_date,
	    a_foreign_id_costs_what_an_unknown_one_costs, jobs_by_status_are_known, a_backlog_costs_nothing, what_is_asked_often_is_not_searched_for,
	    settings_are_what_they_must_be, a_damaged_file_is_an_error, kill_loses_nothing, a_full_disk, a_foreign_lock_is_busy_not_forever, a_hundred_thousand_jobs};
	Suite *suite = suite_create("sqlite");
	TCase *tc = tcase_create("file");
	SRunner *runner;
	int n_failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed != 0;
}
