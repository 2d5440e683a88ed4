/* Shared within core/recipe: the state of one check, and what its parts offer each other. */
#ifndef PARE_RECIPE_RECIPE_PRIV_H
#define PARE_RECIPE_RECIPE_PRIV_H

#include <jansson.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/recipe/recipe.h"
#include "core/recipe/trial.h"

#define RECIPE_TEXT_MAX ((size_t)1 << 20)
#define RECIPE_DEPTH_MAX 32
#define RECIPE_STRING_MAX ((size_t)256) /* bytes of any string in a job */
#define RECIPE_LABEL_MAX ((size_t)63)   /* bytes of a label's name */
#define RECIPE_LABEL_PATTERN "^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"
#define RECIPE_STEPS_MAX ((size_t)64)

struct pare_job {
	struct pare_arena arena;
	const struct pare_args *args;
	const struct pare_args *const *steps;
	size_t n_steps;
	const char *recipe_name;
};

/* The path to where the check stands, as an RFC 6901 pointer that is pushed to and cut back. */
struct recipe_check {
	struct pare_arena *arena;
	struct pare_issues *issues;
	bool nomem;
	const struct pare_recipe_source *source; /* of recipes that are not built in, or NULL */
	enum pare_code failed; /* of the source, in err */
	struct pare_err *err;
	size_t path_len;
	char path[160];
};
size_t recipe_push(struct recipe_check *c, const char *key);     /* returns what to give to recipe_pop */
size_t recipe_push_index(struct recipe_check *c, size_t i);
void recipe_pop(struct recipe_check *c, size_t mark);
void recipe_issue(struct recipe_check *c, const char *code, const char *fmt, ...) PARE_PRINTF(3, 4);
/* The same at a field of where the check stands. */
void recipe_issue_at(struct recipe_check *c, const char *key, const char *code, const char *fmt, ...) PARE_PRINTF(4, 5);
const char *recipe_json_type(const json_t *v); /* "a string" … */

/* An object against a method's row. skip_name: the object carries "name" beside the parameters. NULL after an issue or without memory. */
struct pare_args *recipe_check_object(struct recipe_check *c, const struct pare_method *m, const json_t *obj, bool skip_name);

/* A number against type and bounds of p. */
void recipe_check_number(struct recipe_check *c, const struct pare_param *p, const json_t *v, struct pare_arg *out);

/* Rules that span several fields, after the fields themselves are right (rules.c). */
void recipe_check_rules(struct recipe_check *c, const struct pare_args *job);

/* Replaces a recipe name by its steps and consumes "params"; new reference, or NULL after an issue or without memory. */
json_t *recipe_resolve(struct recipe_check *c, const json_t *job);

/* What the file of a recipe makes of a job that names it. */
void recipe_resolve_file(struct recipe_check *c, json_t *job, const json_t *file, const char *name);

/* The names that a sweep says, looked up: file_job is the job of the named recipe, or NULL. Then, of a job that is right by itself, what its variants would
 * be told (sweep.c). */
void recipe_sweep_resolve(struct recipe_check *c, json_t *job, const json_t *file_job);
void recipe_sweep_check(struct recipe_check *c, const struct pare_job *job);
/* Is the job's "trial", if it has one, a run of its sweep? */
void recipe_trial_check(struct recipe_check *c, const struct pare_job *job);
/* pare_trial_read of a tree. */
bool recipe_trial_read(const json_t *v, bool outcome, struct pare_trial *out);

/* pare_json_load of a job's text, where a key that comes twice is an issue (PARE_E_INVALID) with its pointer. */
PARE_MUST_USE enum pare_code recipe_load(const char *text, size_t len, struct pare_issues *issues, json_t **out, struct pare_err *err);

size_t recipe_n_params(const struct pare_method *m);

#endif
