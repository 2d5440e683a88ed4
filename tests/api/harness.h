/* A whole api without a socket: memory store, blobs in a temporary directory, an engine that does as it is told, a clock that the test turns.
 * request() plays the server's part of the contract in api/api.h. */
#ifndef TESTS_API_HARNESS_H
#define TESTS_API_HARNESS_H

#include <check.h>
#include <ftw.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "core/base/mem.h"

#define JSON_TYPE "Content-Type", "application/json"
#define MINE(s) ((struct store_view){(s), STORE_DEFAULT_OWNER}) /* the store as its default owner sees it */
#define H(...) ((const char *const[]){__VA_ARGS__, NULL})

struct world {
	struct pare_env env;
	int64_t now_ms;
	atomic_ullong random;
	char dir[64];
	struct store *store;
	struct blob_store *blobs;
	struct api *api;
	struct api_options opt;
	/* the fake engine */
	enum pare_code engine_code; /* not PARE_OK: inspect and build fail with it */
	int n_drains; /* begun less ended */
	int n_inspected, n_analyzed, n_built, n_added, n_asked, n_events, n_alive, n_deliveries_added, n_asked_capabilities;
	struct api_worker workers[4]; /* the first n_alive */
	enum store_job_status asked; /* of the worker, last */
	char options[256]; /* of the last inspection */
	char file_names[256];
};

static inline int64_t world_clock(void *ctx)
{
	return ((struct world *)ctx)->now_ms;
}

static inline int64_t world_tick(void *ctx)
{
	return ((struct world *)ctx)->now_ms * 1000000;
}

/* The same numbers in every run; safe to call from many threads. */
static inline void world_random(void *ctx, void *out, size_t n)
{
	unsigned long long v = (atomic_fetch_add(&((struct world *)ctx)->random, 1) + 42) * 0x9E3779B97F4A7C15u;
	unsigned char *p = out;

	for (size_t i = 0; i < n; i++) {
		v = (v ^ (v >> 29)) * 0xBF58476D1CE4E5B9u;
		p[i] = (unsigned char)(v >> 32);
	}
}

