/* Uploads in every form, what is refused and when, and bytes that come back with conditions and ranges. */
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

static struct answer post(const char *target, const char *const *headers, const char *body)
{
	return request(&w, "POST", target, headers, body, strlen(body));
}

static void refuses_upload(const char *target, const char *const *headers, const char *body, size_t n, int status, const char *code)
{
	struct answer a = request(&w, "POST", target, headers, body, n);

	assert_problem(&a, status, code);
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), 0);
}

START_TEST(takes_raw_bytes)
{
	struct answer a = post("/v1/models?name=caf%C3%A9&filename=../x/lenet%205.onnx", NULL, "\x08\x07 a model");
	char path[128];

	assert_status(&a, 201);
	ck_assert_str_eq(text_at(a.json, "object"), "model");
	ck_assert_str_eq(text_at(a.json, "name"), "caf\xC3\xA9");
	ck_assert_str_eq(w.file_names, "lenet_5.onnx;");
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "bytes")), 10);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(a.json, "info"), "parameters")), 12);
	ck_assert_ptr_null(json_object_get(json_object_get(a.json, "info"), "layers"));
	ck_assert_str_eq(header(&a, "Location"), text_at(json_object_get(a.json, "urls"), "self"));
	(void)snprintf(path, sizeof path, "%s/graph", header(&a, "Location"));
	answer_done(&a);
	a = get(&w, path);
	assert_status(&a, 200);
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "layers")), 1);
	answer_done(&a);
}
END_TEST

START_TEST(takes_a_form)
{
	static const char form[] = "--B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nmnist\r\n"
				   "--B\r\nContent-Disposition: form-data; name=\"label\"\r\n\r\ny\r\n"
				   "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"train-images\"\r\n\r\nAAAA\r\n"
				   "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"train-labels\"\r\n\r\nBB\r\n--B--\r\n";
	struct answer a = post("/v1/datasets?task=classify", H("Content-Type", "multipart/form-data; boundary=B"), form);
	char path[200], bytes[260];

	assert_status(&a, 201);
	ck_assert_str_eq(text_at(a.json, "name"), "mnist");
	ck_assert_str_eq(w.file_names, "train-images;train-labels;");
	ck_assert_str_eq(w.options, "{\"label\":\"y\",\"task\":\"classify\"}");
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "files")), 2);
	(void)snprintf(path, sizeof path, "%s/content", header(&a, "Location"));
	(void)snprintf(bytes, sizeof bytes, "%s/content?path=train-labels", header(&a, "Location"));
	answer_done(&a);
	a = get(&w, bytes);
	assert_status(&a, 200);
	ck_assert_str_eq(a.body, "BB");
	answer_done(&a);
	refuses(&w, "GET", path, NULL, 400, "bad_request"); /* which of the two? */
	(void)snprintf(bytes, sizeof bytes, "%s?path=..", path);
	refuses(&w, "GET", bytes, NULL, 404, "not_found");
}
END_TEST

START_TEST(builds_a_model_from_an_architecture)
{
	struct answer a = post_json(&w, "/v1/models", "{\"name\":\"lenet\",\"architecture\":{\"input\":[784],\"layers\":[{\"units\":10}]}}");

	assert_status(&a, 201);
	ck_assert_str_eq(text_at(a.json, "name"), "lenet");
	ck_assert_int_eq(w.n_built, 1);
	answer_done(&a);
	a = post_json(&w, "/v1/models", "{\"architectur\":{}}");
	assert_problem(&a, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), "/architectur");
	ck_assert_ptr_nonnull(strstr(text_at(a.json, "detail"), "did you mean \"architecture\"?"));
	answer_done(&a);
	a = post_json(&w, "/v1/models", "{\"architecture\":5}");
	assert_problem(&a, 422, "validation_failed");
	answer_done(&a);
	a = post_json(&w, "/v1/models", "{\"name\":\"a\\nb\",\"architecture\":{\"input\":[4],\"layers\":[{\"units\":3}]}}");
	assert_problem(&a, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), "/name");
	answer_done(&a);
	/* every finding with its place, and the engine is not asked */
	a = post_json(&w, "/v1/models", "{\"architecture\":{\"type\":\"mlpp\",\"input\":[4],\"layers\":[{\"units\":-3,\"activatoin\":\"relu\"}]}}");
	assert_problem(&a, 422, "validation_failed");
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "errors")), 3);
	ck_assert_ptr_nonnull(strstr(a.body, "\"/architecture/type\""));
	ck_assert_ptr_nonnull(strstr(a.body, "\"/architecture/layers/0/units\""));
	ck_assert_ptr_nonnull(strstr(a.body, "\"/architecture/layers/0/activatoin\""));
	answer_done(&a);
	ck_assert_int_eq(w.n_built, 1);
	w.engine_code = PARE_E_INVALID;
	a = post_json(&w, "/v1/models", "{\"architecture\":{\"input\":[4],\"layers\":[{\"units\":3}]}}");
	assert_problem(&a, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), "/architecture/layers/0/units");
	answer_done(&a);
	ck_assert_int_eq(w.n_built, 2);
}
END_TEST

