/* A job as clients see it: the object, its ETag, and GET of one.
 *
 * A job's ETag is its revision, and while it waits also its place in the queue, which changes without a revision. A client that wants to change or delete it means the
 * revision: If-Match is held against both, and against the revision alone. */
#include "api/jobs.h"

#include <stdio.h>
#include <string.h>

#include "api/assets.h"
#include "api/job_cache.h"
#include "api/range.h"

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
	api_json_open(b, "urls", '{');
	api_json_link(x, "self", "/v1/artifacts/%s", a->id);
	api_json_link(x, "content", "/v1/artifacts/%s/content", a->id);
	api_json_close(b, '}');
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
	static const char *const parts[] = {"events", "metrics", "logs", "checkpoints", "artifacts", "report", "cancel", "pause", "resume", "retry"};

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

/* That it waits for room, and until when. */
static void write_stall(struct pare_buf *b, const struct store_job *j)
{
	if (j->stalls == 0 || store_job_status_final(j->status)) {
		api_json_raw(b, "waits_for_room", NULL);
		return;
	}
	api_json_open(b, "waits_for_room", '{');
	api_json_time(b, "since", j->stalled_ms);
	api_json_int(b, "attempts", j->stalls);
	api_json_time(b, "not_before", j->not_before_ms);
	api_json_close(b, '}');
}

/* A job keeps one state at a time; those that came before are told of by its events. */
enum pare_code api_get_job_checkpoints(struct api_exchange *x, struct pare_err *err)
{
	struct pare_buf *b = &x->out;
	struct store_job j;
	enum pare_code rc = api_find_job(x, &j, err);

	if (rc != PARE_OK)
		return rc;
	api_list_open(x);
	if (j.checkpoint[0] != '\0') {
		api_json_open(b, NULL, '{');
		api_json_str(b, "object", "checkpoint");
		api_json_str(b, "job", j.id);
		api_json_time(b, "at", j.checkpoint_ms);
		api_json_int(b, "bytes", j.checkpoint_bytes);
		api_json_str(b, "sha256", j.checkpoint);
		api_json_raw(b, "place", j.checkpoint_place);
		api_json_close(b, '}');
	}
	api_list_close(x, false, NULL);
	store_job_done(&j);
	return api_reply_json(x, 200, err);
}

static void write_labels(struct pare_buf *b, const char *labels)
{
	const char *line;
	char key[64], value[260];
	size_t n;

	api_json_open(b, "labels", '{');
	while ((n = store_label_next(&labels, &line)) > 0) {
		size_t n_key = strcspn(line, "=");

		(void)snprintf(key, sizeof key, "%.*s", (int)n_key, line);
		(void)snprintf(value, sizeof value, "%.*s", (int)(n - n_key - 1), line + n_key + 1);
		api_json_str(b, key, value);
	}
	api_json_close(b, '}');
}

/* The id of what the job was made from; with expand[] the thing itself, if it is still there. */
static enum pare_code write_asset(struct api_exchange *x, const char *key, const char *id, enum store_asset_kind kind, bool expand, struct pare_err *err)
{
	struct store_asset a;
	enum pare_code rc = PARE_E_NOT_FOUND;

	if (id == NULL || id[0] == '\0') {
		api_json_str(&x->out, key, NULL);
		return PARE_OK;
	}
	if (expand)
		rc = store_asset_get(x->view, kind, id, &a, err);
	if (rc == PARE_E_NOT_FOUND) {
		api_json_str(&x->out, key, id);
		return PARE_OK;
	}
	if (rc != PARE_OK)
		return rc;
	api_asset_write(x, key, &a);
	store_asset_done(&a);
	return PARE_OK;
}

static void write_link(struct pare_buf *b, const char *key, const char *id)
{
	api_json_str(b, key, id[0] != '\0' ? id : NULL);
}

/* How the runs stand that were made jobs of. What counts changes with the job's revision, so it is not told who of the open ones runs. */
static enum pare_code write_children(struct api_exchange *x, const struct store_job *j, struct pare_err *err)
{
	struct pare_buf *b = &x->out;
	int64_t n[STORE_N_STATUS], open = 0;
	enum pare_code rc;

