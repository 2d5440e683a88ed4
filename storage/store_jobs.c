/* The life of a job, once for all backends.
 *
 *   queued -> running -> succeeded | failed | canceled          claim, finish
 *      \         |  \--> canceling -> canceled | succeeded      cancel, then finish or release
 *       \        |   \-> pausing -> paused | succeeded | failed  pause, then finish or release
 *        \       +-----> queued (again), or failed: worker_crashed after max_crashes       release, expire, recover
 *         +-> canceled, paused                                  cancel, pause; paused -> queued by resume
 *
 * A job that has made jobs of the runs of its sweep is running without being held (store_children.c).
 *
 * Each change loads the row, changes it, appends the event and writes both in one transaction, so state and history cannot disagree;
 * next_seq lives in the row, so events have no gaps. The rejected alternative, one UPDATE ... WHERE per transition in each backend's
 * SQL, saves a row read and writes the rules down three times.
 *
 * A claim makes a new random token; whoever works on the job shows it with every call and is told PARE_E_LEASE_LOST once it is no longer
 * the present one. Time alone never decides that somebody still works: an expired lease whose token still stands may be renewed. */
#include "storage/registry.h"
#include "storage/store_priv.h"

#include <assert.h>
#include <string.h>

#include "core/base/mem.h"

#define EVENT_DATA_CAP ((size_t)64 << 10)

static int64_t wall(const struct store *s)
{
	return s->env.wall_ms(s->env.ctx);
}

static int64_t mono(const struct store *s)
{
	return s->env.mono_ms(s->env.ctx);
}

static const char *or_empty(const char *s)
{
	return s != NULL ? s : "";
}

enum pare_code store_job_append(struct store *s, struct store_tx *tx, struct store_job_row *r, const char *type, const char *level, const char *data, struct pare_err *err)
{
	struct store_event e = {.seq = r->next_seq++, .at_ms = wall(s), .type = type, .level = level, .data = data, .memory = NULL};
	enum pare_code code;

	memcpy(e.subject, r->j.id, sizeof e.subject);
	code = s->ops->event_insert(tx, r->j.owner, &e, err);
	if (r->j.parent[0] != '\0') /* what it comes to its parent tells */
		return code;
	return code == PARE_OK ? store_tell(s, tx, r->j.owner, &e, err) : code;
}

/* The row as it now is, and the event that tells of it. */
enum pare_code store_job_save(struct store *s, struct store_tx *tx, struct store_job_row *r, const char *type, const char *level, const char *data, struct pare_err *err)
{
	enum pare_code code = store_job_append(s, tx, r, type, level, data, err);

	r->j.revision++;
	return code == PARE_OK ? s->ops->job_update(tx, r, err) : code;
}

void store_job_let_go(struct store_job_row *r, enum store_job_status st)
{
	r->j.status = st;
	r->j.phase = "";
	r->j.lease_token = 0;
	r->lease_until = 0;
	r->worker = "";
}

static void drop_checkpoint(struct store_job_row *r)
{
	r->j.checkpoint[0] = '\0';
	r->j.checkpoint_bytes = r->j.checkpoint_ms = 0;
	r->j.checkpoint_place = "";
}

static enum pare_code save_ended(struct store *s, struct store_tx *tx, struct store_job_row *r, enum store_job_status st, struct pare_err *err)
{
	enum pare_code code;

	store_job_let_go(r, st);
	drop_checkpoint(r);
	r->j.finished_ms = wall(s);
	code = store_job_save(s, tx, r, st == STORE_SUCCEEDED ? "job.succeeded" : "job.canceled", "info", "{}", err);
	return code == PARE_OK ? store_child_ended(s, tx, r, err) : code;
}

static enum pare_code save_failed(struct store *s, struct store_tx *tx, struct store_job_row *r, enum pare_code why, const char *message, const char *where, struct pare_err *err)
{
	struct pare_buf data;
	enum pare_code code;