static const struct {
	const char *name, *bytes;
	size_t n;
	const char *hint;
} foreign[] = {
    {"pickle", "\x80\x02}q\x00(X\x01\x00\x00\x00", 12, "torch.onnx.export"},
    {"zip of torch", "PK\x03\x04\x00\x00\x08\x08", 8, "torch.onnx.export"},
    {"hdf5", "\x89HDF\r\n\x1a\n\x00", 9, "tf2onnx"},
    {"tflite", "\x1c\x00\x00\x00TFL3\x14\x00", 10, "tf2onnx"},
    {"safetensors", "\x50\x00\x00\x00\x00\x00\x00\x00{\"a\":{\"dtype\"", 21, "safetensors"},
    {"gguf", "GGUF\x03\x00\x00\x00", 8, "GGUF"},
};

START_TEST(refuses_foreign_format)
{
	struct answer a = request(&w, "POST", "/v1/models", NULL, foreign[_i].bytes, foreign[_i].n);

	assert_problem(&a, 415, "unsupported_media_type");
	ck_assert_ptr_nonnull(strstr(text_at(a.json, "detail"), foreign[_i].hint));
	ck_assert_int_eq(w.n_inspected, 0);
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), 0);
}
END_TEST

START_TEST(refuses_what_the_engine_refuses)
{
	struct answer a;

	w.engine_code = PARE_E_UNSUPPORTED_OP;
	a = post("/v1/models", NULL, "\x08\x07 a bad model");
	assert_problem(&a, 422, "unsupported_operator");
	ck_assert_str_eq(text_at(a.json, "where"), "node \"fc1\" (Gemm)");
	ck_assert_ptr_null(json_object_get(a.json, "errors"));
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), 0);
	w.engine_code = PARE_E_SYNTAX; /* the request is well-formed, the model is not */
	a = post("/v1/models", NULL, "\x08\x07 a cut model");
	assert_problem(&a, 422, "invalid_model");
	ck_assert_str_eq(text_at(a.json, "where"), "node \"fc1\" (Gemm)");
	answer_done(&a);
	w.engine_code = PARE_E_BUSY;
	a = post("/v1/models", NULL, "\x08\x07 a model");
	assert_problem(&a, 503, "busy");
	answer_done(&a);
	w.engine_code = PARE_E_WORKER_CRASHED;
	a = post("/v1/models", NULL, "\x08\x07 a model");
	assert_problem(&a, 500, "worker_crashed");
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), 0);
}
END_TEST

START_TEST(keeps_a_blob_that_another_model_names)
{
	char id[PARE_ID_MAX], path[128];
	struct answer a;

	make_model(&w, id);
	ck_assert_int_eq(world_blobs(&w), 1);
	w.engine_code = PARE_E_MODEL;
	a = request(&w, "POST", "/v1/models", NULL, MODEL_BYTES, sizeof MODEL_BYTES - 1);
	assert_problem(&a, 422, "invalid_model");
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), 1);
	(void)snprintf(path, sizeof path, "/v1/models/%s", id);
	a = request(&w, "DELETE", path, NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), 0);
	refuses(&w, "DELETE", path, NULL, 404, "not_found");
}
END_TEST

START_TEST(refuses_bad_uploads)
{
	static const char *const form = "Content-Type";

	refuses_upload("/v1/models", NULL, "", 0, 422, "invalid_model");
	refuses_upload("/v1/datasets", NULL, "", 0, 422, "invalid_dataset");
	refuses_upload("/v1/models", H(form, "text/html"), "x", 1, 415, "unsupported_media_type");
	refuses_upload("/v1/datasets", H(form, "application/json"), "{}", 2, 422, "validation_failed");
	refuses_upload("/v1/models", H("Content-Encoding", "gzip"), "x", 1, 415, "unsupported_media_type");
	refuses_upload("/v1/models", H(form, "multipart/form-data"), "x", 1, 400, "bad_request");
	refuses_upload("/v1/models", H(form, "multipart/form-data; boundary=B"), "--B--", 5, 422, "validation_failed");
	refuses_upload("/v1/models", H(form, "multipart/form-data; boundary=B"), "--B\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--B--", 55, 422, "validation_failed");
	refuses_upload("/v1/datasets?task=guess", NULL, "x", 1, 422, "validation_failed");
	refuses_upload("/v1/models?label=x", NULL, "x", 1, 400, "bad_request");
}
END_TEST

