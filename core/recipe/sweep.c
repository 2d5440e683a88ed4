/* A sweep: one job text that stands for many. Axes of a grid and a list of recipes multiply to variants; a variant is the job without
 * its sweep and with its values in place, made by substitution on the canonical text and then checked like any other job. So
 * whatever a job may say can be an axis, and a variant can do nothing that a job written out could not.
 *
 * An axis names what it sets by a JSON pointer into the job, or by the name of a parameter of the named recipe. A name is looked
 * up when the recipe is resolved, since afterwards there are no placeholders left; the pointers that it means are kept in "at".
 *
 * Each value of each axis is tried alone when the job is parsed, beside the first values of the others. All combinations would be as many
 * parses as there are trials; what only a combination makes wrong is found when the engine prepares the trials, before any of them runs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/recipe/json_text.h"
#include "core/recipe/recipe_priv.h"

/* --- when a recipe is resolved */

/* Pointers of all placeholders of a parameter under v, as strings into list. */
static void find_placeholders(struct recipe_check *c, const json_t *v, const char *name, char *path, size_t len, size_t size, json_t *list)
{
	const char *param = json_string_value(json_object_get(v, "$param")), *key;
	json_t *e;
	size_t i;

	if (param != NULL) {
		if (strcmp(param, name) == 0)
			c->nomem |= json_array_append_new(list, json_string(path)) != 0;
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, e) {
		int n = snprintf(path + len, size - len, "/%s", key);

		if (n > 0 && len + (size_t)n < size)
			find_placeholders(c, e, name, path, len + (size_t)n, size, list);
		path[len] = '\0';
	}
	json_array_foreach(v, i, e) {
		int n = snprintf(path + len, size - len, "/%zu", i);

		if (n > 0 && len + (size_t)n < size)
			find_placeholders(c, e, name, path, len + (size_t)n, size, list);
		path[len] = '\0';
	}
}

static void resolve_axis(struct recipe_check *c, json_t *axis, const json_t *file_job, size_t i)
{
	const char *parameter = json_string_value(json_object_get(axis, "parameter"));
	json_t *at;
	char path[RECIPE_STRING_MAX] = "";

	if (parameter == NULL || json_object_get(axis, "at") != NULL)
		return; /* wrong, which the checker says, or resolved before */
	at = json_array();
	c->nomem |= at == NULL;
	if (parameter[0] == '/')
		c->nomem |= json_array_append_new(at, json_string(parameter)) != 0;
	else
		find_placeholders(c, file_job, parameter, path, 0, sizeof path, at);
	if (json_array_size(at) == 0) {
		size_t mark = recipe_push(c, "sweep");

		(void)recipe_push(c, "grid");
		(void)recipe_push_index(c, i);
		recipe_issue_at(c, "parameter", "unknown_value", "\"%.60s\" is neither a parameter of a named recipe nor a pointer such as /recipe/steps/0/train/epochs", parameter);
		recipe_pop(c, mark);
	}
	c->nomem |= json_object_set_new(axis, "at", at) != 0;
}

/* "name" or {"name": …, "params": …} to {"name": …, "steps": […]}. */
static json_t *resolve_recipe(struct recipe_check *c, const json_t *v)
{
	const json_t *name = json_is_object(v) ? json_object_get(v, "name") : v;
	json_t *job, *resolved, *recipe;

	if (!json_is_string(name) || json_object_get(v, "steps") != NULL)
		return json_incref((json_t *)(uintptr_t)v);
	job = json_pack("{s:O}", "recipe", name);
	if (job != NULL && json_object_get(v, "params") != NULL)
		c->nomem |= json_object_set(job, "params", json_object_get(v, "params")) != 0;
	resolved = job != NULL ? recipe_resolve(c, job) : NULL;
	recipe = json_incref(json_object_get(resolved, "recipe"));
	c->nomem |= job == NULL;
	json_decref(resolved);
	json_decref(job);
	return recipe; /* NULL after an issue */
}

