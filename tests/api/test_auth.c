/* Keys: what a file may hold, what a header may hold, and that a stranger reaches nothing but the open routes. */
#include "api/auth.h"
#include "api/router.h"
#include "storage/digest.h"
#include "tests/api/harness.h"

#define GOOD_ID "ci-1"
#define OTHER_ID "ops"
#define GOOD "pare_ci-1_0123456789abcdef0123"
#define OTHER "pare_ops_zzzzzzzzzzzzzzzzzzzz"

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static enum pare_code parse_keys(const char *text)
{
	struct api_keys *k = NULL;
	enum pare_code rc = api_keys_parse(text, strlen(text), &k, NULL);

	if (rc == PARE_OK)
		api_keys_free(k);
	return rc;
}

START_TEST(reads_key_files)
{
	char stored[200], hex[STORE_SHA256_HEX];
	uint8_t hash[STORE_SHA256_BYTES];
	struct api_caller who;
	struct api_keys *k;

	ck_assert(store_sha256_once(GOOD, strlen(GOOD), hash));
	store_hex(hash, sizeof hash, hex);
	(void)snprintf(stored, sizeof stored, "# stored form\r\n\nci-1:%s\n%s  ", hex, OTHER);
	ck_assert_int_eq(api_keys_parse(stored, strlen(stored), &k, NULL), PARE_OK);
	ck_assert_int_eq(api_keys_check(k, NULL, "Bearer " GOOD, 0, &who, NULL), PARE_OK);
	ck_assert_str_eq(who.id, "ci-1");
	ck_assert_int_eq(api_keys_check(k, NULL, "bearer  " OTHER, 0, &who, NULL), PARE_OK);
	ck_assert_str_eq(who.id, "ops");
	api_keys_free(k);
	ck_assert_int_eq(parse_keys(""), PARE_E_INVALID);
	ck_assert_int_eq(parse_keys("# nothing\n\n"), PARE_E_INVALID);
	ck_assert_int_eq(parse_keys("pare_a_short\n"), PARE_E_INVALID);
	ck_assert_int_eq(parse_keys("nonsense\n"), PARE_E_INVALID);
	ck_assert_int_eq(parse_keys("a:0123\n"), PARE_E_INVALID);
	ck_assert_int_eq(parse_keys(GOOD "\n" GOOD "\n"), PARE_E_INVALID);
}
END_TEST

static const struct {
	const char *options; /* behind the key */
	enum pare_code code;
	int64_t expires_ms;
} option_table[] = {
    {"", PARE_OK, 0},
    {" expires=1970-01-02", PARE_OK, 86400000},
    {"\texpires=2027-01-01T00:00:00Z  scopes=jobs:r ", PARE_OK, 1798761600000},
    {" expires=2000-02-29T23:59:59Z", PARE_OK, 951868799000},
    {" expires=2100-02-29", PARE_E_INVALID, 0},
    {" expires=2027-13-01", PARE_E_INVALID, 0},
    {" expires=2027-04-31", PARE_E_INVALID, 0},
    {" expires=2027-1-1", PARE_E_INVALID, 0},
    {" expires=2027-01-01T24:00:00Z", PARE_E_INVALID, 0},
    {" expires=2027-01-01T00:00:00+01", PARE_E_INVALID, 0},
    {" expires=-027-01-01", PARE_E_INVALID, 0},
    {" expires=", PARE_E_INVALID, 0},
    {" scopes=", PARE_E_INVALID, 0},
    {" scopes=jobs", PARE_E_INVALID, 0},
    {" scopes=jobs:r,", PARE_E_INVALID, 0},
    {" scopes=jobs:r,everything:rw", PARE_E_INVALID, 0},
    {" scopes=jobs:r models:r", PARE_E_INVALID, 0},
    {" expires=2027-01-01T00:00:00.500Z", PARE_OK, 1798761600500},
    {" expires=2027-01-01T00:00:00,500Z", PARE_E_INVALID, 0},
    {" owner=acme-2 scopes=jobs:r", PARE_OK, 0},
    {" owner=", PARE_E_INVALID, 0},
    {" owner=a/b", PARE_E_INVALID, 0},
    {" owner=abcdefghijklmnopqrstuvwxyz0123456", PARE_E_INVALID, 0},
    {" tenant=acme", PARE_E_INVALID, 0},
};

