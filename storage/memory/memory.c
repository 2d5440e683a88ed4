/* The store without a disk, for tests: tables are arrays behind one mutex, searched from end to end.
 *
 * It keeps the contract of a transaction. Rows are only ever appended, changed or, as a transaction's last step, removed; so undoing means cutting
 * the tables back to the lengths they had at its begin and putting what changed rows were before back, and neither can fail. Ids grow with every
 * insert (store_new_id), so a table's order is the order of its ids and a page is a walk along it. */
#include "storage/memory/memory_priv.h"

/* --- tables */
static void free_asset(void *row)
{
	store_asset_done(row);
}

static void free_job(void *row)
{
	store_job_done(&((struct store_job_row *)row)->j);
}

static void free_event(void *row)
{
	pare_free(((struct event_row *)row)->e.memory);
}

static void free_artifact(void *row)
{
	store_artifact_done(row);
}

static void free_hook(void *row)
{
	store_hook_done(row);
}

static void free_delivery(void *row)
{
	store_delivery_done(row);
}

static void free_undo(void *row)
{
	struct undo_row *u = row;

	if (u->t != T_UNDO) /* not put back */
		memory_kind_table[u->t].free_row(&u->old);
}

const struct memory_kind memory_kind_table[N_TABLES] = {
    [T_ASSETS] = {.row_bytes = sizeof(struct store_asset), .free_row = free_asset},
    [T_JOBS] = {.row_bytes = sizeof(struct store_job_row), .free_row = free_job},
    [T_EVENTS] = {.row_bytes = sizeof(struct event_row), .free_row = free_event},
    [T_ARTIFACTS] = {.row_bytes = sizeof(struct store_artifact), .free_row = free_artifact},
    [T_IDEM] = {.row_bytes = sizeof(struct idem_row), .free_row = memory_free_once},
    [T_KEYS] = {.row_bytes = sizeof(struct store_key), .free_row = memory_free_key},
    [T_UPLOADS] = {.row_bytes = sizeof(struct store_upload), .free_row = memory_free_upload},
    [T_HOOKS] = {.row_bytes = sizeof(struct store_hook), .free_row = free_hook},
    [T_DELIVERIES] = {.row_bytes = sizeof(struct store_delivery), .free_row = free_delivery},
    [T_NAMES] = {.row_bytes = sizeof(struct name_row), .free_row = memory_free_name},
    [T_ALIASES] = {.row_bytes = sizeof(struct alias_row), .free_row = memory_free_alias},
    [T_UNDO] = {.row_bytes = sizeof(struct undo_row), .free_row = free_undo},
};

static struct store_job_row *find_job(const struct store_tx *tx, const char *id)
{
	for (int i = n_rows(tx, T_JOBS) - 1; i >= 0; i--) {
		struct store_job_row *r = row_at(tx, T_JOBS, i);

		if (strcmp(r->j.id, id) == 0)
			return r;
	}
	return NULL;
}

/* --- transactions */
static enum pare_code mem_begin(struct store *s, bool write, struct store_tx **out, struct pare_err *err)
{
	struct memory_store *m = (struct memory_store *)s;

	(void)err;
	(void)pthread_mutex_lock(&m->lock);
	m->tx.write = write;
	for (int t = 0; t < N_TABLES; t++)
		m->tables[t].n_at_begin = m->tables[t].n;
	*out = &m->tx;
	return PARE_OK;
}

static void undo(struct store_tx *tx)
{
	for (int i = n_rows(tx, T_UNDO) - 1; i >= 0; i--) {
		struct undo_row *u = row_at(tx, T_UNDO, i);

		memory_kind_table[u->t].free_row(row_at(tx, u->t, u->i));
		memcpy(row_at(tx, u->t, u->i), &u->old, memory_kind_table[u->t].row_bytes);
		u->t = T_UNDO;
	}
	for (int t = 0; t < T_UNDO; t++)
		while (n_rows(tx, (enum table_name)t) > tx->m->tables[t].n_at_begin)
			drop_row(tx, (enum table_name)t, n_rows(tx, (enum table_name)t) - 1);
}

