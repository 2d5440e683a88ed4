/* Webhooks and their outbox, once for all backends.
 *
 *   pending -> succeeded                     a receiver took it
 *      |  \--> failed -> pending             its attempts are used up, or its endpoint was disabled; redelivery
 *      +-----> pending                       an attempt failed, the next one has its time
 *
 * store_tell is called with every event that is appended (store_jobs.c, store.c), in that transaction: it looks for the endpoints that want to hear of it and puts a
 * delivery for each. The event's text is copied into the delivery, because the event goes with its job and a retry must say what the first attempt said.
 * An endpoint that is disabled hears of nothing, also not later; that is simpler to tell than a backlog that comes back after weeks, and redelivery is there. */
#include "storage/store_priv.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"

#define ATTEMPTS_CAP ((size_t)256 << 10)

static int64_t wall(const struct store *s)
{
	return s->env.wall_ms(s->env.ctx);
}

/* --- outbox */
static bool wants(const struct store_hook *h, const char *type)
{
	size_t n = strlen(type);

	for (const char *p = strstr(h->events, type); p != NULL; p = strstr(p + 1, type))
		if (p > h->events && p[-1] == ' ' && p[n] == ' ')
			return true;
	return false;
}

static struct store_delivery new_delivery(struct store *s, const struct store_hook *h, const struct store_event *e)
{
	struct store_delivery d = {.type = e->type, .seq = e->seq, .cursor = e->cursor, .at_ms = e->at_ms, .level = e->level, .data = e->data, .status = STORE_PENDING, .attempts = ""};

	s->n_put++;
	store_new_id(s, "dlv", d.id);
	memcpy(d.hook, h->id, sizeof d.hook);
	memcpy(d.subject, e->subject, sizeof d.subject);
	d.created_ms = d.next_ms = wall(s);
	return d;
}

static enum pare_code put_delivery(struct store *s, struct store_tx *tx, const struct store_hook *h, const struct store_event *e, struct pare_err *err)
{
	struct store_delivery d;

	if (!wants(h, e->type))
		return PARE_OK;
	d = new_delivery(s, h, e);
	(void)snprintf(d.event, sizeof d.event, "%s-%lld", e->subject, (long long)e->seq);
	return s->ops->delivery_insert(tx, &d, err);
}

/* Of those who hear of one job ("": of everything). */
static enum pare_code tell_those(struct store *s, struct store_tx *tx, const char *owner, const char *job, const struct store_event *e, struct pare_err *err)
{
	char after[PARE_ID_MAX] = "";
	enum pare_code code = PARE_OK;
	bool found = true;

	while (code == PARE_OK && found) {
		struct store_hook h = {.memory = NULL};

		code = s->ops->hook_next(tx, owner, job, after, &h, &found, err);
		if (code != PARE_OK || !found)
			break;
		memcpy(after, h.id, sizeof after);
		code = put_delivery(s, tx, &h, e, err);
		store_hook_done(&h);
	}
	return code;
}

enum pare_code store_tell(struct store *s, struct store_tx *tx, const char *owner, const struct store_event *e, struct pare_err *err)
{
	enum pare_code code = tell_those(s, tx, owner, "", e, err);

	return code == PARE_OK ? tell_those(s, tx, owner, e->subject, e, err) : code;
}

/* --- endpoints */

/* The last event of a job again, for an endpoint that was made after it. */
static enum pare_code tell_last(struct store *s, struct store_tx *tx, const struct store_hook *h, const struct store_job_row *r, struct pare_err *err)
{
	struct store_event e = {.memory = NULL};
	int n = 0;
	enum pare_code code = h->enabled ? s->ops->event_page(tx, r->j.id, r->next_seq - 2, 1, &e, &n, err) : PARE_OK;

	if (code == PARE_OK && n == 1)
		code = put_delivery(s, tx, h, &e, err);
	pare_free(e.memory);
	return code;
}

static void make(struct store_view v, struct store_hook *h)
{
	store_new_id(v.store, "whk", h->id);
	memcpy(h->owner, v.owner, strlen(v.owner) + 1);
	h->revision = 1;
	h->created_ms = h->updated_ms = wall(v.store);
}

