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
 * A run that diverges is a finding, not the end: its variant ranks last.
 *
 * Since every run begins anew, a sweep is a function of the job's text and of what came of its runs, and the loops below ask a table first: of runs that a
 * checkpoint remembers, or that were jobs of their own. What is not in it is made here, or, when the daemon asked for that, collected: the engine then ends by
 * saying which runs it needs, as many of the present rung as may be asked for at once, and is started again when they have been made. A job that
 * is one of these runs goes through the same door and delivers nothing but its figures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/search_priv.h"
#include "core/job/sweep_priv.h"

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

static int by_place(const void *a, const void *b)
{
	return pare_trial_compare(a, b);
}

static enum pare_code recall(struct job_run *r, const struct pare_trial *t, int n, struct pare_err *err)
{
	struct job_sweep *s = r->sweep;
	int all = pare_sweep_runs(&s->shape);

	if (n > all)
		return pare_err_set(err, PARE_E_INVALID, "/sweep", "%d runs are said to have been made, the sweep has %d", n, all);
	for (int i = 0; i < n; i++)
		if (!pare_sweep_has(&s->shape, &t[i]))
			return pare_err_set(err, PARE_E_INVALID, "/sweep", "a run of variant %d in rung %d is said to have been made; the sweep has none such", t[i].variant, t[i].rung);
	memcpy(s->known, t, (size_t)n * sizeof *t);
	s->n_known = s->n_came = n;
	qsort(s->known, (size_t)n, sizeof *s->known, by_place);
	return PARE_OK;
}

/* The table of runs, with what was handed in. */
static enum pare_code open_known(struct job_run *r, struct pare_err *err)
{
	const struct pare_msg_start *start = &r->w->start;
	struct job_sweep *s = r->sweep;
	size_t n = (size_t)pare_sweep_runs(&s->shape);

	s->ask = start->trials != NULL;
	s->has_own = pare_job_trial(r->own_job, &s->own);
	s->known = pare_calloc(n, sizeof *s->known);
	s->wanted = pare_calloc(PARE_MAX_TRIALS, sizeof *s->wanted);
	if (s->known == NULL || s->wanted == NULL)
		return pare_err_nomem(err, n * sizeof *s->known);
	return s->ask ? recall(r, start->trials, start->n_trials, err) : PARE_OK;
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
	pare_sweep_shape(r->own_job, &s->shape);
	s->trials = pare_calloc((size_t)n, sizeof *s->trials);
	s->alive = pare_calloc((size_t)n, sizeof *s->alive);
	if (s->trials == NULL || s->alive == NULL)
		return pare_err_nomem(err, (size_t)n * sizeof *s->trials);
	for (; s->n_trials < n && code == PARE_OK; s->n_trials++) {
		s->alive[s->n_alive++] = s->n_trials;
		code = parse_variant(r, s->n_trials, 1, &s->trials[s->n_trials].job, err);
	}
	if (code == PARE_OK)
		code = open_known(r, err);
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
	pare_free(s->known);
	pare_free(s->wanted);
	pare_free(s);
}

static double steps_units(const struct job_run *r)
{
	double sum = JOB_ROUND_UNITS;

	for (size_t i = 0; i < pare_job_n_steps(r->job); i++)
		if (strcmp(pare_job_step(r->job, i)->method->name, "evaluate") != 0)
			sum += job_step_find(pare_job_step(r->job, i)->method->name)->units(r, i);
	return sum;
}

/* Of all epochs; a rung has its share of them. */
static double variant_units(struct job_run *r, int i)
{
	double units;

	job_take_variant(r, i);
	units = steps_units(r);
	job_take_variant(r, 0);
	return units;
}

double job_sweep_units(struct job_run *r)
{
	const struct job_sweep *s = r->sweep;
	double all = 0;

	if (s == NULL)
		return 0;
	if (s->has_own)
		return variant_units(r, s->own.variant) * pare_sweep_share(&s->shape, s->own.rung);
	for (int i = 0; i < s->n_trials; i++)
		all += variant_units(r, i);
	all *= s->shape.n_seeds * (s->shape.n_folds > 0 ? s->shape.n_folds : 1);
	/* each rung has an eta-th of the variants and eta times the epochs of the one before */
	return all * s->shape.n_rungs * pare_sweep_share(&s->shape, 0);
}

