/* The tables as JSON Schema 2020-12, for GET /v1/methods: what a form, a client generator or a person needs to write a
 * job without reading the documentation. Nested methods are expanded in place ("oneOf"): the rows form no cycle, and a
 * self-contained schema can be pasted into any validator, which one full of references to elsewhere cannot.
 *
 * "doc" lines become descriptions; a group of which exactly one must be given becomes "oneOf" of "required". */
#include <jansson.h>
#include <string.h>

#include "core/recipe/json_text.h"
#include "core/recipe/recipe_priv.h"

#define SCHEMA_MAX ((size_t)4 << 20)

static void write_object(struct pare_buf *b, const struct pare_method *m, bool with_name);

static void write_choices(struct pare_buf *b, const char *const *choices)
{
	if (choices == NULL)
		return;
	pare_json_key(b, "enum");
	pare_buf_str(b, "[");
	for (; *choices != NULL; choices++) {
		pare_json_sep(b);
		pare_json_str(b, *choices);
	}
	pare_buf_str(b, "]");
}

static void write_bounds(struct pare_buf *b, const struct pare_param *p)
{
	if (p->min < p->max) {
		pare_json_key_num(b, p->open_min ? "exclusiveMinimum" : "minimum", p->min);
		pare_json_key_num(b, p->open_max ? "exclusiveMaximum" : "maximum", p->max);
	}
	if (p->has_default)
		pare_json_key_num(b, "default", p->def);
}

static void write_number(struct pare_buf *b, const struct pare_param *p)
{
	pare_json_key_str(b, "type", p->type == PARE_PARAM_INTEGER ? "integer" : "number");
	write_bounds(b, p);
}

static void write_bool(struct pare_buf *b, const struct pare_param *p)
{
	pare_json_key_str(b, "type", "boolean");
	if (p->has_default)
		pare_json_key_bool(b, "default", p->def > 0);
}

static void write_string(struct pare_buf *b, const struct pare_param *p)
{
	pare_json_key_str(b, "type", "string");
	pare_json_key_int(b, "minLength", 1);
	pare_json_key_int(b, "maxLength", (int64_t)RECIPE_STRING_MAX);
	write_choices(b, p->choices);
	if (p->def_text != NULL)
		pare_json_key_str(b, "default", p->def_text);
}

static void write_strings(struct pare_buf *b, const struct pare_param *p)
{
	pare_json_key_str(b, "type", "array");
	pare_json_key(b, "items");
	pare_buf_str(b, "{\"type\":\"string\"");
	write_choices(b, p->choices);
	pare_buf_str(b, "}");
}

/* The name, or an object for each of them. */
static void write_forms(struct pare_buf *b, const struct pare_param *p)
{
	pare_buf_str(b, "{\"type\":\"string\",\"enum\":[");
	for (const struct pare_method *m = pare_catalog; m->name != NULL; m++)
		if (m->kind == p->of) {
			pare_json_sep(b);
			pare_json_str(b, m->name);
		}
	pare_buf_str(b, "]}");
	for (const struct pare_method *m = pare_catalog; m->name != NULL; m++)
		if (m->kind == p->of) {
			pare_json_sep(b);
			pare_buf_str(b, "{");
			write_object(b, m, true);
			pare_buf_str(b, "}");
		}
}

static void write_method(struct pare_buf *b, const struct pare_param *p)
{
	pare_json_key(b, "oneOf");
	pare_buf_str(b, "[");
	write_forms(b, p);
	pare_buf_str(b, "]");
	if (p->def_text != NULL)
		pare_json_key_str(b, "default", p->def_text);
}

static void write_methods(struct pare_buf *b, const struct pare_param *p)
{
	pare_json_key(b, "oneOf");
	pare_buf_str(b, "[");
	write_forms(b, p);
	pare_buf_str(b, ",{\"type\":\"array\",\"minItems\":1");
	pare_json_key_int(b, "maxItems", (int64_t)p->max_items);
	pare_json_key(b, "items");
	pare_buf_str(b, "{\"oneOf\":[");
	write_forms(b, p);
	pare_buf_str(b, "]}}]");
}

static void write_recipe_names(struct pare_buf *b)
{
	pare_buf_str(b, "{\"type\":\"string\",\"enum\":[");
	for (size_t i = 0; i < pare_recipes_count(); i++) {
		pare_json_sep(b);
		pare_json_str(b, pare_recipe_name_at(i));
	}
	pare_buf_str(b, "]}");
}

static void write_nested(struct pare_buf *b, const struct pare_param *p)
{
	const struct pare_method *m = pare_catalog_find(PARE_KIND_OBJECT, p->object);

	if (strcmp(p->object, "recipe") != 0) {
		write_object(b, m, false);
		return;
	}
	pare_json_key(b, "oneOf");
	pare_buf_str(b, "[");
	write_recipe_names(b);
	pare_buf_str(b, ",{");
	write_object(b, m, false);
	pare_buf_str(b, "}]");
}

