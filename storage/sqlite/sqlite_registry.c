/* Names and aliases on SQLite; see sqlite_rows.c. */
#include "storage/sqlite/sqlite_priv.h"

enum pare_code sqlite_asset_update(struct store_tx *tx, const struct store_asset *a, struct pare_err *err)
{
	struct use u = sqlite_use(tx, Q_ASSET_UPDATE);

	sqlite_bind_str(&u, a->id);
	sqlite_bind_str(&u, a->name);
	sqlite_bind_int(&u, a->version);
	sqlite_bind_int(&u, a->revision);
	sqlite_bind_str(&u, a->labels);
	sqlite_bind_str(&u, a->description);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "changing an asset", err);
}

static struct use of_name(struct store_tx *tx, enum query q, const char *owner, enum store_asset_kind kind, const char *name)
{
	struct use u = sqlite_use(tx, q);

	sqlite_bind_str(&u, owner);
	sqlite_bind_int(&u, kind);
	sqlite_bind_str(&u, name);
	return u;
}

enum pare_code sqlite_asset_number(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, int64_t *out, struct pare_err *err)
{
	struct use u = of_name(tx, Q_ASSET_NUMBER, owner, kind, name);

	if (sqlite_row(&u))
		*out = sqlite_int(&u);
	return sqlite_use_end(&u, "numbering a version", err);
}

static enum pare_code id_of(struct use *u, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	out_id[0] = '\0';
	if (sqlite_row(u))
		sqlite_copy(u, out_id, PARE_ID_MAX);
	return sqlite_use_end(u, "looking for a name", err);
}

enum pare_code sqlite_asset_named(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, int64_t version, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	struct use u = of_name(tx, Q_ASSET_NAMED, owner, kind, name);

	sqlite_bind_int(&u, version);
	return id_of(&u, out_id, err);
}

enum pare_code sqlite_alias_load(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	struct use u = of_name(tx, Q_ALIAS_LOAD, owner, kind, name);

	sqlite_bind_str(&u, alias);
	return id_of(&u, out_id, err);
}

enum pare_code sqlite_alias_put(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, const char *id, struct pare_err *err)
{
	struct use u = of_name(tx, Q_ALIAS_PUT, owner, kind, name);

	sqlite_bind_str(&u, alias);
	sqlite_bind_str(&u, id);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "storing an alias", err);
}

enum pare_code sqlite_alias_remove(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, struct pare_err *err)
{
	struct use u = of_name(tx, Q_ALIAS_REMOVE, owner, kind, name);

	sqlite_bind_str(&u, alias);
	(void)sqlite_row(&u);
	return sqlite_use_end(&u, "deleting an alias", err);
}
