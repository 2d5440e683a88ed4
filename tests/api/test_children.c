/* The runs of a sweep as clients see them: beside their parent and not among other jobs, with an ETag that moves with each end. */
#include "tests/api/harness.h"

static struct world w;
static char parent[PARE_ID_MAX], path[128];

static void setup(void)
{
	struct answer a;
	struct store_child children[2] = {{"trial", "{\"t\":0}", "{\"variant\":0}"}, {"trial", "{\"t\":1}", "{\"variant\":1}"}};
	struct store_job j;
	struct pare_err err;
	bool found;

	world_init(&w);
	world_start(&w);
	make_job(&w, parent);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", parent);
	a = get(&w, path);
	ck_assert(json_is_null(json_object_get(a.json, "children")) && json_is_null(json_object_get(a.json, "parent")) && json_is_null(json_object_get(a.json, "retry_of")));
	answer_done(&a);
	ck_assert_int_eq(store_job_claim(w.store, "w", 30000, &j, &found, &err), PARE_OK);
	ck_assert_int_eq(store_job_fork(w.store, parent, j.lease_token, children, 2, 5, 3, &err), PARE_OK);
	store_job_done(&j);
}

static void teardown(void)
{
	world_done(&w);
}

static void end_one(enum store_job_status st)
{
	struct store_outcome o = {.status = st, .result = "{\"trial\":{}}", .code = PARE_E_DIVERGED, .message = "m"};
	struct pare_err err;
	struct store_job j;
	bool found;

	ck_assert_int_eq(store_job_claim(w.store, "w", 30000, &j, &found, &err), PARE_OK);
	ck_assert(found);
	ck_assert_str_eq(j.parent, parent);
	ck_assert_int_eq(store_job_finish(w.store, j.id, j.lease_token, &o, &err), PARE_OK);
	store_job_done(&j);
}

static void expect_children(int total, int open, int succeeded, int failed, int canceled)
{
	struct answer a = get(&w, path);
	json_t *c = json_object_get(a.json, "children");
	int t = -1, o = -1, s = -1, f = -1, k = -1, runs = -1;

	ck_assert_int_eq(json_unpack(c, "{s:i,s:i,s:i,s:i,s:i,s:i}", "total", &t, "open", &o, "succeeded", &s, "failed", &f, "canceled", &k, "runs", &runs), 0);
	ck_assert_int_eq(t, total);
	ck_assert_int_eq(o, open);
	ck_assert_int_eq(s, succeeded);
	ck_assert_int_eq(f, failed);
	ck_assert_int_eq(k, canceled);
	ck_assert_int_eq(runs, 5);
	answer_done(&a);
}

static size_t listed(const char *query)
{
	char target[200];
	struct answer a;
	size_t n;

	(void)snprintf(target, sizeof target, "/v1/jobs%s", query);
	a = get(&w, target);
	assert_status(&a, 200);
	n = json_array_size(json_object_get(a.json, "data"));
	answer_done(&a);
	return n;
}

START_TEST(runs_stand_beside_their_parent)
{
	char query[128];
	struct answer a;

	ck_assert_uint_eq(listed(""), 1);
	(void)snprintf(query, sizeof query, "?parent=%s", parent);
	ck_assert_uint_eq(listed(query), 2);
	(void)snprintf(query, sizeof query, "?parent=%s&status=succeeded", parent);
	ck_assert_uint_eq(listed(query), 0);
	end_one(STORE_SUCCEEDED);
	ck_assert_uint_eq(listed(query), 1);
	ck_assert_uint_eq(listed("?parent=job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E"), 0);
	refuses(&w, "GET", "/v1/jobs?parent=mdl_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", NULL, 400, "bad_request");
	a = get(&w, path);
	ck_assert_str_eq(text_at(a.json, "status"), "running");
	ck_assert_str_eq(text_at(a.json, "phase"), "sweep");
	answer_done(&a);
}
END_TEST

/* Also after the parent has ended, when nothing else of it changes. */
START_TEST(every_end_changes_the_etag)
{
	char cancel[160], etag[64];
	struct answer a;

	expect_children(2, 2, 0, 0, 0);
	a = get(&w, path);
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	answer_done(&a);
	end_one(STORE_FAILED);
	a = request(&w, "GET", path, H("If-None-Match", etag), NULL, 0);
	assert_status(&a, 200);
	answer_done(&a);
	expect_children(2, 1, 0, 1, 0);
	(void)snprintf(cancel, sizeof cancel, "%s/cancel", path);
	a = request(&w, "POST", cancel, NULL, NULL, 0);
	assert_status(&a, 202);
	ck_assert_str_eq(text_at(a.json, "status"), "canceled");
	ck_assert_int_eq(w.n_asked, 1);
	answer_done(&a);
	expect_children(2, 0, 0, 1, 1);
	a = get(&w, path);
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	answer_done(&a);
	a = request(&w, "GET", path, H("If-None-Match", etag), NULL, 0);
	assert_status(&a, 304);
	answer_done(&a);
}
END_TEST

START_TEST(a_retry_says_what_it_does_again)
{
	char target[160];
	struct answer a;

	(void)snprintf(target, sizeof target, "%s/cancel", path);
	a = request(&w, "POST", target, NULL, NULL, 0);
	answer_done(&a);
	(void)snprintf(target, sizeof target, "%s/retry", path);
	a = request(&w, "POST", target, NULL, NULL, 0);
	assert_status(&a, 201);
	ck_assert_str_eq(text_at(a.json, "retry_of"), parent);
	ck_assert(json_is_null(json_object_get(a.json, "children")));
	answer_done(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("api/children");
	TCase *t = tcase_create("children");
	SRunner *runner;
	int n_failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, runs_stand_beside_their_parent);
	tcase_add_test(t, every_end_changes_the_etag);
	tcase_add_test(t, a_retry_says_what_it_does_again);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed != 0;
}
