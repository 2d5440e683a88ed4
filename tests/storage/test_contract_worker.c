/* The contract of store.h, the worker's side: claims, leases, events, ends, crashes, recovery. */
#include "storage/registry.h"
#include "tests/storage/contract.h"

#define CHECKPOINT_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define CHECKPOINT_2 "2222222222222222222222222222222222222222222222222222222222222222"

START_TEST(claim_and_renew)
{
	char a[PARE_ID_MAX], b[PARE_ID_MAX];
	struct store_job j;
	int64_t revision;
	enum store_job_status asked;
	bool found;
	int n;

	begin(_i);
	MUST(store_job_claim(s, "w", 1000, &j, &found, &err));
	ck_assert(!found);
	put_job(s, model, dataset, a);
	put_job(s, model, dataset, b);
	fake_wall += 5;
	MUST(store_job_claim(s, "w", 1000, &j, &found, &err));
	ck_assert(found);
	ck_assert_str_eq(j.id, a);
	ck_assert_int_eq(j.status, STORE_RUNNING);
	ck_assert_int_eq(j.attempt, 1);
	ck_assert_int_eq(j.started_ms, fake_wall);
	ck_assert_int_gt(j.revision, 1);
	ck_assert_str_eq(j.request, "{\"recipe\":\"x\"}");
	expect_events(a, "job.queued job.started");
	revision = j.revision;
	ck_assert_int_eq(store_job_renew(s, a, j.lease_token + 1, 1000, &asked, &err), PARE_E_LEASE_LOST);
	ck_assert_int_eq(store_job_renew(s, b, 0, 1000, &asked, &err), PARE_E_LEASE_LOST);
	ck_assert_int_eq(store_job_renew(s, "job_no", j.lease_token, 1000, &asked, &err), PARE_E_LEASE_LOST);
	fake_mono += 900;
	MUST(store_job_renew(s, a, j.lease_token, 1000, &asked, &err));
	fake_mono += 999;
	MUST(store_expire(s, &n, &err));
	ck_assert_int_eq(n, 0);
	store_job_done(&j);
	MUST(store_job_get(MINE(s), a, &j, &err));
	ck_assert_int_eq(j.revision, revision); /* a heartbeat is no change that a client sees */
	store_job_done(&j);
	end();
}
END_TEST

START_TEST(events_of_a_job)
{
	struct store_event *list;
	char id[PARE_ID_MAX];
	struct store_job j;
	int64_t token, revision;
	bool final;
	int n;

	begin(_i);
	put_job(s, model, dataset, id);
	token = claim(id);
	MUST(store_job_get(MINE(s), id, &j, &err));
	revision = j.revision;
	store_job_done(&j);
	fake_wall += 77;
	MUST(store_job_event(s, id, token, "job.metrics", "info", "{\"loss\":0.5}", "finetune", "{\"p\":1}", &err));
	MUST(store_job_event(s, id, token, "job.log", "warning", NULL, NULL, NULL, &err));
	ck_assert_int_eq(store_job_event(s, id, token + 1, "job.log", "info", NULL, "x", NULL, &err), PARE_E_LEASE_LOST);
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_str_eq(j.phase, "finetune");
	ck_assert_str_eq(j.progress, "{\"p\":1}");
	ck_assert_int_eq(j.revision, revision + 2);
	store_job_done(&j);
	MUST(store_event_list(MINE(s), id, 2, 1, &list, &n, &final, &err));
	ck_assert(n == 1 && !final);
	ck_assert_int_eq(list[0].seq, 3);
	ck_assert_int_eq(list[0].at_ms, fake_wall);
	ck_assert_str_eq(list[0].type, "job.metrics");
	ck_assert_str_eq(list[0].level, "info");
	ck_assert_str_eq(list[0].data, "{\"loss\":0.5}");
	store_event_list_done(list, n);
	MUST(store_event_list(MINE(s), id, 4, 10, &list, &n, &final, &err));
	ck_assert(n == 0 && !final);
	store_event_list_done(list, n);
	finish(id, token, STORE_CANCELED);
	MUST(store_event_list(MINE(s), id, 3, 1, &list, &n, &final, &err));
	ck_assert(n == 1 && !final);
	ck_assert_str_eq(list[0].data, "{}");
	store_event_list_done(list, n);
	MUST(store_event_list(MINE(s), id, 3, 2, &list, &n, &final, &err));
	ck_assert(n == 2 && final);
	store_event_list_done(list, n);
	MUST(store_event_list(MINE(s), id, 5, 2, &list, &n, &final, &err));
	ck_assert(n == 0 && final);
	store_event_list_done(list, n);
	ck_assert_int_eq(store_event_list(MINE(s), id, 0, 0, &list, &n, &final, &err), PARE_E_INVALID);
	end();
}
END_TEST

