/* The children of jobs, in memory: they are jobs that name a parent. */
#include "storage/memory/memory_priv.h"

static bool is_child(const struct store_tx *tx, int i, const char *parent)
{
	return strcmp(((const struct store_job_row *)row_at(tx, T_JOBS, i))->j.parent, parent) == 0;
}

enum pare_code memory_child_in(struct store_tx *tx, const char *parent, const enum store_job_status *statuses, int n, struct store_job_row *out, struct pare_err *err)
{
	unsigned wanted = 0;

	for (int i = 0; i < n; i++)
		wanted |= 1U << statuses[i];
	for (int i = 0; i < n_rows(tx, T_JOBS); i++) {
		const struct store_job_row *r = row_at(tx, T_JOBS, i);

		if (is_child(tx, i, parent) && (wanted & (1U << r->j.status)) != 0)
			return tx->m->base.ops->job_load(tx, NULL, r->j.id, out, err);
	}
	return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "job %s has no such child", parent);
}

enum pare_code memory_children(struct store_tx *tx, const char *parent, int64_t out[STORE_N_STATUS], struct pare_err *err)
{
	(void)err;
	for (int i = 0; i < n_rows(tx, T_JOBS); i++)
		out[((const struct store_job_row *)row_at(tx, T_JOBS, i))->j.status] += is_child(tx, i, parent);
	return PARE_OK;
}

enum pare_code memory_has_child(struct store_tx *tx, const char *parent, const char *trial, bool *out, struct pare_err *err)
{
	(void)err;
	*out = false;
	for (int i = 0; i < n_rows(tx, T_JOBS) && !*out; i++)
		*out = is_child(tx, i, parent) && strcmp(((const struct store_job_row *)row_at(tx, T_JOBS, i))->j.trial, trial) == 0;
	return PARE_OK;
}
