/* Events, webhooks and deliveries in memory; see memory.c. */
#include "storage/memory/memory_priv.h"

static enum pare_code none(const char *noun, const char *id, struct pare_err *err)
{
	return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no %s \"%.80s\"", noun, id);
}

/* --- events */
enum pare_code memory_event_insert(struct store_tx *tx, const char *owner, struct store_event *e, struct pare_err *err)
{
	struct event_row row = {.e = *e};
	enum pare_code code;

	row.e.cursor = e->cursor = ++tx->m->cursor; /* not undone: a number that nobody has is no gap in what is there */
	code = store_event_own(&row.e, err);
	if (code != PARE_OK)
		return code;
	memcpy(row.owner, owner, strlen(owner) + 1);
	code = push(tx, T_EVENTS, &row, err);
	if (code != PARE_OK)
		memory_kind_table[T_EVENTS].free_row(&row);
	return code;
}

static enum pare_code add_event(const struct event_row *row, struct store_event *out, int *out_n, struct pare_err *err)
{
	struct store_event e = row->e;
	enum pare_code code = store_event_own(&e, err);

	if (code == PARE_OK)
		out[(*out_n)++] = e;
	return code;
}

enum pare_code memory_event_page(struct store_tx *tx, const char *subject, int64_t after, int limit, struct store_event *out, int *out_n, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int i = 0; i < n_rows(tx, T_EVENTS) && *out_n < limit && code == PARE_OK; i++) {
		const struct event_row *row = row_at(tx, T_EVENTS, i);

		if (row->e.seq > after && strcmp(row->e.subject, subject) == 0)
			code = add_event(row, out, out_n, err);
	}
	return code;
}

enum pare_code memory_feed_page(struct store_tx *tx, const char *owner, int64_t after, int limit, struct store_event *out, int *out_n, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int i = 0; i < n_rows(tx, T_EVENTS) && *out_n < limit && code == PARE_OK; i++) {
		const struct event_row *row = row_at(tx, T_EVENTS, i);

		if (row->e.cursor > after && strcmp(row->owner, owner) == 0)
			code = add_event(row, out, out_n, err);
	}
	return code;
}

enum pare_code memory_feed_last(struct store_tx *tx, int64_t *out, struct pare_err *err)
{
	(void)err;
	*out = tx->m->cursor;
	return PARE_OK;
}

void memory_events_drop(struct store_tx *tx, const char *subject)
{
	for (int i = n_rows(tx, T_EVENTS) - 1; i >= 0; i--)
		if (strcmp(((const struct event_row *)row_at(tx, T_EVENTS, i))->e.subject, subject) == 0)
			drop_row(tx, T_EVENTS, i);
}

/* --- endpoints */
static int find_hook(const struct store_tx *tx, const char *owner, const char *id)
{
	for (int i = 0; i < n_rows(tx, T_HOOKS); i++) {
		const struct store_hook *h = row_at(tx, T_HOOKS, i);

		if (strcmp(h->id, id) == 0 && (owner == NULL || strcmp(h->owner, owner) == 0))
			return i;
	}
	return -1;
}

static enum pare_code copy_hook(const struct store_hook *from, struct store_hook *out, struct pare_err *err)
{
	struct store_hook h = *from;
	enum pare_code code = store_hook_own(&h, err);

	if (code == PARE_OK)
		*out = h;
	return code;
}

enum pare_code memory_hook_insert(struct store_tx *tx, const struct store_hook *h, struct pare_err *err)
{
	struct store_hook row;
	enum pare_code code = copy_hook(h, &row, err);

	if (code != PARE_OK)
		return code;
	code = push(tx, T_HOOKS, &row, err);
	if (code != PARE_OK)
		store_hook_done(&row);
	return code;
}

enum pare_code memory_hook_load(struct store_tx *tx, const char *owner, const char *id, struct store_hook *out, struct pare_err *err)
{
	int i = find_hook(tx, owner, id);

	return i < 0 ? none("webhook", id, err) : copy_hook(row_at(tx, T_HOOKS, i), out, err);
}

enum pare_code memory_hook_update(struct store_tx *tx, const struct store_hook *h, struct pare_err *err)
{
	int i = find_hook(tx, NULL, h->id);
	struct store_hook row;
	enum pare_code code = copy_hook(h, &row, err);

	if (code != PARE_OK)
		return code;
	code = keep_old(tx, T_HOOKS, i, err);
	if (code == PARE_OK)
		memcpy(row_at(tx, T_HOOKS, i), &row, sizeof row);
	else
		store_hook_done(&row);
	return code;
}

