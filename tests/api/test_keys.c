/* Keys that are made over HTTP: what they open, for whom, until when, and that their secrets are nowhere. */
#include <pthread.h>

#include "storage/keys.h"
#include "tests/api/harness.h"

#define ADMIN "Bearer pare_root_0123456789abcdef0123"
#define USER "Bearer pare_user_0123456789abcdef0123"
#define KEYS "pare_root_0123456789abcdef0123 scopes=admin\npare_user_0123456789abcdef0123\n"

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
	world_start(&w);
}

static void teardown(void)
{
	world_done(&w);
}

static void restart(void)
{
	api_free(w.api);
	w.api = NULL;
	world_start(&w);
}

static struct answer as(const char *key, const char *method, const char *target, const char *body)
{
	return request(&w, method, target, body != NULL ? H("Authorization", key, JSON_TYPE) : H("Authorization", key), body, body != NULL ? strlen(body) : 0);
}

/* Makes one; bearer is what its holder sends. */
static void make_key(const char *body, char id[PARE_ID_MAX], char bearer[128])
{
	struct answer a = as(ADMIN, "POST", "/v1/keys", body);

	assert_status(&a, 201);
	(void)snprintf(id, PARE_ID_MAX, "%s", text_at(a.json, "id"));
	(void)snprintf(bearer, 128, "Bearer %s", text_at(a.json, "secret"));
	ck_assert(pare_id_check(id, "key"));
	ck_assert_str_eq(header(&a, "Cache-Control"), "no-store");
	ck_assert_ptr_nonnull(strstr(header(&a, "Location"), id));
	answer_done(&a);
}

static int status(const char *key, const char *method, const char *target)
{
	struct answer a = as(key, method, target, NULL);
	int s = a.status;

	answer_done(&a);
	return s;
}

static void assert_refused(const char *key, const char *code)
{
	struct answer a = as(key, "GET", "/v1/jobs", NULL);

	assert_problem(&a, 401, code);
	ck_assert_ptr_nonnull(strstr(header(&a, "WWW-Authenticate"), "invalid_token"));
	answer_done(&a);
}

START_TEST(a_key_opens_what_it_says)
{
	char id[PARE_ID_MAX], bearer[128], target[80];
	struct answer a;

	make_key("{\"name\":\"ci\",\"owner\":\"acme\",\"scopes\":[\"jobs:r\",\"models:rw\"]}", id, bearer);
	a = as(bearer, "GET", "/v1/keys/self", NULL);
	assert_status(&a, 200);
	ck_assert_str_eq(text_at(a.json, "id"), id);
	ck_assert_str_eq(text_at(a.json, "owner"), "acme");
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "scopes")), 3);
	answer_done(&a);
	ck_assert_int_eq(status(bearer, "GET", "/v1/jobs"), 200);
	ck_assert_int_eq(status(bearer, "GET", "/v1/datasets"), 403);
	ck_assert_int_eq(status(bearer, "GET", "/v1/keys"), 403);
	a = request(&w, "POST", "/v1/models", H("Authorization", bearer), MODEL_BYTES, sizeof MODEL_BYTES - 1);
	assert_status(&a, 201);
	(void)snprintf(target, sizeof target, "/v1/models/%s", text_at(a.json, "id"));
	answer_done(&a);
	ck_assert_int_eq(status(bearer, "GET", target), 200);
	ck_assert_int_eq(status(USER, "GET", target), 404); /* of another owner */
	restart();
	ck_assert_int_eq(status(bearer, "GET", target), 200);
	/* one character less, more, or other */
	bearer[strlen(bearer) - 1] ^= 1;
	assert_refused(bearer, "unauthorized");
	bearer[strlen(bearer) - 1] = '\0';
	assert_refused(bearer, "unauthorized");
}
END_TEST

/* Sent again, the request tells which key there is and not its secret; it opens nothing new, and can be revoked. */
START_TEST(a_lost_answer_is_found_again)
{
	static const char body[] = "{\"name\":\"ci\",\"owner\":\"acme\",\"scopes\":[\"jobs:r\"]}", other[] = "{\"name\":\"ci\",\"owner\":\"beta\",\"scopes\":[\"jobs:r\"]}";
	const char *const *headers = H("Authorization", ADMIN, JSON_TYPE, "Idempotency-Key", "\"lost\"");
	char id[PARE_ID_MAX], bearer[128], location[128];
	struct answer a;

	a = request(&w, "POST", "/v1/keys", headers, body, strlen(body));
	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "Idempotency-Replayed"), "");
	(void)snprintf(id, sizeof id, "%s", text_at(a.json, "id"));
	(void)snprintf(bearer, sizeof bearer, "Bearer %s", text_at(a.json, "secret"));
	(void)snprintf(location, sizeof location, "%s", header(&a, "Location"));
	answer_done(&a);
	a = request(&w, "POST", "/v1/keys", headers, body, strlen(body));
	assert_status(&a, 201);
	ck_assert_str_eq(header(&a, "Idempotency-Replayed"), "true");
	ck_assert_str_eq(header(&a, "Location"), location);
	ck_assert_str_eq(header(&a, "Cache-Control"), "no-store");
	ck_assert_str_eq(text_at(a.json, "id"), id);
	ck_assert_ptr_null(json_object_get(a.json, "secret"));
	answer_done(&a);
	a = request(&w, "POST", "/v1/keys", headers, other, strlen(other));
	assert_problem(&a, 422, "idempotency_key_reused");
	answer_done(&a);
	a = as(ADMIN, "GET", "/v1/keys", NULL);
	ck_assert_int_eq((int)json_array_size(json_object_get(a.json, "data")), 1);
	answer_done(&a);
	ck_assert_int_eq(status(bearer, "GET", "/v1/jobs"), 200); /* the first answer's secret still opens */
	ck_assert_int_eq(status(ADMIN, "DELETE", location), 204);
	ck_assert_int_eq(status(bearer, "GET", "/v1/jobs"), 401);
	a = request(&w, "POST", "/v1/keys", headers, body, strlen(body)); /* told as it is now */
	assert_status(&a, 201);
	ck_assert_str_eq(text_at(a.json, "id"), id);
	ck_assert_ptr_nonnull(text_at(a.json, "revoked_at"));
	answer_done(&a);
}
END_TEST

