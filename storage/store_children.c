/* Jobs that are runs of another job's sweep.
 *
 *   running, held -> running, held by nobody -> queued -> running, held -> ...        fork; the last child ends; claim
 *
 * A parent that waits is a running job without a lease: to clients it runs, and it holds no worker, so one worker is enough for any sweep. Every end
 * of a child passes through store_child_ended within its own transaction, which counts the siblings that are still open. Whichever ends last queues
 * the parent, and a process that is killed at any point finds both done or neither. The rejected alternative, a thread that looks after waiting
 * parents, would have to be right about what it has seen and what has happened since.
 *
 * A parent that is paused meanwhile stays so: those of its children that wait in the queue are paused with it, the others come to their end, and it waits for what is
 * left once it is resumed.
 *
 * What came of a run stands in its row and nowhere else: its figures are the child's result, its failure the child's error. */
#include "storage/store_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"

#define EVENT_DATA_CAP ((size_t)1 << 20) /* a child's result is in it */
#define CHUNK 32 /* children that are read at once */

bool store_job_waits(const struct store_job *j)
{
	return j->status == STORE_RUNNING && j->lease_token == 0;
}

/* --- fork */

static enum pare_code put_child(struct store *s, struct store_tx *tx, const struct store_job *parent, const struct store_child *c, struct pare_err *err)
{
	struct store_job j = *parent;
	struct store_job_row r;
	bool there = false;
	enum pare_code code = s->ops->job_has_child(tx, parent->id, c->trial, &there, err);

	if (code == PARE_OK && there)
		code = pare_err_set(err, PARE_E_CONFLICT, NULL, "job %s has a child for the run %.80s already", parent->id, c->trial);
	if (code != PARE_OK)
		return code;
	j.kind = c->kind;
	j.request = c->request;
	j.trial = c->trial;
	memcpy(j.parent, parent->id, sizeof j.parent);
	j.retry_of[0] = '\0';
	j.register_as = ""; /* what comes of the whole is, by the parent */
	r = store_job_new_row(&j);
	return store_job_insert(s, tx, &r, err);
}

/* {"fraction", "trials_done", "trials", "eta_seconds"}: the whole that the last run of the job itself ends is one run more. */
static void write_progress(struct pare_buf *b, int done, int all, int64_t ended, int64_t elapsed_ms)
{
	double left = all + 1 - done;

	(void)pare_buf_printf(b, "{\"fraction\":%.4f,\"trials_done\":%d,\"trials\":%d,\"eta_seconds\":", (double)done / (all + 1), done, all);
	if (ended > 0)
		(void)pare_buf_printf(b, "%.0f}", (double)elapsed_ms * 1e-3 / (double)ended * left);
	else
		(void)pare_buf_str(b, "null}");
}

static int64_t elapsed_ms(const struct store *s, const struct store_job *j)
{
	int64_t now = s->env.wall_ms(s->env.ctx);

	return j->started_ms > 0 && now > j->started_ms ? now - j->started_ms : 0;
}

static enum pare_code fork_row(struct store *s, struct store_tx *tx, struct store_job_row *r, const struct store_child *children, int n, int all, int ahead, struct pare_err *err)
{
	struct pare_buf data, progress;
	enum pare_code code = PARE_OK;

	for (int i = 0; i < n && code == PARE_OK; i++)
		code = put_child(s, tx, &r->j, &children[i], err);
	pare_buf_init(&data, EVENT_DATA_CAP);
	pare_buf_init(&progress, EVENT_DATA_CAP);
	(void)pare_buf_printf(&data, "{\"trials\":%d,\"done\":%d,\"all\":%d}", n, all - ahead - n, all);
	write_progress(&progress, all - ahead - n, all, 0, 0);
	if (code == PARE_OK && (code = pare_buf_status(&data, err)) == PARE_OK)
		code = pare_buf_status(&progress, err);
	if (code == PARE_OK) {
		store_job_let_go(r, STORE_RUNNING);
		r->loaded_status = STORE_N_STATUS; /* it is not moved, and yet let go of */
		r->j.phase = "sweep";
		r->j.progress = progress.data;
		r->j.trials_all = all;
		r->j.trials_ahead = ahead;
		code = store_job_save(s, tx, r, "job.waiting", "info", data.data, err);
	}
	pare_buf_done(&data);
	pare_buf_done(&progress);
	return code;
}

