/* What a job has told so far, for those who plot and those who read: its metrics as a table of points (JSON or CSV), and its log as lines of text. Both are views
 * of the events, made when asked for; nothing is stored twice.
 *
 * A job of many epochs has more points than a plot has pixels. So the events are gone through twice: once to count the points and to learn which
 * values there are (the columns of the CSV must be known before its first line), once to write every k-th point and the last. Memory is one page
 * of events and the answer. */
#include <string.h>

#include "api/jobs.h"
#include "api/text.h"
#include "core/base/id.h"
#include "core/base/num.h"
#include "core/recipe/json_text.h"

#define PAGE 256
#define MAX_NAMES 64

struct series {
	struct api_exchange *x;
	const char *names[MAX_NAMES]; /* wanted, or found; in the arena */
	int n_names;
	bool chosen;       /* by the request */
	bool csv;
	int64_t n, stride; /* points, and of how many one is written */
	int64_t step_from; /* only points of this step of the recipe or a later one */
	int64_t at;        /* points gone through while writing */
	int64_t last_seq;
};

typedef enum pare_code (*event_fn)(struct series *s, const struct store_event *e, const json_t *data, struct pare_err *err);

/* --- going through events */
static enum pare_code with_data(struct series *s, const struct store_event *e, event_fn fn, struct pare_err *err)
{
	json_t *data = NULL;
	enum pare_code rc = pare_json_load(e->data, strlen(e->data), SIZE_MAX, &data, NULL, err);

	if (rc == PARE_OK)
		rc = fn(s, e, data, err);
	json_decref(data);
	return rc;
}

/* Events after `after` up to s->last_seq (0: whatever there is; the last one is noted), of one type (NULL: any). */
static enum pare_code each_event(struct series *s, const char *job, int64_t after, const char *type, event_fn fn, struct pare_err *err)
{
	int64_t until = s->last_seq != 0 ? s->last_seq : INT64_MAX;
	enum pare_code rc = PARE_OK;
	int n = PAGE;

	while (rc == PARE_OK && n == PAGE && after < until) {
		struct store_event *list = NULL;
		bool final;

		rc = store_event_list(s->x->view, job, after, PAGE, &list, &n, &final, err);
		if (rc != PARE_OK)
			return rc;
		for (int i = 0; i < n && rc == PARE_OK && list[i].seq <= until; i++) {
			after = list[i].seq;
			if (type == NULL || strcmp(list[i].type, type) == 0)
				rc = with_data(s, &list[i], fn, err);
		}
		store_event_list_done(list, n);
	}
	if (until == INT64_MAX)
		s->last_seq = after;
	return rc;
}

/* --- points */
static int name_index(const struct series *s, const char *name)
{
	for (int i = 0; i < s->n_names; i++)
		if (strcmp(s->names[i], name) == 0)
			return i;
	return -1;
}

static enum pare_code add_name(struct series *s, const char *name, size_t n, struct pare_err *err)
{
	char *copy = pare_arena_strndup(&s->x->arena, name, n);

	if (copy == NULL)
		return pare_err_nomem(err, n);
	if (name_index(s, copy) >= 0)
		return PARE_OK;
	if (s->n_names == MAX_NAMES)
		return s->chosen ? pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"names\" takes at most %d names", MAX_NAMES) : PARE_OK;
	s->names[s->n_names++] = copy;
	return PARE_OK;
}

static bool is_scalar(const json_t *v)
{
	return json_is_number(v) || json_is_string(v) || json_is_boolean(v);
}

static bool is_point(const struct series *s, const json_t *data)
{
	if (s->step_from > 0 && json_integer_value(json_object_get(data, "step")) < s->step_from)
		return false;
	for (int i = 0; i < s->n_names; i++)
		if (is_scalar(json_object_get(data, s->names[i])))
			return true;
	return false;
}

static enum pare_code count_point(struct series *s, const struct store_event *e, const json_t *data, struct pare_err *err)
{
	const char *key;
	json_t *v;
	enum pare_code rc = PARE_OK;

	(void)e;
	json_object_foreach((json_t *)(uintptr_t)data, key, v) {
		if (rc == PARE_OK && !s->chosen && is_scalar(v))
			rc = add_name(s, key, strlen(key), err);
	}
	s->n += is_point(s, data);
	return rc;
}

