/* Jobs as a client sees them: created once, repeated by key, listed, cancelled, deleted; and told what is wrong with them. */
#include "storage/store_priv.h"
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

START_TEST(creates_a_job_that_can_be_repeated)
{
	char text[512], path[128];
	struct answer a, b;
	json_t *request_json;

	job_text(&w, text);
	a = post_json(&w, "/v1/jobs", text);
	assert_status(&a, 201);
	ck_assert_str_eq(text_at(a.json, "object"), "job");
	ck_assert_str_eq(text_at(a.json, "status"), "queued");
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "queue_position")), 0);
	ck_assert(json_is_null(json_object_get(a.json, "started_at")));
	ck_assert_uint_eq(strlen(text_at(a.json, "created_at")), 24);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", text_at(a.json, "id"));
	ck_assert_str_eq(header(&a, "Location"), path);
	ck_assert_str_eq(text_at(json_object_get(a.json, "urls"), "self"), path);
	ck_assert_int_eq(w.n_added, 1);
	request_json = json_object_get(a.json, "request");
	ck_assert_int_eq(json_integer_value(json_object_get(request_json, "seed")), 0);
	ck_assert(json_is_integer(json_object_get(request_json, "seed")));
	ck_assert_int_eq(json_integer_value(json_object_get(request_json, "threads")), 2);
	b = get(&w, path);
	assert_status(&b, 200);
	ck_assert(json_equal(a.json, b.json));
	answer_done(&b);
	answer_done(&a);
}
END_TEST

/* What was said of a data set when it came holds for the jobs on it, unless they say what their labels are. */
static const struct {
	const char *data;        /* of the job: a member, or nothing */
	const char *label, *task; /* of what is stored */
} reading_table[] = {
    {"", "kind", "classify"},
    {",\"data\":{\"test\":0.3}", "kind", "classify"},
    {",\"data\":{\"task\":\"regress\"}", "kind", "regress"},
    {",\"data\":{\"label\":\"other\"}", "other", NULL},
    {",\"data\":{\"targets\":[{\"output\":\"y\",\"array\":\"z\"}]}", NULL, NULL},
};

START_TEST(data_are_read_as_uploaded)
{
	char model[PARE_ID_MAX], body[512];
	struct answer a = request(&w, "POST", "/v1/datasets?name=ours&label=kind&task=classify", NULL, "kind,a\n1,2\n", 11);
	const json_t *data;

	assert_status(&a, 201);
	ck_assert_str_eq(text_at(json_object_get(json_object_get(a.json, "info"), "options"), "label"), "kind");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(a.json, "info"), "classes")), 3); /* what was found stands beside it */
	answer_done(&a);
	make_model(&w, model);
	(void)snprintf(body, sizeof body, "{\"model\":\"lenet\",\"dataset\":\"ours\"%s,\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1}}]}}", reading_table[_i].data);
	a = post_json(&w, "/v1/jobs", body);
	assert_status(&a, 201);
	data = json_object_get(json_object_get(a.json, "request"), "data");
	ck_assert_pstr_eq(json_string_value(json_object_get(data, "label")), reading_table[_i].label);
	ck_assert_pstr_eq(json_string_value(json_object_get(data, "task")), reading_table[_i].task);
	answer_done(&a);
	a = get(&w, "/v1/datasets/ours/sample?n=7");
	assert_status(&a, 200);
	ck_assert_str_eq(w.options, "{\"label\":\"kind\",\"task\":\"classify\"} 7");
	answer_done(&a);
}
END_TEST

START_TEST(a_dry_run_stores_nothing)
{
	char text[512];
	struct answer a, b;

	job_text(&w, text);
	a = post_json(&w, "/v1/jobs?dry_run=true", text);
	assert_status(&a, 200);
	ck_assert_str_eq(text_at(a.json, "object"), "dry_run");
	ck_assert_str_eq(text_at(json_object_get(a.json, "analysis"), "object"), "analysis");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(a.json, "request"), "threads")), 2);
	ck_assert_int_eq(w.n_analyzed, 1);
	ck_assert_int_eq(w.n_added, 0);
	ck_assert_ptr_nonnull(strstr(w.file_names, "model:"));
	ck_assert_ptr_nonnull(strstr(w.file_names, "data:"));
	ck_assert_ptr_nonnull(strstr(w.options, "\"steps\""));
	b = get(&w, "/v1/jobs");
	ck_assert_uint_eq(json_array_size(json_object_get(b.json, "data")), 0);
	answer_done(&b);
	answer_done(&a);
	a = post_json(&w, "/v1/jobs?dry_run=maybe", text);
	assert_problem(&a, 400, "bad_request");
	answer_done(&a);
	w.engine_code = PARE_E_INVALID;
	a = post_json(&w, "/v1/jobs?dry_run=true", text);
	ck_assert_int_eq(a.status, 422);
	answer_done(&a);
	a = post_json(&w, "/v1/jobs?dry_run=false", text);
	assert_status(&a, 201);
	answer_done(&a);
}
END_TEST