static enum pare_code mem_end(struct store_tx *tx, enum pare_code code, struct pare_err *err)
{
	(void)err;
	if (code != PARE_OK && tx->write)
		undo(tx);
	while (n_rows(tx, T_UNDO) > 0)
		drop_row(tx, T_UNDO, n_rows(tx, T_UNDO) - 1);
	if (tx->write)
		store_count_change(&tx->m->base);
	(void)pthread_mutex_unlock(&tx->m->lock);
	return code;
}

static void mem_close(struct store *s)
{
	struct memory_store *m = (struct memory_store *)s;

	for (int t = 0; t < N_TABLES; t++) {
		while (m->tables[t].n > 0)
			drop_row(&m->tx, (enum table_name)t, m->tables[t].n - 1);
		pare_free(m->tables[t].rows);
	}
	(void)pthread_mutex_destroy(&m->lock);
	pare_free(m);
}

static enum pare_code touch(struct store_tx *tx, int64_t now_ms, struct pare_err *err)
{
	(void)tx;
	(void)now_ms;
	(void)err;
	return PARE_OK;
}

static enum pare_code none(const char *noun, const char *id, struct pare_err *err)
{
	return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no %s \"%.80s\"", noun, id);
}

/* --- assets */
static enum pare_code copy_asset(const struct store_asset *from, struct store_asset *out, struct pare_err *err)
{
	struct store_asset a = *from;
	enum pare_code code = store_asset_own(&a, err);

	for (int i = 0; i < from->n_files && code == PARE_OK; i++)
		code = store_asset_own_file(&a, i, &from->files[i], err);
	if (code == PARE_OK)
		*out = a;
	return code;
}

/* As it is read: with its aliases. */
static enum pare_code read_asset(const struct store_tx *tx, int i, struct store_asset *out, struct pare_err *err)
{
	struct store_asset a = *(const struct store_asset *)row_at(tx, T_ASSETS, i);
	struct pare_buf aliases;
	enum pare_code code;

	pare_buf_init(&aliases, (size_t)1 << 20);
	memory_aliases_of(tx, a.id, &aliases);
	code = pare_buf_status(&aliases, err);
	if (code == PARE_OK && aliases.len > 0)
		a.aliases = aliases.data;
	if (code == PARE_OK)
		code = copy_asset(&a, out, err);
	pare_buf_done(&aliases);
	return code;
}

static int find_asset(const struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *id)
{
	for (int i = 0; i < n_rows(tx, T_ASSETS); i++) {
		const struct store_asset *a = row_at(tx, T_ASSETS, i);

		if (a->kind == kind && (owner == NULL || strcmp(a->owner, owner) == 0) && strcmp(a->id, id) == 0)
			return i;
	}
	return -1;
}

static enum pare_code asset_insert(struct store_tx *tx, const struct store_asset *a, struct pare_err *err)
{
	struct store_asset row;
	enum pare_code code = copy_asset(a, &row, err);

	if (code != PARE_OK)
		return code;
	code = push(tx, T_ASSETS, &row, err);
	if (code != PARE_OK)
		store_asset_done(&row);
	return code;
}

static enum pare_code asset_load(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *id, struct store_asset *out, struct pare_err *err)
{
	int i = find_asset(tx, owner, kind, id);

	return i < 0 ? none(store_asset_noun(kind), id, err) : read_asset(tx, i, out, err);
}

static enum pare_code asset_exists(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *id, bool *out, struct pare_err *err)
{
	(void)err;
	*out = find_asset(tx, owner, kind, id) >= 0;
	return PARE_OK;
}

static enum pare_code asset_remove(struct store_tx *tx, enum store_asset_kind kind, const char *id, struct pare_err *err)
{
	(void)err;
	memory_events_drop(tx, id);
	memory_once_drop(tx, id);
	drop_row(tx, T_ASSETS, find_asset(tx, NULL, kind, id));
	return PARE_OK;
}

static enum pare_code asset_page(struct store_tx *tx, enum store_asset_kind kind, const struct store_range *r, struct store_asset *out, int *out_n, struct pare_err *err)
{
	int n = n_rows(tx, T_ASSETS);

