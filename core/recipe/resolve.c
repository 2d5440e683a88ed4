/* Named recipes. A file recipes/NAME.json is embedded at build time and holds a piece of a job in which numbers may be
 * placeholders: {"$param": "sparsity"}. Resolving is substitution on the JSON tree, before the checker sees it, so a
 * named recipe can do nothing that a written-out one cannot, and the canonical text of a job holds no names to look up:
 * a job that waits in the queue over an upgrade runs the recipe of the day it was posted.
 *
 * A parameter without default that is not given drops the field that its placeholder stands in. Parameters with one
 * "group" exclude each other: a given one switches the others' defaults off ("threshold" instead of "sparsity").
 *
 * A job that says what to hold and not how ("require" without a recipe) is one with the recipe "auto".
 *
 * A daemon keeps the parsed files (pare_recipes_keep): loading one costs more than all the rest of checking a job that names it. They are only
 * read from then on, and jansson counts references atomically, so threads share them. Rejected: to keep checked jobs by their text, which helps
 * those who post the same text again and again.
 *
 * What the user's job says beside the recipe wins over the recipe's job; the objects are merged field by field. */
#include <stdio.h>
#include <string.h>

#include "core/recipe/json_text.h"
#include "core/base/nearest.h"
#include "core/recipe/recipe_priv.h"
#include "embed_recipes.inc"

#define N_RECIPES (sizeof recipes_embedded / sizeof recipes_embedded[0] - 1)

static json_t *kept[N_RECIPES]; /* all of them, or none */

/* tests/recipe loads every embedded text: only memory can be short here. New reference. */
static json_t *load(size_t i)
{
	json_t *file = NULL;

	if (kept[i] != NULL)
		return json_incref(kept[i]);
	if (pare_json_load(recipes_embedded[i].text, strlen(recipes_embedded[i].text), RECIPE_TEXT_MAX, &file, NULL, NULL) != PARE_OK)
		return NULL;
	return file;
}

void pare_recipes_drop(void)
{
	for (size_t i = 0; i < N_RECIPES; i++) {
		json_decref(kept[i]);
		kept[i] = NULL;
	}
}

enum pare_code pare_recipes_keep(struct pare_err *err)
{
	for (size_t i = 0; i < N_RECIPES; i++) {
		kept[i] = load(i);
		if (kept[i] == NULL) {
			pare_recipes_drop();
			return pare_err_nomem(err, 0);
		}
	}
	return PARE_OK;
}

size_t pare_recipes_count(void)
{
	return N_RECIPES;
}

const char *pare_recipe_name_at(size_t i)
{
	return recipes_embedded[i].name;
}

const char *pare_recipe_text_at(size_t i)
{
	return recipes_embedded[i].text;
}

/* The file of that name, built in or saved (*out_name: of which version); NULL after an issue. New reference. */
static json_t *find(struct recipe_check *c, const char *name, char out_name[PARE_RECIPE_NAME_MAX])
{
	struct pare_nearest near;
	json_t *file = NULL;
	char *text = NULL;

	pare_nearest_init(&near, name);
	for (size_t i = 0; i < N_RECIPES; i++) {
		if (strcmp(recipes_embedded[i].name, name) == 0) {
			(void)snprintf(out_name, PARE_RECIPE_NAME_MAX, "%s", name);
			file = load(i);
			c->nomem |= file == NULL;
			return file;
		}
		pare_nearest_try(&near, recipes_embedded[i].name);
	}
	if (c->source != NULL)
		c->failed = c->source->find(c->source->ctx, name, &text, out_name, c->err);
	if (text != NULL)
		c->failed = pare_json_load(text, strlen(text), RECIPE_TEXT_MAX, &file, NULL, c->err);
	pare_free(text);
	if (file != NULL || (c->failed != PARE_OK && c->failed != PARE_E_NOT_FOUND))
		return file;
	c->failed = PARE_OK;
	if (near.best != NULL)
		recipe_issue_at(c, "recipe", "unknown_value", "no such recipe; did you mean \"%s\"?", near.best);
	else
		recipe_issue_at(c, "recipe", "unknown_value", "no such recipe; GET /v1/recipes lists them");
	return NULL;
}

static struct pare_param param_of(const json_t *def)
{
	const char *type = json_string_value(json_object_get(def, "type"));
	struct pare_param p = {
	    .type = type != NULL && strcmp(type, "integer") == 0 ? PARE_PARAM_INTEGER : PARE_PARAM_NUMBER,
	    .min = json_number_value(json_object_get(def, "min")),
	    .max = json_number_value(json_object_get(def, "max")),
	    .open_min = json_is_true(json_object_get(def, "open_min")),
	    .open_max = json_is_true(json_object_get(def, "open_max")),
	};

	return p;
}

/* Another parameter of this one's group that has a value, or NULL. */
static const char *rival(const json_t *defs, const json_t *values, const json_t *def)
{
	const char *group = json_string_value(json_object_get(def, "group")), *key;
	json_t *other;

	json_object_foreach((json_t *)(uintptr_t)defs, key, other) {
		const char *g = json_string_value(json_object_get(other, "group"));

		if (other != def && group != NULL && g != NULL && strcmp(g, group) == 0 && json_object_get(values, key) != NULL)
			return key;
	}
	return NULL;
}