static void write_steps(struct pare_buf *b, const struct pare_param *p)
{
	(void)p;
	pare_json_key_str(b, "type", "array");
	pare_json_key_int(b, "minItems", 1);
	pare_json_key_int(b, "maxItems", (int64_t)RECIPE_STEPS_MAX);
	pare_json_key(b, "items");
	pare_buf_str(b, "{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":1,\"additionalProperties\":false,\"properties\":{");
	for (const struct pare_method *m = pare_catalog; m->name != NULL; m++)
		if (m->kind == PARE_KIND_STEP) {
			pare_json_key(b, m->name);
			pare_buf_str(b, "{");
			write_object(b, m, false);
			pare_buf_str(b, "}");
		}
	pare_buf_str(b, "}}");
}

static void write_numbers(struct pare_buf *b, const struct pare_param *p)
{
	pare_json_key_str(b, "type", "array");
	pare_json_key_int(b, "minItems", 1);
	pare_json_key_int(b, "maxItems", (int64_t)p->max_items);
	pare_json_key(b, "items");
	pare_buf_str(b, p->type == PARE_PARAM_INTEGERS ? "{\"type\":\"integer\"" : "{\"type\":\"number\"");
	write_bounds(b, p);
	pare_buf_str(b, "}");
}

static void write_objects(struct pare_buf *b, const struct pare_param *p)
{
	pare_json_key_str(b, "type", "array");
	pare_json_key_int(b, "minItems", 1);
	pare_json_key_int(b, "maxItems", (int64_t)p->max_items);
	pare_json_key(b, "items");
	pare_buf_str(b, "{");
	write_object(b, pare_catalog_find(PARE_KIND_OBJECT, p->object), false);
	pare_buf_str(b, "}");
}

static void write_labels(struct pare_buf *b, const struct pare_param *p)
{
	pare_json_key_str(b, "type", "object");
	pare_json_key_int(b, "maxProperties", (int64_t)p->max_items);
	pare_json_key(b, "propertyNames");
	pare_buf_str(b, "{");
	pare_json_key_str(b, "pattern", RECIPE_LABEL_PATTERN);
	pare_buf_str(b, "}");
	pare_json_key(b, "additionalProperties");
	pare_buf_str(b, "{\"type\":\"string\",\"minLength\":1");
	pare_json_key_int(b, "maxLength", (int64_t)RECIPE_STRING_MAX);
	pare_buf_str(b, "}");
}

static void write_params(struct pare_buf *b, const struct pare_param *p)
{
	(void)p;
	pare_json_key_str(b, "type", "object");
	pare_json_key(b, "additionalProperties");
	pare_buf_str(b, "{\"type\":\"number\"}");
}

static void (*const write_table[])(struct pare_buf *, const struct pare_param *) = {
    [PARE_PARAM_NUMBER] = write_number,
    [PARE_PARAM_INTEGER] = write_number,
    [PARE_PARAM_BOOL] = write_bool,
    [PARE_PARAM_STRING] = write_string,
    [PARE_PARAM_ENUM] = write_string,
    [PARE_PARAM_STRINGS] = write_strings,
    [PARE_PARAM_METHOD] = write_method,
    [PARE_PARAM_OBJECT] = write_nested,
    [PARE_PARAM_STEPS] = write_steps,
    [PARE_PARAM_METHODS] = write_methods,
    [PARE_PARAM_INTEGERS] = write_numbers,
    [PARE_PARAM_NUMBERS] = write_numbers,
    [PARE_PARAM_OBJECTS] = write_objects,
    [PARE_PARAM_LABELS] = write_labels,
    [PARE_PARAM_PARAMS] = write_params,
};

static void write_required(struct pare_buf *b, const struct pare_method *m, bool with_name)
{
	pare_json_key(b, "required");
	pare_buf_str(b, "[");
	if (with_name)
		pare_json_str(b, "name");
	for (size_t i = 0; i < recipe_n_params(m); i++)
		if (m->params[i].required) {
			pare_json_sep(b);
			pare_json_str(b, m->params[i].name);
		}
	pare_buf_str(b, "]");
}

/* A method has at most one group: its members in order. */
static void write_group(struct pare_buf *b, const struct pare_method *m)
{
	bool open = false;

	for (size_t i = 0; i < recipe_n_params(m); i++) {
		if (m->params[i].group == NULL)
			continue;
		if (!open) {
			pare_json_key(b, "oneOf");
			pare_buf_str(b, "[");
		}
		open = true;
		pare_json_sep(b);
		pare_buf_str(b, "{\"required\":[");
		pare_json_str(b, m->params[i].name);
		pare_buf_str(b, "]}");
	}
	if (open)
		pare_buf_str(b, "]");
}