	store_job_let_go(r, STORE_FAILED);
	if (why != PARE_E_STORE_FULL)
		drop_checkpoint(r);
	r->j.finished_ms = wall(s);
	r->j.error_code = pare_code_string(why);
	r->j.error_message = or_empty(message);
	r->j.error_where = or_empty(where);
	pare_buf_init(&data, EVENT_DATA_CAP);
	(void)pare_buf_str(&data, "{");
	store_json_member(&data, "code", r->j.error_code);
	store_json_member(&data, "message", r->j.error_message);
	store_json_member(&data, "where", r->j.error_where);
	(void)pare_buf_str(&data, "}");
	code = pare_buf_status(&data, err);
	if (code == PARE_OK)
		code = store_job_save(s, tx, r, "job.failed", "error", data.data, err);
	pare_buf_done(&data);
	return code == PARE_OK ? store_child_ended(s, tx, r, err) : code;
}

static enum pare_code save_retrying(struct store *s, struct store_tx *tx, struct store_job_row *r, const char *reason, struct pare_err *err)
{
	struct pare_buf data;
	enum pare_code code;

	store_job_let_go(r, STORE_QUEUED);
	r->j.started_ms = 0;
	r->j.progress = "";
	pare_buf_init(&data, EVENT_DATA_CAP);
	(void)pare_buf_str(&data, "{");
	store_json_member(&data, "reason", or_empty(reason));
	(void)pare_buf_printf(&data, ",\"attempt\":%d", r->j.attempt);
	if (r->j.not_before_ms > wall(s))
		(void)pare_buf_printf(&data, ",\"pause_seconds\":%lld", (long long)((r->j.not_before_ms - wall(s) + 999) / 1000));
	(void)pare_buf_str(&data, "}");
	code = pare_buf_status(&data, err);
	if (code == PARE_OK)
		code = store_job_save(s, tx, r, "job.retrying", "warning", data.data, err);
	pare_buf_done(&data);
	return code;
}

enum pare_code store_job_save_paused(struct store *s, struct store_tx *tx, struct store_job_row *r, struct pare_err *err)
{
	store_job_let_go(r, STORE_PAUSED);
	r->j.started_ms = 0;
	return store_job_save(s, tx, r, "job.paused", "info", "{}", err);
}

static enum pare_code give_back(struct store *s, struct store_tx *tx, struct store_job_row *r, bool crashed, const char *reason, struct pare_err *err)
{
	if (crashed)
		r->j.crashes++;
	if (r->j.status == STORE_CANCELING)
		return save_ended(s, tx, r, STORE_CANCELED, err);
	if (crashed && r->j.crashes >= r->j.max_crashes)
		return save_failed(s, tx, r, PARE_E_WORKER_CRASHED, reason, NULL, err);
	if (r->j.status == STORE_PAUSING)
		return store_job_save_paused(s, tx, r, err);
	return save_retrying(s, tx, r, reason, err);
}

static void end_stall(struct store_job_row *r)
{
	if (r->j.stalls > 0)
		r->loaded_status = STORE_N_STATUS;
	r->j.stalls = 0;
	r->j.stalled_ms = r->j.not_before_ms = 0;
}

/* The last try is made when the time is over, however long the pause before it would be. */
static enum pare_code stall(struct store *s, struct store_tx *tx, struct store_job_row *r, int64_t max_ms, const char *reason, struct pare_err *err)
{
	int64_t now = wall(s), pause = (int64_t)1000 << (r->j.stalls < 20 ? r->j.stalls : 20);
	struct pare_err why;

