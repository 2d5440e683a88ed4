/* The rules of uploads: how many there may be, what may still change, when they go. */
#include "storage/uploads.h"

#include <string.h>

#include "core/base/mem.h"
#include "storage/store_priv.h"

static enum pare_code put(struct store_view v, struct store_tx *tx, struct store_upload *u, int max_open, struct pare_err *err)
{
	int n = 0;
	enum pare_code code = v.store->ops->upload_count(tx, v.owner, &n, err);

	if (code == PARE_OK && n >= max_open)
		code = pare_err_set(err, PARE_E_QUOTA, NULL, "there are %d uploads, which is the limit: complete them, delete them, or wait until they expire", n);
	if (code != PARE_OK)
		return code;
	code = store_quota_upload(v, tx, u, -1, err);
	if (code != PARE_OK)
		return code;
	store_new_id(v.store, "upl", u->id);
	code = v.store->ops->upload_insert(tx, u, err);
	return code == PARE_OK ? store_once_keep(v, tx, u->once, u->id, err) : code;
}

enum pare_code store_upload_put(struct store_view v, struct store_upload *u, int max_open, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_upload row = *u;
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	row.name = row.name != NULL ? row.name : "";
	row.metadata = row.metadata != NULL ? row.metadata : "";
	memcpy(row.owner, v.owner, strlen(v.owner) + 1);
	row.created_ms = s->env.wall_ms(s->env.ctx);
	code = store_once_find(v, tx, u->once, row.id, err);
	if (code == PARE_OK && (u->once == NULL || !u->once->replayed))
		code = put(v, tx, &row, max_open, err);
	code = s->ops->end(tx, code, err);
	if (code != PARE_OK)
		return code;
	memcpy(u->id, row.id, sizeof u->id);
	u->created_ms = row.created_ms;
	return PARE_OK;
}

enum pare_code store_upload_get(struct store_view v, const char *id, struct store_upload *out, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_upload u = {.memory = NULL};
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->end(tx, s->ops->upload_load(tx, v.owner, id, &u, err), err);
	if (code == PARE_OK)
		*out = u;
	else
		store_upload_done(&u);
	return code;
}

static enum pare_code update(struct store_view v, struct store_tx *tx, const struct store_upload *u, struct pare_err *err)
{
	struct store_upload now = {.memory = NULL};
	enum pare_code code = v.store->ops->upload_load(tx, v.owner, u->id, &now, err);

	if (code == PARE_OK && now.sha256[0] != '\0')
		code = pare_err_set(err, PARE_E_CONFLICT, NULL, "upload %s is complete", u->id);
	if (code == PARE_OK)
		code = store_quota_upload(v, tx, u, now.n_synced, err);
	store_upload_done(&now);
	return code == PARE_OK ? v.store->ops->upload_update(tx, u, err) : code;
}

enum pare_code store_upload_update(struct store_view v, const struct store_upload *u, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	return s->ops->end(tx, update(v, tx, u, err), err);
}

static enum pare_code remove_upload(struct store_view v, struct store_tx *tx, const char *id, struct pare_err *err)
{
	struct store_upload now = {.memory = NULL};
	enum pare_code code = v.store->ops->upload_load(tx, v.owner, id, &now, err);

	store_upload_done(&now);
	return code == PARE_OK ? v.store->ops->upload_remove(tx, id, err) : code;
}

enum pare_code store_upload_delete(struct store_view v, const char *id, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	return s->ops->end(tx, remove_upload(v, tx, id, err), err);
}

static enum pare_code read_uploads(const void *ctx, struct store_view v, struct store_tx *tx, const struct store_range *r, void *list, int *n, struct pare_err *err)
{
	(void)ctx;
	return v.store->ops->upload_page(tx, r, list, n, err);
}

static void done_upload(void *row)
{
	store_upload_done(row);
}

enum pare_code store_upload_list(struct store_view v, const struct store_page *page, struct store_upload **out, int *out_n, bool *out_more, struct pare_err *err)
{
	const struct store_pager pager = {.row_bytes = sizeof **out, .read = read_uploads, .done = done_upload};
	void *list;
	enum pare_code code = store_page_read(v, page, &pager, &list, out_n, out_more, err);

	if (code == PARE_OK)
		*out = list;
	return code;
}

void store_upload_list_done(struct store_upload *list, int n)
{
	for (int i = 0; i < n; i++)
		store_upload_done(&list[i]);
	pare_free(list);
}

/* PARE_E_NOT_FOUND: none has. */
static enum pare_code next_expired(struct store *s, struct store_upload *out, struct pare_err *err)
{
	struct store_upload u = {.memory = NULL};
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->end(tx, s->ops->upload_expired(tx, s->env.wall_ms(s->env.ctx), &u, err), err);
	if (code == PARE_OK)
		*out = u;
	else
		store_upload_done(&u);
	return code;
}

int64_t store_upload_expiry(const struct store_upload *u, struct blob_store *b, int64_t keep_ms)
{
	int64_t touched = u->sha256[0] == '\0' ? blob_part_touched_ms(b, u->part) : 0;

	return touched > 0 && touched + keep_ms > u->expires_ms ? touched + keep_ms : u->expires_ms;
}

