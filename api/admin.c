/* What an operator asks of a running service: to remove what is not needed, to make a backup, to take no new work for a while. Needs the scope admin. */
#include "api/jobs.h"
#include "storage/uploads.h"

static enum pare_code begin_upkeep(struct api *api, struct pare_err *err)
{
	if (atomic_flag_test_and_set(&api->upkeep))
		return pare_err_set(err, PARE_E_CONFLICT, NULL, "a collection or a backup is running already: wait for its answer");
	return PARE_OK;
}

/* --- collection: what is too old first, uploads that nobody has come back for, then bytes that nothing names */
static void write_freed(struct pare_buf *b, const struct store_freed *f, int n_uploads)
{
	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "collection");
	api_json_int(b, "jobs_removed", f->n_jobs);
	api_json_int(b, "artifacts_removed", f->n_artifacts);
	api_json_int(b, "uploads_removed", n_uploads);
	api_json_int(b, "blobs_removed", f->n_blobs);
	api_json_int(b, "bytes_freed", f->n_bytes);
	api_json_close(b, '}');
}

/* A stopping server does not wait for it. */
static bool goes_on(void *ctx)
{
	const struct api *api = ctx;

	return (atomic_load(&api->draining) & API_DRAIN_STOPPING) == 0;
}

enum pare_code api_post_gc(struct api_exchange *x, struct pare_err *err)
{
	struct api *api = x->api;
	struct store_freed freed = {.n_jobs = 0};
	int n_uploads = 0;
	enum pare_code rc = begin_upkeep(api, err);

	if (rc != PARE_OK)
		return rc;
	rc = store_retain(api->opt.store, api->opt.blobs, &api->opt.limits.retention, goes_on, api, &freed, err);
	if (rc == PARE_OK)
		rc = store_uploads_collect(api->opt.store, api->opt.blobs, api->opt.limits.upload_ms, &n_uploads, err);
	if (rc == PARE_OK)
		rc = store_collect(api->opt.store, api->opt.blobs, goes_on, api, &freed, err);
	atomic_flag_clear(&api->upkeep);
	if (rc != PARE_OK)
		return rc;
	api_set_header_text(x, "Cache-Control", "no-store");
	write_freed(&x->out, &freed, n_uploads);
	return api_reply_json(x, 200, err);
}

/* --- backup */
enum pare_code api_post_backup(struct api_exchange *x, struct pare_err *err)
{
	struct api *api = x->api;
	struct store_freed freed = {.n_jobs = 0};
	struct store_backup made;
	enum pare_code rc;

	if (api->opt.backup_dir == NULL)
		return pare_err_set(err, PARE_E_CONFLICT, NULL, "this server has no place for backups");
	rc = begin_upkeep(api, err);
	if (rc != PARE_OK)
		return rc;
	rc = store_backup(api->opt.store, api->opt.blobs, api->opt.backup_dir, &made, err);
	if (rc == PARE_OK) /* what was to be removed meanwhile and could not */
		rc = store_collect(api->opt.store, api->opt.blobs, goes_on, api, &freed, err);
	atomic_flag_clear(&api->upkeep);
	if (rc != PARE_OK)
		return rc;
	api_set_header_text(x, "Cache-Control", "no-store");
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "backup");
	api_json_str(&x->out, "name", made.name);
	api_json_int(&x->out, "database_bytes", made.n_db_bytes);
	api_json_int(&x->out, "blobs", made.n_blobs);
	api_json_int(&x->out, "blob_bytes", made.n_blob_bytes);
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

/* --- draining: running jobs go on to their ends, waiting ones wait, and nothing new is taken. It does not outlive the process. */
static enum pare_code reply_drain(struct api_exchange *x, struct pare_err *err)
{
	int64_t counts[STORE_N_STATUS], oldest;
	enum pare_code rc = store_job_counts(x->api->opt.store, counts, &oldest, err);

	if (rc != PARE_OK)
		return rc;
	api_set_header_text(x, "Cache-Control", "no-store");
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "drain");
	api_json_bool(&x->out, "draining", atomic_load(&x->api->draining) != 0);
	api_json_int(&x->out, "running", counts[STORE_RUNNING] + counts[STORE_PAUSING] + counts[STORE_CANCELING]);
	api_json_int(&x->out, "queued", counts[STORE_QUEUED]);
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

static void tell_pool(struct api *api, bool on)
{
	if (api->opt.engine.drain != NULL)
		api->opt.engine.drain(api->opt.engine.ctx, on);
}

enum pare_code api_post_drain(struct api_exchange *x, struct pare_err *err)
{
	(void)atomic_fetch_or(&x->api->draining, API_DRAIN_ASKED);
	tell_pool(x->api, true);
	return reply_drain(x, err);
}

enum pare_code api_delete_drain(struct api_exchange *x, struct pare_err *err)
{
	(void)atomic_fetch_and(&x->api->draining, ~API_DRAIN_ASKED);
	tell_pool(x->api, false);
	return reply_drain(x, err);
}
