/* Jobs: create, list, get, cancel, delete.
 *
 * The request is checked by core/recipe, which reports every finding at once with its pointer, and stored as canonical text with seed and threads
 * written out, so that a job can be repeated from what GET returns.
 *
 * The queue's cap is kept without counting on every request: queue_bound starts from a true count and grows by one per job, so it never
 * understates the number of queued jobs (they only leave otherwise, but for the few that a worker gives back); only when the bound reaches the cap is the store asked again.
 *
 * A job's ETag is its revision, and while it waits also its place in the queue, which changes without a revision. */
#include "api/jobs.h"

#include <stdio.h>
#include <string.h>

#include "api/range.h"
#include "storage/registry.h"
#include "api/text.h"
#include "core/base/nearest.h"
#include "core/recipe/json_text.h"

#define KEY_MAX 255

enum pare_code api_find_job(struct api_exchange *x, struct store_job *out, struct pare_err *err)
{
	enum pare_code rc = PARE_E_NOT_FOUND;

	if (pare_id_check(x->params[0], "job"))
		rc = store_job_get(x->view, x->params[0], out, err);
	if (rc == PARE_E_NOT_FOUND)
		return pare_err_set(err, rc, NULL, "there is no job \"%.60s\"", x->params[0]);
	return rc;
}

/* --- the job object */

void api_write_artifact(struct api_exchange *x, const struct store_artifact *a)
{
	struct pare_buf *b = &x->out;

	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "artifact");
	api_json_str(b, "id", a->id);
	api_json_str(b, "job", a->job);
	api_json_str(b, "name", a->name);
	api_json_str(b, "media_type", a->media_type);
	api_json_int(b, "bytes", a->n_bytes);
	api_json_str(b, "sha256", a->sha256);
	api_json_time(b, "created_at", a->created_ms);
	api_json_link(x, "url", "/v1/jobs/%s/artifacts/%s", a->job, a->name);
	api_json_close(b, '}');
}

enum pare_code api_write_artifacts(struct api_exchange *x, const char *key, const char *job, struct pare_err *err)
{
	struct store_artifact *list = NULL;
	int n = 0;
	enum pare_code rc = store_artifact_list(x->view, job, &list, &n, err);

	if (rc != PARE_OK && rc != PARE_E_NOT_FOUND) /* deleted since it was read: it is told of as it was, without them */
		return rc;
	api_json_open(&x->out, key, '[');
	for (int i = 0; i < n; i++)
		api_write_artifact(x, &list[i]);
	api_json_close(&x->out, ']');
	store_artifact_list_done(list, n);
	return PARE_OK;
}

static void write_times(struct pare_buf *b, const struct store_job *j)
{
	api_json_time(b, "created_at", j->created_ms);
	api_json_time(b, "started_at", j->started_ms);
	api_json_time(b, "finished_at", j->finished_ms);
}

static void write_error(struct pare_buf *b, const struct store_job *j)
{
	if (j->error_code == NULL || j->error_code[0] == '\0') {
		api_json_raw(b, "error", NULL);
		return;
	}
	api_json_open(b, "error", '{');
	api_json_str(b, "code", j->error_code);
	api_json_str(b, "message", j->error_message);
	api_json_str(b, "where", j->error_where != NULL && j->error_where[0] != '\0' ? j->error_where : NULL);
	api_json_close(b, '}');
}

static void write_urls(struct api_exchange *x, const struct store_job *j)
{
	static const char *const parts[] = {"events", "metrics", "logs", "artifacts", "report", "cancel", "retry"};

	api_json_open(&x->out, "urls", '{');
	api_json_link(x, "self", "/v1/jobs/%s", j->id);
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		api_json_link(x, parts[i], "/v1/jobs/%s/%s", j->id, parts[i]);
	api_json_close(&x->out, '}');
}

