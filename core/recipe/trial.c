/* The text of a run is the text of its whole job with one field more, "trial", and not that of the variant: folds, shares of epochs, and the largest batch of
 * all variants (which memory is planned for) are then the same for a run made by itself and one of many in a row, by construction. */
#include "core/recipe/trial.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/recipe/json_text.h"
#include "core/recipe/recipe_priv.h"

/* --- one run as JSON */

int pare_trial_compare(const struct pare_trial *a, const struct pare_trial *b)
{
	const int d[] = {a->variant - b->variant, a->rung - b->rung, a->repeat - b->repeat, a->fold - b->fold};
	size_t i = 0;

	while (i < 3 && d[i] == 0)
		i++;
	return d[i];
}

void pare_trial_write(struct pare_buf *b, const struct pare_trial *t, bool outcome)
{
	pare_buf_str(b, "{");
	pare_json_key_int(b, "variant", t->variant);
	pare_json_key_int(b, "rung", t->rung);
	pare_json_key_int(b, "repeat", t->repeat);
	pare_json_key_int(b, "fold", t->fold);
	if (outcome && t->failed) {
		pare_json_key_str(b, "error", t->error);
	} else if (outcome) {
		pare_json_key_num(b, "loss", t->loss);
		pare_json_key_num(b, "value", t->value);
		pare_json_key_num(b, "sparsity", t->sparsity);
		pare_json_key_num(b, "n_weights", t->weights);
	}
	pare_buf_str(b, "}");
}

static bool read_place(const json_t *o, struct pare_trial *t)
{
	const struct {
		const char *key;
		int *to, max;
	} places[] = {{"variant", &t->variant, PARE_SWEEP_MAX - 1}, {"rung", &t->rung, PARE_SWEEP_RUNGS_MAX - 1}, {"repeat", &t->repeat, 63}, {"fold", &t->fold, 64}};

	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		const json_t *v = json_object_get(o, places[i].key);

		if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > places[i].max)
			return false;
		*places[i].to = (int)json_integer_value(v);
	}
	return true;
}

static bool read_figures(const json_t *o, struct pare_trial *t)
{
	const struct {
		const char *key;
		double *to;
	} figures[] = {{"loss", &t->loss}, {"value", &t->value}, {"sparsity", &t->sparsity}, {"n_weights", &t->weights}};

	for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
		const json_t *v = json_object_get(o, figures[i].key);

		if (!json_is_number(v) && !json_is_null(v))
			return false;
		*figures[i].to = json_is_null(v) ? NAN : json_number_value(v);
	}
	return true;
}

bool recipe_trial_read(const json_t *o, bool outcome, struct pare_trial *out)
{
	const json_t *error = json_object_get(o, "error");
	struct pare_trial t = {.failed = outcome && error != NULL};
	size_t n = 4;

	if (!json_is_object(o) || !read_place(o, &t))
		return false;
	if (t.failed) {
		if (!json_is_string(error) || json_string_length(error) >= sizeof t.error)
			return false;
		memcpy(t.error, json_string_value(error), json_string_length(error) + 1);
		n += 1;
	} else if (outcome) {
		if (!read_figures(o, &t))
			return false;
		n += 4;
	}
	if (json_object_size(o) != n)
		return false;
	*out = t;
	return true;
}

enum pare_code pare_trial_read(const char *text, size_t len, bool outcome, struct pare_trial *out, struct pare_err *err)
{
	json_t *o = NULL;
	enum pare_code code = pare_json_load(text, len, RECIPE_TEXT_MAX, &o, NULL, err);

	if (code == PARE_OK && !recipe_trial_read(o, outcome, out))
		code = pare_err_set(err, PARE_E_SYNTAX, NULL, "this is no run of a sweep: %.60s", text);
	json_decref(o);
	return code;
}

void pare_trial_result_write(struct pare_buf *b, const struct pare_trial *t)
{
	pare_buf_str(b, "{");
	pare_json_key(b, "trial");
	pare_trial_write(b, t, true);
	pare_buf_str(b, "}");
}

enum pare_code pare_trial_result_read(const char *text, size_t len, struct pare_trial *out, struct pare_err *err)
{
	json_t *o = NULL;
	enum pare_code code = pare_json_load(text, len, RECIPE_TEXT_MAX, &o, NULL, err);

	if (code == PARE_OK && (json_object_size(o) != 1 || !recipe_trial_read(json_object_get(o, "trial"), true, out)))
		code = pare_err_set(err, PARE_E_SYNTAX, NULL, "this is no result of a run of a sweep: %.60s", text);
	json_decref(o);
	return code;
}

/* --- the loops */

