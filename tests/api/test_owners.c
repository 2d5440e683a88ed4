/* Two owners, and every route of the table tried with what belongs to the other: the answer must be the one that an unknown id gets, to the byte, made with
 * as many allocations; also for a key with the scope admin. A route with a parameter that no row of resource_table knows fails, so that a new resource cannot be forgotten here. */
#include "api/router.h"
#include "tests/api/harness.h"
#include "tests/support/fail_alloc.h"

#define STRANGER "Bearer pare_beta_0123456789abcdef0123"
#define OWNER "Bearer pare_mine_0123456789abcdef0123"
#define KEYS "pare_beta_0123456789abcdef0123 owner=beta scopes=models:rw,datasets:rw,jobs:rw,webhooks:rw,metrics:r,admin\npare_mine_0123456789abcdef0123\n"

enum belongs { MODEL, DATASET, JOB, UPLOAD, BLOB, WEBHOOK, ARTIFACT, RECIPE, MODEL_NAME, DATASET_NAME, N_OWNED, NOBODY };
static const struct {
	const char *prefix; /* of the route's path */
	enum belongs to;
} resource_table[] = {
    {"/v1/models/{id}", MODEL},
    {"/v1/datasets/{id}", DATASET},
    {"/v1/models/{name}", MODEL_NAME},
    {"/v1/datasets/{name}", DATASET_NAME},
    {"/v1/jobs/{id}", JOB},
    {"/v2/models/{name}", MODEL_NAME},
    {"/v1/uploads/{id}", UPLOAD},
    {"/v1/blobs/{digest}", BLOB},
    {"/v1/webhooks/{id}", WEBHOOK},
    {"/v1/artifacts/{id}", ARTIFACT},
    {"/v1/keys/{id}", NOBODY}, /* of all owners: admins only */
    {"/problems/{code}", NOBODY},
    {"/v1/methods/{name}", NOBODY},
    {"/v1/recipes/{name}", RECIPE},
};
static const char *const unknown_ids[N_OWNED] = {"mdl_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", "dst_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", "job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", "upl_01JD8Z3M2V9Q4T6R8W0Y2A4C6E",
    "sha256:00000000000000000000000000000000000000000000000000000000000000aa", "whk_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", "art_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", "rcp_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", "linen", "airs"};

static struct world w;
#define ID_MAX 80
#define STEPS "{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]}"
#define SAVED(name) "{\"name\":\"" name "\",\"recipe\":" STEPS "}"
#define ALIAS "{\"version\":1}"
static char ids[N_OWNED][ID_MAX];