	for (int k = 0; k < n && *out_n < r->limit; k++) {
		int i = walk(r, k, n);
		const struct store_asset *a = row_at(tx, T_ASSETS, i);

		if (a->kind != kind || strcmp(a->owner, r->owner) != 0 || !within(r, a->id) || (r->name != NULL && strcmp(a->name, r->name) != 0))
			continue;
		if (read_asset(tx, i, &out[*out_n], err) != PARE_OK)
			return PARE_E_NOMEM;
		(*out_n)++;
	}
	return PARE_OK;
}

static enum pare_code asset_user(struct store_tx *tx, enum store_asset_kind kind, const char *id, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	(void)err;
	out_id[0] = '\0';
	for (int i = 0; i < n_rows(tx, T_JOBS); i++) {
		const struct store_job_row *r = row_at(tx, T_JOBS, i);

		if (!store_job_status_final(r->j.status) && strcmp(kind == STORE_MODEL ? r->j.model : r->j.dataset, id) == 0)
			memcpy(out_id, r->j.id, PARE_ID_MAX);
	}
	return PARE_OK;
}

/* --- jobs */
static enum pare_code copy_job(const struct store_job_row *from, struct store_job_row *out, struct pare_err *err)
{
	struct store_job_row r = *from;
	enum pare_code code;

	r.loaded_status = r.j.status;
	code = store_job_own(&r, err);
	if (code == PARE_OK)
		*out = r;
	return code;
}

static enum pare_code job_insert(struct store_tx *tx, const struct store_job_row *r, struct pare_err *err)
{
	struct store_job_row row;
	enum pare_code code = copy_job(r, &row, err);

	if (code != PARE_OK)
		return code;
	code = push(tx, T_JOBS, &row, err);
	if (code != PARE_OK)
		free_job(&row);
	return code;
}

static enum pare_code job_load(struct store_tx *tx, const char *owner, const char *id, struct store_job_row *out, struct pare_err *err)
{
	const struct store_job_row *r = find_job(tx, id);

	if (r == NULL || (owner != NULL && strcmp(r->j.owner, owner) != 0))
		return none("job", id, err);
	return copy_job(r, out, err);
}

static enum pare_code job_stamp(struct store_tx *tx, const char *owner, const char *id, enum store_job_status *out_status, int64_t *out_revision, struct pare_err *err)
{
	const struct store_job_row *r = find_job(tx, id);

	if (r == NULL || strcmp(r->j.owner, owner) != 0)
		return none("job", id, err);
	*out_status = r->j.status;
	*out_revision = r->j.revision;
	return PARE_OK;
}

static enum pare_code job_update(struct store_tx *tx, const struct store_job_row *r, struct pare_err *err)
{
	struct store_job_row *now = find_job(tx, r->j.id), row;
	enum pare_code code = copy_job(r, &row, err);

	if (code != PARE_OK)
		return code;
	code = keep_old(tx, T_JOBS, (int)(now - (struct store_job_row *)row_at(tx, T_JOBS, 0)), err);
	if (code == PARE_OK)
		*now = row;
	else
		free_job(&row);
	return code;
}

static void drop_where_job(struct store_tx *tx, enum table_name t, size_t offset, const char *id)
{
	for (int i = n_rows(tx, t) - 1; i >= 0; i--)
		if (strcmp((const char *)row_at(tx, t, i) + offset, id) == 0)
			drop_row(tx, t, i);
}

static void remove_job(struct store_tx *tx, const char *id)
{
	memory_events_drop(tx, id);
	memory_hooks_drop_job(tx, id);
	drop_where_job(tx, T_ARTIFACTS, offsetof(struct store_artifact, job), id);
	memory_once_drop(tx, id);
	drop_where_job(tx, T_JOBS, offsetof(struct store_job_row, j.id), id);
}

/* Children have none of their own. */
static enum pare_code job_remove(struct store_tx *tx, const char *id, struct pare_err *err)
{
	char own_id[PARE_ID_MAX], child[PARE_ID_MAX];

	(void)err;
	memcpy(own_id, find_job(tx, id)->j.id, sizeof own_id);
	for (int i = n_rows(tx, T_JOBS) - 1; i >= 0; i--) {
		const struct store_job_row *r = row_at(tx, T_JOBS, i);

		if (strcmp(r->j.parent, own_id) != 0)
			continue;
		memcpy(child, r->j.id, sizeof child);
		remove_job(tx, child);
	}
	remove_job(tx, own_id);
	return PARE_OK;
}