	if (r->j.status == STORE_CANCELING || r->j.status == STORE_PAUSING)
		return give_back(s, tx, r, false, reason, err);
	if (r->j.stalls++ == 0)
		r->j.stalled_ms = now;
	if (now - r->j.stalled_ms >= max_ms) {
		(void)pare_err_set(&why, PARE_E_STORE_FULL, NULL, "no room in %lld s and %d attempts: %.400s. Make some and retry the job%s", (long long)((now - r->j.stalled_ms) / 1000), r->j.stalls, reason,
		    r->j.checkpoint[0] != '\0' ? ": it goes on from its last checkpoint" : "");
		return save_failed(s, tx, r, PARE_E_STORE_FULL, why.message, NULL, err);
	}
	pause = pause < STORE_STALL_MAX_MS ? pause : STORE_STALL_MAX_MS;
	r->j.not_before_ms = now + pause < r->j.stalled_ms + max_ms ? now + pause : r->j.stalled_ms + max_ms;
	return save_retrying(s, tx, r, reason, err);
}

/* --- the client's side */
static enum pare_code need_asset(struct store_view v, struct store_tx *tx, enum store_asset_kind kind, const char *id, const char *where, struct pare_err *err)
{
	bool there = false;
	enum pare_code code = v.store->ops->asset_exists(tx, v.owner, kind, id, &there, err);

	if (code != PARE_OK || there)
		return code;
	return pare_err_set(err, PARE_E_NOT_FOUND, where, "there is no %s \"%.40s\": it was deleted or never made", store_asset_noun(kind), id);
}

enum pare_code store_job_insert(struct store *s, struct store_tx *tx, struct store_job_row *r, struct pare_err *err)
{
	enum pare_code code;

	store_new_id(s, "job", r->j.id);
	r->j.created_ms = wall(s);
	r->next_seq = 2; /* the first event is inserted after the row it hangs on */
	code = s->ops->job_insert(tx, r, err);
	r->next_seq = 1;
	return code == PARE_OK ? store_job_append(s, tx, r, "job.queued", "info", "{}", err) : code;
}

/* Of the job that it does again, whose strings it borrows then. */
static enum pare_code take_checkpoint(struct store_view v, struct store_tx *tx, struct store_job_row *r, struct store_job_row *old, struct pare_err *err)
{
	enum pare_code code = r->j.retry_of[0] != '\0' ? v.store->ops->job_load(tx, v.owner, r->j.retry_of, old, err) : PARE_OK;

	if (code != PARE_OK || old->j.checkpoint[0] == '\0' || strcmp(old->j.request, r->j.request) != 0)
		return code == PARE_E_NOT_FOUND ? PARE_OK : code;
	memcpy(r->j.checkpoint, old->j.checkpoint, sizeof r->j.checkpoint);
	r->j.checkpoint_bytes = old->j.checkpoint_bytes;
	r->j.checkpoint_ms = old->j.checkpoint_ms;
	r->j.checkpoint_place = old->j.checkpoint_place;
	return PARE_OK;
}

static enum pare_code put_new(struct store_view v, struct store_tx *tx, struct store_job_row *r, const struct store_idempotency *once, struct pare_err *err)
{
	struct store_job_row old = {.j = {.memory = NULL}};
	struct store *s = v.store;
	enum pare_code code = need_asset(v, tx, STORE_MODEL, r->j.model, "/model", err);

	if (code == PARE_OK && r->j.register_as[0] != '\0')
		code = store_register_check(r->j.register_as, err);
	if (code == PARE_OK && r->j.dataset[0] != '\0')
		code = need_asset(v, tx, STORE_DATASET, r->j.dataset, "/dataset", err);
	if (code == PARE_OK)
		code = store_quota_job(v, tx, err);
	if (code != PARE_OK)
		return code;
	memcpy(r->j.owner, v.owner, strlen(v.owner) + 1);
	code = take_checkpoint(v, tx, r, &old, err);
	if (code == PARE_OK)
		code = store_job_insert(s, tx, r, err);
	if (code == PARE_OK)
		code = store_once_keep(v, tx, once, r->j.id, err);
	if (code == PARE_OK)
		code = store_job_own(r, err);
	store_job_done(&old.j);
	return code;
}

