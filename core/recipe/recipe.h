/* Job text to checked arguments. Shared by the daemon (which checks and stores) and the engine (which obeys), so that
 * both mean the same thing. The only JSON in the core besides core/job. */
#ifndef PARE_RECIPE_RECIPE_H
#define PARE_RECIPE_RECIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/recipe/catalog.h"

/* Checked arguments of one method: every parameter of the catalog row has one entry, in row order, defaults filled in. */
struct pare_args;
struct pare_arg {
	const struct pare_param *param;
	bool given;   /* by the user; a default has given = false but set = true */
	bool set;     /* has a value */
	double num;   /* NUMBER, INTEGER, BOOL */
	const char *str;                     /* STRING, ENUM */
	const struct pare_args *args;        /* METHOD, OBJECT */
	const struct pare_args *const *list; /* STEPS, OBJECTS, METHODS: n of them */
	const char *const *strings;          /* STRINGS, LABELS */
	const double *nums;                  /* INTEGERS, NUMBERS */
	size_t n;
};
struct pare_args {
	const struct pare_method *method;
	const struct pare_arg *args; /* as many as the method has parameters */
};

/* Accessors for what the catalog guarantees: the name must be a parameter of args->method of that type (asserted). */
bool pare_args_has(const struct pare_args *a, const char *name);
double pare_args_num(const struct pare_args *a, const char *name);
int64_t pare_args_int(const struct pare_args *a, const char *name);
bool pare_args_bool(const struct pare_args *a, const char *name);
const char *pare_args_str(const struct pare_args *a, const char *name);            /* NULL if not set */
const struct pare_args *pare_args_obj(const struct pare_args *a, const char *name); /* NULL if not set */
const struct pare_arg *pare_args_get(const struct pare_args *a, const char *name);  /* lists */

/* What is wrong with a text: all findings at once, up to PARE_MAX_ISSUES. */
#define PARE_MAX_ISSUES 16
struct pare_issue {
	char pointer[160]; /* RFC 6901, "" is the whole document */
	const char *code;  /* unknown_field, unknown_value, missing, wrong_type, out_of_range, exactly_one, duplicate, unsupported */
	char detail[240];  /* with a hint: did you mean "sparsity"? */
};
struct pare_issues {
	int n;
	struct pare_issue list[PARE_MAX_ISSUES];
};

/* A job, checked. Named recipes are resolved (with "params"), defaults filled in. */
struct pare_job;
/* Parses the text of a job request (at most 1 MiB, nesting at most 32, no duplicate keys). PARE_E_SYNTAX for broken JSON (where: "line L column C"), PARE_E_INVALID with
 * issues filled for a job that is wrong. The engine calls it on the canonical text, the daemon on the user's. */