/* Every word that a job's data.task may be: labels of 0 and 1 can be read in two ways, and the engine asks for the task then. */
START_TEST(tasks_are_those_of_jobs)
{
	for (const char *const *task = pare_data_tasks; *task != NULL; task++) {
		char target[64], options[64];
		struct answer a;

		(void)snprintf(target, sizeof target, "/v1/datasets?task=%s", *task);
		(void)snprintf(options, sizeof options, "{\"task\":\"%s\"}", *task);
		a = post(target, NULL, "1,0\n");
		assert_status(&a, 201);
		ck_assert_str_eq(w.options, options);
		answer_done(&a);
	}
}
END_TEST

START_TEST(refuses_two_files_for_a_model_and_two_of_one_name)
{
	static const char form[] = "--B\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n1\r\n--B\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n2\r\n--B--";

	refuses_upload("/v1/models", H("Content-Type", "multipart/form-data; boundary=B"), form, sizeof form - 1, 422, "validation_failed");
	refuses_upload("/v1/datasets", H("Content-Type", "multipart/form-data; boundary=B"), form, sizeof form - 1, 422, "validation_failed");
}
END_TEST

START_TEST(checks_the_digest)
{
	/* SHA-256 of "abc" */
	struct answer a = post("/v1/models", H("Repr-Digest", "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"), "abc");

	assert_status(&a, 201);
	answer_done(&a);
	a = post("/v1/models", H("Repr-Digest", "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"), "abd");
	assert_problem(&a, 422, "digest_mismatch");
	answer_done(&a);
	a = post("/v1/models", H("Repr-Digest", "md5=:AAAA:"), "abc");
	assert_problem(&a, 400, "bad_request");
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), 1);
}
END_TEST

START_TEST(serves_content_with_conditions)
{
	char id[PARE_ID_MAX], path[128], etag[128], digest[128];
	struct answer a;
	size_t n = sizeof MODEL_BYTES - 1;

	make_model(&w, id);
	(void)snprintf(path, sizeof path, "/v1/models/%s/content", id);
	a = get(&w, path);
	assert_status(&a, 200);
	ck_assert_uint_eq(a.n, n);
	ck_assert_int_eq(memcmp(a.body, MODEL_BYTES, n), 0);
	ck_assert_str_eq(header(&a, "Accept-Ranges"), "bytes");
	ck_assert_ptr_nonnull(strstr(header(&a, "Cache-Control"), "immutable"));
	ck_assert_str_eq(header(&a, "X-Content-Type-Options"), "nosniff");
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	(void)snprintf(digest, sizeof digest, "%s", header(&a, "Repr-Digest"));
	ck_assert_int_eq(strncmp(etag, "\"sha256:", 8), 0);
	answer_done(&a);

	a = request(&w, "HEAD", path, NULL, NULL, 0);
	assert_status(&a, 200);
	ck_assert(a.reply->head_only);
	ck_assert_int_eq(a.reply->fd_bytes, (int64_t)n);
	answer_done(&a);
	a = request(&w, "HEAD", path, H("Range", "bytes=0-1"), NULL, 0); /* a range is GET's alone */
	assert_status(&a, 200);
	ck_assert_int_eq(a.reply->fd_bytes, (int64_t)n);
	answer_done(&a);
	a = request(&w, "GET", path, H("If-None-Match", etag, "Range", "bytes=0-1"), NULL, 0);
	assert_status(&a, 304);
	answer_done(&a);
	a = request(&w, "GET", path, H("Range", "bytes=-5", "If-Range", etag), NULL, 0);
	assert_status(&a, 206);
	ck_assert_str_eq(a.body, "model");
	ck_assert_str_eq(header(&a, "Repr-Digest"), digest);
	answer_done(&a);
	a = request(&w, "GET", path, H("Range", "bytes=-5", "If-Range", "\"other\""), NULL, 0);
	assert_status(&a, 200);
	answer_done(&a);
	a = request(&w, "GET", path, H("Range", "bytes=0-0,2-2"), NULL, 0);
	assert_status(&a, 200);
	answer_done(&a);
	a = request(&w, "GET", path, H("Range", "bytes=1000-"), NULL, 0);
	assert_problem(&a, 416, "range_not_satisfiable");
	ck_assert_str_eq(header(&a, "Content-Range"), "bytes */26");
	ck_assert_str_eq(header(&a, "Content-Disposition"), ""); /* the problem is not the file */
	ck_assert_str_eq(header(&a, "Repr-Digest"), "");
	answer_done(&a);
	refuses(&w, "GET", path, H("If-Match", "\"other\""), 412, "precondition_failed");
}
END_TEST