struct store_job_row store_job_new_row(const struct store_job *j)
{
	struct store_job_row r = {
	    .j = {.status = STORE_QUEUED, .phase = "", .revision = 1, .max_crashes = j->max_crashes, .kind = or_empty(j->kind), .name = or_empty(j->name), .labels = or_empty(j->labels), .priority = j->priority, .model = or_empty(j->model),
	        .dataset = or_empty(j->dataset), .request = j->request, .progress = "", .result = "", .error_code = "", .error_message = "", .error_where = "", .checkpoint_place = "", .trial = or_empty(j->trial), .register_as = or_empty(j->register_as)},
	    .worker = ""};

	memcpy(r.j.owner, j->owner, sizeof r.j.owner);
	memcpy(r.j.parent, j->parent, sizeof r.j.parent);
	memcpy(r.j.retry_of, j->retry_of, sizeof r.j.retry_of);
	return r;
}

enum pare_code store_job_put(struct store_view v, struct store_job *j, struct store_idempotency *once, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_job_row r = {.j = {.memory = NULL}};
	char made[PARE_ID_MAX];
	struct store_tx *tx;
	enum pare_code code;

	assert(j->request != NULL);
	code = s->ops->begin(s, true, &tx, err);
	if (code != PARE_OK)
		return code;
	code = store_once_find(v, tx, once, made, err);
	if (code == PARE_OK && once != NULL && once->replayed) {
		code = s->ops->job_load(tx, v.owner, made, &r, err);
	} else if (code == PARE_OK) {
		r = store_job_new_row(j);
		code = put_new(v, tx, &r, once, err);
		if (code == PARE_OK && j->webhook != NULL)
			code = store_hook_of_new_job(v, tx, j->webhook, &r, err);
	}
	code = s->ops->end(tx, code, err);
	if (code != PARE_OK) {
		store_job_done(&r.j);
		return code;
	}
	*j = r.j;
	return PARE_OK;
}

static enum pare_code change(struct store *s, struct store_tx *tx, struct store_job_row *r, const struct store_job_change *c, struct pare_err *err)
{
	enum pare_code code;

	if (c->if_revision != 0 && r->j.revision != c->if_revision)
		return pare_err_set(err, PARE_E_PRECONDITION, NULL, "job %s has changed since: its revision is %lld by now", r->j.id, (long long)r->j.revision);
	r->j.name = c->name != NULL ? c->name : r->j.name;
	r->j.labels = c->labels != NULL ? c->labels : r->j.labels;
	r->j.priority = c->priority != NULL ? *c->priority : r->j.priority;
	r->j.revision++;
	code = s->ops->job_update_record(tx, r, err);
	return code == PARE_OK && c->priority != NULL ? store_children_priority(s, tx, r, err) : code;
}

/* Read again in the end, since what was written borrows the caller's strings. */
enum pare_code store_job_change(struct store_view v, const char *id, const struct store_job_change *c, struct store_job *out, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_job_row r = {.j = {.memory = NULL}};
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->job_load(tx, v.owner, id, &r, err);
	if (code == PARE_OK)
		code = change(s, tx, &r, c, err);
	store_job_done(&r.j);
	if (code == PARE_OK)
		code = s->ops->job_load(tx, v.owner, id, &r, err);
	code = s->ops->end(tx, code, err);
	if (code == PARE_OK)
		*out = r.j;
	else
		store_job_done(&r.j);
	return code;
}

/* What its worker hears when it next renews the lease. No event tells of it; one will of what comes of it. */
static enum pare_code ask_worker(struct store *s, struct store_tx *tx, struct store_job_row *r, enum store_job_status st, struct pare_err *err)
{
	r->j.status = st;
	r->j.revision++;
	return s->ops->job_update(tx, r, err);
}

enum pare_code store_job_cancel_row(struct store *s, struct store_tx *tx, struct store_job_row *r, struct pare_err *err)
{
	enum pare_code code;