static void resolve_recipes(struct recipe_check *c, json_t *job, json_t *sweep)
{
	json_t *list = json_object_get(sweep, "recipes"), *v, *out;
	size_t mark = recipe_push(c, "sweep"), i;
	bool failed = false;

	(void)recipe_push(c, "recipes");
	out = json_is_array(list) ? json_array() : NULL;
	json_array_foreach(list, i, v) {
		size_t at = recipe_push_index(c, i);

		json_t *recipe = resolve_recipe(c, v);

		failed |= recipe == NULL;
		c->nomem |= recipe != NULL && json_array_append_new(out, recipe) != 0;
		recipe_pop(c, at);
	}
	recipe_pop(c, mark);
	if (out == NULL || failed) {
		json_decref(out);
		if (failed)
			(void)json_object_del(sweep, "recipes"); /* what is wrong has been said */
		return;
	}
	if (json_object_get(job, "recipe") == NULL && json_is_object(json_array_get(out, 0)))
		c->nomem |= json_object_set(job, "recipe", json_array_get(out, 0)) != 0;
	c->nomem |= json_object_set_new(sweep, "recipes", out) != 0;
}

void recipe_sweep_resolve(struct recipe_check *c, json_t *job, const json_t *file_job)
{
	json_t *sweep = json_object_get(job, "sweep"), *axis;
	size_t i;

	if (!json_is_object(sweep) || c->nomem)
		return;
	sweep = json_deep_copy(sweep);
	c->nomem |= sweep == NULL || json_object_set_new(job, "sweep", sweep) != 0;
	if (c->nomem)
		return;
	json_array_foreach(json_object_get(sweep, "grid"), i, axis) {
		resolve_axis(c, axis, file_job, i);
	}
	resolve_recipes(c, job, sweep);
}

/* --- variants */

static const struct pare_args *sweep_of(const struct pare_args *job)
{
	return pare_args_obj(job, "sweep");
}

static size_t axis_len(const struct pare_args *axis)
{
	return pare_args_has(axis, "values") ? pare_args_get(axis, "values")->n : pare_args_get(axis, "names")->n;
}

static size_t n_recipes(const struct pare_args *sweep)
{
	return pare_args_has(sweep, "recipes") ? pare_args_get(sweep, "recipes")->n : 1;
}

static size_t n_axes(const struct pare_args *sweep)
{
	return pare_args_has(sweep, "grid") ? pare_args_get(sweep, "grid")->n : 0;
}

static size_t count(const struct pare_args *sweep)
{
	size_t n = n_recipes(sweep);

	for (size_t k = 0; k < n_axes(sweep); k++)
		if (!pare_mul_size(n, axis_len(pare_args_get(sweep, "grid")->list[k]), &n))
			return SIZE_MAX;
	return n;
}

size_t pare_sweep_count(const struct pare_job *job)
{
	return sweep_of(job->args) != NULL ? count(sweep_of(job->args)) : 0;
}

size_t pare_sweep_axes(const struct pare_job *job)
{
	return n_axes(sweep_of(job->args));
}

/* The last axis turns fastest, recipes slowest. */
static size_t index_of(const struct pare_args *sweep, size_t variant, size_t axis)
{
	for (size_t k = n_axes(sweep); k-- > axis + 1;)
		variant /= axis_len(pare_args_get(sweep, "grid")->list[k]);
	return variant % axis_len(pare_args_get(sweep, "grid")->list[axis]);
}

static size_t recipe_of(const struct pare_args *sweep, size_t variant)
{
	for (size_t k = 0; k < n_axes(sweep); k++)
		variant /= axis_len(pare_args_get(sweep, "grid")->list[k]);
	return variant;
}

void pare_sweep_value(const struct pare_job *job, size_t variant, size_t axis, struct pare_sweep_value *out)
{
	const struct pare_args *sweep = sweep_of(job->args), *a = pare_args_get(sweep, "grid")->list[axis];
	size_t i = index_of(sweep, variant, axis);

	out->parameter = pare_args_str(a, "parameter");
	out->name = pare_args_has(a, "names") ? pare_args_get(a, "names")->strings[i] : NULL;
	out->number = pare_args_has(a, "values") ? pare_args_get(a, "values")->nums[i] : NAN;
}

const char *pare_sweep_recipe(const struct pare_job *job, size_t variant)
{
	const struct pare_args *sweep = sweep_of(job->args);

	return pare_args_has(sweep, "recipes") ? pare_args_str(pare_args_get(sweep, "recipes")->list[recipe_of(sweep, variant)], "name") : NULL;
}

