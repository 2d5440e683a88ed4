/* What must not get in: bodies past their cap, JSON that hurts, work while the server drains or its disk is full. */
#include "tests/api/harness.h"

static struct world w;

static void setup(void)
{
	world_init(&w);
}

static void teardown(void)
{
	world_done(&w);
}

static struct api_exchange *begin(const char *target, const char *const *headers)
{
	struct api_header list[16];
	struct api_head head = {.method = "POST", .target = target, .version = "HTTP/1.1", .headers = list, .n_headers = 1, .peer = ""};

	list[0] = (struct api_header){"Host", "a"};
	for (; *headers != NULL; headers += 2)
		list[head.n_headers++] = (struct api_header){headers[0], headers[1]};
	return api_exchange_new(w.api, &head);
}

START_TEST(refuses_an_announced_oversize_before_reading)
{
	static const char *const targets[] = {"/v1/models", "/v1/datasets", "/v1/jobs"};

	world_start(&w);
	for (size_t i = 0; i < 3; i++) {
		struct api_exchange *x = begin(targets[i], H("Content-Length", "4294967296"));
		struct answer a = answer_of(x);

		ck_assert(api_exchange_done(x));
		assert_problem(&a, 413, "too_large");
		ck_assert(a.reply->close);
		answer_done(&a);
	}
}
END_TEST

START_TEST(cuts_a_streamed_oversize)
{
	static const char *const targets[] = {"/v1/models", "/v1/datasets", "/v1/jobs"};
	char piece[65536];

	world_start(&w);
	memset(piece, 'x', sizeof piece);
	for (size_t i = 0; i < 3; i++) {
		struct api_exchange *x = begin(targets[i], H("Transfer-Encoding", "chunked"));
		struct answer a;
		int64_t sent = 0;

		for (; !api_exchange_done(x) && sent < 64 << 20; sent += (int64_t)sizeof piece)
			api_exchange_body(x, piece, sizeof piece);
		ck_assert_int_le(sent, (1 << 20) + 2 * (int64_t)sizeof piece);
		a = answer_of(x);
		assert_problem(&a, 413, "too_large");
		ck_assert(a.reply->close);
		answer_done(&a);
	}
	ck_assert_int_eq(world_blobs(&w), 0);
	ck_assert_int_eq(w.n_inspected, 0);
}
END_TEST

START_TEST(takes_an_upload_of_exactly_the_cap)
{
	char *bytes = calloc(1, 1 << 20);
	struct answer a;

	world_start(&w);
	a = request(&w, "POST", "/v1/models", NULL, bytes, 1 << 20);
	assert_status(&a, 201);
	answer_done(&a);
	a = request(&w, "POST", "/v1/models", H("Transfer-Encoding", "chunked"), bytes, 1 << 20);
	assert_status(&a, 201);
	answer_done(&a);
	free(bytes);
}
END_TEST

START_TEST(takes_a_body_in_bytes)
{
	struct api_exchange *x;
	struct answer a;

	world_start(&w);
	x = begin("/v1/models", H("Transfer-Encoding", "chunked"));
	for (int i = 0; i < 20000; i++)
		api_exchange_body(x, "y", 1);
	ck_assert(!api_exchange_done(x));
	ck_assert_int_eq(api_exchange_waits(x), API_WAIT_ENGINE);
	api_exchange_end(x);
	a = answer_of(x);
	assert_status(&a, 201);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "bytes")), 20000);
	answer_done(&a);
}
END_TEST

START_TEST(drops_an_aborted_upload)
{
	struct api_exchange *x;

	world_start(&w);
	x = begin("/v1/models", H("Content-Length", "1000"));
	api_exchange_body(x, "half", 4);
	api_exchange_free(x);
	ck_assert_int_eq(world_blobs(&w), 0);
}
END_TEST