START_TEST(names_every_wrong_field)
{
	struct answer a;
	char text[512];
	const json_t *errors, *e;
	size_t i;
	bool unknown = false, range = false;

	job_text(&w, text);
	memcpy(strstr(text, "\"sparsity\":0.5"), "\"sparsiti\":0.5", 14);
	a = post_json(&w, "/v1/jobs", text);
	assert_problem(&a, 422, "validation_failed");
	errors = json_object_get(a.json, "errors");
	json_array_foreach(errors, i, e)
		unknown |= strcmp(text_at(e, "pointer"), "/recipe/steps/0/prune/sparsiti") == 0 && strstr(text_at(e, "detail"), "sparsity") != NULL;
	ck_assert_msg(unknown, "%s", a.body);
	answer_done(&a);

	job_text(&w, text);
	memcpy(strstr(text, "\"sparsity\":0.5"), "\"sparsity\":1.5", 14);
	a = post_json(&w, "/v1/jobs", text);
	assert_problem(&a, 422, "validation_failed");
	json_array_foreach(json_object_get(a.json, "errors"), i, e)
		range |= strcmp(text_at(e, "pointer"), "/recipe/steps/0/prune/sparsity") == 0 && strcmp(text_at(e, "code"), "out_of_range") == 0;
	ck_assert_msg(range, "%s", a.body);
	answer_done(&a);
	ck_assert_int_eq(w.n_added, 0);
}
END_TEST

/* A second model must exist, and stands in the job's text. */
START_TEST(a_teacher_is_a_model)
{
	char model[PARE_ID_MAX], teacher[PARE_ID_MAX], dataset[PARE_ID_MAX], text[600];
	struct answer a;
	json_t *first;

	make_model(&w, model);
	make_model(&w, teacher);
	make_dataset(&w, dataset);
	for (int known = 0; known < 2; known++) {
		(void)snprintf(text, sizeof text, "{\"model\":\"%s\",\"teacher\":\"%s\",\"dataset\":\"%s\",\"recipe\":{\"steps\":[{\"train\":{\"distill\":{\"teacher\":\"model\"}}}]}}",
		    model, known != 0 ? teacher : "mdl_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", dataset);
		a = post_json(&w, "/v1/jobs", text);
		if (known != 0) {
			assert_status(&a, 201);
			ck_assert_str_eq(text_at(json_object_get(a.json, "request"), "teacher"), teacher);
		} else {
			assert_problem(&a, 422, "validation_failed");
			first = json_array_get(json_object_get(a.json, "errors"), 0);
			ck_assert_str_eq(text_at(first, "pointer"), "/teacher");
			ck_assert_str_eq(text_at(first, "code"), "not_found");
		}
		answer_done(&a);
	}
	(void)snprintf(text, sizeof text, "{\"model\":\"%s\",\"dataset\":\"%s\",\"recipe\":{\"steps\":[{\"train\":{\"distill\":{\"teacher\":\"model\"}}}]}}", model, dataset);
	a = post_json(&w, "/v1/jobs", text);
	assert_problem(&a, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), "/recipe/steps/0/train/distill/teacher");
	answer_done(&a);
}
END_TEST

