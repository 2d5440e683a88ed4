/* The pages without state of their own: metrics (with the rules that promtool checks), health, methods, recipes, problem types. */
#include <ctype.h>

#include "core/recipe/recipe.h"
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

static struct answer metrics(void)
{
	struct answer a = get(&w, "/metrics");

	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
	return a;
}

static double sample(const char *page, const char *series)
{
	size_t n = strlen(series);

	for (const char *line = page; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, series, n) == 0 && line[n] == ' ')
			return strtod(line + n, NULL);
		if (*line == '\0')
			break;
	}
	ck_abort_msg("no sample %s", series);
	return 0;
}

START_TEST(counts_requests_by_template)
{
	char id[PARE_ID_MAX], path[128];
	struct answer a;

	make_job(&w, id);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	for (int i = 0; i < 3; i++) {
		a = get(&w, path);
		answer_done(&a);
	}
	a = get(&w, "/v1/jobs/nonsense");
	answer_done(&a);
	a = get(&w, "/secret-path");
	answer_done(&a);
	w.now_ms += 2500;
	a = metrics();
	ck_assert_double_eq(sample(a.body, "pared_http_requests_total{method=\"GET\",route=\"/v1/jobs/{id}\",code=\"200\"}"), 3);
	ck_assert_double_eq(sample(a.body, "pared_http_requests_total{method=\"GET\",route=\"/v1/jobs/{id}\",code=\"404\"}"), 1);
	ck_assert_double_eq(sample(a.body, "pared_http_requests_total{method=\"-\",route=\"-\",code=\"404\"}"), 1);
	ck_assert_double_eq(sample(a.body, "pared_http_request_duration_seconds_count{method=\"GET\",route=\"/v1/jobs/{id}\"}"), 4);
	ck_assert_double_eq(sample(a.body, "pared_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/jobs/{id}\",le=\"+Inf\"}"), 4);
	ck_assert_double_eq(sample(a.body, "pared_jobs{state=\"queued\"}"), 1);
	ck_assert_double_eq(sample(a.body, "pared_queue_oldest_age_seconds"), 2.5);
	ck_assert_double_eq(sample(a.body, "pared_workers{state=\"idle\"}"), 2);
	ck_assert_double_eq(sample(a.body, "pared_webhook_deliveries_total{outcome=\"failed\"}"), 42);
	ck_assert_double_eq(sample(a.body, "pared_build_info{version=\"0.1.0\"}"), 1);
	ck_assert_double_gt(sample(a.body, "process_resident_memory_bytes"), 100000);
	ck_assert_double_gt(sample(a.body, "process_open_fds"), 2);
	ck_assert_ptr_null(strstr(a.body, id));
	ck_assert_ptr_null(strstr(a.body, "secret"));
	answer_done(&a);
}
END_TEST