static void drop_hook(struct store_tx *tx, int at)
{
	char id[PARE_ID_MAX];

	memcpy(id, ((const struct store_hook *)row_at(tx, T_HOOKS, at))->id, sizeof id);
	for (int i = n_rows(tx, T_DELIVERIES) - 1; i >= 0; i--)
		if (strcmp(((const struct store_delivery *)row_at(tx, T_DELIVERIES, i))->hook, id) == 0)
			drop_row(tx, T_DELIVERIES, i);
	memory_once_drop(tx, id);
	drop_row(tx, T_HOOKS, at);
}

enum pare_code memory_hook_remove(struct store_tx *tx, const char *id, struct pare_err *err)
{
	(void)err;
	drop_hook(tx, find_hook(tx, NULL, id));
	return PARE_OK;
}

void memory_hooks_drop_job(struct store_tx *tx, const char *job)
{
	for (int i = n_rows(tx, T_HOOKS) - 1; i >= 0; i--)
		if (strcmp(((const struct store_hook *)row_at(tx, T_HOOKS, i))->job, job) == 0)
			drop_hook(tx, i);
}

enum pare_code memory_hook_page(struct store_tx *tx, const struct store_range *r, struct store_hook *out, int *out_n, struct pare_err *err)
{
	int n = n_rows(tx, T_HOOKS);
	enum pare_code code = PARE_OK;

	for (int k = 0; k < n && *out_n < r->limit && code == PARE_OK; k++) {
		const struct store_hook *h = row_at(tx, T_HOOKS, walk(r, k, n));

		if (strcmp(h->owner, r->owner) != 0 || !within(r, h->id))
			continue;
		code = copy_hook(h, &out[*out_n], err);
		*out_n += code == PARE_OK;
	}
	return code;
}

enum pare_code memory_hook_count(struct store_tx *tx, const char *owner, const char *job, int64_t *out, struct pare_err *err)
{
	(void)err;
	*out = 0;
	for (int i = 0; i < n_rows(tx, T_HOOKS); i++) {
		const struct store_hook *h = row_at(tx, T_HOOKS, i);

		*out += strcmp(h->owner, owner) == 0 && strcmp(h->job, job) == 0;
	}
	return PARE_OK;
}

enum pare_code memory_hook_next(struct store_tx *tx, const char *owner, const char *job, const char *after, struct store_hook *out, bool *out_found, struct pare_err *err)
{
	*out_found = false;
	for (int i = 0; i < n_rows(tx, T_HOOKS); i++) {
		const struct store_hook *h = row_at(tx, T_HOOKS, i);

		if (!h->enabled || strcmp(h->owner, owner) != 0 || strcmp(h->job, job) != 0 || strcmp(h->id, after) <= 0)
			continue;
		*out_found = true;
		return copy_hook(h, out, err);
	}
	return PARE_OK;
}

/* --- deliveries */
static struct store_delivery *delivery_at(const struct store_tx *tx, int i)
{
	return row_at(tx, T_DELIVERIES, i);
}

static int find_delivery(const struct store_tx *tx, const char *hook, const char *id)
{
	for (int i = 0; i < n_rows(tx, T_DELIVERIES); i++)
		if (strcmp(delivery_at(tx, i)->id, id) == 0 && (hook == NULL || strcmp(delivery_at(tx, i)->hook, hook) == 0))
			return i;
	return -1;
}

static enum pare_code copy_delivery(const struct store_delivery *from, struct store_delivery *out, struct pare_err *err)
{
	struct store_delivery d = *from;
	enum pare_code code = store_delivery_own(&d, err);

	if (code == PARE_OK)
		*out = d;
	return code;
}

enum pare_code memory_delivery_insert(struct store_tx *tx, const struct store_delivery *d, struct pare_err *err)
{
	struct store_delivery row;
	enum pare_code code = copy_delivery(d, &row, err);

	if (code != PARE_OK)
		return code;
	code = push(tx, T_DELIVERIES, &row, err);
	if (code != PARE_OK)
		store_delivery_done(&row);
	return code;
}

enum pare_code memory_delivery_load(struct store_tx *tx, const char *hook, const char *id, struct store_delivery *out, struct pare_err *err)
{
	int i = find_delivery(tx, hook, id);

	return i < 0 ? none("delivery", id, err) : copy_delivery(delivery_at(tx, i), out, err);
}

enum pare_code memory_delivery_update(struct store_tx *tx, const struct store_delivery *d, struct pare_err *err)
{
	int i = find_delivery(tx, NULL, d->id);
	struct store_delivery row;
	enum pare_code code = copy_delivery(d, &row, err);