START_TEST(refuses_what_does_not_exist)
{
	char text[512], path[128], model[PARE_ID_MAX];
	struct answer a;
	json_t *first;

	job_text(&w, text);
	memcpy(model, strstr(text, "mdl_"), 30);
	model[30] = '\0';
	(void)snprintf(path, sizeof path, "/v1/models/%s", model);
	a = request(&w, "DELETE", path, NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	a = post_json(&w, "/v1/jobs", text); /* a job on a deleted model */
	assert_problem(&a, 422, "validation_failed");
	first = json_array_get(json_object_get(a.json, "errors"), 0);
	ck_assert_str_eq(text_at(first, "pointer"), "/model");
	ck_assert_str_eq(text_at(first, "code"), "not_found");
	answer_done(&a);
	refuses(&w, "GET", "/v1/jobs/job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", NULL, 404, "not_found");
	refuses(&w, "GET", "/v1/jobs/nonsense", NULL, 404, "not_found");
	refuses(&w, "POST", "/v1/jobs/job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E/cancel", NULL, 404, "not_found");
	refuses(&w, "DELETE", "/v1/jobs/job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", NULL, 404, "not_found");
}
END_TEST

START_TEST(limits_threads_and_queue)
{
	char text[600], job[512];
	struct answer a;

	job_text(&w, job);
	(void)snprintf(text, sizeof text, "{\"threads\":64,%s", job + 1);
	a = post_json(&w, "/v1/jobs", text);
	assert_problem(&a, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), "/threads");
	answer_done(&a);
	for (int i = 0; i < 100; i++) {
		a = request(&w, "POST", "/v1/jobs", i == 7 ? H(JSON_TYPE, "Idempotency-Key", "seven") : H(JSON_TYPE), job, strlen(job));
		assert_status(&a, 201);
		answer_done(&a);
	}
	for (int i = 0; i < 2; i++) {
		a = request(&w, "POST", "/v1/jobs", i == 0 ? H(JSON_TYPE) : H(JSON_TYPE, "Idempotency-Key", "eight"), job, strlen(job));
		assert_problem(&a, 503, "busy");
		ck_assert_str_ne(header(&a, "Retry-After"), "");
		ck_assert_ptr_nonnull(strstr(text_at(a.json, "detail"), "100 jobs are queued"));
		answer_done(&a);
	}
	a = request(&w, "POST", "/v1/jobs", H(JSON_TYPE, "Idempotency-Key", "seven"), job, strlen(job));
	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "Idempotency-Replayed"), "true");
	answer_done(&a);
	finish_job(&w);
	a = post_json(&w, "/v1/jobs", job);
	assert_status(&a, 201);
	answer_done(&a);
}
END_TEST

START_TEST(replays_by_idempotency_key)
{
	char text[512], id[PARE_ID_MAX];
	struct answer a;

	job_text(&w, text);
	a = request(&w, "POST", "/v1/jobs", H(JSON_TYPE, "Idempotency-Key", "ci-417"), text, strlen(text));
	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "Idempotency-Replayed"), "");
	(void)snprintf(id, sizeof id, "%s", text_at(a.json, "id"));
	answer_done(&a);
	a = request(&w, "POST", "/v1/jobs", H(JSON_TYPE, "Idempotency-Key", "\"ci-417\""), text, strlen(text));
	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "Idempotency-Replayed"), "true");
	ck_assert_str_eq(text_at(a.json, "id"), id);
	answer_done(&a);
	ck_assert_int_eq(w.n_added, 1);
	memcpy(strstr(text, "0.5"), "0.6", 3);
	a = request(&w, "POST", "/v1/jobs", H(JSON_TYPE, "Idempotency-Key", "ci-417"), text, strlen(text));
	assert_problem(&a, 422, "idempotency_key_reused");
	answer_done(&a);
	a = request(&w, "POST", "/v1/jobs", H(JSON_TYPE, "Idempotency-Key", "\"\""), text, strlen(text));
	assert_problem(&a, 400, "bad_request");
	answer_done(&a);
	a = request(&w, "POST", "/v1/jobs", H(JSON_TYPE, "Idempotency-Key", "caf\xC3\xA9"), text, strlen(text));
	assert_problem(&a, 400, "bad_request");
	answer_done(&a);
}
END_TEST

START_TEST(pages_and_filters)
{
	char ids[5][PARE_ID_MAX];
	struct answer a;
	char target[256];
	const char *link;

	for (int i = 0; i < 5; i++) {
		make_job(&w, ids[i]);
		w.now_ms += 10;
	}
	finish_job(&w);
	a = get(&w, "/v1/jobs?limit=2");
	assert_status(&a, 200);
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 2);
	ck_assert(json_is_true(json_object_get(a.json, "has_more")));
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "data"), 0), "id"), ids[4]);
	ck_assert_str_eq(text_at(a.json, "next_after"), ids[3]);
	link = header(&a, "Link");
	ck_assert_int_eq(sscanf(link, "<%255[^>]>; rel=\"next\"", target), 1);
	answer_done(&a);
	a = get(&w, target);
	assert_status(&a, 200);
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "data"), 0), "id"), ids[2]);
	answer_done(&a);
	a = get(&w, "/v1/jobs?order=asc&limit=200");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "data"), 0), "id"), ids[0]);
	ck_assert(json_is_false(json_object_get(a.json, "has_more")));
	ck_assert_str_eq(header(&a, "Link"), "");
	answer_done(&a);
	a = get(&w, "/v1/jobs?status=succeeded");
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 1);
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "data"), 0), "id"), ids[0]);
	answer_done(&a);
}
END_TEST

