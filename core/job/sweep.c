/* Grid search, cross-validation and comparison: every variant of the job's sweep is run from the uploaded weights with each seed, on each fold,
 * and judged on validation rows or on the fold that it did not see; the best is then run as the job itself. Test rows take no part: they are
 * read once, of the one that was chosen, after it was chosen.
 *
 * Folds are of the training and validation rows together, as in evaluate; keep_best and patience are off in them, because there those rows
 * are the judge. Without folds they choose by the same rows that rank the variants, which flatters all of them alike.
 *
 * Successive halving (halving: eta): in rung k of K every variant that is left runs with eta^(k + 1 - K) of its epochs, from the start, and the best of every
 * eta go on. Starting anew costs as much again as the last rung and buys that schedules over epochs stay whole, which continued runs
 * would tear.
 *
 * A run that diverges is a finding, not the end: its variant ranks last. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/search_priv.h"
#include "core/job/sweep_priv.h"

#define MAX_RUNGS 5

/* --- before the job runs */

int job_n_variants(const struct job_run *r)
{
	return r->sweep != NULL ? r->sweep->n_trials : 1;
}

void job_take_variant(struct job_run *r, int i)
{
	r->job = r->sweep != NULL ? r->sweep->trials[i].job : r->own_job;
}

static enum pare_code parse_variant(const struct job_run *r, int i, double epochs, struct pare_job **out, struct pare_err *err)
{
	char *text = NULL;
	enum pare_code code = pare_sweep_variant(r->own_job, (size_t)i, epochs, &text, err);

	if (code == PARE_OK)
		code = pare_job_parse(text, strlen(text), out, NULL, err);
	pare_free(text);
	return code == PARE_OK ? PARE_OK : pare_err_at(err, "variant %d of the sweep", i + 1);
}

enum pare_code job_sweep_open(struct job_run *r, struct pare_err *err)
{
	const struct pare_args *args = pare_args_obj(pare_job_args(r->own_job), "sweep");
	struct job_sweep *s;
	enum pare_code code = PARE_OK;
	int n = (int)pare_sweep_count(r->own_job);

	if (args == NULL)
		return PARE_OK;
	s = pare_calloc(1, sizeof *s);
	if (s == NULL)
		return pare_err_nomem(err, sizeof *s);
	r->sweep = s;
	s->args = args;
	s->n_folds = pare_args_has(args, "folds") ? (int)pare_args_int(args, "folds") : 0;
	s->n_seeds = (int)pare_args_int(args, "seeds");
	s->eta = pare_args_has(args, "halving") ? (int)pare_args_int(args, "halving") : 0;
	s->trials = pare_calloc((size_t)n, sizeof *s->trials);
	s->alive = pare_calloc((size_t)n, sizeof *s->alive);
	if (s->trials == NULL || s->alive == NULL)
		return pare_err_nomem(err, (size_t)n * sizeof *s->trials);
	for (; s->n_trials < n && code == PARE_OK; s->n_trials++) {
		s->alive[s->n_alive++] = s->n_trials;
		code = parse_variant(r, s->n_trials, 1, &s->trials[s->n_trials].job, err);
	}
	job_take_variant(r, 0);
	return code;
}

void job_sweep_free(struct job_sweep *s)
{
	if (s == NULL)
		return;
	for (int i = 0; i < s->n_trials; i++)
		pare_job_free(s->trials[i].job);
	pare_free(s->trials);
	pare_free(s->alive);
	pare_free(s);
}

static int n_rungs(const struct job_sweep *s)
{
	int n = 1;

	for (int left = s->n_trials; s->eta > 1 && left >= s->eta && n < MAX_RUNGS; left /= s->eta)
		n++;
	return n;
}

static double steps_units(const struct job_run *r)
{
	double sum = JOB_ROUND_UNITS;

	for (size_t i = 0; i < pare_job_n_steps(r->job); i++)
		if (strcmp(pare_job_step(r->job, i)->method->name, "evaluate") != 0)
			sum += job_step_find(pare_job_step(r->job, i)->method->name)->units(r, i);
	return sum;
}

