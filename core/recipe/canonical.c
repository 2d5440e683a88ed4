/* One text per meaning: keys sorted, defaults written out, the recipe's steps in place of its name, numbers in their
 * shortest form. Two requests that mean the same job have the same text, which is what a cache, a fingerprint and "run it
 * again" need. The text parses to itself: canonical(parse(canonical(job))) is the same bytes (tests/recipe). */
#include <string.h>

#include "core/recipe/json_text.h"
#include "core/recipe/recipe_priv.h"

#define CANONICAL_MAX ((size_t)8 << 20)

static void write_args(struct pare_buf *b, const struct pare_args *a, bool with_name);

static void write_item(struct pare_buf *b, const struct pare_arg *arg, size_t i)
{
	switch (arg->param->type) {
	case PARE_PARAM_STRINGS:
		pare_json_str(b, arg->strings[i]);
		return;
	case PARE_PARAM_INTEGERS:
		pare_json_int(b, (int64_t)arg->nums[i]);
		return;
	case PARE_PARAM_NUMBERS:
		pare_json_num(b, arg->nums[i]);
		return;
	case PARE_PARAM_STEPS:
		pare_buf_str(b, "{");
		pare_json_key(b, arg->list[i]->method->name);
		write_args(b, arg->list[i], false);
		pare_buf_str(b, "}");
		return;
	default:
		write_args(b, arg->list[i], arg->param->type == PARE_PARAM_METHODS);
	}
}

static void write_list(struct pare_buf *b, const struct pare_arg *arg)
{
	pare_buf_str(b, "[");
	for (size_t i = 0; i < arg->n; i++) {
		pare_json_sep(b);
		write_item(b, arg, i);
	}
	pare_buf_str(b, "]");
}

static void write_value(struct pare_buf *b, const struct pare_arg *arg)
{
	switch (arg->param->type) {
	case PARE_PARAM_NUMBER:
		pare_json_num(b, arg->num);
		return;
	case PARE_PARAM_INTEGER:
		pare_json_int(b, (int64_t)arg->num);
		return;
	case PARE_PARAM_BOOL:
		pare_buf_str(b, arg->num > 0 ? "true" : "false");
		return;
	case PARE_PARAM_STRING:
	case PARE_PARAM_ENUM:
		pare_json_str(b, arg->str);
		return;
	case PARE_PARAM_STRINGS:
	case PARE_PARAM_STEPS:
	case PARE_PARAM_METHODS:
	case PARE_PARAM_INTEGERS:
	case PARE_PARAM_NUMBERS:
	case PARE_PARAM_OBJECTS:
		write_list(b, arg);
		return;
	case PARE_PARAM_METHOD:
	case PARE_PARAM_OBJECT:
		write_args(b, arg->args, arg->param->type == PARE_PARAM_METHOD);
		return;
	case PARE_PARAM_LABELS:
	case PARE_PARAM_PARAMS:
		return; /* no part of the work */
	}
}

/* The set parameter with the smallest name after `last`, or NULL. Rows are few: no sorting needed. */
static const struct pare_arg *next_arg(const struct pare_args *a, size_t n, const char *last)
{
	const struct pare_arg *best = NULL;

	for (size_t i = 0; i < n; i++) {
		const char *name = a->args[i].param->name;

		if (a->args[i].set && !a->args[i].param->beside && strcmp(name, last) > 0 && (best == NULL || strcmp(name, best->param->name) < 0))
			best = &a->args[i];
	}
	return best;
}

static void write_args(struct pare_buf *b, const struct pare_args *a, bool with_name)
{
	size_t n = recipe_n_params(a->method);
	const char *last = "";

	pare_buf_str(b, "{");
	for (const struct pare_arg *arg; (arg = next_arg(a, n, last)) != NULL; last = arg->param->name) {
		if (with_name && strcmp(last, "name") < 0 && strcmp(arg->param->name, "name") > 0)
			pare_json_key_str(b, "name", a->method->name);
		pare_json_key(b, arg->param->name);
		write_value(b, arg);
	}
	if (with_name && strcmp(last, "name") < 0)
		pare_json_key_str(b, "name", a->method->name);
	pare_buf_str(b, "}");
}

enum pare_code pare_job_canonical(const struct pare_job *job, int64_t default_seed, int default_threads, char **out, struct pare_err *err)
{
	size_t n = recipe_n_params(job->args->method);
	struct pare_arg *args = pare_calloc(n, sizeof *args);
	struct pare_args filled = {job->args->method, args};
	enum pare_code code;
	struct pare_buf b;
	char *text = NULL;

	if (args == NULL)
		return pare_err_nomem(err, n * sizeof *args);
	memcpy(args, job->args->args, n * sizeof *args);
	for (size_t i = 0; i < n; i++) {
		bool seed = strcmp(args[i].param->name, "seed") == 0;

		if (args[i].set || (!seed && strcmp(args[i].param->name, "threads") != 0))
			continue;
		args[i].num = seed ? (double)default_seed : default_threads;
		args[i].set = true;
	}
	pare_buf_init(&b, CANONICAL_MAX);
	write_args(&b, &filled, false);
	code = pare_buf_status(&b, err);
	if (code == PARE_OK && (text = pare_buf_take(&b, NULL)) == NULL)
		code = pare_err_nomem(err, 0);
	if (code == PARE_OK)
		*out = text;
	pare_buf_done(&b);
	pare_free(args);
	return code;
}
