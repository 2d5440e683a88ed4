/* The row operations on SQLite: bind in the order of the statement's columns, step, read in the order of its columns. No rule of the
 * service is decided here; see store_jobs.c. Strings of a record are copied while the statement still stands on its row. */
#include <string.h>

#include "storage/sqlite/sqlite_priv.h"

static enum pare_code touch(struct store_tx *tx, int64_t now_ms, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_TOUCH);

	sqlite_bind_int(&u, now_ms);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "writing to the database", err);
}

/* A statement with one text parameter and no result. */
static enum pare_code run_on(struct store_tx *tx, enum query q, const char *text, const char *doing, struct pare_err *err)
{
	struct use u = sqlite_use(tx, q);

	sqlite_bind_str(&u, text);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, doing, err);
}

static enum pare_code none(struct use *u, const char *noun, const char *id, const char *doing, struct pare_err *err)
{
	enum pare_code code = sqlite_use_end(u, doing, err);

	return code != PARE_OK ? code : pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no %s \"%.80s\"", noun, id);
}

/* --- assets */
static enum pare_code read_files(struct store_tx *tx, struct store_asset *a, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_FILE_LIST);
	enum pare_code code = PARE_OK, ended;

	sqlite_bind_str(&u, a->id);
	for (int i = 0; code == PARE_OK && i < a->n_files && sqlite_row(&u); i++) {
		struct store_file f = {.path = sqlite_str(&u)};

		sqlite_copy(&u, f.sha256, sizeof f.sha256);
		f.n_bytes = sqlite_int(&u);
		code = store_asset_own_file(a, i, &f, err);
	}
	ended = sqlite_use_end(&u, "reading files", code == PARE_OK ? err : NULL);
	return code != PARE_OK ? code : ended;
}

static enum pare_code read_asset(struct use *u, enum store_asset_kind kind, struct store_asset *out, struct pare_err *err)
{
	struct store_asset a = {.kind = kind};
	enum pare_code code;

	sqlite_copy(u, a.id, sizeof a.id);
	sqlite_copy(u, a.owner, sizeof a.owner);
	a.name = sqlite_str(u);
	a.info = sqlite_str(u);
	a.produced_by = sqlite_str(u);
	a.created_ms = sqlite_int(u);
	a.n_files = (int)sqlite_int(u);
	a.version = sqlite_int(u);
	a.revision = sqlite_int(u);
	a.labels = sqlite_str(u);
	a.description = sqlite_str(u);
	a.aliases = sqlite_str(u);
	a.aliases = a.aliases != NULL ? a.aliases : "";
	code = store_asset_own(&a, err);
	if (code == PARE_OK)
		code = read_files(u->tx, &a, err);
	if (code == PARE_OK)
		*out = a;
	else
		store_asset_done(&a);
	return code;
}

static enum pare_code asset_insert(struct store_tx *tx, const struct store_asset *a, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_ASSET_INSERT);
	enum pare_code code;

	sqlite_bind_int(&u, a->kind);
	sqlite_bind_str(&u, a->id);
	sqlite_bind_str(&u, a->owner);
	sqlite_bind_str(&u, a->name);
	sqlite_bind_str(&u, a->info);
	sqlite_bind_str(&u, a->produced_by);
	sqlite_bind_int(&u, a->created_ms);
	sqlite_bind_int(&u, a->n_files);
	sqlite_bind_int(&u, a->version);
	sqlite_bind_int(&u, a->revision);
	sqlite_bind_str(&u, a->labels);
	sqlite_bind_str(&u, a->description);
	(void)sqlite_row(&u);
	code = sqlite_use_end(&u, "storing an upload", err);
	for (int i = 0; i < a->n_files && code == PARE_OK; i++) {
		u = sqlite_use(tx, Q_FILE_INSERT);
		sqlite_bind_str(&u, a->id);
		sqlite_bind_int(&u, i);
		sqlite_bind_str(&u, a->files[i].path);
		sqlite_bind_str(&u, a->files[i].sha256);
		sqlite_bind_int(&u, a->files[i].n_bytes);
		sqlite_bind_str(&u, a->owner);
		(void)sqlite_row(&u);
		code = sqlite_use_end(&u, "storing a file", err);
	}
	return code;
}