/* A method that stands there by its name alone becomes an object that can take parameters. */
static json_t *open_name(json_t *parent, const char *key, json_t *v)
{
	json_t *o;

	if (!json_is_string(v) || !json_is_object(parent))
		return v;
	o = json_pack("{s:O}", "name", v);
	return o != NULL && json_object_set_new(parent, key, o) == 0 ? o : NULL;
}

/* Puts v at a pointer: an existing element of a list, or a key of an object, which may be new. False: there is no such place. A list of one whose
 * element is not named by number is that element: methods may stand alone in a request, and do not in the canonical text. */
static bool set_at(json_t *root, const char *pointer, json_t *v)
{
	json_t *at = root;

	while (at != NULL && *pointer == '/') {
		char key[RECIPE_STRING_MAX];
		size_t n = 0;
		bool last, is_index;
		int64_t i = 0;

		for (pointer++; *pointer != '\0' && *pointer != '/' && n + 1 < sizeof key; pointer++) {
			bool escaped = *pointer == '~' && (pointer[1] == '0' || pointer[1] == '1');

			key[n++] = !escaped ? *pointer : *++pointer == '0' ? '~' : '/';
		}
		key[n] = '\0';
		last = *pointer == '\0';
		is_index = json_is_array(at) && pare_parse_i64(key, n, 0, 4096, &i);
		if (json_is_array(at) && !is_index && json_array_size(at) == 1)
			at = json_array_get(at, 0);
		if (last && is_index)
			return json_array_set(at, (size_t)i, v) == 0;
		if (last)
			return json_is_object(at) && json_object_set(at, key, v) == 0;
		at = is_index ? json_array_get(at, (size_t)i) : open_name(at, key, json_object_get(at, key));
	}
	return false;
}

static json_t *value_of(const struct pare_args *axis, size_t i)
{
	double v;

	if (pare_args_has(axis, "names"))
		return json_string(pare_args_get(axis, "names")->strings[i]);
	v = pare_args_get(axis, "values")->nums[i];
	return floor(v) < v || fabs(v) > 9007199254740992.0 ? json_real(v) : json_integer((json_int_t)v);
}

/* Every "epochs" under v, but at least 1. */
static void scale_epochs(json_t *v, double factor)
{
	const char *key;
	json_t *e;
	size_t i;

	json_object_foreach(v, key, e) {
		if (strcmp(key, "epochs") == 0 && json_is_integer(e))
			(void)json_integer_set(e, (json_int_t)fmax(1, ceil((double)json_integer_value(e) * factor - 1e-9)));
		else
			scale_epochs(e, factor);
	}
	json_array_foreach(v, i, e) {
		scale_epochs(e, factor);
	}
}

static enum pare_code substitute(const struct pare_args *sweep, json_t *root, size_t variant, struct pare_err *err)
{
	for (size_t k = 0; k < n_axes(sweep); k++) {
		const struct pare_args *axis = pare_args_get(sweep, "grid")->list[k];
		const struct pare_arg *at = pare_args_get(axis, "at");
		json_t *v = value_of(axis, index_of(sweep, variant, k));
		enum pare_code code = v != NULL ? PARE_OK : pare_err_nomem(err, 0);

		for (size_t i = 0; i < at->n && code == PARE_OK; i++)
			if (!set_at(root, at->strings[i], v))
				code = pare_err_set(err, PARE_E_INVALID, NULL, "the job has nothing at %.100s", at->strings[i]);
		json_decref(v);
		if (code != PARE_OK)
			return code;
	}
	return PARE_OK;
}

enum pare_code pare_sweep_variant(const struct pare_job *job, size_t variant, double epochs, char **out, struct pare_err *err)
{
	const struct pare_args *sweep = sweep_of(job->args);
	json_t *root = NULL, *recipes;
	char *text = NULL;
	enum pare_code code = pare_job_canonical(job, 0, 1, &text, err);

	if (code == PARE_OK)
		code = pare_json_load(text, strlen(text), (size_t)8 << 20, &root, NULL, err);
	pare_free(text);
	if (code != PARE_OK)
		return code;
	recipes = json_object_get(json_object_get(root, "sweep"), "recipes");
	if (recipes != NULL && json_object_set(root, "recipe", json_array_get(recipes, recipe_of(sweep, variant))) != 0)
		code = pare_err_nomem(err, 0);
	(void)json_object_del(root, "sweep");
	(void)json_object_del(root, "trial");
	if (code == PARE_OK)
		code = substitute(sweep, root, variant, err);
	if (code == PARE_OK && epochs < 1)
		scale_epochs(json_object_get(root, "recipe"), epochs);
	if (code == PARE_OK) {
		*out = json_dumps(root, JSON_COMPACT);
		if (*out == NULL || pare_json_nomem())
			code = pare_err_nomem(err, 0);
	}
	json_decref(root);
	return code;
}

