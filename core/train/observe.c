/* Gradients: observing is training without moving: the same two phases of a step, with an "optimizer" that adds up gradients instead of
 * following them. So shards, losses, several outputs and cancelling are those of training, and there is no second loop. */
#include "core/train/observe.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/prune/reconstruct.h"
#include "core/train/ablate.h"
#include "core/train/calibrate.h"
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

/* --- the loss without a structure */

static int no_state(const struct pare_optimizer_args *args)
{
	(void)args;
	return 0;
}

static void stay(const struct pare_update *u)
{
	(void)u;
}

static const struct pare_optimizer onlooker = {"nothing", no_state, prepare_nothing, stay};

struct zeroing {
	float *slab;
};

static void zero_run(void *ctx, const struct pare_unit_run *r)
{
	memset(((struct zeroing *)ctx)->slab + r->at, 0, r->n * sizeof(float));
}

static enum pare_code loss_now(struct pare_run *run, double *out, struct pare_err *err)
{
	pare_run_epoch(run);
	*out = run->epoch_loss;
	if (run->canceled)
		return pare_err_set(err, PARE_E_CANCELED, NULL, "looking at structures was stopped");
	if (run->failed_step != 0)
		return pare_err_set(err, PARE_E_NONFINITE, NULL, "the loss is not finite without some structure");
	return PARE_OK;
}

static enum pare_code ablate_units(struct pare_run *run, const struct pare_structures *g, const struct pare_cut *cut, float *kept, double *out, struct pare_err *err)
{
	struct zeroing z = {.slab = pare_net_slab(run->net)};
	size_t bytes = pare_net_slab_len(run->net) * sizeof(float);
	double whole = 0;
	enum pare_code code = loss_now(run, &whole, err);

	memcpy(kept, z.slab, bytes);
	for (int u = 0; u < g->n_units && code == PARE_OK; u++) {
		out[u] = 0;
		if (pare_cut_has(cut, g, u))
			continue;
		pare_unit_walk(g, run->net, u, zero_run, &z);
		code = loss_now(run, &out[u], err);
		out[u] -= whole;
		memcpy(z.slab, kept, bytes);
	}
	return code;
}

enum pare_code pare_ablate(struct pare_net *net, const struct pare_structures *g, const struct pare_cut *cut, const struct pare_dataset *data,
    const struct pare_observe_options *opt, double *out, struct pare_err *err)
{
	struct pare_train_options t = {.epochs = 1, .batch_size = opt->batch_size, .optimizer = &onlooker, .optimizer_args = {.lr = 1},
	    .lr_schedule = pare_lr_find("constant"), .fit = opt->fit, .as_inferred = true, .seed = opt->seed, .stage = opt->stage, .cancel = opt->cancel};
	struct pare_run run = {.net = net, .data = data, .opt = &t, .fit = opt->fit};
	size_t bytes = pare_net_slab_len(net) * sizeof(float);
	float *kept;
	uint32_t n_rows;
	enum pare_code code;

	(void)pare_data_rows(data, PARE_SPLIT_TRAIN, &n_rows);
	if (n_rows == 0 || opt->fit->n_outputs == 0)
		return pare_err_set(err, PARE_E_DATASET, NULL, "the loss without a structure needs training rows with labels");
	kept = pare_alloc(bytes);
	code = kept != NULL ? pare_run_init(&run, err) : pare_err_nomem(err, bytes);
	if (code == PARE_OK) {
		draw_rows(&run, opt);
		code = ablate_units(&run, g, cut, kept, out, err);
		pare_run_done(&run);
	}
	pare_free(kept);
	return code;
}

/* --- layers' inputs */

/* value[i] to every weight of the layer that multiplies input i. */
static void spread(const struct pare_net *net, const struct pare_layer *l, const float *value, float *out)
{
	const struct pare_product *p = &l->product;
	float *to = out + pare_net_param(net, l->weight)->offset + l->group * p->w_group;

	for (int64_t o = 0; o < p->n_out; o++)
		for (int64_t i = 0; i < p->n_in; i++)
			to[o * p->w_out + i * p->w_in] = value[i];
}

static enum pare_code spread_norms(const struct pare_net *net, struct pare_calibrator *c, float *out, struct pare_err *err)
{
	size_t n = 0, at = 0;
	float *norms;
	enum pare_code code;