/* HELP and TYPE once per family and before its samples; counters end in _total and nothing else does; each sample belongs to the family above it; values are numbers. */
START_TEST(keeps_the_text_format)
{
	struct answer a = get(&w, "/livez");
	char family[128] = "", kind[32] = "", seen[4096] = ";";
	char *line, *rest, *copy;

	answer_done(&a);
	a = metrics();
	answer_done(&a);
	a = metrics();
	copy = strdup(a.body);
	ck_assert_int_eq(a.body[a.n - 1], '\n');
	for (line = strtok_r(copy, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		char name[128], key[140], *end;

		if (strncmp(line, "# HELP ", 7) == 0) {
			ck_assert_int_eq(sscanf(line, "# HELP %127s %1s", family, name), 2);
			(void)snprintf(key, sizeof key, ";%s;", family);
			ck_assert_msg(strstr(seen, key) == NULL, "%s twice", family);
			(void)strncat(seen, key + 1, sizeof seen - strlen(seen) - 1);
		} else if (strncmp(line, "# TYPE ", 7) == 0) {
			ck_assert_int_eq(sscanf(line, "# TYPE %127s %31s", name, kind), 2);
			ck_assert_str_eq(name, family);
			ck_assert_int_eq(strcmp(kind, "counter") == 0, strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0);
		} else {
			size_t n = strcspn(line, "{ ");

			(void)snprintf(name, sizeof name, "%.*s", (int)n, line);
			ck_assert_msg(strncmp(name, family, strlen(family)) == 0, "%s under %s", name, family);
			ck_assert_int_eq(strcmp(name, family) != 0, strcmp(kind, "histogram") == 0);
			(void)strtod(strrchr(line, ' ') + 1, &end);
			ck_assert_int_eq(*end, '\0');
		}
	}
	free(copy);
	answer_done(&a);
}
END_TEST

START_TEST(histogram_buckets_grow)
{
	struct answer a = get(&w, "/livez");
	const char *p;
	double last = 0;
	int n = 0;

	answer_done(&a);
	a = metrics();
	p = a.body;
	while ((p = strstr(p, "_bucket{method=\"GET\",route=\"/livez\"")) != NULL) {
		double v = strtod(strchr(p, '}') + 1, NULL);

		ck_assert_double_ge(v, last);
		last = v;
		n++;
		p++;
	}
	ck_assert_int_eq(n, 15);
	ck_assert_double_eq(last, 1);
	answer_done(&a);
}
END_TEST

START_TEST(describes_itself)
{
	struct answer a = get(&w, "/v1");
	char etag[64];

	assert_status(&a, 200);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(a.json, "limits"), "max_upload_bytes")), 1 << 20);
	ck_assert_str_eq(text_at(json_object_get(a.json, "urls"), "jobs"), "/v1/jobs");
	answer_done(&a);
	a = get(&w, "/version");
	ck_assert_str_eq(text_at(a.json, "version"), "0.1.0");
	answer_done(&a);
	a = get(&w, "/openapi.yaml");
	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "Content-Type"), "application/yaml");
	ck_assert_str_eq(a.body, "openapi: 3.1.0\n");
	ck_assert_str_eq(header(&a, "Cache-Control"), "public, max-age=10");
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	answer_done(&a);
	a = request(&w, "GET", "/openapi.yaml", H("If-None-Match", etag), NULL, 0);
	assert_status(&a, 304);
	answer_done(&a);
}
END_TEST

START_TEST(has_a_page_per_problem)
{
	struct answer a;
	char path[128];

	for (int i = PARE_OK + 1; i < PARE_N_CODES; i++) {
		(void)snprintf(path, sizeof path, "/problems/%s", pare_code_string((enum pare_code)i));
		a = get(&w, path);
		assert_status(&a, 200);
		ck_assert_int_ge(json_integer_value(json_object_get(a.json, "status")), 400);
		ck_assert_int_lt(json_integer_value(json_object_get(a.json, "status")), 600);
		answer_done(&a);
	}
	a = get(&w, "/problems/not_foud");
	assert_problem(&a, 404, "not_found");
	ck_assert_ptr_nonnull(strstr(text_at(a.json, "detail"), "did you mean \"not_found\"?"));
	answer_done(&a);
	refuses(&w, "GET", "/problems/ok", NULL, 404, "not_found");
}
END_TEST

START_TEST(shows_methods_and_recipes)
{
	struct answer a = get(&w, "/v1/methods");
	char path[128];

	assert_status(&a, 200);
	ck_assert_str_eq(text_at(a.json, "object"), "list");
	ck_assert_uint_gt(json_array_size(json_object_get(a.json, "data")), 5);
	answer_done(&a);
	a = get(&w, "/v1/methods/prune");
	assert_status(&a, 200);
	answer_done(&a);
	refuses(&w, "GET", "/v1/methods/prun", NULL, 404, "not_found");
	a = get(&w, "/v1/recipes");
	assert_status(&a, 200);
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), pare_recipes_count());
	answer_done(&a);
	ck_assert_uint_gt(pare_recipes_count(), 0);
	(void)snprintf(path, sizeof path, "/v1/recipes/%s", pare_recipe_name_at(0));
	a = get(&w, path);
	assert_status(&a, 200);
	ck_assert(json_is_object(json_object_get(a.json, "recipe")));
	answer_done(&a);
	refuses(&w, "GET", "/v1/recipes/ridge-magnitud", NULL, 404, "not_found");
}
END_TEST