START_TEST(changes_its_etag_with_the_job)
{
	char id[PARE_ID_MAX], path[128], etag[64];
	struct answer a;

	make_job(&w, id);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	a = get(&w, path);
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	ck_assert_str_eq(header(&a, "Cache-Control"), "private, no-cache");
	answer_done(&a);
	a = request(&w, "GET", path, H("If-None-Match", etag), NULL, 0);
	assert_status(&a, 304);
	ck_assert_str_eq(header(&a, "ETag"), etag);
	ck_assert_uint_eq(a.n, 0);
	answer_done(&a);
	finish_job(&w);
	a = request(&w, "GET", path, H("If-None-Match", etag), NULL, 0);
	assert_status(&a, 200);
	ck_assert_str_eq(text_at(a.json, "status"), "succeeded");
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "artifacts")), 4);
	ck_assert(json_is_object(json_object_get(a.json, "result")));
	answer_done(&a);
}
END_TEST

START_TEST(cancels_and_deletes)
{
	char id[PARE_ID_MAX], path[128], cancel[128];
	struct answer a;

	make_job(&w, id);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	(void)snprintf(cancel, sizeof cancel, "/v1/jobs/%s/cancel", id);
	refuses(&w, "DELETE", path, NULL, 409, "conflict");
	a = request(&w, "POST", cancel, H(JSON_TYPE), "{\"force\":true}", 14);
	assert_problem(&a, 422, "validation_failed");
	answer_done(&a);
	a = request(&w, "POST", cancel, NULL, NULL, 0);
	assert_status(&a, 202);
	ck_assert_str_eq(text_at(a.json, "status"), "canceled");
	ck_assert_int_eq(w.n_asked, 1);
	ck_assert_int_eq(w.asked, STORE_CANCELING);
	ck_assert_int_ge(w.n_events, 1);
	answer_done(&a);
	a = request(&w, "POST", cancel, H(JSON_TYPE), " {} ", 4); /* again: nothing changes */
	assert_status(&a, 202);
	answer_done(&a);
	refuses(&w, "DELETE", path, H("If-Match", "\"1\""), 412, "precondition_failed");
	a = request(&w, "DELETE", path, H("If-Match", "*"), NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	refuses(&w, "GET", path, NULL, 404, "not_found");
}
END_TEST

START_TEST(pauses_and_resumes)
{
	char id[PARE_ID_MAX], path[64], pause[128], resume[128], cancel[128];
	struct store_job j;
	struct answer a;
	bool found;

	make_job(&w, id);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	(void)snprintf(pause, sizeof pause, "%s/pause", path);
	(void)snprintf(resume, sizeof resume, "%s/resume", path);
	(void)snprintf(cancel, sizeof cancel, "%s/cancel", path);
	for (int i = 0; i < 2; i++) { /* the second time nothing changes */
		a = request(&w, "POST", pause, NULL, NULL, 0);
		assert_status(&a, 202);
		ck_assert_str_eq(text_at(a.json, "status"), "paused");
		ck_assert(json_is_null(json_object_get(a.json, "queue_position")));
		ck_assert_str_eq(header(&a, "ETag"), "\"2\"");
		answer_done(&a);
	}
	a = get(&w, "/v1/queue");
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "paused")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "runnable")), 0);
	answer_done(&a);
	a = request(&w, "POST", resume, H(JSON_TYPE), "{\"now\":true}", 12);
	assert_problem(&a, 422, "validation_failed");
	answer_done(&a);
	ck_assert_int_eq(w.n_added, 1);
	for (int i = 0; i < 2; i++) {
		a = request(&w, "POST", resume, NULL, NULL, 0);
		assert_status(&a, 202);
		ck_assert_str_eq(text_at(a.json, "status"), "queued");
		answer_done(&a);
	}
	ck_assert_int_eq(w.n_added, 2); /* a worker is woken, once */
	ck_assert_int_eq(store_job_claim(w.store, "test", 30000, &j, &found, NULL), PARE_OK);
	store_job_done(&j);
	a = request(&w, "POST", pause, NULL, NULL, 0);
	assert_status(&a, 202);
	ck_assert_str_eq(text_at(a.json, "status"), "pausing");
	ck_assert_int_eq(w.asked, STORE_PAUSING);
	answer_done(&a);
	a = get(&w, "/v1/jobs?status=pausing");
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 1);
	answer_done(&a);
	a = request(&w, "POST", resume, NULL, NULL, 0);
	assert_status(&a, 202);
	ck_assert_str_eq(text_at(a.json, "status"), "running");
	ck_assert_int_eq(w.asked, STORE_RUNNING);
	answer_done(&a);
	a = request(&w, "POST", cancel, NULL, NULL, 0);
	assert_status(&a, 202);
	answer_done(&a);
	refuses(&w, "POST", pause, NULL, 409, "conflict");
	refuses(&w, "POST", resume, NULL, 409, "conflict");
	refuses(&w, "POST", "/v1/jobs/nothing/pause", NULL, 404, "not_found");
	refuses(&w, "POST", "/v1/jobs/job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E/resume", NULL, 404, "not_found");
}
END_TEST