START_TEST(reads_what_stands_behind_a_key)
{
	char text[200];
	struct api_caller who;
	struct api_keys *k;
	struct pare_err err;
	enum pare_code rc;

	(void)snprintf(text, sizeof text, "%s%s\n", GOOD, option_table[_i].options);
	rc = api_keys_parse(text, strlen(text), &k, &err);
	ck_assert_msg(rc == option_table[_i].code, "%s", text);
	if (rc != PARE_OK) {
		ck_assert_ptr_nonnull(strstr(err.message, "line 1"));
		ck_assert_ptr_null(strstr(err.message, "0123456789abcdef"));
		return;
	}
	ck_assert_int_eq(api_keys_check(k, NULL, "Bearer " GOOD, option_table[_i].expires_ms - 1, &who, NULL), PARE_OK);
	ck_assert_int_eq(who.expires_ms, option_table[_i].expires_ms);
	if (who.expires_ms != 0)
		ck_assert_int_eq(api_keys_check(k, NULL, "Bearer " GOOD, who.expires_ms, &who, &err), PARE_E_KEY_EXPIRED);
	api_keys_free(k);
}
END_TEST

/* A write scope holds the read scope before it; what takes one of several scopes is opened by each. */
static bool opens(enum api_scope word, enum api_scope route)
{
	const char *name = api_scope_name(word);

	if (route == API_ASSETS_WRITE)
		return word == API_MODELS_WRITE || word == API_DATASETS_WRITE;
	if (route == API_ASSETS_READ)
		return strncmp(name, "models:", 7) == 0 || strncmp(name, "datasets:", 9) == 0;
	return word == route || (word == route + 1 && name[strlen(name) - 1] == 'w');
}

/* The last such word: the one that an order of scopes in a key is most likely to forget. */
static const char *word_that_opens(enum api_scope route)
{
	int s = API_N_SCOPES - 1;

	while (!opens((enum api_scope)s, route))
		s--;
	return api_scope_name((enum api_scope)s);
}

/* A job that brings a webhook, or makes a model, takes the scope for that, too. */
static const struct {
	const char *member, *scope, *keys;
} beside_table[] = {
    {"\"webhook\":{\"url\":\"https://a.example/\"}", "webhooks:rw", GOOD " scopes=jobs:rw,webhooks:rw\n" OTHER " scopes=jobs:rw,webhooks:r\n"},
    {"\"register\":\"mnist@staging\"", "models:rw", GOOD " scopes=jobs:rw,models:rw\n" OTHER " scopes=jobs:rw,models:r\n"},
};
#define N_BESIDE ((int)(sizeof beside_table / sizeof beside_table[0]))

START_TEST(what_a_job_makes_beside_itself_needs_its_own_scope)
{
	struct world w;
	char path[128], text[512], hooked[640];
	struct answer a;

	world_init(&w);
	world_start(&w);
	job_text(&w, text);
	api_free(w.api);
	(void)snprintf(path, sizeof path, "%s/keys", w.dir);
	write_file(path, beside_table[_i].keys);
	w.opt.api_key_file = path;
	world_start(&w);
	(void)snprintf(hooked, sizeof hooked, "%.*s,%s}", (int)strlen(text) - 1, text, beside_table[_i].member);
	a = request(&w, "POST", "/v1/jobs", H("Authorization", "Bearer " OTHER, JSON_TYPE), hooked, strlen(hooked));
	assert_problem(&a, 403, "forbidden");
	ck_assert_ptr_nonnull(strstr(text_at(a.json, "detail"), beside_table[_i].scope));
	answer_done(&a);
	ck_assert_int_eq(w.n_added, 0);
	a = request(&w, "POST", "/v1/jobs", H("Authorization", "Bearer " OTHER, JSON_TYPE), text, strlen(text));
	assert_status(&a, 201);
	answer_done(&a);
	a = request(&w, "POST", "/v1/jobs", H("Authorization", "Bearer " GOOD, JSON_TYPE), hooked, strlen(hooked));
	assert_status(&a, 201);
	answer_done(&a);
	world_done(&w);
}
END_TEST