static void write_checkpoint(struct pare_buf *b, const struct store_job *j)
{
	if (j->checkpoint[0] == '\0') {
		api_json_raw(b, "checkpoint", NULL);
		return;
	}
	api_json_open(b, "checkpoint", '{');
	api_json_time(b, "at", j->checkpoint_ms);
	api_json_int(b, "bytes", j->checkpoint_bytes);
	api_json_raw(b, "place", j->checkpoint_place);
	api_json_close(b, '}');
}

static enum pare_code write_job(struct api_exchange *x, const struct store_job *j, int64_t position, struct pare_err *err)
{
	struct pare_buf *b = &x->out;
	enum pare_code rc = PARE_OK;

	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "job");
	api_json_str(b, "id", j->id);
	api_json_str(b, "name", j->name);
	api_json_str(b, "status", store_job_status_name(j->status));
	api_json_str(b, "phase", j->phase != NULL && j->phase[0] != '\0' ? j->phase : NULL);
	api_json_int(b, "revision", j->revision);
	write_times(b, j);
	api_json_int(b, "attempt", j->attempt);
	api_json_int(b, "crashes", j->crashes);
	if (position >= 0)
		api_json_int(b, "queue_position", position);
	else
		api_json_raw(b, "queue_position", NULL);
	api_json_str(b, "model", j->model);
	api_json_str(b, "dataset", j->dataset != NULL && j->dataset[0] != '\0' ? j->dataset : NULL);
	api_json_raw(b, "request", j->request);
	api_json_raw(b, "progress", j->progress);
	write_checkpoint(b, j);
	api_json_raw(b, "result", j->result);
	write_error(b, j);
	if (store_job_status_final(j->status)) {
		rc = api_write_artifacts(x, "artifacts", j->id, err);
	} else {
		api_json_open(b, "artifacts", '[');
		api_json_close(b, ']');
	}
	write_urls(x, j);
	api_json_close(b, '}');
	return rc;
}

static enum pare_code job_position(struct api_exchange *x, const struct store_job *j, int64_t *out, struct pare_err *err)
{
	enum pare_code rc;

	*out = -1;
	if (j->status != STORE_QUEUED)
		return PARE_OK;
	rc = store_job_position(x->view, j->id, out, err);
	return rc == PARE_E_NOT_FOUND ? PARE_OK : rc; /* cancelled and deleted since */
}

#define ETAG_MAX 64
static void job_etag(const struct store_job *j, int64_t position, char out[ETAG_MAX])
{
	if (position >= 0)
		(void)snprintf(out, ETAG_MAX, "\"%lld-q%lld\"", (long long)j->revision, (long long)position);
	else
		(void)snprintf(out, ETAG_MAX, "\"%lld\"", (long long)j->revision);
}

static enum pare_code reply_job(struct api_exchange *x, const struct store_job *j, int status, struct pare_err *err)
{
	char etag[ETAG_MAX];
	int64_t position;
	enum pare_code rc = job_position(x, j, &position, err);

	if (rc != PARE_OK)
		return rc;
	job_etag(j, position, etag);
	if (status == 200 && api_not_modified(x, etag))
		return PARE_OK;
	api_set_header(x, "ETag", "%s", etag);
	rc = write_job(x, j, position, err);
	return rc == PARE_OK ? api_reply_json(x, status, err) : rc;
}

/* --- create */

static enum pare_code check_queue(struct api *api, struct pare_err *err)
{
	int64_t cap = api->opt.limits.max_queued_jobs;
	long long bound = atomic_load(&api->queue_bound);
	int64_t counts[STORE_N_STATUS], oldest;
	enum pare_code rc;

	if (cap <= 0 || (bound >= 0 && bound < cap))
		return PARE_OK;
	rc = store_job_counts(api->opt.store, counts, &oldest, err);
	if (rc != PARE_OK)
		return rc;
	atomic_store(&api->queue_bound, (long long)counts[STORE_QUEUED]);
	if (counts[STORE_QUEUED] >= cap)
		return pare_err_set(err, PARE_E_BUSY, NULL, "%lld jobs are queued, which is the limit", (long long)counts[STORE_QUEUED]);
	return PARE_OK;
}

