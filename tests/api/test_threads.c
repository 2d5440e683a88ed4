/* Many threads on one api: one job per idempotency key, no blob lost under a live model while equal bytes are refused and deleted beside it, whole
 * lists while what they list is deleted, keys exchanged under running requests. Meant for MODE=tsan as much as for its own assertions. */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/api/harness.h"

#define N_THREADS 4
#define N_ROUNDS 60

static struct world w;
static atomic_int n_wrong;
static char job[512];

/* Refuses what is called bad.onnx. */
static enum pare_code thread_inspect(void *ctx, enum store_asset_kind kind, const struct store_file *files, int n_files, const char *options, char **out_info, struct pare_err *err)
{
	(void)ctx;
	(void)kind;
	(void)n_files;
	(void)options;
	if (strcmp(files[0].path, "bad.onnx") == 0)
		return pare_err_set(err, PARE_E_MODEL, NULL, "bad");
	*out_info = pare_strdup("{}");
	return *out_info != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

static void quiet(void *ctx)
{
	(void)ctx;
}

static void quiet_id(void *ctx, const char *id)
{
	(void)ctx;
	(void)id;
}

static void quiet_asked(void *ctx, const char *id, enum store_job_status asked)
{
	(void)ctx;
	(void)id;
	(void)asked;
}

static void expect(bool holds)
{
	if (!holds)
		atomic_fetch_add(&n_wrong, 1);
}

static void setup(void)
{
	world_init(&w);
	w.opt.engine.inspect = thread_inspect;
	w.opt.engine.job_added = quiet;
	w.opt.engine.job_asked = quiet_asked;
	w.opt.engine.events_added = quiet_id;
	atomic_store(&n_wrong, 0);
	world_start(&w);
}

static void teardown(void)
{
	world_done(&w);
}

static void run(void *(*fn)(void *))
{
	pthread_t threads[N_THREADS];

	for (uintptr_t i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, fn, (void *)i), 0);
	for (size_t i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_int_eq(atomic_load(&n_wrong), 0);
}

static void *post_with_key(void *arg)
{
	(void)arg;
	for (int i = 0; i < N_ROUNDS / 4; i++) {
		char key[32];
		struct answer a;

		(void)snprintf(key, sizeof key, "round-%d", i);
		a = request(&w, "POST", "/v1/jobs", H(JSON_TYPE, "Idempotency-Key", key), job, strlen(job));
		expect(a.status == 201);
		answer_done(&a);
		a = get(&w, "/v1/jobs?limit=5");
		expect(a.status == 200);
		answer_done(&a);
		a = get(&w, "/metrics");
		expect(a.status == 200);
		answer_done(&a);
	}
	return NULL;
}

START_TEST(one_job_per_key)
{
	struct answer a;

	job_text(&w, job);
	run(post_with_key);
	a = get(&w, "/v1/jobs?limit=200");
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), N_ROUNDS / 4);
	answer_done(&a);
}
END_TEST

static void *upload_same_bytes(void *arg)
{
	bool bad = (uintptr_t)arg % 2 == 1;

	for (int i = 0; i < N_ROUNDS; i++) {
		struct answer a = request(&w, "POST", bad ? "/v1/models?filename=bad.onnx" : "/v1/models", NULL, MODEL_BYTES, sizeof MODEL_BYTES - 1);
		struct answer b;
		char path[128];

		expect(a.status == (bad ? 422 : 201));
		if (a.status == 201) {
			(void)snprintf(path, sizeof path, "%s/content", header(&a, "Location"));
			b = get(&w, path);
			expect(b.status == 200 && b.n == sizeof MODEL_BYTES - 1);
			answer_done(&b);
			b = request(&w, "DELETE", header(&a, "Location"), NULL, NULL, 0);
			expect(b.status == 204);
			answer_done(&b);
		}
		answer_done(&a);
	}
	return NULL;
}

START_TEST(no_blob_is_lost_under_a_live_model)
{
	run(upload_same_bytes);
	ck_assert_int_eq(world_blobs(&w), 0);
}
END_TEST

static void make_ended_job(char path[128])
{
	struct answer a = post_json(&w, "/v1/jobs", job);

	expect(a.status == 201);
	(void)snprintf(path, 128, "%s/cancel", header(&a, "Location"));
	answer_done(&a);
	a = request(&w, "POST", path, NULL, "", 0);
	expect(a.status == 202);
	answer_done(&a);
	*strrchr(path, '/') = '\0';
}

static void *delete_or_list(void *arg)
{
	char paths[N_ROUNDS][128];

	for (int i = 0; i < N_ROUNDS; i++) {
		struct answer a;

		if ((uintptr_t)arg % 2 == 0) {
			a = get(&w, "/v1/jobs?limit=200");
			expect(a.status == 200);
			answer_done(&a);
			continue;
		}
		make_ended_job(paths[i]);
		for (int k = i - 19; i % 20 == 19 && k <= i; k++) {
			a = request(&w, "DELETE", paths[k], NULL, NULL, 0);
			expect(a.status == 204);
			answer_done(&a);
		}
	}
	return NULL;
}

START_TEST(lists_are_whole_while_jobs_go)
{
	job_text(&w, job);
	for (int i = 0; i < 4; i++)
		run(delete_or_list);
}
END_TEST

static void *reload_or_ask(void *arg)
{
	for (int i = 0; i < N_ROUNDS; i++) {
		struct answer a;

		if ((uintptr_t)arg == 0)
			expect(api_reload_keys(w.api, NULL) == PARE_OK);
		a = request(&w, "GET", "/v1/models", H("Authorization", "Bearer pare_a_0123456789abcdef"), NULL, 0);
		expect(a.status == 200);
		answer_done(&a);
	}
	return NULL;
}

START_TEST(keys_can_change_under_requests)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/keys", w.dir);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs("pare_a_0123456789abcdef\n", f), 0);
	ck_assert_int_eq(fclose(f), 0);
	api_free(w.api);
	w.opt.api_key_file = path;
	world_start(&w);
	run(reload_or_ask);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("threads");
	TCase *t = tcase_create("threads");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, one_job_per_key);
	tcase_add_test(t, no_blob_is_lost_under_a_live_model);
	tcase_add_test(t, lists_are_whole_while_jobs_go);
	tcase_add_test(t, keys_can_change_under_requests);
	tcase_set_timeout(t, 30);
	suite_add_tcase(s, t);
	return run_suite(s);
}