static bool has_label(const char *labels, const char *wanted)
{
	const char *label;
	size_t n;

	while ((n = store_label_next(&labels, &label)) > 0)
		if (strlen(wanted) == n && memcmp(wanted, label, n) == 0)
			return true;
	return false;
}

static bool has_labels(const struct store_range *r, const struct store_job *j)
{
	for (int i = 0; i < r->n_labels; i++)
		if (!has_label(j->labels, r->labels[i]))
			return false;
	return true;
}

static bool matches(const struct store_range *r, const struct store_job *j)
{
	return within(r, j->id) && strcmp(j->parent, r->parent != NULL ? r->parent : "") == 0 && strcmp(j->owner, r->owner) == 0 && (r->statuses == 0 || (r->statuses & (1U << j->status)) != 0) && (r->kind == NULL || strcmp(j->kind, r->kind) == 0) && has_labels(r, j) &&
	       (r->model == NULL || strcmp(j->model, r->model) == 0) && (r->dataset == NULL || strcmp(j->dataset, r->dataset) == 0);
}

static enum pare_code job_page(struct store_tx *tx, const struct store_range *r, struct store_job *out, int *out_n, struct pare_err *err)
{
	int n = n_rows(tx, T_JOBS);

	for (int k = 0; k < n && *out_n < r->limit; k++) {
		const struct store_job_row *row = row_at(tx, T_JOBS, walk(r, k, n));
		struct store_job_row copy;

		if (!matches(r, &row->j))
			continue;
		if (copy_job(row, &copy, err) != PARE_OK)
			return PARE_E_NOMEM;
		out[(*out_n)++] = copy.j;
	}
	return PARE_OK;
}

/* Does a come before b in the queue? */
static bool is_ahead(const struct store_job *a, const struct store_job *b)
{
	return a->priority != b->priority ? a->priority > b->priority : strcmp(a->id, b->id) < 0;
}

#define ANY_TIME (INT64_MAX - STORE_STALL_MAX_MS)

/* The first of the queued jobs that are behind `last` (NULL: of all) and whose pause is over at now_ms, or longer than a pause can last. */
static const struct store_job_row *next_queued(const struct store_tx *tx, const struct store_job *last, int64_t now_ms)
{
	const struct store_job_row *best = NULL;

	for (int i = 0; i < n_rows(tx, T_JOBS); i++) {
		const struct store_job_row *r = row_at(tx, T_JOBS, i);

		if (r->j.status == STORE_QUEUED && (r->j.not_before_ms <= now_ms || r->j.not_before_ms > now_ms + STORE_STALL_MAX_MS) && (last == NULL || is_ahead(last, &r->j)) && (best == NULL || is_ahead(&r->j, &best->j)))
			best = r;
	}
	return best;
}

static enum pare_code job_next_queued(struct store_tx *tx, int64_t now_ms, struct store_job_row *out, struct pare_err *err)
{
	const struct store_job_row *r = next_queued(tx, NULL, now_ms);

	return r != NULL ? copy_job(r, out, err) : none("job", "queued", err);
}

static enum pare_code job_held_until(struct store_tx *tx, int64_t limit, struct store_job_row *out, struct pare_err *err)
{
	for (int i = 0; i < n_rows(tx, T_JOBS); i++) {
		const struct store_job_row *r = row_at(tx, T_JOBS, i);

		if (r->j.lease_token != 0 && r->lease_until <= limit)
			return copy_job(r, out, err);
	}
	return none("job", "held", err);
}

static enum pare_code job_ahead(struct store_tx *tx, const struct store_job *j, int64_t *out, struct pare_err *err)
{
	(void)err;
	*out = 0;
	for (int i = 0; i < n_rows(tx, T_JOBS) && *out < STORE_POSITION_MAX; i++) {
		const struct store_job_row *r = row_at(tx, T_JOBS, i);

		*out += r->j.status == STORE_QUEUED && is_ahead(&r->j, j);
	}
	return PARE_OK;
}

static enum pare_code job_queue(struct store_tx *tx, char (*out)[PARE_ID_MAX], int *out_n, struct pare_err *err)
{
	const struct store_job_row *r = next_queued(tx, NULL, ANY_TIME);