static enum pare_code put(struct store_view v, struct store_tx *tx, struct store_hook *h, struct pare_err *err)
{
	const struct store_ops *ops = v.store->ops;
	struct store_job_row r = {.j = {.memory = NULL}};
	int64_t n = 0;
	bool of_job = h->job[0] != '\0';
	enum pare_code code = of_job ? ops->job_load(tx, v.owner, h->job, &r, err) : PARE_OK;

	if (code == PARE_OK)
		code = ops->hook_count(tx, v.owner, h->job, &n, err);
	if (code == PARE_OK && n >= STORE_MAX_HOOKS)
		code = pare_err_set(err, PARE_E_LIMIT, NULL, "%d webhooks %s, which is the limit: delete one first", STORE_MAX_HOOKS, of_job ? "hear of this job" : "are there");
	if (code == PARE_OK)
		code = ops->hook_insert(tx, h, err);
	if (code == PARE_OK && of_job && store_job_status_final(r.j.status)) /* it ended while this was being made */
		code = tell_last(v.store, tx, h, &r, err);
	store_job_done(&r.j);
	return code;
}

enum pare_code store_hook_of_new_job(struct store_view v, struct store_tx *tx, struct store_hook *h, const struct store_job_row *r, struct pare_err *err)
{
	enum pare_code code;

	make(v, h);
	memcpy(h->job, r->j.id, sizeof h->job);
	code = v.store->ops->hook_insert(tx, h, err);
	return code == PARE_OK ? tell_last(v.store, tx, h, r, err) : code;
}

enum pare_code store_hook_put(struct store_view v, struct store_hook *h, struct pare_err *err)
{
	struct store_hook row = *h;
	struct store_tx *tx;
	enum pare_code code = v.store->ops->begin(v.store, true, &tx, err);

	if (code != PARE_OK)
		return code;
	code = store_once_find(v, tx, h->once, row.id, err);
	if (code == PARE_OK && (h->once == NULL || !h->once->replayed)) {
		make(v, &row);
		code = put(v, tx, &row, err);
		if (code == PARE_OK)
			code = store_once_keep(v, tx, h->once, row.id, err);
	}
	code = v.store->ops->end(tx, code, err);
	if (code == PARE_OK)
		*h = row;
	return code;
}

enum pare_code store_hook_get(struct store_view v, const char *id, struct store_hook *out, struct pare_err *err)
{
	struct store_hook h = {.memory = NULL};
	struct store_tx *tx;
	enum pare_code code = v.store->ops->begin(v.store, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = v.store->ops->end(tx, v.store->ops->hook_load(tx, v.owner, id, &h, err), err);
	if (code == PARE_OK)
		*out = h;
	else
		store_hook_done(&h);
	return code;
}

static enum pare_code update(struct store_view v, struct store_tx *tx, struct store_hook *h, struct pare_err *err)
{
	const struct store_ops *ops = v.store->ops;
	struct store_hook now = {.memory = NULL};
	enum pare_code code = ops->hook_load(tx, v.owner, h->id, &now, err);
	bool changed = code == PARE_OK && now.revision != h->revision;

	store_hook_done(&now);
	if (changed)
		return pare_err_set(err, PARE_E_CONFLICT, NULL, "webhook %s was changed by somebody else meanwhile: read it again", h->id);
	h->revision++;
	h->updated_ms = wall(v.store);
	if (code == PARE_OK)
		code = ops->hook_update(tx, h, err);
	if (code == PARE_OK && !h->enabled)
		code = ops->delivery_fail_all(tx, h->id, h->updated_ms, err);
	return code;
}

enum pare_code store_hook_update(struct store_view v, struct store_hook *h, struct pare_err *err)
{
	struct store_hook row = *h;
	struct store_tx *tx;
	enum pare_code code = v.store->ops->begin(v.store, true, &tx, err);

	if (code != PARE_OK)
		return code;
	code = v.store->ops->end(tx, update(v, tx, &row, err), err);
	if (code == PARE_OK) {
		h->revision = row.revision;
		h->updated_ms = row.updated_ms;
	}
	return code;
}

enum pare_code store_hook_delete(struct store_view v, const char *id, struct pare_err *err)
{
	struct store_hook h = {.memory = NULL};
	struct store_tx *tx;
	enum pare_code code = v.store->ops->begin(v.store, true, &tx, err);

