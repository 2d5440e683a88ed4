/* Models and data sets as JSON: files by reference, paths that attack, whose bytes one may name; and GET /v1/blobs. */
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

/* A whole upload of a text; returns its id, and its digest if wanted. */
static void upload(const char *text, char id[PARE_ID_MAX], char sha256[STORE_SHA256_HEX])
{
	struct answer a = request(&w, "POST", "/v1/uploads", NULL, text, strlen(text));

	assert_status(&a, 201);
	(void)snprintf(id, PARE_ID_MAX, "%s", text_at(a.json, "id"));
	if (sha256 != NULL)
		(void)snprintf(sha256, STORE_SHA256_HEX, "%s", text_at(a.json, "sha256"));
	answer_done(&a);
}

START_TEST(external_data_by_reference)
{
	char id[PARE_ID_MAX], data[PARE_ID_MAX], sha256[STORE_SHA256_HEX], text[512];
	struct answer a;

	upload("\x08\x07 a model with its weights elsewhere", id, NULL);
	upload("\x80\x02 weights may begin like a pickle", data, sha256);
	(void)snprintf(text, sizeof text, "{\"name\":\"big\",\"files\":[{\"path\":\"m.onnx\",\"upload\":\"%s\"},{\"path\":\"m.onnx.data\",\"blob\":\"sha256:%s\"}]}", id, sha256);
	a = post_json(&w, "/v1/models", text);
	assert_status(&a, 201);
	ck_assert_str_eq(w.file_names, "m.onnx;m.onnx.data;");
	ck_assert_str_eq(text_at(a.json, "name"), "big");
	ck_assert_int_eq((int)json_array_size(json_object_get(a.json, "files")), 2);
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "files"), 1), "sha256"), sha256);
	(void)snprintf(text, sizeof text, "/v1/models/%s", text_at(a.json, "id"));
	answer_done(&a);
	for (int i = 0; i < 2; i++) { /* the uploads go, the model keeps the bytes; then it goes, too */
		char path[64];

		(void)snprintf(path, sizeof path, "/v1/uploads/%s", i == 0 ? id : data);
		a = request(&w, "DELETE", path, NULL, NULL, 0);
		assert_status(&a, 204);
		answer_done(&a);
	}
	ck_assert_int_eq(world_blobs(&w), 2);
	a = request(&w, "DELETE", text, NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), 0);
}
END_TEST

START_TEST(dataset_by_reference)
{
	char id[PARE_ID_MAX], text[256];
	struct answer a;

	upload("a,b,label\n1,2,0\n", id, NULL);
	(void)snprintf(text, sizeof text, "{\"name\":\"iris\",\"label\":\"label\",\"task\":\"classify\",\"files\":[{\"path\":\"iris.csv\",\"upload\":\"%s\"}]}", id);
	a = post_json(&w, "/v1/datasets", text);
	assert_status(&a, 201);
	ck_assert_str_eq(w.options, "{\"label\":\"label\",\"task\":\"classify\"}");
	ck_assert_str_eq(w.file_names, "iris.csv;");
	answer_done(&a);
}
END_TEST

START_TEST(what_a_job_made)
{
	char job[PARE_ID_MAX], text[256];
	struct answer a;

	make_job(&w, job);
	finish_job(&w);
	(void)snprintf(text, sizeof text, "{\"name\":\"small\",\"files\":[{\"path\":\"small.onnx\",\"artifact\":{\"job\":\"%s\",\"name\":\"model.onnx\"}}]}", job);
	a = post_json(&w, "/v1/models", text);
	assert_status(&a, 201);
	ck_assert_str_eq(text_at(a.json, "produced_by"), job);
	answer_done(&a);
	(void)snprintf(text, sizeof text, "{\"files\":[{\"path\":\"small.onnx\",\"artifact\":{\"job\":\"%s\",\"name\":\"nothing\"}}]}", job);
	a = post_json(&w, "/v1/models", text);
	assert_problem(&a, 422, "validation_failed");
	answer_done(&a);
}
END_TEST