void pare_sweep_shape(const struct pare_job *job, struct pare_sweep_shape *out)
{
	const struct pare_args *sweep = pare_args_obj(job->args, "sweep");
	struct pare_sweep_shape s = {.n_variants = (int)pare_sweep_count(job), .n_seeds = (int)pare_args_int(sweep, "seeds"), .eta = 1, .n_rungs = 1};

	if (pare_args_has(sweep, "folds"))
		s.n_folds = (int)pare_args_int(sweep, "folds");
	if (pare_args_has(sweep, "halving"))
		s.eta = (int)pare_args_int(sweep, "halving");
	for (int left = s.n_variants; s.eta > 1 && left >= s.eta && s.n_rungs < PARE_SWEEP_RUNGS_MAX; left /= s.eta)
		s.n_rungs++;
	*out = s;
}

int pare_sweep_alive(const struct pare_sweep_shape *s, int rung)
{
	int n = s->n_variants;

	while (rung-- > 0)
		n = (n + s->eta - 1) / s->eta;
	return n;
}

double pare_sweep_share(const struct pare_sweep_shape *s, int rung)
{
	return pow(s->eta, rung + 1 - s->n_rungs);
}

int pare_sweep_runs(const struct pare_sweep_shape *s)
{
	int n = 0;

	for (int rung = 0; rung < s->n_rungs; rung++)
		n += pare_sweep_alive(s, rung);
	return n * s->n_seeds * (s->n_folds > 0 ? s->n_folds : 1);
}

bool pare_sweep_has(const struct pare_sweep_shape *s, const struct pare_trial *t)
{
	return t->variant >= 0 && t->variant < s->n_variants && t->rung >= 0 && t->rung < s->n_rungs && t->repeat >= 0 && t->repeat < s->n_seeds &&
	       t->fold >= (s->n_folds > 0) && t->fold <= s->n_folds;
}

/* --- a run as a job */

bool pare_job_trial(const struct pare_job *job, struct pare_trial *out)
{
	const struct pare_args *t = pare_args_obj(job->args, "trial");

	if (t == NULL)
		return false;
	*out = (struct pare_trial){.variant = (int)pare_args_int(t, "variant"), .rung = (int)pare_args_int(t, "rung"), .repeat = (int)pare_args_int(t, "repeat"),
	    .fold = (int)pare_args_int(t, "fold")};
	return true;
}

enum pare_code pare_job_trial_text(const struct pare_job *job, const struct pare_trial *t, char **out, struct pare_err *err)
{
	json_t *root = NULL, *trial = NULL;
	char *text = NULL;
	enum pare_code code = pare_job_canonical(job, 0, 1, &text, err);

	if (code == PARE_OK)
		code = pare_json_load(text, strlen(text), (size_t)8 << 20, &root, NULL, err);
	pare_free(text);
	if (code != PARE_OK)
		return code;
	trial = json_pack("{s:i,s:i,s:i,s:i}", "fold", t->fold, "repeat", t->repeat, "rung", t->rung, "variant", t->variant);
	if (trial != NULL && json_object_set_new(root, "trial", trial) == 0)
		*out = text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
	else
		text = NULL;
	json_decref(root);
	return text != NULL && !pare_json_nomem() ? PARE_OK : pare_err_nomem(err, 0);
}

void recipe_trial_check(struct recipe_check *c, const struct pare_job *job)
{
	struct pare_sweep_shape s;
	struct pare_trial t;
	size_t mark;

	if (!pare_job_trial(job, &t))
		return;
	if (pare_args_obj(job->args, "sweep") == NULL) {
		recipe_issue_at(c, "trial", "unsupported", "is one run of a sweep, and this job has none: set the field sweep, or leave trial out");
		return;
	}
	pare_sweep_shape(job, &s);
	mark = recipe_push(c, "trial");
	if (t.variant >= s.n_variants)
		recipe_issue_at(c, "variant", "out_of_range", "the sweep has %d variants, counted from 0; got %d", s.n_variants, t.variant);
	if (t.rung >= s.n_rungs)
		recipe_issue_at(c, "rung", "out_of_range", "the sweep has %d rungs of halving, counted from 0; got %d", s.n_rungs, t.rung);
	if (t.repeat >= s.n_seeds)
		recipe_issue_at(c, "repeat", "out_of_range", "the sweep has %d seeds, counted from 0; got %d", s.n_seeds, t.repeat);
	if (s.n_folds == 0 && t.fold != 0)
		recipe_issue_at(c, "fold", "out_of_range", "the sweep has no folds; got %d", t.fold);
	else if (s.n_folds > 0 && (t.fold < 1 || t.fold > s.n_folds))
		recipe_issue_at(c, "fold", "out_of_range", "the sweep has %d folds, counted from 1; got %d", s.n_folds, t.fold);
	recipe_pop(c, mark);
}
