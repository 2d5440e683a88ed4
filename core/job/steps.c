/* The steps of a recipe. A new step is a row of the table, its function and its row in the catalog.
 *
 * Cross-validation (evaluate with folds) is the honest form of "how good is this recipe": everything before the step is
 * run again from the uploaded weights, once per fold, and judged on rows that those runs never saw. keep_best and patience
 * choose by the validation rows and are therefore off in there: in a fold those rows are the judge. Test rows stay aside.
 * Afterwards weights, mask and splits are put back as they were. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/job_priv.h"

uint32_t job_n_rows(const struct job_run *r, enum pare_split split)
{
	uint32_t n;

	(void)pare_data_rows(r->data, split, &n);
	return n;
}

double job_sparsity(const struct job_run *r)
{
	struct pare_sparsity_count c;

	pare_prune_count(r->net, &c);
	return c.n_weights > 0 ? (double)c.n_zero / (double)c.n_weights : 0;
}

enum pare_code job_split(struct job_run *r, struct pare_err *err)
{
	const struct pare_args *d = pare_args_obj(pare_job_args(r->job), "data");
	uint64_t seed = pare_args_has(d, "split_seed") ? (uint64_t)pare_args_int(d, "split_seed") : r->seed;
	const char *how = pare_args_str(d, "normalize");
	static const char *const names[] = {[PARE_NORM_AUTO] = "auto", [PARE_NORM_NONE] = "none", [PARE_NORM_UNIT] = "unit", [PARE_NORM_STANDARD] = "standard"};
	enum pare_normalize normalize = PARE_NORM_AUTO;
	enum pare_code code;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(names[i], how) == 0)
			normalize = (enum pare_normalize)i;
	if (r->fold > 0)
		code = pare_data_fold(r->data, r->folds, r->fold - 1, seed, err);
	else if ((code = pare_data_split(r->data, pare_args_num(d, "validation"), pare_args_num(d, "test"), seed, err)) != PARE_OK)
		(void)pare_err_at(err, "/data");
	if (code != PARE_OK)
		return code;
	code = pare_fit_apply(&r->fit, r->data, normalize, err);
	return code == PARE_OK ? PARE_OK : pare_err_at(err, "/data/normalize");
}

enum pare_code job_validate(struct job_run *r, double *loss, double *accuracy, struct pare_err *err)
{
	struct pare_metrics m;
	enum pare_code code;

	*loss = *accuracy = NAN;
	if (job_n_rows(r, PARE_SPLIT_VALIDATION) == 0)
		return PARE_OK;
	memset(&m, 0, sizeof m);
	code = job_eval(r, PARE_SPLIT_VALIDATION, &m, err);
	if (code == PARE_OK) {
		*loss = m.loss;
		*accuracy = pare_metrics_headline(&m);
		pare_metrics_done(&m);
	}
	return code;
}

void job_record_add(struct job_run *r, const struct job_record *rec)
{
	if (r->folds > 0 || r->trial > 0)
		return;
	assert(r->n_records < r->max_records);
	r->records[r->n_records++] = *rec;
}

/* --- train */

const struct pare_args *job_training(const struct pare_args *step)
{
	static const char *const recovering[] = {"prune", "search"};

	for (size_t i = 0; i < sizeof recovering / sizeof recovering[0]; i++)
		if (strcmp(step->method->name, recovering[i]) == 0)
			return pare_args_obj(step, "recover");
	return strcmp(step->method->name, "train") == 0 ? step : NULL;
}

static double train_units(const struct job_run *r, size_t step)
{
	return (double)pare_args_int(pare_job_step(r->job, step), "epochs");
}

int job_n_records(const struct job_run *r)
{
	int n = 0;

	for (size_t i = 0; i < pare_job_n_steps(r->job); i++) {
		const struct pare_args *s = pare_job_step(r->job, i);

		n += strcmp(s->method->name, "prune") == 0 ? job_n_rounds(s) : strcmp(s->method->name, "search") == 0 ? job_n_tries(s) : 1;
	}
	return n;
}