START_TEST(revoked_and_expired_say_so)
{
	char id[PARE_ID_MAX], bearer[128], other[128], target[64];
	struct answer a;

	make_key("{\"scopes\":[\"jobs:r\"],\"expires_at\":\"2026-11-22T01:22:13.000Z\"}", id, bearer);
	ck_assert_int_eq(status(bearer, "GET", "/v1/jobs"), 200);
	w.now_ms += 9999;
	ck_assert_int_eq(status(bearer, "GET", "/v1/jobs"), 200);
	w.now_ms += 1;
	assert_refused(bearer, "key_expired");
	make_key("{\"scopes\":[\"jobs:r\"]}", id, other);
	(void)snprintf(target, sizeof target, "/v1/keys/%s", id);
	ck_assert_int_eq(status(USER, "DELETE", target), 403);
	ck_assert_int_eq(status(other, "GET", "/v1/jobs"), 200);
	ck_assert_int_eq(status(ADMIN, "DELETE", target), 204);
	assert_refused(other, "key_revoked");
	ck_assert_int_eq(status(ADMIN, "DELETE", target), 204);
	restart();
	assert_refused(other, "key_revoked");
	a = as(ADMIN, "GET", target, NULL);
	ck_assert_str_eq(text_at(a.json, "revoked_at"), "2026-11-22T01:22:13.000Z");
	answer_done(&a);
	/* who has not the whole key is not told that it was one */
	other[strlen(other) - 1] ^= 1;
	assert_refused(other, "unauthorized");
	/* after 30 days it is forgotten */
	w.now_ms += STORE_KEY_KEPT_MS;
	make_key("{\"scopes\":[\"jobs:r\"]}", id, bearer);
	ck_assert_int_eq(status(ADMIN, "GET", target), 404);
}
END_TEST

START_TEST(lists_and_last_use)
{
	char ids[3][PARE_ID_MAX], bearer[3][128], target[64];
	struct answer a;

	for (int i = 0; i < 3; i++) {
		w.now_ms++;
		make_key("{\"scopes\":[\"jobs:r\"]}", ids[i], bearer[i]);
	}
	w.now_ms += 5000;
	ck_assert_int_eq(status(bearer[1], "GET", "/v1/jobs"), 200);
	a = as(ADMIN, "GET", "/v1/keys?limit=2", NULL);
	assert_status(&a, 200);
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 2);
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "data"), 0), "id"), ids[2]);
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "data"), 0), "last_used_at"), "");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "data"), 1), "last_used_at"), "2026-11-22T01:22:08.003Z");
	for (int i = 0; i < 3; i++)
		ck_assert_ptr_null(strstr(a.body, bearer[i] + 40)); /* the end of its secret */
	ck_assert_ptr_nonnull(strstr(header(&a, "Link"), ids[1]));
	answer_done(&a);
	/* written down by the housekeeping, and not before */
	(void)snprintf(target, sizeof target, "/v1/keys/%s", ids[1]);
	restart();
	a = as(ADMIN, "GET", target, NULL);
	ck_assert_str_eq(text_at(a.json, "last_used_at"), "");
	answer_done(&a);
	ck_assert_int_eq(status(bearer[1], "GET", "/v1/jobs"), 200);
	ck_assert_int_eq(api_housekeep(w.api, NULL), PARE_OK);
	restart();
	a = as(ADMIN, "GET", target, NULL);
	ck_assert_str_eq(text_at(a.json, "last_used_at"), "2026-11-22T01:22:08.003Z");
	answer_done(&a);
	/* a use that was not written down yet survives that another key is made */
	w.now_ms += 1000;
	ck_assert_int_eq(status(bearer[1], "GET", "/v1/jobs"), 200);
	make_key("{\"scopes\":[\"jobs:r\"]}", ids[0], bearer[0]);
	a = as(ADMIN, "GET", target, NULL);
	ck_assert_str_eq(text_at(a.json, "last_used_at"), "2026-11-22T01:22:09.003Z");
	answer_done(&a);
}
END_TEST