/* A kept state is shown while there is a job that may need it; it goes with the job's end. */
START_TEST(shows_checkpoints)
{
	char id[PARE_ID_MAX], path[64], cancel[128], list[128];
	struct store_job j;
	struct blob_ref ref;
	struct answer a;
	const json_t *c;
	int n_blobs;
	bool found;

	make_job(&w, id);
	n_blobs = world_blobs(&w);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	(void)snprintf(cancel, sizeof cancel, "/v1/jobs/%s/cancel", id);
	a = request(&w, "GET", path, NULL, NULL, 0);
	ck_assert(json_is_null(json_object_get(a.json, "checkpoint")));
	answer_done(&a);
	put_blob(&w, "the state", &ref);
	ck_assert_int_eq(store_job_claim(w.store, "test", 30000, &j, &found, NULL), PARE_OK);
	ck_assert_int_eq(store_job_checkpoint(w.store, id, j.lease_token, ref.sha256, 9, "{\"step\":1,\"epoch\":2}", NULL), PARE_OK);
	ck_assert_int_eq(store_job_release(w.store, id, j.lease_token, false, "stopping", NULL), PARE_OK);
	store_job_done(&j);
	a = request(&w, "GET", path, NULL, NULL, 0);
	c = json_object_get(a.json, "checkpoint");
	ck_assert_int_eq(json_integer_value(json_object_get(c, "bytes")), 9);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(c, "place"), "epoch")), 2);
	ck_assert_ptr_nonnull(text_at(c, "at"));
	answer_done(&a);
	(void)snprintf(list, sizeof list, "%s/checkpoints", path);
	a = get(&w, list);
	assert_status(&a, 200);
	c = json_array_get(json_object_get(a.json, "data"), 0);
	ck_assert_str_eq(text_at(c, "sha256"), ref.sha256);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(c, "place"), "epoch")), 2);
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), n_blobs + 1);
	a = request(&w, "POST", cancel, NULL, NULL, 0);
	assert_status(&a, 202);
	ck_assert(json_is_null(json_object_get(a.json, "checkpoint")));
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), n_blobs);
	a = get(&w, list);
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 0);
	answer_done(&a);
}
END_TEST

START_TEST(serves_artifacts_and_report)
{
	char id[PARE_ID_MAX], path[128];
	struct answer a;

	make_job(&w, id);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s/artifacts/model.onnx", id);
	refuses(&w, "GET", path, NULL, 404, "not_found");
	finish_job(&w);
	a = request(&w, "GET", path, H("Range", "bytes=2-4"), NULL, 0);
	assert_status(&a, 206);
	ck_assert_str_eq(a.body, "234");
	ck_assert_str_eq(header(&a, "Content-Range"), "bytes 2-4/22");
	ck_assert_str_eq(header(&a, "Content-Type"), "application/onnx");
	ck_assert_str_eq(header(&a, "Content-Disposition"), "attachment; filename=\"model.onnx\"");
	answer_done(&a);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s/artifacts", id);
	a = get(&w, path);
	assert_status(&a, 200);
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 4);
	answer_done(&a);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s/report", id);
	a = get(&w, path);
	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "Content-Type"), "application/json");
	ck_assert_str_eq(header(&a, "Vary"), "Accept");
	answer_done(&a);
	a = request(&w, "GET", path, H("Accept", "text/markdown"), NULL, 0);
	assert_status(&a, 200);
	ck_assert_str_eq(a.body, "# Report\n");
	answer_done(&a);
	a = request(&w, "GET", path, H("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"), NULL, 0); /* a browser */
	assert_status(&a, 200);
	ck_assert_str_eq(a.body, "<!doctype html>");
	ck_assert_ptr_nonnull(strstr(header(&a, "Content-Security-Policy"), "default-src 'none'"));
	answer_done(&a);
	refuses(&w, "GET", path, H("Accept", "image/png"), 406, "not_acceptable");
	(void)snprintf(path, sizeof path, "/v1/jobs/%s/report?format=md", id);
	a = request(&w, "GET", path, H("Accept", "image/png"), NULL, 0);
	assert_status(&a, 200);
	ck_assert_str_eq(a.body, "# Report\n");
	answer_done(&a);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s/report?format=pdf", id);
	refuses(&w, "GET", path, NULL, 400, "bad_request");
}
END_TEST

