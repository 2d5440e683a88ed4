/* A daemon that is killed while it brings an older database up to date. A child opens the store and is killed as its nth statement begins, for every n there is; what it leaves must be the
 * schema of some release, whole, with every row, and the next start must end where an undisturbed one ends. */
#include "storage/sqlite/sqlite_priv.h"
#include "tests/storage/fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#define MAX_VERSIONS 64
#define SCHEMA_MAX 32768
#define ROWS \
	"INSERT INTO assets VALUES ('mdl_1', 0, 'net', '{}', NULL, 1, 1); INSERT INTO asset_files VALUES ('mdl_1', 0, 'a.onnx', '" SHA_A "', 7);" \
	"INSERT INTO jobs VALUES ('job_1', 'queued', '', 1, 1, 0, 0, 0, 0, 3, 'n', 'mdl_1', '', '{}', '', '', '', '', '', 0, '', 0, 2);" \
	"INSERT INTO events VALUES ('job_1', 1, 1, 'job.queued', 'info', '{}');" \
	"INSERT INTO artifacts VALUES ('art_1', 'job_1', 'a', 'b/c', '" SHA_B "', 5, 1);" \
	"INSERT INTO idempotency VALUES ('ci', 'k', zeroblob(32), 'job_1', 1795000000000);"

static char dir[64], db_path[80];
static char schemas[MAX_VERSIONS][SCHEMA_MAX]; /* by version */
static int newest;
static struct pare_err err;

static void run(sqlite3 *db, const char *sql)
{
	char *why = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
		ck_abort_msg("%s: %.80s", why, sql);
}

static void ask(sqlite3 *db, const char *sql, char *out, size_t size)
{
	sqlite3_stmt *st;

	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	ck_assert_int_lt(snprintf(out, size, "%s", sqlite3_column_type(st, 0) == SQLITE_NULL ? "" : (const char *)sqlite3_column_text(st, 0)), (int)size);
	ck_assert_int_eq(sqlite3_finalize(st), SQLITE_OK);
}

static void ask_schema(sqlite3 *db, char out[SCHEMA_MAX])
{
	ask(db, "SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name)", out, SCHEMA_MAX);
}

/* What each release looked like, from the steps one by one. */
static void setup(void)
{
	sqlite3 *db;

	fixture_dir(dir);
	(void)snprintf(db_path, sizeof db_path, "%s/pared.db", dir);
	ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
	for (const struct sqlite_migration *m = sqlite_migration_table; m->version != 0; m++) {
		ck_assert(m->version == newest + 1 && m->version < MAX_VERSIONS);
		newest = m->version;
		run(db, m->sql);
		ask_schema(db, schemas[newest]);
		ck_assert_str_ne(schemas[newest], schemas[newest - 1]);
	}
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void teardown(void)
{
	fixture_dir_remove(dir);
}

/* The database as the first release left it; version 0: there is none. */
static void make_old(int version)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char path[96];
	sqlite3 *db;

	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		(void)snprintf(path, sizeof path, "%s%s", db_path, suffixes[i]);
		(void)unlink(path);
	}
	if (version == 0)
		return;
	ck_assert_int_eq(sqlite3_open(db_path, &db), SQLITE_OK);
	run(db, sqlite_migration_table[0].sql);
	run(db, ROWS);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static int statements_left;

static int die(unsigned int what, void *ctx, void *statement, void *text)
{
	(void)what, (void)ctx, (void)statement, (void)text;
	if (statements_left-- == 0)
		(void)raise(SIGKILL);
	return 0;
}

static int watch(sqlite3 *db, char **why, const void *api)
{
	(void)why, (void)api;
	return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, die, NULL);
}