static const struct {
	const char *body, *pointer;
} wrong_table[] = {
    {"{}", "/scopes"},
    {"{\"scopes\":[]}", "/scopes"},
    {"{\"scopes\":\"jobs:r\"}", "/scopes"},
    {"{\"scopes\":[\"jobs:r\",\"jobs\"]}", "/scopes/1"},
    {"{\"scopes\":[\"jobs:r,models:r\"]}", "/scopes/0"},
    {"{\"scopes\":[\"jobs:rw\",\"models:r\",\"jobs:rw\"]}", "/scopes/2"},
    {"{\"scopes\":[\"jobs:r\"],\"owner\":\"\"}", "/owner"},
    {"{\"scopes\":[\"jobs:r\"],\"owner\":\"a/b\"}", "/owner"},
    {"{\"scopes\":[\"jobs:r\"],\"owner\":\"a\\u0000b\"}", NULL},
    {"{\"scopes\":[\"jobs:r\"],\"owner\":7}", "/owner"},
    {"{\"scopes\":[\"jobs:r\"],\"name\":\"a\\nb\"}", "/name"},
    {"{\"scopes\":[\"jobs:r\"],\"expires_at\":\"2020-01-01\"}", "/expires_at"},
    {"{\"scopes\":[\"jobs:r\"],\"expires_at\":\"tomorrow\"}", "/expires_at"},
    {"{\"scopes\":[\"jobs:r\"],\"scope\":1}", "/scope"},
};

START_TEST(what_is_wrong_is_pointed_at)
{
	struct answer a = as(ADMIN, "POST", "/v1/keys", wrong_table[_i].body);

	ck_assert_int_ge(a.status, 400);
	ck_assert_int_lt(a.status, 500);
	if (wrong_table[_i].pointer != NULL) {
		assert_problem(&a, 422, "validation_failed");
		ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), wrong_table[_i].pointer);
	}
	answer_done(&a);
	a = as(ADMIN, "GET", "/v1/keys", NULL);
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 0);
	answer_done(&a);
}
END_TEST

START_TEST(admin_has_to_be_named)
{
	struct answer a = as(USER, "GET", "/v1/keys/self", NULL);

	ck_assert_ptr_null(strstr(a.body, "admin")); /* a key without scopes= may do everything else */
	ck_assert_ptr_nonnull(strstr(a.body, "metrics:r"));
	answer_done(&a);
	a = as(USER, "POST", "/v1/keys", "{\"scopes\":[\"admin\"]}");
	assert_problem(&a, 403, "forbidden");
	answer_done(&a);
	/* and without authentication no key is made */
	w.opt.api_key_file = NULL;
	restart();
	a = post_json(&w, "/v1/keys", "{\"scopes\":[\"jobs:r\"]}");
	assert_problem(&a, 409, "conflict");
	answer_done(&a);
}
END_TEST

/* A key goes on to be good, and its uses are not lost, while others are made and revoked. */
static atomic_bool ends;
static atomic_int n_asked, n_wrong;

static void *ask_on(void *arg)
{
	while (!atomic_load(&ends)) {
		struct answer a = as(arg, "GET", "/v1/keys/self", NULL);

		atomic_fetch_add(&n_asked, 1);
		atomic_fetch_add(&n_wrong, a.status != 200);
		answer_done(&a);
	}
	return NULL;
}

START_TEST(lists_change_under_requests)
{
	char id[PARE_ID_MAX], bearer[128], other[PARE_ID_MAX], spare[128], target[64];
	pthread_t threads[3];
	struct answer a;

	make_key("{\"scopes\":[\"jobs:r\"]}", id, bearer);
	atomic_store(&ends, false);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_on, bearer), 0);
	for (int i = 0; i < 50 || atomic_load(&n_asked) < 100; i++) {
		make_key("{\"scopes\":[\"models:r\"]}", other, spare);
		(void)snprintf(target, sizeof target, "/v1/keys/%s", other);
		ck_assert_int_eq(status(ADMIN, "DELETE", target), 204);
		ck_assert_int_eq(api_housekeep(w.api, NULL), PARE_OK);
	}
	atomic_store(&ends, true);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_int_eq(atomic_load(&n_wrong), 0);
	(void)snprintf(target, sizeof target, "/v1/keys/%s", id);
	a = as(ADMIN, "GET", target, NULL);
	ck_assert_str_eq(text_at(a.json, "last_used_at"), "2026-11-22T01:22:03.000Z");
	answer_done(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keys");
	TCase *t = tcase_create("keys");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_key_opens_what_it_says);
	tcase_add_test(t, a_lost_answer_is_found_again);
	tcase_add_test(t, revoked_and_expired_say_so);
	tcase_add_test(t, lists_and_last_use);
	tcase_add_loop_test(t, what_is_wrong_is_pointed_at, 0, (int)(sizeof wrong_table / sizeof *wrong_table));
	tcase_add_test(t, admin_has_to_be_named);
	tcase_add_test(t, lists_change_under_requests);
	suite_add_tcase(s, t);
	return run_suite(s);
}
