/* The prune step: rounds of scoring, masking and recovery. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/job_priv.h"
#include "core/prune/structures.h"
#include "core/train/observe.h"

int job_n_rounds(const struct pare_args *args)
{
	const struct pare_args *schedule = pare_args_obj(args, "schedule");

	return strcmp(schedule->method->name, "one_shot") == 0 ? 1 : (int)pare_args_int(schedule, "rounds");
}

double job_prune_units(const struct job_run *r, size_t step)
{
	const struct pare_args *args = pare_job_step(r->job, step), *recover = pare_args_obj(args, "recover");

	const struct pare_args *fade = pare_args_obj(args, "fade");
	double round = JOB_ROUND_UNITS + (recover != NULL ? (double)pare_args_int(recover, "epochs") : 0) + (fade != NULL ? (double)pare_args_int(fade, "epochs") : 0);

	return job_n_rounds(args) * (round + (pare_args_obj(args, "reestimate") != NULL ? JOB_FORWARD_UNITS : 0));
}

/* The weights before the first of them goes: what the report compares with, and what reconstruct aims at. */
enum pare_code job_keep_dense(struct job_run *r, struct pare_err *err)
{
	size_t bytes = pare_net_slab_len(r->net) * sizeof *r->dense;
	float **to = r->folds > 0 ? &r->fold_dense : &r->dense;
	bool *has = r->folds > 0 ? &r->has_fold_dense : &r->has_dense;

	if (*has)
		return PARE_OK;
	if (*to == NULL)
		*to = pare_alloc(bytes);
	if (*to == NULL)
		return pare_err_nomem(err, bytes);
	memcpy(*to, pare_net_slab(r->net), bytes);
	*has = true;
	return PARE_OK;
}

double job_prune_start(const struct pare_args *args, double present)
{
	const struct pare_args *schedule = pare_args_obj(args, "schedule");

	if (strcmp(schedule->method->name, "one_shot") != 0 && pare_args_num(schedule, "start") > 0)
		return pare_args_num(schedule, "start");
	return pare_args_has(args, "threshold") || pare_args_has(args, "pattern") ? 0 : present;
}

static double starting_point(const struct job_run *r, const struct pare_args *args)
{
	int64_t n_units;

	return job_prune_start(args, job_is_structural(args) ? job_structures_share(r, args, &n_units) : job_sparsity(r));
}

void job_prune_amount(struct pare_prune_options *o, const struct pare_args *args, double from, int i, int n)
{
	const struct pare_sparsity_schedule *s = pare_schedule_find(pare_args_obj(args, "schedule")->method->name);

	o->by_threshold = pare_args_has(args, "threshold");
	if (o->unit == PARE_UNIT_PATTERN) {
		int keep = 1, of = 1;

		(void)sscanf(pare_args_str(args, "pattern"), "%d:%d", &keep, &of);
		o->pattern_keep = of - (int)floor((of - keep) * s->at(from, 1, i, n) + 1e-9);
		o->pattern_of = of;
	} else if (o->by_threshold)
		o->threshold = pare_args_num(args, "threshold") * s->at(from, 1, i, n);
	else
		o->sparsity = s->at(from < pare_args_num(args, "sparsity") ? from : pare_args_num(args, "sparsity"), pare_args_num(args, "sparsity"), i, n);
}

/* Found out anew in every round: weights and masks have changed since the last. */
enum pare_code job_look_at_data(struct job_run *r, const struct pare_args *criterion, struct pare_prune_options *o, struct pare_err *err)
{
	size_t bytes = pare_net_slab_len(r->net) * sizeof *r->stat;
	struct pare_observe_options look = {.fit = &r->fit, .seed = r->seed, .stage = (int)(r->step << 12) + r->round, .cancel = job_cancel_flag()};

	if (o->criterion == NULL || o->criterion->stat == PARE_STAT_NONE)
		return PARE_OK;
	if (o->criterion->stat == PARE_STAT_MOVED) {
		o->stat = job_past(r)->moved;
		return PARE_OK;
	}
	look.stat = o->criterion->stat;
	if (r->stat == NULL)
		r->stat = pare_alloc(bytes);
	if (r->stat == NULL)
		return pare_err_nomem(err, bytes);
	look.n_rows = (uint32_t)fmin(pare_args_num(criterion, "rows"), UINT32_MAX);
	look.batch_size = (int)job_num_or(criterion, "batch_size", job_batch(r, JOB_CALIBRATION_BATCH));
	look.probes = (int)job_num_or(criterion, "probes", 1);
	look.damping = job_num_or(criterion, "damping", 0);
	o->stat = r->stat;
	return pare_observe(r->net, r->data, &look, r->stat, err);
}