static enum pare_code asset_load(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *id, struct store_asset *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_ASSET_LOAD);
	enum pare_code code, ended;

	sqlite_bind_str(&u, owner);
	sqlite_bind_str(&u, id);
	sqlite_bind_int(&u, kind);
	if (!sqlite_row(&u))
		return none(&u, store_asset_noun(kind), id, "reading an asset", err);
	code = read_asset(&u, kind, out, err);
	ended = sqlite_use_end(&u, "reading an asset", code == PARE_OK ? err : NULL);
	return code != PARE_OK ? code : ended;
}

static enum pare_code asset_exists(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *id, bool *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_ASSET_EXISTS);

	sqlite_bind_str(&u, owner);
	sqlite_bind_str(&u, id);
	sqlite_bind_int(&u, kind);
	*out = sqlite_row(&u);
	return sqlite_use_end(&u, "looking for an asset", err);
}

static enum pare_code asset_remove(struct store_tx *tx, enum store_asset_kind kind, const char *id, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_ASSET_REMOVE);

	sqlite_bind_str(&u, id);
	sqlite_bind_int(&u, kind);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "deleting an asset", err);
}

static enum pare_code asset_page(struct store_tx *tx, enum store_asset_kind kind, const struct store_range *r, struct store_asset *out, int *out_n, struct pare_err *err)
{
	enum query all = r->ascending ? Q_ASSET_ASC : Q_ASSET_DESC, named = r->ascending ? Q_ASSETS_OF_NAME_ASC : Q_ASSETS_OF_NAME_DESC;
	struct use u = sqlite_use(tx, r->name != NULL ? named : all);
	enum pare_code code = PARE_OK, ended;

	sqlite_bind_str(&u, r->owner);
	sqlite_bind_int(&u, kind);
	sqlite_bind_bounds(&u, r);
	sqlite_bind_int(&u, r->limit);
	if (r->name != NULL)
		sqlite_bind_str(&u, r->name);
	while (code == PARE_OK && sqlite_row(&u)) {
		code = read_asset(&u, kind, &out[*out_n], err);
		*out_n += code == PARE_OK;
	}
	ended = sqlite_use_end(&u, "listing assets", code == PARE_OK ? err : NULL);
	return code != PARE_OK ? code : ended;
}

static enum pare_code asset_user(struct store_tx *tx, enum store_asset_kind kind, const char *id, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	struct use u = sqlite_use(tx, kind == STORE_MODEL ? Q_MODEL_USER : Q_DATASET_USER);

	sqlite_bind_str(&u, id);
	out_id[0] = '\0';
	if (sqlite_row(&u))
		sqlite_copy(&u, out_id, PARE_ID_MAX);
	return sqlite_use_end(&u, "looking for jobs that use an asset", err);
}

/* --- jobs: in the order of JOB_COLUMNS */
enum pare_code sqlite_read_job(struct use *u, struct store_job_row *out, struct pare_err *err)
{
	struct store_job_row r = {.lease_until = 0};
	const char *status;
	enum pare_code code;

	sqlite_copy(u, r.j.id, sizeof r.j.id);
	sqlite_copy(u, r.j.owner, sizeof r.j.owner);
	status = sqlite_str(u);
	r.j.status = store_job_status_parse(status != NULL ? status : "");
	if (r.j.status == STORE_N_STATUS)
		return pare_err_set(err, PARE_E_STORE, r.j.id, "the database holds the unknown job status \"%.40s\"", status != NULL ? status : "");
	r.loaded_status = r.j.status;
	r.j.phase = sqlite_str(u);
	r.j.revision = sqlite_int(u);
	r.j.created_ms = sqlite_int(u);
	r.j.started_ms = sqlite_int(u);
	r.j.finished_ms = sqlite_int(u);
	r.j.attempt = (int)sqlite_int(u);
	r.j.crashes = (int)sqlite_int(u);
	r.j.max_crashes = (int)sqlite_int(u);
	r.j.kind = sqlite_str(u);
	r.j.name = sqlite_str(u);
	r.j.labels = sqlite_str(u);
	r.j.priority = (int)sqlite_int(u);
	r.j.model = sqlite_str(u);
	r.j.dataset = sqlite_str(u);
	r.j.request = sqlite_str(u);
	r.j.progress = sqlite_str(u);
	r.j.result = sqlite_str(u);
	r.j.error_code = sqlite_str(u);
	r.j.error_message = sqlite_str(u);
	r.j.error_where = sqlite_str(u);
	r.j.lease_token = sqlite_int(u);
	r.worker = sqlite_str(u);
	r.lease_until = sqlite_int(u);
	r.next_seq = sqlite_int(u);
	sqlite_copy(u, r.j.checkpoint, sizeof r.j.checkpoint);
	r.j.checkpoint_bytes = sqlite_int(u);
	r.j.checkpoint_ms = sqlite_int(u);
	r.j.checkpoint_place = sqlite_str(u);
	sqlite_copy(u, r.j.parent, sizeof r.j.parent);
	r.j.trial = sqlite_str(u);
	r.j.trials_all = (int)sqlite_int(u);
	r.j.trials_ahead = (int)sqlite_int(u);
	sqlite_copy(u, r.j.retry_of, sizeof r.j.retry_of);
	r.j.register_as = sqlite_str(u);
	r.j.stalls = (int)sqlite_int(u);
	r.j.stalled_ms = sqlite_int(u);
	r.j.not_before_ms = sqlite_int(u);
	code = store_job_own(&r, err);
	if (code == PARE_OK)
		*out = r;
	return code;
}

