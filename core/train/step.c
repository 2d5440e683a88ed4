/* A step has two parallel phases (pare_net_parallel forks and joins each by spinning briefly, so this costs about a
 * microsecond; with one thread it is two calls):
 *
 *   1   every thread, its shard of the batch: fill, forward, loss and its gradient, backward into the shard's own slab
 *   2   every thread, its slice of the parameter slab (pare_net_param_part): sum the shards' gradients, then update
 *
 * Between them the losses of the shards are added in shard order and in double, and looked at. Two more phases exist for what
 * needs all of something: noise on weights is drawn before the first; clipping by norm and shared weights need the sums of gradients (and their squares) first; a group penalty goes over
 * whole tensors afterwards, every thread on its share of the groups.
 *
 * Phase 2 goes through its slice in blocks that stay in the first-level cache: sum, penalties, update, soft threshold,
 * clip and mask each are a simple loop over the block, so memory is read and written once, as if all had been fused by
 * hand, and what is switched off costs nothing. A fused loop per combination was rejected: 2^4 loops per optimizer.
 * Slices and segments begin at multiples of 16 floats (a cache line), so threads never write to one line. */
#include "core/train/step.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/kernels/sparse.h"

#define BLOCK ((size_t)2048) /* floats */
#define LIVE ((size_t)1024) /* likewise, of which each has its place beside it */

static bool has_penalty(const struct pare_train_options *opt)
{
	return opt->n_penalties > 0 || opt->noise != NULL || opt->clip_weights > 0.0 || opt->optimizer_args.weight_decay > 0.0;
}

static void plan_slice(struct pare_run *run, int t)
{
	struct pare_worker *w = &run->workers[t];
	bool penalty = has_penalty(run->opt);
	size_t begin, end;

	for (int p = 0; p < pare_net_n_params(run->net); p++) {
		const struct pare_param_info *info = pare_net_param(run->net, p);

		if (info->buffer)
			continue;
		pare_net_param_part(run->net, p, t, &begin, &end);
		if (begin < end)
			w->segments[w->n_segments++] = (struct pare_segment){p, begin, end, penalty && info->prunable};
	}
}

/* Bytes, in whole lines, of n things; false on overflow. */
static bool lines(size_t n, size_t size, size_t *out)
{
	size_t bytes;

	if (!pare_mul_size(n, size, &bytes) || bytes > SIZE_MAX / 2 - PARE_ALIGN)
		return false;
	*out = (bytes + PARE_ALIGN - 1) / PARE_ALIGN * PARE_ALIGN;
	return true;
}

/* What a worker needs besides itself: labels by output, scratch, segments. */
struct worker_plan {
	size_t labels[PARE_DATA_FIELDS], scratch, segments, all; /* bytes */
};

static bool plan_worker(const struct pare_run *run, size_t rows, struct worker_plan *p)
{
	size_t scratch = run->opt->distill != NULL ? pare_distill_scratch(run->opt->distill) : 0;

	if (run->opt->augment != NULL && pare_augment_scratch(run->net) > scratch)
		scratch = pare_augment_scratch(run->net);
	if (!lines((size_t)pare_net_n_params(run->net), sizeof(struct pare_segment), &p->segments))
		return false;
	p->all = p->segments;
	for (int i = 0; i < run->fit->n_outputs; i++) {
		const struct pare_fit_output *o = &run->fit->outputs[i];
		size_t k = pare_fit_by_class(o) ? (size_t)o->positions : (size_t)o->width, n;

		scratch = pare_fit_scratch(o) > scratch ? pare_fit_scratch(o) : scratch;
		if (!pare_mul_size(rows, k, &n) || !lines(n, sizeof(float), &p->labels[i]) || !pare_add_size(p->all, p->labels[i], &p->all))
			return false;
	}
	return lines(scratch, sizeof(float), &p->scratch) && pare_add_size(p->all, p->scratch, &p->all);
}

/* All workers and what they point into, in one block of memory. */
static enum pare_code alloc_workers(struct pare_run *run, int64_t rows_per_shard, struct pare_err *err)
{
	size_t n = (size_t)run->n_threads, one, all;
	struct worker_plan plan = {0};
	char *p;