static void write_value(struct pare_buf *b, const json_t *v)
{
	if (json_is_integer(v))
		pare_json_int(b, json_integer_value(v));
	else if (json_is_real(v))
		pare_json_num(b, json_real_value(v));
	else if (json_is_boolean(v))
		(void)pare_buf_str(b, json_is_true(v) ? "true" : "false");
	else
		pare_json_str(b, json_string_value(v));
}

/* RFC 4180: quoted where it has to be. A value that a spreadsheet would take for a formula gets a quote of its own in front. */
static void write_csv_text(struct pare_buf *b, const char *text)
{
	bool formula = memchr("=+-@", text[0], 4) != NULL;

	if (!formula && text[strcspn(text, ",\"\r\n")] == '\0') {
		(void)pare_buf_str(b, text);
		return;
	}
	(void)pare_buf_str(b, formula ? "\"'" : "\"");
	for (; *text != '\0'; text++)
		(void)pare_buf_add(b, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
	(void)pare_buf_str(b, "\"");
}

static void write_csv_point(struct series *s, const struct store_event *e, const json_t *data)
{
	struct pare_buf *b = &s->x->out;
	char time[PARE_TIME_MAX];

	pare_time_format(e->at_ms, time);
	(void)pare_buf_printf(b, "%lld,%s", (long long)e->seq, time);
	for (int i = 0; i < s->n_names; i++) {
		const json_t *v = json_object_get(data, s->names[i]);

		(void)pare_buf_str(b, ",");
		if (json_is_string(v))
			write_csv_text(b, json_string_value(v));
		else if (is_scalar(v))
			write_value(b, v);
	}
	(void)pare_buf_str(b, "\r\n");
}

static void write_json_point(struct series *s, const struct store_event *e, const json_t *data)
{
	struct pare_buf *b = &s->x->out;

	api_json_open(b, NULL, '{');
	api_json_int(b, "seq", e->seq);
	api_json_time(b, "at", e->at_ms);
	for (int i = 0; i < s->n_names; i++) {
		const json_t *v = json_object_get(data, s->names[i]);

		if (!is_scalar(v))
			continue;
		pare_json_key(b, s->names[i]);
		write_value(b, v);
	}
	api_json_close(b, '}');
}

static enum pare_code write_point(struct series *s, const struct store_event *e, const json_t *data, struct pare_err *err)
{
	if (!is_point(s, data))
		return PARE_OK;
	s->at++;
	if (s->at % s->stride != 0 && s->at != s->n)
		return PARE_OK;
	if (s->csv)
		write_csv_point(s, e, data);
	else
		write_json_point(s, e, data);
	return pare_buf_status(&s->x->out, err);
}

/* ?names=loss,accuracy */
static enum pare_code choose_names(struct series *s, struct pare_err *err)
{
	const char *list = api_query(s->x, "names");
	enum pare_code rc = PARE_OK;

	s->chosen = list != NULL;
	for (; rc == PARE_OK && list != NULL && *list != '\0'; list += *list == ',') {
		size_t n = strcspn(list, ",");

		if (n > 0)
			rc = add_name(s, list, n, err);
		list += n;
	}
	if (rc == PARE_OK && s->chosen && s->n_names == 0)
		rc = pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"names\" needs names with commas between them, like names=train_loss,validation_accuracy");
	return rc;
}

static void write_head(struct series *s, const char *job)
{
	struct pare_buf *b = &s->x->out;

	if (s->csv) {
		(void)pare_buf_str(b, "seq,at");
		for (int i = 0; i < s->n_names; i++) {
			(void)pare_buf_str(b, ",");
			write_csv_text(b, s->names[i]);
		}
		(void)pare_buf_str(b, "\r\n");
		return;
	}
	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "metrics");
	api_json_str(b, "job", job);
	api_json_open(b, "names", '[');
	for (int i = 0; i < s->n_names; i++)
		api_json_str(b, NULL, s->names[i]);
	api_json_close(b, ']');
	api_json_int(b, "n_points", s->n);
	api_json_open(b, "data", '[');
}

static enum pare_code reply_series(struct series *s, struct pare_err *err)
{
	struct api_exchange *x = s->x;

