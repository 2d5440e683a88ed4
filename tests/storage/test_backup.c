/* A backup is something that a service can be started on, whatever happens to the original while and after it is made. */
#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>

#include "storage/upkeep.h"
#include "storage/uploads.h"
#include "tests/storage/fixture.h"

#define VIEW(s) MINE(s)

static char dir[64], backups[80];
static struct store *s;
static struct blob_store *blobs;
static struct pare_err err;

static void setup(void)
{
	fixture_dir(dir);
	(void)snprintf(backups, sizeof backups, "%s/backups", dir);
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
	MUST(blob_fs_open(dir, &fixture_env, &blobs, &err));
}

static void teardown(void)
{
	blob_close(blobs);
	store_close(s);
	fixture_dir_remove(dir);
}

/* A model of one file with that text; its bytes are held no longer. */
static bool put_model(const char *text, char id[PARE_ID_MAX], char sha256[STORE_SHA256_HEX])
{
	struct store_file f = {.path = "m.onnx", .n_bytes = (int64_t)strlen(text)};
	struct store_asset a = {.kind = STORE_MODEL, .name = "n", .n_files = 1, .files = &f};
	struct blob_writer *w;
	struct blob_ref ref;

	if (blob_begin(blobs, 1 << 20, &w, NULL) != PARE_OK || blob_write(w, text, strlen(text), NULL) != PARE_OK || blob_commit(w, &ref, NULL) != PARE_OK)
		return false;
	memcpy(f.sha256, ref.sha256, sizeof f.sha256);
	memcpy(sha256, ref.sha256, STORE_SHA256_HEX);
	if (store_asset_put(VIEW(s), &a, NULL) != PARE_OK)
		return false;
	blob_release(blobs, ref.sha256);
	memcpy(id, a.id, PARE_ID_MAX);
	return true;
}

static void drop_model(const char *id, const char *sha256)
{
	if (store_asset_delete(VIEW(s), STORE_MODEL, id, NULL) == PARE_OK)
		(void)store_blob_drop(s, blobs, sha256);
}

struct opened {
	struct store *s;
	struct blob_store *b;
};

static struct opened start_on(const struct store_backup *made)
{
	char path[160];
	struct opened o;

	(void)snprintf(path, sizeof path, "%s/%s", backups, made->name);
	MUST(store_sqlite_open(path, &fixture_env, &o.s, &err));
	MUST(blob_fs_open(path, &fixture_env, &o.b, &err));
	return o;
}

static void stop(struct opened o)
{
	blob_close(o.b);
	store_close(o.s);
}

static void expect_text(struct opened o, const char *id, const char *text)
{
	struct store_asset a;
	char got[64] = "";
	int64_t n;
	int fd;

	MUST(store_asset_get(VIEW(o.s), STORE_MODEL, id, &a, &err));
	MUST(blob_get(o.b, a.files[0].sha256, &fd, &n, &err));
	ck_assert_int_eq(n, (int64_t)strlen(text));
	ck_assert_int_eq(read(fd, got, sizeof got - 1), (ssize_t)strlen(text));
	ck_assert_str_eq(got, text);
	ck_assert_int_eq(close(fd), 0);
	store_asset_done(&a);
}

START_TEST(a_service_can_be_started_on_it)
{
	char kept[PARE_ID_MAX], gone[PARE_ID_MAX], later[PARE_ID_MAX], job[PARE_ID_MAX], sha[STORE_SHA256_HEX], sha_gone[STORE_SHA256_HEX], path[200], line[200];
	struct store_backup made;
	struct store_asset a;
	struct opened o;
	struct store_job j;
	struct stat st;
	FILE *list;
	int n_lines = 0;

	ck_assert(put_model("kept", kept, sha));
	ck_assert(put_model("gone", gone, sha_gone));
	put_job(s, kept, NULL, job);
	MUST(store_backup(s, blobs, backups, &made, &err));
	ck_assert_int_eq(made.n_blobs, 2);
	ck_assert_int_eq(made.n_blob_bytes, 8);
	ck_assert_int_gt(made.n_db_bytes, 0);
	/* the original goes on, and loses what the backup has */
	drop_model(gone, sha_gone);
	ck_assert(put_model("later", later, sha));
	o = start_on(&made);
	expect_text(o, kept, "kept");
	expect_text(o, gone, "gone");
	ck_assert_int_eq(store_asset_get(VIEW(o.s), STORE_MODEL, later, &a, &err), PARE_E_NOT_FOUND);
	MUST(store_job_get(VIEW(o.s), job, &j, &err));
	ck_assert_int_eq(j.status, STORE_QUEUED);
	store_job_done(&j);
	/* what is done to it is not done to the original */
	MUST(store_job_cancel(VIEW(o.s), job, &j, &err));
	store_job_done(&j);
	stop(o);
	MUST(store_job_get(VIEW(s), job, &j, &err));
	ck_assert_int_eq(j.status, STORE_QUEUED);
	store_job_done(&j);
	(void)snprintf(path, sizeof path, "%s/%s/blobs.txt", backups, made.name);
	list = fopen(path, "r");
	ck_assert_ptr_nonnull(list);
	while (fgets(line, sizeof line, list) != NULL) {
		ck_assert_uint_eq(strlen(line), 64 + 2 + 6 + 2 + 1 + 62 + 1);
		n_lines++;
	}
	ck_assert_int_eq(fclose(list), 0);
	ck_assert_int_eq(n_lines, 2);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	(void)snprintf(path, sizeof path, "%s/%s/pared.db", backups, made.name);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
}
END_TEST