	if (!plan_worker(run, (size_t)rows_per_shard, &plan) || !pare_add_size(plan.all, sizeof *run->workers, &one) || !pare_mul_size(one, n, &all))
		return pare_err_nomem(err, 0);
	run->memory = pare_alloc_aligned(all);
	if (run->memory == NULL)
		return pare_err_nomem(err, all);
	run->workers = run->memory;
	p = (char *)(run->workers + n);
	for (size_t t = 0; t < n; t++) {
		struct pare_worker *w = &run->workers[t];

		for (int i = 0; i < run->fit->n_outputs; p += plan.labels[i++])
			w->labels[i] = p;
		w->scratch = (float *)(void *)p;
		p += plan.scratch;
		w->segments = (struct pare_segment *)(void *)p;
		p += plan.segments;
	}
	return PARE_OK;
}

static enum pare_code alloc_rewire(struct pare_run *run, struct pare_err *err)
{
	size_t most = 0;

	for (int p = 0; p < pare_net_n_params(run->net); p++)
		most = pare_net_param(run->net, p)->n_elems > most ? pare_net_param(run->net, p)->n_elems : most;
	run->rewire_scratch = pare_calloc(most + 1, sizeof *run->rewire_scratch);
	return run->rewire_scratch != NULL ? PARE_OK : pare_err_nomem(err, most * sizeof *run->rewire_scratch);
}

static enum pare_code alloc_state(struct pare_run *run, struct pare_err *err)
{
	int n_state = run->opt->optimizer->n_state(&run->opt->optimizer_args);
	size_t n_bytes = pare_net_slab_len(run->net) * sizeof(float);

	for (int i = 0; i < n_state; i++) {
		run->state[i] = pare_alloc_aligned(n_bytes);
		if (run->state[i] == NULL)
			return pare_err_nomem(err, n_bytes);
	}
	return run->opt->noise != NULL ? pare_noise_new(run->opt->noise, run->net, n_state, &run->noise, err) : PARE_OK;
}

/* A run before may have trained outputs that this one leaves alone. */
static void clear_output_grads(struct pare_run *run, int64_t rows)
{
	int64_t dims[PARE_MAX_DIMS];
	int n_dims;

	for (int s = 0; s < run->n_threads; s++)
		for (int i = 0; i < pare_net_n_outputs(run->net) + pare_net_n_watched(run->net); i++) {
			size_t n = pare_net_output_shape(run->net, i, &n_dims, dims);

			memset(pare_net_shard_output_grad(run->net, s, i), 0, n * (n_dims > 0 && dims[0] == PARE_DIM_UNKNOWN ? (size_t)rows : 1) * sizeof(float));
		}
}

enum pare_code pare_run_init(struct pare_run *run, struct pare_err *err)
{
	uint32_t batch = (uint32_t)run->opt->batch_size;
	int64_t first, count;
	enum pare_code code;

	(void)pare_data_rows(run->data, PARE_SPLIT_TRAIN, &run->n_rows);
	run->n_threads = pare_net_n_shards(run->net);
	if (batch > run->n_rows)
		batch = run->n_rows;
	run->n_steps = (run->n_rows + batch - 1) / batch;
	pare_net_shard_rows(run->net, batch, 0, &first, &count);
	code = alloc_workers(run, count, err);
	if (code == PARE_OK)
		code = alloc_state(run, err);
	if (code == PARE_OK && run->opt->rewire != NULL)
		code = alloc_rewire(run, err);
	if (code == PARE_OK) {
		run->order = pare_alloc((size_t)run->n_rows * sizeof *run->order);
		run->scratch = pare_alloc((size_t)run->n_rows * sizeof *run->scratch);
		code = run->order != NULL && run->scratch != NULL ? PARE_OK : pare_err_nomem(err, (size_t)run->n_rows * sizeof *run->order);
	}
	if (code == PARE_OK && pare_data_streams(run->data))
		code = pare_prefetch_new(run->data, batch, &run->prefetch, err);
	if (code != PARE_OK) {
		pare_run_done(run);
		return code;
	}
	clear_output_grads(run, count);
	for (int t = 0; t < run->n_threads; t++)
		plan_slice(run, t);
	return PARE_OK;
}

void pare_run_done(struct pare_run *run)
{
	pare_prefetch_free(run->prefetch);
	pare_free(run->order);
	pare_free(run->scratch);
	pare_free(run->state[0]);
	pare_free(run->state[1]);
	pare_noise_free(run->noise);
	pare_free(run->rewire_scratch);
	pare_free(run->memory);
}