uint64_t job_prune_seed(const struct job_run *r)
{
	return r->seed ^ ((uint64_t)(r->step + 1) << 40 | (uint64_t)r->round << 8 | (uint64_t)r->fold);
}

/* Weights or structures go, until the amount in o is reached. */
static enum pare_code take_away(struct job_run *r, const struct pare_args *args, struct pare_prune_options *o, struct pare_err *err)
{
	o->seed = job_prune_seed(r);
	return job_is_structural(args) ? job_structures_round(r, args, o, err) : pare_prune(r->net, o, &r->mask, err);
}

static enum pare_code choose(struct job_run *r, const struct pare_args *args, struct pare_prune_options *o, struct pare_err *err)
{
	enum pare_code code = job_look_at_data(r, pare_args_obj(args, "criterion"), o, err);

	return code == PARE_OK ? take_away(r, args, o, err) : code;
}

static enum pare_code refit(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	return pare_args_obj(args, "reconstruct") != NULL ? job_refit(r, pare_args_obj(args, "reconstruct"), err) : PARE_OK;
}

enum pare_code job_remove(struct job_run *r, const struct pare_args *args, struct pare_prune_options *o, struct pare_err *err)
{
	enum pare_code code = choose(r, args, o, err);

	return code == PARE_OK ? refit(r, args, err) : code;
}

/* What is chosen comes back once more to be trained away; was and weights are from before. */
static enum pare_code train_away(struct job_run *r, const struct pare_args *args, uint8_t *was, bool was_any, const float *weights, struct pare_err *err)
{
	uint8_t *after = r->mask.keep;
	bool any = r->mask.any;
	enum pare_code code;

	memcpy(pare_net_slab(r->net), weights, r->mask.len * sizeof *weights);
	r->mask.keep = was;
	r->mask.any = was_any;
	code = job_train(r, pare_args_obj(args, "recover"), err);
	r->mask.keep = after;
	r->mask.any = any;
	pare_mask_apply(&r->mask, pare_net_slab(r->net), 0, r->mask.len);
	return code;
}

static enum pare_code choose_and_fade(struct job_run *r, const struct pare_args *args, struct pare_prune_options *o, struct pare_err *err)
{
	const struct pare_args *fade = pare_args_obj(args, "fade");
	size_t len = r->mask.len;
	float *weights = pare_alloc(len * sizeof *weights);
	uint8_t *was = pare_alloc(len), *marks = pare_alloc(len);
	bool was_any = r->mask.any;
	enum pare_code code = weights != NULL && was != NULL && marks != NULL ? PARE_OK : pare_err_nomem(err, len);

	if (code == PARE_OK) {
		memcpy(weights, pare_net_slab(r->net), len * sizeof *weights);
		memcpy(was, r->mask.keep, len);
		code = choose(r, args, o, err);
	}
	for (size_t i = 0; i < len && code == PARE_OK; i++)
		marks[i] = was[i] != 0 && r->mask.keep[i] == 0;
	if (code == PARE_OK) {
		r->fade = (struct job_fade){{marks, pare_args_num(fade, "lambda")}, (int)pare_args_int(fade, "epochs")};
		code = train_away(r, args, was, was_any, weights, err);
		r->fade.what.marks = NULL;
	}
	pare_free(weights);
	pare_free(was);
	pare_free(marks);
	return code;
}

/* Regrowth: what went in this round trains on, from zero, and is ranked again with all others in the next; what was masked before the
 * step stays so. */
static void release(struct job_run *r)
{
	memcpy(r->mask.keep, r->before, r->mask.len);
	r->mask.any = memchr(r->mask.keep, 0, r->mask.len) != NULL;
}

/* Weights become fewer; afterwards the round is at a place that a checkpoint can name. */
static enum pare_code make_fewer(struct job_run *r, const struct pare_args *args, struct pare_prune_options *o, struct pare_err *err)
{
	struct job_record rec = {.step = r->step, .round = r->round};
	struct job_epoch e = {.kind = "round"};
	enum pare_code code = pare_args_obj(args, "fade") != NULL ? choose_and_fade(r, args, o, err) : choose(r, args, o, err);

	if (code == PARE_OK)
		code = refit(r, args, err);
	if (code == PARE_OK && pare_args_obj(args, "reestimate") != NULL)
		code = job_reestimate(r, pare_args_obj(args, "reestimate"), err);
	if (code == PARE_OK)
		code = job_validate(r, &rec.loss, &rec.accuracy, err);
	if (code != PARE_OK)
		return code;
	e.sparsity = rec.sparsity = job_sparsity(r);
	e.loss = rec.loss;
	e.accuracy = rec.accuracy;
	job_record_add(r, &rec);
	code = job_metrics(r, &e, err);
	r->units_step += JOB_ROUND_UNITS;
	if (r->before != NULL && r->round < r->rounds)
		release(r);
	if (pare_args_has(args, "rewind"))
		job_rewind(r, args);
	return code == PARE_OK ? job_keep(r, NULL, false, err) : code;
}

