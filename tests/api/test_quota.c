/* What owners may have and how often they may ask, as clients see it. */
#include "api/rate.h"
#include "tests/api/harness.h"

#define A_KEY "Bearer pare_a_0123456789abcdef0123"
#define B_KEY "Bearer pare_b_0123456789abcdef0123"
#define A2_KEY "Bearer pare_a2_0123456789abcdef0123"
#define KEYS "pare_a_0123456789abcdef0123 owner=a scopes=models:rw,jobs:rw,metrics:r\npare_a2_0123456789abcdef0123 owner=a\npare_b_0123456789abcdef0123 owner=b\n"
#define SECOND_NS ((int64_t)1000000000)

static struct world w;

static void setup(void)
{
	static char path[128];
	FILE *f;

	world_init(&w);
	(void)snprintf(path, sizeof path, "%s/keys", w.dir);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(KEYS, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	w.opt.api_key_file = path;
	w.opt.limits.max_requests[API_RATE_OWNER] = 6;
	w.opt.limits.window_seconds = 60;
	world_start(&w);
}

static void teardown(void)
{
	world_done(&w);
}

static struct answer as(const char *key, const char *target)
{
	return request(&w, "GET", target, H("Authorization", key), NULL, 0);
}

static void expect(const char *key, const char *target, int status, const char *rate)
{
	struct answer a = as(key, target);

	assert_status(&a, status);
	ck_assert_str_eq(header(&a, "RateLimit"), rate);
	ck_assert_str_eq(header(&a, "RateLimit-Policy"), rate[0] != '\0' ? "\"default\";q=6;w=60" : "");
	answer_done(&a);
}

/* The bucket by itself, at times that no clock gives. */
START_TEST(a_bucket_fills_as_it_says)
{
	struct api_rates *r = api_rates_new(10, 5);
	int64_t now = 77 * SECOND_NS;
	struct api_rate rate;

	ck_assert_ptr_nonnull(r);
	for (int i = 9; i >= 0; i--) {
		ck_assert(api_rate_take(r, "a", now, &rate));
		ck_assert_int_eq(rate.remaining, i);
		ck_assert_int_eq(rate.retry_seconds, 0);
	}
	ck_assert_int_eq(rate.reset_seconds, 5);
	ck_assert(!api_rate_take(r, "a", now, &rate));
	ck_assert(rate.remaining == 0 && rate.retry_seconds == 1 && rate.reset_seconds == 5);
	ck_assert(!api_rate_take(r, "a", now + SECOND_NS / 2 - 1, &rate)); /* refused ones cost nothing */
	ck_assert(api_rate_take(r, "a", now + SECOND_NS / 2, &rate));
	ck_assert(!api_rate_take(r, "a", now + SECOND_NS / 2, &rate));
	ck_assert(api_rate_take(r, "b", now, &rate));
	ck_assert_int_eq(rate.remaining, 9);
	api_rate_give_back(r, "b", now, &rate);
	ck_assert(rate.remaining == 10 && rate.reset_seconds == 0);
	/* over any long time no more than the rate */
	now += 1000 * SECOND_NS;
	for (int64_t t = 0, n = 0; t < 100; t++) {
		n += api_rate_take(r, "c", now + t * SECOND_NS / 10, &rate);
		ck_assert_int_le(n, 10 + t * 2 / 10 + 1);
	}
	/* a full bucket holds no more than itself */
	for (int i = 0; i < 10; i++)
		ck_assert(api_rate_take(r, "a", now + 9999 * SECOND_NS, &rate));
	ck_assert(!api_rate_take(r, "a", now + 9999 * SECOND_NS, &rate));
	api_rates_free(r);
	r = api_rates_new(1000000000, 1);
	ck_assert(api_rate_take(r, "a", now, &rate));
	ck_assert_int_eq(rate.remaining, 999999999);
	api_rates_free(r);
}
END_TEST

START_TEST(requests_run_out_and_come_back)
{
	struct answer a;

	expect(A_KEY, "/v1/jobs", 200, "\"default\";r=5;t=10");
	expect(A_KEY, "/v1/jobs/x", 404, "\"default\";r=4;t=20");
	expect(A_KEY, "/v1/datasets", 403, "\"default\";r=3;t=30");
	for (int i = 0; i < 3; i++) { /* all keys of an owner draw from one bucket */
		a = as(A2_KEY, "/v1/jobs");
		assert_status(&a, 200);
		answer_done(&a);
	}
	a = as(A_KEY, "/v1/jobs");
	assert_problem(&a, 429, "quota_exceeded");
	ck_assert_str_eq(header(&a, "Retry-After"), "10");
	ck_assert_str_eq(header(&a, "RateLimit"), "\"default\";r=0;t=60");
	answer_done(&a);
	expect(B_KEY, "/v1/jobs", 200, "\"default\";r=5;t=10");
	/* what is open to all is free, and who is nobody has no bucket */
	expect(A_KEY, "/livez", 200, "");
	expect(A_KEY, "/readyz", 200, "");
	expect(A_KEY, "/v1", 200, "");
	expect("Bearer pare_c_0123456789abcdef0123", "/v1/jobs", 401, "");
	w.now_ms += 9999;
	a = as(A_KEY, "/v1/jobs");
	assert_problem(&a, 429, "quota_exceeded");
	ck_assert_str_eq(header(&a, "Retry-After"), "1");
	answer_done(&a);
	w.now_ms += 1;
	expect(A_KEY, "/v1/jobs", 200, "\"default\";r=0;t=60");
	a = as(B_KEY, "/metrics");
	ck_assert_ptr_nonnull(strstr(a.body, "\npared_quota_refusals_total{quota=\"requests\"} 2\n"));
	answer_done(&a);
}
END_TEST

/* An upload that is refused for the rate is refused before its body. */
START_TEST(a_refused_upload_is_not_read)
{
	struct answer a;

	for (int i = 0; i < 6; i++) {
		a = as(A_KEY, "/v1/jobs");
		answer_done(&a);
	}
	a = request(&w, "POST", "/v1/models", H("Authorization", A_KEY), MODEL_BYTES, sizeof MODEL_BYTES - 1);
	assert_problem(&a, 429, "quota_exceeded");
	ck_assert(a.reply->close);
	ck_assert_int_eq(w.n_inspected, 0);
	answer_done(&a);
}
END_TEST

START_TEST(not_modified_is_free)
{
	char etag[80];
	struct answer a = as(A_KEY, "/v1/jobs");

	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	answer_done(&a);
	for (int i = 0; i < 20; i++) {
		a = request(&w, "GET", "/v1/jobs", H("Authorization", A_KEY, "If-None-Match", etag), NULL, 0);
		assert_status(&a, 304);
		ck_assert_str_eq(header(&a, "RateLimit"), "\"default\";r=5;t=10");
		answer_done(&a);
	}
}
END_TEST

/* One key of an owner's leaves something to the others. */
START_TEST(a_key_has_a_bucket_of_its_own)
{
	static const char policies[] = "\"default\";q=6;w=60, \"key\";q=3;w=60";
	char etag[80];
	struct answer a;

	api_free(w.api);
	w.opt.limits.max_requests[API_RATE_KEY] = 3;
	world_start(&w);
	a = as(A_KEY, "/v1/keys/self");
	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "RateLimit-Policy"), policies);
	ck_assert_str_eq(header(&a, "RateLimit"), "\"key\";r=2;t=20");
	ck_assert_ptr_nonnull(strstr(a.body, "\"requests\":{\"max\":6,\"window_seconds\":60},\"key_requests\":{\"max\":3,\"window_seconds\":60}}"));
	answer_done(&a);
	a = as(A_KEY, "/v1/jobs");
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	answer_done(&a);
	for (int i = 0; i < 10; i++) { /* free of both */
		a = request(&w, "GET", "/v1/jobs", H("Authorization", A_KEY, "If-None-Match", etag), NULL, 0);
		assert_status(&a, 304);
		ck_assert_str_eq(header(&a, "RateLimit"), "\"key\";r=1;t=40");
		answer_done(&a);
	}
	a = as(A_KEY, "/v1/jobs");
	ck_assert_str_eq(header(&a, "RateLimit"), "\"key\";r=0;t=60");
	answer_done(&a);
	for (int i = 0; i < 10; i++) { /* what is refused to a key costs its owner nothing */
		a = as(A_KEY, "/v1/jobs");
		assert_problem(&a, 429, "quota_exceeded");
		ck_assert_ptr_nonnull(strstr(a.body, "the API key \\\"a\\\" may make 3 requests"));
		ck_assert_str_eq(header(&a, "Retry-After"), "20");
		ck_assert_str_eq(header(&a, "RateLimit"), "\"key\";r=0;t=60");
		ck_assert_str_eq(header(&a, "RateLimit-Policy"), policies);
		answer_done(&a);
	}
	for (int i = 2; i >= 0; i--) { /* as many are left to both by then */
		a = as(A2_KEY, "/v1/jobs");
		assert_status(&a, 200);
		ck_assert_int_eq(header(&a, "RateLimit")[12] - '0', i);
		answer_done(&a);
	}
	w.now_ms += 20000; /* one more for this key, and two for the owner */
	a = as(A_KEY, "/v1/jobs");
	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "RateLimit"), "\"key\";r=0;t=60");
	answer_done(&a);
	a = as(A2_KEY, "/v1/jobs");
	assert_status(&a, 200);
	answer_done(&a);
	w.now_ms += 9999;
	a = as(B_KEY, "/v1/jobs"); /* of another owner */
	ck_assert_str_eq(header(&a, "RateLimit"), "\"key\";r=2;t=20");
	answer_done(&a);
	w.now_ms += 10001; /* again one for the key: the owner's is not the narrow place */
	a = as(A_KEY, "/v1/jobs");
	assert_status(&a, 200);
	answer_done(&a);
}
END_TEST

