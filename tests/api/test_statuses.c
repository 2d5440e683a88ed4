/* The answers that any route may give, tried on every row of the table: a parameter that it does not know, a body that it does not
 * want, no key, a key that may not, too many requests, headers without end, no memory. What is particular to a resource stands in its
 * own tests. Together they are to have seen every status that openapi.yaml documents (tests/support/py/seen.py). */
#include "api/router.h"
#include "api/priv.h"
#include "storage/store_priv.h"
#include "tests/api/harness.h"
#include "tests/support/fail_alloc.h"

#define ALL "Bearer pare_all_0123456789abcdef0123"
#define NONE "Bearer pare_none_0123456789abcdef0123"
#define KEYS "pare_all_0123456789abcdef0123 scopes=models:rw,datasets:rw,jobs:rw,webhooks:rw,metrics:r,admin\n" \
	"pare_none_0123456789abcdef0123 owner=other scopes=metrics:r\n"
#define TARGET_MAX 256

static struct world w;

static void start(int64_t n_requests)
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
	w.opt.limits.max_requests[API_RATE_OWNER] = n_requests;
	w.opt.limits.window_seconds = 60;
	world_start(&w);
}

static void setup(void)
{
	start(0);
}

static void teardown(void)
{
	world_done(&w);
}

#define ULID "01JD8Z3M2V9Q4T6R8W0Y2A4C6E"
static const struct {
	const char *prefix, *id;
} id_table[] = {
    {"/v1/models/{id}", "mdl_" ULID},  {"/v1/datasets/{id}", "dst_" ULID}, {"/v1/jobs/", "job_" ULID}, {"/v1/uploads/", "upl_" ULID},
    {"/v1/webhooks/", "whk_" ULID},    {"/v1/keys/", "key_" ULID},         {"/v1/artifacts/", "art_" ULID}, {"/v1/recipes/{id}", "rcp_" ULID},
    {"/v1/blobs/", "sha256:00000000000000000000000000000000000000000000000000000000000000aa"},
};

static const char *id_of(const char *path)
{
	for (size_t i = 0; i < sizeof id_table / sizeof id_table[0]; i++)
		if (strncmp(path, id_table[i].prefix, strlen(id_table[i].prefix)) == 0)
			return id_table[i].id;
	return "nothing";
}

/* Some target of a route: what its parameters mean is not there. */
static void target_of(const struct api_route *r, const char *query, char out[TARGET_MAX])
{
	size_t n = 0;

	for (const char *p = r->path; *p != '\0' && n + 80 < TARGET_MAX;) {
		if (*p != '{') {
			out[n++] = *p++;
			continue;
		}
		n += (size_t)snprintf(out + n, TARGET_MAX - n, "%s", strncmp(p, "{version}", 9) == 0 ? "1" : id_of(r->path));
		p = strchr(p, '}') + 1;
	}
	(void)snprintf(out + n, TARGET_MAX - n, "%s", query);
}

static bool wants_json(const struct api_route *r)
{
	return r->want != API_WANT_NONE && r->want != API_WANT_UPLOAD && r->want != API_WANT_PART;
}

/* Bodies that a route understands, where {} is none. */
static const struct {
	const char *method, *path, *body;
} body_table[] = {
    {"POST", "/v1/jobs", "{\"model\":\"mdl_" ULID "\",\"dataset\":\"dst_" ULID "\",\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1}}]}}"},
    {"POST", "/v1/keys", "{\"scopes\":[\"jobs:r\"]}"},
    {"POST", "/v1/webhooks", "{\"url\":\"https://a.example/\"}"},
    {"POST", "/v1/recipes", "{\"name\":\"mine\",\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1}}]}}"},
    {"PUT", "/v1/recipes/{name}", "{\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1}}]}}"},
    {"PUT", "/v1/models/{name}/aliases/{alias}", "{\"version\":1}"},
};

