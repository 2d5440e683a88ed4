/* What is read of jobs beside the job itself, and again and again: artifacts by their own ids, the workers, ended jobs whose text is kept, and jobs that wait for room. */
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

START_TEST(serves_artifacts_by_their_ids)
{
	char id[PARE_ID_MAX], path[128], artifact[PARE_ID_MAX], content[160], etag[80];
	const json_t *list;
	struct answer a;
	int n_blobs;

	make_job(&w, id);
	finish_job(&w);
	n_blobs = world_blobs(&w);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	a = get(&w, path);
	list = json_object_get(a.json, "artifacts");
	(void)snprintf(artifact, sizeof artifact, "%s", text_at(json_array_get(list, 0), "id"));
	(void)snprintf(content, sizeof content, "%s", text_at(json_object_get(json_array_get(list, 0), "urls"), "content"));
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "revision")), 4);
	answer_done(&a);
	(void)snprintf(path, sizeof path, "/v1/artifacts/%s", artifact);
	a = get(&w, path);
	assert_status(&a, 200);
	ck_assert_str_eq(text_at(a.json, "name"), "model.onnx");
	ck_assert_str_eq(text_at(a.json, "job"), id);
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	answer_done(&a);
	a = request(&w, "GET", content, H("Range", "bytes=-5"), NULL, 0);
	assert_status(&a, 206);
	ck_assert_str_eq(a.body, "model");
	ck_assert_str_eq(header(&a, "Content-Disposition"), "attachment; filename=\"model.onnx\"");
	ck_assert_ptr_nonnull(strstr(header(&a, "Repr-Digest"), "sha-256=:"));
	answer_done(&a);
	a = request(&w, "HEAD", content, NULL, NULL, 0);
	assert_status(&a, 200);
	ck_assert(a.reply->head_only);
	answer_done(&a);
	refuses(&w, "DELETE", path, H("If-Match", "\"other\""), 412, "precondition_failed");
	a = request(&w, "DELETE", path, H("If-Match", etag), NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), n_blobs - 1);
	refuses(&w, "GET", path, NULL, 404, "not_found");
	refuses(&w, "GET", content, NULL, 404, "not_found");
	refuses(&w, "DELETE", path, NULL, 404, "not_found");
	refuses(&w, "GET", "/v1/artifacts/nothing", NULL, 404, "not_found");
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	a = get(&w, path); /* the job has changed, and its other artifacts are there */
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "artifacts")), 3);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "revision")), 5);
	answer_done(&a);
}
END_TEST

START_TEST(tells_of_workers)
{
	struct answer a;
	const json_t *busy, *idle, *foreign;

	w.workers[0] = (struct api_worker){.slot = 0, .name = "pared-1-0", .job = "job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", .owner = STORE_DEFAULT_OWNER, .attempt = 2, .pid = 77, .claimed_ms = w.now_ms - 4500,
	    .renewed_ms = w.now_ms - 1000, .lease_until_ms = w.now_ms + 29000};
	w.workers[1] = (struct api_worker){.slot = 1, .name = "pared-1-1"};
	w.workers[2] = w.workers[0];
	(void)snprintf(w.workers[2].owner, sizeof w.workers[2].owner, "other");
	w.n_alive = 3;
	a = get(&w, "/v1/workers");
	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "Cache-Control"), "no-store");
	busy = json_array_get(json_object_get(a.json, "data"), 0);
	idle = json_array_get(json_object_get(a.json, "data"), 1);
	foreign = json_array_get(json_object_get(a.json, "data"), 2);
	ck_assert_str_eq(text_at(busy, "state"), "busy");
	ck_assert_str_eq(text_at(busy, "job"), "job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E");
	ck_assert_int_eq(json_integer_value(json_object_get(busy, "pid")), 77);
	ck_assert_int_eq(json_integer_value(json_object_get(busy, "attempt")), 2);
	ck_assert_int_eq(json_integer_value(json_object_get(busy, "lease_age_seconds")), 4);
	ck_assert_str_eq(text_at(busy, "lease_expires_at"), "2026-11-22T01:22:32.000Z");
	ck_assert_str_eq(text_at(idle, "state"), "idle");
	ck_assert(json_is_null(json_object_get(idle, "job")) && json_is_null(json_object_get(idle, "pid")) && json_is_null(json_object_get(idle, "claimed_at")));
	ck_assert_str_eq(text_at(foreign, "state"), "busy");
	ck_assert(json_is_null(json_object_get(foreign, "job")) && json_is_null(json_object_get(foreign, "attempt")));
	answer_done(&a);
}
END_TEST

