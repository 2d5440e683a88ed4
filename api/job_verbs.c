/* What is done to a job that there is: cancel, pause, resume, change, delete; and the queue as a whole. */
#include <string.h>

#include "api/jobs.h"
#include "core/recipe/json_text.h"

#define PATCH_TRIES 16

typedef enum pare_code (*status_verb)(struct store_view v, const char *id, struct store_job *out, struct pare_err *err);

/* The store decides; then whoever may run the job hears what it was asked. *old: as it was just before, for what goes with the change. */
static enum pare_code change_status(struct api_exchange *x, status_verb verb, enum store_job_status asked, struct store_job *old, struct store_job *j, struct pare_err *err)
{
	const struct api_engine *e = &x->api->opt.engine;
	enum pare_code rc = api_find_job(x, old, err);

	if (rc != PARE_OK)
		return rc;
	rc = api_job_if_match(x, old, err);
	if (rc == PARE_OK)
		rc = verb(x->view, old->id, j, err);
	if (rc == PARE_E_NOT_FOUND) /* deleted since */
		rc = pare_err_set(err, rc, NULL, "there is no job \"%.60s\"", x->params[0]);
	if (rc != PARE_OK) {
		store_job_done(old);
		return rc;
	}
	if (e->job_asked != NULL)
		e->job_asked(e->ctx, j->id, asked);
	if (e->events_added != NULL)
		e->events_added(e->ctx, j->id);
	return PARE_OK;
}

static enum pare_code reply_changed(struct api_exchange *x, struct store_job *old, struct store_job *j, struct pare_err *err)
{
	enum pare_code rc = api_reply_job(x, j, 202, err);

	store_job_done(old);
	store_job_done(j);
	return rc;
}

enum pare_code api_cancel_job(struct api_exchange *x, struct pare_err *err)
{
	struct store_job old, j;
	enum pare_code rc = change_status(x, store_job_cancel, STORE_CANCELING, &old, &j, err);

	if (rc != PARE_OK)
		return rc;
	if (old.checkpoint[0] != '\0') /* goes unless the job, which may still run, needs it */
		(void)store_blob_drop(x->api->opt.store, x->api->opt.blobs, old.checkpoint);
	return reply_changed(x, &old, &j, err);
}

enum pare_code api_pause_job(struct api_exchange *x, struct pare_err *err)
{
	struct store_job old, j;
	enum pare_code rc = change_status(x, store_job_pause, STORE_PAUSING, &old, &j, err);

	return rc == PARE_OK ? reply_changed(x, &old, &j, err) : rc;
}

enum pare_code api_resume_job(struct api_exchange *x, struct pare_err *err)
{
	struct store_job old, j;
	enum pare_code rc = change_status(x, store_job_resume, STORE_RUNNING, &old, &j, err);

	if (rc != PARE_OK)
		return rc;
	if (j.status == STORE_QUEUED && old.status != STORE_QUEUED)
		api_job_queued(x->api);
	return reply_changed(x, &old, &j, err);
}

/* --- change */

/* A merge patch (RFC 7396) becomes the object as it shall be: what is null goes, labels are merged with those that there are, and what it does not name is not in it. */
static enum pare_code merge(json_t *patch, const struct store_job *j, struct pare_err *err)
{
	static const char *const fields[] = {"name", "labels", "priority"};
	json_t *labels = json_object_get(patch, "labels"), *all = json_object(), *v;
	const char *rest = j->labels, *line, *key;
	size_t n;
	int failed = all == NULL;

	while (!failed && (n = store_label_next(&rest, &line)) > 0) {
		size_t n_key = strcspn(line, "=");

		failed = json_object_setn_new(all, line, n_key, json_stringn(line + n_key + 1, n - n_key - 1));
	}
	if (json_is_object(labels)) {
		json_object_foreach(labels, key, v) {
			if (json_is_null(v))
				(void)json_object_del(all, key);
			else if (!failed)
				failed = json_object_set(all, key, v);
		}
		failed = failed || json_object_set(patch, "labels", all) != 0;
	}
	json_decref(all);
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		if (json_is_null(json_object_get(patch, fields[i])))
			(void)json_object_del(patch, fields[i]);
	return failed ? pare_err_nomem(err, 0) : PARE_OK;
}

/* The whole record as it shall be, checked. Fields that the patch makes null are absent, which means their defaults. */
static enum pare_code parse_patch(struct api_exchange *x, const struct store_job *j, struct store_job_change *out, int *priority, struct pare_job **record, struct pare_err *err)
{
	struct pare_issues *issues = pare_arena_alloc(&x->arena, sizeof *issues);
	const char *body = x->body.data != NULL ? x->body.data : "";
	bool name, labels, first;
	json_t *patch = NULL;
	char *text = NULL;
	enum pare_code rc;

	if (issues == NULL)
		return pare_err_nomem(err, sizeof *issues);
	rc = pare_json_load(body, x->body.len, x->body.len, &patch, NULL, err);
	if (rc != PARE_OK)
		return rc;
	name = json_object_get(patch, "name") != NULL;
	labels = json_object_get(patch, "labels") != NULL;
	first = json_object_get(patch, "priority") != NULL;
	rc = merge(patch, j, err);
	if (rc == PARE_OK)
		rc = api_json_dump(patch, &text, err);
	json_decref(patch);
	if (rc == PARE_OK)
		rc = pare_object_parse("record", text, strlen(text), record, issues, err);
	pare_free(text);
	if (rc == PARE_E_INVALID && issues->n > 0)
		x->issues = issues;
	if (rc == PARE_OK && name)
		out->name = pare_args_has(pare_job_args(*record), "name") ? pare_args_str(pare_job_args(*record), "name") : "";
	if (rc == PARE_OK && labels)
		rc = api_labels_text(x, pare_job_args(*record), &out->labels, err);
	if (rc == PARE_OK && first) {
		*priority = (int)pare_args_int(pare_job_args(*record), "priority");
		out->priority = priority;
	}
	return rc;
}