/* The result of a job that says what it is to be called. */
static void put_registering(const char *as, char out_id[PARE_ID_MAX])
{
	struct store_job j = {.max_crashes = 3, .kind = "prune", .name = "n", .model = model, .dataset = dataset, .request = "{}", .register_as = as};

	MUST(store_job_put(MINE(s), &j, NULL, &err));
	ck_assert_str_eq(j.register_as, as);
	memcpy(out_id, j.id, PARE_ID_MAX);
	store_job_done(&j);
}

static void finish_with_model(const char *id, const char *result, char out_model[PARE_ID_MAX])
{
	struct store_artifact art = {.name = "model.onnx", .media_type = "application/onnx", .sha256 = SHA_C, .n_bytes = 123};
	struct store_file f = {.path = "model.onnx", .sha256 = SHA_C, .n_bytes = 123};
	struct store_asset m = {.kind = STORE_MODEL, .info = "{\"n\":1}", .n_files = 1, .files = &f};
	struct store_outcome o = {.status = STORE_SUCCEEDED, .result = result, .n_artifacts = 1, .artifacts = &art, .model = &m};
	char taken[PARE_ID_MAX];

	MUST(store_job_finish(s, id, claim(taken), &o, &err));
	ck_assert_str_eq(taken, id);
	memcpy(out_model, m.id, PARE_ID_MAX);
}

START_TEST(a_result_becomes_a_model)
{
	char ids[3][PARE_ID_MAX], made[3][PARE_ID_MAX], found[PARE_ID_MAX], want[80];
	struct store_asset a;
	struct store_job j;
	bool used;

	begin(_i);
	store_set_quota(s, &(struct store_quota){.max_bytes = 200}); /* work that is done is not thrown away */
	for (int i = 0; i < 3; i++)
		put_registering(i == 2 ? "" : "mnist@staging", ids[i]);
	finish_with_model(ids[0], "{\"summary\":{}}", made[0]);
	MUST(store_job_get(MINE(s), ids[0], &j, &err));
	(void)snprintf(want, sizeof want, "{\"summary\":{},\"model\":\"%s\"}", made[0]);
	ck_assert_str_eq(j.result, want);
	store_job_done(&j);
	MUST(store_asset_get(MINE(s), STORE_MODEL, made[0], &a, &err));
	ck_assert_str_eq(a.name, "mnist");
	ck_assert_str_eq(a.aliases, "staging");
	ck_assert_str_eq(a.info, "{\"n\":1}");
	ck_assert_str_eq(a.produced_by, ids[0]);
	ck_assert_str_eq(a.owner, STORE_DEFAULT_OWNER);
	ck_assert(a.version == 1 && a.n_files == 1);
	ck_assert_str_eq(a.files[0].sha256, SHA_C);
	store_asset_done(&a);
	finish_with_model(ids[1], "{}", made[1]);
	MUST(store_asset_resolve(MINE(s), STORE_MODEL, "mnist@staging", found, &err));
	ck_assert_str_eq(found, made[1]);
	MUST(store_asset_resolve(MINE(s), STORE_MODEL, "mnist:1", found, &err));
	ck_assert_str_eq(found, made[0]);
	finish_with_model(ids[2], "{}", made[2]); /* was not asked for */
	ck_assert_str_eq(made[2], "");
	for (int i = 0; i < 3; i++)
		MUST(store_job_delete(MINE(s), ids[i], &err));
	MUST(store_blob_used(s, SHA_C, &used, &err)); /* by the models */
	ck_assert(used);
	end();
}
END_TEST