	if (code != PARE_OK)
		return code;
	code = v.store->ops->hook_load(tx, v.owner, id, &h, err);
	if (code == PARE_OK)
		code = v.store->ops->hook_remove(tx, id, err);
	store_hook_done(&h);
	return v.store->ops->end(tx, code, err);
}

static enum pare_code read_hooks(const void *ctx, struct store_view v, struct store_tx *tx, const struct store_range *r, void *list, int *n, struct pare_err *err)
{
	(void)ctx;
	return v.store->ops->hook_page(tx, r, list, n, err);
}

static void done_hook(void *row)
{
	store_hook_done(row);
}

enum pare_code store_hook_list(struct store_view v, const struct store_page *page, struct store_hook **out, int *out_n, bool *out_more, struct pare_err *err)
{
	const struct store_pager pager = {.row_bytes = sizeof **out, .read = read_hooks, .done = done_hook};
	void *list;
	enum pare_code code = store_page_read(v, page, &pager, &list, out_n, out_more, err);

	if (code == PARE_OK)
		*out = list;
	return code;
}

/* --- deliveries */
static enum pare_code read_deliveries(const void *ctx, struct store_view v, struct store_tx *tx, const struct store_range *r, void *list, int *n, struct pare_err *err)
{
	struct store_hook h = {.memory = NULL};
	enum pare_code code = v.store->ops->hook_load(tx, v.owner, ctx, &h, err);

	store_hook_done(&h);
	return code == PARE_OK ? v.store->ops->delivery_page(tx, ctx, r, list, n, err) : code;
}

static void done_delivery(void *row)
{
	store_delivery_done(row);
}

enum pare_code store_delivery_list(struct store_view v, const char *hook, const struct store_page *page, struct store_delivery **out, int *out_n, bool *out_more, struct pare_err *err)
{
	const struct store_pager pager = {.row_bytes = sizeof **out, .read = read_deliveries, .done = done_delivery, .ctx = hook};
	void *list;
	enum pare_code code = store_page_read(v, page, &pager, &list, out_n, out_more, err);

	if (code == PARE_OK)
		*out = list;
	return code;
}

static enum pare_code load_enabled(struct store_view v, struct store_tx *tx, const char *id, struct store_hook *h, struct pare_err *err)
{
	enum pare_code code = v.store->ops->hook_load(tx, v.owner, id, h, err);

	if (code == PARE_OK && !h->enabled)
		code = pare_err_set(err, PARE_E_CONFLICT, NULL, "webhook %s is disabled: enable it first", h->id);
	return code;
}

static enum pare_code put_test(struct store_view v, struct store_tx *tx, const char *hook, struct store_idempotency *once, struct store_delivery *out, struct pare_err *err)
{
	char known[PARE_ID_MAX];
	struct store_event e = {.seq = 1, .at_ms = wall(v.store), .type = "webhook.test", .level = "info", .data = "{}"};
	struct store_hook h = {.memory = NULL};
	enum pare_code code = load_enabled(v, tx, hook, &h, err);

	if (code == PARE_OK)
		code = store_once_find(v, tx, once, known, err);
	if (code == PARE_OK && once != NULL && once->replayed) {
		store_hook_done(&h);
		return v.store->ops->delivery_load(tx, hook, known, out, err);
	}
	if (code == PARE_OK) {
		memcpy(e.subject, h.id, sizeof e.subject);
		*out = new_delivery(v.store, &h, &e);
		(void)snprintf(out->event, sizeof out->event, "%s-%s", h.id, out->id + sizeof "dlv_" - 1);
		code = v.store->ops->delivery_insert(tx, out, err);
	}
	if (code == PARE_OK)
		code = store_once_keep(v, tx, once, out->id, err);
	if (code == PARE_OK)
		code = store_delivery_own(out, err);
	store_hook_done(&h);
	return code;
}

enum pare_code store_hook_test(struct store_view v, const char *hook, struct store_idempotency *once, struct store_delivery *out, struct pare_err *err)
{
	struct store_delivery d = {.memory = NULL};
	struct store_tx *tx;
	enum pare_code code = v.store->ops->begin(v.store, true, &tx, err);

