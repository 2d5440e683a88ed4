/* What a job has made. The report is an artifact too, in two forms; /report picks one by Accept. */
#include <string.h>

#include "api/jobs.h"
#include "api/text.h"
#include "core/base/id.h"

enum pare_code api_get_job_artifacts(struct api_exchange *x, struct pare_err *err)
{
	struct store_job j;
	enum pare_code rc = api_find_job(x, &j, err);

	if (rc != PARE_OK)
		return rc;
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "list");
	rc = api_write_artifacts(x, "data", j.id, err);
	api_json_bool(&x->out, "has_more", false);
	api_json_str(&x->out, "next_after", NULL);
	api_json_close(&x->out, '}');
	store_job_done(&j);
	return rc == PARE_OK ? api_reply_json(x, 200, err) : rc;
}

static enum pare_code no_artifact(const struct store_job *j, const char *name, struct pare_err *err)
{
	if (!store_job_status_final(j->status))
		return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "the job is %s; artifacts exist once it has succeeded", store_job_status_name(j->status));
	return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "the job (%s) has no artifact \"%.64s\"", store_job_status_name(j->status), name);
}

static enum pare_code reply_bytes(struct api_exchange *x, const struct store_artifact *a, bool attach, struct pare_err *err)
{
	char filename[API_FILENAME_MAX];

	api_safe_filename(a->name, filename);
	return api_reply_blob(x, a->sha256, a->media_type, attach ? filename : NULL, err);
}

static enum pare_code reply_artifact(struct api_exchange *x, const char *name, bool attach, struct pare_err *err)
{
	struct store_artifact a;
	struct store_job j;
	enum pare_code rc = api_find_job(x, &j, err);

	if (rc != PARE_OK)
		return rc;
	rc = store_artifact_get(x->view, j.id, name, &a, err);
	if (rc == PARE_E_NOT_FOUND)
		rc = no_artifact(&j, name, err);
	store_job_done(&j);
	if (rc != PARE_OK)
		return rc;
	rc = reply_bytes(x, &a, attach, err);
	store_artifact_done(&a);
	return rc;
}

enum pare_code api_get_job_artifact(struct api_exchange *x, struct pare_err *err)
{
	return reply_artifact(x, x->params[1], true, err);
}

/* --- by its own id */
static enum pare_code find_artifact(struct api_exchange *x, struct store_artifact *out, struct pare_err *err)
{
	enum pare_code rc = PARE_E_NOT_FOUND;

	if (pare_id_check(x->params[0], "art"))
		rc = store_artifact_find(x->view, x->params[0], out, err);
	if (rc == PARE_E_NOT_FOUND)
		return pare_err_set(err, rc, NULL, "there is no artifact \"%.60s\"", x->params[0]);
	return rc;
}

enum pare_code api_get_artifact(struct api_exchange *x, struct pare_err *err)
{
	struct store_artifact a;
	enum pare_code rc = find_artifact(x, &a, err);

	if (rc != PARE_OK)
		return rc;
	api_write_artifact(x, &a);
	store_artifact_done(&a);
	return api_reply_json(x, 200, err);
}

enum pare_code api_get_artifact_content(struct api_exchange *x, struct pare_err *err)
{
	struct store_artifact a;
	enum pare_code rc = find_artifact(x, &a, err);

	if (rc != PARE_OK)
		return rc;
	rc = reply_bytes(x, &a, true, err);
	store_artifact_done(&a);
	return rc;
}

enum pare_code api_delete_artifact(struct api_exchange *x, struct pare_err *err)
{
	struct store_artifact a;
	enum pare_code rc = find_artifact(x, &a, err);

	if (rc != PARE_OK)
		return rc;
	if (api_request_header(x, "If-Match") != NULL) {
		api_write_artifact(x, &a);
		rc = api_check_if_match(x, err);
	}
	if (rc == PARE_OK)
		rc = store_artifact_delete(x->view, a.id, err);
	if (rc == PARE_OK)
		(void)store_blob_drop(x->api->opt.store, x->api->opt.blobs, a.sha256);
	store_artifact_done(&a);
	if (rc == PARE_OK)
		api_reply_empty(x, 204);
	return rc;
}

/* --- the report */

/* ?format= goes before Accept: a link in a mail has no headers. */
static enum pare_code report_form(struct api_exchange *x, const char *const *types, int *out, struct pare_err *err)
{
	static const char *const formats[] = {"json", "md", "html", NULL};
	const char *format = api_query(x, "format");

	if (format == NULL) {
		*out = api_negotiate(api_request_header(x, "Accept"), types);
		return *out >= 0 ? PARE_OK : pare_err_set(err, PARE_E_NOT_ACCEPTABLE, NULL, "the report exists as application/json, text/markdown and text/html");
	}
	for (*out = 0; formats[*out] != NULL; (*out)++)
		if (strcmp(formats[*out], format) == 0)
			return PARE_OK;
	return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"format\" must be json, md or html");
}

enum pare_code api_get_job_report(struct api_exchange *x, struct pare_err *err)
{
	static const char *const types[] = {"application/json", "text/markdown", "text/html", NULL};
	static const char *const names[] = {"report.json", "report.md", "report.html"};
	int form = 0;
	enum pare_code rc = report_form(x, types, &form, err);

	if (rc != PARE_OK)
		return rc;
	api_set_header_text(x, "Vary", "Accept");
	x->whole = true;
	/* The page is shown where the service lives: it may style itself and do nothing else. */
	api_set_header_text(x, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox");
	return reply_artifact(x, names[form], false, err);
}
