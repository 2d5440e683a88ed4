/* Names and aliases in memory. */
#include "storage/memory/memory_priv.h"

void memory_free_name(void *row)
{
	pare_free(((struct name_row *)row)->name);
}

void memory_free_alias(void *row)
{
	pare_free(((struct alias_row *)row)->name);
	pare_free(((struct alias_row *)row)->alias);
}

/* The aliases of one asset are few: picked in order, smallest first. */
void memory_aliases_of(const struct store_tx *tx, const char *id, struct pare_buf *out)
{
	const char *last = "", *next;

	do {
		next = NULL;
		for (int i = 0; i < n_rows(tx, T_ALIASES); i++) {
			const struct alias_row *r = row_at(tx, T_ALIASES, i);

			if (strcmp(r->asset, id) == 0 && strcmp(r->alias, last) > 0 && (next == NULL || strcmp(r->alias, next) < 0))
				next = r->alias;
		}
		if (next != NULL)
			(void)pare_buf_printf(out, "%s%s", out->len > 0 ? "," : "", next);
		last = next;
	} while (next != NULL);
}

/* The record is made anew: its strings are one block. */
enum pare_code memory_asset_update(struct store_tx *tx, const struct store_asset *a, struct pare_err *err)
{
	struct store_asset fresh = *a, *row = NULL;
	enum pare_code code;

	for (int i = 0; i < n_rows(tx, T_ASSETS); i++)
		if (strcmp(((struct store_asset *)row_at(tx, T_ASSETS, i))->id, a->id) == 0)
			row = row_at(tx, T_ASSETS, i);
	fresh.aliases = "";
	code = store_asset_own(&fresh, err);
	for (int i = 0; i < a->n_files && code == PARE_OK; i++)
		code = store_asset_own_file(&fresh, i, &a->files[i], err);
	if (code != PARE_OK)
		return code;
	store_asset_done(row);
	*row = fresh;
	return PARE_OK;
}

enum pare_code memory_asset_number(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, int64_t *out, struct pare_err *err)
{
	struct name_row row = {.kind = kind, .last_version = 1};
	enum pare_code code;

	for (int i = 0; i < n_rows(tx, T_NAMES); i++) {
		struct name_row *r = row_at(tx, T_NAMES, i);

		if (r->kind != kind || strcmp(r->owner, owner) != 0 || strcmp(r->name, name) != 0)
			continue;
		*out = ++r->last_version; /* a number that an undone transaction took is not given again */
		return PARE_OK;
	}
	memcpy(row.owner, owner, strlen(owner) + 1);
	row.name = pare_strdup(name);
	code = row.name != NULL ? push(tx, T_NAMES, &row, err) : pare_err_nomem(err, 0);
	if (code != PARE_OK)
		memory_free_name(&row);
	*out = 1;
	return code;
}

enum pare_code memory_asset_named(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, int64_t version, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	int64_t newest = 0;

	(void)err;
	out_id[0] = '\0';
	for (int i = 0; i < n_rows(tx, T_ASSETS); i++) {
		const struct store_asset *a = row_at(tx, T_ASSETS, i);

		if (a->kind != kind || strcmp(a->owner, owner) != 0 || strcmp(a->name, name) != 0 || (version != 0 && a->version != version) || a->version <= newest)
			continue;
		newest = a->version;
		memcpy(out_id, a->id, PARE_ID_MAX);
	}
	return PARE_OK;
}

static int find_alias(const struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias)
{
	for (int i = 0; i < n_rows(tx, T_ALIASES); i++) {
		const struct alias_row *r = row_at(tx, T_ALIASES, i);

		if (r->kind == kind && strcmp(r->owner, owner) == 0 && strcmp(r->name, name) == 0 && strcmp(r->alias, alias) == 0)
			return i;
	}
	return -1;
}

enum pare_code memory_alias_load(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	int i = find_alias(tx, owner, kind, name, alias);

	(void)err;
	out_id[0] = '\0';
	if (i >= 0)
		memcpy(out_id, ((const struct alias_row *)row_at(tx, T_ALIASES, i))->asset, PARE_ID_MAX);
	return PARE_OK;
}

enum pare_code memory_alias_put(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, const char *id, struct pare_err *err)
{
	int i = find_alias(tx, owner, kind, name, alias);
	struct alias_row row = {.kind = kind};
	enum pare_code code;

	if (i >= 0) {
		memcpy(((struct alias_row *)row_at(tx, T_ALIASES, i))->asset, id, strlen(id) + 1);
		return PARE_OK;
	}
	memcpy(row.owner, owner, strlen(owner) + 1);
	memcpy(row.asset, id, strlen(id) + 1);
	row.name = pare_strdup(name);
	row.alias = pare_strdup(alias);
	code = row.name != NULL && row.alias != NULL ? push(tx, T_ALIASES, &row, err) : pare_err_nomem(err, 0);
	if (code != PARE_OK)
		memory_free_alias(&row);
	return code;
}

enum pare_code memory_alias_remove(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, struct pare_err *err)
{
	(void)err;
	drop_row(tx, T_ALIASES, find_alias(tx, owner, kind, name, alias));
	return PARE_OK;
}
