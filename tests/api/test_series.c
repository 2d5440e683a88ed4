/* Metrics as a series and events as a log: which points, which columns, thinned how; text that comes from events stays within its line and its cell. */
#include "tests/api/harness.h"

static struct world w;
static char id[PARE_ID_MAX];
static int64_t token;

static void setup(void)
{
	struct store_job j;
	bool found;

	world_init(&w);
	world_start(&w);
	make_job(&w, id);
	ck_assert_int_eq(store_job_claim(w.store, "w", 30000, &j, &found, NULL), PARE_OK);
	ck_assert(found);
	token = j.lease_token;
	store_job_done(&j);
}

static void teardown(void)
{
	world_done(&w);
}

static void tell(const char *type, const char *data)
{
	ck_assert_int_eq(store_job_event(w.store, id, token, type, "info", data, NULL, NULL, NULL), PARE_OK);
}

static void tell_epochs(int n)
{
	for (int i = 1; i <= n; i++) {
		char data[96];

		(void)snprintf(data, sizeof data, "{\"kind\":\"epoch\",\"epoch\":%d,\"loss\":%g,\"nested\":{\"a\":1}}", i, 1.0 / i);
		tell("job.metrics", data);
	}
}

static struct answer ask(const char *query, const char *accept)
{
	char target[200];

	(void)snprintf(target, sizeof target, "/v1/jobs/%s/%s", id, query);
	return request(&w, "GET", target, H("Accept", accept), NULL, 0);
}

static json_t *points(const struct answer *a)
{
	assert_status(a, 200);
	return json_object_get(a->json, "data");
}

static int64_t int_at(const json_t *list, size_t i, const char *key)
{
	return json_integer_value(json_object_get(json_array_get(list, i), key));
}

START_TEST(points_in_order)
{
	struct answer a;
	json_t *data;

	tell("job.phase", "{\"phase\":\"train\",\"loss\":9}");
	tell_epochs(3);
	tell("job.metrics", "{\"kind\":\"evaluation\",\"accuracy\":0.5}");
	a = ask("metrics", "application/json");
	data = points(&a);
	ck_assert_uint_eq(json_array_size(data), 4);
	ck_assert_int_eq(int_at(data, 0, "seq"), 4); /* after queued, started, phase */
	ck_assert_int_eq(int_at(data, 2, "epoch"), 3);
	ck_assert_ptr_null(json_object_get(json_array_get(data, 0), "nested"));
	ck_assert_ptr_null(json_object_get(json_array_get(data, 0), "accuracy"));
	ck_assert_double_eq(json_real_value(json_object_get(json_array_get(data, 3), "accuracy")), 0.5);
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "names")), 4);
	answer_done(&a);
	a = ask("metrics?names=accuracy", "*/*");
	ck_assert_uint_eq(json_array_size(points(&a)), 1);
	answer_done(&a);
	a = ask("metrics?names=loss,epoch&after=5", "*/*");
	data = points(&a);
	ck_assert_uint_eq(json_array_size(data), 1);
	ck_assert_int_eq(int_at(data, 0, "epoch"), 3);
	answer_done(&a);
	a = ask("metrics?names=nothing", "*/*");
	ck_assert_uint_eq(json_array_size(points(&a)), 0);
	answer_done(&a);
}
END_TEST

START_TEST(a_long_series_is_thinned)
{
	struct answer a;
	json_t *data;

	tell_epochs(1000); /* several pages of events */
	a = ask("metrics?max_points=10", "*/*");
	data = points(&a);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "n_points")), 1000);
	ck_assert_uint_eq(json_array_size(data), 10);
	ck_assert_int_eq(int_at(data, 0, "epoch"), 100);
	ck_assert_int_eq(int_at(data, 9, "epoch"), 1000);
	answer_done(&a);
	a = ask("metrics?max_points=7", "*/*");
	data = points(&a);
	ck_assert_uint_eq(json_array_size(data), 7);
	ck_assert_int_eq(int_at(data, 6, "epoch"), 1000); /* the last one is always there */
	answer_done(&a);
	a = ask("metrics?max_points=1000", "*/*");
	ck_assert_uint_eq(json_array_size(points(&a)), 1000);
	answer_done(&a);
}
END_TEST