	(void)err;
	for (; r != NULL && *out_n < STORE_POSITION_MAX; r = next_queued(tx, &r->j, ANY_TIME))
		memcpy(out[(*out_n)++], r->j.id, PARE_ID_MAX);
	return PARE_OK;
}

static enum pare_code job_counts(struct store_tx *tx, int64_t out[STORE_N_STATUS], int64_t *out_oldest_queued_ms, struct pare_err *err)
{
	(void)err;
	for (int i = n_rows(tx, T_JOBS) - 1; i >= 0; i--) {
		const struct store_job_row *r = row_at(tx, T_JOBS, i);

		out[r->j.status]++;
		if (r->j.status == STORE_QUEUED)
			*out_oldest_queued_ms = r->j.created_ms;
	}
	return PARE_OK;
}

/* --- artifacts */
static enum pare_code artifact_insert(struct store_tx *tx, const struct store_artifact *a, struct pare_err *err)
{
	struct store_artifact row = *a;
	enum pare_code code = store_artifact_own(&row, err);

	if (code != PARE_OK)
		return code;
	code = push(tx, T_ARTIFACTS, &row, err);
	if (code != PARE_OK)
		store_artifact_done(&row);
	return code;
}

static enum pare_code artifact_count(struct store_tx *tx, const char *job, int *out, struct pare_err *err)
{
	(void)err;
	*out = 0;
	for (int i = 0; i < n_rows(tx, T_ARTIFACTS); i++)
		*out += strcmp(((const struct store_artifact *)row_at(tx, T_ARTIFACTS, i))->job, job) == 0;
	return PARE_OK;
}

static enum pare_code artifact_page(struct store_tx *tx, const char *job, int limit, struct store_artifact *out, int *out_n, struct pare_err *err)
{
	for (int i = 0; i < n_rows(tx, T_ARTIFACTS) && *out_n < limit; i++) {
		struct store_artifact a = *(const struct store_artifact *)row_at(tx, T_ARTIFACTS, i);

		if (strcmp(a.job, job) != 0)
			continue;
		if (store_artifact_own(&a, err) != PARE_OK)
			return PARE_E_NOMEM;
		out[(*out_n)++] = a;
	}
	return PARE_OK;
}

static enum pare_code artifact_load(struct store_tx *tx, const char *job, const char *name, struct store_artifact *out, struct pare_err *err)
{
	for (int i = 0; i < n_rows(tx, T_ARTIFACTS); i++) {
		struct store_artifact a = *(const struct store_artifact *)row_at(tx, T_ARTIFACTS, i);
		enum pare_code code;

		if (strcmp(a.job, job) != 0 || strcmp(a.name, name) != 0)
			continue;
		code = store_artifact_own(&a, err);
		if (code == PARE_OK)
			*out = a;
		return code;
	}
	return none("artifact", name, err);
}

static int find_artifact(const struct store_tx *tx, const char *owner, const char *id)
{
	for (int i = 0; i < n_rows(tx, T_ARTIFACTS); i++) {
		const struct store_artifact *a = row_at(tx, T_ARTIFACTS, i);

		if (strcmp(a->id, id) == 0 && (owner == NULL || strcmp(a->owner, owner) == 0))
			return i;
	}
	return -1;
}

static enum pare_code artifact_find(struct store_tx *tx, const char *owner, const char *id, struct store_artifact *out, struct pare_err *err)
{
	int i = find_artifact(tx, owner, id);
	struct store_artifact a;
	enum pare_code code;

	if (i < 0)
		return none("artifact", id, err);
	a = *(const struct store_artifact *)row_at(tx, T_ARTIFACTS, i);
	code = store_artifact_own(&a, err);
	if (code == PARE_OK)
		*out = a;
	return code;
}

static enum pare_code artifact_remove(struct store_tx *tx, const char *id, struct pare_err *err)
{
	(void)err;
	drop_row(tx, T_ARTIFACTS, find_artifact(tx, NULL, id));
	return PARE_OK;
}