static double label_share(const struct pare_run *run)
{
	return run->opt->distill != NULL ? 1 - run->opt->distill->alpha : 1;
}

/* What the mean over the batch's labels divides by. With class weights all shards must tell each other first. */
static double label_weight(const struct pare_run *run, struct pare_worker *w, int i, const int32_t *classes, int64_t count)
{
	const struct pare_fit_output *o = &run->fit->outputs[i];
	double sum = 0;

	if (classes == NULL || o->loss.class_weights == NULL)
		return run->n_labels[i] > 0 ? (double)run->n_labels[i] : 1;
	w->label_weight[i] = pare_loss_weight(&o->loss, classes, count * o->positions);
	pare_net_meet(run->net);
	for (int s = 0; s < run->n_threads; s++)
		sum += run->workers[s].label_weight[i];
	return sum > 0 ? sum : 1;
}

/* The gradient of the mean over the batch's labels, times the output's weight. */
static void take_loss(struct pare_run *run, struct pare_worker *w, int t, int i, const uint32_t *rows, int64_t count)
{
	const struct pare_fit_output *o = &run->fit->outputs[i];
	bool by_class = pare_fit_by_class(o);
	int32_t *classes = by_class ? w->labels[i] : NULL;
	float *targets = by_class ? NULL : w->labels[i];
	double scale;

	if (by_class)
		pare_data_classes(run->source, o->y, rows, (size_t)count, classes);
	else
		pare_data_targets(run->source, o->y, rows, (size_t)count, targets);
	scale = label_share(run) * o->weight / label_weight(run, w, i, classes, count);
	w->loss[i] = pare_fit_loss(o, pare_net_shard_output(run->net, t, o->output), count, classes, targets, (float)scale,
	    pare_net_shard_output_grad(run->net, t, o->output), w->scratch);
}

static enum pare_mode mode_of(const struct pare_train_options *opt)
{
	if (opt->as_inferred)
		return PARE_MODE_INFER;
	return opt->freeze_statistics ? PARE_MODE_FROZEN : PARE_MODE_TRAIN;
}

static void run_shard(void *ctx, int t)
{
	struct pare_run *run = ctx;
	struct pare_worker *w = &run->workers[t];
	struct pare_net *net = run->net;
	int64_t first, count;
	const uint32_t *rows;

	pare_net_shard_rows(net, run->n_batch, t, &first, &count);
	rows = run->source_rows + first;
	for (int i = 0; i < run->fit->n_inputs; i++)
		pare_data_fill(run->source, run->fit->inputs[i].x, rows, (size_t)count, pare_net_shard_input(net, t, i));
	for (int i = 0; i < run->fit->n_inputs && run->opt->augment != NULL; i++)
		pare_augment_rows(run->opt->augment, net, i, run->augment_seed, run->batch + first, (size_t)count, pare_net_shard_input(net, t, i), w->scratch);
	pare_net_shard_forward(net, t, count, mode_of(run->opt), ((uint64_t)(uint32_t)run->opt->stage << 40) + (uint64_t)run->step, first);
	for (int i = 0; i < run->fit->n_outputs; i++)
		take_loss(run, w, t, i, rows, count);
	if (run->opt->distill != NULL)
		w->distill = pare_distill_shard(run->opt->distill, net, t, count, first, run->opt->distill->alpha / run->n_batch, w->scratch);
	pare_net_shard_backward(net, t);
}

static void clip_gradient(const struct pare_run *run, size_t n, float *g)
{
	const struct pare_train_options *opt = run->opt;

	if (run->grad_scale < 1.0f)
		pare_k_scale(n, g, run->grad_scale, g);
	if (opt->clip_value > 0.0)
		pare_clip(n, (float)opt->clip_value, g);
}

static void before_update(const struct pare_run *run, const struct pare_update *u, float *g)
{
	const struct pare_train_options *opt = run->opt;
	size_t b = u->begin, n = u->end - b;

	for (int i = 0; i < opt->n_penalties; i++) {
		const struct pare_penalty *p = &opt->penalties[i];

		if (p->regularizer->gradient != NULL)
			p->regularizer->gradient(&p->args, n, u->w + b, g + b);
		if (p->regularizer->decay != NULL)
			p->regularizer->decay(&p->args, u->lr, n, u->w + b);
	}
}