static bool is_of(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(path, prefix, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static enum belongs owner_of(const struct api_route *r)
{
	for (size_t i = 0; i < sizeof resource_table / sizeof *resource_table; i++)
		if (is_of(r->path, resource_table[i].prefix))
			return resource_table[i].to;
	ck_abort_msg("%s %s: say in resource_table whose it is, and make one for the test", r->method, r->path);
	return NOBODY;
}

/* A finished job with its model and data set, an upload that waits for its bytes and a webhook, of the default owner; then the service is started again with keys for two owners. */
static void setup(void)
{
	static char path[128];
	struct store_artifact artifact;
	char text[512];
	struct answer a;
	FILE *f;

	world_init(&w);
	world_start(&w);
	job_text(&w, text);
	(void)sscanf(text, "{\"model\":\"%39[^\"]\",\"dataset\":\"%39[^\"]\"", ids[MODEL], ids[DATASET]);
	a = post_json(&w, "/v1/jobs", text);
	assert_status(&a, 201);
	(void)snprintf(ids[JOB], ID_MAX, "%s", text_at(a.json, "id"));
	answer_done(&a);
	finish_job(&w);
	ck_assert_int_eq(store_artifact_get((struct store_view){w.store, STORE_DEFAULT_OWNER}, ids[JOB], "model.onnx", &artifact, NULL), PARE_OK);
	(void)snprintf(ids[ARTIFACT], ID_MAX, "%s", artifact.id);
	store_artifact_done(&artifact);
	a = request(&w, "POST", "/v1/uploads", H("Tus-Resumable", "1.0.0", "Upload-Length", "10"), NULL, 0);
	assert_status(&a, 201);
	(void)snprintf(ids[UPLOAD], ID_MAX, "%s", strstr(header(&a, "Location"), "upl_"));
	answer_done(&a);
	(void)snprintf(text, sizeof text, "/v1/models/%s", ids[MODEL]);
	a = get(&w, text);
	(void)snprintf(ids[BLOB], ID_MAX, "sha256:%s", text_at(json_array_get(json_object_get(a.json, "files"), 0), "sha256"));
	answer_done(&a);
	a = post_json(&w, "/v1/webhooks", "{\"url\":\"https://a.example/\"}");
	assert_status(&a, 201);
	(void)snprintf(ids[WEBHOOK], ID_MAX, "%s", text_at(a.json, "id"));
	answer_done(&a);
	a = post_json(&w, "/v1/recipes", SAVED("ours"));
	assert_status(&a, 201);
	(void)snprintf(ids[RECIPE], ID_MAX, "%s", text_at(a.json, "id"));
	answer_done(&a);
	memcpy(ids[MODEL_NAME], "lenet", 6);
	memcpy(ids[DATASET_NAME], "iris", 5);
	a = request(&w, "PUT", "/v1/models/lenet/aliases/champion", H(JSON_TYPE), ALIAS, sizeof ALIAS - 1);
	ck_assert_int_lt(a.status, 300);
	answer_done(&a);
	api_free(w.api);
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

/* The route's path with id for its first parameter and the name of an artifact or an alias for its second. */
static void target_of(const struct api_route *r, const char *id, char out[256])
{
	const char *open = strchr(r->path, '{'), *close = strchr(open, '}'), *second = strchr(close, '{');
	int n = second != NULL ? (int)(second - close - 1) : (int)strlen(close + 1);

	(void)snprintf(out, 256, "%.*s%s%.*s%s", (int)(open - r->path), r->path, id, n, close + 1, second == NULL ? "" : strcmp(second, "{alias}") == 0 ? "champion" : strcmp(second, "{version}") == 0 ? "1" : "model.onnx");
}

static struct answer ask(const struct api_route *r, const char *target, const char *key)
{
	const char *body = r->want == API_WANT_NONE ? NULL : strcmp(r->method, "PUT") != 0 ? "{}" : owner_of(r) == RECIPE ? "{\"recipe\":" STEPS "}" : ALIAS;

	if (r->want == API_WANT_PART)
		return request(&w, r->method, target, H("Authorization", key, "Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream"), "01234", 5);
	return request(&w, r->method, target, body != NULL ? H("Authorization", key, JSON_TYPE) : H("Authorization", key), body, body != NULL ? strlen(body) : 0);
}

/* Everything that a client sees, without the id that was asked for and the request's own. */
static void describe(const struct answer *a, const char *id, char *out, size_t size)
{
	size_t used = (size_t)snprintf(out, size, "%d close=%d\n", a->status, a->reply->close);
	const char *hide[] = {id, api_exchange_request_id(a->x)};

	for (size_t i = 0; i < a->reply->n_headers; i++)
		used += (size_t)snprintf(out + used, size - used, "%s: %s\n", a->reply->headers[i].name, a->reply->headers[i].value);
	used += (size_t)snprintf(out + used, size - used, "%s", a->body);
	ck_assert_uint_lt(used, size);
	for (size_t i = 0; i < 2; i++)
		for (char *p = out; hide[i][0] != '\0' && (p = strstr(p, hide[i])) != NULL; p++)
			memset(p, '#', strlen(hide[i]));
}

START_TEST(a_foreign_id_answers_as_an_unknown_one)
{
	int n_tried = 0;

	for (const struct api_route *r = api_route_table; r->method != NULL; r++) {
		enum belongs to = strchr(r->path, '{') != NULL ? owner_of(r) : NOBODY;
		char text[2][8192];
		long n_allocations[2];

		for (int unknown = 0; unknown < 2 && to < N_OWNED; unknown++) {
			const char *id = unknown ? unknown_ids[to] : ids[to];
			char target[256];
			struct answer a;

			target_of(r, id, target);
			fail_alloc_install(0);
			a = ask(r, target, STRANGER);
			n_allocations[unknown] = fail_alloc_count();
			describe(&a, id, text[unknown], sizeof text[0]);
			ck_assert_msg(a.status == 404 || strcmp(r->method, "OPTIONS") == 0 || (a.status == 422 && strcmp(r->method, "PUT") == 0), "%s %s: %s", r->method, target, text[unknown]);
			answer_done(&a);
			fail_alloc_remove();
			n_tried++;
		}
		if (to >= N_OWNED)
			continue;
		ck_assert_str_eq(text[0], text[1]);
		ck_assert_int_gt(n_allocations[0], 0);
		ck_assert_int_eq(n_allocations[0], n_allocations[1]);
	}
	ck_assert_int_ge(n_tried, 2 * 15);
	/* the same requests find everything when the owner asks, so what was seen above is the owner's doing */
	for (const struct api_route *r = api_route_table; r->method != NULL; r++) {
		char target[256];
		struct answer a;

		if (strcmp(r->method, "GET") != 0 || strchr(r->path, '{') == NULL || owner_of(r) >= N_OWNED)
			continue;
		target_of(r, ids[owner_of(r)], target);
		a = ask(r, target, OWNER);
		ck_assert_msg(a.status == 200, "%s %s: %d", r->method, target, a.status);
		answer_done(&a);
	}
}
END_TEST

/* Names of recipes are each owner's: the same one means another thing, or nothing, and jobs go by it. */
START_TEST(names_of_recipes_do_not_meet)
{
	static const char job[] = "{\"model\":\"%s\",\"recipe\":\"%s\"}";
	char own[PARE_ID_MAX], text[2][4096], body[256];
	struct answer a = request(&w, "POST", "/v1/models", H("Authorization", STRANGER), MODEL_BYTES, sizeof MODEL_BYTES - 1);

	(void)snprintf(own, sizeof own, "%s", text_at(a.json, "id"));
	answer_done(&a);
	for (int unknown = 0; unknown < 2; unknown++) {
		const char *name = unknown ? "none" : "ours";

		(void)snprintf(body, sizeof body, job, own, name);
		a = request(&w, "POST", "/v1/jobs", H("Authorization", STRANGER, JSON_TYPE), body, strlen(body));
		assert_problem(&a, 422, "validation_failed");
		describe(&a, name, text[unknown], sizeof text[0]);
		answer_done(&a);
	}
	ck_assert_str_eq(text[0], text[1]);
	a = request(&w, "POST", "/v1/recipes", H("Authorization", STRANGER, JSON_TYPE), SAVED("ours"), strlen(SAVED("ours")));
	assert_status(&a, 201);
	ck_assert_str_ne(text_at(a.json, "id"), ids[RECIPE]);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "version")), 1);
	answer_done(&a);
}
END_TEST

