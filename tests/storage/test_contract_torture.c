/* The contract of store.h when several call at once, and when memory runs out at any point. */
#include <pthread.h>

#include "tests/storage/contract.h"
#include "tests/support/fail_alloc.h"

/* --- threads: a check inside one would exit from the wrong place, so they count and the test looks */
#define N_JOBS 300
#define N_THREADS 4
static char claimed[N_THREADS][N_JOBS][PARE_ID_MAX];
static int n_claimed[N_THREADS];
static atomic_int n_wrong;

static void *claim_all(void *arg)
{
	int me = *(const int *)arg;
	struct store_job j;
	bool found = true;

	while (n_claimed[me] < N_JOBS) {
		if (store_job_claim(s, "w", 60000, &j, &found, NULL) != PARE_OK) {
			atomic_fetch_add(&n_wrong, 1);
			break;
		}
		if (!found)
			break;
		memcpy(claimed[me][n_claimed[me]++], j.id, PARE_ID_MAX);
		store_job_done(&j);
	}
	return NULL;
}

static void in_threads(void *(*fn)(void *))
{
	static int numbers[N_THREADS] = {0, 1, 2, 3};
	pthread_t threads[N_THREADS];

	atomic_store(&n_wrong, 0);
	for (int i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, fn, &numbers[i]), 0);
	for (int i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_int_eq(atomic_load(&n_wrong), 0);
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(a, b);
}

START_TEST(exactly_one_claim)
{
	static char all[N_JOBS + 1][PARE_ID_MAX];
	char id[PARE_ID_MAX];
	int n = 0;

	begin(_i);
	for (int i = 0; i < N_JOBS; i++)
		put_job(s, model, dataset, id);
	memset(n_claimed, 0, sizeof n_claimed);
	in_threads(claim_all);
	for (int t = 0; t < N_THREADS; t++)
		for (int i = 0; i < n_claimed[t]; i++) {
			ck_assert_int_lt(n, N_JOBS);
			memcpy(all[n++], claimed[t][i], PARE_ID_MAX);
		}
	ck_assert_int_eq(n, N_JOBS);
	qsort(all, N_JOBS, PARE_ID_MAX, compare_ids);
	for (int i = 1; i < N_JOBS; i++)
		ck_assert_str_ne(all[i - 1], all[i]);
	end();
}
END_TEST

static char shared_id[PARE_ID_MAX];
static int64_t shared_token;

static void *add_events(void *arg)
{
	struct store_event *list;
	bool final;
	int n;

	(void)arg;
	for (int i = 0; i < 50; i++) {
		if (store_job_event(s, shared_id, shared_token, "job.log", "info", "{}", "p", NULL, NULL) != PARE_OK)
			atomic_fetch_add(&n_wrong, 1);
		if (store_event_list(MINE(s), shared_id, 0, 1000, &list, &n, &final, NULL) != PARE_OK) {
			atomic_fetch_add(&n_wrong, 1);
			continue;
		}
		for (int k = 0; k < n; k++)
			if (list[k].seq != k + 1) /* a reader never sees a gap either */
				atomic_fetch_add(&n_wrong, 1);
		store_event_list_done(list, n);
	}
	return NULL;
}

START_TEST(event_numbers_have_no_gaps)
{
	char types[20 * 210];

	begin(_i);
	put_job(s, model, dataset, shared_id);
	shared_token = claim(shared_id);
	in_threads(add_events);
	event_types(shared_id, types, sizeof types);
	ck_assert_uint_eq(strlen(types), strlen("job.queued job.started") + N_THREADS * 50 * strlen(" job.log"));
	end();
}
END_TEST

/* Half of the threads cancel, half finish: whatever wins, the job ends once. */
static atomic_int n_finished;

