/* The run of one training: epochs, validation, the best weights, early stop.
 *
 * Epoch e of stage s draws its order from a stream of its own, (seed, "shuffle", s * 2^32 + e), applied to the ascending
 * row numbers; shuffling the previous order further was rejected, because then a run could not be resumed at an epoch
 * without replaying those before it. The last, shorter batch is used like any other, its mean taken over its own rows.
 *
 * A loss that is not finite ends the run at once. Weights can also go bad in a way that the loss of the next batch does
 * not show (a NaN that Relu turns into 0), so the slab is looked at once an epoch. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/ops/kernels/elementwise.h"
#include "core/train/step.h"
#include "core/train/train.h"

struct best {
	float *slab; /* NULL unless keep_best and there is a validation split */
	double accuracy, loss;
	bool any;
	double stop_loss; /* the least validation loss so far, for patience */
	int since;        /* epochs since then */
};

static bool out_of_patience(const struct best *b, const struct pare_train_options *opt)
{
	return opt->patience > 0 && b->since >= opt->patience;
}

static enum pare_code check_options(const struct pare_dataset *data, const struct pare_train_options *opt, struct pare_err *err)
{
	uint32_t n_rows;

	(void)pare_data_rows(data, PARE_SPLIT_TRAIN, &n_rows);
	if (n_rows == 0)
		return pare_err_set(err, PARE_E_DATASET, NULL, "the training split is empty: at least one row is needed");
	if (opt->epochs < 1 || opt->batch_size < 1)
		return pare_err_set(err, PARE_E_INVALID, NULL, "epochs and batch_size must be at least 1, not %d and %d", opt->epochs, opt->batch_size);
	if (!(opt->optimizer_args.lr > 0.0) || !isfinite(opt->optimizer_args.lr))
		return pare_err_set(err, PARE_E_INVALID, NULL, "lr must be a finite number above 0, not %g", opt->optimizer_args.lr);
	if (opt->rewire != NULL && opt->keep_best)
		return pare_err_set(err, PARE_E_INVALID, NULL, "weights of an earlier epoch do not fit a mask that has moved since: keep_best and rewire exclude each other");
	if (opt->noise != NULL && (opt->keep_best || opt->rewire != NULL))
		return pare_err_set(err, PARE_E_INVALID, NULL, "weights under noise belong to the measures of their epoch: noise excludes keep_best and rewire");
	return PARE_OK;
}

static void shuffle_rows(struct pare_run *run)
{
	const struct pare_train_options *opt = run->opt;
	uint32_t n;
	const uint32_t *rows = pare_data_rows(run->data, PARE_SPLIT_TRAIN, &n);

	pare_data_shuffle(run->data, opt->seed, (uint64_t)(uint32_t)opt->stage << 32 | (uint32_t)run->epoch, rows, n, run->order, run->scratch);
}

static enum pare_code check_weights(const struct pare_run *run, struct pare_err *err)
{
	const float *slab = pare_net_slab(run->net);

	for (int p = 0; p < pare_net_n_params(run->net); p++) {
		const struct pare_param_info *info = pare_net_param(run->net, p);

		if (!pare_k_finite(info->n_elems, slab + info->offset))
			return pare_err_set(err, PARE_E_DIVERGED, NULL,
			    "initializer \"%s\" holds NaN or infinity after epoch %d: a smaller lr (now %g) may help",
			    info->name, run->epoch + 1, run->opt->optimizer_args.lr);
	}
	return PARE_OK;
}

static enum pare_code train_epoch(struct pare_run *run, struct pare_err *err)
{
	char where[64];

	shuffle_rows(run);
	pare_run_epoch(run);
	if (run->canceled)
		return pare_err_set(err, PARE_E_CANCELED, NULL, "training was stopped in epoch %d", run->epoch + 1);
	if (run->no_memory)
		return pare_err_nomem(err, 0);
	if (run->failed_step == 0)
		return check_weights(run, err);
	(void)snprintf(where, sizeof where, "epoch %d, step %u", run->epoch + 1, run->failed_step);
	return pare_err_set(err, PARE_E_DIVERGED, where, "the training loss or its gradient is not finite: a smaller lr (now %g) may help",
	    run->opt->optimizer_args.lr);
}

static enum pare_code validate(struct pare_run *run, struct pare_train_report *r, bool *out_enough, struct pare_err *err)
{
	struct pare_metrics m = {0};
	uint32_t n;
	enum pare_code code;