	if (j->trials_all == 0) {
		api_json_raw(b, "children", NULL);
		return PARE_OK;
	}
	rc = store_job_children(x->view, j->id, n, err);
	if (rc == PARE_E_NOT_FOUND) { /* deleted since it was read */
		api_json_raw(b, "children", NULL);
		return PARE_OK;
	}
	if (rc != PARE_OK)
		return rc;
	for (int st = 0; st < STORE_N_STATUS; st++)
		open += store_job_status_final((enum store_job_status)st) ? 0 : n[st];
	api_json_open(b, "children", '{');
	api_json_int(b, "total", open + n[STORE_SUCCEEDED] + n[STORE_FAILED] + n[STORE_CANCELED]);
	api_json_int(b, "open", open);
	api_json_int(b, "succeeded", n[STORE_SUCCEEDED]);
	api_json_int(b, "failed", n[STORE_FAILED]);
	api_json_int(b, "canceled", n[STORE_CANCELED]);
	api_json_int(b, "runs", j->trials_all);
	api_json_close(b, '}');
	return PARE_OK;
}

enum pare_code api_write_job(struct api_exchange *x, const struct store_job *j, struct api_expand expand, struct pare_err *err)
{
	struct pare_buf *b = &x->out;
	enum pare_code rc = PARE_OK;

	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "job");
	api_json_str(b, "id", j->id);
	api_json_str(b, "kind", j->kind);
	api_json_str(b, "name", j->name);
	write_labels(b, j->labels);
	api_json_int(b, "priority", j->priority);
	api_json_str(b, "status", store_job_status_name(j->status));
	api_json_str(b, "phase", j->phase != NULL && j->phase[0] != '\0' ? j->phase : NULL);
	api_json_int(b, "revision", j->revision);
	write_times(b, j);
	api_json_int(b, "attempt", j->attempt);
	api_json_int(b, "crashes", j->crashes);
	if (j->status == STORE_QUEUED)
		api_json_int(b, "queue_position", j->position);
	else
		api_json_raw(b, "queue_position", NULL);
	rc = write_asset(x, "model", j->model, STORE_MODEL, expand.model, err);
	if (rc == PARE_OK)
		rc = write_asset(x, "dataset", j->dataset, STORE_DATASET, expand.dataset, err);
	write_link(b, "parent", j->parent);
	write_link(b, "retry_of", j->retry_of);
	api_json_str(b, "register", j->register_as != NULL && j->register_as[0] != '\0' ? j->register_as : NULL);
	if (j->webhook != NULL)
		api_write_born_hook(x, j->webhook);
	if (rc == PARE_OK)
		rc = write_children(x, j, err);
	api_json_raw(b, "request", j->request);
	api_json_raw(b, "progress", j->progress);
	write_checkpoint(b, j);
	write_stall(b, j);
	api_json_raw(b, "result", j->result);
	write_error(b, j);
	if (rc == PARE_OK && store_job_status_final(j->status)) {
		rc = api_write_artifacts(x, "artifacts", j->id, err);
	} else {
		api_json_open(b, "artifacts", '[');
		api_json_close(b, ']');
	}
	write_urls(x, j);
	api_json_close(b, '}');
	return rc;
}

#define ETAG_MAX 64
static void job_etag(const struct store_job *j, bool place, char out[ETAG_MAX])
{
	if (place && j->status == STORE_QUEUED)
		(void)snprintf(out, ETAG_MAX, "\"%lld-q%lld\"", (long long)j->revision, (long long)j->position);
	else
		(void)snprintf(out, ETAG_MAX, "\"%lld\"", (long long)j->revision);
}

/* Is it the list's tag for this revision, with whatever place in the queue? */
static bool names_revision(const char *list, const struct store_job *j)
{
	char start[ETAG_MAX];
	int n = snprintf(start, sizeof start, "\"%lld-q", (long long)j->revision);

	for (const char *p = strstr(list, start); p != NULL; p = strstr(p + 1, start)) {
		const char *digits = p + n;
		size_t n_digits = strspn(digits, "0123456789");

		if (n_digits > 0 && digits[n_digits] == '"' && (p == list || p[-1] == ' ' || p[-1] == ','))
			return true;
	}
	return false;
}

enum pare_code api_job_if_match(struct api_exchange *x, const struct store_job *j, struct pare_err *err)
{
	const char *sent = api_request_header(x, "If-Match");
	char etag[ETAG_MAX];

	job_etag(j, false, etag);
	if (sent == NULL || api_etag_in(sent, etag, false) || names_revision(sent, j))
		return PARE_OK;
	return pare_err_set(err, PARE_E_PRECONDITION, NULL, "the job has changed: its ETag is %s", etag);
}