/* --- blobs */
static enum pare_code blob_used(struct store_tx *tx, const char *sha256, bool *out, struct pare_err *err)
{
	(void)err;
	*out = false;
	for (int i = 0; i < n_rows(tx, T_ASSETS); i++) {
		const struct store_asset *a = row_at(tx, T_ASSETS, i);

		for (int k = 0; k < a->n_files; k++)
			*out = *out || strcmp(a->files[k].sha256, sha256) == 0;
	}
	for (int i = 0; i < n_rows(tx, T_JOBS); i++)
		*out = *out || strcmp(((const struct store_job_row *)row_at(tx, T_JOBS, i))->j.checkpoint, sha256) == 0;
	for (int i = 0; i < n_rows(tx, T_ARTIFACTS); i++)
		*out = *out || strcmp(((const struct store_artifact *)row_at(tx, T_ARTIFACTS, i))->sha256, sha256) == 0;
	for (int i = 0; i < n_rows(tx, T_UPLOADS); i++)
		*out = *out || strcmp(((const struct store_upload *)row_at(tx, T_UPLOADS, i))->sha256, sha256) == 0;
	return PARE_OK;
}

static enum pare_code blob_known(struct store_tx *tx, const char *owner, const char *sha256, unsigned int places, bool *out, struct pare_err *err)
{
	(void)err;
	*out = false;
	for (int i = 0; i < n_rows(tx, T_ASSETS); i++) {
		const struct store_asset *a = row_at(tx, T_ASSETS, i);

		for (int k = 0; k < a->n_files && (places >> a->kind & 1) != 0; k++)
			*out = *out || (strcmp(a->owner, owner) == 0 && strcmp(a->files[k].sha256, sha256) == 0);
	}
	for (int i = 0; i < n_rows(tx, T_UPLOADS) && (places & STORE_IN_UPLOADS) != 0; i++) {
		const struct store_upload *u = row_at(tx, T_UPLOADS, i);

		*out = *out || (strcmp(u->owner, owner) == 0 && strcmp(u->sha256, sha256) == 0);
	}
	return PARE_OK;
}

/* --- what is old */
static enum pare_code job_ended(struct store_tx *tx, int64_t before_ms, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	int64_t first = before_ms;

	(void)err;
	for (int i = n_rows(tx, T_JOBS) - 1; i >= 0; i--) {
		const struct store_job *j = &((const struct store_job_row *)row_at(tx, T_JOBS, i))->j;

		if (j->finished_ms == 0 || j->finished_ms > first || j->parent[0] != '\0')
			continue;
		first = j->finished_ms;
		memcpy(out_id, j->id, PARE_ID_MAX);
	}
	return PARE_OK;
}

static enum pare_code artifact_old(struct store_tx *tx, int64_t before_ms, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	(void)err;
	for (int i = 0; i < n_rows(tx, T_ARTIFACTS); i++) {
		const struct store_artifact *a = row_at(tx, T_ARTIFACTS, i);

		const char *parent = find_job(tx, a->job)->j.parent;

		if (a->created_ms <= before_ms && (parent[0] == '\0' || find_job(tx, parent)->j.finished_ms != 0))
			memcpy(out_id, a->job, PARE_ID_MAX);
	}
	return PARE_OK;
}

static enum pare_code artifacts_remove(struct store_tx *tx, const char *job, struct pare_err *err)
{
	(void)err;
	drop_where_job(tx, T_ARTIFACTS, offsetof(struct store_artifact, job), job);
	return PARE_OK;
}

/* --- what owners have */
static enum pare_code owner_bytes(struct store_tx *tx, const char *owner, int64_t *out, struct pare_err *err)
{
	(void)err;
	*out = memory_upload_usage(tx, owner);
	for (int i = 0; i < n_rows(tx, T_ASSETS); i++) {
		const struct store_asset *a = row_at(tx, T_ASSETS, i);

		for (int k = 0; k < a->n_files && strcmp(a->owner, owner) == 0; k++)
			*out += a->files[k].n_bytes;
	}
	for (int i = 0; i < n_rows(tx, T_ARTIFACTS); i++) {
		const struct store_artifact *a = row_at(tx, T_ARTIFACTS, i);

		*out += strcmp(find_job(tx, a->job)->j.owner, owner) == 0 ? a->n_bytes : 0;
	}
	return PARE_OK;
}