	r->validation_loss = NAN;
	r->validation_accuracy = NAN;
	(void)pare_data_rows(run->data, PARE_SPLIT_VALIDATION, &n);
	if (n == 0 || run->fit->n_outputs == 0)
		return PARE_OK;
	code = pare_eval(run->net, run->data, PARE_SPLIT_VALIDATION, run->fit, &m, err);
	if (code != PARE_OK)
		return code;
	r->validation_loss = m.loss;
	r->validation_accuracy = pare_metrics_headline(&m);
	*out_enough = run->opt->enough != NULL && run->opt->enough(run->opt->report_ctx, &m);
	pare_metrics_done(&m);
	return PARE_OK;
}

/* Better accuracy, or the same and a smaller loss. NaN is never better. */
static bool is_better(const struct best *b, const struct pare_train_report *r)
{
	if (isnan(r->validation_loss))
		return false;
	if (!b->any || r->validation_accuracy > b->accuracy)
		return true;
	return r->validation_accuracy == b->accuracy && r->validation_loss < b->loss;
}

/* Remembers the epoch; returns true when patience has run out. */
static bool judge_epoch(struct best *b, const struct pare_run *run, const struct pare_train_report *r)
{
	if (b->slab != NULL && is_better(b, r)) {
		memcpy(b->slab, pare_net_slab(run->net), pare_net_slab_len(run->net) * sizeof *b->slab);
		b->accuracy = r->validation_accuracy;
		b->loss = r->validation_loss;
		b->any = true;
	}
	if (isnan(r->validation_loss))
		return false;
	b->since = r->validation_loss < b->stop_loss ? 0 : b->since + 1;
	b->stop_loss = fmin(b->stop_loss, r->validation_loss);
	return out_of_patience(b, run->opt);
}

static int64_t now_ns(const struct pare_train_options *opt)
{
	return opt->env != NULL ? opt->env->tick_ns(opt->env->ctx) : 0;
}

static double sparsity_now(const struct pare_net *net)
{
	struct pare_sparsity_count c;

	pare_prune_count(net, &c);
	return c.n_weights > 0 ? (double)c.n_zero / (double)c.n_weights : 0.0;
}

/* Slabs that a state holds besides weights and mask. */
static int list_slabs(const struct pare_run *run, float *out[PARE_TRAIN_STATES])
{
	int n_state = run->opt->optimizer->n_state(&run->opt->optimizer_args), n = 0;

	for (int i = 0; i < n_state; i++)
		out[n++] = run->state[i];
	if (run->noise != NULL)
		out[n++] = run->noise->measure;
	for (int i = 0; i < n_state && run->noise != NULL; i++)
		out[n++] = run->noise->state[i];
	return n;
}

static bool keep(const struct pare_run *run, const struct best *b)
{
	const struct pare_train_options *opt = run->opt;
	float *slabs[PARE_TRAIN_STATES] = {NULL};
	int n = list_slabs(run, slabs);
	const struct pare_train_state s = {.epoch = run->epoch + 1, .n_state = n, .state = {slabs[0], slabs[1], slabs[2], slabs[3], slabs[4]}, .best = b->any ? b->slab : NULL, .best_accuracy = b->accuracy, .best_loss = b->loss, .stop_loss = b->stop_loss, .since = b->since};

	return opt->keep == NULL || opt->keep(opt->report_ctx, &s);
}

/* Every epoch draws from streams of its own, so what came before is in the slabs and in these numbers. */
static enum pare_code resume(struct pare_run *run, struct best *b, struct pare_err *err)
{
	const struct pare_train_state *s = run->opt->resume;
	float *slabs[PARE_TRAIN_STATES] = {NULL};
	int n_state = list_slabs(run, slabs);
	size_t bytes = pare_net_slab_len(run->net) * sizeof(float);

	if (s->epoch < 1 || s->epoch > run->opt->epochs)
		return pare_err_set(err, PARE_E_CHECKPOINT, NULL, "epoch %d of a training run of %d", s->epoch, run->opt->epochs);
	if (s->n_state != n_state)
		return pare_err_set(err, PARE_E_CHECKPOINT, NULL, "%d slabs of training state where %s has %d", s->n_state, run->opt->optimizer->name, n_state);
	if (s->best != NULL && b->slab == NULL)
		return pare_err_set(err, PARE_E_CHECKPOINT, NULL, "best weights of a training run that keeps none");
	for (int i = 0; i < n_state; i++)
		memcpy(slabs[i], s->state[i], bytes);
	if (s->best != NULL)
		memcpy(b->slab, s->best, bytes);
	b->any = s->best != NULL;
	b->accuracy = s->best_accuracy;
	b->loss = s->best_loss;
	b->stop_loss = s->stop_loss;
	b->since = s->since;
	run->epoch = s->epoch;
	run->step = (int64_t)s->epoch * run->n_steps;
	return PARE_OK;
}