/* With expand[] the reply also changes with what is expanded, so it is tagged by its bytes. */
static enum pare_code reply(struct api_exchange *x, const struct store_job *j, int status, struct api_expand expand, struct pare_err *err)
{
	char etag[ETAG_MAX];
	enum pare_code rc;

	job_etag(j, true, etag);
	if (!expand.model && !expand.dataset) {
		if (status == 200 && api_not_modified(x, etag))
			return PARE_OK;
		api_set_header_text(x, "ETag", etag);
	}
	rc = api_write_job(x, j, expand, err);
	if (rc == PARE_OK && store_job_status_final(j->status) && !expand.model && !expand.dataset && j->webhook == NULL && !x->out.failed) {
		struct api_job_key key = {x->view.owner, j->id, x->link_base, j->revision};

		api_job_cache_put(x->api->jobs, &key, x->out.data, x->out.len);
	}
	return rc == PARE_OK ? api_reply_json(x, status, err) : rc;
}

/* A job that has ended and was told of before, without reading more of it than its revision, or nothing at all while the store stays as it is. *out_done: answered. */
static enum pare_code reply_known(struct api_exchange *x, bool *out_done, struct pare_err *err)
{
	struct store_job j = {.status = STORE_SUCCEEDED};
	struct api_job_key key = {x->view.owner, x->params[0], x->link_base, 0};
	uint64_t seen = store_n_changes(x->view.store);
	char etag[ETAG_MAX];

	*out_done = false;
	if (!pare_id_check(x->params[0], "job"))
		return PARE_OK;
	if (!api_job_cache_get(x->api->jobs, &key, seen, &x->out)) {
		if (store_job_stamp(x->view, x->params[0], &j.status, &key.revision, NULL) != PARE_OK || !store_job_status_final(j.status))
			return PARE_OK;
		if (!api_job_cache_get(x->api->jobs, &key, seen, &x->out))
			return PARE_OK;
	}
	*out_done = true;
	j.revision = key.revision;
	job_etag(&j, true, etag);
	return api_not_modified(x, etag) ? PARE_OK : api_reply_json(x, 200, err);
}

enum pare_code api_reply_job(struct api_exchange *x, struct store_job *j, int status, struct pare_err *err)
{
	enum pare_code rc = store_job_position(x->view, j, err);

	return rc == PARE_OK ? reply(x, j, status, (struct api_expand){.model = false}, err) : rc;
}

enum pare_code api_parse_expand(struct api_exchange *x, struct api_expand *out, struct pare_err *err)
{
	*out = (struct api_expand){.model = false};
	for (size_t i = 0; i < x->target.n_query; i++) {
		const struct api_query_item *q = &x->target.query[i];

		if (strcmp(q->name, "expand[]") != 0)
			continue;
		if (strcmp(q->value, "model") == 0)
			out->model = true;
		else if (strcmp(q->value, "dataset") == 0)
			out->dataset = true;
		else
			return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"expand[]\" must be model or dataset, not \"%.40s\"", q->value);
	}
	if (out->model && !api_caller_may(&x->caller, API_MODELS_READ))
		return pare_err_set(err, PARE_E_FORBIDDEN, NULL, "expand[]=model needs the scope %s", api_scope_name(API_MODELS_READ));
	if (out->dataset && !api_caller_may(&x->caller, API_DATASETS_READ))
		return pare_err_set(err, PARE_E_FORBIDDEN, NULL, "expand[]=dataset needs the scope %s", api_scope_name(API_DATASETS_READ));
	return PARE_OK;
}

enum pare_code api_get_job(struct api_exchange *x, struct pare_err *err)
{
	struct api_expand expand;
	struct store_job j;
	bool done = false;
	enum pare_code rc = api_parse_expand(x, &expand, err);

	if (rc == PARE_OK && !expand.model && !expand.dataset && x->waits_seconds == 0)
		rc = reply_known(x, &done, err);
	if (rc == PARE_OK && !done)
		rc = api_find_job(x, &j, err);
	if (rc != PARE_OK || done)
		return rc;
	rc = api_wait_for_end(x, &j, err);
	if (rc == PARE_OK)
		rc = reply(x, &j, 200, expand, err);
	store_job_done(&j);
	return rc;
}