	if (code != PARE_OK)
		return code;
	code = v.store->ops->end(tx, put_test(v, tx, hook, once, &d, err), err);
	if (code == PARE_OK)
		*out = d;
	else if (d.memory != NULL)
		store_delivery_done(&d);
	return code;
}

static enum pare_code again(struct store_view v, struct store_tx *tx, const char *hook, const char *id, struct store_delivery *d, struct pare_err *err)
{
	struct store_hook h = {.memory = NULL};
	int64_t due;
	enum pare_code code = load_enabled(v, tx, hook, &h, err);

	store_hook_done(&h);
	if (code == PARE_OK)
		code = v.store->ops->delivery_load(tx, hook, id, d, err);
	if (code != PARE_OK)
		return code;
	d->status = STORE_PENDING;
	d->n_tries = 0;
	d->finished_ms = 0;
	due = wall(v.store);
	d->next_ms = due != d->next_ms ? due : due + 1; /* another one, so that an attempt that is under way is known to be of before (store_delivery_tried) */
	v.store->n_put++;
	return v.store->ops->delivery_update(tx, d, err);
}

enum pare_code store_delivery_again(struct store_view v, const char *hook, const char *id, struct store_delivery *out, struct pare_err *err)
{
	struct store_delivery d = {.memory = NULL};
	struct store_tx *tx;
	enum pare_code code = v.store->ops->begin(v.store, true, &tx, err);

	if (code != PARE_OK)
		return code;
	code = v.store->ops->end(tx, again(v, tx, hook, id, &d, err), err);
	if (code == PARE_OK)
		*out = d;
	else
		store_delivery_done(&d);
	return code;
}

/* --- the sender's side */
uint64_t store_n_due(struct store *s)
{
	return atomic_load(&s->n_due);
}

static enum pare_code due(struct store *s, struct store_tx *tx, const struct store_busy *busy, int limit, struct store_delivery *spare, struct store_due *list, int *out_n, int64_t *out_next_ms, struct pare_err *err)
{
	int64_t now = wall(s);
	int n = 0;
	enum pare_code code = s->ops->delivery_due(tx, busy, now, limit, spare, &n, err);

	for (int i = 0; i < n; i++) {
		struct store_due *d = &list[i];

		d->d = spare[i];
		(*out_n)++;
		if (code == PARE_OK)
			code = s->ops->hook_load(tx, NULL, d->d.hook, &d->h, err);
	}
	return code == PARE_OK ? s->ops->delivery_next(tx, now, out_next_ms, err) : code;
}

enum pare_code store_delivery_due(struct store *s, const struct store_busy *busy, int limit, struct store_due **out, int *out_n, int64_t *out_next_ms, struct pare_err *err)
{
	struct store_due *list = pare_calloc((size_t)limit, sizeof *list);
	struct store_delivery *spare = pare_calloc((size_t)limit, sizeof *spare);
	struct store_tx *tx;
	int64_t next = 0;
	int n = 0;
	enum pare_code code = list != NULL && spare != NULL ? PARE_OK : pare_err_nomem(err, (size_t)limit * sizeof *list);

	if (code == PARE_OK)
		code = s->ops->begin(s, false, &tx, err);
	if (code == PARE_OK)
		code = s->ops->end(tx, due(s, tx, busy, limit, spare, list, &n, &next, err), err);
	pare_free(spare);
	if (code != PARE_OK) {
		store_due_list_done(list, n);
		return code;
	}
	*out = list;
	*out_n = n;
	*out_next_ms = next;
	return PARE_OK;
}

void store_due_list_done(struct store_due *list, int n)
{
	for (int i = 0; i < n; i++) {
		store_delivery_done(&list[i].d);
		store_hook_done(&list[i].h);
	}
	pare_free(list);
}

/* The log with a line more, and without its first ones when it grows too long. */
static enum pare_code log_attempt(const struct store_delivery *d, const struct store_attempt *a, struct pare_buf *out, struct pare_err *err)
{
	char at[PARE_TIME_MAX];
	const char *kept = d->attempts;
	int n = 0;