static struct answer hook_as(struct world *w, const char *key, const char *method, const char *path, const char *text)
{
	return request(w, method, path, H("Authorization", key, JSON_TYPE), text, strlen(text));
}

static void expect_hears(struct world *w, const char *key, const char *type, enum pare_code code, const char *why)
{
	struct pare_err err = {0};

	ck_assert_int_eq(api_hook_may_hear(w->api, key, "default", type, &err), code);
	ck_assert_msg(why == NULL || strstr(err.message, why) != NULL, "%s", err.message);
}

/* An endpoint hears what the key behind it may read: asked for, by default, when somebody else moves it, and when the key changes. */
START_TEST(a_webhook_hears_what_its_key_may_read)
{
	const char *const url = "{\"url\":\"https://a.example/\"}", *const both = "{\"url\":\"https://a.example/\",\"events\":[\"model.ready\",\"job.failed\"]}";
	const char *const few = "Bearer " GOOD, *const all = "Bearer " OTHER;
	struct world w;
	char keys[128], path[128];
	struct answer a;

	world_init(&w);
	(void)snprintf(keys, sizeof keys, "%s/keys", w.dir);
	write_file(keys, GOOD " scopes=webhooks:rw\n" OTHER "\n");
	w.opt.api_key_file = keys;
	world_start(&w);
	a = hook_as(&w, few, "POST", "/v1/webhooks", url);
	assert_problem(&a, 403, "forbidden");
	answer_done(&a);
	a = hook_as(&w, few, "POST", "/v1/webhooks", both);
	assert_problem(&a, 403, "forbidden");
	ck_assert_ptr_nonnull(strstr(text_at(a.json, "detail"), "jobs:r"));
	answer_done(&a);
	a = hook_as(&w, all, "POST", "/v1/webhooks", both);
	assert_status(&a, 201);
	(void)snprintf(path, sizeof path, "/v1/webhooks/%s", text_at(a.json, "id"));
	answer_done(&a);
	/* it may be turned off and be described, and not be led elsewhere or on again */
	for (int i = 0; i < 4; i++) {
		static const char *const texts[] = {"{\"url\":\"https://b.example/\"}", "{\"events\":[\"job.queued\"]}", "{\"enabled\":false,\"description\":\"d\"}", "{\"enabled\":true}"};

		a = hook_as(&w, few, "PATCH", path, texts[i]);
		assert_status(&a, i == 2 ? 200 : 403);
		answer_done(&a);
	}
	a = hook_as(&w, all, "PATCH", path, "{\"enabled\":true}");
	assert_status(&a, 200);
	answer_done(&a);
	/* by default all that may be read, of those that are told by default */
	write_file(keys, GOOD " scopes=webhooks:rw,models:r\n" OTHER "\n");
	ck_assert_int_eq(api_reload_keys(w.api, NULL), PARE_OK);
	a = hook_as(&w, few, "POST", "/v1/webhooks", url);
	assert_status(&a, 201);
	ck_assert_ptr_nonnull(strstr(a.body, "\"events\":[\"model.ready\"]"));
	answer_done(&a);
	expect_hears(&w, GOOD_ID, "model.ready", PARE_OK, NULL);
	expect_hears(&w, GOOD_ID, "webhook.test", PARE_OK, NULL);
	expect_hears(&w, GOOD_ID, "job.failed", PARE_E_FORBIDDEN, "has no scope jobs:r any more");
	expect_hears(&w, "gone", "job.failed", PARE_E_UNAUTHORIZED, "is there no more");
	expect_hears(&w, "", "job.failed", PARE_OK, NULL); /* made before */
	write_file(keys, GOOD " expires=2020-01-01\n" OTHER " owner=acme\n");
	ck_assert_int_eq(api_reload_keys(w.api, NULL), PARE_OK);
	expect_hears(&w, GOOD_ID, "job.failed", PARE_E_KEY_EXPIRED, "has expired");
	expect_hears(&w, OTHER_ID, "job.failed", PARE_E_FORBIDDEN, "another owner's");
	world_done(&w);
}
END_TEST