/* The owner's bucket is empty: what it refuses costs the key nothing. */
START_TEST(an_owners_refusal_costs_the_key_nothing)
{
	struct answer a;

	api_free(w.api);
	w.opt.limits.max_requests[API_RATE_OWNER] = 2;
	w.opt.limits.max_requests[API_RATE_KEY] = 2;
	world_start(&w);
	for (int i = 0; i < 2; i++) {
		a = as(A2_KEY, "/v1/jobs");
		assert_status(&a, 200);
		answer_done(&a);
	}
	for (int i = 0; i < 5; i++) {
		a = as(A_KEY, "/v1/jobs");
		assert_problem(&a, 429, "quota_exceeded");
		ck_assert_str_eq(header(&a, "RateLimit"), "\"default\";r=0;t=60");
		answer_done(&a);
	}
	w.now_ms += 60000;
	for (int i = 0; i < 2; i++) {
		a = as(A_KEY, "/v1/jobs");
		assert_status(&a, 200);
		answer_done(&a);
	}
}
END_TEST

START_TEST(bytes_and_jobs_run_out)
{
	char model[PARE_ID_MAX], text[200];
	struct answer a;

	api_free(w.api);
	w.opt.limits.max_requests[API_RATE_OWNER] = 0;
	world_start(&w);
	store_set_quota(w.store, &(struct store_quota){.max_bytes = 40, .max_open_jobs = 1});
	a = request(&w, "POST", "/v1/models", H("Authorization", A_KEY), MODEL_BYTES, sizeof MODEL_BYTES - 1);
	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "RateLimit"), ""); /* no limit, no header */
	(void)snprintf(model, sizeof model, "%s", text_at(a.json, "id"));
	answer_done(&a);
	/* what is there already takes no more room; another key, or none, is another model */
	for (int i = 0; i < 3; i++) {
		a = request(&w, "POST", "/v1/models", H("Authorization", B_KEY, "Idempotency-Key", i < 2 ? "m" : "n"), MODEL_BYTES, sizeof MODEL_BYTES - 1);
		if (i < 2)
			assert_status(&a, 201);
		else
			assert_problem(&a, 507, "storage_quota_exceeded");
		ck_assert_str_eq(header(&a, "Idempotency-Replayed"), i == 1 ? "true" : "");
		answer_done(&a);
	}
	w.n_inspected = 1;
	/* by its announced length, and without one when it is whole */
	a = request(&w, "POST", "/v1/models", H("Authorization", A_KEY), MODEL_BYTES, sizeof MODEL_BYTES - 1);
	assert_problem(&a, 507, "storage_quota_exceeded");
	ck_assert(a.reply->close);
	answer_done(&a);
	ck_assert_int_eq(w.n_inspected, 1);
	a = request(&w, "POST", "/v1/models", H("Authorization", A_KEY, "Transfer-Encoding", "chunked"), MODEL_BYTES, sizeof MODEL_BYTES - 1);
	assert_problem(&a, 507, "storage_quota_exceeded");
	answer_done(&a);
	ck_assert_int_eq(world_blobs(&w), 1); /* the bytes of the one that is there */
	(void)snprintf(text, sizeof text, "{\"model\":\"%s\",\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]}}", model);
	for (int i = 0; i < 2; i++) {
		a = request(&w, "POST", "/v1/jobs", H("Authorization", A_KEY, JSON_TYPE), text, strlen(text));
		if (i == 0)
			assert_status(&a, 201);
		else
			assert_problem(&a, 429, "quota_exceeded");
		ck_assert_str_eq(header(&a, "Retry-After"), i == 0 ? "" : "30");
		answer_done(&a);
	}
	a = as(A_KEY, "/v1/keys/self");
	ck_assert_ptr_nonnull(strstr(a.body, "\"quotas\":{\"bytes\":{\"used\":26,\"max\":40},\"open_jobs\":{\"used\":1,\"max\":1},\"requests\":{\"max\":null,\"window_seconds\":null},\"key_requests\":{\"max\":null,\"window_seconds\":null}}"));
	answer_done(&a);
	a = as(A_KEY, "/metrics");
	ck_assert_ptr_nonnull(strstr(a.body, "\npared_quota_refusals_total{quota=\"open\"} 1\n"));
	ck_assert_ptr_nonnull(strstr(a.body, "\npared_quota_refusals_total{quota=\"bytes\"} 3\n"));
	answer_done(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("quotas");
	TCase *t = tcase_create("quotas");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_bucket_fills_as_it_says);
	tcase_add_test(t, requests_run_out_and_come_back);
	tcase_add_test(t, a_refused_upload_is_not_read);
	tcase_add_test(t, not_modified_is_free);
	tcase_add_test(t, a_key_has_a_bucket_of_its_own);
	tcase_add_test(t, an_owners_refusal_costs_the_key_nothing);
	tcase_add_test(t, bytes_and_jobs_run_out);
	suite_add_tcase(s, t);
	return run_suite(s);
}
