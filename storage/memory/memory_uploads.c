/* Uploads in memory. A row that changes does so as its transaction's last step, so there is nothing to undo. */
#include "storage/memory/memory_priv.h"

void memory_free_upload(void *row)
{
	store_upload_done(row);
}

static struct store_upload *at(const struct store_tx *tx, int i)
{
	return row_at(tx, T_UPLOADS, i);
}

static int find(const struct store_tx *tx, const char *id)
{
	int i = n_rows(tx, T_UPLOADS) - 1;

	while (i >= 0 && strcmp(at(tx, i)->id, id) != 0)
		i--;
	return i;
}

static enum pare_code copy(const struct store_upload *from, struct store_upload *out, struct pare_err *err)
{
	struct store_upload u = *from;
	enum pare_code code = store_upload_own(&u, err);

	if (code == PARE_OK)
		*out = u;
	return code;
}

static enum pare_code none(const char *id, struct pare_err *err)
{
	return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no upload \"%.80s\"", id);
}

enum pare_code memory_upload_insert(struct store_tx *tx, const struct store_upload *u, struct pare_err *err)
{
	struct store_upload row;
	enum pare_code code = copy(u, &row, err);

	if (code != PARE_OK)
		return code;
	code = push(tx, T_UPLOADS, &row, err);
	if (code != PARE_OK)
		store_upload_done(&row);
	return code;
}

enum pare_code memory_upload_load(struct store_tx *tx, const char *owner, const char *id, struct store_upload *out, struct pare_err *err)
{
	int i = find(tx, id);

	return i < 0 || strcmp(at(tx, i)->owner, owner) != 0 ? none(id, err) : copy(at(tx, i), out, err);
}

enum pare_code memory_upload_update(struct store_tx *tx, const struct store_upload *u, struct pare_err *err)
{
	struct store_upload *row = at(tx, find(tx, u->id));

	(void)err;
	row->n_total = u->n_total;
	row->n_synced = u->n_synced;
	memcpy(row->sha256, u->sha256, sizeof row->sha256);
	row->expires_ms = u->expires_ms;
	return PARE_OK;
}

enum pare_code memory_upload_remove(struct store_tx *tx, const char *id, struct pare_err *err)
{
	(void)err;
	memory_once_drop(tx, id);
	drop_row(tx, T_UPLOADS, find(tx, id));
	return PARE_OK;
}

enum pare_code memory_upload_page(struct store_tx *tx, const struct store_range *r, struct store_upload *out, int *out_n, struct pare_err *err)
{
	int n = n_rows(tx, T_UPLOADS);
	enum pare_code code = PARE_OK;

	for (int k = 0; k < n && *out_n < r->limit && code == PARE_OK; k++) {
		const struct store_upload *u = at(tx, walk(r, k, n));

		if (strcmp(u->owner, r->owner) != 0 || !within(r, u->id))
			continue;
		code = copy(u, &out[*out_n], err);
		*out_n += code == PARE_OK;
	}
	return code;
}

static bool is_file(const struct store_tx *tx, const char *owner, const char *sha256)
{
	for (int i = 0; i < n_rows(tx, T_ASSETS); i++) {
		const struct store_asset *a = row_at(tx, T_ASSETS, i);

		for (int k = 0; k < a->n_files && strcmp(a->owner, owner) == 0; k++)
			if (strcmp(a->files[k].sha256, sha256) == 0)
				return true;
	}
	return false;
}

int64_t memory_upload_usage(const struct store_tx *tx, const char *owner)
{
	int64_t sum = 0;

	for (int i = 0; i < n_rows(tx, T_UPLOADS); i++)
		if (strcmp(at(tx, i)->owner, owner) == 0 && (at(tx, i)->sha256[0] == '\0' || !is_file(tx, owner, at(tx, i)->sha256)))
			sum += at(tx, i)->n_synced;
	return sum;
}

enum pare_code memory_upload_bytes(struct store_tx *tx, const char *owner, const char *sha256, int64_t *out, struct pare_err *err)
{
	(void)err;
	*out = 0;
	for (int i = 0; i < n_rows(tx, T_UPLOADS) && !is_file(tx, owner, sha256); i++)
		if (strcmp(at(tx, i)->owner, owner) == 0 && strcmp(at(tx, i)->sha256, sha256) == 0)
			*out += at(tx, i)->n_synced;
	return PARE_OK;
}

enum pare_code memory_upload_count(struct store_tx *tx, const char *owner, int *out, struct pare_err *err)
{
	(void)err;
	*out = 0;
	for (int i = 0; i < n_rows(tx, T_UPLOADS); i++)
		*out += strcmp(at(tx, i)->owner, owner) == 0;
	return PARE_OK;
}

enum pare_code memory_upload_expired(struct store_tx *tx, int64_t now_ms, struct store_upload *out, struct pare_err *err)
{
	for (int i = 0; i < n_rows(tx, T_UPLOADS); i++)
		if (at(tx, i)->expires_ms <= now_ms)
			return copy(at(tx, i), out, err);
	return none("expired", err);
}

enum pare_code memory_upload_of_part(struct store_tx *tx, const char *part, struct store_upload *out, struct pare_err *err)
{
	for (int i = 0; i < n_rows(tx, T_UPLOADS); i++)
		if (strcmp(at(tx, i)->part, part) == 0)
			return copy(at(tx, i), out, err);
	return none(part, err);
}