	switch (store_job_waits(&r->j) ? STORE_QUEUED : r->j.status) {
	case STORE_QUEUED:
	case STORE_PAUSED:
		code = save_ended(s, tx, r, STORE_CANCELED, err); /* before its children: then the end of none queues it */
		return code == PARE_OK ? store_children_cancel(s, tx, r, err) : code;
	case STORE_RUNNING:
	case STORE_PAUSING:
		return ask_worker(s, tx, r, STORE_CANCELING, err);
	case STORE_CANCELING:
	case STORE_CANCELED:
		return PARE_OK;
	default:
		return pare_err_set(err, PARE_E_CONFLICT, NULL, "job %s has already %s: only a job that has not ended can be canceled", r->j.id, store_job_status_name(r->j.status));
	}
}

static enum pare_code cannot(const struct store_job *j, const char *only, struct pare_err *err)
{
	return pare_err_set(err, PARE_E_CONFLICT, NULL, "job %s is %s: only a %s job can be %s", j->id, store_job_status_name(j->status), only, strcmp(only, "paused") == 0 ? "resumed" : "paused");
}

enum pare_code store_job_pause_row(struct store *s, struct store_tx *tx, struct store_job_row *r, struct pare_err *err)
{
	enum pare_code code;

	switch (store_job_waits(&r->j) ? STORE_QUEUED : r->j.status) {
	case STORE_QUEUED:
		code = store_job_save_paused(s, tx, r, err);
		return code == PARE_OK ? store_children_pause(s, tx, r, err) : code;
	case STORE_RUNNING:
		return ask_worker(s, tx, r, STORE_PAUSING, err);
	case STORE_PAUSING:
	case STORE_PAUSED:
		return PARE_OK;
	default:
		return cannot(&r->j, "queued or running", err);
	}
}

enum pare_code store_job_resume_row(struct store *s, struct store_tx *tx, struct store_job_row *r, struct pare_err *err)
{
	enum pare_code code;
	bool waits = false;

	switch (r->j.status) {
	case STORE_PAUSED:
		code = store_children_resume(s, tx, r, &waits, err);
		if (code != PARE_OK || waits)
			return code;
		r->j.status = STORE_QUEUED;
		r->j.progress = "";
		end_stall(r);
		return store_job_save(s, tx, r, "job.queued", "info", "{}", err);
	case STORE_PAUSING:
		return ask_worker(s, tx, r, STORE_RUNNING, err);
	case STORE_QUEUED:
	case STORE_RUNNING:
		return PARE_OK;
	default:
		return cannot(&r->j, "paused", err);
	}
}

typedef enum pare_code (*row_change)(struct store *s, struct store_tx *tx, struct store_job_row *r, struct pare_err *err);

static enum pare_code change_status(struct store_view v, const char *id, row_change fn, struct store_job *out, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_job_row r = {.j = {.memory = NULL}};
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->job_load(tx, v.owner, id, &r, err);
	if (code == PARE_OK)
		code = fn(s, tx, &r, err);
	code = s->ops->end(tx, code, err);
	if (code == PARE_OK)
		*out = r.j;
	else
		store_job_done(&r.j);
	return code;
}

enum pare_code store_job_cancel(struct store_view v, const char *id, struct store_job *out, struct pare_err *err)
{
	return change_status(v, id, store_job_cancel_row, out, err);
}

enum pare_code store_job_pause(struct store_view v, const char *id, struct store_job *out, struct pare_err *err)
{
	return change_status(v, id, store_job_pause_row, out, err);
}

enum pare_code store_job_resume(struct store_view v, const char *id, struct store_job *out, struct pare_err *err)
{
	return change_status(v, id, store_job_resume_row, out, err);
}

enum pare_code store_job_delete(struct store_view v, const char *id, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_job_row r = {.j = {.memory = NULL}};
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->job_load(tx, v.owner, id, &r, err);
	if (code == PARE_OK && !store_job_status_final(r.j.status))
		code = pare_err_set(err, PARE_E_CONFLICT, NULL, "job %s is %s: cancel it and wait for its end before deleting it", r.j.id, store_job_status_name(r.j.status));
	if (code == PARE_OK)
		code = s->ops->job_remove(tx, id, err);
	store_job_done(&r.j);
	return s->ops->end(tx, code, err);
}

