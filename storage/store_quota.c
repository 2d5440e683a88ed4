/* What an owner may have. Bytes are counted by the database as rows come and go, whatever verb moves them; open jobs are counted when somebody asks, along an index and no
 * further than the quota, so that nothing has to be kept in step with the life of a job. Both are checked inside the transaction that would exceed them: a hundred requests at once
 * get no further than one after the other. */
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
	return pare_err_set(err, PARE_E_QUOTA_BYTES, NULL, "the owner \"%s\" has %lld of %lld bytes in the store, and %lld more do not fit: delete models, data sets or jobs that are not needed any more",
	    v.owner, (long long)used, (long long)max, (long long)n_bytes);
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
