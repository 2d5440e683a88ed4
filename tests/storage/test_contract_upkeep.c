/* The contract of upkeep.h: what is too old goes, and its bytes with it; what is used, held or young stays. */
#include <pthread.h>

#include "storage/upkeep.h"
#include "tests/storage/contract.h"

#define DAY_MS (24 * HOUR_MS)

static struct blob_store *blobs;

static void begin_with_blobs(int i)
{
	begin(i);
	MUST(blob_fs_open(dir, &fixture_env, &blobs, &err));
}

static void end_with_blobs(void)
{
	blob_close(blobs);
	end();
}

static void put_blob(const char *text, bool held, char sha256[STORE_SHA256_HEX])
{
	struct blob_writer *w;
	struct blob_ref ref;

	MUST(blob_begin(blobs, 1 << 20, &w, &err));
	MUST(blob_write(w, text, strlen(text), &err));
	MUST(blob_commit(w, &ref, &err));
	if (!held)
		blob_release(blobs, ref.sha256);
	memcpy(sha256, ref.sha256, STORE_SHA256_HEX);
}

static bool is_there(const char *sha256)
{
	int64_t n;
	int fd;

	if (blob_get(blobs, sha256, &fd, &n, NULL) != PARE_OK)
		return false;
	(void)close(fd);
	return true;
}

/* A job that ends now with an artifact of that text. */
static void end_job(const char *text, char id[PARE_ID_MAX], char sha256[STORE_SHA256_HEX])
{
	struct store_artifact art = {.name = "a", .media_type = "x/y", .n_bytes = (int64_t)strlen(text)};
	struct store_outcome o = {.status = STORE_SUCCEEDED, .result = "{}", .n_artifacts = 1, .artifacts = &art};

	put_blob(text, false, sha256);
	memcpy(art.sha256, sha256, sizeof art.sha256);
	put_job(s, model, dataset, id);
	MUST(store_job_finish(s, id, claim(id), &o, &err));
}

static bool no(void *ctx)
{
	++*(int *)ctx;
	return false;
}

