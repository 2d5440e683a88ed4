/* Probes and self-description. livez says only that the process answers, and never touches the database: a restart does not cure a full disk. readyz
 * says whether work can be taken: it is what a load balancer and a start-up probe ask. */
#include <string.h>

#include "api/priv.h"

enum pare_code api_get_livez(struct api_exchange *x, struct pare_err *err)
{
	api_set_header_text(x, "Cache-Control", "no-store");
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "status", "live");
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

struct check {
	const char *name;
	bool ok;
	char detail[PARE_ERR_MESSAGE_MAX];
};
#define N_CHECKS 4

static void check(struct check *c, const char *name, bool ok, const char *detail)
{
	struct pare_err text;

	(void)pare_err_set(&text, PARE_OK, NULL, "%s", detail);
	c->name = name;
	c->ok = ok;
	memcpy(c->detail, text.message, sizeof c->detail);
}

static void run_checks(struct api *api, struct check out[N_CHECKS])
{
	struct pare_err err = {.message = "writable"};
	int64_t free_bytes = blob_free_bytes(api->opt.blobs);
	int draining = atomic_load(&api->draining);
	bool room = free_bytes < 0 || free_bytes >= api->opt.limits.min_free_bytes;
	bool writable = store_ping(api->opt.store, &err) == PARE_OK;
	int alive = 0, busy = 0;
	const char *sandbox = "";
	struct pare_err text;

	check(&out[0], "database", writable, writable ? "writable" : err.message);
	(void)pare_err_set(&text, PARE_OK, NULL, "%lld bytes free, %lld kept", (long long)free_bytes, (long long)api->opt.limits.min_free_bytes);
	check(&out[1], "store", room, text.message);
	if (api->opt.engine.workers != NULL)
		api->opt.engine.workers(api->opt.engine.ctx, &alive, &busy, &sandbox);
	(void)pare_err_set(&text, PARE_OK, NULL, "%d alive, %d busy, sandbox: %s", alive, busy, sandbox);
	check(&out[2], "workers", alive > 0, text.message);
	check(&out[3], "accepting", draining == 0, draining == 0 ? "yes" : (draining & API_DRAIN_STOPPING) != 0 ? "shutting down" : "drained");
}

static void write_checks(struct pare_buf *b, const struct check *c)
{
	api_json_open(b, "checks", '[');
	for (int i = 0; i < N_CHECKS; i++) {
		api_json_open(b, NULL, '{');
		api_json_str(b, "name", c[i].name);
		api_json_bool(b, "ok", c[i].ok);
		api_json_str(b, "detail", c[i].detail);
		api_json_close(b, '}');
	}
	api_json_close(b, ']');
}

static enum pare_code not_ready(struct api_exchange *x, const struct check *c, const struct check *failed, bool verbose, struct pare_err *err)
{
	struct pare_buf extra;

	pare_buf_init(&extra, 8192);
	write_checks(&extra, c);
	if (verbose && !extra.failed)
		x->problem_extra = pare_arena_strndup(&x->arena, extra.data, extra.len);
	pare_buf_done(&extra);
	return pare_err_set(err, failed == &c[3] ? PARE_E_DRAINING : PARE_E_BUSY, NULL, "not ready: %s: %s", failed->name, failed->detail);
}

static enum pare_code check_ready(struct api_exchange *x, struct check checks[N_CHECKS], bool verbose, struct pare_err *err)
{
	run_checks(x->api, checks);
	for (int i = 0; i < N_CHECKS; i++)
		if (!checks[i].ok)
			return not_ready(x, checks, &checks[i], verbose, err);
	return PARE_OK;
}

enum pare_code api_check_ready(struct api_exchange *x, struct pare_err *err)
{
	struct check checks[N_CHECKS];

	return check_ready(x, checks, false, err);
}

enum pare_code api_get_readyz(struct api_exchange *x, struct pare_err *err)
{
	struct check checks[N_CHECKS];
	bool verbose;
	enum pare_code rc = api_query_flag(x, "verbose", &verbose, err);

	api_set_header_text(x, "Cache-Control", "no-store");
	if (rc == PARE_OK)
		rc = check_ready(x, checks, verbose, err);
	if (rc != PARE_OK)
		return rc;
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "status", "ready");
	if (verbose)
		write_checks(&x->out, checks);
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

enum pare_code api_get_version(struct api_exchange *x, struct pare_err *err)
{
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "name", "pared");
	api_json_str(&x->out, "version", x->api->opt.version);
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

static void write_limits(struct api_exchange *x)
{
	const struct api_limits *l = &x->api->opt.limits;

	api_json_open(&x->out, "limits", '{');
	api_json_int(&x->out, "max_upload_bytes", l->max_upload_bytes);
	api_json_int(&x->out, "max_json_bytes", l->max_json_bytes);
	api_json_int(&x->out, "max_queued_jobs", l->max_queued_jobs);
	api_json_int(&x->out, "default_threads", l->default_threads);
	api_json_int(&x->out, "max_threads", l->max_threads);
	api_json_close(&x->out, '}');
}

enum pare_code api_get_root(struct api_exchange *x, struct pare_err *err)
{
	static const struct {
		const char *name, *path;
	} links[] = {{"models", "/v1/models"}, {"datasets", "/v1/datasets"}, {"jobs", "/v1/jobs"}, {"queue", "/v1/queue"}, {"methods", "/v1/methods"}, {"recipes", "/v1/recipes"},
	    {"openapi", "/openapi.yaml"}, {"docs", "/docs"}, {"capabilities", "/v1/capabilities"}, {"health", "/readyz"}, {"metrics", "/metrics"}};

	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "service");
	api_json_str(&x->out, "name", "pared");
	api_json_str(&x->out, "version", x->api->opt.version);
	write_limits(x);
	api_json_open(&x->out, "urls", '{');
	for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
		api_json_link(x, links[i].name, "%s", links[i].path);
	api_json_close(&x->out, '}');
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

/* A text that was made when the program was built, the same for everybody: caches may keep it and ask again by its ETag. */
static enum pare_code reply_built(struct api_exchange *x, const char *text, const char *media_type, struct pare_err *err)
{
	if (text == NULL)
		return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "this server was built without it");
	api_set_header_text(x, "Cache-Control", "public, max-age=10");
	(void)pare_buf_str(&x->out, text);
	return api_reply_tagged(x, media_type, err);
}

enum pare_code api_get_openapi_json(struct api_exchange *x, struct pare_err *err)
{
	return reply_built(x, x->api->opt.openapi_json, "application/json", err);
}

enum pare_code api_get_docs(struct api_exchange *x, struct pare_err *err)
{
	if (x->api->opt.docs_policy != NULL)
		api_set_header(x, "Content-Security-Policy", "%.*s", (int)strcspn(x->api->opt.docs_policy, "\n"), x->api->opt.docs_policy);
	return reply_built(x, x->api->opt.docs, "text/html; charset=utf-8", err);
}

enum pare_code api_get_openapi(struct api_exchange *x, struct pare_err *err)
{
	return reply_built(x, x->api->opt.openapi, "application/yaml", err);
}
