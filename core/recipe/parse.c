/* From text to a job: load (scan.c), resolve a recipe's name (resolve.c), check every field (check.c), check between fields
 * (rules.c). All of a job lives in one arena. The daemon and the engine run exactly this code, the engine on the canonical
 * text that the daemon stored, and neither trusts the other's word that a text was checked. */
#include <assert.h>
#include <string.h>

#include "core/recipe/json_text.h"
#include "core/recipe/recipe_priv.h"

#define JOB_ARENA_MAX ((size_t)32 << 20)

static void report(const struct pare_issues *issues, struct pare_err *err)
{
	const struct pare_issue *first = &issues->list[0];

	if (issues->n == 1)
		(void)pare_err_set(err, PARE_E_INVALID, first->pointer, "%s", first->detail);
	else
		(void)pare_err_set(err, PARE_E_INVALID, first->pointer, "%d fields are invalid; the first: %s", issues->n, first->detail);
}

static void fill(struct pare_job *job, const struct pare_args *args)
{
	const struct pare_args *recipe = pare_args_obj(args, "recipe");
	const struct pare_arg *steps = pare_args_get(recipe, "steps");

	job->args = args;
	job->steps = steps->list;
	job->n_steps = steps->n;
	job->recipe_name = pare_args_str(recipe, "name");
}

static void check_job(struct recipe_check *c, const json_t *root, struct pare_job *job)
{
	json_t *resolved = recipe_resolve(c, root);
	const struct pare_args *args = NULL;
	int named = c->issues->n; /* a recipe that could not be resolved is not also missing */

	if (resolved != NULL)
		args = recipe_check_object(c, pare_catalog_find(PARE_KIND_JOB, "job"), resolved, false);
	json_decref(resolved);
	if (args == NULL || c->nomem)
		return;
	if (c->issues->n == 0 || (named == 0 && json_object_get(root, "recipe") == NULL))
		recipe_check_rules(c, args);
	if (c->issues->n > 0)
		return;
	fill(job, args);
	recipe_trial_check(c, job);
	recipe_sweep_check(c, job);
}

static void check_other(struct recipe_check *c, const char *object, const json_t *root, struct pare_job *job)
{
	job->args = recipe_check_object(c, pare_catalog_find(PARE_KIND_OBJECT, object), root, false);
}

static enum pare_code parse(const char *object, const char *text, size_t len, const struct pare_recipe_source *source, struct pare_job **out, struct pare_issues *issues, struct pare_err *err)
{
	struct recipe_check c = {.issues = issues, .source = source, .err = err};
	struct pare_job *job = NULL;
	json_t *root = NULL;
	enum pare_code code;

	memset(issues, 0, sizeof *issues);
	code = recipe_load(text, len, issues, &root, err);
	if (code != PARE_OK)
		return code;
	job = pare_calloc(1, sizeof *job);
	if (job == NULL) {
		code = pare_err_nomem(err, sizeof *job);
		goto out;
	}
	pare_arena_init(&job->arena, JOB_ARENA_MAX);
	c.arena = &job->arena;
	if (!json_is_object(root))
		recipe_issue(&c, "wrong_type", "%s must be an object; got %s", object != NULL ? object : "a job", recipe_json_type(root));
	else if (object != NULL)
		check_other(&c, object, root, job);
	else
		check_job(&c, root, job);
	if (c.failed != PARE_OK) {
		code = c.failed;
	} else if (c.nomem) {
		code = pare_err_nomem(err, 0);
	} else if (issues->n != 0) {
		report(issues, err);
		code = PARE_E_INVALID;
	} else {
		*out = job;
		job = NULL;
	}
out:
	pare_job_free(job);
	json_decref(root);
	return code;
}

enum pare_code pare_job_parse(const char *text, size_t len, struct pare_job **out, struct pare_issues *issues, struct pare_err *err)
{
	struct pare_issues own;

	return parse(NULL, text, len, NULL, out, issues != NULL ? issues : &own, err);
}

enum pare_code pare_job_parse_with(const char *text, size_t len, const struct pare_recipe_source *source, struct pare_job **out, struct pare_issues *issues, struct pare_err *err)
{
	struct pare_issues own;