PARE_MUST_USE enum pare_code pare_job_parse(const char *text, size_t len, struct pare_job **out, struct pare_issues *issues, struct pare_err *err);
/* The same for another object of the catalog ("architecture", "data"): the result has arguments and no steps. */
PARE_MUST_USE enum pare_code pare_object_parse(const char *object, const char *text, size_t len, struct pare_job **out, struct pare_issues *issues, struct pare_err *err);
/* Recipes beside the built-in ones, which come first: the file of a name (pare_free) and what the job shall call it. PARE_E_NOT_FOUND; other errors end the parse. */
#define PARE_RECIPE_NAME_MAX 160
struct pare_recipe_source {
	enum pare_code (*find)(void *ctx, const char *name, char **out_text, char out_name[PARE_RECIPE_NAME_MAX], struct pare_err *err);
	void *ctx;
};
PARE_MUST_USE enum pare_code pare_job_parse_with(const char *text, size_t len, const struct pare_recipe_source *source, struct pare_job **out, struct pare_issues *issues, struct pare_err *err);
/* Is the text a recipe that a job can name, as recipes/NAME.json are? With all its parameters at their defaults it must be right. Issues have pointers within it. */
PARE_MUST_USE enum pare_code pare_recipe_check(const char *text, size_t len, struct pare_issues *issues, struct pare_err *err);
void pare_job_free(struct pare_job *job);
const struct pare_args *pare_job_args(const struct pare_job *job); /* method: the PARE_KIND_JOB row: model, dataset, seed, threads, … */
/* The steps in order; each args->method is a PARE_KIND_STEP row. */
size_t pare_job_n_steps(const struct pare_job *job);
const struct pare_args *pare_job_step(const struct pare_job *job, size_t i);
/* Replaces the value of a string parameter of the job ("model": the id that a name stands for). */
PARE_MUST_USE enum pare_code pare_job_set_str(struct pare_job *job, const char *name, const char *value, struct pare_err *err);
/* How the data set was said to be read when it came: data.label and data.task (one of pare_data_tasks; each may be NULL) of a job that does not say itself what its labels are. */
PARE_MUST_USE enum pare_code pare_job_read_data_as(struct pare_job *job, const char *label, const char *task, struct pare_err *err);
const char *pare_job_recipe_name(const struct pare_job *job); /* NULL for a recipe written out */
/* What a job is for, in one word: "sweep", or the weightiest of its steps, of which search is before prune, then factorize, quantize, cluster, train and evaluate. Static text. */
const char *pare_job_kind(const struct pare_job *job);
extern const char *const pare_job_kinds[]; /* all of them; ends with NULL */
extern const char *const pare_data_tasks[]; /* what labels may be for (data.task); ends with NULL */
/* The same job as one line of JSON, sorted keys, recipe resolved and defaults written out, without what only the service's record of it holds (name, labels, priority): equal jobs have equal texts. seed and
 * threads are filled from the arguments when the user gave none. pare_free. */
PARE_MUST_USE enum pare_code pare_job_canonical(const struct pare_job *job, int64_t default_seed, int default_threads, char **out, struct pare_err *err);

/* A job with a sweep stands for so many variants, jobs without one; 0 for a job that has none. */
#define PARE_SWEEP_MAX 256
size_t pare_sweep_count(const struct pare_job *job);
/* The text of one of them, all of whose epochs are multiplied by a factor of at most 1 (rounded up). pare_free. It still has to be parsed; PARE_E_INVALID for a
 * pointer to nothing. */
PARE_MUST_USE enum pare_code pare_sweep_variant(const struct pare_job *job, size_t variant, double epochs, char **out, struct pare_err *err);
/* What makes it: the recipe's name (NULL: the job's own, or nameless), and a value for each axis. */
struct pare_sweep_value {
	const char *parameter, *name; /* name: NULL for a number */
	double number;
};
const char *pare_sweep_recipe(const struct pare_job *job, size_t variant);
size_t pare_sweep_axes(const struct pare_job *job);
void pare_sweep_value(const struct pare_job *job, size_t variant, size_t axis, struct pare_sweep_value *out);

/* The named recipes that are built in: JSON of {name, doc, params, data, job fields}. n of them; text is borrowed. */
size_t pare_recipes_count(void);
const char *pare_recipe_name_at(size_t i);
const char *pare_recipe_text_at(size_t i);
/* Keeps them parsed until pare_recipes_drop, which makes jobs that name one cheaper to parse: for a process that parses many. Both while no other
 * thread is in here. */
PARE_MUST_USE enum pare_code pare_recipes_keep(struct pare_err *err);
void pare_recipes_drop(void);

/* The catalog as JSON (what GET /v1/methods returns: {"object":"list","data":[…]}, each with a JSON Schema 2020-12 of its parameters), or one method's, and the
 * JSON Schema of a whole job. pare_free. */
PARE_MUST_USE enum pare_code pare_catalog_json(char **out, struct pare_err *err);
PARE_MUST_USE enum pare_code pare_catalog_method_json(const char *name, char **out, struct pare_err *err);

#endif
