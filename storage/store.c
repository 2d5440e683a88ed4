/* Assets, and every verb that only reads: each is one transaction around a few row operations, so that what it returns is one moment's
 * truth. A view's owner goes with the id into the row operation that finds the row, and with the range into the one that lists: what
 * belongs to others is not found there, so nothing above has to compare owners, or could forget to. The rules of a job's life are in store_jobs.c. */
#include "storage/registry.h"
#include "storage/store_priv.h"

#include <string.h>

#include "core/base/mem.h"
#include "storage/blob.h"

#define EVENT_DATA_CAP ((size_t)64 << 10)

void store_close(struct store *s)
{
	if (s != NULL)
		s->ops->close(s);
}

void store_count_change(struct store *s)
{
	(void)atomic_fetch_add(&s->n_changes, 1);
	atomic_store(&s->n_due, s->n_put);
}

uint64_t store_n_changes(struct store *s)
{
	return atomic_load(&s->n_changes);
}

enum pare_code store_ping(struct store *s, struct pare_err *err)
{
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	return s->ops->end(tx, s->ops->touch(tx, s->env.wall_ms(s->env.ctx), err), err);
}

/* --- assets */
enum pare_code store_asset_check_files(const struct store_asset *a, struct pare_err *err)
{
	for (int i = 0; i < a->n_files; i++) {
		const struct store_file *f = &a->files[i];

		if (!store_hex_check(f->sha256, STORE_SHA256_HEX - 1) || f->n_bytes < 0)
			return pare_err_set(err, PARE_E_INVALID, "files", "file \"%.80s\" needs 64 lower-case hex digits as its sha256 and a size", f->path);
		for (int k = 0; k < i; k++)
			if (strcmp(a->files[k].path, f->path) == 0)
				return pare_err_set(err, PARE_E_INVALID, "files", "two files have the path \"%.80s\": paths of one %s differ", f->path, store_asset_noun(a->kind));
	}
	return PARE_OK;
}

static enum pare_code put_asset(struct store *s, struct store_tx *tx, const struct store_asset *a, struct pare_err *err)
{
	struct store_event e = {.seq = 1, .at_ms = a->created_ms, .type = a->kind == STORE_MODEL ? "model.ready" : "dataset.ready", .level = "info"};
	struct pare_buf data;
	enum pare_code code = s->ops->asset_insert(tx, a, err);

	if (code != PARE_OK || a->kind == STORE_RECIPE) /* nobody waits for a recipe */
		return code;
	memcpy(e.subject, a->id, sizeof e.subject);
	pare_buf_init(&data, EVENT_DATA_CAP);
	(void)pare_buf_str(&data, "{");
	store_json_member(&data, "name", a->name);
	(void)pare_buf_str(&data, "}");
	code = pare_buf_status(&data, err);
	if (code == PARE_OK) {
		e.data = data.data;
		code = s->ops->event_insert(tx, a->owner, &e, err);
	}
	if (code == PARE_OK)
		code = store_tell(s, tx, a->owner, &e, err);
	pare_buf_done(&data);
	return code;
}

enum pare_code store_asset_insert(struct store_view v, struct store_tx *tx, struct store_asset *a, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_asset row = *a;
	enum pare_code code = PARE_OK;

	row.name = row.name != NULL ? row.name : "";
	row.info = row.info != NULL ? row.info : "{}";
	row.labels = row.labels != NULL ? row.labels : "{}";
	row.description = row.description != NULL ? row.description : "";
	row.aliases = "";
	row.version = 0;
	row.revision = 1;
	memcpy(row.owner, v.owner, strlen(v.owner) + 1);
	row.created_ms = s->env.wall_ms(s->env.ctx);
	store_new_id(s, store_asset_prefix(a->kind), row.id);
	if (row.name[0] != '\0')
		code = s->ops->asset_number(tx, v.owner, a->kind, row.name, &row.version, err);
	if (code == PARE_OK)
		code = put_asset(s, tx, &row, err);
	if (code != PARE_OK)
		return code;
	memcpy(a->id, row.id, sizeof a->id);
	a->version = row.version;
	a->revision = row.revision;
	a->created_ms = row.created_ms;
	return PARE_OK;
}