/* --- one run */

/* As the job began. */
static enum pare_code start_anew(struct job_run *r, struct pare_err *err)
{
	enum pare_code code = job_unfactorize(r, err);

	if (code != PARE_OK)
		return code;
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

/* From the place where a checkpoint of this run stands, if one came; else from the beginning. */
static enum pare_code start_run(struct job_run *r, struct pare_err *err)
{
	const struct pare_checkpoint *c = &r->came;
	const struct pare_trial *t = &r->sweep->present;
	bool resumed = false;
	enum pare_code code = start_anew(r, err);

	r->first_step = 0;
	if (code != PARE_OK || c->in_trial == 0 || c->variant != t->variant || c->rung != t->rung || c->repeat != t->repeat || c->trial_fold != t->fold)
		return code;
	code = job_resume(r, &resumed, err);
	return code == PARE_OK && !resumed ? start_anew(r, err) : code;
}

static enum pare_code run_steps(struct job_run *r, struct pare_err *err)
{
	enum pare_code code = start_run(r, err);

	for (size_t i = r->first_step; i < pare_job_n_steps(r->job) && code == PARE_OK; i++) {
		const struct pare_args *args = pare_job_step(r->job, i);
		const struct job_step *step = job_step_find(args->method->name);

		if (strcmp(step->name, "evaluate") == 0)
			continue;
		r->step = i;
		r->units_step = r->resume != NULL ? r->resume->units_step : 0;
		code = job_check_canceled(r->w, err);
		if (code == PARE_OK)
			code = step->run(r, args, err);
		if (code != PARE_OK && code != PARE_E_CANCELED)
			return pare_err_at(err, "/recipe/steps/%zu/%s", i, step->name);
		r->units_before += step->units(r, i);
		r->units_step = 0;
		code = job_keep(r, NULL, true, err);
	}
	return code;
}

static enum pare_code run_once(struct job_run *r, struct pare_trial *out, struct pare_err *err)
{
	double loss = NAN, value = NAN;
	struct job_verdict v;
	enum pare_code code = run_steps(r, err);

	if (code == PARE_OK)
		code = job_validate(r, &loss, &value, err);
	r->units_before += JOB_ROUND_UNITS;
	if (code != PARE_OK)
		return code;
	memset(&v, 0, sizeof v);
	job_count(r->net, &v);
	out->loss = loss;
	out->value = value;
	out->sparsity = job_sparsity(r);
	out->weights = (double)v.n_nonzero_weights;
	return job_metrics(r, &(struct job_epoch){"evaluation", NULL, loss, value, out->sparsity}, err);
}

/* One run of a variant that has its share of epochs; the job then stands as before it. */
static enum pare_code make_run(struct job_run *r, struct pare_job *variant, struct pare_trial *t, struct pare_err *err)
{
	uint64_t seed = r->seed;
	enum pare_code code;

	r->sweep->present = *t;
	r->trial = t->variant + 1;
	r->folds = r->sweep->shape.n_folds;
	r->fold = t->fold;
	r->seed = seed + (uint64_t)t->repeat;
	r->job = variant;
	code = run_once(r, t, err);
	r->fold = r->folds = r->trial = 0;
	r->seed = seed;
	r->step = r->first_step = 0;
	r->resume = NULL;
	job_search_free(r->search); /* it points into the variant */
	r->search = NULL;
	job_take_variant(r, t->variant);
	return code == PARE_OK ? PARE_OK : pare_err_at(err, "variant %d of the sweep", t->variant + 1);
}

static bool is_finding(enum pare_code code)
{
	return code == PARE_E_DIVERGED || code == PARE_E_NONFINITE;
}

/* Into the table, and into a checkpoint when it is time. */
static enum pare_code remember(struct job_run *r, const struct pare_trial *t, struct pare_err *err)
{
	struct job_sweep *s = r->sweep;