enum pare_code store_job_fork(struct store *s, const char *id, int64_t token, const struct store_child *children, int n, int all, int ahead, struct pare_err *err)
{
	struct store_held h;
	enum pare_code code = store_held_begin(s, id, token, &h, err);

	assert(n > 0 && ahead >= 0 && all >= n + ahead);
	if (code != PARE_OK)
		return code;
	if (h.r.j.status == STORE_CANCELING)
		code = pare_err_set(err, PARE_E_CANCELED, NULL, "job %s is being canceled", h.r.j.id);
	else if (h.r.j.status == STORE_PAUSING)
		code = store_job_save_paused(s, h.tx, &h.r, err);
	else
		code = fork_row(s, h.tx, &h.r, children, n, all, ahead, err);
	return store_held_end(s, &h, code, err);
}

/* --- ends */

static void write_end(struct pare_buf *b, const struct store_job *j, int done, int all)
{
	(void)pare_buf_printf(b, "{\"job\":\"%s\",\"status\":\"%s\",\"run\":%s,\"done\":%d,\"all\":%d", j->id, store_job_status_name(j->status), j->trial, done, all);
	if (j->result[0] != '\0')
		(void)pare_buf_printf(b, ",\"result\":%s", j->result);
	if (j->error_code[0] != '\0') {
		store_json_member(b, "code", j->error_code);
		store_json_member(b, "message", j->error_message);
	}
	(void)pare_buf_str(b, "}");
}

static int64_t n_open(const int64_t counts[STORE_N_STATUS])
{
	int64_t n = 0;

	for (int st = 0; st < STORE_N_STATUS; st++)
		n += store_job_status_final((enum store_job_status)st) ? 0 : counts[st];
	return n;
}

/* One child less is open of a parent that waits, or is paused while it does. */
static enum pare_code tell(struct store *s, struct store_tx *tx, struct store_job_row *parent, const struct store_job *child, struct pare_err *err)
{
	int64_t counts[STORE_N_STATUS] = {0}, open, ended;
	struct pare_buf data, progress;
	enum pare_code code = s->ops->job_children(tx, parent->j.id, counts, err);
	int done;

	open = n_open(counts);
	ended = counts[STORE_SUCCEEDED] + counts[STORE_FAILED] + counts[STORE_CANCELED];
	done = parent->j.trials_all - parent->j.trials_ahead - (int)open;
	pare_buf_init(&data, EVENT_DATA_CAP);
	pare_buf_init(&progress, EVENT_DATA_CAP);
	write_end(&data, child, done, parent->j.trials_all);
	write_progress(&progress, done, parent->j.trials_all, ended, elapsed_ms(s, &parent->j));
	if (code == PARE_OK && (code = pare_buf_status(&data, err)) == PARE_OK)
		code = pare_buf_status(&progress, err);
	if (code == PARE_OK) {
		parent->j.progress = progress.data;
		if (open == 0 && store_job_waits(&parent->j))
			store_job_let_go(parent, STORE_QUEUED);
		code = store_job_save(s, tx, parent, "job.trial", child->status == STORE_SUCCEEDED ? "info" : "warning", data.data, err);
	}
	pare_buf_done(&data);
	pare_buf_done(&progress);
	return code;
}

enum pare_code store_child_ended(struct store *s, struct store_tx *tx, const struct store_job_row *r, struct pare_err *err)
{
	struct store_job_row parent = {.j = {.memory = NULL}};
	enum pare_code code;

	if (r->j.parent[0] == '\0')
		return PARE_OK;
	code = s->ops->job_load(tx, NULL, r->j.parent, &parent, err);
	if (code == PARE_OK && (store_job_waits(&parent.j) || parent.j.status == STORE_PAUSED)) {
		code = tell(s, tx, &parent, &r->j, err);
	} else if (code == PARE_OK) { /* canceled: nothing follows its last event, and what it says of its children changes all the same */
		parent.j.revision++;
		code = s->ops->job_update(tx, &parent, err);
	}
	store_job_done(&parent.j);
	return code;
}

/* --- with the parent */

