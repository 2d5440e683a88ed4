/* From checked arguments to a training run. Methods are found by name in the engine's own tables; that every name of the
 * catalog is there is tested (tests/core/job), so a NULL here is a broken build and reported as such. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/job/job_priv.h"

double job_num_or(const struct pare_args *a, const char *name, double absent)
{
	for (const struct pare_param *p = a->method->params; p != NULL && p->name != NULL; p++)
		if (strcmp(p->name, name) == 0)
			return pare_args_num(a, name);
	return absent;
}

static void set_optimizer(struct pare_train_options *o, const struct pare_args *a)
{
	o->optimizer = pare_optimizer_find(a->method->name);
	o->optimizer_args = (struct pare_optimizer_args){
	    .lr = job_num_or(a, "lr", 0),
	    .momentum = job_num_or(a, "momentum", 0),
	    .beta1 = job_num_or(a, "beta1", 0),
	    .beta2 = job_num_or(a, "beta2", 0),
	    .epsilon = job_num_or(a, "epsilon", 0),
	    .alpha = job_num_or(a, "alpha", 0),
	    .weight_decay = job_num_or(a, "weight_decay", 0),
	    .nesterov = job_num_or(a, "nesterov", 0) > 0,
	};
}

static void set_schedule(struct pare_train_options *o, const struct pare_args *a)
{
	o->lr_schedule = pare_lr_find(a->method->name);
	o->lr_args = (struct pare_lr_args){
	    .gamma = job_num_or(a, "gamma", 1),
	    .every = (int)job_num_or(a, "every", 1),
	    .floor = job_num_or(a, "floor", 0),
	    .peak = job_num_or(a, "peak", 0),
	    .div = job_num_or(a, "div", 1),
	    .final_div = job_num_or(a, "final_div", 1),
	};
}

/* False for one that the engine does not have. */
static bool set_penalties(struct pare_train_options *o, const struct pare_arg *list)
{
	assert(list->n <= PARE_MAX_PENALTIES);
	for (size_t i = 0; i < list->n; i++) {
		const struct pare_args *a = list->list[i];
		struct pare_penalty *p = &o->penalties[o->n_penalties++];

		p->regularizer = pare_regularizer_find(a->method->name);
		p->args = (struct pare_penalty_args){.lambda = pare_args_num(a, "lambda"), .l1_ratio = job_num_or(a, "l1_ratio", 0)};
		if (p->regularizer == NULL)
			return false;
	}
	return true;
}

bool job_augment(const struct pare_args *train, struct pare_augment *out)
{
	const struct pare_args *a = pare_args_obj(train, "augment");

	if (a != NULL)
		*out = (struct pare_augment){.crop = (int)pare_args_int(a, "crop"), .shift = (int)pare_args_int(a, "shift"), .flip = pare_args_bool(a, "flip"),
		    .channels_last = strcmp(pare_args_str(a, "channels"), "last") == 0};
	return a != NULL;
}

static double given_or_0(const struct pare_args *args, const char *name)
{
	return pare_args_has(args, name) ? pare_args_num(args, name) : 0;
}

struct listener {
	struct job_run *run;
	double units; /* within the step, before this training run */
	struct pare_err err;
	enum pare_code code;
};

static enum pare_code tell(struct listener *l, const struct pare_train_report *t)
{
	struct job_run *r = l->run;
	struct job_epoch e = {"epoch", t, t->validation_loss, t->validation_accuracy, t->sparsity};
	enum pare_code code = job_check_canceled(r->w, &l->err);

	job_past_epoch(r, t->epoch);
	if (code == PARE_OK)
		code = job_metrics(r, &e, &l->err);
	if (code == PARE_OK)
		code = job_progress(r, l->units + t->epoch, t->epoch, t->epochs, false, &l->err);
	return code;
}

static bool on_moment(void *ctx, const struct pare_train_moment *m)
{
	struct listener *l = ctx;

	l->code = job_check_canceled(l->run->w, &l->err);
	l->run->steps_per_second = m->steps_per_second;
	if (l->code == PARE_OK)
		l->code = job_progress(l->run, l->units + m->epoch - 1 + (double)m->step / m->steps, m->epoch, m->epochs, false, &l->err);
	l->run->steps_per_second = 0;
	return l->code == PARE_OK;
}

static bool on_state(void *ctx, const struct pare_train_state *s)
{
	struct listener *l = ctx;

	l->code = job_keep(l->run, s, false, &l->err);
	return l->code == PARE_OK;
}

static bool on_epoch(void *ctx, const struct pare_train_report *t)
{
	struct listener *l = ctx;

	l->code = tell(l, t);
	return l->code == PARE_OK;
}

static bool on_figures(void *ctx, const struct pare_metrics *validation)
{
	struct job_run *r = ((struct listener *)ctx)->run;

	return r->enough(r, validation);
}