static void bind_checkpoint(struct use *u, const struct store_job *j)
{
	sqlite_bind_str(u, j->checkpoint);
	sqlite_bind_int(u, j->checkpoint_bytes);
	sqlite_bind_int(u, j->checkpoint_ms);
	sqlite_bind_str(u, j->checkpoint_place);
}

static void bind_stall(struct use *u, const struct store_job *j)
{
	sqlite_bind_int(u, j->stalls);
	sqlite_bind_int(u, j->stalled_ms);
	sqlite_bind_int(u, j->not_before_ms);
}

static enum pare_code insert_labels(struct store_tx *tx, const struct store_job *j, struct pare_err *err)
{
	const char *rest = j->labels, *label;
	enum pare_code code = PARE_OK;
	size_t n;

	while (code == PARE_OK && (n = store_label_next(&rest, &label)) > 0) {
		struct use u = sqlite_use(tx, Q_LABEL_INSERT);

		sqlite_bind_str(&u, j->owner);
		sqlite_bind_str(&u, j->id);
		sqlite_bind_text(&u, label, n);
		(void)sqlite_row(&u);
		code = sqlite_use_end(&u, "storing a label", err);
	}
	return code;
}

static enum pare_code job_insert(struct store_tx *tx, const struct store_job_row *r, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_JOB_INSERT);
	enum pare_code code;

	sqlite_bind_str(&u, r->j.id);
	sqlite_bind_str(&u, r->j.owner);
	sqlite_bind_str(&u, store_job_status_name(r->j.status));
	sqlite_bind_str(&u, r->j.phase);
	sqlite_bind_int(&u, r->j.revision);
	sqlite_bind_int(&u, r->j.created_ms);
	sqlite_bind_int(&u, r->j.started_ms);
	sqlite_bind_int(&u, r->j.finished_ms);
	sqlite_bind_int(&u, r->j.attempt);
	sqlite_bind_int(&u, r->j.crashes);
	sqlite_bind_int(&u, r->j.max_crashes);
	sqlite_bind_str(&u, r->j.kind);
	sqlite_bind_str(&u, r->j.name);
	sqlite_bind_str(&u, r->j.labels);
	sqlite_bind_int(&u, r->j.priority);
	sqlite_bind_str(&u, r->j.model);
	sqlite_bind_str(&u, r->j.dataset);
	sqlite_bind_str(&u, r->j.request);
	sqlite_bind_str(&u, r->j.progress);
	sqlite_bind_str(&u, r->j.result);
	sqlite_bind_str(&u, r->j.error_code);
	sqlite_bind_str(&u, r->j.error_message);
	sqlite_bind_str(&u, r->j.error_where);
	sqlite_bind_int(&u, r->j.lease_token);
	sqlite_bind_str(&u, r->worker);
	sqlite_bind_int(&u, r->lease_until);
	sqlite_bind_int(&u, r->next_seq);
	bind_checkpoint(&u, &r->j);
	sqlite_bind_str(&u, r->j.parent[0] != '\0' ? r->j.parent : NULL);
	sqlite_bind_str(&u, r->j.trial);
	sqlite_bind_int(&u, r->j.trials_all);
	sqlite_bind_int(&u, r->j.trials_ahead);
	sqlite_bind_str(&u, r->j.retry_of);
	sqlite_bind_str(&u, r->j.register_as);
	bind_stall(&u, &r->j);
	(void)sqlite_row(&u);
	code = sqlite_use_end(&u, "storing a job", err);
	return code == PARE_OK ? insert_labels(tx, &r->j, err) : code;
}