/* The key, bare or as a quoted string (RFC 8941); printable ASCII without quote and backslash. */
static enum pare_code idempotency_key(struct api_exchange *x, struct store_idempotency *out, struct pare_err *err)
{
	const char *s = api_request_header(x, "Idempotency-Key");
	size_t n = s != NULL ? strlen(s) : 0;

	memset(out, 0, sizeof *out);
	out->scope = x->caller.id;
	if (s == NULL)
		return PARE_OK;
	s = api_trim(s, &n);
	if (n >= 2 && s[0] == '"' && s[n - 1] == '"') {
		s++;
		n -= 2;
	}
	if (n == 0 || n > KEY_MAX || memchr(s, '"', n) != NULL || memchr(s, '\\', n) != NULL)
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "Idempotency-Key must be 1 to %d characters, bare or in double quotes", KEY_MAX);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || (unsigned char)s[i] > 0x7E)
			return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "Idempotency-Key must be printable ASCII");
	out->key = pare_arena_strndup(&x->arena, s, n);
	return out->key != NULL ? PARE_OK : pare_err_nomem(err, n);
}

static enum pare_code fingerprint(const struct api_exchange *x, struct store_idempotency *out, struct pare_err *err)
{
	struct store_sha256 *h = store_sha256_new();

	if (h == NULL)
		return pare_err_nomem(err, 0);
	store_sha256_add(h, x->method, strlen(x->method) + 1);
	store_sha256_add(h, x->target.path, strlen(x->target.path) + 1);
	store_sha256_add(h, x->body.data != NULL ? x->body.data : "", x->body.len);
	store_sha256_get(h, out->fingerprint);
	store_sha256_free(h);
	return PARE_OK;
}

static const char *job_text(const struct pare_args *a, const char *name)
{
	const char *s = pare_args_str(a, name);

	return s != NULL ? s : "";
}

static enum pare_code parse(struct api_exchange *x, struct pare_job **out, struct pare_err *err)
{
	struct pare_issues *issues = pare_arena_alloc(&x->arena, sizeof *issues);
	const char *text = x->body.data != NULL ? x->body.data : "";
	enum pare_code rc;

	if (issues == NULL)
		return pare_err_nomem(err, sizeof *issues);
	rc = pare_job_parse(text, x->body.len, out, issues, err);
	if (rc == PARE_E_INVALID && issues->n > 0)
		x->issues = issues;
	return rc;
}

static enum pare_code check_threads(const struct api_exchange *x, const struct pare_args *a, struct pare_err *err)
{
	int max = x->api->opt.limits.max_threads;

	if (pare_args_has(a, "threads") && max > 0 && pare_args_int(a, "threads") > max)
		return pare_err_set(err, PARE_E_INVALID, "/threads", "this server allows at most %d threads per job", max);
	return PARE_OK;
}

/* An id that names nothing is a wrong field of this request, not a missing page. */
static enum pare_code no_such(struct api_exchange *x, const char *pointer, const char *what, const char *id, struct pare_err *err)
{
	struct pare_issues *issues = pare_arena_alloc(&x->arena, sizeof *issues);

	if (issues == NULL)
		return pare_err_nomem(err, sizeof *issues);
	issues->n = 1;
	(void)snprintf(issues->list[0].pointer, sizeof issues->list[0].pointer, "%s", pointer);
	issues->list[0].code = "not_found";
	(void)snprintf(issues->list[0].detail, sizeof issues->list[0].detail, "there is no %s \"%.60s\"", what, id);
	x->issues = issues;
	return pare_err_set(err, PARE_E_INVALID, NULL, "%s", issues->list[0].detail);
}

static enum pare_code missing_reference(struct api_exchange *x, const struct store_job *j, struct pare_err *err)
{
	if (strcmp(err->where, "/dataset") == 0)
		return no_such(x, "/dataset", "data set", j->dataset, err);
	return no_such(x, "/model", "model", j->model, err);
}

/* What the job calls by a name is written down by its id: a name may mean something else when the job runs. */
static enum pare_code refer(struct api_exchange *x, struct pare_job *job, const char *field, enum store_asset_kind kind, struct pare_err *err)
{
	const char *reference = pare_args_str(pare_job_args(job), field);
	char id[PARE_ID_MAX], pointer[32];
	enum pare_code rc;

