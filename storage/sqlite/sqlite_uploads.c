/* Uploads on SQLite; see sqlite_rows.c. */
#include "storage/sqlite/sqlite_priv.h"

enum pare_code sqlite_upload_insert(struct store_tx *tx, const struct store_upload *u, struct pare_err *err)
{
	struct use q = sqlite_use(tx, Q_UPLOAD_INSERT);

	sqlite_bind_str(&q, u->id);
	sqlite_bind_str(&q, u->owner);
	sqlite_bind_str(&q, u->name);
	sqlite_bind_str(&q, u->metadata);
	sqlite_bind_str(&q, u->part);
	sqlite_bind_int(&q, u->n_total);
	sqlite_bind_int(&q, u->n_synced);
	sqlite_bind_str(&q, u->sha256);
	sqlite_bind_int(&q, u->created_ms);
	sqlite_bind_int(&q, u->expires_ms);
	(void)sqlite_row(&q);
	return sqlite_use_end(&q, "storing an upload", err);
}

/* In the order of UPLOAD_COLUMNS. */
static enum pare_code read_upload(struct use *q, struct store_upload *out, struct pare_err *err)
{
	struct store_upload u = {.memory = NULL};
	enum pare_code code;

	sqlite_copy(q, u.id, sizeof u.id);
	sqlite_copy(q, u.owner, sizeof u.owner);
	u.name = sqlite_str(q);
	u.metadata = sqlite_str(q);
	sqlite_copy(q, u.part, sizeof u.part);
	u.n_total = sqlite_int(q);
	u.n_synced = sqlite_int(q);
	sqlite_copy(q, u.sha256, sizeof u.sha256);
	u.created_ms = sqlite_int(q);
	u.expires_ms = sqlite_int(q);
	code = store_upload_own(&u, err);
	if (code == PARE_OK)
		*out = u;
	return code;
}

static enum pare_code read_one(struct use *q, const char *id, struct store_upload *out, struct pare_err *err)
{
	struct store_upload u = {.memory = NULL};
	bool found = sqlite_row(q);
	enum pare_code code = found ? read_upload(q, &u, err) : PARE_OK, ended;

	ended = sqlite_use_end(q, "reading an upload", code == PARE_OK ? err : NULL);
	if (code == PARE_OK)
		code = ended;
	if (code == PARE_OK && !found)
		return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no upload \"%.80s\"", id);
	if (code == PARE_OK)
		*out = u;
	else
		store_upload_done(&u);
	return code;
}

enum pare_code sqlite_upload_load(struct store_tx *tx, const char *owner, const char *id, struct store_upload *out, struct pare_err *err)
{
	struct use q = sqlite_use(tx, Q_UPLOAD_LOAD);

	sqlite_bind_str(&q, owner);
	sqlite_bind_str(&q, id);
	return read_one(&q, id, out, err);
}

enum pare_code sqlite_upload_of_part(struct store_tx *tx, const char *part, struct store_upload *out, struct pare_err *err)
{
	struct use q = sqlite_use(tx, Q_UPLOAD_OF_PART);

	sqlite_bind_str(&q, part);
	return read_one(&q, part, out, err);
}

enum pare_code sqlite_upload_expired(struct store_tx *tx, int64_t now_ms, struct store_upload *out, struct pare_err *err)
{
	struct use q = sqlite_use(tx, Q_UPLOAD_EXPIRED);

	sqlite_bind_int(&q, now_ms);
	return read_one(&q, "expired", out, err);
}

enum pare_code sqlite_upload_update(struct store_tx *tx, const struct store_upload *u, struct pare_err *err)
{
	struct use q = sqlite_use(tx, Q_UPLOAD_UPDATE);

	sqlite_bind_int(&q, u->n_total);
	sqlite_bind_int(&q, u->n_synced);
	sqlite_bind_str(&q, u->sha256);
	sqlite_bind_int(&q, u->expires_ms);
	sqlite_bind_str(&q, u->id);
	(void)sqlite_row(&q);
	return sqlite_use_end(&q, "changing an upload", err);
}

enum pare_code sqlite_upload_remove(struct store_tx *tx, const char *id, struct pare_err *err)
{
	struct use q = sqlite_use(tx, Q_UPLOAD_REMOVE);

	sqlite_bind_str(&q, id);
	(void)sqlite_row(&q);
	return sqlite_use_end(&q, "deleting an upload", err);
}

enum pare_code sqlite_upload_page(struct store_tx *tx, const struct store_range *r, struct store_upload *out, int *out_n, struct pare_err *err)
{
	struct use q = sqlite_use(tx, r->ascending ? Q_UPLOADS_ASC : Q_UPLOADS);
	enum pare_code code = PARE_OK, ended;

	sqlite_bind_str(&q, r->owner);
	sqlite_bind_bounds(&q, r);
	sqlite_bind_int(&q, r->limit);
	while (code == PARE_OK && sqlite_row(&q)) {
		code = read_upload(&q, &out[*out_n], err);
		*out_n += code == PARE_OK;
	}
	ended = sqlite_use_end(&q, "listing uploads", code == PARE_OK ? err : NULL);
	return code != PARE_OK ? code : ended;
}

enum pare_code sqlite_upload_bytes(struct store_tx *tx, const char *owner, const char *sha256, int64_t *out, struct pare_err *err)
{
	struct use q = sqlite_use(tx, Q_UPLOAD_BYTES);

	sqlite_bind_str(&q, owner);
	sqlite_bind_str(&q, sha256);
	if (sqlite_row(&q))
		*out = sqlite_int(&q);
	return sqlite_use_end(&q, "counting the bytes of uploads", err);
}

enum pare_code sqlite_upload_count(struct store_tx *tx, const char *owner, int *out, struct pare_err *err)
{
	struct use q = sqlite_use(tx, Q_UPLOAD_COUNT);

	sqlite_bind_str(&q, owner);
	if (sqlite_row(&q))
		*out = (int)sqlite_int(&q);
	return sqlite_use_end(&q, "counting uploads", err);
}