enum pare_code store_asset_put(struct store_view v, struct store_asset *a, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_asset made = *a;
	struct store_tx *tx;
	enum pare_code code = store_asset_check_files(a, err);

	if (code == PARE_OK && a->name != NULL && a->name[0] != '\0' && !store_name_ok(a->name))
		code = store_name_refused(err);
	if (code == PARE_OK)
		code = s->ops->begin(s, true, &tx, err);
	if (code != PARE_OK)
		return code;
	code = store_once_find(v, tx, a->once, made.id, err);
	if (code == PARE_OK && (a->once == NULL || !a->once->replayed)) {
		code = store_quota_asset(v, tx, a, err);
		if (code == PARE_OK)
			code = store_asset_insert(v, tx, &made, err);
		if (code == PARE_OK)
			code = store_once_keep(v, tx, a->once, made.id, err);
	}
	code = s->ops->end(tx, code, err);
	if (code == PARE_OK)
		*a = made;
	return code;
}

enum pare_code store_asset_get(struct store_view v, enum store_asset_kind kind, const char *id, struct store_asset *out, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_asset a = {.memory = NULL};
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->end(tx, s->ops->asset_load(tx, v.owner, kind, id, &a, err), err);
	if (code == PARE_OK)
		*out = a;
	else
		store_asset_done(&a);
	return code;
}

static enum pare_code asset_delete(struct store_view v, struct store_tx *tx, enum store_asset_kind kind, const char *id, struct pare_err *err)
{
	char user[PARE_ID_MAX] = "";
	const struct store_ops *ops = v.store->ops;
	struct store_asset a = {.memory = NULL};
	enum pare_code code = ops->asset_load(tx, v.owner, kind, id, &a, err);

	if (code == PARE_OK && a.aliases[0] != '\0')
		code = pare_err_set(err, PARE_E_CONFLICT, NULL, "%s %s is %.80s@%.64s: move or delete that alias first", store_asset_noun(kind), id, a.name, a.aliases);
	store_asset_done(&a);
	if (code == PARE_OK)
		code = ops->asset_user(tx, kind, id, user, err);
	if (code == PARE_OK && user[0] != '\0')
		return pare_err_set(err, PARE_E_CONFLICT, NULL, "%s %s is in use by job %s: cancel that job or wait for its end", store_asset_noun(kind), id, user);
	return code == PARE_OK ? ops->asset_remove(tx, kind, id, err) : code;
}

enum pare_code store_asset_delete(struct store_view v, enum store_asset_kind kind, const char *id, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	return s->ops->end(tx, asset_delete(v, tx, kind, id, err), err);
}

/* --- pages: one row more than asked for is read, which answers "is there more" */
static enum pare_code read_assets(const void *ctx, struct store_view v, struct store_tx *tx, const struct store_range *r, void *list, int *n, struct pare_err *err)
{
	return v.store->ops->asset_page(tx, *(const enum store_asset_kind *)ctx, r, list, n, err);
}

static void done_asset(void *row)
{
	store_asset_done(row);
}

enum pare_code store_asset_list(struct store_view v, enum store_asset_kind kind, const struct store_page *page, struct store_asset **out, int *out_n, bool *out_more, struct pare_err *err)
{
	const struct store_pager pager = {.row_bytes = sizeof **out, .read = read_assets, .done = done_asset, .ctx = &kind};
	void *list;
	enum pare_code code = store_page_read(v, page, &pager, &list, out_n, out_more, err);

	if (code == PARE_OK)
		*out = list;
	return code;
}

/* The places of a page's queued jobs. The front of the queue is gone through once, whatever the page holds; who is not in it is as deep as is counted. */
static enum pare_code place(struct store *s, struct store_tx *tx, struct store_job *list, int n, bool ascending, struct pare_err *err)
{
	char (*queue)[PARE_ID_MAX] = pare_alloc(STORE_POSITION_MAX * sizeof *queue);
	int n_queue = 0;
	enum pare_code code = queue != NULL ? s->ops->job_queue(tx, queue, &n_queue, err) : pare_err_nomem(err, STORE_POSITION_MAX * sizeof *queue);

