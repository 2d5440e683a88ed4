/* API keys, and what owners have, on SQLite; see sqlite_rows.c for how a row operation reads. */
#include "storage/sqlite/sqlite_priv.h"

enum pare_code sqlite_key_insert(struct store_tx *tx, const struct store_key *k, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_KEY_INSERT);

	sqlite_bind_str(&u, k->id);
	sqlite_bind_str(&u, k->owner);
	sqlite_bind_str(&u, k->name);
	sqlite_bind_str(&u, k->scopes);
	sqlite_bind_bytes(&u, k->hash, sizeof k->hash);
	sqlite_bind_int(&u, k->created_ms);
	sqlite_bind_int(&u, k->expires_ms);
	sqlite_bind_int(&u, k->revoked_ms);
	sqlite_bind_int(&u, k->last_used_ms);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "storing a key", err);
}

static enum pare_code read_key(struct use *u, struct store_key *out, struct pare_err *err)
{
	struct store_key k = {.memory = NULL};
	enum pare_code code;

	sqlite_copy(u, k.id, sizeof k.id);
	sqlite_copy(u, k.owner, sizeof k.owner);
	k.name = sqlite_str(u);
	k.scopes = sqlite_str(u);
	sqlite_copy_bytes(u, k.hash, sizeof k.hash);
	k.created_ms = sqlite_int(u);
	k.expires_ms = sqlite_int(u);
	k.revoked_ms = sqlite_int(u);
	k.last_used_ms = sqlite_int(u);
	code = store_key_own(&k, err);
	if (code == PARE_OK)
		*out = k;
	return code;
}

enum pare_code sqlite_key_load(struct store_tx *tx, const char *id, struct store_key *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_KEY_LOAD);
	enum pare_code code, ended;

	sqlite_bind_str(&u, id);
	if (!sqlite_row(&u)) {
		code = sqlite_use_end(&u, "reading a key", err);
		return code != PARE_OK ? code : pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no key \"%.80s\"", id);
	}
	code = read_key(&u, out, err);
	ended = sqlite_use_end(&u, "reading a key", code == PARE_OK ? err : NULL);
	return code != PARE_OK ? code : ended;
}

enum pare_code sqlite_key_update(struct store_tx *tx, const struct store_key *k, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_KEY_UPDATE);

	sqlite_bind_str(&u, k->id);
	sqlite_bind_int(&u, k->revoked_ms);
	sqlite_bind_int(&u, k->last_used_ms);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "changing a key", err);
}

enum pare_code sqlite_key_page(struct store_tx *tx, const struct store_range *r, struct store_key *out, int *out_n, struct pare_err *err)
{
	struct use u = sqlite_use(tx, r->ascending ? Q_KEY_ASC : Q_KEY_DESC);
	enum pare_code code = PARE_OK, ended;

	sqlite_bind_bounds(&u, r);
	sqlite_bind_int(&u, r->limit);
	while (code == PARE_OK && sqlite_row(&u)) {
		code = read_key(&u, &out[*out_n], err);
		*out_n += code == PARE_OK;
	}
	ended = sqlite_use_end(&u, "listing keys", code == PARE_OK ? err : NULL);
	return code != PARE_OK ? code : ended;
}

enum pare_code sqlite_key_count(struct store_tx *tx, int *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_KEY_COUNT);

	if (sqlite_row(&u))
		*out = (int)sqlite_int(&u);
	return sqlite_use_end(&u, "counting keys", err);
}

enum pare_code sqlite_key_purge(struct store_tx *tx, int64_t before_ms, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_KEY_PURGE);

	sqlite_bind_int(&u, before_ms);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "forgetting old keys", err);
}

/* --- what owners have */
static enum pare_code number(struct use *u, int64_t *out, const char *doing, struct pare_err *err)
{
	*out = sqlite_row(u) ? sqlite_int(u) : 0;
	return sqlite_use_end(u, doing, err);
}

enum pare_code sqlite_owner_bytes(struct store_tx *tx, const char *owner, int64_t *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_OWNER_BYTES);

	sqlite_bind_str(&u, owner);
	return number(&u, out, "counting bytes", err);
}

enum pare_code sqlite_owner_open_jobs(struct store_tx *tx, const char *owner, int64_t max, int64_t *out, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_OWNER_OPEN_JOBS);

	sqlite_bind_str(&u, owner);
	sqlite_bind_int(&u, max);
	return number(&u, out, "counting open jobs", err);
}