#define LONG "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
static const struct {
	const char *attack, *path; /* as JSON has it */
	bool harmless;
} path_table[] = {
    {"parent", "..", false},
    {"here", ".", false},
    {"empty", "", false},
    {"NUL", "m.onnx\\u0000.txt", false},
    {"longer than a name", LONG LONG "a", false},
    {"absolute", "/etc/passwd", false},
    {"proc", "/proc/self/environ", false},
    {"device", "/dev/zero", false},
    {"climbing", "a/../../b", false},
    {"directory", "weights/m.data", false},
    {"backslash", "..\\\\..\\\\m.data", false},
    {"hidden", ".m.data", false},
    {"newline", "m\\n.data", false},
    {"escape character", "m\\u001b[31m", false},
    {"decoded once it would climb", "%2e%2e%2fm.data", true},
    {"decoded twice it would climb", "%252e%252e%252fm.data", true},
    {"dots of full width", "\\uff0e\\uff0e", true},
    {"division slash", "a\\u2215b", true},
    {"Cyrillic letter", "m\\u043edel.onnx", true},
};

/* Each either refused with its place, or a name like any other that comes back as it was sent. */
START_TEST(paths_that_attack)
{
	char id[PARE_ID_MAX], text[1024];
	struct answer a;

	upload("\x08\x07 a model", id, NULL);
	(void)snprintf(text, sizeof text, "{\"files\":[{\"path\":\"%s\",\"upload\":\"%s\"}]}", path_table[_i].path, id);
	a = post_json(&w, "/v1/models", text);
	if (path_table[_i].harmless) {
		json_error_t e;
		json_t *sent = json_loads(text, 0, &e);

		assert_status(&a, 201);
		ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "files"), 0), "path"), text_at(json_array_get(json_object_get(sent, "files"), 0), "path"));
		json_decref(sent);
	} else {
		ck_assert_msg(a.status == 422 || a.status == 400, "%s: %d", path_table[_i].attack, a.status); /* 400: a NUL is refused with the JSON */
		ck_assert_int_eq(w.n_inspected, 0);
		if (a.status == 422)
			ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), "/files/0/path");
	}
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), 1);
}
END_TEST

static const struct {
	const char *text, *pointer;
} wrong_table[] = {
    {"{\"files\":[]}", "/files"},
    {"{\"files\":{}}", "/files"},
    {"{\"files\":[7]}", "/files/0"},
    {"{\"files\":[{\"path\":\"m.onnx\"}]}", "/files/0"},
    {"{\"files\":[{\"path\":\"m.onnx\",\"upload\":\"upl_1\",\"blob\":\"sha256:00\"}]}", "/files/0"},
    {"{\"files\":[{\"path\":\"m.onnx\",\"uplaod\":\"upl_1\"}]}", "/files/0/uplaod"},
    {"{\"files\":[{\"path\":\"m.onnx\",\"upload\":\"upl_01JD8Z3M2V9Q4T6R8W0Y2A4C6E\"}]}", "/files/0/upload"},
    {"{\"files\":[{\"path\":\"m.onnx\",\"upload\":7}]}", "/files/0/upload"},
    {"{\"files\":[{\"path\":\"m.onnx\",\"blob\":\"../../etc/passwd\"}]}", "/files/0/blob"},
    {"{\"files\":[{\"path\":\"m.onnx\",\"blob\":\"sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9\"}]}", "/files/0/blob"},
    {"{\"files\":[{\"path\":\"m.onnx\",\"artifact\":{\"job\":\"job_1\"}}]}", "/files/0/artifact"},
    {"{\"name\":7,\"files\":[{\"path\":\"m.onnx\",\"upload\":\"upl_1\"}]}", "/name"},
    {"{\"colour\":7,\"files\":[]}", "/colour"},
};

START_TEST(wrong_fields_have_a_place)
{
	struct answer a = post_json(&w, "/v1/models", wrong_table[_i].text);

	assert_problem(&a, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), wrong_table[_i].pointer);
	answer_done(&a);
}
END_TEST