START_TEST(what_cannot_be_called_that_is_no_job)
{
	static const char *const names[] = {"mnist:3", "mnist@3", "@staging", "mnist@", "a/b", "mnist@a b", "..", "mdl_01K0000000000000000000000A", " x"};

	begin(_i);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct store_job j = {.max_crashes = 3, .kind = "prune", .name = "n", .model = model, .dataset = dataset, .request = "{}", .register_as = names[i]};

		ck_assert_int_eq(store_job_put(MINE(s), &j, NULL, &err), PARE_E_INVALID);
		ck_assert_str_eq(err.where, "/register");
	}
	end();
}
END_TEST

START_TEST(finish_is_one_change)
{
	struct store_artifact art[2] = {{.name = "model.onnx", .media_type = "application/octet-stream", .sha256 = SHA_C, .n_bytes = 123},
	    {.name = "model.onnx", .media_type = "application/json", .sha256 = SHA_B, .n_bytes = 4}}, *list, one;
	struct store_outcome o = {.status = STORE_SUCCEEDED, .result = "{\"acc\":0.98}", .n_artifacts = 2, .artifacts = art};
	char id[PARE_ID_MAX];
	struct store_job j;
	int64_t token;
	int n;

	begin(_i);
	put_job(s, model, dataset, id);
	token = claim(id);
	/* refused as a whole: two of one name */
	ck_assert_int_eq(store_job_finish(s, id, token, &o, &err), PARE_E_INVALID);
	ck_assert_int_eq(status_of(id), STORE_RUNNING);
	art[1].name = "report.json";
	MUST(store_job_event(s, id, token, "job.log", "info", "{}", "export", "{\"p\":9}", &err));
	ck_assert_int_eq(store_job_finish(s, id, token + 2, &o, &err), PARE_E_LEASE_LOST);
	MUST(store_artifact_list(MINE(s), id, &list, &n, &err));
	ck_assert_int_eq(n, 0);
	store_artifact_list_done(list, n);
	fake_wall += 1000;
	MUST(store_job_finish(s, id, token, &o, &err));
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_SUCCEEDED);
	ck_assert_str_eq(j.phase, "");
	ck_assert_str_eq(j.result, "{\"acc\":0.98}");
	ck_assert_str_eq(j.error_code, "");
	ck_assert_int_eq(j.finished_ms, fake_wall);
	ck_assert_int_eq(j.lease_token, 0);
	store_job_done(&j);
	expect_events(id, "job.queued job.started job.log job.succeeded");
	MUST(store_artifact_list(MINE(s), id, &list, &n, &err));
	ck_assert_int_eq(n, 2);
	ck_assert(pare_id_check(list[0].id, "art"));
	ck_assert_str_eq(list[0].name, "model.onnx");
	ck_assert_str_eq(list[0].job, id);
	ck_assert_str_eq(list[0].sha256, SHA_C);
	ck_assert_int_eq(list[0].n_bytes, 123);
	ck_assert_int_eq(list[0].created_ms, fake_wall);
	store_artifact_list_done(list, n);
	MUST(store_artifact_get(MINE(s), id, "report.json", &one, &err));
	ck_assert_str_eq(one.media_type, "application/json");
	store_artifact_done(&one);
	ck_assert_int_eq(store_artifact_get(MINE(s), id, "nope", &one, &err), PARE_E_NOT_FOUND);
	/* by their own ids; deleting one is a change of the job */
	MUST(store_artifact_find(MINE(s), art[0].id, &one, &err));
	ck_assert_str_eq(one.name, "model.onnx");
	ck_assert_str_eq(one.owner, STORE_DEFAULT_OWNER);
	store_artifact_done(&one);
	MUST(store_artifact_delete(MINE(s), art[0].id, &err));
	ck_assert_int_eq(store_artifact_delete(MINE(s), art[0].id, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_artifact_find(MINE(s), art[0].id, &one, &err), PARE_E_NOT_FOUND);
	MUST(store_artifact_list(MINE(s), id, &list, &n, &err));
	ck_assert_int_eq(n, 1);
	store_artifact_list_done(list, n);
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.revision, 5);
	store_job_done(&j);
	/* once only */
	ck_assert_int_eq(store_job_finish(s, id, token, &o, &err), PARE_E_LEASE_LOST);
	end();
}
END_TEST