/* The text of an ended job is kept, and is never told when it is no longer true, nor with another's links. */
START_TEST(remembers_ended_jobs)
{
	char id[PARE_ID_MAX], path[64], first[16384], artifact[128], etag[64];
	struct answer a;

	make_job(&w, id);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	finish_job(&w);
	for (int i = 0; i < 3; i++) {
		a = get(&w, path);
		assert_status(&a, 200);
		ck_assert_uint_lt(a.n, sizeof first);
		if (i == 0)
			memcpy(first, a.body, a.n + 1);
		ck_assert_str_eq(a.body, first);
		(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
		(void)snprintf(artifact, sizeof artifact, "/v1/artifacts/%s", text_at(json_array_get(json_object_get(a.json, "artifacts"), 0), "id"));
		answer_done(&a);
	}
	a = request(&w, "GET", path, H("If-None-Match", etag), NULL, 0);
	assert_status(&a, 304);
	answer_done(&a);
	a = request(&w, "DELETE", artifact, NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	a = request(&w, "GET", path, H("If-None-Match", etag), NULL, 0);
	assert_status(&a, 200);
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "artifacts")), 3);
	answer_done(&a);
	a = request(&w, "PATCH", path, H(JSON_TYPE, "If-Match", "*"), "{\"name\":\"x\"}", 12);
	assert_status(&a, 200);
	answer_done(&a);
	a = get(&w, path);
	ck_assert_str_eq(text_at(a.json, "name"), "x");
	answer_done(&a);
	a = request(&w, "DELETE", path, NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	refuses(&w, "GET", path, NULL, 404, "not_found");
}
END_TEST

/* What waits for room says so; what waited in vain keeps its state, which goes with the last job that has it. */
START_TEST(no_room)
{
	char id[PARE_ID_MAX], path[64], text[96], again[PARE_ID_MAX];
	struct store_job j;
	struct blob_ref ref;
	struct answer a;
	int n_blobs;
	bool found;

	make_job(&w, id);
	n_blobs = world_blobs(&w);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	put_blob(&w, "the state", &ref);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(store_job_claim(w.store, "test", 30000, &j, &found, NULL), PARE_OK);
		ck_assert(found);
		ck_assert_int_eq(store_job_checkpoint(w.store, id, j.lease_token, ref.sha256, 9, "{\"step\":1,\"epoch\":2}", NULL), PARE_OK);
		ck_assert_int_eq(store_job_stall(w.store, id, j.lease_token, i == 0 ? 60000 : 0, "7 bytes are missing", NULL), PARE_OK);
		store_job_done(&j);
		a = get(&w, path);
		if (i == 0) {
			ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(a.json, "waits_for_room"), "attempts")), 1);
			ck_assert_ptr_nonnull(text_at(json_object_get(a.json, "waits_for_room"), "not_before"));
		} else {
			ck_assert_str_eq(text_at(json_object_get(a.json, "error"), "code"), "store_full");
			ck_assert(json_is_null(json_object_get(a.json, "waits_for_room")));
			ck_assert(json_is_object(json_object_get(a.json, "checkpoint")));
		}
		answer_done(&a);
		w.now_ms += 1000;
	}
	(void)snprintf(text, sizeof text, "%s/retry", path);
	a = request(&w, "POST", text, NULL, NULL, 0);
	assert_status(&a, 201);
	(void)snprintf(again, sizeof again, "%s", text_at(a.json, "id"));
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(a.json, "checkpoint"), "bytes")), 9);
	answer_done(&a);
	a = request(&w, "DELETE", path, NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), n_blobs + 1);
	(void)snprintf(text, sizeof text, "/v1/jobs/%s/cancel", again);
	a = request(&w, "POST", text, NULL, NULL, 0);
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), n_blobs);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("job reads");
	TCase *t = tcase_create("job reads");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, serves_artifacts_by_their_ids);
	tcase_add_test(t, tells_of_workers);
	tcase_add_test(t, remembers_ended_jobs);
	tcase_add_test(t, no_room);
	suite_add_tcase(s, t);
	return run_suite(s);
}