START_TEST(old_jobs_go)
{
	struct store_retention keep = {.jobs_ms = 2 * DAY_MS};
	struct store_freed freed = {.n_jobs = 0};
	char old[PARE_ID_MAX], young[PARE_ID_MAX], open[PARE_ID_MAX], sha_old[STORE_SHA256_HEX], sha_both[STORE_SHA256_HEX], sha_young[STORE_SHA256_HEX];
	struct store_event *events;
	struct store_usage u;
	struct store_job j;
	bool final;
	int n, asked = 0;

	begin_with_blobs(_i);
	put_job(s, model, dataset, open); /* claimed first, and never ends */
	ck_assert_int_ne(claim(open), 0);
	end_job("old", old, sha_old);
	end_job("both", young, sha_both); /* another old one, whose bytes a young one has made, too */
	fake_wall += DAY_MS;
	end_job("both", young, sha_both);
	end_job("young", young, sha_young);
	fake_wall += DAY_MS - 1;
	MUST(store_retain(s, blobs, &keep, NULL, NULL, &freed, &err));
	ck_assert(freed.n_jobs == 0 && freed.n_blobs == 0);
	fake_wall += 1;
	MUST(store_retain(s, blobs, &keep, no, &asked, &freed, &err));
	ck_assert(asked == 1 && freed.n_jobs == 0);
	MUST(store_retain(s, blobs, &keep, NULL, NULL, &freed, &err));
	ck_assert_int_eq(freed.n_jobs, 2);
	ck_assert_int_eq(freed.n_artifacts, 0);
	ck_assert_int_eq(freed.n_blobs, 1);
	ck_assert_int_eq(freed.n_bytes, 3);
	ck_assert_int_eq(store_job_get(MINE(s), old, &j, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_event_list(MINE(s), old, 0, 1, &events, &n, &final, &err), PARE_E_NOT_FOUND);
	ck_assert(!is_there(sha_old) && is_there(sha_both) && is_there(sha_young));
	ck_assert_int_eq(status_of(young), STORE_SUCCEEDED);
	ck_assert_int_eq(status_of(open), STORE_RUNNING); /* old, and not ended */
	MUST(store_usage(MINE(s), &u, &err));
	ck_assert_int_eq(u.bytes, 14 + 4 + 5);
	keep.jobs_ms = 0; /* for ever */
	fake_wall += 1000 * DAY_MS;
	MUST(store_retain(s, blobs, &keep, NULL, NULL, &freed, &err));
	ck_assert_int_eq(freed.n_jobs, 2);
	end_with_blobs();
}
END_TEST

START_TEST(old_artifacts_go)
{
	struct store_retention keep = {.artifacts_ms = DAY_MS};
	struct store_freed freed = {.n_jobs = 0};
	char id[PARE_ID_MAX], young[PARE_ID_MAX], sha[STORE_SHA256_HEX], sha_young[STORE_SHA256_HEX];
	struct store_artifact *list;
	struct store_usage u;
	struct store_job j;
	int64_t revision;
	int n;

	begin_with_blobs(_i);
	end_job("old", id, sha);
	MUST(store_job_get(MINE(s), id, &j, &err));
	revision = j.revision;
	store_job_done(&j);
	fake_wall += DAY_MS;
	end_job("young", young, sha_young);
	MUST(store_retain(s, blobs, &keep, NULL, NULL, &freed, &err));
	ck_assert(freed.n_jobs == 0 && freed.n_artifacts == 1 && freed.n_blobs == 1 && freed.n_bytes == 3);
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_SUCCEEDED);
	ck_assert_int_eq(j.revision, revision + 1); /* what it looks like has changed */
	store_job_done(&j);
	MUST(store_artifact_list(MINE(s), id, &list, &n, &err));
	ck_assert_int_eq(n, 0);
	store_artifact_list_done(list, n);
	expect_events(id, "job.queued job.started job.succeeded");
	ck_assert(!is_there(sha) && is_there(sha_young));
	MUST(store_usage(MINE(s), &u, &err));
	ck_assert_int_eq(u.bytes, 14 + 5);
	MUST(store_job_delete(MINE(s), id, &err));
	MUST(store_usage(MINE(s), &u, &err));
	ck_assert_int_eq(u.bytes, 14 + 5);
	end_with_blobs();
}
END_TEST

/* A child goes with its parent and not before, however long ago it ended. */
START_TEST(families_go_together)
{
	struct store_retention keep = {.jobs_ms = DAY_MS, .artifacts_ms = DAY_MS};
	struct store_freed freed = {.n_jobs = 0};
	struct store_child child = {.kind = "trial", .request = "{}", .trial = "{}"};
	struct store_artifact art = {.name = "a", .media_type = "x/y", .n_bytes = 5};
	struct store_outcome o = {.status = STORE_SUCCEEDED, .result = "{}", .n_artifacts = 1, .artifacts = &art};
	char parent[PARE_ID_MAX], id[PARE_ID_MAX], sha[STORE_SHA256_HEX];
	struct store_usage u;
	struct store_job j;
	int64_t token;

	begin_with_blobs(_i);
	put_job(s, model, dataset, parent);
	MUST(store_job_fork(s, parent, claim(parent), &child, 1, 1, 0, &err));
	MUST(store_usage(MINE(s), &u, &err));
	ck_assert_int_eq(u.open_jobs, 1); /* they count as one */
	token = claim(id);
	ck_assert_str_ne(id, parent);
	put_blob("child", false, sha);
	memcpy(art.sha256, sha, sizeof art.sha256);
	MUST(store_job_finish(s, id, token, &o, &err));
	fake_wall += 3 * DAY_MS;
	MUST(store_retain(s, blobs, &keep, NULL, NULL, &freed, &err));
	ck_assert(freed.n_jobs == 0 && freed.n_artifacts == 0 && is_there(sha)); /* the parent needs it */
	token = claim(id);
	ck_assert_str_eq(id, parent);
	finish(parent, token, STORE_SUCCEEDED);
	keep.artifacts_ms = 0;
	fake_wall += DAY_MS;
	MUST(store_retain(s, blobs, &keep, NULL, NULL, &freed, &err));
	ck_assert_int_eq(freed.n_jobs, 1);
	ck_assert_int_eq(freed.n_blobs, 1);
	ck_assert(!is_there(sha));
	ck_assert_int_eq(store_job_get(MINE(s), parent, &j, &err), PARE_E_NOT_FOUND);
	MUST(store_usage(MINE(s), &u, &err));
	ck_assert_int_eq(u.bytes, 14);
	end_with_blobs();
}
END_TEST

