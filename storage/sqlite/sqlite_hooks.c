/* Events, webhooks and deliveries on SQLite; the rules are in store_hooks.c and store_jobs.c.
 *
 * The cursor of the feed is a counter of its own row and not the table's maximum, because deleting a job may take the greatest away and a number must
 * not come twice. Only the writer adds to it and commits are seen whole, so a reader that sees one number sees all before it. */
#include <stdio.h>
#include <string.h>

#include "storage/sqlite/sqlite_priv.h"

static enum pare_code first_error(enum pare_code code, enum pare_code ended)
{
	return code != PARE_OK ? code : ended;
}

/* --- events */
static enum pare_code next_cursor(struct store_tx *tx, int64_t *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_CURSOR_NEXT);

	if (sqlite_row(&u))
		*out = sqlite_int(&u);
	return sqlite_use_end(&u, "numbering an event", err);
}

enum pare_code sqlite_event_insert(struct store_tx *tx, const char *owner, struct store_event *e, struct pare_err *err)
{
	enum pare_code code = next_cursor(tx, &e->cursor, err);
	struct use u;

	if (code != PARE_OK)
		return code;
	u = sqlite_use(tx, Q_EVENT_INSERT);
	sqlite_bind_str(&u, e->subject);
	sqlite_bind_int(&u, e->seq);
	sqlite_bind_str(&u, owner);
	sqlite_bind_int(&u, e->cursor);
	sqlite_bind_int(&u, e->at_ms);
	sqlite_bind_str(&u, e->type);
	sqlite_bind_str(&u, e->level);
	sqlite_bind_str(&u, e->data);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "storing an event", err);
}

static enum pare_code events(struct store_tx *tx, enum query q, const char *of, int64_t after, int limit, struct store_event *out, int *out_n, struct pare_err *err)
{
	struct use u = sqlite_use(tx, q);
	enum pare_code code = PARE_OK, ended;

	sqlite_bind_str(&u, of);
	sqlite_bind_int(&u, after);
	sqlite_bind_int(&u, limit);
	while (code == PARE_OK && sqlite_row(&u)) {
		struct store_event e = {.memory = NULL};

		sqlite_copy(&u, e.subject, sizeof e.subject);
		e.seq = sqlite_int(&u);
		e.cursor = sqlite_int(&u);
		e.at_ms = sqlite_int(&u);
		e.type = sqlite_str(&u);
		e.level = sqlite_str(&u);
		e.data = sqlite_str(&u);
		code = store_event_own(&e, err);
		if (code == PARE_OK)
			out[(*out_n)++] = e;
	}
	ended = sqlite_use_end(&u, "listing events", code == PARE_OK ? err : NULL);
	return first_error(code, ended);
}

enum pare_code sqlite_event_page(struct store_tx *tx, const char *subject, int64_t after, int limit, struct store_event *out, int *out_n, struct pare_err *err)
{
	return events(tx, Q_EVENT_LIST, subject, after, limit, out, out_n, err);
}

enum pare_code sqlite_feed_page(struct store_tx *tx, const char *owner, int64_t after, int limit, struct store_event *out, int *out_n, struct pare_err *err)
{
	return events(tx, Q_FEED_LIST, owner, after, limit, out, out_n, err);
}

enum pare_code sqlite_feed_last(struct store_tx *tx, int64_t *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_CURSOR);

	if (sqlite_row(&u))
		*out = sqlite_int(&u);
	return sqlite_use_end(&u, "reading the last event's number", err);
}

/* --- endpoints: in the order of HOOK_COLUMNS */
static enum pare_code read_hook(struct use *u, struct store_hook *out, struct pare_err *err)
{
	struct store_hook h = {.memory = NULL};
	const char *format;
	enum pare_code code;