static enum pare_code job_update(struct store_tx *tx, const struct store_job_row *r, struct pare_err *err)
{
	bool moved = r->j.status != r->loaded_status;
	struct use u = sqlite_use(tx, moved ? Q_JOB_UPDATE : Q_JOB_PROGRESS);

	sqlite_bind_str(&u, r->j.phase);
	sqlite_bind_int(&u, r->j.revision);
	sqlite_bind_str(&u, r->j.progress);
	sqlite_bind_int(&u, r->lease_until);
	sqlite_bind_int(&u, r->next_seq);
	sqlite_bind_str(&u, r->j.id);
	bind_checkpoint(&u, &r->j);
	if (moved) {
		sqlite_bind_str(&u, store_job_status_name(r->j.status));
		sqlite_bind_int(&u, r->j.started_ms);
		sqlite_bind_int(&u, r->j.finished_ms);
		sqlite_bind_int(&u, r->j.attempt);
		sqlite_bind_int(&u, r->j.crashes);
		sqlite_bind_str(&u, r->j.result);
		sqlite_bind_str(&u, r->j.error_code);
		sqlite_bind_str(&u, r->j.error_message);
		sqlite_bind_str(&u, r->j.error_where);
		sqlite_bind_int(&u, r->j.lease_token);
		sqlite_bind_str(&u, r->worker);
		sqlite_bind_int(&u, r->j.trials_all);
		sqlite_bind_int(&u, r->j.trials_ahead);
		bind_stall(&u, &r->j);
	}
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "changing a job", err);
}

static enum pare_code job_update_record(struct store_tx *tx, const struct store_job_row *r, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_JOB_RECORD);
	enum pare_code code;

	sqlite_bind_str(&u, r->j.name);
	sqlite_bind_str(&u, r->j.labels);
	sqlite_bind_int(&u, r->j.priority);
	sqlite_bind_int(&u, r->j.revision);
	sqlite_bind_str(&u, r->j.id);
	(void)sqlite_row(&u);
	code = sqlite_use_end(&u, "changing a job", err);
	if (code == PARE_OK)
		code = run_on(tx, Q_LABELS_REMOVE, r->j.id, "changing labels", err);
	return code == PARE_OK ? insert_labels(tx, &r->j, err) : code;
}

static enum pare_code one_job(struct use *u, const char *id, struct store_job_row *out, struct pare_err *err)
{
	enum pare_code code, ended;

	if (!sqlite_row(u))
		return none(u, "job", id, "reading a job", err);
	code = sqlite_read_job(u, out, err);
	ended = sqlite_use_end(u, "reading a job", code == PARE_OK ? err : NULL);
	return code != PARE_OK ? code : ended;
}

static enum pare_code job_load(struct store_tx *tx, const char *owner, const char *id, struct store_job_row *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, owner != NULL ? Q_JOB_LOAD_OWN : Q_JOB_LOAD);

	sqlite_bind_str(&u, id);
	if (owner != NULL)
		sqlite_bind_str(&u, owner);
	return one_job(&u, id, out, err);
}

static enum pare_code job_stamp(struct store_tx *tx, const char *owner, const char *id, enum store_job_status *out_status, int64_t *out_revision, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_JOB_STAMP);
	const char *status;

	sqlite_bind_str(&u, id);
	sqlite_bind_str(&u, owner);
	if (!sqlite_row(&u))
		return none(&u, "job", id, "reading a job", err);
	status = sqlite_str(&u);
	*out_status = store_job_status_parse(status != NULL ? status : "");
	*out_revision = sqlite_int(&u);
	return sqlite_use_end(&u, "reading a job", err);
}

/* One whose pause ends later than a pause can last is of a clock that has been set back. */
static enum pare_code job_next_queued(struct store_tx *tx, int64_t now_ms, struct store_job_row *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_JOB_NEXT_QUEUED);

	sqlite_bind_int(&u, now_ms);
	sqlite_bind_int(&u, now_ms + STORE_STALL_MAX_MS);
	return one_job(&u, "queued", out, err);
}

static enum pare_code job_held_until(struct store_tx *tx, int64_t limit, struct store_job_row *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_JOB_HELD_UNTIL);

	sqlite_bind_int(&u, limit);
	return one_job(&u, "held", out, err);
}

