/* Observing is training without moving: the same two phases of a step, with an "optimizer" that adds up gradients instead of
 * following them. So shards, losses, several outputs and cancelling are those of training, and there is no second loop. */
#include "core/train/observe.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/train/step.h"

static int one_state(const struct pare_optimizer_args *args)
{
	(void)args;
	return 1;
}

static void prepare_nothing(struct pare_update *u)
{
	(void)u;
}

static void add_signed(const struct pare_update *u)
{
	for (size_t i = u->begin; i < u->end; i++)
		u->state[0][i] += u->g[i];
}

static void add_magnitude(const struct pare_update *u)
{
	for (size_t i = u->begin; i < u->end; i++)
		u->state[0][i] += fabsf(u->g[i]);
}

static void add_square(const struct pare_update *u)
{
	for (size_t i = u->begin; i < u->end; i++)
		u->state[0][i] += u->g[i] * u->g[i];
}

static const struct pare_optimizer observer_table[] = {
    [PARE_STAT_GRAD] = {"sum of gradients", one_state, prepare_nothing, add_signed},
    [PARE_STAT_GRAD_ABS] = {"sum of their magnitudes", one_state, prepare_nothing, add_magnitude},
    [PARE_STAT_GRAD_SQUARE] = {"sum of their squares", one_state, prepare_nothing, add_square},
};

/* The rows that are looked at, in the order in which they are. */
static void draw_rows(struct pare_run *run, const struct pare_observe_options *opt)
{
	uint32_t n, batch = (uint32_t)opt->batch_size;
	const uint32_t *rows = pare_data_rows(run->data, PARE_SPLIT_TRAIN, &n);
	struct pare_rng rng;

	memcpy(run->order, rows, n * sizeof *rows);
	pare_rng_init(&rng, opt->seed, "observe", (uint64_t)(uint32_t)opt->stage);
	pare_rng_shuffle(&rng, run->order, n);
	run->n_rows = opt->n_rows < n ? opt->n_rows : n;
	batch = batch > run->n_rows ? run->n_rows : batch;
	run->n_steps = (run->n_rows + batch - 1) / batch;
}

static enum pare_code observe(struct pare_run *run, const struct pare_observe_options *opt, float *out, struct pare_err *err)
{
	size_t n = pare_net_slab_len(run->net);
	float scale;

	draw_rows(run, opt);
	pare_run_epoch(run);
	if (run->canceled)
		return pare_err_set(err, PARE_E_CANCELED, NULL, "looking at gradients was stopped");
	if (run->failed_step != 0)
		return pare_err_set(err, PARE_E_NONFINITE, NULL, "the loss is not finite on the rows of batch %u: gradients say nothing then", run->failed_step);
	scale = 1.0f / (float)run->n_steps;
	for (size_t i = 0; i < n; i++)
		out[i] = run->state[0][i] * scale;
	return PARE_OK;
}

enum pare_code pare_observe(struct pare_net *net, const struct pare_dataset *data, const struct pare_observe_options *opt, float *out, struct pare_err *err)
{
	struct pare_fit fit;
	struct pare_train_options t = {.epochs = 1, .batch_size = opt->batch_size, .optimizer = &observer_table[opt->stat], .optimizer_args = {.lr = 1},
	    .lr_schedule = pare_lr_find("constant"), .fit = opt->fit, .as_inferred = true, .seed = opt->seed, .stage = opt->stage, .cancel = opt->cancel};
	struct pare_run run = {.net = net, .data = data, .opt = &t};
	uint32_t n_rows;
	enum pare_code code = PARE_OK;

	(void)pare_data_rows(data, PARE_SPLIT_TRAIN, &n_rows);
	if (n_rows == 0 || opt->n_rows == 0)
		return pare_err_set(err, PARE_E_DATASET, NULL, "there are no training rows to look at");
	if (opt->fit == NULL) {
		code = pare_fit_make(net, data, NULL, &fit, err);
		t.fit = &fit;
	}
	if (code == PARE_OK && t.fit->n_outputs == 0)
		return pare_err_set(err, PARE_E_DATASET, NULL, "the data set has no labels: gradients of the loss need them");
	run.fit = t.fit;
	if (code == PARE_OK)
		code = pare_run_init(&run, err);
	if (code != PARE_OK)
		return code;
	code = observe(&run, opt, out, err);
	pare_run_done(&run);
	return code;
}
