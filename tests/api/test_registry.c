/* Names, versions and aliases over HTTP; and what jobs make of them. */
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

static struct answer send(const char *method, const char *target, const char *const *headers, const char *body)
{
	return request(&w, method, target, headers, body, strlen(body));
}

#define JSON H(JSON_TYPE)

START_TEST(versions_and_references)
{
	char a[PARE_ID_MAX], b[PARE_ID_MAX];
	struct answer r;

	make_model(&w, a);
	make_model(&w, b);
	r = get(&w, "/v1/models/lenet");
	assert_status(&r, 200);
	ck_assert_str_eq(text_at(r.json, "id"), b);
	ck_assert_int_eq(json_integer_value(json_object_get(r.json, "version")), 2);
	answer_done(&r);
	r = get(&w, "/v1/models/lenet:1/content");
	assert_status(&r, 200);
	answer_done(&r);
	r = get(&w, "/v1/models/lenet/versions?limit=1");
	assert_status(&r, 200);
	ck_assert_str_eq(text_at(json_array_get(json_object_get(r.json, "data"), 0), "id"), b);
	ck_assert_ptr_nonnull(strstr(header(&r, "Link"), "</v1/models/lenet/versions?after="));
	answer_done(&r);
	r = get(&w, "/v1/models?name=lenet&limit=1");
	ck_assert_ptr_nonnull(strstr(header(&r, "Link"), "&name=lenet"));
	answer_done(&r);
	r = get(&w, "/v1/models?name=nothing");
	ck_assert_int_eq((int)json_array_size(json_object_get(r.json, "data")), 0);
	answer_done(&r);
	refuses(&w, "GET", "/v1/models/lenet:3", NULL, 404, "not_found");
	refuses(&w, "GET", "/v1/models/nothing/versions", NULL, 404, "not_found");
	refuses(&w, "GET", "/v1/models/lenet%3a1/versions", NULL, 404, "not_found");
}
END_TEST

START_TEST(aliases)
{
	char a[PARE_ID_MAX], b[PARE_ID_MAX], tag[PARE_ID_MAX + 2], body[128];
	struct answer r;

	make_model(&w, a);
	make_model(&w, b);
	refuses(&w, "GET", "/v1/models/lenet/aliases/champion", NULL, 404, "not_found");
	r = send("PUT", "/v1/models/lenet/aliases/champion", H(JSON_TYPE, "If-None-Match", "*"), "{\"version\":1}");
	assert_status(&r, 201);
	ck_assert_str_eq(text_at(r.json, "model"), a);
	(void)snprintf(tag, sizeof tag, "\"%s\"", a);
	ck_assert_str_eq(header(&r, "ETag"), tag);
	answer_done(&r);
	r = send("PUT", "/v1/models/lenet/aliases/champion", H(JSON_TYPE, "If-None-Match", "*"), "{\"version\":2}");
	assert_problem(&r, 412, "precondition_failed");
	answer_done(&r);
	r = get(&w, "/v1/models/lenet@champion");
	assert_status(&r, 200);
	ck_assert_str_eq(text_at(r.json, "id"), a);
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(r.json, "aliases"), 0)), "champion");
	answer_done(&r);
	r = request(&w, "GET", "/v1/models/lenet/aliases/champion", H("If-None-Match", tag), NULL, 0);
	assert_status(&r, 304);
	answer_done(&r);
	r = send("PUT", "/v1/models/lenet/aliases/champion", H(JSON_TYPE, "If-Match", "\"mdl_other\""), "{\"version\":2}");
	assert_problem(&r, 412, "precondition_failed");
	answer_done(&r);
	(void)snprintf(body, sizeof body, "{\"model\":\"%s\"}", b);
	r = send("PUT", "/v1/models/lenet/aliases/champion", H(JSON_TYPE, "If-Match", tag), body);
	assert_status(&r, 200);
	answer_done(&r);
	refuses(&w, "DELETE", "/v1/models/lenet:2", NULL, 409, "conflict");
	refuses(&w, "DELETE", "/v1/models/lenet/aliases/champion", H("If-Match", tag), 412, "precondition_failed");
	r = request(&w, "DELETE", "/v1/models/lenet/aliases/champion", NULL, NULL, 0);
	assert_status(&r, 204);
	answer_done(&r);
	refuses(&w, "DELETE", "/v1/models/lenet/aliases/champion", NULL, 404, "not_found");
}
END_TEST