static const char *body_of(const struct api_route *r)
{
	for (size_t i = 0; i < sizeof body_table / sizeof body_table[0]; i++)
		if (strcmp(r->method, body_table[i].method) == 0 && strcmp(r->path, body_table[i].path) == 0)
			return body_table[i].body;
	return r->want == API_WANT_NONE || r->want == API_WANT_EMPTY ? NULL : "{}";
}

/* A request that is in order but for what the test adds. */
static struct answer ask(const struct api_route *r, const char *query, const char *const *headers)
{
	char target[TARGET_MAX];
	const char *body = body_of(r);

	target_of(r, query, target);
	return request(&w, r->method, target, headers, body, body != NULL ? strlen(body) : 0);
}

/* The same with bytes for what takes an upload. */
static struct answer ask_bytes(const struct api_route *r)
{
	char target[TARGET_MAX];

	target_of(r, "", target);
	if (r->want == API_WANT_PART)
		return request(&w, r->method, target, H("Authorization", ALL, "Tus-Resumable", "1.0.0", "Upload-Length", "5", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream"), "01234", 5);
	if (r->want == API_WANT_UPLOAD)
		return request(&w, r->method, target, H("Authorization", ALL, "Content-Type", "application/octet-stream"), "01234", 5);
	return ask(r, "", H("Authorization", ALL, JSON_TYPE));
}

static bool is_open(const struct api_route *r)
{
	return r->scope == API_OPEN;
}

START_TEST(unknown_parameters)
{
	const struct api_route *r = &api_route_table[_i];
	struct answer a = ask(r, "?no_such_thing=1", H("Authorization", ALL, JSON_TYPE));

	assert_problem(&a, 400, "bad_request");
	answer_done(&a);
}
END_TEST

START_TEST(endless_headers)
{
	const struct api_route *r = &api_route_table[_i];
	const char *headers[2 * 150 + 3] = {"Authorization", ALL};
	struct answer a;

	for (size_t i = 1; i < 150; i++) {
		headers[2 * i] = "X-More";
		headers[2 * i + 1] = "1";
	}
	a = ask(r, "", headers);
	assert_problem(&a, 431, "headers_too_large");
	answer_done(&a);
}
END_TEST

START_TEST(keys_that_may_not)
{
	const struct api_route *r = &api_route_table[_i];
	struct answer a = ask(r, "", H(JSON_TYPE));

	if (is_open(r)) {
		ck_assert_int_ne(a.status, 401);
		answer_done(&a);
		return;
	}
	assert_problem(&a, 401, "unauthorized");
	answer_done(&a);
	a = ask(r, "", H("Authorization", NONE, JSON_TYPE));
	if (r->scope != API_KEY && r->scope != API_METRICS_READ)
		assert_problem(&a, 403, "forbidden");
	answer_done(&a);
}
END_TEST

START_TEST(bodies_of_another_kind)
{
	const struct api_route *r = &api_route_table[_i];
	char target[TARGET_MAX], *large;
	struct answer a;
	size_t n = (size_t)w.opt.limits.max_json_bytes + 1;

	target_of(r, "", target);
	if (r->want == API_WANT_NONE) {
		a = request(&w, r->method, target, H("Authorization", ALL), "x", 1);
		assert_problem(&a, 400, "bad_request");
		answer_done(&a);
	}
	if (!wants_json(r))
		return;
	a = request(&w, r->method, target, H("Authorization", ALL, "Content-Type", "text/xml"), "<a/>", 4);
	assert_problem(&a, 415, "unsupported_media_type");
	answer_done(&a);
	large = calloc(1, n);
	ck_assert_ptr_nonnull(large);
	a = request(&w, r->method, target, H("Authorization", ALL, JSON_TYPE), large, n);
	assert_problem(&a, 413, "too_large");
	answer_done(&a);
	a = request(&w, r->method, target, H("Authorization", ALL, JSON_TYPE), "{", 1);
	ck_assert_msg(a.status == 400 || (a.status == 404 && r->want != API_WANT_EMPTY), "status %d: %s", a.status, a.body); /* some look first at what the path names */
	answer_done(&a);
	if (r->want == API_WANT_EMPTY) { /* a member that is passed over was meant: {"overlap_seconds":0} */
		a = request(&w, r->method, target, H("Authorization", ALL, JSON_TYPE), "{\"no_such_thing\":0}", 19);
		assert_problem(&a, 422, "validation_failed");
		answer_done(&a);
	}
	free(large);
}
END_TEST

START_TEST(too_many_requests)
{
	const struct api_route *r = &api_route_table[_i];
	struct answer a;

	if (is_open(r))
		return;
	teardown();
	start(1);
	a = ask(r, "", H("Authorization", ALL, JSON_TYPE));
	answer_done(&a);
	a = ask(r, "", H("Authorization", ALL, JSON_TYPE));
	assert_problem(&a, 429, "quota_exceeded");
	ck_assert_str_ne(header(&a, "Retry-After"), "");
	answer_done(&a);
}
END_TEST

/* Whichever allocation fails first, the answer is a problem that says to come again. */
START_TEST(no_memory)
{
	const struct api_route *r = &api_route_table[_i];
	int seen = 0;

	for (long nth = 1; nth <= 3; nth++) {
		struct answer a;
		char target[TARGET_MAX];
		const char *body = r->want == API_WANT_NONE || r->want == API_WANT_EMPTY ? NULL : "{}";
		struct api_exchange *x;

		target_of(r, "", target);
		fail_alloc_install(nth);
		x = exchange(&w, r->method, target, H("Authorization", ALL, JSON_TYPE), body, body != NULL ? 2 : 0);
		fail_alloc_remove();
		a = answer_of(x);
		note_seen(r->method, target, a.status);
		seen += a.status == 503;
		answer_done(&a);
	}
	ck_assert_int_gt(seen, 0);
}
END_TEST

static enum pare_code no_transaction(struct store *s, bool write, struct store_tx **out, struct pare_err *err)
{
	(void)s, (void)write, (void)out;
	return pare_err_set(err, PARE_E_STORE, NULL, "disk I/O error");
}

/* A database that cannot be read: 500 for whoever needs it. */
START_TEST(store_fails)
{
	const struct api_route *r = &api_route_table[_i];
	const struct store_ops *good = w.store->ops;
	struct store_ops bad = *good;
	struct answer a;

	bad.begin = no_transaction;
	w.store->ops = &bad;
	a = ask_bytes(r);
	w.store->ops = good;
	if (a.status >= 500 && strstr(r->path, "ready") == NULL && strcmp(r->path, "/healthz") != 0) /* those are asked whether it works */
		assert_problem(&a, 500, "store_error");
	answer_done(&a);
}
END_TEST

/* A disk that is full up to what is kept free. */
START_TEST(store_full)
{
	const struct api_route *r = &api_route_table[_i];
	struct answer a;

	api_free(w.api);
	w.opt.limits.min_free_bytes = INT64_MAX;
	world_start(&w);
	a = ask_bytes(r);
	if (r->new_work)
		assert_problem(&a, 507, "store_full");
	else
		ck_assert_int_ne(a.status, 507);
	answer_done(&a);
}
END_TEST

/* An engine that takes too long, and a body that is too large for an upload. */
START_TEST(engines_and_uploads)
{
	const struct api_route *r = &api_route_table[_i];
	char target[TARGET_MAX], *large;
	struct answer a;

	if (r->want != API_WANT_UPLOAD)
		return;
	target_of(r, "", target);
	w.engine_code = PARE_E_TIMEOUT;
	a = ask_bytes(r);
	assert_problem(&a, 504, "timeout");
	answer_done(&a);
	large = calloc(1, (size_t)w.opt.limits.max_upload_bytes + 1);
	ck_assert_ptr_nonnull(large);
	a = request(&w, r->method, target, H("Authorization", ALL, "Content-Type", "application/octet-stream"), large, (size_t)w.opt.limits.max_upload_bytes + 1);
	assert_problem(&a, 413, "too_large");
	answer_done(&a);
	free(large);
}
END_TEST

/* --- of one resource alone */

static char model[PARE_ID_MAX], dataset[PARE_ID_MAX], hook[PARE_ID_MAX];

static void populate(void)
{
	struct answer a;

	world_init(&w);
	w.opt.backup_dir = w.dir;
	world_start(&w);
	make_model(&w, model);
	make_dataset(&w, dataset);
	a = post_json(&w, "/v1/webhooks", "{\"url\":\"https://a.example/\"}");
	assert_status(&a, 201);
	(void)snprintf(hook, sizeof hook, "%s", text_at(a.json, "id"));
	answer_done(&a);
}

static void told(const char *method, const char *path, const char *id, const char *rest, const char *const *headers, const char *body, int status)
{
	char target[TARGET_MAX];
	struct answer a;

	(void)snprintf(target, sizeof target, "%s%s%s", path, id, rest);
	a = request(&w, method, target, headers, body, body != NULL ? strlen(body) : 0);
	ck_assert_msg(a.status == status, "%s %s: status %d, wanted %d: %s", method, target, a.status, status, a.body);
	answer_done(&a);
}

START_TEST(datasets)
{
	char text[512];

	told("DELETE", "/v1/datasets/", dataset, "", H("If-Match", "\"other\""), NULL, 412);
	told("PATCH", "/v1/datasets/", dataset, "", H(JSON_TYPE, "If-Match", "\"other\""), "{\"name\":\"b\"}", 412);
	told("PATCH", "/v1/datasets/", dataset, "", H(JSON_TYPE), "{\"name\":1}", 422);
	(void)snprintf(text, sizeof text, "{\"model\":\"%s\",\"dataset\":\"%s\",\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]}}", model, dataset);
	told("POST", "/v1/jobs", "", "", H(JSON_TYPE), text, 201);
	told("DELETE", "/v1/datasets/", dataset, "", NULL, NULL, 409);
	w.engine_code = PARE_E_TIMEOUT;
	told("GET", "/v1/datasets/", dataset, "/sample", NULL, NULL, 504);
	told("POST", "/v1/models/", model, "/validate", NULL, "", 504);
}
END_TEST

START_TEST(retries)
{
	char text[512];
	struct answer a;

	(void)snprintf(text, sizeof text, "{\"model\":\"%s\",\"dataset\":\"%s\",\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]}}", model, dataset);
	a = request(&w, "POST", "/v1/jobs", H(JSON_TYPE, "Idempotency-Key", "once"), text, strlen(text));
	assert_status(&a, 201);
	finish_job(&w);
	told("POST", "/v1/jobs/", text_at(a.json, "id"), "/retry", H("Idempotency-Key", "once"), "", 422);
	answer_done(&a);
}
END_TEST

START_TEST(uploads)
{
	struct answer a = request(&w, "POST", "/v1/uploads", H("Tus-Resumable", "1.0.0", "Upload-Length", "5"), NULL, 0);
	char id[PARE_ID_MAX];

	assert_status(&a, 201);
	(void)snprintf(id, sizeof id, "%s", strstr(header(&a, "Location"), "upl_"));
	answer_done(&a);
	told("PATCH", "/v1/uploads/", id, "", H("Tus-Resumable", "0.2.2", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream"), "01234", 412);
	told("HEAD", "/v1/uploads/", id, "", H("Tus-Resumable", "0.2.2"), NULL, 412);
	told("DELETE", "/v1/uploads/", id, "", H("Tus-Resumable", "0.2.2"), NULL, 412);
	told("GET", "/v1/uploads/", id, "", H("Tus-Resumable", "1.0.0"), NULL, 200);
	told("POST", "/v1/uploads", "", "",
	    H("Tus-Resumable", "1.0.0", "Upload-Length", "5", "Content-Type", "application/offset+octet-stream", "Upload-Checksum", "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="), "01234", 460);
}
END_TEST

/* Nothing is done to a thing that is not what the client believes it to be, by whichever route it would be changed. */
static struct {
	const char *prefix, *body; /* of its routes, and what changes it */
	char id[PARE_ID_MAX];
} thing_table[] = {
    {"/v1/models/{name}/aliases/", "{\"version\":1}", "lenet"},
    {"/v1/models/", "{\"name\":\"b\"}", ""},
    {"/v1/datasets/", "{\"name\":\"b\"}", ""},
    {"/v1/webhooks/", "{\"enabled\":false}", ""},
    {"/v1/jobs/", "{\"name\":\"b\"}", ""},
    {"/v1/artifacts/", NULL, ""},
    {"/v1/recipes/", "{\"recipe\":{\"steps\":[{\"train\":{\"epochs\":2}}]}}", "mine"},
    {"/v1/uploads/", "12345", ""},
};
enum { A_MODEL = 1, A_DATASET, A_WEBHOOK, A_JOB, AN_ARTIFACT, AN_UPLOAD = 7 };

/* What changes nothing, or nothing that has a tag. */
static const char *const tagless[] = {"/v1/keys", "/v1/admin/", "/v1/models/{id}/validate", "/v1/webhooks/{id}/test", "/v1/webhooks/{id}/deliveries/", NULL};

static bool changes_a_thing(const struct api_route *r)
{
	for (const char *const *p = tagless; *p != NULL; p++)
		if (strncmp(r->path, *p, strlen(*p)) == 0)
			return false;
	return strcmp(r->method, "GET") != 0 && strcmp(r->method, "OPTIONS") != 0 && strchr(r->path, '{') != NULL;
}

static void first_id(const char *target, char out[PARE_ID_MAX])
{
	struct answer a = get(&w, target);

	assert_status(&a, 200);
	(void)snprintf(out, PARE_ID_MAX, "%s", text_at(json_array_get(json_object_get(a.json, "data"), 0), "id"));
	answer_done(&a);
}

static void make_things(void)
{
	char path[128];

	told("PUT", "/v1/models/lenet/aliases/champion", "", "", H(JSON_TYPE), "{\"version\":1}", 201);
	told("POST", "/v1/recipes", "", "", H(JSON_TYPE), "{\"name\":\"mine\",\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1}}]}}", 201);
	told("POST", "/v1/uploads", "", "", H("Tus-Resumable", "1.0.0", "Upload-Length", "5"), NULL, 201);
	make_job(&w, thing_table[A_JOB].id);
	finish_job(&w);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s/artifacts", thing_table[A_JOB].id);
	first_id(path, thing_table[AN_ARTIFACT].id);
	first_id("/v1/uploads", thing_table[AN_UPLOAD].id);
	memcpy(thing_table[A_MODEL].id, model, sizeof model);
	memcpy(thing_table[A_DATASET].id, dataset, sizeof dataset);
	memcpy(thing_table[A_WEBHOOK].id, hook, sizeof hook);
}

START_TEST(stale_tags)
{
	make_things();
	for (const struct api_route *r = api_route_table; r->method != NULL; r++) {
		const char *rest = strchr(r->path, '{'), *body = NULL;
		char prefix[64], tail[128];
		size_t i = 0;

		if (!changes_a_thing(r))
			continue;
		while (i < sizeof thing_table / sizeof thing_table[0] && strncmp(r->path, thing_table[i].prefix, strlen(thing_table[i].prefix)) != 0)
			i++;
		ck_assert_msg(i < sizeof thing_table / sizeof thing_table[0], "%s %s: no such thing here", r->method, r->path);
		(void)snprintf(prefix, sizeof prefix, "%.*s", (int)(rest - r->path), r->path);
		(void)snprintf(tail, sizeof tail, "%s", i == 0 ? "/aliases/champion" : strchr(rest, '}') + 1);
		body = r->want == API_WANT_NONE ? NULL : r->want == API_WANT_EMPTY ? "" : thing_table[i].body;
		told(r->method, prefix, thing_table[i].id, tail, H("Content-Type", r->want == API_WANT_PART ? "application/offset+octet-stream" : "application/json", "Tus-Resumable", "1.0.0", "Upload-Offset", "0", "If-Match", "\"stale\""), body, 412);
	}
}
END_TEST

/* Each time the hook is read it has been changed by somebody else. */
static const struct store_ops *real_ops;
static int64_t n_changes;

static enum pare_code load_changed(struct store_tx *tx, const char *owner, const char *id, struct store_hook *out, struct pare_err *err)
{
	enum pare_code code = real_ops->hook_load(tx, owner, id, out, err);

	if (code == PARE_OK)
		out->revision += n_changes++;
	return code;
}

START_TEST(hooks)
{
	struct store_ops changing = *w.store->ops;
	char delivery[PARE_ID_MAX], rest[128];
	struct answer a;

	told("POST", "/v1/webhooks/", hook, "/rotate-secret", H("If-Match", "\"other\""), "", 412);
	real_ops = w.store->ops;
	changing.hook_load = load_changed;
	w.store->ops = &changing;
	told("PATCH", "/v1/webhooks/", hook, "", H(JSON_TYPE), "{\"description\":\"b\"}", 409);
	told("POST", "/v1/webhooks/", hook, "/rotate-secret", NULL, "", 409);
	w.store->ops = real_ops;
	told("POST", "/v1/webhooks/", hook, "/test", NULL, "", 202);
	(void)snprintf(rest, sizeof rest, "/v1/webhooks/%s/deliveries", hook);
	a = get(&w, rest);
	assert_status(&a, 200);
	told("GET", rest, "", "", H("If-None-Match", header(&a, "ETag")), NULL, 304);
	(void)snprintf(delivery, sizeof delivery, "%s", text_at(json_array_get(json_object_get(a.json, "data"), 0), "id"));
	answer_done(&a);
	told("PATCH", "/v1/webhooks/", hook, "", H(JSON_TYPE), "{\"enabled\":false}", 200);
	(void)snprintf(rest, sizeof rest, "/deliveries/%s/redeliver", delivery);
	told("POST", "/v1/webhooks/", hook, rest, NULL, "", 409);
}
END_TEST

START_TEST(upkeep)
{
	ck_assert(!atomic_flag_test_and_set(&w.api->upkeep));
	told("POST", "/v1/admin/gc", "", "", NULL, "", 409);
	told("POST", "/v1/admin/backup", "", "", NULL, "", 409);
	atomic_flag_clear(&w.api->upkeep);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("statuses");
	TCase *t = tcase_create("every route"), *own = tcase_create("one resource");
	int n = (int)api_route_count();

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, unknown_parameters, 0, n);
	tcase_add_loop_test(t, endless_headers, 0, n);
	tcase_add_loop_test(t, keys_that_may_not, 0, n);
	tcase_add_loop_test(t, bodies_of_another_kind, 0, n);
	tcase_add_loop_test(t, too_many_requests, 0, n);
	tcase_add_loop_test(t, no_memory, 0, n);
	tcase_add_loop_test(t, store_fails, 0, n);
	tcase_add_loop_test(t, store_full, 0, n);
	tcase_add_loop_test(t, engines_and_uploads, 0, n);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(own, populate, teardown);
	tcase_add_test(own, datasets);
	tcase_add_test(own, retries);
	tcase_add_test(own, uploads);
	tcase_add_test(own, stale_tags);
	tcase_add_test(own, hooks);
	tcase_add_test(own, upkeep);
	suite_add_tcase(s, own);
	return run_suite(s);
}
