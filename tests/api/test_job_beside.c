/* What a job makes beside its artifacts: a webhook of its own, a model of its result. */
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

/* The text of job_text with a member more. */
static void job_with(const char *member, char out[1024])
{
	char text[512];

	job_text(&w, text);
	text[strlen(text) - 1] = '\0';
	(void)snprintf(out, 1024, "%s,%s}", text, member);
}

START_TEST(a_webhook_comes_with_its_job)
{
	char text[1024], job[PARE_ID_MAX], path[128];
	const json_t *hook;
	struct answer a;

	job_with("\"webhook\":{\"url\":\"https://ci.example/hook\",\"events\":[\"job.queued\",\"job.failed\"]}", text);
	a = request(&w, "POST", "/v1/jobs", H(JSON_TYPE, "Idempotency-Key", "k"), text, strlen(text));
	assert_status(&a, 201);
	hook = json_object_get(a.json, "webhook");
	ck_assert_int_eq(strncmp(text_at(hook, "secret"), "whsec_", 6), 0);
	ck_assert_str_eq(header(&a, "Cache-Control"), "no-store");
	ck_assert_ptr_null(json_object_get(json_object_get(a.json, "request"), "webhook"));
	(void)snprintf(job, sizeof job, "%s", text_at(a.json, "id"));
	(void)snprintf(path, sizeof path, "/v1/webhooks/%s", text_at(hook, "id"));
	answer_done(&a);
	a = get(&w, path);
	assert_status(&a, 200);
	ck_assert_str_eq(text_at(a.json, "job"), job);
	ck_assert_str_eq(text_at(a.json, "url"), "https://ci.example/hook");
	ck_assert_str_eq(text_at(a.json, "format"), "standard");
	answer_done(&a);
	strcat(path, "/deliveries"); /* it heard of the beginning, too */
	a = get(&w, path);
	ck_assert_int_eq((int)json_array_size(json_object_get(a.json, "data")), 1);
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "data"), 0), "type"), "job.queued");
	answer_done(&a);
	a = request(&w, "POST", "/v1/jobs", H(JSON_TYPE, "Idempotency-Key", "k"), text, strlen(text)); /* the secret is told once */
	assert_status(&a, 201);
	ck_assert_str_eq(text_at(a.json, "id"), job);
	ck_assert_ptr_null(json_object_get(a.json, "webhook"));
	answer_done(&a);
	a = get(&w, "/v1/webhooks");
	ck_assert_int_eq((int)json_array_size(json_object_get(a.json, "data")), 1);
	answer_done(&a);
}
END_TEST

START_TEST(a_job_says_what_its_result_is_called)
{
	char text[1024], path[128], verb[144];
	struct answer a;

	job_with("\"register\":\"mnist-small@staging\"", text);
	a = post_json(&w, "/v1/jobs", text);
	assert_status(&a, 201);
	ck_assert_str_eq(text_at(a.json, "register"), "mnist-small@staging");
	ck_assert_ptr_null(json_object_get(json_object_get(a.json, "request"), "register")); /* it changes no byte of the work */
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", text_at(a.json, "id"));
	answer_done(&a);
	(void)snprintf(verb, sizeof verb, "%s/cancel", path);
	a = request(&w, "POST", verb, NULL, NULL, 0);
	answer_done(&a);
	(void)snprintf(verb, sizeof verb, "%s/retry", path);
	a = request(&w, "POST", verb, NULL, NULL, 0);
	assert_status(&a, 201);
	ck_assert_str_eq(text_at(a.json, "register"), "mnist-small@staging");
	answer_done(&a);
	job_with("\"register\":\"mnist-small:3\"", text);
	a = post_json(&w, "/v1/jobs", text);
	assert_problem(&a, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), "/register");
	answer_done(&a);
	job_with("\"register\":\"mnist-small\",\"outputs\":[\"report\"]", text);
	a = post_json(&w, "/v1/jobs?dry_run=true", text);
	assert_problem(&a, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), "/register");
	answer_done(&a);
}
END_TEST

START_TEST(a_wrong_webhook_makes_no_job)
{
	static const struct {
		const char *member, *pointer;
	} cases[] = {
	    {"\"webhook\":{\"url\":\"http://127.0.0.1/hook\"}", "/webhook/url"},
	    {"\"webhook\":{\"url\":\"https://a.example/\",\"events\":[\"job.suceeded\"]}", "/webhook/events/0"},
	    {"\"webhook\":{\"url\":\"https://a.example/\",\"events\":[]}", "/webhook/events"},
	    {"\"webhook\":{\"url\":\"https://a.example/\",\"secret\":\"short\"}", "/webhook/secret"},
	    {"\"webhook\":{\"events\":[\"job.failed\"]}", "/webhook/url"},
	    {"\"webhook\":{\"url\":\"https://a.example/\",\"event\":\"x\"}", "/webhook/event"},
	    {"\"webhook\":\"https://a.example/\"", "/webhook"},
	};
	char text[1024];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct answer a;

		job_with(cases[i].member, text);
		a = post_json(&w, "/v1/jobs", text);
		assert_problem(&a, 422, "validation_failed");
		ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), cases[i].pointer);
		answer_done(&a);
		a = post_json(&w, "/v1/jobs?dry_run=true", text);
		assert_problem(&a, 422, "validation_failed");
		answer_done(&a);
	}
	ck_assert_int_eq(w.n_added, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("jobs beside");
	TCase *t = tcase_create("jobs beside");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_webhook_comes_with_its_job);
	tcase_add_test(t, a_job_says_what_its_result_is_called);
	tcase_add_test(t, a_wrong_webhook_makes_no_job);
	suite_add_tcase(s, t);
	return run_suite(s);
}