	for (int i = 0; i < n; i++)
		list[i].position = STORE_POSITION_MAX;
	for (int k = 0; k < n_queue && code == PARE_OK; k++) {
		int low = 0, high = n;

		while (low < high) { /* the page is in the order of ids */
			int middle = (low + high) / 2, order = strcmp(list[middle].id, queue[k]);

			if (order == 0)
				list[middle].position = k;
			if (ascending ? order < 0 : order > 0)
				low = middle + 1;
			else
				high = middle;
		}
	}
	pare_free(queue);
	return code;
}

static enum pare_code read_jobs(const void *ctx, struct store_view v, struct store_tx *tx, const struct store_range *r, void *list, int *n, struct pare_err *err)
{
	struct store_job *jobs = list;
	enum pare_code code = v.store->ops->job_page(tx, r, jobs, n, err);

	(void)ctx;
	for (int i = 0; i < *n && code == PARE_OK; i++)
		if (jobs[i].status == STORE_QUEUED)
			return place(v.store, tx, jobs, *n, r->ascending, err);
	return code;
}

static void done_job(void *row)
{
	store_job_done(row);
}

enum pare_code store_job_list(struct store_view v, const struct store_page *page, struct store_job **out, int *out_n, bool *out_more, struct pare_err *err)
{
	const struct store_pager pager = {.row_bytes = sizeof **out, .read = read_jobs, .done = done_job};
	void *list;
	enum pare_code code = store_page_read(v, page, &pager, &list, out_n, out_more, err);

	if (code == PARE_OK)
		*out = list;
	return code;
}

/* --- jobs, read only */
enum pare_code store_job_get(struct store_view v, const char *id, struct store_job *out, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_job_row r = {.j = {.memory = NULL}};
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->job_load(tx, v.owner, id, &r, err);
	if (code == PARE_OK && r.j.status == STORE_QUEUED)
		code = s->ops->job_ahead(tx, &r.j, &r.j.position, err);
	code = s->ops->end(tx, code, err);
	if (code == PARE_OK)
		*out = r.j;
	else
		store_job_done(&r.j);
	return code;
}

enum pare_code store_job_stamp(struct store_view v, const char *id, enum store_job_status *out_status, int64_t *out_revision, struct pare_err *err)
{
	struct store_tx *tx;
	enum pare_code code = v.store->ops->begin(v.store, false, &tx, err);

	if (code != PARE_OK)
		return code;
	return v.store->ops->end(tx, v.store->ops->job_stamp(tx, v.owner, id, out_status, out_revision, err), err);
}

enum pare_code store_job_position(struct store_view v, struct store_job *j, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_tx *tx;
	enum pare_code code;

	if (j->status != STORE_QUEUED)
		return PARE_OK;
	code = s->ops->begin(s, false, &tx, err);
	return code == PARE_OK ? s->ops->end(tx, s->ops->job_ahead(tx, j, &j->position, err), err) : code;
}

enum pare_code store_job_counts(struct store *s, int64_t out[STORE_N_STATUS], int64_t *out_oldest_queued_ms, struct pare_err *err)
{
	int64_t counts[STORE_N_STATUS] = {0}, oldest = 0;
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->end(tx, s->ops->job_counts(tx, counts, &oldest, err), err);
	if (code != PARE_OK)
		return code;
	memcpy(out, counts, sizeof counts);
	*out_oldest_queued_ms = oldest;
	return PARE_OK;
}

/* --- events and artifacts */
static enum pare_code events_of(struct store_view v, struct store_tx *tx, const char *job, int64_t after, int limit, struct store_event *list, int *n, bool *out_final, struct pare_err *err)
{
	struct store_job_row r = {.j = {.memory = NULL}};
	enum pare_code code = v.store->ops->job_load(tx, v.owner, job, &r, err);

	if (code == PARE_OK)
		code = v.store->ops->event_page(tx, job, after, limit, list, n, err);
	if (code == PARE_OK)
		*out_final = store_job_status_final(r.j.status) && (*n > 0 ? list[*n - 1].seq : after) >= r.next_seq - 1;
	store_job_done(&r.j);
	return code;
}