/* Every object that a request may hold and the catalog does not describe (and one that it does): the same words, at places that a program can follow. */
static const struct {
	const char *method, *path, *text, *pointer;
} field_table[] = {
    {"POST", "/v1/models", "{\"a/b~c\":1,\"nmae\":2}", "/a~1b~0c"},
    {"POST", "/v1/models", "{\"files\":[{\"path\":\"m\",\"a/b~c\":1,\"plath\":1}]}", "/files/0/a~1b~0c"},
    {"POST", "/v1/models", "{\"files\":[{\"path\":\"m\",\"artifact\":{\"job\":\"j\",\"name\":\"n\",\"a/b~c\":1,\"nmae\":1}}]}", "/files/0/artifact/a~1b~0c"},
    {"POST", "/v1/datasets", "{\"a/b~c\":1,\"labl\":2}", "/a~1b~0c"},
    {"PATCH", "/v1/models/lenet", "{\"a/b~c\":1,\"nmae\":2}", "/a~1b~0c"},
    {"PATCH", "/v1/datasets/iris", "{\"a/b~c\":1,\"nmae\":2}", "/a~1b~0c"},
    {"PUT", "/v1/models/lenet/aliases/champion", "{\"a/b~c\":1,\"versoin\":2}", "/a~1b~0c"},
    {"POST", "/v1/recipes", "{\"a/b~c\":1,\"nmae\":2}", "/a~1b~0c"},
    {"PUT", "/v1/recipes/mine", "{\"a/b~c\":1,\"recpie\":2}", "/a~1b~0c"},
    {"POST", "/v1/webhooks", "{\"a/b~c\":1,\"secrte\":2}", "/a~1b~0c"},
    {"POST", "/v1/jobs", "{\"a/b~c\":1,\"modle\":2}", "/a~1b~0c"},
};

START_TEST(fields_that_nobody_reads)
{
	char id[PARE_ID_MAX];
	const json_t *errors;
	struct answer a;

	make_model(&w, id);
	make_dataset(&w, id);
	a = request(&w, field_table[_i].method, field_table[_i].path, H(JSON_TYPE), field_table[_i].text, strlen(field_table[_i].text));
	assert_problem(&a, 422, "validation_failed");
	errors = json_object_get(a.json, "errors");
	ck_assert_int_ge((int)json_array_size(errors), 2);
	ck_assert_str_eq(text_at(json_array_get(errors, 0), "pointer"), field_table[_i].pointer);
	for (size_t i = 0; i < 2; i++)
		ck_assert_str_eq(text_at(json_array_get(errors, i), "code"), "unknown_field");
	ck_assert_ptr_nonnull(strstr(text_at(json_array_get(errors, 1), "detail"), "; did you mean \""));
	answer_done(&a);
}
END_TEST

START_TEST(label_pointers_are_escaped)
{
	static const char text[] = "{\"labels\":{\"a/b~\":1}}";
	char id[PARE_ID_MAX];
	struct answer a;

	make_model(&w, id);
	a = request(&w, "PATCH", "/v1/models/lenet", H(JSON_TYPE), text, sizeof text - 1);
	assert_problem(&a, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), "/labels/a~1b~0");
	answer_done(&a);
}
END_TEST

START_TEST(unfinished_and_doubled)
{
	struct answer a = request(&w, "POST", "/v1/uploads", H("Upload-Complete", "?0"), NULL, 0);
	char id[PARE_ID_MAX], text[256];

	(void)snprintf(id, sizeof id, "%s", text_at(a.json, "id"));
	answer_done(&a);
	(void)snprintf(text, sizeof text, "{\"files\":[{\"path\":\"m.onnx\",\"upload\":\"%s\"}]}", id);
	a = post_json(&w, "/v1/models", text);
	assert_problem(&a, 422, "validation_failed");
	answer_done(&a);
	upload("\x08\x07 a model", id, NULL);
	(void)snprintf(text, sizeof text, "{\"files\":[{\"path\":\"m.onnx\",\"upload\":\"%s\"},{\"path\":\"m.onnx\",\"upload\":\"%s\"}]}", id, id);
	a = post_json(&w, "/v1/models", text);
	assert_problem(&a, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), "/files/1/path");
	answer_done(&a);
	upload("\x80\x02 a pickle, sixteen bytes", id, NULL);
	(void)snprintf(text, sizeof text, "{\"files\":[{\"path\":\"m.onnx\",\"upload\":\"%s\"}]}", id);
	a = post_json(&w, "/v1/models", text);
	assert_problem(&a, 415, "unsupported_media_type");
	answer_done(&a);
	ck_assert_int_eq(w.n_inspected, 0);
}
END_TEST