static enum pare_code owner_open_jobs(struct store_tx *tx, const char *owner, int64_t max, int64_t *out, struct pare_err *err)
{
	(void)err;
	*out = 0;
	for (int i = 0; i < n_rows(tx, T_JOBS) && *out < max; i++) {
		const struct store_job_row *r = row_at(tx, T_JOBS, i);

		*out += !store_job_status_final(r->j.status) && r->j.parent[0] == '\0' && strcmp(r->j.owner, owner) == 0;
	}
	return PARE_OK;
}

static const struct store_ops memory_ops = {
    .close = mem_close,
    .begin = mem_begin,
    .end = mem_end,
    .touch = touch,
    .asset_insert = asset_insert,
    .asset_load = asset_load,
    .asset_update = memory_asset_update,
    .asset_number = memory_asset_number,
    .asset_named = memory_asset_named,
    .alias_load = memory_alias_load,
    .alias_put = memory_alias_put,
    .alias_remove = memory_alias_remove,
    .asset_exists = asset_exists,
    .asset_remove = asset_remove,
    .asset_page = asset_page,
    .asset_user = asset_user,
    .job_insert = job_insert,
    .job_load = job_load,
    .job_stamp = job_stamp,
    .job_update = job_update,
    .job_update_record = job_update,
    .job_remove = job_remove,
    .job_page = job_page,
    .job_next_queued = job_next_queued,
    .job_held_until = job_held_until,
    .job_ahead = job_ahead,
    .job_queue = job_queue,
    .job_child_in = memory_child_in,
    .job_children = memory_children,
    .job_has_child = memory_has_child,
    .job_counts = job_counts,
    .event_insert = memory_event_insert,
    .event_page = memory_event_page,
    .feed_page = memory_feed_page,
    .feed_last = memory_feed_last,
    .artifact_insert = artifact_insert,
    .artifact_count = artifact_count,
    .artifact_page = artifact_page,
    .artifact_find = artifact_find,
    .artifact_remove = artifact_remove,
    .artifact_load = artifact_load,
    .idem_purge = memory_idem_purge,
    .idem_load = memory_idem_load,
    .idem_insert = memory_idem_insert,
    .blob_used = blob_used,
    .blob_known = blob_known,
    .job_ended = job_ended,
    .artifact_old = artifact_old,
    .artifacts_remove = artifacts_remove,
    .owner_bytes = owner_bytes,
    .owner_open_jobs = owner_open_jobs,
    .hook_insert = memory_hook_insert,
    .hook_load = memory_hook_load,
    .hook_update = memory_hook_update,
    .hook_remove = memory_hook_remove,
    .hook_page = memory_hook_page,
    .hook_count = memory_hook_count,
    .hook_next = memory_hook_next,
    .delivery_insert = memory_delivery_insert,
    .delivery_load = memory_delivery_load,
    .delivery_update = memory_delivery_update,
    .delivery_page = memory_delivery_page,
    .delivery_due = memory_delivery_due,
    .delivery_next = memory_delivery_next,
    .delivery_fail_all = memory_delivery_fail_all,
    .delivery_purge = memory_delivery_purge,
    .key_insert = memory_key_insert,
    .key_load = memory_key_load,
    .key_update = memory_key_update,
    .key_page = memory_key_page,
    .key_count = memory_key_count,
    .key_purge = memory_key_purge,
    .upload_insert = memory_upload_insert,
    .upload_load = memory_upload_load,
    .upload_update = memory_upload_update,
    .upload_remove = memory_upload_remove,
    .upload_page = memory_upload_page,
    .upload_bytes = memory_upload_bytes,
    .upload_count = memory_upload_count,
    .upload_expired = memory_upload_expired,
    .upload_of_part = memory_upload_of_part,
};

enum pare_code store_memory_open(const struct pare_env *env, struct store **out, struct pare_err *err)
{
	struct memory_store *m = pare_calloc(1, sizeof *m);

	if (m == NULL)
		return pare_err_nomem(err, sizeof *m);
	m->base.ops = &memory_ops;
	m->base.env = *env;
	m->tx.m = m;
	(void)pthread_mutex_init(&m->lock, NULL);
	*out = &m->base;
	return PARE_OK;
}