START_TEST(removes_artifacts_with_their_job)
{
	char id[PARE_ID_MAX], path[128];
	struct answer a;
	int before;

	make_job(&w, id);
	before = world_blobs(&w);
	finish_job(&w);
	ck_assert_int_eq(world_blobs(&w), before + 4);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	a = request(&w, "DELETE", path, NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), before);
}
END_TEST

static struct answer patch(const char *path, const char *etag, const char *body)
{
	return request(&w, "PATCH", path, etag != NULL ? H("Content-Type", "application/merge-patch+json", "If-Match", etag) : H(JSON_TYPE), body, strlen(body));
}

/* A change says which version it means; what it does not name stays, null removes. */
START_TEST(changes_what_a_job_is_called)
{
	char id[PARE_ID_MAX], path[128], etag[64];
	struct answer a;

	make_job(&w, id);
	make_job(&w, id);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	a = get(&w, path);
	ck_assert_str_eq(header(&a, "ETag"), "\"1-q1\"");
	ck_assert_str_eq(text_at(a.json, "kind"), "prune");
	ck_assert_uint_eq(json_object_size(json_object_get(a.json, "labels")), 0);
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	answer_done(&a);
	a = patch(path, NULL, "{\"priority\":5}");
	assert_problem(&a, 428, "precondition_required");
	answer_done(&a);
	a = patch(path, etag, "{\"priority\":5,\"name\":\"n\",\"labels\":{\"team\":\"a\",\"x/y\":\"1\"}}");
	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "ETag"), "\"2-q0\""); /* it has come to the front */
	ck_assert_str_eq(text_at(a.json, "name"), "n");
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "priority")), 5);
	ck_assert_str_eq(text_at(json_object_get(a.json, "labels"), "x/y"), "1");
	ck_assert_ptr_null(json_object_get(json_object_get(a.json, "request"), "priority"));
	answer_done(&a);
	a = patch(path, etag, "{\"priority\":6}");
	assert_problem(&a, 412, "precondition_failed");
	answer_done(&a);
	/* the revision is what counts: the place in the queue may have changed since */
	a = patch(path, "\"9\", \"2-q77\"", "{\"labels\":{\"team\":null,\"b\":\"2\"}}");
	assert_status(&a, 200);
	ck_assert_uint_eq(json_object_size(json_object_get(a.json, "labels")), 2);
	ck_assert_str_eq(text_at(json_object_get(a.json, "labels"), "b"), "2");
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "priority")), 5);
	answer_done(&a);
	a = patch(path, "*", "{\"labels\":null,\"name\":null,\"priority\":null}");
	assert_status(&a, 200);
	ck_assert_uint_eq(json_object_size(json_object_get(a.json, "labels")), 0);
	ck_assert_str_eq(text_at(a.json, "name"), "");
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "priority")), 0);
	answer_done(&a);
}
END_TEST

static const struct {
	const char *body, *pointer, *code;
} patch_table[] = {
    {"{\"priority\":1.5}", "/priority", "wrong_type"},
    {"{\"prioritty\":1}", "/prioritty", "unknown_field"},
    {"{\"seed\":1}", "/seed", "unknown_field"},
    {"{\"labels\":{\"a b\":\"c\"}}", "/labels/a b", "unsupported"},
    {"{\"labels\":{\"a\":{\"b\":1}}}", "/labels/a", "wrong_type"},
    {"{\"labels\":[]}", "/labels", "wrong_type"},
    {"[]", "", "wrong_type"},
};

/* A running job, which goes on between any two looks at it, for a while. */
static const struct store_ops *real_ops;
static int64_t n_moves;

static enum pare_code load_moving(struct store_tx *tx, const char *owner, const char *id, struct store_job_row *out, struct pare_err *err)
{
	enum pare_code code = real_ops->job_load(tx, owner, id, out, err);