START_TEST(failure_is_told)
{
	struct store_outcome o = {.status = STORE_FAILED, .code = PARE_E_SHAPE, .message = "needs \"784\"\n\xFF inputs", .where = "node \"fc1\""};
	struct store_event *list;
	char id[PARE_ID_MAX];
	struct store_job j;
	bool final;
	int n;

	begin(_i);
	put_job(s, model, dataset, id);
	MUST(store_job_finish(s, id, claim(id), &o, &err));
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_FAILED);
	ck_assert_str_eq(j.error_code, "shape_mismatch");
	ck_assert_str_eq(j.error_message, o.message);
	ck_assert_str_eq(j.error_where, "node \"fc1\"");
	store_job_done(&j);
	MUST(store_event_list(MINE(s), id, 2, 9, &list, &n, &final, &err));
	ck_assert(n == 1 && final);
	ck_assert_str_eq(list[0].type, "job.failed");
	ck_assert_str_eq(list[0].level, "error");
	ck_assert_str_eq(list[0].data, "{\"code\":\"shape_mismatch\",\"message\":\"needs \\\"784\\\"\\u000a\xEF\xBF\xBD inputs\",\"where\":\"node \\\"fc1\\\"\"}");
	store_event_list_done(list, n);
	end();
}
END_TEST

START_TEST(release_and_fencing)
{
	struct store_outcome o = {.status = STORE_SUCCEEDED};
	int64_t old, now;
	char id[PARE_ID_MAX];
	struct store_event *list;
	struct store_job j;
	enum store_job_status asked;
	bool final;
	int n;

	begin(_i);
	put_job(s, model, dataset, id);
	old = claim(id);
	MUST(store_job_event(s, id, old, "job.log", "info", "{}", "train", "{\"p\":1}", &err));
	MUST(store_job_release(s, id, old, false, "the service is \"stopping\"", &err));
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_QUEUED);
	ck_assert_int_eq(j.attempt, 1);
	ck_assert_int_eq(j.crashes, 0);
	ck_assert_int_eq(j.started_ms, 0);
	ck_assert_str_eq(j.phase, "");
	ck_assert_str_eq(j.progress, "");
	ck_assert_int_eq(j.lease_token, 0);
	store_job_done(&j);
	MUST(store_event_list(MINE(s), id, 3, 1, &list, &n, &final, &err));
	ck_assert_str_eq(list[0].type, "job.retrying");
	ck_assert_str_eq(list[0].data, "{\"reason\":\"the service is \\\"stopping\\\"\",\"attempt\":1}");
	store_event_list_done(list, n);
	ck_assert_int_eq(store_job_release(s, id, old, false, "x", &err), PARE_E_LEASE_LOST);
	now = claim(id);
	ck_assert_int_ne(now, old);
	/* the first worker comes back from the dead */
	ck_assert_int_eq(store_job_renew(s, id, old, 1000, &asked, &err), PARE_E_LEASE_LOST);
	ck_assert_int_eq(store_job_event(s, id, old, "job.log", "info", "{}", NULL, NULL, &err), PARE_E_LEASE_LOST);
	ck_assert_int_eq(store_job_release(s, id, old, true, "x", &err), PARE_E_LEASE_LOST);
	ck_assert_int_eq(store_job_finish(s, id, old, &o, &err), PARE_E_LEASE_LOST);
	ck_assert_int_eq(status_of(id), STORE_RUNNING);
	MUST(store_job_finish(s, id, now, &o, &err));
	expect_events(id, "job.queued job.started job.log job.retrying job.started job.succeeded");
	end();
}
END_TEST