START_TEST(what_nothing_names_goes)
{
	struct store_freed freed = {.n_jobs = 0};
	char job[PARE_ID_MAX], named[STORE_SHA256_HEX], loose[STORE_SHA256_HEX], held[STORE_SHA256_HEX];

	begin_with_blobs(_i);
	end_job("named", job, named);
	put_blob("loose", false, loose);
	put_blob("held by an upload", true, held);
	MUST(store_collect(s, blobs, NULL, NULL, &freed, &err));
	ck_assert(freed.n_blobs == 1 && freed.n_bytes == 5);
	ck_assert(is_there(named) && !is_there(loose) && is_there(held));
	blob_release(blobs, held);
	MUST(store_collect(s, blobs, NULL, NULL, &freed, &err));
	ck_assert(freed.n_blobs == 2 && freed.n_bytes == 22);
	ck_assert(is_there(named) && !is_there(held));
	end_with_blobs();
}
END_TEST

/* Uploads of ever the same few bytes, while collections run one after the other: no row ever names bytes that are gone. They go on until a collection has met them. */
#define N_UPLOADS 200
static atomic_int n_lost, n_running;
static atomic_bool met;

static void *upload_many(void *arg)
{
	char first = *(const char *)arg, text[2] = {first, '\0'};
	int n_done = 0;

	for (int i = 0; i < N_UPLOADS || (!atomic_load(&met) && i < 100 * N_UPLOADS); i++) {
		struct store_file f = {.path = "a", .n_bytes = 1};
		struct store_asset a = {.kind = STORE_MODEL, .name = "n", .n_files = 1, .files = &f};
		struct blob_writer *w;
		struct blob_ref ref;

		text[0] = (char)(first + i % 2);
		if (blob_begin(blobs, 10, &w, NULL) != PARE_OK || blob_write(w, text, 1, NULL) != PARE_OK || blob_commit(w, &ref, NULL) != PARE_OK)
			break;
		memcpy(f.sha256, ref.sha256, sizeof f.sha256);
		if (store_asset_put(MINE(s), &a, NULL) != PARE_OK)
			break;
		blob_release(blobs, ref.sha256);
		if (!is_there(ref.sha256))
			atomic_fetch_add(&n_lost, 1);
		if (store_asset_delete(MINE(s), STORE_MODEL, a.id, NULL) != PARE_OK)
			break;
		n_done = i + 1;
	}
	if (n_done < N_UPLOADS)
		atomic_fetch_add(&n_lost, 1);
	atomic_fetch_sub(&n_running, 1);
	return NULL;
}

START_TEST(beside_uploads)
{
	static const char firsts[] = {'a', 'a', 'b'}; /* they share bytes */
	struct store_freed freed = {.n_jobs = 0};
	pthread_t threads[3];

	begin_with_blobs(_i);
	atomic_store(&n_lost, 0);
	atomic_store(&n_running, 3);
	atomic_store(&met, false);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, upload_many, (void *)(uintptr_t)&firsts[i]), 0);
	while (atomic_load(&n_running) > 0) {
		MUST(store_collect(s, blobs, NULL, NULL, &freed, &err));
		atomic_store(&met, freed.n_blobs > 0);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_int_eq(atomic_load(&n_lost), 0);
	ck_assert_int_gt(freed.n_blobs, 0); /* they did meet */
	end_with_blobs();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {old_jobs_go, old_artifacts_go, families_go_together, what_nothing_names_goes, beside_uploads};

	return run_over_backends("store contract: upkeep", tests, sizeof tests / sizeof *tests) != 0;
}