START_TEST(lists_hold_the_owners_own)
{
	static const struct {
		const char *path;
		enum belongs of;
	} lists[] = {{"/v1/models", MODEL}, {"/v1/datasets", DATASET}, {"/v1/jobs", JOB}, {"/v1/webhooks", WEBHOOK}, {"/v1/uploads", UPLOAD}};
	char target[512];

	for (const struct api_route *r = api_route_table; r->method != NULL; r++) {
		struct answer a;

		if (strcmp(r->method, "GET") != 0 || strchr(r->path, '{') != NULL)
			continue;
		a = ask(r, r->path, STRANGER);
		ck_assert_msg(a.status < 300, "%s: %d", r->path, a.status);
		for (int i = 0; i < MODEL_NAME && a.body != NULL; i++)
			ck_assert_msg(strstr(a.body, ids[i]) == NULL, "%s tells of %s", r->path, ids[i]);
		answer_done(&a);
	}
	for (int i = 0; i < (int)(sizeof lists / sizeof *lists); i++) {
		struct answer a = request(&w, "GET", lists[i].path, H("Authorization", OWNER), NULL, 0);
		const char *id = ids[lists[i].of];

		ck_assert_ptr_nonnull(strstr(a.body, id));
		answer_done(&a);
		/* a cursor of another owner's is a place, not a look */
		(void)snprintf(target, sizeof target, "%s?after=%s", lists[i].path, id);
		a = request(&w, "GET", target, H("Authorization", STRANGER), NULL, 0);
		assert_status(&a, 200);
		ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 0);
		answer_done(&a);
	}
}
END_TEST

static const struct {
	const char *field;
	enum belongs to;
} reference_table[] = {{"model", MODEL}, {"teacher", MODEL}, {"dataset", DATASET}};

/* A job that names another owner's model or data set, queued or asked about. */
START_TEST(a_foreign_reference_answers_as_an_unknown_one)
{
	static const char *const targets[] = {"/v1/jobs", "/v1/jobs?dry_run=true"};
	static const char *const uploads[N_OWNED] = {[MODEL] = "/v1/models", [DATASET] = "/v1/datasets?filename=a.csv"};
	char own[N_OWNED][PARE_ID_MAX], text[2][4096], body[2048];
	enum belongs to = reference_table[_i].to;
	struct answer a;

	for (int i = 0; i < JOB; i++) {
		a = request(&w, "POST", uploads[i], H("Authorization", STRANGER), MODEL_BYTES, sizeof MODEL_BYTES - 1);
		assert_status(&a, 201);
		(void)snprintf(own[i], PARE_ID_MAX, "%s", text_at(a.json, "id"));
		answer_done(&a);
	}
	for (int t = 0; t < 2; t++) {
		for (int unknown = 0; unknown < 2; unknown++) {
			const char *id = unknown ? unknown_ids[to] : ids[to];
			const char *named[3];

			for (int i = 0; i < 3; i++)
				named[i] = i == _i ? id : own[reference_table[i].to];
			(void)snprintf(body, sizeof body, "{\"model\":\"%s\",\"teacher\":\"%s\",\"dataset\":\"%s\",\"recipe\":{\"steps\":[{\"train\":{\"distill\":{\"teacher\":\"model\"}}}]}}", named[0], named[1], named[2]);
			a = request(&w, "POST", targets[t], H("Authorization", STRANGER, JSON_TYPE), body, strlen(body));
			ck_assert_msg(a.status == 422 && strstr(a.body, "not_found") != NULL, "%s", a.body);
			describe(&a, id, text[unknown], sizeof text[0]);
			answer_done(&a);
		}
		ck_assert_str_eq(text[0], text[1]);
	}
	ck_assert_int_eq(w.n_analyzed, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("owners");
	TCase *t = tcase_create("owners");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_foreign_id_answers_as_an_unknown_one);
	tcase_add_test(t, names_of_recipes_do_not_meet);
	tcase_add_test(t, lists_hold_the_owners_own);
	tcase_add_loop_test(t, a_foreign_reference_answers_as_an_unknown_one, 0, (int)(sizeof reference_table / sizeof *reference_table));
	suite_add_tcase(s, t);
	return run_suite(s);
}