static enum pare_code job_remove(struct store_tx *tx, const char *id, struct pare_err *err)
{
	return run_on(tx, Q_JOB_REMOVE, id, "deleting a job", err);
}

static enum pare_code count(struct store_tx *tx, enum query q, const char *id, int64_t *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, q);

	sqlite_bind_str(&u, id);
	if (sqlite_row(&u))
		*out = sqlite_int(&u);
	return sqlite_use_end(&u, "counting", err);
}

static enum pare_code job_ahead(struct store_tx *tx, const struct store_job *j, int64_t *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_JOB_AHEAD);

	sqlite_bind_int(&u, j->priority);
	sqlite_bind_str(&u, j->id);
	if (sqlite_row(&u))
		*out = sqlite_int(&u);
	return sqlite_use_end(&u, "counting", err);
}

static enum pare_code job_queue(struct store_tx *tx, char (*out)[PARE_ID_MAX], int *out_n, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_JOB_QUEUE);

	while (sqlite_row(&u))
		sqlite_copy(&u, out[(*out_n)++], PARE_ID_MAX);
	return sqlite_use_end(&u, "listing the queue", err);
}

static enum pare_code job_child_in(struct store_tx *tx, const char *parent, const enum store_job_status *statuses, int n, struct store_job_row *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_CHILD_IN);

	sqlite_bind_str(&u, parent);
	for (int i = 0; i < 4; i++)
		sqlite_bind_str(&u, i < n ? store_job_status_name(statuses[i]) : NULL);
	return one_job(&u, "child", out, err);
}

static void read_counts(struct use *u, int64_t out[STORE_N_STATUS])
{
	while (sqlite_row(u)) {
		const char *name = sqlite_str(u);
		enum store_job_status st = store_job_status_parse(name != NULL ? name : "");

		if (st != STORE_N_STATUS)
			out[st] = sqlite_int(u);
	}
}

static enum pare_code job_children(struct store_tx *tx, const char *parent, int64_t out[STORE_N_STATUS], struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_CHILDREN);

	sqlite_bind_str(&u, parent);
	read_counts(&u, out);
	return sqlite_use_end(&u, "counting children", err);
}

static enum pare_code job_has_child(struct store_tx *tx, const char *parent, const char *trial, bool *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_CHILD_OF);

	sqlite_bind_str(&u, parent);
	sqlite_bind_str(&u, trial);
	*out = sqlite_row(&u);
	return sqlite_use_end(&u, "looking for a child", err);
}

static enum pare_code job_counts(struct store_tx *tx, int64_t out[STORE_N_STATUS], int64_t *out_oldest_queued_ms, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_JOB_COUNTS);
	enum pare_code code;

	read_counts(&u, out);
	code = sqlite_use_end(&u, "counting jobs", err);
	if (code != PARE_OK)
		return code;
	u = sqlite_use(tx, Q_JOB_OLDEST_MS);
	*out_oldest_queued_ms = sqlite_row(&u) ? sqlite_int(&u) : 0;
	return sqlite_use_end(&u, "looking for the oldest queued job", err);
}

/* --- artifacts */
static enum pare_code artifact_insert(struct store_tx *tx, const struct store_artifact *a, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_ARTIFACT_INSERT);

	sqlite_bind_str(&u, a->id);
	sqlite_bind_str(&u, a->job);
	sqlite_bind_str(&u, a->owner);
	sqlite_bind_str(&u, a->name);
	sqlite_bind_str(&u, a->media_type);
	sqlite_bind_str(&u, a->sha256);
	sqlite_bind_int(&u, a->n_bytes);
	sqlite_bind_int(&u, a->created_ms);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "storing an artifact", err);
}

static enum pare_code read_artifact(struct use *u, struct store_artifact *out, struct pare_err *err)
{
	struct store_artifact a = {.memory = NULL};
	enum pare_code code;

	sqlite_copy(u, a.id, sizeof a.id);
	sqlite_copy(u, a.job, sizeof a.job);
	sqlite_copy(u, a.owner, sizeof a.owner);
	a.name = sqlite_str(u);
	a.media_type = sqlite_str(u);
	sqlite_copy(u, a.sha256, sizeof a.sha256);
	a.n_bytes = sqlite_int(u);
	a.created_ms = sqlite_int(u);
	code = store_artifact_own(&a, err);
	if (code == PARE_OK)
		*out = a;
	return code;
}