static enum pare_code delete_artifact(struct store_view v, struct store_tx *tx, const char *id, struct store_job_row *r, struct pare_err *err)
{
	const struct store_ops *ops = v.store->ops;
	struct store_artifact a = {.memory = NULL};
	enum pare_code code = ops->artifact_find(tx, v.owner, id, &a, err);

	if (code == PARE_OK)
		code = ops->job_load(tx, v.owner, a.job, r, err);
	store_artifact_done(&a);
	if (code != PARE_OK)
		return code;
	r->j.revision++;
	code = ops->job_update(tx, r, err);
	return code == PARE_OK ? ops->artifact_remove(tx, id, err) : code;
}

enum pare_code store_artifact_delete(struct store_view v, const char *id, struct pare_err *err)
{
	struct store_job_row r = {.j = {.memory = NULL}};
	struct store_tx *tx;
	enum pare_code code = v.store->ops->begin(v.store, true, &tx, err);

	if (code != PARE_OK)
		return code;
	code = delete_artifact(v, tx, id, &r, err);
	store_job_done(&r.j);
	return v.store->ops->end(tx, code, err);
}

/* --- the worker's side */
static enum pare_code claim(struct store *s, struct store_tx *tx, const char *worker, int64_t lease_ms, struct store_job_row *r, struct pare_err *err)
{
	struct pare_buf data;
	enum pare_code code = s->ops->job_next_queued(tx, wall(s), r, err);
	uint64_t token = 0;

	if (code != PARE_OK)
		return code;
	s->env.random(s->env.ctx, &token, sizeof token);
	r->j.lease_token = (int64_t)(token >> 1) | 1;
	r->j.status = STORE_RUNNING;
	r->j.attempt++;
	if (r->j.started_ms == 0) /* else it comes back from waiting for its children */
		r->j.started_ms = wall(s);
	r->worker = or_empty(worker);
	r->lease_until = mono(s) + lease_ms;
	pare_buf_init(&data, EVENT_DATA_CAP);
	(void)pare_buf_printf(&data, "{\"attempt\":%d}", r->j.attempt);
	code = pare_buf_status(&data, err);
	if (code == PARE_OK)
		code = store_job_save(s, tx, r, "job.started", "info", data.data, err);
	pare_buf_done(&data);
	return code;
}

enum pare_code store_job_claim(struct store *s, const char *worker, int64_t lease_ms, struct store_job *out, bool *out_found, struct pare_err *err)
{
	struct store_job_row r = {.j = {.memory = NULL}};
	struct store_tx *tx;
	bool empty;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	code = claim(s, tx, worker, lease_ms, &r, err);
	empty = code == PARE_E_NOT_FOUND;
	code = s->ops->end(tx, empty ? PARE_OK : code, err);
	if (code != PARE_OK) {
		store_job_done(&r.j);
		return code;
	}
	*out_found = !empty;
	if (!empty)
		*out = r.j;
	return PARE_OK;
}

static enum pare_code load_held(struct store *s, struct store_tx *tx, const char *id, int64_t token, struct store_job_row *r, struct pare_err *err)
{
	enum pare_code code = s->ops->job_load(tx, NULL, id, r, err);

	if (code == PARE_E_NOT_FOUND)
		return pare_err_set(err, PARE_E_LEASE_LOST, NULL, "job \"%.40s\" is gone: stop working on it", id);
	if (code != PARE_OK)
		return code;
	if (token == 0 || r->j.lease_token != token)
		return pare_err_set(err, PARE_E_LEASE_LOST, NULL, "job %s is %s and no longer held under this lease: stop working on it", r->j.id, store_job_status_name(r->j.status));
	return PARE_OK;
}

enum pare_code store_held_begin(struct store *s, const char *id, int64_t token, struct store_held *out, struct pare_err *err)
{
	enum pare_code code;

	*out = (struct store_held){.tx = NULL};
	code = s->ops->begin(s, true, &out->tx, err);
	if (code != PARE_OK)
		return code;
	code = load_held(s, out->tx, id, token, &out->r, err);
	return code == PARE_OK ? PARE_OK : store_held_end(s, out, code, err);
}

