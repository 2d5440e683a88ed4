/* The read-only part of the Open Inference Protocol (KServe's version 2, as Triton and others speak it): what is here, is it well, and what does a model take and give.
 * Nothing is served for inference; a catalog or a gateway that speaks the protocol can read the registry all the same. A model is named as everywhere else (an
 * id, a name, name:3, name@alias), and its versions are those of its name. */
#include <stdio.h>
#include <string.h>

#include "api/priv.h"
#include "storage/registry.h"

#define MAX_VERSIONS 200

enum pare_code api_get_oip(struct api_exchange *x, struct pare_err *err)
{
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "name", "pared");
	api_json_str(&x->out, "version", x->api->opt.version);
	api_json_open(&x->out, "extensions", '[');
	api_json_close(&x->out, ']');
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

static enum pare_code reply_flag(struct api_exchange *x, const char *name, struct pare_err *err)
{
	api_set_header_text(x, "Cache-Control", "no-store");
	api_json_open(&x->out, NULL, '{');
	api_json_bool(&x->out, name, true);
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

enum pare_code api_get_oip_live(struct api_exchange *x, struct pare_err *err)
{
	return reply_flag(x, "live", err);
}

enum pare_code api_get_oip_ready(struct api_exchange *x, struct pare_err *err)
{
	enum pare_code rc = api_check_ready(x, err);

	return rc == PARE_OK ? reply_flag(x, "ready", err) : rc;
}

/* Newest first. A model without a name is the only one of its kind. */
static enum pare_code write_versions(struct api_exchange *x, const struct store_asset *a, struct pare_err *err)
{
	struct store_page page = {.limit = MAX_VERSIONS, .name = a->name};
	struct store_asset *list = NULL;
	char text[24];
	bool more;
	int n = 0;
	enum pare_code rc = PARE_OK;

	if (a->name[0] != '\0')
		rc = store_asset_list(x->view, STORE_MODEL, &page, &list, &n, &more, err);
	if (rc != PARE_OK)
		return rc;
	api_json_open(&x->out, "versions", '[');
	for (int i = 0; i < n; i++) {
		(void)snprintf(text, sizeof text, "%lld", (long long)list[i].version);
		api_json_str(&x->out, NULL, text);
	}
	api_json_close(&x->out, ']');
	store_asset_list_done(list, n);
	return PARE_OK;
}

/* Inspection speaks the protocol's words for types and shapes already. */
static enum pare_code write_model(struct api_exchange *x, const struct store_asset *a, struct pare_err *err)
{
	enum pare_code rc;

	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "name", a->name[0] != '\0' ? a->name : a->id);
	rc = write_versions(x, a, err);
	api_json_str(&x->out, "platform", "onnx_onnxv1");
	api_json_part(&x->out, "inputs", a->info, "inputs", "[]");
	api_json_part(&x->out, "outputs", a->info, "outputs", "[]");
	api_json_close(&x->out, '}');
	return rc;
}

static enum pare_code reply_model(struct api_exchange *x, const char *reference, struct pare_err *err)
{
	struct store_asset a;
	char id[PARE_ID_MAX];
	enum pare_code rc = store_asset_resolve(x->view, STORE_MODEL, reference, id, err);

	if (rc == PARE_OK)
		rc = store_asset_get(x->view, STORE_MODEL, id, &a, err);
	if (rc == PARE_E_NOT_FOUND)
		return pare_err_set(err, rc, NULL, "there is no model \"%.60s\"", x->params[0]);
	if (rc != PARE_OK)
		return rc;
	rc = write_model(x, &a, err);
	store_asset_done(&a);
	return rc == PARE_OK ? api_reply_json(x, 200, err) : rc;
}

enum pare_code api_get_oip_model(struct api_exchange *x, struct pare_err *err)
{
	return reply_model(x, x->params[0], err);
}

enum pare_code api_get_oip_version(struct api_exchange *x, struct pare_err *err)
{
	char reference[STORE_NAME_MAX + 32];
	int n = snprintf(reference, sizeof reference, "%s:%s", x->params[0], x->params[1]);

	if (n >= (int)sizeof reference || strspn(x->params[1], "0123456789") != strlen(x->params[1]) || strpbrk(x->params[0], ":@") != NULL)
		return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no version \"%.20s\" of a model \"%.60s\"", x->params[1], x->params[0]);
	return reply_model(x, reference, err);
}
