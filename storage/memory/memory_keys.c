/* API keys in memory. Their ids are made by the caller (a key's digest covers its id), so the table is not quite in their order, and a page looks for
 * each next one. An update is a transaction's last step and changes numbers only, so it needs no undoing. */
#include "storage/memory/memory_priv.h"

void memory_free_key(void *row)
{
	store_key_done(row);
}

static struct store_key *find(const struct store_tx *tx, const char *id)
{
	for (int i = 0; i < n_rows(tx, T_KEYS); i++) {
		struct store_key *k = row_at(tx, T_KEYS, i);

		if (strcmp(k->id, id) == 0)
			return k;
	}
	return NULL;
}

static enum pare_code copy(const struct store_key *from, struct store_key *out, struct pare_err *err)
{
	struct store_key k = *from;
	enum pare_code code = store_key_own(&k, err);

	if (code == PARE_OK)
		*out = k;
	return code;
}

enum pare_code memory_key_insert(struct store_tx *tx, const struct store_key *k, struct pare_err *err)
{
	struct store_key row;
	enum pare_code code = copy(k, &row, err);

	if (code == PARE_OK)
		code = push(tx, T_KEYS, &row, err);
	else
		return code;
	if (code != PARE_OK)
		store_key_done(&row);
	return code;
}

enum pare_code memory_key_load(struct store_tx *tx, const char *id, struct store_key *out, struct pare_err *err)
{
	const struct store_key *k = find(tx, id);

	return k != NULL ? copy(k, out, err) : pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no key \"%.80s\"", id);
}

enum pare_code memory_key_update(struct store_tx *tx, const struct store_key *k, struct pare_err *err)
{
	struct store_key *row = find(tx, k->id);

	(void)err;
	row->revoked_ms = k->revoked_ms;
	row->last_used_ms = k->last_used_ms;
	return PARE_OK;
}

/* The nearest row beyond the last one given, in the range's direction. */
static const struct store_key *next(const struct store_tx *tx, const struct store_range *r, const char *last)
{
	const struct store_key *best = NULL;

	for (int i = 0; i < n_rows(tx, T_KEYS); i++) {
		const struct store_key *k = row_at(tx, T_KEYS, i);
		int sign = r->ascending ? 1 : -1;

		if (!within(r, k->id) || (last != NULL && strcmp(k->id, last) * sign <= 0))
			continue;
		if (best == NULL || strcmp(k->id, best->id) * sign < 0)
			best = k;
	}
	return best;
}

enum pare_code memory_key_page(struct store_tx *tx, const struct store_range *r, struct store_key *out, int *out_n, struct pare_err *err)
{
	const struct store_key *k = next(tx, r, NULL);

	for (; k != NULL && *out_n < r->limit; k = next(tx, r, k->id)) {
		if (copy(k, &out[*out_n], err) != PARE_OK)
			return PARE_E_NOMEM;
		(*out_n)++;
	}
	return PARE_OK;
}

enum pare_code memory_key_count(struct store_tx *tx, int *out, struct pare_err *err)
{
	(void)err;
	*out = n_rows(tx, T_KEYS);
	return PARE_OK;
}

/* Forgetting is not undone. */
enum pare_code memory_key_purge(struct store_tx *tx, int64_t before_ms, struct pare_err *err)
{
	(void)err;
	for (int i = n_rows(tx, T_KEYS) - 1; i >= 0; i--) {
		const struct store_key *k = row_at(tx, T_KEYS, i);

		if ((k->revoked_ms != 0 && k->revoked_ms <= before_ms) || (k->expires_ms != 0 && k->expires_ms <= before_ms))
			drop_row(tx, T_KEYS, i);
	}
	tx->m->tables[T_KEYS].n_at_begin = n_rows(tx, T_KEYS);
	return PARE_OK;
}