	s->known[s->n_known++] = *t;
	return job_keep(r, NULL, false, err);
}

/* What came of t, if that is known by now; it is asked for or made. *variant: NULL until something is made. */
static enum pare_code find_out(struct job_run *r, struct pare_trial *t, struct pare_job **variant, bool *out_known, struct pare_err *err)
{
	struct job_sweep *s = r->sweep;
	double share = pare_sweep_share(&s->shape, t->rung);
	const struct pare_trial *known = bsearch(t, s->known, (size_t)s->n_came, sizeof *t, by_place);
	enum pare_code code = PARE_OK;

	*out_known = known != NULL || !s->ask;
	if (known != NULL) {
		*t = *known;
		r->units_before += variant_units(r, t->variant) * share;
		return PARE_OK;
	}
	if (s->ask && s->n_wanted < PARE_MAX_TRIALS)
		s->wanted[s->n_wanted++] = *t;
	if (s->ask)
		return PARE_OK;
	if (*variant == NULL)
		code = parse_variant(r, t->variant, share, variant, err);
	if (code == PARE_OK)
		code = make_run(r, *variant, t, err);
	if (is_finding(code)) {
		t->failed = true;
		(void)snprintf(t->error, sizeof t->error, "%.*s", PARE_TRIAL_ERROR_MAX - 1, err->message);
		code = PARE_OK;
	}
	return code == PARE_OK ? remember(r, t, err) : code;
}

static void add_run(struct job_trial *t, const struct pare_trial *run)
{
	double n;

	t->runs++;
	if (run->failed) {
		t->failed++;
		memcpy(t->error, run->error, sizeof run->error);
		return;
	}
	n = t->runs - t->failed;
	t->mean += (run->value - t->mean) / n;
	t->loss += (run->loss - t->loss) / n;
	t->sparsity += (run->sparsity - t->sparsity) / n;
	t->weights += (run->weights - t->weights) / n;
	t->low = n > 1 ? fmin(t->low, run->value) : run->value;
	t->high = n > 1 ? fmax(t->high, run->value) : run->value;
}

/* All seeds and folds of one variant. */
static enum pare_code run_variant(struct job_run *r, int i, int rung, struct pare_err *err)
{
	struct job_sweep *s = r->sweep;
	struct job_trial *t = &s->trials[i];
	struct pare_job *variant = NULL;
	int first = s->shape.n_folds > 0 ? 1 : 0;
	enum pare_code code = PARE_OK;

	*t = (struct job_trial){.job = t->job, .epochs = pare_sweep_share(&s->shape, rung)};
	for (int k = 0; k < s->shape.n_seeds && code == PARE_OK; k++)
		for (int fold = first; fold <= s->shape.n_folds && code == PARE_OK; fold++) {
			struct pare_trial run = {.variant = i, .rung = rung, .repeat = k, .fold = fold};
			bool known = false;

			code = find_out(r, &run, &variant, &known, err);
			if (code == PARE_OK && known) {
				s->n_used++;
				add_run(t, &run);
			}
		}
	pare_job_free(variant);
	return code;
}

static enum pare_code run_own(struct job_run *r, struct job_answer *a, struct pare_err *err)
{
	struct job_sweep *s = r->sweep;
	struct pare_job *variant = NULL;
	enum pare_code code = job_phase(r, "trial", err);

	if (code == PARE_OK)
		code = parse_variant(r, s->own.variant, pare_sweep_share(&s->shape, s->own.rung), &variant, err);
	if (code == PARE_OK)
		code = make_run(r, variant, &s->own, err);
	pare_job_free(variant);
	if (code != PARE_OK)
		return code;
	r->units_before = r->units_total;
	code = job_progress(r, 0, 0, 0, true, err);
	pare_trial_result_write(&a->result, &s->own);
	return code;
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
	enum pare_code code = PARE_OK;

	for (int rung = 0; rung < s->shape.n_rungs && code == PARE_OK && s->n_wanted == 0; rung++) {
		s->n_alive = pare_sweep_alive(&s->shape, rung);
		for (int k = 0; k < s->n_alive && code == PARE_OK; k++)
			code = run_variant(r, s->alive[k], rung, err);
		rank(s);
	}
	return code;
}

static enum pare_code check_judges(const struct job_run *r, struct pare_err *err)
{
	if (job_n_rows(r, PARE_SPLIT_VALIDATION) > 0 || r->sweep->shape.n_folds > 0)
		return PARE_OK;
	return pare_err_set(err, PARE_E_INVALID, "/sweep", "variants are ranked by validation rows and there are none; set data.validation above 0, or folds");
}

enum pare_code job_sweep(struct job_run *r, struct job_answer *a, struct pare_err *err)
{
	struct job_sweep *s = r->sweep;
	enum pare_code code = check_judges(r, err);