/* What was matched is what is changed: the store holds the revision once more against the one that the patch was merged with. */
static enum pare_code try_patch(struct api_exchange *x, struct store_job *out, struct pare_err *err)
{
	struct store_job_change change = {.name = NULL};
	struct pare_job *record = NULL;
	struct store_job old;
	int priority = 0;
	enum pare_code rc = api_find_job(x, &old, err);

	if (rc != PARE_OK)
		return rc;
	if (api_request_header(x, "If-Match") == NULL)
		rc = pare_err_set(err, PARE_E_PRECONDITION_REQUIRED, NULL, "send If-Match with the job's ETag, so that no change is lost; or If-Match: * to change it whatever it is");
	if (rc == PARE_OK)
		rc = api_job_if_match(x, &old, err);
	if (rc == PARE_OK)
		rc = parse_patch(x, &old, &change, &priority, &record, err);
	change.if_revision = old.revision;
	if (rc == PARE_OK)
		rc = store_job_change(x->view, old.id, &change, out, err);
	pare_job_free(record);
	store_job_done(&old);
	return rc;
}

/* Every event of a running job is a new revision. Whoever said "whatever it is" is not told that it has become another one meanwhile: the patch is merged with that. */
enum pare_code api_patch_job(struct api_exchange *x, struct pare_err *err)
{
	const char *match = api_request_header(x, "If-Match");
	bool whatever = match != NULL && strcmp(match, "*") == 0;
	struct store_job j;
	enum pare_code rc = try_patch(x, &j, err);

	for (int i = 1; i < PATCH_TRIES && whatever && rc == PARE_E_PRECONDITION; i++)
		rc = try_patch(x, &j, err);
	if (rc != PARE_OK)
		return rc;
	rc = api_reply_job(x, &j, 200, err);
	store_job_done(&j);
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
	api_set_header_text(x, "Cache-Control", "no-store");
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "queue");
	api_json_int(&x->out, "runnable", counts[STORE_QUEUED]);
	api_json_int(&x->out, "running", counts[STORE_RUNNING] + counts[STORE_PAUSING] + counts[STORE_CANCELING]);
	api_json_int(&x->out, "paused", counts[STORE_PAUSED]);
	api_json_time(&x->out, "oldest_queued_at", oldest);
	api_json_int(&x->out, "workers_alive", alive);
	api_json_int(&x->out, "workers_busy", busy);
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

static void int_or_null(struct pare_buf *b, const char *key, int64_t v)
{
	if (v > 0)
		api_json_int(b, key, v);
	else
		api_json_raw(b, key, NULL);
}

/* What a worker runs for another owner is no business of this one's: it is busy. */
static void write_worker(struct api_exchange *x, const struct api_worker *w)
{
	struct pare_buf *b = &x->out;
	bool busy = w->job[0] != '\0', shown = busy && strcmp(w->owner, x->caller.owner) == 0;
	int64_t now = x->api->opt.env->wall_ms(x->api->opt.env->ctx);

	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "worker");
	api_json_str(b, "name", w->name);
	api_json_int(b, "slot", w->slot);
	api_json_str(b, "state", busy ? "busy" : "idle");
	api_json_str(b, "job", shown ? w->job : NULL);
	int_or_null(b, "attempt", shown ? w->attempt : 0);
	int_or_null(b, "pid", w->pid);
	api_json_time(b, "claimed_at", w->claimed_ms);
	api_json_time(b, "heartbeat_at", w->renewed_ms);
	api_json_time(b, "lease_expires_at", w->lease_until_ms);
	api_json_int(b, "lease_age_seconds", busy && now > w->claimed_ms ? (now - w->claimed_ms) / 1000 : 0);
	api_json_close(b, '}');
}

enum pare_code api_get_workers(struct api_exchange *x, struct pare_err *err)
{
	const struct api_engine *e = &x->api->opt.engine;
	struct api_worker *list = pare_arena_array(&x->arena, API_MAX_WORKERS, sizeof *list);
	int n;

	if (list == NULL)
		return pare_err_nomem(err, API_MAX_WORKERS * sizeof *list);
	n = e->each_worker != NULL ? e->each_worker(e->ctx, list, API_MAX_WORKERS) : 0;
	api_set_header_text(x, "Cache-Control", "no-store");
	api_list_open(x);
	for (int i = 0; i < n; i++)
		write_worker(x, &list[i]);
	api_list_close(x, false, NULL);
	return api_reply_json(x, 200, err);
}

enum pare_code api_delete_job(struct api_exchange *x, struct pare_err *err)
{
	struct store_artifact *list = NULL;
	struct store_job j;
	int n = 0;
	enum pare_code rc = api_find_job(x, &j, err);

	if (rc != PARE_OK)
		return rc;
	rc = api_job_if_match(x, &j, err);
	if (rc == PARE_OK)
		rc = store_artifact_list(x->view, j.id, &list, &n, err);
	if (rc == PARE_OK)
		rc = store_job_delete(x->view, j.id, err);
	for (int i = 0; i < n && rc == PARE_OK; i++)
		(void)store_blob_drop(x->api->opt.store, x->api->opt.blobs, list[i].sha256);
	if (rc == PARE_OK && j.checkpoint[0] != '\0')
		(void)store_blob_drop(x->api->opt.store, x->api->opt.blobs, j.checkpoint);
	store_artifact_list_done(list, n);
	store_job_done(&j);
	if (rc == PARE_OK)
		api_reply_empty(x, 204);
	return rc;
}
