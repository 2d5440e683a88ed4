/* What the engine says of what is stored, asked again: is a model valid and what in it can be pruned; what do rows of a data set look like. */
#include <string.h>

#include "api/assets.h"
#include "api/jobs.h"
#include "api/text.h"
#include "core/recipe/json_text.h"

#define MAX_ROWS 100

/* --- a model */

static void write_warnings(struct pare_buf *b, const json_t *info, int n_prunable)
{
	const json_t *reason = json_object_get(info, "reason");
	json_int_t n_unlisted = json_integer_value(json_object_get(json_object_get(info, "left_out"), "layers"));

	api_json_open(b, "warnings", '[');
	if (!json_is_true(json_object_get(info, "executable"))) {
		struct pare_buf text;

		pare_buf_init(&text, 4096);
		(void)pare_buf_printf(&text, "It cannot be executed here (%.300s): its weights can be pruned by magnitude, random and lamp, without data.", json_string_value(json_object_get(reason, "message")));
		api_json_str(b, NULL, text.failed ? "It cannot be executed here." : text.data);
		pare_buf_done(&text);
	}
	if (n_unlisted > 0) {
		struct pare_buf text;

		pare_buf_init(&text, 4096);
		(void)pare_buf_printf(&text, "The list is not whole: %" JSON_INTEGER_FORMAT " of the model's tensors have no place in it. They are pruned like all others.", n_unlisted);
		api_json_str(b, NULL, text.failed ? "The list is not whole." : text.data);
		pare_buf_done(&text);
	}
	if (n_prunable == 0)
		api_json_str(b, NULL, "It has no weights that can be pruned.");
	api_json_close(b, ']');
}

static void write_prunable(struct pare_buf *b, const json_t *info, int *out_n)
{
	static const char *const texts[] = {"name", "node", "op", "datatype"};
	const json_t *layer;
	size_t i;

	*out_n = 0;
	api_json_open(b, "prunable", '[');
	json_array_foreach(json_object_get(info, "layers"), i, layer) {
		if (!json_is_true(json_object_get(layer, "prunable")))
			continue;
		++*out_n;
		api_json_open(b, NULL, '{');
		for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++)
			api_json_str(b, texts[k], json_string_value(json_object_get(layer, texts[k])));
		api_json_int(b, "params", json_integer_value(json_object_get(layer, "params")));
		api_json_int(b, "nonzero", json_integer_value(json_object_get(layer, "nonzero")));
		api_json_close(b, '}');
	}
	api_json_close(b, ']');
}

static enum pare_code write_valid(struct pare_buf *b, const char *text, struct pare_err *err)
{
	json_t *info;
	int n_prunable;
	enum pare_code rc = pare_json_load(text, strlen(text), SIZE_MAX, &info, NULL, err);

	if (rc != PARE_OK)
		return rc;
	api_json_bool(b, "valid", true);
	api_json_raw(b, "error", NULL);
	api_json_bool(b, "executable", json_is_true(json_object_get(info, "executable")));
	write_prunable(b, info, &n_prunable);
	write_warnings(b, info, n_prunable);
	json_decref(info);
	return PARE_OK;
}

static void write_invalid(struct pare_buf *b, const struct pare_err *why)
{
	api_json_bool(b, "valid", false);
	api_json_open(b, "error", '{');
	api_json_str(b, "code", pare_code_string(why->code));
	api_json_str(b, "message", why->message);
	api_json_str(b, "where", why->where[0] != '\0' ? why->where : NULL);
	api_json_close(b, '}');
	api_json_bool(b, "executable", false);
	api_json_open(b, "prunable", '[');
	api_json_close(b, ']');
	api_json_open(b, "warnings", '[');
	api_json_close(b, ']');
}

enum pare_code api_validate_model(struct api_exchange *x, struct pare_err *err)
{
	const struct api_engine *e = &x->api->opt.engine;
	struct store_asset a;
	char *info = NULL;
	enum pare_code rc = api_asset_find(x, STORE_MODEL, x->params[0], &a, err);

	if (rc != PARE_OK)
		return rc;
	rc = e->inspect(e->ctx, STORE_MODEL, a.files, a.n_files, NULL, &info, err);
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "validation");
	api_json_str(&x->out, "model", a.id);
	store_asset_done(&a);
	if (rc == PARE_OK) {
		rc = write_valid(&x->out, info, err);
	} else if (pare_code_class(rc) == PARE_CLASS_BAD_INPUT || pare_code_class(rc) == PARE_CLASS_SYNTAX) {
		write_invalid(&x->out, err);
		rc = PARE_OK;
	}
	api_json_close(&x->out, '}');
	pare_free(info);
	return rc == PARE_OK ? api_reply_json(x, 200, err) : rc;
}

/* --- a data set */

enum pare_code api_get_dataset_sample(struct api_exchange *x, struct pare_err *err)
{
	const struct api_engine *e = &x->api->opt.engine;
	const char *label = api_query(x, "label"), *uploaded_label, *uploaded_task;
	struct store_asset a;
	struct pare_buf options;
	int64_t n = 5;
	char *rows = NULL;
	enum pare_code rc = api_query_int(x, "n", 1, MAX_ROWS, &n, err);

	if (rc == PARE_OK && label != NULL && (strlen(label) > 128 || !api_plain_text(label)))
		rc = pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"label\" must be the name of a column");
	if (rc == PARE_OK)
		rc = api_asset_find(x, STORE_DATASET, x->params[0], &a, err);
	if (rc != PARE_OK)
		return rc;
	pare_buf_init(&options, 4096);
	api_json_open(&options, NULL, '{');
	rc = api_asset_options(x, &a, &uploaded_label, &uploaded_task, err);
	if (rc == PARE_OK && (label != NULL || uploaded_label != NULL))
		api_json_str(&options, "label", label != NULL ? label : uploaded_label);
	if (rc == PARE_OK && label == NULL && uploaded_task != NULL)
		api_json_str(&options, "task", uploaded_task);
	api_json_close(&options, '}');
	if (rc == PARE_OK)
		rc = pare_buf_status(&options, err);
	if (rc == PARE_OK)
		rc = e->sample(e->ctx, a.files, a.n_files, options.data, (int)n, &rows, err);
	pare_buf_done(&options);
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "sample");
	api_json_str(&x->out, "dataset", a.id);
	store_asset_done(&a);
	if (rc != PARE_OK)
		return rc;
	api_json_raw(&x->out, "sample", rows);
	api_json_close(&x->out, '}');
	pare_free(rows);
	return api_reply_json(x, 200, err);
}