	for (int i = 0; i < pare_calibrator_n_layers(c); i++)
		n += (size_t)pare_calibrator_layer(c, i)->product.n_in;
	norms = pare_calloc(n + 1, sizeof *norms);
	if (norms == NULL)
		return pare_err_nomem(err, n * sizeof *norms);
	code = pare_calibrate_norms(c, norms, err);
	for (int i = 0; code == PARE_OK && i < pare_calibrator_n_layers(c); i++) {
		spread(net, pare_calibrator_layer(c, i), norms + at, out);
		at += (size_t)pare_calibrator_layer(c, i)->product.n_in;
	}
	pare_free(norms);
	return code;
}

static enum pare_code spread_inverse(const struct pare_net *net, struct pare_calibrator *c, int i, double damping, float *out, struct pare_err *err)
{
	const struct pare_layer *l = pare_calibrator_layer(c, i);
	size_t n = (size_t)(l->product.n_in + (l->bias >= 0));
	float *gram = pare_calloc(n + 1, n * sizeof *gram);
	enum pare_code code;

	if (gram == NULL)
		return pare_err_nomem(err, n * n * sizeof *gram);
	code = pare_calibrate_layer(c, i, gram, NULL, err);
	if (code == PARE_OK)
		code = pare_inverse_diagonal((int64_t)n, gram, damping, gram + n * n, err);
	if (code == PARE_OK)
		spread(net, l, gram + n * n, out);
	else
		(void)pare_err_at(err, "%s", l->where);
	pare_free(gram);
	return code;
}

static enum pare_code observe_layers(const struct pare_net *net, const struct pare_dataset *data, const struct pare_observe_options *opt, float *out, struct pare_err *err)
{
	struct pare_calibrate_options co = {.n_rows = opt->n_rows, .batch_size = opt->batch_size, .n_threads = pare_net_n_shards(net), .fit = opt->fit, .seed = opt->seed, .cancel = opt->cancel};
	struct pare_calibrator *c;
	enum pare_code code = pare_calibrator_new(net, pare_net_slab((struct pare_net *)(uintptr_t)net), data, &co, &c, err);

	if (code != PARE_OK)
		return code;
	for (size_t i = 0; i < pare_net_slab_len(net); i++)
		out[i] = 1.0f;
	if (opt->stat == PARE_STAT_INPUT_NORM)
		code = spread_norms(net, c, out, err);
	for (int i = 0; opt->stat == PARE_STAT_INVERSE && i < pare_calibrator_n_layers(c) && code == PARE_OK; i++)
		code = spread_inverse(net, c, i, opt->damping, out, err);
	pare_calibrator_free(c);
	return code;
}

static enum pare_code observe_gradients(struct pare_net *net, const struct pare_dataset *data, const struct pare_observe_options *opt, float *out, struct pare_err *err)
{
	struct pare_train_options t = {.epochs = 1, .batch_size = opt->batch_size, .optimizer = &observer_table[opt->stat], .optimizer_args = {.lr = 1},
	    .lr_schedule = pare_lr_find("constant"), .fit = opt->fit, .as_inferred = true, .seed = opt->seed, .stage = opt->stage, .cancel = opt->cancel};
	struct pare_run run = {.net = net, .data = data, .opt = &t, .fit = opt->fit};
	enum pare_code code;

	if (opt->fit->n_outputs == 0)
		return pare_err_set(err, PARE_E_DATASET, NULL, "the data set has no labels: gradients of the loss need them");
	code = pare_run_init(&run, err);
	if (code != PARE_OK)
		return code;
	code = observe(&run, opt, out, err);
	pare_run_done(&run);
	return code;
}

/* --- curvature */

/* v into room: +-1 on weights that are there, 0 elsewhere; so the zeros of a mask stay. */
static void draw_probe(const struct pare_net *net, const struct pare_observe_options *opt, int k, const float *w, float *v)
{
	struct pare_rng rng;

	pare_rng_init(&rng, opt->seed, "probe", (uint64_t)(uint32_t)opt->stage << 32 | (uint32_t)k);
	memset(v, 0, pare_net_slab_len(net) * sizeof *v);
	for (int p = 0; p < pare_net_n_params(net); p++) {
		const struct pare_param_info *info = pare_net_param(net, p);

		for (size_t i = info->offset; info->prunable && i < info->offset + info->n_elems; i++)
			v[i] = w[i] == 0.0f ? 0.0f : pare_rng_uniform(&rng) < 0.5f ? -1.0f : 1.0f;
	}
}