START_TEST(hands_over_the_descriptor_once)
{
	char id[PARE_ID_MAX], path[128];
	struct api_exchange *x;
	int fd;

	make_model(&w, id);
	(void)snprintf(path, sizeof path, "/v1/models/%s/content", id);
	x = exchange(&w, "GET", path, NULL, NULL, 0);
	fd = api_reply_take_fd(x);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(api_reply_take_fd(x), -1);
	api_exchange_free(x);
	ck_assert_int_eq(close(fd), 0);
}
END_TEST

START_TEST(puts_the_public_url_before_links)
{
	struct answer a;

	api_free(w.api);
	w.opt.public_url = "https://example.org/prefix/";
	world_start(&w);
	a = post("/v1/models", NULL, "abc");
	ck_assert_int_eq(strncmp(header(&a, "Location"), "https://example.org/prefix/v1/models/mdl_", 41), 0);
	answer_done(&a);
	a = get(&w, "/nothing");
	ck_assert_str_eq(text_at(a.json, "type"), "https://example.org/prefix/problems/not_found");
	answer_done(&a);
}
END_TEST

START_TEST(deletes_what_was_looked_at)
{
	char id[PARE_ID_MAX], path[128], etag[80];
	struct answer a;

	make_model(&w, id);
	(void)snprintf(path, sizeof path, "/v1/models/%s", id);
	a = get(&w, path);
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	ck_assert_uint_gt(strlen(etag), 2);
	answer_done(&a);
	refuses(&w, "DELETE", path, H("If-Match", "\"other\""), 412, "precondition_failed");
	a = get(&w, path);
	assert_status(&a, 200);
	answer_done(&a);
	a = request(&w, "DELETE", path, H("If-Match", etag), NULL, 0);
	assert_status(&a, 204);
	ck_assert_uint_eq(a.n, 0);
	answer_done(&a);
}
END_TEST

START_TEST(does_not_delete_what_a_job_needs)
{
	char id[PARE_ID_MAX], path[256];
	struct answer a, list;

	make_job(&w, id);
	list = get(&w, "/v1/models");
	(void)snprintf(path, sizeof path, "/v1/models/%s", text_at(json_array_get(json_object_get(list.json, "data"), 0), "id"));
	answer_done(&list);
	refuses(&w, "DELETE", path, NULL, 409, "conflict");
	finish_job(&w);
	a = request(&w, "DELETE", path, NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
}
END_TEST

START_TEST(lists_assets)
{
	char id[PARE_ID_MAX];
	struct answer a;

	make_dataset(&w, id);
	a = get(&w, "/v1/datasets?limit=1");
	assert_status(&a, 200);
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "data"), 0), "id"), id);
	ck_assert(json_is_false(json_object_get(a.json, "has_more")));
	answer_done(&a);
	a = get(&w, "/v1/models");
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 0);
	answer_done(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("assets");
	TCase *t = tcase_create("assets");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, takes_raw_bytes);
	tcase_add_test(t, takes_a_form);
	tcase_add_test(t, builds_a_model_from_an_architecture);
	tcase_add_loop_test(t, refuses_foreign_format, 0, (int)(sizeof foreign / sizeof foreign[0]));
	tcase_add_test(t, refuses_what_the_engine_refuses);
	tcase_add_test(t, keeps_a_blob_that_another_model_names);
	tcase_add_test(t, refuses_bad_uploads);
	tcase_add_test(t, tasks_are_those_of_jobs);
	tcase_add_test(t, refuses_two_files_for_a_model_and_two_of_one_name);
	tcase_add_test(t, checks_the_digest);
	tcase_add_test(t, serves_content_with_conditions);
	tcase_add_test(t, hands_over_the_descriptor_once);
	tcase_add_test(t, puts_the_public_url_before_links);
	tcase_add_test(t, deletes_what_was_looked_at);
	tcase_add_test(t, does_not_delete_what_a_job_needs);
	tcase_add_test(t, lists_assets);
	suite_add_tcase(s, t);
	return run_suite(s);
}