static void after_update(const struct pare_run *run, const struct pare_update *u)
{
	const struct pare_train_options *opt = run->opt;
	size_t b = u->begin, n = u->end - b;

	for (int i = 0; i < opt->n_penalties; i++)
		if (opt->penalties[i].regularizer->shrink != NULL)
			opt->penalties[i].regularizer->shrink(&opt->penalties[i].args, u->lr, n, u->w + b);
	if (opt->clip_weights > 0.0)
		pare_clip(n, (float)opt->clip_weights, u->w + b);
}

static void add_movement(const float *w, const float *g, size_t n, float *moved)
{
	for (size_t i = 0; i < n; i++)
		moved[i] -= w[i] * g[i];
}

static void fade(const uint8_t *marks, float factor, size_t n, float *w)
{
	for (size_t i = 0; i < n; i++)
		w[i] *= marks[i] != 0 ? factor : 1.0f;
}

/* Are the gradients of all shards summed in a phase of its own? */
static bool sums_first(const struct pare_train_options *opt)
{
	return opt->clip_norm > 0.0 || opt->sharing != NULL;
}

/* The measures are trained as the weights are, by an update of their own. */
static void update_measures(const struct pare_run *run, const struct pare_update *u)
{
	struct pare_update own = *u;

	own.w = run->noise->measure;
	own.g = run->noise->gradient;
	own.state[0] = run->noise->state[0];
	own.state[1] = run->noise->state[1];
	own.decays = false;
	run->opt->optimizer->update(&own);
}

/* By the gradient of the whole batch. */
static void update_by(const struct pare_run *run, const struct pare_update *u, float *g)
{
	size_t b = u->begin;

	clip_gradient(run, u->end - b, g + b);
	if (run->noise != NULL && u->decays) {
		pare_noise_undraw(run->noise, u->w, g, run->noise_scale, b, u->end);
		update_measures(run, u);
	}
	if (run->opt->moved != NULL)
		add_movement(u->w + b, g + b, u->end - b, run->opt->moved + b);
	if (u->decays)
		before_update(run, u, g);
	run->opt->optimizer->update(u);
	if (u->decays)
		after_update(run, u);
}

static void update_block(const struct pare_run *run, const struct pare_update *u, float *g)
{
	size_t b = u->begin;

	if (run->n_threads > 1 && !sums_first(run->opt))
		pare_net_reduce_grads(run->net, b, u->end, g);
	update_by(run, u, g);
	if (run->opt->fade != NULL)
		fade(run->opt->fade->marks + b, run->fade, u->end - b, u->w + b);
	if (run->mask != NULL)
		pare_mask_apply(run->mask, u->w, b, u->end);
}

/* --- weights that are left of a sparse layer
 *
 * A pruned one is 0, its gradient is 0, and so is what an optimizer remembers of it: nothing that is done to it here changes that. Where the net knows which
 * are left (pare_net_structure), those alone are gathered, updated as a block and put back: at 95 % a twentieth of the floats. Nobody else may have them
 * by their place: not noise, fading, or who adds up movements. */

struct live {
	size_t n;
	uint32_t at[LIVE]; /* from the parameter's first float */
	float w[LIVE], g[LIVE], state[2][LIVE];
};

static const struct pare_sparse *live_of(const struct pare_run *run, int param)
{
	const struct pare_train_options *opt = run->opt;

	return run->noise == NULL && opt->fade == NULL && opt->moved == NULL ? pare_net_structure(run->net, param) : NULL;
}

static void gather(const struct live *l, const float *from, float *to)
{
	for (size_t i = 0; i < l->n; i++)
		to[i] = from[l->at[i]];
}

static void gather_gradient(const struct pare_run *run, struct live *l, size_t offset)
{
	gather(l, pare_net_shard_grads(run->net, 0) + offset, l->g);
	for (int s = 1; s < run->n_threads && !sums_first(run->opt); s++) {
		const float *more = pare_net_shard_grads(run->net, s) + offset;

		for (size_t i = 0; i < l->n; i++)
			l->g[i] += more[l->at[i]];
	}
}

static void put_back(const struct live *l, const float *from, float *to)
{
	for (size_t i = 0; i < l->n; i++)
		to[l->at[i]] = from[i];
}