	sqlite_copy(u, h.id, sizeof h.id);
	sqlite_copy(u, h.owner, sizeof h.owner);
	sqlite_copy(u, h.job, sizeof h.job);
	h.created_ms = sqlite_int(u);
	h.url = sqlite_str(u);
	h.description = sqlite_str(u);
	h.events = sqlite_str(u);
	format = sqlite_str(u);
	h.format = store_hook_format_parse(format != NULL ? format : "");
	if (h.format == STORE_N_HOOK_FORMATS)
		return pare_err_set(err, PARE_E_STORE, h.id, "the database holds the unknown webhook format \"%.40s\"", format != NULL ? format : "");
	h.enabled = sqlite_int(u) != 0;
	h.disabled_why = sqlite_str(u);
	h.secret = sqlite_str(u);
	h.old_secret = sqlite_str(u);
	h.old_until_ms = sqlite_int(u);
	h.revision = sqlite_int(u);
	h.updated_ms = sqlite_int(u);
	sqlite_copy(u, h.key, sizeof h.key);
	code = store_hook_own(&h, err);
	if (code == PARE_OK)
		*out = h;
	return code;
}

static void bind_changing(struct use *u, const struct store_hook *h)
{
	sqlite_bind_str(u, h->url);
	sqlite_bind_str(u, h->description);
	sqlite_bind_str(u, h->events);
	sqlite_bind_str(u, store_hook_format_name(h->format));
	sqlite_bind_int(u, h->enabled);
	sqlite_bind_str(u, h->disabled_why);
	sqlite_bind_str(u, h->secret);
	sqlite_bind_str(u, h->old_secret);
	sqlite_bind_int(u, h->old_until_ms);
	sqlite_bind_int(u, h->revision);
	sqlite_bind_int(u, h->updated_ms);
	sqlite_bind_str(u, h->key);
}

enum pare_code sqlite_hook_insert(struct store_tx *tx, const struct store_hook *h, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_HOOK_INSERT);

	sqlite_bind_str(&u, h->id);
	sqlite_bind_str(&u, h->owner);
	sqlite_bind_str(&u, h->job[0] != '\0' ? h->job : NULL);
	sqlite_bind_int(&u, h->created_ms);
	bind_changing(&u, h);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "storing a webhook", err);
}

enum pare_code sqlite_hook_update(struct store_tx *tx, const struct store_hook *h, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_HOOK_UPDATE);

	sqlite_bind_str(&u, h->id);
	bind_changing(&u, h);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "changing a webhook", err);
}

static enum pare_code one_hook(struct use *u, struct store_hook *out, bool *out_found, struct pare_err *err)
{
	enum pare_code code = PARE_OK, ended;

	*out_found = sqlite_row(u);
	if (*out_found)
		code = read_hook(u, out, err);
	ended = sqlite_use_end(u, "reading a webhook", code == PARE_OK ? err : NULL);
	return first_error(code, ended);
}

enum pare_code sqlite_hook_load(struct store_tx *tx, const char *owner, const char *id, struct store_hook *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, owner != NULL ? Q_HOOK_LOAD_OWN : Q_HOOK_LOAD);
	bool found = false;
	enum pare_code code;

	sqlite_bind_str(&u, id);
	if (owner != NULL)
		sqlite_bind_str(&u, owner);
	code = one_hook(&u, out, &found, err);
	return code == PARE_OK && !found ? pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no webhook \"%.80s\"", id) : code;
}

enum pare_code sqlite_hook_next(struct store_tx *tx, const char *owner, const char *job, const char *after, struct store_hook *out, bool *out_found, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_HOOK_NEXT);

	sqlite_bind_str(&u, owner);
	sqlite_bind_str(&u, job[0] != '\0' ? job : NULL);
	sqlite_bind_str(&u, after);
	return one_hook(&u, out, out_found, err);
}

enum pare_code sqlite_hook_remove(struct store_tx *tx, const char *id, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_HOOK_REMOVE);

	sqlite_bind_str(&u, id);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "deleting a webhook", err);
}

enum pare_code sqlite_hook_count(struct store_tx *tx, const char *owner, const char *job, int64_t *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_HOOK_COUNT);

	sqlite_bind_str(&u, owner);
	sqlite_bind_str(&u, job[0] != '\0' ? job : NULL);
	if (sqlite_row(&u))
		*out = sqlite_int(&u);
	return sqlite_use_end(&u, "counting webhooks", err);
}

