/* What a job may ask for: the catalog, kept by core/recipe. Its JSON is made there and handed through. */
#include <string.h>

#include "api/priv.h"

static enum pare_code reply_owned(struct api_exchange *x, char *text, struct pare_err *err)
{
	(void)pare_buf_str(&x->out, text);
	pare_free(text);
	return api_reply_json(x, 200, err);
}

/* The engine is asked once: while this daemon runs, it stays what it is. Of two that ask at the same time one answer is kept. */
static enum pare_code engine_capabilities(struct api *api, const char **out, struct pare_err *err)
{
	const struct api_engine *e = &api->opt.engine;
	char *text = atomic_load(&api->capabilities), *none = NULL;
	enum pare_code rc;

	*out = text;
	if (text != NULL)
		return PARE_OK;
	rc = e->capabilities(e->ctx, &text, err);
	if (rc != PARE_OK)
		return rc;
	*out = text;
	if (!atomic_compare_exchange_strong(&api->capabilities, &none, text)) {
		pare_free(text);
		*out = none;
	}
	return PARE_OK;
}

enum pare_code api_get_capabilities(struct api_exchange *x, struct pare_err *err)
{
	const struct api_limits *l = &x->api->opt.limits;
	const char *engine;
	enum pare_code rc = engine_capabilities(x->api, &engine, err);

	if (rc != PARE_OK)
		return rc;
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "capabilities");
	api_json_raw(&x->out, "engine", engine);
	api_json_open(&x->out, "job_kinds", '[');
	for (const char *const *kind = pare_job_kinds; *kind != NULL; kind++)
		api_json_str(&x->out, NULL, *kind);
	api_json_close(&x->out, ']');
	api_json_open(&x->out, "limits", '{');
	api_json_int(&x->out, "max_upload_bytes", l->max_upload_bytes);
	api_json_int(&x->out, "max_json_bytes", l->max_json_bytes);
	api_json_int(&x->out, "max_threads", l->max_threads);
	api_json_int(&x->out, "max_queued_jobs", l->max_queued_jobs);
	api_json_close(&x->out, '}');
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

enum pare_code api_get_methods(struct api_exchange *x, struct pare_err *err)
{
	char *text;
	enum pare_code rc = pare_catalog_json(&text, err);

	return rc == PARE_OK ? reply_owned(x, text, err) : rc;
}

enum pare_code api_get_method(struct api_exchange *x, struct pare_err *err)
{
	char *text;
	enum pare_code rc = pare_catalog_method_json(x->params[0], &text, err);

	return rc == PARE_OK ? reply_owned(x, text, err) : rc;
}