	if (code == PARE_OK && n_moves > 0)
		out->j.revision += n_moves--;
	return code;
}

START_TEST(changes_a_job_that_goes_on)
{
	char id[PARE_ID_MAX], path[128];
	struct store_ops moving;
	struct answer a;

	make_job(&w, id);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	real_ops = w.store->ops;
	moving = *real_ops;
	moving.job_load = load_moving;
	w.store->ops = &moving;
	n_moves = 5;
	a = patch(path, "*", "{\"priority\":3,\"labels\":{\"team\":\"vision\"}}");
	assert_status(&a, 200);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "priority")), 3);
	answer_done(&a);
	n_moves = INT32_MAX; /* never the same twice: an answer all the same */
	a = patch(path, "*", "{\"priority\":4}");
	assert_problem(&a, 412, "precondition_failed");
	answer_done(&a);
	w.store->ops = real_ops;
}
END_TEST

START_TEST(refuses_wrong_changes)
{
	char id[PARE_ID_MAX], path[128];
	const char *body = patch_table[_i].body;
	struct answer a;
	const json_t *first;

	make_job(&w, id);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
	a = patch(path, "*", body);
	assert_problem(&a, 422, "validation_failed");
	first = json_array_get(json_object_get(a.json, "errors"), 0);
	ck_assert_str_eq(text_at(first, "pointer"), patch_table[_i].pointer);
	ck_assert_str_eq(text_at(first, "code"), patch_table[_i].code);
	answer_done(&a);
	a = patch(path, "*", "{");
	assert_problem(&a, 400, "syntax_error");
	answer_done(&a);
	a = request(&w, "PATCH", path, H("Content-Type", "text/plain", "If-Match", "*"), "{}", 2);
	assert_problem(&a, 415, "unsupported_media_type");
	answer_done(&a);
	a = get(&w, path);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "revision")), 1);
	answer_done(&a);
}
END_TEST

/* Three jobs: one of each status, kind and label; the numbers of those that a query finds. */
static void expect_found(char ids[3][PARE_ID_MAX], const char *query, const char *wanted)
{
	char target[256], got[4] = "";
	struct answer a;
	size_t i, n = 0;
	json_t *j;

	(void)snprintf(target, sizeof target, "/v1/jobs?%s", query);
	a = get(&w, target);
	ck_assert_msg(a.status == 200, "%s: %s", query, a.body);
	json_array_foreach(json_object_get(a.json, "data"), i, j)
		for (int k = 0; k < 3; k++)
			if (strcmp(text_at(j, "id"), ids[k]) == 0)
				got[n++] = (char)('0' + k);
	ck_assert_msg(strcmp(got, wanted) == 0, "%s: %s, not %s", query, got, wanted);
	answer_done(&a);
}

START_TEST(finds_jobs_by_what_they_are)
{
	static const char *const steps[] = {"{\"train\":{}}", "{\"prune\":{\"sparsity\":0.5}}", "{\"train\":{}},{\"quantize\":{}}"};
	static const char *const labels[] = {"{\"team\":\"a\"}", "{\"team\":\"a\",\"run\":\"night:7\"}", "{}"};
	char ids[3][PARE_ID_MAX], model[PARE_ID_MAX], dataset[PARE_ID_MAX], text[600], target[300];
	const char *link;
	struct answer a;

	make_model(&w, model);
	make_dataset(&w, dataset);
	for (int i = 0; i < 3; i++) {
		w.now_ms = 1795310523000 + 1000 * i; /* 2026-11-22T01:22:03Z */
		(void)snprintf(text, sizeof text, "{\"model\":\"%s\",\"dataset\":\"%s\",\"labels\":%s,\"recipe\":{\"steps\":[%s]}}", model, dataset, labels[i], steps[i]);
		a = post_json(&w, "/v1/jobs", text);
		assert_status(&a, 201);
		(void)snprintf(ids[i], PARE_ID_MAX, "%s", text_at(a.json, "id"));
		answer_done(&a);
	}
	finish_job(&w);
	expect_found(ids, "status=succeeded&status=canceled", "0");
	expect_found(ids, "status=succeeded,queued", "210");
	expect_found(ids, "kind=quantize", "2");
	expect_found(ids, "label=team:a", "10");
	expect_found(ids, "label=team:a&label=run:night:7", "1");
	expect_found(ids, "label=team:a&status=queued&kind=prune&model=mdl_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", "");
	expect_found(ids, "created_after=2026-11-22T01:22:03Z", "21");
	expect_found(ids, "created_after=2026-11-22T01:22:03.000Z&created_before=2026-11-22T01:22:05Z", "1");
	expect_found(ids, "created_before=2026-11-22", "");
	expect_found(ids, "created_after=2026-11-22", "210");
	/* the next page asks the same */
	a = get(&w, "/v1/jobs?limit=1&label=team%3Aa&status=succeeded&status=queued&order=asc");
	link = header(&a, "Link");
	ck_assert_int_eq(sscanf(link, "<%299[^>]>; rel=\"next\"", target), 1);
	answer_done(&a);
	a = get(&w, target);
	assert_status(&a, 200);
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 1);
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "data"), 0), "id"), ids[1]);
	ck_assert(json_is_false(json_object_get(a.json, "has_more")));
	answer_done(&a);
}
END_TEST