/* One epoch, its report and the judgement; *out_stop ends the run early and well. */
static enum pare_code run_epoch(struct pare_run *run, struct best *best, bool *out_stop, struct pare_err *err)
{
	const struct pare_train_options *opt = run->opt;
	struct pare_train_report r = {.epoch = run->epoch + 1, .epochs = opt->epochs};
	int64_t start = now_ns(opt);
	bool enough = false;
	enum pare_code code = train_epoch(run, err);

	if (code == PARE_OK && run->noise != NULL)
		pare_noise_settle(run->noise, run->net); /* what it would be, if it ended here */
	if (code == PARE_OK)
		code = validate(run, &r, &enough, err);
	if (code != PARE_OK)
		return code;
	r.train_loss = run->epoch_loss;
	r.lr = pare_lr_at(opt, (int64_t)run->epoch * run->n_steps, run->n_steps);
	r.seconds = (double)(now_ns(opt) - start) * 1e-9;
	r.sparsity = sparsity_now(run->net);
	if (run->noise != NULL)
		pare_noise_unsettle(run->noise, run->net);
	*out_stop = judge_epoch(best, run, &r) || enough;
	if ((opt->report != NULL && !opt->report(opt->report_ctx, &r)) || !keep(run, best))
		return pare_err_set(err, PARE_E_CANCELED, NULL, "training was stopped after epoch %d", r.epoch);
	return PARE_OK;
}

enum pare_code pare_train(struct pare_net *net, const struct pare_dataset *data, const struct pare_train_options *opt, const struct pare_mask *mask, struct pare_err *err)
{
	struct pare_run run = {.net = net, .data = data, .opt = opt, .fit = opt->fit, .mask = mask != NULL && mask->any ? mask : NULL};
	struct pare_fit plain;
	size_t slab_bytes = pare_net_slab_len(net) * sizeof(float);
	struct best best = {.stop_loss = INFINITY};
	uint32_t n_validation;
	bool stop = false;
	enum pare_code code;

	assert(mask == NULL || mask->len == pare_net_slab_len(net));
	code = check_options(data, opt, err);
	if (code == PARE_OK && run.fit == NULL) {
		code = pare_fit_make(net, data, NULL, &plain, err);
		run.fit = &plain;
	}
	if (code == PARE_OK && run.fit->n_outputs == 0 && opt->distill == NULL)
		code = pare_err_set(err, PARE_E_DATASET, NULL, "the data set has no labels to train towards, and there is no teacher");
	if (code == PARE_OK && opt->augment != NULL)
		code = pare_augment_check(opt->augment, net, run.fit, err);
	if (code == PARE_OK)
		code = pare_run_init(&run, err);
	if (code != PARE_OK)
		return code;
	(void)pare_data_rows(data, PARE_SPLIT_VALIDATION, &n_validation);
	if (opt->keep_best && n_validation > 0) {
		best.slab = pare_alloc_aligned(slab_bytes);
		if (best.slab == NULL) {
			code = pare_err_nomem(err, slab_bytes);
			goto out;
		}
	}
	if (run.mask != NULL) {
		pare_mask_apply(run.mask, pare_net_slab(net), 0, run.mask->len);
		code = pare_net_promise_zeros(net, run.mask->keep, err);
	}
	if (code == PARE_OK && opt->resume != NULL) {
		code = resume(&run, &best, err);
		stop = out_of_patience(&best, opt);
	}
	for (; run.epoch < opt->epochs && !stop && code == PARE_OK; run.epoch++)
		code = run_epoch(&run, &best, &stop, err);
	if (code == PARE_OK && best.any)
		memcpy(pare_net_slab(net), best.slab, slab_bytes);
	if (code == PARE_OK && run.noise != NULL)
		pare_noise_settle(run.noise, net);
out:
	pare_net_promise_nothing(net);
	pare_free(best.slab);
	pare_run_done(&run);
	return code;
}