static enum pare_code each(struct store *s, struct store_tx *tx, const char *parent, const enum store_job_status *statuses, int n,
    enum pare_code (*change)(struct store *, struct store_tx *, struct store_job_row *, struct pare_err *), struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	while (code == PARE_OK) {
		struct store_job_row r = {.j = {.memory = NULL}};

		code = s->ops->job_child_in(tx, parent, statuses, n, &r, err);
		if (code == PARE_OK)
			code = change(s, tx, &r, err);
		store_job_done(&r.j);
	}
	return code == PARE_E_NOT_FOUND ? PARE_OK : code;
}

enum pare_code store_children_cancel(struct store *s, struct store_tx *tx, const struct store_job_row *r, struct pare_err *err)
{
	static const enum store_job_status open[] = {STORE_QUEUED, STORE_PAUSED, STORE_RUNNING, STORE_PAUSING};

	return r->j.trials_all > 0 ? each(s, tx, r->j.id, open, 4, store_job_cancel_row, err) : PARE_OK;
}

enum pare_code store_children_pause(struct store *s, struct store_tx *tx, const struct store_job_row *r, struct pare_err *err)
{
	static const enum store_job_status queued[] = {STORE_QUEUED};

	return r->j.trials_all > 0 ? each(s, tx, r->j.id, queued, 1, store_job_pause_row, err) : PARE_OK;
}

enum pare_code store_children_resume(struct store *s, struct store_tx *tx, struct store_job_row *r, bool *out_waits, struct pare_err *err)
{
	static const enum store_job_status paused[] = {STORE_PAUSED};
	int64_t counts[STORE_N_STATUS] = {0}, open;
	char data[96];
	enum pare_code code;

	if (r->j.trials_all == 0)
		return PARE_OK;
	code = each(s, tx, r->j.id, paused, 1, store_job_resume_row, err);
	if (code == PARE_OK)
		code = s->ops->job_children(tx, r->j.id, counts, err);
	open = n_open(counts);
	if (code != PARE_OK || open == 0)
		return code;
	*out_waits = true;
	r->j.status = STORE_RUNNING;
	r->j.phase = "sweep";
	(void)snprintf(data, sizeof data, "{\"trials\":%lld,\"done\":%d,\"all\":%d}", (long long)open, r->j.trials_all - r->j.trials_ahead - (int)open, r->j.trials_all);
	return store_job_save(s, tx, r, "job.waiting", "info", data, err);
}

static enum pare_code set_priority(struct store *s, struct store_tx *tx, const char *id, int priority, struct pare_err *err)
{
	struct store_job_row r = {.j = {.memory = NULL}};
	enum pare_code code = s->ops->job_load(tx, NULL, id, &r, err);

	if (code == PARE_OK) {
		r.j.priority = priority;
		r.j.revision++;
		code = s->ops->job_update_record(tx, &r, err);
	}
	store_job_done(&r.j);
	return code;
}

enum pare_code store_children_priority(struct store *s, struct store_tx *tx, const struct store_job_row *r, struct pare_err *err)
{
	struct store_range range = {.owner = r->j.owner, .parent = r->j.id, .ascending = true, .limit = CHUNK, .statuses = 1U << STORE_QUEUED | 1U << STORE_PAUSED};
	struct store_job list[CHUNK];
	char last[PARE_ID_MAX] = "";
	enum pare_code code = PARE_OK;
	int n = r->j.trials_all > 0 ? CHUNK : 0;

	while (code == PARE_OK && n == CHUNK) {
		n = 0;
		range.above = last[0] != '\0' ? last : NULL;
		code = s->ops->job_page(tx, &range, list, &n, err);
		for (int i = 0; i < n; i++) {
			if (code == PARE_OK)
				code = set_priority(s, tx, list[i].id, r->j.priority, err);
			memcpy(last, list[i].id, sizeof last);
			store_job_done(&list[i]);
		}
	}
	return code;
}

enum pare_code store_job_children(struct store_view v, const char *id, int64_t out[STORE_N_STATUS], struct pare_err *err)
{
	struct store_job_row r = {.j = {.memory = NULL}};
	int64_t counts[STORE_N_STATUS] = {0};
	struct store *s = v.store;
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->job_load(tx, v.owner, id, &r, err);
	if (code == PARE_OK)
		code = s->ops->job_children(tx, id, counts, err);
	store_job_done(&r.j);
	code = s->ops->end(tx, code, err);
	if (code == PARE_OK)
		memcpy(out, counts, sizeof counts);
	return code;
}
