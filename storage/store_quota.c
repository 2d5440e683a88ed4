/* What an owner may have. Bytes are counted by the database as rows come and go, whatever verb moves them; open jobs are counted when somebody asks, along an index and no
 * further than the quota, so that nothing has to be kept in step with the life of a job. Both are checked inside the transaction that would exceed them: a hundred requests at once
 * get no further than one after the other.
 *
 * An upload counts for the bytes that its row says have come, and for nothing as long as a model or data set of its owner names its digest: those bytes are the file's then, and what is
 * made of an upload takes over what that counted for. */
#include <string.h>

#include "storage/store_priv.h"

void store_set_quota(struct store *s, const struct store_quota *q)
{
	s->quota = *q;
}

enum pare_code store_quota_bytes(struct store_view v, struct store_tx *tx, int64_t n_bytes, struct pare_err *err)
{
	int64_t max = v.store->quota.max_bytes, used = 0;
	enum pare_code code = max > 0 ? v.store->ops->owner_bytes(tx, v.owner, &used, err) : PARE_OK;

	if (code != PARE_OK || max == 0 || n_bytes <= max - used)
		return code;
	return pare_err_set(err, PARE_E_QUOTA_BYTES, NULL, "the owner \"%s\" has %lld of %lld bytes in the store, and %lld more do not fit: delete models, data sets, jobs or uploads that are not needed any more",
	    v.owner, (long long)used, (long long)max, (long long)n_bytes);
}

/* What the owner's uploads count for will be the files' from now on. */
static enum pare_code taken_over(struct store_view v, struct store_tx *tx, const struct store_asset *a, int64_t *out, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	*out = 0;
	for (int i = 0; i < a->n_files && code == PARE_OK; i++) {
		int64_t n_bytes = 0;
		int k = 0;

		while (strcmp(a->files[k].sha256, a->files[i].sha256) != 0)
			k++;
		if (k == i)
			code = v.store->ops->upload_bytes(tx, v.owner, a->files[i].sha256, &n_bytes, err);
		*out += n_bytes;
	}
	return code;
}

enum pare_code store_quota_asset(struct store_view v, struct store_tx *tx, const struct store_asset *a, struct pare_err *err)
{
	int64_t n_bytes = 0, were = 0;
	enum pare_code code = v.store->quota.max_bytes > 0 ? taken_over(v, tx, a, &were, err) : PARE_OK;

	for (int i = 0; i < a->n_files; i++)
		n_bytes += a->files[i].n_bytes;
	if (code != PARE_OK || (were > 0 && n_bytes <= were))
		return code;
	return store_quota_bytes(v, tx, n_bytes - were, err);
}

enum pare_code store_quota_upload(struct store_view v, struct store_tx *tx, const struct store_upload *u, int64_t n_before, struct pare_err *err)
{
	int64_t n_bytes = u->n_total > u->n_synced && n_before < 0 ? u->n_total : u->n_synced;
	bool known = false;
	enum pare_code code = PARE_OK;

	if (u->sha256[0] != '\0')
		code = v.store->ops->blob_known(tx, v.owner, u->sha256, 1u << STORE_MODEL | 1u << STORE_DATASET, &known, err);
	if (code != PARE_OK || known || n_bytes <= n_before)
		return code;
	return store_quota_bytes(v, tx, n_bytes - (n_before > 0 ? n_before : 0), err);
}

enum pare_code store_quota_job(struct store_view v, struct store_tx *tx, struct pare_err *err)
{
	int64_t max = v.store->quota.max_open_jobs, open = 0;
	enum pare_code code = max > 0 ? v.store->ops->owner_open_jobs(tx, v.owner, max, &open, err) : PARE_OK;

	if (code != PARE_OK || max == 0 || open < max)
		return code;
	return pare_err_set(err, PARE_E_QUOTA, NULL, "the owner \"%s\" has %lld jobs that have not ended, which is the limit: wait for one to end, or cancel one", v.owner, (long long)open);
}

enum pare_code store_quota_check(struct store_view v, int64_t n_bytes, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_tx *tx;
	enum pare_code code;

	if (s->quota.max_bytes == 0)
		return PARE_OK;
	code = s->ops->begin(s, false, &tx, err);
	return code == PARE_OK ? s->ops->end(tx, store_quota_bytes(v, tx, n_bytes, err), err) : code;
}

enum pare_code store_usage(struct store_view v, struct store_usage *out, struct pare_err *err)
{
	struct store *s = v.store;
	struct store_usage u = {.quota = s->quota};
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, false, &tx, err);

	if (code != PARE_OK)
		return code;
	code = s->ops->owner_bytes(tx, v.owner, &u.bytes, err);
	if (code == PARE_OK)
		code = s->ops->owner_open_jobs(tx, v.owner, STORE_USAGE_JOBS_MAX, &u.open_jobs, err);
	code = s->ops->end(tx, code, err);
	if (code == PARE_OK)
		*out = u;
	return code;
}