static const struct {
	const char *name, *text;
	int status;
	const char *code;
} texts[] = {
    {"empty", "", 400, "syntax_error"},
    {"broken", "{\"model\":", 400, "syntax_error"},
    {"trailing text", "{} x", 400, "syntax_error"},
    {"single quotes", "{'a':1}", 400, "syntax_error"},
    {"bad utf-8", "{\"a\":\"\xff\"}", 400, "syntax_error"},
    {"lone surrogate", "{\"a\":\"\\ud800\"}", 400, "syntax_error"},
    {"nan", "{\"seed\":NaN}", 400, "syntax_error"},
    {"huge number", "{\"seed\":1e999}", 400, "syntax_error"},
    {"huge integer", "{\"seed\":99999999999999999999999999}", 400, "syntax_error"},
    {"not an object", "[1,2]", 422, "validation_failed"},
    {"null", "null", 422, "validation_failed"},
    {"unknown field", "{\"colour\":1}", 422, "validation_failed"},
};

START_TEST(refuses_bad_json)
{
	struct answer a;

	world_start(&w);
	a = post_json(&w, "/v1/jobs", texts[_i].text);
	ck_assert_msg(a.status == texts[_i].status || a.status == 422, "%s: %d %s", texts[_i].name, a.status, a.body);
	ck_assert_ptr_nonnull(a.json);
	ck_assert_int_eq(w.n_added, 0);
	answer_done(&a);
	a = post_json(&w, "/v1/models", texts[_i].text);
	ck_assert_msg(a.status == texts[_i].status, "%s: %d %s", texts[_i].name, a.status, a.body);
	ck_assert_str_eq(text_at(a.json, "code"), texts[_i].code);
	ck_assert_int_eq(w.n_built, 0);
	answer_done(&a);
}
END_TEST

START_TEST(refuses_duplicate_keys)
{
	struct answer a;

	world_start(&w);
	a = post_json(&w, "/v1/models", "{\"name\":\"a\",\"name\":\"b\",\"architecture\":{}}");
	assert_problem(&a, 400, "syntax_error");
	answer_done(&a);
	a = post_json(&w, "/v1/jobs", "{\"model\":\"a\",\"model\":\"b\"}");
	ck_assert(a.status == 400 || a.status == 422);
	answer_done(&a);
}
END_TEST

START_TEST(refuses_deep_json)
{
	static const char open[] = {'[', '{'};
	char *deep = calloc(1, 300001);
	struct answer a;

	w.opt.limits.max_json_bytes = 1 << 20;
	world_start(&w);
	for (int kind = 0; kind < 2; kind++) {
		size_t n = 0;

		for (int i = 0; i < 100000 && n < 290000; i++)
			n += (size_t)snprintf(deep + n, 300000 - n, kind == 0 ? "%c" : "%c\"\":", open[kind]);
		a = request(&w, "POST", "/v1/jobs", H(JSON_TYPE), deep, n);
		ck_assert_msg(a.status == 400 || a.status == 422, "%d", a.status);
		answer_done(&a);
		a = request(&w, "POST", "/v1/models", H(JSON_TYPE), deep, n);
		assert_problem(&a, 400, "syntax_error");
		answer_done(&a);
	}
	free(deep);
}
END_TEST

START_TEST(refuses_a_wrong_content_type)
{
	struct answer a;

	world_start(&w);
	a = request(&w, "POST", "/v1/jobs", H("Content-Type", "text/xml"), "{}", 2);
	assert_problem(&a, 415, "unsupported_media_type");
	answer_done(&a);
	a = request(&w, "POST", "/v1/jobs", H(JSON_TYPE, "Content-Encoding", "gzip"), "{}", 2);
	assert_problem(&a, 415, "unsupported_media_type");
	answer_done(&a);
	a = request(&w, "POST", "/v1/jobs", H("Content-Type", "application/json; charset=utf-8"), "[]", 2);
	ck_assert_int_eq(a.status, 422);
	answer_done(&a);
}
END_TEST

