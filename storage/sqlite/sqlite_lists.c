/* Lists of jobs. Filters come in any combination, so the statement is put together from the filters that there are, and kept prepared under its shape: the
 * filters' names, not their values.
 *
 * One index drives: it gives rows in the order of their ids, from the page's place on, and the other filters are tested on them until the page is full. One
 * filter has its index and so costs as much as the page, whatever the table holds. Of several, the one that leaves the fewest rows drives: each is asked how many,
 * counting no further than SQLITE_PROBE_MAX. Only filters that each leave many rows, and together almost none, cost more than a page.
 *
 * Several statuses have no common order in an index over (owner, status, id); they are a UNION ALL of one walk each, which SQLite merges row by row. Rejected:
 * IN with a sort, which reads all rows to give fifty. */
#include <string.h>

#include "core/base/mem.h"
#include "storage/sqlite/sqlite_priv.h"

#define TEXT_CAP ((size_t)64 << 10)

enum list_drive { BY_LABEL, BY_MODEL, BY_DATASET, BY_STATUS, BY_KIND, BY_OWNER, BY_PARENT, N_DRIVES };

/* Parameters: ?1 owner, ?2 above, ?3 below, ?4 limit, ?5 model, ?6 dataset, ?7 kind, ?8 parent, ?9 … labels. */
#define FIRST_LABEL 9

static const struct {
	const char *from, *where; /* where: without the bounds of ids */
	const char *id;
} drive_table[N_DRIVES] = {
    [BY_LABEL] = {"job_labels AS l CROSS JOIN jobs ON jobs.id = l.job", "l.holder = ?1 AND l.label = ?9", "l.job"},
    [BY_MODEL] = {"jobs INDEXED BY jobs_model", "owner = ?1 AND model = ?5", "id"},
    [BY_DATASET] = {"jobs INDEXED BY jobs_dataset", "owner = ?1 AND dataset = ?6", "id"},
    [BY_STATUS] = {"jobs INDEXED BY jobs_owner_status", "owner = ?1", "id"},
    [BY_KIND] = {"jobs INDEXED BY jobs_owner_kind", "owner = ?1 AND kind = ?7", "id"},
    [BY_OWNER] = {"jobs INDEXED BY jobs_owner_top", "owner = ?1", "id"},
    [BY_PARENT] = {"jobs INDEXED BY jobs_parent", "owner = ?1", "id"},
};

static bool has_filter(const struct store_range *r, enum list_drive d)
{
	switch (d) {
	case BY_LABEL:
		return r->n_labels > 0;
	case BY_MODEL:
		return r->model != NULL;
	case BY_DATASET:
		return r->dataset != NULL;
	case BY_STATUS:
		return r->statuses != 0;
	case BY_KIND:
		return r->kind != NULL;
	default:
		return false;
	}
}

/* --- which index */
static enum pare_code probe(struct store_tx *tx, const struct store_range *r, enum list_drive d, const char *value, int64_t *inout, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_PROBE_LABEL + (unsigned)d);

	u.n_bound = d == BY_MODEL || d == BY_DATASET ? 1 : 0; /* those indexes know no owner: what has an id has one owner */
	if (u.n_bound == 0)
		sqlite_bind_str(&u, r->owner);
	sqlite_bind_bounds(&u, r);
	sqlite_bind_str(&u, value);
	if (sqlite_row(&u))
		*inout += sqlite_int(&u);
	return sqlite_use_end(&u, "estimating a list", err);
}

static enum pare_code estimate(struct store_tx *tx, const struct store_range *r, enum list_drive d, int64_t *out, struct pare_err *err)
{
	const char *values[BY_STATUS] = {[BY_LABEL] = r->n_labels > 0 ? r->labels[0] : NULL, [BY_MODEL] = r->model, [BY_DATASET] = r->dataset};
	enum pare_code code = PARE_OK;

	*out = 0;
	if (d != BY_STATUS)
		return probe(tx, r, d, d == BY_KIND ? r->kind : values[d], out, err);
	for (int st = 0; st < STORE_N_STATUS && code == PARE_OK; st++)
		if ((r->statuses & (1U << st)) != 0)
			code = probe(tx, r, d, store_job_status_name((enum store_job_status)st), out, err);
	return code;
}

static enum pare_code choose_drive(struct store_tx *tx, const struct store_range *r, enum list_drive *out, struct pare_err *err)
{
	int64_t least = INT64_MAX, n;
	int n_filters = 0;
	enum pare_code code = PARE_OK;

	*out = r->parent != NULL ? BY_PARENT : BY_OWNER; /* a job has few children beside what any other filter leaves */
	if (r->parent != NULL)
		return code;
	for (int d = 0; d < BY_OWNER; d++)
		if (has_filter(r, (enum list_drive)d)) {
			*out = (enum list_drive)d;
			n_filters++;
		}
	for (int d = 0; d < BY_OWNER && n_filters > 1 && code == PARE_OK; d++) {
		if (!has_filter(r, (enum list_drive)d))
			continue;
		code = estimate(tx, r, (enum list_drive)d, &n, err);
		if (code == PARE_OK && n < least) {
			least = n;
			*out = (enum list_drive)d;
		}
	}
	return code;
}

