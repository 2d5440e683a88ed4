/* Keys, once for all backends; see keys.h. */
#include <string.h>

#include "core/base/mem.h"
#include "storage/store_priv.h"

static int64_t wall(const struct store *s)
{
	return s->env.wall_ms(s->env.ctx);
}

static enum pare_code put(struct store_view v, struct store_tx *tx, const struct store_key *k, struct pare_err *err)
{
	struct store *s = v.store;
	int n = 0;
	enum pare_code code = s->ops->key_purge(tx, k->created_ms - STORE_KEY_KEPT_MS, err);

	if (code == PARE_OK)
		code = s->ops->key_count(tx, &n, err);
	if (code == PARE_OK && n >= STORE_MAX_KEYS)
		return pare_err_set(err, PARE_E_LIMIT, NULL, "there are %d keys, which is the limit: revoked ones are forgotten after 30 days", n);
	if (code == PARE_OK)
		code = s->ops->key_insert(tx, k, err);
	return code == PARE_OK ? store_once_keep(v, tx, k->once, k->id, err) : code;
}

enum pare_code store_key_put(struct store_view v, struct store_key *k, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_key row = *k;
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	row.name = row.name != NULL ? row.name : "";
	row.created_ms = wall(s);
	row.revoked_ms = row.last_used_ms = 0;
	code = store_once_find(v, tx, k->once, row.id, err);
	if (code == PARE_OK && (k->once == NULL || !k->once->replayed))
		code = put(v, tx, &row, err);
	code = s->ops->end(tx, code, err);
	if (code != PARE_OK)
		return code;
	memcpy(k->id, row.id, sizeof k->id);
	k->created_ms = row.created_ms;
	return PARE_OK;
}

enum pare_code store_key_get(struct store *s, const char *id, struct store_key *out, struct pare_err *err)
{
	struct store_key k = {.memory = NULL};
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->end(tx, s->ops->key_load(tx, id, &k, err), err);
	if (code == PARE_OK)
		*out = k;
	else
		store_key_done(&k);
	return code;
}

static enum pare_code read_keys(const void *ctx, struct store_view v, struct store_tx *tx, const struct store_range *r, void *list, int *n, struct pare_err *err)
{
	(void)ctx;
	return v.store->ops->key_page(tx, r, list, n, err);
}

static void done_key(void *row)
{
	store_key_done(row);
}

enum pare_code store_key_list(struct store *s, const struct store_page *page, struct store_key **out, int *out_n, bool *out_more, struct pare_err *err)
{
	const struct store_pager pager = {.row_bytes = sizeof **out, .read = read_keys, .done = done_key};
	void *list;
	enum pare_code code = store_page_read((struct store_view){s, ""}, page, &pager, &list, out_n, out_more, err);

	if (code == PARE_OK)
		*out = list;
	return code;
}

enum pare_code store_key_revoke(struct store *s, const char *id, struct pare_err *err)
{
	struct store_key k = {.memory = NULL};
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->key_load(tx, id, &k, err);
	if (code == PARE_OK && k.revoked_ms == 0) {
		k.revoked_ms = wall(s);
		code = s->ops->key_update(tx, &k, err);
	}
	store_key_done(&k);
	return s->ops->end(tx, code, err);
}

static enum pare_code used(struct store *s, struct store_tx *tx, const struct store_key_use *use, struct pare_err *err)
{
	struct store_key k = {.memory = NULL};
	enum pare_code code = s->ops->key_load(tx, use->id, &k, err);

	if (code == PARE_OK && use->at_ms > k.last_used_ms) {
		k.last_used_ms = use->at_ms;
		code = s->ops->key_update(tx, &k, err);
	}
	store_key_done(&k);
	return code == PARE_E_NOT_FOUND ? PARE_OK : code;
}

enum pare_code store_key_used(struct store *s, const struct store_key_use *uses, int n, struct pare_err *err)
{
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	for (int i = 0; i < n && code == PARE_OK; i++)
		code = used(s, tx, &uses[i], err);
	return s->ops->end(tx, code, err);
}