START_TEST(crashes_count)
{
	char id[PARE_ID_MAX];
	struct store_job j;

	begin(_i);
	put_job(s, model, dataset, id);
	for (int i = 1; i <= 3; i++) {
		ck_assert_int_eq(status_of(id), STORE_QUEUED);
		MUST(store_job_release(s, id, claim(id), false, "not its fault", &err));
		MUST(store_job_release(s, id, claim(id), true, "died of signal 11", &err));
	}
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_FAILED);
	ck_assert_int_eq(j.crashes, 3);
	ck_assert_int_eq(j.attempt, 6);
	ck_assert_str_eq(j.error_code, "worker_crashed");
	ck_assert_str_eq(j.error_message, "died of signal 11");
	store_job_done(&j);
	/* a job that is being canceled is canceled, however its engine ended */
	put_job(s, model, dataset, id);
	{
		int64_t token = claim(id);

		MUST(store_job_cancel(MINE(s), id, &j, &err));
		store_job_done(&j);
		MUST(store_job_release(s, id, token, true, "killed", &err));
	}
	ck_assert_int_eq(status_of(id), STORE_CANCELED);
	expect_events(id, "job.queued job.started job.canceled");
	end();
}
END_TEST

/* One at a time, through retries, until the job ends; only while the lease is held. */
START_TEST(checkpoints)
{
	int64_t old, now;
	char id[PARE_ID_MAX];
	struct store_job j;
	bool used;

	begin(_i);
	put_job(s, model, dataset, id);
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_str_eq(j.checkpoint, "");
	ck_assert_str_eq(j.checkpoint_place, "");
	store_job_done(&j);
	old = claim(id);
	ck_assert_int_eq(store_job_checkpoint(s, id, old, "abc", 1, "{}", &err), PARE_E_INVALID);
	MUST(store_job_checkpoint(s, id, old, CHECKPOINT_1, 10, "{\"epoch\":1}", &err));
	MUST(store_job_checkpoint(s, id, old, CHECKPOINT_2, 20, "{\"epoch\":2}", &err));
	MUST(store_blob_used(s, CHECKPOINT_1, &used, &err));
	ck_assert(!used);
	MUST(store_job_event(s, id, old, "job.log", "info", "{}", NULL, NULL, &err));
	MUST(store_job_release(s, id, old, true, "x", &err));
	MUST(store_blob_used(s, CHECKPOINT_2, &used, &err));
	ck_assert(used);
	ck_assert_int_eq(store_job_checkpoint(s, id, old, CHECKPOINT_1, 1, "{}", &err), PARE_E_LEASE_LOST);
	now = claim(id);
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_str_eq(j.checkpoint, CHECKPOINT_2);
	ck_assert_str_eq(j.checkpoint_place, "{\"epoch\":2}");
	ck_assert_int_eq(j.checkpoint_bytes, 20);
	ck_assert_int_gt(j.checkpoint_ms, 0);
	store_job_done(&j);
	finish(id, now, _i % 2 == 0 ? STORE_SUCCEEDED : STORE_FAILED);
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_str_eq(j.checkpoint, "");
	ck_assert_int_eq(j.checkpoint_bytes + j.checkpoint_ms, 0);
	store_job_done(&j);
	MUST(store_blob_used(s, CHECKPOINT_2, &used, &err));
	ck_assert(!used);
	end();
}
END_TEST