/* In the transaction that removes it, since somebody may just have continued it. */
static enum pare_code expire(struct store *s, struct store_tx *tx, const struct store_upload *u, struct blob_store *b, int64_t keep_ms, bool *out_removed, struct pare_err *err)
{
	struct store_upload now = {.memory = NULL};
	enum pare_code code = s->ops->upload_load(tx, u->owner, u->id, &now, err);

	if (code == PARE_OK) {
		now.expires_ms = store_upload_expiry(&now, b, keep_ms);
		*out_removed = now.expires_ms <= s->env.wall_ms(s->env.ctx);
		code = *out_removed ? s->ops->upload_remove(tx, u->id, err) : s->ops->upload_update(tx, &now, err);
	}
	store_upload_done(&now);
	return code == PARE_E_NOT_FOUND ? PARE_OK : code;
}

static enum pare_code collect_one(struct store *s, struct blob_store *b, const struct store_upload *u, int64_t keep_ms, int *out_n, struct pare_err *err)
{
	struct store_tx *tx;
	bool removed = false;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code == PARE_OK)
		code = s->ops->end(tx, expire(s, tx, u, b, keep_ms, &removed, err), err);
	if (code != PARE_OK || !removed)
		return code;
	blob_part_remove(b, u->part);
	if (u->sha256[0] != '\0')
		(void)store_blob_drop(s, b, u->sha256);
	++*out_n;
	return PARE_OK;
}

/* The row goes before the bytes: what a crash leaves in between, the next start removes. */
enum pare_code store_uploads_collect(struct store *s, struct blob_store *b, int64_t keep_ms, int *out_n, struct pare_err *err)
{
	struct store_upload u;
	enum pare_code code;

	*out_n = 0;
	while ((code = next_expired(s, &u, err)) == PARE_OK) {
		code = collect_one(s, b, &u, keep_ms, out_n, err);
		store_upload_done(&u);
		if (code != PARE_OK)
			return code;
	}
	return code == PARE_E_NOT_FOUND ? PARE_OK : code;
}

static enum pare_code recall(void *ctx, const char *name, int64_t *out_keep, char out_sha256[STORE_SHA256_HEX], struct pare_err *err)
{
	struct store *s = ctx;
	struct store_upload u = {.memory = NULL};
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code == PARE_OK)
		code = s->ops->end(tx, s->ops->upload_of_part(tx, name, &u, err), err);
	if (code == PARE_OK) {
		*out_keep = u.n_synced;
		memcpy(out_sha256, u.sha256, sizeof u.sha256);
	} else if (code == PARE_E_NOT_FOUND) {
		*out_keep = -1;
		code = PARE_OK;
	}
	store_upload_done(&u);
	return code;
}

/* --- what came and was not noted, since its request did not come to its end */
static enum pare_code note(struct store *s, struct store_tx *tx, const char *part, int64_t n_bytes, struct pare_err *err)
{
	struct store_upload u = {.memory = NULL};
	enum pare_code code = s->ops->upload_of_part(tx, part, &u, err);

	if (code == PARE_OK && u.sha256[0] == '\0' && u.n_synced < n_bytes) {
		u.n_synced = n_bytes;
		code = s->ops->upload_update(tx, &u, err);
	}
	store_upload_done(&u);
	return code == PARE_E_NOT_FOUND ? PARE_OK : code;
}

struct counting {
	struct store *s;
	struct blob_store *b;
	enum pare_code code;
	struct pare_err *err;
};

/* Most parts are as long as their rows say: those cost a look and no sync. One that somebody has open will be counted when he is done. */
static bool count_part(void *ctx, const char *part)
{
	struct counting *c = ctx;
	struct store *s = c->s;
	char sha256[STORE_SHA256_HEX] = "";
	int64_t noted = -1, n_bytes = -1;
	struct store_tx *tx;

	c->code = recall(s, part, &noted, sha256, c->err);
	if (c->code != PARE_OK || noted < 0 || sha256[0] != '\0' || blob_part_size(c->b, part) <= noted)
		return c->code == PARE_OK;
	c->code = blob_part_settle(c->b, part, &n_bytes, c->err);
	if (c->code == PARE_E_NOT_FOUND || (c->code == PARE_OK && n_bytes < 0)) {
		c->code = PARE_OK;
		return true;
	}
	if (c->code == PARE_OK)
		c->code = s->ops->begin(s, true, &tx, c->err);
	if (c->code == PARE_OK)
		c->code = s->ops->end(tx, note(s, tx, part, n_bytes, c->err), c->err);
	return c->code == PARE_OK;
}

enum pare_code store_uploads_count(struct store *s, struct blob_store *b, struct pare_err *err)
{
	struct counting c = {.s = s, .b = b, .err = err};
	enum pare_code code = blob_parts_each(b, count_part, &c, err);

	return c.code != PARE_OK ? c.code : code;
}

enum pare_code store_uploads_recover(struct store *s, struct blob_store *b, struct pare_err *err)
{
	enum pare_code code = blob_parts_recover(b, recall, s, err);

	return code == PARE_OK ? store_uploads_count(s, b, err) : code;
}