	if (reference == NULL)
		return PARE_OK;
	rc = store_asset_resolve(x->view, kind, reference, id, err);
	(void)snprintf(pointer, sizeof pointer, "/%s", field);
	if (rc == PARE_E_NOT_FOUND)
		return no_such(x, pointer, kind == STORE_MODEL ? "model" : "data set", reference, err);
	if (rc != PARE_OK || strcmp(id, reference) == 0)
		return rc;
	return pare_job_set_str(job, field, id, err);
}

static enum pare_code refer_all(struct api_exchange *x, struct pare_job *job, struct pare_err *err)
{
	enum pare_code rc = refer(x, job, "model", STORE_MODEL, err);

	if (rc == PARE_OK)
		rc = refer(x, job, "teacher", STORE_MODEL, err);
	return rc == PARE_OK ? refer(x, job, "dataset", STORE_DATASET, err) : rc;
}

/* The store keeps model and data set of a job and knows nothing of a second model: it must be there now, and when the job starts. */
static enum pare_code check_teacher(struct api_exchange *x, const struct pare_args *a, struct pare_err *err)
{
	struct store_asset asset = {0};
	enum pare_code rc;

	if (!pare_args_has(a, "teacher"))
		return PARE_OK;
	rc = store_asset_get(x->view, STORE_MODEL, pare_args_str(a, "teacher"), &asset, err);
	if (rc == PARE_OK)
		store_asset_done(&asset);
	return rc == PARE_E_NOT_FOUND ? no_such(x, "/teacher", "model", pare_args_str(a, "teacher"), err) : rc;
}

static enum pare_code put(struct api_exchange *x, struct store_job *j, struct pare_err *err)
{
	const struct api_engine *e = &x->api->opt.engine;
	struct store_idempotency idem;
	bool replayed = false;
	enum pare_code rc = idempotency_key(x, &idem, err);

	if (rc == PARE_OK)
		rc = fingerprint(x, &idem, err);
	if (rc == PARE_OK)
		rc = store_job_put(x->view, j, &idem, &replayed, err);
	if (rc == PARE_E_NOT_FOUND)
		return missing_reference(x, j, err);
	if (rc != PARE_OK)
		return rc;
	if (replayed) {
		api_set_header(x, "Idempotency-Replayed", "true");
	} else {
		if (atomic_load(&x->api->queue_bound) >= 0)
			atomic_fetch_add(&x->api->queue_bound, 1);
		if (e->job_added != NULL)
			e->job_added(e->ctx);
	}
	api_set_location(x, "/v1/jobs/%s", j->id);
	rc = api_wait_for_end(x, j, err);
	if (rc == PARE_OK)
		rc = reply_job(x, j, 201, err);
	store_job_done(j);
	return rc;
}

/* --- a job that is told of, not queued */

struct dry_run {
	struct store_asset assets[3];
	struct api_engine_input inputs[3];
	int n;
};

static enum pare_code dry_input(struct api_exchange *x, struct dry_run *d, const struct pare_args *a, const char *field, const char *role, enum store_asset_kind kind, struct pare_err *err)
{
	const char *id = pare_args_str(a, field);
	struct store_asset *asset = &d->assets[d->n];
	char pointer[32];
	enum pare_code rc;

	if (id == NULL)
		return PARE_OK;
	rc = store_asset_get(x->view, kind, id, asset, err);
	(void)snprintf(pointer, sizeof pointer, "/%s", field);
	if (rc == PARE_E_NOT_FOUND)
		return no_such(x, pointer, kind == STORE_MODEL ? "model" : "data set", id, err);
	if (rc == PARE_OK)
		d->inputs[d->n++] = (struct api_engine_input){role, asset->files, asset->n_files};
	return rc;
}