enum pare_code store_held_end(struct store *s, struct store_held *h, enum pare_code code, struct pare_err *err)
{
	store_job_done(&h->r.j);
	return s->ops->end(h->tx, code, err);
}

enum pare_code store_job_renew(struct store *s, const char *id, int64_t token, int64_t lease_ms, enum store_job_status *out_status, struct pare_err *err)
{
	struct store_held h;
	enum store_job_status status;
	enum pare_code code = store_held_begin(s, id, token, &h, err);

	if (code != PARE_OK)
		return code;
	status = h.r.j.status;
	h.r.lease_until = mono(s) + lease_ms;
	code = store_held_end(s, &h, s->ops->job_update(h.tx, &h.r, err), err);
	if (code == PARE_OK)
		*out_status = status;
	return code;
}

enum pare_code store_job_event(struct store *s, const char *id, int64_t token, const char *type, const char *level, const char *data, const char *phase, const char *progress, struct pare_err *err)
{
	struct store_held h;
	enum pare_code code = store_held_begin(s, id, token, &h, err);

	if (code != PARE_OK)
		return code;
	h.r.j.phase = phase != NULL ? phase : h.r.j.phase;
	h.r.j.progress = progress != NULL ? progress : h.r.j.progress;
	return store_held_end(s, &h, store_job_save(s, h.tx, &h.r, type, level, data != NULL ? data : "{}", err), err);
}

enum pare_code store_job_checkpoint(struct store *s, const char *id, int64_t token, const char *sha256, int64_t n_bytes, const char *place, struct pare_err *err)
{
	struct store_held h;
	enum pare_code code;

	if (!store_hex_check(sha256, STORE_SHA256_HEX - 1) || n_bytes < 0)
		return pare_err_set(err, PARE_E_INVALID, "checkpoint", "a checkpoint needs 64 lower-case hex digits as its sha256 and a size");
	code = store_held_begin(s, id, token, &h, err);
	if (code != PARE_OK)
		return code;
	memcpy(h.r.j.checkpoint, sha256, sizeof h.r.j.checkpoint);
	h.r.j.checkpoint_bytes = n_bytes;
	h.r.j.checkpoint_ms = wall(s);
	h.r.j.checkpoint_place = place;
	end_stall(&h.r);
	return store_held_end(s, &h, store_job_save(s, h.tx, &h.r, "job.checkpoint", "info", place, err), err);
}

static enum pare_code check_outcome(const struct store_outcome *o, struct pare_err *err)
{
	assert(store_job_status_final(o->status));
	for (int i = 0; i < o->n_artifacts; i++) {
		const struct store_artifact *a = &o->artifacts[i];

		if (a->name == NULL || a->name[0] == '\0' || a->media_type == NULL)
			return pare_err_set(err, PARE_E_INVALID, "artifacts", "artifact %d has no name or no media type", i);
		if (!store_hex_check(a->sha256, STORE_SHA256_HEX - 1) || a->n_bytes < 0)
			return pare_err_set(err, PARE_E_INVALID, "artifacts", "artifact \"%.80s\" needs 64 lower-case hex digits as its sha256 and a size", a->name);
		for (int k = 0; k < i; k++)
			if (strcmp(o->artifacts[k].name, a->name) == 0)
				return pare_err_set(err, PARE_E_INVALID, "artifacts", "two artifacts are named \"%.80s\": names of one job differ", a->name);
	}
	return o->model != NULL ? store_asset_check_files(o->model, err) : PARE_OK;
}

/* The model of what a job made, and the job's end, whose result tells its id. */
static enum pare_code save_registered(struct store *s, struct store_tx *tx, struct store_job_row *r, struct store_asset *model, struct pare_err *err)
{
	struct store_view v = {s, r->j.owner};
	size_t n = strlen(r->j.result);
	struct pare_buf result;
	enum pare_code code;

