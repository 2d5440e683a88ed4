/* The list of jobs: what its query says, as the filters of the store. Runs of a sweep are listed with their parent's id and else not: thousands of them would hide the
 * jobs that somebody has posted. */
#include <string.h>

#include "api/jobs.h"
#include "core/base/id.h"
#include "core/base/nearest.h"
#include "storage/registry.h"

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

static enum pare_code unknown_word(const char *name, const char *word, const char *const *words, struct pare_err *err)
{
	const char *hint = pare_nearest_of(word, words);
	char list[160] = "";

	if (hint != NULL)
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"%s\": there is no \"%.40s\"; did you mean \"%s\"?", name, word, hint);
	for (; *words != NULL; words++) {
		(void)strncat(list, list[0] != '\0' ? ", " : "", sizeof list - strlen(list) - 1);
		(void)strncat(list, *words, sizeof list - strlen(list) - 1);
	}
	return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"%s\": there is no \"%.40s\"; there are %s", name, word, list);
}

/* One status, or several with commas between them. */
static enum pare_code add_statuses(struct api_exchange *x, const char *value, unsigned *inout, struct pare_err *err)
{
	const char *names[STORE_N_STATUS + 1] = {0};

	for (int i = 0; i < STORE_N_STATUS; i++)
		names[i] = store_job_status_name((enum store_job_status)i);
	for (;; value++) {
		size_t n = strcspn(value, ",");
		char *word = pare_arena_strndup(&x->arena, value, n);
		int st = 0;

		if (word == NULL)
			return pare_err_nomem(err, n);
		while (st < STORE_N_STATUS && strcmp(names[st], word) != 0)
			st++;
		if (st == STORE_N_STATUS)
			return unknown_word("status", word, names, err);
		*inout |= 1U << st;
		value += n;
		if (*value == '\0')
			return PARE_OK;
	}
}

/* key:value becomes the store's key=value; a key holds neither. */
static enum pare_code add_label(struct api_exchange *x, const char *value, const char **labels, int *n, struct pare_err *err)
{
	const char *colon = strchr(value, ':');
	char *label;

	if (colon == NULL || colon == value || colon[1] == '\0')
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"label\" must be a name and a value like label=team:vision, not \"%.40s\"", value);
	if (*n == STORE_FILTER_LABELS)
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"label\" may be given %d times", STORE_FILTER_LABELS);
	label = pare_arena_strndup(&x->arena, value, strlen(value));
	if (label == NULL)
		return pare_err_nomem(err, 0);
	label[colon - value] = '=';
	labels[(*n)++] = label;
	return PARE_OK;
}

static enum pare_code parse_repeated(struct api_exchange *x, struct store_page *page, struct pare_err *err)
{
	const char **labels = pare_arena_array(&x->arena, STORE_FILTER_LABELS, sizeof *labels);
	enum pare_code rc = labels != NULL ? PARE_OK : pare_err_nomem(err, 0);

	page->labels = labels;
	for (size_t i = 0; i < x->target.n_query && rc == PARE_OK; i++) {
		const struct api_query_item *q = &x->target.query[i];

		if (strcmp(q->name, "status") == 0)
			rc = add_statuses(x, q->value, &page->statuses, err);
		else if (strcmp(q->name, "label") == 0)
			rc = add_label(x, q->value, labels, &page->n_labels, err);
	}
	return rc;
}

static enum pare_code parse_time(struct api_exchange *x, const char *name, int64_t *out, struct pare_err *err)
{
	const char *s = api_query(x, name);

	if (s == NULL || pare_time_parse(s, strlen(s), out))
		return PARE_OK;
	return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"%s\" must be a day like 2026-11-22, or a time in UTC like 2026-11-22T01:02:03Z or 2026-11-22T01:02:03.123Z", name);
}

static enum pare_code parse_kind(struct api_exchange *x, struct store_page *page, struct pare_err *err)
{
	const char *const *known = pare_job_kinds;

	page->kind = api_query(x, "kind");
	while (page->kind != NULL && *known != NULL && strcmp(*known, page->kind) != 0)
		known++;
	return *known != NULL ? PARE_OK : unknown_word("kind", page->kind, pare_job_kinds, err);
}

static enum pare_code parse_filters(struct api_exchange *x, struct store_page *page, struct pare_err *err)
{
	enum pare_code rc = api_page_parse(x, "job", page, err);

	if (rc == PARE_OK)
		rc = parse_repeated(x, page, err);
	if (rc == PARE_OK)
		rc = parse_kind(x, page, err);
	if (rc == PARE_OK)
		rc = parse_time(x, "created_after", &page->created_after_ms, err);
	if (rc == PARE_OK)
		rc = parse_time(x, "created_before", &page->created_before_ms, err);
	page->parent = api_query(x, "parent");
	if (rc == PARE_OK && page->parent != NULL && !pare_id_check(page->parent, "job"))
		rc = pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"parent\" must be the id of a job, like job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E");
	if (rc == PARE_OK)
		rc = asset_filter(x, "model", STORE_MODEL, &page->model, err);
	return rc == PARE_OK ? asset_filter(x, "dataset", STORE_DATASET, &page->dataset, err) : rc;
}

enum pare_code api_get_jobs(struct api_exchange *x, struct pare_err *err)
{
	struct api_expand expand;
	struct store_page page;
	struct store_job *jobs = NULL;
	int n = 0;
	bool more = false;
	enum pare_code rc = parse_filters(x, &page, err);

	if (rc == PARE_OK)
		rc = api_parse_expand(x, &expand, err);
	if (rc == PARE_OK)
		rc = store_job_list(x->view, &page, &jobs, &n, &more, err);
	if (rc != PARE_OK)
		return rc;
	api_list_open(x);
	for (int i = 0; i < n && rc == PARE_OK; i++)
		rc = api_write_job(x, &jobs[i], expand, err);
	api_list_close(x, more, n > 0 ? jobs[n - 1].id : NULL);
	store_job_list_done(jobs, n);
	return rc == PARE_OK ? api_reply_json(x, 200, err) : rc;
}