START_TEST(revalidates_json)
{
	struct answer a = get(&w, "/v1/methods");
	char etag[80];

	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	ck_assert_uint_eq(strlen(etag), 34);
	answer_done(&a);
	a = request(&w, "GET", "/v1/methods", H("If-None-Match", etag), NULL, 0);
	assert_status(&a, 304);
	ck_assert_uint_eq(a.n, 0);
	answer_done(&a);
	a = request(&w, "HEAD", "/v1/methods", H("If-None-Match", "\"other\""), NULL, 0);
	assert_status(&a, 200);
	answer_done(&a);
}
END_TEST

/* The engine is asked until it has answered, and then no more. */
START_TEST(tells_what_the_engine_can_do)
{
	struct answer a;

	w.engine_code = PARE_E_TIMEOUT;
	refuses(&w, "GET", "/v1/capabilities", NULL, 504, "timeout");
	w.engine_code = PARE_OK;
	for (int i = 0; i < 3; i++) {
		a = get(&w, "/v1/capabilities");
		assert_status(&a, 200);
		ck_assert(json_is_array(json_object_get(json_object_get(a.json, "engine"), "operators")));
		ck_assert_str_eq(json_string_value(json_array_get(json_object_get(a.json, "job_kinds"), 0)), pare_job_kinds[0]);
		ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(a.json, "limits"), "max_threads")), 4);
		answer_done(&a);
	}
	ck_assert_int_eq(w.n_asked_capabilities, 2);
}
END_TEST

START_TEST(shows_its_document)
{
	struct answer a = get(&w, "/openapi.json");
	char etag[80];

	assert_status(&a, 200);
	ck_assert_str_eq(text_at(a.json, "openapi"), "3.1.0");
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	answer_done(&a);
	a = request(&w, "GET", "/openapi.json", H("If-None-Match", etag), NULL, 0);
	assert_status(&a, 304);
	answer_done(&a);
	a = get(&w, "/docs");
	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "Content-Type"), "text/html; charset=utf-8");
	ck_assert_str_eq(header(&a, "Content-Security-Policy"), "default-src 'none'");
	answer_done(&a);
}
END_TEST

START_TEST(speaks_the_inference_protocol)
{
	char id[PARE_ID_MAX], path[128];
	struct answer a;

	a = get(&w, "/v2");
	ck_assert_str_eq(text_at(a.json, "name"), "pared");
	answer_done(&a);
	a = get(&w, "/v2/health/live");
	ck_assert(json_is_true(json_object_get(a.json, "live")));
	answer_done(&a);
	a = get(&w, "/v2/health/ready");
	ck_assert(json_is_true(json_object_get(a.json, "ready")));
	answer_done(&a);
	make_model(&w, id);
	make_model(&w, id);
	a = get(&w, "/v2/models/lenet");
	assert_status(&a, 200);
	ck_assert_str_eq(text_at(a.json, "name"), "lenet");
	ck_assert_str_eq(text_at(a.json, "platform"), "onnx_onnxv1");
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(a.json, "versions"), 0)), "2");
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "versions")), 2);
	ck_assert(json_is_array(json_object_get(a.json, "inputs")));
	answer_done(&a);
	(void)snprintf(path, sizeof path, "/v2/models/%s", id);
	a = get(&w, path);
	assert_status(&a, 200);
	answer_done(&a);
	a = get(&w, "/v2/models/lenet/versions/1");
	assert_status(&a, 200);
	answer_done(&a);
	refuses(&w, "GET", "/v2/models/lenet/versions/3", NULL, 404, "not_found");
	refuses(&w, "GET", "/v2/models/lenet/versions/x", NULL, 404, "not_found");
	refuses(&w, "GET", "/v2/models/nothing", NULL, 404, "not_found");
	w.n_alive = 0;
	refuses(&w, "GET", "/v2/health/ready", NULL, 503, "busy");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pages");
	TCase *t = tcase_create("pages");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, tells_what_the_engine_can_do);
	tcase_add_test(t, shows_its_document);
	tcase_add_test(t, speaks_the_inference_protocol);
	tcase_add_test(t, counts_requests_by_template);
	tcase_add_test(t, keeps_the_text_format);
	tcase_add_test(t, histogram_buckets_grow);
	tcase_add_test(t, describes_itself);
	tcase_add_test(t, has_a_page_per_problem);
	tcase_add_test(t, shows_methods_and_recipes);
	tcase_add_test(t, revalidates_json);
	suite_add_tcase(s, t);
	return run_suite(s);
}