/* --- when a job is checked */

static void try_variant(struct recipe_check *c, const struct pare_job *job, size_t variant)
{
	struct pare_job *parsed = NULL;
	struct pare_issues *issues = pare_arena_alloc(c->arena, sizeof *issues);
	struct pare_err err;
	char *text = NULL;
	enum pare_code code = issues != NULL ? pare_sweep_variant(job, variant, 1, &text, &err) : pare_err_nomem(&err, 0);

	if (code == PARE_OK)
		code = pare_job_parse(text, strlen(text), &parsed, issues, &err);
	else if (issues != NULL)
		issues->n = 0;
	c->nomem |= code == PARE_E_NOMEM;
	if (code == PARE_E_INVALID && issues->n > 0)
		recipe_issue(c, issues->list[0].code, "with this, %s: %s", issues->list[0].pointer, issues->list[0].detail);
	else if (code != PARE_OK && !c->nomem)
		recipe_issue(c, "unknown_value", "%s", err.message);
	pare_job_free(parsed);
	pare_free(text);
}

/* One axis, all its values; stride: how far apart their variants are. */
static void try_axis(struct recipe_check *c, const struct pare_job *job, const char *list, size_t n, size_t stride)
{
	size_t mark = recipe_push(c, list);

	for (size_t i = 0; i < n && c->issues->n < PARE_MAX_ISSUES; i++) {
		size_t at = recipe_push_index(c, i);

		try_variant(c, job, i * stride);
		recipe_pop(c, at);
	}
	recipe_pop(c, mark);
}

void recipe_sweep_check(struct recipe_check *c, const struct pare_job *job)
{
	const struct pare_args *sweep = sweep_of(job->args);
	size_t mark, stride = 1, all, runs;

	if (sweep == NULL)
		return;
	mark = recipe_push(c, "sweep");
	all = count(sweep);
	runs = all <= PARE_SWEEP_MAX ? all * (size_t)pare_args_int(sweep, "seeds") * (pare_args_has(sweep, "folds") ? (size_t)pare_args_int(sweep, "folds") : 1) : 0;
	if (!pare_args_has(job->args, "dataset"))
		recipe_issue(c, "unsupported", "variants are judged by data: name a dataset");
	else if (n_axes(sweep) == 0 && !pare_args_has(sweep, "recipes"))
		recipe_issue(c, "missing", "give grid, recipes or both");
	else if (all > PARE_SWEEP_MAX)
		recipe_issue(c, "out_of_range", "at most %d variants; the lists multiply to %zu", PARE_SWEEP_MAX, all);
	else if (runs > PARE_SWEEP_RUNS_MAX)
		recipe_issue(c, "out_of_range", "at most %d runs; variants, seeds and folds multiply to %zu", PARE_SWEEP_RUNS_MAX, runs);
	if (strcmp(pare_args_str(sweep, "pick"), "smallest") == 0 && !pare_args_has(job->args, "require"))
		recipe_issue_at(c, "pick", "missing", "the smallest of those that hold a floor: set the job's field require");
	for (size_t i = 0; i < job->n_steps && pare_args_has(sweep, "folds"); i++)
		if (strcmp(job->steps[i]->method->name, "search") == 0)
			recipe_issue_at(c, "folds", "unsupported", "a search chooses by validation rows, which judge the folds");
	for (size_t k = n_axes(sweep); k-- > 0 && c->issues->n == 0;) {
		const struct pare_args *axis = pare_args_get(sweep, "grid")->list[k];
		size_t at = recipe_push(c, "grid");

		(void)recipe_push_index(c, k);
		try_axis(c, job, pare_args_has(axis, "names") ? "names" : "values", axis_len(axis), stride);
		stride *= axis_len(axis);
		recipe_pop(c, at);
	}
	if (c->issues->n == 0 && pare_args_has(sweep, "recipes"))
		try_axis(c, job, "recipes", n_recipes(sweep), stride);
	recipe_pop(c, mark);
}