static void update_gathered(const struct pare_run *run, const struct pare_update *u, size_t offset, struct live *l)
{
	struct pare_update own = *u;

	own.begin = 0;
	own.end = l->n;
	own.w = l->w;
	own.g = l->g;
	gather(l, u->w + offset, l->w);
	gather_gradient(run, l, offset);
	for (int i = 0; i < 2; i++) {
		own.state[i] = u->state[i] != NULL ? l->state[i] : NULL;
		if (u->state[i] != NULL)
			gather(l, u->state[i] + offset, l->state[i]);
	}
	update_by(run, &own, l->g);
	put_back(l, l->w, u->w + offset);
	for (int i = 0; i < 2; i++)
		if (u->state[i] != NULL)
			put_back(l, l->state[i], u->state[i] + offset);
	l->n = 0;
}

static void update_live(const struct pare_run *run, const struct pare_update *u, const struct pare_segment *seg, const struct pare_sparse *s)
{
	size_t offset = pare_net_param(run->net, seg->param)->offset, cols = (size_t)s->cols;
	size_t first = (seg->begin - offset) / cols, end = seg->end - offset;
	struct live l;

	l.n = 0;
	for (size_t r = first; r < (size_t)s->rows && r * cols < end; r++)
		for (uint32_t k = s->row_start[r]; k < s->row_start[r + 1]; k++) {
			size_t at = r * cols + s->row_col[k];

			if (at < seg->begin - offset || at >= end)
				continue;
			l.at[l.n++] = (uint32_t)at;
			if (l.n == LIVE)
				update_gathered(run, u, offset, &l);
		}
	update_gathered(run, u, offset, &l);
}

/* Shard 0's gradient slab takes the sums in place, as net.h allows. */
static void run_slice(void *ctx, int t)
{
	const struct pare_run *run = ctx;
	const struct pare_worker *w = &run->workers[t];
	float *g = (float *)pare_net_shard_grads(run->net, 0);
	struct pare_update u = run->update;

	u.g = g;
	for (int i = 0; i < w->n_segments; i++) {
		const struct pare_segment *s = &w->segments[i];
		const struct pare_sparse *live = live_of(run, s->param);

		u.decays = s->prunable;
		if (live != NULL)
			update_live(run, &u, s, live);
		for (size_t b = s->begin; b < s->end && live == NULL; b += BLOCK) {
			u.begin = b;
			u.end = s->end - b < BLOCK ? s->end : b + BLOCK;
			update_block(run, &u, g);
		}
	}
}

/* Sums the gradients of the slice, and their squares. */
static void run_norm(void *ctx, int t)
{
	const struct pare_run *run = ctx;
	struct pare_worker *w = &run->workers[t];
	float *g = (float *)pare_net_shard_grads(run->net, 0);

	w->squares = 0;
	for (int i = 0; i < w->n_segments; i++)
		for (size_t b = w->segments[i].begin, e; b < w->segments[i].end; b = e) {
			e = w->segments[i].end - b < BLOCK ? w->segments[i].end : b + BLOCK;
			if (run->n_threads > 1)
				pare_net_reduce_grads(run->net, b, e, g);
			if (run->mask != NULL)
				pare_mask_apply(run->mask, g, b, e);
			w->squares += (double)pare_k_dot(e - b, g + b, g + b);
		}
}

/* PyTorch's clip_grad_norm_, with its 1e-6 in the denominator. False when the gradient is not finite. Shared weights are summed after it: the norm
 * is that of the weights' own gradients. */
static bool clip_by_norm(struct pare_run *run)
{
	double squares = 0;

	run->grad_scale = 1;
	if (!sums_first(run->opt))
		return true;
	pare_net_parallel(run->net, run_norm, run);
	if (run->opt->sharing != NULL)
		pare_sharing_sum(run->opt->sharing, (float *)pare_net_shard_grads(run->net, 0));
	for (int t = 0; t < run->n_threads; t++)
		squares += run->workers[t].squares;
	if (run->opt->clip_norm > 0.0)
		run->grad_scale = (float)fmin(1, run->opt->clip_norm / (sqrt(squares) + 1e-6));
	return isfinite(squares);
}

/* The tensor as groups of output channels: [outer, n, inner] around its output axis. */
static struct pare_groups groups_of(const struct pare_run *run, const struct pare_param_info *p)
{
	int axis = p->out_axis >= 0 ? p->out_axis : 0;
	struct pare_groups g = {.w = pare_net_slab(run->net) + p->offset, .outer = 1, .n = p->dims[axis], .inner = 1};