/* Models come and go in threads while backups are made: every one is whole. */
static atomic_bool ends;

static void *churn(void *arg)
{
	for (int i = 0; !atomic_load(&ends); i++) {
		char text[32], id[PARE_ID_MAX], sha[STORE_SHA256_HEX];

		(void)snprintf(text, sizeof text, "%c%d", *(const char *)arg, i % 7);
		if (put_model(text, id, sha))
			drop_model(id, sha);
	}
	return NULL;
}

START_TEST(whole_beside_everything_else)
{
	static const char names[] = {'a', 'b'};
	char sha[STORE_SHA256_HEX], id[PARE_ID_MAX];
	struct store_page page = {.limit = 200};
	pthread_t threads[2];
	int n_seen = 0;

	atomic_store(&ends, false);
	for (int i = 0; i < 30; i++) {
		char text[32];

		(void)snprintf(text, sizeof text, "stays %d", i);
		ck_assert(put_model(text, id, sha));
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)&names[i]), 0);
	for (int round = 0; round < 100 && (round < 10 || n_seen < 5); round++) {
		struct store_backup made;
		struct store_asset *list;
		struct opened o;
		bool more;
		int n;

		fake_wall++;
		MUST(store_backup(s, blobs, backups, &made, &err));
		o = start_on(&made);
		MUST(store_asset_list(VIEW(o.s), STORE_MODEL, &page, &list, &n, &more, &err));
		ck_assert_int_ge(n, 30);
		n_seen += n - 30;
		for (int i = 0; i < n; i++) {
			int64_t bytes;
			int fd;

			MUST(blob_get(o.b, list[i].files[0].sha256, &fd, &bytes, &err));
			ck_assert_int_eq(bytes, list[i].files[0].n_bytes);
			ck_assert_int_eq(close(fd), 0);
		}
		store_asset_list_done(list, n);
		stop(o);
	}
	atomic_store(&ends, true);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_int_gt(n_seen, 0); /* some were caught on their way */
}
END_TEST

START_TEST(what_fails_leaves_nothing)
{
	char id[PARE_ID_MAX], sha[STORE_SHA256_HEX], path[200];
	struct store_backup made;
	struct dirent *e;
	int n = 0, n_left = 0;
	DIR *d;

	ck_assert(put_model("lost", id, sha));
	(void)snprintf(path, sizeof path, "%s/blobs/%.2s/%s", dir, sha, sha + 2);
	ck_assert_int_eq(unlink(path), 0); /* a damaged store is not backed up as if it were whole */
	ck_assert_int_eq(store_backup(s, blobs, backups, &made, &err), PARE_E_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(err.message, sha));
	(void)snprintf(path, sizeof path, "%s/20200101T000000000Z.part", backups); /* of a crash */
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert(put_model("lost", id, sha));
	MUST(store_backup(s, blobs, backups, &made, &err));
	ck_assert_int_eq(store_backup(s, blobs, backups, &made, &err), PARE_E_IO); /* the same name: there is one of this millisecond */
	d = opendir(backups);
	while ((e = readdir(d)) != NULL) {
		n_left += strstr(e->d_name, ".part") != NULL;
		n += e->d_name[0] != '.';
	}
	(void)closedir(d);
	ck_assert(n == 1 && n_left == 0);
	ck_assert_int_eq(store_backup(s, blobs, "/proc/nowhere", &made, &err), PARE_E_IO);
	/* and the pin is gone */
	drop_model(id, sha);
	ck_assert(put_model("x", id, sha));
}
END_TEST

/* Bytes that are on their way are not in it, and neither is their row: nobody is told to go on where nothing is. */
START_TEST(uploads_under_way_are_not_in_it)
{
	struct store_upload u = {.name = "n", .metadata = "", .part = "p1", .n_total = 10, .expires_ms = fake_wall + HOUR_MS};
	struct store_backup made;
	struct opened o;

	MUST(store_upload_put(VIEW(s), &u, 5, &err));
	MUST(store_backup(s, blobs, backups, &made, &err));
	o = start_on(&made);
	ck_assert_int_eq(store_upload_get(VIEW(o.s), u.id, &u, &err), PARE_E_NOT_FOUND);
	stop(o);
}
END_TEST

START_TEST(not_of_memory)
{
	struct store_backup made;
	struct store *m;

	MUST(store_memory_open(&fixture_env, &m, &err));
	ck_assert_int_eq(store_backup(m, blobs, backups, &made, &err), PARE_E_UNSUPPORTED);
	store_close(m);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("backup");
	TCase *tc = tcase_create("backup");
	SRunner *runner;
	int n_failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_service_can_be_started_on_it);
	tcase_add_test(tc, whole_beside_everything_else);
	tcase_add_test(tc, what_fails_leaves_nothing);
	tcase_add_test(tc, uploads_under_way_are_not_in_it);
	tcase_add_test(tc, not_of_memory);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed != 0;
}
