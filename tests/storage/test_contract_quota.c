/* The contract of store.h about what owners may have. */
#include <pthread.h>

#include "storage/uploads.h"
#include "tests/storage/contract.h"

#define PART_A "00000000000000000000000000000001"
#define PART_B "00000000000000000000000000000002"

#define THEIRS ((struct store_view){s, "other"})

static struct store_usage usage_of(struct store_view v)
{
	struct store_usage u;

	MUST(store_usage(v, &u, &err));
	return u;
}

static void quota(int64_t bytes, int64_t jobs)
{
	store_set_quota(s, &(struct store_quota){.max_bytes = bytes, .max_open_jobs = jobs});
}

/* Every way in which bytes come and go: begin() has put two files of 7 bytes. */
START_TEST(bytes_are_counted)
{
	struct store_artifact art[2] = {{.name = "a", .media_type = "x/y", .sha256 = SHA_C, .n_bytes = 100}, {.name = "b", .media_type = "x/y", .sha256 = SHA_C, .n_bytes = 20}};
	struct store_outcome o = {.status = STORE_SUCCEEDED, .result = "{}", .n_artifacts = 2, .artifacts = art};
	struct store_file files[2] = {{.path = "a", .sha256 = SHA_A, .n_bytes = 1000}, {.path = "b", .sha256 = SHA_A, .n_bytes = 2000}};
	struct store_asset a = {.kind = STORE_MODEL, .name = "n", .n_files = 2, .files = files};
	char job[PARE_ID_MAX];

	begin(_i);
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14);
	ck_assert_int_eq(usage_of(THEIRS).bytes, 0);
	MUST(store_asset_put(THEIRS, &a, &err));
	ck_assert_int_eq(usage_of(THEIRS).bytes, 3000); /* equal bytes count for each who has them */
	MUST(store_asset_put(MINE(s), &a, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 3014);
	MUST(store_asset_delete(MINE(s), STORE_MODEL, a.id, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14);
	put_job(s, model, dataset, job);
	ck_assert_int_eq(usage_of(MINE(s)).open_jobs, 1);
	MUST(store_job_finish(s, job, claim(job), &o, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 134);
	ck_assert_int_eq(usage_of(MINE(s)).open_jobs, 0);
	MUST(store_job_delete(MINE(s), job, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14);
	ck_assert_int_eq(usage_of(THEIRS).bytes, 3000);
	end();
}
END_TEST

START_TEST(bytes_have_an_end)
{
	struct store_file f = {.path = "a", .sha256 = SHA_A, .n_bytes = 86};
	struct store_asset a = {.kind = STORE_MODEL, .name = "n", .n_files = 1, .files = &f};
	struct store_artifact art = {.name = "a", .media_type = "x/y", .sha256 = SHA_C, .n_bytes = 500};
	struct store_outcome o = {.status = STORE_SUCCEEDED, .result = "{}", .n_artifacts = 1, .artifacts = &art};
	char job[PARE_ID_MAX];

	begin(_i);
	quota(100, 0);
	MUST(store_quota_check(MINE(s), 86, &err));
	ck_assert_int_eq(store_quota_check(MINE(s), 87, &err), PARE_E_QUOTA_BYTES);
	ck_assert_ptr_nonnull(strstr(err.message, "14 of 100"));
	f.n_bytes = 87;
	ck_assert_int_eq(store_asset_put(MINE(s), &a, &err), PARE_E_QUOTA_BYTES);
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14);
	f.n_bytes = 86;
	MUST(store_asset_put(MINE(s), &a, &err));
	f.n_bytes = 1;
	ck_assert_int_eq(store_asset_put(MINE(s), &a, &err), PARE_E_QUOTA_BYTES);
	MUST(store_asset_put(THEIRS, &a, &err)); /* each has a share of its own */
	/* what a job has made is kept, and the next upload hears of it */
	put_job(s, model, dataset, job);
	MUST(store_job_finish(s, job, claim(job), &o, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 600);
	ck_assert_int_eq(usage_of(MINE(s)).quota.max_bytes, 100);
	f.n_bytes = INT64_MAX;
	ck_assert_int_eq(store_asset_put(MINE(s), &a, &err), PARE_E_QUOTA_BYTES);
	end();
}
END_TEST

START_TEST(open_jobs_have_an_end)
{
	struct store_idempotency k = {.key = "k", .scope = "", .fingerprint = {1}};
	struct store_job j = {.max_crashes = 1, .model = model, .request = "{}"}, next = j, again = j, out;
	char first[PARE_ID_MAX];

	begin(_i);
	quota(0, 2);
	put_job(s, model, dataset, first);
	MUST(store_job_put(MINE(s), &j, &k, &err));
	ck_assert_int_eq(store_job_put(MINE(s), &next, NULL, &err), PARE_E_QUOTA);
	ck_assert_ptr_nonnull(strstr(err.message, "2 jobs"));
	MUST(store_job_put(MINE(s), &again, &k, &err)); /* that one is there already */
	ck_assert(k.replayed);
	store_job_done(&again);
	MUST(store_job_cancel(MINE(s), j.id, &out, &err));
	store_job_done(&out);
	MUST(store_job_put(MINE(s), &next, NULL, &err));
	store_job_done(&next);
	store_job_done(&j);
	ck_assert_int_eq(usage_of(MINE(s)).open_jobs, 2);
	end();
}
END_TEST

#define N_THREADS 4
static atomic_int n_stored, n_refused;

static void *put_many(void *arg)
{
	struct store_file f = {.path = "a", .sha256 = SHA_A, .n_bytes = 10};

	(void)arg;
	for (int i = 0; i < 25; i++) {
		struct store_asset a = {.kind = STORE_MODEL, .name = "n", .n_files = 1, .files = &f};
		enum pare_code code = store_asset_put(MINE(s), &a, NULL);

		atomic_fetch_add(code == PARE_E_QUOTA_BYTES ? &n_refused : &n_stored, 1);
	}
	return NULL;
}

START_TEST(nobody_slips_through_together)
{
	pthread_t threads[N_THREADS];

	begin(_i);
	quota(14 + 10 * 37, 0);
	atomic_store(&n_stored, 0);
	atomic_store(&n_refused, 0);
	for (int i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, put_many, NULL), 0);
	for (int i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_int_eq(atomic_load(&n_stored), 37);
	ck_assert_int_eq(atomic_load(&n_refused), 100 - 37);
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14 + 10 * 37);
	end();
}
END_TEST

static struct store_upload upload(const char *part, int64_t n_total, int64_t n_synced, const char *sha256)
{
	struct store_upload u = {.n_total = n_total, .n_synced = n_synced, .expires_ms = fake_wall + HOUR_MS};

	memcpy(u.part, part, sizeof u.part);
	(void)snprintf(u.sha256, sizeof u.sha256, "%s", sha256);
	return u;
}

/* What has come of an upload counts, and goes over to what is made of it. begin() has put files of SHA_A and SHA_B. */
START_TEST(uploads_are_counted)
{
	struct store_file f = {.path = "a", .sha256 = SHA_C, .n_bytes = 60};
	struct store_asset a = {.kind = STORE_MODEL, .name = "n", .n_files = 1, .files = &f}, twice = a;
	struct store_upload u, v;

	begin(_i);
	u = upload(PART_A, 60, 0, "");
	MUST(store_upload_put(MINE(s), &u, 5, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14);
	u.n_synced = 25;
	MUST(store_upload_update(MINE(s), &u, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14 + 25);
	ck_assert_int_eq(usage_of(THEIRS).bytes, 0);
	u.n_synced = 60;
	memcpy(u.sha256, SHA_C, sizeof u.sha256);
	MUST(store_upload_update(MINE(s), &u, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14 + 60);
	quota(80, 0);
	MUST(store_asset_put(MINE(s), &a, &err)); /* takes no more */
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14 + 60);
	quota(0, 0);
	MUST(store_asset_put(MINE(s), &twice, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14 + 120);
	v = upload(PART_B, 60, 60, SHA_C); /* of bytes that are there */
	MUST(store_upload_put(MINE(s), &v, 5, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14 + 120);
	MUST(store_upload_delete(MINE(s), v.id, &err));
	MUST(store_asset_delete(MINE(s), STORE_MODEL, twice.id, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14 + 60);
	MUST(store_asset_delete(MINE(s), STORE_MODEL, a.id, &err)); /* and is the upload's again */
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14 + 60);
	MUST(store_upload_delete(MINE(s), u.id, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 14);
	end();
}
END_TEST

START_TEST(uploads_have_an_end)
{
	struct store_upload u, other, whole;

	begin(_i);
	quota(100, 0);
	u = upload(PART_A, 87, 0, "");
	ck_assert_int_eq(store_upload_put(MINE(s), &u, 5, &err), PARE_E_QUOTA_BYTES); /* what it will be */
	u.n_total = 86;
	MUST(store_upload_put(MINE(s), &u, 5, &err));
	other = upload(PART_B, -1, 0, "");
	MUST(store_upload_put(MINE(s), &other, 5, &err));
	other.n_synced = 80;
	MUST(store_upload_update(MINE(s), &other, &err));
	u.n_synced = 7;
	ck_assert_int_eq(store_upload_update(MINE(s), &u, &err), PARE_E_QUOTA_BYTES);
	ck_assert_ptr_nonnull(strstr(err.message, "94 of 100"));
	u.n_synced = 6;
	MUST(store_upload_update(MINE(s), &u, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 100);
	MUST(store_upload_update(MINE(s), &u, &err)); /* as it is it may stay */
	whole = upload("00000000000000000000000000000003", 1, 1, SHA_C);
	ck_assert_int_eq(store_upload_put(MINE(s), &whole, 5, &err), PARE_E_QUOTA_BYTES);
	MUST(store_upload_put(THEIRS, &whole, 5, &err));
	whole = upload("00000000000000000000000000000004", 7, 7, SHA_A);
	MUST(store_upload_put(MINE(s), &whole, 5, &err)); /* a file's bytes */
	MUST(store_upload_delete(MINE(s), other.id, &err));
	u.n_synced = 86;
	MUST(store_upload_update(MINE(s), &u, &err));
	ck_assert_int_eq(usage_of(MINE(s)).bytes, 100);
	end();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {uploads_are_counted, uploads_have_an_end, bytes_are_counted, bytes_have_an_end, open_jobs_have_an_end, nobody_slips_through_together};

	return run_over_backends("store contract: quotas", tests, sizeof tests / sizeof *tests) != 0;
}