static enum pare_code artifact_count(struct store_tx *tx, const char *job, int *out, struct pare_err *err)
{
	int64_t n = 0;
	enum pare_code code = count(tx, Q_ARTIFACT_COUNT, job, &n, err);

	*out = (int)n;
	return code;
}

static enum pare_code artifact_page(struct store_tx *tx, const char *job, int limit, struct store_artifact *out, int *out_n, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_ARTIFACT_LIST);
	enum pare_code code = PARE_OK, ended;

	sqlite_bind_str(&u, job);
	sqlite_bind_int(&u, limit);
	while (code == PARE_OK && sqlite_row(&u)) {
		code = read_artifact(&u, &out[*out_n], err);
		*out_n += code == PARE_OK;
	}
	ended = sqlite_use_end(&u, "listing artifacts", code == PARE_OK ? err : NULL);
	return code != PARE_OK ? code : ended;
}

static enum pare_code one_artifact(struct use *u, const char *name, struct store_artifact *out, struct pare_err *err)
{
	enum pare_code code, ended;

	if (!sqlite_row(u))
		return none(u, "artifact", name, "reading an artifact", err);
	code = read_artifact(u, out, err);
	ended = sqlite_use_end(u, "reading an artifact", code == PARE_OK ? err : NULL);
	return code != PARE_OK ? code : ended;
}

static enum pare_code artifact_load(struct store_tx *tx, const char *job, const char *name, struct store_artifact *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_ARTIFACT_LOAD);

	sqlite_bind_str(&u, job);
	sqlite_bind_str(&u, name);
	return one_artifact(&u, name, out, err);
}

static enum pare_code artifact_find(struct store_tx *tx, const char *owner, const char *id, struct store_artifact *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_ARTIFACT_FIND);

	sqlite_bind_str(&u, owner);
	sqlite_bind_str(&u, id);
	return one_artifact(&u, id, out, err);
}

static enum pare_code artifact_remove(struct store_tx *tx, const char *id, struct pare_err *err)
{
	return run_on(tx, Q_ARTIFACT_REMOVE, id, "deleting an artifact", err);
}

/* --- what is old */
static enum pare_code some_id(struct store_tx *tx, enum query q, int64_t before_ms, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	struct use u = sqlite_use(tx, q);

	sqlite_bind_int(&u, before_ms);
	if (sqlite_row(&u))
		sqlite_copy(&u, out_id, PARE_ID_MAX);
	return sqlite_use_end(&u, "looking for what is old", err);
}

static enum pare_code job_ended(struct store_tx *tx, int64_t before_ms, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	return some_id(tx, Q_JOB_ENDED, before_ms, out_id, err);
}

static enum pare_code artifact_old(struct store_tx *tx, int64_t before_ms, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	return some_id(tx, Q_ARTIFACT_OLD, before_ms, out_id, err);
}

static enum pare_code artifacts_remove(struct store_tx *tx, const char *job, struct pare_err *err)
{
	return run_on(tx, Q_ARTIFACTS_REMOVE, job, "deleting artifacts", err);
}

/* --- idempotency keys and blobs */
static enum pare_code idem_purge(struct store_tx *tx, int64_t before_ms, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_IDEM_PURGE);

	sqlite_bind_int(&u, before_ms);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "forgetting old idempotency keys", err);
}

static enum pare_code idem_load(struct store_tx *tx, const char *owner, const char *scope, const char *key, struct store_idem_row *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_IDEM_LOAD);

	sqlite_bind_str(&u, owner);
	sqlite_bind_str(&u, scope);
	sqlite_bind_str(&u, key);
	out->found = sqlite_row(&u);
	if (out->found) {
		sqlite_copy(&u, out->made, sizeof out->made);
		sqlite_copy_bytes(&u, out->fingerprint, sizeof out->fingerprint);
	}
	return sqlite_use_end(&u, "reading an idempotency key", err);
}

static enum pare_code idem_insert(struct store_tx *tx, const char *owner, const char *key, const char *scope, const uint8_t fingerprint[STORE_SHA256_BYTES], const char *made, int64_t now_ms, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_IDEM_INSERT);

	sqlite_bind_str(&u, owner);
	sqlite_bind_str(&u, scope);
	sqlite_bind_str(&u, key);
	sqlite_bind_bytes(&u, fingerprint, STORE_SHA256_BYTES);
	sqlite_bind_str(&u, made);
	sqlite_bind_int(&u, now_ms);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "storing an idempotency key", err);
}