/* The engine prepares the job as if it ran, so its findings are the request's. */
static enum pare_code dry_run(struct api_exchange *x, const struct pare_args *a, const char *text, struct pare_err *err)
{
	const struct api_engine *e = &x->api->opt.engine;
	struct dry_run d = {.n = 0};
	char *info = NULL;
	enum pare_code rc = dry_input(x, &d, a, "model", "model", STORE_MODEL, err);

	if (rc == PARE_OK)
		rc = dry_input(x, &d, a, "teacher", "teacher", STORE_MODEL, err);
	if (rc == PARE_OK)
		rc = dry_input(x, &d, a, "dataset", "data", STORE_DATASET, err);
	if (rc == PARE_OK)
		rc = e->analyze(e->ctx, text, d.inputs, d.n, &info, err);
	for (int i = 0; i < d.n; i++)
		store_asset_done(&d.assets[i]);
	if (rc != PARE_OK)
		return rc;
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "dry_run");
	api_json_raw(&x->out, "request", text);
	api_json_raw(&x->out, "analysis", info);
	api_json_close(&x->out, '}');
	pare_free(info);
	return api_reply_json(x, 200, err);
}

enum pare_code api_post_job(struct api_exchange *x, struct pare_err *err)
{
	struct pare_job *job = NULL;
	char *text = NULL;
	bool dry = false;
	enum pare_code rc = api_query_flag(x, "dry_run", &dry, err);

	if (rc == PARE_OK)
		rc = parse(x, &job, err);
	if (rc == PARE_OK)
		rc = refer_all(x, job, err);
	if (rc == PARE_OK)
		rc = check_threads(x, pare_job_args(job), err);
	if (rc == PARE_OK)
		rc = pare_job_canonical(job, 0, x->api->opt.limits.default_threads, &text, err);
	if (rc == PARE_OK)
		rc = check_teacher(x, pare_job_args(job), err);
	if (rc == PARE_OK && dry) {
		rc = dry_run(x, pare_job_args(job), text, err);
		goto out;
	}
	if (rc == PARE_OK)
		rc = check_queue(x->api, err);
	if (rc == PARE_OK) {
		const struct pare_args *a = pare_job_args(job);
		struct store_job j = {.name = job_text(a, "name"), .model = job_text(a, "model"), .dataset = job_text(a, "dataset"), .request = text, .max_crashes = x->api->opt.limits.max_crashes};

		rc = put(x, &j, err);
	}
out:
	pare_free(text);
	pare_job_free(job);
	return rc;
}

/* --- list, get */

/* The id that the filter names, or a name stands for. */
static enum pare_code asset_filter(struct api_exchange *x, const char *name, enum store_asset_kind kind, const char **out, struct pare_err *err)
{
	const char *reference = api_query(x, name);
	char id[PARE_ID_MAX];
	enum pare_code rc;

	if (reference == NULL)
		return PARE_OK;
	rc = store_asset_resolve(x->view, kind, reference, id, err);
	if (rc == PARE_E_NOT_FOUND)
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"%s\" must be an id, or a name that there is", name);
	if (rc != PARE_OK)
		return rc;
	*out = pare_arena_strndup(&x->arena, id, strlen(id));
	return *out != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

static enum pare_code check_status(const char *status, struct pare_err *err)
{
	const char *names[STORE_N_STATUS + 1] = {0};
	const char *hint;

	for (int i = 0; i < STORE_N_STATUS; i++) {
		names[i] = store_job_status_name((enum store_job_status)i);
		if (status == NULL || strcmp(names[i], status) == 0)
			return PARE_OK;
	}
	hint = pare_nearest_of(status, names);
	return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"status\" must be queued, running, canceling, succeeded, failed or canceled%s%s%s", hint != NULL ? "; did you mean \"" : "",
	    hint != NULL ? hint : "", hint != NULL ? "\"?" : "");
}

static enum pare_code parse_filters(struct api_exchange *x, struct store_page *page, struct pare_err *err)
{
	enum pare_code rc = api_page_parse(x, "job", page, err);