/* Content is kept for good under an id alone: a name goes on to mean its newest version, an alias what it is moved to. */
START_TEST(content_by_name_is_asked_for_again)
{
	static const char *const targets[] = {"/v1/models/lenet/content", "/v1/models/lenet:1/content", "/v1/models/lenet@champion/content", "/v1/datasets/iris/content"};
	char id[PARE_ID_MAX], path[128];
	struct answer r;

	make_model(&w, id);
	make_dataset(&w, path);
	r = send("PUT", "/v1/models/lenet/aliases/champion", H(JSON_TYPE), "{\"version\":1}");
	assert_status(&r, 201);
	answer_done(&r);
	for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
		r = get(&w, targets[i]);
		assert_status(&r, 200);
		ck_assert_str_eq(header(&r, "Cache-Control"), "private, no-cache");
		(void)snprintf(path, sizeof path, "%s", header(&r, "ETag"));
		answer_done(&r);
		r = request(&w, "GET", targets[i], H("If-None-Match", path), NULL, 0);
		assert_status(&r, 304);
		ck_assert_str_eq(header(&r, "Cache-Control"), "private, no-cache");
		answer_done(&r);
	}
	(void)snprintf(path, sizeof path, "/v1/models/%s/content", id);
	r = get(&w, path);
	ck_assert_str_eq(header(&r, "Cache-Control"), "private, immutable, max-age=31536000");
	answer_done(&r);
}
END_TEST

static const struct {
	const char *target, *body;
	int status;
} wrong_alias[] = {
    {"/v1/models/lenet/aliases/champion", "{\"version\":7}", 422},
    {"/v1/models/lenet/aliases/champion", "{}", 422},
    {"/v1/models/lenet/aliases/champion", "{\"version\":1,\"model\":\"lenet\"}", 422},
    {"/v1/models/lenet/aliases/champion", "{\"versoin\":1}", 422},
    {"/v1/models/lenet/aliases/.hidden", "{\"version\":1}", 422},
    {"/v1/models/lenet/aliases/a%40b", "{\"version\":1}", 422},
    {"/v1/models/lenet/aliases/..", "{\"version\":1}", 400},
    {"/v1/models/lenet/aliases/%2e%2e", "{\"version\":1}", 400},
    {"/v1/models/lenet/aliases/a%2fb", "{\"version\":1}", 400},
    {"/v1/models/lenet/aliases/%252e%252e", "{\"version\":1}", 422}, /* decoded once, "%2e%2e" is no alias */
    {"/v1/models/other/aliases/champion", "{\"model\":\"lenet\"}", 422},
    {"/v1/models/len%D0%B5t/aliases/champion", "{\"model\":\"lenet\"}", 422}, /* another alphabet, another name */
};

START_TEST(aliases_that_are_wrong)
{
	char a[PARE_ID_MAX];
	struct answer r;

	make_model(&w, a);
	r = send("PUT", wrong_alias[_i].target, JSON, wrong_alias[_i].body);
	ck_assert_msg(r.status == wrong_alias[_i].status, "%s: %d: %s", wrong_alias[_i].target, r.status, r.body);
	answer_done(&r);
}
END_TEST

START_TEST(names_that_attack)
{
	static const char *const names[] = {"..", ".", "a%2Fb", "a%5Cb", "a%3A1", "a%40b", "%20a", "mdl_01JD8Z3M2V9Q4T6R8W0Y2A4C6E"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		char target[128];
		struct answer r;

		(void)snprintf(target, sizeof target, "/v1/models?name=%s", names[i]);
		r = request(&w, "POST", target, NULL, MODEL_BYTES, sizeof MODEL_BYTES - 1);
		ck_assert_msg(r.status == 422, "%s: %d", names[i], r.status);
		answer_done(&r);
	}
	ck_assert_int_eq(world_blobs(&w), 0);
}
END_TEST

START_TEST(changes)
{
	char a[PARE_ID_MAX], target[64], etag[64];
	struct answer r;

	make_model(&w, a);
	(void)snprintf(target, sizeof target, "/v1/models/%s", a);
	r = get(&w, target);
	(void)snprintf(etag, sizeof etag, "%s", header(&r, "ETag"));
	answer_done(&r);
	r = send("PATCH", target, H(JSON_TYPE, "If-Match", etag), "{\"description\":\"for the doorbell\",\"labels\":{\"team\":\"vision\"}}");
	assert_status(&r, 200);
	ck_assert_str_eq(text_at(r.json, "description"), "for the doorbell");
	ck_assert_str_eq(text_at(json_object_get(r.json, "labels"), "team"), "vision");
	ck_assert_str_eq(text_at(r.json, "name"), "lenet");
	answer_done(&r);
	r = send("PATCH", target, H(JSON_TYPE, "If-Match", etag), "{\"description\":\"\"}");
	assert_problem(&r, 412, "precondition_failed");
	answer_done(&r);
	r = send("PATCH", target, JSON, "{\"name\":\"doorbell\"}");
	assert_status(&r, 200);
	ck_assert_int_eq(json_integer_value(json_object_get(r.json, "version")), 1);
	answer_done(&r);
	refuses(&w, "GET", "/v1/models/lenet", NULL, 404, "not_found");
	r = send("PATCH", "/v1/models/doorbell", JSON, "{\"name\":\"a/b\"}");
	assert_problem(&r, 422, "validation_failed");
	answer_done(&r);
	r = send("PATCH", "/v1/models/doorbell", JSON, "{\"labels\":{\"team\":7}}");
	assert_problem(&r, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(r.json, "errors"), 0), "pointer"), "/labels/team");
	answer_done(&r);
	r = send("PATCH", "/v1/models/doorbell", JSON, "{\"colour\":\"red\"}");
	assert_problem(&r, 422, "validation_failed");
	answer_done(&r);
	make_dataset(&w, a);
	r = send("PATCH", "/v1/datasets/iris", JSON, "{\"description\":\"flowers\"}");
	assert_status(&r, 200);
	answer_done(&r);
}
END_TEST