/* --- evaluate */

static double evaluate_units(const struct job_run *r, size_t step)
{
	const struct pare_args *args = pare_job_step(r->job, step);
	double before = JOB_ROUND_UNITS;

	if (!pare_args_has(args, "folds"))
		return before;
	for (size_t i = 0; i < step; i++) {
		const char *name = pare_job_step(r->job, i)->method->name;

		if (strcmp(name, "evaluate") != 0)
			before += job_step_find(name)->units(r, i);
	}
	return before * pare_args_num(args, "folds");
}

static void begin_fold(struct job_run *r)
{
	memcpy(pare_net_slab(r->net), r->input, pare_net_slab_len(r->net) * sizeof *r->input);
	memset(r->mask.keep, 1, r->mask.len);
	r->mask.any = false;
	if (r->cut.gone != NULL)
		pare_cut_clear(&r->cut);
	r->has_fold_dense = false;
	r->stage = 0;
	job_past_forget(r);
}

static enum pare_code run_fold(struct job_run *r, size_t n_steps, struct job_record *rec, struct pare_err *err)
{
	double loss, accuracy;
	enum pare_code code;

	if (r->resume == NULL)
		begin_fold(r);
	r->inner = r->resume != NULL ? (size_t)r->resume->inner : 0;
	code = job_split(r, err);
	for (; r->inner < n_steps && code == PARE_OK; r->inner++) {
		const struct pare_args *args = pare_job_step(r->job, r->inner);

		if (strcmp(args->method->name, "evaluate") != 0)
			code = job_step_find(args->method->name)->run(r, args, err);
	}
	if (code == PARE_OK)
		code = job_validate(r, &loss, &accuracy, err);
	if (code != PARE_OK)
		return code;
	rec->loss += loss / r->folds;
	rec->accuracy += accuracy / r->folds;
	rec->sparsity += job_sparsity(r) / r->folds;
	rec->low = r->fold == 1 ? accuracy : fmin(rec->low, accuracy);
	rec->high = r->fold == 1 ? accuracy : fmax(rec->high, accuracy);
	return job_metrics(r, &(struct job_epoch){"evaluation", NULL, loss, accuracy, job_sparsity(r)}, err);
}

/* Puts aside what the folds may not change; in a fold that is resumed that is what its checkpoint says. */
static enum pare_code step_aside(struct job_run *r, int folds, struct pare_err *err)
{
	struct job_outer *o = &r->outer;
	enum pare_code code = PARE_OK;

	if (o->keep == NULL)
		o->keep = pare_alloc(r->mask.len);
	if (o->keep == NULL)
		return pare_err_nomem(err, r->mask.len);
	memcpy(r->kept, pare_net_slab(r->net), pare_net_slab_len(r->net) * sizeof *r->kept);
	memcpy(o->keep, r->mask.keep, r->mask.len);
	o->any = r->mask.any;
	o->stage = r->stage;
	o->cut = r->cut;
	o->rec = (struct job_record){.step = r->step, .folds = folds};
	if (o->cut.gone != NULL)
		code = pare_cut_init(&r->cut, r->net, err);
	r->folds = folds;
	r->fold = r->resume != NULL ? (int)r->resume->fold : 1;
	return code == PARE_OK && r->resume != NULL ? job_resume_fold(r, err) : code;
}

static void step_back(struct job_run *r)
{
	struct job_outer *o = &r->outer;

	memcpy(pare_net_slab(r->net), r->kept, pare_net_slab_len(r->net) * sizeof *r->kept);
	memcpy(r->mask.keep, o->keep, r->mask.len);
	r->mask.any = o->any;
	r->stage = o->stage;
	if (o->cut.gone != NULL)
		pare_cut_done(&r->cut);
	r->cut = o->cut;
	o->cut = (struct pare_cut){.any = false};
}

