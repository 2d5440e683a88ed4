/* Idempotency-Key on everything that makes something: the same request again finds what the first one made, another one is refused. */
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

static const struct {
	const char *path, *type, *body, *other; /* what may be sent, and what is something else */
} made_table[] = {
    {"/v1/models?name=a", "application/onnx", "bytes of a model", "bytes of another"},
    {"/v1/models?name=a&filename=x.onnx", "application/onnx", "bytes of a model", "bytes of another"},
    {"/v1/datasets?name=d", "application/octet-stream", "bytes of data rows", "bytes of other rows"},
    {"/v1/recipes", "application/json", "{\"name\":\"ours\",\"recipe\":{\"steps\":[{\"prune\":{\"criterion\":\"magnitude\",\"sparsity\":0.5}}]}}",
        "{\"name\":\"ours\",\"recipe\":{\"steps\":[{\"prune\":{\"criterion\":\"magnitude\",\"sparsity\":0.6}}]}}"},
    {"/v1/webhooks", "application/json", "{\"url\":\"https://a.example/\"}", "{\"url\":\"https://b.example/\"}"},
    {"/v1/uploads", "application/octet-stream", "bytes of an upload", "bytes of another one"},
};
#define N_MADE ((int)(sizeof made_table / sizeof made_table[0]))

static int n_listed(const char *path)
{
	char list[64];
	struct answer a;
	int n;

	(void)snprintf(list, sizeof list, "%.*s", (int)strcspn(path, "?"), path);
	a = get(&w, list);
	assert_status(&a, 200);
	n = (int)json_array_size(json_object_get(a.json, "data"));
	answer_done(&a);
	return n;
}

START_TEST(the_same_request_again_makes_nothing)
{
	const char *path = made_table[_i].path, *body = made_table[_i].body, *other = made_table[_i].other;
	const char *const *headers = H("Content-Type", made_table[_i].type, "Idempotency-Key", "ci-417");
	char id[PARE_ID_MAX], self[128], location[128];
	int before = n_listed(path), blobs;
	struct answer a;

	a = request(&w, "POST", path, headers, body, strlen(body));
	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "Idempotency-Replayed"), "");
	(void)snprintf(id, sizeof id, "%s", text_at(a.json, "id"));
	(void)snprintf(location, sizeof location, "%s", header(&a, "Location"));
	answer_done(&a);
	ck_assert_int_eq(n_listed(path), before + 1);
	blobs = world_blobs(&w);
	a = request(&w, "POST", path, headers, body, strlen(body));
	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "Idempotency-Replayed"), "true");
	ck_assert_str_eq(header(&a, "Location"), location);
	ck_assert_str_eq(text_at(a.json, "id"), id);
	ck_assert_ptr_null(json_object_get(a.json, "secret")); /* is told once */
	answer_done(&a);
	a = request(&w, "POST", path, headers, other, strlen(other));
	assert_problem(&a, 422, "idempotency_key_reused");
	answer_done(&a);
	ck_assert_int_eq(n_listed(path), before + 1);
	ck_assert_int_eq(world_blobs(&w), blobs); /* what came along is gone */
	(void)snprintf(self, sizeof self, "%.*s/%s", (int)strcspn(path, "?"), path, id);
	a = request(&w, "DELETE", self, NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	a = request(&w, "POST", path, headers, other, strlen(other)); /* forgotten with what it made */
	assert_status(&a, 201);
	ck_assert_str_ne(text_at(a.json, "id"), id);
	answer_done(&a);
}
END_TEST

/* A drained server takes no new work, and still tells what was made of a request before. One that is shutting down does not. */
START_TEST(a_drained_server_knows_what_was_made)
{
	const char *path = made_table[_i].path, *body = made_table[_i].body;
	const char *const *known = H("Content-Type", made_table[_i].type, "Idempotency-Key", "k");
	struct answer a = request(&w, "POST", path, known, body, strlen(body));
	char id[PARE_ID_MAX];
	int before;

	assert_status(&a, 201);
	(void)snprintf(id, sizeof id, "%s", text_at(a.json, "id"));
	answer_done(&a);
	before = n_listed(path);
	a = request(&w, "POST", "/v1/admin/drain", NULL, NULL, 0);
	assert_status(&a, 200);
	answer_done(&a);
	a = request(&w, "POST", path, known, body, strlen(body));
	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "Idempotency-Replayed"), "true");
	ck_assert_str_eq(text_at(a.json, "id"), id);
	answer_done(&a);
	a = request(&w, "POST", path, H("Content-Type", made_table[_i].type, "Idempotency-Key", "new"), body, strlen(body));
	assert_problem(&a, 503, "draining");
	answer_done(&a);
	a = request(&w, "POST", path, H("Content-Type", made_table[_i].type), body, strlen(body));
	assert_problem(&a, 503, "draining");
	answer_done(&a);
	ck_assert_int_eq(n_listed(path), before);
	api_set_draining(w.api, true);
	a = request(&w, "POST", path, known, body, strlen(body));
	assert_problem(&a, 503, "draining");
	answer_done(&a);
}
END_TEST