	if (code != PARE_OK)
		return code;
	code = keep_old(tx, T_DELIVERIES, i, err);
	if (code == PARE_OK)
		*delivery_at(tx, i) = row;
	else
		store_delivery_done(&row);
	return code;
}

enum pare_code memory_delivery_page(struct store_tx *tx, const char *hook, const struct store_range *r, struct store_delivery *out, int *out_n, struct pare_err *err)
{
	int n = n_rows(tx, T_DELIVERIES);
	enum pare_code code = PARE_OK;

	for (int k = 0; k < n && *out_n < r->limit && code == PARE_OK; k++) {
		const struct store_delivery *d = delivery_at(tx, walk(r, k, n));

		if (strcmp(d->hook, hook) != 0 || !within(r, d->id))
			continue;
		code = copy_delivery(d, &out[*out_n], err);
		*out_n += code == PARE_OK;
	}
	return code;
}

static bool is_one_of(const char *name, const char *const *list, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

static bool is_busy(const struct store_tx *tx, const char *hook, const struct store_busy *busy)
{
	const struct store_hook *h = row_at(tx, T_HOOKS, find_hook(tx, NULL, hook));

	return is_one_of(hook, busy->hooks, busy->n_hooks) || is_one_of(h->owner, busy->owners, busy->n_owners);
}

/* The first pending one behind (ms, id) in the order of the time at which they are due; -1: none. */
static int first_due(const struct store_tx *tx, const struct store_busy *busy, int64_t ms, const char *id)
{
	int best = -1;

	for (int i = 0; i < n_rows(tx, T_DELIVERIES); i++) {
		const struct store_delivery *d = delivery_at(tx, i);
		bool behind = d->next_ms > ms || (d->next_ms == ms && strcmp(d->id, id) > 0);

		if (d->status == STORE_PENDING && behind && (busy == NULL || !is_busy(tx, d->hook, busy)) && (best < 0 || d->next_ms < delivery_at(tx, best)->next_ms))
			best = i;
	}
	return best;
}

static int n_of_hook(const struct store_delivery *list, int n, const char *hook)
{
	int count = 0;

	for (int i = 0; i < n; i++)
		count += strcmp(list[i].hook, hook) == 0;
	return count;
}

enum pare_code memory_delivery_due(struct store_tx *tx, const struct store_busy *busy, int64_t now_ms, int limit, struct store_delivery *out, int *out_n, struct pare_err *err)
{
	int most = busy != NULL && busy->per_hook > 0 ? busy->per_hook : limit;
	enum pare_code code = PARE_OK;
	int i = first_due(tx, busy, INT64_MIN, "");

	while (i >= 0 && delivery_at(tx, i)->next_ms <= now_ms && *out_n < limit && code == PARE_OK) {
		if (n_of_hook(out, *out_n, delivery_at(tx, i)->hook) < most) {
			code = copy_delivery(delivery_at(tx, i), &out[*out_n], err);
			*out_n += code == PARE_OK;
		}
		i = first_due(tx, busy, delivery_at(tx, i)->next_ms, delivery_at(tx, i)->id);
	}
	return code;
}

enum pare_code memory_delivery_next(struct store_tx *tx, int64_t now_ms, int64_t *out_ms, struct pare_err *err)
{
	int i = first_due(tx, NULL, now_ms, "~");

	(void)err;
	*out_ms = i >= 0 ? delivery_at(tx, i)->next_ms : 0;
	return PARE_OK;
}

enum pare_code memory_delivery_fail_all(struct store_tx *tx, const char *hook, int64_t now_ms, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int i = 0; i < n_rows(tx, T_DELIVERIES) && code == PARE_OK; i++) {
		struct store_delivery d = *delivery_at(tx, i);

		if (d.status != STORE_PENDING || strcmp(d.hook, hook) != 0)
			continue;
		d.status = STORE_UNDELIVERED;
		d.next_ms = 0;
		d.finished_ms = now_ms;
		code = memory_delivery_update(tx, &d, err);
	}
	return code;
}

enum pare_code memory_delivery_purge(struct store_tx *tx, int64_t before_ms, int *out_n, struct pare_err *err)
{
	(void)err;
	for (int i = n_rows(tx, T_DELIVERIES) - 1; i >= 0; i--)
		if (delivery_at(tx, i)->finished_ms > 0 && delivery_at(tx, i)->finished_ms < before_ms) {
			drop_row(tx, T_DELIVERIES, i);
			(*out_n)++;
		}
	tx->m->tables[T_DELIVERIES].n_at_begin = n_rows(tx, T_DELIVERIES); /* forgetting is not undone */
	return PARE_OK;
}