	for (int d = 0; d < p->n_dims; d++) {
		g.outer *= d < axis ? p->dims[d] : 1;
		g.inner *= d > axis ? p->dims[d] : 1;
	}
	return g;
}

static void run_groups(void *ctx, int t)
{
	const struct pare_run *run = ctx;
	const struct pare_train_options *opt = run->opt;

	for (int p = 0; p < pare_net_n_params(run->net); p++) {
		const struct pare_param_info *info = pare_net_param(run->net, p);
		struct pare_groups g;

		if (!info->prunable)
			continue;
		g = groups_of(run, info);
		for (int i = 0; i < opt->n_penalties; i++)
			if (opt->penalties[i].regularizer->groups != NULL)
				opt->penalties[i].regularizer->groups(&opt->penalties[i].args, run->update.lr, &g, g.n * t / run->n_threads,
				    g.n * (t + 1) / run->n_threads);
	}
}

static bool has_groups(const struct pare_train_options *opt)
{
	for (int i = 0; i < opt->n_penalties; i++)
		if (opt->penalties[i].regularizer->groups != NULL)
			return true;
	return false;
}

static void prepare_update(struct pare_run *run)
{
	const struct pare_train_options *opt = run->opt;

	run->update = (struct pare_update){.args = &opt->optimizer_args,
	    .lr = pare_lr_at(opt, run->step, run->n_steps),
	    .step = run->step + 1,
	    .w = pare_net_slab(run->net),
	    .state = {run->state[0], run->state[1]}};
	opt->optimizer->prepare(&run->update);
	if (opt->noise != NULL)
		run->noise_scale = (float)(opt->noise->args.lambda / run->n_rows * fmin(1, (double)(run->step + 1) / fmax(1, opt->noise->args.warmup * run->n_steps)));
	if (opt->fade != NULL)
		run->fade = (float)(1 / (1 + run->update.lr * opt->fade->lambda * (double)(run->step + 1) / ((double)opt->epochs * run->n_steps)));
}

/* Of an epoch, by output: losses and what their mean divides by. */
struct sums {
	double loss[PARE_DATA_FIELDS], weight[PARE_DATA_FIELDS];
	double distill; /* over rows */
};

/* The losses of the shards, in their order; false when one is not finite. */
static bool add_losses(const struct pare_run *run, struct sums *sums)
{
	bool finite = true;

	for (int i = 0; i < run->fit->n_outputs; i++) {
		const struct pare_fit_output *o = &run->fit->outputs[i];
		bool weighted = pare_fit_by_class(o) && o->loss.class_weights != NULL;
		double loss = 0.0, weight = weighted ? 0.0 : (double)run->n_labels[i];

		for (int s = 0; s < run->n_threads; s++) {
			loss += run->workers[s].loss[i];
			weight += weighted ? run->workers[s].label_weight[i] : 0.0;
		}
		sums->loss[i] += loss;
		sums->weight[i] += weight;
		finite = finite && isfinite(loss);
	}
	for (int s = 0; s < run->n_threads && run->opt->distill != NULL; s++)
		sums->distill += run->workers[s].distill;
	return finite && isfinite(sums->distill);
}

static void mean_losses(struct pare_run *run, const struct sums *sums)
{
	run->epoch_loss = run->opt->distill != NULL ? run->opt->distill->alpha * sums->distill / run->n_rows : 0.0;
	for (int i = 0; i < run->fit->n_outputs; i++)
		run->epoch_loss += label_share(run) * run->fit->outputs[i].weight * sums->loss[i] / (sums->weight[i] > 0.0 ? sums->weight[i] : 1.0);
}

/* From the shards' gradients to new weights; false when the gradient is not finite. */
static bool update_weights(struct pare_run *run)
{
	if (!clip_by_norm(run))
		return false;
	prepare_update(run);
	pare_net_parallel(run->net, run_slice, run);
	if (has_groups(run->opt))
		pare_net_parallel(run->net, run_groups, run);
	if (has_groups(run->opt) && run->opt->sharing != NULL)
		pare_sharing_average(run->opt->sharing, pare_net_slab(run->net));
	return true;
}

