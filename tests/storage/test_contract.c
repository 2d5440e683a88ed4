/* The contract of store.h, the client's side: assets, jobs, keys, pages, cancelling and deleting. */
#include "tests/storage/contract.h"

START_TEST(asset_round_trip)
{
	struct store_file files[2] = {{.path = "a/b.onnx", .sha256 = SHA_A, .n_bytes = 1}, {.path = "b.data", .sha256 = SHA_C, .n_bytes = (int64_t)5 << 32}};
	struct store_asset in = {.kind = STORE_MODEL, .name = "net \"ü\"", .info = "{\"a\":[1,2]}", .produced_by = "job_1", .n_files = 2, .files = files}, out;

	begin(_i);
	MUST(store_asset_put(MINE(s), &in, &err));
	ck_assert(pare_id_check(in.id, "mdl"));
	ck_assert_int_eq(in.created_ms, fake_wall);
	MUST(store_asset_get(MINE(s), STORE_MODEL, in.id, &out, &err));
	ck_assert_str_eq(out.id, in.id);
	ck_assert_str_eq(out.name, in.name);
	ck_assert_str_eq(out.info, in.info);
	ck_assert_str_eq(out.produced_by, "job_1");
	ck_assert_int_eq(out.created_ms, in.created_ms);
	ck_assert_int_eq(out.n_files, 2);
	ck_assert_str_eq(out.files[0].path, "a/b.onnx");
	ck_assert_str_eq(out.files[1].path, "b.data");
	ck_assert_str_eq(out.files[1].sha256, SHA_C);
	ck_assert_int_eq(out.files[1].n_bytes, (int64_t)5 << 32);
	store_asset_done(&out);
	ck_assert_int_eq(store_asset_get(MINE(s), STORE_DATASET, in.id, &out, &err), PARE_E_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(err.message, in.id));
	MUST(store_asset_get(MINE(s), STORE_MODEL, model, &out, &err));
	ck_assert_ptr_null(out.produced_by);
	store_asset_done(&out);
	end();
}
END_TEST

START_TEST(asset_bad_files)
{
	struct store_file files[2] = {{.path = "a", .sha256 = SHA_A}, {.path = "a", .sha256 = SHA_C}};
	struct store_asset a = {.kind = STORE_MODEL, .name = "n", .info = "{}", .n_files = 2, .files = files};

	begin(_i);
	ck_assert_int_eq(store_asset_put(MINE(s), &a, &err), PARE_E_INVALID);
	files[1].path = "b";
	memcpy(files[1].sha256, "../../etc/passwd", 17);
	ck_assert_int_eq(store_asset_put(MINE(s), &a, &err), PARE_E_INVALID);
	ck_assert_ptr_nonnull(strstr(err.message, "\"b\""));
	ck_assert_str_eq(a.id, "");
	end();
}
END_TEST

START_TEST(asset_pages)
{
	char ids[7][PARE_ID_MAX];
	struct store_page page = {.limit = 3};
	struct store_asset *list;
	bool more;
	int n;

	begin(_i);
	memcpy(ids[0], model, PARE_ID_MAX);
	for (int i = 1; i < 7; i++)
		put_asset(s, STORE_MODEL, SHA_A, ids[i]);
	MUST(store_asset_list(MINE(s), STORE_MODEL, &page, &list, &n, &more, &err));
	ck_assert(n == 3 && more);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(list[i].id, ids[6 - i]);
	ck_assert_int_eq(list[0].n_files, 1);
	ck_assert_str_eq(list[0].files[0].path, "file");
	store_asset_list_done(list, n);
	page.after = ids[2];
	MUST(store_asset_list(MINE(s), STORE_MODEL, &page, &list, &n, &more, &err));
	ck_assert(n == 2 && !more);
	ck_assert_str_eq(list[0].id, ids[1]);
	store_asset_list_done(list, n);
	page = (struct store_page){.limit = 7, .ascending = true};
	MUST(store_asset_list(MINE(s), STORE_MODEL, &page, &list, &n, &more, &err));
	ck_assert(n == 7 && !more);
	ck_assert_str_eq(list[6].id, ids[6]);
	store_asset_list_done(list, n);
	MUST(store_asset_list(MINE(s), STORE_DATASET, &page, &list, &n, &more, &err));
	ck_assert(n == 1 && !more);
	ck_assert_str_eq(list[0].id, dataset);
	store_asset_list_done(list, n);
	page.limit = 201;
	ck_assert_int_eq(store_asset_list(MINE(s), STORE_MODEL, &page, &list, &n, &more, &err), PARE_E_INVALID);
	end();
}
END_TEST