	model->kind = STORE_MODEL;
	model->produced_by = r->j.id;
	code = store_register(v, tx, r->j.register_as, model, err);
	pare_buf_init(&result, n + EVENT_DATA_CAP);
	(void)pare_buf_add(&result, n > 2 ? r->j.result : "{", n > 2 ? n - 1 : 1); /* all of the object but its end */
	store_json_member(&result, "model", model->id);
	(void)pare_buf_str(&result, "}");
	if (code == PARE_OK)
		code = pare_buf_status(&result, err);
	if (code == PARE_OK) {
		r->j.result = result.data;
		code = save_ended(s, tx, r, STORE_SUCCEEDED, err);
		r->j.result = "";
	}
	pare_buf_done(&result);
	return code;
}

static enum pare_code finish(struct store *s, struct store_tx *tx, struct store_job_row *r, const struct store_outcome *o, struct pare_err *err)
{
	for (int i = 0; i < o->n_artifacts; i++) {
		struct store_artifact *a = &o->artifacts[i];
		enum pare_code code;

		store_new_id(s, "art", a->id);
		memcpy(a->job, r->j.id, sizeof a->job);
		memcpy(a->owner, r->j.owner, sizeof a->owner);
		a->created_ms = wall(s);
		code = s->ops->artifact_insert(tx, a, err);
		if (code != PARE_OK)
			return code;
	}
	r->j.result = or_empty(o->result);
	if (o->status == STORE_FAILED)
		return save_failed(s, tx, r, o->code, o->message, o->where, err);
	if (o->status == STORE_SUCCEEDED && o->model != NULL && r->j.register_as[0] != '\0')
		return save_registered(s, tx, r, o->model, err);
	return save_ended(s, tx, r, o->status, err);
}

enum pare_code store_job_finish(struct store *s, const char *id, int64_t token, const struct store_outcome *o, struct pare_err *err)
{
	struct store_held h;
	enum pare_code code = check_outcome(o, err);

	if (code == PARE_OK)
		code = store_held_begin(s, id, token, &h, err);
	return code == PARE_OK ? store_held_end(s, &h, finish(s, h.tx, &h.r, o, err), err) : code;
}

enum pare_code store_job_release(struct store *s, const char *id, int64_t token, bool crashed, const char *reason, struct pare_err *err)
{
	struct store_held h;
	enum pare_code code = store_held_begin(s, id, token, &h, err);

	return code == PARE_OK ? store_held_end(s, &h, give_back(s, h.tx, &h.r, crashed, reason, err), err) : code;
}

enum pare_code store_job_stall(struct store *s, const char *id, int64_t token, int64_t max_ms, const char *reason, struct pare_err *err)
{
	struct store_held h;
	enum pare_code code = store_held_begin(s, id, token, &h, err);

	return code == PARE_OK ? store_held_end(s, &h, stall(s, h.tx, &h.r, max_ms, reason, err), err) : code;
}

/* Gives back every held job whose lease ends at or before limit. */
static enum pare_code sweep(struct store *s, int64_t limit, const char *reason, int *out_n, struct pare_err *err)
{
	struct store_tx *tx;
	int n = 0;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	while (code == PARE_OK) {
		struct store_job_row r = {.j = {.memory = NULL}};

		code = s->ops->job_held_until(tx, limit, &r, err);
		if (code == PARE_OK)
			code = give_back(s, tx, &r, false, reason, err);
		n += code == PARE_OK;
		store_job_done(&r.j);
	}
	code = s->ops->end(tx, code == PARE_E_NOT_FOUND ? PARE_OK : code, err);
	if (code == PARE_OK)
		*out_n = n;
	return code;
}

enum pare_code store_recover(struct store *s, int *out_n, struct pare_err *err)
{
	return sweep(s, INT64_MAX, "the service was restarted", out_n, err);
}

enum pare_code store_expire(struct store *s, int *out_n, struct pare_err *err)
{
	return sweep(s, mono(s), "the lease ran out", out_n, err);
}