/* Bytes of a kind that a key does not open stay shut when they are named by their digest, or as what a job has made. */
static const struct {
	const char *scopes;
	int model_blob, dataset_blob, upload_blob, artifact; /* the status: of GET, but of POST /v1/models for the artifact */
} reference_table[] = {
    {"models:r", 200, 404, 404, 403},
    {"datasets:r", 404, 200, 404, 403},
    {"models:rw", 200, 404, 200, 403},
    {"datasets:rw", 404, 200, 200, 403},
    {"models:rw,jobs:r", 200, 404, 200, 201},
};
#define N_REFERENCES ((int)(sizeof reference_table / sizeof reference_table[0]))

static void first_digest(struct world *w, const char *path, char out[128])
{
	struct answer a = get(w, path);

	assert_status(&a, 200);
	(void)snprintf(out, 128, "/v1/blobs/sha256:%s", text_at(json_array_get(json_object_get(a.json, "files"), 0), "sha256"));
	answer_done(&a);
}

static int status_of(struct world *w, const char *method, const char *target, const char *body)
{
	struct answer a = request(w, method, target, H("Authorization", "Bearer " GOOD, JSON_TYPE), body, body != NULL ? strlen(body) : 0);
	int status = a.status;

	answer_done(&a);
	return status;
}

/* A model of the caller's whose external data are a blob that the request names. */
static int status_of_reference(struct world *w, const char *digest)
{
	char text[512];

	(void)snprintf(text, sizeof text, "{\"files\":[{\"path\":\"w.data\",\"blob\":\"%s\"}]}", digest + strlen("/v1/blobs/"));
	return status_of(w, "POST", "/v1/models", text);
}

START_TEST(a_reference_opens_nothing_that_the_key_does_not)
{
	char model[128], dataset[128], upload[128], job[PARE_ID_MAX], path[128], text[256], made[512];
	struct world w;
	struct answer a;

	world_init(&w);
	world_start(&w);
	make_job(&w, job); /* and what it takes */
	finish_job(&w);
	first_digest(&w, "/v1/models/lenet", model);
	first_digest(&w, "/v1/datasets/iris", dataset);
	a = request(&w, "POST", "/v1/uploads", NULL, "bytes", 5);
	(void)snprintf(upload, sizeof upload, "/v1/blobs/sha256:%s", text_at(a.json, "sha256"));
	answer_done(&a);
	api_free(w.api);
	(void)snprintf(path, sizeof path, "%s/keys", w.dir);
	(void)snprintf(text, sizeof text, GOOD " scopes=%s\n", reference_table[_i].scopes);
	write_file(path, text);
	w.opt.api_key_file = path;
	world_start(&w);
	ck_assert_int_eq(status_of(&w, "GET", model, NULL), reference_table[_i].model_blob);
	ck_assert_int_eq(status_of(&w, "GET", dataset, NULL), reference_table[_i].dataset_blob);
	ck_assert_int_eq(status_of(&w, "GET", upload, NULL), reference_table[_i].upload_blob);
	if (strstr(reference_table[_i].scopes, "models:rw") != NULL) {
		(void)snprintf(made, sizeof made, "{\"files\":[{\"path\":\"m.onnx\",\"artifact\":{\"job\":\"%s\",\"name\":\"model.onnx\"}}]}", job);
		ck_assert_int_eq(status_of(&w, "POST", "/v1/models", made), reference_table[_i].artifact);
		ck_assert_int_eq(status_of_reference(&w, model), 201);
		ck_assert_int_eq(status_of_reference(&w, dataset), 422);
	}
	world_done(&w);
}
END_TEST