	for (const char *p = kept; *p != '\0'; p++)
		n += *p == '\n';
	for (; n >= STORE_MAX_ATTEMPTS; n--)
		kept = strchr(kept, '\n') + 1;
	pare_time_format(a->at_ms, at);
	(void)pare_buf_str(out, kept);
	(void)pare_buf_printf(out, "{\"attempt\":%d,\"at\":\"%s\",\"duration_seconds\":%.3f,\"status\":", d->n_attempts, at, (double)a->duration_ms / 1000);
	if (a->http_status > 0)
		(void)pare_buf_printf(out, "%d", a->http_status);
	else
		(void)pare_buf_str(out, "null");
	store_json_value(out, "error", a->error);
	store_json_value(out, "response", a->response);
	(void)pare_buf_str(out, "}\n");
	return pare_buf_status(out, err);
}

static enum pare_code disable(struct store *s, struct store_tx *tx, const char *id, const char *why, struct pare_err *err)
{
	struct store_hook h = {.memory = NULL};
	enum pare_code code = s->ops->hook_load(tx, NULL, id, &h, err);

	if (code == PARE_OK) {
		h.enabled = false;
		h.disabled_why = why;
		h.revision++;
		h.updated_ms = wall(s);
		code = s->ops->hook_update(tx, &h, err);
	}
	if (code == PARE_OK)
		code = s->ops->delivery_fail_all(tx, id, wall(s), err);
	store_hook_done(&h);
	return code;
}

static enum pare_code tried(struct store *s, struct store_tx *tx, const char *id, const struct store_attempt *a, struct pare_buf *log, struct pare_err *err)
{
	struct store_delivery d = {.memory = NULL};
	enum pare_code code = s->ops->delivery_load(tx, NULL, id, &d, err);
	bool again;

	if (code != PARE_OK)
		return code == PARE_E_NOT_FOUND ? PARE_OK : code;
	d.n_attempts++;
	again = d.status == STORE_PENDING && d.next_ms != a->due_ms;
	d.n_tries += !again;
	if (!again && (d.status == STORE_PENDING || a->status != STORE_PENDING)) { /* else its endpoint was disabled while this attempt was under way, and there is no next one */
		d.status = a->status;
		d.next_ms = a->status == STORE_PENDING ? a->next_ms : 0;
		d.finished_ms = a->status == STORE_PENDING ? 0 : wall(s);
	}
	code = log_attempt(&d, a, log, err);
	if (code == PARE_OK) {
		d.attempts = log->data;
		code = s->ops->delivery_update(tx, &d, err);
	}
	if (code == PARE_OK && a->disable != NULL)
		code = disable(s, tx, d.hook, a->disable, err);
	store_delivery_done(&d);
	return code;
}

enum pare_code store_delivery_tried(struct store *s, const char *id, const struct store_attempt *a, struct pare_err *err)
{
	struct pare_buf log;
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	pare_buf_init(&log, ATTEMPTS_CAP);
	code = s->ops->end(tx, tried(s, tx, id, a, &log, err), err);
	pare_buf_done(&log);
	return code;
}

enum pare_code store_delivery_purge(struct store *s, int64_t before_ms, int *out_n, struct pare_err *err)
{
	struct store_tx *tx;
	int n = 0;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->end(tx, s->ops->delivery_purge(tx, before_ms, &n, err), err);
	if (code == PARE_OK)
		*out_n = n;
	return code;
}

/* --- the feed: all events of an owner in the order in which they were committed */
enum pare_code store_feed_list(struct store_view v, int64_t after, int limit, struct store_event **out, int *out_n, struct pare_err *err)
{
	struct store_event *list;
	struct store_tx *tx;
	int n = 0;
	enum pare_code code;

	if (limit < 1 || limit > 1001)
		return pare_err_set(err, PARE_E_INVALID, "limit", "a page holds 1 to 1000 events, not %d", limit);
	list = pare_calloc((size_t)limit, sizeof *list);
	if (list == NULL)
		return pare_err_nomem(err, (size_t)limit * sizeof *list);
	code = v.store->ops->begin(v.store, false, &tx, err);
	if (code == PARE_OK)
		code = v.store->ops->end(tx, v.store->ops->feed_page(tx, v.owner, after, limit, list, &n, err), err);
	if (code != PARE_OK) {
		store_event_list_done(list, n);
		return code;
	}
	*out = list;
	*out_n = n;
	return PARE_OK;
}

enum pare_code store_feed_last(struct store_view v, int64_t *out, struct pare_err *err)
{
	struct store_tx *tx;
	int64_t last = 0;
	enum pare_code code = v.store->ops->begin(v.store, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = v.store->ops->end(tx, v.store->ops->feed_last(tx, &last, err), err);
	if (code == PARE_OK)
		*out = last;
	return code;
}