START_TEST(looks_again)
{
	char a[PARE_ID_MAX], d[PARE_ID_MAX];
	struct answer r;

	make_model(&w, a);
	make_dataset(&w, d);
	r = request(&w, "POST", "/v1/models/lenet/validate", NULL, NULL, 0);
	assert_status(&r, 200);
	ck_assert(json_is_true(json_object_get(r.json, "valid")));
	ck_assert_int_eq((int)json_array_size(json_object_get(r.json, "warnings")), 2); /* the fake engine's model can do nothing */
	answer_done(&r);
	r = get(&w, "/v1/datasets/iris/sample?n=7&label=c");
	assert_status(&r, 200);
	ck_assert_str_eq(w.options, "{\"label\":\"c\"} 7");
	ck_assert_str_eq(w.file_names, "1:iris.csv");
	answer_done(&r);
	r = post_json(&w, "/v1/models/lenet/validate", "{\"colour\":1}");
	assert_problem(&r, 422, "validation_failed");
	answer_done(&r);
	w.engine_code = PARE_E_MODEL;
	r = request(&w, "POST", "/v1/models/lenet/validate", NULL, NULL, 0);
	assert_status(&r, 200);
	ck_assert(json_is_false(json_object_get(r.json, "valid")));
	ck_assert_str_eq(text_at(json_object_get(r.json, "error"), "code"), "invalid_model");
	answer_done(&r);
	w.engine_code = PARE_E_BUSY;
	r = request(&w, "POST", "/v1/models/lenet/validate", NULL, NULL, 0);
	assert_problem(&r, 503, "busy");
	answer_done(&r);
	w.engine_code = PARE_E_DATASET;
	r = get(&w, "/v1/datasets/iris/sample");
	assert_problem(&r, 422, "invalid_dataset");
	answer_done(&r);
}
END_TEST

START_TEST(jobs_keep_the_id)
{
	char a[PARE_ID_MAX], b[PARE_ID_MAX], d[PARE_ID_MAX];
	struct answer r;

	make_model(&w, a);
	make_model(&w, b);
	make_dataset(&w, d);
	r = send("PUT", "/v1/models/lenet/aliases/champion", JSON, "{\"version\":1}");
	assert_status(&r, 201);
	answer_done(&r);
	r = post_json(&w, "/v1/jobs", "{\"model\":\"lenet@champion\",\"teacher\":\"lenet\",\"dataset\":\"iris:1\",\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]}}");
	assert_status(&r, 201);
	ck_assert_str_eq(text_at(r.json, "model"), a);
	ck_assert_str_eq(text_at(r.json, "dataset"), d);
	ck_assert_str_eq(text_at(json_object_get(r.json, "request"), "model"), a);
	ck_assert_str_eq(text_at(json_object_get(r.json, "request"), "teacher"), b);
	ck_assert_str_eq(text_at(json_object_get(r.json, "request"), "dataset"), d);
	answer_done(&r);
	r = get(&w, "/v1/jobs?model=lenet:1");
	assert_status(&r, 200);
	ck_assert_int_eq((int)json_array_size(json_object_get(r.json, "data")), 1);
	answer_done(&r);
	refuses(&w, "GET", "/v1/jobs?model=nothing", NULL, 400, "bad_request");
	r = post_json(&w, "/v1/jobs", "{\"model\":\"lenet@none\",\"dataset\":\"iris\",\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]}}");
	assert_problem(&r, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(r.json, "errors"), 0), "pointer"), "/model");
	answer_done(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("registry");
	TCase *tc = tcase_create("registry");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, versions_and_references);
	tcase_add_test(tc, content_by_name_is_asked_for_again);
	tcase_add_test(tc, aliases);
	tcase_add_loop_test(tc, aliases_that_are_wrong, 0, (int)(sizeof wrong_alias / sizeof wrong_alias[0]));
	tcase_add_test(tc, names_that_attack);
	tcase_add_test(tc, changes);
	tcase_add_test(tc, looks_again);
	tcase_add_test(tc, jobs_keep_the_id);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
