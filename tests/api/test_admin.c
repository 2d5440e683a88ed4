/* What an operator may ask of a running service, and who may. */
#include "tests/api/harness.h"

static struct world w;

static void setup(void)
{
	world_init(&w);
	world_start(&w);
}

static void teardown(void)
{
	world_done(&w);
}

static int64_t number(const struct answer *a, const char *key)
{
	const json_t *v = json_object_get(a->json, key);

	ck_assert_msg(json_is_integer(v), "%s: %s", key, a->body);
	return json_integer_value(v);
}

START_TEST(admins_only)
{
	static const char *const routes[][2] = {{"POST", "/v1/admin/gc"}, {"POST", "/v1/admin/backup"}, {"POST", "/v1/admin/drain"}, {"DELETE", "/v1/admin/drain"}};
	char path[128];
	FILE *f;

	api_free(w.api);
	(void)snprintf(path, sizeof path, "%s/keys", w.dir);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs("pare_user_0123456789abcdef0123\n", f), 0);
	ck_assert_int_eq(fclose(f), 0);
	w.opt.api_key_file = path;
	world_start(&w);
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		refuses(&w, routes[i][0], routes[i][1], NULL, 401, "unauthorized");
		refuses(&w, routes[i][0], routes[i][1], H("Authorization", "Bearer pare_user_0123456789abcdef0123"), 403, "forbidden");
	}
	ck_assert_int_eq(w.n_drains, 0);
}
END_TEST

START_TEST(collects)
{
	struct blob_ref loose;
	char job[PARE_ID_MAX], path[80];
	struct answer a;

	make_job(&w, job);
	finish_job(&w);
	put_blob(&w, "nobody names this", &loose);
	a = post_json(&w, "/v1/admin/gc", "{}");
	assert_status(&a, 200);
	ck_assert_int_eq(number(&a, "jobs_removed"), 0);
	ck_assert_int_eq(number(&a, "blobs_removed"), 1);
	ck_assert_int_eq(number(&a, "bytes_freed"), 17);
	ck_assert_str_eq(header(&a, "Cache-Control"), "no-store");
	answer_done(&a);
	/* a model whose bytes were lost all at once would be 500 here */
	(void)snprintf(path, sizeof path, "/v1/jobs/%s/artifacts/model.onnx", job);
	a = get(&w, path);
	assert_status(&a, 200);
	answer_done(&a);
	a = post_json(&w, "/v1/admin/gc", "{\"force\":true}");
	assert_problem(&a, 422, "validation_failed");
	answer_done(&a);
}
END_TEST

START_TEST(applies_retention)
{
	char job[PARE_ID_MAX], path[80];
	char etag[64];
	struct answer a;

	api_free(w.api);
	w.opt.limits.retention = (struct store_retention){.jobs_ms = 5000, .artifacts_ms = 1000};
	world_start(&w);
	make_job(&w, job);
	finish_job(&w);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", job);
	a = get(&w, path);
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "artifacts")), 4);
	answer_done(&a);
	w.now_ms += 1000;
	a = post_json(&w, "/v1/admin/gc", "{}");
	ck_assert(number(&a, "jobs_removed") == 0 && number(&a, "artifacts_removed") == 4 && number(&a, "blobs_removed") == 4);
	answer_done(&a);
	a = request(&w, "GET", path, H("If-None-Match", etag), NULL, 0);
	assert_status(&a, 200); /* not 304: it has changed */
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "artifacts")), 0);
	answer_done(&a);
	w.now_ms += 4000;
	a = post_json(&w, "/v1/admin/gc", "{}");
	ck_assert(number(&a, "jobs_removed") == 1 && number(&a, "artifacts_removed") == 0);
	answer_done(&a);
	refuses(&w, "GET", path, NULL, 404, "not_found");
	a = get(&w, "/v1/models"); /* what was put in stays */
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 1);
	answer_done(&a);
}
END_TEST

START_TEST(drains_and_takes_it_back)
{
	char job[PARE_ID_MAX], text[512];
	struct answer a;

	make_job(&w, job);
	job_text(&w, text);
	a = request(&w, "POST", "/v1/admin/drain", NULL, NULL, 0);
	assert_status(&a, 200);
	ck_assert(json_is_true(json_object_get(a.json, "draining")));
	ck_assert_int_eq(number(&a, "queued"), 1);
	ck_assert_int_eq(number(&a, "running"), 0);
	answer_done(&a);
	ck_assert_int_eq(w.n_drains, 1);
	refuses(&w, "GET", "/readyz", NULL, 503, "draining");
	a = post_json(&w, "/v1/jobs", text);
	assert_problem(&a, 503, "draining");
	ck_assert_ptr_nonnull(strstr(a.body, "drained"));
	answer_done(&a);
	a = get(&w, "/livez");
	assert_status(&a, 200);
	answer_done(&a);
	a = request(&w, "DELETE", "/v1/admin/drain", NULL, NULL, 0);
	assert_status(&a, 200);
	ck_assert(json_is_false(json_object_get(a.json, "draining")));
	answer_done(&a);
	ck_assert_int_eq(w.n_drains, 0);
	a = post_json(&w, "/v1/jobs", text);
	assert_status(&a, 201);
	answer_done(&a);
	/* a server that stops is not talked out of it */
	api_set_draining(w.api, true);
	a = request(&w, "DELETE", "/v1/admin/drain", NULL, NULL, 0);
	ck_assert(json_is_true(json_object_get(a.json, "draining")));
	answer_done(&a);
	refuses(&w, "GET", "/readyz", NULL, 503, "draining");
}
END_TEST

/* What a backup is, tests/storage/test_backup.c and tests/e2e/admin.py say; a store in memory has none. */
START_TEST(backups_need_a_place)
{
	char path[128];
	struct answer a = request(&w, "POST", "/v1/admin/backup", NULL, NULL, 0);

	assert_problem(&a, 409, "conflict");
	answer_done(&a);
	api_free(w.api);
	(void)snprintf(path, sizeof path, "%s/backups", w.dir);
	w.opt.backup_dir = path;
	world_start(&w);
	a = request(&w, "POST", "/v1/admin/backup", NULL, NULL, 0);
	assert_problem(&a, 422, "unsupported");
	answer_done(&a);
	/* and one that failed does not keep the next from running */
	a = post_json(&w, "/v1/admin/gc", "{}");
	assert_status(&a, 200);
	answer_done(&a);
	a = post_json(&w, "/v1/admin/backup", "{\"to\":\"/tmp\"}");
	assert_problem(&a, 422, "validation_failed");
	answer_done(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("admin");
	TCase *t = tcase_create("admin");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, admins_only);
	tcase_add_test(t, collects);
	tcase_add_test(t, applies_retention);
	tcase_add_test(t, drains_and_takes_it_back);
	tcase_add_test(t, backups_need_a_place);
	suite_add_tcase(s, t);
	return run_suite(s);
}
