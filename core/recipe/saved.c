/* Recipes that are not built in: the same kind of file, checked before it is kept, so that what is kept can be used. What a job would be made of it, with
 * every parameter at its default, goes through the checker like any job; where that finds fault, its pointer is turned into one within the file. */
#include <stdio.h>
#include <string.h>

#include "core/base/nearest.h"
#include "core/recipe/json_text.h"
#include "core/recipe/recipe_priv.h"

static const char *const file_fields[] = {"name", "doc", "source", "architecture", "params", "job", NULL};
static const char *const param_fields[] = {"type", "doc", "min", "max", "open_min", "open_max", "default", "group", NULL};
static const char *const given_fields[] = {"model", "teacher", "dataset", "params", "register", "webhook", NULL}; /* the job's that uses it */

static void check_fields(struct recipe_check *c, const json_t *o, const char *const *known)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)o, key, v) {
		if (!pare_is_among(key, known))
			recipe_issue_at(c, key, "unknown_field", "a recipe has no such field here");
	}
}

static void check_param(struct recipe_check *c, const json_t *def)
{
	static const char *const numbers[] = {"min", "max", "default"};
	const char *type = json_string_value(json_object_get(def, "type"));

	if (!json_is_object(def)) {
		recipe_issue(c, "wrong_type", "must be an object; got %s", recipe_json_type(def));
		return;
	}
	check_fields(c, def, param_fields);
	if (type == NULL || (strcmp(type, "number") != 0 && strcmp(type, "integer") != 0))
		recipe_issue_at(c, "type", "unknown_value", "must be number or integer");
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		const json_t *v = json_object_get(def, numbers[i]);

		if (v == NULL ? i < 2 : !json_is_number(v))
			recipe_issue_at(c, numbers[i], v == NULL ? "missing" : "wrong_type", "must be a number");
	}
}

/* Every placeholder names a parameter. */
static void check_placeholders(struct recipe_check *c, const json_t *v, const json_t *params)
{
	const json_t *name = json_object_get(v, "$param");
	const char *key;
	json_t *e;
	size_t i, mark;

	if (name != NULL) {
		if (json_object_size(v) != 1 || !json_is_string(name) || json_object_get(params, json_string_value(name)) == NULL)
			recipe_issue_at(c, "$param", "unknown_value", "must be the name of one of the recipe's params, and stand alone");
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, e) {
		mark = recipe_push(c, key);
		check_placeholders(c, e, params);
		recipe_pop(c, mark);
	}
	json_array_foreach(v, i, e) {
		mark = recipe_push_index(c, i);
		check_placeholders(c, e, params);
		recipe_pop(c, mark);
	}
}

static void check_file(struct recipe_check *c, const json_t *file)
{
	const json_t *params = json_object_get(file, "params"), *job = json_object_get(file, "job");
	size_t mark = recipe_push(c, "params"), one;
	const char *key;
	json_t *v;

	if (params != NULL && !json_is_object(params))
		recipe_issue(c, "wrong_type", "must be an object; got %s", recipe_json_type(params));
	json_object_foreach((json_t *)(uintptr_t)params, key, v) {
		one = recipe_push(c, key);
		check_param(c, v);
		recipe_pop(c, one);
	}
	recipe_pop(c, mark);
	check_fields(c, file, file_fields);
	mark = recipe_push(c, "job");
	if (!json_is_object(job) || !json_is_object(json_object_get(job, "recipe")))
		recipe_issue(c, "missing", "must be an object with a recipe of steps");
	json_object_foreach((json_t *)(uintptr_t)job, key, v) {
		if (pare_is_among(key, given_fields))
			recipe_issue_at(c, key, "unsupported", "is for the job to say that uses the recipe");
	}
	check_placeholders(c, job, params);
	recipe_pop(c, mark);
}

/* The job that somebody would post who has everything. */
static void check_use(struct recipe_check *c, const json_t *file)
{
	json_t *job = json_pack("{s:s, s:s, s:s}", "model", "mdl_", "teacher", "mdl_", "dataset", "dst_");
	const struct pare_args *args = NULL;
	size_t mark;

	if (job == NULL) {
		c->nomem = true;
		return;
	}
	mark = recipe_push(c, "job");
	recipe_resolve_file(c, job, file, "saved");
	if (!c->nomem)
		args = recipe_check_object(c, pare_catalog_find(PARE_KIND_JOB, "job"), job, false);
	if (args != NULL && c->issues->n == 0 && !c->nomem)
		recipe_check_rules(c, args);
	recipe_pop(c, mark);
	json_decref(job);
}

enum pare_code pare_recipe_check(const char *text, size_t len, struct pare_issues *issues, struct pare_err *err)
{
	struct recipe_check c = {.issues = issues};
	struct pare_arena arena;
	json_t *file = NULL;
	enum pare_code code;

	memset(issues, 0, sizeof *issues);
	code = recipe_load(text, len, issues, &file, err);
	if (code != PARE_OK)
		return code;
	pare_arena_init(&arena, (size_t)32 << 20);
	c.arena = &arena;
	if (!json_is_object(file))
		recipe_issue(&c, "wrong_type", "a recipe must be an object; got %s", recipe_json_type(file));
	else
		check_file(&c, file);
	if (issues->n == 0 && !c.nomem)
		check_use(&c, file);
	pare_arena_done(&arena);
	json_decref(file);
	if (c.nomem || pare_json_nomem())
		return pare_err_nomem(err, 0);
	if (issues->n == 0)
		return PARE_OK;
	return pare_err_set(err, PARE_E_INVALID, issues->list[0].pointer, "%d fields are invalid; the first: %s", issues->n, issues->list[0].detail);
}