static const char *const bad_queries[] = {"status=runing", "status=", "status=queued,", "kind=distill", "label=team", "label=:a", "label=team:", "created_after=yesterday", "created_after=2026-02-30",
    "created_before=2026-11-22T25:00:00Z", "created_before=2026-11-22T01:22:03.1Z", "expand[]=job", "expand=model", "kind=prune&kind=train", "model=nothing",
    "label=a:1&label=a:2&label=a:3&label=a:4&label=a:5&label=a:6&label=a:7&label=a:8&label=a:9"};

START_TEST(refuses_wrong_filters)
{
	char target[256];

	(void)snprintf(target, sizeof target, "/v1/jobs?%s", bad_queries[_i]);
	refuses(&w, "GET", target, NULL, 400, "bad_request");
}
END_TEST

START_TEST(expands_one_level)
{
	char id[PARE_ID_MAX], path[160], etag[80];
	const json_t *model, *j;
	struct answer a;

	make_job(&w, id);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s?expand[]=model&expand%%5B%%5D=dataset", id);
	a = get(&w, path);
	assert_status(&a, 200);
	model = json_object_get(a.json, "model");
	ck_assert_str_eq(text_at(model, "object"), "model");
	ck_assert_str_eq(text_at(model, "name"), "lenet");
	ck_assert_str_eq(text_at(json_object_get(a.json, "dataset"), "object"), "dataset");
	ck_assert_str_eq(text_at(model, "id"), text_at(json_object_get(a.json, "request"), "model"));
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	ck_assert_uint_gt(strlen(etag), 8); /* of the bytes */
	answer_done(&a);
	a = request(&w, "GET", path, H("If-None-Match", etag), NULL, 0);
	assert_status(&a, 304);
	answer_done(&a);
	a = get(&w, "/v1/jobs?expand[]=model");
	j = json_array_get(json_object_get(a.json, "data"), 0);
	ck_assert(json_is_object(json_object_get(j, "model")) && json_is_string(json_object_get(j, "dataset")));
	answer_done(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("jobs");
	TCase *t = tcase_create("jobs");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, creates_a_job_that_can_be_repeated);
	tcase_add_loop_test(t, data_are_read_as_uploaded, 0, (int)(sizeof reading_table / sizeof *reading_table));
	tcase_add_test(t, a_dry_run_stores_nothing);
	tcase_add_test(t, names_every_wrong_field);
	tcase_add_test(t, refuses_what_does_not_exist);
	tcase_add_test(t, a_teacher_is_a_model);
	tcase_add_test(t, limits_threads_and_queue);
	tcase_add_test(t, replays_by_idempotency_key);
	tcase_add_test(t, pages_and_filters);
	tcase_add_test(t, changes_its_etag_with_the_job);
	tcase_add_test(t, cancels_and_deletes);
	tcase_add_test(t, pauses_and_resumes);
	tcase_add_test(t, shows_checkpoints);
	tcase_add_test(t, changes_what_a_job_is_called);
	tcase_add_test(t, changes_a_job_that_goes_on);
	tcase_add_loop_test(t, refuses_wrong_changes, 0, (int)(sizeof patch_table / sizeof *patch_table));
	tcase_add_test(t, finds_jobs_by_what_they_are);
	tcase_add_loop_test(t, refuses_wrong_filters, 0, (int)(sizeof bad_queries / sizeof *bad_queries));
	tcase_add_test(t, expands_one_level);
	tcase_add_test(t, serves_artifacts_and_report);
	tcase_add_test(t, removes_artifacts_with_their_job);
	suite_add_tcase(s, t);
	return run_suite(s);
}