static void *cancel_or_finish(void *arg)
{
	struct store_outcome o = {.status = STORE_SUCCEEDED};
	struct store_job j;
	enum pare_code code;

	if (*(const int *)arg % 2 == 0) {
		code = store_job_cancel(MINE(s), shared_id, &j, NULL);
		if (code == PARE_OK)
			store_job_done(&j);
		else if (code != PARE_E_CONFLICT)
			atomic_fetch_add(&n_wrong, 1);
		return NULL;
	}
	code = store_job_finish(s, shared_id, shared_token, &o, NULL);
	if (code == PARE_OK)
		atomic_fetch_add(&n_finished, 1);
	else if (code != PARE_E_LEASE_LOST)
		atomic_fetch_add(&n_wrong, 1);
	return NULL;
}

START_TEST(cancel_races_finish)
{
	begin(_i);
	for (int round = 0; round < 20; round++) {
		put_job(s, model, dataset, shared_id);
		shared_token = claim(shared_id);
		atomic_store(&n_finished, 0);
		in_threads(cancel_or_finish);
		ck_assert_int_eq(atomic_load(&n_finished), 1);
		expect_events(shared_id, "job.queued job.started job.succeeded");
	}
	end();
}
END_TEST

static atomic_int n_replayed;
static char replay_ids[N_THREADS][PARE_ID_MAX];

static void *put_with_one_key(void *arg)
{
	struct store_idempotency k = {.key = "same", .scope = "", .fingerprint = {7}};
	struct store_job j = {.model = model, .dataset = dataset, .request = "{}"};

	if (store_job_put(MINE(s), &j, &k, NULL) != PARE_OK) {
		atomic_fetch_add(&n_wrong, 1);
		return NULL;
	}
	atomic_fetch_add(&n_replayed, k.replayed);
	memcpy(replay_ids[*(const int *)arg], j.id, PARE_ID_MAX);
	store_job_done(&j);
	return NULL;
}

START_TEST(one_key_at_once_makes_one_job)
{
	begin(_i);
	atomic_store(&n_replayed, 0);
	in_threads(put_with_one_key);
	ck_assert_int_eq(atomic_load(&n_replayed), N_THREADS - 1);
	for (int i = 1; i < N_THREADS; i++)
		ck_assert_str_eq(replay_ids[0], replay_ids[i]);
	end();
}
END_TEST

/* --- out of memory at every allocation of the main path: an error comes back, nothing leaks, the store works afterwards */
static enum pare_code main_path(void)
{
	struct store_artifact art = {.name = "a", .media_type = "b", .sha256 = SHA_C, .n_bytes = 1}, got_artifact, *arts;
	struct store_outcome failed = {.status = STORE_FAILED, .code = PARE_E_SHAPE, .message = "m", .n_artifacts = 1, .artifacts = &art};
	struct store_idempotency k = {.key = "key", .scope = "", .fingerprint = {1}};
	struct store_job j = {.max_crashes = 9, .model = model, .dataset = dataset, .request = "{}"}, got, *jobs;
	struct store_page page = {.limit = 5};
	struct store_asset *assets;
	struct store_event *events;
	enum store_job_status asked;
	bool flag, found;
	int64_t token = 0;
	int n;
	enum pare_code code = store_job_put(MINE(s), &j, &k, &err);

	if (code != PARE_OK)
		return code;
	store_job_done(&j);
	code = store_job_claim(s, "w", 1000, &got, &found, &err);
	if (code == PARE_OK) {
		ck_assert(found);
		token = got.lease_token;
		memcpy(j.id, got.id, sizeof j.id);
		store_job_done(&got);
		code = store_job_event(s, j.id, token, "job.log", "info", "{}", "p", "{}", &err);
	}
	if (code == PARE_OK)
		code = store_job_release(s, j.id, token, true, "r", &err);
	if (code == PARE_OK)
		code = store_job_claim(s, "w", 1000, &got, &found, &err);
	if (code == PARE_OK) {
		token = got.lease_token;
		store_job_done(&got);
		code = store_job_renew(s, j.id, token, 1000, &asked, &err);
	}
	if (code == PARE_OK)
		code = store_job_finish(s, j.id, token, &failed, &err);
	if (code == PARE_OK)
		code = store_event_list(MINE(s), j.id, 0, 10, &events, &n, &flag, &err);
	if (code == PARE_OK) {
		store_event_list_done(events, n);
		code = store_artifact_list(MINE(s), j.id, &arts, &n, &err);
	}
	if (code == PARE_OK) {
		store_artifact_list_done(arts, n);
		code = store_artifact_get(MINE(s), j.id, "a", &got_artifact, &err);
	}
	if (code == PARE_OK) {
		store_artifact_done(&got_artifact);
		code = store_job_list(MINE(s), &page, &jobs, &n, &flag, &err);
	}
	if (code == PARE_OK) {
		store_job_list_done(jobs, n);
		code = store_asset_list(MINE(s), STORE_MODEL, &page, &assets, &n, &flag, &err);
	}
	if (code == PARE_OK) {
		store_asset_list_done(assets, n);
		code = store_job_delete(MINE(s), j.id, &err);
	}
	return code;
}