double job_sweep_units(struct job_run *r)
{
	const struct job_sweep *s = r->sweep;
	double all = 0;

	if (s == NULL)
		return 0;
	for (int i = 0; i < s->n_trials; i++) {
		job_take_variant(r, i);
		all += steps_units(r);
	}
	job_take_variant(r, 0);
	all *= s->n_seeds * (s->n_folds > 0 ? s->n_folds : 1);
	/* each rung has an eta-th of the variants and eta times the epochs of the one before */
	return s->eta > 1 ? all * n_rungs(s) * pow(s->eta, 1 - n_rungs(s)) : all;
}

/* --- one run */

/* As the job began. */
static enum pare_code start_anew(struct job_run *r, struct pare_err *err)
{
	memcpy(pare_net_slab(r->net), r->input, pare_net_slab_len(r->net) * sizeof *r->input);
	memset(r->mask.keep, 1, r->mask.len);
	r->mask.any = false;
	if (r->cut.gone != NULL)
		pare_cut_clear(&r->cut);
	r->stage = 0;
	job_past_forget(r);
	r->has_dense = r->has_fold_dense = false;
	job_search_free(r->search);
	r->search = NULL;
	return job_split(r, err);
}

static enum pare_code run_steps(struct job_run *r, struct pare_err *err)
{
	enum pare_code code = start_anew(r, err);

	for (size_t i = 0; i < pare_job_n_steps(r->job) && code == PARE_OK; i++) {
		const struct pare_args *args = pare_job_step(r->job, i);
		const struct job_step *step = job_step_find(args->method->name);

		if (strcmp(step->name, "evaluate") == 0)
			continue;
		r->step = i;
		r->units_step = 0;
		code = job_check_canceled(r->w, err);
		if (code == PARE_OK)
			code = step->run(r, args, err);
		if (code != PARE_OK && code != PARE_E_CANCELED)
			return pare_err_at(err, "/recipe/steps/%zu/%s", i, step->name);
		r->units_before += step->units(r, i);
		r->units_step = 0;
	}
	return code;
}

static void add_run(struct job_run *r, struct job_trial *t, double loss, double value)
{
	struct job_verdict v;
	double n = ++t->runs - t->failed;

	memset(&v, 0, sizeof v);
	job_count(r->net, &v);
	t->mean += (value - t->mean) / n;
	t->loss += (loss - t->loss) / n;
	t->sparsity += (job_sparsity(r) - t->sparsity) / n;
	t->weights += ((double)v.n_nonzero_weights - t->weights) / n;
	t->low = n > 1 ? fmin(t->low, value) : value;
	t->high = n > 1 ? fmax(t->high, value) : value;
}

static enum pare_code run_once(struct job_run *r, struct job_trial *t, struct pare_err *err)
{
	double loss = NAN, value = NAN;
	enum pare_code code = run_steps(r, err);

	if (code == PARE_OK)
		code = job_validate(r, &loss, &value, err);
	r->units_before += JOB_ROUND_UNITS;
	if (code == PARE_E_DIVERGED || code == PARE_E_NONFINITE) {
		t->runs++;
		t->failed++;
		(void)snprintf(t->error, sizeof t->error, "%.150s", err->message);
		return PARE_OK;
	}
	if (code != PARE_OK)
		return code;
	add_run(r, t, loss, value);
	return job_metrics(r, &(struct job_epoch){"evaluation", NULL, loss, value, job_sparsity(r)}, err);
}

/* All seeds and folds of one variant. */
static enum pare_code run_trial(struct job_run *r, int i, double epochs, struct pare_err *err)
{
	struct job_sweep *s = r->sweep;
	struct job_trial *t = &s->trials[i];
	uint64_t seed = r->seed;
	struct pare_job *job = NULL;
	enum pare_code code = parse_variant(r, i, epochs, &job, err);