/* A resumable upload whose first answer was lost goes on where it is. */
START_TEST(an_upload_that_was_begun_is_found_again)
{
	const char *const *headers = H("Tus-Resumable", "1.0.0", "Upload-Length", "10", "Idempotency-Key", "u");
	char location[128];
	struct answer a = request(&w, "POST", "/v1/uploads", headers, NULL, 0);

	assert_status(&a, 201);
	(void)snprintf(location, sizeof location, "%s", header(&a, "Location"));
	answer_done(&a);
	a = request(&w, "PATCH", location, H("Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream"), "0123", 4);
	assert_status(&a, 204);
	answer_done(&a);
	a = request(&w, "POST", "/v1/uploads", headers, NULL, 0);
	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "Location"), location);
	ck_assert_str_eq(header(&a, "Upload-Offset"), "4");
	answer_done(&a);
	a = request(&w, "POST", "/v1/uploads", H("Tus-Resumable", "1.0.0", "Upload-Length", "11", "Idempotency-Key", "u"), NULL, 0);
	assert_problem(&a, 422, "idempotency_key_reused");
	answer_done(&a);
	ck_assert_int_eq(n_listed("/v1/uploads"), 1);
}
END_TEST

/* What a request named may have gone since: it is told what it made all the same. */
START_TEST(what_it_was_made_of_may_have_gone)
{
	const char *path = _i == 0 ? "/v1/models?name=m" : "/v1/datasets?name=d", *const *headers = H(JSON_TYPE, "Idempotency-Key", "k");
	char upload[PARE_ID_MAX], id[PARE_ID_MAX], body[200], self[128];
	struct answer a = request(&w, "POST", "/v1/uploads", NULL, "bytes of it", 11);

	assert_status(&a, 201);
	(void)snprintf(upload, sizeof upload, "%s", text_at(a.json, "id"));
	answer_done(&a);
	(void)snprintf(body, sizeof body, "{\"files\":[{\"path\":\"%s\",\"upload\":\"%s\"}]}", _i == 0 ? "m.onnx" : "d.npz", upload);
	a = request(&w, "POST", path, headers, body, strlen(body));
	assert_status(&a, 201);
	(void)snprintf(id, sizeof id, "%s", text_at(a.json, "id"));
	answer_done(&a);
	(void)snprintf(self, sizeof self, "/v1/uploads/%s", upload);
	a = request(&w, "DELETE", self, NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	a = request(&w, "POST", path, headers, body, strlen(body));
	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "Idempotency-Replayed"), "true");
	ck_assert_str_eq(text_at(a.json, "id"), id);
	answer_done(&a);
	a = request(&w, "POST", path, H(JSON_TYPE, "Idempotency-Key", "new"), body, strlen(body));
	ck_assert_int_eq(a.status / 100, 4); /* it cannot be made again */
	answer_done(&a);
	body[strlen(body) - 4] ^= 1; /* another upload */
	a = request(&w, "POST", path, headers, body, strlen(body));
	assert_problem(&a, 422, "idempotency_key_reused");
	answer_done(&a);
	ck_assert_int_eq(n_listed(path), 1);
}
END_TEST

START_TEST(a_key_is_checked_everywhere)
{
	const char *path = made_table[_i].path, *body = made_table[_i].body;
	int before = n_listed(path);
	struct answer a = request(&w, "POST", path, H("Content-Type", made_table[_i].type, "Idempotency-Key", "a\"b"), body, strlen(body));

	assert_problem(&a, 400, "bad_request");
	answer_done(&a);
	ck_assert_int_eq(n_listed(path), before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("idempotency keys");
	TCase *t = tcase_create("idempotency keys");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, the_same_request_again_makes_nothing, 0, N_MADE);
	tcase_add_loop_test(t, a_drained_server_knows_what_was_made, 0, N_MADE);
	tcase_add_loop_test(t, a_key_is_checked_everywhere, 0, N_MADE);
	tcase_add_test(t, an_upload_that_was_begun_is_found_again);
	tcase_add_loop_test(t, what_it_was_made_of_may_have_gone, 0, 2);
	suite_add_tcase(s, t);
	return run_suite(s);
}