/* Gradients of masked weights are there in full only when nobody was promised that they are not needed. */
static void before_exchange(struct pare_run *run)
{
	run->share = run->opt->rewire != NULL ? pare_rewire_share(run->opt->rewire, run->step, (int64_t)run->opt->epochs * run->n_steps) : 0;
	if (run->share > 0)
		pare_net_promise_nothing(run->net);
}

/* False when the gradient is not finite, or memory is short. */
static bool exchange(struct pare_run *run)
{
	struct pare_mask *mask = run->opt->rewire->mask;
	float *g = (float *)pare_net_shard_grads(run->net, 0);
	struct pare_err err;

	if (run->n_threads > 1)
		pare_net_reduce_grads(run->net, 0, pare_net_slab_len(run->net), g);
	if (!pare_rewire(run->net, mask, run->share, g, run->state, run->rewire_scratch))
		return false;
	run->no_memory = mask->any && pare_net_promise_zeros(run->net, mask->keep, &err) != PARE_OK;
	return !run->no_memory;
}

static void run_noise(void *ctx, int t)
{
	struct pare_run *run = ctx;

	pare_noise_draw(run->noise, run->net, run->mask, run->opt->seed + ((uint64_t)(uint32_t)run->opt->stage << 32), (uint64_t)run->step, t, run->n_threads);
}

/* Takes batch k, which was read ahead, and starts on the next; or finds it in the data set itself. */
static void find_source(struct pare_run *run, uint32_t k, uint32_t batch)
{
	uint32_t done = k * batch + run->n_batch, left = run->n_rows - done;

	run->source = run->data;
	run->source_rows = run->batch;
	if (run->prefetch == NULL)
		return;
	if (k == 0) {
		for (uint32_t i = 0; i < run->n_batch; i++)
			run->scratch[i] = i;
		pare_prefetch_start(run->prefetch, run->batch, run->n_batch);
	}
	run->source = pare_prefetch_take(run->prefetch);
	run->source_rows = run->scratch;
	if (left > 0)
		pare_prefetch_start(run->prefetch, run->order + done, left < batch ? left : batch);
}

#define MOMENT_NS INT64_C(500000000)

static int64_t tick(const struct pare_run *run)
{
	const struct pare_env *env = run->opt->env;

	return env != NULL && run->opt->moment != NULL ? env->tick_ns(env->ctx) : 0;
}

/* Tells of step k of an epoch that began at *last, or was last told of then; true to stop. */
static bool told_to_stop(const struct pare_run *run, uint32_t k, int64_t *last, uint32_t *last_k)
{
	int64_t now = tick(run);
	struct pare_train_moment m = {.epoch = run->epoch + 1, .epochs = run->opt->epochs, .step = k, .steps = run->n_steps};

	if (now - *last < MOMENT_NS)
		return false;
	m.steps_per_second = (k - *last_k) / ((double)(now - *last) * 1e-9);
	*last = now;
	*last_k = k;
	return !run->opt->moment(run->opt->report_ctx, &m);
}

void pare_run_epoch(struct pare_run *run)
{
	uint32_t batch = (uint32_t)run->opt->batch_size;
	struct sums sums = {.loss = {0}};
	int64_t last = tick(run);
	uint32_t last_k = 0;

	run->augment_seed = pare_augment_seed(run->opt->seed, run->opt->stage, run->epoch);

	for (uint32_t k = 0; k < run->n_steps; k++, run->step++) {
		uint32_t left = run->n_rows - k * batch;

		run->canceled = (run->opt->cancel != NULL && atomic_load_explicit(run->opt->cancel, memory_order_relaxed)) || told_to_stop(run, k, &last, &last_k);
		if (run->canceled)
			return;
		run->batch = run->order + (size_t)k * batch;
		run->n_batch = left < batch ? left : batch;
		find_source(run, k, batch);
		for (int i = 0; i < run->fit->n_outputs; i++)
			run->n_labels[i] = pare_data_n_labels(run->source, run->fit->outputs[i].y, run->source_rows, run->n_batch);
		before_exchange(run);
		if (run->noise != NULL)
			pare_net_parallel(run->net, run_noise, run);
		pare_net_parallel(run->net, run_shard, run);
		if (!add_losses(run, &sums) || !(run->share > 0 ? exchange(run) : update_weights(run))) {
			run->failed_step = k + 1;
			return;
		}
	}
	mean_losses(run, &sums);
}