/* Weights that change places, if a train step or recover says so; false: none. */
static bool get_rewire(struct job_run *r, const struct pare_args *args, struct pare_rewire *out)
{
	const struct pare_args *a = pare_args_obj(args, "rewire");

	if (a != NULL)
		*out = (struct pare_rewire){&r->mask, pare_args_int(a, "every"), pare_args_num(a, "share"), pare_args_num(a, "until")};
	return a != NULL;
}

/* Noise on the weights, if a train step asks for it; false: none. */
static bool get_noise(const struct pare_args *args, struct pare_noise *out)
{
	const struct pare_args *a = pare_args_obj(args, "noise");

	if (a != NULL)
		*out = (struct pare_noise){pare_noise_find(a->method->name),
		    {.lambda = pare_args_num(a, "lambda"), .warmup = pare_args_num(a, "warmup"), .start = pare_args_num(a, "start"), .threshold = job_num_or(a, "threshold", 0)}};
	return a != NULL;
}

/* The arguments of recover say how to train; what fades is neither exchanged nor chosen from by epoch, and no place of a checkpoint. */
static void set_fade(struct pare_train_options *o, const struct job_fade *fade)
{
	o->epochs = fade->epochs;
	o->fade = &fade->what;
	o->rewire = NULL;
	o->keep_best = false;
	o->patience = 0;
	o->keep = NULL;
}

enum pare_code job_train(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	struct listener l = {.run = r, .units = r->units_step, .code = PARE_OK};
	struct pare_augment augment;
	struct pare_distill distill;
	struct pare_train_state at;
	struct pare_rewire rewire;
	struct pare_noise noise;
	struct pare_fit fit;
	struct pare_sharing sharing = {.number = NULL};
	bool taught = false, shares = false;
	struct pare_train_options o = {
	    .epochs = (int)pare_args_int(args, "epochs"),
	    .batch_size = (int)pare_args_int(args, "batch_size"),
	    .fit = &fit,
	    .augment = job_augment(args, &augment) ? &augment : NULL,
	    .warmup = pare_args_num(args, "warmup"),
	    .rewire = get_rewire(r, args, &rewire) ? &rewire : NULL,
	    .noise = get_noise(args, &noise) ? &noise : NULL,
	    .moved = job_past(r)->moved,
	    .clip_norm = given_or_0(args, "clip_norm"),
	    .clip_value = given_or_0(args, "clip_value"),
	    .clip_weights = given_or_0(args, "clip_weights"),
	    .freeze_statistics = strcmp(pare_args_str(args, "batch_norm"), "frozen") == 0,
	    .keep_best = r->folds == 0 && pare_args_bool(args, "keep_best"),
	    .patience = r->folds == 0 ? (int)pare_args_int(args, "patience") : 0,
	    .seed = r->seed,
	    .stage = r->stage,
	    .env = &pare_job_env,
	    .cancel = job_cancel_flag(),
	    .report = on_epoch,
	    .report_ctx = &l,
	    .enough = r->enough != NULL ? on_figures : NULL,
	    .keep = on_state,
	    .moment = on_moment,
	};
	enum pare_code code = o.noise != NULL ? job_keep_dense(r, err) : PARE_OK; /* it removes weights, as a prune step does */

	if (code == PARE_OK)
		code = job_fit_losses(r, args, &fit, err);
	if (code == PARE_OK)
		code = job_distill(r, args, &fit, &distill, &taught, err);
	if (code != PARE_OK)
		return code;
	o.distill = taught ? &distill : NULL;
	o.resume = job_resume_training(r, &at) ? &at : NULL;
	if (r->fade.what.marks != NULL)
		set_fade(&o, &r->fade);
	set_optimizer(&o, pare_args_obj(args, "optimizer"));
	if (r->lr_factor > 0)
		o.optimizer_args.lr *= r->lr_factor;
	set_schedule(&o, pare_args_obj(args, "lr_schedule"));
	if (!set_penalties(&o, pare_args_get(args, "regularizer")) || o.optimizer == NULL || o.lr_schedule == NULL || (o.noise != NULL && noise.method == NULL))
		return pare_err_set(err, PARE_E_INTERNAL, NULL, "the catalog names a method that the engine does not have");
	code = job_share(r, &sharing, &shares, err);
	o.sharing = shares ? &sharing : NULL;
	if (code == PARE_OK)
		code = pare_train(r->net, r->data, &o, r->mask.any ? &r->mask : NULL, err);
	job_distill_done(r);
	pare_sharing_done(&sharing);
	if (l.code != PARE_OK) {
		*err = l.err;
		return l.code;
	}
	if (code == PARE_E_CANCELED)
		return job_check_canceled(r->w, err);
	r->units_step += o.epochs;
	r->stage++;
	return code;
}