	if (code == PARE_OK && s->has_own)
		return run_own(r, a, err);
	if (code == PARE_OK)
		code = job_phase(r, "sweep", err);
	r->in_sweep = true;
	if (code == PARE_OK)
		code = run_rungs(r, err);
	r->in_sweep = false;
	if (code != PARE_OK)
		return code;
	if (s->n_wanted > 0) {
		a->trials = s->wanted;
		s->wanted = NULL;
		a->n_trials = s->n_wanted;
		a->n_known = s->n_used;
		a->n_all = pare_sweep_runs(&s->shape);
		return PARE_OK;
	}
	s->task = r->fit.n_outputs > 0 ? r->fit.outputs[0].task : PARE_TASK_REGRESS;
	s->chosen = choose(r);
	if (s->trials[s->chosen].runs == s->trials[s->chosen].failed)
		return pare_err_set(err, PARE_E_DIVERGED, "/sweep", "no variant came to an end; the first: %.120s", s->trials[0].error);
	job_take_variant(r, s->chosen);
	return start_anew(r, err);
}

bool job_sweep_ends(const struct job_run *r)
{
	return r->sweep != NULL && (r->sweep->has_own || r->sweep->n_wanted > 0);
}

/* --- in checkpoints */

void job_trial_describe(const struct job_run *r, struct pare_checkpoint *c)
{
	const struct pare_trial *t = &r->sweep->present;

	c->in_trial = 1;
	c->variant = t->variant;
	c->rung = t->rung;
	c->repeat = t->repeat;
	c->trial_fold = t->fold;
}

enum pare_code job_sweep_describe(const struct job_run *r, struct pare_checkpoint *c, struct pare_err *err)
{
	const struct job_sweep *s = r->sweep;
	struct pare_checkpoint_trial *rows;

	if (s == NULL || s->n_known == 0)
		return PARE_OK;
	rows = pare_calloc((size_t)s->n_known, sizeof *rows);
	if (rows == NULL)
		return pare_err_nomem(err, (size_t)s->n_known * sizeof *rows);
	for (int i = 0; i < s->n_known; i++) {
		const struct pare_trial *t = &s->known[i];
		const double row[PARE_CHECKPOINT_TRIAL] = {t->variant, t->rung, t->repeat, t->fold, t->failed, t->loss, t->value, t->sparsity, t->weights};

		memcpy(rows[i].numbers, row, sizeof row);
		memcpy(rows[i].error, t->error, sizeof t->error);
	}
	c->n_trials = s->n_known;
	c->trials = rows;
	return PARE_OK;
}

static int count_of(double v)
{
	return v >= 0 && v < PARE_SWEEP_MAX ? (int)v : -1;
}

enum pare_code job_sweep_take(struct job_run *r, const struct pare_checkpoint *c, struct pare_err *err)
{
	struct pare_trial *t = pare_calloc((size_t)c->n_trials + 1, sizeof *t);
	enum pare_code code;

	if (t == NULL)
		return pare_err_nomem(err, (size_t)c->n_trials * sizeof *t);
	for (int64_t i = 0; i < c->n_trials; i++) {
		const struct pare_checkpoint_trial *row = &c->trials[i];
		const double *v = row->numbers;

		t[i] = (struct pare_trial){.variant = count_of(v[0]), .rung = count_of(v[1]), .repeat = count_of(v[2]), .fold = count_of(v[3]), .failed = v[4] > 0, .loss = v[5],
		    .value = v[6], .sparsity = v[7], .weights = v[8]};
		memcpy(t[i].error, row->error, sizeof t[i].error);
		t[i].error[sizeof t[i].error - 1] = '\0';
	}
	code = recall(r, t, (int)c->n_trials, err);
	pare_free(t);
	return code;
}