START_TEST(the_same_as_csv)
{
	struct answer a;

	tell("job.metrics", "{\"loss\":0.5,\"note\":\"a,\\\"b\\\"\\nc\"}");
	tell("job.metrics", "{\"loss\":1e-07,\"note\":\"=1+1\",\"ok\":true}");
	tell("job.metrics", "{\"note\":\"\"}");
	a = ask("metrics", "text/csv");
	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "Content-Type"), "text/csv; charset=utf-8");
	ck_assert_int_eq(strncmp(a.body, "seq,at,loss,note,ok\r\n3,2", 24), 0);
	ck_assert_ptr_nonnull(strstr(a.body, "Z,0.5,\"a,\"\"b\"\"\nc\",\r\n"));
	ck_assert_ptr_nonnull(strstr(a.body, "Z,1e-07,\"'=1+1\",true\r\n"));
	ck_assert_ptr_nonnull(strstr(a.body, "Z,,,\r\n"));
	answer_done(&a);
}
END_TEST

START_TEST(wishes_that_cannot_be)
{
	char names[600] = "metrics?names=n0", path[128];
	struct answer a;

	for (int i = 1; i < 65; i++)
		(void)snprintf(names + strlen(names), sizeof names - strlen(names), ",n%d", i);
	for (int i = 0; i < 4; i++) {
		const char *const bad[] = {"metrics?names=", "metrics?names=,,", "metrics?max_points=0", "logs?tail=0"};

		a = ask(bad[i], "*/*");
		assert_problem(&a, 400, "bad_request");
		answer_done(&a);
	}
	a = request(&w, "GET", "/v1/jobs/nothing/metrics", NULL, NULL, 0);
	assert_problem(&a, 404, "not_found");
	answer_done(&a);
	a = ask("metrics", "image/png");
	assert_problem(&a, 406, "not_acceptable");
	answer_done(&a);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s/", id);
	{
		char target[800];

		(void)snprintf(target, sizeof target, "%s%s", path, names);
		refuses(&w, "GET", target, NULL, 400, "bad_request");
	}
}
END_TEST

START_TEST(the_log_is_one_line_per_event)
{
	struct answer a;
	int n = 0;

	tell("job.log", "{\"text\":\"two\\nlines\",\"n\":3,\"b\\nad\":1,\"list\":[1]}");
	tell_epochs(600);
	a = ask("logs", "*/*");
	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "Content-Type"), "text/plain; charset=utf-8");
	for (const char *p = a.body; (p = strchr(p, '\n')) != NULL; p++)
		n++;
	ck_assert_int_eq(n, 603);
	ck_assert_ptr_nonnull(strstr(a.body, " info    job.log text=\"two\\nlines\" n=3 \"b\\nad\"=1\n"));
	answer_done(&a);
	a = ask("logs?tail=2", "*/*");
	ck_assert_ptr_nonnull(strstr(a.body, " epoch=599 "));
	ck_assert_ptr_nonnull(strstr(a.body, " epoch=600 "));
	ck_assert_ptr_null(strstr(a.body, " epoch=598 "));
	answer_done(&a);
}
END_TEST

START_TEST(from_a_step_on)
{
	struct answer a;

	tell("job.metrics", "{\"kind\":\"epoch\",\"step\":1,\"loss\":3}");
	tell("job.metrics", "{\"kind\":\"epoch\",\"step\":2,\"loss\":2}");
	tell("job.metrics", "{\"kind\":\"epoch\",\"loss\":9}");
	tell("job.metrics", "{\"kind\":\"epoch\",\"step\":3,\"loss\":1}");
	a = ask("metrics?step_from=2&names=step", "application/json");
	ck_assert_uint_eq(json_array_size(points(&a)), 2);
	ck_assert_int_eq(int_at(points(&a), 0, "step"), 2);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "n_points")), 2);
	answer_done(&a);
	a = ask("metrics?step_from=3", "text/csv");
	assert_status(&a, 200);
	ck_assert_ptr_nonnull(strstr(a.body, ",3,1\r\n"));
	ck_assert_ptr_null(strstr(a.body, ",2,2\r\n"));
	answer_done(&a);
	a = ask("metrics?step_from=x", "application/json");
	assert_problem(&a, 400, "bad_request");
	answer_done(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("series");
	TCase *t = tcase_create("series");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, from_a_step_on);
	tcase_add_test(t, points_in_order);
	tcase_add_test(t, a_long_series_is_thinned);
	tcase_add_test(t, the_same_as_csv);
	tcase_add_test(t, wishes_that_cannot_be);
	tcase_add_test(t, the_log_is_one_line_per_event);
	suite_add_tcase(s, t);
	return run_suite(s);
}