START_TEST(recover_and_expire)
{
	char ids[4][PARE_ID_MAX], id[PARE_ID_MAX];
	int64_t token[3];
	struct store_job j;
	int n = -1;

	begin(_i);
	for (int i = 0; i < 4; i++)
		put_job(s, model, dataset, ids[i]);
	for (int i = 0; i < 3; i++) {
		token[i] = claim(id);
		fake_mono += 100;
	}
	MUST(store_job_cancel(MINE(s), ids[1], &j, &err));
	store_job_done(&j);
	finish(ids[2], token[2], STORE_SUCCEEDED);
	fake_mono += 30000 - 201;
	MUST(store_expire(s, &n, &err));
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(status_of(ids[0]), STORE_QUEUED);
	ck_assert_int_eq(status_of(ids[1]), STORE_CANCELING);
	fake_wall += HOUR_MS; /* wall time is nothing to a lease */
	MUST(store_expire(s, &n, &err));
	ck_assert_int_eq(n, 0);
	token[0] = claim(id);
	ck_assert_str_eq(id, ids[0]); /* the oldest again */
	MUST(store_recover(s, &n, &err));
	ck_assert_int_eq(n, 2);
	MUST(store_job_get(MINE(s), ids[0], &j, &err));
	ck_assert_int_eq(j.status, STORE_QUEUED);
	ck_assert_int_eq(j.crashes, 0);
	ck_assert_int_eq(j.attempt, 2);
	store_job_done(&j);
	ck_assert_int_eq(status_of(ids[1]), STORE_CANCELED);
	ck_assert_int_eq(status_of(ids[2]), STORE_SUCCEEDED);
	ck_assert_int_eq(status_of(ids[3]), STORE_QUEUED);
	expect_events(ids[0], "job.queued job.started job.retrying job.started job.retrying");
	expect_events(ids[1], "job.queued job.started job.canceled");
	end();
}
END_TEST