	return parse(NULL, text, len, source, out, issues != NULL ? issues : &own, err);
}

enum pare_code pare_object_parse(const char *object, const char *text, size_t len, struct pare_job **out, struct pare_issues *issues, struct pare_err *err)
{
	struct pare_issues own;

	return parse(object, text, len, NULL, out, issues != NULL ? issues : &own, err);
}

void pare_job_free(struct pare_job *job)
{
	if (job == NULL)
		return;
	pare_arena_done(&job->arena);
	pare_free(job);
}

const struct pare_args *pare_job_args(const struct pare_job *job)
{
	return job->args;
}

size_t pare_job_n_steps(const struct pare_job *job)
{
	return job->n_steps;
}

const struct pare_args *pare_job_step(const struct pare_job *job, size_t i)
{
	assert(i < job->n_steps);
	return job->steps[i];
}

static enum pare_code set_str(struct pare_job *job, const struct pare_args *args, const char *name, const char *value, struct pare_err *err)
{
	struct pare_arg *arg = (struct pare_arg *)(uintptr_t)pare_args_get(args, name); /* in the job's arena */
	const char *copy = pare_arena_strndup(&job->arena, value, strlen(value));

	assert(arg->param->type == PARE_PARAM_STRING || arg->param->type == PARE_PARAM_ENUM);
	if (copy == NULL)
		return pare_err_nomem(err, strlen(value));
	arg->str = copy;
	arg->set = true;
	return PARE_OK;
}

enum pare_code pare_job_set_str(struct pare_job *job, const char *name, const char *value, struct pare_err *err)
{
	return set_str(job, job->args, name, value, err);
}

enum pare_code pare_job_read_data_as(struct pare_job *job, const char *label, const char *task, struct pare_err *err)
{
	const struct pare_args *data = pare_args_obj(job->args, "data");
	enum pare_code code = PARE_OK;

	if (data == NULL || pare_args_has(data, "label") || pare_args_has(data, "targets"))
		return PARE_OK;
	if (label != NULL)
		code = set_str(job, data, "label", label, err);
	if (code == PARE_OK && task != NULL && !pare_args_has(data, "task"))
		code = set_str(job, data, "task", task, err);
	return code;
}

const char *const pare_job_kinds[] = {"trial", "sweep", "search", "prune", "factorize", "quantize", "cluster", "train", "evaluate", NULL};

static bool has_step(const struct pare_job *job, const char *name)
{
	for (size_t i = 0; i < job->n_steps; i++)
		if (strcmp(job->steps[i]->method->name, name) == 0)
			return true;
	return false;
}

const char *pare_job_kind(const struct pare_job *job)
{
	const char *const *kind = pare_job_kinds;

	if (pare_args_has(job->args, "trial"))
		return *kind;
	kind++;
	if (pare_args_has(job->args, "sweep"))
		return *kind;
	do
		kind++;
	while (kind[1] != NULL && !has_step(job, *kind)); /* the last is what is left: a job that only measures */
	return *kind;
}

const char *pare_job_recipe_name(const struct pare_job *job)
{
	return job->recipe_name;
}

const struct pare_arg *pare_args_get(const struct pare_args *a, const char *name)
{
	const struct pare_arg *arg = a->args;

	for (const struct pare_param *p = a->method->params; p != NULL && p->name != NULL; p++, arg++)
		if (strcmp(p->name, name) == 0)
			return arg;
	assert(false && "a parameter that the catalog does not have");
	return NULL;
}

bool pare_args_has(const struct pare_args *a, const char *name)
{
	return pare_args_get(a, name)->set;
}

double pare_args_num(const struct pare_args *a, const char *name)
{
	return pare_args_get(a, name)->num;
}

int64_t pare_args_int(const struct pare_args *a, const char *name)
{
	return (int64_t)pare_args_get(a, name)->num;
}

bool pare_args_bool(const struct pare_args *a, const char *name)
{
	return pare_args_get(a, name)->num > 0;
}

const char *pare_args_str(const struct pare_args *a, const char *name)
{
	return pare_args_get(a, name)->str;
}

const struct pare_args *pare_args_obj(const struct pare_args *a, const char *name)
{
	return pare_args_get(a, name)->args;
}