	if (rc != PARE_OK)
		return rc;
	page->status = api_query(x, "status");
	rc = check_status(page->status, err);
	if (rc == PARE_OK)
		rc = asset_filter(x, "model", STORE_MODEL, &page->model, err);
	return rc == PARE_OK ? asset_filter(x, "dataset", STORE_DATASET, &page->dataset, err) : rc;
}

/* The places of a page's jobs, from the oldest on: behind one that is STORE_POSITION_MAX deep, every younger one is as deep, and need not be counted. */
static enum pare_code job_positions(struct api_exchange *x, const struct store_job *jobs, int n, bool ascending, int64_t *out, struct pare_err *err)
{
	enum pare_code rc = PARE_OK;
	bool deep = false;

	for (int i = 0; i < n && rc == PARE_OK; i++) {
		int k = ascending ? i : n - 1 - i;

		out[k] = jobs[k].status == STORE_QUEUED ? STORE_POSITION_MAX : -1;
		if (!deep)
			rc = job_position(x, &jobs[k], &out[k], err);
		deep = deep || out[k] == STORE_POSITION_MAX;
	}
	return rc;
}

enum pare_code api_get_jobs(struct api_exchange *x, struct pare_err *err)
{
	int64_t *positions;
	struct store_page page;
	struct store_job *jobs = NULL;
	int n = 0;
	bool more = false;
	enum pare_code rc = parse_filters(x, &page, err);

	if (rc == PARE_OK)
		rc = store_job_list(x->view, &page, &jobs, &n, &more, err);
	if (rc != PARE_OK)
		return rc;
	positions = pare_arena_array(&x->arena, (size_t)n, sizeof *positions);
	rc = positions != NULL ? job_positions(x, jobs, n, page.ascending, positions, err) : pare_err_nomem(err, 0);
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "list");
	api_json_open(&x->out, "data", '[');
	for (int i = 0; i < n && rc == PARE_OK; i++)
		rc = write_job(x, &jobs[i], positions[i], err);
	api_json_close(&x->out, ']');
	api_page_end(x, &page, more && n > 0, n > 0 ? jobs[n - 1].id : NULL);
	api_json_close(&x->out, '}');
	store_job_list_done(jobs, n);
	return rc == PARE_OK ? api_reply_json(x, 200, err) : rc;
}

enum pare_code api_get_job(struct api_exchange *x, struct pare_err *err)
{
	struct store_job j;
	enum pare_code rc = api_find_job(x, &j, err);

	if (rc != PARE_OK)
		return rc;
	rc = api_wait_for_end(x, &j, err);
	if (rc == PARE_OK)
		rc = reply_job(x, &j, 200, err);
	store_job_done(&j);
	return rc;
}

/* --- cancel, run again, delete */

enum pare_code api_check_empty(const struct api_exchange *x, struct pare_err *err)
{
	json_t *root;
	bool empty;
	enum pare_code rc;

	if (x->body.len == 0)
		return PARE_OK;
	rc = pare_json_load(x->body.data, x->body.len, x->body.len, &root, NULL, err);
	if (rc != PARE_OK)
		return rc;
	empty = json_is_object(root) && json_object_size(root) == 0;
	json_decref(root);
	return empty ? PARE_OK : pare_err_set(err, PARE_E_INVALID, NULL, "this request takes no fields; send no body, or {}");
}

enum pare_code api_cancel_job(struct api_exchange *x, struct pare_err *err)
{
	const struct api_engine *e = &x->api->opt.engine;
	char checkpoint[STORE_SHA256_HEX] = "";
	struct store_job j;
	enum pare_code rc = api_check_empty(x, err);