/* Asked for from any status; what the worker hears, and what comes of it however it ends. */
START_TEST(pause_and_resume)
{
	char id[PARE_ID_MAX], other[PARE_ID_MAX], got[PARE_ID_MAX];
	enum store_job_status asked;
	struct store_job j;
	int64_t token, revision;
	int n;

	begin(_i);
	put_job(s, model, dataset, id);
	put_job(s, model, dataset, other);
	/* queued: at once; nobody claims it, and it comes back to its old place */
	MUST(store_job_pause(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_PAUSED);
	revision = j.revision;
	store_job_done(&j);
	MUST(store_job_pause(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.revision, revision);
	store_job_done(&j);
	ck_assert_int_eq(store_job_delete(MINE(s), id, &err), PARE_E_CONFLICT);
	ck_assert_int_eq(store_asset_delete(MINE(s), STORE_MODEL, model, &err), PARE_E_CONFLICT);
	token = claim(got);
	ck_assert_str_eq(got, other);
	finish(got, token, STORE_SUCCEEDED);
	put_job(s, model, dataset, other);
	MUST(store_job_resume(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_QUEUED);
	store_job_done(&j);
	ck_assert_int_eq(position_of(id), 0);
	MUST(store_job_resume(MINE(s), id, &j, &err));
	store_job_done(&j);
	/* running: its worker hears of it, and keeps its state until it gives it back */
	token = claim(got);
	ck_assert_str_eq(got, id);
	MUST(store_job_resume(MINE(s), id, &j, &err)); /* nothing to do */
	ck_assert_int_eq(j.status, STORE_RUNNING);
	store_job_done(&j);
	MUST(store_job_pause(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_PAUSING);
	store_job_done(&j);
	MUST(store_job_renew(s, id, token, 1000, &asked, &err));
	ck_assert_int_eq(asked, STORE_PAUSING);
	MUST(store_job_resume(MINE(s), id, &j, &err)); /* thought better of */
	store_job_done(&j);
	MUST(store_job_renew(s, id, token, 1000, &asked, &err));
	ck_assert_int_eq(asked, STORE_RUNNING);
	MUST(store_job_pause(MINE(s), id, &j, &err));
	store_job_done(&j);
	MUST(store_job_event(s, id, token, "job.progress", "info", "{}", "train", "{\"p\":1}", &err));
	MUST(store_job_checkpoint(s, id, token, CHECKPOINT_1, 10, "{}", &err));
	MUST(store_job_release(s, id, token, false, "it was asked to", &err));
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_PAUSED);
	ck_assert_str_eq(j.phase, "");
	ck_assert_str_eq(j.progress, "{\"p\":1}");
	ck_assert_str_eq(j.checkpoint, CHECKPOINT_1);
	ck_assert_int_eq(j.started_ms, 0);
	ck_assert_int_eq(j.crashes, 0);
	store_job_done(&j);
	MUST(store_recover(s, &n, &err)); /* a restart is nothing to a paused job */
	ck_assert_int_eq(n, 0);
	MUST(store_job_resume(MINE(s), id, &j, &err));
	ck_assert_str_eq(j.progress, "");
	store_job_done(&j);
	token = claim(got);
	ck_assert_str_eq(got, id);
	/* the service dies while it pauses */
	MUST(store_job_pause(MINE(s), id, &j, &err));
	store_job_done(&j);
	MUST(store_recover(s, &n, &err));
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(status_of(id), STORE_PAUSED);
	MUST(store_job_cancel(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_CANCELED);
	ck_assert_str_eq(j.checkpoint, "");
	store_job_done(&j);
	ck_assert_int_eq(store_job_pause(MINE(s), id, &j, &err), PARE_E_CONFLICT);
	ck_assert_ptr_nonnull(strstr(err.message, "canceled"));
	ck_assert_int_eq(store_job_resume(MINE(s), id, &j, &err), PARE_E_CONFLICT);
	expect_events(id, "job.queued job.paused job.queued job.started job.progress job.checkpoint job.paused job.queued job.started job.paused job.canceled");
	end();
}
END_TEST

/* How a run may end while it is asked to pause. */
START_TEST(ends_while_pausing)
{
	char id[PARE_ID_MAX];
	struct store_job j;
	int64_t token;

	begin(_i);
	for (int how = 0; how < 4; how++) {
		static const enum store_job_status outcome[] = {STORE_SUCCEEDED, STORE_FAILED, STORE_CANCELED, STORE_FAILED};

		put_job(s, model, dataset, id);
		token = claim(id);
		MUST(store_job_pause(MINE(s), id, &j, &err));
		store_job_done(&j);
		if (how < 2) {
			finish(id, token, outcome[how]);
		} else if (how == 2) {
			MUST(store_job_cancel(MINE(s), id, &j, &err));
			ck_assert_int_eq(j.status, STORE_CANCELING);
			store_job_done(&j);
			ck_assert_int_eq(store_job_resume(MINE(s), id, &j, &err), PARE_E_CONFLICT);
			MUST(store_job_release(s, id, token, false, "x", &err));
		} else { /* crashes count while it pauses, too */
			for (int k = 0; k < 2; k++) {
				MUST(store_job_release(s, id, token, true, "died", &err));
				ck_assert_int_eq(status_of(id), STORE_PAUSED);
				MUST(store_job_resume(MINE(s), id, &j, &err));
				store_job_done(&j);
				token = claim(id);
				MUST(store_job_pause(MINE(s), id, &j, &err));
				store_job_done(&j);
			}
			MUST(store_job_release(s, id, token, true, "died", &err));
		}
		ck_assert_int_eq(status_of(id), outcome[how]);
	}
	end();
}
END_TEST

static enum pare_code stall(char *id, int64_t max_ms)
{
	return store_job_stall(s, id, claim(id), max_ms, "7 bytes are missing", &err);
}

static void expect_pause(const char *id, int64_t pause_ms)
{
	struct store_job j;
	bool found;

	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_QUEUED);
	ck_assert_int_eq(j.not_before_ms - fake_wall, pause_ms);
	store_job_done(&j);
	fake_wall += pause_ms - 1;
	MUST(store_job_claim(s, "w", 1000, &j, &found, &err));
	ck_assert(!found);
	fake_wall++;
}

/* No room: pauses that grow, an end that keeps the state, and a job that goes on from it. A new checkpoint begins the patience anew. */
START_TEST(no_room_has_an_end)
{
	const int64_t max_ms = 20000;
	struct store_job j, again = {.kind = "prune", .name = "", .max_crashes = 1};
	char id[PARE_ID_MAX];
	int64_t token;
	bool used;

	begin(_i);
	put_job(s, model, dataset, id);
	MUST(stall(id, max_ms));
	expect_pause(id, 1000);
	token = claim(id);
	MUST(store_job_checkpoint(s, id, token, SHA_C, 5, "{}", &err));
	MUST(store_job_stall(s, id, token, max_ms, "7 bytes are missing", &err));
	for (int64_t pause = 1000; pause <= 8000; pause *= 2) {
		expect_pause(id, pause);
		MUST(stall(id, max_ms));
	}
	expect_pause(id, 5000); /* the last one */
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.stalls, 5);
	ck_assert_int_eq(j.crashes, 0);
	store_job_done(&j);
	MUST(stall(id, max_ms));
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_FAILED);
	ck_assert_str_eq(j.error_code, "store_full");
	ck_assert_str_eq(j.error_message, "no room in 20 s and 6 attempts: 7 bytes are missing. Make some and retry the job: it goes on from its last checkpoint");
	ck_assert_str_eq(j.checkpoint, SHA_C);
	again.model = j.model;
	again.dataset = j.dataset;
	again.request = j.request;
	memcpy(again.retry_of, id, PARE_ID_MAX);
	MUST(store_job_put(MINE(s), &again, NULL, &err));
	ck_assert_str_eq(again.checkpoint, SHA_C);
	ck_assert_int_eq(again.checkpoint_bytes, 5);
	ck_assert_str_eq(again.checkpoint_place, "{}");
	store_job_done(&again);
	store_job_done(&j);
	MUST(store_job_delete(MINE(s), id, &err));
	MUST(store_blob_used(s, SHA_C, &used, &err));
	ck_assert(used);
	end();
}
END_TEST

/* Whoever pauses and resumes it asks for a try now; a clock that is set back holds nobody up; what is asked of a running job comes first. */
START_TEST(no_room_is_not_for_ever)
{
	struct store_job j;
	char id[PARE_ID_MAX];

	begin(_i);
	put_job(s, model, dataset, id);
	MUST(stall(id, 20000));
	MUST(store_job_pause(MINE(s), id, &j, &err));
	store_job_done(&j);
	MUST(store_job_resume(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.stalls, 0);
	store_job_done(&j);
	MUST(stall(id, 20000));
	fake_wall -= 2 * STORE_STALL_MAX_MS;
	MUST(stall(id, 20000));
	fake_wall += 2 * STORE_STALL_MAX_MS;
	{
		int64_t token = claim(id);

		MUST(store_job_cancel(MINE(s), id, &j, &err));
		store_job_done(&j);
		MUST(store_job_stall(s, id, token, 20000, "x", &err));
	}
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_CANCELED);
	store_job_done(&j);
	end();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {no_room_has_an_end, no_room_is_not_for_ever, claim_and_renew, events_of_a_job, finish_is_one_change, a_result_becomes_a_model, what_cannot_be_called_that_is_no_job,
	    failure_is_told, release_and_fencing, crashes_count,
	    recover_and_expire, checkpoints, pause_and_resume, ends_while_pausing};

	return run_over_backends("store contract: workers", tests, sizeof tests / sizeof *tests) != 0;
}