static void write_object(struct pare_buf *b, const struct pare_method *m, bool with_name)
{
	pare_json_key_str(b, "type", "object");
	pare_json_key(b, "properties");
	pare_buf_str(b, "{");
	if (with_name) {
		pare_json_key(b, "name");
		pare_buf_str(b, "{\"const\":");
		pare_json_str(b, m->name);
		pare_buf_str(b, "}");
	}
	for (size_t i = 0; i < recipe_n_params(m); i++) {
		pare_json_key(b, m->params[i].name);
		pare_buf_str(b, "{");
		pare_json_key_str(b, "description", m->params[i].doc);
		write_table[m->params[i].type](b, &m->params[i]);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "}");
	write_required(b, m, with_name);
	write_group(b, m);
	pare_json_key_bool(b, "additionalProperties", 0);
}

static void write_head(struct pare_buf *b, const char *kind, const char *name, const char *doc, const char *source)
{
	pare_buf_str(b, "{");
	pare_json_key_str(b, "object", "method");
	pare_json_key_str(b, "kind", kind);
	pare_json_key_str(b, "name", name);
	pare_json_key_str(b, "description", doc);
	pare_json_key_str(b, "source", source);
	pare_json_key(b, "schema");
	pare_buf_str(b, "{");
	pare_json_key_str(b, "$schema", "https://json-schema.org/draft/2020-12/schema");
}

static void write_row(struct pare_buf *b, const struct pare_method *m)
{
	write_head(b, pare_kind_name(m->kind), m->name, m->doc, m->source);
	write_object(b, m, false);
	pare_buf_str(b, "}}");
}

static void copy_bounds(struct pare_buf *b, const json_t *def)
{
	pare_json_key_str(b, "description", json_string_value(json_object_get(def, "doc")));
	pare_json_key_str(b, "type", json_string_value(json_object_get(def, "type")));
	pare_json_key_num(b, json_is_true(json_object_get(def, "open_min")) ? "exclusiveMinimum" : "minimum", json_number_value(json_object_get(def, "min")));
	pare_json_key_num(b, json_is_true(json_object_get(def, "open_max")) ? "exclusiveMaximum" : "maximum", json_number_value(json_object_get(def, "max")));
	if (json_object_get(def, "default") != NULL)
		pare_json_key_num(b, "default", json_number_value(json_object_get(def, "default")));
}

/* A named recipe in the same form: the schema is that of "params". */
static enum pare_code write_recipe(struct pare_buf *b, size_t i, struct pare_err *err)
{
	const char *text = pare_recipe_text_at(i), *key;
	json_t *file = NULL, *def;
	enum pare_code code = pare_json_load(text, strlen(text), RECIPE_TEXT_MAX, &file, NULL, err);

	if (code != PARE_OK)
		return code;
	write_head(b, "recipe", pare_recipe_name_at(i), json_string_value(json_object_get(file, "doc")), json_string_value(json_object_get(file, "source")));
	pare_json_key_str(b, "type", "object");
	pare_json_key(b, "properties");
	pare_buf_str(b, "{");
	json_object_foreach(json_object_get(file, "params"), key, def) {
		pare_json_key(b, key);
		pare_buf_str(b, "{");
		copy_bounds(b, def);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "}");
	pare_json_key_bool(b, "additionalProperties", 0);
	pare_buf_str(b, "}}");
	json_decref(file);
	return PARE_OK;
}

static enum pare_code finish(struct pare_buf *b, enum pare_code code, char **out, struct pare_err *err)
{
	char *text = NULL;

	if (code == PARE_OK)
		code = pare_buf_status(b, err);
	if (code == PARE_OK && (text = pare_buf_take(b, NULL)) == NULL)
		code = pare_err_nomem(err, 0);
	if (code == PARE_OK)
		*out = text;
	pare_buf_done(b);
	return code;
}

enum pare_code pare_catalog_json(char **out, struct pare_err *err)
{
	enum pare_code code = PARE_OK;
	struct pare_buf b;

	pare_buf_init(&b, SCHEMA_MAX);
	pare_buf_str(&b, "{\"object\":\"list\",\"data\":[");
	for (const struct pare_method *m = pare_catalog; m->name != NULL; m++) {
		pare_json_sep(&b);
		write_row(&b, m);
	}
	for (size_t i = 0; i < pare_recipes_count() && code == PARE_OK; i++) {
		pare_json_sep(&b);
		code = write_recipe(&b, i, err);
	}
	pare_buf_str(&b, "],\"has_more\":false}");
	return finish(&b, code, out, err);
}

enum pare_code pare_catalog_method_json(const char *name, char **out, struct pare_err *err)
{
	enum pare_code code = PARE_OK;
	bool found = false;
	struct pare_buf b;

	pare_buf_init(&b, SCHEMA_MAX);
	for (const struct pare_method *m = pare_catalog; m->name != NULL && !found; m++)
		if (strcmp(m->name, name) == 0) {
			found = true;
			write_row(&b, m);
		}
	for (size_t i = 0; i < pare_recipes_count() && !found; i++)
		if (strcmp(pare_recipe_name_at(i), name) == 0) {
			found = true;
			code = write_recipe(&b, i, err);
		}
	if (!found)
		code = pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no method or recipe of that name");
	return finish(&b, code, out, err);
}