/* False: it had no nth statement and came to its end. */
static bool killed_at(int n)
{
	pid_t child = fork();
	int status;

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		struct store *s;

		statements_left = n;
		if (sqlite3_auto_extension((void (*)(void))watch) != SQLITE_OK)
			_exit(1);
		_exit(store_sqlite_open(dir, &fixture_env, &s, NULL) == PARE_OK ? 0 : 2);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		ck_assert_int_eq(WTERMSIG(status), SIGKILL);
	else
		ck_assert_int_eq(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

static int check_left(int n, int from)
{
	static char schema[SCHEMA_MAX];
	char text[64];
	sqlite3 *db;
	int version;

	ck_assert_int_eq(sqlite3_open(db_path, &db), SQLITE_OK);
	ask(db, "PRAGMA integrity_check", text, sizeof text);
	ck_assert_str_eq(text, "ok");
	ask(db, "PRAGMA user_version", text, sizeof text);
	version = atoi(text);
	ck_assert_int_ge(version, from);
	ask_schema(db, schema);
	ck_assert_msg(strcmp(schema, schemas[version]) == 0, "killed at statement %d: the file says version %d and is not it:\n%s", n, version, schema);
	if (from > 0) {
		ask(db, "SELECT (SELECT count(*) FROM assets) || (SELECT count(*) FROM asset_files) || (SELECT count(*) FROM jobs) || (SELECT count(*) FROM events) || (SELECT count(*) FROM artifacts)"
		        " || (SELECT count(*) FROM idempotency) || (SELECT count(*) FROM pragma_foreign_key_check)", text, sizeof text);
		ck_assert_str_eq(text, "1111110");
	}
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	return version;
}

static void check_goes_on(int from)
{
	struct store *s;
	struct store_job j;
	struct store_usage u;

	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
	MUST(store_usage(MINE(s), &u, &err));
	if (from > 0) {
		MUST(store_job_get(MINE(s), "job_1", &j, &err));
		ck_assert_int_eq(j.status, STORE_QUEUED);
		store_job_done(&j);
	}
	ck_assert_int_eq(u.bytes, from > 0 ? 12 : 0); /* counted once */
	store_close(s);
}

START_TEST(killed_anywhere_it_goes_on)
{
	bool seen[MAX_VERSIONS] = {false};
	int from = _i, n = 0;

	for (;; n++) {
		make_old(from);
		if (!killed_at(n))
			break;
		seen[check_left(n, from)] = true;
		check_goes_on(from);
		ck_assert_int_eq(check_left(n, from), newest);
	}
	ck_assert_int_gt(n, 2 * (newest - from));
	for (int v = from; v < newest; v++) /* nothing follows the last */
		ck_assert_msg(seen[v], "no kill left version %d", v);
}
END_TEST

#define STEP_UPLOADS 21
#define UPLOAD(id, owner, synced, sha) "INSERT INTO uploads VALUES ('" id "', '" owner "', '', '', '" id "', -1, " synced ", '" sha "', 1, 1);"

START_TEST(uploads_that_are_there_are_counted)
{
	struct store_usage mine, theirs;
	struct store *s;
	sqlite3 *db;

	make_old(0);
	ck_assert_int_eq(sqlite3_open(db_path, &db), SQLITE_OK);
	for (const struct sqlite_migration *m = sqlite_migration_table; m->version < STEP_UPLOADS; m++) {
		run(db, m->sql);
		if (m->version == 1)
			run(db, ROWS);
	}
	run(db, UPLOAD("u1", "default", "100", "") UPLOAD("u2", "default", "7", SHA_A) UPLOAD("u3", "default", "20", SHA_C) UPLOAD("u4", "acme", "7", SHA_A));
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
	MUST(store_usage(MINE(s), &mine, &err));
	MUST(store_usage((struct store_view){s, "acme"}, &theirs, &err));
	ck_assert_int_eq(mine.bytes, 12 + 100 + 20); /* u2 is the model's file */
	ck_assert_int_eq(theirs.bytes, 7);
	store_close(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("migrate");
	TCase *tc = tcase_create("kill");
	SRunner *runner;
	int n_failed;

	tcase_set_timeout(tc, 180);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, uploads_that_are_there_are_counted);
	tcase_add_loop_test(tc, killed_anywhere_it_goes_on, 0, 2);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed != 0;
}