/* --- the statement */
static void write_statuses(struct pare_buf *b, unsigned statuses)
{
	const char *sep = " AND status IN (";

	for (int st = 0; st < STORE_N_STATUS; st++)
		if ((statuses & (1U << st)) != 0) {
			(void)pare_buf_printf(b, "%s'%s'", sep, store_job_status_name((enum store_job_status)st));
			sep = ", ";
		}
	(void)pare_buf_str(b, ")");
}

static void write_walk(struct pare_buf *b, const struct store_range *r, enum list_drive d, unsigned statuses)
{
	const char *id = drive_table[d].id;

	(void)pare_buf_printf(b, "SELECT " JOB_COLUMNS " FROM %s WHERE %s AND %s > ?2 AND %s < ?3", drive_table[d].from, drive_table[d].where, id, id);
	(void)pare_buf_str(b, r->parent != NULL ? " AND parent = ?8" : " AND parent IS NULL");
	if (statuses != 0)
		write_statuses(b, statuses);
	if (r->model != NULL && d != BY_MODEL)
		(void)pare_buf_str(b, " AND model = ?5");
	if (r->dataset != NULL && d != BY_DATASET)
		(void)pare_buf_str(b, " AND dataset = ?6");
	if (r->kind != NULL && d != BY_KIND)
		(void)pare_buf_str(b, " AND kind = ?7");
	for (int i = d == BY_LABEL ? 1 : 0; i < r->n_labels; i++)
		(void)pare_buf_printf(b, " AND EXISTS (SELECT 1 FROM job_labels WHERE holder = ?1 AND label = ?%d AND job = jobs.id)", FIRST_LABEL + i);
}

static void write_list(struct pare_buf *b, const struct store_range *r, enum list_drive d)
{
	const char *sep = "";

	if (d != BY_STATUS)
		write_walk(b, r, d, r->statuses);
	for (int st = 0; st < STORE_N_STATUS && d == BY_STATUS; st++)
		if ((r->statuses & (1U << st)) != 0) {
			(void)pare_buf_str(b, sep);
			write_walk(b, r, d, 1U << st);
			sep = " UNION ALL ";
		}
	(void)pare_buf_printf(b, " ORDER BY %s %s LIMIT ?4", d == BY_LABEL ? "l.job" : "id", r->ascending ? "ASC" : "DESC");
}

static uint32_t shape_of(const struct store_range *r, enum list_drive d)
{
	uint32_t shape = 1; /* never 0 */

	shape = shape << 1 | (r->ascending ? 1U : 0U);
	shape = shape << 1 | (r->model != NULL ? 1U : 0U);
	shape = shape << 1 | (r->dataset != NULL ? 1U : 0U);
	shape = shape << 1 | (r->kind != NULL ? 1U : 0U);
	shape = shape << 3 | (uint32_t)d;
	shape = shape << 4 | (uint32_t)r->n_labels;
	return shape << STORE_N_STATUS | r->statuses;
}

static struct use use_list(struct store_tx *tx, const struct store_range *r, enum list_drive d)
{
	uint32_t shape = shape_of(r, d);
	struct use u = {.tx = tx, .rc = SQLITE_OK};
	struct sqlite_list *l;
	struct pare_buf text;

	for (int i = 0; i < SQLITE_N_LISTS; i++)
		if (tx->lists[i].shape == shape) {
			u.st = tx->lists[i].st;
			return u;
		}
	pare_buf_init(&text, TEXT_CAP);
	write_list(&text, r, d);
	l = &tx->lists[tx->next_list++ % SQLITE_N_LISTS];
	(void)sqlite3_finalize(l->st);
	*l = (struct sqlite_list){.shape = 0};
	u.rc = text.failed ? SQLITE_NOMEM : sqlite3_prepare_v3(tx->db, text.data, (int)text.len, SQLITE_PREPARE_PERSISTENT, &l->st, NULL);
	if (u.rc == SQLITE_OK)
		l->shape = shape;
	u.st = l->st;
	pare_buf_done(&text);
	return u;
}

/* A value that is there is a parameter of the text. */
static void bind_if(struct use *u, int place, const char *value)
{
	u->n_bound = place - 1;
	if (value != NULL)
		sqlite_bind_str(u, value);
}

static void bind_filters(struct use *u, const struct store_range *r)
{
	sqlite_bind_str(u, r->owner);
	sqlite_bind_bounds(u, r);
	sqlite_bind_int(u, r->limit);
	bind_if(u, 5, r->model);
	bind_if(u, 6, r->dataset);
	bind_if(u, 7, r->kind);
	bind_if(u, 8, r->parent);
	for (int i = 0; i < r->n_labels; i++)
		bind_if(u, FIRST_LABEL + i, r->labels[i]);
}

enum pare_code sqlite_job_page(struct store_tx *tx, const struct store_range *r, struct store_job *out, int *out_n, struct pare_err *err)
{
	enum list_drive drive;
	struct use u;
	enum pare_code code = choose_drive(tx, r, &drive, err), ended;

	if (code != PARE_OK)
		return code;
	u = use_list(tx, r, drive);
	bind_filters(&u, r);
	while (code == PARE_OK && sqlite_row(&u)) {
		struct store_job_row row;

		code = sqlite_read_job(&u, &row, err);
		if (code == PARE_OK)
			out[(*out_n)++] = row.j;
	}
	ended = sqlite_use_end(&u, "listing jobs", code == PARE_OK ? err : NULL);
	return code != PARE_OK ? code : ended;
}