enum pare_code sqlite_hook_page(struct store_tx *tx, const struct store_range *r, struct store_hook *out, int *out_n, struct pare_err *err)
{
	struct use u = sqlite_use(tx, r->ascending ? Q_HOOKS_ASC : Q_HOOKS);
	enum pare_code code = PARE_OK, ended;

	sqlite_bind_str(&u, r->owner);
	sqlite_bind_bounds(&u, r);
	sqlite_bind_int(&u, r->limit);
	while (code == PARE_OK && sqlite_row(&u)) {
		code = read_hook(&u, &out[*out_n], err);
		*out_n += code == PARE_OK;
	}
	ended = sqlite_use_end(&u, "listing webhooks", code == PARE_OK ? err : NULL);
	return first_error(code, ended);
}

/* --- deliveries: in the order of DELIVERY_COLUMNS */
static enum pare_code read_delivery(struct use *u, struct store_delivery *out, struct pare_err *err)
{
	struct store_delivery d = {.memory = NULL};
	const char *status;
	enum pare_code code;

	sqlite_copy(u, d.id, sizeof d.id);
	sqlite_copy(u, d.hook, sizeof d.hook);
	sqlite_copy(u, d.event, sizeof d.event);
	sqlite_copy(u, d.subject, sizeof d.subject);
	d.type = sqlite_str(u);
	d.seq = sqlite_int(u);
	d.cursor = sqlite_int(u);
	d.at_ms = sqlite_int(u);
	d.level = sqlite_str(u);
	d.data = sqlite_str(u);
	d.created_ms = sqlite_int(u);
	status = sqlite_str(u);
	d.status = store_delivery_status_parse(status != NULL ? status : "");
	if (d.status == STORE_N_DELIVERY_STATUS)
		return pare_err_set(err, PARE_E_STORE, d.id, "the database holds the unknown delivery status \"%.40s\"", status != NULL ? status : "");
	d.n_attempts = (int)sqlite_int(u);
	d.n_tries = (int)sqlite_int(u);
	d.next_ms = sqlite_int(u);
	d.finished_ms = sqlite_int(u);
	d.attempts = sqlite_str(u);
	code = store_delivery_own(&d, err);
	if (code == PARE_OK)
		*out = d;
	return code;
}

static void bind_state(struct use *u, const struct store_delivery *d)
{
	sqlite_bind_str(u, store_delivery_status_name(d->status));
	sqlite_bind_int(u, d->n_attempts);
	sqlite_bind_int(u, d->n_tries);
	sqlite_bind_int(u, d->next_ms);
	sqlite_bind_int(u, d->finished_ms);
	sqlite_bind_str(u, d->attempts);
}

enum pare_code sqlite_delivery_insert(struct store_tx *tx, const struct store_delivery *d, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_DELIVERY_INSERT);

	sqlite_bind_str(&u, d->id);
	sqlite_bind_str(&u, d->hook);
	sqlite_bind_str(&u, d->event);
	sqlite_bind_str(&u, d->subject);
	sqlite_bind_str(&u, d->type);
	sqlite_bind_int(&u, d->seq);
	sqlite_bind_int(&u, d->cursor);
	sqlite_bind_int(&u, d->at_ms);
	sqlite_bind_str(&u, d->level);
	sqlite_bind_str(&u, d->data);
	sqlite_bind_int(&u, d->created_ms);
	bind_state(&u, d);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "storing a delivery", err);
}

enum pare_code sqlite_delivery_update(struct store_tx *tx, const struct store_delivery *d, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_DELIVERY_UPDATE);

	sqlite_bind_str(&u, d->id);
	bind_state(&u, d);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "changing a delivery", err);
}