/* A hundredth of a weight's root mean square: far above the rounding of gradients, far below what bends the loss. */
static float probe_length(const struct pare_net *net, const float *w)
{
	double squares = 0, n = 0;

	for (int p = 0; p < pare_net_n_params(net); p++) {
		const struct pare_param_info *info = pare_net_param(net, p);

		for (size_t i = info->offset; info->prunable && i < info->offset + info->n_elems; i++) {
			squares += (double)w[i] * (double)w[i];
			n += w[i] != 0.0f;
		}
	}
	return n > 0 && squares > 0 ? (float)(0.01 * sqrt(squares / n)) : 0.01f;
}

struct probing {
	float *w, *v, *g; /* the weights as they were, a direction, a gradient */
	float length;
};

/* Adds sign * v * g(w + sign * length * v) / (2 length) / probes to out. */
static enum pare_code add_probe(struct pare_net *net, const struct pare_dataset *data, const struct pare_observe_options *opt, const struct probing *b, float sign, float *out,
    struct pare_err *err)
{
	struct pare_observe_options look = *opt;
	float *slab = pare_net_slab(net), scale = sign / (2 * b->length * (float)opt->probes);
	size_t n = pare_net_slab_len(net);
	enum pare_code code;

	look.stat = PARE_STAT_GRAD;
	for (size_t i = 0; i < n; i++)
		slab[i] = b->w[i] + sign * b->length * b->v[i];
	code = observe_gradients(net, data, &look, b->g, err);
	for (size_t i = 0; i < n && code == PARE_OK; i++)
		out[i] += b->v[i] * b->g[i] * scale;
	return code;
}

static enum pare_code observe_curvature(struct pare_net *net, const struct pare_dataset *data, const struct pare_observe_options *opt, float *out, struct pare_err *err)
{
	size_t n = pare_net_slab_len(net), bytes = n * sizeof(float);
	float *room = pare_calloc(n + 1, 3 * sizeof *room);
	struct probing b = {.w = room};
	enum pare_code code = PARE_OK;

	if (room == NULL)
		return pare_err_nomem(err, 3 * bytes);
	b.v = room + n;
	b.g = room + 2 * n;
	memcpy(b.w, pare_net_slab(net), bytes);
	memset(out, 0, bytes);
	b.length = probe_length(net, b.w);
	for (int k = 0; k < opt->probes && code == PARE_OK; k++) {
		draw_probe(net, opt, k, b.w, b.v);
		code = add_probe(net, data, opt, &b, 1, out, err);
		if (code == PARE_OK)
			code = add_probe(net, data, opt, &b, -1, out, err);
	}
	memcpy(pare_net_slab(net), b.w, bytes);
	pare_free(room);
	return code;
}

enum pare_code pare_observe(struct pare_net *net, const struct pare_dataset *data, const struct pare_observe_options *opt, float *out, struct pare_err *err)
{
	struct pare_observe_options with_fit = *opt;
	struct pare_fit fit;
	uint32_t n_rows;
	enum pare_code code = PARE_OK;

	(void)pare_data_rows(data, PARE_SPLIT_TRAIN, &n_rows);
	if (n_rows == 0 || opt->n_rows == 0)
		return pare_err_set(err, PARE_E_DATASET, NULL, "there are no training rows to look at");
	if (opt->fit == NULL) {
		code = pare_fit_make(net, data, NULL, &fit, err);
		with_fit.fit = &fit;
	}
	if (code != PARE_OK)
		return code;
	if (opt->stat == PARE_STAT_INPUT_NORM || opt->stat == PARE_STAT_INVERSE)
		return observe_layers(net, data, &with_fit, out, err);
	if (opt->stat == PARE_STAT_CURVATURE)
		return observe_curvature(net, data, &with_fit, out, err);
	return observe_gradients(net, data, &with_fit, out, err);
}
