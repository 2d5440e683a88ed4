/* Versions and aliases of models and data sets, and what may change of one.
 *
 * An alias is a resource of its own: its ETag is the id that it means, so that If-Match moves it only from where the sender believes it to be, in the transaction
 * that moves it. A model's ETag is that of its JSON; the change itself is bound to the revision that was read for the comparison. */
#include <string.h>

#include "api/assets.h"
#include "api/range.h"
#include "api/text.h"
#include "core/recipe/json_text.h"

#define MAX_LABELS 64
#define LABEL_MAX 256
#define DESCRIPTION_MAX 4096

static enum pare_code read_object(struct api_exchange *x, const char *const *known, json_t **out, struct pare_err *err)
{
	enum pare_code rc = pare_json_load(x->body.data != NULL ? x->body.data : "", x->body.len, x->body.len, out, NULL, err);

	if (rc != PARE_OK)
		return rc;
	rc = json_is_object(*out) ? api_check_fields(x, *out, known, "", err) : pare_err_set(err, PARE_E_INVALID, NULL, "the body must be a JSON object");
	if (rc != PARE_OK) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}

/* --- aliases */

static void alias_etag(struct api_exchange *x, const char *id)
{
	api_set_header(x, "ETag", "\"%s\"", id);
}

static enum pare_code reply_alias(struct api_exchange *x, const struct store_asset *a, int status, struct pare_err *err)
{
	struct pare_buf *b = &x->out;

	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "alias");
	api_json_str(b, "name", a->name);
	api_json_str(b, "alias", x->params[1]);
	api_json_str(b, "model", a->id);
	api_json_int(b, "version", a->version);
	api_json_open(b, "urls", '{');
	api_json_link(x, "model", "/v1/models/%s", a->id);
	api_json_close(b, '}');
	api_json_close(b, '}');
	alias_etag(x, a->id);
	return api_reply_json(x, status, err);
}

/* What name@alias of the path means. */
static enum pare_code find_alias(struct api_exchange *x, struct store_asset *out, struct pare_err *err)
{
	struct pare_buf b;
	enum pare_code rc;

	pare_buf_init(&b, 512);
	(void)pare_buf_printf(&b, "%s@%s", x->params[0], x->params[1]);
	rc = pare_buf_status(&b, err);
	if (rc == PARE_E_LIMIT || strpbrk(x->params[0], ":@") != NULL) /* longer than any, or not a name */
		rc = PARE_E_NOT_FOUND;
	if (rc == PARE_OK)
		rc = api_asset_find(x, STORE_MODEL, b.data, out, err);
	pare_buf_done(&b);
	return rc == PARE_E_NOT_FOUND ? pare_err_set(err, rc, NULL, "there is no alias \"%.64s\" of a model \"%.80s\"", x->params[1], x->params[0]) : rc;
}

enum pare_code api_get_model_alias(struct api_exchange *x, struct pare_err *err)
{
	char etag[PARE_ID_MAX + 2];
	struct store_asset a;
	enum pare_code rc = find_alias(x, &a, err);

	if (rc != PARE_OK)
		return rc;
	etag[0] = '"';
	memcpy(etag + 1, a.id, strlen(a.id));
	memcpy(etag + 1 + strlen(a.id), "\"", 2);
	if (!api_not_modified(x, etag))
		rc = reply_alias(x, &a, 200, err);
	store_asset_done(&a);
	return rc;
}

/* What the alias must mean now, of If-Match and If-None-Match; NULL: whatever. */
static enum pare_code expected(struct api_exchange *x, const char **out, struct pare_err *err)
{
	const char *match = api_request_header(x, "If-Match"), *none = api_request_header(x, "If-None-Match");
	struct store_asset a;
	char *tag;
	enum pare_code rc;

	*out = none != NULL && strcmp(none, "*") == 0 ? "" : NULL;
	if (match == NULL)
		return PARE_OK;
	rc = find_alias(x, &a, err);
	if (rc == PARE_E_NOT_FOUND)
		return pare_err_set(err, PARE_E_PRECONDITION, NULL, "%.80s@%.64s does not exist", x->params[0], x->params[1]);
	if (rc != PARE_OK)
		return rc;
	tag = pare_arena_alloc(&x->arena, PARE_ID_MAX + 2);
	if (tag == NULL) {
		rc = pare_err_nomem(err, 0);
	} else {
		size_t n = strlen(a.id);

		tag[0] = '"';
		memcpy(tag + 1, a.id, n);
		memcpy(tag + 1 + n, "\"", 2);
		if (!api_etag_in(match, tag, false))
			rc = pare_err_set(err, PARE_E_PRECONDITION, NULL, "%.80s@%.64s means %s now", x->params[0], x->params[1], a.id);
		tag[1 + n] = '\0';
		*out = tag + 1;
	}
	store_asset_done(&a);
	return rc;
}

/* What the body says the alias shall mean: {"version": 3}, or {"model": any reference}. */
static enum pare_code wanted(struct api_exchange *x, struct store_asset *out, struct pare_err *err)
{
	static const char *const fields[] = {"model", "version", NULL};
	const json_t *model, *version;
	struct pare_buf b;
	json_t *root;
	enum pare_code rc = read_object(x, fields, &root, err);