/* Every route but those for any key, with a key that has its scope alone, and with one that has all others. */
START_TEST(a_scope_opens_its_routes_and_no_others)
{
	struct world w;
	char path[128], target[128];

	world_init(&w);
	(void)snprintf(path, sizeof path, "%s/keys", w.dir);
	w.opt.api_key_file = path;
	for (size_t i = 0; i < api_route_count(); i++) {
		const struct api_route *r = &api_route_table[i];
		char text[400], with[64] = "Bearer " GOOD;
		struct answer a;

		if (r->scope <= API_KEY)
			continue;
		(void)snprintf(text, sizeof text, GOOD " scopes=%s\n" OTHER " scopes=", word_that_opens(r->scope));
		for (int s = API_KEY + 1; s < API_N_SCOPES; s++)
			if (!opens((enum api_scope)s, r->scope))
				(void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", text[strlen(text) - 1] == '=' ? "" : ",", api_scope_name((enum api_scope)s));
		write_file(path, text);
		world_start(&w);
		(void)snprintf(target, sizeof target, "%s", r->path);
		for (char *p = target; (p = strpbrk(p, "{}")) != NULL;)
			*p = 'x';
		a = request(&w, r->method, target, H("Authorization", "Bearer " OTHER), NULL, 0);
		assert_problem(&a, 403, "forbidden");
		answer_done(&a);
		a = request(&w, r->method, target, H("Authorization", with), NULL, 0);
		ck_assert_msg(a.status != 403 && a.status != 401, "%s %s: %d", r->method, target, a.status);
		answer_done(&a);
		api_free(w.api);
		w.api = NULL;
	}
	world_done(&w);
}
END_TEST

START_TEST(a_key_tells_what_it_may)
{
	struct world w;
	char path[128];
	struct answer a;

	world_init(&w);
	(void)snprintf(path, sizeof path, "%s/keys", w.dir);
	write_file(path, GOOD " scopes=jobs:rw,models:r expires=2030-01-01 owner=acme\n");
	w.opt.api_key_file = path;
	world_start(&w);
	a = request(&w, "GET", "/v1/keys/self", H("Authorization", "Bearer " GOOD), NULL, 0);
	assert_status(&a, 200);
	ck_assert_str_eq(text_at(a.json, "id"), "ci-1");
	ck_assert_str_eq(text_at(a.json, "owner"), "acme");
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "scopes")), 3);
	ck_assert_str_eq(text_at(a.json, "expires_at"), "2030-01-01T00:00:00.000Z");
	ck_assert_ptr_null(strstr(a.body, "0123456789abcdef"));
	answer_done(&a);
	world_done(&w);
}
END_TEST

static const char *const wrong[] = {
    NULL, "", "Bearer", "Bearer ", "Basic YTpi", GOOD, "Bearer " GOOD "x", "Bearer pare_ci-1_0123456789abcdef012", "Bearer pare_ci-1_0123456789abcdef0124", "Bearer pare_ci-2_0123456789abcdef0123",
    "Bearer PARE_ci-1_0123456789abcdef0123", "Bearer " GOOD " ", "Bearer pare__0123456789abcdef0123", "Bearer pare_ci-1_", "Bearer pare_", "Bearer pare_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_0123456789abcdef0123"};

START_TEST(refuses_wrong_header)
{
	struct api_keys *k;
	struct pare_err err;
	struct api_caller who;

	ck_assert_int_eq(api_keys_parse(GOOD, strlen(GOOD), &k, NULL), PARE_OK);
	ck_assert_int_eq(api_keys_check(k, NULL, wrong[_i], 0, &who, &err), PARE_E_UNAUTHORIZED);
	if (wrong[_i] != NULL && strlen(wrong[_i]) > 10)
		ck_assert_ptr_null(strstr(err.message, wrong[_i]));
	api_keys_free(k);
}
END_TEST