static enum pare_code blob_used(struct store_tx *tx, const char *sha256, bool *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_BLOB_USED);

	sqlite_bind_str(&u, sha256);
	*out = sqlite_row(&u);
	return sqlite_use_end(&u, "looking for uses of a blob", err);
}

static enum pare_code blob_known(struct store_tx *tx, const char *owner, const char *sha256, unsigned int places, bool *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_BLOB_KNOWN);

	sqlite_bind_str(&u, owner);
	sqlite_bind_str(&u, sha256);
	sqlite_bind_int(&u, places & (STORE_IN_UPLOADS - 1)); /* kinds of assets */
	sqlite_bind_int(&u, (places & STORE_IN_UPLOADS) != 0);
	*out = sqlite_row(&u);
	return sqlite_use_end(&u, "looking for an owner's blob", err);
}

const struct store_ops sqlite_ops = {
    .close = sqlite_close_store,
    .begin = sqlite_begin,
    .end = sqlite_end,
    .backup = sqlite_backup,
    .touch = touch,
    .asset_insert = asset_insert,
    .asset_load = asset_load,
    .asset_update = sqlite_asset_update,
    .asset_number = sqlite_asset_number,
    .asset_named = sqlite_asset_named,
    .alias_load = sqlite_alias_load,
    .alias_put = sqlite_alias_put,
    .alias_remove = sqlite_alias_remove,
    .asset_exists = asset_exists,
    .asset_remove = asset_remove,
    .asset_page = asset_page,
    .asset_user = asset_user,
    .job_insert = job_insert,
    .job_load = job_load,
    .job_stamp = job_stamp,
    .job_update = job_update,
    .job_update_record = job_update_record,
    .job_remove = job_remove,
    .job_page = sqlite_job_page,
    .job_next_queued = job_next_queued,
    .job_held_until = job_held_until,
    .job_ahead = job_ahead,
    .job_queue = job_queue,
    .job_child_in = job_child_in,
    .job_children = job_children,
    .job_has_child = job_has_child,
    .job_counts = job_counts,
    .event_insert = sqlite_event_insert,
    .event_page = sqlite_event_page,
    .feed_page = sqlite_feed_page,
    .feed_last = sqlite_feed_last,
    .artifact_insert = artifact_insert,
    .artifact_count = artifact_count,
    .artifact_page = artifact_page,
    .artifact_find = artifact_find,
    .artifact_remove = artifact_remove,
    .artifact_load = artifact_load,
    .idem_purge = idem_purge,
    .idem_load = idem_load,
    .idem_insert = idem_insert,
    .blob_used = blob_used,
    .blob_known = blob_known,
    .job_ended = job_ended,
    .artifact_old = artifact_old,
    .artifacts_remove = artifacts_remove,
    .owner_bytes = sqlite_owner_bytes,
    .owner_open_jobs = sqlite_owner_open_jobs,
    .key_insert = sqlite_key_insert,
    .key_load = sqlite_key_load,
    .key_update = sqlite_key_update,
    .key_page = sqlite_key_page,
    .key_count = sqlite_key_count,
    .key_purge = sqlite_key_purge,
    .upload_insert = sqlite_upload_insert,
    .upload_load = sqlite_upload_load,
    .upload_update = sqlite_upload_update,
    .upload_remove = sqlite_upload_remove,
    .upload_page = sqlite_upload_page,
    .upload_bytes = sqlite_upload_bytes,
    .upload_count = sqlite_upload_count,
    .upload_expired = sqlite_upload_expired,
    .upload_of_part = sqlite_upload_of_part,
    .hook_insert = sqlite_hook_insert,
    .hook_load = sqlite_hook_load,
    .hook_update = sqlite_hook_update,
    .hook_remove = sqlite_hook_remove,
    .hook_page = sqlite_hook_page,
    .hook_count = sqlite_hook_count,
    .hook_next = sqlite_hook_next,
    .delivery_insert = sqlite_delivery_insert,
    .delivery_load = sqlite_delivery_load,
    .delivery_update = sqlite_delivery_update,
    .delivery_page = sqlite_delivery_page,
    .delivery_due = sqlite_delivery_due,
    .delivery_next = sqlite_delivery_next,
    .delivery_fail_all = sqlite_delivery_fail_all,
    .delivery_purge = sqlite_delivery_purge,
};