/* Of two values a proxy in front may have gone by the other; lists are one list over all their lines. */
START_TEST(fields_that_come_twice)
{
	static const char *const single[] = {"Authorization", "Content-Encoding", "content-type", "Idempotency-Key", "If-Range", "Last-Event-ID", "Range"};
	char etag[128];
	struct answer a;

	world_start(&w);
	for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
		a = request(&w, "GET", "/v1/models", H(single[i], "a", "Accept", "*/*", single[i], "a"), NULL, 0);
		assert_problem(&a, 400, "bad_request");
		ck_assert_ptr_nonnull(strstr(text_at(a.json, "detail"), single[i]));
		ck_assert_str_eq(text_at(a.json, "instance"), "/v1/models");
		answer_done(&a);
	}
	a = get(&w, "/v1/models");
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	answer_done(&a);
	a = request(&w, "GET", "/v1/models", H("If-None-Match", "\"other\"", "X-More", "1", "if-none-match", etag), NULL, 0);
	assert_status(&a, 304);
	answer_done(&a);
}
END_TEST

START_TEST(takes_no_work_while_draining)
{
	char text[512], id[PARE_ID_MAX], path[128];
	struct answer a;

	world_start(&w);
	job_text(&w, text);
	make_job(&w, id);
	api_set_draining(w.api, true);
	a = post_json(&w, "/v1/jobs", text);
	assert_problem(&a, 503, "draining");
	ck_assert_str_ne(header(&a, "Retry-After"), "");
	answer_done(&a);
	a = request(&w, "POST", "/v1/models", NULL, "x", 1);
	assert_problem(&a, 503, "draining");
	answer_done(&a);
	refuses(&w, "GET", "/readyz", NULL, 503, "draining");
	a = get(&w, "/livez");
	assert_status(&a, 200);
	answer_done(&a);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s/cancel", id);
	a = request(&w, "POST", path, NULL, NULL, 0);
	assert_status(&a, 202);
	answer_done(&a);
	api_set_draining(w.api, false);
	a = get(&w, "/readyz");
	assert_status(&a, 200);
	answer_done(&a);
}
END_TEST

START_TEST(takes_no_work_when_the_disk_is_full)
{
	struct answer a;

	w.opt.limits.min_free_bytes = INT64_MAX;
	world_start(&w);
	a = request(&w, "POST", "/v1/models", NULL, "x", 1);
	assert_problem(&a, 507, "store_full");
	ck_assert(a.reply->close);
	answer_done(&a);
	a = post_json(&w, "/v1/jobs", "{}");
	assert_problem(&a, 507, "store_full");
	answer_done(&a);
	a = get(&w, "/readyz?verbose");
	assert_problem(&a, 503, "busy");
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "checks")), 4);
	answer_done(&a);
}
END_TEST

START_TEST(is_not_ready_without_workers)
{
	struct answer a;

	world_start(&w);
	a = get(&w, "/readyz?verbose");
	assert_status(&a, 200);
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "checks")), 4);
	answer_done(&a);
	w.n_alive = 0;
	refuses(&w, "GET", "/healthz", NULL, 503, "busy");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("limits");
	TCase *t = tcase_create("limits");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, refuses_an_announced_oversize_before_reading);
	tcase_add_test(t, cuts_a_streamed_oversize);
	tcase_add_test(t, takes_an_upload_of_exactly_the_cap);
	tcase_add_test(t, takes_a_body_in_bytes);
	tcase_add_test(t, drops_an_aborted_upload);
	tcase_add_loop_test(t, refuses_bad_json, 0, (int)(sizeof texts / sizeof texts[0]));
	tcase_add_test(t, refuses_duplicate_keys);
	tcase_add_test(t, refuses_deep_json);
	tcase_add_test(t, refuses_a_wrong_content_type);
	tcase_add_test(t, fields_that_come_twice);
	tcase_add_test(t, takes_no_work_while_draining);
	tcase_add_test(t, takes_no_work_when_the_disk_is_full);
	tcase_add_test(t, is_not_ready_without_workers);
	suite_add_tcase(s, t);
	return run_suite(s);
}