/* All bytes are there and the daemon died before it could say so: they are complete when they are needed. */
START_TEST(whole_bytes_are_completed_when_used)
{
	struct answer a = request(&w, "POST", "/v1/uploads", H("Tus-Resumable", "1.0.0", "Upload-Length", "10"), NULL, 0);
	char url[64], text[256];
	const struct api_header headers[] = {{"Host", "x"}, {"Tus-Resumable", "1.0.0"}, {"Content-Type", "application/offset+octet-stream"}, {"Upload-Offset", "0"}, {"Content-Length", "10"}};
	struct api_head head = {.method = "PATCH", .target = url, .version = "HTTP/1.1", .headers = headers, .n_headers = 5, .peer = "127.0.0.1"};
	struct api_exchange *x;

	(void)snprintf(url, sizeof url, "%s", header(&a, "Location"));
	(void)snprintf(text, sizeof text, "{\"files\":[{\"path\":\"m.onnx\",\"upload\":\"%s\"}]}", text_at(a.json, "id"));
	answer_done(&a);
	x = api_exchange_new(w.api, &head);
	api_exchange_body(x, "\x08\x07 a model", 10);
	api_exchange_free(x); /* never ended */
	a = post_json(&w, "/v1/models", text);
	assert_status(&a, 201);
	answer_done(&a);
	a = get(&w, url);
	ck_assert_str_eq(text_at(a.json, "status"), "complete");
	answer_done(&a);
}
END_TEST

START_TEST(blobs_of_ones_own)
{
	char id[PARE_ID_MAX], sha256[STORE_SHA256_HEX], target[128];
	struct blob_ref ref;
	struct answer a;

	upload("hello world", id, sha256);
	(void)snprintf(target, sizeof target, "/v1/blobs/sha256:%s", sha256);
	a = request(&w, "HEAD", target, NULL, NULL, 0);
	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "Repr-Digest"), "sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:");
	answer_done(&a);
	a = request(&w, "GET", target, H("Range", "bytes=0-4"), NULL, 0);
	assert_status(&a, 206);
	ck_assert_str_eq(a.body, "hello");
	answer_done(&a);
	put_blob(&w, "somebody else's", &ref); /* there, and named by no row of this caller */
	(void)snprintf(target, sizeof target, "/v1/blobs/sha256:%s", ref.sha256);
	refuses(&w, "HEAD", target, NULL, 404, "not_found");
	refuses(&w, "HEAD", "/v1/blobs/sha256:..", NULL, 404, "not_found");
	refuses(&w, "HEAD", "/v1/blobs/b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9", NULL, 404, "not_found");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("described assets");
	TCase *tc = tcase_create("describe");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, external_data_by_reference);
	tcase_add_test(tc, dataset_by_reference);
	tcase_add_test(tc, what_a_job_made);
	tcase_add_loop_test(tc, paths_that_attack, 0, (int)(sizeof path_table / sizeof path_table[0]));
	tcase_add_loop_test(tc, wrong_fields_have_a_place, 0, (int)(sizeof wrong_table / sizeof wrong_table[0]));
	tcase_add_loop_test(tc, fields_that_nobody_reads, 0, (int)(sizeof field_table / sizeof field_table[0]));
	tcase_add_test(tc, label_pointers_are_escaped);
	tcase_add_test(tc, unfinished_and_doubled);
	tcase_add_test(tc, whole_bytes_are_completed_when_used);
	tcase_add_test(tc, blobs_of_ones_own);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