static enum pare_code whole_life(int backend)
{
	enum pare_code code = backend_table[backend].open();
	struct store_file f = {.path = "p", .sha256 = SHA_A, .n_bytes = 1};
	struct store_asset m = {.kind = STORE_MODEL, .name = "m", .info = "{}", .n_files = 1, .files = &f};
	struct store_asset d = {.kind = STORE_DATASET, .name = "d", .info = "{}", .produced_by = "j", .n_files = 1, .files = &f};

	if (code != PARE_OK)
		return code;
	code = store_asset_put(MINE(s), &m, &err);
	if (code == PARE_OK)
		code = store_asset_put(MINE(s), &d, &err);
	memcpy(model, m.id, sizeof model);
	memcpy(dataset, d.id, sizeof dataset);
	if (code == PARE_OK)
		code = main_path();
	store_close(s);
	return code;
}

START_TEST(no_memory_anywhere)
{
	long n;

	fixture_dir(dir);
	fail_alloc_install(0);
	MUST(whole_life(_i));
	n = fail_alloc_count();
	ck_assert_int_eq(fail_alloc_live(), 0);
	fail_alloc_remove();
	ck_assert_int_gt(n, 30);
	for (long i = 1; i <= n; i++) {
		enum pare_code code;
		long live;

		fixture_dir_remove(dir);
		fail_alloc_install(i);
		code = whole_life(_i);
		live = fail_alloc_live();
		fail_alloc_remove();
		ck_assert_msg(code == PARE_E_NOMEM, "allocation %ld of %ld: %s: %s", i, n, pare_code_string(code), err.message);
		ck_assert_msg(live == 0, "allocation %ld of %ld: %ld blocks leak", i, n, live);
	}
	fixture_dir_remove(dir);
}
END_TEST

/* A change that fails half-way is undone as a whole. */
START_TEST(no_memory_leaves_no_trace)
{
	struct store_artifact art = {.name = "a", .media_type = "b", .sha256 = SHA_C, .n_bytes = 1}, *arts;
	struct store_outcome o = {.status = STORE_FAILED, .code = PARE_E_SHAPE, .message = "m", .n_artifacts = 1, .artifacts = &art};
	enum pare_code code = PARE_E_NOMEM;
	char id[PARE_ID_MAX];
	int64_t token;
	long i;
	int n;

	begin(_i);
	put_job(s, model, dataset, id);
	token = claim(id);
	for (i = 1; code != PARE_OK; i++) {
		fail_alloc_install(i);
		code = store_job_finish(s, id, token, &o, &err);
		fail_alloc_remove();
		ck_assert(code == PARE_OK || code == PARE_E_NOMEM);
		MUST(store_artifact_list(MINE(s), id, &arts, &n, &err));
		store_artifact_list_done(arts, n);
		ck_assert_int_eq(n, code == PARE_OK);
		ck_assert_int_eq(status_of(id), code == PARE_OK ? STORE_FAILED : STORE_RUNNING);
		expect_events(id, code == PARE_OK ? "job.queued job.started job.failed" : "job.queued job.started");
	}
	ck_assert_int_gt(i, 2);
	end();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {exactly_one_claim, event_numbers_have_no_gaps, cancel_races_finish, one_key_at_once_makes_one_job, no_memory_anywhere,
	    no_memory_leaves_no_trace};

	return run_over_backends("store contract: torture", tests, sizeof tests / sizeof *tests) != 0;
}