	*t = (struct job_trial){.job = t->job, .epochs = epochs};
	r->trial = i + 1;
	r->folds = s->n_folds;
	if (code == PARE_OK)
		r->job = job;
	for (int k = 0; k < s->n_seeds && code == PARE_OK; k++) {
		r->seed = seed + (uint64_t)k;
		for (r->fold = s->n_folds > 0 ? 1 : 0; r->fold <= s->n_folds && code == PARE_OK; r->fold++)
			code = run_once(r, t, err);
	}
	r->fold = r->folds = r->trial = 0;
	r->seed = seed;
	r->step = 0;
	job_search_free(r->search); /* it points into the variant */
	r->search = NULL;
	job_take_variant(r, i);
	pare_job_free(job);
	return code == PARE_OK ? PARE_OK : pare_err_at(err, "variant %d of the sweep", i + 1);
}

/* --- all of them */

static bool is_better(const struct job_trial *a, const struct job_trial *b)
{
	bool a_ran = a->runs > a->failed, b_ran = b->runs > b->failed;

	if (a_ran != b_ran || a->failed != b->failed)
		return a_ran != b_ran ? a_ran : a->failed < b->failed;
	if (a->mean > b->mean || a->mean < b->mean)
		return a->mean > b->mean;
	return a->loss < b->loss;
}

/* Best first; of equals the one that comes first. */
static void rank(struct job_sweep *s)
{
	for (int i = 1; i < s->n_alive; i++)
		for (int k = i; k > 0 && is_better(&s->trials[s->alive[k]], &s->trials[s->alive[k - 1]]); k--) {
			int t = s->alive[k];

			s->alive[k] = s->alive[k - 1];
			s->alive[k - 1] = t;
		}
}

static int choose(const struct job_run *r)
{
	const struct job_sweep *s = r->sweep;
	const struct pare_args *q = pare_args_obj(pare_job_args(r->own_job), "require");
	int best = s->alive[0];
	double floor;

	if (strcmp(pare_args_str(s->args, "pick"), "smallest") != 0)
		return best;
	floor = s->trials[best].mean - pare_args_num(q, "max_drop");
	for (int k = 1; k < s->n_alive; k++) {
		const struct job_trial *t = &s->trials[s->alive[k]];

		if (t->failed == 0 && t->mean >= floor && t->weights < s->trials[best].weights)
			best = s->alive[k];
	}
	return best;
}

static enum pare_code run_rungs(struct job_run *r, struct pare_err *err)
{
	struct job_sweep *s = r->sweep;
	int n = n_rungs(s);
	enum pare_code code = PARE_OK;

	for (int rung = 0; rung < n && code == PARE_OK; rung++) {
		double epochs = pow(s->eta > 1 ? s->eta : 1, rung + 1 - n);

		for (int k = 0; k < s->n_alive && code == PARE_OK; k++)
			code = run_trial(r, s->alive[k], epochs, err);
		rank(s);
		if (rung + 1 < n)
			s->n_alive = (s->n_alive + s->eta - 1) / s->eta;
	}
	return code;
}

enum pare_code job_sweep(struct job_run *r, struct pare_err *err)
{
	struct job_sweep *s = r->sweep;
	enum pare_code code;

	if (s == NULL)
		return PARE_OK;
	if (job_n_rows(r, PARE_SPLIT_VALIDATION) == 0 && s->n_folds == 0)
		return pare_err_set(err, PARE_E_INVALID, "/sweep", "variants are ranked by validation rows and there are none; set data.validation above 0, or folds");
	code = job_phase(r, "sweep", err);
	if (code == PARE_OK)
		code = run_rungs(r, err);
	if (code != PARE_OK)
		return code;
	s->task = r->fit.n_outputs > 0 ? r->fit.outputs[0].task : PARE_TASK_REGRESS;
	s->chosen = choose(r);
	if (s->trials[s->chosen].runs == s->trials[s->chosen].failed)
		return pare_err_set(err, PARE_E_DIVERGED, "/sweep", "no variant came to an end; the first: %.120s", s->trials[0].error);
	job_take_variant(r, s->chosen);
	return start_anew(r, err);
}