enum pare_code sqlite_delivery_load(struct store_tx *tx, const char *hook, const char *id, struct store_delivery *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_DELIVERY_LOAD);
	enum pare_code code = PARE_OK, ended;
	bool found;

	sqlite_bind_str(&u, id);
	sqlite_bind_str(&u, hook);
	found = sqlite_row(&u);
	if (found)
		code = read_delivery(&u, out, err);
	ended = sqlite_use_end(&u, "reading a delivery", code == PARE_OK ? err : NULL);
	code = first_error(code, ended);
	return code == PARE_OK && !found ? pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no delivery \"%.80s\"", id) : code;
}

static enum pare_code read_deliveries(struct use *u, struct store_delivery *out, int *out_n, struct pare_err *err)
{
	enum pare_code code = PARE_OK, ended;

	while (code == PARE_OK && sqlite_row(u)) {
		code = read_delivery(u, &out[*out_n], err);
		*out_n += code == PARE_OK;
	}
	ended = sqlite_use_end(u, "listing deliveries", code == PARE_OK ? err : NULL);
	return first_error(code, ended);
}

enum pare_code sqlite_delivery_page(struct store_tx *tx, const char *hook, const struct store_range *r, struct store_delivery *out, int *out_n, struct pare_err *err)
{
	struct use u = sqlite_use(tx, r->ascending ? Q_DELIVERIES_ASC : Q_DELIVERIES);

	sqlite_bind_str(&u, hook);
	sqlite_bind_bounds(&u, r);
	sqlite_bind_int(&u, r->limit);
	return read_deliveries(&u, out, out_n, err);
}

/* As a JSON array. Ids and owners are of letters, digits and a few marks that need no escapes. */
#define NAMES_MAX (STORE_MAX_BUSY * (PARE_ID_MAX + 3) + 3)
static void write_names(char out[NAMES_MAX], const char *const *names, int count)
{
	size_t n = 1;

	out[0] = '[';
	for (int i = 0; i < count; i++)
		n += (size_t)snprintf(out + n, NAMES_MAX - n, "%s\"%s\"", i > 0 ? "," : "", names[i]);
	(void)snprintf(out + n, NAMES_MAX - n, "]");
}

enum pare_code sqlite_delivery_due(struct store_tx *tx, const struct store_busy *busy, int64_t now_ms, int limit, struct store_delivery *out, int *out_n, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_DELIVERY_DUE);
	char hooks[NAMES_MAX], owners[NAMES_MAX];

	write_names(hooks, busy != NULL ? busy->hooks : NULL, busy != NULL ? busy->n_hooks : 0);
	write_names(owners, busy != NULL ? busy->owners : NULL, busy != NULL ? busy->n_owners : 0);
	sqlite_bind_int(&u, now_ms);
	sqlite_bind_str(&u, hooks);
	sqlite_bind_int(&u, limit);
	sqlite_bind_str(&u, owners);
	sqlite_bind_int(&u, busy != NULL && busy->per_hook > 0 ? busy->per_hook : limit);
	return read_deliveries(&u, out, out_n, err);
}

enum pare_code sqlite_delivery_next(struct store_tx *tx, int64_t now_ms, int64_t *out_ms, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_DELIVERY_NEXT);

	sqlite_bind_int(&u, now_ms);
	*out_ms = sqlite_row(&u) ? sqlite_int(&u) : 0;
	return sqlite_use_end(&u, "looking for the next delivery", err);
}

enum pare_code sqlite_delivery_fail_all(struct store_tx *tx, const char *hook, int64_t now_ms, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_DELIVERY_FAIL_ALL);

	sqlite_bind_str(&u, hook);
	sqlite_bind_int(&u, now_ms);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "giving deliveries up", err);
}

enum pare_code sqlite_delivery_purge(struct store_tx *tx, int64_t before_ms, int *out_n, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_DELIVERY_PURGE);
	enum pare_code code;

	sqlite_bind_int(&u, before_ms);
	(void)sqlite_row(&u);
	code = sqlite_use_end(&u, "forgetting old deliveries", err);
	if (code == PARE_OK)
		*out_n = sqlite3_changes(tx->db);
	return code;
}