START_TEST(asset_delete_rules)
{
	char id[PARE_ID_MAX];
	struct store_asset a;
	struct store_job j;
	int64_t token;

	begin(_i);
	put_job(s, model, dataset, id);
	ck_assert_int_eq(store_asset_delete(MINE(s), STORE_MODEL, model, &err), PARE_E_CONFLICT);
	ck_assert_ptr_nonnull(strstr(err.message, id));
	ck_assert_int_eq(store_asset_delete(MINE(s), STORE_DATASET, dataset, &err), PARE_E_CONFLICT);
	token = claim(id);
	ck_assert_int_eq(store_asset_delete(MINE(s), STORE_MODEL, model, &err), PARE_E_CONFLICT);
	finish(id, token, STORE_SUCCEEDED);
	ck_assert_int_eq(store_asset_delete(MINE(s), STORE_DATASET, model, &err), PARE_E_NOT_FOUND);
	MUST(store_asset_delete(MINE(s), STORE_MODEL, model, &err));
	MUST(store_asset_delete(MINE(s), STORE_DATASET, dataset, &err));
	ck_assert_int_eq(store_asset_delete(MINE(s), STORE_MODEL, model, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_asset_get(MINE(s), STORE_MODEL, model, &a, &err), PARE_E_NOT_FOUND);
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_str_eq(j.model, model);
	store_job_done(&j);
	end();
}
END_TEST

START_TEST(job_put_fills_everything)
{
	struct store_job j = {.max_crashes = 3, .name = NULL, .model = model, .dataset = dataset, .request = "{\"seed\":42}"}, got;

	begin(_i);
	MUST(store_job_put(MINE(s), &j, NULL, &err));
	ck_assert(pare_id_check(j.id, "job"));
	MUST(store_job_get(MINE(s), j.id, &got, &err));
	ck_assert_str_eq(got.id, j.id);
	ck_assert_int_eq(got.status, STORE_QUEUED);
	ck_assert_str_eq(got.phase, "");
	ck_assert_int_eq(got.revision, 1);
	ck_assert_int_eq(got.created_ms, fake_wall);
	ck_assert_int_eq(got.started_ms, 0);
	ck_assert_int_eq(got.finished_ms, 0);
	ck_assert_int_eq(got.attempt, 0);
	ck_assert_int_eq(got.crashes, 0);
	ck_assert_int_eq(got.max_crashes, 3);
	ck_assert_str_eq(got.name, "");
	ck_assert_str_eq(got.model, model);
	ck_assert_str_eq(got.dataset, dataset);
	ck_assert_str_eq(got.request, "{\"seed\":42}");
	ck_assert_str_eq(got.progress, "");
	ck_assert_str_eq(got.result, "");
	ck_assert_str_eq(got.error_code, "");
	ck_assert_int_eq(got.lease_token, 0);
	expect_events(j.id, "job.queued");
	store_job_done(&j);
	store_job_done(&got);
	ck_assert_int_eq(store_job_get(MINE(s), "job_none", &got, &err), PARE_E_NOT_FOUND);
	end();
}
END_TEST

START_TEST(job_put_needs_its_assets)
{
	struct store_job j = {.model = "mdl_gone", .dataset = dataset, .request = "{}"};
	bool more;
	struct store_page page = {.limit = 1};
	struct store_job *list;
	int n;

	begin(_i);
	ck_assert_int_eq(store_job_put(MINE(s), &j, NULL, &err), PARE_E_NOT_FOUND);
	ck_assert_str_eq(err.where, "/model");
	ck_assert_str_eq(j.model, "mdl_gone");
	j.model = dataset; /* exists, as something else */
	ck_assert_int_eq(store_job_put(MINE(s), &j, NULL, &err), PARE_E_NOT_FOUND);
	ck_assert_str_eq(err.where, "/model");
	j.model = model;
	j.dataset = "dst_gone";
	ck_assert_int_eq(store_job_put(MINE(s), &j, NULL, &err), PARE_E_NOT_FOUND);
	ck_assert_str_eq(err.where, "/dataset");
	MUST(store_job_list(MINE(s), &page, &list, &n, &more, &err));
	ck_assert_int_eq(n, 0);
	store_job_list_done(list, n);
	j.dataset = NULL; /* pruning by magnitude needs no data */
	MUST(store_job_put(MINE(s), &j, NULL, &err));
	ck_assert_str_eq(j.dataset, "");
	store_job_done(&j);
	end();
}
END_TEST

START_TEST(idempotency)
{
	struct store_idempotency k = {.key = "k1", .scope = "key_1", .fingerprint = {1}};
	struct store_job a = {.model = model, .dataset = dataset, .request = "{\"a\":1}"}, b = a, c = a, d = a;
	char first[PARE_ID_MAX], other[PARE_ID_MAX];

	begin(_i);
	MUST(store_job_put(MINE(s), &a, &k, &err));
	ck_assert(!k.replayed);
	memcpy(first, a.id, sizeof first);
	store_job_done(&a);
	MUST(store_job_put(MINE(s), &b, &k, &err));
	ck_assert(k.replayed);
	ck_assert_str_eq(b.id, first);
	ck_assert_str_eq(b.request, "{\"a\":1}");
	store_job_done(&b);
	k.fingerprint[0] = 2;
	ck_assert_int_eq(store_job_put(MINE(s), &c, &k, &err), PARE_E_KEY_REUSED);
	ck_assert_ptr_nonnull(strstr(err.message, "\"k1\""));
	k.scope = "key_2";
	MUST(store_job_put(MINE(s), &c, &k, &err));
	ck_assert(!k.replayed);
	memcpy(other, c.id, sizeof other);
	ck_assert_str_ne(other, first);
	store_job_done(&c);
	/* a day later the key is new again */
	k.scope = "key_1";
	fake_wall += 24 * HOUR_MS - 1;
	ck_assert_int_eq(store_job_put(MINE(s), &d, &k, &err), PARE_E_KEY_REUSED);
	fake_wall += 1;
	MUST(store_job_put(MINE(s), &d, &k, &err));
	ck_assert(!k.replayed);
	ck_assert_str_ne(d.id, first);
	store_job_done(&d);
	end();
}
END_TEST

START_TEST(idempotency_replays_when_the_model_is_gone)
{
	struct store_idempotency k = {.key = "k", .scope = "", .fingerprint = {1}};
	struct store_job a = {.model = model, .request = "{}"}, b = a, c = a;

	begin(_i);
	MUST(store_job_put(MINE(s), &a, &k, &err));
	store_job_done(&a);
	finish(a.id, claim(a.id), STORE_SUCCEEDED);
	MUST(store_asset_delete(MINE(s), STORE_MODEL, model, &err));
	MUST(store_job_put(MINE(s), &b, &k, &err));
	ck_assert(k.replayed);
	ck_assert_int_eq(b.status, STORE_SUCCEEDED);
	MUST(store_job_delete(MINE(s), b.id, &err)); /* and the key with it */
	store_job_done(&b);
	ck_assert_int_eq(store_job_put(MINE(s), &c, &k, &err), PARE_E_NOT_FOUND);
	end();
}
END_TEST

/* A put that fails leaves nothing behind, its key neither. */
START_TEST(idempotency_of_a_failed_put)
{
	struct store_idempotency k = {.key = "k", .fingerprint = {1}};
	struct store_job j = {.model = "mdl_no", .request = "{}"};

	begin(_i);
	ck_assert_int_eq(store_job_put(MINE(s), &j, &k, &err), PARE_E_NOT_FOUND);
	j.model = model;
	k.fingerprint[0] = 9;
	MUST(store_job_put(MINE(s), &j, &k, &err));
	ck_assert(!k.replayed);
	store_job_done(&j);
	end();
}
END_TEST

/* places: the expected jobs, as digits that number ids. */
static void expect_page(struct store_page page, char ids[][PARE_ID_MAX], const char *places, bool expect_more, int line)
{
	struct store_job *list;
	bool more;
	int n;

	must(store_job_list(MINE(s), &page, &list, &n, &more, &err), &err, "list", line);
	ck_assert_msg((size_t)n == strlen(places), "line %d: %d jobs, not %s", line, n, places);
	ck_assert_msg(more == expect_more, "line %d: more is %d", line, more);
	for (int i = 0; i < n; i++)
		ck_assert_msg(strcmp(list[i].id, ids[places[i] - '0']) == 0, "line %d: place %d", line, i);
	store_job_list_done(list, n);
}
#define PAGE(more, places, ...) expect_page((struct store_page){__VA_ARGS__}, ids, places, more, __LINE__)

START_TEST(job_pages)
{
	char ids[6][PARE_ID_MAX], model2[PARE_ID_MAX], id[PARE_ID_MAX];
	struct store_page bad = {.limit = 0};
	struct store_job *list, j;
	bool more;
	int n;

	begin(_i);
	put_asset(s, STORE_MODEL, SHA_C, model2);
	for (int i = 0; i < 6; i++) {
		put_job(s, i % 2 == 0 ? model : model2, i < 4 ? dataset : NULL, ids[i]);
		if (i == 2)
			fake_wall -= HOUR_MS; /* the clock is set back: order stays */
	}
	PAGE(false, "543210", .limit = 200);
	PAGE(true, "543", .limit = 3);
	PAGE(false, "210", .limit = 3, .after = ids[3]);
	PAGE(true, "01", .limit = 2, .ascending = true);
	PAGE(true, "23", .limit = 2, .ascending = true, .after = ids[1]);
	PAGE(false, "45", .limit = 2, .ascending = true, .after = ids[3]);
	/* before: the page just in front, in the same order */
	PAGE(true, "32", .limit = 2, .before = ids[1]);
	PAGE(false, "54", .limit = 2, .before = ids[3]);
	PAGE(true, "23", .limit = 2, .before = ids[4], .ascending = true);
	PAGE(false, "32", .limit = 5, .after = ids[4], .before = ids[1]);
	/* filters, alone and together */
	PAGE(true, "53", .limit = 2, .model = model2);
	PAGE(false, "1", .limit = 2, .model = model2, .after = ids[3]);
	PAGE(false, "3210", .limit = 4, .dataset = dataset);
	PAGE(false, "02", .limit = 4, .dataset = dataset, .model = model, .ascending = true);
	MUST(store_job_cancel(MINE(s), ids[2], &j, &err));
	store_job_done(&j);
	PAGE(false, "2", .limit = 4, .statuses = 1U << STORE_CANCELED);
	PAGE(false, "013", .limit = 4, .statuses = 1U << STORE_QUEUED, .dataset = dataset, .ascending = true);
	ck_assert_int_ne(claim(id), 0);
	ck_assert_str_eq(id, ids[0]);
	PAGE(false, "0", .limit = 1, .statuses = 1U << STORE_RUNNING, .model = model);
	ck_assert_int_eq(store_job_list(MINE(s), &bad, &list, &n, &more, &err), PARE_E_INVALID);
	end();
}
END_TEST

START_TEST(cancel_rules)
{
	char a[PARE_ID_MAX], b[PARE_ID_MAX], id[PARE_ID_MAX];
	int64_t token, revision;
	struct store_job j;
	enum store_job_status asked;

	begin(_i);
	put_job(s, model, dataset, a);
	put_job(s, model, dataset, b);
	fake_wall += 10;
	MUST(store_job_cancel(MINE(s), b, &j, &err));
	ck_assert_int_eq(j.status, STORE_CANCELED);
	ck_assert_int_eq(j.finished_ms, fake_wall);
	revision = j.revision;
	store_job_done(&j);
	expect_events(b, "job.queued job.canceled");
	MUST(store_job_cancel(MINE(s), b, &j, &err));
	ck_assert_int_eq(j.revision, revision);
	store_job_done(&j);
	token = claim(id);
	ck_assert_str_eq(id, a);
	MUST(store_job_renew(s, a, token, 1000, &asked, &err));
	ck_assert_int_eq(asked, STORE_RUNNING);
	MUST(store_job_cancel(MINE(s), a, &j, &err));
	ck_assert_int_eq(j.status, STORE_CANCELING);
	revision = j.revision;
	store_job_done(&j);
	MUST(store_job_cancel(MINE(s), a, &j, &err));
	ck_assert_int_eq(j.status, STORE_CANCELING);
	ck_assert_int_eq(j.revision, revision);
	store_job_done(&j);
	MUST(store_job_renew(s, a, token, 1000, &asked, &err));
	ck_assert_int_eq(asked, STORE_CANCELING);
	finish(a, token, STORE_SUCCEEDED); /* it was faster */
	ck_assert_int_eq(status_of(a), STORE_SUCCEEDED);
	ck_assert_int_eq(store_job_cancel(MINE(s), a, &j, &err), PARE_E_CONFLICT);
	ck_assert_ptr_nonnull(strstr(err.message, "succeeded"));
	ck_assert_int_eq(store_job_cancel(MINE(s), "job_no", &j, &err), PARE_E_NOT_FOUND);
	end();
}
END_TEST

START_TEST(delete_rules)
{
	struct store_artifact art = {.name = "m.onnx", .media_type = "x/y", .sha256 = SHA_C, .n_bytes = 5}, *arts;
	struct store_outcome o = {.status = STORE_SUCCEEDED, .n_artifacts = 1, .artifacts = &art};
	char id[PARE_ID_MAX];
	struct store_event *events;
	struct store_job j;
	bool used, final;
	int64_t token;
	int n;

	begin(_i);
	put_job(s, model, dataset, id);
	ck_assert_int_eq(store_job_delete(MINE(s), id, &err), PARE_E_CONFLICT);
	token = claim(id);
	ck_assert_int_eq(store_job_delete(MINE(s), id, &err), PARE_E_CONFLICT);
	MUST(store_job_finish(s, id, token, &o, &err));
	MUST(store_blob_used(s, SHA_C, &used, &err));
	ck_assert(used);
	MUST(store_job_delete(MINE(s), id, &err));
	MUST(store_blob_used(s, SHA_C, &used, &err));
	ck_assert(!used);
	ck_assert_int_eq(store_job_delete(MINE(s), id, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_job_get(MINE(s), id, &j, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_event_list(MINE(s), id, 0, 10, &events, &n, &final, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_artifact_list(MINE(s), id, &arts, &n, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_job_finish(s, id, token, &o, &err), PARE_E_LEASE_LOST);
	end();
}
END_TEST

START_TEST(position_and_counts)
{
	int64_t counts[STORE_N_STATUS], oldest, first_ms = 0;
	char ids[4][PARE_ID_MAX], id[PARE_ID_MAX];

	begin(_i);
	MUST(store_job_counts(s, counts, &oldest, &err));
	ck_assert_int_eq(oldest, 0);
	for (int i = 0; i < 4; i++) {
		fake_wall += 100;
		if (i == 1)
			first_ms = fake_wall;
		put_job(s, model, dataset, ids[i]);
	}
	ck_assert_int_eq(position_of(ids[3]), 3);
	finish(ids[0], claim(id), STORE_FAILED);
	ck_assert_int_eq(position_of(ids[3]), 2);
	MUST(store_job_counts(s, counts, &oldest, &err));
	ck_assert_int_eq(counts[STORE_QUEUED], 3);
	ck_assert_int_eq(counts[STORE_FAILED], 1);
	ck_assert_int_eq(counts[STORE_SUCCEEDED], 0);
	ck_assert_int_eq(oldest, first_ms);
	end();
}
END_TEST

START_TEST(blob_use)
{
	bool used;

	begin(_i);
	MUST(store_blob_used(s, SHA_A, &used, &err));
	ck_assert(used);
	MUST(store_blob_used(s, SHA_C, &used, &err));
	ck_assert(!used);
	MUST(store_asset_delete(MINE(s), STORE_MODEL, model, &err));
	MUST(store_blob_used(s, SHA_A, &used, &err));
	ck_assert(!used);
	MUST(store_ping(s, &err));
	end();
}
END_TEST

START_TEST(status_names)
{
	ck_assert_str_eq(store_job_status_name(STORE_QUEUED), "queued");
	ck_assert_str_eq(store_job_status_name(STORE_CANCELING), "canceling");
	ck_assert(!store_job_status_final(STORE_CANCELING));
	ck_assert(store_job_status_final(STORE_SUCCEEDED) && store_job_status_final(STORE_FAILED) && store_job_status_final(STORE_CANCELED));
	store_close(NULL);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {asset_round_trip, asset_bad_files, asset_pages, asset_delete_rules, job_put_fills_everything, job_put_needs_its_assets,
	    idempotency, idempotency_replays_when_the_model_is_gone, idempotency_of_a_failed_put, job_pages, cancel_rules,
	    delete_rules, position_and_counts, blob_use, status_names};

	return run_over_backends("store contract: clients", tests, sizeof tests / sizeof *tests) != 0;
}