static enum pare_code prune_round(struct job_run *r, const struct pare_args *args, struct pare_prune_options *o, struct pare_err *err)
{
	const struct pare_args *recover = pare_args_obj(args, "recover");
	enum pare_code code = PARE_OK;

	if (r->resume == NULL)
		code = make_fewer(r, args, o, err);
	else if (r->resume->epoch == 0)
		r->resume = NULL;
	if (code == PARE_OK && recover != NULL)
		code = job_train(r, recover, err);
	return code;
}

void job_prune_unit(struct pare_prune_options *o, const struct pare_args *args)
{
	const struct pare_arg *block = pare_args_get(args, "block");

	if (strcmp(pare_args_str(args, "granularity"), "block") == 0) {
		o->unit = PARE_UNIT_BLOCK;
		o->block[0] = (int64_t)block->nums[0];
		o->block[1] = (int64_t)block->nums[1];
	} else if (pare_args_has(args, "pattern")) {
		o->unit = PARE_UNIT_PATTERN;
	}
}

/* The mask that regrowth goes back to; r->before stays NULL where nothing regrows. */
static enum pare_code keep_mask(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	const uint8_t *mask = r->resume != NULL ? r->resume->before : r->mask.keep;

	if (!pare_args_bool(args, "regrow"))
		return PARE_OK;
	if (mask == NULL)
		return pare_err_set(err, PARE_E_CHECKPOINT, NULL, "there is no mask to regrow to");
	r->before = pare_alloc(r->mask.len);
	if (r->before == NULL)
		return pare_err_nomem(err, r->mask.len);
	memcpy(r->before, mask, r->mask.len);
	return PARE_OK;
}

static enum pare_code begin_rounds(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	enum pare_code code = job_keep_dense(r, err);

	if (code == PARE_OK)
		code = keep_mask(r, args, err);
	r->from = r->resume != NULL ? r->resume->from : starting_point(r, args);
	r->rounds = job_n_rounds(args);
	r->round = r->resume != NULL ? (int)r->resume->round : 1;
	return code;
}

enum pare_code job_prune_options(const struct pare_args *args, struct pare_prune_options *o, struct pare_err *err)
{
	const char *criterion = pare_args_obj(args, "criterion")->method->name, *scope = pare_args_str(args, "scope");
	const struct pare_arg *exclude = pare_args_get(args, "exclude");

	*o = (struct pare_prune_options){
	    .criterion = pare_criterion_find(criterion),
	    .scope = strcmp(scope, "layer") == 0 ? PARE_SCOPE_LAYER : strcmp(scope, "erk") == 0 ? PARE_SCOPE_ERK : PARE_SCOPE_GLOBAL,
	    .exclude = exclude->strings,
	    .n_exclude = exclude->n,
	};
	if (job_is_structural(args) && pare_structure_criterion_find(criterion) != NULL)
		o->criterion = NULL;
	else if (o->criterion == NULL)
		return pare_err_set(err, PARE_E_INTERNAL, NULL, "the catalog names a criterion that the engine does not have");
	return PARE_OK;
}

enum pare_code job_prune_at_once(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	struct pare_prune_options o;
	enum pare_code code = job_prune_options(args, &o, err);

	if (code != PARE_OK)
		return code;
	job_prune_unit(&o, args);
	job_prune_amount(&o, args, starting_point(r, args), 1, 1);
	return choose(r, args, &o, err);
}

enum pare_code job_prune(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	const struct pare_args *schedule = pare_args_obj(args, "schedule");
	struct pare_prune_options o;
	enum pare_code code = job_prune_options(args, &o, err);

	if (code != PARE_OK)
		return code;
	job_prune_unit(&o, args);
	if (pare_schedule_find(schedule->method->name) == NULL)
		return pare_err_set(err, PARE_E_INTERNAL, NULL, "the catalog names a method that the engine does not have");
	code = begin_rounds(r, args, err);
	for (; r->round <= r->rounds && code == PARE_OK; r->round++) {
		job_prune_amount(&o, args, r->from, r->round, r->rounds);
		code = job_check_canceled(r->w, err);
		if (code == PARE_OK)
			code = prune_round(r, args, &o, err);
	}
	pare_free(r->before);
	r->before = NULL;
	r->round = r->rounds = 0;
	return code;
}