	if (rc != PARE_OK)
		return rc;
	model = json_object_get(root, "model");
	version = json_object_get(root, "version");
	pare_buf_init(&b, 512);
	if (json_is_string(model) && version == NULL)
		(void)pare_buf_str(&b, json_string_value(model));
	else if (json_is_integer(version) && model == NULL)
		(void)pare_buf_printf(&b, "%s:%lld", x->params[0], (long long)json_integer_value(version));
	else
		rc = pare_err_set(err, PARE_E_INVALID, NULL, "say what it shall mean: {\"version\": 3}, or {\"model\": a reference}");
	if (rc == PARE_OK)
		rc = pare_buf_status(&b, err);
	if (rc == PARE_OK)
		rc = api_asset_find(x, STORE_MODEL, b.data, out, err);
	if (rc == PARE_E_NOT_FOUND || rc == PARE_E_LIMIT)
		rc = pare_err_set(err, PARE_E_INVALID, model != NULL ? "/model" : "/version", "there is no model \"%.80s\"", b.data);
	pare_buf_done(&b);
	json_decref(root);
	return rc;
}

enum pare_code api_put_model_alias(struct api_exchange *x, struct pare_err *err)
{
	struct store_asset a = {.memory = NULL};
	const char *must = NULL;
	bool made = false;
	enum pare_code rc = wanted(x, &a, err);

	if (rc == PARE_OK)
		rc = expected(x, &must, err);
	if (rc == PARE_OK)
		rc = store_alias_put(x->view, STORE_MODEL, x->params[0], x->params[1], a.id, must, &made, err);
	if (rc == PARE_OK)
		rc = reply_alias(x, &a, made ? 201 : 200, err);
	store_asset_done(&a);
	return rc;
}

enum pare_code api_delete_model_alias(struct api_exchange *x, struct pare_err *err)
{
	const char *must = NULL;
	enum pare_code rc = expected(x, &must, err);

	if (rc == PARE_OK)
		rc = store_alias_delete(x->view, STORE_MODEL, x->params[0], x->params[1], must, err);
	if (rc == PARE_OK)
		api_reply_empty(x, 204);
	return rc;
}

/* --- what may change */

static enum pare_code read_text(struct api_exchange *x, const json_t *root, const char *field, size_t max, const char **out, struct pare_err *err)
{
	const json_t *v = json_object_get(root, field);
	const char *s = json_string_value(v);

	if (v == NULL)
		return PARE_OK;
	if (s == NULL || json_string_length(v) >= max || strlen(s) != json_string_length(v)) {
		(void)pare_err_set(err, PARE_E_INVALID, NULL, "%s must be a string of at most %zu bytes", field, max - 1);
		return pare_err_at(err, "/%s", field);
	}
	*out = pare_arena_strndup(&x->arena, s, strlen(s));
	return *out != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

static enum pare_code read_labels(struct api_exchange *x, const json_t *root, const char **out, struct pare_err *err)
{
	json_t *labels = json_object_get(root, "labels"), *v;
	const char *key;
	char *text;
	enum pare_code rc;

	if (labels == NULL)
		return PARE_OK;
	if (!json_is_object(labels) || json_object_size(labels) > MAX_LABELS)
		return pare_err_set(err, PARE_E_INVALID, "/labels", "labels must be an object of at most %d strings", MAX_LABELS);
	json_object_foreach(labels, key, v) {
		if (key[0] != '\0' && strlen(key) < LABEL_MAX && api_plain_text(key) && json_is_string(v) && json_string_length(v) < LABEL_MAX && api_plain_text(json_string_value(v)))
			continue;
		(void)pare_err_set(err, PARE_E_INVALID, "/labels", "a label and its value are text of at most %d bytes without control characters", LABEL_MAX - 1);
		api_pointer_add(err->where, sizeof err->where, key);
		return PARE_E_INVALID;
	}
	rc = api_json_dump(labels, &text, err);
	if (rc != PARE_OK)
		return rc;
	*out = pare_arena_strndup(&x->arena, text, strlen(text));
	pare_free(text);
	return *out != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

static enum pare_code patch(struct api_exchange *x, enum store_asset_kind kind, struct pare_err *err)
{
	static const char *const fields[] = {"name", "labels", "description", NULL};
	struct store_asset_change c = {.name = NULL};
	struct store_asset a = {.memory = NULL};
	json_t *root = NULL;
	enum pare_code rc = api_asset_find(x, kind, x->params[0], &a, err);

	if (rc == PARE_OK && api_request_header(x, "If-Match") != NULL) {
		api_asset_write(x, NULL, &a);
		rc = api_check_if_match(x, err);
	}
	if (rc == PARE_OK)
		rc = read_object(x, fields, &root, err);
	if (rc == PARE_OK)
		rc = read_text(x, root, "name", STORE_NAME_MAX, &c.name, err);
	if (rc == PARE_OK)
		rc = read_text(x, root, "description", DESCRIPTION_MAX, &c.description, err);
	if (rc == PARE_OK)
		rc = read_labels(x, root, &c.labels, err);
	if (rc == PARE_OK)
		rc = store_asset_change(x->view, kind, a.id, &c, a.revision, err);
	json_decref(root);
	if (rc == PARE_OK) {
		char id[PARE_ID_MAX];

		memcpy(id, a.id, sizeof id);
		store_asset_done(&a);
		rc = api_asset_find(x, kind, id, &a, err);
	}
	if (rc == PARE_OK) {
		api_asset_write(x, NULL, &a);
		rc = api_reply_json(x, 200, err);
	}
	store_asset_done(&a);
	return rc;
}

enum pare_code api_patch_model(struct api_exchange *x, struct pare_err *err)
{
	return patch(x, STORE_MODEL, err);
}

enum pare_code api_patch_dataset(struct api_exchange *x, struct pare_err *err)
{
	return patch(x, STORE_DATASET, err);
}