static inline enum pare_code world_inspect(void *ctx, enum store_asset_kind kind, const struct store_file *files, int n_files, const char *options, char **out_info, struct pare_err *err)
{
	struct world *w = ctx;
	size_t used = 0;

	w->n_inspected++;
	(void)snprintf(w->options, sizeof w->options, "%s", options != NULL ? options : "");
	w->file_names[0] = '\0';
	for (int i = 0; i < n_files && used < sizeof w->file_names; i++)
		used += (size_t)snprintf(w->file_names + used, sizeof w->file_names - used, "%s;", files[i].path);
	if (w->engine_code != PARE_OK)
		return pare_err_set(err, w->engine_code, "node \"fc1\" (Gemm)", "the engine says no");
	*out_info = pare_strdup(kind == STORE_MODEL ? "{\"parameters\":12,\"layers\":[{\"name\":\"fc1\",\"op\":\"Gemm\"}]}" : "{\"classes\":3,\"rows\":150}");
	return *out_info != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

static inline enum pare_code world_sample(void *ctx, const struct store_file *files, int n_files, const char *options, int n_rows, char **out_rows, struct pare_err *err)
{
	struct world *w = ctx;

	(void)snprintf(w->options, sizeof w->options, "%s %d", options, n_rows);
	(void)snprintf(w->file_names, sizeof w->file_names, "%d:%s", n_files, files[0].path);
	if (w->engine_code != PARE_OK)
		return pare_err_set(err, w->engine_code, "line 7", "the engine says no");
	*out_rows = pare_strdup("{\"n_rows\":150,\"rows\":[]}");
	return *out_rows != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

static inline enum pare_code world_analyze(void *ctx, const char *job, const struct api_engine_input *inputs, int n_inputs, char **out_info, struct pare_err *err)
{
	struct world *w = ctx;
	size_t used = 0;

	w->n_analyzed++;
	(void)snprintf(w->options, sizeof w->options, "%s", job);
	w->file_names[0] = '\0';
	for (int i = 0; i < n_inputs && used < sizeof w->file_names; i++)
		used += (size_t)snprintf(w->file_names + used, sizeof w->file_names - used, "%s:%s;", inputs[i].role, inputs[i].files[0].path);
	if (w->engine_code != PARE_OK)
		return pare_err_set(err, w->engine_code, "/recipe/steps/0/prune", "the engine says no");
	*out_info = pare_strdup("{\"object\":\"analysis\",\"layers\":[]}");
	return *out_info != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

static inline enum pare_code world_build(void *ctx, const char *architecture, struct blob_ref *out, char **out_info, struct pare_err *err)
{
	struct world *w = ctx;
	struct blob_writer *writer;
	enum pare_code rc;

	w->n_built++;
	if (w->engine_code != PARE_OK)
		return pare_err_set(err, w->engine_code, "/layers/0/units", "must be at least 1");
	rc = blob_begin(w->blobs, 1 << 20, &writer, err);
	if (rc != PARE_OK)
		return rc;
	rc = blob_write(writer, architecture, strlen(architecture), err);
	*out_info = pare_strdup("{\"parameters\":7,\"layers\":[]}");
	if (rc == PARE_OK && *out_info == NULL)
		rc = pare_err_nomem(err, 0);
	if (rc == PARE_OK)
		rc = blob_commit(writer, out, err);
	else
		blob_abort(writer);
	if (rc == PARE_OK)
		return PARE_OK;
	pare_free(*out_info);
	*out_info = NULL;
	return rc;
}

static inline void world_added(void *ctx)
{
	((struct world *)ctx)->n_added++;
}

static inline void world_asked(void *ctx, const char *id, enum store_job_status asked)
{
	struct world *w = ctx;

	(void)id;
	w->asked = asked;
	w->n_asked++;
}

static inline void world_events(void *ctx, const char *id)
{
	(void)id;
	((struct world *)ctx)->n_events++;
}

static inline void world_deliveries_added(void *ctx)
{
	((struct world *)ctx)->n_deliveries_added++;
}

static inline void world_deliveries(void *ctx, int64_t out[API_N_HOOK_OUTCOMES])
{
	(void)ctx;
	for (int i = 0; i < API_N_HOOK_OUTCOMES; i++)
		out[i] = i + 40;
}

static inline void world_drain(void *ctx, bool on)
{
	((struct world *)ctx)->n_drains += on ? 1 : -1;
}

static inline void world_workers(void *ctx, int *alive, int *busy, const char **sandbox)
{
	*alive = ((struct world *)ctx)->n_alive;
	*busy = 0;
	*sandbox = "seccomp";
}

static inline int world_each_worker(void *ctx, struct api_worker *out, int cap)
{
	struct world *w = ctx;
	int n = w->n_alive < cap ? w->n_alive : cap;

	memcpy(out, w->workers, (size_t)n * sizeof *out);
	return n;
}

static inline enum pare_code world_capabilities(void *ctx, char **out_info, struct pare_err *err)
{
	struct world *w = ctx;

	w->n_asked_capabilities++;
	if (w->engine_code != PARE_OK)
		return pare_err_set(err, w->engine_code, NULL, "the engine says no");
	*out_info = pare_strdup("{\"operators\":[]}");
	return *out_info != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

/* Opens the stores; world_start makes the api, after the test has set w->opt as it wants. */
static inline void world_init(struct world *w)
{
	memset(w, 0, sizeof *w);
	w->now_ms = 1795310523000;
	w->n_alive = 2;
	w->env = (struct pare_env){.wall_ms = world_clock, .mono_ms = world_clock, .tick_ns = world_tick, .random = world_random, .ctx = w};
	(void)snprintf(w->dir, sizeof w->dir, "/tmp/pare-api-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(w->dir));
	ck_assert_int_eq(store_memory_open(&w->env, &w->store, NULL), PARE_OK);
	ck_assert_int_eq(blob_fs_open(w->dir, &w->env, &w->blobs, NULL), PARE_OK);
	w->opt = (struct api_options){.env = &w->env, .store = w->store, .blobs = w->blobs, .public_url = "", .openapi = "openapi: 3.1.0\n", .openapi_json = "{\"openapi\":\"3.1.0\"}\n", .docs = "<!doctype html>\n", .docs_policy = "default-src 'none'\n", .version = "0.1.0",
	    .engine = {.inspect = world_inspect, .sample = world_sample, .analyze = world_analyze, .build = world_build, .job_added = world_added, .job_asked = world_asked, .events_added = world_events, .workers = world_workers, .each_worker = world_each_worker, .capabilities = world_capabilities, .deliveries_added = world_deliveries_added, .deliveries = world_deliveries, .drain = world_drain, .ctx = w},
	    .limits = {.max_upload_bytes = 1 << 20, .max_json_bytes = 65536, .min_free_bytes = 0, .max_queued_jobs = 100, .max_uploads = 5, .upload_ms = 3600000, .default_threads = 2, .max_threads = 4, .max_crashes = 3}};
}

static inline void world_start(struct world *w)
{
	struct pare_err err = {0};

	ck_assert_msg(api_new(&w->opt, &w->api, &err) == PARE_OK, "%s", err.message);
}

static inline int world_unlink(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void world_done(struct world *w)
{
	api_free(w->api);
	blob_close(w->blobs);
	store_close(w->store);
	(void)nftw(w->dir, world_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static inline bool world_count_blob(void *ctx, const char *sha256)
{
	(void)sha256;
	++*(int *)ctx;
	return true;
}

static inline int world_blobs(struct world *w)
{
	int n = 0;

	ck_assert_int_eq(blob_each(w->blobs, world_count_blob, &n, NULL), PARE_OK);
	return n;
}

struct answer {
	struct api_exchange *x;
	const struct api_reply *reply;
	int status;
	const char *body; /* NUL-terminated copy; NULL for streams */
	size_t n;
	json_t *json; /* of a JSON body */
};

static inline void answer_done(struct answer *a)
{
	json_decref(a->json);
	free((void *)(uintptr_t)a->body);
	api_exchange_free(a->x);
	memset(a, 0, sizeof *a);
}

static inline const char *header(const struct answer *a, const char *name)
{
	for (size_t i = 0; i < a->reply->n_headers; i++)
		if (strcasecmp(a->reply->headers[i].name, name) == 0)
			return a->reply->headers[i].value;
	return "";
}

static inline struct answer answer_of(struct api_exchange *x)
{
	struct answer a = {.x = x, .reply = api_exchange_reply(x)};
	char *body;

	a.status = a.reply->status;
	if (a.reply->kind == API_BODY_STREAM)
		return a;
	a.n = a.reply->kind == API_BODY_FD ? (size_t)a.reply->fd_bytes : a.reply->kind == API_BODY_MEMORY ? a.reply->n_bytes : 0;
	body = calloc(1, a.n + 1);
	ck_assert_ptr_nonnull(body);
	if (a.reply->kind == API_BODY_FD)
		ck_assert_int_eq(pread(a.reply->fd, body, a.n, a.reply->fd_offset), (ssize_t)a.n);
	else if (a.n > 0)
		memcpy(body, a.reply->data, a.n);
	a.body = body;
	if (strstr(header(&a, "Content-Type"), "json") != NULL && a.reply->kind == API_BODY_MEMORY)
		a.json = json_loadb(body, a.n, JSON_REJECT_DUPLICATES, NULL);
	return a;
}

#define MAX_HEADERS 200
/* headers: name, value, ... NULL; NULL: none. Host and Content-Length (of body, when not NULL) are added unless given. */
static inline struct api_exchange *exchange(struct world *w, const char *method, const char *target, const char *const *headers, const void *body, size_t n)
{
	struct api_header list[MAX_HEADERS];
	struct api_head head = {.method = method, .target = target, .version = "HTTP/1.1", .headers = list, .peer = "127.0.0.1"};
	bool has_host = false, has_framing = body == NULL;
	char length[32];
	struct api_exchange *x;

	for (; headers != NULL && *headers != NULL && head.n_headers < MAX_HEADERS - 2; headers += 2) {
		list[head.n_headers++] = (struct api_header){headers[0], headers[1]};
		has_host |= strcasecmp(headers[0], "Host") == 0;
		has_framing |= strcasecmp(headers[0], "Content-Length") == 0 || strcasecmp(headers[0], "Transfer-Encoding") == 0;
	}
	(void)snprintf(length, sizeof length, "%zu", n);
	if (!has_host)
		list[head.n_headers++] = (struct api_header){"Host", "localhost"};
	if (!has_framing)
		list[head.n_headers++] = (struct api_header){"Content-Length", length};
	x = api_exchange_new(w->api, &head);
	for (size_t i = 0; i < n && !api_exchange_done(x); i += 4096)
		api_exchange_body(x, (const char *)body + i, n - i < 4096 ? n - i : 4096);
	if (!api_exchange_done(x))
		api_exchange_end(x);
	return x;
}

/* For tests/support/py/seen.py, when PARED_SEEN names a file. */
static inline void note_seen(const char *method, const char *target, int status)
{
	const char *path = getenv("PARED_SEEN");
	FILE *f = path != NULL ? fopen(path, "a") : NULL;

	if (f == NULL)
		return;
	(void)fprintf(f, "%s %.*s %d\n", method, (int)strcspn(target, "?"), target, status);
	(void)fclose(f);
}

static inline struct answer request(struct world *w, const char *method, const char *target, const char *const *headers, const void *body, size_t n)
{
	struct answer a = answer_of(exchange(w, method, target, headers, body, n));

	note_seen(method, target, a.status);
	return a;
}

static inline struct answer get(struct world *w, const char *target)
{
	return request(w, "GET", target, NULL, NULL, 0);
}

static inline struct answer post_json(struct world *w, const char *target, const char *text)
{
	return request(w, "POST", target, H(JSON_TYPE), text, strlen(text));
}

static inline const char *text_at(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* Every error must be a whole problem; its code must be this one. */
static inline void assert_problem(const struct answer *a, int status, const char *code)
{
	ck_assert_msg(a->status == status, "status %d, wanted %d %s: %s", a->status, status, code, a->body);
	ck_assert_str_eq(header(a, "Content-Type"), "application/problem+json");
	ck_assert_ptr_nonnull(a->json);
	ck_assert_str_eq(text_at(a->json, "code"), code);
	ck_assert_int_eq(json_integer_value(json_object_get(a->json, "status")), status);
	ck_assert_str_ne(text_at(a->json, "detail"), "");
	ck_assert_str_ne(text_at(a->json, "title"), "");
	ck_assert_str_ne(text_at(a->json, "request_id"), "");
}

static inline void assert_status(const struct answer *a, int status)
{
	ck_assert_msg(a->status == status, "status %d, wanted %d: %s", a->status, status, a->body != NULL ? a->body : "(stream)");
}

/* Request, assert a problem, forget. */
static inline void refuses(struct world *w, const char *method, const char *target, const char *const *headers, int status, const char *code)
{
	struct answer a = request(w, method, target, headers, NULL, 0);

	assert_problem(&a, status, code);
	answer_done(&a);
}

#define MODEL_BYTES "\x08\x07\x12\x04" "demo: bytes of a model"
static inline void make_model(struct world *w, char id[PARE_ID_MAX])
{
	struct answer a = request(w, "POST", "/v1/models?name=lenet", NULL, MODEL_BYTES, sizeof MODEL_BYTES - 1);

	assert_status(&a, 201);
	(void)snprintf(id, PARE_ID_MAX, "%s", text_at(a.json, "id"));
	answer_done(&a);
}

static inline void make_dataset(struct world *w, char id[PARE_ID_MAX])
{
	struct answer a = request(w, "POST", "/v1/datasets?name=iris&filename=iris.csv", NULL, "a,b,label\n1,2,0\n", 16);

	assert_status(&a, 201);
	(void)snprintf(id, PARE_ID_MAX, "%s", text_at(a.json, "id"));
	answer_done(&a);
}

/* A job text over a fresh model and data set. */
static inline void job_text(struct world *w, char out[512])
{
	char model[PARE_ID_MAX], dataset[PARE_ID_MAX];

	make_model(w, model);
	make_dataset(w, dataset);
	(void)snprintf(out, 512, "{\"model\":\"%s\",\"dataset\":\"%s\",\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]}}", model, dataset);
}

static inline void make_job(struct world *w, char id[PARE_ID_MAX])
{
	char text[512];
	struct answer a;

	job_text(w, text);
	a = post_json(w, "/v1/jobs", text);
	assert_status(&a, 201);
	(void)snprintf(id, PARE_ID_MAX, "%s", text_at(a.json, "id"));
	answer_done(&a);
}

static inline void put_blob(struct world *w, const char *text, struct blob_ref *out)
{
	struct blob_writer *writer;

	ck_assert_int_eq(blob_begin(w->blobs, 1 << 20, &writer, NULL), PARE_OK);
	ck_assert_int_eq(blob_write(writer, text, strlen(text), NULL), PARE_OK);
	ck_assert_int_eq(blob_commit(writer, out, NULL), PARE_OK);
	blob_release(w->blobs, out->sha256); /* nothing else runs */
}

/* Plays the worker: claims the oldest job and lets it succeed with four artifacts. */
static inline void finish_job(struct world *w)
{
	static const char *const names[] = {"model.onnx", "report.json", "report.md", "report.html"};
	static const char *const types[] = {"application/onnx", "application/json", "text/markdown", "text/html; charset=utf-8"};
	static const char *const texts[] = {"0123456789 small model", "{\"accuracy\":0.98}", "# Report\n", "<!doctype html>"};
	struct store_artifact artifacts[4];
	struct store_outcome o = {.status = STORE_SUCCEEDED, .result = "{\"accuracy\":0.98}", .n_artifacts = 4, .artifacts = artifacts};
	struct store_job j;
	bool found;

	memset(artifacts, 0, sizeof artifacts);
	for (int i = 0; i < 4; i++) {
		struct blob_ref ref;

		put_blob(w, texts[i], &ref);
		artifacts[i].name = names[i];
		artifacts[i].media_type = types[i];
		artifacts[i].n_bytes = ref.n_bytes;
		memcpy(artifacts[i].sha256, ref.sha256, sizeof ref.sha256);
	}
	ck_assert_int_eq(store_job_claim(w->store, "test", 30000, &j, &found, NULL), PARE_OK);
	ck_assert(found);
	ck_assert_int_eq(store_job_event(w->store, j.id, j.lease_token, "job.metrics", "info", "{\"loss\":0.5}", "prune", "{\"fraction\":0.5}", NULL), PARE_OK);
	ck_assert_int_eq(store_job_finish(w->store, j.id, j.lease_token, &o, NULL), PARE_OK);
	store_job_done(&j);
}

static inline int run_suite(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

#endif