	api_set_header_text(x, "Vary", "Accept");
	if (s->csv) {
		api_set_header_text(x, "Cache-Control", "private, no-cache");
		return api_reply_text(x, 200, "text/csv; charset=utf-8", err);
	}
	api_json_close(&x->out, ']');
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

enum pare_code api_get_job_metrics(struct api_exchange *x, struct pare_err *err)
{
	static const char *const types[] = {"application/json", "text/csv", NULL};
	int form = api_negotiate(api_request_header(x, "Accept"), types);
	struct series s = {.x = x, .csv = form == 1};
	int64_t after = 0, max_points = 1000;
	struct store_job j;
	enum pare_code rc;

	if (form < 0)
		return pare_err_set(err, PARE_E_NOT_ACCEPTABLE, NULL, "metrics come as application/json or text/csv");
	rc = api_query_int(x, "after", 0, INT64_MAX, &after, err);
	if (rc == PARE_OK)
		rc = api_query_int(x, "max_points", 1, 100000, &max_points, err);
	if (rc == PARE_OK)
		rc = api_query_int(x, "step_from", 1, 1000, &s.step_from, err);
	if (rc == PARE_OK)
		rc = choose_names(&s, err);
	if (rc == PARE_OK)
		rc = api_find_job(x, &j, err);
	if (rc != PARE_OK)
		return rc;
	rc = each_event(&s, j.id, after, "job.metrics", count_point, err);
	s.stride = s.n > max_points ? (s.n + max_points - 1) / max_points : 1;
	if (rc == PARE_OK) {
		write_head(&s, j.id);
		rc = each_event(&s, j.id, after, "job.metrics", write_point, err);
	}
	store_job_done(&j);
	return rc == PARE_OK ? reply_series(&s, err) : rc;
}

/* --- the log */

/* time level type key=value ...: one line, whatever the values hold. */
static enum pare_code write_line(struct series *s, const struct store_event *e, const json_t *data, struct pare_err *err)
{
	struct pare_buf *b = &s->x->out;
	char time[PARE_TIME_MAX];
	const char *key;
	json_t *v;

	pare_time_format(e->at_ms, time);
	(void)pare_buf_printf(b, "%s %-7s %s", time, e->level, e->type);
	json_object_foreach((json_t *)(uintptr_t)data, key, v) {
		if (!is_scalar(v))
			continue;
		(void)pare_buf_str(b, " ");
		if (api_is_token(key, strlen(key)))
			(void)pare_buf_str(b, key);
		else
			pare_json_str(b, key);
		(void)pare_buf_str(b, "=");
		write_value(b, v);
	}
	(void)pare_buf_str(b, "\n");
	return pare_buf_status(b, err);
}

static enum pare_code exists(struct api_exchange *x, const char *job, int64_t seq, bool *out, struct pare_err *err)
{
	struct store_event *list = NULL;
	bool final;
	int n = 0;
	enum pare_code rc = store_event_list(x->view, job, seq - 1, 1, &list, &n, &final, err);

	if (rc == PARE_OK)
		store_event_list_done(list, n);
	*out = n > 0;
	return rc;
}

/* The number of the last event; numbers have no gaps, so it is found by halving. */
static enum pare_code last_event(struct api_exchange *x, const char *job, int64_t *out, struct pare_err *err)
{
	int64_t low = 0, high = 1; /* low exists (or is 0), high does not */
	bool there = true;
	enum pare_code rc = exists(x, job, high, &there, err);

	while (rc == PARE_OK && there) {
		low = high;
		high *= 2;
		rc = exists(x, job, high, &there, err);
	}
	while (rc == PARE_OK && high - low > 1) {
		int64_t middle = low + (high - low) / 2;

		rc = exists(x, job, middle, &there, err);
		*(there ? &low : &high) = middle;
	}
	*out = low;
	return rc;
}

enum pare_code api_get_job_logs(struct api_exchange *x, struct pare_err *err)
{
	struct series s = {.x = x};
	int64_t tail = 1000, last = 0;
	struct store_job j;
	enum pare_code rc = api_query_int(x, "tail", 1, 100000, &tail, err);

	if (rc == PARE_OK)
		rc = api_find_job(x, &j, err);
	if (rc != PARE_OK)
		return rc;
	rc = last_event(x, j.id, &last, err);
	if (rc == PARE_OK)
		rc = each_event(&s, j.id, last > tail ? last - tail : 0, NULL, write_line, err);
	store_job_done(&j);
	api_set_header_text(x, "Cache-Control", "private, no-cache");
	return rc == PARE_OK ? api_reply_text(x, 200, "text/plain; charset=utf-8", err) : rc;
}