static enum pare_code cross_validate(struct job_run *r, int folds, struct pare_err *err)
{
	enum pare_code code = step_aside(r, folds, err);

	if (r->outer.keep == NULL)
		return code;
	for (; r->fold <= folds && code == PARE_OK; r->fold++)
		code = run_fold(r, r->step, &r->outer.rec, err);
	r->fold = r->folds = 0;
	if (code == PARE_OK)
		code = job_split(r, err);
	step_back(r);
	if (code == PARE_OK)
		job_record_add(r, &r->outer.rec);
	return code;
}

enum pare_code job_evaluate_now(struct job_run *r, struct pare_err *err)
{
	struct job_record rec = {.step = r->step};
	enum pare_code code = job_validate(r, &rec.loss, &rec.accuracy, err);

	if (code != PARE_OK)
		return code;
	rec.sparsity = job_sparsity(r);
	job_record_add(r, &rec);
	return job_metrics(r, &(struct job_epoch){"evaluation", NULL, rec.loss, rec.accuracy, rec.sparsity}, err);
}

static enum pare_code run_evaluate(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	return pare_args_has(args, "folds") ? cross_validate(r, (int)pare_args_int(args, "folds"), err) : job_evaluate_now(r, err);
}

/* --- reestimate */

static double reestimate_units(const struct job_run *r, size_t step)
{
	(void)r;
	(void)step;
	return JOB_FORWARD_UNITS;
}

enum pare_code job_reestimate(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	double rows = pare_args_has(args, "rows") ? pare_args_num(args, "rows") : 0;

	return pare_estimate(r->net, r->data, &r->fit, (int)pare_args_int(args, "batch_size"), rows < UINT32_MAX ? (uint32_t)rows : 0, r->seed, job_cancel_flag(), err);
}

static enum pare_code run_reestimate(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	enum pare_code code = job_reestimate(r, args, err);

	return code == PARE_OK ? job_evaluate_now(r, err) : code;
}

/* --- the table */

const struct job_step job_step_table[] = {
    {"factorize", job_factorize_units, job_factorize},
    {"train", train_units, job_train},
    {"prune", job_prune_units, job_prune},
    {"remove_dead", job_dead_units, job_remove_dead},
    {"search", job_search_units, job_search},
    {"reestimate", reestimate_units, run_reestimate},
    {"reconstruct", job_reconstruct_units, job_reconstruct},
    {"evaluate", evaluate_units, run_evaluate},
    {"cluster", job_cluster_units, job_cluster},
    {"quantize", job_quantize_units, job_quantize},
    {NULL, NULL, NULL},
};

const struct job_step *job_step_find(const char *name)
{
	for (const struct job_step *s = job_step_table; s->name != NULL; s++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

enum pare_code job_run_step(struct job_run *r, size_t i, struct pare_err *err)
{
	const struct pare_args *args = pare_job_step(r->job, i);
	const struct job_step *s = job_step_find(args->method->name);
	bool finetune = r->mask.any && s != NULL && strcmp(s->name, "train") == 0;
	enum pare_code code;

	if (s == NULL)
		return pare_err_set(err, PARE_E_INTERNAL, NULL, "the catalog names a step that the engine does not have");
	r->step = i;
	r->units_step = r->resume != NULL ? r->resume->units_step : 0;
	code = job_phase(r, finetune ? "finetune" : s->name, err);
	if (code == PARE_OK)
		code = job_progress(r, 0, 0, 0, true, err);
	if (code == PARE_OK)
		code = s->run(r, args, err);
	if (code != PARE_OK && code != PARE_E_CANCELED)
		return pare_err_at(err, "/recipe/steps/%zu/%s", i, s->name);
	r->units_before += s->units(r, i);
	return code == PARE_OK ? job_keep(r, NULL, true, err) : code;
}