static void unknown_param(struct recipe_check *c, const json_t *defs, const char *name)
{
	struct pare_nearest near;
	const char *key;
	json_t *def;

	pare_nearest_init(&near, name);
	json_object_foreach((json_t *)(uintptr_t)defs, key, def) {
		pare_nearest_try(&near, key);
	}
	if (near.best != NULL)
		recipe_issue_at(c, name, "unknown_field", "the recipe has no such parameter; did you mean \"%s\"?", near.best);
	else
		recipe_issue_at(c, name, "unknown_field", "the recipe has no such parameter");
}

/* One given value into values, if it is right. */
static void take_given(struct recipe_check *c, const json_t *defs, const char *key, json_t *v, json_t *values)
{
	const json_t *def = json_object_get(defs, key);
	struct pare_param p = param_of(def);
	struct pare_arg arg = {.param = &p};
	size_t mark;

	if (def == NULL) {
		unknown_param(c, defs, key);
		return;
	}
	mark = recipe_push(c, key);
	recipe_check_number(c, &p, v, &arg);
	if (arg.set && rival(defs, values, def) != NULL)
		recipe_issue(c, "exactly_one", "cannot be given together with \"%s\"", rival(defs, values, def));
	else if (arg.set && json_object_set(values, key, v) != 0)
		c->nomem = true;
	recipe_pop(c, mark);
}

/* {"sparsity": 0.9, …}: what was given, then defaults where neither the parameter nor one of its group was. */
static json_t *values_of(struct recipe_check *c, const json_t *defs, const json_t *given)
{
	json_t *values = json_object(), *def, *v;
	size_t mark = recipe_push(c, "params");
	const char *key;

	c->nomem |= values == NULL;
	if (given != NULL && !json_is_object(given))
		recipe_issue(c, "wrong_type", "must be an object; got %s", recipe_json_type(given));
	json_object_foreach((json_t *)(uintptr_t)given, key, v) {
		take_given(c, defs, key, v, values);
	}
	recipe_pop(c, mark);
	json_object_foreach((json_t *)(uintptr_t)defs, key, def) {
		v = json_object_get(def, "default");
		if (v != NULL && json_object_get(values, key) == NULL && rival(defs, values, def) == NULL)
			c->nomem |= json_object_set(values, key, v) != 0;
	}
	return values;
}

/* A deep copy with the placeholders filled; NULL for one that has no value. */
static json_t *substitute(struct recipe_check *c, const json_t *v, const json_t *values)
{
	const json_t *name = json_object_get(v, "$param");
	json_t *out, *e;
	const char *key;
	size_t i;

	if (name != NULL)
		return json_incref(json_object_get(values, json_string_value(name)));
	if (!json_is_object(v) && !json_is_array(v))
		return json_incref((json_t *)(uintptr_t)v);
	out = json_is_object(v) ? json_object() : json_array();
	c->nomem |= out == NULL;
	json_object_foreach((json_t *)(uintptr_t)v, key, e) {
		json_t *k = substitute(c, e, values);

		if (k != NULL && json_object_set_new(out, key, k) != 0)
			c->nomem = true;
	}
	json_array_foreach(v, i, e) {
		json_t *k = substitute(c, e, values);

		if (k != NULL && json_array_append_new(out, k) != 0)
			c->nomem = true;
	}
	return out;
}

/* Fields of the recipe's job that the user's lacks; one level into objects that both have. */
static void merge(struct recipe_check *c, json_t *job, const json_t *from)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)from, key, v) {
		json_t *mine = json_object_get(job, key);
		json_t *both;

		if (mine == NULL || strcmp(key, "recipe") == 0) {
			c->nomem |= json_object_set(job, key, v) != 0;
			continue;
		}
		if (!json_is_object(mine) || !json_is_object(v))
			continue;
		both = json_copy(v);
		c->nomem |= both == NULL || json_object_update(both, mine) != 0 || json_object_set(job, key, both) != 0;
		json_decref(both);
	}
}

void recipe_resolve_file(struct recipe_check *c, json_t *job, const json_t *file, const char *name)
{
	json_t *values = values_of(c, json_object_get(file, "params"), json_object_get(job, "params"));
	json_t *part = substitute(c, json_object_get(file, "job"), values);

	merge(c, job, part);
	if (json_object_set_new(json_object_get(job, "recipe"), "name", json_string(name)) != 0)
		c->nomem = true;
	recipe_sweep_resolve(c, job, json_object_get(file, "job"));
	json_decref(part);
	json_decref(values);
}

static void resolve_named(struct recipe_check *c, json_t *job, const char *name)
{
	char own_name[PARE_RECIPE_NAME_MAX];
	json_t *file = find(c, name, own_name);

	(void)json_object_del(job, "recipe"); /* not before: the name stands there */
	if (file != NULL)
		recipe_resolve_file(c, job, file, own_name);
	json_decref(file);
}

json_t *recipe_resolve(struct recipe_check *c, const json_t *user)
{
	const json_t *recipe = json_object_get(user, "recipe");
	json_t *job = json_copy((json_t *)(uintptr_t)user);

	c->nomem |= job == NULL || pare_json_nomem(); /* a copy that ran out of memory is a shorter copy */
	if (c->nomem)
		return job;
	if (json_is_string(recipe))
		resolve_named(c, job, json_string_value(recipe));
	else if (recipe == NULL && json_object_get(job, "require") != NULL)
		resolve_named(c, job, "auto");
	else if (json_object_get(job, "params") != NULL)
		recipe_issue_at(c, "params", "unsupported", "params belong to a named recipe; this job has none");
	(void)json_object_del(job, "params");
	recipe_sweep_resolve(c, job, NULL);
	c->nomem |= pare_json_nomem();
	return job;
}