	if (rc == PARE_OK && !pare_id_check(x->params[0], "job"))
		rc = PARE_E_NOT_FOUND;
	if (rc == PARE_OK)
		rc = store_job_get(x->view, x->params[0], &j, err);
	if (rc == PARE_OK) {
		memcpy(checkpoint, j.checkpoint, sizeof checkpoint);
		store_job_done(&j);
		rc = store_job_cancel(x->view, x->params[0], &j, err);
	}
	if (rc == PARE_E_NOT_FOUND)
		return pare_err_set(err, rc, NULL, "there is no job \"%.60s\"", x->params[0]);
	if (rc != PARE_OK)
		return rc;
	if (checkpoint[0] != '\0') /* goes unless the job, which may still run, needs it */
		(void)store_blob_drop(x->api->opt.store, x->api->opt.blobs, checkpoint);
	if (e->job_canceled != NULL)
		e->job_canceled(e->ctx, j.id);
	if (e->events_added != NULL)
		e->events_added(e->ctx, j.id);
	rc = reply_job(x, &j, 202, err);
	store_job_done(&j);
	return rc;
}

/* A new job with the text of an ended one: the old one goes on telling what came of it. */
enum pare_code api_retry_job(struct api_exchange *x, struct pare_err *err)
{
	struct store_job old, j = {0};
	enum pare_code rc = api_check_empty(x, err);

	if (rc == PARE_OK)
		rc = api_find_job(x, &old, err);
	if (rc != PARE_OK)
		return rc;
	if (!store_job_status_final(old.status))
		rc = pare_err_set(err, PARE_E_CONFLICT, NULL, "job %s is %s: only an ended job can be run again", old.id, store_job_status_name(old.status));
	if (rc == PARE_OK)
		rc = check_queue(x->api, err);
	if (rc == PARE_OK) {
		j = (struct store_job){.name = old.name, .model = old.model, .dataset = old.dataset, .request = old.request, .max_crashes = x->api->opt.limits.max_crashes};
		rc = put(x, &j, err);
	}
	store_job_done(&old);
	return rc;
}

enum pare_code api_get_queue(struct api_exchange *x, struct pare_err *err)
{
	const struct api_engine *e = &x->api->opt.engine;
	int64_t counts[STORE_N_STATUS], oldest = 0;
	int alive = 0, busy = 0;
	const char *sandbox = "";
	enum pare_code rc = store_job_counts(x->api->opt.store, counts, &oldest, err);

	if (rc != PARE_OK)
		return rc;
	if (e->workers != NULL)
		e->workers(e->ctx, &alive, &busy, &sandbox);
	api_set_header(x, "Cache-Control", "no-store");
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "queue");
	api_json_int(&x->out, "runnable", counts[STORE_QUEUED]);
	api_json_int(&x->out, "running", counts[STORE_RUNNING] + counts[STORE_CANCELING]);
	api_json_time(&x->out, "oldest_queued_at", oldest);
	api_json_int(&x->out, "workers_alive", alive);
	api_json_int(&x->out, "workers_busy", busy);
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

static enum pare_code check_if_match(struct api_exchange *x, const struct store_job *j, struct pare_err *err)
{
	const char *sent = api_request_header(x, "If-Match");
	char etag[ETAG_MAX];
	int64_t position;
	enum pare_code rc;

	if (sent == NULL)
		return PARE_OK;
	rc = job_position(x, j, &position, err);
	if (rc != PARE_OK)
		return rc;
	job_etag(j, position, etag);
	if (api_etag_in(sent, etag, false))
		return PARE_OK;
	return pare_err_set(err, PARE_E_PRECONDITION, NULL, "the job has changed: its ETag is %s", etag);
}

enum pare_code api_delete_job(struct api_exchange *x, struct pare_err *err)
{
	struct store_artifact *list = NULL;
	struct store_job j;
	int n = 0;
	enum pare_code rc = api_find_job(x, &j, err);

	if (rc != PARE_OK)
		return rc;
	rc = check_if_match(x, &j, err);
	if (rc == PARE_OK)
		rc = store_artifact_list(x->view, j.id, &list, &n, err);
	if (rc == PARE_OK)
		rc = store_job_delete(x->view, j.id, err);
	for (int i = 0; i < n && rc == PARE_OK; i++)
		(void)store_blob_drop(x->api->opt.store, x->api->opt.blobs, list[i].sha256);
	store_artifact_list_done(list, n);
	store_job_done(&j);
	if (rc == PARE_OK)
		api_reply_empty(x, 204);
	return rc;
}