START_TEST(guards_every_route_but_the_open_ones)
{
	struct world w;
	char path[128], target[128];
	struct answer a;

	world_init(&w);
	(void)snprintf(path, sizeof path, "%s/keys", w.dir);
	write_file(path, GOOD "\n");
	w.opt.api_key_file = path;
	world_start(&w);
	for (const struct api_route *r = api_route_table; r->method != NULL; r++) {
		size_t n = 0;

		for (const char *p = r->path; *p != '\0'; p++) { /* an x for every parameter */
			target[n++] = *p == '{' ? 'x' : *p;
			p += *p == '{' ? strcspn(p, "}") : 0;
		}
		target[n] = '\0';
		a = request(&w, r->method, target, NULL, NULL, 0);
		if (r->scope == API_OPEN)
			ck_assert_int_ne(a.status, 401);
		else
			assert_problem(&a, 401, "unauthorized");
		if (r->scope != API_OPEN)
			ck_assert_int_eq(strncmp(header(&a, "WWW-Authenticate"), "Bearer", 6), 0);
		answer_done(&a);
	}
	a = request(&w, "GET", "/v1/jobs", H("Authorization", "Bearer " GOOD), NULL, 0);
	assert_status(&a, 200);
	answer_done(&a);
	a = request(&w, "GET", "/v1/jobs?api_key=" GOOD, H("Authorization", "Bearer " GOOD), NULL, 0);
	assert_problem(&a, 400, "bad_request");
	ck_assert_ptr_null(strstr(a.body, GOOD));
	answer_done(&a);
	a = request(&w, "POST", "/v1/models", NULL, "0123456789", 10);
	assert_problem(&a, 401, "unauthorized");
	ck_assert(a.reply->close);
	ck_assert_int_eq(w.n_inspected, 0);
	answer_done(&a);
	world_done(&w);
}
END_TEST

START_TEST(reloads_keys_and_keeps_old_ones_on_error)
{
	struct world w;
	struct pare_err err;
	char path[128];

	world_init(&w);
	(void)snprintf(path, sizeof path, "%s/keys", w.dir);
	write_file(path, GOOD "\n");
	w.opt.api_key_file = path;
	world_start(&w);
	write_file(path, "broken\n");
	ck_assert_int_eq(api_reload_keys(w.api, &err), PARE_E_INVALID);
	ck_assert_ptr_nonnull(strstr(err.message, "line 1"));
	refuses(&w, "GET", "/v1/jobs/x", H("Authorization", "Bearer " GOOD), 404, "not_found");
	write_file(path, OTHER "\n");
	ck_assert_int_eq(api_reload_keys(w.api, &err), PARE_OK);
	refuses(&w, "GET", "/v1/jobs/x", H("Authorization", "Bearer " GOOD), 401, "unauthorized");
	refuses(&w, "GET", "/v1/jobs/x", H("Authorization", "Bearer " OTHER), 404, "not_found");
	world_done(&w);
}
END_TEST

START_TEST(refuses_to_start_without_its_keys)
{
	struct world w;
	struct pare_err err;

	world_init(&w);
	w.opt.api_key_file = "/nonexistent/keys";
	ck_assert_int_eq(api_new(&w.opt, &w.api, &err), PARE_E_IO);
	w.api = NULL;
	world_done(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("auth");
	TCase *t = tcase_create("auth");

	tcase_add_test(t, reads_key_files);
	tcase_add_loop_test(t, reads_what_stands_behind_a_key, 0, (int)(sizeof option_table / sizeof option_table[0]));
	tcase_add_test(t, a_key_tells_what_it_may);
	tcase_add_test(t, a_scope_opens_its_routes_and_no_others);
	tcase_add_loop_test(t, a_reference_opens_nothing_that_the_key_does_not, 0, N_REFERENCES);
	tcase_add_test(t, a_webhook_hears_what_its_key_may_read);
	tcase_add_loop_test(t, what_a_job_makes_beside_itself_needs_its_own_scope, 0, N_BESIDE);
	tcase_add_loop_test(t, refuses_wrong_header, 0, (int)(sizeof wrong / sizeof wrong[0]));
	tcase_add_test(t, guards_every_route_but_the_open_ones);
	tcase_add_test(t, reloads_keys_and_keeps_old_ones_on_error);
	tcase_add_test(t, refuses_to_start_without_its_keys);
	suite_add_tcase(s, t);
	return run_suite(s);
}