enum pare_code store_event_list(struct store_view v, const char *job, int64_t after, int limit, struct store_event **out, int *out_n, bool *out_final, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_event *list;
	struct store_tx *tx;
	bool final = false;
	int n = 0;
	enum pare_code code;

	if (limit < 1 || limit > STORE_EVENT_PAGE_MAX)
		return pare_err_set(err, PARE_E_INVALID, "limit", "a page holds 1 to %d events, not %d", STORE_EVENT_PAGE_MAX, limit);
	list = pare_calloc((size_t)limit, sizeof *list);
	if (list == NULL)
		return pare_err_nomem(err, (size_t)limit * sizeof *list);
	code = s->ops->begin(s, false, &tx, err);
	if (code == PARE_OK)
		code = s->ops->end(tx, events_of(v, tx, job, after, limit, list, &n, &final, err), err);
	if (code != PARE_OK) {
		store_event_list_done(list, n);
		return code;
	}
	*out = list;
	*out_n = n;
	*out_final = final;
	return PARE_OK;
}

static enum pare_code artifacts_of(struct store_view v, struct store_tx *tx, const char *job, struct store_artifact **list, int *n, struct pare_err *err)
{
	struct store_job_row r = {.j = {.memory = NULL}};
	int count = 0;
	enum pare_code code = v.store->ops->job_load(tx, v.owner, job, &r, err);

	store_job_done(&r.j);
	if (code == PARE_OK)
		code = v.store->ops->artifact_count(tx, job, &count, err);
	if (code != PARE_OK)
		return code;
	*list = pare_calloc((size_t)count, sizeof **list);
	if (*list == NULL)
		return pare_err_nomem(err, (size_t)count * sizeof **list);
	return v.store->ops->artifact_page(tx, job, count, *list, n, err);
}

enum pare_code store_artifact_list(struct store_view v, const char *job, struct store_artifact **out, int *out_n, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_artifact *list = NULL;
	struct store_tx *tx;
	int n = 0;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->end(tx, artifacts_of(v, tx, job, &list, &n, err), err);
	if (code != PARE_OK) {
		store_artifact_list_done(list, n);
		return code;
	}
	*out = list;
	*out_n = n;
	return PARE_OK;
}

static enum pare_code artifact_of(struct store_view v, struct store_tx *tx, const char *job, const char *name, struct store_artifact *out, struct pare_err *err)
{
	struct store_job_row r = {.j = {.memory = NULL}};
	enum pare_code code = v.store->ops->job_load(tx, v.owner, job, &r, err);

	store_job_done(&r.j);
	return code == PARE_OK ? v.store->ops->artifact_load(tx, job, name, out, err) : code;
}

enum pare_code store_artifact_get(struct store_view v, const char *job, const char *name, struct store_artifact *out, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_artifact a = {.memory = NULL};
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->end(tx, artifact_of(v, tx, job, name, &a, err), err);
	if (code == PARE_OK)
		*out = a;
	else
		store_artifact_done(&a);
	return code;
}

enum pare_code store_artifact_find(struct store_view v, const char *id, struct store_artifact *out, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_artifact a = {.memory = NULL};
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->end(tx, s->ops->artifact_find(tx, v.owner, id, &a, err), err);
	if (code == PARE_OK)
		*out = a;
	else
		store_artifact_done(&a);
	return code;
}

enum pare_code store_blob_used(struct store *s, const char *sha256, bool *out, struct pare_err *err)
{
	struct store_tx *tx;
	bool used = false;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->end(tx, s->ops->blob_used(tx, sha256, &used, err), err);
	if (code == PARE_OK)
		*out = used;
	return code;
}

enum pare_code store_blob_known(struct store_view v, const char *sha256, unsigned int places, bool *out, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_tx *tx;
	bool known = false;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->end(tx, s->ops->blob_known(tx, v.owner, sha256, places, &known, err), err);
	if (code == PARE_OK)
		*out = known;
	return code;
}

static bool cannot_go(void *ctx, const char *sha256)
{
	bool used = true;

	return store_blob_used(ctx, sha256, &used, NULL) != PARE_OK || used;
}

bool store_blob_drop(struct store *s, struct blob_store *b, const char *sha256)
{
	return blob_remove(b, sha256, cannot_go, s, NULL) == PARE_OK;
}
